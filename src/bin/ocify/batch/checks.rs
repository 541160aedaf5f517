//! Checks of many inputs in one run, which write nothing.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{
    Blobs, Checked, Error, Input, Observer, Result, command::check, command::check::CheckItem,
    command::check::CheckReport, command::check::CheckSummary, command::check::GithubTable,
    command::check::HtmlPage, command::path_text,
};

use super::Stop;
use super::inputs::Watch;
use super::queue::Task;
use super::reading::{Ended, Reading};
use super::shard::Shard;
use super::tally::{Failures, emptiness, run_end};
use super::turns::Turns;
use crate::args::{Check, CheckFormat, Fix};
use crate::check::{append_step_summary, fix_command_of_many, options};
use crate::interrupt::Interrupt;
use crate::panics::caught;
use crate::progress::{Lines, Overview};
use crate::styles::styled_memory;
use crate::words::Words;

/// How checks of many inputs ended, besides what was reported.
pub(crate) struct CheckEnd {
    pub(crate) summary: CheckSummary,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// Whether something went wrong apart from the inputs.
    pub(crate) is_failed: bool,
    /// What of this was not reported.
    pub(crate) trouble: Option<Error>,
}

/// Checks all inputs of a shard.
pub(crate) fn check_all(args: &Check, shard: Option<Shard>) -> CheckEnd {
    let started = Instant::now();
    let interrupt = Interrupt::default();
    interrupt.listen();
    let dry_run = args.dry_run();
    let overview = Overview::new(dry_run.progress, dry_run.jobs().get(), Lines::Stdout);
    let stop = Stop {
        interrupt,
        has_failed: AtomicBool::new(false),
    };
    let run = Run {
        args,
        dry_run: &dry_run,
        shard,
        stop: &stop,
        overview: &overview,
        counted: Mutex::default(),
        turns: Turns::default(),
    };
    run.begin();
    let done = run.all();
    run.finish(started.elapsed().as_secs_f64(), done.err())
}

/// What every part of a run needs.
struct Run<'a> {
    args: &'a Check,
    /// The options of a dry run that reads inputs like this.
    dry_run: &'a Fix,
    shard: Option<Shard>,
    stop: &'a Stop,
    overview: &'a Overview,
    counted: Mutex<Counted>,
    /// Results that wait for those of inputs that were found before.
    turns: Turns<Reported>,
}

/// What is said of an input.
struct Reported {
    path: PathBuf,
    /// The length of the input.
    bytes: u64,
    seconds: f64,
    ended: Ended<Checked>,
    /// The command that fixes it.
    fix: Option<String>,
    /// Its line, or lines.
    shown: Vec<u8>,
}

/// About how many bytes the verdicts on one input take.
const VERDICTS_LEN: usize = 32 << 10;

impl Reported {
    /// About how many bytes it takes.
    fn len(&self) -> usize {
        self.shown.len() + VERDICTS_LEN
    }

    fn report<'r>(&'r self, input: &'r str) -> Option<CheckReport<'r>> {
        let report = match &self.ended {
            Ended::Done(checked) => CheckReport::new(input, checked)
                .with_blobs(checked.outcome.map(Blobs::from).unwrap_or_default()),
            Ended::Skipped(error) => CheckReport::skipped(input, error),
            Ended::Failed(error) => CheckReport::failed(input, error),
            Ended::Unfinished => return None,
        };
        Some(report.with_words(&Words::CHECK, self.fix.as_deref()))
    }
}

#[derive(Default)]
struct Counted {
    summary: CheckSummary,
    failures: Failures,
    table: GithubTable,
    page: HtmlPage,
}

