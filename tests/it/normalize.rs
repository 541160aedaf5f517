//! Every rule: which value changes, from what to what, and that nothing else in the document changes.

use serde_json::{Value, json};

use crate::common::archive::Entry;
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_TAR, DOCKER_ZSTD, IMAGE_NAME,
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD,
    REF_NAME, annotated, digest_of, docker_item, gzip, index, layer_tar, named, on, right_image,
    right_layout, zstd,
};
use crate::common::checker::{check_docker_output, check_output};
use crate::common::contents::{Contents, blob_name};
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const LAYER: &str = "index.json, manifests[0], layers[0]";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/// Fixes an archive. The output is valid, and fixing it again does not change it.
#[track_caller]
fn fix(layout: &Layout) -> (Value, Contents) {
    fix_with(layout, &[])
}

#[track_caller]
fn fix_with(layout: &Layout, options: &[&str]) -> (Value, Contents) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox
        .fix_with("in.tar", "out.tar", options)
        .exits(0)
        .json();
    check_output(&sandbox.path("out.tar"));
    let again = sandbox
        .fix_with("out.tar", "again.tar", options)
        .exits(0)
        .json();
    assert_eq!(again["status"], "unchanged", "{:#}", again["changes"]);
    (report, Contents::read(&sandbox.path("out.tar")))
}

/// Rule, location, before and after of the changes by these rules, in order.
fn changes(report: &Value, rules: &[&str]) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .filter(|change| rules.contains(&change["rule"].as_str().unwrap()))
        .map(|change| ["rule", "location", "before", "after"].map(|key| text(&change[key])))
        .collect()
}

const TYPES: [&str; 5] = [
    "index-type",
    "manifest-type",
    "config-type",
    "layer-type",
    "media-type-field",
];

fn one_layer(layer: Layer) -> Layout {
    Layout::of(&Image::oci(vec![layer]), NAME)
}

#[test]
fn a_layer_gets_the_type_of_its_bytes() {
    let skippable = [
        b"\x50\x2a\x4d\x18\x04\0\0\0abcd".to_vec(),
        zstd(&layer_tar("s")),
    ]
    .concat();
    let (first, second) = (&layer_tar("m")[..300], &layer_tar("m")[300..]);
    let members = [gzip(first), gzip(second)].concat();
    #[rustfmt::skip]
    let cases = [
        ("gzip in members", Layer::new(OCI_TAR, members, &layer_tar("m")), OCI_GZIP),
        ("docker tar", Layer::plain(DOCKER_TAR, "a"), OCI_TAR),
        ("docker tar of gzip", Layer::gzip(DOCKER_TAR, "a"), OCI_GZIP),
        ("docker tar of zstd", Layer::zstd(DOCKER_TAR, "a"), OCI_ZSTD),
        ("docker gzip", Layer::gzip(DOCKER_GZIP, "a"), OCI_GZIP),
        ("docker gzip of tar", Layer::plain(DOCKER_GZIP, "a"), OCI_TAR),
        ("docker gzip of zstd", Layer::zstd(DOCKER_GZIP, "a"), OCI_ZSTD),
        ("docker zstd", Layer::zstd(DOCKER_ZSTD, "a"), OCI_ZSTD),
        ("docker zstd of gzip", Layer::gzip(DOCKER_ZSTD, "a"), OCI_GZIP),
        ("plus spelling", Layer::zstd("application/vnd.docker.image.rootfs.diff.tar+zstd", "a"), OCI_ZSTD),
        ("skippable frame", Layer::new(DOCKER_ZSTD, skippable, &layer_tar("s")), OCI_ZSTD),
        ("oci gzip of zstd", Layer::zstd(OCI_GZIP, "a"), OCI_ZSTD),
        ("oci tar of gzip", Layer::gzip(OCI_TAR, "a"), OCI_GZIP),
        ("oci zstd of tar", Layer::plain(OCI_ZSTD, "a"), OCI_TAR),
        ("foreign", Layer::plain(FOREIGN, "a"), NONDISTRIBUTABLE),
        ("foreign gzip", Layer::gzip(&format!("{FOREIGN}.gzip"), "a"), &format!("{NONDISTRIBUTABLE}+gzip")),
        ("foreign tar of gzip", Layer::gzip(FOREIGN, "a"), &format!("{NONDISTRIBUTABLE}+gzip")),
        ("foreign gzip of zstd", Layer::zstd(&format!("{FOREIGN}.gzip"), "a"), &format!("{NONDISTRIBUTABLE}+zstd")),
    ];
    for (name, layer, after) in cases {
        let before = layer.media_type.clone();
        let (report, contents) = fix(&one_layer(layer));
        let expected = [["layer-type", LAYER, &before, after].map(str::to_owned)];
        assert_eq!(changes(&report, &TYPES), expected, "{name}");
        let (_, manifest) = &contents.manifests()[0];
        assert_eq!(manifest["layers"][0]["mediaType"], after, "{name}");
    }
}

