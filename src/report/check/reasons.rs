//! What is in the way of engines, each rule once.

use std::io::{self, Write};

use super::table::{Phase, labels};
use super::text::Layout;
use super::wrap::wrapped;
use crate::check::{Checked, Judged};
use crate::engines::{Loads, Obstacle, Reason, Verdict};
use crate::error::escape;
use crate::report::text::{BOLD, DIM};

/// One rule, and all verdicts that it is a reason of.
struct Rule<'a> {
    obstacle: Obstacle,
    found: Vec<(&'a Judged, &'a Reason)>,
    /// Whether it is in the way only of the fixed archive.
    is_after: bool,
}

/// The reasons of a verdict, unless the archive loads nevertheless.
fn of(verdict: &Verdict) -> &[Reason] {
    match verdict.loads {
        Loads::Yes => &[],
        _ => &verdict.because,
    }
}

fn rules(checked: &Checked) -> Vec<Rule<'_>> {
    let mut rules: Vec<Rule<'_>> = Vec::new();
    let before = checked.verdicts.iter();
    let before = before.map(|judged| (judged, &judged.as_it_is, false));
    let after = checked.verdicts.iter();
    let after = after.map(|judged| (judged, &judged.fixed, true));
    for (judged, verdict, is_after) in before.chain(after) {
        for reason in of(verdict) {
            let known = rules
                .iter_mut()
                .find(|rule| rule.obstacle == reason.obstacle);
            match known {
                Some(rule) if rule.is_after == is_after => rule.found.push((judged, reason)),
                Some(_) => {}
                None => rules.push(Rule {
                    obstacle: reason.obstacle,
                    found: vec![(judged, reason)],
                    is_after,
                }),
            }
        }
    }
    rules
}

/// What is said of one rule.
pub(super) struct RuleText {
    pub(super) name: &'static str,
    /// What it means.
    pub(super) meaning: &'static str,
    /// How often it is met.
    count: usize,
    /// Where.
    pub(super) place: String,
    /// What engines say.
    pub(super) messages: Vec<String>,
}

/// What is in the way in verdicts that are meant, each rule once.
pub(super) fn rule_texts(checked: &Checked, is_meant: &dyn Fn(&Judged) -> bool) -> Vec<RuleText> {
    let text = |mut rule: Rule<'_>| {
        rule.found.retain(|(judged, _)| is_meant(judged));
        let (_, first) = rule.found.first()?;
        let counts = rule.found.iter().map(|(_, reason)| reason.count);
        let count = counts.max().unwrap_or(1);
        let mut place = place(first, count);
        if rule.is_after {
            place += ", after ocify fix";
        }
        Some(RuleText {
            name: rule.obstacle.name(),
            meaning: rule.obstacle.meaning(),
            count,
            place,
            messages: messages(checked, &rule),
        })
    };
    rules(checked).into_iter().filter_map(text).collect()
}

/// Where a rule is met first, and how often besides.
fn place(reason: &Reason, count: usize) -> String {
    let place = escape(&reason.location.to_string());
    match count {
        0 | 1 => place,
        _ => format!("{place} and {} more", count - 1),
    }
}

/// The place of one reason, and what the engine says.
pub(super) fn lines_of(reason: &Reason) -> [String; 2] {
    let name = reason.obstacle.name();
    let says = says(reason);
    [
        format!("{name} ({}): {}", reason.count, place_of(reason)),
        format!("  {says} ({})", reason.evidence),
    ]
}

/// Where a reason is met first, and how often besides.
pub(super) fn place_of(reason: &Reason) -> String {
    place(reason, reason.count)
}

/// What an engine says.
pub(super) fn says(reason: &Reason) -> String {
    let says: Vec<String> = reason.says.iter().map(|says| format!("“{says}”")).collect();
    match says.is_empty() {
        true => "no error message".to_owned(),
        false => says.join(" or "),
    }
}

/// Writes each rule with its place, what it means, and what engines say.
pub(super) fn reasons(checked: &Checked, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    for rule in rule_texts(checked, &|_| true) {
        let (name, count) = (rule.name, rule.count);
        let start = format!("{name} ({count}): ").chars().count();
        let meaning = wrapped(rule.meaning, start, 2, layout.width);
        writeln!(out, "\n{BOLD}{name}{BOLD:#} ({count}): {meaning}")?;
        let place = with_short_digests(&rule.place);
        writeln!(out, "  {}", wrapped(&place, 2, 4, layout.width))?;
        for line in rule.messages {
            writeln!(out, "  {DIM}{}{DIM:#}", wrapped(&line, 2, 4, layout.width))?;
        }
    }
    Ok(())
}

/// What engines say: those with the same message and evidence together.
fn messages(checked: &Checked, rule: &Rule<'_>) -> Vec<String> {
    let mut groups: Vec<Vec<(&Judged, &Reason)>> = Vec::new();
    for (judged, reason) in &rule.found {
        let known = groups.iter_mut().find(|group| {
            let (_, first) = group[0];
            first.says == reason.says && first.evidence == reason.evidence
        });
        match known {
            Some(group) => group.push((judged, reason)),
            None => groups.push(vec![(judged, reason)]),
        }
    }
    let phase = match rule.is_after {
        true => Phase::After,
        false => Phase::Before,
    };
    let line = |group: &Vec<(&Judged, &Reason)>| {
        let labels = labels(&checked.verdicts, phase, &|judged| {
            group.iter().any(|(meant, _)| std::ptr::eq(*meant, judged))
        });
        let (_, reason) = group[0];
        let says = says(reason);
        format!("{}: {says} ({})", labels.join(", "), reason.evidence)
    };
    groups.iter().map(line).collect()
}

/// A text in which digests are cut short.
pub(super) fn with_short_digests(text: &str) -> String {
    const DIGEST: usize = 64;
    const SHOWN: usize = 12;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_hexdigit());
        let (digits, after) = from.split_at(end.unwrap_or(from.len()));
        match digits.len() {
            DIGEST => {
                out.push_str(&digits[..SHOWN]);
                out.push('…');
            }
            _ => out.push_str(digits),
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_cut_short() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(
            with_short_digests(&format!("bade blobs/sha256/{digest} x {digest}0")),
            format!("bade blobs/sha256/0123456789ab… x {digest}0")
        );
    }
}
