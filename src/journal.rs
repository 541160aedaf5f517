//! Rewrites parts of a file in place without losing data in a crash, by means of an undo journal.
//!
//! The journal is a file in the same directory that contains the old bytes of every range to be overwritten.
//! It is synced to disk before it gets its name, which is synced before the first byte of the file changes. It
//! is removed after the last change is synced. A leftover journal therefore means that a rewrite was
//! interrupted, and [`recover`] restores the file from it. A journal that is not complete was damaged later:
//! it is kept under another name, and the file is left unchanged.

mod disk;
mod format;
mod lock;
mod refused;
mod stamp;
mod steps;
mod stored;

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub use disk::is_journal;
use disk::{Disk as _, Files, is_nameless, open_journal};
pub(crate) use disk::{is_link, is_pending};
pub use lock::Lock;
pub(crate) use lock::{exclusive, shared};
pub(crate) use refused::unfinished;
pub(crate) use stamp::Stamp;
pub(crate) use steps::Write;

use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::publish::is_open_file;

/// What [`recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// No rewrite was interrupted.
    Nothing,
    /// The file was restored to its contents before the interrupted rewrite.
    Restored,
    /// The rewrite was interrupted before it changed the file. Its journal was removed.
    Removed,
}

/// Restores a file to its contents before an interrupted rewrite, if there was one.
///
/// # Errors
/// The file does not exist or is not writable, the rewrite is still running, or the journal is damaged or does
/// not belong to this file.
pub fn recover(path: &Path) -> Result<Recovery> {
    recover_locked(path).map(|(recovery, _)| recovery)
}

/// The same, and whether other processes are kept away meanwhile.
///
/// # Errors
/// Those of [`recover`].
pub fn recover_locked(path: &Path) -> Result<(Recovery, Lock)> {
    let is_link = is_link(path).context("open", path)?;
    if !is_pending(path, is_link).context("open", path)? {
        return Ok((Recovery::Nothing, Lock::Held));
    }
    let file = open_writable(path).map_err(|error| match error.code() {
        Code::NotWritable => unfinished(path, "the file must be restored, but is not writable"),
        _ => error,
    })?;
    let lock = exclusive(&file, path)?;
    let mut files = Files::new(&file, path)?;
    // Another program may have replaced it before it was locked.
    if !files.is_named()? {
        return Err(refused::replaced(path));
    }
    // The lock holder may have finished by now.
    let Some(journal) = open_journal(files.journal_path(), &file)? else {
        return Ok((Recovery::Nothing, lock));
    };
    files.set_journal(journal);
    Ok((steps::recover(&mut files)?, lock))
}

/// Overwrites parts of a file and sets its length in bytes. If this fails, the file has its old or its new
/// contents. If it is interrupted, the same is true after [`recover`].
///
/// The caller holds the exclusive lock. `writes` are sorted and do not overlap. If the file becomes shorter,
/// the bytes cut off after the last write must be zeros, because the journal does not contain them. No write
/// ends after both the old and the new end of the file. `read` is what the file was when the writes were computed
/// from it.
///
/// # Errors
/// The journal or the file cannot be written, or another program changed or replaced the file.
pub(crate) fn rewrite(
    file: &File,
    path: &Path,
    writes: &[Write],
    new_len: u64,
    read: &Stamp,
) -> Result<()> {
    steps::rewrite(&mut Files::new(file, path)?, writes, new_len, read)
}

/// Opens a regular file for reading and writing.
///
/// # Errors
/// The file does not exist, is not a regular file, has no name of its own, or is not writable.
pub(crate) fn open_writable(path: &Path) -> Result<File> {
    // Opening a FIFO would block, so check the type first.
    let found = fs::metadata(path).context("open", path)?;
    if found.is_dir() {
        let error = Error::new(
            Code::InPlaceRefused,
            format!(
                "{} is a directory, and only archives can be fixed in place",
                show_path(path)
            ),
        )
        .with_path(path);
        return Err(error.with_hint(Hint::WriteNewDirectory));
    }
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
            format!("{} refers to a file without a name", show_path(path)),
        )
        .with_path(path);
        return Err(error.with_hint(Hint::GiveNamedFile));
    }
    if is_link(path).context("open", path)? && is_open_file(path).context("open", path)? {
        let error = Error::new(
            Code::InPlaceRefused,
            format!(
                "{} is not the name of a file: it leads to whatever a process has open",
                show_path(path)
            ),
        )
        .with_path(path);
        return Err(error.with_hint(Hint::GiveOwnName));
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

#[cfg(test)]
mod tests;
