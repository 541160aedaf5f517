//! Copies blobs with several threads, and verifies every byte.

mod blob;
mod link;
mod region;

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use super::pieces::{self, Piece};
use super::proof::Proof;
use super::{ApplyOptions, Verify};
use crate::beneath::HeldPath;
use crate::error::Result;
use crate::image::Digest;
use crate::input::{BlobAt, BlobName, Source};
use crate::inventory::DataLocation;
use crate::plan::{OutputEntry, Plan};
use crate::progress::Progress;
pub(super) use region::{MAX_BLOB, MAX_REGION};

/// Blobs from this size get a hashing thread of their own while there are threads to spare.
const PIPE_MIN: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };
/// Decompressing a byte and hashing what it becomes takes as long as copying and hashing so many.
const DECODE_WEIGHT: u64 = 4;
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
    pub(super) data: &'a DataLocation,
    pub(super) len: u64,
    /// What it must decompress to, if that is verified.
    pub(super) proof: Option<Proof<'a>>,
    pub(super) destination: Destination<'a>,
}

impl Job<'_> {
    /// Whether the bytes are hashed while they are copied. Those of ocify's temporary files were hashed when
    /// they were written, and no other process can open these files.
    fn is_hashed(&self, verify: Verify) -> bool {
        verify != Verify::Documents && !matches!(self.data, DataLocation::Spooled { .. })
    }

    /// How much work it is, in bytes to copy.
    fn weight(&self) -> u64 {
        match self.proof {
            Some(_) => self.len.saturating_mul(DECODE_WEIGHT),
            None => self.len,
        }
    }

    fn blob(&self) -> BlobAt<'_> {
        BlobAt {
            name: BlobName::Entry(self.name),
            data: self.data,
            len: self.len,
        }
    }
}

/// Where a blob is copied to.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// Into a file that other threads write too. Bytes that were not written are zeros.
    At(&'a File, u64),
    /// To a new file.
    New(HeldPath),
    /// Nowhere: it is only verified.
    Nowhere,
}

/// Small entries that follow one another in an archive, with headers and bodies.
#[derive(Debug)]
pub(super) struct Region<'a> {
    pub(super) entries: &'a [OutputEntry],
    pub(super) output: &'a File,
    pub(super) at: u64,
    pub(super) len: usize,
}

/// What all threads share.
struct Shared<'a> {
    plan: &'a Plan,
    source: &'a Source,
    output: &'a Path,
    options: &'a ApplyOptions<'a>,
}

/// Copies and verifies everything. Of several errors the one of the first task is returned.
pub(super) fn run(
    tasks: &[Task<'_>],
    plan: &Plan,
    source: &Source,
    output: &Path,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let steps = schedule(tasks, options.jobs.get(), options.verify);
    let shared = Shared {
        plan,
        source,
        output,
        options,
    };
    pieces::each(
        &steps,
        options,
        progress,
        |step, progress, scratch| match &tasks[step.place] {
            Task::Blob(job) => shared.copy(job, step, progress, scratch),
            Task::Region(region) => shared.write_region(region, progress, scratch),
        },
    )
}

/// A task, or a part of one, in the order of work.
struct Step {
    /// The task's position in the output.
    place: usize,
    /// Which bytes of its blob.
    bytes: Range<u64>,
    /// Whether other threads hash and decompress while this one copies.
    is_piped: bool,
    /// How much work it is, in bytes to copy.
    weight: u64,
}

impl Piece for Step {
    fn place(&self) -> usize {
        self.place
    }

    fn len(&self) -> u64 {
        self.weight
    }
}

/// The largest first, or one thread would end long after the others. A blob that would still do so,
/// because it is more than a thread's share of what is left, is shared by two.
fn schedule(tasks: &[Task<'_>], threads: usize, verify: Verify) -> Vec<Step> {
    let len = |task: &Task<'_>| match task {
        Task::Blob(job) => job.len,
        Task::Region(region) => region.len as u64,
    };
    let weight = |task: &Task<'_>| match task {
        Task::Blob(job) => job.weight(),
        Task::Region(region) => region.len as u64,
    };
    let mut places: Vec<usize> = (0..tasks.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(weight(&tasks[place])));
    let mut left: u128 = tasks.iter().map(|task| u128::from(weight(task))).sum();
    let mut steps = Vec::with_capacity(tasks.len());
    for place in places {
        let (len, weight) = (len(&tasks[place]), weight(&tasks[place]));
        let is_part = |job: &Job<'_>| matches!(job.destination, Destination::At(..));
        let part = match &tasks[place] {
            Task::Blob(job) if !job.is_hashed(verify) && is_part(job) => PART_LEN,
            _ => u64::MAX,
        };
        let is_long = weight >= PIPE_MIN && u128::from(weight) * threads as u128 > left;
        let is_piped = is_long && threads > 1;
        left -= u128::from(weight);
        let mut start: u64 = 0;
        loop {
            let end = start.saturating_add(part).min(len);
            let is_whole = end - start == len;
            steps.push(Step {
                place,
                bytes: start..end,
                is_piped,
                weight: if is_whole { weight } else { end - start },
            });
            start = end;
            if start == len {
                break;
            }
        }
    }
    steps
}
