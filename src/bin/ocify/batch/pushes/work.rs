//! The push of one input of many.

use ocify::{Error, IdleThreads, Input, Notice, Observer, Progress, Pushed, Result, Stage};

use super::super::queue::{Task, TaskKind};
use super::super::source::Sources;
use crate::args::Fix;
use crate::notices;
use crate::panics::caught;
use crate::progress::Running;

/// How one push ended.
pub(super) enum Ended {
    /// Everything is in the registry, or would be.
    Pushed(Box<Pushed>),
    /// It is an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped(Error),
    /// It failed.
    Failed(Error),
    /// The run was stopped before it ended.
    Unfinished,
}

/// What every worker needs.
pub(super) struct Worker<'a> {
    push: &'a ocify::Push,
    reads: &'a Fix,
    is_dry_run: bool,
    sources: Sources,
    idle_threads: &'a IdleThreads,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        push: &'a ocify::Push,
        reads: &'a Fix,
        args: &Fix,
        idle_threads: &'a IdleThreads,
    ) -> Self {
        Worker {
            push,
            reads,
            is_dry_run: args.dry_run,
            sources: Sources::new(reads.links()),
            idle_threads,
        }
    }

    /// Pushes the input of a task. A panic is its failure.
    pub(super) fn push(&self, task: &Task, running: &Running<'_>) -> Ended {
        let is_named = match &task.kind {
            TaskKind::Report(error) => return Ended::Failed(error.clone()),
            TaskKind::Skip(error) => return Ended::Skipped(error.clone()),
            TaskKind::Archive { is_named } => *is_named,
            TaskKind::Layout | TaskKind::Copy(_) | TaskKind::Link => true,
        };
        match caught(Some(&task.path), || self.pushed(task, running)) {
            Ok(pushed) => Ended::Pushed(Box::new(pushed)),
            Err(_) if running.is_stopped() => Ended::Unfinished,
            Err(error) if !is_named && self.sources.is_surely_other(&error, task) => {
                Ended::Skipped(error)
            }
            Err(error) => Ended::Failed(error),
        }
    }

    fn pushed(&self, task: &Task, running: &Running<'_>) -> Result<Pushed> {
        #[cfg(test)]
        if task.path.ends_with("panics.tar") {
            panic!("half-way");
        }
        let input = Input::at(self.sources.input(task)?);
        let watcher = Watcher {
            worker: self,
            running,
        };
        match self.is_dry_run {
            true => self.push.plan_only_observed(input, &watcher),
            false => self.push.run_observed(input, &watcher),
        }
    }
}

/// Watches the push of one task.
struct Watcher<'a> {
    worker: &'a Worker<'a>,
    running: &'a Running<'a>,
}

impl Observer for Watcher<'_> {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(self.running.stage(stage.name()))
    }

    fn notice(&self, notice: &Notice<'_>) {
        notices::show(notice, self.worker.reads);
    }

    fn idle_threads(&self) -> Option<&IdleThreads> {
        Some(self.worker.idle_threads)
    }
}
