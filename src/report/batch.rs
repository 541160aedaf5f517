//! The report of a batch: a line for each input as it ends, and a summary. `docs/batch.schema.json`
//! is the schema of the form for programs.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::json::{Digests, Failure, Findings, Run};
pub use super::kept::{Kept, record};
pub use super::run_end::RunEnd;
use super::run_end::{Items, SummaryData, failure_text, summary_start};
pub use super::skipped::Skipped;
use super::skipped::skipped_text;
use super::text::{BOLD, DIM, Detail, RED, below_line, bytes, count, planned, what_changes};
use super::{Report, Status, Wording};
use crate::error::{Error, escape};
use crate::plan;
use crate::text::json_line;

/// The version of the schema.
pub const VERSION: u32 = 1;

/// One input of a batch that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The same as for a single input.
    pub report: Report<'a>,
    /// The length of the input.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// What was recorded of what an earlier run finished.
    pub kept: Option<Kept<'a>>,
    /// The name of the level at which this run verified what an earlier run finished, if it did.
    pub verified_again: Option<&'static str>,
}

impl Item<'_> {
    /// How many findings it has: in its plan, or in the record of an earlier run.
    fn findings(&self) -> u64 {
        let planned = self.report.plan.map(|plan| plan.findings.len() as u64);
        planned.unwrap_or_else(|| self.kept.map_or(0, |kept| kept.count()))
    }
}

/// What became of all inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many were fixed.
    pub fixed: u64,
    /// How many needed no change.
    pub unchanged: u64,
    /// How many would be fixed, on a dry run.
    pub would_fix: u64,
    /// How many an earlier run had finished.
    pub kept: u64,
    /// How many of these this run verified again.
    pub verified_again: u64,
    /// How many were skipped.
    pub skipped: Skipped,
    /// How many failed.
    pub failed: u64,
    /// How many were being worked on when the run was stopped.
    pub unfinished: u64,
    /// How many findings the plans of all inputs have, and the records of what an earlier run finished.
    pub findings: u64,
    /// How many other files and links were left unchanged.
    pub others_left: u64,
    /// How many other files and links were copied, or had been already.
    pub others_copied: u64,
    /// The length of all inputs that were read.
    pub bytes_read: u64,
    /// The length of all outputs that were written.
    pub bytes_written: u64,
    /// How the run ended.
    pub end: RunEnd,
}

impl Summary {
    /// Counts one input that has ended.
    pub fn count(&mut self, item: &Item<'_>) {
        let report = &item.report;
        self.verified_again += u64::from(item.verified_again.is_some());
        match report.status {
            Status::Fixed => self.fixed += 1,
            Status::Unchanged => self.unchanged += 1,
            Status::WouldFix => self.would_fix += 1,
            Status::Kept => self.kept += 1,
            Status::Skipped => self.skipped.count(report.error),
            Status::Failed => self.failed += 1,
            // No input of a batch ends so.
            Status::Restored => return,
        }
        self.findings += item.findings();
        if report.status != Status::Kept {
            self.bytes_read += item.bytes;
        }
    }

    /// Whether no input was found.
    pub fn is_empty(&self) -> bool {
        self.total() + self.unfinished + self.others_left + self.others_copied == 0
    }

    /// How many inputs have ended.
    pub fn total(&self) -> u64 {
        let done = self.fixed + self.unchanged + self.would_fix + self.kept;
        done + self.skipped.total() + self.failed
    }
}

/// One input as programs read it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ItemData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// What happened.
    #[serde(flatten)]
    pub run: Run<'a>,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
    /// `item`.
    pub r#type: &'static str,
    /// The length of the input.
    pub bytes: u64,
    /// How long it took, to the millisecond.
    pub seconds: f64,
    /// The level at which this run verified what an earlier run finished, if it did.
    pub verified_again: Option<&'static str>,
    /// How many findings of what an earlier run finished were too many for its record; `None` if it has none because an older
    /// version wrote it.
    pub findings_omitted: Option<u64>,
}

impl<'a> From<&Item<'a>> for ItemData<'a> {
    fn from(item: &Item<'a>) -> Self {
        let mut run = Run::from(&item.report);
        if let Some(kept) = item.kept {
            run.digests = Digests::Kept(kept.digests);
            run.findings = Findings::Kept(kept.findings);
        }
        ItemData {
            version: VERSION,
            run,
            error: Failure::of(&item.report),
            r#type: "item",
            bytes: item.bytes,
            seconds: rounded(item.seconds),
            verified_again: item.verified_again,
            findings_omitted: item.kept.map_or(Some(0), |kept| kept.findings_omitted),
        }
    }
}

#[derive(Serialize)]
struct Others {
    left: u64,
    copied: u64,
}

#[derive(Serialize)]
struct Lengths {
    bytes: Bytes,
}

#[derive(Serialize)]
struct Bytes {
    read: u64,
    written: u64,
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = Items {
            total: self.total(),
            named: &[
                (self.fixed, "fixed"),
                (self.unchanged, "unchanged"),
                (self.would_fix, "would_fix"),
                (self.kept, "kept"),
                (self.skipped.total(), "skipped"),
                (self.failed, "failed"),
                (self.unfinished, "unfinished"),
            ],
        };
        let others = Others {
            left: self.others_left,
            copied: self.others_copied,
        };
        let bytes = Bytes {
            read: self.bytes_read,
            written: self.bytes_written,
        };
        let data = SummaryData::new(VERSION, items, others, Lengths { bytes }, &self.end);
        data.serialize(serializer)
    }
}

