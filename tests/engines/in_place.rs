//! The archives once more, fixed in place: padded documents, old root files and all else that stays must trouble no engine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archive::{Archive, Sample, names_if_several, tags_if_several};
use crate::engine::Column;
use crate::machine::SHARED;

/// The engines that try them: one for each code that reads archives. Every one of them loads what it loads of a new archive.
pub(crate) const COLUMNS: [Column; 4] = [
    Column::Docker20,
    Column::Containerd17,
    Column::Podman5,
    Column::SkopeoOci,
];

/// More names than `index.json` has space for: it moves, and what was there stays as a blob that nothing refers to.
const NAMES: [&str; 4] = [
    "example.com/a-name-that-is-rather-long-so-that-few-of-them-fill-a-block/first:v1",
    "example.com/a-name-that-is-rather-long-so-that-few-of-them-fill-a-block/second:v1",
    "example.com/a-name-that-is-rather-long-so-that-few-of-them-fill-a-block/third:v1",
    "example.com/a-name-that-is-rather-long-so-that-few-of-them-fill-a-block/fourth:v1",
];
/// The archive that gets them, whose root files are between others.
const NAMED: &str = "docker26g-save.tar";

/// The folder of these archives in the shared one.
const FOLDER: &str = "in-place";

/// Fixes a fixture in place; nothing if that is refused, or gives what a new archive is.
pub(crate) fn prepare(name: &str, input: &Path, after: &Path, shared: &Path) -> Option<Archive> {
    let output = copy(input, name, shared);
    let is_fixed = fix(&output, &[]);
    let read = |path: &Path| fs::read(path).expect("archives are readable");
    if !is_fixed || read(&output) == read(after) {
        return None;
    }
    Some(Archive {
        path: format!("{SHARED}/{FOLDER}/{name}"),
        ask_for: names_if_several(&output),
        tags: tags_if_several(&output),
    })
}

/// An archive whose `index.json` had to move.
pub(crate) fn prepare_named(input: &Path, shared: &Path) -> Archive {
    let name = "named.tar";
    let output = copy(&input.join(NAMED), name, shared);
    let options: Vec<&str> = NAMES.iter().flat_map(|name| ["--name", name]).collect();
    assert!(fix(&output, &options), "{NAMED} is fixed in place");
    Archive {
        path: format!("{SHARED}/{FOLDER}/{name}"),
        ask_for: names_if_several(&output),
        tags: tags_if_several(&output),
    }
}

/// How many archives there have to be, or nothing would be tested.
pub(crate) fn check_count(samples: &[Sample]) {
    let count = samples.iter().filter(|sample| sample.in_place.is_some());
    assert!(count.count() >= 10, "few archives can be fixed in place");
}

fn copy(input: &Path, name: &str, shared: &Path) -> std::path::PathBuf {
    let folder = shared.join(FOLDER);
    fs::create_dir_all(&folder).expect("the shared folder is writable");
    let output = folder.join(name);
    fs::copy(input, &output).expect("the fixture is readable");
    output
}

fn fix(archive: &Path, options: &[&str]) -> bool {
    let run = Command::new(env!("CARGO_BIN_EXE_ocify"))
        .args(["fix", "--in-place", "--progress", "quiet"])
        .arg(archive)
        .args(options)
        .output()
        .expect("ocify starts");
    let stderr = String::from_utf8_lossy(&run.stderr);
    let is_refused = stderr.contains("cannot be fixed in place");
    assert!(
        run.status.success() || is_refused,
        "{}: {stderr}",
        archive.display()
    );
    run.status.success()
}
