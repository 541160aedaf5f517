//! What refers to an image (attestations, signatures, referrers and their tags) stays with it, goes with it, and
//! follows its digest.

use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, IMAGE_NAME, Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST,
    REF_NAME, annotated, digest_of, named, on, right_image,
};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, one, referrer, signature, tagged, two};
use crate::common::fixture;
use crate::common::judged::{Fixed, fixed, fixed_path};
use crate::common::links::check_links;
use crate::common::placed;
use crate::common::runner::Sandbox;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SUBJECT: &str = "io.containerd.manifest.subject";

/// The entries of the output's `index.json`.
fn entries(contents: &Contents) -> Vec<Value> {
    let root = contents.json("index.json");
    root["manifests"].as_array().unwrap().clone()
}

fn locations(found: &Fixed, rule: &str) -> Vec<String> {
    let changes = found.changes(&[rule]);
    let locations = changes.into_iter().map(|change| change[1].clone());
    locations
        .map(|location| location.replace("index.json, manifests", ""))
        .collect()
}

/// Fixes an archive into every other kind of output and returns the contents of each. In place nothing can be
/// removed.
fn every_output(layout: &Layout, options: &[&str]) -> Vec<(&'static str, Contents)> {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let to_layout = [&["--layout"], options].concat();
    sandbox.fix_with("in.tar", "out", &to_layout).exits(0);
    layout.write_to(&sandbox.path("layout"));
    sandbox
        .fix_with("layout", "of-layout.tar", options)
        .exits(0);
    let mut outputs = vec![
        ("layout", Contents::read(&sandbox.path("out"))),
        (
            "from a layout",
            Contents::read(&sandbox.path("of-layout.tar")),
        ),
    ];
    if options.is_empty() {
        let (in_place, _) = placed::fixed(&layout.tar(), &[]);
        outputs.push(("in place", Contents::read(&in_place.path("in.tar"))));
    }
    outputs
}

/// An image with a chain of what refers to it, each link in another way, and texts that name its number.
fn chain(layout: &mut Layout, image: &Image, number: usize) -> Vec<Value> {
    let image = layout.image(image);
    let attested = attestation(layout, &image);
    let index = layout.index_of(
        OCI_INDEX,
        vec![on(image, "linux", "amd64"), attested.clone()],
    );
    let bundle = referrer(layout, BUNDLE, &format!("bundle {number}"), &attested);
    let note = referrer(
        layout,
        "application/x-note",
        &format!("note {number}"),
        &bundle,
    );
    // The fallback of the referrers API: an index under a tag.
    let fallback = layout.index_of(OCI_INDEX, vec![note.clone()]);
    let fallback = tagged(fallback, &bundle, "");
    // What refers to that again, and to nothing by its content.
    let signature = signature(layout, &note);
    let flat = annotated(bundle, &[(SUBJECT, &digest_of(&attested))]);
    // An index without a tag that lists referrers only.
    let stamp = referrer(
        layout,
        "application/x-note",
        &format!("stamp {number}"),
        &note,
    );
    let stamps = layout.index_of(OCI_INDEX, vec![stamp]);
    let name = format!("docker.io/library/app:{number}");
    vec![signature, fallback, flat, named(index, &name), stamps]
}

#[test]
fn what_refers_to_a_chosen_image_stays_with_it() {
    let mut layout = Layout::new();
    let mut root = chain(&mut layout, &one(), 1);
    root.extend(chain(&mut layout, &two(), 2));
    layout.root(root);
    let bytes = layout.tar();
    for (number, other) in [(1, 2), (2, 1)] {
        let name = format!("app:{number}");
        let found = fixed(&bytes, &["--image", &name]);
        let has = |text: &str| {
            let mut files = found.contents.files.values();
            files.any(|bytes| bytes == text.as_bytes())
        };
        for what in ["bundle", "note", "stamp"] {
            assert!(has(&format!("{what} {number}")), "{what} {number}");
            assert!(!has(&format!("{what} {other}")), "{what} {other}");
        }
        assert_eq!(entries(&found.contents).len(), 5);
        check_links(&Contents::from_tar(&bytes), &found.contents, &name);
    }
    // The names of both images: nothing goes.
    let both = fixed(&bytes, &["--image", "app:1", "--image", "app:2"]);
    assert!(both.bytes == fixed(&bytes, &[]).bytes);
}

