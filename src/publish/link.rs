//! Outputs whose names symbolic links have.
//!
//! Whoever put a link there, for whatever reason, decides where it leads. So no output is written through a link, and none
//! replaces one either: what the link was for would be lost.

use std::path::Path;

use crate::error::{Code, Error, Hint, show_path};

/// The error for an output whose name a symbolic link has.
pub(crate) fn is_link(path: &Path, expected: &'static str) -> Error {
    Error::new(
        Code::OutputExists,
        format!("the output {} is a symbolic link", show_path(path)),
    )
    .with_path(path)
    .with_expected(expected)
    .with_found("a symbolic link")
    .with_hint(Hint::RemoveLink)
}
