//! What the README, the help and `docs/` promise about exit codes, reports, and what a run leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::batch::{parsed, put};
use crate::common::builder::right_layout;
use crate::common::faults::faults;
use crate::common::repository;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::parse_report;
use crate::common::tree;

fn text(name: &str) -> String {
    fs::read_to_string(repository(name)).unwrap()
}

/// A sandbox with an archive that is right, one that is not, and a tree of them.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let bytes = right_layout().tar();
    let mut wrong = right_layout();
    wrong.docker_manifest = None;
    for folder in ["", "in/", "broken/"] {
        put(&sandbox, &format!("{folder}right.tar"), &bytes);
        put(&sandbox, &format!("{folder}wrong.tar"), wrong.tar());
    }
    put(&sandbox, "cut.tar", &bytes[..2600]);
    put(&sandbox, "broken/cut.tar", &bytes[..2600]);
    sandbox
}

/// Everywhere the same codes are listed, and each of them is what a run returns.
#[test]
fn exit_codes_are_what_every_list_says() {
    let sandbox = sandbox();
    let help = |line: &[&str]| sandbox.ocify(line).exits(0).stdout;
    let listed = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '+');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let codes = words.iter().enumerate().filter_map(|(at, word)| {
            let is_sum = words.get(at + 1) == Some(&"+");
            let is_code = ["0", "1", "2", "3"].contains(word) || is_sum;
            is_code.then(|| (*word).to_owned())
        });
        codes.collect()
    };
    let section = |text: &str, start: &str, end: &str| {
        let (_, rest) = text.split_once(start).unwrap();
        rest.split(end).next().unwrap().to_owned()
    };
    let expected: BTreeSet<String> = ["0", "1", "128", "2", "3"].map(str::to_owned).into();
    for (place, list) in [
        (
            "README",
            section(&text("README.md"), "## Exit codes", "`--format"),
        ),
        (
            "report.md",
            section(&text("docs/report.md"), "Exit codes:", "\n\n"),
        ),
        ("--help", section(&help(&["--help"]), "Exit codes:", "\n\n")),
        (
            "fix --help",
            section(&help(&["fix", "--help"]), "Exit codes:", "\n\n"),
        ),
    ] {
        assert_eq!(listed(&list), expected, "{place}: {list}");
    }
    for (line, code) in [
        (&["fix", "wrong.tar", "-o", "0.tar"][..], 0),
        (&["fix", "right.tar", "-o", "1.tar"], 0),
        (&["fix", "right.tar", "--dry-run"], 0),
        (&["fix", "in", "-o", "out"], 0),
        (&["fix", "cut.tar", "-o", "2.tar"], 1),
        (&["fix", "cut.tar", "--dry-run"], 1),
        (&["fix", "broken", "-o", "out2"], 1),
        (&["fix", "broken", "--dry-run"], 1),
        (&["fix", "right.tar"], 2),
        (&["fix", "in"], 2),
        (&["fix", "wrong.tar", "--dry-run"], 3),
        (&["fix", "in", "--dry-run"], 3),
    ] {
        sandbox.ocify(line).exits(code);
    }
}

/// Wrong usage of every kind is noticed before anything is read or written.
#[test]
fn wrong_usage_reads_and_writes_nothing() {
    let sandbox = sandbox();
    let before = tree(sandbox.root());
    for line in [
        &["fix", "none.tar"][..],
        &["fix", "none.tar", "-o", "x.tar.xz"],
        &["fix", "none.tar", "other.tar", "-o", "x"],
        &["fix", "none.tar", "-o", "x", "--gzip-members", "multi"],
        &["fix", "in", "-o", "x.tar", "--report", "report"],
        &[
            "fix",
            "in",
            "-o",
            "x",
            "--metadata-file",
            "m",
            "--report",
            "report",
        ],
        &[
            "fix",
            "--files-from",
            "none",
            "-o",
            "x",
            "--digest-map",
            "map",
        ],
        &["fix", "none.tar", "-o", "x", "--platform", "amd64"],
    ] {
        for format in ["text", "json"] {
            let run = sandbox
                .ocify(&[line, &["--format", format]].concat())
                .exits(2);
            assert_eq!(run.stdout, "", "{line:?}");
            assert!(run.stderr.starts_with("error: "), "{line:?}: {run:#?}");
            assert!(!run.stderr.contains("No such file"), "{line:?}: {run:#?}");
            assert!(tree(sandbox.root()) == before, "{line:?}");
        }
    }
}

/// For whatever reason a run fails, the JSON report is there, says why, and is the only thing on its stream.
#[test]
fn failures_have_a_report() {
    let sandbox = sandbox();
    put(&sandbox, "file", "");
    let has_error = |report: &Value| report["error"]["code"].is_string();
    for line in [
        &["none.tar", "-o", "x.tar"][..],
        &["cut.tar", "-o", "x.tar"],
        &["right.tar", "-o", "right.tar"],
        &["right.tar", "-o", "none/x.tar"],
        &["right.tar", "-o", "none/x/"],
        &["right.tar", "-o", "x.tar", "--metadata-file", "none/m"],
        &["right.tar", "-o", "x2.tar", "--report", "none/r"],
        &["right.tar", "-o", "x3.tar", "--digest-map", "none/m"],
        &["none.tar", "--in-place"],
        &["none.tar", "--recover"],
        &["cut.tar", "--dry-run"],
    ] {
        let run = sandbox.ocify(&[&["fix"], line, &["--format", "json"]].concat());
        let report = run.exits(1).json();
        assert!(has_error(&report), "{line:?}: {report:#}");
        assert_eq!(
            (&report["status"], &report["output"]),
            (&"failed".into(), &Value::Null)
        );
    }
    for line in [&["cut.tar", "-o", "-"][..], &["none.tar", "-o", "-"]] {
        let run = sandbox.ocify(&[&["fix"], line, &["--format", "json"]].concat());
        assert!(has_error(&parse_report(&run.exits(1).stderr)), "{line:?}");
    }
    // A batch ends with its summary.
    for line in [
        &["in", "-o", "file"][..],
        &["in", "-o", "none/x"],
        &["in", "-o", "in/x"],
        &["in", "-o", "y", "--report", "none/r"],
        &["in", "-o", "y", "--digest-map", "none/m"],
        &["--files-from", "none", "-o", "y/"],
        &["--files-from", "none", "--dry-run"],
    ] {
        let run = sandbox.ocify(&[&["fix"], line, &["--format", "json"]].concat());
        let (_, summary) = parsed(&run.exits(1).stdout);
        assert!(has_error(&summary), "{line:?}: {summary:#}");
    }
    // The failure of an input is in its line alone.
    let run = sandbox.ocify(&["fix", "broken", "-o", "z", "--format", "json"]);
    let (items, summary) = parsed(&run.exits(1).stdout);
    assert!(has_error(&items["broken/cut.tar"]) && !has_error(&summary));
}

