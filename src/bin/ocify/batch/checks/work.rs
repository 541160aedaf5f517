//! The check of one input of many.

use std::num::NonZeroUsize;

use ocify::{Checked, Error, IdleThreads, Input, Notice, Observer, Progress, Result, Stage};

use super::super::queue::{Task, TaskKind};
use super::super::source::Sources;
use crate::args::{Check, Fix};
use crate::check::options;
use crate::notices;
use crate::panics::caught;
use crate::progress::Running;

/// How one check ended.
pub(super) enum Ended {
    /// There are verdicts.
    Checked(Box<Checked>),
    /// It is an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped(Error),
    /// It failed.
    Failed(Error),
    /// The run was stopped before it ended.
    Unfinished,
}

/// What every worker needs.
pub(super) struct Worker<'a> {
    dry_run: &'a Fix,
    check: ocify::Check,
    sources: Sources,
    idle_threads: &'a IdleThreads,
}

impl<'a> Worker<'a> {
    pub(super) fn new(args: &'a Check, dry_run: &'a Fix, idle_threads: &'a IdleThreads) -> Self {
        Worker {
            dry_run,
            // Each task has one thread, and those that are idle.
            check: options(args, dry_run, Some(NonZeroUsize::MIN)),
            sources: Sources::new(dry_run.links()),
            idle_threads,
        }
    }

    /// Checks the input of a task. A panic is its failure.
    pub(super) fn check(&self, task: &Task, running: &Running<'_>) -> Ended {
        let is_named = match &task.kind {
            TaskKind::Report(error) => return Ended::Failed(error.clone()),
            TaskKind::Skip(error) => return Ended::Skipped(error.clone()),
            TaskKind::Archive { is_named } => *is_named,
            TaskKind::Layout | TaskKind::Copy(_) | TaskKind::Link => true,
        };
        match caught(Some(&task.path), || self.checked(task, running)) {
            Ok(checked) => Ended::Checked(Box::new(checked)),
            Err(_) if running.is_stopped() => Ended::Unfinished,
            Err(error) if !is_named && self.sources.is_surely_other(&error, task) => {
                Ended::Skipped(error)
            }
            Err(error) => Ended::Failed(error),
        }
    }

    fn checked(&self, task: &Task, running: &Running<'_>) -> Result<Checked> {
        #[cfg(test)]
        if task.path.ends_with("panics.tar") {
            panic!("half-way");
        }
        let input = Input::at(self.sources.input(task)?);
        let watcher = Watcher {
            worker: self,
            running,
        };
        self.check.run_observed(input, &watcher)
    }
}

/// Watches the check of one task.
struct Watcher<'a> {
    worker: &'a Worker<'a>,
    running: &'a Running<'a>,
}

impl Observer for Watcher<'_> {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(self.running.stage(stage.name()))
    }

    fn notice(&self, notice: &Notice<'_>) {
        notices::show(notice, self.worker.dry_run);
    }

    fn idle_threads(&self) -> Option<&IdleThreads> {
        Some(self.worker.idle_threads)
    }
}
