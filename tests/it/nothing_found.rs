//! `--fail-if-empty`: a run that finds no image archives fails instead of warning.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::common::archive::{Entry, tar};
use crate::common::batch::put;
use crate::common::builder::right_layout;
use crate::common::runner::Sandbox;

const OPTION: &str = "--fail-if-empty";

/// `empty` has no archives, `others` an archive that is not an image, and `images` one that is.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("empty")).unwrap();
    put(&sandbox, "others/notes.txt", "text");
    put(&sandbox, "others/app.tar", tar(&[Entry::file("x", "x")]));
    put(&sandbox, "images/app.tar", right_layout().tar());
    sandbox.put("list", "");
    sandbox
}

#[test]
fn no_images_are_a_failure_if_that_is_requested() {
    let sandbox = sandbox();
    for command in [
        &["fix", "-o", "out/"][..],
        &["fix", "--dry-run"],
        &["check"],
        &["push", "--dry-run"],
    ] {
        for input in [&["empty"][..], &["others"], &["--files-from", "list"]] {
            let line = [command, input].concat();
            let found = sandbox.ocify(&line).exits(0);
            // An archive that is not an image is reported instead.
            let warning = match input {
                ["others"] => "",
                _ => "warning: no image archives found\n",
            };
            assert_eq!(found.stderr, warning, "{line:?}");
            let failed = sandbox.ocify(&[&line[..], &[OPTION]].concat());
            let about = format!("{line:?}");
            assert_eq!(failed.code, 1, "{about}: {failed:#?}");
            let message = "error: no image archives found\n";
            assert!(failed.stderr.contains(message), "{about}: {failed:#?}");
            assert!(!failed.stderr.contains("warning"), "{about}: {failed:#?}");
        }
        let line = [command, &["images", OPTION]].concat();
        sandbox.ocify(&line).exits(0);
    }
    // It is in the report too.
    let line = ["fix", "others", "--dry-run", "--format", "json", OPTION];
    let found = sandbox.ocify(&line).exits(1);
    let summary: Value = serde_json::from_str(found.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["error"]["code"], "not-an-image", "{summary:#}");
}

/// Links that were skipped may lead to images, so a run of nothing else says that it did nothing.
#[test]
fn skipped_links_do_not_pass_for_images() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("links")).unwrap();
    symlink("../images/app.tar", sandbox.path("links/app.tar")).unwrap();
    symlink("nowhere", sandbox.path("links/gone.tar")).unwrap();
    let warning = "warning: no image archives found: symbolic links were skipped; if you trust what they lead to, use --follow\n";
    let hint = "hint: if you trust what they lead to, use --follow, or omit --fail-if-empty\n";
    let commands = [
        &["fix", "-o", "out/"][..],
        &["fix", "--dry-run"],
        &["check"],
        &["check", "--format", "junit"],
        &["check", "--format", "json"],
        &["inspect"],
        &["push", "--dry-run"],
    ];
    for command in commands {
        let line = [command, &["links"]].concat();
        assert_eq!(sandbox.ocify(&line).exits(0).stderr, warning, "{line:?}");
        let failed = sandbox.ocify(&[&line[..], &[OPTION]].concat()).exits(1);
        assert!(failed.stderr.ends_with(hint), "{line:?}: {failed:#?}");
    }
    let line = ["fix", "links", "--in-place"];
    let run = sandbox.ocify(&line).exits(0);
    let way = "; give the files that they lead to as INPUT\n";
    assert!(run.stderr.ends_with(way), "{run:#?}");
    // Among archives that are not images, too.
    symlink("app.tar", sandbox.path("others/latest.tar")).unwrap();
    for command in commands {
        let run = sandbox.ocify(&[command, &["others"]].concat()).exits(0);
        assert_eq!(run.stderr, warning, "{command:?}");
        let counted = ": 1 not an image archive, 1 symbolic link skipped";
        let is_text = !command.contains(&"--format");
        assert_eq!(
            run.stdout.contains(counted),
            is_text,
            "{command:?}: {run:#?}"
        );
    }
    // One image is enough, also if an earlier run finished it.
    symlink("app.tar", sandbox.path("images/latest.tar")).unwrap();
    for command in commands {
        for _ in 0..2 {
            let line = [command, &["images", OPTION]].concat();
            assert_eq!(sandbox.ocify(&line).exits(0).stderr, "", "{line:?}");
        }
    }
    // Who names a link, or follows links, means what it leads to.
    fs::remove_file(sandbox.path("links/gone.tar")).unwrap();
    for inputs in [
        &["links", "--follow"][..],
        &["links/app.tar", "images/app.tar"],
    ] {
        let line = [&["inspect"], inputs].concat();
        assert_eq!(sandbox.ocify(&line).exits(0).stderr, "", "{line:?}");
    }
}

/// Annotations are all that GitHub shows.
#[test]
fn a_warning_is_an_annotation() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("links")).unwrap();
    symlink("../images/app.tar", sandbox.path("links/app.tar")).unwrap();
    for (input, expected) in [
        ("empty", Some("no image archives found")),
        (
            "links",
            Some(
                "no image archives found: symbolic links were skipped; if you trust what they lead to, use --follow",
            ),
        ),
        ("others", None),
        ("images", None),
    ] {
        let run = sandbox.ocify(&["check", input, "--format", "github"]);
        let run = run.exits(0);
        assert_eq!(run.stderr, "", "{input}");
        let start = "::warning title=ocify check::";
        let mut warnings = run
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(start));
        assert_eq!(warnings.next(), expected, "{input}: {}", run.stdout);
        // With the option it is an error.
        let line = ["check", input, "--format", "github", OPTION];
        let stdout = sandbox.ocify(&line).stdout;
        assert!(!stdout.contains(start), "{input}: {stdout}");
    }
}

/// Nothing was read, so nothing is said about its length.
#[test]
fn summaries_of_nothing_are_short() {
    let sandbox = sandbox();
    for line in [
        &["fix", "empty", "-o", "out/"][..],
        &["check", "empty"],
        &["inspect", "empty"],
    ] {
        let run = sandbox.ocify(line).exits(0);
        assert_eq!(run.stdout, "0 inputs in 0.0 s\n", "{line:?}");
    }
    let read = sandbox.ocify(&["inspect", "images"]).exits(0).stdout;
    assert!(read.contains("1 listed; "), "{read}");
}

#[test]
fn a_shard_may_be_empty_if_the_tree_is_not() {
    let sandbox = sandbox();
    for command in [&["fix", "--dry-run"][..], &["check"]] {
        for number in 1..=4 {
            let shard = format!("{number}/4");
            let line = [command, &["images", OPTION, "--shard", &shard]].concat();
            sandbox.ocify(&line).exits(0);
            let line = [command, &["empty", OPTION, "--shard", &shard]].concat();
            sandbox.ocify(&line).exits(1);
        }
    }
}

#[test]
fn a_single_input_has_no_such_option() {
    let sandbox = sandbox();
    let line = ["fix", "images/app.tar", "--dry-run", OPTION];
    let found = sandbox.ocify(&line);
    assert_eq!(found.code, 2, "{found:#?}");
}
