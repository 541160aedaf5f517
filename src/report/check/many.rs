//! The report of checks of many inputs: a line for each input as it ends, and a summary.
//! `docs/check-batch.schema.json` is the schema of the form for programs.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::table::word;
use super::text::{Layout, below};
use super::{CheckData, CheckReport, CheckStatus, VERSION};
use crate::check::{Checked, FailOn, Judged};
use crate::engines::{Loads, Obstacle};
use crate::error::escape;
use crate::report::run_end::{
    ItemData, Items, Length, RunEnd, SummaryData, failure_text, length_text, others_text,
    summary_parts,
};
use crate::report::skipped::{Skipped, skipped_text};
use crate::report::text::{BOLD, DIM, RED, YELLOW, below_line, count};
use crate::text::json_line;

/// One input that was checked among many.
#[derive(Clone, Copy, Debug)]
pub struct CheckItem<'a> {
    /// The same as for a single input.
    pub report: CheckReport<'a>,
    /// The length of the input in bytes.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What became of all inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckSummary {
    /// How many load everywhere that counts.
    pub passed: u64,
    /// How many do not.
    pub rejected: u64,
    /// How many were skipped.
    pub skipped: Skipped,
    /// How many could not be checked.
    pub failed: u64,
    /// How many were being checked when the run was stopped.
    pub unfinished: u64,
    /// How many other files were found.
    pub others: u64,
    /// The length of all inputs in bytes.
    pub bytes: u64,
    /// How the run ended.
    pub end: RunEnd,
}

impl CheckSummary {
    /// Counts one input that has ended, with its length in bytes.
    pub fn count(&mut self, report: &CheckReport<'_>, bytes: u64) {
        match report.status {
            CheckStatus::Passed => self.passed += 1,
            CheckStatus::Rejected => self.rejected += 1,
            CheckStatus::Skipped => self.skipped.count(report.error),
            CheckStatus::Failed => self.failed += 1,
        }
        self.bytes += bytes;
    }

    /// How many inputs have ended.
    pub fn total(&self) -> u64 {
        self.passed + self.rejected + self.skipped.total() + self.failed
    }
}

impl Serialize for CheckSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = Items {
            total: self.total(),
            named: &[
                (self.passed, "passed"),
                (self.rejected, "rejected"),
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
pub fn item_json(item: &CheckItem<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = CheckData::from(&item.report);
    let data = ItemData::new(report, item.bytes, item.seconds);
    json_line(&data, out)
}

/// Writes the line of the end for programs.
pub fn summary_json(summary: &CheckSummary, out: &mut dyn Write) -> io::Result<()> {
    json_line(summary, out)
}

/// Writes the line of one input for people, with escape sequences for styles; in full, with its report below it.
pub fn item_text(
    item: &CheckItem<'_>,
    in_full: Option<Layout>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = &item.report;
    let style = match report.status {
        CheckStatus::Passed => BOLD,
        CheckStatus::Rejected => YELLOW,
        CheckStatus::Skipped => DIM,
        CheckStatus::Failed => RED,
    };
    let name = report.status.name();
    let input = escape(report.input);
    writeln!(
        out,
        "{style}{name:9}{style:#} {input}: {}",
        in_short(report)
    )?;
    match in_full {
        Some(layout) => below_line(|out| below(report, layout.below_line(), out), out),
        None => Ok(()),
    }
}

/// The result of a check in one line, without the input.
pub(super) fn in_short(report: &CheckReport<'_>) -> String {
    match (report.checked, report.error) {
        (Some(checked), _) => of_checked(checked),
        (None, Some(error)) if report.status == CheckStatus::Skipped => {
            skipped_text(error, report.wording)
        }
        (None, Some(error)) => failure_text(error, report.wording),
        (None, None) => String::new(),
    }
}

/// The worst verdict, what is in the way first, and in how many engines.
fn of_checked(checked: &Checked) -> String {
    let counted: Vec<&Judged> = checked
        .verdicts
        .iter()
        .filter(|judged| judged.counts())
        .collect();
    if checked.verdicts.is_empty() {
        return match checked.is_cache {
            true => "a BuildKit cache, which has no verdict".to_owned(),
            false => "no image, so no verdict".to_owned(),
        };
    }
    // An engine has several readers.
    let engine = |judged: &Judged| match judged.asked {
        Some(asked) => asked.to_string(),
        None => judged.reader.engine().to_owned(),
    };
    let engines = |of: &dyn Fn(&Judged) -> bool| -> u64 {
        let those = counted.iter().filter(|judged| of(judged));
        let distinct: BTreeSet<String> = those.map(|judged| engine(judged)).collect();
        distinct.len() as u64
    };
    let all = engines(&|_| true);
    let worst = counted.iter().map(|judged| judged.as_it_is.loads).max();
    let worst = worst.unwrap_or(Loads::Yes);
    let mut text = match worst {
        Loads::Yes => match all {
            1 => "loads".to_owned(),
            _ => format!("loads in all {}", count(all, "engine", "engines")),
        },
        worst if all == 1 => word(worst).to_owned(),
        worst => {
            let number = engines(&|judged| judged.as_it_is.loads == worst);
            format!(
                "{} in {number} of {}",
                word(worst),
                count(all, "engine", "engines")
            )
        }
    };
    if let Some(rule) = first_rule(&counted, worst) {
        text += &format!(" ({})", rule.name());
    }
    let bad: Vec<_> = counted.iter().filter(|judged| judged.is_bad()).collect();
    if !bad.is_empty() && bad.iter().all(|judged| judged.fixed.loads.is_good()) {
        text += ", loads after ocify fix";
    }
    if !checked.failed_on.is_empty() {
        let names = checked.failed_on.iter().copied().map(FailOn::name);
        let names: Vec<&str> = names.collect();
        text += &format!(", rejected because of {}", names.join(", "));
    }
    text
}

fn first_rule(counted: &[&Judged], worst: Loads) -> Option<Obstacle> {
    let mut worst = counted
        .iter()
        .filter(|judged| judged.as_it_is.loads == worst && worst != Loads::Yes);
    let reason = worst.find_map(|judged| judged.as_it_is.because.first())?;
    Some(reason.obstacle)
}

/// Writes the end for people, with escape sequences for styles.
pub fn summary_text(summary: &CheckSummary, out: &mut dyn Write) -> io::Result<()> {
    let (start, rest) = summary_line(summary);
    writeln!(out, "{BOLD}{start}{BOLD:#}{rest}")
}

/// The line of the end without styles: the first part, and the rest.
pub(super) fn summary_line(summary: &CheckSummary) -> (String, String) {
    let [archives, links] = summary.skipped.named();
    let named = [
        (summary.passed, "passed"),
        (summary.rejected, "rejected"),
        archives,
        links,
        (summary.failed, "failed"),
        (summary.unfinished, "unfinished"),
    ];
    let (start, mut rest) = summary_parts(summary.total(), &summary.end, &named);
    rest += &length_text(summary.bytes);
    rest += &others_text(summary.others);
    (start, rest)
}
