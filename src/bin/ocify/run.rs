//! One run: the command line in, the report and the exit code out.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;
use ocify::batch::Shard;
use ocify::error::Error;
use ocify::report::{Report, Status, json, text};

use crate::args::{Cli, Command, Fix, Format};
use crate::batch;
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
            Command::Fix(args) => match checked(&args) {
                Ok(Way::Single) => fix(&args),
                Ok(Way::Batch(shard)) => batch(&args, shard),
                Err(what) => {
                    let error = Cli::command().error(ErrorKind::ArgumentConflict, what);
                    let _ = error.print();
                    USAGE
                }
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

/// What is to be done.
enum Way {
    Single,
    /// Of many inputs this share.
    Batch(Option<Shard>),
}

/// Refuses demands that contradict each other, which clap cannot see.
fn checked(args: &Fix) -> Result<Way, String> {
    if let Some(what) = args.contradiction() {
        return Err(what);
    }
    if !batch::is_batch(args) {
        return match args.many.given().as_slice() {
            [] => Ok(Way::Single),
            given => Err(format!(
                "{} needs many inputs: a directory that is no image layout, several INPUTs or --files-from",
                given.join(", ")
            )),
        };
    }
    if let Some(what) = batch::contradiction(args) {
        return Err(what);
    }
    let variable = |name: &str| std::env::var(name).ok();
    let shard = args.many.shard.map(|choice| choice.resolve(&variable));
    Ok(Way::Batch(shard.transpose()?))
}

fn batch(args: &Fix, shard: Option<Shard>) -> u8 {
    let end = match batch::run(args, shard) {
        Ok(end) => end,
        Err(error) => {
            show_error(&error);
            return FAILED;
        }
    };
    if end.summary.total() == 0 && end.stopped.is_none() && shard.is_none() {
        let _ = writeln!(io::stderr(), "warning: no image archive was found");
    }
    if let Some(error) = &end.trouble {
        show_error(error);
    }
    if let Some(code) = end.stopped {
        return code;
    }
    if end.summary.failed > 0 || end.trouble.is_some() {
        return FAILED;
    }
    if end.summary.would_fix > 0 {
        return WOULD_FIX;
    }
    DONE
}

fn fix(args: &Fix) -> u8 {
    // There is one: without any, there are listed ones.
    let Some(input) = args.inputs.first() else {
        return USAGE;
    };
    let name = input.to_string_lossy();
    let output = args.output.as_deref().map(Path::to_string_lossy);
    let around = Around {
        stage: &|what| Box::new(Shown::new(args.progress, what)),
        spare: None,
    };
    let result = fix::fix(input, args.output.as_deref(), args, &around);
    let report = match (&result, &output) {
        (
            Ok(Done {
                plan,
                blobs: Some(blobs),
            }),
            Some(output),
        ) => Report::written(&name, output, plan, *blobs),
        (Ok(done), _) => Report::dry_run(&name, &done.plan),
        (Err(error), _) => Report::failed(&name, error),
    };
    let code = match report.status {
        Status::Fixed | Status::Unchanged => DONE,
        Status::WouldFix => WOULD_FIX,
        Status::Failed | Status::Kept | Status::Skipped => FAILED,
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

/// An error for people, on standard error.
pub(crate) fn show_error(error: &Error) {
    let stderr = io::stderr();
    let color = stderr.is_terminal() && color_wanted();
    let _ = text::error(error, color, &mut stderr.lock());
}

/// By no-color.org, and not on a terminal that cannot.
pub(crate) fn color_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
