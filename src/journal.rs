//! Rewriting a file in place such that a crash loses nothing: an undo journal beside the file.
//!
//! The journal holds the old bytes of everything that is about to be overwritten. It is on the disk
//! before the first byte of the file changes, and removed once the last one is there. A journal that
//! is found later means that a rewrite did not end: [`recover`] brings the file back to what it was.
//! A journal that is not whole means that no byte of the file had changed.

mod disk;
mod format;
mod lock;
mod steps;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use disk::{Disk as _, Files, is_nameless, open_journal};
pub(crate) use disk::{is_link, is_pending};
pub(crate) use lock::{exclusive, shared};
pub(crate) use steps::Write;

use crate::error::{Code, Error, Hint, IoContext, Result, show_path};

/// What [`recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// No rewrite was left unfinished.
    Nothing,
    /// The file is again what it was before a rewrite that did not end.
    Restored,
    /// A rewrite had ended before it changed anything; only its journal was there.
    Removed,
}

/// Brings a file back to what it was before a rewrite that did not end, if there was one.
///
/// # Errors
/// There is no such file; the rewrite still goes on; the file cannot be written, or is not the one
/// that the journal is of.
pub fn recover(path: &Path) -> Result<Recovery> {
    let is_link = is_link(path).context("open", path)?;
    if !is_pending(path, is_link).context("open", path)? {
        return Ok(Recovery::Nothing);
    }
    let file = open_writable(path).map_err(|error| match error.code() {
        Code::NotWritable => unfinished(path, "and it cannot be written"),
        _ => error,
    })?;
    exclusive(&file, path)?;
    let mut files = Files::new(&file, path)?;
    // Whoever held the lock may have ended well meanwhile.
    let Some(journal) = open_journal(files.journal_path(), &file)? else {
        return Ok(Recovery::Nothing);
    };
    files.hold_journal(journal);
    steps::recover(&mut files)
}

/// Overwrites parts of a file, whose lock the caller holds, and gives it a length. Whatever goes wrong,
/// the file is what it was, or what it was to become.
///
/// `writes` are in order and do not overlap; what is cut off after the last of them is zeros.
pub(crate) fn rewrite(file: &File, path: &Path, writes: &[Write], new_len: u64) -> Result<()> {
    steps::rewrite(&mut Files::new(file, path)?, writes, new_len)
}

/// Opens a regular file to be rewritten.
pub(crate) fn open_writable(path: &Path) -> Result<File> {
    // Opening a fifo would wait for its reader, so look first.
    let found = fs::metadata(path).context("open", path)?;
    if !found.is_file() {
        let error = Error::new(
            Code::InPlaceRefused,
            format!("{} is not a regular file", show_path(path)),
        )
        .with_path(path);
        return Err(error.with_hint(Hint::GiveRegularFile));
    }
    if is_nameless(path).context("open", path)? {
        let error = Error::new(
            Code::InPlaceRefused,
            format!("{} leads to a file without a name", show_path(path)),
        )
        .with_path(path);
        return Err(error.with_hint(Hint::GiveNamedFile));
    }
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::ExecutableFileBusy => Error::new(
            Code::NotWritable,
            format!("{} cannot be written", show_path(path)),
        )
        .with_path(path)
        .with_source(error)
        .with_hint(Hint::WriteNewFile),
        _ => Error::io("open", path, error),
    })
}

/// The error for a file whose rewrite did not end.
pub(crate) fn unfinished(path: &Path, what: &str) -> Error {
    let shown = show_path(path);
    Error::new(
        Code::UnfinishedFix,
        format!("an in-place fix of {shown} did not end, {what}"),
    )
    .with_path(path)
    .with_hint(Hint::Recover(path.to_owned()))
}

#[cfg(test)]
mod tests;
