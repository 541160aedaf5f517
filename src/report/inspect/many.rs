//! The report of inspections of many inputs: a line for each input as it ends, and a summary.
//! `docs/inspect-batch.schema.json` is the schema of the form for programs.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::text::{contents, details};
use super::{InspectData, InspectReport, InspectStatus, VERSION};
use crate::error::escape;
use crate::report::check::Layout;
use crate::report::run_end::{
    ItemData, Items, Length, RunEnd, SummaryData, failure_text, length_text, others_text,
    summary_parts,
};
use crate::report::skipped::{Skipped, skipped_text};
use crate::report::text::{BOLD, DIM, RED, below_line};
use crate::text::json_line;

/// One input that was inspected among many.
#[derive(Clone, Copy, Debug)]
pub struct InspectItem<'a> {
    /// The same as for a single input.
    pub report: InspectReport<'a>,
    /// The length of the input in bytes.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What became of all inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspectSummary {
    /// How many were listed.
    pub listed: u64,
    /// How many were skipped.
    pub skipped: Skipped,
    /// With how many something is wrong.
    pub failed: u64,
    /// How many were being read when the run was stopped.
    pub unfinished: u64,
    /// How many other files were found.
    pub others: u64,
    /// The length of all inputs in bytes.
    pub bytes: u64,
    /// How the run ended.
    pub end: RunEnd,
}

impl InspectSummary {
    /// Counts one input that has ended, with its length in bytes.
    pub fn count(&mut self, report: &InspectReport<'_>, bytes: u64) {
        match report.status {
            InspectStatus::Listed => self.listed += 1,
            InspectStatus::Skipped => self.skipped.count(report.error),
            InspectStatus::Failed => self.failed += 1,
        }
        self.bytes += bytes;
    }

    /// How many inputs have ended.
    pub fn total(&self) -> u64 {
        self.listed + self.skipped.total() + self.failed
    }
}

impl Serialize for InspectSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = Items {
            total: self.total(),
            named: &[
                (self.listed, "listed"),
                (self.skipped.total(), "skipped"),
                (self.failed, "failed"),
                (self.unfinished, "unfinished"),
            ],
        };
        let length = Length { bytes: self.bytes };
        let data = SummaryData::new(VERSION, items, self.others, length, &self.end);
        data.serialize(serializer)
    }
}

/// Writes the line of one input for programs.
pub fn item_json(item: &InspectItem<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = InspectData::from(&item.report);
    let data = ItemData::new(report, item.bytes, item.seconds);
    json_line(&data, out)
}

/// Writes the line of the end for programs.
pub fn summary_json(summary: &InspectSummary, out: &mut dyn Write) -> io::Result<()> {
    json_line(summary, out)
}

/// Writes the line of one input for people, with escape sequences for styles; in full, with its report below it.
pub fn item_text(
    item: &InspectItem<'_>,
    in_full: Option<Layout>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = &item.report;
    let style = match report.status {
        InspectStatus::Listed => BOLD,
        InspectStatus::Skipped => DIM,
        InspectStatus::Failed => RED,
    };
    let name = report.status.name();
    let input = escape(report.input);
    let what = match (report.error, report.inspected) {
        (Some(error), _) if report.status == InspectStatus::Skipped => {
            skipped_text(error, report.wording)
        }
        (Some(error), _) => failure_text(error, report.wording),
        (None, Some(inspected)) => contents(inspected),
        (None, None) => String::new(),
    };
    writeln!(out, "{style}{name:9}{style:#} {input}: {what}")?;
    match (in_full, report.inspected) {
        (Some(layout), Some(inspected)) => below_line(
            |out| details(report, inspected, layout.below_line(), out),
            out,
        ),
        _ => Ok(()),
    }
}

/// Writes the end for people, with escape sequences for styles.
pub fn summary_text(summary: &InspectSummary, out: &mut dyn Write) -> io::Result<()> {
    let [archives, links] = summary.skipped.named();
    let named = [
        (summary.listed, "listed"),
        archives,
        links,
        (summary.failed, "failed"),
        (summary.unfinished, "unfinished"),
    ];
    let (start, mut rest) = summary_parts(summary.total(), &summary.end, &named);
    rest += &length_text(summary.bytes);
    rest += &others_text(summary.others);
    writeln!(out, "{BOLD}{start}{BOLD:#}{rest}")
}
