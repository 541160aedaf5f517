//! Sharing idle threads between tasks, so that together they use every processor but no more.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Scope};

/// Counts the idle threads of a shared budget. A task that could use more threads tries to borrow one from
/// time to time, for example between two blobs, and returns it when it is done.
#[derive(Debug, Default)]
pub struct IdleThreads {
    /// Negative if the owner of a borrowed thread needs it again before it is returned.
    count: AtomicIsize,
}

/// A borrowed thread, returned when this value is dropped.
#[derive(Debug)]
pub struct BorrowedThread<'a> {
    idle_threads: &'a IdleThreads,
}

impl IdleThreads {
    /// Records that one thread of the budget has become idle.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that one thread of the budget has work again. This does not wait for borrowed threads, so
    /// for a short time one thread too many may run.
    pub fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Borrows an idle thread, if there is one.
    pub fn borrow(&self) -> Option<BorrowedThread<'_>> {
        let decremented = |count: isize| (count > 0).then(|| count - 1);
        let order = Ordering::Relaxed;
        let borrowed = self.count.fetch_update(order, order, decremented);
        borrowed
            .is_ok()
            .then(|| BorrowedThread { idle_threads: self })
    }

    /// Borrows all threads that are idle now.
    pub(crate) fn borrow_all(&self) -> impl Iterator<Item = BorrowedThread<'_>> {
        std::iter::from_fn(|| self.borrow())
    }
}

impl Drop for BorrowedThread<'_> {
    fn drop(&mut self) {
        self.idle_threads.add();
    }
}

/// How many threads may work: a number, or by default as many as there are processors.
///
/// The processors are counted only when the number matters, because that reads several files under `/proc` and `/sys`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jobs(Option<NonZeroUsize>);

impl Jobs {
    /// One thread.
    pub(crate) const ONE: Jobs = Jobs(Some(NonZeroUsize::MIN));

    /// The number of threads.
    pub(crate) fn count(self) -> NonZeroUsize {
        static PROCESSORS: OnceLock<NonZeroUsize> = OnceLock::new();
        let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.0
            .unwrap_or_else(|| *PROCESSORS.get_or_init(processors))
    }
}

impl From<NonZeroUsize> for Jobs {
    fn from(count: NonZeroUsize) -> Self {
        Jobs(Some(count))
    }
}

impl From<Option<NonZeroUsize>> for Jobs {
    fn from(count: Option<NonZeroUsize>) -> Self {
        Jobs(count)
    }
}

/// The threads that a stage may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers<'a> {
    /// How many, with the one that calls the stage.
    pub(crate) jobs: Jobs,
    /// Others that it may borrow.
    pub(crate) idle_threads: Option<&'a IdleThreads>,
}

impl Workers<'_> {
    /// Only the thread that calls.
    pub(crate) const ONE: Workers<'static> = Workers {
        jobs: Jobs::ONE,
        idle_threads: None,
    };

    /// Whether there may be more than the thread that calls.
    pub(crate) fn are_several(self) -> bool {
        self.idle_threads.is_some() || self.jobs.count() > NonZeroUsize::MIN
    }

    /// Calls `work` for every item, on all threads, and returns the results in the order of the items.
    pub(crate) fn map<T: Sync, R: Send>(
        self,
        items: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(items.len()));
        let has_more = || next.load(Ordering::Relaxed) < items.len();
        let run = |add_helper: &dyn Fn()| {
            let mut own = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(place) else { break };
                add_helper();
                own.push((place, work(item)));
            }
            let mut all = results.lock().unwrap_or_else(PoisonError::into_inner);
            all.append(&mut own);
        };
        let threads = self.jobs.count().get().min(items.len());
        run_with_helpers(threads, self.idle_threads, &has_more, &run);
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// The result of a thread that has ended; a panic goes on here.
pub(crate) fn join<T>(result: thread::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// Work that several threads share. Each thread calls this closure, which takes one piece after another
/// and returns when none is left. Between two pieces it calls its argument, so that an idle thread can
/// join.
type Work<'a> = dyn Fn(&dyn Fn()) + Sync + 'a;

/// Runs `work` on this thread, on `threads - 1` new ones, and on threads that can be borrowed while it runs.
/// A thread is borrowed only if `is_worth` says that it would help. Returns when all threads are done. A panic on
/// one of them goes on here then, as it was.
pub(crate) fn run_with_helpers<'env>(
    threads: usize,
    idle_threads: Option<&'env IdleThreads>,
    is_worth: &'env (dyn Fn() -> bool + Sync),
    work: &'env Work<'env>,
) {
    let panicked = Mutex::new(None);
    thread::scope(|scope| {
        let helpers = Helpers {
            scope,
            idle_threads,
            is_worth,
            work,
            panicked: &panicked,
        };
        for _ in 1..threads {
            // This thread does the work too, so failing to start others only makes it slower.
            if !helpers.spawn(None) {
                break;
            }
        }
        helpers.add();
        helpers.run();
    });
    let panicked = panicked.into_inner();
    if let Some(panic) = panicked.unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// What a thread panicked with.
type Panic = Box<dyn Any + Send>;

#[derive(Clone, Copy)]
struct Helpers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    idle_threads: Option<&'env IdleThreads>,
    is_worth: &'env (dyn Fn() -> bool + Sync),
    work: &'env Work<'env>,
    /// The first panic of a helper.
    panicked: &'scope Mutex<Option<Panic>>,
}

