//! The archives: every fixture and every shape as it is, and as `ocify fix` writes it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use ocify::Verdict;
use serde_json::Value;

use crate::expected::{self, Exception, Reason};
use crate::in_place;
use crate::machine::SHARED;
use crate::predicted;
use crate::shapes::{Shape, shapes};

/// Fixtures that `ocify fix` does not read yet. Removing an entry is all that is needed once it does.
pub(crate) const NOT_YET: &[&str] = &[];

/// BuildKit's caches are layouts, but contain no image that an engine could load.
const CACHES: &str = "buildkit-cache-";

/// An archive as an engine is given it.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The file, as seen from inside a machine.
    pub(crate) path: String,
    /// The names to request, if requesting none is ambiguous.
    pub(crate) ask_for: Vec<String>,
    /// A tag of each image in `manifest.json`, if there are several.
    pub(crate) tags: Vec<String>,
}

/// One fixture or shape, before and after.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Its name: that of a fixture in its folder.
    pub(crate) name: String,
    /// What is wrong with a shape; nothing for a fixture.
    pub(crate) what: Option<&'static str>,
    /// As it is; nothing for a directory, which no engine here loads.
    pub(crate) before: Option<Archive>,
    /// As `ocify fix` writes it.
    pub(crate) after: Archive,
    /// As it writes it with the options that fix what `ocify fix` alone does not.
    pub(crate) mended: Vec<(Reason, Archive)>,
    /// As `ocify fix --in-place` leaves it, if that is possible and gives other bytes.
    pub(crate) in_place: Option<Archive>,
    /// What is predicted for both, in the order of the columns.
    pub(crate) predicted: [Vec<Verdict>; 2],
    /// Whether the two are the same to the byte, and are requested in the same way: then one attempt is enough for both.
    pub(crate) is_unchanged: bool,
}

/// The names of all fixtures that contain images.
pub(crate) fn fixtures() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the fixtures folder is readable");
    entries
        .map(|entry| entry.expect("the fixtures folder is readable"))
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .filter(|name| !name.starts_with(CACHES) && !["README.md", "2026"].contains(&name.as_str()))
        .collect()
}

/// The archives in the folder of what later tools wrote. They are not on the page.
pub(crate) fn prepare_recent(shared: &Path) -> Vec<Sample> {
    let entries = fs::read_dir(folder().join("2026")).expect("the fixtures folder is readable");
    let paths = entries.map(|entry| entry.expect("the fixtures folder is readable").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "tar"))
        .collect();
    paths.sort();
    let sample = |path: &PathBuf| {
        let name = path.file_name().expect("it has a name").to_string_lossy();
        sample(path, name.into_owned(), None, shared)
    };
    paths.iter().map(sample).collect()
}

/// Fixes every fixture that is supported and every shape, and puts what the engines shall read into the shared folder.
pub(crate) fn prepare(shared: &Path) -> Vec<Sample> {
    for side in ["shapes", "before", "after", "mended"] {
        fs::create_dir(shared.join(side)).expect("the shared folder is writable");
    }
    let supported = fixtures()
        .into_iter()
        .filter(|name| !NOT_YET.contains(&name.as_str()));
    let of_fixture = |name: String| sample(&folder().join(&name), name, None, shared);
    let of_shape = |shape: Shape| {
        let input = shared.join("shapes").join(shape.name);
        fs::write(&input, shape.bytes).expect("the shared folder is writable");
        sample(&input, shape.name.to_owned(), Some(shape.what), shared)
    };
    let shapes = shapes().into_iter().map(of_shape);
    supported.map(of_fixture).chain(shapes).collect()
}

fn sample(input: &Path, name: String, what: Option<&'static str>, shared: &Path) -> Sample {
    let is_directory = input.is_dir();
    let file = if is_directory {
        format!("{name}.tar")
    } else {
        name.clone()
    };
    let before = (!is_directory).then(|| {
        fs::copy(input, shared.join("before").join(&file)).expect("the fixture is readable");
        Archive {
            path: format!("{SHARED}/before/{file}"),
            ask_for: Vec::new(),
            tags: tags_if_several(input),
        }
    });
    let output = shared.join("after").join(&file);
    fix(input, &output, &[]);
    let mend = |exception: &Exception| {
        let reason = exception.reason;
        let output = shared.join("mended").join(format!("{reason:?}-{file}"));
        fix(input, &output, exception.mended_by);
        let archive = Archive {
            path: format!("{SHARED}/mended/{reason:?}-{file}"),
            ask_for: names_if_several(&output),
            tags: tags_if_several(&output),
        };
        (reason, archive)
    };
    let mended = expected::exceptions(&name).map(mend).collect();
    let after = Archive {
        path: format!("{SHARED}/after/{file}"),
        ask_for: names_if_several(&output),
        tags: tags_if_several(&output),
    };
    let in_place = (!is_directory)
        .then(|| in_place::prepare(&name, input, &output, shared))
        .flatten();
    let read = |path: &Path| fs::read(path).expect("archives are readable");
    let is_unchanged = !is_directory && after.ask_for.is_empty() && read(input) == read(&output);
    Sample {
        name,
        what,
        before,
        after,
        mended,
        in_place,
        predicted: [input, &output].map(predicted::verdicts),
        is_unchanged,
    }
}

/// Runs the built command.
pub(crate) fn fix(input: &Path, output: &Path, options: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_ocify"))
        .args(["fix", "--progress", "quiet"])
        .arg(input)
        .arg("-o")
        .arg(output)
        .args(options)
        .output()
        .expect("ocify starts");
    assert!(
        run.status.success(),
        "ocify fix {}: {}\n{}",
        input.display(),
        run.status,
        String::from_utf8_lossy(&run.stderr)
    );
}

/// The ref names in `index.json`, if it lists more than one descriptor.
pub(crate) fn names_if_several(archive: &Path) -> Vec<String> {
    let index = root_file(archive, b"index.json").unwrap_or_default();
    let manifests = match index["manifests"].as_array() {
        Some(manifests) if manifests.len() > 1 => manifests,
        _ => return Vec::new(),
    };
    let names: BTreeSet<String> = manifests
        .iter()
        .filter_map(|m| m["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .map(str::to_owned)
        .collect();
    names.into_iter().collect()
}

/// A tag of each image in `manifest.json`, if it lists more than one.
pub(crate) fn tags_if_several(archive: &Path) -> Vec<String> {
    let items = root_file(archive, b"manifest.json");
    let items = items.as_ref().and_then(Value::as_array);
    let tag = |item: &Value| item["RepoTags"][0].as_str().map(str::to_owned);
    match items {
        Some(items) if items.len() > 1 => items.iter().filter_map(tag).collect(),
        _ => Vec::new(),
    }
}

/// A file at the top of an archive; nothing if it is not there, or this is not a plain tar.
pub(crate) fn root_file(archive: &Path, name: &[u8]) -> Option<Value> {
    let mut archive = tar::Archive::new(File::open(archive).ok()?);
    let entry = archive.entries().ok()?.find_map(|entry| {
        let entry = entry.ok()?;
        (entry.path_bytes().as_ref() == name).then_some(entry)
    })?;
    serde_json::from_reader(entry).ok()
}

/// The fixtures folder.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}
