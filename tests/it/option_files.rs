//! The files that options ask for beside the output: `--metadata-file`, `--digest-map`, `--report`. A regular file is replaced completely,
//! and anything else is written to and stays what it is.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::runner::{Run, Sandbox, is_ignored, run, wait_for};
use crate::common::skipped;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

/// What an option has to write, for a line that names its file last.
#[derive(Clone, Copy, Debug)]
struct Case {
    line: &'static [&'static str],
    /// A part of what is in the file.
    content: &'static str,
}

const METADATA: Case = Case {
    line: &["fix", "in.tar", "-o", "out.tar", "--metadata-file"],
    content: "containerimage.digest",
};
const MAP: Case = Case {
    line: &["fix", "in", "-o", "out", "--digest-map"],
    content: "\"after\"",
};
const REPORT: Case = Case {
    line: &["fix", "in", "-o", "out", "--report"],
    content: "\"summary\"",
};
const MAP_OF_ONE: Case = Case {
    line: &["fix", "in.tar", "-o", "out.tar", "--digest-map"],
    ..MAP
};
const REPORT_OF_ONE: Case = Case {
    line: &["fix", "in.tar", "-o", "out.tar", "--report"],
    ..REPORT
};
const CASES: [Case; 5] = [METADATA, MAP, REPORT, MAP_OF_ONE, REPORT_OF_ONE];

impl Case {
    /// Whether the file grows during the run.
    fn grows(&self) -> bool {
        self.line.contains(&"--report")
    }

    fn args<'a>(&self, file: &'a str) -> Vec<&'a str> {
        [self.line, &[file]].concat()
    }

    /// Runs it in a sandbox, where it has to succeed.
    #[track_caller]
    fn run(&self, sandbox: &Sandbox, file: &str) -> Run {
        self.ends(sandbox, file, 0)
    }

    /// Runs it without an output of an earlier run.
    #[track_caller]
    fn ends(&self, sandbox: &Sandbox, file: &str, code: i32) -> Run {
        for output in ["out", "out.tar"] {
            let path = sandbox.path(output);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(path));
        }
        sandbox.ocify(&self.args(file)).exits(code)
    }

    #[track_caller]
    fn check(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.contains(self.content), "{self:?}: {text}");
        let is_json = match self.line.contains(&"--metadata-file") {
            true => serde_json::from_str::<Value>(&text).is_ok(),
            false => text
                .lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        };
        assert!(is_json, "{self:?}: {text}");
    }
}

fn archive() -> Vec<u8> {
    let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "layer")]);
    Layout::of(&image, "docker.io/library/app:v1").tar()
}

/// A sandbox with an archive alone and one in a directory.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", archive());
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put("in/a.tar", archive());
    sandbox
}

fn make(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        skipped("device nodes: only root can make them");
    }
    is_root
}

#[test]
fn a_regular_file_is_replaced_as_a_whole() {
    for case in CASES {
        let sandbox = sandbox();
        let path = sandbox.put("file", "old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut reader = File::open(&path).unwrap();
        case.run(&sandbox, "file");
        case.check(&sandbox.read("file"));
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o640, "{case:?}");
        // The report grows during the run, so it is the same file.
        let is_same = found.ino() == reader.metadata().unwrap().ino();
        assert_eq!(is_same, case.grows(), "{case:?}");
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert!(is_same || seen == "old", "{case:?}: {seen}");
        assert!(sandbox.names().iter().all(|name| !name.starts_with('.')));
    }
}

