//! The command line, and the help that teaches it.

mod batch;
mod check;
mod command;
mod completions;
mod demands;
mod effect;
mod engines;
mod environment;
mod examples;
mod headings;
mod inspect;
mod man;
mod merge;
mod push;
mod scope;
mod split;
mod values;
mod version;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};
use ocify::{Engine, ImageChoice, Platform, Reference, command::Links, command::text::Detail};

pub(crate) use batch::{Many, Pattern};
pub(crate) use check::{Check, CheckFormat};
pub(crate) use command::{Cli, Command, other_option};
pub(crate) use completions::Completions;
pub(crate) use engines::Engines;
pub(crate) use environment::matches_of;
pub(crate) use inspect::Inspect;
pub(crate) use man::Man;
pub(crate) use merge::Merge;
pub(crate) use push::Push;
pub(crate) use scope::CommandName;
pub(crate) use split::Split;
pub(crate) use values::{
    Attestations, Format, LayerCompression, Linking, Members, Missing, Orphans, ProgressMode,
    Verification,
};
use values::{age, engine, image_name, jobs, ratio, renaming, size, window};

/// Standard input or output.
const STANDARD: &str = "-";

/// Whether a path is standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}

/// The options of `fix`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fix {
    /// Image archive (tar), image layout directory, `-` for standard input, or a directory to search for them
    #[arg(value_name = "INPUT", required_unless_present = "files_from")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Where to write: a file name, a directory to write into, or `-` for standard output
    ///
    /// As with cp, a name that ends in `/` or is an existing directory means into that directory,
    /// under the input's own name. Any other name is the name of the output. With a suffix of an
    /// archive (.tar, .tar.gz, .tgz, .tar.zst, .tzst), the output is an archive, compressed
    /// accordingly. Without one, it has the form of the input: an archive, or an image layout directory if
    /// INPUT is a directory: an image layout, a BuildKit cache, an unpacked archive, or what skopeo writes
    /// to dir:. --layout and --archive choose the form. ocify never changes
    /// the input, replaces an existing output only with --force, and the output appears only when it
    /// is complete. On standard output, index.json and manifest.json are written last. Not needed with
    /// --dry-run or if INPUT is `-`.
    #[arg(short, long, value_name = "OUTPUT")]
    pub(crate) output: Option<PathBuf>,

    /// Write image layout directories, even from archives
    ///
    /// In a directory, the output for app.tar is named app. A name that is given is used as it is.
    #[arg(long, conflicts_with_all = ["archive", "in_place"])]
    pub(crate) layout: bool,

    /// Write archives, even from image layout directories
    ///
    /// In a directory, the output for the layout app is named app.tar.
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) archive: bool,

    /// Fix INPUT in place: write only what differs, in milliseconds even if INPUT is large
    ///
    /// Entries of an archive keep their order and offsets, and files that belong to neither the image layout nor
    /// the Docker archive are left unchanged. If a change does not fit, ocify refuses before it
    /// writes anything. After a crash, a journal beside the file makes it possible to restore the
    /// file: the next ocify run on the file does that first.
    ///
    /// In an image layout or a BuildKit cache, ocify writes new documents, replaces index.json, and removes what
    /// nothing refers to any more. A crash leaves the old layout or the new one. Do not run it during a build that
    /// uses the directory: nothing is removed if ingest/ shows one.
    #[arg(long, conflicts_with_all = ["output", "force", "link", "spool_dir", "copy_others"])]
    pub(crate) in_place: bool,

    /// Restore INPUT after an in-place fix that was interrupted, and do nothing else
    #[arg(long, conflicts_with_all = CommandName::Recover.without())]
    pub(crate) recover: bool,

    /// Show what would change without writing anything, and exit with code 3 if an engine needs a change
    ///
    /// A change that another option requests counts too. With --strict, every change does. Findings do not count, because ocify cannot fix them. OUTPUT and the options that only
    /// concern how it is written can stay on the command line. With a single input, an OUTPUT that the run would refuse is refused: one that exists, for example.
    #[arg(long, conflicts_with = "metadata_file")]
    pub(crate) dry_run: bool,

    /// With --dry-run: exit with code 3 for every change, even if no engine needs it
    #[arg(long, requires = "dry_run")]
    pub(crate) strict: bool,

    /// Which platform manifest.json describes if an image has several
    ///
    /// Docker before version 25 loads the image that manifest.json describes. By default, this is
    /// the one for this machine's architecture, if there is one. A platform is OS/ARCH[/VARIANT], such
    /// as linux/arm64. It is an error if there are images with several platforms and none of them has
    /// this one.
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) docker_platform: Option<Platform>,

    /// Keep only images for this platform; can be repeated, and separated by commas
    ///
    /// A platform is OS/ARCH[/VARIANT], such as linux/arm64, and matches as in containerd: linux/arm is
    /// linux/arm/v7, and linux/arm64 is linux/arm64/v8. A version and features of the operating system
    /// follow in parentheses: windows(10.0.17763)/amd64. Whatever refers to an image that stays
    /// (attestations, signatures) is kept. The platforms of an image are those that its index states,
    /// or the one of its config. An index stays an index, even of one image: see --unwrap.
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,

    /// Replace each index that contains one image with that image's manifest, under the same names
    ///
    /// For readers that take only a single manifest, such as AWS Lambda. An index with several images is
    /// an error: select one with --platform or --image. BuildKit's attestations are listed only in the
    /// index, so they are removed.
    #[arg(long)]
    pub(crate) unwrap: bool,

    /// Keep or drop attestations: provenance and software bills of materials [default: keep]
    ///
    /// Whatever refers to a dropped attestation, such as its signature, is dropped too.
    #[arg(
        long,
        value_enum,
        value_name = "KEEP|DROP",
        hide_possible_values = true
    )]
    pub(crate) attestations: Option<Attestations>,

    /// Keep or drop blobs that nothing refers to: no image, no other document and no BuildKit cache
    ///
    /// They are always reported. A BuildKit cache collects them, because every build adds to it and removes
    /// nothing. Docker since 25.0 saves a few small ones with each image.
    #[arg(long, value_enum, default_value_t = Orphans::Keep, value_name = "KEEP|DROP", hide_possible_values = true)]
    pub(crate) orphans: Orphans,

    /// With --in-place --orphans drop: remove only blobs of a directory that have not changed for AGE [default: 24h]
    ///
    /// AGE is a number with a unit, such as 30m, 24h or 7d, or 0. A build in progress may have written younger
    /// blobs, and index.json refers to them only at its end. Do not use 0 during a build.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) orphans_older_than: Option<Duration>,

    /// How to compress layers; layers that already use this format are left unchanged
    ///
    /// Recompression does not change the tar in a layer, its diff ID or the image ID. Layers of
    /// artifacts, attestations and BuildKit caches, encrypted layers, and layers that are fetched
    /// from elsewhere are left unchanged.
    #[arg(long, value_enum, default_value_t = LayerCompression::Keep, value_name = "FORM")]
    pub(crate) compression: LayerCompression,

    /// Compression level: 0 to 12 for gzip, 1 to 22 for zstd [default: gzip 6, zstd 3]
    ///
    /// Higher levels need more memory. Larger layers do not. Requires --compression or --for.
    #[arg(long, value_name = "N")]
    pub(crate) compression_level: Option<i32>,

    /// Write each gzip layer as many members, using all processors, or as a single member [default: multi]
    ///
    /// Requires --compression gzip or --for.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) gzip_members: Option<Members>,

    /// Write OCI media types; `--oci-mediatypes=false` writes Docker's instead
    ///
    /// ocify refuses content for which Docker has no media type: zstd layers (unless --compression
    /// changes them), estargz annotations, encrypted layers, attestations and artifacts. index.json
    /// keeps its OCI type.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, hide_possible_values = true)]
    pub(crate) oci_mediatypes: bool,

    /// Keep the digest of every manifest and index, and report what would need a new one
    ///
    /// ocify still fixes index.json, manifest.json, oci-layout, names and the form of the archive. It refuses
    /// other options that would change a digest.
    #[arg(long)]
    pub(crate) preserve_digests: bool,

    /// Make the archive load in this engine: docker, containerd, podman, skopeo, k3s, kind, or another that `ocify engines` lists; can be repeated
    ///
    /// ocify recompresses only the layers that the engine cannot read, with gzip unless
    /// --compression says otherwise. If the engine fails on platforms that are absent, or on unnamed
    /// attestations, they are removed. If it still would not load the output, because an image has no
    /// name, for example, ocify refuses. Without a version, the newest one that ocify knows is meant; with
    /// a part of one, all that begin with it. An image store or transport can follow a slash.
    /// Examples: --for docker@20.10, --for docker@26.1/containerd, --for skopeo/oci-archive.
    #[arg(long = "for", value_name = "ENGINE[@VERSION]", value_parser = engine)]
    pub(crate) engines: Vec<Engine>,

    /// Replace the image's names with this one; repeat for several names
    ///
    /// The archive must contain one image, or --image must select one. In an archive without images,
    /// its only artifact gets the name. ocify completes a name the way docker does: `app` becomes
    /// `docker.io/library/app:latest`.
    #[arg(long, value_name = "NAME", value_parser = image_name)]
    pub(crate) name: Vec<Reference>,

    /// Replace the name OLD with NEW and keep all other names; can be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub(crate) rename: Vec<(Reference, Reference)>,

    /// Keep only this image or artifact; can be repeated
    ///
    /// Select it by name, by the digest of its manifest or index, by image ID (the digest of its
    /// config), or by its number among the archive's images, counted from 1. It keeps all its names
    /// and everything that refers to it, directly or not: attestations, signatures, and the signatures
    /// of attestations. If it is one platform of an index, the index keeps only that platform. An
    /// artifact, such as a Helm chart, is selected by name or by digest.
    #[arg(long, value_name = "NAME|DIGEST|N")]
    pub(crate) image: Vec<ImageChoice>,

    /// What to do if the input lacks manifests or layers
    ///
    /// keep: leave the documents unchanged and report what is missing. prune: remove every manifest
    /// with missing content, along with everything that refers to it and any index that this leaves
    /// empty; from a BuildKit cache, only the missing layers. error: refuse. Layers that can be
    /// fetched from elsewhere (nondistributable layers, layers with URLs) never count as missing.
    #[arg(long, value_enum, default_value_t = Missing::Keep, value_name = "KEEP|PRUNE|ERROR", hide_possible_values = true)]
    pub(crate) missing: Missing,

    /// What to verify before the output is complete [default: digests; documents with --in-place or --dry-run]
    ///
    /// A blob that fails makes ocify exit with code 1, and nothing is written. Each level includes
    /// the ones before it. Encrypted layers, filesystem images and nondistributable layers are never
    /// decompressed. With --dry-run, ocify verifies the input at this level and writes nothing.
    ///
    /// With `documents`, ocify copies the archive (as a clone if the filesystem supports that) and
    /// makes the same changes to the copy as --in-place would, if they are possible.
    ///
    /// With many inputs, this option also reads outputs that an earlier run finished and verifies them at
    /// this level. Those that are damaged are written again. Because `documents` can give other outputs, a run with
    /// it writes again what was written without it, and the reverse.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) verify: Option<Verification>,

    /// How to copy blobs from one layout directory to another [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) link: Option<Linking>,

    /// Follow symbolic links in directories, also links that lead out of them
    ///
    /// Without it, links in a directory that ocify searches are skipped, and a layout may contain
    /// links only to its own files. Whoever can write to the directory can then make an output contain any
    /// file that you can read. Not possible with --in-place.
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) follow: bool,

    /// Replace an existing output: a regular file, or an image layout directory if the output is one
    #[arg(long)]
    pub(crate) force: bool,

    /// Resolve ambiguities the way `docker load` does instead of refusing
    ///
    /// ocify still verifies the bytes of every blob.
    #[arg(long)]
    pub(crate) lenient: bool,

    /// Where to store temporary files for a compressed INPUT or for standard input [default: TMPDIR, or /tmp]
    ///
    /// Recompressed layers are stored beside OUTPUT, or here if that is standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// Refuse an archive or layer that decompresses to more than N times its compressed size
    ///
    /// Up to 64 MiB is always allowed.
    #[arg(long, value_name = "N", default_value_t = 1100, value_parser = ratio)]
    pub(crate) max_ratio: u64,

    /// Refuse an archive or layer that decompresses to more than SIZE bytes
    ///
    /// SIZE can have a unit: KiB, MiB, GiB, TiB (or K, M, G, T), or KB, MB, GB, TB, which are powers of
    /// 1000. The limit also applies to standard input if it has to be stored in a temporary file,
    /// compressed or not. Unlike --max-ratio, it does not always allow 64 MiB.
    #[arg(long, value_name = "SIZE", default_value = "128GiB", value_parser = size)]
    pub(crate) max_size: u64,

    /// Refuse an archive or layer that needs more than this many MiB of memory to decompress (zstd window, xz dictionary)
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = window)]
    pub(crate) max_window: u64,

    /// Return only after the output has been synced to disk, so that it survives a power failure
    ///
    /// In-place fixes are always synced. With many inputs, the content of each output is synced before it
    /// appears under its name, with or without this option; with it, the names of all outputs are synced before the
    /// end, also of those that an earlier run finished. The files of --report, --digest-map and --metadata-file are not
    /// synced.
    #[arg(long)]
    pub(crate) sync: bool,

    /// The options for many inputs.
    #[command(flatten)]
    pub(crate) many: Many,

    /// Show every change in the text report, with its place and its values, even if no engine needs it
    ///
    /// With many inputs, the changes and findings of each are below its line. Inputs that an earlier run finished have a line
    /// too, with their findings.
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Show only errors: no report, no warnings and no progress
    ///
    /// The exit code says the rest. --progress with another mode than auto still shows progress.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Format of the report, written to standard output, or to standard error if standard output is in use
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,

    /// Write the names and digests of the output's images to FILE, as JSON with the keys that buildx uses; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,

    /// How to show progress on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub(crate) progress: ProgressMode,

    /// Number of threads, for one input or for many [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs, allow_negative_numbers = true)]
    pub(crate) jobs: Option<NonZeroUsize>,
}

