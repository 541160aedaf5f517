//! docs/engines.md: what every engine did with every archive.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::archive::NOT_YET;
use crate::cache;
use crate::composed;
use crate::engine::Column;
use crate::expected::{EXCEPTIONS, Reason};
use crate::recompressed;

/// What an engine did with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// It was not tried: the engine does not load directories.
    Untried,
    /// It loaded and ran.
    Fine,
    /// It failed for a known reason.
    Failed(Reason),
    /// It failed for another.
    Unknown,
}

impl Cell {
    fn text(self) -> String {
        match self {
            Self::Untried => "–".to_owned(),
            Self::Fine => "ok".to_owned(),
            Self::Failed(reason) => format!("{reason:?}"),
            Self::Unknown => "?".to_owned(),
        }
    }
}

/// One archive: for each column a cell before it is fixed and one after.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// What is wrong with a shape; nothing for a fixture.
    pub(crate) what: Option<&'static str>,
    pub(crate) cells: Vec<(Cell, Cell)>,
}

const INTRODUCTION: &str = "\
# What engines do with archives

Each of these engines loaded and ran every archive in `fixtures/`, both as its tool wrote it and as `ocify fix` writes it.
`tests/engines/main.rs` does this, writes this page, and fails if a result differs from it. BuildKit's caches contain no image and have
[a section of their own](#buildkit-caches).
";

const LEGEND: &str = "
`ok` means that the archive loaded and every loaded image ran. (skopeo does not run images: it copied everything, with correct digests.) An
engine that loads fewer images from an archive than from the fixed one has not loaded it. A single entry in a cell means that the result is the
same before and after `ocify fix`; otherwise an arrow separates the two. `–` means a directory, which these engines do not load. If `index.json`
has several names, the test asks skopeo's `oci-archive` for each name once the archive is fixed. All engines must load an archive under the same
names, which include those it had before.
";

const SHAPES: &str = "
## Shapes from the field

Archives as other tools wrote them, or other versions of these tools. `tests/engines/shapes.rs` builds them from the layers of a fixture. The
entries mean the same as above. Docker runs the program `xz` to load `outer-xz`; its packages recommend the one that contains it (xz-utils).

";

const REST: &str = "
## What fixing does not change

Each of these results is expected, and the test fails if one of them changes.
";

/// Why writing to a string succeeds.
const ENDLESS: &str = "a string takes everything";

/// The complete page.
pub(crate) fn page(versions: &[(Column, String)], rows: &[Row]) -> String {
    let mut page = INTRODUCTION.to_owned();
    if !NOT_YET.is_empty() {
        let names = NOT_YET.join("`, `");
        writeln!(page, "\nNot read by `ocify fix` yet: `{names}`.").expect(ENDLESS);
    }
    page.push_str("\n| Engine | Version | How |\n|---|---|---|\n");
    for (column, version) in versions {
        line(&mut page, &[column.heading(), version, column.method()]);
    }
    page.push_str("\n## Before → after\n");
    page.push_str(LEGEND);
    page.push('\n');
    table(&mut page, rows.iter().filter(|row| row.what.is_none()));
    page.push_str(SHAPES);
    table(&mut page, rows.iter().filter(|row| row.what.is_some()));
    page.push_str(
        "\n## Why an archive does not load\n\n| | The engine says | Because |\n|---|---|---|\n",
    );
    for reason in shown(rows) {
        let phrase = match reason {
            Reason::I | Reason::Z => "(nothing)".to_owned(),
            _ => format!("`{}`", reason.phrase()),
        };
        line(
            &mut page,
            &[&format!("{reason:?}"), &phrase, reason.meaning()],
        );
    }
    page.push_str(REST);
    page.push_str("\n| | Engine | Why | It loads with |\n|---|---|---|---|\n");
    for exception in EXCEPTIONS {
        let columns: Vec<&str> = exception.columns.iter().map(|c| c.heading()).collect();
        line(
            &mut page,
            &[
                &format!("{:?}", exception.reason),
                &columns.join(", "),
                exception.why,
                &format!("`ocify fix {}`", exception.mended_by.join(" ")),
            ],
        );
    }
    page.push_str(&recompressed::section());
    page.push_str(&composed::section());
    page.push_str(&cache::section());
    page
}

fn table<'a>(page: &mut String, rows: impl Iterator<Item = &'a Row>) {
    let headings: Vec<&str> = Column::ALL.iter().map(|c| c.heading()).collect();
    line(page, &[&["Archive"], &headings[..]].concat());
    page.push_str(&"|---".repeat(headings.len() + 1));
    page.push_str("|\n");
    for row in rows {
        let cells: Vec<String> = row.cells.iter().map(|(b, a)| change(*b, *a)).collect();
        let what = row
            .what
            .map_or_else(String::new, |what| format!(": {what}"));
        let name = format!("`{}`{what}", row.name);
        let mut parts = vec![name.as_str()];
        parts.extend(cells.iter().map(String::as_str));
        line(page, &parts);
    }
}

fn change(before: Cell, after: Cell) -> String {
    if before == after {
        before.text()
    } else {
        format!("{} → {}", before.text(), after.text())
    }
}

/// The reasons that the rows mention, by their letters.
fn shown(rows: &[Row]) -> BTreeSet<Reason> {
    let reason = |cell: &Cell| match cell {
        Cell::Failed(reason) => Some(*reason),
        _ => None,
    };
    let cells = rows.iter().flat_map(|row| &row.cells);
    cells
        .flat_map(|(before, after)| [before, after])
        .filter_map(reason)
        .collect()
}

fn line(page: &mut String, parts: &[&str]) {
    writeln!(page, "| {} |", parts.join(" | ")).expect(ENDLESS);
}
