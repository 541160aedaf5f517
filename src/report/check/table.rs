//! The table of verdicts: a row for each reader and range of versions.

use std::cmp::Reverse;

use crate::check::Judged;
use crate::engines::{Loads, Obstacle, Reader, Verdict, Version};

/// A row: versions of a reader, and what becomes of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) before: Cell,
    pub(super) after: Cell,
}

/// One verdict in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) loads: Loads,
    /// What is in the way first.
    pub(super) rule: Option<Obstacle>,
    /// The image store or transport that it is the verdict of, if others have a better one.
    pub(super) store: Option<&'static str>,
}

impl Cell {
    fn of(verdict: &Verdict) -> Self {
        let reason = verdict.because.first();
        let rule = reason.filter(|_| verdict.loads != Loads::Yes);
        Cell {
            loads: verdict.loads,
            rule: rule.map(|reason| reason.obstacle),
            store: None,
        }
    }

    fn is_plain(&self) -> bool {
        self.loads == Loads::Yes && self.store.is_none()
    }
}

/// The word for a verdict.
pub(super) fn word(loads: Loads) -> &'static str {
    match loads {
        Loads::Yes => "loads",
        other => other.name(),
    }
}

/// The name of versions of a reader, such as `docker/graphdriver 23.0.0–28.5.2`.
fn label(reader: Reader, versions: Option<(Version, Version)>) -> String {
    let mut label = reader.engine().to_owned();
    if let Some(store) = reader.store() {
        label += &format!("/{store}");
    }
    if let Some((from, to)) = versions {
        label += &format!(" {}", range(from, to));
    }
    label
}

/// The first and the last of several versions, such as `23.0.0–28.5.2`.
pub(crate) fn range(from: Version, to: Version) -> String {
    match from == to {
        true => from.to_string(),
        false => format!("{from}–{to}"),
    }
}

/// Which verdict a text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The one on the archive as it is.
    Before,
    /// The one on the fixed archive.
    After,
}

/// The names of what is meant of all verdicts of a check, each once. Ranges of versions are joined if nothing is between
/// them.
pub(super) fn labels(
    verdicts: &[Judged],
    phase: Phase,
    is_meant: &dyn Fn(&Judged) -> bool,
) -> Vec<String> {
    let is_same = |one: &Judged, other: &Judged| {
        one.reader == other.reader && one.asked == other.asked && is_meant(one) == is_meant(other)
    };
    let ranges = verdicts.chunk_by(is_same);
    let labels = ranges.filter_map(|range| {
        let first = range.first().filter(|first| is_meant(first))?;
        Some(label_of(first, range.last()?, phase))
    });
    labels.collect()
}

/// The name of the engine that was asked for, or of the reader: what all its versions have in common.
pub(super) fn column_of(judged: &Judged) -> String {
    match judged.asked {
        Some(asked) => asked.to_string(),
        None => label(judged.reader, None),
    }
}

/// The name of what one verdict is about.
pub(super) fn label_of_one(judged: &Judged) -> String {
    label_of(judged, judged, Phase::Before)
}

/// The name of what a verdict is about; several verdicts of a reader are in the order of versions.
fn label_of(first: &Judged, last: &Judged, phase: Phase) -> String {
    let versions = |judged: &Judged| match phase {
        Phase::Before => judged.from.zip(judged.to),
        Phase::After => judged.fixed_versions,
    };
    let versions = versions(first).zip(versions(last));
    let versions = versions.map(|((from, _), (_, to))| (from, to));
    match (first.asked, versions) {
        (Some(asked), None) => {
            let mut label = asked.to_string();
            if let Some(store) = first.reader.store().filter(|_| !label.contains('/')) {
                label += &format!("/{store}");
            }
            label
        }
        _ => label(first.reader, versions),
    }
}

/// A row for each verdict, as they are.
pub(super) fn all_rows(verdicts: &[Judged]) -> Vec<Row> {
    let row = |judged: &Judged| Row {
        label: with_support(
            label(judged.reader, judged.from.zip(judged.to)),
            judged.counts(),
        ),
        before: Cell::of(&judged.as_it_is),
        after: Cell::of(&judged.fixed),
    };
    verdicts.iter().map(row).collect()
}

fn with_support(label: String, counts: bool) -> String {
    match counts {
        true => label,
        false => format!("{label} EOL"),
    }
}

/// A row for each engine that was asked for, or else for each reader and range of versions with the same verdicts. Several
/// rows of readers that load the archive, before and after, are one.
pub(super) fn rows(verdicts: &[Judged]) -> Vec<Row> {
    if verdicts.iter().any(|judged| judged.asked.is_some()) {
        let asked = verdicts.chunk_by(|one, other| one.asked == other.asked);
        return asked.filter_map(asked_row).collect();
    }
    let cells = |judged: &Judged| (Cell::of(&judged.as_it_is), Cell::of(&judged.fixed));
    let same =
        |one: &Judged, other: &Judged| one.reader == other.reader && cells(one) == cells(other);
    let rows = verdicts.chunk_by(same).filter_map(|range| {
        let (first, last) = (range.first()?, range.last()?);
        let (before, after) = cells(first);
        let counts = range.iter().any(Judged::counts);
        Some(Row {
            label: with_support(label_of(first, last, Phase::Before), counts),
            before,
            after,
        })
    });
    let (good, mut rows): (Vec<Row>, Vec<Row>) =
        rows.partition(|row| row.before.is_plain() && row.after.is_plain());
    if let Some(first) = good.first() {
        let others = Row {
            label: if rows.is_empty() { "all" } else { "all others" }.to_owned(),
            ..first.clone()
        };
        match good.len() {
            1 => rows.extend(good),
            _ => rows.push(others),
        }
    }
    rows
}

/// The row of an engine that was asked for: the worst verdict of its stores or transports.
fn asked_row(verdicts: &[Judged]) -> Option<Row> {
    let asked = verdicts.first()?.asked?;
    let worst = |of: fn(&Judged) -> &Verdict| {
        let worst = verdicts.iter().max_by_key(|judged| {
            // Of equal ones, the first.
            (of(judged).loads, Reverse(judged.reader))
        })?;
        let is_shared = verdicts
            .iter()
            .all(|judged| Cell::of(of(judged)) == Cell::of(of(worst)));
        let store = worst.reader.store().filter(|_| !is_shared);
        Some(Cell {
            store,
            ..Cell::of(of(worst))
        })
    };
    Some(Row {
        label: asked.to_string(),
        before: worst(|judged| &judged.as_it_is)?,
        after: worst(|judged| &judged.fixed)?,
    })
}
