//! Advisory locks: either one process rewrites a file, or any number of processes read it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Code, Error, Hint, Result, show_path};

/// Whether a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Other processes see the lock.
    Held,
    /// The filesystem has no locks, so nothing keeps other processes away.
    Unsupported,
}

/// Locks the file for rewriting until it is closed. Does not wait.
///
/// # Errors
/// Another process has locked the file.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<Lock> {
    outcome(file.try_lock(), path)
}

/// Locks the file for reading until it is closed. Does not wait.
///
/// # Errors
/// Another process has locked the file for rewriting.
pub(crate) fn shared(file: &File, path: &Path) -> Result<Lock> {
    outcome(file.try_lock_shared(), path)
}

fn outcome(lock: std::result::Result<(), TryLockError>, path: &Path) -> Result<Lock> {
    match lock {
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Code::FileBusy,
            format!("another ocify process is using {}", show_path(path)),
        )
        .with_path(path)
        .with_hint(Hint::RetryWhenFree)),
        Ok(()) => Ok(Lock::Held),
        // Network filesystems differ in how they say that they have none.
        Err(TryLockError::Error(_)) => Ok(Lock::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_filesystem_without_locks_is_not_an_error() {
        let path = Path::new("a.tar");
        for errno in [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL] {
            let failed = TryLockError::Error(io::Error::from(errno));
            assert_eq!(outcome(Err(failed), path).unwrap(), Lock::Unsupported);
        }
        assert_eq!(outcome(Ok(()), path).unwrap(), Lock::Held);
        let error = outcome(Err(TryLockError::WouldBlock), path).unwrap_err();
        assert_eq!(error.code(), Code::FileBusy);
    }
}
