//! Recompresses layers, as a plan requires, into temporary files that are added to the source.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pieces::{Failure, PieceProgress};
use super::proof::{Uncounted, second_compression};
use super::transcode::{Transcoded, transcode};
use crate::beneath::Directory;
use crate::codec::{GzipMembers, Limits};
use crate::error::{Error, IoContext, Result};
use crate::input::Source;
use crate::inventory::DataLocation;
use crate::plan::{NewLayer, NewLayers, Transcode};
use crate::progress::Progress;
use crate::publish::nameless;
use crate::threads::{self, BorrowedThread, IdleThreads};

/// How many threads compress for each processor when layers are compressed side by side.
const THREADS_PER_JOB: usize = 2;

/// Layers from this size, compressed, are worth starting threads for.
const SMALL: u64 = 256 << 10;
/// Where layers begin in a temporary file: filesystems that can share blocks share only complete ones.
const BLOCK: u64 = 4096;

/// How to compress.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecompressOptions<'a> {
    /// The level; the default of each form if there is none.
    pub level: Option<i32>,
    /// Whether gzip is written in one member or in many.
    pub members: GzipMembers,
    /// How many threads compress. What is written does not depend on it.
    pub jobs: NonZeroUsize,
    /// Idle threads that may help.
    pub idle_threads: Option<&'a IdleThreads>,
    /// Limits on decompression.
    pub limits: Limits,
    /// The directory that contains the new layers until the output is written.
    pub directory: &'a Directory,
}

impl<'a> RecompressOptions<'a> {
    /// One thread and the usual levels and limits. The directory contains the new layers until the output
    /// is written.
    pub fn new(directory: &'a Directory) -> Self {
        RecompressOptions {
            level: None,
            members: GzipMembers::default(),
            jobs: NonZeroUsize::MIN,
            idle_threads: None,
            limits: Limits::default(),
            directory,
        }
    }

    /// The same with this level: gzip 0 to 12, zstd 1 to 22.
    #[must_use]
    pub fn with_level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// The same with gzip in one member or in many.
    #[must_use]
    pub fn with_members(mut self, members: GzipMembers) -> Self {
        self.members = members;
        self
    }

    /// The same with this many threads.
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = jobs;
        self
    }

    /// The same within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// Does the work that a plan requires. Every layer is verified against its digest and, without
/// compression, against its diff ID. Progress counts the bytes of the old layers.
///
/// # Errors
/// A layer is damaged, is not what its diff ID says, or becomes larger than the limits allow; the
/// directory has no space.
pub fn recompress(
    transcodes: &[Transcode],
    source: &mut Source,
    options: RecompressOptions<'_>,
    progress: &dyn Progress,
) -> Result<NewLayers> {
    progress.start(transcodes.iter().map(|work| work.len).sum());
    let done = all(transcodes, source, options, progress);
    progress.finish();
    let All { files, layers } = done?;
    let files: Vec<usize> = files
        .into_iter()
        .map(|file| source.add_spooled(file))
        .collect();
    let layers = transcodes.iter().zip(layers).map(|(work, done)| {
        let kept = NewLayer::kept(work);
        let layer = match done {
            Done::Kept => kept,
            Done::Spooled(spooled) => NewLayer {
                digest: spooled.layer.digest,
                len: spooled.layer.len,
                data: DataLocation::Spooled {
                    file: files[spooled.file],
                    offset: spooled.offset,
                },
                was_compressed_twice: spooled.was_compressed_twice,
                ..kept
            },
        };
        (work.digest.clone(), layer)
    });
    Ok(layers.collect())
}

