//! The progress of one input.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use ocify::{Progress, command::text::bytes};
use serde_json::json;

use super::many::{EVENT_EVERY, LINE_EVERY, SELDOM};
use super::moment::{PACE_AFTER, pace};
use super::terminal::target;
use crate::args::ProgressMode;
use crate::interrupt::Interrupt;

/// Work that takes less needs no bar.
const BAR_AFTER: Duration = Duration::from_secs(1);
/// Columns of the bar at most, and at least: with less space, there is only text.
const BAR_WIDTH: usize = 30;
const LEAST_BAR_WIDTH: usize = 8;

/// The progress of one run, in the requested mode.
#[derive(Debug)]
pub(crate) struct Shown {
    interrupt: Interrupt,
    started: Instant,
    total: AtomicU64,
    done: AtomicU64,
    way: Way,
    what: &'static str,
}

#[derive(Debug)]
enum Way {
    Nothing,
    Bar {
        bar: ProgressBar,
        hidden_since: Mutex<Option<Instant>>,
    },
    /// A line every so often; and one at the end, unless only work that takes long is to be shown.
    Lines {
        last: Mutex<Instant>,
        every: Duration,
        ends: bool,
    },
    Events {
        last: Mutex<Instant>,
    },
}

/// How far the work is after some seconds, in words. A total of 0 is not known.
fn text(done: u64, total: u64, elapsed: f64) -> String {
    let text = match total {
        0 => bytes(done),
        total => format!("{} of {}", bytes(done), bytes(total)),
    };
    let can_estimate = elapsed >= PACE_AFTER && (1..total).contains(&done);
    let left = can_estimate.then(|| (total - done) as f64 / done as f64 * elapsed);
    text + &pace(done, elapsed, left)
}

/// A line with a bar that fits a terminal.
fn bar_line(what: &str, done: u64, total: u64, elapsed: f64, columns: usize) -> String {
    let text = text(done, total, elapsed);
    let free = columns.saturating_sub(what.len() + 2 + text.len());
    if total == 0 || free < LEAST_BAR_WIDTH {
        return truncate_str(&format!("{what} {text}"), columns, "…").into_owned();
    }
    let width = free.min(BAR_WIDTH);
    let full = (width as f64 * (done as f64 / total as f64).min(1.0)) as usize;
    let (full, rest) = ("█".repeat(full), "░".repeat(width - full));
    format!("{what} {full}{rest} {text}")
}

