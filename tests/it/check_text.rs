//! What `ocify check` shows to people.

use std::process::Stdio;

use ocify::command::shell_word;

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP};
use crate::common::fixture;
use crate::common::runner::{Sandbox, run};
use crate::common::schema::parse_check;
use crate::common::terminal::{read_all, screen, terminal};

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";

fn check(line: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let path = fixture(ZSTD);
    sandbox.put("app.tar", std::fs::read(path).unwrap());
    let run = sandbox.ocify(&[&["check", "app.tar"], line].concat());
    assert_eq!(run.stderr, "");
    run.stdout
}

#[test]
fn versions_and_readers_with_the_same_verdict_share_a_row() {
    let text = check(&[]);
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("app.tar: example.com/app:v1, linux/amd64, 4 layers (zstd)")
    );
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = lines.map(words).collect();
    for expected in [
        "engine as it is after ocify fix",
        "all others loads loads",
        "EOL: no longer supported by its makers, so it does not count",
        "index.json, manifests[0], layers[0] and 3 more",
    ] {
        assert!(rows.iter().any(|row| row == expected), "{expected}: {text}");
    }
    assert_eq!(text.matches("\nlayer-type (4): ").count(), 1, "{text}");
    assert!(
        text.ends_with("\nfix it: ocify fix app.tar -o fixed.tar\n"),
        "{text}"
    );
    // A range for each reader, with what is in its way.
    let row = |start: &str, end: &str| {
        let mut rows = rows.iter();
        rows.any(|row| row.starts_with(start) && row.ends_with(end))
    };
    for (start, end) in [
        ("docker/graphdriver ", "20.10.27 EOL no zstd-layers no"),
        ("docker/containerd ", " no layer-type loads"),
        ("containerd 1.5.0–1.7.", " no layer-type loads"),
    ] {
        assert!(row(start, end), "{start} {end}: {text}");
    }
}

/// `-v` and `--all` are the same.
#[test]
fn every_verdict_can_have_a_row() {
    let all = check(&["--all"]);
    assert_eq!(all, check(&["-v"]));
    assert!(!all.contains("all others"), "{all}");
    assert!(all.contains("  docker/graphdriver 23.0.0–"), "{all}");
}

