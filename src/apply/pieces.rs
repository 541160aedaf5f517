//! Pieces of an output that several threads work on, and the first of their errors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::ApplyOptions;
use super::verified::Scratch;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::threads;

/// A thread is started only for at least this many bytes.
const THREAD_MIN: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };

/// Something to do that depends on nothing else.
pub(super) trait Piece: Sync {
    /// Its position among all pieces: of several errors, the one at the lowest position counts.
    fn place(&self) -> usize;
    /// How many bytes it processes.
    fn len(&self) -> u64;
}

/// The first error of all pieces, whichever thread was faster.
#[derive(Debug)]
pub(super) struct Failure {
    /// The position of the first piece that failed; those after it need not be done.
    place: AtomicUsize,
    error: Mutex<Option<Error>>,
}

impl Failure {
    pub(super) fn none() -> Self {
        Failure {
            place: AtomicUsize::new(usize::MAX),
            error: Mutex::new(None),
        }
    }

    /// Whether an earlier piece has failed, so that an error here would not be the first.
    pub(super) fn is_before(&self, place: usize) -> bool {
        self.place.load(Ordering::Relaxed) < place
    }

    pub(super) fn add(&self, place: usize, error: Error) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if place < self.place.fetch_min(place, Ordering::Relaxed) {
            *first = Some(error);
        }
    }

    /// The error, if any piece failed.
    pub(super) fn into_result(self) -> Result<()> {
        let first = self.error.into_inner();
        let first = first.unwrap_or_else(PoisonError::into_inner);
        first.map_or(Ok(()), Err)
    }
}

/// The progress of one piece of several. It stops when an earlier piece has failed: whatever error
/// comes of that is not the first.
pub(super) struct PieceProgress<'a> {
    pub(super) progress: &'a dyn Progress,
    pub(super) failure: &'a Failure,
    /// The position of the piece.
    pub(super) place: usize,
}

impl Progress for PieceProgress<'_> {
    fn start(&self, _total_len: u64) {}

    fn advance(&self, len: u64) {
        self.progress.advance(len);
    }

    fn finish(&self) {}

    fn is_stopped(&self) -> bool {
        self.failure.is_before(self.place) || self.progress.is_stopped()
    }
}

/// Does all pieces, started in the order in which they are given. Each thread has its own
/// buffers. Pieces positioned after a failed one are skipped, or stopped by the progress that `work` gets.
///
/// # Errors
/// The first that `work` returns.
pub(super) fn each<P: Piece>(
    pieces: &[P],
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
    work: impl Fn(&P, &dyn Progress, &mut Scratch) -> Result<()> + Sync,
) -> Result<()> {
    let failure = Failure::none();
    let next = AtomicUsize::new(0);
    let is_worth = || {
        let next = next.load(Ordering::Relaxed);
        let left = pieces.len().saturating_sub(next) as u64;
        let len = pieces.get(next).map(Piece::len);
        len.is_some_and(|len| len.saturating_mul(left) >= THREAD_MIN)
    };
    let run = |add_helper: &dyn Fn()| {
        let _guard = StopOnPanic(&failure);
        let mut scratch = Scratch::default();
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let place = piece.place();
            if failure.is_before(place) {
                continue;
            }
            add_helper();
            let progress = PieceProgress {
                progress,
                failure: &failure,
                place,
            };
            if let Err(error) = work(piece, &progress, &mut scratch) {
                failure.add(place, error);
            }
        }
    };
    // Small pieces are done before another thread has started.
    let total = pieces.iter().map(Piece::len).fold(0, u64::saturating_add);
    let worth = usize::try_from(total / THREAD_MIN).unwrap_or(usize::MAX);
    let threads = options.jobs.get().min(pieces.len());
    let threads = threads.min(worth.saturating_add(1));
    threads::run_with_helpers(threads, options.idle_threads, &is_worth, &run);
    failure.into_result()
}

/// Stops the other threads, whose work would be for nothing.
struct StopOnPanic<'a>(&'a Failure);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.place.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::error::Code;
    use crate::progress::Hidden;

    struct Number(usize);

    impl Piece for Number {
        fn place(&self) -> usize {
            self.0
        }

        fn len(&self) -> u64 {
            THREAD_MIN
        }
    }

    #[test]
    fn all_are_done_once() {
        let pieces: Vec<Number> = (0..100).map(Number).collect();
        for jobs in [1, 4] {
            let options = ApplyOptions {
                jobs: NonZeroUsize::new(jobs).unwrap(),
                ..ApplyOptions::default()
            };
            let seen = Mutex::new(Vec::new());
            each(&pieces, &options, &Hidden, |piece, _, _| {
                seen.lock().unwrap().push(piece.0);
                Ok(())
            })
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<_>>(), "{jobs}");
        }
    }

    #[test]
    fn the_error_of_the_first_place_is_returned() {
        // Started in another order than that of their positions.
        let pieces: Vec<Number> = (0..100).rev().map(Number).collect();
        for jobs in [1, 4] {
            let options = ApplyOptions {
                jobs: NonZeroUsize::new(jobs).unwrap(),
                ..ApplyOptions::default()
            };
            let failed = each(&pieces, &options, &Hidden, |piece, _, _| {
                match piece.0 % 10 {
                    7 => Err(Error::new(Code::Io, piece.0.to_string())),
                    _ => Ok(()),
                }
            });
            assert_eq!(failed.unwrap_err().to_string(), "7", "{jobs}");
        }
    }
}
