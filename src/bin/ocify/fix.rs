//! The stages for one input, in order.

use std::collections::BTreeMap;
use std::path::Path;

use ocify::apply::{
    ApplyOptions, Confirm, Outcome, RecompressOptions, Target, TargetKind, Verify, apply,
    apply_patched, patch, recompress,
};
use ocify::error::{Code, Result};
use ocify::graph::resolve;
use ocify::image::Compression;
use ocify::input::{Source, SpoolOptions, scan};
use ocify::inventory::Strictness;
use ocify::plan::{Plan, PlanOptions};
use ocify::progress::Progress;
use ocify::report::Blobs;
use ocify::standard;
use ocify::threads::Spare;

use crate::args::{Attestations, Fix};
use crate::place;
use crate::stream;

/// What was decided about one input, and what was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) plan: Plan,
    /// The blobs that were copied; `None` for a dry run.
    pub(crate) blobs: Option<Blobs>,
    /// Why standard input was kept in a temporary file, if it was.
    pub(crate) spooled: Option<String>,
}

/// What one input's work has around it: itself alone, or the others of a batch.
pub(crate) struct Around<'a> {
    /// Shows the progress of a stage by this name.
    pub(crate) stage: &'a (dyn Fn(&'static str) -> Box<dyn Progress + 'a> + 'a),
    /// Idle threads that may help.
    pub(crate) spare: Option<&'a Spare>,
    /// Has the last word before the output gets its name.
    pub(crate) confirm: Option<Confirm<'a>>,
}

/// Fixes one input by any way out; without an output, only decides.
pub(crate) fn fix(args: &Fix, around: &Around<'_>) -> Result<Done> {
    if args.in_place {
        return place::fix(args, around);
    }
    if args.is_stream() {
        return stream::fix(args, around);
    }
    place::restoring(args.input(), || fix_path(args, around))
}

/// Fixes a file or directory to another; one whose fix in place did not end is an error.
pub(crate) fn fix_path(args: &Fix, around: &Around<'_>) -> Result<Done> {
    let source = Source::open(args.input())?;
    // Everything that can refuse an output does so before the input is read.
    let target = target(&source, args)?;
    fix_source(decompressed(source, args, around)?, target, args, around)
}

/// Where the output goes; nowhere on a dry run.
pub(crate) fn target(source: &Source, args: &Fix) -> Result<Option<Target>> {
    let Some(output) = args.output().filter(|_| !args.dry_run) else {
        return Ok(None);
    };
    let target = match args.is_to_stream() {
        true => Target::stream(source, standard::output()?),
        false => Target::prepare(source, output, args.force),
    };
    target.map(Some)
}

/// All stages for a source that can be read as often as needed.
pub(crate) fn fix_source(
    mut source: Source,
    target: Option<Target>,
    args: &Fix,
    around: &Around<'_>,
) -> Result<Done> {
    let inventory = scan(&source, strictness(args))?;
    let graph = resolve(inventory, &source, strictness(args))?;
    let mut options = plan_options(args);
    options.keep_places = keeps_places(&source, target.as_ref(), args);
    let mut plan = ocify::plan(&graph, &options)?;
    let mut patched = None;
    if options.keep_places {
        patched = match patch(&plan, &graph.inventory, &source) {
            Ok(patch) => Some(patch),
            // Whether it can be patched depends on the input alone, and so does what is written.
            Err(error) if error.code() == Code::InPlaceRefused => {
                options.keep_places = false;
                plan = ocify::plan(&graph, &options)?;
                None
            }
            Err(error) => return Err(error),
        };
    }
    let Some(target) = target else {
        return Ok(Done::planned(plan));
    };
    if !plan.transcodes.is_empty() {
        let default;
        let directory = match target.kind() {
            TargetKind::Archive | TargetKind::Layout => target.parent(),
            TargetKind::Stream(_) => {
                default = args.spool_directory();
                &default
            }
        };
        let work = RecompressOptions {
            level: args.compression_level,
            members: args.members(),
            jobs: args.jobs(),
            spare: around.spare,
            limits: args.limits(),
            directory,
        };
        let progress = (around.stage)("compressing");
        options.layers = recompress(&plan.transcodes, &mut source, work, &*progress)?;
        plan = ocify::plan(&graph, &options)?;
    }
    let progress = (around.stage)("writing");
    let apply_options = apply_options(args, around);
    let outcome = match patched {
        Some(patch) => apply_patched(&patch, &source, &target, &apply_options, &*progress)?,
        None => apply(&plan, &source, target, &apply_options, &*progress)?,
    };
    Ok(Done::written(plan, outcome, args))
}

