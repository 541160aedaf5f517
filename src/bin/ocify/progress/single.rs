//! The progress of one input.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ocify::{Progress, command::text::bytes};
use serde_json::json;

use crate::args::ProgressMode;
use crate::interrupt::Interrupt;

const BAR: &str = "{prefix} {bar:30} {decimal_bytes} of {decimal_total_bytes}, {eta} left";
const OPEN_BAR: &str = "{prefix} {spinner} {decimal_bytes}, {decimal_bytes_per_sec}";
/// Work that takes less needs no bar.
const BAR_AFTER: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(3);
const EVENT_EVERY: Duration = Duration::from_millis(250);

/// The progress of one run, in the requested mode.
#[derive(Debug)]
pub(crate) struct Shown {
    interrupt: Interrupt,
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
    Lines {
        last: Mutex<Instant>,
        json: bool,
    },
}

impl Shown {
    /// Progress of `what` by `mode`; nothing is written before the work starts.
    pub(crate) fn new(mode: ProgressMode, what: &'static str, interrupt: &Interrupt) -> Self {
        let way = match mode {
            ProgressMode::Quiet => Way::Nothing,
            ProgressMode::Auto if !io::stderr().is_terminal() => Way::Nothing,
            ProgressMode::Auto => {
                Way::bar(what, ProgressDrawTarget::hidden(), Some(Instant::now()))
            }
            ProgressMode::Tty => Way::bar(what, ProgressDrawTarget::stderr(), None),
            ProgressMode::Plain | ProgressMode::Rawjson => Way::Lines {
                last: Mutex::new(Instant::now()),
                json: mode == ProgressMode::Rawjson,
            },
        };
        Shown {
            interrupt: interrupt.clone(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            way,
            what,
        }
    }

    fn line(&self, event: &str, json: bool) {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let text = if json {
            json!({ "event": event, "phase": self.what, "done": done, "total": total }).to_string()
        } else if total == 0 {
            format!("{} {}", self.what, bytes(done))
        } else {
            format!("{} {} of {}", self.what, bytes(done), bytes(total))
        };
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl Way {
    fn bar(what: &'static str, target: ProgressDrawTarget, hidden_since: Option<Instant>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
            bar.set_prefix(what);
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
            Way::Nothing | Way::Lines { json: false, .. } => {}
            Way::Bar { bar, .. } => {
                // How much comes in a pipe is not known.
                if total_len == 0
                    && let Ok(style) = ProgressStyle::with_template(OPEN_BAR)
                {
                    bar.set_style(style);
                }
                bar.set_length(total_len);
            }
            Way::Lines { json: true, .. } => self.line("start", true),
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
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
            }
            Way::Lines { last, json } => {
                let every = if *json { EVENT_EVERY } else { LINE_EVERY };
                if let Ok(mut last) = last.try_lock()
                    && last.elapsed() >= every
                {
                    *last = Instant::now();
                    self.line("progress", *json);
                }
            }
        }
    }

    fn finish(&self) {
        match &self.way {
            Way::Nothing => {}
            Way::Bar { bar, .. } => bar.finish_and_clear(),
            Way::Lines { json, .. } => self.line("finish", *json),
        }
    }

    fn is_stopped(&self) -> bool {
        self.interrupt.is_asked()
    }
}
