//! Results in the order in which their tasks were taken, whichever ends first.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many bytes of results wait for others at most, apart from one result of each worker.
const MAX_LEN: usize = 16 << 20;

/// How often a worker that waits looks whether the run was stopped.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keeps results until those before them are there.
#[derive(Debug)]
pub(super) struct Turns<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Condvar,
    max_len: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    /// The turn of the next result.
    next: u64,
    results: BTreeMap<u64, (usize, Option<T>)>,
    len: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self::with_max_len(MAX_LEN)
    }
}

impl<T> Turns<T> {
    fn with_max_len(max_len: usize) -> Self {
        Turns {
            waiting: Mutex::new(Waiting {
                next: 0,
                results: BTreeMap::new(),
                len: 0,
            }),
            changed: Condvar::new(),
            max_len,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the result of a turn, `None` if there is none, which occupies `len` bytes, and passes on all whose turn it is.
    /// Waits while too many bytes wait for the results before them. Tasks must be taken in the order of their turns:
    /// whoever works on the first one does not wait.
    pub(super) fn put(
        &self,
        turn: u64,
        result: Option<T>,
        len: usize,
        is_stopped: &dyn Fn() -> bool,
        pass_on: &dyn Fn(T),
    ) {
        let mut waiting = self.lock();
        while waiting.next != turn && waiting.len + len > self.max_len && !is_stopped() {
            let woken = self.changed.wait_timeout(waiting, LOOK_EVERY);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.len += len;
        waiting.results.insert(turn, (len, result));
        while let Some((len, result)) = {
            let next = waiting.next;
            waiting.results.remove(&next)
        } {
            waiting.next += 1;
            waiting.len -= len;
            if let Some(result) = result {
                pass_on(result);
            }
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// The results that still wait for others, which will not come, in their order.
    pub(super) fn rest(self) -> impl Iterator<Item = T> {
        let waiting = self.waiting.into_inner();
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting
            .results
            .into_values()
            .filter_map(|(_, result)| result)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn results_are_passed_on_in_turn() {
        let turns = Turns::default();
        let passed = Mutex::new(Vec::new());
        let put = |turn, result| {
            let pass_on = |result: u64| passed.lock().unwrap().push(result);
            turns.put(turn, result, 1, &|| false, &pass_on);
        };
        put(2, Some(2));
        put(1, None);
        assert!(passed.lock().unwrap().is_empty());
        put(0, Some(0));
        put(5, Some(5));
        put(4, Some(4));
        assert_eq!(*passed.lock().unwrap(), [0, 2]);
        assert_eq!(turns.rest().collect::<Vec<_>>(), [4, 5]);
    }

    /// Whatever the order in which workers end, no more waits than is allowed, and all of it comes in turn.
    #[test]
    fn what_waits_is_bounded() {
        const WORKERS: u64 = 4;
        const TURNS: u64 = 2000;
        let turns = Turns::with_max_len(10);
        let taken = Mutex::new(0);
        let passed = Mutex::new(Vec::new());
        let most = AtomicU64::new(0);
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (turns, taken, passed, most) = (&turns, &taken, &passed, &most);
                scope.spawn(move || {
                    loop {
                        let turn: u64 = {
                            let mut taken = taken.lock().unwrap();
                            *taken += 1;
                            *taken - 1
                        };
                        if turn >= TURNS {
                            break;
                        }
                        if turn % 97 == worker {
                            thread::sleep(Duration::from_millis(2));
                        }
                        let pass_on = |turn| passed.lock().unwrap().push(turn);
                        turns.put(turn, Some(turn), 1, &|| false, &pass_on);
                        let waits = turns.lock().results.len() as u64;
                        most.fetch_max(waits, Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(passed.into_inner().unwrap().into_iter().eq(0..TURNS));
        let most = most.into_inner();
        assert!(most <= 10 + WORKERS, "{most}");
    }

    #[test]
    fn whoever_waits_ends_with_the_run() {
        let turns = Turns::with_max_len(0);
        let is_stopped = AtomicBool::new(false);
        let stopped = || is_stopped.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| turns.put(1, Some(1), 1, &stopped, &|_| ()));
            thread::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished());
            is_stopped.store(true, Ordering::Relaxed);
            waiter.join().unwrap();
        });
        assert_eq!(turns.rest().collect::<Vec<_>>(), [1]);
    }
}
