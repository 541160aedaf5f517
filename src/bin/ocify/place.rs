//! Fixing a file in place, and bringing it back after a fix that did not end.

use std::io::{self, Write};
use std::path::Path;

use ocify::apply::{ApplyOptions, apply_in_place, patch};
use ocify::error::{Code, Error, Result, show_path};
use ocify::graph::resolve;
use ocify::journal::{Recovery, recover};
use ocify::plan::PlanOptions;
use ocify::read::{ScanOptions, Source, scan};

use crate::args::Fix;
use crate::fix::{self, Done};
use crate::metadata;
use crate::progress::Shown;

/// Fixes one archive in its own file; a dry run only decides.
pub(crate) fn fix(input: &Path, args: &Fix) -> Result<Done> {
    restore(input)?;
    let source = Source::open_in_place(input)?;
    if let Some(content) = source.outer_compression()? {
        return Err(Error::new(
            Code::InPlaceRefused,
            format!(
                "{} cannot be fixed in place: it is compressed with {}",
                show_path(input),
                content.name()
            ),
        )
        .with_hint("-o OUTPUT writes a new archive"));
    }
    let lenient = args.lenient;
    let mut inventory = scan(&source, ScanOptions { lenient })?;
    let graph = resolve(&mut inventory, &source, lenient)?;
    let options = PlanOptions {
        keep_places: true,
        ..fix::plan_options(args)
    };
    let plan = ocify::plan(&graph, &inventory, &options)?;
    let patch = patch(&plan, &inventory, &source)?;
    if args.dry_run {
        return Ok(Done { plan, blobs: None });
    }
    let options = ApplyOptions {
        force: false,
        sync: true,
        jobs: args.jobs().get(),
        verify: args.verify(),
    };
    let progress = Shown::new(args.progress, "verifying");
    let outcome = apply_in_place(&patch, &plan, &source, &options, &progress)?;
    if let Some(path) = &args.metadata_file {
        metadata::write(path, &plan).map_err(|error| {
            Error::io("write metadata file", path, error).with_hint("the archive itself is fixed")
        })?;
    }
    let blobs = fix::blobs(outcome, options.verify);
    Ok(Done {
        plan,
        blobs: Some(blobs),
    })
}

/// Brings an input back to what it was, if a fix in place did not end, and says so.
pub(crate) fn restore(input: &Path) -> Result<()> {
    let what = match recover(input)? {
        Recovery::Nothing => return Ok(()),
        Recovery::Restored => "was brought back to what it was",
        Recovery::Removed => "had not been changed yet",
    };
    // What cannot be said is not worth failing for.
    let _ = writeln!(
        io::stderr(),
        "note: an in-place fix of {} did not end; the file {what}",
        show_path(input)
    );
    Ok(())
}