#[test]
fn a_layer_without_bytes_is_a_plain_tar() {
    for before in [OCI_GZIP, OCI_ZSTD, DOCKER_GZIP, OCI_TAR] {
        let empty = Layer::new(before, Vec::new(), b"");
        let layout = Layout::of(
            &Image::oci(vec![empty.clone(), empty, Layer::gzip(OCI_GZIP, "a")]),
            NAME,
        );
        for options in [&[][..], &["--compression", "gzip"]] {
            let (report, contents) = fix_with(&layout, options);
            let (_, manifest) = &contents.manifests()[0];
            assert_eq!(manifest["layers"][0]["mediaType"], OCI_TAR, "{before}");
            assert_eq!(manifest["layers"][0]["size"], 0);
            let finding = &report["findings"][0];
            assert_eq!(finding["rule"], "empty-layer");
            assert_eq!(finding["location"], LAYER);
            let message = finding["message"].as_str().unwrap();
            assert!(message.starts_with("2 layers have no bytes"), "{message}");
        }
    }
}

#[test]
fn a_docker_image_becomes_an_oci_image() {
    let mut layout = Layout::new();
    let image = layout.image(&Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::zstd(DOCKER_ZSTD, "b"),
    ]));
    let list = layout.index_of(DOCKER_LIST, vec![on(image.clone(), "linux", "amd64")]);
    layout.root(vec![named(list.clone(), NAME)]);
    let (report, contents) = fix(&layout);
    let at = "index.json, manifests[0]";
    let inner = format!("{at}, manifests[0]");
    let mut expected = vec![
        [
            "index-type".to_owned(),
            at.to_owned(),
            DOCKER_LIST.to_owned(),
            OCI_INDEX.to_owned(),
        ],
        [
            "index-type".to_owned(),
            format!("{at}, mediaType"),
            DOCKER_LIST.to_owned(),
            OCI_INDEX.to_owned(),
        ],
        [
            "manifest-type".to_owned(),
            inner.clone(),
            DOCKER_MANIFEST.to_owned(),
            OCI_MANIFEST.to_owned(),
        ],
        [
            "manifest-type".to_owned(),
            format!("{inner}, mediaType"),
            DOCKER_MANIFEST.to_owned(),
            OCI_MANIFEST.to_owned(),
        ],
        [
            "config-type".to_owned(),
            format!("{inner}, config"),
            DOCKER_CONFIG.to_owned(),
            OCI_CONFIG.to_owned(),
        ],
        [
            "layer-type".to_owned(),
            format!("{inner}, layers[0]"),
            DOCKER_GZIP.to_owned(),
            OCI_GZIP.to_owned(),
        ],
        [
            "layer-type".to_owned(),
            format!("{inner}, layers[1]"),
            DOCKER_ZSTD.to_owned(),
            OCI_ZSTD.to_owned(),
        ],
    ];
    let mut found = changes(&report, &TYPES);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);

    // Parents are updated after their children, and both digests are reported.
    let digests = report["digests"].as_array().unwrap();
    let reported: Vec<_> = digests
        .iter()
        .map(|d| (d["kind"].as_str().unwrap(), digest_pair(d)))
        .collect();
    assert_eq!(reported[0].0, "index");
    assert_eq!(reported[0].1.0, digest_of(&list));
    assert_eq!(reported[1].0, "manifest");
    assert_eq!(reported[1].1.0, digest_of(&image));
    assert_eq!(digests[1]["platform"], "linux/amd64");
    assert_eq!(digests[1]["names"], json!([NAME]));
    let follow = changes(&report, &["descriptor"]);
    let expected = [
        [
            "descriptor".to_owned(),
            inner,
            reported[1].1.0.clone(),
            reported[1].1.1.clone(),
        ],
        [
            "descriptor".to_owned(),
            at.to_owned(),
            reported[0].1.0.clone(),
            reported[0].1.1.clone(),
        ],
    ];
    assert_eq!(follow, expected);
    for (_, (before, after)) in reported {
        assert_eq!(contents.blob(&before), None);
        assert!(contents.blob(&after).is_some());
    }
}

