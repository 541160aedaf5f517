//! `ocify check` of many inputs and of trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put, put_fixture};
use crate::common::builder::{gzip, right_layout};
use crate::common::fixture;
use crate::common::random::Random;
use crate::common::runner::{Run, Sandbox, is_ignored};
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
    let status = |items: &BTreeMap<String, Value>, input: &str| {
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

/// The words of the lines below the first one.
fn words_below(text: &str) -> Vec<&str> {
    let below = text.lines().skip(1);
    let below = below.take_while(|line| line.is_empty() || !line.starts_with("1 input"));
    below.flat_map(str::split_whitespace).collect()
}

#[test]
fn all_shows_the_report_of_each_input_below_its_line() {
    for command in ["check", "inspect"] {
        for name in [GOOD, "docker26c-save-multi.tar", "docker20-save.tar"] {
            let sandbox = Sandbox::new();
            put_fixture(&sandbox, "in/a.tar", name);
            let single = sandbox.ocify(&[command, "in/a.tar", "--all"]);
            let many = sandbox.ocify(&[command, "in", "--all"]);
            assert_eq!(many.code, single.code, "{command} {name}");
            let short = sandbox.ocify(&[command, "in"]);
            assert_eq!(many.stdout.lines().next(), short.stdout.lines().next());
            let below = || many.stdout.lines().filter(|line| line.starts_with("  "));
            assert_eq!(below().count(), many.stdout.lines().count() - 2);
            let mut words = words_below(&many.stdout);
            let mut expected = words_below(&single.stdout);
            if command == "check" {
                let (_, contents) = single
                    .stdout
                    .lines()
                    .next()
                    .unwrap()
                    .split_once(": ")
                    .unwrap();
                expected.splice(0..0, contents.split_whitespace());
            }
            // The only difference is where many fixed outputs go.
            for words in [&mut words, &mut expected] {
                words.retain(|word| !["fixed.tar", "fixed/"].contains(word));
            }
            assert!(words.len() > 10);
            assert_eq!(words, expected, "{command} {name}");
        }
    }
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
    assert!(
        end.contains(": 3 passed, 1 rejected, 1 not an image archive, 1 symbolic link skipped; "),
        "{end}"
    );
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
        &["empty", "--all", "--format", "junit"][..],
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

/// A reader of the report must not take it for one of all inputs.
#[test]
fn a_check_that_is_stopped_says_so() {
    if is_ignored(Signal::TERM) {
        return;
    }
    for format in ["text", "json"] {
        let sandbox = sandbox();
        let mut command = sandbox.command();
        command.args(["check", "--files-from", "-", "--format", format]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // The second path is never complete.
        let mut list = child.stdin.take().unwrap();
        list.write_all(b"in/good.tar\nin/de").unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        stdout.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{said}");
        drop(list);
        if format == "json" {
            let (items, summary) = parse_checks(&said);
            assert_eq!(items.keys().collect::<Vec<_>>(), ["in/good.tar"]);
            assert_eq!(summary["interrupted"], true);
            assert_eq!(summary["error"]["code"], "interrupted");
            assert_eq!(summary["items"]["passed"], 1);
        } else {
            let lines: Vec<&str> = said.lines().collect();
            assert!(lines[0].starts_with("passed    in/good.tar: "), "{said}");
            assert!(lines[1].starts_with("stopped after 1 input in "), "{said}");
            assert!(lines[1].contains(" s: 1 passed; "), "{said}");
            assert_eq!(lines.len(), 2, "{said}");
        }
    }
    // A run that was not stopped does not say so.
    let sandbox = sandbox();
    let said = check(&sandbox, &["in"]).exits(0).stdout;
    assert!(!said.contains("stopped"), "{said}");
}

/// What cannot be read to its end may be an image, and a gate must not hide that, whatever was in it so far.
#[test]
fn an_archive_that_cannot_be_read_to_its_end_fails() {
    let other = tar(&[Entry::file("a", "b"), Entry::file("c", [b'x'; 5000])]);
    let mut invalid = other.clone();
    invalid[1024 + 150] ^= 1;
    let mut random = Random(1);
    let noise: Vec<u8> = (0..5000).map(|_| random.byte()).collect();
    let cut_gzip = gzip(&tar(&[Entry::file("a", noise)]));
    let bomb = gzip(&tar(&[Entry::file("a", vec![0; 20 << 20])]));
    for (bytes, code) in [
        (&other[..3000], "truncated-archive"),
        (&cut_gzip[..1500], "truncated-archive"),
        (&invalid, "invalid-archive"),
        (&bomb, "size-limit"),
    ] {
        let sandbox = sandbox();
        put(&sandbox, "in/cut.tar", bytes);
        let more = ["--max-size", "1MB"];
        let run = check(&sandbox, &[&["in", "--format", "json"], &more[..]].concat()).exits(1);
        let (items, summary) = parse_checks(&run.stdout);
        assert_eq!(items["in/cut.tar"]["status"], "failed", "{code}");
        assert_eq!(items["in/cut.tar"]["error"]["code"], code);
        assert_eq!(summary["items"]["failed"], 1);
        let run = check(&sandbox, &[&["in"], &more[..]].concat()).exits(1);
        let line = run.stdout.lines().find(|line| line.contains("cut.tar"));
        assert!(
            line.is_some_and(|line| line.starts_with("failed    in/cut.tar: ")),
            "{}",
            run.stdout
        );
        assert!(run.stderr.contains("cut.tar"), "{}", run.stderr);
    }
}

/// A tree may contain what an earlier run wrote. `check` and `fix` find the same inputs, and neither reports what ocify keeps
/// for itself.
#[test]
fn a_check_finds_what_a_fix_finds() {
    let sandbox = sandbox();
    // What makes an image unreadable may be valid in another archive.
    let twice = [Entry::file("a", "b"), Entry::file("a", "c")];
    put(&sandbox, "in/twice.tar", tar(&twice));
    batch(&sandbox, &["in", "-o", "out"]).exits(0);
    fs::rename(sandbox.path("out"), sandbox.path("in/out")).unwrap();
    put_fixture(&sandbox, "in/.ocify-work/0/1", GOOD);
    assert!(sandbox.path("in/out/.ocify-state").exists());
    let fixed = batch(&sandbox, &["in", "--dry-run"]);
    let run = check(&sandbox, &["in", "--format", "json"]).exits(0);
    let (items, summary) = parse_checks(&run.stdout);
    let skipped = |items: &BTreeMap<String, Value>| -> BTreeMap<String, bool> {
        let statuses = items.iter();
        let statuses = statuses.map(|(input, item)| (input.clone(), item["status"] == "skipped"));
        statuses.collect()
    };
    assert_eq!(skipped(&items), skipped(&fixed.items));
    for (input, is_skipped) in [("in/out/good.tar", false), ("in/twice.tar", true)] {
        assert_eq!(skipped(&items)[input], is_skipped, "{input}");
    }
    assert!(!items.keys().any(|input| input.contains(".ocify-")));
    assert_eq!(summary["others"], fixed.summary["others"]["left"]);
}

/// An engine has several stores or transports.
#[test]
fn a_line_counts_engines() {
    let sandbox = sandbox();
    put_fixture(&sandbox, "in/bad.tar", BAD);
    let (items, _) = parse_checks(&check(&sandbox, &["in", "--format", "json"]).stdout);
    let text = check(&sandbox, &["in"]).stdout;
    let engines = |input: &str, is_meant: fn(&Value) -> bool| {
        let verdicts = items[input]["verdicts"].as_array().unwrap();
        let counted = verdicts
            .iter()
            .filter(|verdict| verdict["supported"] == true && is_meant(verdict));
        let names: BTreeSet<&str> = counted
            .map(|verdict| verdict["engine"].as_str().unwrap())
            .collect();
        names.len()
    };
    let all = engines("in/good.tar", |_| true);
    let line = format!("in/good.tar: loads in all {all} engines\n");
    assert!(text.contains(&line), "{line}: {text}");
    let bad = engines("in/bad.tar", |verdict| verdict["loads"] == "no");
    let line = format!("in/bad.tar: no in {bad} of {all} engines (");
    assert!(text.contains(&line), "{line}: {text}");
    let verdicts = items["in/good.tar"]["verdicts"].as_array().unwrap();
    assert!(verdicts.len() > all);
    let asked = check(
        &sandbox,
        &["in/good.tar", "in/bad.tar", "--for", "docker@28.5"],
    )
    .stdout;
    assert!(asked.contains("in/good.tar: loads\n"), "{asked}");
}
