//! Files and directories that are filled before they get their final names.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

use super::destination::parent;
use super::rename::{keep_permissions, rename_new, replace};
use super::sync::{sync_directory, sync_tree};
use super::temporary::{Names, hold};
use super::unnamed::{PRIVATE, PUBLIC, link_open, linkable_with};
use crate::error::{Error, Hint, IoContext, Result};

/// How to publish.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishOptions {
    /// Replace a regular file, or a directory that is replaced by a directory. It stays until the new one is
    /// on the disk.
    pub replace: bool,
    /// Wait until the file or directory and its name are on the disk.
    pub sync: bool,
}

/// An error after the output got its name.
fn complete(error: Error) -> Error {
    error.with_hint(Hint::OutputComplete)
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
    temporary: Option<TempPath>,
    destination: PathBuf,
}

impl StagedFile {
    /// An empty file that will be `destination`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(destination: &Path) -> io::Result<StagedFile> {
        Self::create_with(destination, PUBLIC)
    }

    /// The same, but only its owner may read and write it.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn create_private(destination: &Path) -> io::Result<StagedFile> {
        Self::create_with(destination, PRIVATE)
    }

    fn create_with(destination: &Path, mode: u32) -> io::Result<StagedFile> {
        match linkable_with(parent(destination), mode) {
            Some(file) => Ok(StagedFile {
                file,
                temporary: None,
                destination: destination.to_owned(),
            }),
            None => Self::create_named(destination, mode),
        }
    }

    fn create_named(destination: &Path, mode: u32) -> io::Result<StagedFile> {
        let names = Names::of(destination)?;
        names.remove_abandoned();
        let created = names.create(|path| {
            let mut options = File::options();
            let file = options.write(true).create_new(true).mode(mode).open(path)?;
            hold(&file, path)?;
            Ok(file)
        })?;
        let (file, temporary) = created.into_parts();
        Ok(StagedFile {
            file,
            temporary: Some(temporary),
            destination: destination.to_owned(),
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
        let directory = parent(&self.destination).to_owned();
        // Its lock is of no use any more, and would keep readers away.
        drop(self);
        if syncs && published == Published::Done {
            sync_directory(&directory).map_err(complete)?;
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
            sync_directory(parent(&self.destination))?;
        }
        Ok((published == Published::Done).then_some(self.file))
    }

    /// Gives the file its name; also whether the name is to be synced.
    fn name(&mut self, options: PublishOptions) -> Result<(Published, bool)> {
        let path = &self.destination;
        let old = match options.replace {
            true => fs::symlink_metadata(path).ok().filter(|old| old.is_file()),
            false => None,
        };
        if let Some(old) = &old {
            keep_permissions(&self.file, old, path)?;
        }
        // Otherwise a crash could leave neither the old file nor the new one.
        let syncs = options.sync || old.is_some();
        if syncs {
            self.file.sync_all().context("sync", path)?;
        }
        if old.is_some() {
            let temporary = match self.temporary.take() {
                Some(temporary) => temporary,
                None => self.link_beside().context("create", path)?,
            };
            let replaced = temporary.persist(path).map_err(|failed| failed.error);
            replaced.context("replace", path)?;
            return Ok((Published::Done, syncs));
        }
        let named = match self.temporary.take() {
            Some(mut temporary) => {
                rename_new(&temporary, path).inspect(|()| temporary.disable_cleanup(true))
            }
            None => link_open(&self.file, path),
        };
        match named {
            Ok(()) => Ok((Published::Done, syncs)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok((Published::Exists, syncs))
            }
            Err(error) => Err(Error::io("create", path, error)),
        }
    }

    /// Gives a file without a name a temporary one.
    fn link_beside(&self) -> io::Result<TempPath> {
        // Before it has a name, so that it never looks abandoned.
        let _ = self.file.try_lock();
        let names = Names::of(&self.destination)?;
        names.remove_abandoned();
        let linked = names.create(|path| link_open(&self.file, path))?;
        Ok(linked.into_temp_path())
    }
}

/// A directory that is being filled. It is removed with everything in it when this is dropped, unless it was
/// published.
#[derive(Debug)]
pub struct StagedDirectory {
    directory: TempDir,
    /// The directory, whose lock says that it is not abandoned.
    open: File,
    path: PathBuf,
    destination: PathBuf,
}

impl StagedDirectory {
    /// An empty directory that will be `destination`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(destination: &Path) -> io::Result<StagedDirectory> {
        let names = Names::of(destination)?;
        names.remove_abandoned();
        let (directory, open) = names.create_directory()?;
        let name = directory.path().file_name().unwrap_or_default();
        Ok(StagedDirectory {
            // As the destination was given: messages show it.
            path: parent(destination).join(name),
            directory,
            open,
            destination: destination.to_owned(),
        })
    }

    /// Its path until it is published.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the complete directory its final name, which may be that of an empty directory, whose permissions
    /// it takes. The same is true of a directory that it replaces with everything in it, if it is to.
    ///
    /// # Errors
    /// The system refuses; then what was there stays.
    pub fn publish(mut self, options: PublishOptions) -> Result<Published> {
        let to = &self.destination;
        let old = fs::symlink_metadata(to).ok().filter(fs::Metadata::is_dir);
        if options.replace && old.is_some() {
            // The old directory must not go before the new one is on the disk.
            replace(&self.path, to, true)?;
            self.directory.disable_cleanup(true);
            if options.sync {
                sync_directory(parent(to)).map_err(complete)?;
            }
            return Ok(Published::Done);
        }
        if let Some(old) = old {
            keep_permissions(&self.open, &old, to)?;
        }
        if options.sync {
            sync_tree(&self.path)?;
        }
        // The system replaces an empty directory and nothing else.
        match fs::rename(&self.path, to) {
            Ok(()) => self.directory.disable_cleanup(true),
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                        Ok(Published::NotEmpty)
                    }
                    io::ErrorKind::NotADirectory => Ok(Published::Exists),
                    _ => Err(Error::io("create", to, error)),
                };
            }
        }
        if options.sync {
            sync_directory(parent(to)).map_err(complete)?;
        }
        Ok(Published::Done)
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(self) -> io::Result<()> {
        self.directory.close()
    }
}

#[cfg(test)]
mod tests {
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
        StagedFile::create_named(path, PUBLIC)
    }];

    #[test]
    fn a_private_file_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for create in [StagedFile::create_private, |path: &Path| {
            StagedFile::create_named(path, PRIVATE)
        }] {
            let file = create(&path).unwrap();
            assert_eq!(file.publish(NEW).unwrap(), Published::Done);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::remove_file(&path).unwrap();
        }
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
