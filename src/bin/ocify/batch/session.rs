//! A run over many inputs that writes no output: it shows a line for each input as it ends, and a summary.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{
    Error, Input, Observer, Result, command::batch::RunEnd, command::batch::Skipped,
    command::text::Detail,
};

use super::Stop;
use super::emptiness::Found;
use super::inputs::Watch;
use super::queue::Task;
use super::reading::{Ended, Reading};
use super::shard::Shard;
use super::tally::{Failures, run_end};
use crate::args::Fix;
use crate::fold::fitted;
use crate::interrupt::Interrupt;
use crate::notices::tell;
use crate::progress::{Lines, Overview};
use crate::run::{FAILED, show_error};
use crate::styles::styled_memory;
use crate::words::Words;

/// What is counted for the summary of a run.
pub(crate) trait Counts: Default + Send {
    /// How many inputs have ended.
    fn total(&self) -> u64;
    /// How many of them were skipped.
    fn skipped(&self) -> Skipped;
    /// How many of them failed.
    fn failed(&self) -> u64;
    /// How many were being worked on when the run was stopped.
    fn unfinished(&mut self) -> &mut u64;
    /// How many other files were found.
    fn others(&mut self) -> &mut u64;
    /// How the run ended.
    fn end(&mut self) -> &mut RunEnd;
}

/// Counts with the summary of a report, which is the value itself or in a field of it.
macro_rules! counts {
    ($type:ty $(, $summary:ident)?) => {
        impl $crate::batch::session::Counts for $type {
            fn total(&self) -> u64 {
                self$(.$summary)?.total()
            }

            fn skipped(&self) -> ocify::command::batch::Skipped {
                self$(.$summary)?.skipped
            }

            fn failed(&self) -> u64 {
                self$(.$summary)?.failed
            }

            fn unfinished(&mut self) -> &mut u64 {
                &mut self$(.$summary)?.unfinished
            }

            fn others(&mut self) -> &mut u64 {
                &mut self$(.$summary)?.others
            }

            fn end(&mut self) -> &mut ocify::command::batch::RunEnd {
                &mut self$(.$summary)?.end
            }
        }
    };
}
pub(super) use counts;

/// How a run ended, besides what was reported.
pub(crate) struct SessionEnd<C> {
    pub(crate) summary: C,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// Whether something went wrong apart from the inputs.
    pub(super) is_failed: bool,
    /// What of this was not reported.
    pub(super) trouble: Option<Error>,
    /// What to say if no image was found, unless that was reported.
    warning: Option<String>,
    words: &'static Words,
}

impl<C: Counts> SessionEnd<C> {
    /// Adds what went wrong after the run.
    pub(super) fn add(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.is_failed = true;
            self.trouble.get_or_insert(error);
        }
    }

    /// Says what the report does not. Returns the exit code, unless all inputs are right.
    pub(crate) fn tell(&self) -> Option<u8> {
        if let Some(warning) = self.warning.as_ref().filter(|_| !self.is_failed) {
            tell(format_args!("warning: {warning}"));
        }
        if let Some(error) = &self.trouble {
            show_error(error, self.words);
        }
        let failed = (self.is_failed || self.summary.failed() > 0).then_some(FAILED);
        self.stopped.or(failed)
    }
}

/// What the end of a report is made of.
pub(super) struct Ending<'e, C> {
    pub(super) summary: &'e C,
    /// The error, if that is why nothing was done.
    pub(super) error: Option<&'e Error>,
    /// What to say if no image was found.
    pub(super) warning: Option<&'e str>,
}