fn digest_pair(change: &Value) -> (String, String) {
    let text = |key: &str| change[key].as_str().unwrap().to_owned();
    (text("before"), text("after"))
}

#[test]
fn an_octet_stream_config_becomes_an_oci_config() {
    let mut image = Image::docker(vec![]);
    image.config_type = "application/octet-stream".to_owned();
    let (report, _) = fix(&Layout::of(&image, NAME));
    let found = changes(&report, &["config-type"]);
    let expected = [
        "config-type",
        "index.json, manifests[0], config",
        "application/octet-stream",
        OCI_CONFIG,
    ];
    assert_eq!(found, [expected.map(str::to_owned)]);
}

/// Removes the `mediaType` of a document.
fn untyped(mut document: Value) -> Value {
    document.as_object_mut().unwrap().remove("mediaType");
    document
}

/// OCI makes it optional, and only readers of indexes need it.
#[test]
fn a_missing_media_type_is_added_to_indexes_of_images() {
    let mut layout = Layout::new();
    let manifest = untyped(layout.manifest(&right_image()));
    let image = layout.document(OCI_MANIFEST, &manifest);
    let nested = untyped(index(OCI_INDEX, vec![on(image.clone(), "linux", "amd64")]));
    let nested = layout.document(OCI_INDEX, &nested);
    layout.root(vec![named(nested, NAME)]);
    layout.edit_root(|root| *root = untyped(root.take()));
    let (report, contents) = fix(&layout);
    let at = "index.json, manifests[0], mediaType";
    let expected = [
        ["media-type-field", "index.json, mediaType", "-", OCI_INDEX],
        ["media-type-field", at, "-", OCI_INDEX],
    ];
    let expected = expected.map(|row| row.map(str::to_owned));
    assert_eq!(changes(&report, &TYPES), expected);
    let start = format!("{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\"");
    assert!(contents.text("index.json").starts_with(&start));
    let list = &contents.json("index.json")["manifests"][0];
    assert_eq!(contents.document(&digest_of(list))["mediaType"], OCI_INDEX);
    // The manifest keeps its bytes, and its digest.
    assert_eq!(contents.document(&digest_of(&image)), manifest);
}

#[test]
fn images_and_artifacts_without_a_media_type_keep_their_bytes() {
    let mut layout = Layout::new();
    let image = untyped(layout.manifest(&right_image()));
    layout.docker(&image, &["app:v1"]);
    let image = layout.document(OCI_MANIFEST, &image);
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let artifact = json!({"schemaVersion": 2, "artifactType": "application/x-note", "config": config, "layers": []});
    let artifact = layout.document(OCI_MANIFEST, &artifact);
    let list = untyped(index(OCI_INDEX, vec![artifact.clone()]));
    let list = layout.document(OCI_INDEX, &list);
    layout.root(vec![named(image, NAME), artifact, list]);
    let (report, _) = fix(&layout);
    assert_eq!(report["status"], "unchanged", "{:#}", report["changes"]);
}

