//! Writes to devices, FIFOs and open files without ever waiting where nothing can end the wait.

use std::error::Error as StdError;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// How long to wait between two looks for a reader.
const RETRY: Duration = Duration::from_millis(20);
/// How long a reader may take to make space before the caller is asked whether to continue.
const ROOM: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The caller stopped a wait for a reader.
#[derive(Debug)]
pub(super) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped while waiting for a reader")
    }
}

impl StdError for Stopped {}

/// Whether an error is that the caller stopped a wait.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

/// Something other than a regular file, open for writing.
pub(super) struct Special<'a> {
    file: File,
    is_stopped: Box<dyn Fn() -> bool + Send + 'a>,
    /// A stop that was requested earlier does not end a write to a reader that is there.
    was_stopped: bool,
}

impl<'a> Special<'a> {
    /// Opens a device or a FIFO, for which it waits until there is a reader or `is_stopped` says that
    /// there need not be one. A link is not followed.
    ///
    /// # Errors
    /// It cannot be opened, or the wait was stopped.
    pub(super) fn open(
        path: &Path,
        is_stopped: impl Fn() -> bool + Send + 'a,
    ) -> io::Result<Special<'a>> {
        Self::open_with(path, OFlags::NOFOLLOW, is_stopped)
    }

    fn open_with(
        path: &Path,
        flags: OFlags,
        is_stopped: impl Fn() -> bool + Send + 'a,
    ) -> io::Result<Special<'a>> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        loop {
            let opened = File::options()
                .write(true)
                .custom_flags(flags.bits() as i32)
                .open(path);
            match opened {
                Ok(file) => return Ok(Self::of(file, is_stopped)),
                // A FIFO without a reader. A socket gives the same error, but none ever comes to it.
                Err(error) if is(&error, Errno::NXIO) && is_fifo(path) => {
                    if is_stopped() {
                        return Err(io::Error::other(Stopped));
                    }
                    thread::sleep(RETRY);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens a file that this process or another has open already. This process's standard output and
    /// standard error are shared, so that what is written follows what was written there before.
    ///
    /// # Errors
    /// It cannot be opened, or the wait for a reader was stopped.
    pub(super) fn open_again(
        path: &Path,
        is_stopped: impl Fn() -> bool + Send + 'a,
    ) -> io::Result<Special<'a>> {
        let found = fs::metadata(path)?;
        for standard in [io::stdout().as_fd(), io::stderr().as_fd()] {
            let file = File::from(standard.try_clone_to_owned()?);
            let own = file.metadata()?;
            if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
                return Ok(Self::of(file, is_stopped));
            }
        }
        if found.is_file() {
            let file = File::options().append(true).open(path)?;
            return Ok(Self::of(file, is_stopped));
        }
        Self::open_with(path, OFlags::empty(), is_stopped)
    }

    fn of(file: File, is_stopped: impl Fn() -> bool + Send + 'a) -> Special<'a> {
        Special {
            file,
            was_stopped: is_stopped(),
            is_stopped: Box::new(is_stopped),
        }
    }
}

impl Write for Special<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if !self.was_stopped && (self.is_stopped)() {
                return Err(io::Error::other(Stopped));
            }
            let mut descriptor = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut descriptor, Some(&ROOM)) {
                // A signal may have come to stop the run.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is(error: &io::Error, expected: Errno) -> bool {
    Errno::from_io_error(error) == Some(expected)
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn a_fifo_is_written_as_fast_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo(&path);
        // More than any pipe holds, and a stop that was requested at the start ends nothing.
        let bytes = vec![7; 3 << 20];
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = Vec::new();
                File::open(&path).unwrap().read_to_end(&mut read).unwrap();
                read
            });
            let stop = AtomicBool::new(false);
            let mut special = Special::open(&path, || stop.load(Ordering::Relaxed)).unwrap();
            special.write_all(&bytes).unwrap();
            drop(special);
            assert!(reader.join().unwrap() == bytes);
        });
    }

    #[test]
    fn waits_for_a_reader_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo(&path);
        let asked = AtomicUsize::new(0);
        let third_time = || asked.fetch_add(1, Ordering::Relaxed) >= 2;
        let error = Special::open(&path, third_time).err().unwrap();
        assert!(is_stopped(&error), "{error}");
        // A reader that never reads.
        let _reader = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .unwrap();
        asked.store(0, Ordering::Relaxed);
        let mut special = Special::open(&path, third_time).unwrap();
        let error = special.write_all(&vec![0; 3 << 20]).unwrap_err();
        assert!(is_stopped(&error), "{error}");
    }

    #[test]
    fn a_socket_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = Special::open(&path, || panic!("nobody waits"))
            .err()
            .unwrap();
        assert!(is(&error, Errno::NXIO), "{error}");
    }
}
