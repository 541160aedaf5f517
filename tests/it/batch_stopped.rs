//! Batches that stop early: killed, interrupted, or with a source that changes during the run. All outputs are complete then, and the next
//! run finishes the rest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::batch::{batch, has_staging, outputs, parsed, put, put_all, put_fixture};
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::random::Random;
use crate::common::runner::{Sandbox, is_ignored, run};
use crate::common::trace::failing;
use crate::common::tree;

/// How many runs must be killed.
const KILLED: usize = 50;
/// If this many runs are not enough, the test fails, because it does not test what it should.
const MOST: usize = 1000;

/// What a batch must come to: the files of its outputs, and the digests that changed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    files: BTreeMap<PathBuf, Vec<u8>>,
    map: Vec<u8>,
}

impl Outcome {
    fn of(sandbox: &Sandbox, output: &str) -> Self {
        Outcome {
            files: outputs(&sandbox.path(output)).into_iter().collect(),
            map: sandbox.read("map.jsonl"),
        }
    }

    /// Whatever has its final name is what it is in the end. Directories of the mirrored tree may be incomplete, and what is made is
    /// in a folder of its own.
    #[track_caller]
    fn check_so_far(&self, root: &Path) {
        if !root.exists() {
            // It was killed before it began.
            return;
        }
        for (path, bytes) in outputs(root) {
            if path.to_string_lossy().starts_with(".ocify-work") {
                continue;
            }
            let expected = self.files.get(&path);
            assert!(
                expected.is_some_and(|expected| *expected == bytes),
                "{} is not whole, or should not be there",
                path.display()
            );
        }
    }
}

/// A tree of everything that there is, some of it several times.
fn fill(sandbox: &Sandbox) {
    put_all(sandbox);
    for number in 0..20 {
        put(sandbox, &format!("in/more/{number}.tar"), archive(400_000));
    }
}

/// An archive with a layer of this many bytes.
fn archive(len: usize) -> Vec<u8> {
    let mut random = Random(1);
    let plain: Vec<u8> = (0..len).map(|_| random.byte()).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    let layer = Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain);
    Layout::of(&Image::docker(vec![layer]), "docker.io/library/app:v1").tar()
}

fn start(sandbox: &Sandbox, line: &[&str]) -> Child {
    let mut command = sandbox.command();
    command.args(line).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Starts a run and kills it after this time; whether it was killed before its end.
fn kill_after(sandbox: &Sandbox, line: &[&str], time: Duration) -> bool {
    let mut child = start(sandbox, line);
    thread::sleep(time);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(9) || status.code() == Some(0));
    status.signal() == Some(9)
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    const LINE: [&str; 9] = [
        "fix",
        "in",
        "-o",
        "out",
        "--copy-others",
        "--compression",
        "uncompressed",
        "--digest-map",
        "map.jsonl",
    ];
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let originals = tree(&sandbox.path("in"));
    let time = sandbox.ocify(&LINE).exits(0).time;
    let expected = Outcome::of(&sandbox, "out");
    let mut random = Random(1);
    let (mut killed, mut runs) = (0, 0);
    while killed < KILLED && runs < MOST {
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        // Each finishes a part of what is left, until there is nothing.
        loop {
            runs += 1;
            let is_killed = kill_after(&sandbox, &LINE, random.below(time / 3));
            expected.check_so_far(&sandbox.path("out"));
            assert!(tree(&sandbox.path("in")) == originals);
            if !is_killed || runs >= MOST {
                break;
            }
            killed += 1;
        }
        sandbox.ocify(&LINE).exits(0);
        assert!(Outcome::of(&sandbox, "out") == expected);
    }
    assert!(killed >= KILLED, "{runs} runs, {killed} killed");
}

