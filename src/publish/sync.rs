//! Makes files and names survive a power failure.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{IoContext, Result};

/// Makes the names in a directory survive a power failure, if the filesystem can do that.
///
/// # Errors
/// The directory cannot be opened, or the device failed.
pub fn sync_directory(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    tolerated(synced).context("sync", path)
}

/// Network filesystems often have no such operation for directories.
fn tolerated(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Makes a file, or a directory with everything below it, survive a power failure, except for its own name.
///
/// # Errors
/// Something cannot be opened or synced.
pub(super) fn sync_tree(path: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(path)
        .context("sync", path)?
        .file_type();
    if kind.is_file() {
        let file = File::open(path).context("open", path)?;
        return file.sync_all().context("sync", path);
    }
    if !kind.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).context("list", path)? {
        sync_tree(&entry.context("list", path)?.path())?;
    }
    sync_directory(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn filesystems_that_cannot_sync_directories_are_tolerated() {
        for (errno, is_tolerated) in [
            (Errno::INVAL, true),
            (Errno::NOTSUP, true),
            (Errno::OPNOTSUPP, true),
            (Errno::NOSYS, true),
            (Errno::IO, false),
            (Errno::NOSPC, false),
        ] {
            let found = tolerated(Err(errno.into()));
            assert_eq!(found.is_ok(), is_tolerated, "{errno:?}");
        }
        // proc has no such operation, as some network filesystems.
        assert!(File::open("/proc/self").unwrap().sync_all().is_err());
        sync_directory(Path::new("/proc/self")).unwrap();
    }

    #[test]
    fn everything_below_a_directory_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("a/link")).unwrap();
        sync_tree(dir.path()).unwrap();
        let error = sync_tree(&dir.path().join("none")).unwrap_err();
        assert_eq!(error.code(), Code::Io);
    }
}
