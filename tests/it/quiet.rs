//! `--quiet`: only errors are shown, and the exit code and the outputs are those of the same run without it.

use crate::common::batch::put;
use crate::common::builder::{DOCKER_ZSTD, Image, Layer, Layout, right_layout};
use crate::common::piped::pipe;
use crate::common::runner::{Run, Sandbox};

/// An archive that needs a fix, for which there is a warning too.
fn wrong() -> Vec<u8> {
    let image = Image::docker(vec![Layer::zstd(DOCKER_ZSTD, "x")]);
    Layout::of(&image, "app:wrong").tar()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    put(&sandbox, "images/right.tar", right_layout().tar());
    put(&sandbox, "images/wrong.tar", wrong());
    sandbox.put("wrong.tar", wrong());
    sandbox.put("damaged.tar", &wrong()[..2000]);
    sandbox
}

#[track_caller]
fn is_silent(run: &Run) {
    assert_eq!((&*run.stdout, &*run.stderr), ("", ""), "{run:#?}");
}

#[test]
fn what_succeeds_shows_nothing_and_exits_as_without_the_option() {
    for (line, code, output) in [
        (&["fix", "wrong.tar", "-o", "out.tar"][..], 0, "out.tar"),
        (&["fix", "wrong.tar", "--in-place"], 0, "wrong.tar"),
        (&["fix", "wrong.tar", "--recover"], 0, ""),
        (&["fix", "wrong.tar", "--dry-run"], 3, ""),
        (&["fix", "wrong.tar", "--dry-run", "--strict"], 3, ""),
        (&["fix", "images", "-o", "out/"], 0, "out/wrong.tar"),
        (&["fix", "images", "--in-place"], 0, "images/wrong.tar"),
        (&["fix", "images", "--dry-run"], 3, ""),
        (
            &[
                "merge",
                "images/right.tar",
                "wrong.tar",
                "-o",
                "out.tar",
                "--on-conflict",
                "first",
            ],
            0,
            "out.tar",
        ),
        (
            &[
                "merge",
                "images/right.tar",
                "wrong.tar",
                "--dry-run",
                "--on-conflict",
                "first",
            ],
            0,
            "",
        ),
        (&["split", "wrong.tar", "-o", "out/"], 0, ""),
        (&["check", "wrong.tar"], 3, ""),
        (&["check", "images/right.tar"], 0, ""),
        (&["check", "images"], 3, ""),
        (
            &["push", "wrong.tar", "localhost:1/app:v1", "--dry-run"],
            0,
            "",
        ),
        (&["push", "images", "localhost:1/app", "--dry-run"], 0, ""),
    ] {
        let (loud, quiet) = (sandbox(), sandbox());
        let said = loud.ocify(line);
        assert_eq!(said.code, code, "{line:?}: {said:#?}");
        assert!(!said.stdout.is_empty(), "{line:?}");
        for option in ["-q", "--quiet"] {
            let quiet = match option {
                "-q" => &quiet,
                _ => &sandbox(),
            };
            let found = quiet.ocify(&[line, &[option]].concat());
            assert_eq!(found.code, code, "{line:?}: {found:#?}");
            is_silent(&found);
            if !output.is_empty() {
                assert!(quiet.read(output) == loud.read(output), "{line:?}");
            }
            assert_eq!(quiet.names(), loud.names(), "{line:?}");
        }
    }
}

#[test]
fn errors_are_shown_as_without_the_option() {
    for line in [
        &["fix", "damaged.tar", "-o", "out.tar"][..],
        &["fix", "damaged.tar", "--in-place"],
        &["fix", "missing.tar", "--recover"],
        &["fix", "damaged.tar", "--dry-run"],
        &["merge", "wrong.tar", "damaged.tar", "-o", "out.tar"],
        &["split", "damaged.tar", "-o", "out/"],
        &["check", "damaged.tar"],
        &["push", "damaged.tar", "localhost:1/app:v1"],
    ] {
        let sandbox = sandbox();
        let said = sandbox.ocify(line).exits(1);
        let found = sandbox.ocify(&[line, &["-q"]].concat()).exits(1);
        assert_eq!(found.stdout, "", "{line:?}");
        assert_eq!(found.stderr, said.stderr, "{line:?}");
        assert!(found.stderr.starts_with("error: "), "{line:?}: {found:#?}");
    }
}

