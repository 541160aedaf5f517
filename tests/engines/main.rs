//! Every archive of the fixtures, fixed by the built command, in real engines: what they load must run.
//!
//! This needs root on Debian 12, and the engines that `.ci/engines` installs; without them it says so and passes, unless
//! `OCIFY_REQUIRE_ENGINES=1`. No image is pulled from anywhere, and the engines have no network. Each runs in namespaces of its own
//! over a root folder that it cannot change, so nothing of it stays behind, and an engine that already runs here is not disturbed.
//!
//! The same archives go through the engines unfixed too, which shows what is fixed and that the test would notice. The outcome is
//! docs/engines.md. When it may change, regenerate it:
//!
//! ```text
//! OCIFY_WRITE_DOCS=1 cargo test --test engines
//! ```

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::archive::{Archive, NOT_YET, Sample, fixtures, folder, prepare};
use crate::engine::Column;
use crate::expected::{BEFORE, EXCEPTIONS, NOT_ALL, Reason, SHAPES};
use crate::progress::Steps;
use crate::recompressed::Recompressed;
use crate::shapes::shapes;
use crate::table::{Cell, Row, page};

mod archive;
mod buildkit;
mod cache;
mod campaign;
#[path = "../common/mod.rs"]
mod common;
mod composed;
mod configs;
mod containerd;
mod context;
mod crane;
mod docker;
mod engine;
mod expected;
mod further;
mod in_place;
mod kind;
mod machine;
mod mutants;
mod newer;
mod podman;
mod predicted;
mod progress;
mod recompressed;
mod registry;
mod shapes;
mod skopeo;
mod stream;
mod table;

const PAGE: &str = "docs/engines.md";

#[test]
fn fixed_archives_load_and_run_in_every_engine() {
    let trixie = match trixie() {
        Ok(root) => root,
        Err(missing) => return skip(&missing),
    };
    let shared = tempfile::Builder::new()
        .prefix("ocify-engines-")
        .tempdir()
        .expect("a temporary folder");
    let samples = prepare(shared.path());
    let recent = archive::prepare_recent(shared.path());
    in_place::check_count(&samples);
    let named = in_place::prepare_named(&folder(), shared.path());
    let recompressed = recompressed::prepare(shared.path());
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let (trixie, shared, samples) = (&trixie, shared.path(), [&samples[..], &recent]);
        let (named, recompressed) = (&named, &recompressed);
        let start = |column| {
            scope.spawn(move || try_all(column, trixie, shared, samples, named, recompressed))
        };
        let threads = Column::ALL.map(start);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });

    let mut problems: Vec<String> = Vec::new();
    for outcome in &outcomes {
        problems.extend_from_slice(&outcome.problems);
    }
    problems.extend(disagreements(&samples, &outcomes));
    let total = problems.len();
    assert!(
        problems.is_empty(),
        "{total} surprises:\n\n{}",
        problems.join("\n\n")
    );
    check_page(&page_of(&samples, outcomes));
}

#[test]
fn tables_name_fixtures_and_shapes() {
    let fixtures = fixtures();
    let archives = fixtures.iter().filter(|name| name.ends_with(".tar"));
    let expected: Vec<&str> = BEFORE.iter().map(|(name, _)| *name).collect();
    assert_eq!(archives.collect::<Vec<_>>(), expected);
    let shapes: Vec<&str> = shapes().iter().map(|shape| shape.name).collect();
    let expected: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
    assert_eq!(shapes, expected);
    let excepted = EXCEPTIONS.iter().flat_map(|e| e.archives);
    for name in NOT_YET.iter().chain(excepted) {
        let is_known = fixtures.contains(*name) || shapes.contains(name);
        assert!(is_known, "{name} is neither a fixture nor a shape");
    }
    for (name, cells) in SHAPES {
        assert!(
            cells.contains(char::is_alphabetic),
            "no engine refuses {name}"
        );
    }
    for (name, _) in BEFORE.iter().chain(SHAPES) {
        for column in Column::ALL {
            let cell = expected::before(name, column);
            assert!(cell.is_some(), "{name} has no cell for {column:?}");
        }
    }
}

/// README.md names, for each error, the engines in which the fixtures of its two shapes fail with it.
#[test]
fn readme_names_the_engines_that_fail() {
    let readme = include_str!("../../README.md");
    let rows = readme
        .lines()
        .skip_while(|line| !line.starts_with("| Error |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let archives = [
        "buildkit-docker-zstd-ocifalse.tar",
        "buildkit-oci-zstd-ocifalse.tar",
    ];
    let mut listed = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, error, docker, oci, _] = cells[..] else {
            panic!("{row}");
        };
        let reason = Reason::of(error).unwrap_or_else(|| panic!("{error} has no reason"));
        assert!(listed.insert(reason), "{error} is there twice");
        for (archive, cell) in archives.into_iter().zip([docker, oci]) {
            let mut failing = Column::ALL.to_vec();
            failing.retain(|column| expected::before(archive, *column) == Some(Some(reason)));
            let names: Vec<&str> = failing.into_iter().map(Column::heading).collect();
            assert_eq!(cell, names.join("; "), "{archive}, {error}");
        }
    }
    for archive in archives {
        for column in Column::ALL {
            let reason = expected::before(archive, column).flatten();
            assert!(
                reason.is_none_or(|reason| listed.contains(&reason)),
                "README.md lacks {reason:?} of {column:?}"
            );
        }
    }
}

