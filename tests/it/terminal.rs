//! What remains on the terminal after a batch.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::archive::{Entry, tar};
use crate::common::batch::{has_staging, put, put_all};
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::fixture;
use crate::common::random::Random;
use crate::common::runner::{Sandbox, is_ignored};
use crate::common::terminal::{read_all, screen, terminal};

const COLUMNS: u16 = 70;

/// Starts `ocify fix` with all that it prints on a terminal of its own.
fn start(sandbox: &Sandbox, line: &[&str]) -> (OwnedFd, Child) {
    let (control, end) = terminal(24, COLUMNS);
    let mut command = Command::new("setsid");
    // Without a kind of terminal, nothing is drawn.
    command.current_dir(sandbox.root()).env_clear();
    command.env("TERM", "xterm");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_ocify"), "fix"]);
    command.args(line).stdin(end.try_clone().unwrap());
    command.stdout(end.try_clone().unwrap()).stderr(end);
    let child = command.spawn().unwrap();
    (control, child)
}

#[test]
fn reports_are_folded_between_words_at_the_width_of_the_terminal() {
    let sandbox = Sandbox::new();
    let name = "buildkit-docker-zstd-ocifalse.tar";
    sandbox.put("app.tar", fs::read(fixture(name)).unwrap());
    for more in [&["--dry-run"][..], &["--dry-run", "-v"]] {
        let line = [&["fix", "app.tar"], more].concat();
        let whole = sandbox.ocify(&line).exits(3).stdout;
        // Each is a line of the report, or one that was folded.
        for (columns, is_folded) in [(80, true), (400, false)] {
            let (control, end) = terminal(24, columns);
            let mut command = sandbox.command();
            command.args(&line).stdin(Stdio::null());
            command.stdout(end.try_clone().unwrap()).stderr(end);
            let mut child = command.spawn().unwrap();
            drop(command);
            let text = read_all(control);
            assert_eq!(child.wait().unwrap().code(), Some(3));
            let text = screen(&text, usize::from(columns));
            let lines = text.iter().filter(|line| !line.is_empty()).count();
            let all = whole.lines().filter(|line| !line.is_empty()).count();
            assert_eq!(lines > all, is_folded, "{text:#?}");
            // The terminal itself would break words.
            let words = text.iter().flat_map(|line| line.split_whitespace());
            assert!(words.eq(whole.split_whitespace()), "{text:#?}");
        }
    }
}

/// Every line of the tables and examples is at most this wide.
#[test]
fn the_help_fits_narrow_terminals() {
    let sandbox = Sandbox::new();
    for columns in [60, 80, 200] {
        for line in [&["--help"][..], &["fix", "-h"], &["fix", "--help"]] {
            let (control, end) = terminal(24, columns);
            let mut command = sandbox.command();
            command.args(line).stdin(Stdio::null());
            command.stdout(end.try_clone().unwrap()).stderr(end);
            let mut child = command.spawn().unwrap();
            drop(command);
            let text = read_all(control);
            assert_eq!(child.wait().unwrap().code(), Some(0));
            let text = screen(&text, usize::from(columns) + 1);
            let heading = |line: &&String| *line == "Examples:" || *line == "Exit codes:";
            let table = text.iter().skip_while(|line| !heading(line)).skip(1);
            let table: Vec<&String> = table
                .take_while(|line| !line.starts_with("Many inputs: "))
                .filter(|line| !line.is_empty())
                .collect();
            // A line that is broken by the terminal's width loses its indent.
            for line in &table {
                assert!(line.starts_with("  "), "{columns}: {line}");
            }
            let longest = text.iter().map(|line| line.chars().count()).max();
            assert!(longest <= Some(columns.into()), "{columns}: {text:#?}");
            let expected = match line {
                ["--help"] => 7,
                ["fix", "-h"] => 4,
                _ => 25,
            };
            assert_eq!(table.len(), expected, "{columns} {line:?}: {text:#?}");
        }
    }
}

/// Lines that a bar left behind.
fn leftovers(lines: &[String]) -> Vec<&String> {
    let is_bar = |line: &&String| {
        ["░", "█", "writing", "compressing", "reading"]
            .iter()
            .any(|part| line.contains(part))
    };
    lines.iter().filter(is_bar).collect()
}

#[test]
fn a_finished_run_shows_its_lines_and_the_summary() {
    let sandbox = Sandbox::new();
    put_all(&sandbox);
    for progress in ["auto", "tty"] {
        let line = ["in", "-o", "out", "--force", "--progress", progress];
        let (control, mut child) = start(&sandbox, &line);
        let bytes = read_all(control);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let lines = screen(&bytes, COLUMNS.into());
        assert_eq!(leftovers(&lines), [""; 0], "{lines:#?}");
        let items = lines.iter().filter(|line| line.contains("in/")).count();
        assert!(items > 40, "{lines:#?}");
        let summary: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains(" inputs in "))
            .collect();
        assert_eq!(summary.len(), 1, "{lines:#?}");
    }
}

/// An archive that takes a while to compress.
fn large() -> Vec<u8> {
    let mut random = Random(7);
    // Four bits of eight, so that there is something to find.
    let content: Vec<u8> = (0..64 << 20).map(|_| random.byte() & 0x55).collect();
    let plain = tar(&[Entry::file("content", content)]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let layer = Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain);
    Layout::of(&Image::docker(vec![layer]), "docker.io/library/app:v1").tar()
}

