//! The last lines of a report: whether the archive loads, and the command that fixes it if one does.

use super::CheckReport;
use super::table::label_of;
use crate::check::{Checked, Judged};
use crate::engines::{Loads, Remedy};

/// What the check comes to, one statement a line. A line that begins with `fix it: ` has a command.
pub(super) fn closing(report: &CheckReport<'_>, checked: &Checked) -> Vec<String> {
    let mut lines = Vec::new();
    if checked.verdicts.is_empty() {
        let why = match checked.is_cache {
            true => "BuildKit reads its caches, and engines do not load them",
            false => "engines load images, and there is none",
        };
        lines.push(format!("no verdict: {why}"));
    } else {
        lines.extend(of_verdicts(report, checked));
    }
    if !checked.failed_on.is_empty() {
        let names = checked.failed_on.iter().map(|fail_on| fail_on.name());
        let names: Vec<&str> = names.collect();
        lines.push(format!("rejected because of {}", names.join(", ")));
    }
    lines
}

fn of_verdicts(report: &CheckReport<'_>, checked: &Checked) -> Vec<String> {
    let counted = checked.verdicts.iter().filter(|judged| judged.counts());
    let counted: Vec<&Judged> = counted.collect();
    let command = report.fix.map(|command| format!("fix it: {command}"));
    let bad = counted.iter().copied().filter(|judged| judged.is_bad());
    let (unknown, bad): (Vec<&Judged>, Vec<&Judged>) =
        bad.partition(|judged| judged.as_it_is.loads == Loads::Unknown);
    let mut lines = Vec::new();
    if !unknown.is_empty() {
        lines.push(format!("not known: what {} does", labels(&unknown)));
    }
    if bad.is_empty() {
        if unknown.len() < counted.len() {
            lines.push(good(checked, &counted));
        }
        let improves = |judged: &&Judged| judged.fixed.loads < judged.as_it_is.loads;
        // A later version of an engine may be all that is bad.
        let is_fixed = |judged: &&Judged| judged.fixed.loads.is_good() && improves(judged);
        let improved: Vec<&Judged> = checked.verdicts.iter().filter(is_fixed).collect();
        if !improved.is_empty() {
            lines.push(format!("better after ocify fix: {}", labels(&improved)));
            lines.extend(command);
        }
        return lines;
    }
    let (fixed, left): (Vec<&Judged>, Vec<&Judged>) = bad
        .into_iter()
        .partition(|judged| judged.fixed.loads.is_good());
    if !left.is_empty() {
        let mut rules: Vec<&str> = Vec::new();
        for reason in left.iter().flat_map(|judged| &judged.fixed.because) {
            if !rules.contains(&reason.obstacle.name()) {
                rules.push(reason.obstacle.name());
            }
        }
        let why = match rules.is_empty() {
            true => String::new(),
            false => format!(" ({})", rules.join(", ")),
        };
        lines.push(format!(
            "ocify fix alone does not make it load in {}{why}",
            labels(&left)
        ));
    }
    lines.extend(remedies(report, &left));
    if !fixed.is_empty() {
        if !left.is_empty() {
            lines.push(format!("ocify fix makes it load in {}", labels(&fixed)));
        }
        lines.extend(command);
    }
    lines
}

/// What makes the archive load in engines in which it does not once it is fixed without options.
fn remedies(report: &CheckReport<'_>, left: &[&Judged]) -> Vec<String> {
    let mut lines = Vec::new();
    for judged in left {
        let Some(remedy) = judged.remedy else {
            continue;
        };
        let options = report.wording.remedy(remedy).join(" ");
        if options.is_empty() {
            continue;
        }
        let label = labels(&[judged]);
        lines.push(match (remedy, report.fix) {
            (Remedy::Engine(_), Some(command)) => format!("fix it: {command} {options}"),
            _ => format!("it loads in {label} with {options}"),
        });
    }
    lines.dedup();
    lines
}

/// What is said of an archive that loads everywhere that counts.
fn good(checked: &Checked, counted: &[&Judged]) -> String {
    let is_plain = |judged: &Judged| judged.as_it_is.loads == Loads::Yes;
    let known = counted
        .iter()
        .filter(|judged| judged.as_it_is.loads != Loads::Unknown);
    let except = match known.clone().all(|judged| is_plain(judged)) {
        true => "",
        false => ", but not everywhere with all names or without a choice",
    };
    let is_asked = counted.iter().any(|judged| judged.asked.is_some());
    let where_it_loads = if is_asked && known.count() < counted.len() {
        "in the others"
    } else if is_asked {
        "in every engine that was asked for"
    } else if checked.verdicts.iter().all(is_plain) {
        "in every known engine and version"
    } else {
        "in every engine and version that is still supported"
    };
    format!("loads as it is {where_it_loads}{except}")
}

/// Names of engines, each once, with adjacent ranges of versions joined.
fn labels(judged: &[&Judged]) -> String {
    let ranges =
        judged.chunk_by(|one, other| one.reader == other.reader && one.asked == other.asked);
    let labels = ranges.filter_map(|range| {
        let (first, last) = (range.first()?, range.last()?);
        Some(label_of(first, last))
    });
    labels.collect::<Vec<_>>().join(", ")
}
