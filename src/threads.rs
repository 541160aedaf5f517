//! Threads that pieces of work share, so that together they use the machine and no more.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread::{self, Scope};

/// How many threads of a common budget are idle. Work that could use more of them than it has asks
/// now and then, between two blobs for example, and hands back what it was lent when it is done.
#[derive(Debug, Default)]
pub struct Spare {
    /// Negative while an idle thread was lent and then needed by its owner.
    idle: AtomicIsize,
}

/// A thread that was lent; handed back when this is dropped.
#[derive(Debug)]
pub struct Lent<'a> {
    spare: &'a Spare,
}

impl Spare {
    /// One thread of the budget has nothing to do.
    pub fn rest(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// One thread of the budget has something to do again. It does not wait for one that was lent:
    /// for a moment there may be a thread too many.
    pub fn wake(&self) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lends an idle thread, if there is one.
    pub fn borrow(&self) -> Option<Lent<'_>> {
        let less = |idle: isize| (idle > 0).then(|| idle - 1);
        let order = Ordering::Relaxed;
        let lent = self.idle.fetch_update(order, order, less);
        lent.is_ok().then(|| Lent { spare: self })
    }

    /// Lends all that are idle now.
    pub(crate) fn all(&self) -> impl Iterator<Item = Lent<'_>> {
        std::iter::from_fn(|| self.borrow())
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.spare.rest();
    }
}

/// Work that several threads take pieces of. It calls its argument between two pieces, so that idle
/// threads can join; it must do nothing once nothing is left.
type Work<'a> = dyn Fn(&dyn Fn()) + Sync + 'a;

/// Runs `work` on this thread and `threads - 1` others, and on those that can be borrowed meanwhile,
/// while `is_worth` says that another thread would help.
pub(crate) fn together<'env>(
    threads: usize,
    spare: Option<&'env Spare>,
    is_worth: &'env (dyn Fn() -> bool + Sync),
    work: &'env Work<'env>,
) {
    thread::scope(|scope| {
        let crew = Crew {
            scope,
            spare,
            is_worth,
            work,
        };
        for _ in 1..threads {
            // This thread works too, so fewer others only make it slower.
            if !crew.spawn(None) {
                break;
            }
        }
        crew.recruit();
        crew.run();
    });
}

#[derive(Clone, Copy)]
struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    spare: Option<&'env Spare>,
    is_worth: &'env (dyn Fn() -> bool + Sync),
    work: &'env Work<'env>,
}

impl<'scope, 'env> Crew<'scope, 'env> {
    fn run(self) {
        (self.work)(&|| self.recruit());
    }

    fn recruit(self) {
        if let Some(spare) = self.spare
            && (self.is_worth)()
            && let Some(lent) = spare.borrow()
        {
            self.spawn(Some(lent));
        }
    }

    fn spawn(self, lent: Option<Lent<'env>>) -> bool {
        let work = move || {
            self.run();
            drop(lent);
        };
        thread::Builder::new()
            .spawn_scoped(self.scope, work)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn idle_threads_join_between_two_pieces() {
        let spare = Spare::default();
        let next = AtomicUsize::new(0);
        let seen = Mutex::new(Vec::new());
        let is_worth = || next.load(Ordering::Relaxed) < 20;
        let work = |recruit: &dyn Fn()| {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= 20 {
                    return;
                }
                if piece == 4 {
                    spare.rest();
                }
                thread::sleep(std::time::Duration::from_millis(2));
                seen.lock().unwrap().push((piece, thread::current().id()));
                recruit();
            }
        };
        together(1, Some(&spare), &is_worth, &work);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_by_key(|(piece, _)| *piece);
        let pieces: Vec<usize> = seen.iter().map(|(piece, _)| *piece).collect();
        assert_eq!(pieces, (0..20).collect::<Vec<_>>());
        let first = seen[0].1;
        assert!(seen[..5].iter().all(|(_, id)| *id == first));
        assert!(seen[5..].iter().any(|(_, id)| *id != first));
        assert!(spare.borrow().is_some(), "it was handed back");
    }

    #[test]
    fn no_more_are_lent_than_rest() {
        let spare = Spare::default();
        assert!(spare.borrow().is_none());
        spare.rest();
        spare.rest();
        let first = spare.borrow().unwrap();
        let second = spare.borrow().unwrap();
        assert!(spare.borrow().is_none());
        // An owner that comes back is owed a thread, which the next one handed back pays.
        spare.wake();
        drop(first);
        assert!(spare.borrow().is_none());
        drop(second);
        assert!(spare.borrow().is_some());
    }
}