impl Shown {
    /// Progress of `what` by `mode`; nothing is written before the work starts.
    pub(crate) fn new(mode: ProgressMode, what: &'static str, interrupt: &Interrupt) -> Self {
        let way = match mode {
            ProgressMode::Quiet => Way::Nothing,
            ProgressMode::Auto if !io::stderr().is_terminal() => Way::Lines {
                last: Mutex::new(Instant::now()),
                every: SELDOM,
                ends: false,
            },
            ProgressMode::Auto => {
                Way::bar(what, ProgressDrawTarget::hidden(), Some(Instant::now()))
            }
            ProgressMode::Tty => Way::bar(what, target(), None),
            ProgressMode::Plain => Way::Lines {
                last: Mutex::new(Instant::now()),
                every: LINE_EVERY,
                ends: true,
            },
            ProgressMode::Rawjson => Way::Events {
                last: Mutex::new(Instant::now()),
            },
        };
        Shown {
            interrupt: interrupt.clone(),
            started: Instant::now(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            way,
            what,
        }
    }

    fn line(&self, elapsed: f64) {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let _ = writeln!(io::stderr(), "{} {}", self.what, text(done, total, elapsed));
    }

    fn event(&self, event: &str) {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let text = json!({ "event": event, "phase": self.what, "done": done, "total": total });
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl Way {
    fn bar(what: &'static str, target: ProgressDrawTarget, hidden_since: Option<Instant>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let line = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let columns = usize::from(Term::stderr().size().1);
            let total = state.len().unwrap_or(0);
            let elapsed = state.elapsed().as_secs_f64();
            let _ = out.write_str(&bar_line(what, state.pos(), total, elapsed, columns));
        };
        if let Ok(style) = ProgressStyle::with_template("{line}") {
            bar.set_style(style.with_key("line", line));
        }
        Way::Bar {
            bar,
            hidden_since: Mutex::new(hidden_since),
        }
    }
}

impl Progress for Shown {
    fn start(&self, total_len: u64) {
        self.total.store(total_len, Ordering::Relaxed);
        match &self.way {
            Way::Nothing | Way::Lines { .. } => {}
            Way::Bar { bar, .. } => bar.set_length(total_len),
            Way::Events { .. } => self.event("start"),
        }
    }

    fn advance(&self, len: u64) {
        self.done.fetch_add(len, Ordering::Relaxed);
        match &self.way {
            Way::Nothing => {}
            Way::Bar { bar, hidden_since } => {
                bar.inc(len);
                // The thread that holds the lock shows the bar.
                if let Ok(mut since) = hidden_since.try_lock()
                    && since.is_some_and(|since| since.elapsed() >= BAR_AFTER)
                {
                    *since = None;
                    bar.set_draw_target(target());
                }
            }
            Way::Lines { last, every, .. } => {
                if is_due(last, *every) {
                    self.line(self.started.elapsed().as_secs_f64());
                }
            }
            Way::Events { last } => {
                if is_due(last, EVENT_EVERY) {
                    self.event("progress");
                }
            }
        }
    }

    fn finish(&self) {
        match &self.way {
            Way::Nothing | Way::Lines { ends: false, .. } => {}
            Way::Bar { bar, .. } => bar.finish_and_clear(),
            Way::Lines { .. } => self.line(0.0),
            Way::Events { .. } => self.event("finish"),
        }
    }

    fn is_stopped(&self) -> bool {
        self.interrupt.is_asked()
    }
}

/// Whether it is time for the next line. If another thread is about to write it, it is not.
fn is_due(last: &Mutex<Instant>, every: Duration) -> bool {
    let Ok(mut last) = last.try_lock() else {
        return false;
    };
    let is_due = last.elapsed() >= every;
    if is_due {
        *last = Instant::now();
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_speed_and_time_left_once_they_are_known() {
        for (done, total, elapsed, expected) in [
            (0, 8_000_000, 0.1, "0 B of 8.0 MB"),
            (0, 8_000_000, 2.0, "0 B of 8.0 MB, 0 B/s"),
            (
                2_000_000,
                8_000_000,
                2.0,
                "2.0 MB of 8.0 MB, 1.0 MB/s, 6 s left",
            ),
            (8_000_000, 8_000_000, 8.0, "8.0 MB of 8.0 MB, 1.0 MB/s"),
            // A pipe.
            (2_000_000, 0, 2.0, "2.0 MB, 1.0 MB/s"),
        ] {
            assert_eq!(text(done, total, elapsed), expected);
        }
    }

    #[test]
    fn a_bar_fits_every_terminal() {
        for columns in [10, 20, 40, 60, 80, 200] {
            for (done, total) in [(0, 0), (7, 0), (1 << 33, 10 << 30), (10 << 30, 10 << 30)] {
                let line = bar_line("recompressing", done, total, 3.0, columns);
                let width = line.chars().count();
                assert!(width <= columns, "{columns}: {line}");
            }
        }
        let line = bar_line("writing", 1 << 33, 10 << 30, 8.0, 60);
        assert_eq!(
            line,
            "writing ███████████░░░ 8.5 GB of 10.7 GB, 1.0 GB/s, 2 s left"
        );
        let line = bar_line("writing", 1 << 33, 10 << 30, 8.0, 42);
        assert_eq!(line, "writing 8.5 GB of 10.7 GB, 1.0 GB/s, 2 s …");
    }
}
