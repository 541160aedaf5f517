//! Says how far the tests are, because engines take minutes.

use std::io::Write;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

/// The progress of one engine through a number of archives.
#[derive(Debug)]
pub(crate) struct Steps {
    what: &'static str,
    total: usize,
    done: usize,
    last: Instant,
}

impl Steps {
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        Steps {
            what,
            total,
            done: 0,
            last: Instant::now(),
        }
    }

    /// One more is done. Every ten seconds, this writes a line past the test harness, which captures output.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.last.elapsed() < EVERY {
            return;
        }
        self.last = Instant::now();
        // The harness may have begun a line.
        let line = format!(
            "\n{}: {} of {} archives\n",
            self.what, self.done, self.total
        );
        // What cannot be shown is not worth failing for.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