#[test]
fn a_link_is_refused_before_anything_is_written() {
    for case in CASES {
        let sandbox = sandbox();
        fs::create_dir(sandbox.path("sub")).unwrap();
        sandbox.put("sub/file", "old");
        symlink("sub/file", sandbox.path("link")).unwrap();
        symlink("link", sandbox.path("chain")).unwrap();
        symlink("sub/new", sandbox.path("dangling")).unwrap();
        symlink("/dev/null", sandbox.path("null")).unwrap();
        let before = sandbox.names();
        for link in ["link", "chain", "dangling", "null"] {
            let run = case.ends(&sandbox, link, 2);
            let expected = format!("cannot write to {link}: it is a symbolic link; give the path");
            assert!(run.stderr.contains(&expected), "{case:?} {run:#?}");
            assert!(sandbox.path(link).is_symlink(), "{case:?} {link}");
            assert_eq!(sandbox.names(), before, "{case:?} {link}");
        }
        assert_eq!(sandbox.read("sub/file"), b"old");
        assert_eq!(fs::read_dir(sandbox.path("sub")).unwrap().count(), 1);
    }
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    if !is_root() {
        return;
    }
    for case in CASES {
        let sandbox = sandbox();
        // The numbers of /dev/null and /dev/full.
        make(
            &sandbox.path("null"),
            FileType::CharacterDevice,
            makedev(1, 3),
        );
        make(
            &sandbox.path("full"),
            FileType::CharacterDevice,
            makedev(1, 7),
        );
        case.run(&sandbox, "null");
        let found = fs::symlink_metadata(sandbox.path("null")).unwrap();
        assert!(found.file_type().is_char_device(), "{case:?}");
        assert_eq!(found.rdev(), makedev(1, 3));
        // Of a shard, too: nothing is created beside it.
        if case.line.contains(&"in") {
            let line = [&case.args("null")[..], &["--shard", "1/1"]].concat();
            sandbox.ocify(&line).exits(0);
            assert!(!sandbox.path("null-1-of-1").exists());
        }
        let failed = case.ends(&sandbox, "full", 1);
        assert!(failed.stderr.contains("No space left"), "{failed:#?}");
    }
}

#[test]
fn a_block_device_and_a_socket_are_refused() {
    for case in CASES {
        let sandbox = sandbox();
        let mut names = vec![("socket", "No such device or address")];
        let _listener = UnixListener::bind(sandbox.path("socket")).unwrap();
        if is_root() {
            make(
                &sandbox.path("block"),
                FileType::BlockDevice,
                makedev(7, 255),
            );
            names.push(("block", "it is a block device"));
        }
        for (name, expected) in names {
            let failed = case.ends(&sandbox, name, 1);
            assert!(failed.stderr.contains(expected), "{case:?} {failed:#?}");
            assert!(!fs::symlink_metadata(sandbox.path(name)).unwrap().is_file());
        }
    }
}

#[test]
fn a_fifo_is_written_to() {
    for case in CASES {
        let sandbox = sandbox();
        let path = sandbox.path("fifo");
        make(&path, FileType::Fifo, 0);
        let read = thread::spawn({
            let path = path.clone();
            move || {
                // Its reader is late.
                thread::sleep(Duration::from_millis(200));
                fs::read(path).unwrap()
            }
        });
        case.run(&sandbox, "fifo");
        case.check(&read.join().unwrap());
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_fifo(), "{case:?}");
    }
}

