//! Images that need fixes, and everything that can refer to an image.

use serde_json::{Value, json};

use super::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, annotated, digest_of, on,
};

pub(crate) fn one() -> Image {
    Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "shared"),
        Layer::gzip(DOCKER_GZIP, "one"),
    ])
}

pub(crate) fn two() -> Image {
    Image::oci(vec![
        Layer::gzip(DOCKER_GZIP, "shared"),
        Layer::gzip(OCI_GZIP, "two"),
    ])
}

/// An attestation of an image, as BuildKit writes it.
pub(crate) fn attestation(layout: &mut Layout, image: &Value) -> Value {
    let statement = layout.blob(
        "application/vnd.in-toto+json",
        format!("about {}", digest_of(image)),
    );
    let config = layout.document(
        "application/vnd.oci.image.config.v1+json",
        &json!({"architecture": "unknown", "os": "unknown", "note": digest_of(image)}),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [statement]});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    let links = [
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", &digest_of(image)),
    ];
    on(annotated(descriptor, &links), "unknown", "unknown")
}

/// cosign's signature by tag, and a referrer.
pub(crate) fn evidence(layout: &mut Layout, image: &Value) -> [Value; 2] {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let payload = layout.blob(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        format!("signs {}", digest_of(image)),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [payload]});
    let tag = format!("{}.sig", digest_of(image).replace(':', "-"));
    let signature = annotated(
        layout.document(OCI_MANIFEST, &manifest),
        &[("org.opencontainers.image.ref.name", &tag)],
    );
    let note = layout.blob("application/x-note", format!("notes {}", digest_of(image)));
    let subject =
        json!({"mediaType": image["mediaType"], "digest": image["digest"], "size": image["size"]});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note", "config": config, "layers": [note], "subject": subject});
    [signature, layout.document(OCI_MANIFEST, &manifest)]
}
