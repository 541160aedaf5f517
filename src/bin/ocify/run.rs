//! One run: the command line in, the report and the exit code out.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;
use ocify::error::{Code, Error};
use ocify::journal::{Recovery, recover};
use ocify::report::{Report, Status, json, text};
use ocify::standard;

use crate::args::{Cli, Command, Fix, Format};
use crate::fix::{self, Done};
use crate::place;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const WOULD_FIX: u8 = 3;

/// Runs the command line and returns the exit code that the help documents.
pub(crate) fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = match Cli::try_parse_from(line) {
        Ok(cli) => match cli.command {
            Command::Fix(args) => match args.contradiction() {
                Some(what) => {
                    let error = Cli::command().error(ErrorKind::ArgumentConflict, what);
                    let _ = error.print();
                    USAGE
                }
                None => fix(&args),
            },
        },
        Err(error) => {
            // Help and version come this way, too, and go to standard output with code 0.
            let _ = error.print();
            if error.use_stderr() { USAGE } else { DONE }
        }
    };
    ExitCode::from(code)
}

fn fix(args: &Fix) -> u8 {
    let shown = |path: &Path, is_standard: bool, name: &str| match args.format {
        Format::Text if is_standard => name.to_owned(),
        Format::Text | Format::Json => path.to_string_lossy().into_owned(),
    };
    let input = shown(&args.input, args.is_stream(), standard::INPUT);
    if args.recover {
        let result = recover(&args.input);
        let report = match &result {
            Ok(recovery) => Report::recovered(&input, *recovery != Recovery::Nothing),
            Err(error) => Report::failed(&input, error),
        };
        return finish(&report, args);
    }
    let (result, output) = if args.in_place {
        (place::fix(args), Some(input.clone()))
    } else {
        let output = args
            .output()
            .map(|output| shown(output, args.is_for_stream(), standard::OUTPUT));
        (fix::fix(args), output)
    };
    let mut report = match (&result, &output) {
        (
            Ok(Done {
                plan,
                blobs: Some(blobs),
                ..
            }),
            Some(output),
        ) => Report::written(&input, output, plan, *blobs),
        (Ok(done), _) => Report::dry_run(&input, &done.plan),
        (Err(error), _) => Report::failed(&input, error),
    };
    if let Ok(done) = &result {
        report.spooled = done.spooled.as_deref();
    }
    finish(&report, args)
}

/// Shows a report, and returns the exit code that it stands for.
fn finish(report: &Report<'_>, args: &Fix) -> u8 {
    let code = match report.status {
        Status::Fixed | Status::Unchanged | Status::Restored => DONE,
        Status::WouldFix => WOULD_FIX,
        Status::Failed => FAILED,
    };
    // A reader that went away needs no words, and a report to programs in their place says it all.
    let is_alone = args.is_to_stream() && args.format == Format::Json;
    if let Some(error) = report.error
        && error.code() != Code::OutputClosed
        && !is_alone
    {
        show_error(error);
    }
    let shown = match args.is_to_stream() {
        true => show(report, args.format, io::stderr()),
        false => show(report, args.format, io::stdout()),
    };
    match shown {
        Ok(()) => code,
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            show_error(&Error::io(
                "write the report to",
                Path::new(standard::OUTPUT),
                error,
            ));
            FAILED
        }
    }
}

fn show(report: &Report<'_>, format: Format, to: impl Write + IsTerminal) -> io::Result<()> {
    let color = to.is_terminal() && color_wanted();
    let mut out = io::BufWriter::new(to);
    match format {
        Format::Text => text::render(report, color, &mut out)?,
        Format::Json => json::render(report, &mut out)?,
    }
    out.flush()
}

fn show_error(error: &Error) {
    let stderr = io::stderr();
    let color = stderr.is_terminal() && color_wanted();
    let _ = text::error(error, color, &mut stderr.lock());
}

/// By no-color.org, and not on a terminal that cannot.
fn color_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
