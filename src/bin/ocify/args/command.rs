//! The subcommands.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use super::examples::{FIX_EXAMPLES, FIX_FREQUENT};
use super::headings::under_headings;
use super::version;
use super::{
    Check, CommandName, Completions, Engines, Fix, Inspect, Man, Merge, Push, Split, check,
    completions, engines, environment, inspect, man, merge, push, split,
};

const EXIT_CODES: &str = "\
Exit codes:
  0        done, or nothing to do
  1        failed; standard error says why
  2        wrong usage
  3        check: an engine does not load the archive;
           --dry-run found something that an engine needs,
           or that an option requests
  128 + n  stopped by signal n, such as 130 after Ctrl-C";

/// Makes any container image archive load everywhere.
///
/// Rewrites nonstandard and Docker media types as OCI media types, and corrects what refers to them: digests, sizes and the index.
/// Layers and configs keep their bytes, unless an option such as --compression changes layers.
#[derive(Debug, Parser)]
#[command(name = "ocify", version, long_version = version::long(), arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug)]
pub(crate) enum Command {
    Fix(Fix),
    Merge(Merge),
    Split(Split),
    Push(Push),
    Check(Check),
    Inspect(Inspect),
    Engines(Engines),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Whether only errors are to be shown.
    pub(crate) fn is_quiet(&self) -> bool {
        match self {
            Command::Fix(fix)
            | Command::Merge(Merge { fix, .. })
            | Command::Split(Split { fix, .. })
            | Command::Push(Push { fix, .. })
            | Command::Check(Check { fix, .. }) => fix.quiet,
            Command::Inspect(_)
            | Command::Engines(_)
            | Command::Completions(_)
            | Command::Man(_) => false,
        }
    }
}

const FIX: &str = "fix";
const FIX_ABOUT: &str = "Rewrite an archive so that every engine can load it";
const MERGE: &str = "merge";
const SPLIT: &str = "split";
const PUSH: &str = "push";
const CHECK: &str = "check";
const INSPECT: &str = "inspect";
const ENGINES: &str = "engines";
const COMPLETIONS: &str = "completions";
const MAN: &str = "man";

/// The options of a subcommand are defined only when it is called, because that takes a noticeable part of a short run.
impl Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let fix = clap::Command::new(FIX).about(FIX_ABOUT).defer(|command| {
            let command = Fix::augment_args(command).about(FIX_ABOUT).long_about(None);
            let command = command
                .after_help(FIX_FREQUENT)
                .after_long_help(format!("{FIX_EXAMPLES}\n\n{}", environment::HELP));
            environment::with_defaults(under_headings(command))
        });
        let merge = clap::Command::new(MERGE)
            .about(merge::ABOUT)
            .defer(merge::defined);
        let split = clap::Command::new(SPLIT)
            .about(split::ABOUT)
            .defer(split::defined);
        let check = clap::Command::new(CHECK)
            .about(check::ABOUT)
            .defer(check::defined);
        let inspect = clap::Command::new(INSPECT)
            .about(inspect::ABOUT)
            .defer(inspect::defined);
        let command = command
            .subcommand(fix)
            .subcommand(check)
            .subcommand(inspect);
        let engines = clap::Command::new(ENGINES)
            .about(engines::ABOUT)
            .defer(engines::defined);
        let push = clap::Command::new(PUSH)
            .about(push::ABOUT)
            .defer(push::defined);
        let command = command.subcommand(merge).subcommand(split);
        let completions = clap::Command::new(COMPLETIONS)
            .about(completions::ABOUT)
            .defer(completions::defined);
        let man = clap::Command::new(MAN)
            .about(man::ABOUT)
            .defer(man::defined);
        let command = command.subcommand(push).subcommand(engines);
        command.subcommand(completions).subcommand(man)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        matches!(
            name,
            FIX | MERGE | SPLIT | PUSH | CHECK | INSPECT | ENGINES | COMPLETIONS | MAN
        )
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((FIX, matches)) => Fix::from_arg_matches(matches).map(Command::Fix),
            Some((MERGE, matches)) => Merge::from_arg_matches(matches).map(Command::Merge),
            Some((SPLIT, matches)) => Split::from_arg_matches(matches).map(Command::Split),
            Some((PUSH, matches)) => Push::from_arg_matches(matches).map(Command::Push),
            Some((CHECK, matches)) => check::parsed(matches).map(Command::Check),
            Some((INSPECT, matches)) => Inspect::from_arg_matches(matches).map(Command::Inspect),
            Some((ENGINES, matches)) => Engines::from_arg_matches(matches).map(Command::Engines),
            Some((COMPLETIONS, matches)) => {
                Completions::from_arg_matches(matches).map(Command::Completions)
            }
            Some((MAN, matches)) => Man::from_arg_matches(matches).map(Command::Man),
            _ => Err(clap::Error::new(ErrorKind::MissingSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An option that was given and that the subcommand does not have, in words for the user.
pub(crate) fn other_option(matches: &ArgMatches) -> Option<String> {
    let (name, matches) = matches.subcommand()?;
    let command = match name {
        MERGE => CommandName::Merge,
        SPLIT => CommandName::Split,
        PUSH => CommandName::Push,
        CHECK => CommandName::Check,
        INSPECT => CommandName::Inspect,
        _ => return None,
    };
    let given = |option: &&str| matches.value_source(option) == Some(ValueSource::CommandLine);
    let option = command.without().find(given)?;
    Some(format!(
        "{name} does not have the option --{}",
        option.replace('_', "-")
    ))
}
