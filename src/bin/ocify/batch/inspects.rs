//! Inspections of many inputs in one run, which write nothing.

use std::num::NonZeroUsize;

use ocify::{
    Error, Input, Inspected, Observer, command::batch::RunEnd, command::inspect,
    command::inspect::InspectItem, command::inspect::InspectReport,
    command::inspect::InspectSummary, command::path_text,
};

use super::queue::Task;
use super::reading::Ended;
use super::session::{Counts, Session, SessionEnd};
use super::shard::Shard;
use crate::args::{Format, Inspect};
use crate::inspect::operation;
use crate::styles::styled_memory;
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
    let done = session.all(&work, &|task, ended, seconds| {
        report(&session, task, &ended, seconds, dry_run.format);
    });
    session.finish(done.err(), |summary| {
        // Writing to memory cannot fail.
        match dry_run.format {
            Format::Json => plain(&|out| inspect::summary_json(summary, out)),
            Format::Text => {
                let mut line = styled_memory(is_on_terminal);
                let _ = inspect::summary_text(summary, &mut line);
                line.into_inner()
            }
        }
    })
}

fn report(
    session: &Session<'_, InspectSummary>,
    task: &Task,
    ended: &Ended<Inspected>,
    seconds: f64,
    format: Format,
) {
    let input = path_text(&task.path);
    let report = match ended {
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
    let shown = match format {
        Format::Json => plain(&|out| inspect::item_json(&item, out)),
        Format::Text => {
            let mut line = styled_memory(session.overview.is_on_terminal());
            let _ = inspect::item_text(&item, &mut line);
            line.into_inner()
        }
    };
    let error: Option<&Error> = match ended {
        Ended::Skipped(_) => None,
        _ => item.report.error,
    };
    session.ended(task, &shown, error.cloned(), |summary| {
        summary.count(item.report.status, task.len);
    });
}

/// What is written without styles.
fn plain(write: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = write(&mut out);
    out
}

impl Counts for InspectSummary {
    fn total(&self) -> u64 {
        InspectSummary::total(self)
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn failed(&self) -> u64 {
        self.failed
    }

    fn unfinished(&mut self) -> &mut u64 {
        &mut self.unfinished
    }

    fn others(&mut self) -> &mut u64 {
        &mut self.others
    }

    fn end(&mut self) -> &mut RunEnd {
        &mut self.end
    }
}
