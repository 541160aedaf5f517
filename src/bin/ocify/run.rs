//! One run: the command line in, the report and the exit code out.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;
use ocify::error::Error;
use ocify::report::{Report, Status, json, text};

use crate::args::{Cli, Command, Fix, Format};
use crate::fix::{self, Around, Done};
use crate::progress::Shown;

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
    let input = args.input.to_string_lossy();
    let output = args.output.as_deref().map(Path::to_string_lossy);
    let around = Around {
        stage: &|what| Box::new(Shown::new(args.progress, what)),
        spare: None,
    };
    let result = fix::fix(&args.input, args.output.as_deref(), args, &around);
    let report = match (&result, &output) {
        (
            Ok(Done {
                plan,
                blobs: Some(blobs),
            }),
            Some(output),
        ) => Report::written(&input, output, plan, *blobs),
        (Ok(done), _) => Report::dry_run(&input, &done.plan),
        (Err(error), _) => Report::failed(&input, error),
    };
    let code = match report.status {
        Status::Fixed | Status::Unchanged => DONE,
        Status::WouldFix => WOULD_FIX,
        Status::Failed => FAILED,
    };
    if let Some(error) = report.error {
        show_error(error);
    }
    match show(&report, args.format) {
        Ok(()) => code,
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            show_error(&Error::io(
                "write the report to",
                Path::new("standard output"),
                error,
            ));
            FAILED
        }
    }
}

fn show(report: &Report<'_>, format: Format) -> io::Result<()> {
    let stdout = io::stdout();
    let color = stdout.is_terminal() && color_wanted();
    let mut out = io::BufWriter::new(stdout.lock());
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