fn start(sandbox: &Sandbox, mut command: Command) -> (Child, Command) {
    command.current_dir(sandbox.root()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    (command.spawn().unwrap(), command)
}

/// Waits until a process has a handler for a signal.
fn wait_for_handler(pid: Pid, signal: Signal) {
    let status = format!("/proc/{}/status", pid.as_raw_nonzero());
    wait_until(|| {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught >> (signal.as_raw() - 1) & 1 == 1
    });
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn waiting_for_the_reader_of_a_fifo_ends_with_the_first_signal() {
    for case in CASES {
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            if is_ignored(signal) {
                continue;
            }
            let sandbox = sandbox();
            make(&sandbox.path("fifo"), FileType::Fifo, 0);
            let mut command = sandbox.command();
            command.args(case.args("fifo"));
            let (mut child, command) = start(&sandbox, command);
            let pid = Pid::from_child(&child);
            wait_for_handler(pid, signal);
            // The report is opened before anything is done; the others come last.
            let is_done = || sandbox.path("out/a.tar").exists() || sandbox.path("out.tar").exists();
            let comes_last = !case.grows();
            if comes_last {
                wait_until(is_done);
            }
            kill_process(pid, signal).unwrap();
            assert_eq!(wait_for(&mut child, &command), Some(code), "{case:?}");
            let mut said = String::new();
            child.stderr.unwrap().read_to_string(&mut said).unwrap();
            assert!(
                said.contains("waited for a reader of fifo"),
                "{case:?}: {said}"
            );
            assert_eq!(is_done(), comes_last, "{case:?}");
        }
    }
}

/// The command as process 1, as it is in a container; without the right to make one, says so.
fn as_process_one(sandbox: &Sandbox, args: &[&str]) -> Option<Command> {
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-p", "-f"]).args(args);
        command
    };
    let may = unshare(&["true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        skipped("runs as process 1: needs root and unshare");
        return None;
    }
    let mut command = unshare(&[env!("CARGO_BIN_EXE_ocify")]);
    command.current_dir(sandbox.root()).args(args);
    Some(command)
}

#[test]
fn process_one_can_be_stopped_too() {
    let sandbox = sandbox();
    make(&sandbox.path("fifo"), FileType::Fifo, 0);
    let Some(command) = as_process_one(&sandbox, &METADATA.args("fifo")) else {
        return;
    };
    let (mut child, command) = start(&sandbox, command);
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let pid = || {
        let text = fs::read_to_string(&children).unwrap();
        text.split(' ').find_map(|pid| pid.parse().ok())
    };
    wait_until(|| pid().is_some());
    let pid = Pid::from_raw(pid().unwrap()).unwrap();
    wait_for_handler(pid, Signal::TERM);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(wait_for(&mut child, &command), Some(143));
}

#[test]
fn leftover_temporary_files_do_not_block_process_one() {
    for case in [METADATA, MAP] {
        let sandbox = sandbox();
        // Names that earlier versions gave, and what others may call their files.
        let others = [".m.1", ".m.1.ocify-tmp", ".m.ocify-tmp", ".m"];
        for name in others {
            sandbox.put(name, "not this run's");
        }
        // One that another run holds.
        let held = sandbox.put(".m.00000000-heldheld.ocify-tmp", "half");
        let held = File::open(held).unwrap();
        held.lock().unwrap();
        for round in 0..2 {
            // What a killed run left.
            sandbox.put(".m.00000000-leftleft.ocify-tmp", "half");
            let Some(mut command) = as_process_one(&sandbox, &case.args("m")) else {
                return;
            };
            let _ = fs::remove_file(sandbox.path("out.tar"));
            run(&mut command).exits(0);
            case.check(&sandbox.read("m"));
            let mut left = sandbox.names();
            left.retain(|name| name.starts_with('.'));
            let expected = [
                ".m",
                ".m.00000000-heldheld.ocify-tmp",
                ".m.1",
                ".m.1.ocify-tmp",
                ".m.ocify-tmp",
            ];
            assert_eq!(left, expected, "{case:?} {round}");
            for name in others {
                assert_eq!(sandbox.read(name), b"not this run's", "{name}");
            }
        }
    }
}

#[test]
fn a_dash_is_standard_output_and_the_report_goes_to_standard_error() {
    for case in CASES {
        let sandbox = sandbox();
        let run = case.run(&sandbox, "-");
        case.check(run.stdout.as_bytes());
        assert!(run.stderr.contains("fixed"), "{case:?}: {run:#?}");
        assert!(!sandbox.path("-").exists());
        // Nothing but the name is special.
        let run = case.run(&sandbox, "./-");
        case.check(&sandbox.read("-"));
        assert!(run.stdout.contains("fixed"), "{case:?}: {run:#?}");
    }
    // Whatever the shard.
    let sandbox = sandbox();
    let run = sandbox.ocify(&[&MAP.args("-")[..], &["--shard", "1/1"]].concat());
    MAP.check(run.exits(0).stdout.as_bytes());
}

/// The lines without what differs between two runs: the paths and the time.
fn comparable(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["input", "output", "seconds"] {
            if let Some(value) = line.get_mut(key) {
                assert!(!value.is_null() || key == "output");
                *value = Value::Null;
            }
        }
        line
    });
    lines.collect()
}

