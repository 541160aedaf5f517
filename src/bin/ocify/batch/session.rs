//! A run over many inputs that writes no output: it shows a line for each input as it ends, and a summary.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{Error, Input, Observer, Result, command::batch::RunEnd};

use super::Stop;
use super::inputs::Watch;
use super::queue::Task;
use super::reading::{Ended, Reading};
use super::shard::Shard;
use super::tally::{Failures, emptiness, run_end};
use crate::args::{Fix, Format};
use crate::interrupt::Interrupt;
use crate::progress::{Lines, Overview};
use crate::words::Words;

/// What is counted for the summary of a run.
pub(super) trait Counts: Default + Send {
    /// How many inputs have ended.
    fn total(&self) -> u64;
    /// How many of them were skipped.
    fn skipped(&self) -> u64;
    /// How many of them failed.
    fn failed(&self) -> u64;
    /// How many were being worked on when the run was stopped.
    fn unfinished(&mut self) -> &mut u64;
    /// How many other files were found.
    fn others(&mut self) -> &mut u64;
    /// How the run ended.
    fn end(&mut self) -> &mut RunEnd;
}

/// How a run ended, besides what was reported.
pub(crate) struct SessionEnd<C> {
    pub(crate) summary: C,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// What went wrong apart from the inputs.
    pub(crate) trouble: Option<Error>,
}

/// What every part of a run needs.
pub(super) struct Session<'a, C> {
    /// The options of a dry run of `fix` that reads inputs like this.
    args: &'a Fix,
    jobs: NonZeroUsize,
    words: &'static Words,
    shard: Option<Shard>,
    stop: Stop,
    pub(super) overview: Overview,
    started: Instant,
    counted: Mutex<(C, Failures)>,
}

impl<'a, C: Counts> Session<'a, C> {
    /// Begins to listen to signals.
    pub(super) fn new(
        args: &'a Fix,
        jobs: NonZeroUsize,
        shard: Option<Shard>,
        words: &'static Words,
    ) -> Self {
        let interrupt = Interrupt::default();
        interrupt.listen();
        Session {
            args,
            jobs,
            words,
            shard,
            stop: Stop {
                interrupt,
                has_failed: AtomicBool::new(false),
            },
            overview: Overview::new(args.progress, jobs.get(), Lines::Stdout),
            started: Instant::now(),
            counted: Mutex::default(),
        }
    }

    /// Finds all inputs, does the work with each, and passes on how it ended and how many seconds it took.
    ///
    /// # Errors
    /// Those of the search.
    pub(super) fn all<T>(
        &self,
        work: &(dyn Fn(Input, &dyn Observer) -> Result<T> + Sync),
        ended: &(dyn Fn(&Task, Ended<T>, f64) + Sync),
    ) -> Result<()> {
        let reading = Reading {
            args: self.args,
            jobs: self.jobs,
            shard: self.shard,
            stop: &self.stop,
            overview: &self.overview,
            is_in_order: false,
        };
        reading.all(self, work, &|task, done, seconds| match done {
            Ended::Unfinished => *self.lock().0.unfinished() += 1,
            done => ended(task, done, seconds),
        })
    }

    fn lock(&self) -> MutexGuard<'_, (C, Failures)> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the line of an input, and counts how its work ended: with this error if it failed.
    pub(super) fn ended(
        &self,
        task: &Task,
        shown: &[u8],
        error: Option<Error>,
        count: impl FnOnce(&mut C),
    ) {
        let mut counted = self.lock();
        count(&mut counted.0);
        self.overview.print(shown);
        let Some(error) = error else {
            return;
        };
        self.overview.failed();
        if self.args.many.fail_fast {
            self.stop.has_failed.store(true, Ordering::Relaxed);
        }
        counted.1.add(&task.path, error);
    }

    /// Shows the summary, as its last line says it. The error is one of the search.
    pub(super) fn finish(
        self,
        trouble: Option<Error>,
        last_line: impl FnOnce(&C) -> Vec<u8>,
    ) -> SessionEnd<C> {
        let interrupt = &self.stop.interrupt;
        let counted = self.counted.into_inner();
        let (mut summary, failures) = counted.unwrap_or_else(PoisonError::into_inner);
        let images = summary.total() - summary.skipped();
        let must_find = self.args.many.fail_if_empty;
        let trouble = trouble.or_else(|| emptiness(must_find, images, self.shard, interrupt));
        let seconds = self.started.elapsed().as_secs_f64();
        *summary.end() = run_end(seconds, self.shard, trouble.as_ref(), interrupt, self.words);
        failures.show(summary.failed(), self.words);
        let is_empty = summary.total() + *summary.unfinished() + *summary.others() == 0;
        // If nothing was done, the error says why.
        if trouble.is_none() || !is_empty || self.args.format == Format::Json {
            self.overview.print(&last_line(&summary));
        }
        self.overview.flush();
        let trouble = trouble.or_else(|| self.overview.trouble());
        SessionEnd {
            stopped: interrupt.is_asked().then(|| interrupt.exit_code()),
            summary,
            trouble,
        }
    }
}

impl<C: Counts> Watch for Session<'_, C> {
    fn found(&self, len: u64) {
        self.overview.found(len);
    }

    fn left(&self) {
        *self.lock().0.others() += 1;
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}
