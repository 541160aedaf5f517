//! Files and directories that are filled before they get their final names.

use std::fs::File;
use std::io;
use std::path::Path;

use super::permissions::{keep_permissions, until_published};
use super::rename::{complete, rename, rename_new, replace};
use super::sync::{sync_held, sync_tree};
use super::temporary::{Names, Temporary, hold};
use super::unnamed::{PRIVATE, PUBLIC, link_open, linkable_with};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Error, IoContext, Result};

/// How to publish.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishOptions {
    /// Replace a regular file, or a directory that is replaced by a directory. It stays until the new one is
    /// on the disk.
    pub replace: bool,
    /// Wait until the file or directory and its name are on the disk.
    pub sync: bool,
}

/// How publishing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Published {
    /// It has its final name.
    Done,
    /// Something else has the name, and keeps it.
    Exists,
    /// A directory that is not empty has the name, and keeps it.
    NotEmpty,
}

/// A file that is being filled. It is removed when this is dropped, unless it was published.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    /// Without one, the file has no name yet, and nothing remains even after a crash.
    temporary: Option<Temporary>,
    destination: HeldPath,
}

impl StagedFile {
    /// An empty file that will be `destination`, whose directory is held until then.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(destination: &Path) -> io::Result<StagedFile> {
        Self::create_held(HeldPath::of(destination)?)
    }

    /// The same in a directory that is held already.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create_held(destination: HeldPath) -> io::Result<StagedFile> {
        Self::create_with(destination, PUBLIC)
    }

    /// The same, but only its owner may read and write it.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn create_private(destination: HeldPath) -> io::Result<StagedFile> {
        Self::create_with(destination, PRIVATE)
    }

    fn create_with(destination: HeldPath, mode: u32) -> io::Result<StagedFile> {
        match linkable_with(destination.directory(), mode) {
            Some(file) => Ok(StagedFile {
                file,
                temporary: None,
                destination,
            }),
            None => Self::create_named(destination, mode),
        }
    }

    fn create_named(destination: HeldPath, mode: u32) -> io::Result<StagedFile> {
        let names = Names::of(&destination)?;
        let mode = until_published(mode, &destination);
        names.remove_abandoned();
        let (file, temporary) = names.create(|path| {
            let file = path.create_with(mode)?;
            hold(&file, path)?;
            Ok(file)
        })?;
        Ok(StagedFile {
            file,
            temporary: Some(temporary),
            destination,
        })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the complete file its final name. It takes the permissions of a file that it replaces.
    ///
    /// # Errors
    /// The system refuses; then what was there stays.
    pub fn publish(mut self, options: PublishOptions) -> Result<Published> {
        let (published, syncs) = self.name(options)?;
        let directory = self.destination.directory().clone();
        // Its lock is of no use any more, and would keep readers away: also while a process that was just started from this one
        // still has the file open.
        let _ = self.file.unlock();
        drop(self);
        if syncs && published == Published::Done {
            sync_held(&directory).map_err(complete)?;
        }
        Ok(published)
    }

    /// The same, but the file stays open and locked, so that no other run gets its lock in between. `None` if
    /// something else has the name.
    ///
    /// # Errors
    /// The system refuses; then what was there stays.
    pub fn publish_locked(mut self, options: PublishOptions) -> Result<Option<File>> {
        // Where there are no locks, no other run gets one either.
        let _ = self.file.try_lock();
        let (published, syncs) = self.name(options)?;
        if syncs && published == Published::Done {
            sync_held(self.destination.directory()).map_err(complete)?;
        }
        Ok((published == Published::Done).then_some(self.file))
    }

    /// Gives the file its name; also whether the name is to be synced.
    fn name(&mut self, options: PublishOptions) -> Result<(Published, bool)> {
        let path = self.destination.path();
        let is_file = |found: &FileStat| found.kind.is_file();
        let old = match options.replace {
            true => self.destination.look_up().ok().filter(is_file),
            false => None,
        };
        if let Some(old) = &old {
            keep_permissions(&self.file, old, &self.destination)?;
        }
        // Otherwise a crash could leave neither the old file nor the new one.
        let syncs = options.sync || old.is_some();
        if syncs {
            self.file.sync_all().context("sync", &path)?;
        }
        if old.is_some() {
            let mut temporary = match self.temporary.take() {
                Some(temporary) => temporary,
                None => self.link_beside().context("create", &path)?,
            };
            rename(temporary.path(), &self.destination).context("replace", &path)?;
            temporary.keep();
            return Ok((Published::Done, syncs));
        }
        let named = match self.temporary.take() {
            Some(mut temporary) => {
                rename_new(temporary.path(), &self.destination).inspect(|()| temporary.keep())
            }
            None => link_open(&self.file, &self.destination),
        };
        match named {
            Ok(()) => Ok((Published::Done, syncs)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok((Published::Exists, syncs))
            }
            Err(error) => Err(Error::io("create", &path, error)),
        }
    }

    /// Gives a file without a name a temporary one.
    fn link_beside(&self) -> io::Result<Temporary> {
        // Before it has a name, so that it never looks abandoned.
        let _ = self.file.try_lock();
        let names = Names::of(&self.destination)?;
        names.remove_abandoned();
        let ((), temporary) = names.create(|path| link_open(&self.file, path))?;
        Ok(temporary)
    }
}