/// Without a store, the row has the worst verdict, and says of which store that is.
#[test]
fn the_row_of_an_engine_has_its_worst_verdict() {
    let text = check(&["--for", "docker@26.1.5", "--for", "podman@5.4.2"]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = text.lines().map(words).collect();
    for expected in [
        "docker@26.1.5 no layer-type (containerd) loads",
        "podman@5.4.2 loads loads",
    ] {
        assert!(rows.iter().any(|row| row == expected), "{expected}: {text}");
    }
}

#[test]
fn what_a_fix_does_not_help_is_said() {
    let text = check(&["--for", "docker@20.10.24/graphdriver"]);
    assert!(
        text.contains("ocify fix alone does not make it load in docker/graphdriver 20.10.24"),
        "{text}"
    );
    let command = text.lines().find(|line| line.starts_with("fix it: "));
    assert!(
        command.is_some_and(|command| command.ends_with(" --for docker@20.10.24/graphdriver")),
        "{text}"
    );
    // One command for all.
    let text = check(&[
        "--for",
        "docker@20.10.24/graphdriver",
        "--for",
        "containerd@1.7.24",
    ]);
    assert!(
        text.ends_with(
            "\nfix it: ocify fix app.tar -o fixed.tar --for docker@20.10.24/graphdriver\n"
        ),
        "{text}"
    );
    assert_eq!(text.matches("fix it").count(), 1, "{text}");
    // What is not known stays so.
    let text = check(&["--for", "containerd@1.7.24", "--for", "containerd@99.1"]);
    assert!(
        text.ends_with("\nit loads in containerd 1.7.24 after: ocify fix app.tar -o fixed.tar\n"),
        "{text}"
    );
    assert!(!text.contains("fix it"), "{text}");
    let text = check(&["--for", "containerd@99.1"]);
    assert!(
        text.contains("\nnot known: what containerd@99.1 does\n"),
        "{text}"
    );
    let text = check(&["--for", "containerd@99.1", "--for", "podman@99"]);
    assert!(
        text.contains("\nnot known: what containerd@99.1, podman@99 do\n"),
        "{text}"
    );
    let engine = "docker@28.0/graphdriver";
    let text = check(&["--for", engine, "--fail-on", "zstd-layers"]);
    let expected =
        "loads as it is in every engine that was asked for\nrejected because of zstd-layers\n";
    assert!(text.ends_with(expected), "{text}");
}

/// The command does not replace a file, and repeats the options that decide how the input is read.
#[test]
fn the_command_can_be_run() {
    let sandbox = Sandbox::new();
    let bytes = std::fs::read(fixture(ZSTD)).unwrap();
    sandbox.put("my app.tar", bytes);
    sandbox.put("fixed.tar", "other");
    let line = ["check", "my app.tar", "--lenient", "--max-ratio", "2000"];
    let text = sandbox.ocify(&line).exits(0).stdout;
    let (_, command) = text.split_once("\nfix it: ").unwrap();
    assert_eq!(
        command,
        "ocify fix 'my app.tar' -o fixed-2.tar --lenient --max-ratio 2000\n"
    );
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_ocify"));
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(sandbox.root());
    shell.env("PATH", path.parent().unwrap());
    assert!(shell.stdout(Stdio::null()).status().unwrap().success());
    sandbox.ocify(&["check", "fixed-2.tar"]).exits(0);
}

/// The output does not go into the layout that it is made from.
#[test]
fn the_command_for_the_current_directory_can_be_run() {
    let sandbox = Sandbox::new();
    let layout = sandbox.path("my layout");
    Layout::of(&Image::docker(vec![Layer::gzip(OCI_GZIP, "a")]), "app:v1").write_to(&layout);
    sandbox.put("fixed.tar", "other");
    for (directory, input, output) in [
        (layout.clone(), ".", "../fixed-2.tar"),
        (layout.join("blobs"), "..", "../../fixed-2.tar"),
        (sandbox.root().to_owned(), "my layout", "fixed-2.tar"),
    ] {
        let mut command = sandbox.command();
        command.current_dir(&directory).args(["check", input]);
        let text = run(&mut command).exits(3).stdout;
        let (_, line) = text.split_once("\nfix it: ").unwrap();
        let word = shell_word(input.as_ref());
        assert_eq!(line, format!("ocify fix {word} -o {output}\n"));
        let path = std::path::Path::new(env!("CARGO_BIN_EXE_ocify"));
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", line]).current_dir(&directory);
        shell.env("PATH", path.parent().unwrap());
        assert!(shell.stdout(Stdio::null()).status().unwrap().success());
        sandbox.ocify(&["check", "fixed-2.tar"]).exits(0);
        std::fs::remove_file(sandbox.path("fixed-2.tar")).unwrap();
    }
}

/// Lines are at most as wide as the terminal, except those with a path that is wider, and nothing is lost.
#[test]
fn reports_fit_terminals() {
    let sandbox = Sandbox::new();
    std::fs::copy(fixture(ZSTD), sandbox.path("app.tar")).unwrap();
    for columns in [60, 80, 120, 200] {
        let (control, end) = terminal(100, columns);
        let mut command = sandbox.command();
        command.args(["check", "app.tar"]).stdin(Stdio::null());
        command.stdout(end.try_clone().unwrap()).stderr(end);
        let mut child = command.spawn().unwrap();
        drop(command);
        let bytes = read_all(control);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let lines = screen(&bytes, 1000);
        let wide: Vec<&String> = lines
            .iter()
            .filter(|line| line.chars().count() > usize::from(columns))
            // These have commands, which can be copied.
            .filter(|line| !line.starts_with("  hint: "))
            .collect();
        assert!(wide.is_empty(), "{columns}: {wide:#?}");
        let text = lines.join("\n");
        for part in ["layer-type", "containerd", "fix it: ocify fix app.tar"] {
            assert!(text.contains(part), "{columns}: {part}: {text}");
        }
        // A table that does not fit has each row in three lines.
        let is_stacked = lines
            .iter()
            .any(|line| line.trim_start().starts_with("as it is"));
        assert_eq!(is_stacked, columns == 60, "{columns}: {text}");
    }
}

#[test]
fn names_of_a_hostile_archive_are_escaped() {
    let sandbox = Sandbox::new();
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]).architecture("amd\u{1b}[31m64");
    sandbox.put(
        "a\u{1b}[2J.tar",
        Layout::of(&image, "example.com/app:v1").tar(),
    );
    let run = sandbox.ocify(&["check", "a\u{1b}[2J.tar"]);
    assert!([0, 1, 3].contains(&run.code), "{run:#?}");
    assert!(
        !run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'),
        "{run:#?}"
    );
    assert!(run.stdout.contains("\\u{1b}"), "{run:#?}");
}

