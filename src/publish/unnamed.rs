//! Files without a name that get one later: what tempfile does not have.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

/// The permissions of a file that anybody may read and write, as far as the umask lets them.
pub(super) const PUBLIC: u32 = 0o666;
/// The permissions of a file that only its owner may read and write.
pub(super) const PRIVATE: u32 = 0o600;

/// A new file without a name that can get one later, and is gone otherwise. `None` if the filesystem or the
/// system has no such files.
pub(crate) fn linkable(directory: &Path) -> Option<File> {
    linkable_with(directory, PUBLIC)
}

/// The same with these permissions, from which the umask takes some.
pub(super) fn linkable_with(directory: &Path, mode: u32) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let file = File::from(openat(CWD, directory, flags, mode).ok()?);
    // Without /proc it could never be given a name.
    static SHOWS_OPEN_FILES: OnceLock<bool> = OnceLock::new();
    let is_shown = *SHOWS_OPEN_FILES.get_or_init(|| is_shown(&file).unwrap_or(false));
    is_shown.then_some(file)
}

/// Whether /proc leads to an open file.
fn is_shown(file: &File) -> io::Result<bool> {
    let (own, shown) = (file.metadata()?, std::fs::metadata(open_path(file))?);
    Ok((own.dev(), own.ino()) == (shown.dev(), shown.ino()))
}

fn open_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives an open file a name, in addition to those it has.
///
/// # Errors
/// Something is there already, or the system refuses.
pub(crate) fn link_open(file: &File, path: &Path) -> io::Result<()> {
    let open = open_path(file);
    Ok(linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}
