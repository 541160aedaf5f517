//! Advisory locks: one run rewrites a file, or several read it.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Code, Error, Result, show_path};

/// Takes the lock of one who rewrites the file, for as long as the file is open.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<()> {
    lock(file, path, FlockOperation::NonBlockingLockExclusive)
}

/// Takes the lock of those who read it.
pub(crate) fn shared(file: &File, path: &Path) -> Result<()> {
    lock(file, path, FlockOperation::NonBlockingLockShared)
}

fn lock(file: &File, path: &Path, operation: FlockOperation) -> Result<()> {
    match flock(file, operation) {
        Err(Errno::WOULDBLOCK) => Err(Error::new(
            Code::FileBusy,
            format!("another ocify works on {}", show_path(path)),
        )
        .with_path(path)
        .with_hint("try again when it has ended")),
        // Some filesystems have no locks; then nothing can be known.
        Ok(()) | Err(_) => Ok(()),
    }
}
