//! The command line, and the help that teaches it.

mod batch;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ocify::compression::{Compression, GzipMembers};
use ocify::engines::Engine;
use ocify::plan::ImageChoice;
use ocify::platform::Platform;
use ocify::reference::Reference;

pub(crate) use batch::{Many, Pattern};
pub(crate) use values::{
    Attestations, Format, LayerCompression, Members, Missing, ProgressMode, Verification,
};
use values::{image_choice, image_name, renaming};

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
  ocify fix images/ -o fixed/                fix every archive and layout in a directory
  find . -name '*.tar' -print0 | ocify fix --files-from - -0 -o ../fixed/

Many inputs: a directory that is no image layout is walked for archives and layouts, which are known by
their content. Several inputs and --files-from are many, too. OUTPUT is then a directory, in which the
tree is mirrored. A failure stops no other input; run again, and what is finished is kept.

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 --dry-run found something to fix.";

/// The options of `fix`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fix {
    /// Image archive (a tar), image layout directory, or a directory to look through for them
    #[arg(value_name = "INPUT", required_unless_present = "files_from")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Where to write: a new archive; or, with a `/` at the end, an image layout directory
    ///
    /// An existing empty directory is filled with an image layout as well. The input is never
    /// changed, and the output appears only when it is complete. Not needed with --dry-run. Of
    /// many inputs it is the directory for all outputs.
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

    /// What to compress layers with; those that are so already keep their bytes
    ///
    /// The tar in a layer, its diff ID and the image ID stay. Layers of artifacts, attestations and
    /// BuildKit caches, encrypted layers and those to be fetched elsewhere are left alone.
    #[arg(long, value_enum, default_value_t = LayerCompression::Keep, value_name = "FORM")]
    pub(crate) compression: LayerCompression,

    /// How hard to compress: gzip 0 to 12, zstd 1 to 22 [default: gzip 6, zstd 3]
    #[arg(long, value_name = "N")]
    pub(crate) compression_level: Option<i32>,

    /// Write gzip layers in many members, which uses all processors, or in a single one
    #[arg(long, value_enum, default_value_t = Members::Multi, value_name = "FORM")]
    pub(crate) gzip_members: Members,

    /// Make the archive load in this engine: docker, containerd, podman, skopeo, k3s or kind; can be repeated
    ///
    /// Only what the engine cannot read is compressed anew, with gzip. Example: --for docker@20.10.
    /// Without a version it is a current one.
    #[arg(long = "for", value_name = "ENGINE[@VERSION]")]
    pub(crate) engines: Vec<Engine>,

    /// Name the image, instead of the names it has; repeat it for several names
    ///
    /// The archive must hold one image, or --image must pick one. A name is completed as docker
    /// does: `app` is `docker.io/library/app:latest`.
    #[arg(long, value_name = "NAME", value_parser = image_name)]
    pub(crate) name: Vec<Reference>,

    /// Change one name into another, and leave all others; can be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub(crate) rename: Vec<(Reference, Reference)>,

    /// Keep this image only; can be repeated
    ///
    /// By name, by the digest of its manifest or index, by image ID (the digest of its config), or
    /// by its number in the archive, counted from 1. What refers to the image stays with it:
    /// attestations, signatures. It keeps all its names.
    #[arg(long, value_name = "NAME|DIGEST|N", value_parser = image_choice)]
    pub(crate) image: Vec<ImageChoice>,

    /// What to do about manifests and layers that the input lacks
    ///
    /// keep: leave the documents as they are and report it. prune: leave out every manifest that
    /// lacks something, up to the index, with its attestations. error: refuse. Layers that may be
    /// fetched elsewhere (nondistributable, or with URLs) are never missing.
    #[arg(long, value_enum, default_value_t = Missing::Keep, value_name = "KEEP|PRUNE|ERROR", hide_possible_values = true)]
    pub(crate) missing: Missing,

    /// What to verify before the output gets its name
    #[arg(long, value_enum, default_value_t = Verification::Full, value_name = "WHAT")]
    pub(crate) verify: Verification,

    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Accept what one reader or another accepts, where ocify would refuse for lack of certainty
    ///
    /// The bytes of every blob are verified all the same.
    #[arg(long)]
    pub(crate) lenient: bool,

    /// Where to keep the decompressed bytes of a compressed INPUT while they are needed [default: TMPDIR, or /tmp]
    #[arg(long, value_name = "DIR")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// How many times larger than its compressed form an archive may become
    #[arg(long, value_name = "N", default_value_t = 1100)]
    pub(crate) max_ratio: u64,

    /// How to show progress on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub(crate) progress: ProgressMode,

    /// How many threads work at a time, on one input or on many [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Return only when the output is on the disk, safe from a power failure
    #[arg(long)]
    pub(crate) sync: bool,

    /// What only a batch has.
    #[command(flatten)]
    pub(crate) many: Many,
}

impl Fix {
    /// The number of jobs, asked for or by default.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

impl Fix {
    /// What layers are to be compressed with, if not as they are.
    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.compression {
            LayerCompression::Keep => None,
            LayerCompression::Gzip => Some(Compression::Gzip),
            LayerCompression::Zstd => Some(Compression::Zstd),
            LayerCompression::Uncompressed => Some(Compression::Uncompressed),
        }
    }

    /// Whether gzip is written in one member or in many.
    pub(crate) fn members(&self) -> GzipMembers {
        match self.gzip_members {
            Members::Multi => GzipMembers::Multi,
            Members::Single => GzipMembers::Single,
        }
    }

    /// The compressions that some engine asked for cannot read.
    pub(crate) fn avoided(&self) -> Vec<Compression> {
        let is_avoided =
            |form: &Compression| self.engines.iter().any(|engine| !engine.reads(*form));
        let all = [
            Compression::Uncompressed,
            Compression::Gzip,
            Compression::Zstd,
        ];
        all.into_iter().filter(is_avoided).collect()
    }

    /// What clap cannot see: demands that contradict each other.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let wanted = self.compression();
        let engine = wanted.and_then(|form| self.engines.iter().find(|e| !e.reads(form)));
        if let (Some(engine), Some(form)) = (engine, wanted) {
            return Some(format!(
                "--for {engine} and --compression {} contradict each other: it cannot read that ({})",
                form.short_name(),
                engine.evidence()
            ));
        }
        let level = self.compression_level?;
        let form = wanted.unwrap_or(Compression::Gzip);
        let (low, high) = match form {
            Compression::Uncompressed => {
                return Some("--compression uncompressed has no level".to_owned());
            }
            Compression::Gzip if self.gzip_members == Members::Single => (0, 9),
            Compression::Gzip => (0, 12),
            Compression::Zstd => (1, 22),
        };
        if (low..=high).contains(&level) {
            return None;
        }
        Some(format!(
            "--compression-level {level}: {} has the levels {low} to {high}",
            form.short_name()
        ))
    }
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
