//! Advisory locks: either one process rewrites a file, or any number of processes read it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Code, Error, Hint, Result, show_path};

/// Whether a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Other processes see the lock.
    Held,
    /// The filesystem has no locks, so nothing keeps other processes away.
    Unsupported,
}

/// A file that is locked until this is dropped. Closing the file would release the lock only once every process that was just
/// started from this one has closed its copy too.
#[derive(Debug)]
pub(crate) struct Locked {
    file: Arc<File>,
    lock: Lock,
}

impl Locked {
    /// Locks the file for rewriting. Does not wait.
    ///
    /// # Errors
    /// Another process has locked the file.
    pub(crate) fn exclusive(file: &Arc<File>, path: &Path) -> Result<Self> {
        let lock = outcome(file.try_lock(), path)?;
        let file = Arc::clone(file);
        Ok(Locked { file, lock })
    }

    /// Locks the file for reading. Does not wait.
    ///
    /// # Errors
    /// Another process has locked the file for rewriting.
    pub(crate) fn shared(file: &Arc<File>, path: &Path) -> Result<Self> {
        let lock = outcome(file.try_lock_shared(), path)?;
        let file = Arc::clone(file);
        Ok(Locked { file, lock })
    }

    /// Whether the file is locked.
    pub(crate) fn lock(&self) -> Lock {
        self.lock
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if self.lock == Lock::Held {
            let _ = self.file.unlock();
        }
    }
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

    /// A program that is being started has a copy of the file until it runs.
    #[test]
    fn a_lock_ends_when_it_is_dropped_even_if_the_file_stays_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || Arc::new(File::open(file.path()).unwrap());
        let first = open();
        let copy = first.try_clone().unwrap();
        let locked = Locked::exclusive(&first, file.path()).unwrap();
        for second in [Locked::exclusive, Locked::shared] {
            assert_eq!(
                second(&open(), file.path()).unwrap_err().code(),
                Code::FileBusy
            );
        }
        drop((locked, first));
        let readers =
            [open(), open()].map(|file_open| Locked::shared(&file_open, file.path()).unwrap());
        assert!(Locked::exclusive(&open(), file.path()).is_err());
        drop(readers);
        Locked::exclusive(&open(), file.path()).unwrap();
        drop(copy);
    }

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