#[test]
fn a_bundle_of_an_attestation_stays_with_the_image() {
    let input = fixture("2026/save-pulled-d29c.tar");
    let found = fixed_path(&input, &["--image", "1"]);
    assert_eq!(found.report["status"], "unchanged", "{:#}", found.report);
    let input = fixture("2026/regctl-ocidir-referrers");
    let found = fixed_path(&input, &["--image", "1"]);
    assert!(found.changes(&["image-choice"]).is_empty());
    assert!(found.bytes == fixed_path(&input, &[]).bytes);
}

#[test]
fn an_index_of_chosen_platforms_is_not_a_referrer() {
    let mut layout = Layout::new();
    let (amd64, arm64) = (
        layout.image(&one()),
        layout.image(&two().architecture("arm64")),
    );
    let both = vec![
        on(amd64.clone(), "linux", "amd64"),
        on(arm64, "linux", "arm64"),
    ];
    let index = layout.index_of(OCI_INDEX, both);
    let alone = layout.index_of(OCI_INDEX, vec![on(amd64, "linux", "amd64")]);
    layout.root(vec![
        named(index, "docker.io/library/app:1"),
        named(alone, "docker.io/library/alone:1"),
    ]);
    let found = fixed(&layout.tar(), &["--image", "app:1"]);
    assert_eq!(found.names(), ["app:1"]);
}

#[test]
fn what_refers_to_a_dropped_attestation_goes_with_it() {
    let mut layout = Layout::new();
    let root = chain(&mut layout, &one(), 1);
    let image = layout.image(&two());
    let note = referrer(&mut layout, "application/x-note", "of the image", &image);
    let attested = attestation(&mut layout, &image);
    let list = layout.index_of(OCI_INDEX, vec![note, attested]);
    let list = tagged(list, &image, "");
    let mut with_others = root;
    with_others.push(named(image, "docker.io/library/other:1"));
    with_others.push(list);
    layout.root(with_others);
    let options = ["--attestations", "drop"];
    let found = fixed(&layout.tar(), &options);
    let mut dropped = locations(&found, "attestation-dropped");
    dropped.sort();
    let expected = [
        "[0]",
        "[1]",
        "[2]",
        "[3], manifests[1]",
        "[4]",
        "[6], manifests[1]",
    ];
    assert_eq!(dropped, expected);
    assert_eq!(found.names(), ["app:1", "other:1"]);
    let texts = |contents: &Contents, text: &str| {
        let mut files = contents.files.values();
        files.any(|bytes| bytes.starts_with(text.as_bytes()))
    };
    let mut outputs = vec![("archive", found.contents)];
    outputs.extend(every_output(&layout, &options));
    for (output, contents) in outputs {
        for gone in ["about ", "bundle", "note 1", "stamp", "signs "] {
            assert!(!texts(&contents, gone), "{output}: {gone}");
        }
        assert!(texts(&contents, "of the image"), "{output}");
        assert_eq!(entries(&contents).len(), 3, "{output}");
        check_links(&Contents::from_tar(&layout.tar()), &contents, output);
    }
}

