//! Options that would leave nothing are refused.

use serde_json::json;

use crate::common::builder::{Layout, OCI_MANIFEST, named, right_image};
use crate::common::contents::blob_name;
use crate::common::evidence::attestation;
use crate::common::failure::fails_with;
use crate::common::judged::fixed;

const PRUNE: [&str; 2] = ["--missing", "prune"];

/// An artifact with two layers.
fn artifact() -> (Layout, [String; 2]) {
    let mut layout = Layout::new();
    let layers = ["one", "two"].map(|text| layout.blob("application/x-model", text));
    let names = layers
        .each_ref()
        .map(|layer| blob_name(layer["digest"].as_str().unwrap()));
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-model", "config": config, "layers": layers});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    (layout, names)
}

#[test]
fn the_last_manifest_is_not_pruned() {
    let (mut layout, layers) = artifact();
    layout.blobs.remove(&layers[0]);
    fixed(&layout.tar(), &[]).finding("missing-blob");
    let parts = ["nothing would be left"];
    fails_with("artifact", &layout.tar(), &PRUNE, "nothing-left", &parts);
}

#[test]
fn attestations_alone_are_not_dropped() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let about = attestation(&mut layout, &image);
    layout.root(vec![about]);
    let options = ["--attestations", "drop"];
    fails_with(
        "alone",
        &layout.tar(),
        &options,
        "nothing-left",
        &["nothing would be left"],
    );
    let with_image = layout.image(&right_image());
    layout.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list.push(named(with_image, "docker.io/library/app:v1"));
    });
    assert_eq!(fixed(&layout.tar(), &options).names(), ["app:v1"]);
}
