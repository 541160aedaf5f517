//! `--missing`: how content that the input lacks is handled.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, digest_of, named, on,
};
use crate::common::contents::blob_name;
use crate::common::evidence::{attestation, one, two};
use crate::common::failure::{fails, fails_with};
use crate::common::fixture;
use crate::common::judged::{Fixed, fixed, fixed_path};
use crate::common::runner::Sandbox;
use crate::common::saved::parts;

const AT: &str = "index.json, manifests[0]";

fn pruned(found: &Fixed) -> Vec<String> {
    let changes = found.changes(&["absent-pruned"]);
    changes
        .into_iter()
        .map(|change| change[1].replace("index.json, manifests", ""))
        .collect()
}

/// An index of two platforms, each with an attestation. The archive lacks the blobs in `gone`.
fn platforms(gone: &dyn Fn(&[Value; 4]) -> Vec<Value>, nested: bool) -> Vec<u8> {
    let mut layout = Layout::new();
    let amd64 = layout.image(&one());
    let arm64 = layout.image(&two().architecture("arm64"));
    let about = [
        attestation(&mut layout, &amd64),
        attestation(&mut layout, &arm64),
    ];
    let parts = [
        on(amd64, "linux", "amd64"),
        on(arm64, "linux", "arm64"),
        about[0].clone(),
        about[1].clone(),
    ];
    let index = if nested {
        let [amd64, arm64, first, second] = parts.clone();
        let inner = layout.index_of(OCI_INDEX, vec![second, arm64]);
        layout.index_of(OCI_INDEX, vec![first, amd64, inner])
    } else {
        layout.index_of(OCI_INDEX, parts.to_vec())
    };
    for descriptor in gone(&parts) {
        layout
            .blobs
            .remove(&blob_name(&digest_of(&descriptor)))
            .unwrap();
    }
    layout.root(vec![named(index, "docker.io/library/app:v1")]);
    layout.tar()
}

#[test]
fn missing_platforms_are_pruned_with_their_attestations() {
    let absent = |parts: &[Value; 4]| vec![parts[1].clone()];
    let bytes = platforms(&absent, false);
    let kept = fixed(&bytes, &[]);
    assert_eq!(
        kept.finding("missing-manifest")["location"],
        format!("{AT}, manifests[1]")
    );
    fails_with(
        "error",
        &bytes,
        &["--missing", "error"],
        "missing-blob",
        &[AT, "manifests[1]"],
    );
    let found = fixed(&bytes, &["--missing", "prune"]);
    assert_eq!(pruned(&found), ["[0], manifests[1]", "[0], manifests[3]"]);
    assert!(
        !found.findings().contains(&"missing-manifest"),
        "{:?}",
        found.findings()
    );
    assert!(found.facts.missing.is_empty());
    assert_eq!(found.contents.manifests().len(), 2);
    assert_eq!(found.report["images"][0]["platform"], "linux/amd64");

    // One missing layer is enough, and blobs that only that platform needs are removed.
    let arm = two().architecture("arm64");
    let layer = json!({"digest": parts(&arm)[2]});
    let config = json!({"digest": parts(&arm)[0]});
    for part in [layer, config] {
        let bytes = platforms(&|_| vec![part.clone()], false);
        let pruned = fixed(&bytes, &["--missing", "prune"]);
        assert_eq!(pruned.contents.parts(), found.contents.parts());
        assert!(pruned.facts.missing.is_empty() && pruned.facts.unreferenced.is_empty());
        fails_with(
            "error",
            &bytes,
            &["--missing", "error"],
            "missing-blob",
            &[AT, "manifests[1]", &digest_of(&part).replace("sha256:", "")],
        );
    }
    // Nothing absent: nothing pruned, and nothing to refuse.
    let whole = platforms(&|_| vec![], false);
    for policy in ["prune", "error", "keep"] {
        assert!(fixed(&whole, &["--missing", policy]).bytes == fixed(&whole, &[]).bytes);
    }
}

