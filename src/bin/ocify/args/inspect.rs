//! The options of `inspect`.

use clap::Args;

use super::check::ALL_LONG;
use super::scope::{READ_FILES_FROM, READ_FOLLOW, READ_SPOOL_DIR, READ_VERIFY, Variant, variant};
use super::{CommandName, Fix};

pub(super) const ABOUT: &str = "List what an archive contains: images, layers, attestations";

const EXAMPLES: &str = "\
Examples:
  # Names, platforms, digests and layers
  ocify inspect app.tar

  # Also the digests and diff IDs of layers
  ocify inspect app.tar --all

  # The image ID of each platform
  ocify inspect app.tar --format json |
      jq -r '.manifests[] | select(.kind == \"image\") | .platform + \" \" + .config.digest'

  # One line for each archive and layout in a directory
  ocify inspect images/

  # The output of a build, or an image on its way
  docker save app | ocify inspect -

The digest of an image's config is Docker's image ID. What layers are compressed with is what their first \
bytes show, whatever their media types say. Lengths are those of the stored bytes.

Exit codes: 0 listed, 1 damaged or unreadable, 2 wrong usage, 128 + n stopped by signal n. If ocify fix \
would refuse the archive, ocify lists what it can read, says why, and exits with code 1.";

/// The options of `inspect`: those of `fix` that are about reading inputs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inspect {
    /// How inputs are read.
    #[command(flatten)]
    pub(crate) fix: Fix,
}

impl Inspect {
    /// The options of a dry run of `fix` that reads inputs like this.
    pub(crate) fn dry_run(&self) -> Fix {
        Fix {
            dry_run: true,
            ..self.fix.clone()
        }
    }
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    variant::<Inspect>(command, &INSPECT).mut_arg("verbose", |arg| arg.visible_alias("all"))
}

const INSPECT: Variant = Variant {
    name: CommandName::Inspect,
    about: ABOUT,
    examples: EXAMPLES,
    helps: &[
        ("verbose", ALL, ALL_LONG),
        READ_VERIFY,
        READ_FOLLOW,
        READ_SPOOL_DIR,
        READ_FILES_FROM,
    ],
};
const ALL: &str = "Show all layers and names, and the digests and diff IDs of layers";
