//! Checks what a descriptor says about its content.

use base64::Engine as _;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::pointer::Pointer;
use crate::image::Digest;
use crate::inventory::BlobEntry;
use crate::location::Location;

/// Checks that a blob has the size that its descriptor states.
pub(super) fn check_size(
    blob: &BlobEntry,
    pointer: &Pointer,
    location: impl Fn() -> Location,
) -> Result<()> {
    if blob.len == pointer.size {
        return Ok(());
    }
    Err(Error::new(
        Code::SizeMismatch,
        format!(
            "{} states a size of {} bytes, but {} has {}",
            location(),
            pointer.size,
            pointer.digest.blob_name(),
            blob.len
        ),
    )
    .with_location(location())
    .with_entry(pointer.digest.blob_name())
    .with_expected(pointer.size)
    .with_found(blob.len)
    .with_hint(Hint::CopyCutShort))
}

/// Embedded content must be the content (image specification, `descriptor.md`).
pub(super) fn check_data(pointer: &Pointer, location: impl Fn() -> Location) -> Result<()> {
    let Some(data) = &pointer.data else {
        return Ok(());
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .map_err(|_| {
            Error::new(
                Code::InvalidDocument,
                format!("{} has embedded data that is not base64", location()),
            )
            .with_location(location())
        })?;
    let found = Digest::of(pointer.digest.algorithm(), &bytes);
    if found != pointer.digest || bytes.len() as u64 != pointer.size {
        return Err(Error::new(
            Code::DigestMismatch,
            format!(
                "{} has embedded data with the digest {found}, expected {}",
                location(),
                pointer.digest
            ),
        )
        .with_location(location())
        .with_expected(&pointer.digest)
        .with_found(found));
    }
    Ok(())
}
