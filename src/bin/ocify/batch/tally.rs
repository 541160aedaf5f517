//! What became of each input, reported as it ends and counted for the summary.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocify::{
    Error, Report, Result, Status, Wording, command::batch, command::batch::Item,
    command::batch::Summary, command::show_path,
};
use serde_json::Value;

use super::digest_map::DigestMap;
use super::queue::Task;
use super::shard::Shard;
use crate::args::{Fix, Format, is_standard};
use crate::files;
use crate::fix::Done;
use crate::interrupt::Interrupt;
use crate::progress::Overview;
use crate::run::show_error;
use crate::styles::styled_memory;
use crate::words::Words;

/// How many failures are repeated at the end.
const FAILURES: usize = 1000;

/// How one task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The output is in place and has this length; `None` for a dry run.
    Done(Box<Done>, Option<(PathBuf, u64)>),
    /// An earlier run had finished it, with these changed digests.
    Kept(PathBuf, Value),
    /// It was an archive, but not an image archive.
    Skipped(Error),
    /// A file or link that is not an archive was copied, now or by an earlier run.
    Copied(u64),
    /// It failed.
    Failed(Error),
    /// The run was stopped before it ended.
    Unfinished,
}

/// Everything that is reported.
pub(crate) struct Tally<'a> {
    format: Format,
    /// Whether every change counts in a dry run.
    is_strict: bool,
    overview: &'a Overview,
    counted: Mutex<Counted>,
}

struct Counted {
    summary: Summary,
    failures: Vec<(String, Error)>,
    report: Option<(PathBuf, Box<dyn Write + Send>)>,
    map: Option<(PathBuf, DigestMap)>,
    /// What went wrong with the report or the map.
    trouble: Option<Error>,
}

/// The file of one share, so that no two shares write the same: `report.jsonl` is
/// `report-2-of-8.jsonl` then. Standard output, a device or a FIFO is what it is.
fn of_share(path: &Path, shard: Option<Shard>) -> PathBuf {
    let is_special = || fs::metadata(path).is_ok_and(|found| !found.is_file());
    let Some(shard) = shard.filter(|_| !is_standard(path) && !is_special()) else {
        return path.to_owned();
    };
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("-{}-of-{}", shard.number, shard.count));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

