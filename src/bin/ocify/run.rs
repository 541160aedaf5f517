//! One run: the command line in, the report and the exit code out.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use ocify::{
    Code, Error, Hint, Report, Status, command::escape, command::json, command::shell_word,
    command::text,
};

use crate::args::{Check, Cli, Command, CommandName, Fix, Format, matches_of, other_option};
use crate::batch::{self, Shard};
use crate::check;
use crate::documents;
use crate::fold::fitted;
use crate::inspect;
use crate::merge;
use crate::notices::{be_quiet, tell};
use crate::panics::caught;
use crate::push;
use crate::single;
use crate::split;
use crate::standard;
use crate::styles::styled_memory;
use crate::way::{Way, checked, checked_check, checked_merge, checked_reads};
use crate::words::Words;

pub(crate) const DONE: u8 = 0;
pub(crate) const FAILED: u8 = 1;
const USAGE: u8 = 2;
pub(crate) const WOULD_FIX: u8 = 3;

/// Runs the command line and returns the exit code that the help documents.
pub(crate) fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line: Vec<OsString> = line.into_iter().collect();
    let code = caught(None, || Ok(code_of(line)));
    ExitCode::from(code.unwrap_or_else(|error| {
        show_error(&error, &Words::FIX);
        FAILED
    }))
}

fn code_of(line: Vec<OsString>) -> u8 {
    let misspelled = misspelled(&line);
    let is_plain = |argument: &OsString| {
        let text = argument.to_str();
        text.is_some_and(|text| escape(text) == text)
    };
    let is_plain = line.iter().all(is_plain);
    let matches = matches_of(&line);
    let misspelled = misspelled.or_else(|| matches.as_ref().ok().and_then(other_option));
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => {
            if cli.command.is_quiet() {
                be_quiet();
            }
            run_command(cli.command, misspelled, is_plain)
        }
        Err(mut error) => {
            suggest_fix(&mut error);
            // Help and version come this way, too, and go to standard output with code 0.
            print(&error, is_plain);
            if error.use_stderr() { USAGE } else { DONE }
        }
    }
}

fn run_command(command: Command, misspelled: Option<String>, is_plain: bool) -> u8 {
    match command {
        Command::Fix(args) => match misspelled.map_or_else(|| checked(&args), Err) {
            Ok(Way::Single(_)) if args.recover => single::restore(&args),
            Ok(Way::Single(destination)) => single::fix(&args, destination.as_ref()),
            Ok(Way::Batch(shard)) => batch(&args, shard),
            Err(what) => {
                print(&wrong_usage("fix", what), is_plain);
                USAGE
            }
        },
        Command::Merge(args) => match misspelled.map_or_else(|| checked_merge(&args), Err) {
            Ok(destination) => merge::merge(&args, destination.as_ref()),
            Err(what) => {
                print(&wrong_usage("merge", what), is_plain);
                USAGE
            }
        },
        Command::Split(args) => match misspelled.or_else(|| args.contradiction()) {
            None => split::split(&args),
            Some(what) => {
                print(&wrong_usage("split", what), is_plain);
                USAGE
            }
        },
        Command::Push(mut args) => {
            let target = misspelled.map_or_else(|| args.take_target(), Err);
            let checked = target.and_then(|target| {
                let way = push::checked(&args, target.as_ref())?;
                Ok((target, way))
            });
            match checked {
                Ok((target, Way::Single(_))) => push::push(&args, target.as_ref()),
                Ok((target, Way::Batch(shard))) => push::push_all(&args, target.as_ref(), shard),
                Err(what) => {
                    print(&wrong_usage("push", what), is_plain);
                    USAGE
                }
            }
        }
        Command::Engines(args) => documents::engines(&args),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args).unwrap_or_else(|what| {
            print(&wrong_usage("man", what), is_plain);
            USAGE
        }),
        Command::Inspect(args) => {
            match misspelled
                .map_or_else(|| checked_reads(&args.dry_run(), CommandName::Inspect), Err)
            {
                Ok(Way::Single(_)) => inspect::inspect(&args),
                Ok(Way::Batch(shard)) => inspect::inspect_all(&args, shard),
                Err(what) => {
                    print(&wrong_usage("inspect", what), is_plain);
                    USAGE
                }
            }
        }
        Command::Check(args) => match misspelled.map_or_else(|| checked_check(&args), Err) {
            Ok(Way::Single(_)) => check::check(&args),
            Ok(Way::Batch(shard)) => check_all(&args, shard),
            Err(what) => {
                print(&wrong_usage("check", what), is_plain);
                USAGE
            }
        },
    }
}