#[test]
fn an_index_that_becomes_empty_is_removed() {
    let absent = |parts: &[Value; 4]| vec![parts[1].clone()];
    let found = fixed(&platforms(&absent, true), &["--missing", "prune"]);
    assert_eq!(
        pruned(&found),
        ["[0], manifests[2]"],
        "nothing is reported about its contents"
    );
    assert_eq!(found.contents.manifests().len(), 2);
    // What only the absent manifest names is not known to be of no use.
    assert_eq!(found.facts.unreferenced.len(), 2);
    assert!(found.facts.missing.is_empty());
}

#[test]
fn a_missing_attestation_is_removed_alone() {
    let found = fixed(
        &platforms(&|parts| vec![parts[3].clone()], false),
        &["--missing", "prune"],
    );
    assert_eq!(pruned(&found), ["[0], manifests[3]"]);
    assert_eq!(found.contents.manifests().len(), 3);
}

#[test]
fn an_archive_without_a_complete_image_is_refused() {
    let all = platforms(&|parts| parts[..2].to_vec(), false);
    for policy in ["keep", "prune", "error"] {
        fails_with(policy, &all, &["--missing", policy], "missing-blob", &[AT]);
    }
    let shared = json!({"digest": parts(&one())[1]});
    let bytes = platforms(&|_| vec![shared.clone()], false);
    fails(
        "no image is complete",
        &bytes,
        "missing-blob",
        &["no image is complete"],
    );
}

#[test]
fn an_incomplete_image_is_removed_with_its_name() {
    let mut layout = Layout::new();
    let (first, second) = (layout.image(&one()), layout.image(&two()));
    layout.blobs.remove(&blob_name(&digest_of(&first)));
    layout.root(vec![
        named(first, "docker.io/library/one:1"),
        named(second, "docker.io/library/two:1"),
    ]);
    let found = fixed(&layout.tar(), &["--missing", "prune"]);
    assert_eq!(found.names(), ["two:1"]);
    assert_eq!(found.contents.parts(), [parts(&two())]);
}

#[test]
fn foreign_layers_are_never_missing() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for (media_type, urls) in [
        (foreign, json!([])),
        (OCI_GZIP, json!(["https://example.com/a"])),
    ] {
        let app = Image::oci(vec![
            Layer::gzip(media_type, "base"),
            Layer::gzip(OCI_GZIP, "app"),
        ]);
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&app);
        manifest["layers"][0]["urls"] = urls;
        layout
            .blobs
            .remove(&blob_name(&digest_of(&manifest["layers"][0])));
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
        for policy in ["keep", "prune", "error"] {
            let found = fixed(&layout.tar(), &["--missing", policy]);
            assert_eq!(found.findings(), ["absent-content"], "{policy}");
            assert!(found.changes(&["absent-pruned"]).is_empty());
        }
    }
}

#[test]
fn exports_of_one_platform_become_complete() {
    for name in [
        "containerd17-export-multi.tar",
        "docker26c-save-pulledmulti.tar",
    ] {
        let path = fixture(name);
        let kept = fixed_path(&path, &[]);
        assert!(kept.findings().contains(&"missing-manifest"), "{name}");
        let found = fixed_path(&path, &["--missing", "prune"]);
        assert!(!found.findings().contains(&"missing-manifest"), "{name}");
        assert!(found.facts.missing.is_empty(), "{name}");
        assert_eq!(found.names(), kept.names(), "{name}");
        assert_eq!(
            found.contents.manifests(),
            kept.contents.manifests(),
            "{name}"
        );
        let sandbox = Sandbox::new();
        let run = sandbox
            .fix_with(&path, "out.tar", &["--missing", "error"])
            .exits(1);
        assert_eq!(run.json()["error"]["code"], "missing-blob", "{name}");
    }
}