impl<'a> Tally<'a> {
    pub(crate) fn new(
        args: &Fix,
        shard: Option<Shard>,
        overview: &'a Overview,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let report = match &args.many.report {
            None => None,
            Some(path) => {
                let path = of_share(path, shard);
                let file = files::open(&path, "create the report", interrupt)?;
                Some((path, file))
            }
        };
        let map = match &args.many.digest_map {
            None => None,
            Some(path) => {
                let directory = std::env::temp_dir();
                let map = DigestMap::new(&directory).map_err(|error| {
                    Error::io("create a temporary file in", &directory, error)
                        .with_hint("choose another directory with TMPDIR")
                })?;
                Some((of_share(path, shard), map))
            }
        };
        Ok(Tally {
            format: args.format,
            is_strict: args.strict,
            overview,
            counted: Mutex::new(Counted {
                summary: Summary {
                    shard: shard.map(|shard| shard.to_string()),
                    ..Summary::default()
                },
                failures: Vec::new(),
                report,
                map,
                trouble: None,
            }),
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
        let input = task.path.to_string_lossy();
        let output = match &ended {
            Ended::Done(_, Some((output, _))) | Ended::Kept(output, _) => output.to_string_lossy(),
            _ => "".into(),
        };
        let mut kept_digests = None;
        let report = match &ended {
            Ended::Done(done, Some(_)) => Report::written(&input, &output, &done.plan, done.blobs),
            Ended::Done(done, None) => {
                let report = match self.is_strict {
                    true => Report::strict_dry_run(&input, &done.plan),
                    false => Report::dry_run(&input, &done.plan),
                };
                report.with_blobs(done.blobs)
            }
            Ended::Kept(_, digests) => {
                kept_digests = Some(digests);
                Report::kept(&input, &output)
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
            report: report.with_wording(&Words),
            bytes: task.len,
            seconds,
            kept_digests,
        };
        let (status, printed, lines) = (report.status, self.printed(&item), map_lines(&item));
        let mut counted = self.lock();
        counted.summary.count(status, task.len);
        if let Ended::Done(_, Some((_, len))) = &ended {
            counted.summary.bytes_written += len;
        }
        counted.note(task.number, printed.json.as_deref(), &lines);
        if let Some(text) = printed.shown {
            self.overview.print(&text);
        }
        let is_failed = status == Status::Failed;
        if let Ended::Failed(error) = ended
            && counted.failures.len() < FAILURES
        {
            counted.failures.push((input.into_owned(), error));
        }
        is_failed
    }

    /// The lines for standard output and for the report.
    fn printed(&self, item: &Item<'_>) -> Printed {
        let has_report = self.lock().report.is_some();
        let json = (has_report || self.format == Format::Json).then(|| {
            let mut line = Vec::new();
            // Writing to memory cannot fail.
            let _ = batch::item_json(item, &mut line);
            line
        });
        let shown = match self.format {
            Format::Json => json.clone(),
            Format::Text => {
                let mut line = styled_memory(self.overview.is_on_terminal());
                let written = batch::item_text(item, &mut line);
                written.is_ok().then(|| line.into_inner())
            }
        };
        Printed { json, shown }
    }

    /// Reports the summary, and writes the files that are written at the end.
    pub(crate) fn finish(self, seconds: f64, interrupt: &Interrupt) -> (Summary, Option<Error>) {
        let counted = self.counted.into_inner();
        let mut counted = counted.unwrap_or_else(PoisonError::into_inner);
        counted.summary.seconds = seconds;
        counted.summary.is_interrupted = interrupt.is_asked();
        let mut json = Vec::new();
        let _ = batch::summary_json(&counted.summary, &mut json);
        counted.note(0, Some(&json), &[]);
        if let Some((path, map)) = counted.map.take()
            && let Err(error) = files::write(&path, "write the digest map", interrupt, |out| {
                map.write_to(out)
            })
        {
            counted.trouble.get_or_insert(error);
        }
        for (input, error) in &counted.failures {
            show_failure(input, error);
        }
        let more = counted.summary.failed - counted.failures.len() as u64;
        if more > 0 {
            let _ = writeln!(io::stderr(), "and {} more failures", batch::grouped(more));
        }
        let shown = match self.format {
            Format::Json => json,
            Format::Text => {
                let mut shown = styled_memory(self.overview.is_on_terminal());
                let _ = batch::summary_text(&counted.summary, &mut shown);
                shown.into_inner()
            }
        };
        self.overview.print(&shown);
        // Nothing is drawn any more.
        self.overview.flush();
        (counted.summary, counted.trouble)
    }
}

#[derive(Debug)]
struct Printed {
    json: Option<Vec<u8>>,
    shown: Option<Vec<u8>>,
}

fn map_lines(item: &Item<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    let planned = item.report.plan.map(batch::digests);
    if let Some(digests) = planned.as_ref().or(item.kept_digests) {
        // Writing to memory cannot fail.
        let _ = batch::map_lines(item.report.input, digests, &mut lines);
    }
    lines
}

impl Counted {
    fn note(&mut self, number: u64, json: Option<&[u8]>, lines: &[u8]) {
        if let (Some((path, file)), Some(json)) = (&mut self.report, json)
            && let Err(error) = file.write_all(json)
        {
            let error = Error::io("write the report", path, error);
            self.trouble.get_or_insert(error);
        }
        if let Some((path, map)) = &mut self.map
            && let Err(error) = map.add(number, lines)
        {
            let error = Error::io("write the digest map", path, error);
            self.trouble.get_or_insert(error);
        }
    }
}

/// A failure again, with its input and the next step.
fn show_failure(input: &str, error: &Error) {
    // Most messages name the input, or a file in it.
    let input = Path::new(input);
    if error.path().is_some_and(|path| path.starts_with(input)) {
        show_error(error);
    } else {
        let message = format!("{}: {}", show_path(input), Words.error(error));
        let named = Error::new(error.code(), message);
        match error.hint() {
            Some(hint) => show_error(&named.with_hint(hint.clone())),
            None => show_error(&named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_has_files_of_its_own() {
        let shard = Some(Shard {
            number: 2,
            count: 8,
        });
        for (path, expected) in [
            ("report.jsonl", "report-2-of-8.jsonl"),
            ("out/report", "out/report-2-of-8"),
            ("a.b.json", "a.b-2-of-8.json"),
            (".hidden", ".hidden-2-of-8"),
        ] {
            assert_eq!(of_share(Path::new(path), shard), Path::new(expected));
            assert_eq!(of_share(Path::new(path), None), Path::new(path));
        }
        for path in ["-", "/dev/null"] {
            assert_eq!(of_share(Path::new(path), shard), Path::new(path));
        }
    }
}
