//! Copies blobs with several threads, and verifies every byte on the way.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::{ApplyOptions, Verify};
use crate::digest::{Digest, Hasher};
use crate::error::{Code, Error, IoContext, Result};
use crate::inventory::Location;
use crate::progress::Progress;
use crate::read::Source;
use crate::threads::{self, Spare};

/// One piece, when the same thread copies and hashes: it stays in the processor's cache.
const PIECE: usize = 128 << 10;
/// One piece on its way to a hashing thread.
const PIPE_PIECE: usize = 256 << 10;
/// How many pieces may be on their way.
const PIPE_DEPTH: usize = 8;
/// A thread is started for so many bytes, and not for fewer.
const THREAD_MIN: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// Blobs from this size get a hashing thread of their own while there are threads to spare.
const PIPE_MIN: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };

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
    spare: Option<&'a Spare>,
    verify: Verify,
    /// The place of the first blob that failed; those after it need not be copied any more.
    failed: AtomicUsize,
    failure: Mutex<Option<Error>>,
}

/// Copies and verifies all blobs. Of several errors the one of the first blob in the order of `jobs`
/// is returned, whichever thread was faster.
pub(super) fn run(
    jobs: Vec<Job<'_>>,
    source: &Source,
    output: &Path,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let threads = options.jobs.max(1);
    let tasks = schedule(&jobs, threads);
    let shared = Shared {
        source,
        output,
        progress,
        spare: options.spare,
        verify: options.verify,
        failed: AtomicUsize::new(usize::MAX),
        failure: Mutex::new(None),
    };
    let next = AtomicUsize::new(0);
    let is_worth = || {
        let next = next.load(Ordering::Relaxed);
        // None of those that are left is longer than the next.
        let left = tasks.len().saturating_sub(next) as u64;
        let most = tasks.get(next).map(|task| jobs[task.place].len);
        most.is_some_and(|most| most.saturating_mul(left) >= THREAD_MIN)
    };
    let work = |recruit: &dyn Fn()| {
        let _guard = StopOnPanic(&shared.failed);
        let mut buffer = Vec::new();
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let job = &jobs[task.place];
            let copied = match shared.is_pointless(task.place) {
                true => Ok(()),
                false => shared.copy(job, task, &mut buffer),
            };
            if let Err(error) = copied {
                shared.fail(task.place, error);
            }
            recruit();
        }
    };
    // Small blobs are copied before another thread has started.
    let total = jobs.iter().map(|job| job.len).fold(0, u64::saturating_add);
    let worth = usize::try_from(total / THREAD_MIN).unwrap_or(usize::MAX);
    let threads = threads.min(jobs.len()).min(worth.saturating_add(1));
    threads::together(threads, options.spare, &is_worth, &work);
    let failure = shared.failure.into_inner();
    failure
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// One job in the order of work.
struct Task {
    /// The job's place in the output.
    place: usize,
    /// Whether another thread hashes while this one copies.
    is_piped: bool,
}

/// The largest first, or one thread would end long after the others. A blob that would still do so,
/// because it is more than a thread's share of what is left, is shared by two.
fn schedule(jobs: &[Job<'_>], threads: usize) -> Vec<Task> {
    let mut places: Vec<usize> = (0..jobs.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(jobs[place].len));
    let mut left: u128 = jobs.iter().map(|job| u128::from(job.len)).sum();
    let task = |place: usize| {
        let len = jobs[place].len;
        let is_piped = len >= PIPE_MIN && u128::from(len) * threads as u128 > left;
        left -= u128::from(len);
        Task { place, is_piped }
    };
    places.into_iter().map(task).collect()
}

/// Keeps the other threads from copying on for nothing.
struct StopOnPanic<'a>(&'a AtomicUsize);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(0, Ordering::Relaxed);
        }
    }
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
    /// Whether an earlier blob has failed, so that an error here would not be the first.
    fn is_pointless(&self, place: usize) -> bool {
        self.failed.load(Ordering::Relaxed) < place
    }

    fn fail(&self, place: usize, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if place < self.failed.fetch_min(place, Ordering::Relaxed) {
            *failure = Some(error);
        }
    }

    fn copy(&self, job: &Job<'_>, task: &Task, buffer: &mut Vec<u8>) -> Result<()> {
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
            place: task.place,
            input: &input,
            input_at,
            output,
            output_at,
            path,
        };
        let lent = match self.spare {
            Some(spare) if job.len >= PIPE_MIN && !task.is_piped => spare.borrow(),
            _ => None,
        };
        let found = if self.verify == Verify::Documents {
            step.unverified(buffer)?;
            None
        } else if task.is_piped || lent.is_some() {
            step.piped(buffer)?
        } else {
            step.plain(buffer)?
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
        Location::File(_) | Location::Spooled(_) => {
            (Code::SizeMismatch, "the file has another length")
        }
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
    place: usize,
    input: &'a File,
    input_at: u64,
    output: &'a File,
    output_at: u64,
    path: &'a Path,
}

impl Step<'_> {
    /// Copies and hashes in turn; `None` when an earlier blob failed. The buffer is that of the
    /// thread, because a new one for every small blob costs more than the blob.
    fn plain(&self, buffer: &mut Vec<u8>) -> Result<Option<Digest>> {
        let mut hasher = Hasher::new(self.job.digest.algorithm());
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < self.job.len {
            if self.shared.is_pointless(self.place) {
                return Ok(None);
            }
            let count = self.read(buffer, done)?;
            hasher.update(&buffer[..count]);
            self.write(&buffer[..count], done)?;
            done += count as u64;
        }
        Ok(Some(hasher.finish()))
    }

    /// Copies what is taken at its word.
    fn unverified(&self, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < self.job.len && !self.shared.is_pointless(self.place) {
            let count = self.read(buffer, done)?;
            self.write(&buffer[..count], done)?;
            done += count as u64;
        }
        Ok(())
    }

    /// Copies here while another thread hashes.
    fn piped(&self, spare: &mut Vec<u8>) -> Result<Option<Digest>> {
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
                return self.plain(spare);
            };
            let mut done = 0;
            let mut made = 0;
            while done < self.job.len {
                if self.shared.is_pointless(self.place) {
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
        if self.shared.progress.is_stopped() {
            return Err(Error::interrupted());
        }
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
