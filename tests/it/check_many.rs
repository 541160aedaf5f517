//! `ocify check` of many inputs and of trees.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::batch::{put, put_fixture};
use crate::common::builder::right_layout;
use crate::common::fixture;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::{parse_check, parse_checks};
use crate::common::tree;

const GOOD: &str = "docker26g-save.tar";
/// Docker's graph driver does not load it.
const BAD: &str = "buildkit-oci-gzip-ocitrue.tar";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/good.tar", GOOD);
    put_fixture(&sandbox, "in/deep/good.tar", GOOD);
    right_layout().write_to(&sandbox.path("in/layout"));
    put(&sandbox, "in/other.tar", tar(&[Entry::file("a", "b")]));
    put(&sandbox, "in/note.txt", "text");
    symlink("good.tar", sandbox.path("in/link.tar")).unwrap();
    sandbox
}

fn check(sandbox: &Sandbox, line: &[&str]) -> Run {
    let before = tree(sandbox.root());
    let run = sandbox.ocify(&[&["check"], line].concat());
    assert!(tree(sandbox.root()) == before, "{line:?}");
    run
}

#[test]
fn each_input_of_a_tree_has_a_line_and_the_exit_code_is_the_worst() {
    let sandbox = sandbox();
    let json = ["in", "--format", "json"];
    let (items, summary) = parse_checks(&check(&sandbox, &json).exits(0).stdout);
    let status = |items: &std::collections::BTreeMap<String, serde_json::Value>, input: &str| {
        items[input]["status"].as_str().unwrap().to_owned()
    };
    for (input, expected) in [
        ("in/good.tar", "passed"),
        ("in/deep/good.tar", "passed"),
        ("in/layout", "passed"),
        ("in/other.tar", "skipped"),
        ("in/link.tar", "skipped"),
    ] {
        assert_eq!(status(&items, input), expected, "{input}");
    }
    assert_eq!(summary["items"]["total"], 5);
    assert_eq!(summary["others"], 1);

    put_fixture(&sandbox, "in/bad.tar", BAD);
    let (items, summary) = parse_checks(&check(&sandbox, &json).exits(3).stdout);
    assert_eq!(status(&items, "in/bad.tar"), "rejected");
    assert_eq!(summary["items"]["rejected"], 1);
    // A gate for engines that load it.
    let gate = [&json[..], &["--for", "containerd@1.7.24"]].concat();
    check(&sandbox, &gate).exits(0);

    let cut = fs::read(fixture(GOOD)).unwrap();
    put(&sandbox, "in/cut.tar", &cut[..cut.len() / 2]);
    let run = check(&sandbox, &json).exits(1);
    let (items, summary) = parse_checks(&run.stdout);
    assert_eq!(status(&items, "in/cut.tar"), "failed");
    assert_eq!(items["in/cut.tar"]["error"]["class"], "corrupt");
    assert_eq!(
        summary["items"],
        json!({"total": 7, "passed": 3, "rejected": 1, "skipped": 2, "failed": 1, "unfinished": 0})
    );
    assert!(run.stderr.contains("cut.tar"), "{}", run.stderr);
}

/// What an input's line says is what a check of this input alone says.
#[test]
fn a_line_is_the_report_of_its_input() {
    let sandbox = sandbox();
    put_fixture(&sandbox, "in/bad.tar", BAD);
    let more = ["--format", "json", "--fail-on", "no-docker-manifest"];
    let run = check(&sandbox, &[&["in"], &more[..]].concat());
    let (items, _) = parse_checks(&run.stdout);
    for input in ["in/good.tar", "in/bad.tar", "in/layout"] {
        let alone = parse_check(&check(&sandbox, &[&[input], &more[..]].concat()).stdout);
        let mut line = items[input].clone();
        for key in ["type", "bytes", "seconds"] {
            line.as_object_mut().unwrap().shift_remove(key).unwrap();
        }
        assert_eq!(line, alone, "{input}");
    }
    assert_eq!(
        items["in/bad.tar"]["failed_on"],
        json!(["no-docker-manifest"])
    );
}

#[test]
fn lines_say_the_worst_verdict_and_its_reason() {
    let sandbox = sandbox();
    put_fixture(&sandbox, "in/bad.tar", BAD);
    let text = check(&sandbox, &["in"]).exits(3).stdout;
    let line = |start: &str| {
        let mut lines = text.lines();
        lines
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {text}"))
    };
    let bad = line("rejected  in/bad.tar: no in ");
    assert!(
        bad.ends_with(" engines (no-docker-manifest), loads after ocify fix"),
        "{bad}"
    );
    let good = line("passed    in/good.tar: loads in all ");
    assert!(good.ends_with(" engines"), "{good}");
    line("skipped   in/other.tar: not an image archive");
    let end = text.lines().last().unwrap();
    assert!(end.starts_with("6 inputs in "), "{end}");
    assert!(end.contains(": 3 passed, 1 rejected, 2 skipped; "), "{end}");
}

/// Nothing is written, so inputs can have the same name.
#[test]
fn inputs_can_be_listed_and_selected() {
    let sandbox = sandbox();
    put_fixture(&sandbox, "in/bad.tar", BAD);
    put(&sandbox, "list", "in/good.tar\nin/bad.tar\n");
    let names = |line: &[&str]| -> Vec<String> {
        let run = check(&sandbox, &[line, &["--format", "json"]].concat());
        assert!([0, 3].contains(&run.code), "{line:?}: {run:#?}");
        parse_checks(&run.stdout).0.into_keys().collect()
    };
    for (line, expected) in [
        (
            &["in/good.tar", "in/deep/good.tar"][..],
            &["in/deep/good.tar", "in/good.tar"][..],
        ),
        (&["--files-from", "list"], &["in/bad.tar", "in/good.tar"]),
        (&["in", "--include", "bad*"], &["in/bad.tar"]),
        (
            &["in", "--exclude", "deep", "--exclude", "[blo]*"],
            &["in/good.tar"],
        ),
    ] {
        assert_eq!(names(line), expected, "{line:?}");
    }
    let all = names(&["in"]);
    let mut shards: Vec<String> = ["1/3", "2/3", "3/3"]
        .iter()
        .flat_map(|shard| names(&["in", "--shard", shard]))
        .collect();
    shards.sort();
    assert_eq!(shards, all);
}

#[test]
fn a_tree_without_archives_is_reported_and_wrong_usage_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("empty")).unwrap();
    let run = check(&sandbox, &["empty"]).exits(0);
    assert_eq!(run.stderr, "warning: no image archives found\n");
    for line in [
        &["empty", "--all"][..],
        &["empty", "-"],
        &["empty", "--copy-others"],
        &["a.tar", "b.tar", "--include", "x"],
    ] {
        let run = check(&sandbox, line).exits(2);
        assert_eq!(run.stdout, "", "{line:?}");
    }
    let line = ["--files-from", "none", "--format", "json"];
    let (items, summary) = parse_checks(&check(&sandbox, &line).exits(1).stdout);
    assert!(items.is_empty());
    assert!(summary["error"]["code"].is_string(), "{summary:#}");
}
