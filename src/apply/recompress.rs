//! Compresses layers anew, as a plan asks for, into temporary files that join the source.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::transcode::{Transcoded, transcode};
use crate::compression::{GzipMembers, Limits};
use crate::digest::Digest;
use crate::error::{IoContext, Result};
use crate::plan::{NewLayer, Transcode};
use crate::progress::Progress;
use crate::read::Source;
use crate::temporary::unnamed;
use crate::threads::{self, Lent, Spare};

/// How many threads compress for each processor when layers are compressed side by side.
const THREADS_PER_JOB: usize = 2;

/// Layers from this size are worth starting threads that are lent.
const LENDING: u64 = 256 << 10;

/// How to compress.
#[derive(Clone, Copy, Debug)]
pub struct RecompressOptions<'a> {
    /// The level; the default of each form if there is none.
    pub level: Option<i32>,
    /// Whether gzip is written in one member or in many.
    pub members: GzipMembers,
    /// How many threads compress. What is written does not depend on it.
    pub jobs: NonZeroUsize,
    /// Idle threads that may help.
    pub spare: Option<&'a Spare>,
    /// What layers may ask for.
    pub limits: Limits,
    /// The directory that holds the new layers until the output is written.
    pub directory: &'a Path,
}

/// Does the work that a plan asks for. Every layer is verified against its digest and, without
/// compression, against its diff ID. Progress counts the bytes of the old layers.
///
/// # Errors
/// A layer is damaged, is not what its diff ID says, or becomes larger than the ratio allows; the
/// directory has no room.
pub fn recompress(
    transcodes: &[Transcode],
    source: &mut Source,
    options: RecompressOptions<'_>,
    progress: &dyn Progress,
) -> Result<BTreeMap<Digest, NewLayer>> {
    progress.start(transcodes.iter().map(|work| work.len).sum());
    let done = all(transcodes, source, options, progress);
    progress.finish();
    let mut layers = BTreeMap::new();
    for (work, (transcoded, file)) in transcodes.iter().zip(done?) {
        let layer = NewLayer {
            digest: transcoded.digest,
            len: transcoded.len,
            diff_id: work.diff_id.clone(),
            compression: work.to,
            location: source.add_spooled(file),
        };
        layers.insert(work.digest.clone(), layer);
    }
    Ok(layers)
}

/// Layers side by side, the largest first.
fn all(
    transcodes: &[Transcode],
    source: &Source,
    options: RecompressOptions<'_>,
    progress: &dyn Progress,
) -> Result<Vec<(Transcoded, File)>> {
    let jobs = options.jobs.get();
    let schedule = Mutex::new(Schedule::new(transcodes, jobs));
    let lock = || schedule.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = AtomicUsize::new(usize::MAX);
    let results = Mutex::new(Vec::new());
    let one = |place: usize, threads: usize| -> Result<Option<(Transcoded, File)>> {
        let stop = Stop {
            failed: &failed,
            place,
        };
        if stop.is_set() {
            return Ok(None);
        }
        let mut file =
            unnamed(options.directory).context("create a temporary file in", options.directory)?;
        let work = &transcodes[place];
        let done = transcode(work, source, &mut file, options, threads, &stop, progress)?;
        Ok(done.map(|transcoded| (transcoded, file)))
    };
    let is_worth = || !lock().waiting.is_empty();
    let work = |recruit: &dyn Fn()| {
        loop {
            let next = lock().next();
            let Some((place, threads)) = next else { return };
            recruit();
            // What no other layer takes helps with this one; so do threads that become idle later.
            let lent: Vec<Lent<'_>> = match transcodes[place].len {
                LENDING.. => options.spare.into_iter().flat_map(Spare::all).collect(),
                _ => Vec::new(),
            };
            let result = one(place, threads + lent.len());
            drop(lent);
            lock().free += threads;
            if result.is_err() {
                failed.fetch_min(place, Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((place, result));
        }
    };
    threads::together(jobs.min(transcodes.len()), options.spare, &is_worth, &work);
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The first error in the order of the plan, whichever thread was faster.
    results.sort_by_key(|(place, _)| *place);
    let mut done = Vec::with_capacity(results.len());
    for (_, result) in results {
        done.extend(result?);
    }
    Ok(done)
}

/// Which layer is next, and how many threads compress it.
struct Schedule {
    /// Places and lengths, the largest last.
    waiting: Vec<(usize, u64)>,
    /// The bytes that nobody has begun with.
    left: u64,
    jobs: usize,
    /// Threads that no layer uses. There are more than processors: a layer has none to compress
    /// with at its beginning and at its end.
    free: usize,
}

impl Schedule {
    fn new(transcodes: &[Transcode], jobs: usize) -> Self {
        let lens = transcodes.iter().map(|work| work.len).enumerate();
        let mut waiting: Vec<(usize, u64)> = lens.collect();
        waiting.sort_by_key(|(place, len)| (*len, std::cmp::Reverse(*place)));
        Schedule {
            left: waiting.iter().map(|(_, len)| len).sum(),
            waiting,
            jobs,
            // One thread does everything in turn.
            free: if jobs == 1 { 1 } else { jobs * THREADS_PER_JOB },
        }
    }

    /// A layer gets its share of the threads by its share of the bytes: one large layer gets as many
    /// as there are processors, and of many small ones each gets a few.
    fn next(&mut self) -> Option<(usize, usize)> {
        let (place, len) = self.waiting.pop()?;
        let share = (u128::from(len) * self.jobs as u128).div_ceil(u128::from(self.left.max(1)));
        self.left -= len;
        let share = usize::try_from(share).unwrap_or(self.jobs) * THREADS_PER_JOB;
        let threads = share.min(self.jobs).clamp(1, self.free.max(1));
        self.free = self.free.saturating_sub(threads);
        Some((place, threads))
    }
}

/// Tells whether a layer need not be finished, because one before it has failed.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    failed: &'a AtomicUsize,
    place: usize,
}

impl Stop<'_> {
    pub(super) fn is_set(&self) -> bool {
        self.failed.load(Ordering::Relaxed) < self.place
    }
}