#[test]
fn bundles_and_referrers_tags_of_attestations_are_dropped_with_them() {
    let options = ["--attestations", "drop"];
    let found = fixed_path(&fixture("2026/save-pulled-d29c.tar"), &options);
    assert_eq!(
        locations(&found, "attestation-dropped"),
        ["[1]", "[0], manifests[2]", "[0], manifests[3]"]
    );
    assert_eq!(entries(&found.contents).len(), 1);
    assert!(found.facts.unreferenced.is_empty());

    let found = fixed_path(&fixture("2026/regctl-ocidir-referrers"), &options);
    let tags: Vec<Value> = entries(&found.contents)
        .iter()
        .map(|entry| entry["annotations"][REF_NAME].clone())
        .collect();
    let subject = "5b34a6d28f24e1477f4fe06e7da88ff898b8350fac1d650b2a94383afc3c04c5";
    assert_eq!(tags, [json!(format!("sha256-{subject}")), json!("m")]);
    // The bill of materials, an artifact of its own, is all that refers to the image now.
    let list = found
        .contents
        .document(&digest_of(&entries(&found.contents)[0]));
    let list = list["manifests"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["artifactType"], "application/vnd.example.sbom");
    assert!(found.facts.unreferenced.is_empty());
}

#[test]
fn what_refers_to_a_pruned_image_goes_with_it() {
    let mut layout = Layout::new();
    let mut root = chain(&mut layout, &one(), 1);
    root.extend(chain(&mut layout, &two(), 2));
    // Its subject is elsewhere.
    let elsewhere = json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 9});
    root.push(referrer(
        &mut layout,
        "application/x-note",
        "elsewhere",
        &elsewhere,
    ));
    layout.root(root);
    let absent = two().layers[1].bytes.clone();
    layout.blobs.retain(|_, bytes| *bytes != absent);
    let found = fixed(&layout.tar(), &["--missing", "prune"]);
    assert_eq!(found.names(), ["app:1"]);
    assert_eq!(entries(&found.contents).len(), 6);
    assert_eq!(
        locations(&found, "absent-pruned"),
        ["[5]", "[6]", "[7]", "[8]", "[9]"]
    );
    check_links(&Contents::from_tar(&layout.tar()), &found.contents, "prune");
}

/// An image that changes, with everything that finds it by a tag made of its digest.
fn tags() -> (Layout, Value) {
    let mut layout = Layout::new();
    let image = layout.image(&one());
    let note = referrer(&mut layout, "application/x-note", "note", &image);
    let list = layout.index_of(OCI_INDEX, vec![note]);
    let signature = signature(&mut layout, &image);
    let mut by_tag = |layer_type: &str, text: &str| {
        let layer = layout.blob(layer_type, text);
        let config = layout.document(OCI_CONFIG, &json!({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}));
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        layout.document(OCI_MANIFEST, &manifest)
    };
    let attested = by_tag(
        "application/vnd.dsse.envelope.v1+json",
        "{\"payload\":\"\"}",
    );
    let materials = by_tag("text/spdx+json", "{\"spdx\":1}");
    let hex = digest_of(&image).replace(':', "-");
    let full = annotated(
        list.clone(),
        &[
            (IMAGE_NAME, &format!("example.com/app:{hex}")),
            (REF_NAME, &hex),
        ],
    );
    layout.root(vec![
        named(image.clone(), "example.com/app:v1"),
        tagged(list, &image, ""),
        full,
        signature,
        tagged(attested, &image, ".att"),
        tagged(materials, &image, ".sbom"),
    ]);
    (layout, image)
}

