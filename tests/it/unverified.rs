//! Digests by algorithms that ocify cannot verify: their content is kept, reported and never called verified.

use serde_json::{Value, json};

use crate::common::archive::Entry;
use crate::common::builder::{
    DOCKER_MANIFEST, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_ZSTD, digest_of,
    docker_item, layer_tar, named, on, right_image, right_layout, zstd,
};
use crate::common::contents::blob_name;
use crate::common::failure::{expect, fails, fails_with};
use crate::common::judged::{fixed, fixed_path};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const ALGORITHMS: [&str; 4] = ["blake3", "sha1", "sha256+b64u", "md5"];

fn digest(algorithm: &str) -> String {
    format!("{algorithm}:{}", "ab".repeat(32))
}

/// Adds a blob under a digest by another algorithm, and returns its descriptor.
fn other_blob(layout: &mut Layout, algorithm: &str, media_type: &str, bytes: &[u8]) -> Value {
    let digest = digest(algorithm);
    layout.blobs.insert(blob_name(&digest), bytes.to_vec());
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// The right image, and an entry that cannot be verified.
fn with_entry(algorithm: &str, media_type: &str) -> Layout {
    let mut layout = right_layout();
    let other = other_blob(&mut layout, algorithm, media_type, b"not JSON");
    layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(other));
    layout
}

#[test]
fn an_entry_passes_through_every_kind_of_output() {
    for algorithm in ALGORITHMS {
        for media_type in [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, "text/plain"] {
            let layout = with_entry(algorithm, media_type);
            let bytes = layout.tar();
            // The right archive stays as it is, byte for byte.
            if media_type != DOCKER_MANIFEST {
                let found = fixed(&bytes, &[]);
                assert!(found.bytes == bytes, "{algorithm} {media_type}");
            }
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
            let findings = report["findings"].as_array().unwrap();
            let finding = findings
                .iter()
                .find(|found| found["rule"] == "unverified-digest");
            let finding = finding.unwrap_or_else(|| panic!("{algorithm}: {report:#}"));
            assert_eq!(finding["location"], "index.json, manifests[1]");
            assert!(finding["message"].as_str().unwrap().contains(algorithm));
            // Three blobs were verified, and this one was not.
            assert_eq!(
                report["blobs"]["unverified"]["others"], 1,
                "{:#}",
                report["blobs"]
            );
            let out = sandbox.read("out.tar");
            assert!(out == bytes, "{algorithm} {media_type}");
            let piped = stream(&bytes, &[]).exits(0);
            let digest = digest(algorithm);
            let contents = crate::common::contents::Contents::from_tar(&piped.out);
            assert_eq!(contents.blob(&digest), Some(&b"not JSON"[..]));
            layout.write_to(&sandbox.path("layout"));
            sandbox.fix("layout", "copy/").exits(0);
            assert_eq!(
                sandbox.read(&format!("copy/{}", blob_name(&digest))),
                b"not JSON"
            );
            let report = placed::fix(&sandbox, "in.tar", &["--verify", "full"])
                .exits(0)
                .json();
            assert_eq!(report["status"], "unchanged");
        }
    }
}

/// Other documents change, and the entry stays.
#[test]
fn an_entry_beside_an_image_that_is_rewritten_is_kept() {
    let mut layout = Layout::of(&Image::docker(vec![Layer::gzip(OCI_GZIP, "x")]), NAME);
    let other = other_blob(&mut layout, "blake3", OCI_MANIFEST, b"x");
    layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(other));
    let found = fixed(&layout.tar(), &[]);
    assert!(
        found
            .contents
            .has(&format!("blobs/blake3/{}", "ab".repeat(32)))
    );
    placed::fixed(&layout.tar(), &[]);
    // An image that was asked for is alone.
    let found = fixed(&layout.tar(), &["--image", "app:v1"]);
    assert!(
        !found
            .contents
            .has(&format!("blobs/blake3/{}", "ab".repeat(32)))
    );
    assert!(!found.findings().contains(&"unverified-digest"));
}

#[test]
fn what_was_asked_for_or_is_all_there_is_must_be_verifiable() {
    let digest = format!("blake3:{}", "ab".repeat(32));
    let bytes = with_entry("blake3", OCI_MANIFEST).tar();
    fails_with(
        "asked for",
        &bytes,
        &["--image", &digest],
        "image-not-found",
        &["no image"],
    );
    let mut layout = Layout::new();
    let other = other_blob(&mut layout, "blake3", OCI_MANIFEST, b"x");
    layout.root(vec![named(other, NAME)]);
    let parts = ["index.json, manifests[0]", "blake3"];
    fails("alone", &layout.tar(), "unsupported-digest", &parts);
    // An image whose config cannot be verified is no better.
    let mut layout = Layout::new();
    let image = right_image();
    let mut manifest = layout.manifest(&image);
    let config = image.config().to_string();
    manifest["config"] = other_blob(&mut layout, "blake3", &image.config_type, config.as_bytes());
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor.clone(), NAME)]);
    let parts = ["index.json, manifests[0], config", "blake3"];
    fails("config", &layout.tar(), "unsupported-digest", &parts);
    // Beside another image it is passed through.
    let other = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
    layout.root(vec![descriptor, named(other, "docker.io/library/other:v1")]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.names(), ["other:v1"]);
    found.finding("unverified-digest");
}

