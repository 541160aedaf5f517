//! `--platform` and `--unwrap`: which platforms are written, and as a plain manifest.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on};
use crate::common::contents::blob_name;
use crate::common::evidence::{attestation, evidence, signature};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed, fixed_path};
use crate::common::runner::Sandbox;
use crate::common::saved::parts;

fn of(architecture: &str) -> Image {
    let layers = vec![
        Layer::gzip(OCI_GZIP, "shared"),
        Layer::gzip(OCI_GZIP, architecture),
    ];
    Image::oci(layers).architecture(architecture)
}

fn with_platform(mut descriptor: Value, platform: Value) -> Value {
    descriptor["platform"] = platform;
    descriptor
}

/// An index of three platforms, each with an attestation, and evidence about the images and the index.
struct Platforms {
    layout: Layout,
    amd64: Value,
    arm64: Value,
    arm: Value,
    index: Value,
}

fn platforms() -> Platforms {
    let mut layout = Layout::new();
    let [amd64, arm64, arm] = ["amd64", "arm64", "arm"].map(|name| layout.image(&of(name)));
    let attestations = [&amd64, &arm64, &arm].map(|image| attestation(&mut layout, image));
    let mut listed = vec![
        on(amd64.clone(), "linux", "amd64"),
        with_platform(
            arm64.clone(),
            json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
        ),
        with_platform(
            arm.clone(),
            json!({"os": "linux", "architecture": "arm", "variant": "v7"}),
        ),
    ];
    listed.extend(attestations);
    let index = layout.index_of(OCI_INDEX, listed);
    let mut root = vec![named(index.clone(), "example.com/app:1")];
    for about in [&amd64, &arm64, &index] {
        root.extend(evidence(&mut layout, about));
    }
    layout.root(root);
    Platforms {
        layout,
        amd64,
        arm64,
        arm,
        index,
    }
}

/// Whether a blob of the output contains this text.
fn has(found: &Fixed, text: &str) -> bool {
    let mut files = found.contents.files.values();
    files.any(|bytes| String::from_utf8_lossy(bytes).contains(text))
}

/// The only entry of the root that has a name of an image.
fn entry(found: &Fixed) -> Value {
    let root: Value = serde_json::from_slice(&found.contents.files["index.json"]).unwrap();
    let mut entries = root["manifests"].as_array().unwrap().iter();
    let is_named = |entry: &&Value| !entry["annotations"]["io.containerd.image.name"].is_null();
    let entry = entries.find(is_named).unwrap().clone();
    assert!(!entries.any(|entry| is_named(&entry)));
    entry
}

fn document(found: &Fixed, descriptor: &Value) -> Value {
    let digest = digest_of(descriptor);
    serde_json::from_slice(found.contents.blob(&digest).unwrap()).unwrap()
}

#[test]
fn one_platform_stays_with_all_that_is_about_it() {
    let all = platforms();
    let bytes = all.layout.tar();
    for wanted in ["linux/arm64", "linux/arm64/v8", "linux/aarch64"] {
        let found = fixed(&bytes, &["--platform", wanted]);
        assert_eq!(found.names(), ["example.com/app:1"]);
        let entry = entry(&found);
        assert_eq!(entry["mediaType"], OCI_INDEX);
        let listed = &document(&found, &entry)["manifests"];
        assert_eq!(listed.as_array().unwrap().len(), 2, "{listed:#}");
        assert_eq!(digest_of(&listed[0]), digest_of(&all.arm64));
        let annotations = &listed[1]["annotations"];
        assert_eq!(
            annotations["vnd.docker.reference.digest"],
            digest_of(&all.arm64)
        );
        for (image, is_kept) in [(&all.arm64, true), (&all.amd64, false), (&all.arm, false)] {
            let about = format!("about {}", digest_of(image));
            assert_eq!(has(&found, &about), is_kept, "{about}");
        }
        assert!(has(&found, &format!("signs {}", digest_of(&all.arm64))));
        assert!(has(&found, &format!("signs {}", digest_of(&all.index))));
        assert!(!has(&found, &format!("signs {}", digest_of(&all.amd64))));
        assert!(found.facts.unreferenced.is_empty());
        let dropped = found.changes(&["platform-choice"]);
        let before: Vec<&str> = dropped.iter().map(|change| change[2].as_str()).collect();
        for gone in [&all.amd64, &all.arm] {
            assert!(before.contains(&digest_of(gone).as_str()), "{dropped:#?}");
        }
    }
}

