//! What waits to be done, and what workers take next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ocify::{Directory, Error, IdleThreads};

use super::fingerprint::Fingerprint;

/// Inputs from this size are begun first, the largest before all others, or one of them could be
/// left over at the end with nothing beside it.
const LARGE: u64 = 4 << 20;

/// Something to do.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its position among everything that was found, counted from 0.
    pub(crate) number: u64,
    /// How many tasks were taken from the queue before this one.
    pub(crate) turn: u64,
    pub(crate) path: PathBuf,
    /// Its path below the directory that was given, which its shard is chosen by.
    pub(crate) relative: PathBuf,
    /// The path of its output below the output directory.
    pub(crate) output: PathBuf,
    pub(crate) kind: TaskKind,
    pub(crate) len: u64,
    /// The directory that was walked, if it was found in one. No link below it is followed.
    pub(crate) root: Option<Directory>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum TaskKind {
    /// An archive is to be fixed; whether it was named and not found.
    Archive { is_named: bool },
    /// A layout is to be fixed.
    Layout,
    /// A file is to be copied.
    Copy(Fingerprint),
    /// A link is to be created again.
    Link,
    /// Nothing: it is skipped.
    Skip(Error),
    /// Nothing: it failed already.
    Report(Error),
}

/// By size, and then in the order in which they were found.
#[derive(Debug)]
struct Ordered {
    task: Task,
    size: u64,
}

impl Ordered {
    fn key(&self) -> (u64, Reverse<u64>) {
        (self.size, Reverse(self.task.number))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Ordered {}

#[derive(Debug, Default)]
struct Waiting {
    tasks: BinaryHeap<Ordered>,
    is_complete: bool,
    idle: usize,
    taken: u64,
}

/// The waiting tasks, for all workers. A worker that waits for one counts as an idle thread.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    pub(crate) idle_threads: IdleThreads,
    /// Whether tasks are taken in the order in which they were found, also if they are large.
    is_in_order: bool,
}

impl Queue {
    /// A queue from which tasks are taken in the order in which they were found.
    pub(crate) fn in_order() -> Self {
        Queue {
            is_in_order: true,
            ..Queue::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, task: Task) {
        let size = match task.len {
            len if len >= LARGE && !self.is_in_order => len,
            _ => 0,
        };
        let mut waiting = self.lock();
        waiting.tasks.push(Ordered { task, size });
        let is_awaited = waiting.idle > 0;
        drop(waiting);
        if is_awaited {
            self.changed.notify_one();
        }
    }

    /// Nothing more will come.
    pub(crate) fn complete(&self) {
        self.lock().is_complete = true;
        self.changed.notify_all();
    }

    /// The next task; nothing once all are taken and no more will come, or the run was stopped.
    pub(crate) fn pop(&self, is_stopped: &dyn Fn() -> bool) -> Option<Task> {
        let mut waiting = self.lock();
        loop {
            if is_stopped() {
                return None;
            }
            if let Some(Ordered { task, .. }) = waiting.tasks.pop() {
                let turn = waiting.taken;
                waiting.taken += 1;
                return Some(Task { turn, ..task });
            }
            if waiting.is_complete {
                // This thread is not needed any more, so others may have it for good.
                self.idle_threads.add();
                return None;
            }
            self.idle_threads.add();
            waiting.idle += 1;
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
            self.idle_threads.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_small_ones_in_their_order() {
        let order = taken(Queue::default());
        assert_eq!(order, [(3, 0), (1, 1), (5, 2), (0, 3), (2, 4), (4, 5)]);
    }

    #[test]
    fn in_order_the_largest_wait_too() {
        let order = taken(Queue::in_order());
        assert_eq!(order, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    }

    /// The numbers and turns of tasks of several sizes, as they are taken.
    fn taken(queue: Queue) -> Vec<(u64, u64)> {
        for (number, len) in [5, LARGE, 9, LARGE + 7, 1, LARGE].into_iter().enumerate() {
            queue.push(Task {
                number: number as u64,
                turn: 0,
                path: PathBuf::new(),
                relative: PathBuf::new(),
                output: PathBuf::new(),
                kind: TaskKind::Layout,
                len,
                root: None,
            });
        }
        queue.complete();
        let tasks = std::iter::from_fn(|| queue.pop(&|| false));
        let order = tasks.map(|task| (task.number, task.turn)).collect();
        assert!(
            queue.idle_threads.borrow().is_some(),
            "the worker has ended"
        );
        assert!(queue.pop(&|| true).is_none());
        order
    }
}