#[test]
fn a_missing_media_type_is_added_to_what_changes_anyway() {
    let mut layout = Layout::new();
    let mislabelled = Image::oci(vec![Layer::gzip(OCI_TAR, "a")]);
    let manifest = untyped(layout.manifest(&mislabelled));
    let image = layout.document(OCI_MANIFEST, &manifest);
    let before = image.clone();
    layout.root(vec![named(image, NAME)]);
    let (report, contents) = fix(&layout);
    let found = changes(&report, &["media-type-field"]);
    let at = "index.json, manifests[0], mediaType";
    let expected = ["media-type-field", at, "-", OCI_MANIFEST].map(str::to_owned);
    assert_eq!(found, [expected]);
    let (digest, manifest) = &contents.manifests()[0];
    assert_eq!(manifest["mediaType"], OCI_MANIFEST);
    assert_ne!(*digest, digest_of(&before));
    // Docker's types require it.
    let mut layout = Layout::new();
    let manifest = untyped(layout.manifest(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")])));
    let image = layout.document(DOCKER_MANIFEST, &manifest);
    layout.root(vec![named(image, NAME)]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let options = ["--oci-mediatypes=false"];
    sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    check_docker_output(&sandbox.path("out.tar"));
}

#[test]
fn a_media_type_of_null_is_replaced() {
    let mut layout = right_layout();
    layout.edit_root(|root| root["mediaType"] = Value::Null);
    let (_, contents) = fix(&layout);
    assert_eq!(
        contents.text("index.json").matches("mediaType\":").count(),
        2
    );
}

#[test]
fn annotations_of_null_are_replaced() {
    let mut layout = right_layout();
    layout.edit_root(|root| root["manifests"][0]["annotations"] = Value::Null);
    let (_, contents) = fix(&layout);
    assert_eq!(
        contents.json("index.json")["manifests"][0]["annotations"][IMAGE_NAME],
        NAME
    );
    assert_eq!(
        contents.text("index.json").matches("annotations").count(),
        1
    );
}

#[test]
fn names_are_completed_and_never_invented() {
    let image_name =
        |value: &str| ["image-name", "index.json, manifests[0]", "-", value].map(str::to_owned);
    let ref_name =
        |value: &str| ["ref-name", "index.json, manifests[0]", "-", value].map(str::to_owned);
    let example = "example.com/team/app:v1";
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
        Vec<[String; 4]>,
    );
    #[rustfmt::skip]
    let cases: [Case<'_>; 9] = [
        ("both", &[(IMAGE_NAME, NAME), (REF_NAME, "v1")], &["app:v1"], vec![]),
        ("image name", &[(IMAGE_NAME, NAME)], &[], vec![ref_name("v1")]),
        ("full ref name", &[(REF_NAME, example)], &[], vec![image_name(example)]),
        ("familiar ref name", &[(REF_NAME, "app:v1")], &[], vec![image_name(NAME)]),
        ("bare tag", &[(REF_NAME, "v1")], &[], vec![]),
        ("none", &[], &[], vec![]),
        ("manifest.json", &[], &["app:v1"], vec![image_name(NAME), ref_name("v1")]),
        ("bare tag and manifest.json", &[(REF_NAME, "v1")], &["app:v1"], vec![image_name(NAME)]),
        ("two tags", &[(IMAGE_NAME, NAME), (REF_NAME, "v1")], &["app:v1", example],
            vec![["name-entry", "index.json", "-", example].map(str::to_owned)]),
    ];
    for (name, annotations, tags, expected) in cases {
        let mut layout = Layout::new();
        let descriptor = annotated(layout.image(&right_image()), annotations);
        layout.root(vec![descriptor]);
        let manifest = layout.manifest(&right_image());
        layout.docker(&manifest, tags);
        let (report, _) = fix(&layout);
        assert_eq!(
            changes(&report, &["image-name", "ref-name", "name-entry"]),
            expected,
            "{name}"
        );
        let is_unnamed = report["images"][0]["names"] == json!([]);
        let is_reported = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["rule"] == "unnamed-image");
        assert_eq!(is_reported, is_unnamed, "{name}");
        assert_eq!(is_unnamed, tags.is_empty() && expected.is_empty(), "{name}");
    }
}

/// An image, its attestation and a referrer, all of Docker types or pointing at such.
fn with_links() -> (Layout, String) {
    let mut layout = Layout::new();
    let image = layout.image(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]));
    let old = digest_of(&image);
    let statement = layout.blob(
        "application/vnd.in-toto+json",
        format!("{{\"subject\":\"{old}\"}}"),
    );
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let subject = json!({"mediaType": DOCKER_MANIFEST, "digest": old, "size": image["size"]});
    let attestation = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.docker.attestation.manifest.v1+json",
        "config": config, "layers": [statement], "subject": subject,
    });
    let links = [
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", old.as_str()),
    ];
    let attestation = annotated(layout.document(OCI_MANIFEST, &attestation), &links);
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            on(attestation, "unknown", "unknown"),
            on(image, "linux", "amd64"),
        ],
    );
    layout.root(vec![named(index, NAME)]);
    (layout, old)
}