#[test]
fn several_platforms_can_be_kept() {
    let all = platforms();
    let bytes = all.layout.tar();
    let found = fixed(&bytes, &["--platform", "linux/amd64,linux/arm"]);
    let other = ["--platform", "linux/arm/v7", "--platform", "linux/amd64"];
    assert!(fixed(&bytes, &other).bytes == found.bytes);
    let listed = document(&found, &entry(&found));
    let digests: BTreeSet<String> = listed["manifests"].as_array().unwrap()[..2]
        .iter()
        .map(digest_of)
        .collect();
    assert_eq!(
        digests,
        BTreeSet::from([digest_of(&all.amd64), digest_of(&all.arm)])
    );
    let every = fixed(&bytes, &["--platform", "linux/amd64,linux/arm,linux/arm64"]);
    assert!(every.bytes == fixed(&bytes, &[]).bytes);
}

#[test]
fn platforms_match_as_in_containerd() {
    let mut layout = Layout::new();
    let images = ["a", "b", "c", "d"].map(|name| layout.image(&of(name)));
    let [old, new, plain, erofs] = &images;
    let windows =
        |version: &str| json!({"os": "windows", "architecture": "amd64", "os.version": version});
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            with_platform(old.clone(), windows("10.0.17763.1")),
            with_platform(new.clone(), windows("10.0.20348.2")),
            on(plain.clone(), "linux", "amd64"),
            with_platform(
                erofs.clone(),
                json!({"os": "linux", "architecture": "amd64", "os.features": ["erofs"]}),
            ),
        ],
    );
    layout.root(vec![named(index, "example.com/app:1")]);
    let bytes = layout.tar();
    let cases: [(&str, &[&Value]); 6] = [
        ("linux/amd64", &[plain]),
        ("linux/x86_64", &[plain]),
        ("linux(+erofs)/amd64", &[plain, erofs]),
        ("windows/amd64", &[old, new]),
        ("windows(10.0.17763)/amd64", &[old]),
        ("windows(10.0.20348.2)/amd64", &[new]),
    ];
    for (wanted, expected) in cases {
        let found = fixed(&bytes, &["--platform", wanted]);
        let listed = document(&found, &entry(&found));
        let listed: Vec<String> = listed["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(digest_of)
            .collect();
        let expected: Vec<String> = expected.iter().map(|image| digest_of(image)).collect();
        assert_eq!(listed, expected, "{wanted}");
    }
    for wanted in ["windows(10.0.1)/amd64", "linux/amd64/v2", "linux/arm64"] {
        let parts = [
            "no image in the archive has the platform",
            wanted,
            "linux/amd64, ",
        ];
        fails_with(
            wanted,
            &bytes,
            &["--platform", wanted],
            "platform-not-found",
            &parts,
        );
    }
}

