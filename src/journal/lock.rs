//! Advisory locks: one run rewrites a file, or several read it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Code, Error, Hint, Result, show_path};

/// Takes the lock of one who rewrites the file, for as long as the file is open.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<()> {
    outcome(file.try_lock(), path)
}

/// Takes the lock of those who read it.
pub(crate) fn shared(file: &File, path: &Path) -> Result<()> {
    outcome(file.try_lock_shared(), path)
}

fn outcome(lock: std::result::Result<(), TryLockError>, path: &Path) -> Result<()> {
    match lock {
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Code::FileBusy,
            format!("another ocify works on {}", show_path(path)),
        )
        .with_path(path)
        .with_hint(Hint::RetryWhenFree)),
        // Some filesystems do not have locks; then nothing can be known.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}
