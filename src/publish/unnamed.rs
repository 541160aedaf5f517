//! Files without a name that get one later: what tempfile does not have.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

use super::temporary::Names;
use crate::beneath::{Directory, FileStat, HeldPath};

/// The permissions of a file that anybody may read and write, as far as the umask lets them.
pub(super) const PUBLIC: u32 = 0o666;
/// The permissions of a file that only its owner may read and write.
pub(super) const PRIVATE: u32 = 0o600;

/// A new file without a name that can get one later, and is gone otherwise. `None` if the filesystem or the
/// system has no such files.
pub(crate) fn linkable(directory: &Directory) -> Option<File> {
    linkable_with(directory, PUBLIC)
}

/// The same with these permissions, from which the umask takes some.
pub(super) fn linkable_with(directory: &Directory, mode: u32) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let file = File::from(openat(directory, c".", flags, mode).ok()?);
    // Without /proc it could never be given a name.
    static SHOWS_OPEN_FILES: OnceLock<bool> = OnceLock::new();
    let is_shown = *SHOWS_OPEN_FILES.get_or_init(|| is_shown(&file).unwrap_or(false));
    is_shown.then_some(file)
}

/// A new file that is gone when it is closed. Only its owner may read and write it.
///
/// # Errors
/// The system refuses.
pub(crate) fn nameless(directory: &Directory) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(directory, c".", flags, Mode::from_raw_mode(PRIVATE)) {
        Ok(file) => Ok(file.into()),
        // Not every filesystem has files without a name.
        Err(_) => named_for_a_moment(directory),
    }
}

/// The same where every file has a name at first.
fn named_for_a_moment(directory: &Directory) -> io::Result<File> {
    let names = Names::of(&HeldPath::new(directory, "spool".as_ref())?)?;
    let (file, temporary) = names.create(|path| path.create_with(PRIVATE))?;
    temporary.remove()?;
    Ok(file)
}

/// Whether /proc leads to an open file.
fn is_shown(file: &File) -> io::Result<bool> {
    let shown = FileStat::from(&std::fs::metadata(open_path(file))?);
    Ok(FileStat::from(&file.metadata()?).identity() == shown.identity())
}

fn open_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives an open file a name, in addition to those it has.
///
/// # Errors
/// Something is there already, or the system refuses.
pub(crate) fn link_open(file: &File, path: &HeldPath) -> io::Result<()> {
    let open = open_path(file);
    let flags = AtFlags::SYMLINK_FOLLOW;
    Ok(linkat(CWD, open, path.directory(), path.name(), flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn temporary_files_leave_no_name() {
        // /proc has no files without a name, and no others either.
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        for create in [nameless, named_for_a_moment] {
            let mut file = create(&directory).unwrap();
            assert!(directory.entries().unwrap().is_empty());
            // It contains layers that not everybody may be allowed to read.
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            file.write_all(b"text").unwrap();
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
        nameless(&Directory::open("/proc").unwrap()).unwrap_err();
    }
}
