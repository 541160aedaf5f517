//! A run with one input: fixes it, writes the files that options ask for, and reports.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocify::{
    Error, Hint, Recovery, Report, Result, command::InputPath, command::batch::Item,
    command::batch::RunEnd, command::batch::Summary, command::batch::summary_json,
    command::json::Failure, command::path_text,
};

use crate::args::{CommandName, Fix, Format};
use crate::batch::Fingerprint;
use crate::destination::Destination;
use crate::ending::{self, Ending};
use crate::fix::{self, Done};
use crate::interrupt::Interrupt;
use crate::metadata;
use crate::notices::{self, Single};
use crate::panics::caught;
use crate::records::{Records, map_lines, report_line};
use crate::run::{finish, show_error};
use crate::standard;
use crate::transports;
use crate::words::Words;

/// Restores the input after an in-place fix that was interrupted. Returns the exit code.
pub(crate) fn restore(args: &Fix) -> u8 {
    let input = shown(args, args.input(), false, standard::INPUT);
    let result = caught(Some(args.input()), || {
        notices::restore(&InputPath::Named(args.input().to_owned()))
    })
    .map_err(|error| transports::with_hint(error, args.input(), CommandName::Fix));
    let report = match &result {
        Ok(recovery) => Report::recovered(&input, *recovery != Recovery::Nothing),
        Err(error) => Report::failed(&input, error),
    };
    finish(&report, args)
}

/// Fixes the input, or only shows what would be done. Returns the exit code.
pub(crate) fn fix(args: &Fix, destination: Option<&Destination>) -> u8 {
    let input = (!args.is_stream()).then(|| args.input());
    let ending = Fixing::new(args, destination);
    ending::run(ending, input, |ending, interrupt| {
        work(args, destination, ending, interrupt)
    })
}

fn work(
    args: &Fix,
    destination: Option<&Destination>,
    ending: &Fixing,
    interrupt: &Interrupt,
) -> Result<Done> {
    #[cfg(test)]
    if args.input().ends_with("panics.tar") {
        tests::panic_with_records(ending);
    }
    let records = Records::open(args, None, interrupt)?;
    *ending.records() = records;
    let done = fix::fix(args, destination, &Single { args, interrupt })
        .map_err(|error| transports::with_hint(error, args.input(), CommandName::Fix))?;
    if let Some(path) = &args.metadata_file {
        metadata::write(path, &done.plan, interrupt)?;
    }
    Ok(done)
}

struct Fixing {
    args: Fix,
    input: String,
    output: Option<String>,
    /// The length of the input in bytes.
    len: u64,
    started: Instant,
    records: Mutex<Records>,
}

