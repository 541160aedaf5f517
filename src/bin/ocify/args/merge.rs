//! The options of `merge`.

use clap::{Args, ValueEnum};
use ocify::{OnConflict, Reference};

use super::scope::{VERBOSE, Variant, variant};
use super::values::image_name;
use super::{CommandName, Fix, is_standard};
use crate::destination::is_directory;

pub(super) const ABOUT: &str = "Join archives and image layouts into one";

const EXAMPLES: &str = "\
Examples:
  ocify merge a.tar b.tar -o all.tar               all images of both archives
  ocify merge bundle/*.tar -o bundle.tar.zst       an air-gap bundle, each shared layer once
  ocify merge old.tar new.tar -o all.tar --on-conflict last
  ocify merge amd64.tar arm64.tar -o app.tar --index example.com/app:v1
  ocify merge a.tar layout/ -o - | docker load

Exit codes: 0 done, or with --dry-run can be done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

/// The options of `merge`: those of `fix` that are about an output, and how inputs become one.
#[derive(Clone, Debug, Args)]
pub(crate) struct Merge {
    /// What to do with a name that inputs give to different content; without it, that is an error
    ///
    /// The content can be an image, an artifact, or a signature or attestation under a tag. What loses all its names is left out.
    #[arg(
        long,
        value_enum,
        value_name = "FIRST|LAST|RENAME",
        help_heading = "Merging"
    )]
    pub(crate) on_conflict: Option<Choice>,

    /// Join all images into one multi-platform image of this name
    ///
    /// Each image must be for another platform. Attestations and signatures move with their images. The old indexes are left out unless something else refers to them.
    #[arg(long, value_name = "NAME", value_parser = image_name, help_heading = "Merging")]
    pub(crate) index: Option<Reference>,

    /// What the output is to be.
    #[command(flatten)]
    pub(crate) fix: Fix,
}

/// Which image has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The first input has the name
    First,
    /// The last input has the name, as if an engine loaded one input after the other
    Last,
    /// Both: what comes later gets a number at the end of its tag, such as v1-2
    Rename,
}

impl Choice {
    /// The choice in the terms of the library.
    pub(crate) fn of_library(self) -> OnConflict {
        match self {
            Choice::First => OnConflict::First,
            Choice::Last => OnConflict::Last,
            Choice::Rename => OnConflict::Rename,
        }
    }
}

impl Merge {
    /// Conflicts between options that clap cannot check.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let inputs = &self.fix.inputs;
        let streams = inputs.iter().filter(|input| is_standard(input)).count();
        if streams > 1 {
            return Some("standard input can be read only once: give - once".to_owned());
        }
        let output = self.fix.output.as_deref();
        let is_into = |output: &std::path::Path| !is_standard(output) && is_directory(output);
        if let Some(output) = output.filter(|output| is_into(output)) {
            let is_layout = ocify::command::is_image_layout(output);
            if !is_layout {
                return Some(format!(
                    "a merged output has no name of an input: add a file name to {}",
                    ocify::command::show_path(output)
                ));
            }
        }
        if output.is_none() && !self.fix.dry_run {
            return Some("no output given: -o OUTPUT writes a new file, --dry-run only shows what would be merged".to_owned());
        }
        self.fix.contradiction(CommandName::Merge)
    }
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    variant::<Merge>(command, &MERGE)
}

const MERGE: Variant = Variant {
    name: CommandName::Merge,
    about: ABOUT,
    examples: EXAMPLES,
    helps: &[
        VERBOSE,
        (
            "inputs",
            "Image archives (tar), image layout directories, and `-` for standard input",
            "",
        ),
        (
            "output",
            "Where to write: a file name, or `-` for standard output",
            "",
        ),
        (
            "name",
            "Replace the image's names with this one; repeat for several names",
            "The output must contain one image: --image can select it, and --index joins images for several platforms into one.",
        ),
        (
            "dry_run",
            "Show what would be merged without writing anything",
            "",
        ),
    ],
};
