//! A push of one input: pushes, and reports.

use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use ocify::{
    Code, Error, PushLog, PushTarget, Pushed, RegistryOptions, Result, Secret, command::IoContext,
    command::json, command::path_text, command::push, command::push::PushReport,
};

use crate::args::{CommandName, Format, Push, is_standard};
use crate::batch::{self, Shard};
use crate::ending::{self, Ending};
use crate::fix;
use crate::fold::fitted;
use crate::interrupt::Interrupt;
use crate::metadata;
use crate::notices::Single;
use crate::run::{DONE, FAILED, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::transports;
use crate::way::{Way, requires_many, shard};
use crate::words::Words;

/// The longest password, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Pushes the input, or only shows what would be pushed. Returns the exit code.
pub(crate) fn push(args: &Push, target: Option<&PushTarget>) -> u8 {
    let input = (!args.fix.is_stream()).then(|| args.fix.input());
    ending::run(Pushing::new(args, target), input, |pushing, interrupt| {
        work(args, target, interrupt, &pushing.log)
    })
}

/// Refuses options that contradict each other, which clap cannot see.
pub(crate) fn checked(args: &Push, target: Option<&PushTarget>) -> Result<Way, String> {
    let reads = args.reads();
    if args.username.is_some() && target.is_none() {
        return Err("--username requires REF: the names in the input must not decide which registry gets the password; --authfile can have a password for each registry".to_owned());
    }
    if let Some(what) = args.contradiction() {
        return Err(what);
    }
    if !batch::is_batch(&reads) {
        if let given @ [_, ..] = reads.many.only_for_many().as_slice() {
            return Err(requires_many(given));
        }
        let conflict = reads.without_effect_on(None);
        return conflict.map_or(Ok(Way::Single(None)), Err);
    }
    let refused = [
        (
            reads.metadata_file.is_some(),
            "--metadata-file supports only a single input; with many, --format json shows the digests",
        ),
        (
            reads.inputs.iter().any(|input| is_standard(input)),
            "standard input must be the only INPUT",
        ),
    ];
    if let Some((_, what)) = refused.iter().find(|(is_given, _)| *is_given) {
        return Err((*what).to_owned());
    }
    if let Some(what) = batch::contradiction(&reads) {
        return Err(what);
    }
    shard(&reads).map(Way::Batch)
}

/// Pushes many inputs, or only shows what would be pushed. Returns the exit code.
pub(crate) fn push_all(args: &Push, target: Option<&PushTarget>, shard: Option<Shard>) -> u8 {
    batch::push_all(args, target, shard).tell().unwrap_or(DONE)
}

fn work(
    args: &Push,
    target: Option<&PushTarget>,
    interrupt: &Interrupt,
    log: &PushLog,
) -> Result<Pushed> {
    #[cfg(test)]
    if args.fix.input().ends_with("panics.tar") {
        panic!("half-way");
    }
    let path = args.fix.input();
    let with_hint = |error| transports::with_hint(error, path, CommandName::Push);
    let push = operation(args, target)?.jobs(args.jobs());
    let input = fix::open(path).map_err(with_hint)?;
    let observer = Single {
        args: &args.fix,
        interrupt,
    };
    if args.fix.dry_run {
        return push.plan_only_observed(input, &observer).map_err(with_hint);
    }
    let pushed = push.run_logged(input, &observer, log).map_err(with_hint)?;
    if let Some(path) = &args.fix.metadata_file {
        metadata::write(path, &push::images(&pushed), interrupt)?;
    }
    Ok(pushed)
}

/// The push that the command line describes.
///
/// # Errors
/// The password cannot be read.
pub(crate) fn operation(args: &Push, target: Option<&PushTarget>) -> Result<ocify::Push> {
    let push = ocify::Push::new(fix::options(&args.fix)).registry(registry(args)?);
    let push = match target {
        Some(target) => push.to(target.clone()),
        None => push,
    };
    Ok(args.mount_from.iter().fold(push, ocify::Push::mount_from))
}

fn registry(args: &Push) -> Result<RegistryOptions> {
    let mut options = RegistryOptions::new()
        .plain_http(args.plain_http)
        .insecure_skip_verify(args.insecure_skip_verify)
        .retries(args.retries);
    if let Some(file) = &args.authfile {
        options = options.authfile(file);
    }
    // A dry run needs no password.
    if let Some(username) = args.username.as_ref().filter(|_| !args.fix.dry_run) {
        options = options.login(username, password()?);
    }
    let files = args.ca_file.iter();
    Ok(files.fold(options, RegistryOptions::ca_file))
}

/// The password on standard input, without the end of its line.
fn password() -> Result<Secret> {
    let name = Path::new(standard::INPUT);
    let mut text = String::new();
    let mut limited = standard::input()?.take(MAX_PASSWORD);
    limited
        .read_to_string(&mut text)
        .context("read the password from", name)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let reason = match text.len() as u64 {
        0 => "it is empty",
        MAX_PASSWORD.. => "it has more than 64 KiB",
        _ => return Ok(Secret::new(text)),
    };
    let message = format!("cannot use the password on standard input: {reason}");
    Err(Error::new(Code::Credentials, message).with_hint(
        "write it there, such as with printenv TOKEN | ocify push FILE REF --username NAME --password-stdin",
    ))
}

/// The push of one of many inputs: each has one thread, and those that are idle.
pub(crate) const ONE: NonZeroUsize = NonZeroUsize::MIN;

struct Pushing {
    args: Push,
    input: String,
    target: Option<String>,
    /// What was done, also if the push fails or is stopped.
    log: PushLog,
}

impl Pushing {
    fn new(args: &Push, target: Option<&PushTarget>) -> Self {
        let input = match args.fix.format {
            Format::Text if args.fix.is_stream() => standard::INPUT.to_owned(),
            _ => path_text(args.fix.input()).into_owned(),
        };
        Pushing {
            args: args.clone(),
            input,
            target: target.map(ToString::to_string),
            log: PushLog::new(),
        }
    }

    fn show(&self, report: &PushReport<'_>, to: impl Write + IsTerminal) -> io::Result<()> {
        match self.args.fix.format {
            Format::Text if self.args.fix.quiet => Ok(()),
            Format::Text => {
                let detail = self.args.fix.detail();
                let is_terminal = to.is_terminal();
                let mut shown = styled_memory(is_terminal);
                push::render(report, detail, &mut shown)?;
                write_at_once(to, &fitted(shown.into_inner(), is_terminal))
            }
            Format::Json => {
                let mut shown = Vec::new();
                json::pretty(report, &mut shown)?;
                write_at_once(to, &shown)
            }
        }
    }
}

impl Ending for Pushing {
    type Done = Pushed;

    fn report(&self, result: &Result<Pushed>, _: &Interrupt) -> u8 {
        let blobs = self.log.blobs();
        let report = match result {
            Ok(pushed) => PushReport::new(&self.input, pushed, self.args.fix.dry_run),
            Err(error) => PushReport::failed(&self.input, error).with_blobs(&blobs),
        };
        let report = report
            .with_target(self.target.as_deref())
            .with_wording(&Words::PUSH);
        if let Err(error) = result {
            show_error(error, &Words::PUSH);
        }
        let shown = match self.args.fix.files_on_stdout().is_empty() {
            true => self.show(&report, io::stdout().lock()),
            false => self.show(&report, io::stderr().lock()),
        };
        match shown {
            // The reader may have seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let path = Path::new(standard::OUTPUT);
                let error = Error::io("write the report to", path, error);
                show_error(&error, &Words::PUSH);
                FAILED
            }
            _ if result.is_ok() => DONE,
            _ => FAILED,
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
        for more in [&["localhost:1/app"][..], &["--dry-run"]] {
            let line = [&["ocify", "push", "panics.tar", "--format", "json"], more].concat();
            let Command::Push(mut args) = Cli::try_parse_from(line).unwrap().command else {
                panic!("another command");
            };
            let target = args.take_target().unwrap();
            assert_eq!(push(&args, target.as_ref()), FAILED);
        }
    }
}
