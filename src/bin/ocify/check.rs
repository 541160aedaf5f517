//! A check of one input: asks the library, and reports.

mod advice;
mod step_summary;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use console::Term;
use ocify::{
    Blobs, Checked, Error, Result, command::batch::RunEnd, command::check,
    command::check::CheckReport, command::check::CheckStatus, command::check::GithubTable,
    command::check::HtmlPage, command::check::Layout, command::path_text,
};

use self::advice::fix_command;
pub(crate) use self::advice::fix_command_of_many;
pub(crate) use self::step_summary::append as append_step_summary;
use crate::args::{Check, CheckFormat, CommandName, Fix};
use crate::ending::{self, Ending};
use crate::fix;
use crate::fold::fitted;
use crate::interrupt::Interrupt;
use crate::notices::Single;
use crate::run::{DONE, FAILED, WOULD_FIX, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::transports;
use crate::words::Words;

/// The width of text that does not go to a terminal, and the most on a terminal.
const WIDTH: usize = 80;
const MAX_WIDTH: usize = 120;

/// Checks the input. Returns the exit code.
pub(crate) fn check(args: &Check) -> u8 {
    let input = (!args.fix.is_stream()).then(|| args.fix.input());
    ending::run(Checking::new(args), input, work)
}

fn work(ending: &Checking, interrupt: &Interrupt) -> Result<Checked> {
    #[cfg(test)]
    if ending.dry_run.input().ends_with("panics.tar") {
        panic!("half-way");
    }
    let args = &ending.dry_run;
    let observer = Single { args, interrupt };
    let input = fix::open(args.input())
        .map_err(|error| transports::with_hint(error, args.input(), CommandName::Check))?;
    options(&ending.args, args, None)
        .run_observed(input, &observer)
        .map_err(|error| transports::with_hint(error, args.input(), CommandName::Check))
}

/// The check that the command line describes.
pub(crate) fn options(args: &Check, dry_run: &Fix, jobs: Option<NonZeroUsize>) -> ocify::Check {
    // An interrupted fix is reported, because restoring the input would write to it.
    let fix = fix::options(dry_run).recover(false);
    let check = ocify::Check::new(match jobs {
        Some(jobs) => fix.jobs(jobs),
        None => fix,
    });
    let platform = args.fix.platform.first().cloned();
    let check = platform.into_iter().fold(check, ocify::Check::platform);
    let check = args
        .fix
        .engines
        .iter()
        .copied()
        .fold(check, ocify::Check::engine);
    args.fail_on
        .iter()
        .copied()
        .fold(check, ocify::Check::fail_on)
}

/// The exit code of a status.
pub(crate) fn code_of(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Passed | CheckStatus::Skipped => DONE,
        CheckStatus::Rejected => WOULD_FIX,
        _ => FAILED,
    }
}

/// How a report is laid out on standard output.
pub(crate) fn layout(is_full: bool, is_terminal: bool) -> Layout {
    let width = width(is_terminal);
    Layout { width, is_full }
}

/// The width of lines on standard output.
pub(crate) fn width(is_terminal: bool) -> usize {
    let columns = is_terminal.then(|| Term::stdout().size_checked()).flatten();
    let columns = columns.map(|(_, columns)| usize::from(columns));
    columns.unwrap_or(WIDTH).min(MAX_WIDTH)
}

struct Checking {
    args: Check,
    dry_run: Fix,
    input: String,
    fix: Option<String>,
    started: Instant,
}

impl Checking {
    fn new(args: &Check) -> Self {
        let dry_run = args.dry_run();
        let input = match args.format {
            CheckFormat::Text | CheckFormat::Junit | CheckFormat::Html if args.fix.is_stream() => {
                standard::INPUT.to_owned()
            }
            _ => path_text(args.fix.input()).into_owned(),
        };
        Checking {
            fix: fix_command(&dry_run, args.fix.input()),
            args: args.clone(),
            dry_run,
            input,
            started: Instant::now(),
        }
    }

    /// Writes the summary of a step of GitHub Actions.
    fn record(&self, report: &CheckReport<'_>) -> Result<()> {
        if self.args.format != CheckFormat::Github {
            return Ok(());
        }
        let mut table = GithubTable::default();
        table.add(report);
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = table.write(None, &mut text);
        append_step_summary(&text)
    }

    fn show(&self, report: &CheckReport<'_>) -> io::Result<()> {
        if self.args.fix.quiet {
            return Ok(());
        }
        let stdout = io::stdout().lock();
        let is_terminal = stdout.is_terminal();
        let mut shown = styled_memory(is_terminal);
        match self.args.format {
            CheckFormat::Text => {
                let layout = layout(self.args.fix.verbose, is_terminal);
                check::render(report, layout, &mut shown)?;
                return write_at_once(stdout, &fitted(shown.into_inner(), is_terminal));
            }
            CheckFormat::Json => check::json(report, &mut shown)?,
            CheckFormat::Junit => {
                let seconds = self.started.elapsed().as_secs_f64();
                check::junit_start(&mut shown)?;
                check::junit_suite(report, seconds, &mut shown)?;
                check::junit_end(&RunEnd::default(), &mut shown)?;
            }
            CheckFormat::Github => check::github_annotation(report, &mut shown)?,
            CheckFormat::Html => {
                let mut page = HtmlPage::default();
                page.add(report);
                page.write(None, &mut shown)?;
            }
        }
        write_at_once(stdout, &shown.into_inner())
    }
}

impl Ending for Checking {
    type Done = Checked;

    fn report(&self, result: &Result<Checked>, _: &Interrupt) -> u8 {
        let spooled = result
            .as_ref()
            .ok()
            .and_then(|checked| checked.spooled.as_ref());
        let spooled = spooled.map(ToString::to_string);
        let mut report = match result {
            Ok(checked) => {
                let blobs = checked.outcome.map(Blobs::from).unwrap_or_default();
                CheckReport::new(&self.input, checked).with_blobs(blobs)
            }
            Err(error) => CheckReport::failed(&self.input, error),
        };
        report = report.with_words(&Words::CHECK, self.fix.as_deref());
        report.spooled = spooled.as_deref();
        if let Err(error) = result
            && self.args.format != CheckFormat::Github
        {
            show_error(error, &Words::CHECK);
        }
        let shown = self.show(&report);
        let recorded = self.record(&report);
        if let Err(error) = &recorded {
            show_error(error, &Words::CHECK);
        }
        match shown {
            // The reader may have seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let path = Path::new(standard::OUTPUT);
                show_error(
                    &Error::io("write the report to", path, error),
                    &Words::CHECK,
                );
                FAILED
            }
            _ if recorded.is_err() => FAILED,
            _ => code_of(report.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::panics::listen;

    #[test]
    fn a_panic_is_a_failure_with_a_report() {
        listen();
        let line = ["ocify", "check", "panics.tar", "--format", "json"];
        let Command::Check(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        assert_eq!(check(&args), FAILED);
    }
}