/// The changed digests of a plan, in the form of the report.
pub fn digests(plan: &plan::Summary) -> Value {
    // Digests and names are strings, which every value can hold.
    serde_json::to_value(&plan.digests).unwrap_or_default()
}

/// Writes the line of one input for programs.
pub fn item_json(item: &Item<'_>, out: &mut dyn Write) -> io::Result<()> {
    json_line(&ItemData::from(item), out)
}

/// Writes the line of the end for programs.
pub fn summary_json(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    json_line(summary, out)
}

/// A changed digest, and the input that it is in.
#[derive(Serialize)]
struct MapLine<'a> {
    #[serde(flatten)]
    change: &'a Value,
    input: &'a str,
}

/// Writes the lines of one input for the map of digests.
pub fn map_lines(input: &str, digests: &Value, out: &mut dyn Write) -> io::Result<()> {
    let changes = digests.as_array().into_iter().flatten();
    changes
        .map(|change| MapLine { change, input })
        .try_for_each(|map_line| json_line(&map_line, out))
}

/// Milliseconds are enough.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Writes the line of one input for people, with escape sequences for styles; in full, with its changes and findings below it.
/// Only a full report has a line for what was finished before.
pub fn item_text(item: &Item<'_>, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let report = &item.report;
    let of_error = |text: fn(&Error, &dyn Wording) -> String| {
        let text = report.error.map(|error| text(error, report.wording));
        text.unwrap_or_default()
    };
    let (style, what) = match report.status {
        Status::Kept if detail == Detail::Short => return Ok(()),
        Status::Kept => (BOLD, finished_earlier(item)),
        Status::Failed => (RED, of_error(failure_text)),
        Status::Skipped => (DIM, of_error(skipped_text)),
        Status::Fixed | Status::Unchanged | Status::WouldFix | Status::Restored => {
            (BOLD, success(report))
        }
    };
    writeln!(
        out,
        "{style}{:9}{style:#} {}: {what}",
        report.status.name(),
        escape(report.input)
    )?;
    match (detail, report.plan, item.kept) {
        (Detail::Full, Some(plan), _) => {
            below_line(|out| planned(plan, report.wording, detail, out), out)
        }
        (Detail::Full, None, Some(kept)) => below_line(|out| kept.text(out), out),
        _ => Ok(()),
    }
}

fn finished_earlier(item: &Item<'_>) -> String {
    let mut parts = vec!["finished earlier".to_owned()];
    if item.verified_again.is_some() {
        parts[0] += " and verified again";
    }
    parts.extend(number_of_findings(item.findings()));
    parts.join(", ")
}

/// Nothing if it is 0.
pub(super) fn number_of_findings(number: u64) -> Option<String> {
    (number > 0).then(|| count(number, "finding", "findings"))
}

/// How many findings all inputs have, at the end of a summary, and how to see them if the lines of the inputs were short.
pub(super) fn findings_text(number: u64, wording: &dyn Wording, detail: Detail) -> String {
    let Some(findings) = number_of_findings(number) else {
        return String::new();
    };
    match wording.full_report().filter(|_| detail == Detail::Short) {
        Some(how) => format!("; {findings} ({how})"),
        None => format!("; {findings}"),
    }
}

fn success(report: &Report<'_>) -> String {
    let Some(plan) = report.plan else {
        return String::new();
    };
    let mut parts = vec![what_changes(report.status, plan)];
    if report.output.is_some() {
        let blobs = count(report.blobs.count, "blob", "blobs");
        parts.push(format!("{blobs} ({})", bytes(report.blobs.bytes)));
    }
    parts.extend(number_of_findings(plan.findings.len() as u64));
    parts.join(", ")
}

/// Writes the end for people, with escape sequences for styles. The detail is that of the lines before it.
pub fn summary_text(
    summary: &Summary,
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let [archives, links] = summary.skipped.named();
    let named = [
        (summary.fixed, "fixed"),
        (summary.would_fix, "would be fixed"),
        (summary.unchanged, "with nothing to fix"),
        (
            summary.kept.saturating_sub(summary.verified_again),
            "finished earlier",
        ),
        (
            summary.verified_again,
            "finished earlier and verified again",
        ),
        archives,
        links,
        (summary.failed, "failed"),
        (summary.unfinished, "unfinished"),
    ];
    summary_start(summary.total(), &summary.end, &named, out)?;
    let findings = findings_text(summary.findings, wording, detail);
    write!(out, "{findings}")?;
    if summary.bytes_read > 0 {
        write!(out, "; {} read", bytes(summary.bytes_read))?;
    }
    if summary.bytes_written > 0 {
        write!(out, ", {} written", bytes(summary.bytes_written))?;
    }
    let others = [
        (summary.others_copied, "copied"),
        (summary.others_left, "left unchanged"),
    ];
    for (number, what) in others.iter().filter(|(number, _)| *number > 0) {
        let files = if *number == 1 { "file" } else { "files" };
        write!(out, "; {} other {files} {what}", grouped(*number))?;
    }
    writeln!(out)
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
