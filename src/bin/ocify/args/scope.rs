//! Which of fix's options each command has, and how a command is made of them.

use clap::{Arg, Args};

use self::CommandName::{Check, Inspect, Merge, Push, Recover, Split};
use super::environment;
use super::headings::under_headings;

/// A command that takes options of `fix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandName {
    Fix,
    /// `fix --recover`.
    Recover,
    Merge,
    Split,
    Push,
    Check,
    Inspect,
}

/// The options of `fix`, by their ids, with the commands that do not have them. Every command has the others.
#[rustfmt::skip]
const SCOPE: [(&str, &[CommandName]); 47] = [
    ("archive", &[Split, Push, Check, Inspect, Recover]),
    ("attestations", &[Check, Inspect, Recover]),
    ("compression", &[Check, Inspect, Recover]),
    ("compression_level", &[Check, Inspect, Recover]),
    ("copy_others", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("digest_map", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("docker_platform", &[Push, Check, Inspect, Recover]),
    ("dry_run", &[Check, Inspect, Recover]),
    ("engines", &[Inspect, Recover]),
    ("exclude", &[Merge, Split, Recover]),
    ("fail_fast", &[Merge, Split, Recover]),
    ("fail_if_empty", &[Merge, Split, Recover]),
    ("files_from", &[Merge, Split, Recover]),
    ("follow", &[Recover]),
    ("force", &[Push, Check, Inspect, Recover]),
    ("gzip_members", &[Check, Inspect, Recover]),
    ("image", &[Check, Inspect, Recover]),
    ("in_place", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("include", &[Merge, Split, Recover]),
    ("jobs", &[Recover]),
    ("layout", &[Push, Check, Inspect, Recover]),
    ("lenient", &[Recover]),
    ("link", &[Merge, Push, Check, Inspect, Recover]),
    ("max_ratio", &[Recover]),
    ("max_size", &[Recover]),
    ("max_window", &[Recover]),
    ("metadata_file", &[Split, Check, Inspect, Recover]),
    ("missing", &[Check, Inspect, Recover]),
    ("name", &[Check, Inspect, Recover]),
    ("null", &[Merge, Split, Recover]),
    ("oci_mediatypes", &[Check, Inspect, Recover]),
    ("orphans", &[Push, Check, Inspect, Recover]),
    ("orphans_older_than", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("output", &[Push, Check, Inspect, Recover]),
    ("platform", &[Inspect, Recover]),
    ("preserve_digests", &[Check, Inspect, Recover]),
    ("quiet", &[Inspect]),
    ("recover", &[Merge, Split, Push, Check, Inspect]),
    ("rename", &[Check, Inspect, Recover]),
    ("report", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("shard", &[Merge, Split, Recover]),
    ("spool_dir", &[Recover]),
    ("strict", &[Merge, Split, Push, Check, Inspect, Recover]),
    ("sync", &[Push, Check, Inspect, Recover]),
    ("unwrap", &[Check, Inspect, Recover]),
    ("verbose", &[Recover]),
    ("verify", &[Recover]),
];

impl CommandName {
    /// The options of `fix` that the command does not have, by their ids.
    pub(crate) fn without(self) -> impl Iterator<Item = &'static str> {
        let lacking = SCOPE
            .iter()
            .filter(move |(_, without)| without.contains(&self));
        lacking.map(|(option, _)| *option)
    }

    /// Whether the command does not have this option of `fix`.
    pub(crate) fn lacks(self, option: &str) -> bool {
        self.without().any(|other| other == option)
    }
}

/// The help of an option: its id, a line, and more for `--help`, which may be empty.
pub(super) type Help = (&'static str, &'static str, &'static str);

const EVERY_CHANGE: &str = "Show every change in the text report, with its place and its values, even if no engine needs it";

/// Full reports of commands that write one report.
pub(super) const VERBOSE: Help = ("verbose", EVERY_CHANGE, "");
/// Full reports of a command that finishes all inputs in each run.
pub(super) const VERBOSE_OF_MANY: Help = (
    "verbose",
    EVERY_CHANGE,
    "With many inputs, the changes and findings of each are below its line.",
);

/// What options of `fix` mean for commands that only read.
pub(super) const READ_VERIFY: Help = (
    "verify",
    "What to verify [default: documents]",
    "A blob that fails makes ocify exit with code 1. Each level includes the ones before it. Encrypted layers, filesystem images and \
    nondistributable layers are never decompressed.",
);
pub(super) const READ_FOLLOW: Help = (
    "follow",
    "Follow symbolic links in directories, also links that lead out of them",
    "Without it, links in a directory that ocify searches are skipped, and a layout may contain links only to its own files.",
);
pub(super) const READ_SPOOL_DIR: Help = (
    "spool_dir",
    "Where to store temporary files for a compressed INPUT or for standard input [default: TMPDIR, or /tmp]",
    "",
);

/// Lists of inputs for commands that write no outputs.
pub(super) const READ_FILES_FROM: Help = (
    "files_from",
    "Read more inputs from this file, one path per line; `-` is standard input",
    "",
);

/// A command with options of `fix`.
pub(super) struct Variant {
    pub(super) name: CommandName,
    pub(super) about: &'static str,
    pub(super) examples: &'static str,
    /// Options that mean something else here.
    pub(super) helps: &'static [Help],
}

impl Variant {
    /// An option of `fix` as the command has it.
    fn adapted(&self, option: Arg) -> Arg {
        let id = option.get_id().as_str();
        let help = self.helps.iter().find(|(other, ..)| *other == id);
        let option = match self.name.lacks(id) {
            true => option.hide(true),
            false => option,
        };
        match help {
            None => option,
            Some((_, short, "")) => option.help(*short).long_help(None),
            Some((_, short, more)) => option.help(*short).long_help(format!("{short}\n\n{more}")),
        }
    }
}

/// The command with its options and their help, without that for options that it does not have.
pub(super) fn variant<A: Args>(command: clap::Command, variant: &Variant) -> clap::Command {
    let command = A::augment_args(command)
        .about(variant.about)
        .long_about(None);
    let after = format!("{}\n\n{}", variant.examples, environment::HELP);
    let command = command.after_long_help(after);
    let command = environment::with_defaults(command);
    // One pass: a change of a single option moves all that follow it, and each run would pay for that.
    let command = command.mut_args(|arg| variant.adapted(arg));
    let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    debug_assert!(variant.helps.iter().all(|(id, ..)| has(id)));
    under_headings(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// What every command has, and so is not in the table.
    const EVERYWHERE: [&str; 4] = ["format", "help", "inputs", "progress"];

    #[test]
    fn each_option_of_fix_is_listed_once() {
        let mut all = Cli::command();
        all.build();
        let fix = all.find_subcommand("fix").unwrap().get_arguments();
        let mut options: Vec<&str> = fix.map(|option| option.get_id().as_str()).collect();
        options.sort_unstable();
        let listed = SCOPE.iter().map(|(option, _)| *option);
        let mut listed: Vec<&str> = listed.chain(EVERYWHERE).collect();
        listed.sort_unstable();
        assert_eq!(listed, options);
        for (option, without) in SCOPE {
            assert!(!without.is_empty(), "{option}");
            assert!(!without.contains(&CommandName::Fix), "{option}");
        }
    }

    #[test]
    fn options_that_a_command_does_not_have_are_hidden_and_refused() {
        for (name, command) in [
            ("merge", Merge),
            ("split", Split),
            ("push", Push),
            ("check", Check),
            ("inspect", Inspect),
        ] {
            let mut all = Cli::command();
            all.build();
            let own = all.find_subcommand(name).unwrap();
            let mut hidden = own.get_arguments().filter(|option| option.is_hide_set());
            assert!(
                hidden.all(|option| command.lacks(option.get_id().as_str())),
                "{name}"
            );
            for option in command.without() {
                let found = own.get_arguments().find(|other| other.get_id() == option);
                assert!(found.unwrap().is_hide_set(), "{name}: {option}");
            }
        }
    }
}
