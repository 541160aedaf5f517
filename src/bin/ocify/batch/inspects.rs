//! Inspections of many inputs in one run, which write nothing.

use std::num::NonZeroUsize;

use ocify::{
    Input, Inspected, Observer, command::inspect, command::inspect::InspectItem,
    command::inspect::InspectReport, command::inspect::InspectSummary, command::path_text,
};

use super::queue::Task;
use super::reading::Ended;
use super::session::{Session, SessionEnd, counts, plain, styled};
use super::shard::Shard;
use crate::args::{Fix, Format, Inspect};
use crate::check::layout;
use crate::inspect::operation;
use crate::words::Words;

/// Lists the contents of all inputs of a shard.
pub(crate) fn inspect_all(args: &Inspect, shard: Option<Shard>) -> SessionEnd<InspectSummary> {
    let dry_run = args.dry_run();
    let session: Session<'_, InspectSummary> =
        Session::new(&dry_run, dry_run.jobs(), shard, &Words::INSPECT);
    // Each task has one thread, and those that are idle.
    let operation = operation(&dry_run, Some(NonZeroUsize::MIN));
    let work = |input: Input, observer: &dyn Observer| operation.run_observed(input, observer);
    let is_on_terminal = session.overview.is_on_terminal();
    let done = session.all(false, &work, &|task, ended, seconds| {
        report(&session, task, ended, seconds, &dry_run);
    });
    session.finish(done.err(), false, |ending| match dry_run.format {
        Format::Json => plain(&|out| inspect::summary_json(ending.summary, out)),
        Format::Text if ending.error.is_some() => Vec::new(),
        Format::Text => styled(is_on_terminal, &|out| {
            inspect::summary_text(ending.summary, out)
        }),
    })
}

fn report(
    session: &Session<'_, InspectSummary>,
    task: &Task,
    ended: Ended<Inspected>,
    seconds: f64,
    dry_run: &Fix,
) {
    let input = path_text(&task.path);
    let report = match &ended {
        Ended::Done(inspected) => InspectReport::new(&input, inspected),
        Ended::Skipped(error) => InspectReport::skipped(&input, error),
        Ended::Failed(error) => InspectReport::failed(&input, error),
        Ended::Unfinished => return,
    };
    let item = InspectItem {
        report: report.with_wording(&Words::INSPECT),
        bytes: task.len,
        seconds,
    };
    let is_on_terminal = session.overview.is_on_terminal();
    let in_full = dry_run.verbose.then(|| layout(true, is_on_terminal));
    let shown = match dry_run.format {
        Format::Json => plain(&|out| inspect::item_json(&item, out)),
        Format::Text => styled(is_on_terminal, &|out| {
            inspect::item_text(&item, in_full, out)
        }),
    };
    let error = match &ended {
        Ended::Skipped(_) => None,
        _ => item.report.error.cloned(),
    };
    if error.is_some() {
        session.failed();
    }
    session.count(&task.path, &shown, error, |summary| {
        summary.count(&item.report, task.len);
    });
}

counts!(InspectSummary);
