//! Workflows of GitHub Actions, as far as the examples go: jobs, a matrix, steps, artifacts and caches. Whatever else a workflow
//! says is a failure, so that no example counts as tested for what was skipped.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use crate::common::runner::{Sandbox, run};

/// The first document of a text.
pub(crate) fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

/// A scalar as it is written.
#[track_caller]
pub(crate) fn text(value: &Yaml) -> String {
    match value {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(value) => value.to_string(),
        other => panic!("no scalar: {other:?}"),
    }
}

/// What all workflows of one repository share.
pub(crate) struct Actions<'a> {
    sandbox: &'a Sandbox,
    /// What a checkout brings.
    repository: PathBuf,
    path: String,
    runs: Cell<u32>,
}

/// How one job ended, for one value of its matrix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) is_good: bool,
    /// Where it ran.
    pub(crate) workspace: PathBuf,
}

/// What expressions of one job can name.
struct Context {
    /// Its key and value.
    matrix: Option<(String, String)>,
    total: usize,
    run: u32,
}

impl Context {
    /// The text with its expressions replaced.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").unwrap();
            filled.push_str(before);
            filled.push_str(&self.value(expression.trim()));
            rest = after;
        }
        filled + rest
    }

    fn value(&self, expression: &str) -> String {
        let of_matrix = self.matrix.as_ref();
        match expression {
            "strategy.job-total" => self.total.to_string(),
            "github.run_id" => self.run.to_string(),
            _ => match (expression.strip_prefix("matrix."), of_matrix) {
                (Some(key), Some((name, value))) if key == name => value.clone(),
                _ => panic!("unknown expression {expression}"),
            },
        }
    }
}

impl<'a> Actions<'a> {
    /// Artifacts, caches and workspaces are created in the sandbox.
    pub(crate) fn new(sandbox: &'a Sandbox, repository: PathBuf, path: String) -> Self {
        Actions {
            sandbox,
            repository,
            path,
            runs: Cell::new(0),
        }
    }

    /// Runs all jobs in their order.
    pub(crate) fn run(&self, workflow: &Yaml) -> Vec<Job> {
        self.runs.set(self.runs.get() + 1);
        let mut ended: Vec<Job> = Vec::new();
        for (name, job) in workflow["jobs"].as_hash().unwrap() {
            let name = text(name);
            if !job["needs"].is_badvalue() {
                let needed = text(&job["needs"]);
                let mut before = ended.iter().filter(|job| job.name == needed).peekable();
                assert!(before.peek().is_some(), "{name} comes after {needed}");
                if !is_always(job) && before.any(|job| !job.is_good) {
                    continue;
                }
            }
            let contexts = self.contexts(job);
            for context in contexts {
                ended.push(self.job(&name, job, &context));
            }
        }
        ended
    }

    fn contexts(&self, job: &Yaml) -> Vec<Context> {
        let run = self.runs.get();
        let context = |matrix, total| Context { matrix, total, run };
        let matrix = &job["strategy"]["matrix"];
        if matrix.is_badvalue() {
            return vec![context(None, 1)];
        }
        let [(key, values)] = matrix.as_hash().unwrap().iter().collect::<Vec<_>>()[..] else {
            panic!("more than one key: {matrix:?}");
        };
        let fail_fast = &job["strategy"]["fail-fast"];
        assert_eq!(fail_fast.as_bool(), Some(false), "one shard stops others");
        let values = values.as_vec().unwrap();
        let pairs = values.iter().map(|value| Some((text(key), text(value))));
        pairs.map(|pair| context(pair, values.len())).collect()
    }

    fn job(&self, name: &str, job: &Yaml, context: &Context) -> Job {
        let value = context.matrix.as_ref().map(|(_, value)| value.clone());
        let folder = format!("{name}{}", value.clone().unwrap_or_default());
        let place = self
            .sandbox
            .path(&format!("runner/{}/{folder}", context.run));
        let workspace = place.join("workspace");
        fs::create_dir_all(&workspace).unwrap();
        fs::write(place.join("path"), "").unwrap();
        let mut is_good = true;
        for step in job["steps"].as_vec().unwrap() {
            if !is_good && !is_always(step) {
                continue;
            }
            is_good &= match &step["uses"] {
                Yaml::BadValue => self.script(step, context, &place),
                action => {
                    self.action(&text(action), &step["with"], context, &workspace);
                    true
                }
            };
        }
        Job {
            name: name.to_owned(),
            value,
            is_good,
            workspace,
        }
    }

