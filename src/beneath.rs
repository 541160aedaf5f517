//! Directories that are held open, and what is below them, which is opened without following links.
//!
//! The system looks up a path again at every call, and whoever may write to one of the directories on the way can put a
//! link there in between. So below a directory that the user named, nothing is opened by its path: a directory
//! stays open, and names are looked up in it, one component at a time.

mod file_stat;
mod held_path;
mod input_path;
mod open;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

pub use file_stat::FileStat;
pub use held_path::HeldPath;
pub use input_path::InputPath;

/// What a directory is opened with to look up names in it, which needs no permission to list it.
const HOLD: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// What a directory is opened with to list, lock or sync it.
const READ_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// What a file is opened with that may have been replaced by something else, such as a FIFO without a writer.
const READ_FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What is done about symbolic links in an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// No link that leads out of a directory is followed.
    #[default]
    Refuse,
    /// Links are followed wherever they lead.
    Follow,
}

/// A directory that is held open. What happens to its path has no effect on it, and no symbolic link below it is
/// followed.
///
/// Programs that work on files in directories that others can write to use this with
/// [`Input::beneath`](crate::Input::beneath) and [`Output::beneath`](crate::Output::beneath).
#[derive(Clone, Debug)]
pub struct Directory {
    file: Arc<File>,
    path: Arc<Path>,
}

