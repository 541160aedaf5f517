//! What a dry run says is what the run itself does, whatever the way out.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::runner::{Sandbox, run};
use common::{fixture, fixtures};
use serde_json::Value;

#[test]
fn a_dry_run_says_what_the_run_does() {
    let ways: [&[&str]; 8] = [
        &["-o", "out.tar"],
        &["-o", "out.tar.gz"],
        &["-o", "out.tzst"],
        &["-o", "out/"],
        &["-o", "out.tar", "--verify", "documents"],
        &["-o", "out.tar", "--attestations", "drop"],
        &["-o", "out.tar", "--oci-mediatypes=false"],
        &["--in-place"],
    ];
    for name in fixtures() {
        let is_dir = fixture(&name).is_dir();
        for way in ways {
            if is_dir && way == ["--in-place"] {
                continue;
            }
            let sandbox = Sandbox::new();
            let input = match is_dir {
                true => fixture(&name),
                false => sandbox.put("in.tar", fs::read(fixture(&name)).unwrap()),
            };
            let reported = |more: &[&str]| {
                let mut command = sandbox.command();
                command.arg("fix").arg(&input).args(way).args(more);
                let run = run(command.args(["--format", "json"]));
                (run.code, run.json())
            };
            let dry = reported(&["--dry-run"]);
            compare(&dry, &reported(&[]), &format!("{name} {way:?}"));
        }
    }
}

#[test]
fn a_dry_run_of_a_stream_says_what_the_run_does() {
    for name in fixtures() {
        if fixture(&name).is_dir() {
            continue;
        }
        let sandbox = Sandbox::new();
        let reported = |line: &str| {
            let script = format!("exec \"$0\" fix - {line} --format json < \"$1\"");
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_ocify")]);
            command.arg(fixture(&name)).current_dir(sandbox.root());
            let run = run(&mut command);
            (run.code, run)
        };
        let (dry_code, dry) = reported("-o - --dry-run");
        let (code, wet) = reported("-o - 3>&1 >out.tar 2>&3");
        let report = |text: &str| serde_json::from_str(text).unwrap();
        compare(
            &(dry_code, report(&dry.stdout)),
            &(code, report(&wet.stdout)),
            &name,
        );
    }
}

/// Compares exit codes and reports of a dry run and of the run itself.
fn compare(dry: &(i32, Value), wet: &(i32, Value), what: &str) {
    for key in ["changes", "findings", "digests", "images", "error"] {
        assert_eq!(dry.1[key], wet.1[key], "{what}: {key}");
    }
    let expected = match (wet.0, wet.1["status"].as_str().unwrap()) {
        (0, "fixed") => 3,
        (code, _) => code,
    };
    assert_eq!(dry.0, expected, "{what}");
}
