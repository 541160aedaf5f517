//! What became of each input, reported as it ends and counted for the summary.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocify::{
    Blobs, Code, Error, Hint, Report, Result, Status, Wording, command::batch,
    command::batch::Item, command::batch::RunEnd, command::batch::Summary, command::json::Failure,
    command::path_text, command::show_path, command::text, command::text::Detail,
};
use serde_json::Value;

use super::emptiness::Found;
use super::queue::Task;
use super::session::lines_of_input;
use super::shard::Shard;
use crate::args::{Fix, Format, Verification};
use crate::fix::Done;
use crate::interrupt::Interrupt;
use crate::progress::Overview;
use crate::records::{Records, map_lines, report_line};
use crate::run::show;
use crate::styles::styled_memory;
use crate::words::Words;

/// How many failures are repeated at the end.
const FAILURES: usize = 1000;

/// The first failures, which are repeated at the end.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(PathBuf, Error)>);

impl Failures {
    /// Notes that the input at the path failed.
    pub(super) fn add(&mut self, path: &Path, error: Error) {
        if self.0.len() < FAILURES {
            self.0.push((path.to_owned(), error));
        }
    }

    /// Shows them, and how many more there were of all.
    pub(super) fn show(&self, all: u64, words: &Words) {
        let mut failures = self.0.iter().peekable();
        while let Some((input, error)) = failures.next() {
            let hint = error.hint().map(|hint| words.hint(hint));
            let next = failures.peek().and_then(|(_, next)| next.hint());
            // Failures that follow each other share a hint.
            let is_said_later = hint.is_some() && hint == next.map(|hint| words.hint(hint));
            show_failure(input, error, !is_said_later, words);
        }
        let more = all - self.0.len() as u64;
        if more > 0 {
            let _ = writeln!(io::stderr(), "and {} more failures", batch::grouped(more));
        }
    }
}

/// How one task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The output is in place and has this length; `None` for a dry run.
    Done(Box<Done>, Option<(PathBuf, u64)>),
    /// An earlier run had finished it.
    Kept(Kept),
    /// It is an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped(Error),
    /// A file or link that is not an archive was copied, now or by an earlier run.
    Copied(u64),
    /// It failed.
    Failed(Error),
    /// The run was stopped before it ended.
    Unfinished,
}

/// What an earlier run finished.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) output: PathBuf,
    /// What was recorded of it.
    pub(crate) record: Value,
    /// The level at which this run verified it, and what it verified; `None` if it was not read.
    pub(crate) verified: Option<(Verification, Blobs)>,
}

/// Everything that is reported.
pub(crate) struct Tally<'a> {
    format: Format,
    detail: Detail,
    /// Whether every change counts in a dry run.
    is_strict: bool,
    overview: &'a Overview,
    has_report: bool,
    args: &'a Fix,
    counted: Mutex<Counted>,
    shard: Option<Shard>,
}

