//! The command line, and the help that teaches it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ocify::platform::Platform;

/// Makes any container image archive load everywhere.
///
/// Rewrites nonstandard and Docker media types to those of OCI, and keeps every byte that need not change.
#[derive(Debug, Parser)]
#[command(name = "ocify", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write an archive anew so that every engine can load it
    #[command(after_help = FIX_EXAMPLES)]
    Fix(Fix),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  failed; the reason is on standard error
  2  wrong usage
  3  --dry-run found something to fix";

const FIX_EXAMPLES: &str = "\
Examples:
  ocify fix app.tar -o fixed.tar             rewrite an archive
  ocify fix layout/ -o fixed.tar             pack an image layout directory
  ocify fix app.tar -o layout/               unpack into an image layout directory
  ocify fix app.tar --dry-run                show what would change; exit code 3 if something would
  ocify fix app.tar -o fixed.tar --format json | jq .digests

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 --dry-run found something to fix.";

/// The options of `fix`.
#[derive(Debug, Args)]
pub(crate) struct Fix {
    /// Image archive (a tar), or image layout directory
    pub(crate) input: PathBuf,

    /// Where to write: a new archive; or, with a `/` at the end, an image layout directory
    ///
    /// An existing empty directory is filled with an image layout as well. The input is never
    /// changed, and the output appears only when it is complete. Not needed with --dry-run.
    #[arg(
        short,
        long,
        value_name = "OUTPUT",
        required_unless_present = "dry_run"
    )]
    pub(crate) output: Option<PathBuf>,

    /// Write nothing; show what would change, and exit with code 3 if something would
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Form of the report on standard output
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,

    /// Write names and digests of the output's images to this file, as JSON with buildx's keys
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,

    /// The platform that manifest.json describes, where an image has several
    ///
    /// Docker before version 25 loads the image that manifest.json describes. Without this option
    /// it is the one for this machine's architecture, if there is one. Example: linux/arm64.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,

    /// What to do with attestations: provenance and software bills of materials
    #[arg(long, value_enum, default_value_t = Attestations::Keep, value_name = "KEEP|DROP", hide_possible_values = true)]
    pub(crate) attestations: Attestations,

    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Accept what one reader or another accepts, where ocify would refuse for lack of certainty
    ///
    /// The bytes of every blob are verified all the same.
    #[arg(long)]
    pub(crate) lenient: bool,

    /// How to show progress on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub(crate) progress: ProgressMode,

    /// How many blobs to copy and verify at a time [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Return only when the output is on the disk, safe from a power failure
    #[arg(long)]
    pub(crate) sync: bool,
}

impl Fix {
    /// The number of jobs, asked for or by default.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

/// The forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one JSON object, also on failure
    Json,
}

/// What happens to attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attestations {
    /// Keep them, and move their links to the new digests
    Keep,
    /// Leave them out
    Drop,
}

/// The ways to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, once the work has taken a second; otherwise nothing
    Auto,
    /// A line every few seconds
    Plain,
    /// A bar at once
    Tty,
    /// Nothing
    Quiet,
    /// JSON lines
    Rawjson,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn fix(args: &[&str]) -> Result<Fix, clap::Error> {
        let line = ["ocify", "fix"].iter().chain(args);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Fix(fix) => fix,
        })
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn output_is_required_unless_dry_run() {
        let error = fix(&["app.tar"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("-o") || error.to_string().contains("--output"));
        assert_eq!(fix(&["app.tar", "--dry-run"]).unwrap().output, None);
    }

    #[test]
    fn values() {
        let line = [
            "app.tar",
            "-o",
            "x",
            "--platform",
            "linux/aarch64",
            "--jobs",
            "3",
        ];
        let args = fix(&line).unwrap();
        assert_eq!(
            args.platform.as_ref().map(Platform::to_string).as_deref(),
            Some("linux/arm64")
        );
        assert_eq!(args.jobs().get(), 3);
        for wrong in [
            ["--jobs", "0"],
            ["--platform", "arm64"],
            ["--format", "xml"],
        ] {
            let line = [&["app.tar", "-o", "x"][..], &wrong].concat();
            assert_eq!(fix(&line).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
