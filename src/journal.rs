//! Rewrites parts of a file in place without losing data in a crash, by means of an undo journal.
//!
//! The journal is a file in the same directory that contains the old bytes of every range to be overwritten.
//! It is synced to disk before it gets its name, which is synced before the first byte of the file changes. It
//! is removed after the last change is synced. A leftover journal therefore means that a rewrite was
//! interrupted, and [`recover`] restores the file from it. A journal that is not complete was damaged later:
//! it is kept under another name, and the file is left unchanged.

mod disk;
mod format;
mod locate;
mod lock;
mod name;
mod refused;
mod stamp;
mod steps;
mod stored;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use disk::{Disk as _, Files};
use locate::locate;
pub(crate) use locate::{is_pending, open_writable, place};
pub use lock::Lock;
pub(crate) use lock::Locked;
pub use name::is_journal;
pub(crate) use refused::unfinished;
pub(crate) use stamp::Stamp;
pub(crate) use steps::Write;

use crate::beneath::{HeldPath, InputPath};
use crate::error::{Code, IoContext, Result};

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

/// Restores a file to its contents before an interrupted rewrite, if there was one. A symbolic link is followed.
///
/// # Errors
/// The file does not exist or is not writable, the rewrite is still running, or the journal is damaged or does
/// not belong to this file.
pub fn recover(path: &Path) -> Result<Recovery> {
    recover_locked(&InputPath::Named(path.to_owned())).map(|(recovery, _)| recovery)
}

/// The same, and whether other processes are kept away meanwhile. In a directory that is held open, no link is followed.
///
/// # Errors
/// Those of [`recover`].
pub fn recover_locked(input: &InputPath) -> Result<(Recovery, Lock)> {
    let path = &input.path();
    let nothing = Ok((Recovery::Nothing, Lock::Held));
    // From here on, the journal and the file are in the directory that is open, whatever its path leads to.
    let place = match input {
        InputPath::Held(place) => Some(place.clone()),
        InputPath::Named(path) => locate(path).context("open", path)?,
    };
    let Some(place) = place else { return nothing };
    if !is_pending(&InputPath::Held(place.clone()), false).context("open", path)? {
        return nothing;
    }
    let file = open_writable(&place, path).map_err(|error| match error.code() {
        Code::NotWritable => unfinished(path, "the file must be restored, but is not writable"),
        _ => error,
    })?;
    let file = Arc::new(file);
    let locked = Locked::exclusive(&file, path)?;
    let lock = locked.lock();
    let mut files = Files::new(&file, &place, path)?;
    // Another program may have replaced it before it was locked.
    if !files.is_named()? {
        return Err(refused::replaced(path));
    }
    // The lock holder may have finished by now.
    if !files.open_journal()? {
        return Ok((Recovery::Nothing, lock));
    }
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
    place: &HeldPath,
    writes: &[Write],
    new_len: u64,
    read: &Stamp,
) -> Result<()> {
    let path = &place.path();
    steps::rewrite(&mut Files::new(file, place, path)?, writes, new_len, read)
}

#[cfg(test)]
mod tests;