/// A failed run leaves neither an output under its name nor anything else, and what was there stays.
#[test]
fn an_output_under_its_name_is_complete() {
    let sandbox = Sandbox::new();
    put(&sandbox, "old.tar", "old");
    let mut fixed = right_layout();
    fixed.docker_manifest = None;
    fixed.write_to(&sandbox.path("old"));
    for fault in faults() {
        put(&sandbox, "in.tar", &fault.bytes);
        let before = tree(sandbox.root());
        let check = |run: &Run, line: &[&str]| {
            assert_eq!(run.code, 1, "{} {line:?}: {run:#?}", fault.name);
            assert!(tree(sandbox.root()) == before, "{} {line:?}", fault.name);
        };
        for line in [
            &["-o", "new.tar"][..],
            &["-o", "new.tar.gz"],
            &["-o", "new", "--layout"],
            &["-o", "new/"],
            &["-o", "old.tar", "--force"],
            &["-o", "old", "--layout", "--force"],
            &["--in-place"],
            &["--dry-run"],
        ] {
            let gzip = match line[0] {
                "-o" => &["--compression", "gzip"][..],
                _ => &[],
            };
            let line = [&["fix", "in.tar"], line, gzip].concat();
            let run = sandbox.ocify(&line);
            // Whoever does not read layers does not see that one is damaged.
            let reads_all = line.contains(&"-o");
            if reads_all || run.code != 0 && run.code != 3 {
                check(&run, &line);
            }
            put(&sandbox, "in.tar", &fault.bytes);
        }
    }
}

/// What SECURITY.md promises is tested: every test that it names exists.
#[test]
fn every_promise_names_tests_that_exist() {
    let security = text("SECURITY.md");
    let sources: Vec<(String, String)> = ["src", "tests/it"]
        .iter()
        .flat_map(|folder| tree(&repository(folder)))
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|(path, bytes)| {
            let text = String::from_utf8(bytes).unwrap();
            let path = path.with_extension("").display().to_string();
            (path, text.replace("\n    ", "\n"))
        })
        .collect();
    let mut wrong = Vec::new();
    let promises = security.split("\n- **").skip(1);
    for promise in promises.clone() {
        let title = promise.split("**").next().unwrap();
        let spans = promise.split('`').skip(1).step_by(2);
        let named: Vec<(&str, &str)> = spans.filter_map(|span| span.rsplit_once("::")).collect();
        if named.is_empty() {
            wrong.push(format!("{title}: no test"));
        }
        for (module, test) in named {
            let function = format!("#[test]\nfn {test}()");
            let is_there = sources.iter().any(|(path, text)| {
                path.split('/').any(|part| part == module) && text.contains(&function)
            });
            if !is_there {
                wrong.push(format!("{title}: no test {module}::{test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(promises.count() >= 10);
}

/// Every test that a campaign makes large is in its row of docs/security-testing.md, and `.ci/full` runs it.
#[test]
fn campaigns_run_every_test_that_they_make_large() {
    let (page, script) = (text("docs/security-testing.md"), text(".ci/full"));
    let readers: Vec<(String, String)> = tree(&repository("tests/it"))
        .into_iter()
        .filter(|(path, _)| path.parent() == Some(Path::new("")) && !path.ends_with("contracts.rs"))
        .map(|(path, bytes)| {
            let name = path.display().to_string();
            (name, String::from_utf8(bytes).unwrap())
        })
        .collect();
    let mut found = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let Some((variable, _)) = cells
            .last()
            .and_then(|size| size.split_once("OCIFY_")?.1.split_once('='))
        else {
            continue;
        };
        let variable = format!("OCIFY_{variable}");
        let runs: Vec<&str> = script
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(&format!("{variable}="))?;
                Some(rest.split_once(" tests ")?.1.trim_end_matches(" ;;"))
            })
            .flat_map(str::split_whitespace)
            .collect();
        // This one is read in one place for several tests.
        let read = match &variable[..] {
            "OCIFY_CAMPAIGN_CASES" => "random_cases(".to_owned(),
            _ => format!("(\"{variable}\""),
        };
        for (name, _) in readers.iter().filter(|(_, source)| source.contains(&read)) {
            found += 1;
            let is_listed = row.contains(&format!("`tests/it/{name}`"));
            assert!(is_listed, "{name} is not in the row {row}");
            let module = format!("{}::", name.trim_end_matches(".rs"));
            let mut runs = runs.iter();
            let is_run = runs.any(|run| module.contains(run) || run.starts_with(&module));
            assert!(is_run, "{name} is not run with {variable}");
        }
    }
    assert!(found >= 10, "{found}");
}
