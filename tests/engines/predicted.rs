//! What `ocify check` predicts for every archive, before it is fixed and after, beside what the engines did.

use std::fs;
use std::path::Path;

use ocify::{Check, Checked, Fix, Input, Loads, Obstacle, Platform, Verdict};

use crate::Attempt;
use crate::archive::{fixtures, folder};
use crate::engine::Column;
use crate::expected::{self, NOT_ALL, Reason, contains_phrase};
use crate::shapes::shapes;

/// The name of a column's engine.
pub(crate) fn engine(column: Column) -> ocify::Engine {
    let text = match column {
        Column::Docker20 => "docker@20.10.24/graphdriver",
        Column::Docker26Graph => "docker@26.1.5/graphdriver",
        Column::Docker26Containerd => "docker@26.1.5/containerd",
        Column::Containerd16 => "containerd@1.6.20",
        Column::Containerd17 => "containerd@1.7.24",
        Column::Podman4 => "podman@4.3.1",
        Column::Podman5 => "podman@5.4.2",
        Column::SkopeoOci => "skopeo@1.18.0/oci-archive",
        Column::SkopeoDocker => "skopeo@1.18.0/docker-archive",
    };
    text.parse().expect("an engine")
}

/// The machine: the programs in the fixtures are for it.
pub(crate) fn machine() -> Platform {
    "linux/amd64".parse().expect("a platform")
}

/// What is predicted for an archive, a verdict for each column.
pub(crate) fn check(archive: &Path) -> Checked {
    check_on(archive, machine())
}

/// The same on another machine.
fn check_on(archive: &Path, machine: Platform) -> Checked {
    let check = Column::ALL.into_iter();
    let check = check.fold(Check::new(Fix::new()).platform(machine), |check, column| {
        check.engine(engine(column))
    });
    let input = Input::open(archive).expect("the archive opens");
    check.run(input).expect("the archive is an image")
}

/// What is said of a program for another machine, which was loaded and could not be started.
const NOT_STARTED: &str = "exec format error";

/// How a prediction differs from what an engine did; `None` if it does not.
fn difference(verdict: &Verdict, observed: Option<Reason>) -> Option<String> {
    let because = verdict.because.iter();
    let told = because.map(|reason| (reason.obstacle, reason.says));
    let told: Vec<(Obstacle, &[&str])> = told.collect();
    let difference = || {
        Some(format!(
            "predicted {:?} {told:?}, observed {observed:?}",
            verdict.loads
        ))
    };
    match observed {
        None if verdict.loads.is_good() => None,
        // Asked for a name, it copies the image.
        Some(Reason::H) if verdict.loads == Loads::Choose => None,
        Some(reason) if !verdict.loads.is_good() => {
            let has_phrase = told.iter().any(|(_, says)| says.contains(&reason.phrase()));
            // Nothing is said of what is not loaded.
            let is_silent = matches!(reason, Reason::I | Reason::Z | Reason::T | Reason::B)
                && told.iter().any(|(obstacle, _)| match reason {
                    Reason::I => *obstacle == Obstacle::NoName,
                    Reason::Z => *obstacle == Obstacle::UnlistedImage,
                    _ => *obstacle == Obstacle::NoDockerManifest,
                });
            match has_phrase || is_silent {
                true => None,
                false => difference(),
            }
        }
        _ => difference(),
    }
}

/// What is predicted for an archive as it is, in the order of the columns.
pub(crate) fn verdicts(archive: &Path) -> Vec<Verdict> {
    verdicts_on(archive, machine())
}

/// The same on another machine.
pub(crate) fn verdicts_on(archive: &Path, machine: Platform) -> Vec<Verdict> {
    let checked = check_on(archive, machine).verdicts.into_iter();
    checked.map(|judged| judged.as_it_is).collect()
}

/// How an engine differs from what was predicted; `None` if it does not.
pub(crate) fn disagreement(verdict: &Verdict, observed: &Attempt) -> Option<String> {
    let is_same = match observed {
        Ok(_) => is_loaded(verdict),
        Err(message) if verdict.loads == Loads::Choose => is_told(verdict, message),
        Err(message) => !verdict.loads.is_good() && is_told(verdict, message),
    };
    (!is_same).then(|| format!("predicted {verdict:#?}, observed {observed:#?}"))
}

/// Whether an engine loaded an image whose program is for another machine.
pub(crate) fn is_not_started(message: &str) -> bool {
    message.contains(NOT_STARTED)
}

/// Whether it was predicted that an engine loads what it loads.
pub(crate) fn is_loaded(verdict: &Verdict) -> bool {
    // It says nothing of what it does not load. Of a layer that an image lacks it does if the program is in it.
    let is_silent = |reason: &ocify::Reason| {
        reason.says.is_empty()
            || matches!(
                reason.obstacle,
                Obstacle::RepeatedName | Obstacle::FewerLayers
            )
    };
    verdict.loads.is_good()
        || verdict.loads == Loads::Partly && verdict.because.iter().all(is_silent)
}

/// Whether one of the reasons is what the engine says.
pub(crate) fn is_told(verdict: &Verdict, message: &str) -> bool {
    let is_silent = ["nothing was loaded", "nothing was imported", NOT_ALL];
    let is_silent = is_silent.iter().any(|silent| message.contains(silent));
    verdict.because.iter().any(|reason| {
        let mut says = reason.says.iter();
        says.any(|phrase| contains_phrase(message, phrase)) || reason.says.is_empty() && is_silent
    })
}

#[test]
fn predictions_are_what_the_engines_did() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let mut archives = Vec::new();
    for name in fixtures() {
        archives.push((name.clone(), folder().join(name)));
    }
    for shape in shapes() {
        let path = temporary.path().join(shape.name);
        fs::write(&path, shape.bytes).expect("the folder is writable");
        archives.push((shape.name.to_owned(), path));
    }
    let mut problems = Vec::new();
    for (name, path) in &archives {
        let checked = check(path);
        for (judged, column) in checked.verdicts.iter().zip(Column::ALL) {
            let before = expected::before(name, column);
            let before = before.and_then(|observed| difference(&judged.as_it_is, observed));
            let after = difference(&judged.fixed, expected::after(name, column));
            for (when, what) in [("before", before), ("after", after)] {
                problems.extend(what.map(|what| format!("{name}, {column:?}, {when}: {what}")));
            }
        }
    }
    assert!(archives.len() > 60);
    assert!(
        problems.is_empty(),
        "{} wrong predictions:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
