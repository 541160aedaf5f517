//! The report of pushes of many inputs: a line for each input as it ends, and a summary. `docs/push-batch.schema.json` is the
//! schema of the form for programs.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{PushData, PushReport, PushStatus, Totals, VERSION, body, failed};
use crate::error::escape;
use crate::report::batch::{findings_text, number_of_findings};
use crate::report::run_end::{
    ItemData, Items, RunEnd, SummaryData, failure_text, others_text, summary_start,
};
use crate::report::skipped::{Skipped, skipped_text};
use crate::report::text::{BOLD, DIM, Detail, RED, below_line, bytes, count, what_changes};
use crate::report::{Status, Wording};
use crate::text::json_line;

/// One input that was pushed among many.
#[derive(Clone, Copy, Debug)]
pub struct PushItem<'a> {
    /// The same as for a single input.
    pub report: PushReport<'a>,
    /// The length of the input in bytes.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What became of all inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushSummary {
    /// How many were pushed.
    pub pushed: u64,
    /// How many would be pushed, on a dry run.
    pub would_push: u64,
    /// How many were skipped.
    pub skipped: Skipped,
    /// How many failed.
    pub failed: u64,
    /// How many were being pushed when the run was stopped.
    pub unfinished: u64,
    /// How many other files were found.
    pub others: u64,
    /// How many findings the plans of all inputs have.
    pub findings: u64,
    /// How many blobs and manifests were sent, and so on.
    pub totals: Totals,
    /// How the run ended.
    pub end: RunEnd,
}

impl PushSummary {
    /// Counts one input that has ended.
    pub fn count(&mut self, report: &PushReport<'_>) {
        match report.status {
            PushStatus::Pushed => self.pushed += 1,
            PushStatus::WouldPush => self.would_push += 1,
            PushStatus::Skipped => self.skipped.count(report.error),
            PushStatus::Failed => self.failed += 1,
        }
        self.findings += findings(report);
        self.totals.join(report.totals());
    }

    /// How many inputs have ended.
    pub fn total(&self) -> u64 {
        self.pushed + self.would_push + self.skipped.total() + self.failed
    }
}

/// What only pushes count.
#[derive(Serialize)]
struct Sent {
    totals: Totals,
}

impl Serialize for PushSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = Items {
            total: self.total(),
            named: &[
                (self.pushed, "pushed"),
                (self.would_push, "would_push"),
                (self.skipped.total(), "skipped"),
                (self.failed, "failed"),
                (self.unfinished, "unfinished"),
            ],
        };
        let totals = self.totals;
        let data = SummaryData::new(VERSION, items, self.others, Sent { totals }, &self.end);
        data.serialize(serializer)
    }
}

/// Writes the line of one input for programs.
///
/// # Errors
/// Those of the writer.
pub fn item_json(item: &PushItem<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = PushData::from(&item.report);
    let data = ItemData::new(report, item.bytes, item.seconds);
    json_line(&data, out)
}

/// Writes the line of the end for programs.
///
/// # Errors
/// Those of the writer.
pub fn summary_json(summary: &PushSummary, out: &mut dyn Write) -> io::Result<()> {
    json_line(summary, out)
}

/// Writes the line of one input for people, with escape sequences for styles; in full, with what was pushed and changed below it.
///
/// # Errors
/// Those of the writer.
pub fn item_text(item: &PushItem<'_>, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let report = &item.report;
    let style = match report.status {
        PushStatus::Pushed | PushStatus::WouldPush => BOLD,
        PushStatus::Skipped => DIM,
        PushStatus::Failed => RED,
    };
    let name = report.status.name();
    let input = escape(report.input);
    writeln!(
        out,
        "{style}{name:10}{style:#} {input}: {}",
        in_short(report)
    )?;
    match (detail, report.pushed) {
        (Detail::Short, _) => Ok(()),
        (Detail::Full, Some(pushed)) => below_line(|out| body(report, pushed, detail, out), out),
        (Detail::Full, None) if report.has_begun() => {
            below_line(|out| failed::blobs(report, detail, out), out)
        }
        (Detail::Full, None) => Ok(()),
    }
}

fn findings(report: &PushReport<'_>) -> u64 {
    let pushed = report.pushed.map(|pushed| &pushed.summary.findings);
    pushed.map_or(0, Vec::len) as u64
}

fn in_short(report: &PushReport<'_>) -> String {
    if let Some(pushed) = report.pushed {
        let names: Vec<String> = pushed
            .images
            .iter()
            .flat_map(|image| image.names())
            .collect();
        let mut parts = Vec::new();
        parts.push(match names.as_slice() {
            [] => count(pushed.images.len() as u64, "image", "images"),
            [name] => escape(name),
            [first, others @ ..] => format!("{} and {} more", escape(first), others.len()),
        });
        parts.push(what_changes(Status::Fixed, &pushed.summary));
        if report.status == PushStatus::Pushed {
            parts.push(report.totals().shown());
        }
        parts.extend(number_of_findings(findings(report)));
        return parts.join(", ");
    }
    let Some(error) = report.error else {
        return String::new();
    };
    match report.status {
        PushStatus::Skipped => skipped_text(error, report.wording),
        _ if report.has_begun() => {
            let failure = failure_text(error, report.wording);
            format!("{failure}; {}", failed::in_short(report))
        }
        _ => failure_text(error, report.wording),
    }
}

/// Writes the end for people, with escape sequences for styles. The detail is that of the lines before it.
///
/// # Errors
/// Those of the writer.
pub fn summary_text(
    summary: &PushSummary,
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let [archives, links] = summary.skipped.named();
    let named = [
        (summary.pushed, "pushed"),
        (summary.would_push, "would be pushed"),
        archives,
        links,
        (summary.failed, "failed"),
        (summary.unfinished, "unfinished"),
    ];
    summary_start(summary.total(), &summary.end, &named, out)?;
    let findings = findings_text(summary.findings, wording, detail);
    write!(out, "{findings}")?;
    if summary.pushed > 0 || summary.totals != Totals::default() {
        let Totals {
            sent,
            mounted,
            exists,
            ..
        } = summary.totals;
        write!(
            out,
            "; {} sent, {} mounted, {} already there",
            bytes(sent.bytes),
            bytes(mounted.bytes),
            bytes(exists.bytes)
        )?;
    }
    writeln!(out, "{}", others_text(summary.others))
}
