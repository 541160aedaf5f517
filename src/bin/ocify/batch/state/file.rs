//! The file that a state is in: a regular file, which no link leads to and which one run at a time has locked.

use std::fs::{self, File, FileType, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ocify::{
    Code, Error, Result, command::IoContext, command::publish::PublishOptions,
    command::publish::StagedFile, command::publish::is_at, command::show_path,
};
use rustix::fs::{OFlags, fcntl_setfl};

/// How often the file is opened again when another run replaces it.
const ATTEMPTS: usize = 100;

/// No line is longer, whatever is noted in it. What is longer is not a state file.
const MAX_LINE: u64 = 64 << 20;

/// Where a line is in a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u64,
    len: usize,
}

/// An open state file.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    file: File,
    lacks_lock: bool,
}

/// What the lock of a state file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locked {
    /// No other run has it.
    Held,
    /// Another run replaced or removed the file before its lock was free.
    Outdated,
    /// Another run has it.
    Busy,
    /// The filesystem has no locks, and leaves it to its users.
    Unsupported,
}

impl Locked {
    /// What trying to lock the file showed; whether it still has its name.
    fn of(tried: std::result::Result<(), TryLockError>, is_named: bool) -> Locked {
        match tried {
            Ok(()) if is_named => Locked::Held,
            Ok(()) => Locked::Outdated,
            Err(TryLockError::WouldBlock) => Locked::Busy,
            // Network filesystems differ in how they say it.
            Err(TryLockError::Error(_)) => Locked::Unsupported,
        }
    }
}

impl StateFile {
    /// Opens the file of this shard in an output directory, or creates it, and locks it.
    ///
    /// # Errors
    /// Another run has it locked, it is not a regular file, or the system refuses.
    pub(super) fn lock(path: &Path, directory: &Path) -> Result<StateFile> {
        for _ in 0..ATTEMPTS {
            let file = open_own(path)?;
            let locked = Locked::of(file.try_lock(), is_at(&file, path));
            match locked {
                Locked::Outdated => {}
                Locked::Busy => break,
                Locked::Held | Locked::Unsupported => {
                    return Ok(StateFile {
                        lacks_lock: locked == Locked::Unsupported,
                        ..StateFile::of(path.to_owned(), file)
                    });
                }
            }
        }
        Err(busy(directory))
    }

    /// An open file.
    pub(super) fn of(path: PathBuf, file: File) -> StateFile {
        StateFile {
            path,
            file,
            lacks_lock: false,
        }
    }