/// The names that an archive was loaded under, or what the engine said.
type Attempt = Result<BTreeSet<String>, String>;

/// What one engine did with all archives.
#[derive(Debug)]
struct Outcome {
    column: Column,
    version: String,
    /// For each archive before and after.
    cells: Vec<(Cell, Cell)>,
    /// For each archive, once fixed, the names it was loaded under; nothing if it was not.
    names: Vec<Option<BTreeSet<String>>>,
    /// What was not as expected.
    problems: Vec<String>,
}

fn try_all(
    column: Column,
    trixie: &Path,
    shared: &Path,
    [samples, recent]: [&[Sample]; 2],
    named: &Archive,
    recompressed: &[Recompressed],
) -> Outcome {
    let mut outcome = Outcome {
        column,
        version: String::new(),
        cells: Vec::new(),
        names: Vec::new(),
        problems: Vec::new(),
    };
    let started = column
        .start(trixie, shared)
        .and_then(|engine| Ok((engine.version()?.trim().to_owned(), engine)));
    let mut engine = match started {
        Ok((version, engine)) => {
            outcome.version = version;
            engine
        }
        Err(error) => {
            outcome.problem("start", &error);
            return outcome;
        }
    };
    if !outcome.version.starts_with(column.series()) {
        let message = format!("{}, not {}…", outcome.version, column.series());
        outcome.problem("version", &message);
    }
    let position = Column::ALL.iter().position(|other| *other == column);
    let position = position.expect("it is one of all");
    let mut steps = Steps::new(column.heading(), samples.len() + recent.len());
    for sample in samples {
        let before = sample.before.as_ref().map(|a| engine.attempt(a));
        let after = match &before {
            Some(result) if sample.is_unchanged => result.clone(),
            _ => engine.attempt(&sample.after),
        };
        let before = before.map(|before| complete(before, &after));
        for (when, observed, verdicts) in [
            ("before", before.as_ref(), &sample.predicted[0]),
            ("after", Some(&after), &sample.predicted[1]),
        ] {
            let how = observed
                .and_then(|observed| predicted::disagreement(&verdicts[position], observed));
            if let Some(how) = how {
                outcome.problem(&format!("{} {when} fixing", sample.name), &how);
            }
        }
        let mut cell = |result: &Attempt, when: &str, expected: Option<Reason>| {
            let expected = expected.map_or(Cell::Fine, Cell::Failed);
            let (cell, message) = match result {
                Ok(_) => (Cell::Fine, "it loaded and ran"),
                Err(e) => (Reason::of(e).map_or(Cell::Unknown, Cell::Failed), &e[..]),
            };
            if cell != expected {
                let place = format!("{} {when} fixing", sample.name);
                let message = format!("expected {expected:?}, found {cell:?}: {message}");
                outcome.problem(&place, &message);
            }
            cell
        };
        let cell_before = before.as_ref().map_or(Cell::Untried, |result| {
            let expected = expected::before(&sample.name, column).flatten();
            cell(result, "before", expected)
        });
        let expected = expected::after(&sample.name, column);
        let cell_after = cell(&after, "after", expected);
        let mended = sample.mended.iter().find(|(r, _)| Some(*r) == expected);
        if let Some((reason, archive)) = mended
            && let Err(error) = engine.attempt(archive)
        {
            let message = format!("with the options for {reason:?}: {error}");
            outcome.problem(&sample.name, &message);
        }
        if let (Some(Ok(before)), Ok(after)) = (&before, &after)
            && before != after
            && !(expected::COMPLETED.contains(&&sample.name[..])
                && without_registries(before) == without_registries(after))
        {
            let message = format!("the names were {before:?}, and are {after:?} once fixed");
            outcome.problem(&sample.name, &message);
        }
        if let Some(archive) = &sample.in_place
            && in_place::COLUMNS.contains(&column)
        {
            let kept = engine.attempt(archive);
            let is_alike = match (&kept, &after) {
                (Ok(kept), Ok(after)) => kept == after,
                (Err(kept), Err(after)) => Reason::of(kept) == Reason::of(after),
                _ => false,
            };
            if !is_alike {
                let message = format!("{after:?} of a new archive, {kept:?} in place");
                outcome.problem(&sample.name, &message);
            }
        }
        outcome.cells.push((cell_before, cell_after));
        outcome.names.push(after.ok());
        steps.step();
    }
    for sample in recent {
        let archives = sample.before.iter().chain([&sample.after]);
        for (archive, verdicts) in archives.zip(&sample.predicted) {
            let observed = engine.attempt(archive);
            if let Some(how) = predicted::disagreement(&verdicts[position], &observed) {
                outcome.problem(&archive.path, &how);
            }
        }
        steps.step();
    }
    if in_place::COLUMNS.contains(&column)
        && let Err(error) = engine.attempt(named)
    {
        outcome.problem("many names in place", &error);
    }
    for archive in recompressed {
        if let Err(error) = engine.attempt(&archive.archive) {
            outcome.problem(&archive.name, &error);
        }
    }
    if !outcome.problems.is_empty() {
        outcome.problem("end of the log", &engine.machine().log());
    }
    outcome
}