/// What every part of a run needs.
pub(super) struct Session<'a, C> {
    /// The options of a dry run of `fix` that reads inputs like this.
    args: &'a Fix,
    jobs: NonZeroUsize,
    words: &'static Words,
    shard: Option<Shard>,
    pub(super) stop: Stop,
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
            overview: Overview::new(args.progress(), jobs.get(), Lines::of(args, false)),
            started: Instant::now(),
            counted: Mutex::default(),
        }
    }

    /// Finds all inputs, does the work with each, and passes on how it ended and how many seconds it took. They can be begun
    /// in the order in which they are found.
    ///
    /// # Errors
    /// Those of the search.
    pub(super) fn all<T>(
        &self,
        is_in_order: bool,
        work: &(dyn Fn(Input, &dyn Observer) -> Result<T> + Sync),
        ended: &(dyn Fn(&Task, Ended<T>, f64) + Sync),
    ) -> Result<()> {
        let reading = Reading {
            args: self.args,
            jobs: self.jobs,
            shard: self.shard,
            stop: &self.stop,
            overview: &self.overview,
            is_in_order,
        };
        reading.all(self, work, &|task, done, seconds| {
            if matches!(done, Ended::Unfinished) {
                *self.lock().0.unfinished() += 1;
            }
            ended(task, done, seconds);
        })
    }

    fn lock(&self) -> MutexGuard<'_, (C, Failures)> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an input failed, before it is counted.
    pub(super) fn failed(&self) {
        self.overview.failed();
        self.rejected();
    }

    /// Notes that something is wrong with an input, after which `--fail-fast` begins no other.
    pub(super) fn rejected(&self) {
        if self.args.many.fail_fast {
            self.stop.has_failed.store(true, Ordering::Relaxed);
        }
    }

    /// Shows the line of an input, and counts how its work ended: with this error if it failed.
    pub(super) fn count(
        &self,
        path: &Path,
        shown: &[u8],
        error: Option<Error>,
        count: impl FnOnce(&mut C),
    ) {
        let mut counted = self.lock();
        count(&mut counted.0);
        self.overview.print(shown);
        if let Some(error) = error {
            counted.1.add(path, error);
        }
    }

    /// Shows the end as `last` says it. Annotations say failures and warnings themselves, so these are not shown again. The trouble is that of
    /// the search.
    pub(super) fn finish(
        self,
        trouble: Option<Error>,
        is_annotated: bool,
        last: impl FnOnce(&Ending<'_, C>) -> Vec<u8>,
    ) -> SessionEnd<C> {
        let interrupt = &self.stop.interrupt;
        let counted = self.counted.into_inner();
        let (mut summary, failures) = counted.unwrap_or_else(PoisonError::into_inner);
        let found = Found {
            total: summary.total(),
            skipped: summary.skipped(),
        };
        let trouble = trouble.or_else(|| found.error(self.args, self.shard, interrupt));
        let seconds = self.started.elapsed().as_secs_f64();
        *summary.end() = run_end(seconds, self.shard, trouble.as_ref(), interrupt, self.words);
        if !is_annotated {
            failures.show(summary.failed(), self.words);
        }
        let is_empty = summary.total() + *summary.unfinished() + *summary.others() == 0;
        let is_whole = trouble.is_none() && self.shard.is_none() && !interrupt.is_asked();
        let warning = found.warning(self.args).filter(|_| is_whole);
        self.overview.print(&last(&Ending {
            summary: &summary,
            error: trouble.as_ref().filter(|_| is_empty),
            warning: warning.as_deref(),
        }));
        self.overview.flush();
        let is_failed = trouble.is_some();
        let unsaid = trouble.filter(|_| !is_annotated);
        let trouble = unsaid.or_else(|| self.overview.trouble());
        SessionEnd {
            stopped: interrupt.is_asked().then(|| interrupt.exit_code()),
            summary,
            is_failed: is_failed || trouble.is_some(),
            trouble,
            warning: warning.filter(|_| !is_annotated),
            words: self.words,
        }
    }
}

/// What is written for programs, without styles.
pub(super) fn plain(write: &dyn Fn(&mut Vec<u8>) -> io::Result<()>) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    let _ = write(&mut out);
    out
}

/// The lines of an input for people: one, or in full with more below it, which are folded on a terminal like the report of a single input.
pub(super) fn lines_of_input(
    is_on_terminal: bool,
    detail: Detail,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> Vec<u8> {
    let lines = styled(is_on_terminal, write);
    match detail {
        Detail::Short => lines,
        Detail::Full => fitted(lines, is_on_terminal),
    }
}

/// What is written for people, with styles for a terminal.
pub(super) fn styled(
    is_on_terminal: bool,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> Vec<u8> {
    let mut out = styled_memory(is_on_terminal);
    let _ = write(&mut out);
    out.into_inner()
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
