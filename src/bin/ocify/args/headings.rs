//! The headings of the help, and which options its short form shows.

use clap::{Arg, ArgAction, Command};

/// Part of the help: its heading, the options that `-h` shows, and those that only `--help` shows. The parts and their options
/// are in the order of the help.
type Part = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const GENERAL: &str = "General";

/// The options of `fix`, by their ids. Commands that lack one hide it.
const PARTS: [Part; 7] = [
    (
        "Output",
        &["output", "in_place", "force", "dry_run"],
        &["strict", "layout", "archive", "link", "sync", "recover"],
    ),
    (
        "What changes",
        &["engines", "platform", "name"],
        &[
            "image",
            "rename",
            "docker_platform",
            "unwrap",
            "attestations",
            "missing",
            "orphans",
            "orphans_older_than",
            "oci_mediatypes",
            "preserve_digests",
        ],
    ),
    (
        "Compression",
        &["compression"],
        &["compression_level", "gzip_members"],
    ),
    (
        "Input",
        &[],
        &[
            "verify",
            "follow",
            "lenient",
            "spool_dir",
            "max_ratio",
            "max_size",
            "max_window",
        ],
    ),
    (
        "Many inputs",
        &["include"],
        &[
            "shard",
            "exclude",
            "files_from",
            "null",
            "copy_others",
            "fail_fast",
            "fail_if_empty",
        ],
    ),
    (
        "Reports",
        &["verbose", "quiet", "format"],
        &["report", "metadata_file", "digest_map", "progress"],
    ),
    (GENERAL, &[], &["jobs"]),
];

/// The heading of an option of `fix`, its order below it, and whether only `--help` shows it.
fn place_of(id: &str) -> Option<(&'static str, usize, bool)> {
    PARTS.iter().find_map(|(heading, frequent, others)| {
        let mut all = frequent.iter().chain(*others);
        let position = all.position(|other| *other == id)?;
        Some((*heading, position + 1, position >= frequent.len()))
    })
}

/// How many of the headings are in order, because their options are defined in it.
fn in_order(command: &Command) -> usize {
    let first = |heading: &str| {
        let mut options = command.get_arguments();
        options.position(|arg| arg.get_help_heading() == Some(heading))
    };
    let first: Vec<Option<usize>> = PARTS.iter().map(|(heading, ..)| first(heading)).collect();
    let next = first.windows(2).position(|pair| pair[0] > pair[1]);
    next.map_or(PARTS.len(), |position| position + 1)
}

/// The command with its options of `fix` under headings. `-h` shows the frequent ones.
pub(super) fn under_headings(command: Command) -> Command {
    // One pass: a change of a single option moves all that follow it, and each run would pay for that.
    let command = command.mut_args(|arg| match place_of(arg.get_id().as_str()) {
        Some((heading, order, is_rare)) => arg
            .help_heading(heading)
            .hide_short_help(is_rare)
            .display_order(order),
        None => arg,
    });
    // The order of the headings is that of the options. A change moves an option to the end.
    let misplaced = PARTS.iter().skip(in_order(&command));
    let misplaced = misplaced.flat_map(|(_, frequent, others)| frequent.iter().chain(*others));
    let command = misplaced.fold(command, |command, id| command.mut_arg(id, |arg| arg));
    // clap's own option would be alone under a heading of its own, before all others.
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .help("Print help (see all options with '--help')")
        .long_help("Print help (see a summary with '-h')")
        .help_heading(GENERAL)
        .display_order(usize::MAX);
    command.disable_help_flag(true).arg(help)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn each_option_of_fix_has_one_heading() {
        let mut all = Cli::command();
        all.build();
        let fix = all.find_subcommand("fix").unwrap().get_arguments();
        let options = fix.filter(|option| !option.is_positional());
        let mut options: Vec<&str> = options.map(|option| option.get_id().as_str()).collect();
        options.sort_unstable();
        let parts = PARTS
            .iter()
            .flat_map(|(_, frequent, others)| [frequent, others]);
        let mut listed: Vec<&str> = parts.flat_map(|ids| ids.iter().copied()).collect();
        listed.push("help");
        listed.sort_unstable();
        assert_eq!(listed, options);
    }
}
