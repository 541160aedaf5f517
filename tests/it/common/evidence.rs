//! Images that need fixes, and everything that can refer to an image.

use serde_json::{Value, json};

use super::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, REF_NAME, annotated, digest_of, on,
};
use super::contents::blob_name;
use super::sha512;

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
    let note = format!("notes {}", digest_of(image));
    [
        signature(layout, image),
        referrer(layout, "application/x-note", &note, image),
    ]
}

/// cosign's signature by tag.
pub(crate) fn signature(layout: &mut Layout, image: &Value) -> Value {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let payload = layout.blob(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        format!("signs {}", digest_of(image)),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [payload]});
    tagged(layout.document(OCI_MANIFEST, &manifest), image, ".sig")
}

/// An OCI 1.1 artifact of one blob about a manifest.
pub(crate) fn referrer(
    layout: &mut Layout,
    artifact_type: &str,
    text: &str,
    subject: &Value,
) -> Value {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let blob = layout.blob(artifact_type, text);
    let subject = json!({"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type, "config": config, "layers": [blob], "subject": subject});
    layout.document(OCI_MANIFEST, &manifest)
}

/// A descriptor under a tag that is made of the digest of what it is about.
pub(crate) fn tagged(descriptor: Value, about: &Value, suffix: &str) -> Value {
    let tag = format!("{}{suffix}", referrers_tag(&digest_of(about)));
    annotated(descriptor, &[(REF_NAME, &tag)])
}

/// The tag that the distribution specification makes of a digest.
pub(crate) fn referrers_tag(digest: &str) -> String {
    let (algorithm, hash) = digest.split_once(':').unwrap();
    format!("{algorithm}-{}", &hash[..64])
}

/// Gives a blob the name and descriptor that SHA-512 gives it.
pub(crate) fn with_sha512(layout: &mut Layout, descriptor: &Value) -> Value {
    let bytes = layout
        .blobs
        .remove(&blob_name(&digest_of(descriptor)))
        .unwrap();
    let digest = format!("sha512:{}", sha512(&bytes));
    layout.blobs.insert(blob_name(&digest), bytes);
    let mut descriptor = descriptor.clone();
    descriptor["digest"] = json!(digest);
    descriptor
}