struct Counted {
    summary: Summary,
    failures: Failures,
    records: Records,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(
        args: &'a Fix,
        shard: Option<Shard>,
        overview: &'a Overview,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let records = Records::open(args, shard, interrupt)?;
        Ok(Tally {
            format: args.format,
            detail: args.detail(),
            is_strict: args.strict,
            overview,
            has_report: records.has_report(),
            args,
            counted: Mutex::new(Counted {
                summary: Summary::default(),
                failures: Failures::default(),
                records,
            }),
            shard,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is not an archive was left unchanged.
    pub(crate) fn left(&self) {
        self.lock().summary.others_left += 1;
    }

    /// Reports and counts how a task ended; returns whether it failed.
    pub(crate) fn ended(&self, task: &Task, ended: Ended, seconds: f64) -> bool {
        let input = path_text(&task.path);
        let output = match &ended {
            Ended::Done(_, Some((output, _))) => path_text(output),
            Ended::Kept(kept) => path_text(&kept.output),
            _ => "".into(),
        };
        let (mut kept_record, mut verified_again) = (None, None);
        let report = match &ended {
            Ended::Done(done, Some(_)) => Report::written(&input, &output, &done.plan, done.blobs),
            Ended::Done(done, None) => {
                let report = match self.is_strict {
                    true => Report::strict_dry_run(&input, &done.plan),
                    false => Report::dry_run(&input, &done.plan),
                };
                report.with_blobs(done.blobs)
            }
            Ended::Kept(kept) => {
                kept_record = Some(batch::Kept::of(&kept.record));
                verified_again = kept.verified.map(|(level, _)| level.name());
                let blobs = kept.verified.map(|(_, blobs)| blobs);
                Report::kept(&input, &output).with_blobs(blobs.unwrap_or_default())
            }
            Ended::Skipped(error) => Report::skipped(&input, error),
            Ended::Failed(error) => Report::failed(&input, error),
            Ended::Copied(len) => {
                let mut counted = self.lock();
                counted.summary.others_copied += 1;
                counted.summary.bytes_written += len;
                return false;
            }
            Ended::Unfinished => {
                self.lock().summary.unfinished += 1;
                return false;
            }
        };
        let item = Item {
            report: report.with_wording(&Words::FIX),
            bytes: task.len,
            seconds,
            kept: kept_record,
            verified_again,
        };
        let (status, printed, lines) = (report.status, self.printed(&item), map_lines(&item));
        let mut counted = self.lock();
        counted.summary.count(&item);
        if let Ended::Done(_, Some((_, len))) = &ended {
            counted.summary.bytes_written += len;
        }
        let json = printed.json.as_deref();
        counted.records.add(task.number, json, &lines);
        if let Some(text) = printed.shown {
            self.overview.print(&text);
        }
        let is_failed = status == Status::Failed;
        if let Ended::Failed(error) = ended {
            counted.failures.add(&task.path, error);
        }
        is_failed
    }

    /// The lines for standard output and for the report.
    fn printed(&self, item: &Item<'_>) -> Printed {
        let has_json = self.has_report || self.format == Format::Json;
        let json = has_json.then(|| report_line(item));
        let shown = match self.format {
            Format::Json => json.clone(),
            Format::Text => {
                let is_on_terminal = self.overview.is_on_terminal();
                let lines = lines_of_input(is_on_terminal, self.detail, &|out| {
                    batch::item_text(item, self.detail, out)
                });
                Some(lines)
            }
        };
        Printed { json, shown }
    }

    /// Reports the summary, and writes the files that are written at the end. `trouble` is what went wrong apart from all inputs.
    pub(crate) fn finish(
        self,
        seconds: f64,
        interrupt: &Interrupt,
        trouble: Option<Error>,
    ) -> (Summary, Option<Error>) {
        let counted = self.counted.into_inner();
        let mut counted = counted.unwrap_or_else(PoisonError::into_inner);
        let of_files = counted.records.write_map(interrupt);
        let summary = &mut counted.summary;
        let found = Found::from(&*summary);
        let mut trouble = trouble
            .or(of_files)
            .or_else(|| self.overview.trouble())
            .or_else(|| found.error(self.args, self.shard, interrupt));
        summary.end = run_end(
            seconds,
            self.shard,
            trouble.as_ref(),
            interrupt,
            &Words::FIX,
        );
        let mut json = Vec::new();
        let _ = batch::summary_json(summary, &mut json);
        if let Some(error) = counted.records.finish(&json) {
            trouble.get_or_insert(error);
        }
        counted.failures.show(counted.summary.failed, &Words::FIX);
        let shown = match self.format {
            Format::Json => json,
            // Nothing was done, and the error says why.
            Format::Text if trouble.is_some() && counted.summary.is_empty() => Vec::new(),
            Format::Text => {
                let mut shown = styled_memory(self.overview.is_on_terminal());
                let summary = &counted.summary;
                let _ = batch::summary_text(summary, &Words::FIX, self.detail, &mut shown);
                shown.into_inner()
            }
        };
        self.overview.print(&shown);
        // Nothing is drawn any more.
        self.overview.flush();
        let trouble = trouble.or_else(|| self.overview.trouble());
        (counted.summary, trouble)
    }
}

/// How a run ended, in the form of a report, where `trouble` is what went wrong apart from all inputs.
pub(super) fn run_end(
    seconds: f64,
    shard: Option<Shard>,
    trouble: Option<&Error>,
    interrupt: &Interrupt,
    words: &Words,
) -> RunEnd {
    RunEnd {
        seconds,
        shard: shard.map(|shard| shard.to_string()),
        is_interrupted: interrupt.is_asked(),
        error: failure(trouble, interrupt, words),
    }
}

/// What went wrong apart from all inputs, in the form of a report. An interruption is that, too.
fn failure(trouble: Option<&Error>, interrupt: &Interrupt, words: &Words) -> Option<Failure> {
    match trouble {
        Some(error) => Some(Failure::new(error, words)),
        None if interrupt.is_asked() => {
            let message = "the run was stopped before all inputs were done";
            Some(Failure::new(&Error::new(Code::Interrupted, message), words))
        }
        None => None,
    }
}

#[derive(Debug)]
struct Printed {
    json: Option<Vec<u8>>,
    shown: Option<Vec<u8>>,
}

/// A failure again, with its input and the next step.
fn show_failure(input: &Path, error: &Error, has_hint: bool, words: &Words) {
    // Most messages name the input, or a file in it.
    let message = match error.path().is_some_and(|path| path.starts_with(input)) {
        true => words.error(error),
        false => format!("{}: {}", show_path(input), words.error(error)),
    };
    let named = Error::new(error.code(), message);
    let named = match error.hint().filter(|_| has_hint) {
        Some(hint) => named.with_hint(hint.clone()),
        None => named,
    };
    show(|out| text::error(&named, &OfHints(words), out));
}

/// The wording for an error whose message has the words of the command already.
#[derive(Debug)]
struct OfHints<'w>(&'w Words);

impl Wording for OfHints<'_> {
    fn hint(&self, hint: &Hint) -> String {
        self.0.hint(hint)
    }
}
