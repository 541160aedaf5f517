//! One input: the options in the library's terms, and what happened as plain data.

use ocify::{
    Blobs, Fixed, Form, Input, Observer, Output, Preview, Result, SpoolReason, Strictness, Summary,
    Verify,
};

use crate::args::{Attestations, Fix};
use crate::standard;

/// What was decided about one input, and what was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) plan: Summary,
    /// The blobs that were copied; `None` for a dry run.
    pub(crate) blobs: Option<Blobs>,
    /// Why standard input was kept in a temporary file, if it was.
    pub(crate) spooled: Option<SpoolReason>,
}

impl From<Fixed> for Done {
    fn from(fixed: Fixed) -> Self {
        Done {
            blobs: Some(Blobs::new(
                fixed.outcome.blob_count,
                fixed.outcome.blob_bytes,
                fixed.verified == Verify::Full,
            )),
            plan: fixed.plan.summary,
            spooled: fixed.spooled,
        }
    }
}

impl From<Preview> for Done {
    fn from(preview: Preview) -> Self {
        Done {
            plan: preview.summary,
            blobs: None,
            spooled: preview.spooled,
        }
    }
}

/// Fixes one input, or only says what would be done.
pub(crate) fn fix(args: &Fix, observer: &dyn Observer) -> Result<Done> {
    let fix = options(args);
    let input = input(args)?;
    if args.dry_run {
        return Ok(fix.plan_only_observed(input, form(args), observer)?.into());
    }
    Ok(fix.run_observed(input, output(args)?, observer)?.into())
}

fn input(args: &Fix) -> Result<Input> {
    if args.is_stream() {
        return Input::from_file(standard::input()?, standard::INPUT);
    }
    match args.in_place {
        // It is opened to be written.
        true => Ok(Input::path(args.input())),
        false => Input::open(args.input()),
    }
}

fn output(args: &Fix) -> Result<Output<'static>> {
    match args.output() {
        None => Ok(Output::in_place()),
        Some(_) if args.is_for_stream() => Output::from_file(standard::output()?, standard::OUTPUT),
        Some(path) => Ok(Output::path(path).overwrite(args.force)),
    }
}

/// The form of what would be written.
pub(crate) fn form(args: &Fix) -> Form {
    match args.output() {
        None if args.in_place => Form::Patch,
        None => Form::default(),
        Some(_) if args.is_for_stream() => Form::Stream,
        Some(path) => Output::path(path).form(),
    }
}

/// The fix that the command line describes.
pub(crate) fn options(args: &Fix) -> ocify::Fix {
    let mut fix = ocify::Fix::new()
        .drop_attestations(args.attestations == Attestations::Drop)
        .missing(args.missing.policy())
        .media_types(args.family())
        .gzip_members(args.members())
        .link(args.link.link())
        .sync(args.sync)
        .limits(args.limits());
    if let Some(jobs) = args.jobs {
        fix = fix.jobs(jobs);
    }
    if args.lenient {
        fix = fix.strictness(Strictness::Lenient);
    }
    if let Some(platform) = &args.platform {
        fix = fix.platform(platform.clone());
    }
    if let Some(compression) = args.compression() {
        fix = fix.compression(compression);
    }
    if let Some(level) = args.compression_level {
        fix = fix.compression_level(level);
    }
    if let Some(verification) = args.verify {
        fix = fix.verify(verification.verify());
    }
    if let Some(directory) = &args.spool_dir {
        fix = fix.spool_directory(directory);
    }
    for engine in &args.engines {
        fix = fix.engine(*engine);
    }
    for image in &args.image {
        fix = fix.image(image.clone());
    }
    for name in &args.name {
        fix = fix.name(name.clone());
    }
    for (old, new) in &args.rename {
        fix = fix.rename(old.clone(), new.clone());
    }
    fix
}
