//! Work on many inputs that writes no output: checks and pushes.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::time::Instant;

use ocify::{Error, Input, Observer, Result};

use super::Stop;
use super::claims::Claims;
use super::inputs::{Finder, OutputPlace, Selection, Watch};
use super::list::named_alone;
use super::pool::Pool;
use super::queue::{Queue, Task, TaskKind};
use super::shard::Shard;
use super::source::Sources;
use super::watcher::Watcher;
use crate::args::Fix;
use crate::panics::caught;
use crate::progress::{Overview, Running};

/// How the work on one input ended.
pub(super) enum Ended<T> {
    /// This is the result.
    Done(Box<T>),
    /// It is an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped(Error),
    /// It failed.
    Failed(Error),
    /// The run was stopped before it ended.
    Unfinished,
}

/// What all inputs of a run have in common.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The options of a dry run of `fix` that reads inputs like this.
    pub(super) args: &'a Fix,
    /// How many inputs are worked on at a time.
    pub(super) jobs: NonZeroUsize,
    pub(super) shard: Option<Shard>,
    pub(super) stop: &'a Stop,
    pub(super) overview: &'a Overview,
    /// Whether inputs are begun in the order in which they are found, and not the largest first.
    pub(super) is_in_order: bool,
}

impl Reading<'_> {
    /// Finds the inputs of the shard, does the work with each, and passes on how it ended and how many seconds it took.
    ///
    /// # Errors
    /// Those of the search.
    pub(super) fn all<T>(
        &self,
        watch: &dyn Watch,
        work: &(dyn Fn(Input, &dyn Observer) -> Result<T> + Sync),
        ended: &(dyn Fn(&Task, Ended<T>, f64) + Sync),
    ) -> Result<()> {
        let Reading { args, overview, .. } = *self;
        let queue = match self.is_in_order {
            true => Queue::in_order(),
            false => Queue::default(),
        };
        let place = OutputPlace::of(None);
        let selection = Selection::new(args)?;
        let finder = Finder {
            args,
            named: named_alone(args)?,
            place: &place,
            selection: &selection,
            shard: self.shard,
            queue: &queue,
            watch,
            claims: RefCell::new(Claims::new(false)),
            records: Vec::new(),
        };
        let jobs = self.jobs.get();
        let sources = (0..jobs).map(|_| Sources::new(args.links()));
        let sources: Vec<Sources> = sources.collect();
        let is_stopped = || self.stop.is_asked();
        let attempt = |number: usize, task: Task| {
            let begun = Instant::now();
            let running = overview.begin(number, &task.relative, task.len, &is_stopped);
            let watcher = Watcher {
                args,
                idle_threads: &queue.idle_threads,
                running: &running,
            };
            let done = attempt(&task, &sources[number], &running, |input| {
                work(input, &watcher)
            });
            drop(running);
            ended(&task, done, begun.elapsed().as_secs_f64());
        };
        let pool = Pool {
            jobs,
            queue: &queue,
            overview,
            is_stopped: &is_stopped,
        };
        pool.run(|| finder.run().map(drop), &attempt)
    }
}

/// Does the work with the input of a task. A panic is its failure.
fn attempt<T>(
    task: &Task,
    sources: &Sources,
    running: &Running<'_>,
    work: impl Fn(Input) -> Result<T>,
) -> Ended<T> {
    let is_named = match &task.kind {
        TaskKind::Report(error) => return Ended::Failed(error.clone()),
        TaskKind::Skip(error) => return Ended::Skipped(error.clone()),
        TaskKind::Archive { is_named } => *is_named,
        TaskKind::Layout | TaskKind::Copy(_) | TaskKind::Link => true,
    };
    let done = caught(Some(&task.path), || {
        #[cfg(test)]
        if task.path.ends_with("panics.tar") {
            panic!("half-way");
        }
        work(Input::at(sources.input(task)?))
    });
    match done {
        Ok(done) => Ended::Done(Box::new(done)),
        Err(_) if running.is_stopped() => Ended::Unfinished,
        Err(error) if !is_named && sources.is_surely_other(&error, task) => Ended::Skipped(error),
        Err(error) => Ended::Failed(error),
    }
}