impl<'scope, 'env> Helpers<'scope, 'env> {
    fn run(self) {
        (self.work)(&|| self.add());
    }

    /// Starts a helper if a thread can be borrowed for it and would help.
    fn add(self) {
        if let Some(idle_threads) = self.idle_threads
            && (self.is_worth)()
            && let Some(borrowed) = idle_threads.borrow()
        {
            self.spawn(Some(borrowed));
        }
    }

    fn spawn(self, borrowed: Option<BorrowedThread<'env>>) -> bool {
        let work = move || {
            // The scope would replace it with a panic of its own.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run())) {
                let mut first = self.panicked.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(panic);
            }
            drop(borrowed);
        };
        thread::Builder::new()
            .spawn_scoped(self.scope, work)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
        let idle_threads = IdleThreads::default();
        idle_threads.add();
        for jobs in [1, 2, 7] {
            let workers = Workers {
                jobs: NonZeroUsize::new(jobs).into(),
                idle_threads: Some(&idle_threads),
            };
            assert_eq!(workers.map(&items, |item| item * 2), expected);
            assert!(workers.map(&[], |item: &usize| *item).is_empty());
        }
        assert!(idle_threads.borrow().is_some());
    }

    #[test]
    fn an_idle_thread_joins_between_two_pieces() {
        let idle_threads = IdleThreads::default();
        let next = AtomicUsize::new(0);
        let seen = Mutex::new(Vec::new());
        let is_worth = || next.load(Ordering::Relaxed) < 20;
        let work = |add_helper: &dyn Fn()| {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= 20 {
                    return;
                }
                if piece == 4 {
                    idle_threads.add();
                }
                thread::sleep(std::time::Duration::from_millis(2));
                seen.lock().unwrap().push((piece, thread::current().id()));
                add_helper();
            }
        };
        run_with_helpers(1, Some(&idle_threads), &is_worth, &work);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_by_key(|(piece, _)| *piece);
        let pieces: Vec<usize> = seen.iter().map(|(piece, _)| *piece).collect();
        assert_eq!(pieces, (0..20).collect::<Vec<_>>());
        let first = seen[0].1;
        assert!(seen[..5].iter().all(|(_, id)| *id == first));
        assert!(seen[5..].iter().any(|(_, id)| *id != first));
        assert!(
            idle_threads.borrow().is_some(),
            "the thread was not returned"
        );
    }

    #[test]
    fn a_panic_of_any_thread_goes_on_as_it_was() {
        let items: Vec<usize> = (0..200).collect();
        for jobs in [1, 4] {
            let workers = Workers {
                jobs: NonZeroUsize::new(jobs).into(),
                idle_threads: None,
            };
            for bad in [0, 100, 199] {
                let work = |item: &usize| {
                    thread::sleep(std::time::Duration::from_micros(50));
                    assert!(*item != bad, "item {item}");
                };
                let panic = catch_unwind(AssertUnwindSafe(|| workers.map(&items, work)));
                let panic = panic.unwrap_err();
                let message = panic.downcast_ref::<String>().unwrap();
                assert_eq!(*message, format!("item {bad}"), "{jobs}");
            }
        }
    }

    #[test]
    fn only_idle_threads_are_borrowed() {
        let idle_threads = IdleThreads::default();
        assert!(idle_threads.borrow().is_none());
        idle_threads.add();
        idle_threads.add();
        let first = idle_threads.borrow().unwrap();
        let second = idle_threads.borrow().unwrap();
        assert!(idle_threads.borrow().is_none());
        // The owner needs a thread again: the next one that is returned is not idle.
        idle_threads.remove();
        drop(first);
        assert!(idle_threads.borrow().is_none());
        drop(second);
        assert!(idle_threads.borrow().is_some());
    }
}
