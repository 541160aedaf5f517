//! A dry run reports what the run does, for every kind of output.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::common::runner::{Sandbox, run};
use crate::common::{fixture, fixtures};

#[test]
fn a_dry_run_reports_what_the_run_does() {
    let ways: [&[&str]; 8] = [
        &["-o", "out.tar"],
        &["-o", "out.tar.gz"],
        &["-o", "out.tzst"],
        &["-o", "out", "--layout"],
        &["-o", "out.tar", "--verify", "documents"],
        &["-o", "out.tar", "--attestations", "drop"],
        &["-o", "out.tar", "--oci-mediatypes=false"],
        &["--in-place"],
    ];
    let mut ends = BTreeSet::new();
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
            let (dry, wet) = (reported(&["--dry-run"]), reported(&[]));
            compare(&dry, &wet, &format!("{name} {way:?}"));
            ends.insert(wet.1["status"].as_str().unwrap().to_owned());
        }
    }
    let ends: Vec<String> = ends.into_iter().collect();
    assert_eq!(ends, ["failed", "fixed", "unchanged"]);
}

/// A dry run knows everything except what depends on recompressed layers.
#[test]
fn a_dry_run_compresses_nothing() {
    let sandbox = Sandbox::new();
    let name = "buildkit-docker-zstd-ocifalse.tar";
    let reported = |more: &[&str]| {
        let options = [&["--compression", "gzip"], more].concat();
        sandbox.fix_with(fixture(name), "out.tar", &options).json()
    };
    let (dry, wet) = (reported(&["--dry-run"]), reported(&[]));
    assert_eq!(
        (&dry["status"], &wet["status"]),
        (&"would-fix".into(), &"fixed".into())
    );
    let (dry_image, image) = (&dry["images"][0], &wet["images"][0]);
    for key in ["names", "config_digest", "platform"] {
        assert_eq!(dry_image[key], image[key], "{key}");
    }
    assert_ne!(dry_image["digest"], image["digest"]);
    assert_eq!(dry["digests"][0]["before"], wet["digests"][0]["before"]);
    let layers = |report: &Value| {
        let changes = report["changes"].as_array().unwrap().iter();
        let recompressed = changes.filter(|change| change["rule"] == "recompressed");
        recompressed
            .map(|change| change["location"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(layers(&dry), layers(&wet));
    assert_eq!(layers(&dry).len(), 4);
}

#[test]
fn a_dry_run_of_a_stream_reports_what_the_run_does() {
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
        compare(&(dry_code, dry.json()), &(code, wet.json()), &name);
    }
}

/// Compares exit codes and reports of a dry run and of the run itself.
fn compare(dry: &(i32, Value), wet: &(i32, Value), what: &str) {
    for key in ["changes", "findings", "digests", "images", "error"] {
        assert_eq!(dry.1[key], wet.1[key], "{what}: {key}");
    }
    let changes = wet.1["changes"].as_array().unwrap();
    let is_needed = |change: &Value| change["severity"] == "breaks" || change["requested"] == true;
    let expected = match (wet.0, changes.iter().any(is_needed)) {
        (0, true) => 3,
        (code, _) => code,
    };
    assert_eq!(dry.0, expected, "{what}");
    assert_eq!(dry.1["severity"], wet.1["severity"], "{what}");
}
