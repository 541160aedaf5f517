//! The changes and findings of many inputs in one run, and of those that an earlier run finished.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::batch::{Batch, batch, parsed, put_fixture};
use crate::common::runner::Sandbox;
use crate::common::sha256;

const STATE: &str = "out/.ocify-state";

/// Two archives, of which only the first has findings.
fn two() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a.tar", "buildkit-docker-zstd-ocifalse.tar");
    put_fixture(&sandbox, "in/b.tar", "buildkit-docker-gzip-ocifalse.tar");
    sandbox
}

/// The line of an input in a text report, and what is below it.
#[track_caller]
fn block<'a>(text: &'a str, input: &str) -> (&'a str, Vec<&'a str>) {
    let mut lines = text.lines();
    let line = lines.find(|line| line.contains(input));
    let line = line.unwrap_or_else(|| panic!("no line of {input}: {text}"));
    let below = lines.take_while(|line| line.starts_with(' '));
    (line, below.collect())
}

/// What the report of a single input says below its headline, as it appears below the line of one of many.
fn indented(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1).filter(|line| !line.is_empty());
    lines.map(|line| format!("  {line}")).collect()
}

const WARNING: [&str; 2] = [
    "  warning: index.json, manifests[0], layers[0]: 4 layers are compressed with zstd, which Docker before 23.0 cannot read [zstd-layers]",
    "    hint: for older versions, use --compression gzip or --for docker@20.10",
];

#[test]
fn each_of_many_has_the_report_of_a_single_one_below_its_line() {
    for (of_many, of_one, status) in [
        (&["-o", "out"][..], &["-o", "single.tar"][..], "fixed    "),
        (
            &["--dry-run", "--strict"],
            &["--dry-run", "--strict"],
            "would-fix",
        ),
        (&["--in-place"], &["--in-place", "--dry-run"], "fixed    "),
    ] {
        let sandbox = two();
        let single = |name: &str| {
            let run = sandbox.ocify(&[&["fix", name, "-v"], of_one].concat());
            let _ = fs::remove_file(sandbox.path("single.tar"));
            indented(&run.stdout)
        };
        let expected = ["in/a.tar", "in/b.tar"].map(single);
        let many = sandbox.ocify(&[&["fix", "in", "-v"], of_many].concat());
        for (input, expected) in ["in/a.tar", "in/b.tar"].iter().zip(&expected) {
            let (line, below) = block(&many.stdout, input);
            assert!(line.starts_with(&format!("{status} {input}: ")), "{line}");
            assert_eq!(below, *expected, "{of_many:?} {input}");
        }
        let (line, below) = block(&many.stdout, "in/a.tar");
        assert!(line.ends_with(", 1 finding"), "{line}");
        assert_eq!(below[below.len() - 2..], WARNING);
        assert!(many.stdout.contains("\n2 inputs in "), "{}", many.stdout);
        assert!(!many.stdout.contains("\n\n"), "{}", many.stdout);
    }
}

#[test]
fn each_push_of_many_has_the_report_of_a_single_one_below_its_line() {
    let sandbox = two();
    let push = |input: &str| {
        let line = ["push", input, "localhost:1/app", "--dry-run", "-v"];
        sandbox.ocify(&line).exits(0).stdout
    };
    let many = push("in");
    for input in ["in/a.tar", "in/b.tar"] {
        let (line, below) = block(&many, input);
        assert!(line.starts_with("would-push "), "{line}");
        assert_eq!(below, indented(&push(input)));
        assert!(below.contains(&"    localhost:1/app:v1"), "{below:#?}");
    }
    assert!(!many.contains("\n\n"), "{many}");
}

#[test]
fn the_report_for_programs_always_shows_everything() {
    let sandbox = two();
    for line in [
        &["fix", "in", "-o", "out"][..],
        &["push", "in", "localhost:1/app", "--dry-run"],
    ] {
        let line = [line, &["-v", "--format", "json"]].concat();
        let run = sandbox.ocify(&line).exits(2);
        let expected = "--verbose has no effect: the JSON report always shows everything";
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}

/// The findings of an input in a report.
fn findings<'a>(found: &'a Batch, input: &str) -> (&'a Value, &'a Value) {
    let item = &found.items[input];
    (&item["findings"], &item["findings_omitted"])
}

