//! Compresses layers anew, as a plan asks for, into temporary files that join the source.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::transcode::{Transcoded, transcode};
use crate::compression::GzipMembers;
use crate::digest::Digest;
use crate::error::{IoContext, Result};
use crate::plan::{NewLayer, Transcode};
use crate::progress::Progress;
use crate::read::Source;
use crate::temporary::unnamed;
use crate::threads::{self, Lent, Spare};

/// Layers from this size are compressed one after the other by all threads; smaller ones side by
/// side by one thread each.
const LARGE: u64 = 16 << 20;

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
    /// How many times larger than its compressed form a layer may become.
    pub max_ratio: u64,
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
            compression: work.to,
            location: source.add_spooled(file),
        };
        layers.insert(work.digest.clone(), layer);
    }
    Ok(layers)
}

fn all(
    transcodes: &[Transcode],
    source: &Source,
    options: RecompressOptions<'_>,
    progress: &dyn Progress,
) -> Result<Vec<(Transcoded, File)>> {
    let stop = AtomicBool::new(false);
    let one = |work: &Transcode, threads: usize| {
        let mut file =
            unnamed(options.directory).context("create a temporary file in", options.directory)?;
        let transcoded = transcode(work, source, &mut file, options, threads, &stop, progress)?;
        Ok((transcoded, file))
    };
    let mut done: Vec<Option<(Transcoded, File)>> = transcodes.iter().map(|_| None).collect();
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..transcodes.len()).partition(|place| transcodes[*place].len >= LARGE);
    let jobs = options.jobs.get();
    for place in large {
        // Those that become idle later join while the layer is compressed.
        let lent: Vec<Lent<'_>> = options.spare.into_iter().flat_map(Spare::all).collect();
        done[place] = Some(one(&transcodes[place], jobs + lent.len())?);
    }
    let next = AtomicUsize::new(0);
    let finished = Mutex::new(Vec::new());
    let is_worth = || next.load(Ordering::Relaxed) < small.len();
    let threads_each = (jobs / small.len().max(1)).max(1);
    let work = |recruit: &dyn Fn()| {
        while let Some(place) = small.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let result = one(&transcodes[*place], threads_each);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
            finished.push((*place, result));
            drop(finished);
            recruit();
        }
    };
    threads::together(jobs.min(small.len()), options.spare, &is_worth, &work);
    let mut finished = finished
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    // The first error in the order of the plan, whichever thread was first.
    finished.sort_by_key(|(place, _)| *place);
    for (place, result) in finished {
        done[place] = Some(result?);
    }
    Ok(done.into_iter().flatten().collect())
}
