//! A run with one input that a signal stops: it reports, exits with 128 + n, and leaves nothing behind.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::batch::parsed;
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::piped::sample;
use crate::common::random::Random;
use crate::common::runner::{Sandbox, is_ignored};
use crate::common::schema::{parse_merge, parse_report, parse_split};

const SIGNALS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The signals that programs heed which this process starts.
fn signals() -> impl Iterator<Item = (Signal, i32)> {
    SIGNALS
        .into_iter()
        .filter(|(signal, _)| !is_ignored(*signal))
}

/// An archive that takes a while to compress.
fn slow() -> Vec<u8> {
    let mut random = Random(5);
    let plain: Vec<u8> = (0..48 << 20).map(|_| random.byte() & 0x55).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let layer = Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain);
    Layout::of(&Image::docker(vec![layer]), "docker.io/library/app:v1").tar()
}

#[track_caller]
fn check_interrupted(report: &Value) {
    assert_eq!(report["status"], "failed");
    assert_eq!(report["output"], Value::Null);
    assert_eq!(report["error"]["code"], "interrupted", "{report:#}");
    assert_eq!(report["error"]["class"], "io");
}

#[test]
fn a_run_that_works_ends_cleanly() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", slow());
    let options = [
        "--compression",
        "zstd",
        "--compression-level",
        "9",
        "--jobs",
        "1",
    ];
    for (signal, code) in signals() {
        for output in [&["out.tar"][..], &["out", "--layout"], &["new/"]] {
            let mut command = sandbox.command();
            command
                .args(["fix", "in.tar", "--format", "json", "-o"])
                .args(output);
            command
                .args(options)
                .args(["--report", "report", "--digest-map", "map"]);
            command.env("TMPDIR", sandbox.root());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.stdin(Stdio::null()).spawn().unwrap();
            while !sandbox.path("report").exists() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(200));
            send(&child, signal);
            let ended = child.wait_with_output().unwrap();
            let text = String::from_utf8(ended.stdout).unwrap();
            assert_eq!(ended.status.code(), Some(code), "{output:?}: {text}");
            check_interrupted(&parse_report(&text));
            let errors = String::from_utf8(ended.stderr).unwrap();
            assert!(errors.starts_with("error: the run was stopped"), "{errors}");

            let (items, summary) = parsed(&String::from_utf8(sandbox.read("report")).unwrap());
            check_interrupted(&items["in.tar"]);
            assert_eq!(summary["interrupted"], true);
            assert_eq!(sandbox.read("map"), b"");
            assert_eq!(sandbox.names(), ["in.tar", "map", "report"], "{output:?}");
            fs::remove_file(sandbox.path("report")).unwrap();
        }
    }
}

#[test]
fn a_run_that_waits_for_its_input_reports_before_it_ends() {
    for (signal, code) in signals() {
        for (output, format) in [("-", "json"), ("out.tar", "json"), ("-", "text")] {
            let sandbox = Sandbox::new();
            let mut command = sandbox.command();
            command.args([
                "fix", "-", "-o", output, "--format", format, "--report", "report",
            ]);
            command.env("TMPDIR", sandbox.root());
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            // The rest never comes.
            let bytes = sample().tar();
            input.write_all(&bytes[..bytes.len() / 2]).unwrap();
            while !sandbox.path("report").exists() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(50));
            let begun = Instant::now();
            send(&child, signal);
            let ended = child.wait_with_output().unwrap();
            assert!(begun.elapsed() < Duration::from_secs(20));
            let about = format!("{signal:?} {output} {format}: {ended:?}");
            assert_eq!(ended.status.code(), Some(code), "{about}");
            let report = match output {
                "-" => String::from_utf8(ended.stderr).unwrap(),
                _ => String::from_utf8(ended.stdout).unwrap(),
            };
            if format == "json" {
                check_interrupted(&parse_report(&report));
            } else {
                assert!(report.starts_with("error: the run was stopped"), "{about}");
            }
            let (items, summary) = parsed(&String::from_utf8(sandbox.read("report")).unwrap());
            check_interrupted(&items["-"]);
            assert_eq!(summary["interrupted"], true);
            assert!(!sandbox.path("out.tar").exists());
            drop(input);
        }
    }
}

#[test]
fn a_second_signal_stops_immediately() {
    if is_ignored(Signal::INT) {
        return;
    }
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["fix", "-", "-o", "out.tar", "--report", "report"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !sandbox.path("report").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    send(&child, Signal::INT);
    thread::sleep(Duration::from_millis(100));
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_millis(1500));
}

#[test]
fn nohup_keeps_a_run_going() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", sample().tar());
    let mut command = std::process::Command::new("/bin/sh");
    let script = "trap '' HUP; exec \"$0\" fix - -o out.tar --report report";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ocify")]);
    command.current_dir(sandbox.root()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    while !sandbox.path("report").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    send(&child, Signal::HUP);
    thread::sleep(Duration::from_millis(50));
    let mut input = child.stdin.take().unwrap();
    input.write_all(&sandbox.read("in.tar")).unwrap();
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(sandbox.path("out.tar").exists());
}

#[test]
fn merges_and_splits_that_wait_for_standard_input_report_the_signal() {
    let merge = ["merge", "-", "a.tar", "-o", "out.tar", "--format", "json"];
    let split = ["split", "-", "-o", "out/", "--format", "json"];
    let lines = [&merge[..], &split];
    let runs = lines.iter();
    let runs = runs.flat_map(|line| signals().map(move |signal| (signal, line)));
    for ((signal, code), line) in runs {
        let sandbox = Sandbox::new();
        sandbox.put("a.tar", sample().tar());
        let mut command = sandbox.command();
        command.args(*line);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        thread::sleep(Duration::from_millis(500));
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(output.status.code(), Some(code));
        let text = std::str::from_utf8(&output.stdout).unwrap();
        let report = match line[0] {
            "merge" => parse_merge(text)["merged"].clone(),
            _ => parse_split(text),
        };
        assert_eq!(report["error"]["code"], "interrupted", "{report:#}");
        assert_eq!(sandbox.names(), ["a.tar"]);
    }
}
