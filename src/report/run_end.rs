//! How a run over many inputs ended, and what all reports of such runs say in the same words.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::Wording;
use super::batch::{duration, grouped, rounded};
use super::json::Failure;
use super::text::BOLD;
use crate::error::{Code, Error, escape};

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

/// Why an input was skipped, in one line.
pub(super) fn skipped_text(error: &Error, wording: &dyn Wording) -> String {
    let is_link = error.code() == Code::LinkEntry;
    match error.hint().filter(|_| is_link) {
        Some(hint) => format!("a symbolic link; {}", escape(&wording.hint(hint))),
        None if is_link => "a symbolic link".to_owned(),
        None => "not an image archive".to_owned(),
    }
}
