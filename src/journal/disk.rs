//! The system calls of a rewrite, one method each, so that a test can simulate a power failure between any
//! two of them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use super::format::MAX_LEN;
use super::locate::journal_of;
use super::name::kept_name;
use super::stamp::Stamp;
use crate::beneath::{FileStat, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::publish::{PublishOptions, Published, StagedFile, rename_new, sync_held};

/// How many such journals of one file are kept.
const MAX_KEPT: usize = 100;

/// A file and its journal.
pub(super) trait Disk {
    /// The file's inode number.
    fn inode(&mut self) -> Result<u64>;
    /// The file's length in bytes.
    fn len(&mut self) -> Result<u64>;
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()>;
    /// The file's length and times.
    fn stamp(&mut self) -> Result<Stamp>;
    /// Whether the file still has its name.
    fn is_named(&mut self) -> Result<bool>;
    /// The journal's length in bytes; `None` if there is no journal.
    fn journal_len(&mut self) -> Result<Option<u64>>;
    fn read_journal_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()>;
    /// Creates an empty journal without its name.
    fn create_journal(&mut self) -> Result<()>;
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()>;
    fn sync_journal(&mut self) -> Result<()>;
    /// Gives the journal its name. It is an error if a journal exists.
    fn name_journal(&mut self) -> Result<()>;
    fn remove_journal(&mut self) -> Result<()>;
    /// Gives a journal that cannot be used a name that nothing has, and returns its path.
    fn keep_journal(&mut self) -> Result<PathBuf>;
    /// Makes the naming or removal of the journal durable.
    fn sync_directory(&mut self) -> Result<()>;
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()>;
    fn set_len(&mut self, len: u64) -> Result<()>;
    fn sync(&mut self) -> Result<()>;
    /// The file's path, for messages.
    fn path(&self) -> &Path;
    /// The journal's path, for messages.
    fn journal_path(&self) -> &Path;
}

/// A real file and its journal, in a directory that is held open: whatever its path leads to later, both stay together.
#[derive(Debug)]
pub(super) struct Files<'a> {
    file: &'a File,
    place: &'a HeldPath,
    journal_place: HeldPath,
    /// What messages call the file.
    path: &'a Path,
    journal_path: PathBuf,
    /// The journal that a rewrite fills, until it has its name.
    staged: Option<StagedFile>,
    /// The journal that recovery reads.
    journal: Option<File>,
}

impl<'a> Files<'a> {
    /// The file at a place, and what messages call it.
    pub(super) fn new(file: &'a File, place: &'a HeldPath, path: &'a Path) -> Result<Self> {
        let journal_place = journal_of(place).context("find the journal of", path)?;
        Ok(Files {
            file,
            place,
            journal_path: journal_place.path(),
            journal_place,
            path,
            staged: None,
            journal: None,
        })
    }

    /// Opens the journal that recovery reads; false if there is none.
    pub(super) fn open_journal(&mut self) -> Result<bool> {
        self.journal = open_journal(&self.journal_place, self.file)?;
        Ok(self.journal.is_some())
    }
}

/// Opens the journal of `file` if it can be trusted; `None` if there is no journal.
///
/// In a directory that other users can write to, a forged journal could make recovery overwrite the file
/// with their data. So the owner must be root, the file's owner or the current user.
fn open_journal(place: &HeldPath, file: &File) -> Result<Option<File>> {
    let path = &place.path();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let journal = match place.open(flags, Mode::empty()) {
        Ok(journal) => journal,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let found = journal.metadata().context("read", path)?;
    let owner = file.metadata().context("read", path)?.uid();
    let trusted = [0, owner, geteuid().as_raw()];
    if !found.is_file() || !trusted.contains(&found.uid()) || found.len() > MAX_LEN {
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

    fn stamp(&mut self) -> Result<Stamp> {
        let found = self.file.metadata().context("read", self.path)?;
        Ok(Stamp::of(&found))
    }

    fn is_named(&mut self) -> Result<bool> {
        let found = match self.place.look_up() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("look up", self.path, error)),
        };
        let own = self.file.metadata().context("read", self.path)?;
        Ok(found.identity() == FileStat::from(&own).identity())
    }

    fn journal_len(&mut self) -> Result<Option<u64>> {
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let found = journal.metadata().context("read", &self.journal_path)?;
        Ok(Some(found.len()))
    }

    fn read_journal_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        match &self.journal {
            Some(journal) => journal
                .read_exact_at(buffer, at)
                .context("read", &self.journal_path),
            None => Ok(()),
        }
    }

    fn create_journal(&mut self) -> Result<()> {
        // It contains bytes of a file that other users may not be allowed to read.
        let created = StagedFile::create_private(self.journal_place.clone());
        self.staged = Some(created.context("create", &self.journal_path)?);
        Ok(())
    }

    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.staged {
            Some(staged) => staged
                .file()
                .write_all(bytes)
                .context("write", &self.journal_path),
            None => Ok(()),
        }
    }

    fn sync_journal(&mut self) -> Result<()> {
        match &self.staged {
            Some(staged) => staged.file().sync_all().context("sync", &self.journal_path),
            None => Ok(()),
        }
    }

    fn name_journal(&mut self) -> Result<()> {
        let Some(staged) = self.staged.take() else {
            return Ok(());
        };
        match staged.publish(PublishOptions::default())? {
            Published::Done => Ok(()),
            Published::Exists | Published::NotEmpty => {
                Err(io::Error::from(io::ErrorKind::AlreadyExists))
                    .context("create", &self.journal_path)
            }
        }
    }

    fn remove_journal(&mut self) -> Result<()> {
        let removed = self.journal_place.remove_file();
        removed.context("remove", &self.journal_path)
    }

    fn keep_journal(&mut self) -> Result<PathBuf> {
        let (journal, path) = (&self.journal_place, &self.journal_path);
        for attempt in 1..=MAX_KEPT {
            let kept = journal.beside(&kept_name(journal.name(), attempt));
            let kept = kept.context("rename", path)?;
            match rename_new(journal, &kept) {
                Ok(()) => return Ok(kept.path()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("rename", path, error)),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists)).context("rename", path)
    }

    fn sync_directory(&mut self) -> Result<()> {
        sync_held(self.place.directory())
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