/// The diff ID proves such a layer when it is recompressed, and manifest.json names it by its digest.
#[test]
fn a_layer_passes_through() {
    let plain = layer_tar("b3");
    let layer = Layer::new(OCI_GZIP, zstd(&plain), &plain);
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "a"), layer.clone()]);
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image);
    let sha256 = digest_of(&manifest["layers"][1]);
    layout.blobs.remove(&blob_name(&sha256)).unwrap();
    manifest["layers"][1] = other_blob(&mut layout, "blake3", OCI_GZIP, &layer.bytes);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout.docker_manifest = Some(
        json!([docker_item(&manifest, &["app:v1"])])
            .to_string()
            .into(),
    );
    let bytes = layout.tar();
    let found = fixed(&bytes, &[]);
    found.finding("unverified-digest");
    // Its type follows its bytes like that of every layer.
    let written = found.contents.manifests().remove(0).1;
    assert_eq!(written["layers"][1]["mediaType"], OCI_ZSTD);
    placed::fixed(&bytes, &[]);
    let found = fixed(&bytes, &["--compression", "uncompressed"]);
    assert!(!found.findings().contains(&"unverified-digest"));
    let mut damaged = layout.clone();
    let name = format!("blobs/blake3/{}", "ab".repeat(32));
    damaged.blobs.insert(name, zstd(&layer_tar("other")));
    damaged.edit_root(|_| ());
    let sandbox = Sandbox::new();
    let mut damaged_manifest = manifest.clone();
    damaged_manifest["layers"][1]["size"] = json!(zstd(&layer_tar("other")).len());
    let descriptor = damaged.document(OCI_MANIFEST, &damaged_manifest);
    damaged.root(vec![named(descriptor, NAME)]);
    sandbox.put("in.tar", damaged.tar());
    let run = sandbox.fix_with("in.tar", "out.tar", &["--compression", "gzip"]);
    expect("damaged", &run, "diff-id-mismatch", &["layers[1]"]);
}

#[test]
fn subjects_and_children_of_nested_indexes_pass_through() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let other = other_blob(&mut layout, "sha1", OCI_MANIFEST, b"x");
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let referrer = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": config,
        "layers": [],
        "subject": other.clone(),
    });
    let referrer = layout.document(OCI_MANIFEST, &referrer);
    let index = layout.index_of(
        OCI_INDEX,
        vec![on(image, "linux", "amd64"), on(other, "linux", "arm64")],
    );
    layout.root(vec![named(index, NAME), referrer]);
    let found = fixed(&layout.tar(), &[]);
    let finding = found.finding("unverified-digest");
    assert!(finding["message"].as_str().unwrap().contains("(2 times)"));
}

/// The blob is damaged for all that is known.
#[test]
fn a_wrong_size_cannot_be_proven() {
    let mut layout = with_entry("blake3", OCI_MANIFEST);
    layout.edit_root(|root| root["manifests"][1]["size"] = json!(5));
    fails(
        "size",
        &layout.tar(),
        "size-mismatch",
        &["index.json, manifests[1]"],
    );
}

/// Files that only look like blobs are removed like all others.
#[test]
fn files_that_nothing_refers_to_are_removed() {
    let mut layout = right_layout();
    layout.more.push(Entry::file("blobs/blake3/00", "x"));
    let found = fixed(&layout.tar(), &[]);
    assert!(found.bytes == right_layout().tar());
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("in"));
    assert!(fixed_path(&sandbox.path("in"), &[]).bytes == found.bytes);
}

#[test]
fn digests_that_are_none_are_refused() {
    for digest in [
        "blake3:",
        "blake3:a/b",
        "blake3:../../x",
        "bla..ke:00",
        "BLAKE3:00",
    ] {
        let mut layout = right_layout();
        layout.docker_manifest = None;
        layout.edit_root(|root| {
            let mut other = root["manifests"][0].clone();
            other["digest"] = json!(digest);
            root["manifests"].as_array_mut().unwrap().push(other);
        });
        fails(
            digest,
            &layout.tar(),
            "invalid-digest",
            &["index.json, manifests[1]"],
        );
    }
}
