//! Evidence beside images in nodes of kind, which unpacks it like an image. `tests/engines/kind.rs` runs the command that kind runs.

use ocify::Loads;
use serde_json::json;

use crate::common::builder::{Layout, OCI_CONFIG, OCI_MANIFEST, annotated, named, on, right_image};
use crate::common::contents::blob_name;
use crate::common::registry::sha256;
use crate::obstacles::check;

const NAME: &str = "example.com/app:v1";

/// An image, and beside it an attestation with such a config and this many layers.
fn attested(config_type: &str, config: &str, layers: usize) -> Layout {
    let mut layout = Layout::new();
    let image = on(layout.image(&right_image()), "linux", "amd64");
    let config = layout.blob(config_type, config);
    let statement = layout.blob("application/vnd.in-toto+json", "about the image");
    let layers = vec![statement; layers];
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    let attestation = layout.document(OCI_MANIFEST, &manifest);
    let digest = image["digest"].as_str().unwrap().to_owned();
    let links = [
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", &digest),
    ];
    let attestation = on(annotated(attestation, &links), "unknown", "unknown");
    layout.root(vec![named(image, NAME), attestation]);
    layout
}

#[test]
fn nodes_unpack_evidence_like_an_image() {
    let of_image = r#"{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:1d2a5d4a5d1d1b3f1a0a1d6bcb3b6e4d2a5b1d0e5a6a3d1d3a0e5b1d2a5d4a5d"]}}"#;
    check(
        "an image's config",
        &attested(OCI_CONFIG, of_image, 1).tar(),
        &[
            ("kind@0.13.0", Loads::Yes, ""),
            ("kind@0.18.0", Loads::Partly, "unnamed-evidence"),
            ("kind@0.26.0", Loads::Partly, "unnamed-evidence"),
            ("kind@0.27.0", Loads::Yes, ""),
            ("kind@0.30.0", Loads::Yes, ""),
            ("containerd@1.7.24", Loads::Yes, ""),
        ],
    );
    let empty = "application/vnd.oci.empty.v1+json";
    check(
        "an empty config",
        &attested(empty, "{}", 1).tar(),
        &[
            ("kind@0.18.0", Loads::Partly, "referrer"),
            ("kind@0.26.0", Loads::Yes, ""),
        ],
    );
    check(
        "no layers",
        &attested(empty, "{}", 0).tar(),
        &[("kind@0.18.0", Loads::Yes, "")],
    );
    let mut layout = attested(empty, "{}", 1);
    let config = blob_name(&sha256(b"{}"));
    assert!(layout.blobs.remove(&config).is_some());
    check(
        "an absent config",
        &layout.tar(),
        &[
            ("kind@0.18.0", Loads::Partly, "unnamed-evidence"),
            ("kind@0.26.0", Loads::Partly, "unnamed-evidence"),
            ("kind@0.27.0", Loads::Yes, ""),
        ],
    );
}
