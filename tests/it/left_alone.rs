//! Recompression leaves blobs that are not image layers unchanged, and reports them.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, OCI_ZSTD, digest_of, layer_tar, named,
    right_layout, zstd,
};
use crate::common::contents::Contents;
use crate::common::failure::fails_with;
use crate::common::fixture;
use crate::common::judged::fixed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const RULE: &str = "layers-left-alone";

/// Location and message of every such finding.
fn left(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["rule"] == RULE)
        .map(|finding| {
            assert_eq!(finding["severity"], "cosmetic");
            (text(&finding["location"]), text(&finding["message"]))
        })
        .collect()
}

/// Fixes an archive and expects this blob in the output, and one finding about it.
#[track_caller]
fn keeps(input: &[u8], options: &[&str], blob: &Value, place: &str, why: &str) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", input);
    let report = sandbox
        .fix_with("in.tar", "out.tar", options)
        .exits(0)
        .json();
    let contents = Contents::read(&sandbox.path("out.tar"));
    assert!(contents.blob(&digest_of(blob)).is_some(), "{place}");
    let found = left(&report);
    assert_eq!(found.len(), 1, "{place}: {found:?}");
    assert!(found[0].0.ends_with(place), "{found:?}");
    assert!(found[0].1.starts_with("1 blob keeps its"), "{found:?}");
    assert!(found[0].1.contains(why), "{found:?}");
    // Without an option there is no finding.
    let report = sandbox.fix("in.tar", "kept.tar").exits(0).json();
    assert_eq!(left(&report), []);
}

#[test]
fn attestations_are_left_unchanged() {
    let name = "buildkit-oci-attest-zstd-ocitrue.tar";
    let statements = |path: &Path| {
        let contents = Contents::read(path);
        let is_statement = |bytes: &&Vec<u8>| bytes.starts_with(b"{\"_type\"");
        let found = contents.files.values().filter(is_statement).cloned();
        found.collect::<Vec<_>>()
    };
    let sandbox = Sandbox::new();
    let options = ["--compression", "gzip"];
    let run = sandbox
        .fix_with(fixture(name), "out.tar", &options)
        .exits(0);
    let found = left(&run.json());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].1.contains("an attestation is evidence"),
        "{found:?}"
    );
    let kept = statements(&sandbox.path("out.tar"));
    assert!(!kept.is_empty());
    assert_eq!(kept, statements(&fixture(name)));
    // --for does not apply to statements, which no engine decompresses.
    let options = ["--for", "docker@20.10"];
    let run = sandbox
        .fix_with(fixture(name), "for.tar", &options)
        .exits(0);
    assert_eq!(left(&run.json()), []);
}

#[test]
fn caches_are_left_unchanged() {
    for (name, count) in [
        ("buildkit-cache-list-ocitrue", "4 blobs keep their"),
        ("buildkit-cache-manifest-ocitrue", "4 blobs keep their"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "kept.tar").exits(0);
        let options = ["--compression", "gzip"];
        let run = sandbox
            .fix_with(fixture(name), "out.tar", &options)
            .exits(0);
        let is_same = sandbox.read("out.tar") == sandbox.read("kept.tar");
        assert!(is_same, "{name}");
        let found = left(&run.json());
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].1.starts_with(count), "{name}: {found:?}");
        assert!(found[0].1.contains("cache config"), "{name}: {found:?}");
    }
}

#[test]
fn artifacts_are_left_unchanged() {
    let mut layout = right_layout();
    let config = layout.blob("application/vnd.example.config", "{}");
    let layer = layout.blob(OCI_ZSTD, zstd(&layer_tar("artifact")));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": config,
        "layers": [layer],
    });
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(descriptor));
    let why = "an artifact's content";
    for options in [["--compression", "uncompressed"], ["--for", "docker@20.10"]] {
        keeps(
            &layout.tar(),
            &options,
            &layer,
            "manifests[1], layers[0]",
            why,
        );
    }
}

#[test]
fn encrypted_and_foreign_layers_are_left_unchanged() {
    for (media_type, bytes, why) in [
        (
            format!("{OCI_ZSTD}+encrypted"),
            b"not to be read".to_vec(),
            "encrypted",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd".to_owned(),
            zstd(&layer_tar("x")),
            "fetched from elsewhere",
        ),
    ] {
        let layers = vec![
            Layer::gzip(OCI_GZIP, "other"),
            Layer::new(&media_type, bytes.clone(), &layer_tar("x")),
        ];
        let mut layout = Layout::new();
        let descriptor = named(layout.image(&Image::oci(layers)), NAME);
        layout.root(vec![descriptor]);
        let blob = layout.blob(&media_type, bytes);
        let for_docker = ["--for", "docker@20.10"];
        // What Docker 20.10 cannot read and ocify may not recompress is no output for it.
        let part = match media_type.ends_with("+zstd") {
            true => "cannot read zstd",
            false => "A layer is not a tar",
        };
        fails_with(
            &media_type,
            &layout.tar(),
            &for_docker,
            "engine-refuses",
            &[part],
        );
        keeps(
            &layout.tar(),
            &["--compression", "uncompressed"],
            &blob,
            "manifests[0], layers[1]",
            why,
        );
    }
}

#[test]
fn layers_already_in_the_requested_format_are_not_reported() {
    let layers = vec![Layer::gzip(OCI_GZIP, "x"), Layer::zstd(OCI_ZSTD, "y")];
    let input = Layout::of(&Image::oci(layers), NAME).tar();
    let result = fixed(&input, &["--compression", "gzip"]);
    assert_eq!(result.findings(), [""; 0]);
}
