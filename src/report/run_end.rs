//! How a run over many inputs ended, and what all reports of such runs say in the same words.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::Wording;
use super::batch::{duration, grouped, rounded};
use super::json::Failure;
use super::text::{BOLD, bytes};
use crate::error::{Error, escape};

/// How a run over many inputs ended, besides what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunEnd {
    /// How long the run took, in seconds.
    #[serde(serialize_with = "to_the_millisecond")]
    pub seconds: f64,
    /// Which shard of the inputs it was.
    pub shard: Option<String>,
    /// Whether the run was stopped before all inputs were done.
    #[serde(rename = "interrupted")]
    pub is_interrupted: bool,
    /// What went wrong apart from all inputs, if something did.
    pub error: Option<Failure>,
}

fn to_the_millisecond<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*seconds))
}

/// One of many inputs as programs read it: the report of a single one, and what it took.
#[derive(Serialize)]
pub(super) struct ItemData<D> {
    #[serde(flatten)]
    report: D,
    r#type: &'static str,
    bytes: u64,
    seconds: f64,
}

impl<D> ItemData<D> {
    /// Of an input with this length in bytes, which took so many seconds.
    pub(super) fn new(report: D, bytes: u64, seconds: f64) -> Self {
        ItemData {
            report,
            r#type: "item",
            bytes,
            seconds: rounded(seconds),
        }
    }
}

/// The end of a run as programs read it.
#[derive(Serialize)]
pub(super) struct SummaryData<'a, O, M> {
    version: u32,
    r#type: &'static str,
    items: Items<'a>,
    others: O,
    #[serde(flatten)]
    more: M,
    #[serde(flatten)]
    end: &'a RunEnd,
}

impl<'a, O, M> SummaryData<'a, O, M> {
    /// With how many other files there were, and what only this command counts.
    pub(super) fn new(version: u32, items: Items<'a>, others: O, more: M, end: &'a RunEnd) -> Self {
        SummaryData {
            version,
            r#type: "summary",
            items,
            others,
            more,
            end,
        }
    }
}

/// The length of all inputs.
#[derive(Serialize)]
pub(super) struct Length {
    pub(super) bytes: u64,
}

/// How many inputs have ended, and how many of them how.
pub(super) struct Items<'a> {
    pub(super) total: u64,
    pub(super) named: &'a [(u64, &'static str)],
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.named.iter().map(|(number, name)| (*name, number));
        serializer.collect_map(std::iter::once(("total", &self.total)).chain(named))
    }
}

/// The length of all inputs in bytes, at the end of a summary; empty if there was nothing to read.
pub(super) fn length_text(len: u64) -> String {
    match len {
        0 => String::new(),
        len => format!("; {}", bytes(len)),
    }
}

/// How many other files there were, at the end of a summary; empty if there were none.
pub(super) fn others_text(others: u64) -> String {
    match others {
        0 => String::new(),
        1 => "; 1 other file".to_owned(),
        others => format!("; {} other files", grouped(others)),
    }
}

/// Writes how many inputs have ended in which time, and how many of them how.
pub(super) fn summary_start(
    total: u64,
    end: &RunEnd,
    named: &[(u64, &str)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let (start, rest) = summary_parts(total, end, named);
    write!(out, "{BOLD}{start}{BOLD:#}{rest}")
}

/// The same without styles: the first part, and the rest.
pub(super) fn summary_parts(total: u64, end: &RunEnd, named: &[(u64, &str)]) -> (String, String) {
    let stopped = match end.is_interrupted {
        true => "stopped after ",
        false => "",
    };
    let inputs = if total == 1 { "input" } else { "inputs" };
    let total = grouped(total);
    let time = duration(end.seconds);
    let start = format!("{stopped}{total} {inputs} in {time}");
    let parts = named.iter().filter(|(number, _)| *number > 0);
    let parts = parts.map(|(number, what)| format!("{} {what}", grouped(*number)));
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => (start, String::new()),
        false => (start, format!(": {}", parts.join(", "))),
    }
}

/// What went wrong with an input, in one line.
pub(super) fn failure_text(error: &Error, wording: &dyn Wording) -> String {
    let message = escape(&wording.error(error));
    format!("{message} [{}]", error.code().name())
}