impl Directory {
    /// Opens the directory at a path, in which symbolic links are followed.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or may not be searched.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Directory> {
        let path = path.as_ref();
        let shown = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let opened = openat(CWD, shown, HOLD, Mode::empty())?;
        Ok(Self::of(File::from(opened), path))
    }

    /// The directory at a path below this one, in which no symbolic link is followed.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or is not below this one: the path is absolute or contains `..`, or a part
    /// of it is a link.
    pub fn below(&self, path: impl AsRef<Path>) -> io::Result<Directory> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Ok(self.clone());
        }
        let opened = open::beneath(self.as_fd(), path, HOLD)?;
        Ok(Self::of(File::from(opened), &self.join(path)))
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        match self.path.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.path,
        }
    }

    /// A directory that is open already.
    pub(crate) fn of(file: impl Into<Arc<File>>, path: &Path) -> Directory {
        Directory {
            file: file.into(),
            path: path.into(),
        }
    }

    /// The open directory.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The path of something below it, for messages.
    pub(crate) fn join(&self, below: &Path) -> PathBuf {
        self.path.join(below)
    }

    /// The same as [`below`](Self::below), but directories that do not exist are created.
    #[doc(hidden)]
    pub fn create_below(&self, path: &Path) -> io::Result<Directory> {
        match self.below(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut directory = self.clone();
        for part in path.components() {
            let Component::Normal(name) = part else {
                return Err(Errno::XDEV.into());
            };
            match HeldPath::new(&directory, name)?.create_directory() {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            directory = directory.below(name)?;
        }
        Ok(directory)
    }

    /// Opens a regular file at a path relative to this directory, without waiting. Links are followed only if `links` says so.
    #[doc(hidden)]
    pub fn read(&self, path: &Path, links: Links) -> io::Result<File> {
        regular(self.open_file(path, links)?)
    }

    /// Opens what is at a path relative to this directory, for reading and without waiting. The caller checks whether it
    /// is a regular file.
    pub(crate) fn open_file(&self, path: &Path, links: Links) -> io::Result<File> {
        Ok(match links {
            Links::Refuse => open::beneath(self.as_fd(), path, READ_FILE)?.into(),
            Links::Follow => openat(self, path, READ_FILE, Mode::empty())?.into(),
        })
    }

    /// What is at a path below this directory; of a link, the link.
    #[doc(hidden)]
    pub fn look_up(&self, path: &Path) -> io::Result<FileStat> {
        if is_name(path.as_os_str()) {
            return Ok(statat(self, path, AtFlags::SYMLINK_NOFOLLOW)?.into());
        }
        HeldPath::below(self, path)?.look_up()
    }

    /// What is at a path relative to this directory; of a link, what it leads to.
    #[doc(hidden)]
    pub fn look_up_followed(&self, path: &Path) -> io::Result<FileStat> {
        Ok(statat(self, path, AtFlags::empty())?.into())
    }

    /// The directory at a path relative to this one, in which links are followed only if `links` says so.
    #[doc(hidden)]
    pub fn below_with(&self, path: &Path, links: Links) -> io::Result<Directory> {
        if links == Links::Refuse || path.as_os_str().is_empty() {
            return self.below(path);
        }
        let opened = openat(self, path, HOLD, Mode::empty())?;
        Ok(Self::of(File::from(opened), &self.join(path)))
    }

    /// What the system says about the directory.
    #[doc(hidden)]
    pub fn stat(&self) -> io::Result<FileStat> {
        Ok(fstat(self)?.into())
    }

    /// The identities of this directory and of all those that it is in. They are found through it, whatever its path leads to.
    pub(crate) fn identities_above(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut identities = vec![self.stat()?.identity()];
        let mut above = openat(self, c"..", HOLD, Mode::empty())?;
        loop {
            let identity = FileStat::from(fstat(&above)?).identity();
            // The root is its own parent.
            if identities.last() == Some(&identity) {
                return Ok(identities);
            }
            identities.push(identity);
            above = openat(&above, c"..", HOLD, Mode::empty())?;
        }
    }

    /// Its entries in the order of their names, each with its type; of a link, that of the link.
    #[doc(hidden)]
    pub fn entries(&self) -> io::Result<Vec<(OsString, FileType)>> {
        let mut entries = Vec::new();
        for entry in Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !is_name(name) {
                continue;
            }
            let kind = match entry.file_type() {
                // Not every filesystem says.
                FileType::Unknown => match self.look_up(Path::new(name)) {
                    Ok(found) => found.kind,
                    // It was removed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
                kind => kind,
            };
            entries.push((name.to_owned(), kind));
        }
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(entries)
    }

    /// Whether it has no entries.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        for entry in Dir::new(self.readable()?)? {
            if is_name(OsStr::from_bytes(entry?.file_name().to_bytes())) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The directory again, opened so that it can be listed, locked and synced.
    pub(crate) fn readable(&self) -> io::Result<File> {
        Ok(openat(self, c".", READ_DIRECTORY, Mode::empty())?.into())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Refuses an open file that is not a regular one.
fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Whether a path is the name of an entry of a directory.
fn is_name(path: &OsStr) -> bool {
    !matches!(path.as_bytes(), b"" | b"." | b"..") && !path.as_bytes().contains(&b'/')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_happens_to_the_path_has_no_effect() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("held/sub")).unwrap();
        fs::create_dir_all(at("other/sub")).unwrap();
        fs::write(at("held/sub/file"), "held").unwrap();
        fs::write(at("other/sub/file"), "other").unwrap();
        symlink("held", at("link")).unwrap();
        // The user may name a link.
        let directory = Directory::open(at("link")).unwrap();
        fs::rename(at("held"), at("moved")).unwrap();
        symlink("other", at("held")).unwrap();
        let file = directory
            .read(Path::new("sub/file"), Links::Refuse)
            .unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "held");
        assert_eq!(directory.path(), at("link"));
        let created = directory.create_below(Path::new("new/er")).unwrap();
        assert_eq!(created.path(), at("link/new/er"));
        assert!(at("moved/new/er").is_dir() && !at("other/new").exists());
    }

    #[test]
    fn what_a_directory_is_in_is_found_wherever_it_was_moved() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir_all(at("c/d")).unwrap();
        symlink("c", at("link")).unwrap();
        let identity = |path: &Path| FileStat::from(&fs::metadata(path).unwrap()).identity();
        let held = Directory::open(at("a/b")).unwrap();
        fs::rename(at("a/b"), at("c/d/b")).unwrap();
        symlink("../c", at("a/b")).unwrap();
        let real = fs::canonicalize(at("c/d/b")).unwrap();
        let expected: Vec<_> = real.ancestors().map(identity).collect();
        assert_eq!(held.identities_above().unwrap(), expected);
        let root = Directory::open("/").unwrap();
        assert_eq!(root.identities_above().unwrap(), [identity(Path::new("/"))]);
    }

    #[test]
    fn entries_are_sorted_and_links_are_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        fs::create_dir(dir.path().join("c")).unwrap();
        symlink("c", dir.path().join("a")).unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        assert!(!directory.is_empty().unwrap());
        assert!(directory.below("c").unwrap().is_empty().unwrap());
        let expected = [
            ("a", FileType::Symlink),
            ("b", FileType::RegularFile),
            ("c", FileType::Directory),
        ];
        let expected = expected.map(|(name, kind)| (OsString::from(name), kind));
        assert_eq!(directory.entries().unwrap(), expected);
        let kind = |path: &str| Ok::<_, io::Error>(directory.look_up(Path::new(path))?.kind);
        assert_eq!(kind("a").unwrap(), FileType::Symlink);
        fs::write(dir.path().join("c/d"), "").unwrap();
        assert_eq!(kind("c/d").unwrap(), FileType::RegularFile);
        kind("a/d").unwrap_err();
    }
}