impl Fixing {
    fn new(args: &Fix, destination: Option<&Destination>) -> Self {
        let input = shown(args, args.input(), args.is_stream(), standard::INPUT);
        let output = match (args.in_place, destination) {
            (true, _) => Some(input.clone()),
            (false, Some(destination)) => Some(path_text(destination.path()).into_owned()),
            (false, None) => args
                .output()
                .map(|output| shown(args, output, args.is_for_stream(), standard::OUTPUT)),
        };
        Fixing {
            args: args.clone(),
            input,
            output,
            // It may change in place.
            len: args.many.report.as_ref().map_or(0, |_| len(args.input())),
            started: Instant::now(),
            records: Mutex::default(),
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the records and shows the report. Returns the exit code that the report stands for.
    fn report_with(
        &self,
        result: &Result<Done>,
        records: &mut Records,
        interrupt: &Interrupt,
    ) -> u8 {
        let mut report = match (result, &self.output) {
            (Ok(done), Some(output)) if !done.is_dry_run => {
                Report::written(&self.input, output, &done.plan, done.blobs)
            }
            (Ok(done), _) => {
                let report = match self.args.strict {
                    true => Report::strict_dry_run(&self.input, &done.plan),
                    false => Report::dry_run(&self.input, &done.plan),
                };
                report.with_blobs(done.blobs)
            }
            (Err(error), _) => Report::failed(&self.input, error),
        };
        let spooled = result.as_ref().ok().and_then(|done| done.spooled.as_ref());
        let spooled = spooled.map(ToString::to_string);
        report.spooled = spooled.as_deref();
        let trouble = self.record(&report, records, interrupt);
        let trouble = trouble.map(|error| match report.output {
            Some(_) => error.with_hint(Hint::OutputComplete),
            None => error,
        });
        match &trouble {
            Some(error) if result.is_ok() => report = Report::failed(&self.input, error),
            Some(error) => show_error(error, &Words::FIX),
            None => {}
        }
        finish(&report, &self.args)
    }

    /// Writes the files of `--report` and `--digest-map`, which a batch would write for this input.
    fn record(
        &self,
        report: &Report<'_>,
        records: &mut Records,
        interrupt: &Interrupt,
    ) -> Option<Error> {
        if records.is_empty() {
            return None;
        }
        let mut records = std::mem::take(records);
        let seconds = self.started.elapsed().as_secs_f64();
        // Programs get the paths as they were given.
        let given = |path: &Path| path_text(path).into_owned();
        let (input, output) = (given(self.args.input()), self.args.output().map(given));
        let mut report = report.with_wording(&Words::FIX);
        report.input = &input;
        if self.args.is_for_stream() {
            report.output = report.output.and(output.as_deref());
        }
        let item = Item {
            report,
            bytes: self.len,
            seconds,
            kept: None,
            verified_again: None,
        };
        let line = records.has_report().then(|| report_line(&item));
        records.add(0, line.as_deref(), &map_lines(&item));
        let trouble = records.write_map(interrupt);
        let mut summary = Summary {
            end: RunEnd {
                seconds,
                shard: None,
                is_interrupted: report.error.is_some() && interrupt.is_asked(),
                error: trouble
                    .as_ref()
                    .map(|error| Failure::new(error, &Words::FIX)),
            },
            ..Summary::default()
        };
        summary.count(&item);
        if let Some(output) = report.output.filter(|_| !self.args.in_place) {
            summary.bytes_written = len(Path::new(output));
        }
        let mut json = Vec::new();
        // Writing to memory cannot fail.
        let _ = summary_json(&summary, &mut json);
        let of_report = records.finish(&json);
        trouble.or(of_report)
    }
}

impl Ending for Fixing {
    type Done = Done;

    fn report(&self, result: &Result<Done>, interrupt: &Interrupt) -> u8 {
        self.report_with(result, &mut self.records(), interrupt)
    }
}

/// A path as reports show it.
fn shown(args: &Fix, path: &Path, is_standard: bool, name: &str) -> String {
    match args.format {
        Format::Text if is_standard => name.to_owned(),
        Format::Text | Format::Json => path_text(path).into_owned(),
    }
}

/// The length of a file or layout in bytes; 0 for standard input or output, and for what does not exist.
fn len(path: &Path) -> u64 {
    let is_there = fs::symlink_metadata(path).is_ok();
    let found = is_there.then(|| Fingerprint::of(path).ok()).flatten();
    found.map_or(0, |found| found.len)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::panics::listen;
    use crate::run::FAILED;

    /// Panics while it holds what the report needs.
    pub(super) fn panic_with_records(ending: &Fixing) {
        let _records = ending.records();
        panic!("half-way");
    }

    #[test]
    fn a_panic_is_a_failure_with_a_report() {
        listen();
        for more in [&["-o", "never.tar"][..], &["--in-place"], &["--dry-run"]] {
            let line = [&["ocify", "fix", "panics.tar", "--format", "json"], more].concat();
            let Command::Fix(args) = Cli::try_parse_from(line).unwrap().command else {
                panic!("another command");
            };
            assert_eq!(fix(&args, None), FAILED);
        }
    }
}
