//! Docker's media types, for users who request them. Content without one is refused, because readers refuse a mixture of the
//! two families.

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::ManifestRole;
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Kind};
use crate::location::{Location, Role};

/// The error for something that has no Docker type.
pub(crate) fn none(location: impl Into<Location>, what: &str) -> Error {
    let location = location.into();
    Error::new(
        Code::NoDockerType,
        format!("{location} is {what}, for which Docker has no media type"),
    )
    .with_location(location)
    .with_found(what)
}

/// Refuses documents that only OCI has.
pub(crate) fn check(document: &Document, role: Option<ManifestRole>) -> Result<()> {
    let (what, hint) = match role {
        None | Some(ManifestRole::Image) => return check_subject(document),
        Some(ManifestRole::Attestation) => ("an attestation", Hint::DropAttestations),
        Some(ManifestRole::Signature) => ("a signature", Hint::ChooseImageOrOciTypes),
        Some(ManifestRole::Cache) => ("a build cache", Hint::UseOciTypes),
        Some(ManifestRole::Artifact) => ("an artifact", Hint::ChooseImageOrOciTypes),
    };
    Err(none(&document.path, what).with_hint(hint))
}

fn check_subject(document: &Document) -> Result<()> {
    match document.pointers_in(Role::Subject).next() {
        None => Ok(()),
        Some(subject) => {
            let location = document.location_of(subject);
            Err(none(&location, "a subject").with_hint(Hint::ChooseImageOrOciTypes))
        }
    }
}

/// The Docker type of what a descriptor points at, whose OCI type is `oci`; `None` if it keeps that one.
///
/// # Errors
/// There is no such type, or the descriptor has what only OCI's can have.
pub(crate) fn of(
    oci: &str,
    pointer: &Pointer,
    document: Option<ManifestRole>,
    location: &Location,
) -> Result<Option<&'static str>> {
    let kind = media_type::kind(oci);
    // The cache config's own type belongs to neither family, and appears in lists of both.
    if document.is_none() && kind == Kind::CacheConfig {
        return Ok(None);
    }
    let Some(docker) = media_type::docker_form(oci) else {
        let hint = match kind {
            Kind::Layer {
                distributable: true,
                ..
            } if document.is_some() => Hint::CompressWithGzip,
            _ => Hint::UseOciTypes,
        };
        return Err(none(location, &escape(oci)).with_found(oci).with_hint(hint));
    };
    match pointer.form_annotations.first() {
        Some(key) if kind.is_layer() => Err(Error::new(
            Code::NoDockerType,
            format!(
                "{location} has the annotation \"{}\", which only OCI manifests can have",
                escape(key)
            ),
        )
        .with_location(location)
        .with_found(key)
        .with_hint(Hint::CompressOtherwise)),
        _ => Ok(Some(docker)),
    }
}
