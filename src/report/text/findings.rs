//! Findings in the report for people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::{BOLD, Detail, YELLOW};
use crate::error::escape;
use crate::plan::{Finding, Severity};
use crate::report::Wording;

/// The findings without those that say the same of the same place, in their order.
pub(in crate::report) fn distinct_findings<'a>(
    findings: impl IntoIterator<Item = &'a Finding>,
) -> Vec<&'a Finding> {
    let mut seen = BTreeSet::new();
    let mut findings: Vec<&Finding> = findings.into_iter().collect();
    findings.retain(|finding| {
        let location = finding.location.as_ref().map(ToString::to_string);
        seen.insert((finding.rule, location, &finding.message))
    });
    findings
}

/// Writes the findings.
pub(in crate::report) fn findings<'a>(
    findings: impl IntoIterator<Item = &'a Finding>,
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let findings = findings.into_iter().map(|finding| (None, finding));
    findings_of(findings, wording, detail, out)
}

/// The same for findings of several inputs: each with the input that it is about, unless it is about all of them.
pub(in crate::report) fn findings_of<'a>(
    findings: impl IntoIterator<Item = (Option<&'a str>, &'a Finding)>,
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (number, (input, finding)) in findings.into_iter().enumerate() {
        if number == 0 {
            detail.separate(out)?;
        }
        let (style, what) = match finding.severity {
            Severity::Breaks | Severity::Warns => (YELLOW, "warning"),
            Severity::Cosmetic => (BOLD, "note"),
        };
        write!(out, "{style}{what}:{style:#} ")?;
        if let Some(input) = input {
            write!(out, "{}: ", escape(input))?;
        }
        if let Some(location) = &finding.location {
            write!(out, "{}: ", escape(&location.to_string()))?;
        }
        writeln!(
            out,
            "{} [{}]",
            escape(&finding.message),
            finding.rule.name()
        )?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "  hint: {}", escape(&wording.hint(hint)))?;
        }
    }
    Ok(())
}
