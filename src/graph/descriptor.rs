//! Checks what a descriptor says about its content.

use base64::Engine as _;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::pointer::Pointer;
use crate::inventory::{BlobEntry, BlobSource};
use crate::location::Location;

/// The length of a blob whose descriptor states another one. The descriptor's digest proves that the bytes are the right
/// ones, so that the size is wrong.
///
/// # Errors
/// The bytes have another digest as well, or cannot be read.
pub(super) fn actual_size(
    blob: &BlobEntry,
    pointer: &Pointer,
    blobs: &dyn BlobSource,
    location: impl Fn() -> Location,
) -> Result<u64> {
    let is_proven = match pointer.digest.algorithm() {
        _ if blobs.has_verified(blob) => true,
        Some(algorithm) => blobs.digest_of(blob, algorithm)? == pointer.digest,
        None => false,
    };
    if is_proven {
        return Ok(blob.len);
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

/// The length of the content that a descriptor embeds, which must have the stated digest (image specification,
/// `descriptor.md`) if it can be verified; `None` if there is none.
pub(super) fn data_len(pointer: &Pointer, location: impl Fn() -> Location) -> Result<Option<u64>> {
    let Some(data) = &pointer.data else {
        return Ok(None);
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .map_err(|_| {
            Error::new(
                Code::InvalidDocument,
                format!("{} has embedded data that is not base64", location()),
            )
            .with_location(location())
            .with_hint(Hint::BuildAgain)
        })?;
    if let Some(found) = pointer.digest.recompute(&bytes)
        && found != pointer.digest
    {
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
        .with_found(found)
        .with_hint(Hint::BuildAgain));
    }
    Ok(Some(bytes.len() as u64))
}
