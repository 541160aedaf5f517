//! What makes a check fail.

use std::fmt;
use std::str::FromStr;

use crate::check::Checked;
use crate::engines::{Loads, Obstacle, Verdict};
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{Severity, Summary};

/// Something that makes a check fail: a verdict, a rule, or a severity of changes and findings. Its text form is the
/// word in reports, such as `untagged`, `layer-type` or `warns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailOn(&'static str);

/// The verdicts that can make a check fail.
const VERDICTS: [Loads; 5] = [
    Loads::Untagged,
    Loads::Choose,
    Loads::Partly,
    Loads::No,
    Loads::Unknown,
];

const SEVERITIES: [Severity; 3] = [Severity::Breaks, Severity::Warns, Severity::Cosmetic];

impl FailOn {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Whether it is true of an archive. Only verdicts that [count](crate::check::Judged::counts) matter.
    pub fn applies_to(self, checked: &Checked) -> bool {
        let counted = checked.verdicts.iter().filter(|judged| judged.counts());
        let verdicts: Vec<&Verdict> = counted.map(|judged| &judged.as_it_is).collect();
        let mut changes = checked.summary.changes.iter();
        self.remains(&checked.summary, &verdicts)
            || changes.any(|change| self.is(change.rule.name()) || self.is(change.severity.name()))
    }

    /// Whether it is true of an archive with these verdicts that nothing has to be changed in.
    pub(super) fn remains(self, summary: &Summary, verdicts: &[&Verdict]) -> bool {
        let is_verdict = |verdict: &&Verdict| {
            let mut because = verdict.because.iter();
            self.is(verdict.loads.name()) || because.any(|reason| self.is(reason.obstacle.name()))
        };
        let mut findings = summary.findings.iter();
        verdicts.iter().any(is_verdict)
            || findings
                .any(|finding| self.is(finding.rule.name()) || self.is(finding.severity.name()))
    }

    /// Whether it is this rule by name, and not by its severity.
    pub(super) fn names(self, rule: FindingRule) -> bool {
        self.is(rule.name())
    }

    fn is(self, name: &str) -> bool {
        name == self.0
    }
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why a text does not name anything that can make a check fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseFailOnError;

impl fmt::Display for ParseFailOnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdicts = VERDICTS.map(Loads::name).join(", ");
        let severities = SEVERITIES.map(Severity::name).join(", ");
        write!(
            f,
            "expected a verdict ({verdicts}), a severity ({severities}) or a rule, such as layer-type"
        )
    }
}

impl std::error::Error for ParseFailOnError {}

impl FromStr for FailOn {
    type Err = ParseFailOnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let verdicts = VERDICTS.iter().map(|loads| loads.name());
        let severities = SEVERITIES.iter().map(|severity| severity.name());
        let obstacles = Obstacle::ALL.iter().map(|obstacle| obstacle.name());
        let changes = Rule::ALL.iter().map(|rule| rule.name());
        let findings = FindingRule::ALL.iter().map(|rule| rule.name());
        let rules = obstacles.chain(changes).chain(findings);
        let mut names = verdicts.chain(severities).chain(rules);
        let name = names.find(|name| *name == text);
        name.map(FailOn).ok_or(ParseFailOnError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_report_can_be_named() {
        for name in [
            "untagged",
            "choose",
            "warns",
            "layer-type",
            "outer-zstd",
            "archive-form",
            "unnamed-image",
        ] {
            assert_eq!(name.parse::<FailOn>().unwrap().to_string(), name);
        }
        for name in ["", "yes", "Layer-Type", "docker"] {
            assert_eq!(name.parse::<FailOn>(), Err(ParseFailOnError), "{name}");
        }
    }

    /// A verdict, a severity and a rule never share a name.
    #[test]
    fn names_are_unambiguous() {
        let words = VERDICTS.map(Loads::name).into_iter();
        let words = words.chain(SEVERITIES.map(Severity::name));
        let rules = |name: &str| {
            Obstacle::ALL.iter().any(|rule| rule.name() == name)
                || Rule::ALL.iter().any(|rule| rule.name() == name)
                || FindingRule::ALL.iter().any(|rule| rule.name() == name)
        };
        for word in words {
            assert!(!rules(word), "{word}");
        }
    }
}
