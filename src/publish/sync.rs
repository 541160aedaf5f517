//! Makes files and names survive a power failure.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, syncfs};
use rustix::io::Errno;

use crate::beneath::{Directory, HeldPath};
use crate::error::{IoContext, Result};

/// Makes the names in a directory survive a power failure, if the filesystem can do that.
///
/// # Errors
/// The directory cannot be opened, or the device failed.
pub fn sync_directory(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    tolerated(synced).context("sync", path)
}

/// The same for a directory that is held open.
///
/// # Errors
/// The directory may not be read, or the device failed.
pub fn sync_held(directory: &Directory) -> Result<()> {
    let synced = directory
        .readable()
        .and_then(|readable| readable.sync_all());
    tolerated(synced).context("sync", directory.path())
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

/// From this many files and directories, the whole filesystem is synced at once. One by one, each would wait for the
/// disk, but what others have written would not have to reach it.
const MANY: usize = 8;

/// Makes files, and directories with everything below them, survive a power failure, except for their own names.
/// All are in `directory` or below it, on the same filesystem. The results are in the order of the paths.
pub fn sync_group(directory: &Directory, paths: &[&HeldPath]) -> Vec<Result<()>> {
    if paths.len() >= MANY && sync_filesystem(directory).is_ok() {
        return paths.iter().map(|_| Ok(())).collect();
    }
    // Also after an error, which may be about other files.
    paths.iter().map(|path| sync_tree(path)).collect()
}

fn sync_filesystem(directory: &Directory) -> io::Result<()> {
    Ok(syncfs(directory.readable()?)?)
}

/// Makes a file, or a directory with everything below it, survive a power failure, except for its own name.
///
/// # Errors
/// Something cannot be opened or synced.
pub fn sync_tree(path: &HeldPath) -> Result<()> {
    let found = path.look_up().context("sync", path.path())?;
    sync_kind(path, found.kind)
}

fn sync_kind(path: &HeldPath, kind: FileType) -> Result<()> {
    if kind.is_file() {
        let file = path.read().context("open", path.path())?;
        return file.sync_all().context("sync", path.path());
    }
    if !kind.is_dir() {
        return Ok(());
    }
    let directory = path.read_directory().context("open", path.path())?;
    let entries = directory.entries().context("list", path.path())?;
    for (name, kind) in entries {
        let entry = HeldPath::new(&directory, &name).context("sync", path.path())?;
        sync_kind(&entry, kind)?;
    }
    sync_held(&directory)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        sync_held(&Directory::open("/proc/self").unwrap()).unwrap();
    }

    #[test]
    fn everything_below_a_directory_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("a/link")).unwrap();
        sync_tree(&HeldPath::of(&dir.path().join("a")).unwrap()).unwrap();
        let none = HeldPath::of(&dir.path().join("none")).unwrap();
        assert_eq!(sync_tree(&none).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn a_group_is_synced_at_once_or_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let held = |name: &str| HeldPath::of(&dir.path().join(name)).unwrap();
        let (file, none) = (held("file"), held("none"));
        let directory = Directory::open(dir.path()).unwrap();
        let results = |paths: &[&HeldPath], directory: &Directory| -> Vec<bool> {
            let synced = sync_group(directory, paths);
            synced.iter().map(Result::is_ok).collect()
        };
        assert!(results(&[], &directory).is_empty());
        assert_eq!(results(&[&file, &none], &directory), [true, false]);
        let paths: [&HeldPath; MANY] = [&file; MANY];
        assert_eq!(results(&paths, &directory), [true; MANY]);
        // Without the filesystem, each says how it went.
        let mut paths = paths;
        paths[2] = &none;
        let mut expected = [true; MANY];
        expected[2] = false;
        let removed = Directory::open(dir.path()).unwrap();
        assert_eq!(results(&paths[..MANY - 1], &removed), expected[..MANY - 1]);
    }
}