#[test]
fn tags_made_of_a_digest_follow_it() {
    let (layout, image) = tags();
    let found = fixed(&layout.tar(), &[]);
    let changes = found.changes(&["referrers-tag"]);
    assert_eq!(changes.len(), 6, "{changes:#?}");
    assert_eq!(
        changes[0][1],
        format!("index.json, manifests[1], {REF_NAME}")
    );
    assert_eq!(found.names(), ["example.com/app:v1"]);
    let rules = found.findings();
    let count = |rule: &str| rules.iter().filter(|found| **found == rule).count();
    let counts = ["stale-signature", "stale-statement", "moved-referrer"].map(count);
    assert_eq!(counts, [1, 1, 2], "{rules:?}");
    let mut outputs = vec![("archive", found.contents)];
    outputs.extend(every_output(&layout, &[]));
    for (output, contents) in outputs {
        let entries = entries(&contents);
        let new = digest_of(&entries[0]);
        assert_ne!(new, digest_of(&image), "{output}");
        let hex = new.replace(':', "-");
        let names: Vec<[Option<&str>; 2]> = entries[1..]
            .iter()
            .map(|entry| [IMAGE_NAME, REF_NAME].map(|key| entry["annotations"][key].as_str()))
            .collect();
        let [full, sig, att, sbom] =
            ["", ".sig", ".att", ".sbom"].map(|suffix| format!("{hex}{suffix}"));
        let name = format!("example.com/app:{hex}");
        let expected = [
            [None, Some(&*full)],
            [Some(&*name), Some(&*full)],
            [None, Some(&*sig)],
            [None, Some(&*att)],
            [None, Some(&*sbom)],
        ];
        assert_eq!(names, expected, "{output}");
        check_links(&Contents::from_tar(&layout.tar()), &contents, output);
    }
    // An attestation by tag is one.
    let dropped = fixed(&layout.tar(), &["--attestations", "drop"]);
    assert_eq!(locations(&dropped, "attestation-dropped"), ["[4]"]);
}

#[test]
fn tags_of_unchanged_and_absent_manifests_stay() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let changed = layout.image(&one());
    let signature = signature(&mut layout, &image);
    let absent = json!({"digest": format!("sha256:{}", "0".repeat(64))});
    let other = tagged(signature.clone(), &absent, ".sig");
    // A tag that is made of the image's own digest is a name like any other.
    let own = digest_of(&changed).replace(':', "-");
    let name = format!("docker.io/library/app:{own}");
    layout.root(vec![
        named(image, "docker.io/library/app:v1"),
        signature,
        other,
        named(changed, &name),
    ]);
    let found = fixed(&layout.tar(), &[]);
    assert!(found.changes(&["referrers-tag"]).is_empty());
    assert_eq!(found.names(), [format!("app:{own}"), "app:v1".to_owned()]);
}

/// The tags of the entries of `index.json` but the first, with their digests.
fn tags_in(contents: &Contents) -> Vec<(String, Value)> {
    let entries = entries(contents);
    let tags = entries[1..].iter();
    tags.map(|entry| (digest_of(entry), entry["annotations"].clone()))
        .collect()
}

