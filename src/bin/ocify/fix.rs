//! The stages for one input, in order.

use ocify::apply::{
    ApplyOptions, Confirm, Outcome, Output, RecompressOptions, Target, Verify, apply,
    apply_patched, patch, recompress,
};
use ocify::error::{Code, Result};
use ocify::graph::resolve;
use ocify::input::{Source, SpoolOptions, scan};
use ocify::inventory::Strictness;
use ocify::plan::{Form, NewLayers, Plan, PlanOptions, Summary};
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
    pub(crate) plan: Summary,
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

/// Where the output goes, or would go on a dry run.
pub(crate) fn output(args: &Fix) -> Result<Output<'static>> {
    Ok(match args.output() {
        // What would be written is not.
        None => Output::archive(""),
        Some(_) if args.is_for_stream() && args.dry_run => Output::stream(std::io::sink()),
        Some(_) if args.is_for_stream() => {
            Output::open_file(standard::output()?, standard::OUTPUT)?
        }
        Some(path) => Output::path(path).overwrite(args.force),
    })
}

/// The output, checked, and its form; nowhere on a dry run.
pub(crate) fn target(source: &Source, args: &Fix) -> Result<(Option<Target<'static>>, Form)> {
    let output = output(args)?;
    if args.dry_run {
        return Ok((None, output.form()));
    }
    let target = Target::prepare(output, source)?;
    let form = target.form();
    Ok((Some(target), form))
}

/// All stages for a source that can be read as often as needed.
pub(crate) fn fix_source(
    mut source: Source,
    (target, form): (Option<Target<'_>>, Form),
    args: &Fix,
    around: &Around<'_>,
) -> Result<Done> {
    let inventory = scan(&source, strictness(args))?;
    let graph = resolve(inventory, &source, strictness(args))?;
    let options = plan_options(args);
    let draft = |form: Form| ocify::plan(&graph, &options, form, host_architecture());
    if is_patched(&source, form, args) {
        let draft = draft(Form::Patch)?;
        match patch(&draft, &source) {
            Ok(patch) => {
                let plan = draft.complete(&NewLayers::default())?;
                let Some(target) = target else {
                    return Ok(Done::planned(plan.summary));
                };
                let progress = (around.stage)("writing");
                let options = apply_options(args, around);
                let outcome = apply_patched(&patch, &source, &target, &options, &*progress)?;
                return Ok(Done::written(plan, outcome, args));
            }
            // Whether it can be patched depends on the input alone, and so does what is written.
            Err(error) if error.code() == Code::InPlaceRefused => {}
            Err(error) => return Err(error),
        }
    }
    let draft = draft(form)?;
    let Some(target) = target else {
        return Ok(Done::planned(draft.into_summary()));
    };
    let mut layers = NewLayers::default();
    if !draft.transcodes().is_empty() {
        let default = args.spool_directory();
        let directory = match form {
            Form::Stream => &default,
            _ => target.parent(),
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
        layers = recompress(draft.transcodes(), &mut source, work, &*progress)?;
    }
    let plan = draft.complete(&layers)?;
    let progress = (around.stage)("writing");
    let options = apply_options(args, around);
    let outcome = apply(&plan, &source, target, &options, &*progress)?;
    Ok(Done::written(plan, outcome, args))
}

impl Done {
    /// A dry run.
    pub(crate) fn planned(summary: Summary) -> Done {
        Done {
            plan: summary,
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
            ..Done::planned(plan.summary)
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
        sync: args.sync,
        jobs: args.jobs(),
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
        drop_attestations: args.attestations == Attestations::Drop,
        images: args.image.clone(),
        missing: args.missing.policy(),
        names: args.name.clone(),
        renames: args.rename.clone(),
        family: args.family(),
        compression: args.compression(),
        avoid: args.avoided(),
    }
}

/// Whether the output may be the input with as little rewritten as can be. Blobs that are not verified
/// need not be looked at, so that nothing but the system has to copy them.
fn is_patched(source: &Source, form: Form, args: &Fix) -> bool {
    args.verify() == Verify::Documents && form == Form::default() && !source.is_layout()
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
pub(crate) fn host_architecture() -> Option<&'static str> {
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