    /// A `run` step, as it is without `shell`.
    fn script(&self, step: &Yaml, context: &Context, place: &Path) -> bool {
        let script = place.join("script");
        fs::write(&script, context.filled(&text(&step["run"]))).unwrap();
        let more = fs::read_to_string(place.join("path")).unwrap();
        let mut path: Vec<&str> = more.lines().rev().collect();
        path.push(&self.path);
        let mut command = Command::new("/bin/bash");
        command.arg("-e").arg(&script).env_clear();
        command.env("PATH", path.join(":"));
        command.env("GITHUB_PATH", place.join("path"));
        command.env("GITHUB_WORKSPACE", place.join("workspace"));
        command.current_dir(place.join("workspace"));
        if let Some(variables) = step["env"].as_hash() {
            for (name, value) in variables {
                command.env(text(name), context.filled(&text(value)));
            }
        }
        let found = run(&mut command);
        fs::write(place.join("log"), format!("{found:#?}")).unwrap();
        found.code == 0
    }

    fn action(&self, action: &str, with: &Yaml, context: &Context, workspace: &Path) {
        let input = |name: &str| context.filled(&text(&with[name]));
        let artifacts = self
            .sandbox
            .path(&format!("runner/{}/artifacts", context.run));
        match action {
            "actions/checkout@v4" => copy(&self.repository, workspace),
            "actions/upload-artifact@v4" => {
                let artifact = artifacts.join(input("name"));
                assert!(!artifact.exists(), "{} twice", artifact.display());
                copy(&workspace.join(input("path")), &artifact);
                if with["include-hidden-files"].as_bool() != Some(true) {
                    let script = r#"find "$0" -mindepth 1 -name '.*' -prune -exec rm -r {} +"#;
                    shell(script, &artifact, &artifact);
                }
            }
            "actions/download-artifact@v4" if with["pattern"].is_badvalue() => {
                copy(
                    &artifacts.join(input("name")),
                    &workspace.join(input("path")),
                );
            }
            "actions/download-artifact@v4" => {
                assert_eq!(with["merge-multiple"].as_bool(), Some(true));
                let pattern = input("pattern");
                let prefix = pattern.strip_suffix('*').unwrap();
                for name in names(&artifacts) {
                    if name.starts_with(prefix) {
                        let to = workspace.join(input("path"));
                        assert_disjoint(&artifacts.join(&name), &to);
                        copy(&artifacts.join(&name), &to);
                    }
                }
            }
            "actions/cache/save@v4" => {
                let cache = self.caches().join(input("key"));
                assert!(!cache.exists(), "a cache is never written again");
                // The real one writes such an archive too.
                let script = format!(r#"tar --posix -cf "$0" {}"#, words(&input("path")));
                shell(&script, &cache, workspace);
            }
            "actions/cache/restore@v4" => {
                let names = names(&self.caches());
                let exact = Some(input("key")).filter(|key| names.contains(key));
                let prefix = input("restore-keys");
                let newest = names
                    .into_iter()
                    .rfind(|name| name.starts_with(prefix.trim()));
                if let Some(name) = exact.or(newest) {
                    shell(r#"tar -xf "$0""#, &self.caches().join(name), workspace);
                }
            }
            _ => panic!("unknown action {action}"),
        }
    }

    fn caches(&self) -> PathBuf {
        let caches = self.sandbox.path("runner/caches");
        fs::create_dir_all(&caches).unwrap();
        caches
    }
}

/// Whether a job or step also runs after failures.
fn is_always(value: &Yaml) -> bool {
    match &value["if"] {
        Yaml::BadValue => false,
        condition => {
            assert_eq!(text(condition), "${{ !cancelled() }}");
            true
        }
    }
}

fn words(lines: &str) -> String {
    lines.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Copies what is in a directory, with times.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    shell(r#"cp -a . "$0""#, to, from);
}

/// No file of the one is in the other.
#[track_caller]
pub(crate) fn assert_disjoint(from: &Path, to: &Path) {
    for (path, _) in crate::common::tree(from) {
        let is_twice = from.join(&path).is_file() && to.join(&path).exists();
        assert!(!is_twice, "{} is of two shards", path.display());
    }
}

fn shell(script: &str, argument: &Path, directory: &Path) {
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", script]).arg(argument);
    run(command.current_dir(directory)).exits(0);
}