#[test]
fn each_requested_platform_must_exist() {
    let bytes = platforms().layout.tar();
    let parts = [
        "linux/s390x",
        "available: linux/amd64, linux/arm/v7, linux/arm64/v8",
    ];
    let options = ["--platform", "linux/amd64,linux/s390x"];
    fails_with("s390x", &bytes, &options, "platform-not-found", &parts);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    for wrong in ["arm64", "linux/amd64,", "linux (1)/amd64"] {
        let run = sandbox
            .fix_with("in.tar", "x.tar", &["--platform", wrong])
            .exits(2);
        assert!(run.stderr.contains("os/architecture"), "{}", run.stderr);
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn images_of_other_platforms_beside_an_index_go_too() {
    let mut layout = Layout::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| layout.image(&of(name)));
    let signed = signature(&mut layout, &amd64);
    layout.root(vec![
        named(amd64.clone(), "example.com/amd64:1"),
        named(arm64, "example.com/arm64:1"),
        signed,
    ]);
    let found = fixed(&layout.tar(), &["--platform", "linux/arm64"]);
    assert_eq!(found.names(), ["example.com/arm64:1"]);
    assert!(!has(&found, &format!("signs {}", digest_of(&amd64))));
    assert!(found.contents.blob(&parts(&of("amd64"))[0]).is_none());
}

#[test]
fn an_index_with_one_image_is_unwrapped_under_its_names() {
    let all = platforms();
    let bytes = all.layout.tar();
    let options = ["--platform", "linux/arm64", "--unwrap"];
    let found = fixed(&bytes, &options);
    assert_eq!(found.names(), ["example.com/app:1"]);
    let entry = entry(&found);
    assert_eq!(digest_of(&entry), digest_of(&all.arm64));
    assert_eq!(
        entry["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(entry["platform"]["variant"], "v8");
    assert_eq!(entry["size"], all.arm64["size"]);
    // Evidence about the image stays; what is about the index, and what only it lists, goes.
    assert!(has(&found, &format!("signs {}", digest_of(&all.arm64))));
    assert!(has(&found, &format!("notes {}", digest_of(&all.arm64))));
    for gone in [
        format!("about {}", digest_of(&all.arm64)),
        format!("signs {}", digest_of(&all.index)),
        format!("notes {}", digest_of(&all.index)),
    ] {
        assert!(!has(&found, &gone), "{gone}");
    }
    assert!(found.contents.blob(&digest_of(&all.index)).is_none());
    assert!(found.facts.unreferenced.is_empty());
    let changes = found.changes(&["unwrapped"]);
    let expected = [
        "unwrapped",
        "index.json, manifests[0]",
        &digest_of(&all.index),
        &digest_of(&all.arm64),
    ];
    assert!(
        changes.iter().any(|change| *change == expected),
        "{changes:#?}"
    );
    let image = &found.report["images"][0];
    assert_eq!(image["digest"], digest_of(&all.arm64));
    assert_eq!(image["platform"], "linux/arm64/v8");
    // What only the index lists is listed too: the other platforms, and the attestations.
    let text = &all.layout.blobs[&blob_name(&digest_of(&all.index))];
    let index: Value = serde_json::from_slice(text).unwrap();
    let changes = found.changes(&["unwrapped", "platform-choice"]);
    let listed = index["manifests"].as_array().unwrap().iter().enumerate();
    for (position, item) in listed {
        let digest = digest_of(item);
        let location = format!("index.json, manifests[0], manifests[{position}]");
        let is_listed = changes
            .iter()
            .any(|change| change[1] == location && change[2] == digest);
        assert_eq!(is_listed, digest != digest_of(&all.arm64), "{changes:#?}");
    }
}

#[test]
fn an_index_with_several_images_is_not_unwrapped() {
    let bytes = platforms().layout.tar();
    let parts = ["cannot unwrap the index example.com/app:1", "3 images"];
    fails_with("three", &bytes, &["--unwrap"], "several-images", &parts);
    let options = ["--unwrap", "--platform", "linux/arm,linux/arm64"];
    fails_with("two", &bytes, &options, "several-images", &["2 images"]);
}

#[test]
fn what_is_not_an_index_stays_as_it_is() {
    let mut layout = Layout::new();
    let image = layout.image(&of("amd64"));
    layout.root(vec![named(image, "example.com/app:1")]);
    let bytes = layout.tar();
    assert!(fixed(&bytes, &["--unwrap"]).bytes == fixed(&bytes, &[]).bytes);
}

#[test]
fn all_names_and_nested_indexes_are_unwrapped() {
    let mut layout = Layout::new();
    let image = layout.image(&Image::docker(vec![Layer::gzip(OCI_GZIP, "x")]));
    let signed = attestation(&mut layout, &image);
    let inner = layout.index_of(OCI_INDEX, vec![on(image.clone(), "linux", "amd64"), signed]);
    let outer = layout.index_of(OCI_INDEX, vec![inner]);
    layout.root(vec![
        named(outer.clone(), "example.com/a:1"),
        named(outer, "example.com/b:2"),
    ]);
    let found = fixed(&layout.tar(), &["--unwrap"]);
    assert_eq!(found.names(), ["example.com/a:1", "example.com/b:2"]);
    let root: Value = serde_json::from_slice(&found.contents.files["index.json"]).unwrap();
    let entries = root["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        // The manifest has new types, so it has a new digest.
        assert_ne!(digest_of(entry), digest_of(&image));
        assert_eq!(
            entry["mediaType"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        let manifest = found.contents.blob(&digest_of(entry)).unwrap();
        assert_eq!(entry["size"], manifest.len());
    }
    assert!(!has(&found, &format!("about {}", digest_of(&image))));
}

#[test]
fn an_index_that_another_image_needs_stays_whole() {
    let mut layout = Layout::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| layout.image(&of(name)));
    let note = attestation(&mut layout, &amd64);
    let inner = layout.index_of(OCI_INDEX, vec![on(amd64.clone(), "linux", "amd64"), note]);
    let outer = layout.index_of(OCI_INDEX, vec![inner.clone(), on(arm64, "linux", "arm64")]);
    layout.root(vec![
        named(inner.clone(), "example.com/inner:1"),
        named(outer, "example.com/outer:1"),
    ]);
    let parts = ["cannot unwrap the index example.com/outer:1"];
    fails_with(
        "outer",
        &layout.tar(),
        &["--unwrap"],
        "several-images",
        &parts,
    );
    let options = ["--unwrap", "--image", "inner", "--image", "outer"];
    fails_with(
        "no such names",
        &layout.tar(),
        &options,
        "image-not-found",
        &["inner"],
    );
    let found = fixed(
        &layout.tar(),
        &["--unwrap", "--image", "example.com/inner:1"],
    );
    assert_eq!(digest_of(&entry(&found)), digest_of(&amd64));
}

#[test]
fn both_compose_with_names_attestations_and_media_types() {
    let all = platforms();
    let bytes = all.layout.tar();
    let unwrap = ["--platform", "linux/amd64", "--unwrap"];
    let with = |more: &[&str]| fixed(&bytes, &[&unwrap[..], more].concat());
    let plain = with(&[]);
    assert!(
        with(&["--attestations", "drop"]).contents.files["index.json"]
            == plain.contents.files["index.json"]
    );
    assert_eq!(with(&["--name", "new:2"]).names(), ["new:2"]);
    assert_eq!(
        with(&["--rename", "example.com/app:1=x:3"]).names(),
        ["x:3"]
    );
    assert!(with(&["--image", "example.com/app:1"]).bytes == plain.bytes);
    assert!(with(&["--image", &digest_of(&all.amd64)]).bytes == plain.bytes);
    assert!(with(&["--missing", "error"]).bytes == plain.bytes);
    let kept = with(&["--preserve-digests"]);
    assert_eq!(digest_of(&entry(&kept)), digest_of(&all.amd64));
    let plainer = with(&["--compression", "uncompressed"]);
    assert_ne!(digest_of(&entry(&plainer)), digest_of(&all.amd64));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let more = [&unwrap[..], &["--attestations", "keep"]].concat();
    let run = sandbox.fix_with("in.tar", "x.tar", &more).exits(2);
    assert!(
        run.stderr
            .contains("--unwrap and --attestations keep conflict"),
        "{}",
        run.stderr
    );
    // The image of the digest is not for that platform.
    let parts = ["linux/arm64", "available: linux/amd64"];
    let options = [
        "--platform",
        "linux/arm64",
        "--image",
        &digest_of(&all.amd64),
    ];
    fails_with("other", &bytes, &options, "platform-not-found", &parts);
}

#[test]
fn what_is_kept_and_dropped_is_everything() {
    let all = platforms();
    let bytes = all.layout.tar();
    let whole = fixed(&bytes, &[]);
    let blobs = |found: &Fixed| -> BTreeSet<String> {
        let files = found.contents.files.keys();
        files
            .filter(|name| name.starts_with("blobs/sha256/"))
            .cloned()
            .collect()
    };
    for options in [
        &["--platform", "linux/arm64"][..],
        &["--platform", "linux/arm64", "--unwrap"],
        &["--platform", "linux/amd64,linux/arm"],
    ] {
        let found = fixed(&bytes, options);
        let (all, kept) = (blobs(&whole), blobs(&found));
        let gone: BTreeSet<&String> = all.difference(&kept).collect();
        let dropped = &found.report["dropped"];
        let rewritten = kept.difference(&all).count();
        assert_eq!(
            dropped["blobs"],
            gone.len() - rewritten,
            "{options:?}: {dropped}"
        );
        assert!(dropped["bytes"].as_u64() > Some(0), "{dropped}");
    }
    assert!(whole.report["dropped"].is_null());
}

#[test]
fn layouts_and_files_in_place_keep_one_platform() {
    let all = platforms();
    let sandbox = Sandbox::new();
    all.layout.write_to(&sandbox.path("layout"));
    let options = ["--platform", "linux/arm64", "--unwrap"];
    let expected = fixed(&all.layout.tar(), &options);
    let found = fixed_path(&sandbox.path("layout"), &options);
    assert!(found.bytes == expected.bytes);
    let more = [&options[..], &["--layout"]].concat();
    sandbox.fix_with("layout", "out", &more).exits(0);
    assert!(sandbox.read("out/index.json") == expected.contents.files["index.json"]);
    assert!(
        !sandbox
            .path("out/blobs/sha256")
            .join(&digest_of(&all.index)[7..])
            .exists()
    );
}

/// Docker and containerd save an index without all that it lists.
#[test]
fn absent_images_of_other_platforms_go_too() {
    let mut layout = Layout::new();
    let amd64 = layout.image(&of("amd64"));
    let arm64 = Layout::new().image(&of("arm64"));
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            on(amd64.clone(), "linux", "amd64"),
            on(arm64, "linux", "arm64"),
        ],
    );
    layout.root(vec![named(index, "example.com/app:1")]);
    let bytes = layout.tar();
    for more in [&[][..], &["--missing", "error"], &["--missing", "prune"]] {
        let found = fixed(&bytes, &[&["--platform", "linux/amd64"], more].concat());
        let listed = &document(&found, &entry(&found))["manifests"];
        assert_eq!(listed.as_array().unwrap().len(), 1, "{more:?}: {listed:#}");
        assert!(!found.findings().contains(&"missing-manifest"), "{more:?}");
    }
    // What may be another image is not taken for something that only the index has.
    let parts = ["cannot unwrap the index example.com/app:1", "2 images"];
    fails_with("absent", &bytes, &["--unwrap"], "several-images", &parts);
    let found = fixed(&bytes, &["--platform", "linux/amd64", "--unwrap"]);
    assert_eq!(digest_of(&entry(&found)), digest_of(&amd64));
    let parts = ["platform linux/arm64", "available: linux/amd64"];
    let options = ["--platform", "linux/arm64"];
    fails_with(
        "only absent",
        &bytes,
        &options,
        "platform-not-found",
        &parts,
    );
    fails_with("all", &bytes, &["--missing", "error"], "missing-blob", &[]);
}

#[test]
fn a_requested_platform_is_why_manifest_json_changes() {
    let mut layout = Layout::new();
    let images = ["amd64", "arm64"].map(|name| (layout.image(&of(name)), name));
    layout.root(
        images
            .iter()
            .map(|(image, name)| named(image.clone(), &format!("docker.io/library/{name}:1")))
            .collect(),
    );
    let whole = fixed(&layout.tar(), &[]).bytes;
    for options in [["--platform", "linux/amd64"], ["--image", "amd64:1"]] {
        let found = fixed(&whole, &options);
        assert_eq!(found.report["severity"], "warns", "{options:?}");
        let changes = found.report["changes"].as_array().unwrap();
        let of_docker = changes
            .iter()
            .find(|change| change["rule"] == "docker-manifest");
        assert_eq!(of_docker.unwrap()["requested"], true, "{options:?}");
    }
}