#[test]
fn a_killed_run_in_place_is_finished_by_the_next() {
    const LINE: [&str; 3] = ["fix", "--in-place", "in"];
    let sandbox = Sandbox::new();
    // Layouts are not rewritten in place.
    for number in 0..40 {
        put(&sandbox, &format!("in/{number}.tar"), archive(20_000));
    }
    let originals: BTreeMap<PathBuf, Vec<u8>> = tree(&sandbox.path("in")).into_iter().collect();
    let time = sandbox.ocify(&LINE).exits(0).time;
    let expected: BTreeMap<PathBuf, Vec<u8>> = tree(&sandbox.path("in")).into_iter().collect();
    let mut random = Random(2);
    let (mut killed, mut runs) = (0, 0);
    while killed < KILLED && runs < MOST {
        for (path, bytes) in &originals {
            fs::write(sandbox.path("in").join(path), bytes).unwrap();
        }
        loop {
            runs += 1;
            if !kill_after(&sandbox, &LINE, random.below(time / 2)) || runs >= MOST {
                break;
            }
            killed += 1;
        }
        sandbox.ocify(&LINE).exits(0);
        let found: BTreeMap<PathBuf, Vec<u8>> = tree(&sandbox.path("in")).into_iter().collect();
        assert!(found == expected);
    }
    assert!(killed >= KILLED, "{runs} runs, {killed} killed");
}

/// Sends a signal to a running command.
fn send(child: &Child, signal: Signal) {
    // One that has ended is still there until it is waited for.
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn an_interrupted_run_leaves_only_complete_outputs() {
    const LINE: [&str; 6] = ["fix", "in", "-o", "out", "--digest-map", "map.jsonl"];
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let time = sandbox.ocify(&LINE).exits(0).time;
    let expected = Outcome::of(&sandbox, "out");
    let mut random = Random(3);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        if is_ignored(signal) {
            continue;
        }
        let mut stopped = 0;
        for _ in 0..MOST {
            if stopped == 5 {
                break;
            }
            let _ = fs::remove_dir_all(sandbox.path("out"));
            let mut command = sandbox.command();
            command.args(LINE).stdin(Stdio::null());
            let mut child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // It listens before it creates anything; until then signals end it at once, as they always do.
            while !sandbox.path("out").exists() && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_micros(50));
            }
            thread::sleep(random.below(time / 2));
            send(&child, signal);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            if output.status.code() == Some(0) {
                // It was done before.
                continue;
            }
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains("stopped"), "{said}");
            if sandbox.path("out").exists() {
                assert!(!has_staging(&sandbox.path("out")));
                expected.check_so_far(&sandbox.path("out"));
            }
            stopped += 1;
        }
        assert_eq!(stopped, 5, "{signal:?}");
        sandbox.ocify(&LINE).exits(0);
        assert!(Outcome::of(&sandbox, "out") == expected);
    }
}

#[test]
fn a_run_that_is_stopped_records_what_is_complete() {
    if is_ignored(Signal::TERM) {
        return;
    }
    let sandbox = Sandbox::new();
    put(&sandbox, "in/a.tar", archive(1000));
    // A slow disk. The tracer does not come between the command and the signal.
    let slow = ["-D", "-e", "inject=fsync:delay_enter=2000000"];
    let line = ["fix", "in", "-o", "out", "--jobs", "1"];
    let Some(mut command) = failing(&sandbox, &slow, &line) else {
        return;
    };
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let is_staged = || {
        let entries = fs::read_dir(sandbox.path("out")).into_iter().flatten();
        let mut paths = entries.map(|entry| entry.unwrap().path().join("0/0"));
        paths.any(|path| path.exists())
    };
    while !is_staged() && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    // Its name in the staging directory says that it is complete.
    send(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("stopped after 1 input"), "{said}");
    assert!(!has_staging(&sandbox.path("out")));
    let next = batch(&sandbox, &["in", "-o", "out"]);
    next.exits(0);
    assert_eq!(next.count("kept"), 1);
}

