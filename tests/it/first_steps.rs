//! What people try first: short helps, words that are nearly right, and lines that say what to do instead.

use std::fs;
use std::process::Stdio;

use crate::common::fixture;
use crate::common::runner::Sandbox;
use crate::common::terminal::{read_all, screen, terminal};

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";
const COMMANDS: [&str; 9] = [
    "fix",
    "check",
    "inspect",
    "merge",
    "split",
    "push",
    "engines",
    "completions",
    "man",
];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.put("app.tar", fs::read(fixture(ZSTD)).unwrap());
    sandbox
}

#[test]
fn a_short_help_has_at_most_50_lines_and_names_the_long_one() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let short = sandbox.ocify(&[command, "-h"]).exits(0).stdout;
        assert!(short.lines().count() <= 50, "{command}: {short}");
        let long = sandbox.ocify(&[command, "--help"]).exits(0).stdout;
        let options = |text: &str| {
            let lines = text.lines().filter(|line| line.starts_with("  "));
            lines.filter(|line| line.contains(" --")).count()
        };
        assert!(options(&short) <= options(&long), "{command}");
        let names_other = |text: &str, other| text.contains(&format!("with '{other}')"));
        assert_eq!(names_other(&short, "--help"), short != long, "{short}");
        assert_eq!(names_other(&long, "-h"), short != long, "{long}");
    }
}

#[test]
fn the_options_are_below_headings() {
    let sandbox = Sandbox::new();
    for (command, expected) in [
        (
            "fix",
            "Output What changes Compression Input Many inputs Reports General",
        ),
        ("check", "Checking Input Many inputs Reports General"),
        ("inspect", "Input Many inputs Reports General"),
        (
            "merge",
            "Merging Output What changes Compression Input Reports General",
        ),
        (
            "split",
            "Splitting Output What changes Compression Input Reports General",
        ),
        (
            "push",
            "Registry Output What changes Compression Input Many inputs Reports General",
        ),
    ] {
        let help = sandbox.ocify(&[command, "--help"]).exits(0).stdout;
        let headings = help.lines().filter(|line| !line.starts_with(' '));
        let headings = headings.filter_map(|line| line.strip_suffix(':'));
        let others = ["Arguments", "Examples", "Options"];
        let found: Vec<&str> = headings.filter(|line| !others.contains(line)).collect();
        assert_eq!(found.join(" "), expected, "{command}");
    }
}

#[test]
fn what_is_nearly_right_is_answered_with_what_is_right() {
    let sandbox = sandbox();
    for (line, code, expected) in [
        (
            &["check", "app.tar", "--for", "docker:20.10"][..],
            2,
            "did you mean docker@20.10?",
        ),
        (
            &["fix", "app.tar", "-o", "x.tar", "--for", "Docker20"],
            2,
            "did you mean docker@20?",
        ),
        (
            &["fix", "app.tar", "-o", "x.tar", "--jobs", "-1"],
            2,
            "expected a number of threads from 1 on",
        ),
        (
            &["app.tar"],
            2,
            "to check it: ocify check app.tar; to fix it: ocify fix app.tar -o OUTPUT",
        ),
        (
            &["check", "https://example.com/app.tar"],
            1,
            "hint: ocify reads files; download it first: curl -fLO https://example.com/app.tar\n",
        ),
        (
            &["fix", "s3://bucket/app.tar", "-o", "x.tar"],
            1,
            "download it first: aws s3 cp s3://bucket/app.tar .\n",
        ),
        (
            &["fix", "app.tar", "-o", "s3://bucket/app.tar"],
            2,
            "write a file, and upload it when it is complete",
        ),
        (
            &["push", "app.tar", "localhost:5000", "--dry-run"],
            2,
            "write localhost:5000/app for the registry, or docker.io/library/localhost:5000 for Docker Hub",
        ),
    ] {
        let run = sandbox.ocify(line).exits(code);
        assert!(run.stderr.contains(expected), "{line:?}: {run:#?}");
        assert_eq!(run.stdout, "", "{line:?}");
    }
    assert!(!sandbox.path("x.tar").exists());
}

#[test]
fn a_word_that_is_neither_a_command_nor_a_file_has_no_tip() {
    let run = Sandbox::new().ocify(&["app.tar"]).exits(2);
    assert!(!run.stderr.contains("ocify fix"), "{run:#?}");
}

/// Failures for one reason are each shown, and what to do about them once.
#[test]
fn failures_of_many_inputs_share_a_hint() {
    let sandbox = Sandbox::new();
    for name in ["a.tar", "b.tar", "c.tar"] {
        sandbox.put(name, "");
    }
    let right = fs::read(fixture(ZSTD)).unwrap();
    sandbox.put("d.tar", &right[..5000]);
    let inputs = ["a.tar", "b.tar", "c.tar", "d.tar"];
    let line = [&["fix", "-o", "out/", "--jobs", "1"], &inputs[..]].concat();
    fs::create_dir(sandbox.path("out")).unwrap();
    let run = sandbox.ocify(&line).exits(1);
    assert_eq!(run.stderr.matches("error: ").count(), 4, "{run:#?}");
    let hints: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("hint: "))
        .collect();
    assert_eq!(hints.len(), 2, "{run:#?}");
    let empty = run.stderr.find("c.tar is empty").unwrap();
    let hint = run.stderr.find(hints[0]).unwrap();
    assert!(empty < hint, "{run:#?}");
}

/// A terminal would break words.
#[test]
fn errors_are_folded_between_words() {
    let sandbox = sandbox();
    for line in [
        &["fix", "app.tar"][..],
        &["check", "app.tar", "--for", "lxc"],
        &["merge", "app.tar"],
    ] {
        let whole = sandbox.ocify(line).stderr;
        let (control, end) = terminal(24, 60);
        let mut command = sandbox.command();
        command.args(line).stdin(Stdio::null());
        command.stdout(end.try_clone().unwrap()).stderr(end);
        let mut child = command.spawn().unwrap();
        drop(command);
        let text = screen(&read_all(control), 60);
        assert!(!child.wait().unwrap().success(), "{line:?}");
        let lines = text.iter().filter(|line| !line.is_empty()).count();
        let all = whole.lines().filter(|line| !line.is_empty()).count();
        assert!(lines > all, "{text:#?}");
        let words = text.iter().flat_map(|line| line.split_whitespace());
        assert!(words.eq(whole.split_whitespace()), "{text:#?}");
    }
}