#[test]
fn links_follow_the_manifest_and_attestations_are_kept() {
    let (layout, old) = with_links();
    let statement = layout.find(&["\"subject\":\"sha256"]);
    let (report, contents) = fix(&layout);
    let digests = report["digests"].as_array().unwrap();
    let new = digests
        .iter()
        .find(|change| change["before"] == old.as_str())
        .unwrap()["after"]
        .clone();
    let new = new.as_str().unwrap();
    let at = "index.json, manifests[0], manifests[0]";
    #[rustfmt::skip]
    let expected = [
        ["subject".to_owned(), format!("{at}, subject"), old.clone(), new.to_owned()],
        ["attestation-link".to_owned(), format!("{at}, vnd.docker.reference.digest"), old.clone(), new.to_owned()],
    ];
    assert_eq!(changes(&report, &["subject", "attestation-link"]), expected);
    assert_eq!(contents.file(&statement), layout.blobs[&statement]);
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["location"]),
        (&json!("stale-statement"), &json!(at))
    );
    assert!(finding["message"].as_str().unwrap().contains(&old));

    let (dropped, contents) = fix_with(&layout, &["--attestations", "drop"]);
    let rules = changes(&dropped, &["attestation-dropped"]);
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0][1], at);
    assert!(!contents.has(&statement));
}

#[test]
fn links_follow_a_manifest_after_the_index() {
    let mut layout = Layout::new();
    let image = layout.image(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]));
    let old = digest_of(&image);
    let right = layout.image(&right_image());
    let linked = annotated(right, &[("vnd.docker.reference.digest", old.as_str())]);
    let index = layout.index_of(OCI_INDEX, vec![linked]);
    layout.root(vec![index, named(image, NAME)]);
    let (report, _) = fix(&layout);
    assert_eq!(changes(&report, &["attestation-link"]).len(), 1);
}

#[test]
fn unknown_types_are_kept_and_reported() {
    let mut layout = Layout::new();
    let blob = layout.blob("application/x-unknown", "anything");
    let image = layout.image(&right_image());
    layout.root(vec![named(image, NAME), blob.clone()]);
    let (report, contents) = fix(&layout);
    assert_eq!(changes(&report, &TYPES), [[""; 4]; 0]);
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"]),
        (&json!("unknown-media-type"), &json!("cosmetic"))
    );
    assert_eq!(finding["location"], "index.json, manifests[1]");
    assert_eq!(contents.blob(&digest_of(&blob)).unwrap(), b"anything");

    let mut encrypted = Layer::gzip(OCI_GZIP, "secret");
    encrypted.media_type.push_str("+encrypted");
    encrypted.bytes = b"sealed".to_vec();
    let layout = one_layer(encrypted.clone());
    let (report, contents) = fix(&layout);
    assert_eq!(changes(&report, &TYPES), [[""; 4]; 0]);
    assert_eq!(
        contents.manifests()[0].1["layers"][0]["mediaType"],
        encrypted.media_type
    );
}

/// A Docker manifest with unusual formatting, of which only four named values may change.
#[test]
fn a_rewritten_document_keeps_its_formatting() {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]));
    let (config, layer) = (&manifest["config"], &manifest["layers"][0]);
    let (config_digest, layer_digest) = (digest_of(config), digest_of(layer));
    let text = format!(
        "\n{{\t\"x-first\" : 1e3,\n   \"layers\": [ {{ \"size\":{}, \"x-number\": 1.0, \"digest\":\"{layer_digest}\",\n\
         \"mediaType\" : \"{DOCKER_GZIP}\", \"x-text\": \"\\u0041\\/ \u{e9}\" }} ],\r\n\
         \"config\":{{\"mediaType\":\"{DOCKER_CONFIG}\",\"digest\":\"{config_digest}\",\"size\":{},\"x\":[1, 2,{{}}]}},\n\
         \"mediaType\":\"{DOCKER_MANIFEST}\" , \"schemaVersion\": 2, \"x-last\": 12345678901234567890123 }}\n\n",
        layer["size"], config["size"],
    );
    let descriptor = layout.blob(DOCKER_MANIFEST, &text);
    layout.root(vec![named(descriptor, NAME)]);
    let (report, contents) = fix(&layout);
    let after = report["digests"][0]["after"].as_str().unwrap();
    let expected = text
        .replace(DOCKER_GZIP, OCI_GZIP)
        .replace(DOCKER_CONFIG, OCI_CONFIG)
        .replace(DOCKER_MANIFEST, OCI_MANIFEST);
    assert_eq!(contents.text(&blob_name(after)), expected);
}

