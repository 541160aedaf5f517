//! Files that are not archives, copied unchanged.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ocify::{Result, command::IoContext};
use rustix::fs::OFlags;

/// Copies a regular file to a new one, with its mode and its time. No link is followed, not even one
/// that replaced the file.
///
/// # Errors
/// The file cannot be read or written, or it is no longer a regular file.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from).context("open", from)?;
    let metadata = source.metadata().context("read", from)?;
    if !metadata.is_file() {
        return Err(io::Error::other("no longer a regular file")).context("copy", from);
    }
    let mut copy = File::create_new(to).context("create", to)?;
    let times = metadata
        .modified()
        .map(|time| FileTimes::new().set_modified(time));
    io::copy(&mut source, &mut copy)
        .and_then(|_| copy.set_permissions(metadata.permissions()))
        .and_then(|()| copy.set_times(times?))
        .inspect_err(|_| drop(fs::remove_file(to)))
        .context("copy", from)
}

/// Never through a link, and not waiting for the writer of a fifo that replaced the file.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Creates a link with the target of another.
///
/// # Errors
/// It cannot be read or created.
pub(crate) fn copy_link(from: &Path, to: &Path) -> Result<()> {
    let target = fs::read_link(from).context("read", from)?;
    std::os::unix::fs::symlink(target, to).context("create", to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::fingerprint::Fingerprint;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_and_links_are_copied_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "text").unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o640)).unwrap();
        copy_file(&at("a"), &at("b")).unwrap();
        assert_eq!(fs::read(at("b")).unwrap(), b"text");
        let fingerprint = |name: &str| Fingerprint::of(&at(name)).unwrap();
        assert_eq!(fingerprint("a"), fingerprint("b"));
        let mode = fs::metadata(at("b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);

        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        copy_link(&at("link"), &at("same")).unwrap();
        assert_eq!(fs::read_link(at("same")).unwrap(), Path::new("nowhere"));
        assert!(copy_file(&at("link"), &at("c")).is_err());
        assert!(!at("c").exists());
    }
}
