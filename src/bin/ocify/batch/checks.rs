//! Checks of many inputs in one run, which write nothing.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{
    Blobs, Checked, Error, Input, Observer, Result, command::check, command::check::CheckItem,
    command::check::CheckReport, command::check::CheckStatus, command::check::CheckSummary,
    command::check::GithubTable, command::check::HtmlPage, command::path_text,
};

use super::Stop;
use super::inputs::Watch;
use super::queue::Task;
use super::reading::{Ended, Reading};
use super::shard::Shard;
use super::tally::{Failures, emptiness, run_end};
use crate::args::{Check, CheckFormat, Fix};
use crate::check::{append_step_summary, fix_command_of_many, options};
use crate::interrupt::Interrupt;
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
        let input = path_text(&task.path);
        let report = match &ended {
            Ended::Done(checked) => CheckReport::new(&input, checked)
                .with_blobs(checked.outcome.map(Blobs::from).unwrap_or_default()),
            Ended::Skipped(error) => CheckReport::skipped(&input, error),
            Ended::Failed(error) => CheckReport::failed(&input, error),
            Ended::Unfinished => {
                self.lock().summary.unfinished += 1;
                return;
            }
        };
        let fix = match self.args.format {
            CheckFormat::Junit | CheckFormat::Github | CheckFormat::Html
                if report.status == CheckStatus::Rejected =>
            {
                fix_command_of_many(self.dry_run, &task.path)
            }
            _ => None,
        };
        let item = CheckItem {
            report: report.with_words(&Words::CHECK, fix.as_deref()),
            bytes: task.len,
            seconds,
        };
        let status = item.report.status;
        let shown = self.shown(&item);
        let mut counted = self.lock();
        counted.summary.count(status, task.len);
        match self.args.format {
            CheckFormat::Github => counted.table.add(&item.report),
            CheckFormat::Html => counted.page.add(&item.report),
            CheckFormat::Text | CheckFormat::Json | CheckFormat::Junit => {}
        }
        self.overview.print(&shown);
        if status == CheckStatus::Failed {
            self.overview.failed();
        }
        let is_bad = matches!(status, CheckStatus::Failed | CheckStatus::Rejected);
        if is_bad && self.dry_run.many.fail_fast {
            self.stop.has_failed.store(true, Ordering::Relaxed);
        }
        if let Ended::Failed(error) = ended {
            counted.failures.add(task, error);
        }
    }

    /// The line for standard output.
    fn shown(&self, item: &CheckItem<'_>) -> Vec<u8> {
        let mut line = styled_memory(self.overview.is_on_terminal());
        match self.args.format {
            CheckFormat::Json => return plain(&|out| check::item_json(item, out)),
            CheckFormat::Junit => {
                return plain(&|out| check::junit_suite(&item.report, item.seconds, out));
            }
            CheckFormat::Github => {
                return plain(&|out| check::github_annotation(&item.report, out));
            }
            // The page is written at the end.
            CheckFormat::Html => return Vec::new(),
            // Writing to memory cannot fail.
            CheckFormat::Text => drop(check::item_text(item, &mut line)),
        }
        line.into_inner()
    }

    /// Reports the summary.
    fn finish(self, seconds: f64, trouble: Option<Error>) -> CheckEnd {
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