#[test]
fn a_tag_does_not_follow_to_one_that_another_entry_has() {
    let (mut layout, image) = tags();
    let new = entries(&fixed(&layout.tar(), &[]).contents)[0].clone();
    let old = signature(&mut layout, &image);
    let list = layout.index_of(OCI_INDEX, Vec::new());
    for (old, new) in [
        (old.clone(), signature(&mut layout, &new)),
        // The signature itself was copied.
        (old.clone(), tagged(old.clone(), &new, ".sig")),
        (tagged(list.clone(), &image, ""), tagged(list, &new, "")),
    ] {
        let first = named(image.clone(), "example.com/app:v1");
        for evidence in [[&old, &new], [&new, &old]] {
            let mut root = vec![first.clone()];
            root.extend(evidence.map(Value::clone));
            layout.root(root);
            let found = fixed(&layout.tar(), &[]);
            let expected = evidence.map(|entry| (digest_of(entry), entry["annotations"].clone()));
            assert_eq!(tags_in(&found.contents), expected);
            assert!(found.changes(&["referrers-tag"]).is_empty());
            for (output, contents) in every_output(&layout, &[]) {
                // In place, the image is padded and gets another digest, whose tag no other entry has.
                let tags = tags_in(&contents);
                if output == "in place" {
                    assert_ne!(tags[0].1, tags[1].1);
                } else {
                    assert_eq!(tags, expected, "{output}");
                }
            }
        }
    }
    // A tag of another kind, or in another repository, is not the same.
    let full = |about: &Value, repository: &str| {
        let tag = format!("{}.sig", digest_of(about).replace(':', "-"));
        let name = format!("{repository}:{tag}");
        annotated(old.clone(), &[(IMAGE_NAME, &name), (REF_NAME, &tag)])
    };
    layout.root(vec![
        named(image.clone(), "example.com/app:v1"),
        full(&image, "example.com/app"),
        full(&new, "example.com/other"),
        tagged(old.clone(), &new, ".att"),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let followed = full(&new, "example.com/app")["annotations"].clone();
    assert_eq!(tags_in(&found.contents)[0].1, followed);
}

#[test]
fn names_in_manifest_json_follow_too() {
    let mut layout = Layout::new();
    let image = layout.image(&one());
    // An image about another one, such as a debug variant.
    let variant = layout.manifest(&two());
    let descriptor = layout.document(&two().manifest_type, &variant);
    let tag = |about: &Value| digest_of(about).replace(':', "-");
    let old = format!("app:{}", tag(&image));
    layout.docker(&variant, &[&old]);
    layout.root(vec![named(image, "docker.io/library/app:v1"), descriptor]);
    let found = fixed(&layout.tar(), &[]);
    let new = tag(&entries(&found.contents)[0]);
    let mut expected = [format!("app:{new}"), "app:v1".to_owned()];
    expected.sort();
    assert_eq!(found.names(), expected);
    let name = &entries(&found.contents)[1]["annotations"][IMAGE_NAME];
    assert_eq!(*name, format!("docker.io/library/app:{new}"));
}

#[test]
fn referrers_without_a_name_are_reported() {
    let found = fixed_path(&fixture("2026/save-pulled-d29c.tar"), &[]);
    let finding = found.finding("flat-referrer");
    assert_eq!(finding["location"], "index.json, manifests[1]");
    assert_eq!(
        finding["hint"],
        "remove attestations with --attestations drop"
    );
    let both = fixture("2026/save-oci-multi-attest-default-both-d29c.tar");
    let message = fixed_path(&both, &[]).finding("flat-referrer")["message"].clone();
    assert!(
        message.as_str().unwrap().contains("2 referrers"),
        "{message}"
    );
    for name in ["oci-multi-attest-default.tar", "regctl-ocidir-referrers"] {
        let found = fixed_path(&fixture(&format!("2026/{name}")), &[]);
        assert!(!found.findings().contains(&"flat-referrer"), "{name}");
    }
    // Dropping attestations does not remove what is about the image.
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let note = referrer(&mut layout, "application/x-note", "note", &image);
    layout.root(vec![named(image, "docker.io/library/app:v1"), note.clone()]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.finding("flat-referrer")["hint"], Value::Null);
    // Without an image there is nothing to choose.
    let mut layout = Layout::new();
    let note = referrer(
        &mut layout,
        "application/x-note",
        "note",
        &json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 9}),
    );
    layout.root(vec![note]);
    let found = fixed(&layout.tar(), &[]);
    assert!(!found.findings().contains(&"flat-referrer"));
}

const SOCI: &str = "application/vnd.amazon.soci.index.v2+json";
const SOCI_IMAGE: &str = "com.amazon.soci.image-manifest-digest";
const SOCI_INDEX: &str = "com.amazon.soci.index-digest";