#[test]
fn a_batch_that_waits_for_its_list_stops_at_the_first_signal() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        if is_ignored(signal) {
            continue;
        }
        let sandbox = Sandbox::new();
        put_fixture(&sandbox, "a.tar", "docker20-save.tar");
        let mut command = sandbox.command();
        let line = ["fix", "--files-from", "-", "-o", "out/", "--format", "json"];
        command.args(line).args(["--report", "report.jsonl"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        // The second path is never complete.
        let mut list = child.stdin.take().unwrap();
        list.write_all(b"a.tar\na.").unwrap();
        while !sandbox.path("out/a.tar").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let begun = Instant::now();
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8(output.stdout).unwrap();
        let (items, summary) = parsed(&text);
        assert_eq!(items.keys().collect::<Vec<_>>(), ["a.tar"]);
        assert_eq!(summary["interrupted"], true);
        assert_eq!(summary["error"]["code"], "interrupted");
        assert_eq!(sandbox.read("report.jsonl"), text.as_bytes());
        assert!(!has_staging(&sandbox.path("out")));
    }
}

#[test]
fn a_source_that_changes_while_it_is_read_is_reported() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/calm.tar", archive(1000));
    put(&sandbox, "in/busy.tar", archive(8 << 20));
    let is_done = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options()
                .write(true)
                .open(sandbox.path("in/busy.tar"));
            let file = file.unwrap();
            let mut time = SystemTime::UNIX_EPOCH;
            while !is_done.load(Ordering::Relaxed) {
                time += Duration::from_secs(1);
                file.set_modified(time).unwrap();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let found = batch(&sandbox, &["in", "-o", "out"]);
        is_done.store(true, Ordering::Relaxed);
        found
    });
    found.exits(1);
    let ends: Vec<(&str, &str)> = found.ends().into_iter().collect();
    assert_eq!(
        ends,
        [("in/busy.tar", "source-changed"), ("in/calm.tar", "fixed")]
    );
    assert!(!sandbox.path("out/busy.tar").exists());
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    let ends: Vec<(&str, &str)> = found.ends().into_iter().collect();
    assert_eq!(ends, [("in/busy.tar", "fixed"), ("in/calm.tar", "kept")]);
}

/// Programs read these lines.
#[test]
fn lines_that_cannot_be_written_are_an_error() {
    for format in ["text", "json"] {
        let sandbox = Sandbox::new();
        put_fixture(&sandbox, "in/a.tar", "docker20-save.tar");
        put_fixture(&sandbox, "in/b.tar", "docker26c-save.tar");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let line = [
            "fix", "in", "-o", "out", "--report", "report", "--format", format,
        ];
        let mut command = sandbox.command();
        let ended = command.args(line).stdout(full).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{format}: {said}");
        assert!(
            said.contains("cannot write the report to standard output"),
            "{said}"
        );
        // The work is done.
        let (items, summary) = parsed(&String::from_utf8(sandbox.read("report")).unwrap());
        assert_eq!((items.len(), &summary["items"]["failed"]), (2, &json!(0)));
        assert_eq!(summary["error"]["code"], "no-space", "{summary}");
        assert_eq!(outputs(&sandbox.path("out")).len(), 2);
    }
}

/// It is neither skipped nor taken for a directory of other files.
#[test]
fn a_layout_that_cannot_be_looked_up_is_an_error() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a", "podman-ocidir");
    put_fixture(&sandbox, "in/b.tar", "docker20-save.tar");
    // What is looked up in this directory.
    let path = fs::canonicalize(sandbox.path("in/a")).unwrap();
    for (number, more) in [(1, ""), (2, ""), (3, ""), (3, "--copy-others")] {
        let injected = format!("inject=newfstatat:error=EIO:when={number}");
        let calls = ["-P", path.to_str().unwrap(), "-e", &injected];
        let mut line = vec!["fix", "in", "-o", "out", "--force"];
        line.extend((!more.is_empty()).then_some(more));
        let Some(mut command) = failing(&sandbox, &calls, &line) else {
            return;
        };
        let run = run(&mut command).exits(1);
        assert!(run.stderr.contains("Input/output error"), "{run:?}");
        let found = outputs(&sandbox.path("out"));
        let names: Vec<_> = found.iter().map(|(path, _)| path).collect();
        assert_eq!(names, [Path::new("b.tar")], "{run:?}");
    }
}
