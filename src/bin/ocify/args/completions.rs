//! The options of `completions`.

use clap::{Arg, Args, Command, CommandFactory, Id};
use clap_complete::{Shell, generate};

use super::Cli;

pub(super) const ABOUT: &str = "Print a script that completes commands and options in a shell";

const EXAMPLES: &str = "\
Where the script goes:
  bash  ocify completions bash > ~/.local/share/bash-completion/completions/ocify
  zsh   ocify completions zsh > DIRECTORY/_ocify, with a directory that is in $fpath
  fish  ocify completions fish > ~/.config/fish/completions/ocify.fish

A new shell uses it. In this one: source <(ocify completions bash)

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The options of `completions`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Completions {
    /// Shell for which the script is
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// The command with its options and their help.
pub(super) fn defined(command: Command) -> Command {
    let command = Completions::augment_args(command);
    command.about(ABOUT).long_about(None).after_help(EXAMPLES)
}

impl Completions {
    /// The script.
    pub(crate) fn script(&self) -> Vec<u8> {
        // Subcommands define their options when they are called, or built.
        let mut all = Cli::command();
        all.build();
        let mut script = Vec::new();
        generate(self.shell, &mut shown(&all), "ocify", &mut script);
        script
    }
}

/// The command with what its help shows. Subcommands also define options that they refuse, which are hidden, but not from
/// generators of completions; and options that others conflict with cannot be left out of a command.
fn shown(command: &Command) -> Command {
    let mut shown = Command::new(kept(command.get_name()));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(kept(version));
    }
    // Building the command adds these again.
    let is_added = |id: &Id| id == "help" || id == "version";
    let arguments = command.get_arguments();
    let arguments = arguments.filter(|argument| !argument.is_hide_set());
    let arguments = arguments.filter(|argument| !is_added(argument.get_id()));
    let commands = command.get_subcommands();
    let commands = commands.filter(|command| command.get_name() != "help");
    shown
        .args(arguments.map(shown_argument))
        .subcommands(commands.map(self::shown))
}

/// An argument without what it conflicts with or requires.
fn shown_argument(argument: &Arg) -> Arg {
    let mut shown = Arg::new(argument.get_id().clone())
        .action(argument.get_action().clone())
        .value_parser(argument.get_value_parser().clone())
        .value_hint(argument.get_value_hint());
    if let Some(long) = argument.get_long() {
        shown = shown.long(kept(long));
    }
    if let Some(short) = argument.get_short() {
        shown = shown.short(short);
    }
    if let Some(help) = argument.get_help() {
        shown = shown.help(help.clone());
    }
    if let Some(names) = argument.get_value_names() {
        shown = shown.value_names(names.iter().cloned());
    }
    match argument.get_num_args() {
        Some(count) => shown.num_args(count),
        None => shown,
    }
}

/// A text for as long as the program runs, as clap requires. The program ends when it has printed a script.
fn kept(text: &str) -> &'static str {
    text.to_owned().leak()
}