/// Prints help, or an error, which repeats arguments; a shell may have made these from the names of files.
fn print(error: &clap::Error, are_arguments_plain: bool) {
    if are_arguments_plain && !error.use_stderr() {
        let _ = error.print();
        return;
    }
    if are_arguments_plain {
        show(|out| write!(out, "{}", error.render().ansi()));
        return;
    }
    let text = error.render().to_string();
    let lines: Vec<String> = text.lines().map(escape).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

/// Suggests `check` and `fix` if a path was given in place of a command.
fn suggest_fix(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let path = Path::new(word);
    if path.exists() {
        let word = shell_word(path);
        let tip = format!("to check it: ocify check {word}; to fix it: ocify fix {word} -o OUTPUT");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
}

/// The error, with the usage of the command that it is about.
fn wrong_usage(name: &str, what: String) -> clap::Error {
    let mut all = Cli::command();
    // Usages get the names of the commands around them here.
    all.build();
    let about = match all.find_subcommand_mut(name) {
        Some(fix) => fix,
        None => &mut all,
    };
    about.error(ErrorKind::ArgumentConflict, what)
}

/// A value that is separated from its option by a space where it has to follow `=`, in words for the user. It would
/// be an INPUT.
fn misspelled(line: &[OsString]) -> Option<String> {
    const OPTION: &str = "--oci-mediatypes";
    let before_inputs = line.split(|argument| argument == "--").next()?;
    let mut pairs = before_inputs.windows(2);
    let value = pairs.find_map(|pair| {
        let is_value = pair[0] == OPTION && (pair[1] == "false" || pair[1] == "true");
        is_value.then(|| pair[1].to_string_lossy())
    })?;
    Some(format!(
        "the value of {OPTION} must follow an equals sign: {OPTION}={value}"
    ))
}

fn batch(args: &Fix, shard: Option<Shard>) -> u8 {
    let end = batch::run(args, shard);
    let found = batch::Found::from(&end.summary);
    let is_whole = end.stopped.is_none() && end.trouble.is_none() && shard.is_none();
    if let Some(warning) = found.warning(args).filter(|_| is_whole) {
        tell(format_args!("warning: {warning}"));
    }
    if let Some(error) = &end.trouble {
        show_error(error, &Words::FIX);
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

fn check_all(args: &Check, shard: Option<Shard>) -> u8 {
    let end = batch::check_all(args, shard);
    end.tell().unwrap_or(match end.summary.summary.rejected {
        0 => DONE,
        _ => WOULD_FIX,
    })
}

/// Writes a report for people or for programs.
pub(crate) struct Rendering<'a> {
    pub(crate) text: &'a dyn Fn(&Report<'_>, text::Detail, &mut dyn Write) -> io::Result<()>,
    pub(crate) json: &'a dyn Fn(&Report<'_>, &mut dyn Write) -> io::Result<()>,
}

/// Shows the report of a fix, and returns its exit code.
pub(crate) fn finish(report: &Report<'_>, args: &Fix) -> u8 {
    let rendering = Rendering {
        text: &text::render,
        json: &json::render,
    };
    finish_as(report, args, &rendering, &Words::FIX)
}

/// Shows a report in these words, and returns its exit code.
pub(crate) fn finish_as(
    report: &Report<'_>,
    args: &Fix,
    rendering: &Rendering<'_>,
    words: &Words,
) -> u8 {
    let report = &report.with_wording(words);
    let code = match report.status {
        Status::Fixed | Status::Unchanged | Status::Restored => DONE,
        Status::WouldFix => WOULD_FIX,
        _ => FAILED,
    };
    // A reader that went away needs no message, and a report for programs on the same stream says everything.
    let is_alone = args.is_to_stream() && args.format == Format::Json;
    if let Some(error) = report.error
        && error.code() != Code::OutputClosed
        && !is_alone
    {
        show_error(error, words);
    }
    let shown = match args.is_stdout_taken() {
        true => show_report(report, args, rendering, io::stderr()),
        false => show_report(report, args, rendering, io::stdout()),
    };
    match shown {
        Ok(()) => code,
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            let path = Path::new(standard::OUTPUT);
            let error = Error::io("write the report to", path, error);
            let error = match report.output {
                Some(_) => error.with_hint(Hint::OutputComplete),
                None => error,
            };
            show_error(&error, words);
            FAILED
        }
    }
}

fn show_report(
    report: &Report<'_>,
    args: &Fix,
    rendering: &Rendering<'_>,
    to: impl Write + IsTerminal,
) -> io::Result<()> {
    match args.format {
        Format::Text if args.quiet => Ok(()),
        Format::Text => {
            let detail = args.detail();
            let is_terminal = to.is_terminal();
            let mut shown = styled_memory(is_terminal);
            (rendering.text)(report, detail, &mut shown)?;
            write_at_once(to, &fitted(shown.into_inner(), is_terminal))
        }
        Format::Json => {
            let mut shown = Vec::new();
            (rendering.json)(report, &mut shown)?;
            write_at_once(to, &shown)
        }
    }
}

/// Standard output writes whole lines, and a stream that removes styles writes what is between them: one call each.
pub(crate) fn write_at_once(mut to: impl Write, shown: &[u8]) -> io::Result<()> {
    to.write_all(shown)?;
    to.flush()
}

/// An error for people, on standard error.
pub(crate) fn show_error(error: &Error, words: &Words) {
    show(|out| text::error(error, words, out));
}

/// A text for people, on standard error.
pub(crate) fn show(text: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let stderr = io::stderr().lock();
    let is_terminal = stderr.is_terminal();
    let mut shown = styled_memory(is_terminal);
    let _ = text(&mut shown);
    let _ = write_at_once(stderr, &fitted(shown.into_inner(), is_terminal));
}
