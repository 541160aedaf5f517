//! Variables that set the defaults of options for all runs, such as those of a CI system.

use std::fs;

use serde_json::Value;

use crate::common::batch::parsed;
use crate::common::builder::right_layout;
use crate::common::fixture;
use crate::common::runner::{Run, Sandbox, run};

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.put("app.tar", fs::read(fixture(ZSTD)).unwrap());
    sandbox
}

fn with(sandbox: &Sandbox, variables: &[(&str, &str)], line: &[&str]) -> Run {
    run(sandbox.command().envs(variables.iter().copied()).args(line))
}

#[test]
fn a_variable_does_what_its_option_does() {
    let sandbox = sandbox();
    let fixed = |variables: &[(&str, &str)], more: &[&str]| {
        let line = [&["fix", "app.tar", "-o", "out.tar", "--force"], more].concat();
        with(&sandbox, variables, &line).exits(0);
        sandbox.read("out.tar")
    };
    let plain = fixed(&[], &[]);
    let recompressed = fixed(&[], &["--for", "docker@20.10"]);
    assert!(plain != recompressed);
    let engine = ("OCIFY_FOR", "docker@20.10");
    assert!(fixed(&[engine], &[]) == recompressed);
    let several = ("OCIFY_FOR", "containerd@1.7, docker@20.10");
    assert!(fixed(&[several], &[]) == recompressed);
    // The command line decides.
    assert!(fixed(&[engine], &["--for", "docker@28"]) == plain);
    // An empty variable is as good as none.
    assert!(fixed(&[("OCIFY_FOR", "")], &[]) == plain);
    let checked = |variables: &[(&str, &str)]| {
        let line = ["check", "app.tar", "--format", "json"];
        let report: Value = serde_json::from_str(&with(&sandbox, variables, &line).stdout).unwrap();
        report["verdicts"].as_array().unwrap().len()
    };
    assert_eq!(checked(&[several]), 2);
    let line = ["fix", "app.tar", "-o", "out.tar", "--force"];
    let shown = with(&sandbox, &[("OCIFY_PROGRESS", "rawjson")], &line).exits(0);
    assert!(
        shown.stderr.starts_with("{\"event\":\"start\""),
        "{shown:#?}"
    );
    let limit = [("OCIFY_MAX_SIZE", "1"), ("OCIFY_JOBS", "1")];
    let line = ["fix", "app.tar", "-o", "gzip.tar", "--compression", "gzip"];
    let refused = with(&sandbox, &limit, &line).exits(1);
    assert!(refused.stderr.contains("--max-size"), "{refused:#?}");
}

/// A default does not conflict with options that exclude its option.
#[test]
fn a_variable_refuses_nothing() {
    let sandbox = sandbox();
    let all = [
        ("OCIFY_FOR", "docker@28/graphdriver"),
        ("OCIFY_JOBS", "2"),
        ("OCIFY_MAX_RATIO", "900"),
        ("OCIFY_MAX_SIZE", "1GiB"),
        ("OCIFY_MAX_WINDOW", "64"),
        ("OCIFY_PROGRESS", "plain"),
        ("OCIFY_SPOOL_DIR", "."),
    ];
    for (line, code) in [
        (&["fix", "app.tar", "-o", "out.tar"][..], 0),
        (&["merge", "app.tar", "-o", "merged.tar"], 0),
        (&["split", "app.tar", "-o", "split/"], 0),
        (&["push", "app.tar", "localhost:1/app", "--dry-run"], 0),
        (&["check", "app.tar", "--format", "github"], 0),
        (&["check", "app.tar", "--format", "junit"], 0),
        (&["fix", "app.tar", "--in-place"], 0),
        (&["fix", "app.tar", "--recover"], 0),
        (&["engines"], 0),
    ] {
        let found = with(&sandbox, &all, line);
        assert_eq!(found.code, code, "{line:?}: {found:#?}");
    }
    // GitHub Actions would take lines of progress for commands.
    let line = ["check", "app.tar", "--format", "github"];
    assert_eq!(with(&sandbox, &all, &line).exits(0).stderr, "");
}

#[test]
fn an_invalid_variable_is_named() {
    let sandbox = sandbox();
    let line = ["fix", "app.tar", "-o", "out.tar"];
    for (variable, value) in [
        ("OCIFY_JOBS", "0"),
        ("OCIFY_FOR", "docker@20.10,nothing"),
        ("OCIFY_PROGRESS", "loud"),
        ("OCIFY_MAX_SIZE", "large"),
    ] {
        let found = with(&sandbox, &[(variable, value)], &line).exits(2);
        let tip = format!("the value comes from {variable} in the environment");
        assert!(found.stderr.contains(&tip), "{found:#?}");
    }
    let given = [&line[..], &["--jobs", "0"]].concat();
    let found = with(&sandbox, &[("OCIFY_JOBS", "0")], &given).exits(2);
    assert!(!found.stderr.contains("environment"), "{found:#?}");
}

/// Options that weaken checks, or replace files, have no variables.
#[test]
fn no_variable_forces_or_relaxes() {
    let sandbox = sandbox();
    sandbox.put("out.tar", "mine");
    let all = [("OCIFY_FORCE", "1"), ("OCIFY_LENIENT", "1")];
    let found = with(&sandbox, &all, &["fix", "app.tar", "-o", "out.tar"]).exits(1);
    assert!(found.stderr.contains("already exists"), "{found:#?}");
    let mut twice = right_layout().tar();
    twice.extend(right_layout().tar());
    sandbox.put("twice.tar", twice);
    let line = ["fix", "twice.tar", "-o", "new.tar"];
    with(&sandbox, &all, &line).exits(1);
    assert!(!sandbox.path("new.tar").exists());
}

/// Outputs that were written with another value are written again.
#[test]
fn a_variable_is_part_of_what_a_batch_records() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("in")).unwrap();
    fs::copy(sandbox.path("app.tar"), sandbox.path("in/app.tar")).unwrap();
    let status = |variables: &[(&str, &str)], more: &[&str]| {
        let line = [&["fix", "in", "-o", "out", "--format", "json"], more].concat();
        let found = with(&sandbox, variables, &line).exits(0);
        let (items, _) = parsed(&found.stdout);
        items["in/app.tar"]["status"].as_str().unwrap().to_owned()
    };
    let engine = ("OCIFY_FOR", "docker@20.10");
    assert_eq!(status(&[], &[]), "fixed");
    assert_eq!(status(&[], &[]), "kept");
    assert_eq!(status(&[engine], &[]), "fixed");
    assert_eq!(status(&[engine], &[]), "kept");
    assert_eq!(status(&[], &["--for", "docker@20.10"]), "kept");
    // How many threads there are changes no output.
    assert_eq!(status(&[engine, ("OCIFY_JOBS", "1")], &[]), "kept");
}
