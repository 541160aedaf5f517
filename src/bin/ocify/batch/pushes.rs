//! Pushes of many inputs in one run, which write nothing.

use ocify::{
    Code, Error, Input, Observer, PushLog, PushTarget, Pushed, PushedBlob, Result,
    command::path_text, command::push, command::push::PushItem, command::push::PushReport,
    command::push::PushSummary,
};

use super::queue::Task;
use super::reading::Ended;
use super::session::{Session, SessionEnd, counts, lines_of_input, plain, styled};
use super::shard::Shard;
use crate::args::{Format, Push};
use crate::push::{ONE, operation};
use crate::words::Words;

/// Pushes all inputs of a shard.
pub(crate) fn push_all(
    args: &Push,
    target: Option<&PushTarget>,
    shard: Option<Shard>,
) -> SessionEnd<PushSummary> {
    let reads = args.reads();
    let run = Run {
        args,
        target,
        shown_target: target.map(ToString::to_string),
        session: Session::new(&reads, args.jobs(), shard, &Words::PUSH),
    };
    let done = run.all();
    run.finish(done.err())
}

/// What every part of a run needs.
struct Run<'a> {
    args: &'a Push,
    target: Option<&'a PushTarget>,
    shown_target: Option<String>,
    session: Session<'a, PushSummary>,
}

impl Run<'_> {
    /// Finds and pushes everything. The error is one of the search.
    fn all(&self) -> Result<()> {
        // Each task has one thread, and those that are idle.
        let push = operation(self.args, self.target)?.jobs(ONE);
        let work = |input: Input, observer: &dyn Observer| match self.args.fix.dry_run {
            true => {
                let planned = push.plan_only_observed(input, observer)?;
                Ok(Attempt::Pushed(Box::new(planned)))
            }
            false => Attempt::of(&push, input, observer),
        };
        self.session.all(false, &work, &|task, ended, seconds| {
            self.ended(task, ended, seconds);
        })
    }

    /// Reports and counts how a push ended.
    fn ended(&self, task: &Task, ended: Ended<Attempt>, seconds: f64) {
        let input = path_text(&task.path);
        let failure = match &ended {
            Ended::Failed(error) => Some(error),
            Ended::Done(done) => done.failure(),
            _ => None,
        };
        let report = match &ended {
            Ended::Done(done) => match &**done {
                Attempt::Pushed(pushed) => PushReport::new(&input, pushed, self.args.fix.dry_run),
                Attempt::Failed(error, blobs) => {
                    PushReport::failed(&input, error).with_blobs(blobs)
                }
            },
            Ended::Skipped(error) => PushReport::skipped(&input, error),
            Ended::Failed(error) => PushReport::failed(&input, error),
            Ended::Unfinished => return,
        };
        let item = PushItem {
            report: report
                .with_target(self.shown_target.as_deref())
                .with_wording(&Words::PUSH),
            bytes: task.len,
            seconds,
        };
        let shown = match self.args.fix.format {
            Format::Json => plain(&|out| push::item_json(&item, out)),
            Format::Text => {
                let detail = self.args.fix.detail();
                lines_of_input(self.session.overview.is_on_terminal(), detail, &|out| {
                    push::item_text(&item, detail, out)
                })
            }
        };
        let error: Option<Error> = failure.cloned();
        if error.is_some() {
            self.session.failed();
        }
        self.session.count(&task.path, &shown, error, |summary| {
            summary.count(&item.report);
        });
    }

    /// Reports the summary.
    fn finish(self, trouble: Option<Error>) -> SessionEnd<PushSummary> {
        let is_on_terminal = self.session.overview.is_on_terminal();
        let format = self.args.fix.format;
        let detail = self.args.fix.detail();
        self.session.finish(trouble, false, |ending| match format {
            Format::Json => plain(&|out| push::summary_json(ending.summary, out)),
            Format::Text if ending.error.is_some() => Vec::new(),
            Format::Text => styled(is_on_terminal, &|out| {
                push::summary_text(ending.summary, &Words::PUSH, detail, out)
            }),
        })
    }
}

/// A push that could send something.
enum Attempt {
    Pushed(Box<Pushed>),
    /// What was done with each blob and manifest before the error.
    Failed(Error, Vec<PushedBlob>),
}

impl Attempt {
    /// Pushes an input. An error is one before anything could be sent, or the end of the run.
    fn of(push: &ocify::Push, input: Input, observer: &dyn Observer) -> Result<Self> {
        let log = PushLog::new();
        match push.run_logged(input, observer, &log) {
            Ok(pushed) => Ok(Attempt::Pushed(Box::new(pushed))),
            Err(error) => match log.blobs() {
                blobs if blobs.is_empty() || error.code() == Code::Interrupted => Err(error),
                blobs => Ok(Attempt::Failed(error, blobs)),
            },
        }
    }

    fn failure(&self) -> Option<&Error> {
        match self {
            Attempt::Pushed(_) => None,
            Attempt::Failed(error, _) => Some(error),
        }
    }
}

counts!(PushSummary);
