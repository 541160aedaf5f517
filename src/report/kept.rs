//! What is recorded of a finished output, so that the report of a later run can repeat it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::text::{ShownFinding, finding};
use super::{Wording, batch, json};
use crate::plan;

/// How many bytes of JSON are recorded of the findings of one output.
const MAX_FINDINGS: usize = 16 << 10;

const DIGESTS: &str = "digests";
const FINDINGS: &str = "findings";
const OMITTED: &str = "findings_omitted";

/// What reports repeat of an output that an earlier run finished.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The digests that it changed.
    pub digests: &'a Value,
    /// The first findings, in the form of the report.
    pub findings: &'a [Value],
    /// How many more there were; `None` if it was not recorded which findings there were.
    pub findings_omitted: Option<u64>,
}

/// What has to be recorded of a finished output: a value that [`Kept::of`] reads. Its length is bounded except for the digests.
pub fn record(plan: &plan::Summary, wording: &dyn Wording) -> Value {
    let all = json::findings(&plan.findings, Some(&plan.places), wording);
    let mut len = 0;
    let mut findings = Vec::new();
    for finding in &all {
        // Findings contain only texts and numbers, which every value can hold.
        let finding = serde_json::to_value(finding).unwrap_or_default();
        len += finding.to_string().len();
        if len > MAX_FINDINGS {
            break;
        }
        findings.push(finding);
    }
    let omitted = all.len() - findings.len();
    json!({DIGESTS: batch::digests(plan), FINDINGS: findings, OMITTED: omitted})
}

impl<'a> Kept<'a> {
    /// Reads what was recorded. Older versions of ocify recorded only the digests.
    pub fn of(record: &'a Value) -> Self {
        let findings = record.get(FINDINGS).and_then(Value::as_array);
        Kept {
            digests: record.get(DIGESTS).unwrap_or(record),
            findings: findings.map_or(&[], Vec::as_slice),
            findings_omitted: record.get(OMITTED).and_then(Value::as_u64),
        }
    }

    /// How many findings there were.
    pub(super) fn count(&self) -> u64 {
        self.findings.len() as u64 + self.findings_omitted.unwrap_or(0)
    }

    /// Writes the findings as the run that finished the output did.
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for recorded in self.findings {
            let text = |name: &str| recorded.get(name).and_then(Value::as_str);
            let shown = ShownFinding {
                is_note: text("severity") == Some(plan::Severity::Cosmetic.name()),
                input: None,
                location: text("location"),
                message: text("message").unwrap_or_default(),
                rule: text("rule").unwrap_or_default(),
                hint: text("hint"),
            };
            finding(&shown, out)?;
        }
        match self.findings_omitted {
            None | Some(0) => Ok(()),
            Some(more) => {
                let findings = super::text::count(more, "more finding", "more findings");
                writeln!(out, "and {findings}")
            }
        }
    }
}

/// Findings of a plan, or those that were recorded.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Findings<'a> {
    /// Those of a plan.
    Planned(Vec<json::Finding<'a>>),
    /// In a batch: those that were recorded of the output that an earlier run finished.
    Kept(&'a [Value]),
}

#[cfg(test)]
mod tests {
    use super::super::{Neutral, samples};
    use super::*;
    use crate::plan::Summary;

    #[test]
    fn a_record_repeats_the_report() {
        let plan = samples::full();
        let record = record(&plan, &Neutral);
        let kept = Kept::of(&record);
        let expected = json::findings(&plan.findings, Some(&plan.places), &Neutral);
        assert_eq!(json!(kept.findings), json!(expected));
        assert_eq!(*kept.digests, batch::digests(&plan));
        assert_eq!((kept.findings_omitted, kept.count()), (Some(0), 1));
    }

    #[test]
    fn older_records_have_only_digests() {
        let record = batch::digests(&samples::full());
        let kept = Kept::of(&record);
        assert_eq!(*kept.digests, record);
        assert_eq!((kept.findings_omitted, kept.count()), (None, 0));
        // A copy of a file has nothing.
        assert_eq!(Kept::of(&Value::Null).count(), 0);
    }

    #[test]
    fn the_length_of_a_record_is_bounded() {
        let mut plan = samples::full();
        plan.findings = vec![plan.findings[0].clone(); 1000];
        let record = record(&plan, &Neutral);
        let kept = Kept::of(&record);
        let of_one = json!(kept.findings[0]).to_string().len();
        assert_eq!(kept.findings.len(), MAX_FINDINGS / of_one);
        assert_eq!(kept.count(), 1000);
        let mut shown = Vec::new();
        kept.text(&mut shown).unwrap();
        let more = format!("and {} more findings\n", 1000 - kept.findings.len());
        assert!(samples::without_styles(shown).ends_with(&more));
        plan.findings.truncate(1);
        plan.findings[0].message = "x".repeat(MAX_FINDINGS);
        let long = super::record(&plan, &Neutral);
        assert_eq!(Kept::of(&long).findings_omitted, Some(1));
        let none = super::record(&Summary::default(), &Neutral);
        assert_eq!(Kept::of(&none).findings_omitted, Some(0));
    }
}