/// A line that is wider than the terminal would leave pieces behind each time that it is drawn.
#[test]
fn the_bar_of_one_input_has_a_speed_and_fits() {
    let sandbox = Sandbox::new();
    sandbox.put("large.tar", large());
    for columns in [40, 60, 100] {
        let line = [
            "large.tar",
            "-o",
            "out.tar",
            "--force",
            "--compression",
            "zstd",
            "--progress",
            "tty",
        ];
        let (control, end) = terminal(24, columns);
        let mut command = sandbox.command();
        // Without a kind of terminal, nothing is drawn.
        command.arg("fix").args(line).env("TERM", "xterm");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(end);
        let mut child = command.spawn().unwrap();
        drop(command);
        let bytes = read_all(control);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let text = String::from_utf8_lossy(&bytes);
        let drawn = text
            .split(['\r', '\n'])
            .map(|line| line.trim_start_matches("\u{1b}[2K"));
        let drawn: Vec<&str> = drawn.filter(|line| line.contains(" MB of ")).collect();
        assert!(!drawn.is_empty(), "{columns}: {text}");
        for line in &drawn {
            let width = line.chars().count();
            assert!(width <= columns.into(), "{columns}: {line}");
        }
        // The bar makes room for the text, and the text is cut only if that is not enough.
        let has_speed = drawn.iter().any(|line| line.contains("B/s"));
        assert_eq!(has_speed, columns > 40, "{columns}: {drawn:#?}");
        let lines = screen(&bytes, columns.into());
        let progress = lines.iter().filter(|line| line.contains(" MB of ")).count();
        assert_eq!(progress, 0, "{columns}: {lines:#?}");
    }
}

#[test]
fn an_interrupt_leaves_no_bars() {
    if is_ignored(Signal::INT) {
        return;
    }
    let sandbox = Sandbox::new();
    let large = large();
    for number in 0..4 {
        put(
            &sandbox,
            &format!(
                "in/a name that is longer than the terminal is wide, so that it cannot be shown {number}.tar"
            ),
            &large,
        );
    }
    let line = [
        "in",
        "-o",
        "out",
        "--compression",
        "zstd",
        "--compression-level",
        "7",
        "--progress",
        "tty",
    ];
    let (control, mut child) = start(&sandbox, &line);
    let mut control = File::from(control);
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    // A line for an input is there: it has been drawn at least once.
    while !String::from_utf8_lossy(&seen).contains("a name") {
        let count = control.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..count]);
    }
    thread::sleep(Duration::from_millis(300));
    control.write_all(b"\x03").unwrap();
    seen.extend(read_all(control.into()));
    let code = child.wait().unwrap().code();
    let lines = screen(&seen, COLUMNS.into());
    assert_eq!(code, Some(130), "{lines:#?}");
    assert_eq!(leftovers(&lines), [""; 0], "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("stopped after ")),
        "{lines:#?}"
    );
    assert!(!has_staging(&sandbox.path("out")));
}

#[test]
fn styles_are_used_only_on_terminals_that_support_them() {
    let sandbox = Sandbox::new();
    let archive = fixture("buildkit-docker-zstd-ocifalse.tar");
    put(&sandbox, "in/app.tar", fs::read(archive).unwrap());
    put(&sandbox, "in/cut.tar", "cut");
    // A report, an error, and what a batch prints; each on the terminal, and standard error or output on nothing.
    let single = ["fix", "in/app.tar", "-o", "out.tar", "--force"];
    let failed = ["fix", "in/cut.tar", "-o", "none.tar"];
    let batch = ["fix", "in", "-o", "out", "--force", "--progress", "quiet"];
    let lines: [(&[&str], bool, &str); 3] = [
        (&single, false, "\u{1b}[1min/app.tar"),
        (&failed, true, "error:\u{1b}[0m"),
        (&batch, false, "\u{1b}[1mfixed    \u{1b}[0m"),
    ];
    for (line, is_error, styled) in lines {
        let shown = |variables: &[(&str, &str)]| {
            let (control, end) = terminal(24, COLUMNS);
            let mut command = sandbox.command();
            command.args(line).envs(variables.iter().copied());
            command.stdin(Stdio::null());
            match is_error {
                true => command.stderr(end).stdout(Stdio::null()),
                false => command.stdout(end).stderr(Stdio::null()),
            };
            let mut child = command.spawn().unwrap();
            // It has a copy of the terminal.
            drop(command);
            let bytes = read_all(control);
            child.wait().unwrap();
            String::from_utf8(bytes).unwrap()
        };
        for with in [&[][..], &[("TERM", "xterm")], &[("NO_COLOR", "")]] {
            let text = shown(with);
            assert!(text.contains(styled), "{with:?}: {text:?}");
        }
        let force = ("CLICOLOR_FORCE", "1");
        for without in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let text = shown(&[without, force]);
            assert!(!text.contains('\u{1b}'), "{without:?}: {text:?}");
            assert!(text.contains("in/"), "{without:?}: {text:?}");
        }
    }
}
