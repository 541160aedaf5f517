//! How much changes of media types matter: which engines load a manifest with the types that it has.

use crate::graph::ManifestRole;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::Compression;
use crate::image::media_type::{self, Family, Kind};
use crate::location::Role;
use crate::plan::Severity;

/// The severities of the changes of one manifest's media types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeSeverity {
    /// For a manifest with Docker's types: all its types change together, because part of the changes
    /// would mix the two families.
    together: Option<Severity>,
    role: Option<ManifestRole>,
}

impl TypeSeverity {
    pub(crate) fn of(document: &Document, role: Option<ManifestRole>) -> Self {
        let is_docker_manifest = document.shape == Shape::Manifest && is_docker(document);
        TypeSeverity {
            together: is_docker_manifest.then(|| docker_manifest(document, role)),
            role,
        }
    }

    /// For the `mediaType` of the manifest.
    pub(crate) fn document(self) -> Severity {
        self.together.unwrap_or(Severity::Cosmetic)
    }

    /// For the media type of one of its descriptors.
    pub(crate) fn pointer(self, pointer: &Pointer) -> Severity {
        match (self.together, pointer.role) {
            (Some(severity), _) => severity,
            (None, Role::Config) => config(self.role),
            (None, _) => layer(pointer, self.role, Family::Oci),
        }
    }
}

/// For the media type of a descriptor that calls a manifest Docker's.
pub(crate) fn docker_manifest(document: &Document, role: Option<ManifestRole>) -> Severity {
    let parts = document.pointers.iter().map(|pointer| {
        let family = media_type::family(&pointer.media_type);
        match pointer.role {
            // podman and skopeo refuse the layers of the other family.
            Role::Layers if family == Some(Family::Oci) && pointer.kind.is_layer() => {
                Severity::Breaks
            }
            Role::Layers => layer(pointer, role, Family::Docker),
            Role::Config if family == Some(Family::Oci) => Severity::Warns,
            _ => Severity::Cosmetic,
        }
    });
    parts.max().unwrap_or(Severity::Cosmetic)
}

/// Whether a manifest claims to have Docker's types. One that does not say so has those of its config.
fn is_docker(document: &Document) -> bool {
    let stated = document.media_type.as_deref();
    let config = document.config().map(|config| &*config.media_type);
    stated.or(config).and_then(media_type::family) == Some(Family::Docker)
}

/// podman and skopeo take an OCI manifest with another config type for an artifact.
fn config(role: Option<ManifestRole>) -> Severity {
    match role {
        Some(ManifestRole::Image) => Severity::Breaks,
        _ => Severity::Cosmetic,
    }
}

/// A layer's type in a manifest of this family; `role` is the manifest's, and `None` in an index, where
/// BuildKit lists the layers of a cache.
fn layer(pointer: &Pointer, role: Option<ManifestRole>, manifest: Family) -> Severity {
    let Kind::Layer { compression, .. } = pointer.kind else {
        return Severity::Cosmetic;
    };
    let is_cache = matches!(role, None | Some(ManifestRole::Cache));
    let found = pointer.content.and_then(Compression::of_content);
    let is_other = found.is_some_and(|found| found != compression);
    match media_type::family(&pointer.media_type) {
        // BuildKit reads its own type in its caches.
        None if is_cache => Severity::Warns,
        None => Severity::Breaks,
        // containerd does not decompress what this type calls a plain tar; it detects every other
        // compression from the bytes.
        Some(Family::Oci) if is_other && compression == Compression::Uncompressed => {
            Severity::Breaks
        }
        Some(_) if is_other => Severity::Warns,
        Some(Family::Docker) if manifest == Family::Oci && !is_cache => Severity::Warns,
        Some(_) => Severity::Cosmetic,
    }
}
