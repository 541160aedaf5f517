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

/// The command with its options of `fix` under headings. `-h` shows the frequent ones.
pub(super) fn under_headings(command: Command) -> Command {
    // The order of the headings is that in which their options are defined.
    let command = command.mut_args(|arg| match place_of(arg.get_id().as_str()) {
        Some((heading, order, is_rare)) => arg
            .help_heading(heading)
            .hide_short_help(is_rare)
            .display_order(order),
        None => arg,
    });
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

    #[test]
    fn the_headings_of_each_command_are_in_order() {
        let mut all = Cli::command();
        all.build();
        for name in ["fix", "merge", "split", "push", "check", "inspect"] {
            let options = all.find_subcommand(name).unwrap().get_arguments();
            let headings = options.filter_map(Arg::get_help_heading);
            let mut found: Vec<&str> = Vec::new();
            for heading in headings {
                if !found.contains(&heading) {
                    found.push(heading);
                }
            }
            // Those of a command itself come first.
            let own = found.len() - PARTS.len();
            assert_eq!(found[own..], PARTS.map(|(heading, ..)| heading), "{name}");
        }
    }
}
