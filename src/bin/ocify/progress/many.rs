//! The progress of a batch: how much of all is done, and what is being worked on.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ocify::{Error, Progress, command::show_path};
use serde_json::json;

use super::bars::Bars;
use super::moment::Moment;
use crate::args::{Fix, ProgressMode};
use crate::standard;

/// How often bars are drawn, and lines on a terminal are shown.
const DRAW_EVERY: Duration = Duration::from_millis(100);
pub(super) const EVENT_EVERY: Duration = Duration::from_millis(250);
/// How often there is a line if lines were requested, and if not.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(3);
pub(super) const SELDOM: Duration = Duration::from_secs(10);
/// Work that takes less needs no bar.
const BARS_AFTER: Duration = Duration::from_secs(1);
/// An input is shown once it has taken this long, so that small ones do not flicker by.
const INPUT_AFTER: Duration = Duration::from_millis(500);
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Nothing,
    /// Bars, once the run has taken this long.
    Bars(Duration),
    /// A line every so often.
    Lines(Duration),
    Events,
}

/// Where the lines about inputs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// To standard output.
    Stdout,
    /// To standard error: something else is written to standard output.
    Stderr,
    /// Nowhere: only errors are shown.
    Nowhere,
}

impl Lines {
    /// Where they go if something else may be written to standard output.
    pub(crate) fn of(args: &Fix, is_stdout_taken: bool) -> Self {
        match is_stdout_taken {
            _ if args.quiet => Lines::Nowhere,
            true => Lines::Stderr,
            false => Lines::Stdout,
        }
    }

    fn is_terminal(self) -> bool {
        match self {
            Lines::Stdout => io::stdout().is_terminal(),
            Lines::Stderr => io::stderr().is_terminal(),
            Lines::Nowhere => false,
        }
    }

    fn write(self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        match self {
            Lines::Stdout => write_all(io::stdout().lock(), lines),
            Lines::Stderr => write_all(io::stderr().lock(), lines),
            Lines::Nowhere => Ok(()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Lines::Stdout => standard::OUTPUT,
            Lines::Stderr | Lines::Nowhere => standard::ERROR,
        }
    }
}

fn write_all(mut out: impl Write, lines: &[u8]) -> io::Result<()> {
    out.write_all(lines)?;
    out.flush()
}

/// The progress of all inputs, which counts what the workers do.
#[derive(Debug)]
pub(crate) struct Overview {
    way: Way,
    started: Instant,
    found: AtomicU64,
    found_len: AtomicU64,
    is_complete: AtomicBool,
    done: AtomicU64,
    done_len: AtomicU64,
    failed: AtomicU64,
    /// What each worker is doing.
    slots: Vec<Mutex<Option<Slot>>>,
    lines_to: Lines,
    /// Lines that wait for the next time that bars are drawn.
    lines: Mutex<Vec<u8>>,
    /// Whether lines go to a terminal, which may show bars too.
    is_shared: bool,
    /// Why a line could not be written.
    trouble: Mutex<Option<io::Error>>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    len: u64,
    begun: Instant,
    stage: &'static str,
    done: u64,
    total: u64,
    /// How much of the input counted as done in an earlier stage.
    share: f64,
}

impl Slot {
    fn share(&self) -> f64 {
        let share = match self.total {
            0 => 0.0,
            total => (self.done as f64 / total as f64).min(1.0),
        };
        share.max(self.share)
    }
}

impl Overview {
    /// Nothing is shown before [`show`](Self::show).
    pub(crate) fn new(mode: ProgressMode, workers: usize, lines_to: Lines) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let way = match mode {
            ProgressMode::Quiet => Way::Nothing,
            ProgressMode::Auto if is_terminal => Way::Bars(BARS_AFTER),
            ProgressMode::Auto => Way::Lines(SELDOM),
            ProgressMode::Tty => Way::Bars(Duration::ZERO),
            ProgressMode::Plain => Way::Lines(LINE_EVERY),
            ProgressMode::Rawjson => Way::Events,
        };
        Overview {
            way,
            started: Instant::now(),
            found: AtomicU64::new(0),
            found_len: AtomicU64::new(0),
            is_complete: AtomicBool::new(false),
            done: AtomicU64::new(0),
            done_len: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slots: (0..workers).map(|_| Mutex::new(None)).collect(),
            lines_to,
            lines: Mutex::new(Vec::new()),
            is_shared: lines_to.is_terminal(),
            trouble: Mutex::default(),
        }
    }

    /// One more input was found.
    pub(crate) fn found(&self, len: u64) {
        self.found.fetch_add(1, Ordering::Relaxed);
        self.found_len.fetch_add(len, Ordering::Relaxed);
    }

