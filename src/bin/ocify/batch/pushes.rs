//! Pushes of many inputs in one run, which write nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{
    Error, Input, Observer, PushTarget, Pushed, Result, command::path_text, command::push,
    command::push::PushItem, command::push::PushReport, command::push::PushStatus,
    command::push::PushSummary,
};

use super::Stop;
use super::inputs::Watch;
use super::queue::Task;
use super::reading::{Ended, Reading};
use super::shard::Shard;
use super::tally::{Failures, emptiness, run_end};
use crate::args::{Fix, Format, Push};
use crate::interrupt::Interrupt;
use crate::progress::{Lines, Overview};
use crate::push::{ONE, operation};
use crate::styles::styled_memory;
use crate::words::Words;

/// How pushes of many inputs ended, besides what was reported.
pub(crate) struct PushEnd {
    pub(crate) summary: PushSummary,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// What went wrong apart from the inputs.
    pub(crate) trouble: Option<Error>,
}

/// Pushes all inputs of a shard.
pub(crate) fn push_all(args: &Push, target: Option<&PushTarget>, shard: Option<Shard>) -> PushEnd {
    let started = Instant::now();
    let interrupt = Interrupt::default();
    interrupt.listen();
    let reads = args.reads();
    let overview = Overview::new(reads.progress, args.jobs().get(), Lines::Stdout);
    let stop = Stop {
        interrupt,
        has_failed: AtomicBool::new(false),
    };
    let run = Run {
        args,
        reads: &reads,
        target,
        shown_target: target.map(ToString::to_string),
        shard,
        stop: &stop,
        overview: &overview,
        counted: Mutex::default(),
    };
    let done = run.all();
    run.finish(started.elapsed().as_secs_f64(), done.err())
}

/// What every part of a run needs.
struct Run<'a> {
    args: &'a Push,
    /// The options of a dry run of `fix` that reads inputs like this.
    reads: &'a Fix,
    target: Option<&'a PushTarget>,
    shown_target: Option<String>,
    shard: Option<Shard>,
    stop: &'a Stop,
    overview: &'a Overview,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    summary: PushSummary,
    failures: Failures,
}

impl Run<'_> {
    /// Finds and pushes everything. The error is one of the search.
    fn all(&self) -> Result<()> {
        let reading = Reading {
            args: self.reads,
            jobs: self.args.jobs(),
            shard: self.shard,
            stop: self.stop,
            overview: self.overview,
            is_in_order: false,
        };
        // Each task has one thread, and those that are idle.
        let push = operation(self.args, self.target)?.jobs(ONE);
        let work = |input: Input, observer: &dyn Observer| match self.args.fix.dry_run {
            true => push.plan_only_observed(input, observer),
            false => push.run_observed(input, observer),
        };
        reading.all(self, &work, &|task, ended, seconds| {
            self.ended(task, ended, seconds);
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports and counts how a push ended.
    fn ended(&self, task: &Task, ended: Ended<Pushed>, seconds: f64) {
        let input = path_text(&task.path);
        let report = match &ended {
            Ended::Done(pushed) => PushReport::new(&input, pushed, self.args.fix.dry_run),
            Ended::Skipped(error) => PushReport::skipped(&input, error),
            Ended::Failed(error) => PushReport::failed(&input, error),
            Ended::Unfinished => {
                self.lock().summary.unfinished += 1;
                return;
            }
        };
        let item = PushItem {
            report: report
                .with_target(self.shown_target.as_deref())
                .with_wording(&Words::PUSH),
            bytes: task.len,
            seconds,
        };
        let shown = self.shown(&item);
        let mut counted = self.lock();
        counted.summary.count(&item.report);
        self.overview.print(&shown);
        if item.report.status == PushStatus::Failed {
            self.overview.failed();
            if self.args.fix.many.fail_fast {
                self.stop.has_failed.store(true, Ordering::Relaxed);
            }
        }
        if let Ended::Failed(error) = ended {
            counted.failures.add(&task.path, error);
        }
    }

    /// The line for standard output.
    fn shown(&self, item: &PushItem<'_>) -> Vec<u8> {
        // Writing to memory cannot fail.
        match self.args.fix.format {
            Format::Json => {
                let mut line = Vec::new();
                let _ = push::item_json(item, &mut line);
                line
            }
            Format::Text => {
                let mut line = styled_memory(self.overview.is_on_terminal());
                let _ = push::item_text(item, &mut line);
                line.into_inner()
            }
        }
    }

    /// Reports the summary.
    fn finish(self, seconds: f64, trouble: Option<Error>) -> PushEnd {
        let interrupt = &self.stop.interrupt;
        let counted = self.counted.into_inner();
        let Counted {
            mut summary,
            failures,
        } = counted.unwrap_or_else(PoisonError::into_inner);
        let words = &Words::PUSH;
        let images = summary.total() - summary.skipped;
        let must_find = self.args.fix.many.fail_if_empty;
        let trouble = trouble.or_else(|| emptiness(must_find, images, self.shard, interrupt));
        summary.end = run_end(seconds, self.shard, trouble.as_ref(), interrupt, words);
        failures.show(summary.failed, words);
        let is_empty = summary.total() + summary.unfinished + summary.others == 0;
        let shown = match self.args.fix.format {
            Format::Json => {
                let mut line = Vec::new();
                let _ = push::summary_json(&summary, &mut line);
                line
            }
            // Nothing was done, and the error says why.
            Format::Text if trouble.is_some() && is_empty => Vec::new(),
            Format::Text => {
                let mut line = styled_memory(self.overview.is_on_terminal());
                let _ = push::summary_text(&summary, &mut line);
                line.into_inner()
            }
        };
        self.overview.print(&shown);
        self.overview.flush();
        let trouble = trouble.or_else(|| self.overview.trouble());
        PushEnd {
            stopped: interrupt.is_asked().then(|| interrupt.exit_code()),
            summary,
            trouble,
        }
    }
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