/// A directory that is being filled. It is removed with everything in it when this is dropped, unless it was
/// published.
#[derive(Debug)]
pub struct StagedDirectory {
    temporary: Temporary,
    /// The directory, opened to be listed, whose lock says that it is not abandoned.
    directory: Directory,
    destination: HeldPath,
}

impl StagedDirectory {
    /// An empty directory that will be `destination`. What killed runs left in the directory that both are in is
    /// removed first.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(destination: &Path) -> io::Result<StagedDirectory> {
        Self::create_held(HeldPath::of(destination)?)
    }

    /// The same in a directory that is held already.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create_held(destination: HeldPath) -> io::Result<StagedDirectory> {
        let mode = until_published(0o777, &destination);
        Self::create_with(destination, mode)
    }

    /// The same, but only its owner may read and search it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create_private(destination: HeldPath) -> io::Result<StagedDirectory> {
        Self::create_with(destination, 0o700)
    }

    fn create_with(destination: HeldPath, mode: u32) -> io::Result<StagedDirectory> {
        let names = Names::of(&destination)?;
        names.remove_abandoned();
        let (open, temporary) = names.create_directory(mode)?;
        let path = temporary.path().path();
        Ok(StagedDirectory {
            directory: Directory::of(open, &path),
            temporary,
            destination,
        })
    }

    /// Its path until it is published, for messages.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory, which is held open.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Gives the complete directory its final name, which may be that of an empty directory, whose permissions
    /// it takes. The same is true of a directory that it replaces with everything in it, if it is to.
    ///
    /// # Errors
    /// The system refuses; then what was there stays.
    pub fn publish(mut self, options: PublishOptions) -> Result<Published> {
        let (from, to) = (self.temporary.path(), &self.destination);
        let is_directory = |found: &FileStat| found.kind.is_dir();
        let old = to.look_up().ok().filter(is_directory);
        if options.replace && old.is_some() {
            // The old directory must not go before the new one is on the disk.
            replace(from, to, true)?;
            self.temporary.keep();
            if options.sync {
                sync_held(self.destination.directory()).map_err(complete)?;
            }
            return Ok(Published::Done);
        }
        if let Some(old) = old {
            keep_permissions(self.directory.file(), &old, to)?;
        }
        if options.sync {
            sync_tree(from)?;
        }
        // The system replaces an empty directory and nothing else.
        match rename(from, to) {
            Ok(()) => self.temporary.keep(),
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                        Ok(Published::NotEmpty)
                    }
                    io::ErrorKind::NotADirectory => Ok(Published::Exists),
                    _ => Err(Error::io("create", &to.path(), error)),
                };
            }
        }
        if options.sync {
            sync_held(self.destination.directory()).map_err(complete)?;
        }
        Ok(Published::Done)
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(self) -> io::Result<()> {
        self.temporary.remove()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const NEW: PublishOptions = PublishOptions {
        replace: false,
        sync: false,
    };
    const REPLACE: PublishOptions = PublishOptions {
        replace: true,
        sync: false,
    };

    type Create = fn(&Path) -> io::Result<StagedFile>;

    /// Both kinds of staged files: without a name, if that is possible here, and with one.
    const KINDS: [Create; 2] = [StagedFile::create, |path| {
        StagedFile::create_named(HeldPath::of(path)?, PUBLIC)
    }];

    #[test]
    fn a_private_file_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for create in [StagedFile::create_private, |path: HeldPath| {
            StagedFile::create_named(path, PRIVATE)
        }] {
            let file = create(HeldPath::of(&path).unwrap()).unwrap();
            assert_eq!(file.publish(NEW).unwrap(), Published::Done);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::remove_file(&path).unwrap();
        }
    }

    /// A file that only its owner could read must not become readable while it is written.
    #[test]
    fn what_replaces_something_allows_no_more_until_it_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "old").unwrap();
        fs::create_dir(at("directory")).unwrap();
        for (name, mode) in [("file", 0o600), ("directory", 0o700), ("directory", 0o710)] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            let place = HeldPath::of(&at(name)).unwrap();
            let found = match name {
                "file" => {
                    let staged = StagedFile::create_named(place, PUBLIC).unwrap();
                    staged.file().metadata().unwrap()
                }
                _ => {
                    let staged = StagedDirectory::create_held(place).unwrap();
                    staged.directory().file().metadata().unwrap()
                }
            };
            assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
        }
        let private = HeldPath::of(&at("new")).unwrap();
        let private = StagedDirectory::create_private(private).unwrap();
        let found = private.directory().file().metadata().unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700);
    }

    fn count(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_file_is_named_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for create in KINDS {
            let file = create(&path).unwrap();
            file.file().write_all(b"new").unwrap();
            assert_eq!(file.publish(NEW).unwrap(), Published::Done);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            for create in KINDS {
                let other = create(&path).unwrap();
                assert_eq!(other.publish(NEW).unwrap(), Published::Exists);
            }
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(count(dir.path()), 1);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for create in KINDS {
            let file = create(&path).unwrap();
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
            file.file().write_all(b"new").unwrap();
            assert_eq!(file.publish(REPLACE).unwrap(), Published::Done);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o604);
            assert_eq!(count(dir.path()), 1);
        }
        symlink("file", dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join("directory")).unwrap();
        for name in ["link", "directory"] {
            for create in KINDS {
                let file = create(&dir.path().join(name)).unwrap();
                assert_eq!(file.publish(REPLACE).unwrap(), Published::Exists, "{name}");
            }
        }
        assert_eq!(count(dir.path()), 3);
    }

    #[test]
    fn a_file_that_is_not_published_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        for create in KINDS {
            let file = create(&dir.path().join("file")).unwrap();
            file.file().write_all(b"half").unwrap();
            drop(file);
        }
        assert_eq!(count(dir.path()), 0);
    }

    #[test]
    fn a_published_file_is_locked_only_if_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for options in [NEW, REPLACE] {
            for create in KINDS {
                let file = create(&path).unwrap();
                if options.replace {
                    fs::write(&path, "old").unwrap();
                }
                let locked = file.publish_locked(options).unwrap().unwrap();
                let other = File::open(&path).unwrap();
                assert!(other.try_lock_shared().is_err());
                drop(locked);
                other.try_lock_shared().unwrap();
                fs::remove_file(&path).unwrap();
            }
        }
    }

    #[test]
    fn a_directory_is_named_where_nothing_or_nothing_in_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory");
        let make = || {
            let staged = StagedDirectory::create(&path).unwrap();
            fs::write(staged.path().join("file"), "new").unwrap();
            staged
        };
        let synced = PublishOptions { sync: true, ..NEW };
        assert_eq!(make().publish(synced).unwrap(), Published::Done);
        assert_eq!(make().publish(NEW).unwrap(), Published::NotEmpty);
        assert_eq!(fs::read(path.join("file")).unwrap(), b"new");
        fs::remove_file(path.join("file")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o701)).unwrap();
        assert_eq!(make().publish(NEW).unwrap(), Published::Done);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o701);
        fs::write(path.join("old"), "").unwrap();
        assert_eq!(make().publish(REPLACE).unwrap(), Published::Done);
        assert_eq!(count(&path), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o701);
        assert_eq!(count(dir.path()), 1, "nothing of the old one is left");
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(make().publish(REPLACE).unwrap(), Published::Done);
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        for options in [NEW, REPLACE] {
            assert_eq!(make().publish(options).unwrap(), Published::Exists);
        }
        drop(make());
        make().remove().unwrap();
        assert_eq!(count(dir.path()), 1);
    }
}
