//! What a path leads to when a file is to be written there.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{PROC_SUPER_MAGIC, statfs};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Destination {
    /// A regular file, which a new one replaces, or nothing.
    File,
    /// A device, a FIFO or a socket, which is written to.
    Special,
    /// A symbolic link to something that is not open.
    Link,
    /// A file that a process has open, by a link such as `/dev/stdout`.
    OpenFile,
}

impl Destination {
    /// Follows a path.
    ///
    /// # Errors
    /// It leads to a directory or a block device, or cannot be looked up.
    pub(super) fn of(path: &Path) -> io::Result<Destination> {
        // The kernel refuses links that others planted in a directory such as /tmp; following them by
        // hand must not get around that.
        match fs::metadata(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let mut path = path.to_owned();
        for followed in 0..=MAX_LINKS {
            let found = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && followed == 0 => {
                    return Ok(Destination::File);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Destination::Link);
                }
                other => other?,
            };
            let kind = found.file_type();
            if kind.is_symlink() {
                let directory = parent(&path);
                if is_procfs(directory) {
                    return Ok(Destination::OpenFile);
                }
                path = directory.join(fs::read_link(&path)?);
            } else if followed > 0 && !kind.is_dir() {
                return Ok(Destination::Link);
            } else if kind.is_file() {
                return Ok(Destination::File);
            } else if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            } else if kind.is_block_device() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it is a block device, and writing to it would destroy its content",
                ));
            } else {
                return Ok(Destination::Special);
            }
        }
        Err(Errno::LOOP.into())
    }
}

/// Whether a path is a symbolic link, other than one to a file that a process has open.
///
/// # Errors
/// The path cannot be looked up, or leads to a directory or a block device.
pub fn is_link_to_file(path: &Path) -> io::Result<bool> {
    Ok(matches!(Destination::of(path)?, Destination::Link))
}

/// Whether a path is a link to a file that a process has open, such as `/dev/stdin` or `/proc/self/fd/3`, or
/// leads to such a link.
///
/// # Errors
/// The path cannot be looked up, or leads to a directory or a block device.
pub fn is_open_file(path: &Path) -> io::Result<bool> {
    Ok(matches!(Destination::of(path)?, Destination::OpenFile))
}

/// The directory of a path, which is `.` for a name alone.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether a directory belongs to /proc, whose links lead to what a process has open rather than to a
/// path.
fn is_procfs(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_seen_whatever_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "").unwrap();
        for (link, target) in [
            ("direct", "sub/file"),
            ("chain", "direct"),
            ("dangling", "sub/new"),
            ("sub/up", "../direct"),
            ("loop", "loop"),
            ("directory", "sub"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let of = |name: &str| match Destination::of(&at(name)) {
            Ok(Destination::File) => Ok("file"),
            Ok(Destination::Link) => Ok("link"),
            Ok(other) => panic!("{name}: {other:?}"),
            Err(error) => Err(error.raw_os_error()),
        };
        for name in ["sub/file", "new", "sub/new"] {
            assert_eq!(of(name), Ok("file"), "{name}");
        }
        symlink("/dev/null", at("null")).unwrap();
        for name in ["direct", "chain", "sub/up", "dangling", "null"] {
            assert_eq!(of(name), Ok("link"), "{name}");
        }
        assert_eq!(of("loop"), Err(Some(Errno::LOOP.raw_os_error())));
        assert_eq!(
            of("sub/file/below"),
            Err(Some(Errno::NOTDIR.raw_os_error()))
        );
        for name in ["sub", "directory"] {
            let error = Destination::of(&at(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory, "{name}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_seen() {
        for path in ["/dev/null", "/dev/zero"] {
            let found = Destination::of(Path::new(path));
            assert!(matches!(found, Ok(Destination::Special)), "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/proc/self/fd/1", &link).unwrap();
        for path in [&link, Path::new("/proc/self/fd/2")] {
            let found = Destination::of(path);
            assert!(matches!(found, Ok(Destination::OpenFile)), "{path:?}");
            assert!(is_open_file(path).unwrap());
        }
    }
}