/// Those of the layers that stay what they are: they do not decompress to a tar, and their diff IDs are of what
/// they decompress to. The others that do not decompress to a tar are compressed twice. Progress counts the
/// bytes of the layers that are read.
///
/// # Errors
/// A layer that does not decompress to a tar is damaged, or its diff ID is of neither content.
pub(crate) fn without_tar(
    transcodes: &[Transcode],
    source: &Source,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<NewLayers> {
    let doubted = || transcodes.iter().filter(|work| work.inside.is_some());
    progress.start(doubted().map(|work| work.len).sum());
    let mut kept = Vec::new();
    let mut twice = BTreeSet::new();
    let done = doubted().try_for_each(|work| {
        match second_compression(work, source, limits, progress)? {
            None => kept.push((work.digest.clone(), NewLayer::kept(work))),
            Some(_) => {
                twice.insert(work.digest.clone());
            }
        }
        Ok(())
    });
    progress.finish();
    done.map(|()| kept.into_iter().collect::<NewLayers>().with_twice(twice))
}

/// What became of all layers.
struct All {
    /// The temporary files that contain them: one for each thread, since a process may have few files open.
    files: Vec<Arc<File>>,
    /// In the order of the plan.
    layers: Vec<Done>,
}

/// What became of a layer.
enum Done {
    /// It stays what it is: what it decompresses to is not a tar, and its diff ID is of just that.
    Kept,
    /// It has a new form.
    Spooled(Spooled),
}

/// A layer in its new form.
struct Spooled {
    layer: Transcoded,
    /// Which of the temporary files contains it, and where.
    file: usize,
    offset: u64,
    was_compressed_twice: bool,
}

/// Layers side by side, the largest first.
fn all(
    transcodes: &[Transcode],
    source: &Source,
    options: RecompressOptions<'_>,
    progress: &dyn Progress,
) -> Result<All> {
    let jobs = options.jobs.get();
    let schedule = Mutex::new(Schedule::new(transcodes, jobs));
    let failure = Failure::none();
    let files = Mutex::new(Vec::new());
    let results = Mutex::new(Vec::new());
    let one = |place: usize, spool: &mut Option<Spool>, threads: usize| -> Result<Done> {
        let progress = PieceProgress {
            progress,
            failure: &failure,
            place,
        };
        if progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let work = &transcodes[place];
        let inside = match work.inside {
            Some(_) => second_compression(work, source, options.limits, &Uncounted(&progress))?,
            None => None,
        };
        // No engine could unpack it in another compression either.
        if work.inside.is_some() && inside.is_none() {
            progress.advance(work.len);
            return Ok(Done::Kept);
        }
        let spool = match spool {
            Some(spool) => spool,
            none => none.insert(Spool::new(options.directory, &files)?),
        };
        let offset = spool.next(options.directory)?;
        let file = &spool.file;
        let layer = transcode(work, inside, source, file, options, threads, &progress)?;
        Ok(Done::Spooled(Spooled {
            layer,
            file: spool.number,
            offset,
            was_compressed_twice: inside.is_some(),
        }))
    };
    let is_worth = || !lock(&schedule).waiting.is_empty();
    let work = |add_helper: &dyn Fn()| {
        let mut spool = None;
        loop {
            let next = lock(&schedule).next();
            let Some((place, threads)) = next else { return };
            add_helper();
            // Threads that no other layer uses help with this one; so do threads that become idle later.
            let borrowed: Vec<BorrowedThread<'_>> = match transcodes[place].len {
                SMALL.. => options
                    .idle_threads
                    .into_iter()
                    .flat_map(IdleThreads::borrow_all)
                    .collect(),
                _ => Vec::new(),
            };
            let result = one(place, &mut spool, threads + borrowed.len());
            drop(borrowed);
            lock(&schedule).free += threads;
            match result {
                Ok(done) => lock(&results).push((place, done)),
                Err(error) => failure.add(place, error),
            }
        }
    };
    threads::run_with_helpers(
        jobs.min(transcodes.len()),
        options.idle_threads,
        &is_worth,
        &work,
    );
    failure.into_result()?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(place, _)| *place);
    let layers = results.into_iter().map(|(_, done)| done).collect();
    let files = files.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(All { files, layers })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file to which layers are written one after the other.
struct Spool {
    file: Arc<File>,
    /// Its index among those of all threads.
    number: usize,
}

impl Spool {
    /// Creates a file and adds it to `files`.
    fn new(directory: &Directory, files: &Mutex<Vec<Arc<File>>>) -> Result<Spool> {
        let created = nameless(directory);
        let created = created.context("create a temporary file in", directory.path())?;
        let file = Arc::new(created);
        let mut files = lock(files);
        files.push(Arc::clone(&file));
        Ok(Spool {
            file,
            number: files.len() - 1,
        })
    }

    /// Where the next layer begins.
    fn next(&self, directory: &Directory) -> Result<u64> {
        let mut file = &*self.file;
        let end = file.stream_position();
        let place = end.and_then(|end| file.seek(SeekFrom::Start(end.next_multiple_of(BLOCK))));
        place.context("write a temporary file in", directory.path())
    }
}

/// Which layer is next, and how many threads compress it.
struct Schedule {
    /// Indexes and lengths, the largest last.
    waiting: Vec<(usize, u64)>,
    /// The bytes that no thread has started on.
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
    /// as there are processors, and of many each gets a few. A small one gets one: to start others
    /// takes longer than what they do.
    fn next(&mut self) -> Option<(usize, usize)> {
        let (place, len) = self.waiting.pop()?;
        let share = (u128::from(len) * self.jobs as u128).div_ceil(u128::from(self.left.max(1)));
        self.left -= len;
        let share = usize::try_from(share).unwrap_or(self.jobs) * THREADS_PER_JOB;
        let threads = match len {
            SMALL.. => share.min(self.jobs).clamp(1, self.free.max(1)),
            _ => 1,
        };
        self.free = self.free.saturating_sub(threads);
        Some((place, threads))
    }
}