impl Outcome {
    fn problem(&mut self, place: &str, message: &str) {
        let heading = self.column.heading();
        self.problems
            .push(format!("{heading}: {place}: {}", message.trim_end()));
    }
}

/// The fixed archives that not all engines load under the same names. Some read `index.json`, and others `manifest.json`.
fn disagreements(samples: &[Sample], outcomes: &[Outcome]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let mut engines: BTreeMap<BTreeSet<&str>, Vec<Column>> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|o| o.column.has_names()) {
            if let Some(Some(names)) = outcome.names.get(number) {
                let names = without_registries(names);
                engines.entry(names).or_default().push(outcome.column);
            }
        }
        if engines.len() > 1 {
            problems.push(format!("{} has several names: {engines:?}", sample.name));
        }
    }
    problems
}

/// What an engine did with an archive, which failed if it loaded only some of what it loads of the fixed one.
fn complete(before: Attempt, after: &Attempt) -> Attempt {
    match (&before, after) {
        (Ok(some), Ok(all)) if some.len() < all.len() && some.is_subset(all) => {
            Err(format!("{NOT_ALL}: {some:?} of {all:?}"))
        }
        _ => before,
    }
}

fn without_registries(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names.iter().map(|name| familiar(name)).collect()
}

/// A name without the registry that an engine supplies if there is none.
fn familiar(name: &str) -> &str {
    ["docker.io/library/", "docker.io/", "localhost/"]
        .iter()
        .find_map(|registry| name.strip_prefix(registry))
        .unwrap_or(name)
}

fn page_of(samples: &[Sample], outcomes: Vec<Outcome>) -> String {
    let row = |(number, sample): (usize, &Sample)| Row {
        name: sample.name.clone(),
        what: sample.what,
        cells: outcomes.iter().map(|o| o.cells[number]).collect(),
    };
    let rows: Vec<Row> = samples.iter().enumerate().map(row).collect();
    let versions: Vec<(Column, String)> = outcomes
        .iter()
        .map(|o| (o.column, o.version.clone()))
        .collect();
    page(&versions, &rows)
}

/// Writes the page if asked to, or else compares it.
fn check_page(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if env::var_os("OCIFY_WRITE_DOCS").is_some_and(|v| v == "1") {
        fs::write(&path, page).expect("the page is writable");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing = found.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        found == page,
        "{PAGE} is not what the engines did; write it anew with OCIFY_WRITE_DOCS=1 cargo test --test engines\n\
         first difference (file, engines): {differing:#?}"
    );
}

/// The root folder of the newer release, if everything that is needed is there; or what is missing.
fn trixie() -> Result<PathBuf, String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Real and effective user.
    if user.is_none_or(|ids| ids.split_whitespace().nth(1) != Some("0")) {
        return Err("root".to_owned());
    }
    let base = separate();
    let needed = ["/usr/sbin/dockerd", "/usr/bin/containerd"]
        .map(PathBuf::from)
        .into_iter()
        .chain(["/usr/bin/podman".into(), base.join("trixie.complete")]);
    for path in needed {
        if !path.exists() {
            return Err(path.display().to_string());
        }
    }
    Ok(base.join("trixie"))
}

/// Where programs of later releases are.
fn separate() -> PathBuf {
    env::var_os("OCIFY_ENGINES_ROOT")
        .map_or_else(|| PathBuf::from("/var/lib/ocify-engines"), PathBuf::from)
}

/// crane, which may not be there.
fn crane() -> PathBuf {
    separate().join("crane/usr/bin/crane")
}

/// The version of crane, without what Debian adds to it.
fn crane_version() -> String {
    let path = separate().join("crane.complete");
    let marker = fs::read_to_string(path).expect("it is installed");
    let version = marker.lines().nth(1).expect("the version of the package");
    let end = version.find(['+', '-', '~']).unwrap_or(version.len());
    version[..end].to_owned()
}

/// Reports that a test does not run, for lack of something that `.ci/engines` installs.
#[track_caller]
fn skip(missing: &str) {
    let why = format!("engine tests need {missing}; run .ci/engines as root");
    common::skip(&why, "OCIFY_REQUIRE_ENGINES");
}
