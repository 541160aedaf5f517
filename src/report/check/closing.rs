//! The last lines of a report: whether the archive loads, and the command that fixes it if one does.

use super::CheckReport;
use super::table::{Phase, labels};
use crate::check::{Checked, Judged};
use crate::engines::{Loads, Remedy};

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What is said.
    pub(super) text: String,
    /// The command that it ends with, which stays in one line so that it can be copied.
    pub(super) command: Option<String>,
}

impl Line {
    /// What the statement of the command with which the whole check passes begins with.
    pub(super) const FIX: &str = "fix it:";

    fn new(text: String) -> Self {
        Line {
            text,
            command: None,
        }
    }
}

/// What the check comes to.
pub(super) fn closing(report: &CheckReport<'_>, checked: &Checked) -> Vec<Line> {
    let mut lines = Vec::new();
    if checked.verdicts.is_empty() {
        let why = match checked.is_cache {
            true => "BuildKit reads its caches, and engines do not load them",
            false => "engines load images, and there is none",
        };
        lines.push(Line::new(format!("no verdict: {why}")));
    } else {
        lines.extend(verdicts(checked).into_iter().map(Line::new));
    }
    if !checked.failed_on.is_empty() {
        let names = checked.failed_on.iter().map(|fail_on| fail_on.name());
        let names: Vec<&str> = names.collect();
        let text = format!("rejected because of {}", names.join(", "));
        lines.push(Line::new(text));
    }
    lines.extend(commands(report, checked));
    lines
}

/// What the verdicts come to.
fn verdicts(checked: &Checked) -> Vec<String> {
    let mut lines = Vec::new();
    let of = |phase, is_meant: &dyn Fn(&Judged) -> bool| labels(&checked.verdicts, phase, is_meant);
    let unknown = of(Phase::Before, &|judged| is_left_unknown(judged));
    if !unknown.is_empty() {
        let does = if unknown.len() == 1 { "does" } else { "do" };
        lines.push(format!("not known: what {} {does}", unknown.join(", ")));
    }
    let counted: Vec<&Judged> = checked
        .verdicts
        .iter()
        .filter(|judged| judged.counts())
        .collect();
    if !counted.iter().any(|judged| is_known_bad(judged)) {
        if counted.iter().any(|judged| !is_left_unknown(judged)) {
            lines.push(good(checked, &counted));
        }
        let improved = of(Phase::Before, &is_improved);
        if !improved.is_empty() {
            lines.push(format!("better after ocify fix: {}", improved.join(", ")));
        }
        return lines;
    }
    let left = of(Phase::After, &is_left);
    if !left.is_empty() {
        let mut rules: Vec<&str> = Vec::new();
        let judged = checked.verdicts.iter().filter(|judged| is_left(judged));
        for reason in judged.flat_map(|judged| &judged.fixed.because) {
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
            left.join(", ")
        ));
    }
    lines
}

/// It counts and is bad because nobody knows the version.
fn is_left_unknown(judged: &Judged) -> bool {
    judged.counts() && judged.is_bad() && judged.as_it_is.loads == Loads::Unknown
}

/// It counts, and the engine is known not to load the archive.
fn is_known_bad(judged: &Judged) -> bool {
    judged.counts() && judged.is_bad() && judged.as_it_is.loads != Loads::Unknown
}

/// A fix without options makes the engine load the archive.
fn is_fixed(judged: &Judged) -> bool {
    is_known_bad(judged) && judged.fixed.loads.is_good()
}

/// A fix without options does not.
fn is_left(judged: &Judged) -> bool {
    is_known_bad(judged) && !judged.fixed.loads.is_good()
}

/// A version of an engine may be all that is bad, and not count.
fn is_improved(judged: &Judged) -> bool {
    judged.fixed.loads.is_good() && judged.fixed.loads < judged.as_it_is.loads
}

/// The command that does this.
fn command(report: &CheckReport<'_>, remedy: &Remedy) -> Option<String> {
    let options = report.wording.remedy(remedy).join(" ");
    match (report.fix, options.is_empty()) {
        (Some(fix), true) if remedy.is_empty() => Some(fix.to_owned()),
        (Some(fix), false) => Some(format!("{fix} {options}")),
        _ => None,
    }
}

/// The command after which an engine loads the archive, if one is known.
pub(super) fn command_for(report: &CheckReport<'_>, judged: &Judged) -> Option<String> {
    match judged.fixed.loads.is_good() {
        true => command(report, &Remedy::default()),
        false => command(report, judged.remedy.as_ref()?),
    }
}

/// The command with which the whole check passes, or else what each engine takes.
fn commands(report: &CheckReport<'_>, checked: &Checked) -> Vec<Line> {
    let is_improved = || checked.verdicts.iter().any(is_improved);
    if checked.passes() && !is_improved() {
        return Vec::new();
    }
    let line = |labels: Vec<String>, remedy: &Remedy| {
        let command = command(report, remedy).filter(|_| !labels.is_empty())?;
        Some(Line {
            text: format!("it loads in {} after:", labels.join(", ")),
            command: Some(command),
        })
    };
    if let Some(remedy) = &checked.remedy {
        if !remedy.needs_name {
            return Vec::from_iter(command(report, remedy).map(|command| Line {
                text: Line::FIX.to_owned(),
                command: Some(command),
            }));
        }
        let bad = labels(&checked.verdicts, Phase::Before, &is_known_bad);
        return line(bad, remedy).into_iter().collect();
    }
    let fixed = labels(&checked.verdicts, Phase::Before, &is_fixed);
    let mut lines: Vec<Line> = line(fixed, &Remedy::default()).into_iter().collect();
    let mut remedies: Vec<&Remedy> = Vec::new();
    for judged in checked.verdicts.iter().filter(|judged| is_left(judged)) {
        remedies.extend(judged.remedy.as_ref());
    }
    remedies.dedup();
    for remedy in remedies {
        let is_meant = |judged: &Judged| is_left(judged) && judged.remedy.as_ref() == Some(remedy);
        lines.extend(line(
            labels(&checked.verdicts, Phase::After, &is_meant),
            remedy,
        ));
    }
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