    /// Whether it could not be locked, so that nothing keeps another run of the same share away.
    pub(super) fn lacks_lock(&self) -> bool {
        self.lacks_lock
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> Result<u64> {
        let found = self.file.metadata().context("read", &self.path)?;
        Ok(found.len())
    }

    /// Whether it has hard links, whose content must not change.
    pub(super) fn has_other_names(&self) -> Result<bool> {
        let found = self.file.metadata().context("read", &self.path)?;
        Ok(found.nlink() > 1)
    }

    /// The bytes of a line.
    pub(super) fn line(&self, span: Span) -> io::Result<Vec<u8>> {
        let mut line = vec![0; span.len];
        self.file.read_exact_at(&mut line, span.at)?;
        Ok(line)
    }

    /// Reads all lines; returns whether there was nothing else.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&self, mut found: impl FnMut(Span, &[u8])) -> Result<bool> {
        let file = Positioned {
            file: &self.file,
            at: 0,
        };
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut at = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut limited = reader.by_ref().take(MAX_LINE);
            let len = limited
                .read_until(b'\n', &mut bytes)
                .context("read", &self.path)?;
            match len {
                0 => return Ok(true),
                _ if len as u64 == MAX_LINE => return Ok(false),
                _ => found(Span { at, len }, &bytes),
            }
            at += len as u64;
        }
    }

    /// Appends complete lines, in one write.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn append(&self, lines: &[u8]) -> Result<()> {
        // The file is open for appending.
        (&self.file).write_all(lines).context("write", &self.path)
    }

    /// Makes all lines survive a power failure.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().context("sync", &self.path)
    }

    /// A line that a crash cut short must not spoil the next.
    pub(super) fn end_torn_line(&self) -> Result<()> {
        let len = self.len()?;
        let mut last = [b'\n'];
        if len > 0 {
            self.file
                .read_exact_at(&mut last, len - 1)
                .context("read", &self.path)?;
        }
        match last {
            [b'\n'] => Ok(()),
            _ => self.append(b"\n"),
        }
    }

    /// Writes the first line and these lines beside the file, and replaces it with the new file.
    ///
    /// # Errors
    /// The new file cannot be written. The old one stays then.
    pub(super) fn rewrite(&mut self, header: &[u8], lines: &[Span]) -> Result<()> {
        let staged = StagedFile::create(&self.path).context("create", &self.path)?;
        let write = || -> io::Result<()> {
            let mut out = BufWriter::new(staged.file());
            out.write_all(header)?;
            for line in lines {
                out.write_all(&self.line(*line)?)?;
            }
            out.flush()?;
            // Open for appending, like every state file.
            Ok(fcntl_setfl(staged.file(), OFlags::APPEND)?)
        };
        write().context("write", &self.path)?;
        let options = PublishOptions {
            replace: true,
            sync: true,
        };
        // A run that has opened the old file finds that it is gone, and this one locked.
        self.file = staged
            .publish_locked(options)?
            .ok_or_else(|| busy(&self.path))?;
        Ok(())
    }
}

/// Reads a file that is open for appending, from its start.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Opens an existing state file to read it and to see its lock; `None` if the path is not that of a regular file.
/// Follows no link, and never waits.
///
/// # Errors
/// The system refuses.
pub(in crate::batch) fn open_existing(path: &Path) -> io::Result<Option<File>> {
    // Opening a device may do something.
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = File::options()
        .read(true)
        .custom_flags(flags())
        .open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Refuses what exists at a path and is not a regular file.
pub(super) fn refuse_irregular(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).ok();
    match found.filter(|found| !found.is_file()) {
        Some(found) => Err(not_regular(path, found.file_type())),
        None => Ok(()),
    }
}

fn open_own(path: &Path) -> Result<File> {
    refuse_irregular(path)?;
    let file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .custom_flags(flags())
        .open(path)
        .context("create", path)?;
    let found = file.metadata().context("create", path)?;
    match found.is_file() {
        true => Ok(file),
        false => Err(not_regular(path, found.file_type())),
    }
}

fn flags() -> i32 {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.bits().cast_signed()
}

fn not_regular(path: &Path, kind: FileType) -> Error {
    let found = if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let message = format!(
        "ocify keeps its record of finished outputs in {}, which is {found}",
        show_path(path)
    );
    Error::new(Code::OutputExists, message)
        .with_path(path)
        .with_expected("a regular file")
        .with_found(found)
        .with_hint("remove it or choose another OUTPUT")
}

fn busy(directory: &Path) -> Error {
    Error::new(
        Code::OutputBusy,
        format!("another run is writing to {}", show_path(directory)),
    )
    .with_path(directory)
    .with_hint("wait for it to finish, or give each worker its own shard with --shard")
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_filesystem_without_locks_is_not_an_error() {
        for errno in [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL] {
            let failed = || Err(TryLockError::Error(io::Error::from(errno)));
            assert_eq!(Locked::of(failed(), true), Locked::Unsupported);
        }
        assert_eq!(Locked::of(Ok(()), true), Locked::Held);
        assert_eq!(Locked::of(Ok(()), false), Locked::Outdated);
        let busy = Locked::of(Err(TryLockError::WouldBlock), true);
        assert_eq!(busy, Locked::Busy);
    }
}