/// An image with a SOCI index, linked in both directions as `soci convert` does.
fn soci(has_media_type: bool) -> Layout {
    let mut layout = Layout::new();
    let image = Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::gzip(DOCKER_GZIP, "b"),
    ]);
    let mut manifest = layout.manifest(&image);
    let config = layout.blob(SOCI, "{}");
    let mut table = layout.blob("application/octet-stream", "table of contents");
    table["annotations"] = json!({
        "com.amazon.soci.image-layer-digest": manifest["layers"][0]["digest"],
        "com.amazon.soci.image-layer-mediaType": DOCKER_GZIP,
    });
    let mut index =
        json!({"schemaVersion": 2, "artifactType": SOCI, "config": config, "layers": [table]});
    if has_media_type {
        index["mediaType"] = json!(OCI_MANIFEST);
    }
    let index = layout.document(OCI_MANIFEST, &index);
    manifest["annotations"] = json!({SOCI_INDEX: index["digest"]});
    let manifest = layout.document(&image.manifest_type, &manifest);
    let link = (SOCI_INDEX, digest_of(&index));
    let index = annotated(index, &[(SOCI_IMAGE, &digest_of(&manifest))]);
    let manifest = annotated(manifest, &[(link.0, &link.1)]);
    let list = layout.index_of(
        OCI_INDEX,
        vec![on(manifest, "linux", "amd64"), on(index, "linux", "amd64")],
    );
    layout.root(vec![named(list, "docker.io/library/app:v1")]);
    layout
}

#[test]
fn links_of_soci_indexes_follow_in_both_directions() {
    for has_media_type in [true, false] {
        let layout = soci(has_media_type);
        let found = fixed(&layout.tar(), &[]);
        assert!(!found.findings().contains(&"moved-referrer"));
        assert!(!found.findings().contains(&"stale-soci-index"));
        let links = if has_media_type { 1 } else { 3 };
        let mut outputs = vec![("archive", found.contents.clone())];
        if has_media_type {
            assert_eq!(found.changes(&["attestation-link"]).len(), links);
            outputs.extend(every_output(&layout, &[]));
        }
        for (output, contents) in outputs {
            let list = contents.document(&digest_of(&entries(&contents)[0]));
            let [image, index] = [0, 1].map(|number| list["manifests"][number].clone());
            assert_eq!(
                index["annotations"][SOCI_IMAGE], image["digest"],
                "{output}"
            );
            assert_eq!(
                image["annotations"][SOCI_INDEX], index["digest"],
                "{output}"
            );
            let manifest = contents.document(&digest_of(&image));
            assert_eq!(
                manifest["annotations"][SOCI_INDEX], index["digest"],
                "{output}"
            );
        }
    }
}

#[test]
fn a_soci_index_of_recompressed_layers_is_reported() {
    let layout = soci(true);
    let found = fixed(&layout.tar(), &["--compression", "zstd"]);
    let finding = found.finding("stale-soci-index");
    assert_eq!(
        finding["location"],
        "index.json, manifests[0], manifests[1]"
    );
    assert_eq!(finding["severity"], "cosmetic");
    // In a dry run too, which recompresses nothing.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let line = [
        "fix",
        "in.tar",
        "--dry-run",
        "--compression",
        "zstd",
        "--format",
        "json",
    ];
    let report = sandbox.ocify(&line).json();
    let findings = report["findings"].as_array().unwrap().iter();
    assert_eq!(
        findings
            .filter(|found| found["rule"] == "stale-soci-index")
            .count(),
        1
    );
    let kept = fixed(&layout.tar(), &["--compression", "gzip"]);
    assert!(!kept.findings().contains(&"stale-soci-index"));
}

#[test]
fn a_link_to_a_pruned_soci_index_is_removed() {
    let mut layout = soci(true);
    layout
        .blobs
        .retain(|_, bytes| bytes.as_slice() != b"table of contents");
    let found = fixed(&layout.tar(), &["--missing", "prune"]);
    assert_eq!(locations(&found, "absent-pruned"), ["[0], manifests[1]"]);
    let list = found
        .contents
        .document(&digest_of(&entries(&found.contents)[0]));
    let image = &list["manifests"][0];
    assert_eq!(image["annotations"], Value::Null);
    let manifest = found.contents.document(&digest_of(image));
    assert_eq!(manifest["annotations"], Value::Null);
    check_links(&Contents::from_tar(&layout.tar()), &found.contents, "prune");
}