impl Done {
    /// A dry run.
    pub(crate) fn planned(plan: Plan) -> Done {
        Done {
            plan,
            blobs: None,
            spooled: None,
        }
    }

    /// The output is there.
    pub(crate) fn written(plan: Plan, outcome: Outcome, args: &Fix) -> Done {
        let blobs = Blobs {
            count: outcome.blob_count,
            bytes: outcome.blob_bytes,
            are_all_verified: args.verify() == Verify::Full,
        };
        Done {
            blobs: Some(blobs),
            ..Done::planned(plan)
        }
    }
}

pub(crate) fn strictness(args: &Fix) -> Strictness {
    match args.lenient {
        true => Strictness::Lenient,
        false => Strictness::Strict,
    }
}

pub(crate) fn apply_options<'a>(args: &Fix, around: &Around<'a>) -> ApplyOptions<'a> {
    ApplyOptions {
        force: args.force,
        sync: args.sync,
        jobs: args.jobs().get(),
        spare: around.spare,
        verify: args.verify(),
        link: args.link.link(),
        confirm: around.confirm,
    }
}

/// What the command line says about the plan.
pub(crate) fn plan_options(args: &Fix) -> PlanOptions {
    PlanOptions {
        platform: args.platform.clone(),
        host_architecture: host_architecture().map(str::to_owned),
        drop_attestations: args.attestations == Attestations::Drop,
        images: args.image.clone(),
        missing: args.missing.policy(),
        names: args.name.clone(),
        renames: args.rename.clone(),
        family: args.family(),
        compression: args.compression(),
        avoid: args.avoided(),
        outer_compression: args.output().and_then(outer_compression),
        layers: BTreeMap::new(),
        keep_places: false,
    }
}

/// Whether the output is to be the input with as little rewritten as can be. Blobs that are not verified
/// need not be looked at, so that nothing but the system has to copy them.
fn keeps_places(source: &Source, target: Option<&Target>, args: &Fix) -> bool {
    let is_archive = match (target, args.output()) {
        (Some(target), _) => target.is_plain_archive(),
        (None, Some(output)) => !args.is_for_stream() && Target::names_plain_archive(output),
        (None, None) => true,
    };
    args.verify() == Verify::Documents && is_archive && !source.is_layout()
}

/// What an output of that name is compressed with as a whole; a directory is not.
fn outer_compression(output: &Path) -> Option<Compression> {
    let is_directory = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let name = output.file_name().filter(|_| !is_directory)?;
    Some(Compression::of_name(name)).filter(|found| *found != Compression::Uncompressed)
}

/// The source itself, or the archive that it is compressed from.
fn decompressed(source: Source, args: &Fix, around: &Around<'_>) -> Result<Source> {
    let Some(content) = source.outer_compression()? else {
        return Ok(source);
    };
    let options = SpoolOptions {
        directory: &args.spool_directory(),
        limits: args.limits(),
    };
    source.decompress(content, options, &*(around.stage)("decompressing"))
}

/// The Go name of this machine's architecture, where Go has one.
fn host_architecture() -> Option<&'static str> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        same @ ("arm" | "riscv64" | "s390x" | "mips64") => same,
        _ => return None,
    };
    Some(name)
}