#[test]
fn one_input_has_the_report_and_the_map_of_a_batch_of_one() {
    let sandbox = sandbox();
    let cut = archive();
    sandbox.put("cut.tar", &cut[..3000]);
    fs::create_dir(sandbox.path("broken")).unwrap();
    sandbox.put("broken/a.tar", &cut[..3000]);
    for (one, many, options, code) in [
        ("cut.tar", "broken", &["-o", "NAME"][..], 1),
        ("in.tar", "in", &["-o", "NAME"], 0),
        ("out-one.tar", "out-many", &["--dry-run"], 0),
        ("in.tar", "in", &["--dry-run"], 3),
        ("in.tar", "in", &["--in-place"], 0),
        ("cut.tar", "broken", &["--dry-run"], 1),
    ] {
        let recorded = |input: &str, output: &str| {
            let options = options.iter().map(|option| option.replace("NAME", output));
            let options: Vec<String> = options.collect();
            let mut command = sandbox.command();
            command.args(["fix", input]).args(&options);
            run(command.args(["--report", "report", "--digest-map", "map"])).exits(code);
            let report = sandbox.read("report");
            for line in String::from_utf8(report.clone()).unwrap().lines() {
                crate::common::schema::parse_line(line);
            }
            (comparable(&report), comparable(&sandbox.read("map")))
        };
        let (mut found, map) = recorded(one, "out-one.tar");
        let (mut expected, expected_map) = recorded(many, "out-many");
        // Only a message names the input.
        for line in found.iter_mut().chain(&mut expected) {
            if let Some(message) = line.pointer_mut("/error/message") {
                *message = Value::Null;
            }
        }
        assert_eq!(found, expected, "{one} {options:?}");
        assert_eq!(map, expected_map, "{one} {options:?}");
        assert_eq!(found.len(), 2, "{one} {options:?}");
        assert_eq!(map.is_empty(), one != "in.tar", "{one} {options:?}");
    }
}

#[test]
fn standard_output_is_used_for_one_thing() {
    let sandbox = sandbox();
    for (line, expected) in [
        (
            &["in.tar", "-o", "-", "--metadata-file", "-"][..],
            "the OUTPUT and --metadata-file",
        ),
        (
            &["-", "--metadata-file", "-"],
            "the OUTPUT and --metadata-file",
        ),
        (
            &[
                "in.tar",
                "-o",
                "x",
                "--metadata-file",
                "-",
                "--format",
                "json",
            ],
            "--format json and --metadata-file",
        ),
        (
            &["in", "-o", "x", "--digest-map", "-", "--format", "json"],
            "--format json and --digest-map",
        ),
        (
            &["in", "-o", "x", "--report", "-", "--format", "json"],
            "--format json and --report",
        ),
        (
            &["in", "-o", "x", "--report", "-", "--digest-map", "-"],
            "--report and --digest-map",
        ),
    ] {
        let run = sandbox.ocify(&[&["fix"], line].concat()).exits(2);
        let expected = format!("{expected} cannot both go to standard output");
        assert!(run.stderr.contains(&expected), "{line:?}: {run:#?}");
        assert!(!sandbox.path("x").exists());
    }
}

#[test]
fn an_open_file_is_written_in_place() {
    for case in [METADATA, MAP] {
        let sandbox = sandbox();
        // As /dev/stdout leads there.
        symlink("/proc/self/fd/1", sandbox.path("stdout")).unwrap();
        let log = sandbox.path("log");
        let mut file = File::create(&log).unwrap();
        file.write_all(b"before\n").unwrap();
        let mut command = sandbox.command();
        command.args(case.args("stdout")).stdout(file);
        assert!(command.status().unwrap().success());
        let text = fs::read_to_string(&log).unwrap();
        let text = text.strip_prefix("before\n").unwrap();
        assert!(text.contains(case.content), "{text}");
        assert!(
            text.contains("fixed"),
            "the report is there as well: {text}"
        );
        assert!(sandbox.path("stdout").is_symlink());
    }
}
