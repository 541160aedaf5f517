//! The OCI media type that a descriptor should have.

use crate::error::{Code, Error, Hint};
use crate::graph::ManifestRole;
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Kind};
use crate::image::{Compression, Content};
use crate::location::{Location, Role};

/// `is_of_bytes` says whether the diff ID is the digest of the compressed bytes: no engine that decompresses the layer
/// finds what the config states, and recompression does not help.
pub(super) fn unsupported_compression(location: &Location, what: &str, is_of_bytes: bool) -> Error {
    let (more, hint) = match is_of_bytes {
        true => (
            ", and its diff ID is the digest of the compressed bytes",
            Hint::BuildRefusedAgain,
        ),
        false => ("", Hint::CompressWithGzip),
    };
    Error::new(
        Code::UnsupportedCompression,
        format!("{location} is compressed with {what}, for which OCI has no media type{more}"),
    )
    .with_location(location)
    .with_found(what)
    .with_hint(hint)
}

/// The OCI media type that a descriptor should have; `None` for the one it declares. The error is the name
/// of a compression without one.
pub(super) fn oci_type(
    pointer: &Pointer,
    role: Option<ManifestRole>,
) -> Result<Option<&'static str>, &'static str> {
    let by_name = || media_type::other_oci_form(&pointer.media_type);
    // The bytes of an artifact do not decide its type; those of images and caches do.
    let decides_by_bytes = matches!(role, None | Some(ManifestRole::Image | ManifestRole::Cache));
    Ok(match pointer.kind {
        Kind::Layer { distributable, .. } if decides_by_bytes => match pointer.content {
            Some(Content::Bzip2) => return Err("bzip2"),
            Some(Content::Xz) => return Err("xz"),
            content => match content.and_then(Compression::of_content) {
                Some(found) => Some(media_type::oci_layer(found, distributable)),
                None => by_name(),
            },
        },
        Kind::OctetStream if pointer.role != Role::Config || role != Some(ManifestRole::Image) => {
            None
        }
        _ => by_name(),
    })
}
