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

/// Writes each rule with its place, what it means, and what engines say.
pub(super) fn reasons(checked: &Checked, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    for rule in rules(checked) {
        let counts = rule.found.iter().map(|(_, reason)| reason.count);
        let count = counts.max().unwrap_or(1);
        let name = rule.obstacle.name();
        let start = format!("{name} ({count}): ").chars().count();
        let meaning = wrapped(rule.obstacle.meaning(), start, 2, layout.width);
        writeln!(out, "\n{BOLD}{name}{BOLD:#} ({count}): {meaning}")?;
        if let Some((_, reason)) = rule.found.first() {
            let mut place = escape(&reason.location.to_string());
            if count > 1 {
                place += &format!(" and {} more", count - 1);
            }
            if rule.is_after {
                place += ", after ocify fix";
            }
            writeln!(out, "  {}", wrapped(&place, 2, 4, layout.width))?;
        }
        for line in messages(checked, &rule) {
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
        let says: Vec<String> = reason.says.iter().map(|says| format!("“{says}”")).collect();
        let says = match says.is_empty() {
            true => "no error message".to_owned(),
            false => says.join(" or "),
        };
        format!("{}: {says} ({})", labels.join(", "), reason.evidence)
    };
    groups.iter().map(line).collect()
}
