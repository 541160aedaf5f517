//! A path whose directory is held open.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{Directory, FileStat, READ_DIRECTORY, READ_FILE, is_name, regular};

/// A name in a directory that is held open. There may be nothing with this name. If a symbolic link has it, it is not
/// followed.
#[derive(Clone, Debug)]
pub struct HeldPath {
    directory: Directory,
    name: OsString,
}

impl HeldPath {
    /// The path that a user named. Links to its directory are followed, and that directory is held.
    ///
    /// # Errors
    /// The path does not end in a name, or its directory cannot be opened.
    pub fn of(path: &Path) -> io::Result<HeldPath> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Self::new(&Directory::open(parent)?, name)
    }

    /// A name in a directory.
    ///
    /// # Errors
    /// It is not the name of an entry of a directory.
    pub fn new(directory: &Directory, name: &OsStr) -> io::Result<HeldPath> {
        if !is_name(name) {
            return Err(Errno::XDEV.into());
        }
        Ok(HeldPath {
            directory: directory.clone(),
            name: name.to_owned(),
        })
    }

    /// A path below a directory. None of its parts may be a link, and the directory that contains its last part is held open.
    ///
    /// # Errors
    /// The path leads out of the directory, does not end in a name, or its directory cannot be opened.
    pub fn below(directory: &Directory, path: &Path) -> io::Result<HeldPath> {
        let name = path.file_name().ok_or(Errno::XDEV)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Self::new(&directory.below(parent)?, name)
    }

    /// The path, for messages.
    pub fn path(&self) -> PathBuf {
        self.directory.join(Path::new(&self.name))
    }

    /// The name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Another name in the same directory.
    ///
    /// # Errors
    /// It is not the name of an entry of a directory.
    pub fn beside(&self, name: &OsStr) -> io::Result<HeldPath> {
        Self::new(&self.directory, name)
    }

    /// What has the name; of a link, the link.
    ///
    /// # Errors
    /// Nothing has it, or the system refuses.
    pub fn look_up(&self) -> io::Result<FileStat> {
        let found = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        Ok(found?.into())
    }

    /// Whether something has the name.
    pub fn exists(&self) -> bool {
        self.look_up().is_ok()
    }

    /// Opens a regular file for reading. Does not wait for the writer of a FIFO that replaced it.
    ///
    /// # Errors
    /// It is not a regular file, or cannot be opened.
    pub fn read(&self) -> io::Result<File> {
        regular(self.open(READ_FILE, Mode::empty())?)
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// It is not a directory, or cannot be opened.
    pub fn read_directory(&self) -> io::Result<Directory> {
        let opened = self.open(READ_DIRECTORY, Mode::empty())?;
        Ok(Directory::of(opened, &self.path()))
    }

    /// Opens it without following a link.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(&self, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.directory, &self.name, flags, mode)?.into())
    }

    /// Creates a file, for reading and writing. Its mode is that of a new file.
    ///
    /// # Errors
    /// Something has the name, or the system refuses.
    pub fn create_new(&self) -> io::Result<File> {
        self.create_with(0o666)
    }

    /// The same with these permissions, from which the umask takes some.
    pub(crate) fn create_with(&self, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open(flags, Mode::from_raw_mode(mode))
    }

    /// Creates a directory. Its mode is that of a new directory.
    ///
    /// # Errors
    /// Something has the name, or the system refuses.
    pub fn create_directory(&self) -> io::Result<()> {
        self.create_directory_with(0o777)
    }

    /// The same with these permissions, from which the umask takes some.
    pub(crate) fn create_directory_with(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        Ok(mkdirat(&self.directory, &self.name, mode)?)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is not a link, or cannot be read.
    pub fn link_target(&self) -> io::Result<OsString> {
        let target = readlinkat(&self.directory, &self.name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Creates a symbolic link.
    ///
    /// # Errors
    /// Something has the name, or the system refuses.
    pub fn create_link(&self, target: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.directory, &self.name)?)
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// There is none, or the system refuses.
    pub(crate) fn remove_file(&self) -> io::Result<()> {
        self.unlink(AtFlags::empty())
    }

    /// Removes a file, a link or a directory with everything below it, if there is one.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(&self) -> io::Result<()> {
        let removed = match self.look_up() {
            Ok(found) if found.kind.is_dir() => self.remove_directory(),
            Ok(_) => self.remove_file(),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove_directory(&self) -> io::Result<()> {
        let directory = self.read_directory()?;
        for (name, kind) in directory.entries()? {
            let entry = Self::new(&directory, &name)?;
            match kind.is_dir() {
                true => entry.remove_directory()?,
                false => entry.remove_file()?,
            }
        }
        self.unlink(AtFlags::REMOVEDIR)
    }

    fn unlink(&self, flags: AtFlags) -> io::Result<()> {
        Ok(unlinkat(&self.directory, &self.name, flags)?)
    }

    /// Whether an open file or directory is the one with this name.
    pub fn is(&self, file: &File) -> bool {
        self.names(file).unwrap_or(false)
    }

    /// The same, unless the system does not say.
    ///
    /// # Errors
    /// The open file or the name cannot be looked up.
    pub(crate) fn names(&self, file: &File) -> io::Result<bool> {
        let open = FileStat::from(fstat(file)?);
        match self.look_up() {
            Ok(named) => Ok(open.identity() == named.identity()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::beneath::Links;

    #[test]
    fn only_names_are_names() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        for name in ["", ".", "..", "a/b", "/a", "a/"] {
            assert!(HeldPath::new(&directory, name.as_ref()).is_err(), "{name}");
        }
        assert!(HeldPath::of(&dir.path().join("..")).is_err());
        let held = HeldPath::of(&dir.path().join("a")).unwrap();
        assert_eq!(held.path(), dir.path().join("a"));
        assert!(HeldPath::below(&directory, Path::new("../a")).is_err());
        // A name in the current directory is shown as it was given.
        let held = HeldPath::of(Path::new("Cargo.toml")).unwrap();
        assert_eq!(held.path(), Path::new("Cargo.toml"));
        assert!(held.read().is_ok());
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("file"), "precious").unwrap();
        fs::write(at("sub/file"), "precious").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("sub", at("directory")).unwrap();
        let held = |name: &str| HeldPath::of(&at(name)).unwrap();
        assert!(held("link").read().is_err());
        assert!(held("link").create_new().is_err());
        assert!(held("directory").read_directory().is_err());
        assert!(held("directory").create_directory().is_err());
        for name in ["link", "directory", "sub", "none"] {
            held(name).remove().unwrap();
            assert!(!held(name).exists());
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"precious");
        held("link").create_link("file".as_ref()).unwrap();
        assert_eq!(held("link").link_target().unwrap(), "file");
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let held = HeldPath::of(&dir.path().join("fifo")).unwrap();
        rustix::fs::mkfifoat(held.directory(), held.name(), Mode::RUSR).unwrap();
        assert!(held.read().is_err());
        assert!(
            held.directory()
                .read(Path::new("fifo"), Links::Refuse)
                .is_err()
        );
        assert!(HeldPath::of(dir.path()).unwrap().read().is_err());
    }
}
