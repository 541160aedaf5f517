//! Opens what is below a directory, and nothing else.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// No link of any kind is followed, and nothing outside the directory is reached.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// How often the system may ask to try again. It does while something is renamed elsewhere.
const ATTEMPTS: usize = 64;

/// Opens an existing file or directory at a path below a directory.
///
/// # Errors
/// The path leads out of the directory, a part of it is a link, or the system refuses.
pub(super) fn beneath(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let by_kernel = || openat2(directory, path, flags, Mode::empty(), RESOLVE);
    beneath_by(by_kernel, directory, path, flags)
}

/// The same with another `openat2`.
fn beneath_by(
    mut openat2: impl FnMut() -> rustix::io::Result<OwnedFd>,
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match openat2() {
            Ok(opened) => return Ok(opened),
            Err(Errno::AGAIN) => std::thread::yield_now(),
            // The kernel or a sandbox does not have it.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    stepwise(directory, path, flags)
}

/// The same without `openat2`: one component at a time.
fn stepwise(directory: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let mut current: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::XDEV.into());
            }
        };
        let flags = match parts.peek() {
            Some(_) => super::HOLD,
            None => flags,
        };
        // With O_PATH and O_DIRECTORY, a link that is not followed is not a directory.
        let flags = flags | OFlags::NOFOLLOW;
        let at = current.as_ref().map_or(directory, |fd| {
            use std::os::fd::AsFd;
            fd.as_fd()
        });
        current = Some(openat(at, name, flags, Mode::empty())?);
    }
    current.ok_or_else(|| Errno::NOENT.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::beneath::{HOLD, READ_FILE};

    /// What opening gives: the content of a file, or the kind of failure.
    fn outcome(opened: io::Result<OwnedFd>) -> Result<String, &'static str> {
        match opened {
            Ok(opened) => Ok(io::read_to_string(File::from(opened)).unwrap()),
            Err(error) => Err(match Errno::from_io_error(&error) {
                Some(Errno::LOOP | Errno::NOTDIR) => "a link",
                Some(Errno::XDEV) => "outside",
                Some(Errno::NOENT) => "nothing",
                _ => panic!("{error}"),
            }),
        }
    }

    #[test]
    fn links_and_ways_out_are_refused_with_and_without_openat2() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("in/a/b")).unwrap();
        fs::write(at("in/a/b/file"), "inside").unwrap();
        fs::write(at("outside"), "outside").unwrap();
        symlink("b/file", at("in/a/link")).unwrap();
        symlink("a", at("in/link")).unwrap();
        symlink("../outside", at("in/out")).unwrap();
        symlink("/proc/self/fd", at("in/magic")).unwrap();
        let directory = File::open(at("in")).unwrap();
        let absolute = at("in/a/b/file");
        let cases = [
            ("a/b/file", Ok("inside".to_owned())),
            ("./a/b/file", Ok("inside".to_owned())),
            ("a/link", Err("a link")),
            ("link/b/file", Err("a link")),
            ("out", Err("a link")),
            ("magic/0", Err("a link")),
            ("../outside", Err("outside")),
            (absolute.to_str().unwrap(), Err("outside")),
            ("a/none", Err("nothing")),
            ("", Err("nothing")),
        ];
        for (path, expected) in cases {
            let path = Path::new(path);
            let found = outcome(beneath(directory.as_fd(), path, READ_FILE));
            assert_eq!(found, expected, "{path:?}");
            let found = outcome(stepwise(directory.as_fd(), path, READ_FILE));
            assert_eq!(found, expected, "stepwise: {path:?}");
            let is_directory = stepwise(directory.as_fd(), path, HOLD).is_ok();
            assert!(!is_directory, "{path:?}");
        }
        assert!(stepwise(directory.as_fd(), Path::new("a/b"), HOLD).is_ok());
        assert!(stepwise(directory.as_fd(), Path::new("link"), HOLD).is_err());
    }

    #[test]
    fn a_system_without_openat2_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/file"), "inside").unwrap();
        let directory = File::open(dir.path()).unwrap();
        let path = Path::new("a/file");
        for (errno, calls, expected) in [
            (Errno::NOSYS, 1, true),
            (Errno::PERM, 1, true),
            (Errno::INVAL, 1, true),
            (Errno::AGAIN, ATTEMPTS, true),
            (Errno::LOOP, 1, false),
            (Errno::XDEV, 1, false),
            (Errno::ACCESS, 1, false),
        ] {
            let mut count = 0;
            let fails = || {
                count += 1;
                Err(errno)
            };
            let opened = beneath_by(fails, directory.as_fd(), path, READ_FILE);
            assert_eq!(opened.is_ok(), expected, "{errno:?}");
            assert_eq!(count, calls, "{errno:?}");
        }
        // It succeeds when the renaming has ended.
        let mut failures = 3;
        let succeeds = || match failures {
            0 => openat2(&directory, path, READ_FILE, Mode::empty(), RESOLVE),
            _ => {
                failures -= 1;
                Err(Errno::AGAIN)
            }
        };
        assert!(beneath_by(succeeds, directory.as_fd(), path, READ_FILE).is_ok());
    }
}
