//! One input: the options in the library's terms, and what happened as plain data.

use std::path::Path;

use ocify::{
    Blobs, Fixed, Form, Input, Observer, Output, Preview, Result, SpoolReason, Strictness, Summary,
};

use crate::args::{Attestations, CommandName, Fix, Linking, Orphans, is_standard};
use crate::destination::{Destination, ImageKind, planned_directory};
use crate::standard;

/// What was decided about one input, and what was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) plan: Summary,
    /// The blobs that were copied or, on a dry run, verified.
    pub(crate) blobs: Blobs,
    pub(crate) is_dry_run: bool,
    /// Why standard input was kept in a temporary file, if it was.
    pub(crate) spooled: Option<SpoolReason>,
}

impl From<Fixed> for Done {
    fn from(fixed: Fixed) -> Self {
        Done {
            blobs: fixed.outcome.into(),
            is_dry_run: false,
            plan: fixed.plan.summary,
            spooled: fixed.spooled,
        }
    }
}

impl From<Preview> for Done {
    fn from(preview: Preview) -> Self {
        Done {
            plan: preview.summary,
            blobs: preview.outcome.map(Blobs::from).unwrap_or_default(),
            is_dry_run: true,
            spooled: preview.spooled,
        }
    }
}

/// Fixes one input, or only says what would be done.
pub(crate) fn fix(
    args: &Fix,
    destination: Option<&Destination>,
    observer: &dyn Observer,
) -> Result<Done> {
    let fix = options(args);
    let input = input(args)?;
    if args.dry_run {
        let preview = match planned_output(args, destination)? {
            Some(output) => fix.plan_for(input, output, observer),
            None => fix.plan_only_observed(input, form(args, destination), observer),
        };
        return Ok(preview?.into());
    }
    let output = output(args, destination)?;
    let created = match destination {
        Some(destination) => destination.create_directory(args.sync)?,
        None => None,
    };
    let result = fix.run_observed(input, output, observer);
    if let (Err(_), Some(created)) = (&result, created) {
        created.remove_if_empty();
    }
    Ok(result?.into())
}

fn input(args: &Fix) -> Result<Input> {
    match args.in_place {
        // It is opened to be written.
        true => Ok(Input::path(args.input())),
        false => open(args.input()),
    }
}

/// Opens an input, which may be standard input.
pub(crate) fn open(input: &Path) -> Result<Input> {
    match is_standard(input) {
        true => Input::from_file(standard::input()?, standard::INPUT),
        false => Input::open(input),
    }
}

/// Where to write.
pub(crate) fn output(args: &Fix, destination: Option<&Destination>) -> Result<Output<'static>> {
    match destination {
        Some(destination) => Ok(destination.output().overwrite(args.force)),
        None if args.in_place => Ok(Output::in_place()),
        None => Output::from_file(standard::output()?, standard::OUTPUT),
    }
}

/// Where a dry run would write; `None` if the output has no name, or goes into a directory that does not exist
/// yet.
///
/// # Errors
/// The directory could not be created.
pub(crate) fn planned_output(
    args: &Fix,
    destination: Option<&Destination>,
) -> Result<Option<Output<'static>>> {
    let Some(destination) = destination else {
        return Ok(None);
    };
    if let Some(directory) = destination.directory()
        && !planned_directory(directory, CommandName::Fix)?
    {
        return Ok(None);
    }
    Ok(Some(destination.output().overwrite(args.force)))
}

/// The form of what would be written.
pub(crate) fn form(args: &Fix, destination: Option<&Destination>) -> Form {
    match destination {
        Some(destination) => destination.output().form(),
        None if args.in_place => Form::Patch,
        None if args.is_for_stream() => Form::Stream,
        None => {
            let from = ImageKind::of_input(args.input());
            args.output_kind().unwrap_or(from).form()
        }
    }
}

/// The fix that the command line describes.
pub(crate) fn options(args: &Fix) -> ocify::Fix {
    let mut fix = ocify::Fix::new()
        .drop_attestations(args.attestations == Some(Attestations::Drop))
        .drop_orphans(args.orphans == Orphans::Drop)
        .unwrap(args.unwrap)
        .missing(args.missing.policy())
        .media_types(args.family())
        .preserve_digests(args.preserve_digests)
        .gzip_members(args.members())
        .link(args.link.unwrap_or(Linking::Auto).link())
        .sync(args.sync)
        .follow_links(args.follow)
        .limits(args.limits());
    if let Some(jobs) = args.jobs {
        fix = fix.jobs(jobs);
    }
    if args.lenient {
        fix = fix.strictness(Strictness::Lenient);
    }
    if let Some(platform) = &args.docker_platform {
        fix = fix.docker_platform(platform.clone());
    }
    if let Some(compression) = args.compression() {
        fix = fix.compression(compression);
    }
    if let Some(age) = args.orphans_older_than {
        fix = fix.orphans_older_than(age);
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
    for platform in &args.platform {
        fix = fix.platform(platform.clone());
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