    /// No more will be found.
    pub(crate) fn complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
    }

    /// An input failed.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker begins with an input.
    pub(crate) fn begin<'a>(
        &'a self,
        worker: usize,
        name: &Path,
        len: u64,
        is_stopped: &'a (dyn Fn() -> bool + Sync),
    ) -> Running<'a> {
        let slot = Slot {
            name: show_path(name),
            len,
            begun: Instant::now(),
            stage: "reading",
            done: 0,
            total: 0,
            share: 0.0,
        };
        *self.slot(worker) = Some(slot);
        Running {
            overview: self,
            worker,
            is_stopped,
        }
    }

    fn slot(&self, worker: usize) -> MutexGuard<'_, Option<Slot>> {
        let slot = &self.slots[worker % self.slots.len()];
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether lines go to a terminal.
    pub(crate) fn is_on_terminal(&self) -> bool {
        self.is_shared
    }

    /// Shows lines about inputs without disturbing bars.
    pub(crate) fn print(&self, lines: &[u8]) {
        if self.is_shared && matches!(self.way, Way::Bars(_)) {
            let mut waiting = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend_from_slice(lines);
        } else {
            self.write(lines);
        }
    }

    /// Writes lines. The work continues without them.
    fn write(&self, lines: &[u8]) {
        match self.lines_to.write(lines) {
            // The reader has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                trouble.get_or_insert(error);
            }
            _ => {}
        }
    }

    /// The error if lines could not be written.
    pub(crate) fn trouble(&self) -> Option<Error> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = Path::new(self.lines_to.name());
        let error = trouble.take()?;
        Some(Error::io("write the report to", stream, error))
    }

    fn waiting(&self) -> Vec<u8> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines)
    }

    /// What waits to be shown, once nothing else is.
    pub(crate) fn flush(&self) {
        self.write(&self.waiting());
    }

    fn moment(&self) -> Moment {
        let mut done_len = self.done_len.load(Ordering::Relaxed);
        for worker in 0..self.slots.len() {
            if let Some(slot) = &*self.slot(worker) {
                done_len += (slot.len as f64 * slot.share()) as u64;
            }
        }
        Moment {
            done: self.done.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
            done_len,
            found_len: self.found_len.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_complete: self.is_complete.load(Ordering::Relaxed),
            elapsed: self.started.elapsed().as_secs_f64(),
        }
    }

    /// A line for each input that has taken a while.
    fn inputs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for worker in 0..self.slots.len() {
            if let Some(slot) = &*self.slot(worker)
                && slot.begun.elapsed() >= INPUT_AFTER
            {
                let percent = match slot.total {
                    0 => String::new(),
                    total => format!(" {:.0} %", slot.done as f64 * 100.0 / total as f64),
                };
                lines.push(format!("  {}{percent}  {}", slot.stage, slot.name));
            }
        }
        lines
    }

    /// Shows the progress until everything is done, with a note that is requested every time.
    pub(crate) fn show(&self, is_done: &AtomicBool, note: &dyn Fn() -> &'static str) {
        let mut bars = None;
        let mut last = Instant::now();
        if self.way == Way::Events {
            self.event("start");
        }
        while !is_done.load(Ordering::Relaxed) {
            thread::park_timeout(DRAW_EVERY);
            let note = note();
            let is_due = |every: Duration| last.elapsed() >= every;
            match self.way {
                Way::Nothing => {}
                Way::Bars(after) => {
                    if self.started.elapsed() >= after && !is_done.load(Ordering::Relaxed) {
                        bars.get_or_insert_with(Bars::new);
                    }
                    let lines = self.waiting();
                    match &bars {
                        Some(bars) => {
                            let write = || self.write(&lines);
                            bars.draw(&self.moment(), note, &self.inputs(), &write);
                        }
                        None => self.write(&lines),
                    }
                }
                Way::Lines(every) if is_due(every) => {
                    last = Instant::now();
                    let _ = writeln!(io::stderr(), "{}", self.moment().text());
                }
                Way::Events if is_due(EVENT_EVERY) => {
                    last = Instant::now();
                    self.event("progress");
                }
                Way::Lines(_) | Way::Events => {}
            }
        }
        if let Some(bars) = bars {
            bars.clear();
        }
        self.flush();
        if self.way == Way::Events {
            self.event("finish");
        }
    }

    fn event(&self, event: &str) {
        let moment = self.moment();
        let text = json!({
            "event": event,
            "phase": "batch",
            "done": moment.done_len,
            "total": moment.found_len,
            "items": {
                "done": moment.done,
                "total": moment.found,
                "failed": moment.failed,
            },
            "total_is_known": moment.is_complete,
        });
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// An input that a worker has begun with; it has ended when this is dropped.
pub(crate) struct Running<'a> {
    overview: &'a Overview,
    worker: usize,
    is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Running<'_> {
    /// Whether the work is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        (self.is_stopped)()
    }

    /// The progress of one stage of the work.
    pub(crate) fn stage(&self, what: &'static str) -> Stage<'_> {
        if let Some(slot) = &mut *self.overview.slot(self.worker) {
            slot.share = slot.share();
            (slot.stage, slot.done, slot.total) = (what, 0, 0);
        }
        Stage { running: self }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.overview.slot(self.worker).take() {
            self.overview
                .done_len
                .fetch_add(slot.len, Ordering::Relaxed);
            self.overview.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One stage of the work on an input.
pub(crate) struct Stage<'a> {
    running: &'a Running<'a>,
}

impl Progress for Stage<'_> {
    fn start(&self, total_len: u64) {
        if let Some(slot) = &mut *self.running.overview.slot(self.running.worker) {
            slot.total = total_len;
        }
    }

    fn advance(&self, len: u64) {
        if let Some(slot) = &mut *self.running.overview.slot(self.running.worker) {
            slot.done += len;
        }
    }

    fn finish(&self) {}

    fn is_stopped(&self) -> bool {
        self.running.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_counts_once() {
        let overview = Overview::new(ProgressMode::Quiet, 2, Lines::Stdout);
        overview.found(100);
        overview.found(50);
        let never = || false;
        let running = overview.begin(1, Path::new("a\u{7}"), 100, &never);
        let stage = running.stage("writing");
        stage.start(10);
        stage.advance(5);
        assert_eq!(overview.moment().done_len, 50);
        // A second stage does not begin at nothing again.
        let stage = running.stage("again");
        stage.start(10);
        stage.advance(2);
        assert_eq!(overview.moment().done_len, 50);
        assert_eq!(overview.inputs(), [""; 0], "it has only begun");
        drop(running);
        let now = overview.moment();
        assert_eq!((now.done, now.done_len, now.found_len), (1, 100, 150));
    }
}