impl Fix {
    /// How much a text report shows.
    pub(crate) fn detail(&self) -> Detail {
        match self.verbose {
            true => Detail::Full,
            false => Detail::Short,
        }
    }

    /// What is done about symbolic links in directories.
    pub(crate) fn links(&self) -> Links {
        match self.follow {
            true => Links::Follow,
            false => Links::Refuse,
        }
    }

    /// The input, if there is one.
    pub(crate) fn input(&self) -> &Path {
        self.inputs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Whether the input is standard input.
    pub(crate) fn is_stream(&self) -> bool {
        self.inputs.len() == 1 && is_standard(self.input())
    }

    /// Where to write: by default, standard output if the input is standard input.
    pub(crate) fn output(&self) -> Option<&Path> {
        let default = self.is_stream().then_some(Path::new(STANDARD));
        self.output.as_deref().or(default)
    }

    /// Whether the output is standard output, or would be.
    pub(crate) fn is_for_stream(&self) -> bool {
        self.output().is_some_and(is_standard)
    }

    /// How progress is shown.
    pub(crate) fn progress(&self) -> ProgressMode {
        match self.progress {
            ProgressMode::Auto if self.quiet => ProgressMode::Quiet,
            mode => mode,
        }
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

    /// Whether something other than the report goes to standard output.
    pub(crate) fn is_stdout_taken(&self) -> bool {
        self.is_to_stream() || !self.files_on_stdout().is_empty()
    }

    /// The number of threads: the requested one or the default.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn fix(args: &[&str]) -> Result<Fix, clap::Error> {
        let line = ["ocify", "fix"].iter().chain(args);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Fix(fix) => fix,
            _ => unreachable!("the line is that of fix"),
        })
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_output_is_required_and_in_place_excludes_it() {
        let what = fix(&["app.tar"])
            .unwrap()
            .contradiction(CommandName::Fix)
            .unwrap();
        assert!(
            what.contains("-o OUTPUT") && what.contains("--in-place"),
            "{what}"
        );
        for enough in ["--dry-run", "--in-place", "--recover", "-ox"] {
            let args = fix(&["app.tar", enough]).unwrap();
            assert_eq!(args.contradiction(CommandName::Fix), None, "{enough}");
        }
        assert_eq!(fix(&["-"]).unwrap().contradiction(CommandName::Fix), None);
        for wrong in ["--in-place", "--recover"] {
            let args = fix(&["-", wrong]).unwrap();
            assert!(args.contradiction(CommandName::Fix).is_some(), "{wrong}");
        }
        let error = fix(&["app.tar", "--in-place", "-o", "x"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn recovering_refuses_everything_that_it_would_ignore() {
        let mut all = Cli::command();
        all.build();
        let fix = all.find_subcommand("fix").unwrap();
        let recover = fix.get_arguments().find(|arg| arg.get_id() == "recover");
        let refused = fix.get_arg_conflicts_with(recover.unwrap());
        for arg in fix.get_arguments() {
            let used = ["inputs", "recover", "format", "progress", "quiet", "help"];
            let is_used = used.contains(&arg.get_id().as_str());
            let is_refused = refused.iter().any(|other| other.get_id() == arg.get_id());
            assert_eq!(is_used, !is_refused, "{}", arg.get_id());
        }
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
        assert!(
            sync.contradiction(CommandName::Fix)
                .unwrap()
                .starts_with("--sync")
        );
    }

    #[test]
    fn values() {
        let line = [
            "app.tar",
            "-o",
            "x",
            "--docker-platform",
            "linux/aarch64",
            "--jobs",
            "3",
        ];
        let args = fix(&line).unwrap();
        assert_eq!(
            args.docker_platform
                .as_ref()
                .map(Platform::to_string)
                .as_deref(),
            Some("linux/arm64")
        );
        assert_eq!(args.jobs().get(), 3);
        for wrong in [
            ["--jobs", "0"],
            ["--docker-platform", "arm64"],
            ["--format", "xml"],
        ] {
            let line = [&["app.tar", "-o", "x"][..], &wrong].concat();
            assert_eq!(fix(&line).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
