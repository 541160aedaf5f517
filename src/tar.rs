//! The tar format: the headers that ocify writes, and the entries that it reads.

mod entries;
mod header;
mod input;
mod pax;

use std::path::Path;

use crate::error::{Code, Error, Hint, show_path};
pub(crate) use entries::{Entries, Entry, ends_inside};
pub(crate) use header::{
    BLOCK, END_LEN, canonical, canonical_len, has_checksum, padding, replaced,
};
pub(crate) use input::Input;

/// The error for an archive that is not valid.
pub(crate) fn invalid(path: &Path, what: &str) -> Error {
    Error::new(
        Code::InvalidArchive,
        format!("{} is not valid: {what}", show_path(path)),
    )
    .with_path(path)
}

/// The error for an archive that ends too early.
pub(crate) fn truncated(path: &Path, inside: &str) -> Error {
    Error::new(
        Code::TruncatedArchive,
        format!("{} ends inside {inside}", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::DownloadAgain)
}
