//! Runs batches and parses their reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::runner::{Run, Sandbox, run};
use super::schema::parse_line;
use super::{fixture, fixtures, tree};

/// What a batch reported.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) run: Run,
    /// By input.
    pub(crate) items: BTreeMap<String, Value>,
    pub(crate) summary: Value,
}

/// Parses a report, whose lines must follow the schema: each input once, then the summary.
#[track_caller]
pub(crate) fn parsed(text: &str) -> (BTreeMap<String, Value>, Value) {
    let mut items = BTreeMap::new();
    let mut lines: Vec<Value> = text.lines().map(parse_line).collect();
    let summary = lines.pop().expect("there is a summary");
    assert_eq!(summary["type"], "summary");
    for item in lines {
        assert_eq!(item["type"], "item");
        let input = item["input"].as_str().unwrap().to_owned();
        assert!(items.insert(input.clone(), item).is_none(), "{input} twice");
    }
    assert_eq!(summary["items"]["total"], items.len());
    (items, summary)
}

/// Runs `ocify fix` with these arguments and a JSON report.
#[track_caller]
pub(crate) fn batch(sandbox: &Sandbox, args: &[&str]) -> Batch {
    let mut command = sandbox.command();
    command.arg("fix").args(args).args(["--format", "json"]);
    let run = run(&mut command);
    let (items, summary) = parsed(&run.stdout);
    Batch {
        run,
        items,
        summary,
    }
}

impl Batch {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) {
        assert_eq!(self.run.code, code, "{:#?}", self.run);
    }

    /// The status of each input, or its error code if it failed.
    pub(crate) fn ends(&self) -> BTreeMap<&str, &str> {
        self.items
            .iter()
            .map(|(input, item)| {
                let end = match item["status"].as_str().unwrap() {
                    "failed" => item["error"]["code"].as_str().unwrap(),
                    status => status,
                };
                (input.as_str(), end)
            })
            .collect()
    }

    /// The count of the summary by this name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.summary["items"][name].as_u64().unwrap()
    }
}

/// Writes a file below the sandbox, with its directories.
pub(crate) fn put(sandbox: &Sandbox, name: &str, bytes: impl AsRef<[u8]>) {
    let path = sandbox.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Copies a fixture, file or directory, to a path below the sandbox.
pub(crate) fn put_fixture(sandbox: &Sandbox, name: &str, fixture_name: &str) {
    let from = fixture(fixture_name);
    if from.is_file() {
        return put(sandbox, name, fs::read(from).unwrap());
    }
    for (path, bytes) in tree(&from) {
        if from.join(&path).is_file() {
            put(sandbox, &format!("{name}/{}", path.display()), bytes);
        }
    }
}

/// All fixtures in several directories below `in`, and other files among them; returns the paths of
/// the fixtures.
pub(crate) fn put_all(sandbox: &Sandbox) -> Vec<String> {
    let mut paths = Vec::new();
    for (number, name) in fixtures().iter().enumerate() {
        // Names must not matter.
        let folder = ["", "a/", "a/deep/", "b c/"][number % 4];
        let path = format!("in/{folder}{}", name.replace("tar", "image"));
        put_fixture(sandbox, &path, name);
        paths.push(path);
    }
    put(sandbox, "in/notes.txt", "notes");
    put(sandbox, "in/b c/empty", "");
    paths.sort();
    paths
}

/// Whether a run has a staging directory in an output directory.
pub(crate) fn has_staging(root: &Path) -> bool {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with(".ocify-work"))
}

/// The files below a directory, except ocify's own.
pub(crate) fn outputs(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = tree(root);
    found.retain(|(path, _)| !path.to_string_lossy().starts_with(".ocify-state"));
    found
}
