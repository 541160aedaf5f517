//! The system calls of a rewrite, one method each, so that a test can simulate a power failure between any
//! two of them.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::image::{Algorithm, Digest};
use crate::publish::sync_directory;

const SUFFIX: &str = ".ocify-journal";
/// The longest file name, in bytes, that Linux filesystems support.
const NAME_LEN: usize = 255;
/// The largest journal, in bytes. Documents are the only data that a rewrite changes, and their size is
/// limited.
const MAX_JOURNAL_LEN: u64 = 1 << 30;

/// A file and its journal.
pub(super) trait Disk {
    /// The file's inode number.
    fn inode(&mut self) -> Result<u64>;
    /// The file's length in bytes.
    fn len(&mut self) -> Result<u64>;
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()>;
    /// The journal's contents; `None` if there is no journal.
    fn read_journal(&mut self) -> Result<Option<Vec<u8>>>;
    /// Creates an empty journal. It is an error if a journal exists.
    fn create_journal(&mut self) -> Result<()>;
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()>;
    fn sync_journal(&mut self) -> Result<()>;
    fn remove_journal(&mut self) -> Result<()>;
    /// Makes the creation or removal of the journal durable.
    fn sync_directory(&mut self) -> Result<()>;
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()>;
    fn set_len(&mut self, len: u64) -> Result<()>;
    fn sync(&mut self) -> Result<()>;
    /// The file's path, for messages.
    fn path(&self) -> &Path;
    /// The journal's path, for messages.
    fn journal_path(&self) -> &Path;
}

/// A real file and its journal.
#[derive(Debug)]
pub(super) struct Files<'a> {
    file: &'a File,
    path: &'a Path,
    journal_path: PathBuf,
    directory: PathBuf,
    journal: Option<File>,
}

impl<'a> Files<'a> {
    pub(super) fn new(file: &'a File, path: &'a Path) -> Result<Self> {
        let journal = is_link(path)
            .and_then(|is_link| locate_journal(path, is_link))
            .and_then(|found| found.ok_or(io::ErrorKind::NotFound.into()));
        let (directory, name) = journal.context("find the directory of", path)?;
        Ok(Files {
            file,
            path,
            journal_path: directory.join(name),
            directory,
            journal: None,
        })
    }

    /// Sets the journal that recovery reads.
    pub(super) fn set_journal(&mut self, journal: File) {
        self.journal = Some(journal);
    }
}

/// Whether the path names a symbolic link.
pub(crate) fn is_link(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_symlink())
}

/// Whether a path refers to a file that no longer has a name, which `/dev/fd/3` can.
pub(super) fn is_nameless(path: &Path) -> io::Result<bool> {
    Ok(locate_journal(path, is_link(path)?)?.is_none())
}

/// The directory of a file and the name of its journal in it. A symbolic link is followed. `None` for a file
/// without a name.
fn locate_journal(path: &Path, is_link: bool) -> io::Result<Option<(PathBuf, OsString)>> {
    // Only a link in the last component can lead to a file in a different directory.
    let real = match is_link.then(|| fs::canonicalize(path)) {
        None => Cow::Borrowed(path),
        Some(Ok(real)) => Cow::Owned(real),
        // The link resolves to a file, but its target is not a valid path, so the file has no name.
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return fs::metadata(path).map(|_| None);
        }
        Some(Err(error)) => return Err(error),
    };
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    Ok(Some((directory.to_owned(), journal_name(name))))
}

fn journal_name(name: &OsStr) -> OsString {
    let mut journal = OsString::from(".");
    if name.len() + 1 + SUFFIX.len() > NAME_LEN {
        journal.push(Digest::of(Algorithm::Sha256, name.as_bytes()).hex());
    } else {
        journal.push(name);
    }
    journal.push(SUFFIX);
    journal
}

/// Whether a file has a journal. `path` is the file's path, or a symbolic link to it if `is_link`.
///
/// # Errors
/// The file does not exist.
pub(crate) fn is_pending(path: &Path, is_link: bool) -> io::Result<bool> {
    let exists =
        |(directory, name): (PathBuf, OsString)| fs::symlink_metadata(directory.join(name)).is_ok();
    Ok(locate_journal(path, is_link)?.is_some_and(exists))
}

/// Opens the journal of `file` if it can be trusted; `None` if there is no journal.
///
/// In a directory that other users can write to, a forged journal could make recovery overwrite the file
/// with their data. So the owner must be root, the file's owner or the current user.
pub(super) fn open_journal(path: &Path, file: &File) -> Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    let journal = match opened {
        Ok(journal) => journal,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let found = journal.metadata().context("read", path)?;
    let owner = file.metadata().context("read", path)?.uid();
    let trusted = [0, owner, geteuid().as_raw()];
    if !found.is_file() || !trusted.contains(&found.uid()) || found.len() > MAX_JOURNAL_LEN {
        return Err(Error::new(
            Code::ForeignJournal,
            format!(
                "{} is not a trusted journal: it is not a regular file, is too large or belongs to another user",
                show_path(path)
            ),
        )
        .with_path(path)
        .with_hint(Hint::InspectJournal));
    }
    Ok(Some(journal))
}

impl Disk for Files<'_> {
    fn inode(&mut self) -> Result<u64> {
        let found = self.file.metadata().context("read", self.path)?;
        Ok(found.ino())
    }

    fn len(&mut self) -> Result<u64> {
        let found = self.file.metadata().context("read", self.path)?;
        Ok(found.len())
    }

    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        let read = self.file.read_exact_at(buffer, at);
        read.context("read", self.path)
    }

    fn read_journal(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(journal) = &mut self.journal else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = journal.take(MAX_JOURNAL_LEN).read_to_end(&mut bytes);
        read.context("read", &self.journal_path)?;
        Ok(Some(bytes))
    }

    fn create_journal(&mut self) -> Result<()> {
        let created = File::options()
            .write(true)
            .create_new(true)
            // It contains bytes of a file that other users may not be allowed to read.
            .mode(0o600)
            .open(&self.journal_path);
        self.journal = Some(created.context("create", &self.journal_path)?);
        Ok(())
    }

    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.journal {
            Some(journal) => journal
                .write_all(bytes)
                .context("write", &self.journal_path),
            None => Ok(()),
        }
    }

    fn sync_journal(&mut self) -> Result<()> {
        match &self.journal {
            Some(journal) => journal.sync_all().context("sync", &self.journal_path),
            None => Ok(()),
        }
    }

    fn remove_journal(&mut self) -> Result<()> {
        fs::remove_file(&self.journal_path).context("remove", &self.journal_path)
    }

    fn sync_directory(&mut self) -> Result<()> {
        sync_directory(&self.directory)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, at);
        written.context("write", self.path)
    }

    fn set_len(&mut self, len: u64) -> Result<()> {
        self.file
            .set_len(len)
            .context("set the length of", self.path)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().context("sync", self.path)
    }

    fn path(&self) -> &Path {
        self.path
    }

    fn journal_path(&self) -> &Path {
        &self.journal_path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_names_never_exceed_the_name_limit() {
        assert_eq!(journal_name(OsStr::new("a.tar")), ".a.tar.ocify-journal");
        let long = journal_name(OsStr::new(&"a".repeat(255)));
        assert_eq!(long.len(), 1 + 64 + SUFFIX.len());
    }
}
