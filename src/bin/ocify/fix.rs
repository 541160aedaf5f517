//! The stages for one input, in order.

use std::collections::BTreeMap;
use std::path::Path;

use ocify::apply::{ApplyOptions, RecompressOptions, Target, Verify, apply, recompress};
use ocify::error::{Error, Result};
use ocify::graph::resolve;
use ocify::plan::{Plan, PlanOptions};
use ocify::progress::Progress;
use ocify::read::{ScanOptions, Source, SpoolOptions, scan};
use ocify::report::Blobs;
use ocify::threads::Spare;

use crate::args::{Attestations, Fix};
use crate::metadata;

/// What was decided about one input, and what was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) plan: Plan,
    /// The blobs that were copied; `None` for a dry run.
    pub(crate) blobs: Option<Blobs>,
}

/// What one input's work has around it: itself alone, or the others of a batch.
pub(crate) struct Around<'a> {
    /// Shows the progress of a stage by this name.
    pub(crate) stage: &'a (dyn Fn(&'static str) -> Box<dyn Progress + 'a> + 'a),
    /// Idle threads that may help.
    pub(crate) spare: Option<&'a Spare>,
}

/// Fixes one input; without an output, only decides.
pub(crate) fn fix(
    input: &Path,
    output: Option<&Path>,
    args: &Fix,
    around: &Around<'_>,
) -> Result<Done> {
    let source = Source::open(input)?;
    // Everything that can refuse an output does so before the input is read.
    let target = match output {
        Some(output) if !args.dry_run => Some(Target::prepare(&source, output, args.force)?),
        _ => None,
    };
    let mut source = decompressed(source, args, around)?;
    let mut inventory = scan(
        &source,
        ScanOptions {
            lenient: args.lenient,
        },
    )?;
    let graph = resolve(&mut inventory, &source, args.lenient)?;
    let mut options = PlanOptions {
        platform: args.platform.clone(),
        host_architecture: host_architecture().map(str::to_owned),
        drop_attestations: args.attestations == Attestations::Drop,
        images: args.image.clone(),
        missing: args.missing.policy(),
        names: args.name.clone(),
        renames: args.rename.clone(),
        compression: args.compression(),
        avoid: args.avoided(),
        layers: BTreeMap::new(),
    };
    let mut plan = ocify::plan(&graph, &inventory, &options)?;
    let Some(target) = target else {
        return Ok(Done { plan, blobs: None });
    };
    if !plan.transcodes.is_empty() {
        let work = RecompressOptions {
            level: args.compression_level,
            members: args.members(),
            jobs: args.jobs(),
            spare: around.spare,
            max_ratio: args.max_ratio,
            directory: target.parent(),
        };
        let progress = (around.stage)("compressing");
        options.layers = recompress(&plan.transcodes, &mut source, work, &*progress)?;
        plan = ocify::plan(&graph, &inventory, &options)?;
    }
    let options = ApplyOptions {
        force: args.force,
        sync: args.sync,
        jobs: args.jobs().get(),
        spare: around.spare,
        verify: args.verify.verify(),
    };
    let outcome = apply(
        &plan,
        &source,
        target,
        &options,
        &*(around.stage)("writing"),
    )?;
    if let Some(path) = &args.metadata_file {
        metadata::write(path, &plan).map_err(|error| {
            Error::io("write metadata file", path, error).with_hint("the output itself is complete")
        })?;
    }
    let blobs = Blobs {
        count: outcome.blob_count,
        bytes: outcome.blob_bytes,
        are_all_verified: args.verify.verify() == Verify::Full,
    };
    Ok(Done {
        plan,
        blobs: Some(blobs),
    })
}

/// The source itself, or the archive that it is compressed from.
fn decompressed(source: Source, args: &Fix, around: &Around<'_>) -> Result<Source> {
    let Some(content) = source.outer_compression()? else {
        return Ok(source);
    };
    let default;
    let directory = match &args.spool_dir {
        Some(directory) => directory,
        None => {
            default = std::env::temp_dir();
            &default
        }
    };
    let options = SpoolOptions {
        directory,
        max_ratio: args.max_ratio,
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
