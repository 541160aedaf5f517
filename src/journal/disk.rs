//! The system calls of a rewrite, one method each, so that a test can simulate a power failure between any
//! two of them.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::format::MAX_LEN;
use super::stamp::Stamp;
use crate::beneath::{FileStat, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::image::{Algorithm, Digest};
use crate::publish::{PublishOptions, Published, StagedFile, rename_new, sync_directory};

const SUFFIX: &str = ".ocify-journal";
/// What follows the name of a journal that cannot be used and is kept.
const KEPT: &str = ".kept";
/// How many such journals of one file are kept.
const MAX_KEPT: usize = 100;
/// The longest file name, in bytes, that Linux filesystems support.
const NAME_LEN: usize = 255;

/// A file and its journal.
pub(super) trait Disk {
    /// The file's inode number.
    fn inode(&mut self) -> Result<u64>;
    /// The file's length in bytes.
    fn len(&mut self) -> Result<u64>;
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()>;
    /// The file's length and times.
    fn stamp(&mut self) -> Result<Stamp>;
    /// Whether the path still leads to the file.
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

/// A real file and its journal.
#[derive(Debug)]
pub(super) struct Files<'a> {
    file: &'a File,
    path: &'a Path,
    journal_path: PathBuf,
    directory: PathBuf,
    /// The journal that a rewrite fills, until it has its name.
    staged: Option<StagedFile>,
    /// The journal that recovery reads.
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
            staged: None,
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

/// The name that a journal is kept under, at the given attempt to find one that nothing has.
fn kept_name(journal: &OsStr, attempt: usize) -> OsString {
    let end = match attempt {
        1 => KEPT.to_owned(),
        more => format!("{KEPT}-{more}"),
    };
    let mut kept = journal.to_owned();
    if journal.len() + end.len() > NAME_LEN {
        kept = OsString::from(".");
        kept.push(Digest::of(Algorithm::Sha256, journal.as_bytes()).hex());
        kept.push(SUFFIX);
    }
    kept.push(end);
    kept
}

/// Whether a file of this name is a journal, or one that was kept.
pub fn is_journal(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let ends = |name: &[u8]| name.ends_with(SUFFIX.as_bytes());
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let end = name.iter().rposition(|byte| !number(byte));
    let kept = end.and_then(|end| name[..=end].strip_suffix(KEPT.as_bytes()));
    name.starts_with(b".") && (ends(name) || kept.is_some_and(ends))
}

/// Whether a file has a journal. `path` is the file's path, or a symbolic link to it if `is_link`.
///
/// # Errors
/// The file does not exist, or its journal cannot be looked up.
pub(crate) fn is_pending(path: &Path, is_link: bool) -> io::Result<bool> {
    let Some((directory, name)) = locate_journal(path, is_link)? else {
        return Ok(false);
    };
    let found = fs::symlink_metadata(directory.join(name));
    match found.map_err(|error| (error.kind(), error)) {
        Ok(_) => Ok(true),
        // Files in a directory that may not be searched can be inputs, if they are open already.
        Err((
            io::ErrorKind::NotFound
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::PermissionDenied,
            _,
        )) => Ok(false),
        Err((_, error)) => Err(error),
    }
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
        // The user may have named a link to the file.
        let found = match fs::metadata(self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("look up", self.path, error)),
        };
        let own = self.file.metadata().context("read", self.path)?;
        Ok(FileStat::from(&found).identity() == FileStat::from(&own).identity())
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
        let created = HeldPath::of(&self.journal_path).and_then(StagedFile::create_private);
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
        fs::remove_file(&self.journal_path).context("remove", &self.journal_path)
    }

    fn keep_journal(&mut self) -> Result<PathBuf> {
        let journal = &self.journal_path;
        let name = journal.file_name().unwrap_or_default();
        for attempt in 1..=MAX_KEPT {
            let kept = journal.with_file_name(kept_name(name, attempt));
            let renamed = HeldPath::of(journal)
                .and_then(|journal| rename_new(&journal, &HeldPath::of(&kept)?));
            match renamed {
                Ok(()) => return Ok(kept),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("rename", journal, error)),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists)).context("rename", journal)
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
        for len in 1..=255 {
            let journal = journal_name(OsStr::new(&"a".repeat(len)));
            let names = [kept_name(&journal, 1), kept_name(&journal, 100)];
            assert!(names.iter().all(|name| name.len() <= NAME_LEN), "{len}");
            assert!(is_journal(&journal) && names.iter().all(|name| is_journal(name)));
        }
    }

    #[test]
    fn journals_are_recognized_by_their_names() {
        let journal = OsStr::new(".a.tar.ocify-journal");
        assert_eq!(kept_name(journal, 1), ".a.tar.ocify-journal.kept");
        assert_eq!(kept_name(journal, 2), ".a.tar.ocify-journal.kept-2");
        for (name, expected) in [
            (".a.tar.ocify-journal", true),
            (".a.tar.ocify-journal.kept", true),
            (".a.tar.ocify-journal.kept-12", true),
            ("a.tar.ocify-journal", false),
            (".a.tar.ocify-journals", false),
            (".a.tar", false),
            (".a.kept", false),
            ("", false),
            (".7-7", false),
        ] {
            assert_eq!(is_journal(OsStr::new(name)), expected, "{name}");
        }
    }
}
