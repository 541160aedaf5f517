//! Copies blobs with several threads, and verifies every byte on the way.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::digest::{Digest, Hasher};
use crate::error::{Code, Error, IoContext, Result};
use crate::inventory::Location;
use crate::progress::Progress;
use crate::read::Source;

/// One piece, when the same thread copies and hashes: it stays in the processor's cache.
const PIECE: usize = 128 << 10;
/// One piece on its way to a hashing thread.
const PIPE_PIECE: usize = 256 << 10;
/// How many pieces may be on their way.
const PIPE_DEPTH: usize = 8;
/// Blobs from this size get a hashing thread of their own while there are threads to spare.
const PIPE_MIN: u64 = 32 << 20;

/// One blob to copy.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// The entry's name in the output.
    pub(super) name: &'a str,
    pub(super) digest: &'a Digest,
    pub(super) location: &'a Location,
    pub(super) len: u64,
    pub(super) destination: Destination<'a>,
}

/// Where a blob is copied to.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// Into a file that other threads write too.
    At(&'a File, u64),
    /// To a new file.
    New(PathBuf),
}

/// What all threads share.
struct Shared<'a> {
    source: &'a Source,
    output: &'a Path,
    progress: &'a dyn Progress,
    stop: AtomicBool,
}

/// Copies and verifies all blobs. The first error stops the rest.
pub(super) fn run(
    mut jobs: Vec<Job<'_>>,
    source: &Source,
    output: &Path,
    threads: usize,
    progress: &dyn Progress,
) -> Result<()> {
    // The largest first, or one thread would end long after the others.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.len));
    let threads = threads.max(1);
    let large = jobs.iter().take_while(|job| job.len >= PIPE_MIN).count();
    let has_spare = large < threads;
    let shared = Shared {
        source,
        output,
        progress,
        stop: AtomicBool::new(false),
    };
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work = || {
        while !shared.stop.load(Ordering::Relaxed) {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let is_piped = has_spare && job.len >= PIPE_MIN;
            if let Err(error) = shared.copy(job, is_piped) {
                shared.stop.store(true, Ordering::Relaxed);
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            // This thread works too, so fewer others only make it slower.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

/// Says which blob has other bytes than its digest states.
pub(super) fn check_digest(name: &str, expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestMismatch,
        format!(
            "{name} has other bytes than its digest states: expected {expected}, found {found}"
        ),
    )
    .with_hint("the input is damaged; build, save or download it again"))
}

impl Shared<'_> {
    fn copy(&self, job: &Job<'_>, is_piped: bool) -> Result<()> {
        let (input, input_at) = self.source.open_blob(job.location)?;
        if let Location::File(_) = job.location {
            let found = input.metadata().context("read", self.source.path())?.len();
            if found != job.len {
                return Err(changed(job, found));
            }
        }
        let created;
        let (output, output_at, path) = match &job.destination {
            Destination::At(file, at) => (*file, *at, self.output),
            Destination::New(path) => {
                created = File::create_new(path).context("create", path)?;
                (&created, 0, path.as_path())
            }
        };
        let step = Step {
            shared: self,
            job,
            input: &input,
            input_at,
            output,
            output_at,
            path,
        };
        let found = if is_piped {
            step.piped()?
        } else {
            step.plain()?
        };
        match found {
            Some(found) => check_digest(job.name, job.digest, &found),
            None => Ok(()),
        }
    }
}

fn changed(job: &Job<'_>, found: u64) -> Error {
    changed_len(job.name, job.location, job.len, found)
}

/// Says that a blob's place in the input holds another number of bytes than when it was scanned.
pub(super) fn changed_len(name: &str, location: &Location, expected: u64, found: u64) -> Error {
    let (code, what) = match location {
        Location::Offset(_) => (Code::TruncatedArchive, "the archive ends inside it"),
        Location::File(_) => (Code::SizeMismatch, "the file has another length"),
    };
    Error::new(
        code,
        format!("{name} cannot be copied, {what}: expected {expected} bytes, found {found}"),
    )
    .with_hint("the input changed while it was read; try again")
}

/// One blob being copied.
struct Step<'a> {
    shared: &'a Shared<'a>,
    job: &'a Job<'a>,
    input: &'a File,
    input_at: u64,
    output: &'a File,
    output_at: u64,
    path: &'a Path,
}

impl Step<'_> {
    /// Copies and hashes in turn; `None` when another thread failed.
    fn plain(&self) -> Result<Option<Digest>> {
        let mut hasher = Hasher::new(self.job.digest.algorithm());
        let mut buffer = vec![0; PIECE];
        let mut done = 0;
        while done < self.job.len {
            if self.shared.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = self.read(&mut buffer, done)?;
            hasher.update(&buffer[..count]);
            self.write(&buffer[..count], done)?;
            done += count as u64;
        }
        Ok(Some(hasher.finish()))
    }

    /// Copies here while another thread hashes.
    fn piped(&self) -> Result<Option<Digest>> {
        let (full_sender, full) = mpsc::sync_channel::<(Vec<u8>, usize)>(PIPE_DEPTH);
        let (empty_sender, empty) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH);
        let mut hasher = Hasher::new(self.job.digest.algorithm());
        thread::scope(|scope| {
            let hashing = thread::Builder::new().spawn_scoped(scope, move || {
                for (buffer, count) in full {
                    hasher.update(&buffer[..count]);
                    // The copying thread may have ended already.
                    let _ = empty_sender.try_send(buffer);
                }
                hasher.finish()
            });
            let Ok(hashing) = hashing else {
                return self.plain();
            };
            let mut done = 0;
            let mut made = 0;
            while done < self.job.len {
                if self.shared.stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let recycled = if made < PIPE_DEPTH {
                    empty.try_recv().ok()
                } else {
                    empty.recv().ok()
                };
                let mut buffer = recycled.unwrap_or_else(|| {
                    made += 1;
                    vec![0; PIPE_PIECE]
                });
                let count = self.read(&mut buffer, done)?;
                self.write(&buffer[..count], done)?;
                done += count as u64;
                if full_sender.send((buffer, count)).is_err() {
                    break;
                }
            }
            drop(full_sender);
            match hashing.join() {
                Ok(digest) => Ok(Some(digest)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Reads the next piece, at least one byte.
    fn read(&self, buffer: &mut [u8], done: u64) -> Result<usize> {
        let left = usize::try_from(self.job.len - done).unwrap_or(usize::MAX);
        let piece = buffer.len().min(left);
        loop {
            match self
                .input
                .read_at(&mut buffer[..piece], self.input_at + done)
            {
                Ok(0) => return Err(changed(self.job, done)),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.shared.source.path(), error)),
            }
        }
    }

    fn write(&self, bytes: &[u8], done: u64) -> Result<()> {
        let written = self.output.write_all_at(bytes, self.output_at + done);
        written.context("write", self.path)?;
        self.shared.progress.advance(bytes.len() as u64);
        Ok(())
    }
}
