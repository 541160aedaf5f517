//! The errors of archives that cannot be read in one pass.

use std::path::Path;

use crate::error::{Code, Error, Hint, escape, show_path};
use crate::image::Digest;
use crate::inventory::BlobEntry;

/// `what` of the archive is needed, and was read before.
pub(super) fn passed_by(path: &Path, what: &str) -> Error {
    Error::new(
        Code::NeedsFile,
        format!("{what} of {} has passed by", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::WriteToFile)
}

/// The entry `name` is `expected` by its name, came before, and differs this time.
pub(super) fn differs(path: &Path, name: &str, expected: &Digest, found: &Digest) -> Error {
    Error::new(
        Code::DigestMismatch,
        format!(
            "{} is duplicated in {}, and the last one has the digest {found}",
            escape(name),
            show_path(path)
        ),
    )
    .with_path(path)
    .with_entry(name)
    .with_expected(expected)
    .with_found(found)
    .with_hint(Hint::ReplaceDamaged)
}

/// The blob is larger than its reader allows.
pub(super) fn too_large(path: &Path, blob: &BlobEntry, max_len: u64) -> Error {
    Error::new(
        Code::DocumentTooLarge,
        format!(
            "a blob in {} has {} bytes, expected at most {max_len}",
            show_path(path),
            blob.len
        ),
    )
    .with_path(path)
    .with_expected(max_len)
    .with_found(blob.len)
    .with_hint(Hint::ShrinkDocument)
}

/// A descriptor calls the blob a document, and its bytes went to the output as a layer's.
pub(super) fn no_document(path: &Path, blob: &BlobEntry) -> Error {
    let found = blob.content.name();
    Error::new(
        Code::InvalidDocument,
        format!(
            "a blob in {} is not a JSON document: expected JSON, found {found}",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_found(found)
    .with_hint(Hint::BuildAgain)
}