#[test]
fn annotations_that_name_an_origin_stay() {
    let mut layout = Layout::new();
    let base = layout.image(&one());
    let mut manifest = layout.manifest(&two());
    manifest["annotations"] = json!({"org.opencontainers.image.base.digest": base["digest"]});
    let image = layout.document(&two().manifest_type, &manifest);
    layout.root(vec![
        named(image, "docker.io/library/app:v1"),
        named(base.clone(), "docker.io/library/base:v1"),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let image = found
        .contents
        .document(&digest_of(&entries(&found.contents)[0]));
    let digest = &image["annotations"]["org.opencontainers.image.base.digest"];
    assert_eq!(*digest, base["digest"]);
}

/// What `cosign save` writes: an image and its evidence, which nothing but an annotation connects.
fn cosign_layout(image: &Image, prefix: &str, name: Option<&str>) -> Layout {
    let mut layout = Layout::new();
    let image = layout.image(image);
    let digest = digest_of(&image);
    let mut part = |layer_type: &str| {
        let layer = layout.blob(layer_type, format!("{layer_type} of {digest}"));
        let config = layout.document(OCI_CONFIG, &json!({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}));
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        layout.document(OCI_MANIFEST, &manifest)
    };
    let parts = [
        (
            "sigs",
            part("application/vnd.dev.cosign.simplesigning.v1+json"),
        ),
        ("atts", part("application/vnd.dsse.envelope.v1+json")),
        ("sboms", part("text/spdx+json")),
    ];
    let of_kind = |descriptor: Value, kind: &str| {
        let descriptor = annotated(descriptor, &[("kind", &format!("{prefix}/{kind}"))]);
        match name {
            Some(name) => annotated(descriptor, &[(REF_NAME, name)]),
            None => descriptor,
        }
    };
    let mut root = vec![of_kind(image, "image")];
    root.extend(parts.map(|(kind, descriptor)| of_kind(descriptor, kind)));
    let other = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
    root.push(named(other, "docker.io/library/other:1"));
    layout.root(root);
    layout
}

#[test]
fn evidence_in_layouts_of_cosign_is_about_the_image() {
    for (prefix, name) in [
        ("dev.cosignproject.cosign", None),
        ("dev.hauler", Some("docker.io/library/app:v1")),
    ] {
        let layout = cosign_layout(&one(), prefix, name);
        let found = fixed(&layout.tar(), &[]);
        for (rule, position) in [
            ("stale-signature", 1),
            ("stale-statement", 2),
            ("moved-referrer", 3),
        ] {
            let location = format!("index.json, manifests[{position}]");
            assert_eq!(found.finding(rule)["location"], location, "{prefix}");
        }
        let items = found.contents.json("manifest.json");
        assert_eq!(items.as_array().unwrap().len(), 2, "evidence is no image");
        // It stays with the image, and goes without it.
        let chosen = fixed(&layout.tar(), &["--image", "1"]);
        assert_eq!(locations(&chosen, "image-choice"), ["[4]"], "{prefix}");
        let other = fixed(&layout.tar(), &["--image", "other:1"]);
        assert_eq!(
            locations(&other, "image-choice"),
            ["[0]", "[1]", "[2]", "[3]"]
        );
        let dropped = fixed(&layout.tar(), &["--attestations", "drop"]);
        assert_eq!(locations(&dropped, "attestation-dropped"), ["[2]"]);

        let unchanged = fixed(&cosign_layout(&right_image(), prefix, name).tar(), &[]);
        let rules = unchanged.findings();
        let stale = ["stale-signature", "stale-statement", "moved-referrer"];
        assert!(!rules.iter().any(|rule| stale.contains(rule)), "{rules:?}");
    }
}

#[test]
fn signatures_in_a_directory_of_skopeo_are_reported_as_lost() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("signed");
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in Contents::read(&fixture("podman-dockerdir")).files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let instance = format!("{}.signature-1", "ab".repeat(32));
    for name in [
        "signature-1",
        "signature-12",
        &instance,
        "signature-x",
        "a-signature-1",
    ] {
        fs::write(folder.join(name), "sig").unwrap();
    }
    let found = fixed_path(&folder, &[]);
    let removed = |rule: &str| -> Vec<String> {
        let changes = found.changes(&[rule]).into_iter();
        changes.map(|change| change[1].clone()).collect()
    };
    let expected = [instance.as_str(), "signature-1", "signature-12"];
    assert_eq!(removed("signature-file"), expected);
    assert!(removed("extra-entry").contains(&"signature-x".to_owned()));
    let findings = found.report["findings"].as_array().unwrap().iter();
    let lost: Vec<&Value> = findings.filter(|f| f["rule"] == "lost-signature").collect();
    let locations: Vec<&str> = lost
        .iter()
        .map(|f| f["location"].as_str().unwrap())
        .collect();
    assert_eq!(locations, expected);
    assert_eq!(
        (&lost[0]["severity"], &lost[0]["hint"]),
        (&json!("warns"), &json!("sign the fixed image again"))
    );
    // A file of that name in an image layout is no signature.
    let sandbox = Sandbox::new();
    let folder = sandbox.path("layout");
    crate::common::builder::right_layout().write_to(&folder);
    fs::write(folder.join("signature-1"), "sig").unwrap();
    let found = fixed_path(&folder, &[]);
    assert_eq!(found.changes(&["extra-entry"]).len(), 1);
    assert!(!found.findings().contains(&"lost-signature"));
}

#[test]
fn subjects_that_are_listed_nowhere_are_kept_and_followed() {
    let mut layout = Layout::new();
    let image = layout.image(&one());
    let note = referrer(&mut layout, "application/x-note", "note", &image);
    let stamp = referrer(&mut layout, "application/x-note", "stamp", &note);
    let other = layout.image(&right_image());
    layout.root(vec![
        stamp,
        named(other.clone(), "docker.io/library/app:v1"),
    ]);
    let input = Contents::from_tar(&layout.tar());
    let found = fixed(&layout.tar(), &[]);
    let mut outputs = vec![("archive", found.contents.clone())];
    outputs.extend(every_output(&layout, &[]));
    for (output, contents) in outputs {
        let stamp = contents.document(&digest_of(&entries(&contents)[0]));
        let note = contents.document(&digest_of(&stamp["subject"]));
        let image = contents.document(&digest_of(&note["subject"]));
        assert_eq!(image["mediaType"], OCI_MANIFEST, "{output}");
        assert!(
            contents.blob(&digest_of(&image["config"])).is_some(),
            "{output}"
        );
        check_links(&input, &contents, output);
    }
    assert_eq!(found.changes(&["subject"]).len(), 2);
    // Another image without it: the referrer goes, and its subjects with it.
    let chosen = fixed(&layout.tar(), &["--image", "app:v1"]);
    assert_eq!(entries(&chosen.contents).len(), 1);
    assert!(chosen.facts.unreferenced.is_empty());
    check_links(&input, &chosen.contents, "chosen");
    // A chosen image keeps what refers to it by way of a manifest that is listed nowhere.
    let mut layout = Layout::new();
    let (image, other) = (layout.image(&one()), layout.image(&right_image()));
    let note = referrer(&mut layout, "application/x-note", "note", &image);
    let stamp = referrer(&mut layout, "application/x-note", "stamp", &note);
    layout.root(vec![
        named(image, "docker.io/library/app:v1"),
        named(other, "docker.io/library/other:v1"),
        stamp,
    ]);
    let chosen = fixed(&layout.tar(), &["--image", "app:v1"]);
    assert_eq!(locations(&chosen, "image-choice"), ["[1]"]);
}
