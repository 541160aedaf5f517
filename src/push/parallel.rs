//! Several requests at a time, and the first of their errors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Code, Error, Result};
use crate::threads::{IdleThreads, run_with_helpers};

/// Calls `work` with the position of each item, in so many threads and in those that are idle. After an error no other item is
/// begun, and `work` is told to stop by its second argument.
///
/// # Errors
/// That of the first item that failed by itself.
pub(super) fn each(
    count: usize,
    threads: usize,
    idle_threads: Option<&IdleThreads>,
    work: impl Fn(usize, &AtomicBool) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let has_failed = AtomicBool::new(false);
    let first: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let is_worth = || next.load(Ordering::Relaxed) < count && !has_failed.load(Ordering::Relaxed);
    let run = |add_helper: &dyn Fn()| {
        let _guard = StopOnPanic(&has_failed);
        while is_worth() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            add_helper();
            let Err(error) = work(number, &has_failed) else {
                continue;
            };
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that stop because another one failed are interrupted.
            let is_stopped = error.code() == Code::Interrupted;
            let is_first = match &*first {
                None => true,
                Some((_, known)) if known.code() == Code::Interrupted => !is_stopped,
                Some((known, _)) => number < *known && !is_stopped,
            };
            if is_first {
                *first = Some((number, error));
            }
            drop(first);
            has_failed.store(true, Ordering::Relaxed);
        }
    };
    let threads = threads.min(count);
    if count > 0 {
        run_with_helpers(threads, idle_threads, &is_worth, &run);
    }
    let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    first.map_or(Ok(()), |(_, error)| Err(error))
}

/// Stops the other threads, whose work would be for nothing.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_done_once() {
        for threads in [1, 4] {
            let seen = Mutex::new(Vec::new());
            let done = each(100, threads, None, |number, _| {
                seen.lock().unwrap().push(number);
                Ok(())
            });
            done.unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
        each(0, 4, None, |_, _| Err(Error::interrupted())).unwrap();
    }

    #[test]
    fn a_failure_stops_the_others_and_is_the_error() {
        for threads in [1, 4] {
            let failed = each(4, threads, None, |number, has_failed| match number {
                1 => Err(Error::new(Code::Io, "1")),
                _ if threads == 1 => Ok(()),
                _ => {
                    while !has_failed.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    Err(Error::interrupted())
                }
            });
            assert_eq!(failed.unwrap_err().to_string(), "1", "{threads}");
        }
    }
}
