//! Documents that ocify keeps as they are because it cannot make them part of an image: what they name stays.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, annotated,
    digest_of, index, named, right_image,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::runner::Sandbox;

const GOOD: &str = "docker.io/library/good:v1";

/// How an output is written.
const WAYS: [&str; 3] = ["out.tar", "out/", "in place"];

/// The names of the blobs after a fix with these options, for each way.
fn blobs(layout: &Layout, options: &[&str]) -> Vec<(&'static str, BTreeSet<String>)> {
    let all = WAYS.into_iter().map(|way| {
        let sandbox = Sandbox::new();
        let output = match way {
            "out.tar" => {
                sandbox.put("in.tar", layout.tar());
                sandbox.fix_with("in.tar", way, options).exits(0);
                sandbox.path(way)
            }
            "out/" => {
                sandbox.put("in.tar", layout.tar());
                let options = [options, &["--layout"]].concat();
                sandbox.fix_with("in.tar", "out", &options).exits(0);
                sandbox.path("out")
            }
            _ => {
                for entry in layout.entries() {
                    let name = String::from_utf8(entry.name).unwrap();
                    if !name.ends_with('/') {
                        let path = sandbox.path("in").join(name);
                        fs::create_dir_all(path.parent().unwrap()).unwrap();
                        fs::write(path, entry.data).unwrap();
                    }
                }
                let line = ["fix", "--in-place", "in", "--orphans-older-than", "0"];
                let drops = options.contains(&"--orphans");
                let line = &line[..if drops { 5 } else { 3 }];
                sandbox.ocify(&[line, options].concat()).exits(0);
                sandbox.path("in")
            }
        };
        let files = Contents::read(&output).files.into_keys();
        (
            way,
            files.filter(|name| name.starts_with("blobs/")).collect(),
        )
    });
    all.collect()
}

#[track_caller]
fn keeps(name: &str, layout: &Layout, options: &[&str], needed: &[&str]) {
    for (way, found) in blobs(layout, options) {
        for digest in needed {
            assert!(
                found.contains(&blob_name(digest)),
                "{name}, {way}: {digest}"
            );
        }
    }
}

/// Docker's types, so that the manifest gets another digest.
fn docker_image() -> Image {
    Image::docker(vec![Layer::gzip(DOCKER_GZIP, "good")])
}

#[test]
fn content_of_other_document_types_is_kept() {
    for (media_type, list) in [
        ("application/vnd.oci.artifact.manifest.v1+json", "blobs"),
        (
            "application/vnd.cncf.oras.artifact.manifest.v1+json",
            "blobs",
        ),
        ("application/vnd.example.manifest.v9+json", "layers"),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "fsLayers",
        ),
    ] {
        let mut layout = Layout::new();
        let good = layout.image(&right_image());
        let layer = layout.blob("application/vnd.example", b"content of an artifact");
        let item = match list {
            "fsLayers" => json!({"blobSum": layer["digest"]}),
            _ => layer.clone(),
        };
        let mut document = json!({"mediaType": media_type});
        document[list] = json!([item]);
        let entry = layout.document(media_type, &document);
        layout.root(vec![named(good, GOOD), entry]);
        let orphan = layout.blob("text/plain", b"an orphan");
        let orphan = blob_name(&digest_of(&orphan));
        keeps(
            media_type,
            &layout,
            &["--orphans", "drop"],
            &[&digest_of(&layer)],
        );
        let found = blobs(&layout, &["--orphans", "drop"]);
        assert!(
            found.iter().all(|(_, blobs)| !blobs.contains(&orphan)),
            "{media_type}"
        );
    }
}

/// An index with a fault, and a document that only an annotation names, each of which names the manifest of an image.
#[test]
fn what_a_kept_document_names_is_not_replaced() {
    let mut layout = Layout::new();
    let good = layout.image(&docker_image());
    let invalid = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:x", "size": 1});
    let faulty = layout.document(OCI_INDEX, &index(OCI_INDEX, vec![good.clone(), invalid]));
    layout.root(vec![
        named(good.clone(), GOOD),
        named(faulty.clone(), "docker.io/library/faulty:v1"),
    ]);
    keeps(
        "a faulty index",
        &layout,
        &[],
        &[&digest_of(&faulty), &digest_of(&good)],
    );

    let mut layout = Layout::new();
    let good = layout.image(&docker_image());
    let empty = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let note = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x",
        "config": empty, "layers": [empty], "subject": good});
    let note = layout.document(OCI_MANIFEST, &note);
    let link = [("com.amazon.soci.index-digest", &*digest_of(&note))];
    layout.root(vec![annotated(named(good.clone(), GOOD), &link)]);
    keeps(
        "a note",
        &layout,
        &[],
        &[&digest_of(&note), &digest_of(&good)],
    );
}

