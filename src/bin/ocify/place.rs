//! Fixing a file in place, and bringing it back after a fix that did not end.

use std::io::{self, Write};
use std::path::Path;

use ocify::apply::{apply_in_place, patch};
use ocify::error::{Code, Error, Hint, Result, show_path};
use ocify::graph::resolve;
use ocify::input::{Source, scan};
use ocify::journal::{Recovery, recover};
use ocify::plan::{Form, NewLayers};

use crate::args::Fix;
use crate::fix::{self, Around, Done};

/// Fixes one archive in its own file; a dry run only decides.
pub(crate) fn fix(args: &Fix, around: &Around<'_>) -> Result<Done> {
    let input = args.input();
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
        .with_path(input)
        .with_found(content.name())
        .with_hint(Hint::WriteElsewhere));
    }
    let strictness = fix::strictness(args);
    let inventory = scan(&source, strictness)?;
    let graph = resolve(inventory, &source, strictness)?;
    let options = fix::plan_options(args);
    let draft = ocify::plan(&graph, &options, Form::Patch, fix::host_architecture())?;
    let patch = patch(&draft, &source)?;
    if args.dry_run {
        return Ok(Done::planned(draft.into_summary()));
    }
    let plan = draft.complete(&NewLayers::default())?;
    let options = fix::apply_options(args, around);
    let progress = (around.stage)("verifying");
    let outcome = apply_in_place(&patch, &plan, &source, &options, &*progress)?;
    Ok(Done::written(plan, outcome, args))
}

/// Does something with an input, and brings it back first if a fix in place did not end.
pub(crate) fn restoring<T>(input: &Path, work: impl Fn() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.code() == Code::UnfinishedFix => {
            restore(input)?;
            work()
        }
        other => other,
    }
}

/// Brings an input back to what it was, if a fix in place did not end, and says so.
fn restore(input: &Path) -> Result<()> {
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