#[test]
fn later_runs_repeat_the_findings_of_what_is_finished() {
    let sandbox = two();
    let first = batch(&sandbox, &["in", "-o", "out"]);
    first.exits(0);
    let (expected, none) = (findings(&first, "in/a.tar"), (&json!([]), &json!(0)));
    assert_eq!(expected.0[0]["rule"], "zstd-layers");
    assert_eq!(expected.1, 0);
    assert_eq!(findings(&first, "in/b.tar"), none);
    for more in [
        &[][..],
        &["--verify", "digests"],
        &["--dry-run"],
        &["--shard", "1/1"],
        &["--report", "report.jsonl"],
    ] {
        let line = [&["in", "-o", "out"], more].concat();
        let again = batch(&sandbox, &line);
        again.exits(0);
        assert_eq!(again.count("kept"), 2, "{more:?}");
        assert_eq!(findings(&again, "in/a.tar"), expected, "{more:?}");
        assert_eq!(findings(&again, "in/b.tar"), none, "{more:?}");
        let digests = |batch: &Batch| batch.items["in/a.tar"]["digests"].clone();
        assert_eq!(digests(&again), digests(&first), "{more:?}");
        let line = [&["fix"], &line[..], &["-v"]].concat();
        let text = sandbox.ocify(&line).exits(0).stdout;
        let verified = match more {
            ["--verify", _] => " and verified again",
            _ => "",
        };
        let a = format!("kept      in/a.tar: finished earlier{verified}, 1 finding");
        assert_eq!(block(&text, "in/a.tar"), (&*a, WARNING.to_vec()));
        let b = format!("kept      in/b.tar: finished earlier{verified}");
        assert_eq!(block(&text, "in/b.tar"), (&*b, vec![]));
        let short = sandbox.ocify(&line[..line.len() - 1]).exits(0).stdout;
        assert!(short.starts_with("2 inputs in "), "{short}");
    }
    let report = fs::read_to_string(sandbox.path("report.jsonl")).unwrap();
    let (items, _) = parsed(&report);
    assert_eq!(&items["in/a.tar"]["findings"], expected.0);
    let map = ["--digest-map", "map.jsonl"];
    batch(&sandbox, &[&["in", "-o", "out"], &map[..]].concat()).exits(0);
    let map = fs::read_to_string(sandbox.path("map.jsonl")).unwrap();
    let line: Value = serde_json::from_str(map.lines().next().unwrap()).unwrap();
    assert_eq!(line["input"], "in/a.tar");
}

/// Makes a state one of format 3, whose notes are only the changed digests.
fn downgrade(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().shift_remove("sum");
        value["note"] = value["note"]["digests"].take();
        let text = value.to_string();
        let sum = &sha256(&text.as_bytes()[1..])[..16];
        format!("{{\"sum\":\"{sum}\",{}\n", &text[1..])
    });
    let lines: String = lines.collect();
    fs::write(path, format!("{{\"format\":3}}\n{lines}")).unwrap();
}

#[test]
fn outputs_recorded_without_findings_stay_and_have_none() {
    let sandbox = two();
    let first = batch(&sandbox, &["in", "-o", "out"]);
    first.exits(0);
    downgrade(&sandbox.path(STATE));
    let older = sandbox.read(STATE);
    for (more, is_upgraded) in [(&["--dry-run"][..], false), (&[], true), (&[], true)] {
        let again = batch(&sandbox, &[&["in", "-o", "out"], more].concat());
        again.exits(0);
        assert_eq!((again.count("kept"), again.run.stderr.as_str()), (2, ""));
        for input in ["in/a.tar", "in/b.tar"] {
            assert_eq!(findings(&again, input), (&json!([]), &Value::Null));
            let digests = |batch: &Batch| batch.items[input]["digests"].clone();
            assert_eq!(digests(&again), digests(&first));
        }
        let state = fs::read_to_string(sandbox.path(STATE)).unwrap();
        assert_eq!(state.starts_with("{\"format\":4}\n"), is_upgraded);
        assert_eq!(state.as_bytes() == older, !is_upgraded);
    }
    let text = sandbox.ocify(&["fix", "in", "-o", "out", "-v"]).exits(0);
    let expected = "kept      in/a.tar: finished earlier";
    assert_eq!(block(&text.stdout, "in/a.tar"), (expected, vec![]));
    // What is written again has a record with findings.
    batch(&sandbox, &["in", "-o", "out", "--force"]).exits(0);
    let again = batch(&sandbox, &["in", "-o", "out"]);
    assert_eq!(again.count("kept"), 2);
    assert_eq!(findings(&again, "in/a.tar"), findings(&first, "in/a.tar"));
}