/// What a damaged document needs is not known, and is in no output.
#[test]
fn a_damaged_image_does_not_keep_others_from_being_split() {
    let mut layout = Layout::new();
    let good = layout.image(&right_image());
    let bad = Image::oci(vec![Layer::gzip(OCI_GZIP, "bad")]);
    let manifest = layout.manifest(&bad);
    let entry = layout.image(&bad);
    for digest in [digest_of(&entry), digest_of(&manifest["layers"][0])] {
        let bytes = layout.blobs.get_mut(&blob_name(&digest)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
    }
    layout.root(vec![
        named(good.clone(), GOOD),
        named(entry, "docker.io/library/bad:v1"),
    ]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let run = sandbox.ocify(&["split", "in.tar", "-o", "out/"]).exits(1);
    let outputs = fs::read_dir(sandbox.path("out")).unwrap();
    let outputs: Vec<_> = outputs.map(|entry| entry.unwrap().path()).collect();
    let [output] = &outputs[..] else {
        panic!("{outputs:?}: {run:?}");
    };
    let files = Contents::read(output).files;
    let layer = blob_name(&digest_of(&manifest["layers"][0]));
    assert!(files.contains_key(&blob_name(&digest_of(&good))) && !files.contains_key(&layer));
}

#[test]
fn a_layer_that_a_faulty_manifest_names_is_not_pruned() {
    let mut layout = Layout::new();
    let good = layout.image(&right_image());
    let shared = Layer::gzip(OCI_GZIP, "shared");
    let part =
        Image::oci(vec![shared.clone(), Layer::gzip(OCI_GZIP, "gone")]).architecture("arm64");
    let incomplete = layout.image(&part);
    let manifest = layout.manifest(&part);
    let [layer, gone] = [0, 1].map(|number| digest_of(&manifest["layers"][number]));
    layout.blobs.remove(&blob_name(&gone));
    // A layer too few for the config.
    let mut faulty = manifest.clone();
    faulty["layers"] = json!([manifest["layers"][0]]);
    let faulty = named(
        layout.document(OCI_MANIFEST, &faulty),
        "docker.io/library/faulty:v1",
    );
    layout.root(vec![
        named(good, GOOD),
        named(incomplete, "docker.io/library/part:v1"),
        faulty,
    ]);
    keeps("faulty", &layout, &["--missing", "prune"], &[&layer]);
    // Without the faulty image nothing needs the layer.
    let found = blobs(&layout, &["--missing", "prune", "--image", "good:v1"]);
    assert!(
        found
            .iter()
            .all(|(_, blobs)| !blobs.contains(&blob_name(&layer)))
    );
}

#[test]
fn nothing_is_dropped_if_a_document_cannot_be_read() {
    let mut layout = Layout::new();
    let good = layout.image(&docker_image());
    let layer = layout.blob(OCI_GZIP, b"a layer that the broken manifest names");
    let config = layout.blob(OCI_CONFIG, "{}");
    let text = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
    let broken = layout.blob(OCI_MANIFEST, text.replacen('{', "{,", 1));
    layout.root(vec![
        named(good.clone(), GOOD),
        named(broken, "docker.io/library/broken:v1"),
    ]);
    let needed = [&*digest_of(&layer), &*digest_of(&config)].map(str::to_owned);
    let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
    keeps("broken", &layout, &["--orphans", "drop"], &needed);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report: Value = sandbox
        .fix_with("in.tar", "out.tar", &["--orphans", "drop"])
        .exits(0)
        .json();
    let findings = report["findings"].as_array().unwrap();
    let orphans = findings
        .iter()
        .find(|finding| finding["rule"] == "orphaned-blobs")
        .unwrap();
    assert!(
        orphans["message"]
            .as_str()
            .unwrap()
            .contains("cannot be read"),
        "{orphans}"
    );
    // What it may name exists only here when the fix is in place.
    let in_place = blobs(&layout, &[]).pop().unwrap();
    assert!(in_place.1.contains(&blob_name(&digest_of(&good))));
}
