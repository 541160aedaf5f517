//! The options of `split`.

use clap::{Args, ValueEnum};
use ocify::SplitBy;

use super::scope::{VERBOSE, Variant, variant};
use super::{CommandName, Fix, is_standard};
use crate::destination::is_directory;

pub(super) const ABOUT: &str = "Write each image to an archive of its own";

const EXAMPLES: &str = "\
Examples:
  ocify split bundle.tar -o images/                one archive for each image
  ocify split bundle.tar -o images/ --dry-run      show the names of the archives
  ocify split bundle.tar -o images/ --by name      one for each name, also of one image
  ocify split app.tar -o images/ --by platform --unwrap
  ocify split bundle.tar -o layouts/ --layout
  docker save a b c | ocify split - -o images/
  ocify split bundle.tar -o images/ --format json | jq -r '.outputs[].file'

Names: each archive is named after its image, the way docker displays it, in lower case and with _ instead of / and
:, such as app_v1.tar, or after its digest if it does not have a name. An image with several names is named after the
first in alphabetical order. With --by platform, the platform follows: app_v1__linux_arm64.tar. Names that would not be
unique or portable end with 12 digits of a hash: app_v1-0123456789ab.tar.

Exit codes: 0 done, or with --dry-run can be done, 1 failed for some images or all, 2 wrong usage, 128 + n stopped by
signal n.";

/// The options of `split`: those of `fix` that are about each output, and what an output is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Split {
    /// What each output contains [default: image]
    ///
    /// Attestations, signatures and other artifacts go with the image that they refer to. Artifacts that refer to no image in
    /// the input have outputs of their own.
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Splitting")]
    pub(crate) by: Option<By>,

    /// What the outputs are to be.
    #[command(flatten)]
    pub(crate) fix: Fix,
}

/// What each output contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// One image with all its names and platforms
    Image,
    /// One image with one of its names
    Name,
    /// One image for one platform, with all its names; its index stays unless --unwrap is given
    Platform,
}

impl By {
    /// The choice in the terms of the library.
    pub(crate) fn of_library(self) -> SplitBy {
        match self {
            By::Image => SplitBy::Image,
            By::Name => SplitBy::Name,
            By::Platform => SplitBy::Platform,
        }
    }
}

impl Split {
    /// Conflicts between options that clap cannot check.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let output = self.fix.output.as_deref();
        let what = if self.fix.inputs.len() > 1 {
            "split takes one INPUT: ocify merge joins several archives"
        } else if output.is_none() && !self.fix.dry_run {
            "no output given: -o DIR/ writes an archive for each image, --dry-run only shows their names"
        } else if output.is_some_and(is_standard) {
            "the outputs of a split cannot go to standard output: give a directory, such as -o images/"
        } else if self.fix.link.is_some() && !self.fix.layout {
            "--link has no effect: it applies to blobs that are copied from one layout directory to another"
        } else {
            let is_file = |output: &&std::path::Path| {
                let name = output.file_name().unwrap_or_default();
                !is_directory(output) && ocify::command::ArchiveSuffix::of(name).is_some()
            };
            if let Some(output) = output.filter(is_file) {
                return Some(format!(
                    "OUTPUT of a split is a directory: write {}/ if it is to have this name",
                    ocify::command::show_path(output)
                ));
            }
            return self.fix.contradiction(CommandName::Split);
        };
        Some(what.to_owned())
    }
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    variant::<Split>(command, &SPLIT)
}

const SPLIT: Variant = Variant {
    name: CommandName::Split,
    about: ABOUT,
    examples: EXAMPLES,
    helps: &[
        VERBOSE,
        (
            "inputs",
            "An image archive (tar), an image layout directory, or `-` for standard input",
            "",
        ),
        (
            "output",
            "The directory to write to, which is created if it does not exist",
            "",
        ),
        (
            "layout",
            "Write image layout directories instead of archives",
            "",
        ),
        (
            "force",
            "Replace outputs that exist: regular files, or image layout directories with --layout",
            "",
        ),
        (
            "name",
            "Replace the image's names with this one; repeat for several names",
            "The input must contain one image, or --image must select one. Outputs are named after the new names.",
        ),
        (
            "rename",
            "Replace the name OLD with NEW and keep all other names; can be repeated",
            "Outputs are named after the new names.",
        ),
        (
            "dry_run",
            "Show what would be written without writing anything",
            "",
        ),
    ],
};