#[test]
fn a_run_over_many_inputs_shows_each_failure_once() {
    for line in [
        &["fix", "images", "-o", "out/"][..],
        &["fix", "images", "--in-place"],
        &["fix", "images", "--dry-run"],
        &["check", "images"],
        &["push", "images", "localhost:1/app", "--dry-run"],
    ] {
        let sandbox = sandbox();
        put(&sandbox, "images/damaged.tar", &wrong()[..2000]);
        let found = sandbox.ocify(&[line, &["-q"]].concat()).exits(1);
        assert_eq!(found.stdout, "", "{line:?}: {found:#?}");
        let errors = found.stderr.matches("error: ").count();
        assert_eq!(errors, 1, "{line:?}: {found:#?}");
        assert!(found.stderr.contains("damaged.tar"), "{line:?}: {found:#?}");
        for other in ["right.tar", "wrong.tar", "warning"] {
            assert!(!found.stderr.contains(other), "{line:?}: {found:#?}");
        }
    }
}

#[test]
fn warnings_and_notes_are_not_shown() {
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    for command in [
        &["fix", "empty", "-o", "out/"][..],
        &["check", "empty"],
        &["push", "empty", "--dry-run"],
    ] {
        is_silent(&sandbox.ocify(&[command, &["-q"]].concat()).exits(0));
        let failed = sandbox.ocify(&[command, &["-q", "--fail-if-empty"]].concat());
        assert_eq!(failed.code, 1, "{command:?}: {failed:#?}");
        assert_eq!(
            failed.stderr,
            "error: no image archives found\nhint: check the paths and patterns, or omit --fail-if-empty\n",
            "{command:?}"
        );
    }
    // Standard input has to be stored, which is said otherwise.
    let check = |more: &[&str]| {
        let mut command = sandbox.command();
        command.args(["check", "-"]).args(more);
        pipe(&mut command, &right_layout().tar()).exits(0)
    };
    let said = check(&[]);
    assert!(said.err.starts_with("storing "), "{said:?}");
    let found = check(&["-q"]);
    assert_eq!((&*found.out, &*found.err), (&b""[..], ""));
}

#[test]
fn progress_is_shown_only_if_it_was_requested() {
    let sandbox = sandbox();
    let line = ["fix", "wrong.tar", "-o", "out.tar", "-q"];
    let found = sandbox
        .ocify(&[&line[..], &["--progress", "rawjson"]].concat())
        .exits(0);
    assert_eq!(found.stdout, "");
    assert!(found.stderr.starts_with('{'), "{found:#?}");
}

#[test]
fn there_is_no_quiet_report() {
    let sandbox = sandbox();
    for (line, message) in [
        (
            &["fix", "wrong.tar", "--dry-run", "-q", "-v"][..],
            "cannot be used with",
        ),
        (
            &["fix", "wrong.tar", "--dry-run", "-q", "--format", "json"],
            "--quiet shows no report",
        ),
        (
            &["merge", "wrong.tar", "--dry-run", "-q", "--format", "json"],
            "--quiet shows no report",
        ),
        (
            &["check", "wrong.tar", "-q", "--format", "json"],
            "--quiet shows no report",
        ),
        (
            &["check", "wrong.tar", "-q", "--format", "junit"],
            "--quiet shows no report",
        ),
        (
            &[
                "push",
                "wrong.tar",
                "localhost:1/x",
                "-q",
                "--format",
                "json",
            ],
            "--quiet shows no report",
        ),
        (
            &["inspect", "wrong.tar", "-q"],
            "does not have the option --quiet",
        ),
    ] {
        let found = sandbox.ocify(line);
        assert_eq!(found.code, 2, "{line:?}: {found:#?}");
        assert!(found.stderr.contains(message), "{line:?}: {found:#?}");
    }
}
