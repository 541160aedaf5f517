//! The command line, and the help that teaches it.

mod batch;
mod demands;
mod values;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use ocify::engines::Engine;
use ocify::image::{Platform, Reference};
use ocify::plan::ImageChoice;

pub(crate) use batch::{Many, Pattern};
pub(crate) use values::{
    Attestations, Format, LayerCompression, Linking, Members, Missing, ProgressMode, Verification,
};
use values::{image_name, renaming};

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

/// Standard input or output.
const STANDARD: &str = "-";

/// Whether a path is standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
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
  … | ocify fix - | docker load              mend what passes in a pipe
  ocify fix --in-place app.tar               rewrite the archive itself, in milliseconds
  ocify fix app.tar --dry-run                show what would change; exit code 3 if something would
  ocify fix app.tar -o fixed.tar --format json | jq .digests
  ocify fix images/ -o fixed/                fix every archive and layout in a directory
  ocify fix --in-place images/               fix them where they are
  find . -name '*.tar' -print0 | ocify fix --files-from - -0 -o ../fixed/

Many inputs: a directory that is no image layout is looked through for archives and layouts, which \
are known by their content. Several inputs and --files-from are many, too. OUTPUT is then a \
directory, in which the tree is mirrored. A failure stops no other input; run again, and what is \
finished is kept.

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 --dry-run found something to fix.";

