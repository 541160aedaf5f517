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
    let mut findings = findings.into_iter().peekable();
    if findings.peek().is_some() {
        detail.separate(out)?;
    }
    while let Some((input, one)) = findings.next() {
        // Of several findings with the same hint, only the last one shows it.
        let is_repeated = findings
            .peek()
            .is_some_and(|(_, next)| next.hint == one.hint);
        let location = one.location.as_ref().map(ToString::to_string);
        let hint = one.hint.as_ref().filter(|_| !is_repeated);
        let hint = hint.map(|hint| wording.hint(hint));
        let shown = ShownFinding {
            is_note: one.severity == Severity::Cosmetic,
            input,
            location: location.as_deref(),
            message: &one.message,
            rule: one.rule.name(),
            hint: hint.as_deref(),
        };
        finding(&shown, out)?;
    }
    Ok(())
}

/// The words of a finding.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct ShownFinding<'a> {
    /// Whether it is called a note, not a warning.
    pub(in crate::report) is_note: bool,
    /// The input that it is about, if there are several.
    pub(in crate::report) input: Option<&'a str>,
    pub(in crate::report) location: Option<&'a str>,
    pub(in crate::report) message: &'a str,
    pub(in crate::report) rule: &'a str,
    pub(in crate::report) hint: Option<&'a str>,
}

/// Writes a finding, and its hint on a second line.
pub(in crate::report) fn finding(shown: &ShownFinding<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (style, what) = match shown.is_note {
        true => (BOLD, "note"),
        false => (YELLOW, "warning"),
    };
    write!(out, "{style}{what}:{style:#} ")?;
    for subject in [shown.input, shown.location].into_iter().flatten() {
        write!(out, "{}: ", escape(subject))?;
    }
    writeln!(out, "{} [{}]", escape(shown.message), escape(shown.rule))?;
    match shown.hint {
        Some(hint) => writeln!(out, "  hint: {}", escape(hint)),
        None => Ok(()),
    }
}
