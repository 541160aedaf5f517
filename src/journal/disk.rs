//! The system calls of a rewrite, one step each, so that a test can cut the power between any two.

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
/// What a name may have at most on every filesystem of Linux.
const NAME_LEN: usize = 255;
/// No journal is larger: documents have a cap, and so have all of them together.
const MAX_JOURNAL_LEN: u64 = 1 << 30;

/// A file and its journal.
pub(super) trait Disk {
    fn inode(&mut self) -> Result<u64>;
    fn len(&mut self) -> Result<u64>;
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()>;
    /// The journal's bytes; nothing if there is none.
    fn read_journal(&mut self) -> Result<Option<Vec<u8>>>;
    /// Creates an empty journal, which must not exist.
    fn create_journal(&mut self) -> Result<()>;
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()>;
    fn sync_journal(&mut self) -> Result<()>;
    fn remove_journal(&mut self) -> Result<()>;
    /// Makes the journal's name, or that there is none, survive a crash.
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
        let place = is_link(path)
            .and_then(|is_link| beside(path, is_link))
            .and_then(|place| place.ok_or(io::ErrorKind::NotFound.into()));
        let (directory, name) = place.context("find the directory of", path)?;
        Ok(Files {
            file,
            path,
            journal_path: directory.join(name),
            directory,
            journal: None,
        })
    }

    /// Takes a journal that was found.
    pub(super) fn hold_journal(&mut self, journal: File) {
        self.journal = Some(journal);
    }
}

/// Whether the path itself is a link.
pub(crate) fn is_link(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_symlink())
}

/// Whether a path leads to a file that has no name any more, as `/dev/fd/3` can.
pub(super) fn is_nameless(path: &Path) -> io::Result<bool> {
    Ok(beside(path, is_link(path)?)?.is_none())
}

/// The directory that a file is in, and the name of its journal there. A link is followed. `None` for a
/// file without a name.
fn beside(path: &Path, is_link: bool) -> io::Result<Option<(PathBuf, OsString)>> {
    // Links on the way lead to the same directory; only one at its end leads to another.
    let real = match is_link.then(|| fs::canonicalize(path)) {
        None => Cow::Borrowed(path),
        Some(Ok(real)) => Cow::Owned(real),
        // It leads to a file, but not by a name.
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

/// Whether there is a journal beside a file, which is named by its path or by a link to it. The error is
/// that there is no such file.
pub(crate) fn is_pending(path: &Path, is_link: bool) -> io::Result<bool> {
    let is_there =
        |(directory, name): (PathBuf, OsString)| fs::symlink_metadata(directory.join(name)).is_ok();
    Ok(beside(path, is_link)?.is_some_and(is_there))
}

/// Opens a journal that may be believed; `None` if there is none.
///
/// In a directory that others may write to, a planted one could make the reader overwrite its own file.
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
                "{} is no journal that was written for this file, or belongs to another user",
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
            // It holds bytes of a file that others may not be allowed to read.
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
    fn journal_names_fit() {
        assert_eq!(journal_name(OsStr::new("a.tar")), ".a.tar.ocify-journal");
        let long = journal_name(OsStr::new(&"a".repeat(255)));
        assert_eq!(long.len(), 1 + 64 + SUFFIX.len());
    }
}
