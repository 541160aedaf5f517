//! The threads of a batch: those that work, and the one that shows the progress. Whatever fails or panics, all
//! of them end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ocify::{Error, Result};

use super::queue::{Queue, Task};
use crate::panics::caught;
use crate::progress::Overview;

/// The threads of a batch.
pub(super) struct Pool<'a> {
    /// How many threads work.
    pub(super) jobs: usize,
    pub(super) queue: &'a Queue,
    pub(super) overview: &'a Overview,
    /// Whether no other task is to be begun.
    pub(super) is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Pool<'_> {
    /// Calls `find`, which adds tasks to the queue, and meanwhile `work` with each task and the number of the
    /// thread that does it. Returns when all are done. If no thread can be started, this one does everything.
    ///
    /// # Errors
    /// That of `find`. `Code::Internal` if `find` or `work` panicked; every other task was done then.
    pub(super) fn run(
        &self,
        find: impl FnOnce() -> Result<()>,
        work: &(dyn Fn(usize, Task) + Sync),
    ) -> Result<()> {
        let is_done = AtomicBool::new(false);
        let fault = Mutex::new(None);
        let each = |number: usize| {
            while let Some(task) = self.queue.pop(self.is_stopped) {
                if let Err(error) = caught(None, || {
                    work(number, task);
                    Ok(())
                }) {
                    note(&fault, error);
                }
            }
        };
        let show = || {
            let note = || {
                if !(self.is_stopped)() {
                    return "";
                }
                // Workers need not wait for the next task.
                self.queue.complete();
                "stopping;"
            };
            self.overview.show(&is_done, &note);
            Ok(())
        };
        let (each, show) = (&each, &show);
        let found = thread::scope(|scope| {
            let ticker = thread::Builder::new().spawn_scoped(scope, || caught(None, show));
            let mut threads = Vec::new();
            for number in 0..self.jobs {
                // Fewer threads only take longer.
                match thread::Builder::new().spawn_scoped(scope, move || each(number)) {
                    Ok(thread) => threads.push(thread),
                    Err(_) => break,
                }
            }
            let found = caught(None, find);
            self.overview.complete();
            self.queue.complete();
            if threads.is_empty() {
                each(0);
            }
            for thread in threads {
                // It catches whatever panics.
                let _ = thread.join();
            }
            is_done.store(true, Ordering::Relaxed);
            // Without a ticker, only the progress is missing.
            if let Ok(ticker) = ticker {
                ticker.thread().unpark();
                if let Ok(Err(error)) = ticker.join() {
                    note(&fault, error);
                }
            }
            found
        });
        let fault = fault.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.and(fault.map_or(Ok(()), Err))
    }
}

/// Keeps the first fault.
fn note(fault: &Mutex<Option<Error>>, error: Error) {
    let mut first = fault.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert(error);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use ocify::Code;

    use super::*;
    use crate::args::ProgressMode;
    use crate::batch::queue::TaskKind;
    use crate::panics::listen;
    use crate::progress::Lines;

    const TASKS: u64 = 40;

    fn task(number: u64) -> Task {
        Task {
            number,
            turn: 0,
            path: PathBuf::new(),
            relative: PathBuf::new(),
            output: PathBuf::new(),
            kind: TaskKind::Layout,
            len: 0,
            root: None,
        }
    }

    /// Runs the pool, and returns its result and the tasks that were done. The search or single tasks panic.
    fn run(jobs: usize, search_panics: bool, panics: fn(u64) -> bool) -> (Result<()>, Vec<u64>) {
        listen();
        let (sender, receiver) = channel();
        // A hang would be a thread that never sends.
        thread::spawn(move || {
            let queue = Queue::default();
            let overview = Overview::new(ProgressMode::Quiet, jobs, Lines::Stdout);
            let done = Mutex::new(Vec::new());
            let pool = Pool {
                jobs,
                queue: &queue,
                overview: &overview,
                is_stopped: &|| false,
            };
            let find = || {
                (0..TASKS).for_each(|number| queue.push(task(number)));
                assert!(!search_panics, "the search failed");
                Ok(())
            };
            let result = pool.run(find, &|_, task| {
                assert!(!panics(task.number), "the task failed");
                done.lock().unwrap().push(task.number);
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            sender.send((result, done)).unwrap();
        });
        let ended = receiver.recv_timeout(Duration::from_secs(60));
        ended.expect("the pool hangs")
    }

    #[test]
    fn all_tasks_are_done_whatever_panics() {
        for jobs in [1, 3] {
            let (result, done) = run(jobs, false, |_| false);
            assert_eq!((result.is_ok(), done.len() as u64), (true, TASKS));

            let (result, done) = run(jobs, false, |number| number % 3 == 0);
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::Internal);
            assert!(error.to_string().contains("the task failed"), "{error}");
            assert!(
                done.iter().eq((0..TASKS)
                    .filter(|number| number % 3 != 0)
                    .collect::<Vec<_>>()
                    .iter())
            );

            let (result, done) = run(jobs, true, |_| false);
            let error = result.unwrap_err();
            assert!(error.to_string().contains("the search failed"), "{error}");
            assert_eq!(done.len() as u64, TASKS);

            let (result, done) = run(jobs, false, |_| true);
            assert_eq!(result.unwrap_err().code(), Code::Internal);
            assert!(done.is_empty());
        }
    }
}