#[test]
fn a_root_index_keeps_its_formatting() {
    let mut layout = Layout::new();
    let descriptor = layout.image(&Image::docker(vec![]));
    let text = format!(
        "{{\n  \"manifests\": [\n    {{\n      \"mediaType\": \"{DOCKER_MANIFEST}\",\n      \"digest\": \"{}\",\n      \"size\": {},\n      \"annotations\": {{\n        \"{REF_NAME}\": \"app:v1\"\n      }}\n    }}\n  ],\n  \"schemaVersion\": 2\n}}\n",
        digest_of(&descriptor),
        descriptor["size"],
    );
    layout.index = Some(text.clone().into_bytes());
    let (report, contents) = fix(&layout);
    let image = &report["images"][0];
    let size = contents
        .blob(image["digest"].as_str().unwrap())
        .unwrap()
        .len();
    let expected = text
        .replace(DOCKER_MANIFEST, OCI_MANIFEST)
        .replace(&digest_of(&descriptor), image["digest"].as_str().unwrap())
        .replace(
            &format!("\"size\": {}", descriptor["size"]),
            &format!("\"size\": {size}"),
        )
        .replace(
            "\"app:v1\"\n",
            &format!("\"app:v1\",\n        \"{IMAGE_NAME}\": \"{NAME}\"\n"),
        )
        .replace(
            "\"schemaVersion\": 2",
            &format!("\"schemaVersion\": 2,\n  \"mediaType\": \"{OCI_INDEX}\""),
        );
    assert_eq!(contents.text("index.json"), expected);
}

#[test]
fn embedded_data_follows_its_document() {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::docker(vec![]));
    manifest["note"] = json!("a");
    let text = manifest.to_string();
    let mut descriptor = layout.blob(DOCKER_MANIFEST, &text);
    descriptor["data"] = json!(base64(text.as_bytes()));
    layout.root(vec![named(descriptor, NAME)]);
    let (_, contents) = fix(&layout);
    let descriptor = &contents.json("index.json")["manifests"][0];
    let new = contents.blob(&digest_of(descriptor)).unwrap();
    assert_eq!(descriptor["data"], base64(new));
    assert_ne!(new, text.as_bytes());
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| {
            bits << 8 | u32::from(*piece.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let is_there = at <= piece.len();
            let letter = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if is_there { char::from(letter) } else { '=' });
        }
    }
    out
}

#[test]
fn root_files_are_written_and_extra_entries_removed() {
    let mut layout = right_layout();
    layout.docker_manifest = None;
    layout.oci_layout = None;
    layout.more.push(Entry::file("repositories", "{}"));
    let (report, contents) = fix(&layout);
    let found = changes(&report, &["docker-manifest", "oci-layout", "extra-entry"]);
    let expected = [
        ["docker-manifest", "manifest.json", "-", "1 image"],
        ["extra-entry", "repositories", "2 bytes", "-"],
        ["oci-layout", "oci-layout", "-", "1.0.0"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
    let manifest = Layout::new().manifest(&right_image());
    assert_eq!(
        contents.json("manifest.json"),
        json!([docker_item(&manifest, &["app:v1"])])
    );
    assert_eq!(
        contents.text("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}"
    );
}

#[test]
fn the_form_of_the_archive_is_made_canonical() {
    let right = right_layout();
    let mut entries = right.entries();
    entries[0].mtime = 1;
    let mut reversed = right.entries();
    reversed.reverse();
    let cases = [("time", entries), ("order", reversed)];
    for (name, entries) in cases {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", crate::common::archive::tar(&entries));
        let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
        let rules: Vec<&Value> = report["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["rule"])
            .collect();
        assert_eq!(rules, ["archive-form"], "{name}");
        assert_eq!(report["digests"], json!([]), "{name}");
        assert!(sandbox.read("out.tar") == right.tar(), "{name}");
    }
}