#[test]
fn findings_with_the_same_hint_show_it_once() {
    let sandbox = Sandbox::new();
    std::fs::copy(
        fixture("docker26c-save-pulledmulti.tar"),
        sandbox.path("app.tar"),
    )
    .unwrap();
    let text = sandbox.ocify(&["check", "app.tar"]).stdout;
    let findings = text.matches("[missing-manifest]").count();
    let hints = text.matches("with --missing prune\n").count();
    assert_eq!((findings, hints), (3, 1), "{text}");
}

#[test]
fn layers_that_every_engine_reads_that_was_asked_for_need_no_warning() {
    let sandbox = Sandbox::new();
    std::fs::copy(fixture(ZSTD), sandbox.path("app.tar")).unwrap();
    let warning = "which Docker before 23.0 cannot read";
    for (engines, is_warned) in [
        (&[][..], true),
        (&["--for", "containerd@1.7"], false),
        (&["--for", "docker@20.10/graphdriver"], true),
        (&["--for", "containerd@1.7", "--for", "docker@28.5"], false),
    ] {
        let text = sandbox.ocify(&[&["check", "app.tar"], engines].concat());
        assert_eq!(text.stdout.contains(warning), is_warned, "{engines:?}");
        // What an engine that was asked for cannot read is recompressed.
        let line = [&["fix", "app.tar", "-o", "fixed.tar", "--force"], engines].concat();
        let text = sandbox.ocify(&line);
        assert_eq!(
            text.stdout.contains(warning),
            engines.is_empty(),
            "{engines:?}"
        );
    }
}

/// What is not mentioned does not let a check fail either, unless a rule is asked for by name. Then it is mentioned.
#[test]
fn a_check_fails_only_on_what_it_shows() {
    let sandbox = Sandbox::new();
    std::fs::copy(fixture(ZSTD), sandbox.path("app.tar")).unwrap();
    sandbox.fix("app.tar", "fixed.tar").exits(0);
    for (fail_on, code) in [("warns", 0), ("breaks", 0), ("zstd-layers", 3)] {
        let options = ["--for", "containerd@1.7", "--fail-on", fail_on];
        let line = [&["check", "fixed.tar"], &options[..]].concat();
        let run = sandbox.ocify(&line).exits(code);
        let is_shown = run.stdout.contains("[zstd-layers]");
        assert_eq!(is_shown, code == 3, "{fail_on}: {}", run.stdout);
        assert_eq!(run.stdout.contains("rejected"), code == 3, "{}", run.stdout);
        let report = sandbox.ocify(&[&line[..], &["--format", "json"]].concat());
        let report = parse_check(&report.stdout);
        let findings = report["findings"].as_array().unwrap().len();
        assert_eq!(findings, usize::from(code == 3), "{fail_on}");
    }
    // Without engines, everybody is concerned.
    let line = ["check", "fixed.tar", "--fail-on", "breaks"];
    sandbox.ocify(&line).exits(3);
}