impl Run<'_> {
    /// Writes what precedes all inputs.
    fn begin(&self) {
        if self.args.format == CheckFormat::Junit {
            self.overview.print(&plain(&|out| check::junit_start(out)));
        }
    }

    /// Finds and checks everything. The error is one of the search.
    fn all(&self) -> Result<()> {
        let reading = Reading {
            args: self.dry_run,
            jobs: self.dry_run.jobs(),
            shard: self.shard,
            stop: self.stop,
            overview: self.overview,
            is_in_order: self.is_in_order(),
        };
        // Each task has one thread, and those that are idle.
        let check = options(self.args, self.dry_run, Some(NonZeroUsize::MIN));
        let work = |input: Input, observer: &dyn Observer| check.run_observed(input, observer);
        reading.all(self, &work, &|task, ended, seconds| {
            self.ended(task, ended, seconds);
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports and counts how a check ended.
    fn ended(&self, task: &Task, ended: Ended<Checked>, seconds: f64) {
        let reported = match ended {
            Ended::Unfinished => {
                self.lock().summary.unfinished += 1;
                None
            }
            ended => Some(self.reported(task, ended, seconds)),
        };
        if !self.is_in_order() {
            reported
                .into_iter()
                .for_each(|reported| self.count(reported));
            return;
        }
        let len = reported.as_ref().map_or(0, Reported::len);
        let is_stopped = || self.stop.is_asked();
        let count = |reported| self.count(reported);
        self.turns
            .put(task.turn, reported, len, &is_stopped, &count);
    }

    /// Whether the report must not depend on which check ends first. Lines of text and JSON are shown as checks end.
    fn is_in_order(&self) -> bool {
        match self.args.format {
            CheckFormat::Text | CheckFormat::Json => false,
            CheckFormat::Junit | CheckFormat::Github | CheckFormat::Html => true,
        }
    }

    /// What is said of an input. A panic is its failure, because the results after it wait for this one.
    fn reported(&self, task: &Task, ended: Ended<Checked>, seconds: f64) -> Reported {
        let mut reported = Reported {
            path: task.path.clone(),
            bytes: task.len,
            seconds,
            ended,
            fix: None,
            shown: Vec::new(),
        };
        let is_rejected = matches!(&reported.ended, Ended::Done(checked) if !checked.passes());
        let shown = caught(Some(&task.path), || {
            if is_rejected && self.is_in_order() {
                reported.fix = fix_command_of_many(self.dry_run, &task.path);
            }
            Ok(self.shown(&reported))
        });
        match shown {
            Ok(shown) => reported.shown = shown,
            Err(error) => reported.ended = Ended::Failed(error),
        }
        let is_failed = matches!(reported.ended, Ended::Failed(_));
        if is_failed {
            self.overview.failed();
        }
        if (is_failed || is_rejected) && self.dry_run.many.fail_fast {
            self.stop.has_failed.store(true, Ordering::Relaxed);
        }
        reported
    }

    /// Shows and counts what was reported.
    fn count(&self, reported: Reported) {
        let mut counted = self.lock();
        let input = path_text(&reported.path);
        if let Some(report) = reported.report(&input) {
            counted.summary.count(report.status, reported.bytes);
            match self.args.format {
                CheckFormat::Github => counted.table.add(&report),
                CheckFormat::Html => counted.page.add(&report),
                CheckFormat::Text | CheckFormat::Json | CheckFormat::Junit => {}
            }
        }
        self.overview.print(&reported.shown);
        if let Ended::Failed(error) = reported.ended {
            counted.failures.add(&reported.path, error);
        }
    }

    /// The line for standard output.
    fn shown(&self, reported: &Reported) -> Vec<u8> {
        let input = path_text(&reported.path);
        let Some(report) = reported.report(&input) else {
            return Vec::new();
        };
        let item = CheckItem {
            report,
            bytes: reported.bytes,
            seconds: reported.seconds,
        };
        match self.args.format {
            CheckFormat::Json => plain(&|out| check::item_json(&item, out)),
            CheckFormat::Junit => plain(&|out| check::junit_suite(&item.report, item.seconds, out)),
            CheckFormat::Github => plain(&|out| check::github_annotation(&item.report, out)),
            // The page is written at the end.
            CheckFormat::Html => Vec::new(),
            CheckFormat::Text => {
                let mut line = styled_memory(self.overview.is_on_terminal());
                // Writing to memory cannot fail.
                let _ = check::item_text(&item, &mut line);
                line.into_inner()
            }
        }
    }

    /// Reports the summary.
    fn finish(mut self, seconds: f64, trouble: Option<Error>) -> CheckEnd {
        // Of a run that was stopped.
        for reported in std::mem::take(&mut self.turns).rest() {
            self.count(reported);
        }
        let interrupt = &self.stop.interrupt;
        let format = self.args.format;
        let counted = self.counted.into_inner();
        let Counted {
            mut summary,
            failures,
            table,
            page,
        } = counted.unwrap_or_else(PoisonError::into_inner);
        let words = &Words::CHECK;
        let images = summary.total() - summary.skipped;
        let must_find = self.dry_run.many.fail_if_empty;
        let trouble = trouble.or_else(|| emptiness(must_find, images, self.shard, interrupt));
        summary.end = run_end(seconds, self.shard, trouble.as_ref(), interrupt, words);
        let is_empty = summary.total() + summary.unfinished + summary.others == 0;
        let shown = match format {
            CheckFormat::Json => plain(&|out| check::summary_json(&summary, out)),
            CheckFormat::Junit => plain(&|out| check::junit_end(&summary.end, out)),
            CheckFormat::Github => plain(&|out| {
                let mut errors = summary.end.error.iter();
                errors.try_for_each(|failure| check::github_error(failure, out))
            }),
            CheckFormat::Html => plain(&|out| page.write(Some(&summary), out)),
            // Nothing was done, and the error says why.
            CheckFormat::Text if trouble.is_some() && is_empty => Vec::new(),
            CheckFormat::Text => {
                let mut line = styled_memory(self.overview.is_on_terminal());
                let _ = check::summary_text(&summary, &mut line);
                line.into_inner()
            }
        };
        let recorded = match format {
            CheckFormat::Github => {
                append_step_summary(&plain(&|out| table.write(Some(&summary), out)))
            }
            _ => {
                failures.show(summary.failed, words);
                Ok(())
            }
        };
        self.overview.print(&shown);
        self.overview.flush();
        let trouble = trouble.filter(|_| format != CheckFormat::Github);
        CheckEnd {
            stopped: interrupt.is_asked().then(|| interrupt.exit_code()),
            is_failed: summary.end.error.is_some(),
            trouble: trouble
                .or(recorded.err())
                .or_else(|| self.overview.trouble()),
            summary,
        }
    }
}

/// What is written without styles.
fn plain(write: &dyn Fn(&mut Vec<u8>) -> io::Result<()>) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    let _ = write(&mut out);
    out
}

impl Watch for Run<'_> {
    fn found(&self, len: u64) {
        self.overview.found(len);
    }

    fn left(&self) {
        self.lock().summary.others += 1;
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}
