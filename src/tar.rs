//! The tar format: parsing entries and writing headers.

mod entries;
mod fields;
mod header;
mod input;
mod number;
mod pax;

use std::path::Path;

use crate::error::{Code, Error, Hint, show_path};
pub(crate) use entries::{Entries, Entry, ends_inside};
pub(crate) use header::{
    BLOCK, END_LEN, canonical, canonical_len, has_checksum, padding, replaced,
};
pub(crate) use input::Input;
pub(crate) use pax::comment;

/// An `InvalidArchive` error: `what` is wrong with the archive at `path`.
pub(crate) fn invalid(path: &Path, what: &str) -> Error {
    Error::new(
        Code::InvalidArchive,
        format!("{} is not valid: {what}", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::SaveWrongAgain)
}

/// A `TruncatedArchive` error: the archive at `path` ends inside `inside`.
pub(crate) fn truncated(path: &Path, inside: &str) -> Error {
    Error::new(
        Code::TruncatedArchive,
        format!("{} ends inside {inside}", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::DownloadAgain)
}
