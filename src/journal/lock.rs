//! Advisory locks: either one process rewrites a file, or any number of processes read it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Code, Error, Hint, Result, show_path};

/// Locks the file for rewriting until it is closed. Does not wait.
///
/// # Errors
/// Another process has locked the file.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<()> {
    outcome(file.try_lock(), path)
}

/// Locks the file for reading until it is closed. Does not wait.
///
/// # Errors
/// Another process has locked the file for rewriting.
pub(crate) fn shared(file: &File, path: &Path) -> Result<()> {
    outcome(file.try_lock_shared(), path)
}

fn outcome(lock: std::result::Result<(), TryLockError>, path: &Path) -> Result<()> {
    match lock {
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Code::FileBusy,
            format!("another ocify process is using {}", show_path(path)),
        )
        .with_path(path)
        .with_hint(Hint::RetryWhenFree)),
        // Some filesystems do not support locks. Continue without one.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}
