//! The options of `engines`.

use clap::Args;

use super::Format;

pub(super) const ABOUT: &str =
    "List the engines and versions that ocify knows, and what they cannot load";

const EXAMPLES: &str = "\
Examples:
  # What can docker not load?
  ocify engines | less

  # In which versions of containerd are zstd layers a problem?
  ocify engines --format json |
      jq '.engines[] | select(.engine == \"containerd\").problems[] | select(.rule == \"zstd-layers\")'

A version is known if somebody tried archives with it, or read its source. `ocify check` predicts \
nothing about other versions.

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The options of `engines`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Engines {
    /// Format of the table
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    let command = Engines::augment_args(command).about(ABOUT).long_about(None);
    command.after_help(EXAMPLES)
}
