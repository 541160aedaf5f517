//! Copies blobs with several threads, and verifies every byte on the way.

mod blob;
mod extents;
mod link;
mod region;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{ApplyOptions, Link, Verify};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::inventory::Location;
use crate::plan::OutputEntry;
use crate::progress::Progress;
use crate::read::Source;
use crate::threads::{self, Spare};
pub(super) use extents::holes;
pub(super) use region::{MAX_BLOB, MAX_REGION};

/// A thread is started for so many bytes, and not for fewer.
pub(super) const THREAD_MIN: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// Blobs from this size get a hashing thread of their own while there are threads to spare.
const PIPE_MIN: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };
/// What is not hashed can be copied in parts, by several threads.
const PART_LEN: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };

/// One thing to do.
#[derive(Debug)]
pub(super) enum Task<'a> {
    Blob(Job<'a>),
    Region(Region<'a>),
}

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

impl Job<'_> {
    /// Whether the bytes are hashed on their way. Those of a temporary file of ours were hashed when
    /// they were written, and nobody else can open it.
    fn is_hashed(&self, verify: Verify) -> bool {
        verify == Verify::Full && !matches!(self.location, Location::Spooled(_))
    }
}

/// Where a blob is copied to.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// Into a file that other threads write too. What was not written there is zeros.
    At(&'a File, u64),
    /// To a new file.
    New(PathBuf),
}

/// Small entries that stand one after the other in an archive: headers, bodies and all.
#[derive(Debug)]
pub(super) struct Region<'a> {
    pub(super) entries: &'a [OutputEntry],
    pub(super) output: &'a File,
    pub(super) at: u64,
    pub(super) len: usize,
}

/// What all threads share.
struct Shared<'a> {
    source: &'a Source,
    output: &'a Path,
    progress: &'a dyn Progress,
    spare: Option<&'a Spare>,
    verify: Verify,
    link: Link,
    /// The place of the first task that failed; those after it need not be done any more.
    failed: AtomicUsize,
    failure: Mutex<Option<Error>>,
}

/// Copies and verifies everything. Of several errors the one of the first task in that order is
/// returned, whichever thread was faster.
pub(super) fn run(
    tasks: &[Task<'_>],
    source: &Source,
    output: &Path,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let threads = options.jobs.max(1);
    let steps = schedule(tasks, threads, options.verify);
    let shared = Shared {
        source,
        output,
        progress,
        spare: options.spare,
        verify: options.verify,
        link: options.link,
        failed: AtomicUsize::new(usize::MAX),
        failure: Mutex::new(None),
    };
    let next = AtomicUsize::new(0);
    let is_worth = || {
        let next = next.load(Ordering::Relaxed);
        // None of those that are left is longer than the next.
        let left = steps.len().saturating_sub(next) as u64;
        let most = steps
            .get(next)
            .map(|step| step.bytes.end - step.bytes.start);
        most.is_some_and(|most| most.saturating_mul(left) >= THREAD_MIN)
    };
    let work = |recruit: &dyn Fn()| {
        let _guard = StopOnPanic(&shared.failed);
        let mut buffer = Vec::new();
        while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
            if shared.is_pointless(step.place) {
                continue;
            }
            recruit();
            let done = match &tasks[step.place] {
                Task::Blob(job) => shared.copy(job, step, &mut buffer),
                Task::Region(region) => shared.write_region(region, &mut buffer),
            };
            if let Err(error) = done {
                shared.fail(step.place, error);
            }
        }
    };
    // Small blobs are copied before another thread has started.
    let total = steps.iter().map(|step| step.bytes.end - step.bytes.start);
    let worth = total.fold(0, u64::saturating_add) / THREAD_MIN;
    let worth = usize::try_from(worth).unwrap_or(usize::MAX);
    let threads = threads.min(steps.len()).min(worth.saturating_add(1));
    threads::together(threads, options.spare, &is_worth, &work);
    let failure = shared.failure.into_inner();
    failure
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// A task, or a part of one, in the order of work.
struct Step {
    /// The task's place in the output.
    place: usize,
    /// Which bytes of its blob.
    bytes: Range<u64>,
    /// Whether another thread hashes while this one copies.
    is_piped: bool,
}

/// The largest first, or one thread would end long after the others. A blob that would still do so,
/// because it is more than a thread's share of what is left, is shared by two.
fn schedule(tasks: &[Task<'_>], threads: usize, verify: Verify) -> Vec<Step> {
    let len = |task: &Task<'_>| match task {
        Task::Blob(job) => job.len,
        Task::Region(region) => region.len as u64,
    };
    let mut places: Vec<usize> = (0..tasks.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(len(&tasks[place])));
    let mut left: u128 = tasks.iter().map(|task| u128::from(len(task))).sum();
    let mut steps = Vec::with_capacity(tasks.len());
    for place in places {
        let len = len(&tasks[place]);
        let is_part = |job: &Job<'_>| matches!(job.destination, Destination::At(..));
        let part = match &tasks[place] {
            Task::Blob(job) if !job.is_hashed(verify) && is_part(job) => PART_LEN,
            _ => u64::MAX,
        };
        let is_long = len >= PIPE_MIN && u128::from(len) * threads as u128 > left;
        let is_piped = is_long && threads > 1;
        left -= u128::from(len);
        let mut start: u64 = 0;
        loop {
            let end = start.saturating_add(part).min(len);
            let bytes = start..end;
            steps.push(Step {
                place,
                bytes,
                is_piped,
            });
            start = end;
            if start == len {
                break;
            }
        }
    }
    steps
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
}

/// Says that a blob's place in the input holds another number of bytes than when it was scanned.
pub(super) fn changed_len(name: &str, location: &Location, expected: u64, found: u64) -> Error {
    let (code, what) = match location {
        Location::Offset(_) => (Code::TruncatedArchive, "the archive ends inside it"),
        Location::File(_)
        | Location::Spooled(_)
        | Location::Held(_)
        | Location::Written
        | Location::Passed(_) => (Code::SizeMismatch, "the file has another length"),
    };
    Error::new(
        code,
        format!("{name} cannot be copied, {what}: expected {expected} bytes, found {found}"),
    )
    .with_hint("the input changed while it was read; try again")
}