/// The options of `fix`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fix {
    /// Image archive (a tar), image layout directory, `-` for standard input, or a directory to look through
    #[arg(value_name = "INPUT", required_unless_present = "files_from")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Where to write: a new archive; with a `/` at the end, an image layout directory; `-` is standard output
    ///
    /// An existing empty directory is filled with an image layout as well. The input is never
    /// changed, and the output appears only when it is complete; on standard output, the files
    /// come last without which it is no image. Not needed with --dry-run, or where INPUT is `-`. Of
    /// many inputs it is the directory for all outputs.
    #[arg(short, long, value_name = "OUTPUT")]
    pub(crate) output: Option<PathBuf>,

    /// Rewrite INPUT itself: only what differs is written, in milliseconds whatever its size
    ///
    /// Entries keep their order and places, and files of neither form stay; what does not fit is
    /// refused before anything is written. A journal beside the file brings it back after a crash:
    /// the next ocify that meets the file does that first.
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub(crate) in_place: bool,

    /// Bring INPUT back to what it was before an in-place fix that did not end, and do nothing else
    #[arg(long, conflicts_with_all = ["output", "in_place", "dry_run", "metadata_file"])]
    pub(crate) recover: bool,

    /// Write nothing; show what would change, and exit with code 3 if something would
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Form of the report, on standard output or, if something else goes there, on standard error
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,

    /// Write names and digests of the output's images to this file, as JSON with buildx's keys; `-` is standard output
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
    ///
    /// Memory does not depend on the size of layers, but it does on the level.
    #[arg(long, value_name = "N")]
    pub(crate) compression_level: Option<i32>,

    /// Write gzip layers in many members, which uses all processors, or in a single one
    #[arg(long, value_enum, default_value_t = Members::Multi, value_name = "FORM")]
    pub(crate) gzip_members: Members,

    /// Write OCI media types; `--oci-mediatypes=false` writes Docker's, where each has one
    ///
    /// What has none is refused: zstd layers (unless --compression changes them), estargz
    /// annotations, encrypted layers, attestations and artifacts. index.json itself stays OCI's.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, hide_possible_values = true)]
    pub(crate) oci_mediatypes: bool,

    /// Make the archive load in this engine: docker, containerd, podman, skopeo, k3s or kind; can be repeated
    ///
    /// Only what the engine cannot read is compressed anew, with gzip if --compression says nothing
    /// else. Example: --for docker@20.10. Without a version it is a current one.
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
    #[arg(long, value_name = "NAME|DIGEST|N")]
    pub(crate) image: Vec<ImageChoice>,

    /// What to do about manifests and layers that the input lacks
    ///
    /// keep: leave the documents as they are and report it. prune: leave out every manifest that
    /// lacks something, up to the index, with its attestations. error: refuse. Layers that may be
    /// fetched elsewhere (nondistributable, or with URLs) are never missing.
    #[arg(long, value_enum, default_value_t = Missing::Keep, value_name = "KEEP|PRUNE|ERROR", hide_possible_values = true)]
    pub(crate) missing: Missing,

    /// What to verify before anything is final [default: full; documents with --in-place]
    ///
    /// With `documents`, a new archive is the old one, cloned where the filesystem can do that, with
    /// the same changes that --in-place makes, if these are possible.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) verify: Option<Verification>,

    /// How the blobs of a layout directory become those of another
    #[arg(long, value_enum, default_value_t = Linking::Auto, value_name = "HOW")]
    pub(crate) link: Linking,

    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Accept what one reader or another accepts, where ocify would refuse for lack of certainty
    ///
    /// The bytes of every blob are verified all the same.
    #[arg(long)]
    pub(crate) lenient: bool,

    /// Where to keep the bytes of a compressed INPUT, or of standard input, while they are needed [default: TMPDIR, or /tmp]
    #[arg(long, value_name = "DIR")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// How many times larger than its compressed form an archive or a layer may become
    #[arg(long, value_name = "N", default_value_t = 1100)]
    pub(crate) max_ratio: u64,

    /// How much memory, in MiB, an archive or a layer may ask for to be decompressed: zstd's window, xz's dictionary
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) max_window: u64,

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
    /// The input, where there is one.
    pub(crate) fn input(&self) -> &Path {
        self.inputs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Whether the input is standard input.
    pub(crate) fn is_stream(&self) -> bool {
        self.inputs.len() == 1 && is_standard(self.input())
    }

    /// Where to write: standard output if the input is standard input and nothing else was said.
    pub(crate) fn output(&self) -> Option<&Path> {
        let default = self.is_stream().then_some(Path::new(STANDARD));
        self.output.as_deref().or(default)
    }

    /// Whether the output is standard output, or would be.
    pub(crate) fn is_for_stream(&self) -> bool {
        self.output().is_some_and(is_standard)
    }

    /// Whether the archive goes to standard output.
    pub(crate) fn is_to_stream(&self) -> bool {
        self.is_for_stream() && !self.dry_run
    }

    /// The options that name a file to write beside the output, with that file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("--metadata-file", &self.metadata_file),
            ("--report", &self.many.report),
            ("--digest-map", &self.many.digest_map),
        ];
        all.into_iter()
            .filter_map(|(option, file)| Some((option, file.as_deref()?)))
    }

    /// The options whose files are standard output.
    pub(crate) fn files_on_stdout(&self) -> Vec<&'static str> {
        let there = self.files().filter(|(_, file)| is_standard(file));
        there.map(|(option, _)| option).collect()
    }

    /// Whether something else than the report goes to standard output.
    pub(crate) fn is_stdout_taken(&self) -> bool {
        self.is_to_stream() || !self.files_on_stdout().is_empty()
    }

    /// The number of jobs, asked for or by default.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
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
    fn there_is_one_way_out() {
        let what = fix(&["app.tar"]).unwrap().contradiction().unwrap();
        assert!(
            what.contains("-o OUTPUT") && what.contains("--in-place"),
            "{what}"
        );
        for enough in ["--dry-run", "--in-place", "--recover", "-ox"] {
            let args = fix(&["app.tar", enough]).unwrap();
            assert_eq!(args.contradiction(), None, "{enough}");
        }
        assert_eq!(fix(&["-"]).unwrap().contradiction(), None);
        for wrong in ["--in-place", "--recover"] {
            let args = fix(&["-", wrong]).unwrap();
            assert!(args.contradiction().is_some(), "{wrong}");
        }
        let error = fix(&["app.tar", "--in-place", "-o", "x"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn standard_input_goes_to_standard_output() {
        for (line, is_stream, is_to_stream) in [
            (&["-"][..], true, true),
            (&["-", "--dry-run"], true, false),
            (&["-", "-o", "x"], true, false),
            (&["-", "-o", "-"], true, true),
            (&["x", "-o", "-"], false, true),
            (&["./-", "-o", "./-"], false, false),
        ] {
            let args = fix(line).unwrap();
            let found = (args.is_stream(), args.is_to_stream());
            assert_eq!(found, (is_stream, is_to_stream), "{line:?}");
        }
        let sync = fix(&["-", "--sync"]).unwrap();
        assert!(sync.contradiction().unwrap().starts_with("--sync"));
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
