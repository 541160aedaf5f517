//! A dry run of a batch refuses what the run refuses, keeps what it keeps, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use crate::common::batch::{Batch, batch, put, put_fixture};
use crate::common::builder::{Layout, right_image, right_layout};
use crate::common::runner::Sandbox;
use crate::common::tree;

const FIX: &str = "buildkit-docker-gzip-ocifalse.tar";

/// Two archives, of which nothing is wrong with the second, a layout and another file.
fn inputs(sandbox: &Sandbox) {
    put_fixture(sandbox, "in/a.tar", FIX);
    put(sandbox, "in/sub/right.tar", right());
    right_layout().write_to(&sandbox.path("in/layout"));
    put(sandbox, "in/readme", "text");
}

fn right() -> Vec<u8> {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    sandbox.fix("in.tar", "out.tar").exits(0);
    sandbox.read("out.tar")
}

/// A run that finishes everything.
fn finished(sandbox: &Sandbox) {
    inputs(sandbox);
    batch(sandbox, &["in", "-o", "out"]).exits(0);
}

/// How each input ended, as far as a dry run can say: its error, whether it was kept, or else `done`.
fn ends(batch: &Batch) -> BTreeMap<String, String> {
    let ends = batch.ends().into_iter();
    let ends = ends.map(|(input, end)| {
        let end = match end {
            "fixed" | "would-fix" | "unchanged" => "done",
            other => other,
        };
        (input.to_owned(), end.to_owned())
    });
    ends.collect()
}

/// Both runs, in which these inputs have these ends and all others are done. With one that has no name, the run as a whole fails.
#[track_caller]
fn check(what: &str, set_up: fn(&Sandbox), line: &[&str], expected: &[(&str, &str)]) {
    let sandbox = Sandbox::new();
    set_up(&sandbox);
    let before = tree(sandbox.root());
    let dry = batch(&sandbox, &[line, &["--dry-run"]].concat());
    assert!(tree(sandbox.root()) == before, "{what}: something changed");
    let wet = batch(&sandbox, line);
    assert_eq!(ends(&dry), ends(&wet), "{what}");
    let errors = [&dry, &wet].map(|batch| batch.summary["error"].clone());
    assert_eq!(errors[0], errors[1], "{what}");
    let whole = errors[0]["code"].as_str();
    let found = ends(&dry).into_iter().filter(|(_, end)| end != "done");
    let found = found.chain(whole.map(|code| (String::new(), code.to_owned())));
    let expected = expected.iter();
    let expected = expected.map(|(input, end)| ((*input).to_owned(), (*end).to_owned()));
    assert_eq!(
        found.collect::<BTreeMap<_, _>>(),
        expected.collect(),
        "{what}"
    );
    let has_failed = |batch: &Batch| batch.run.code == 1;
    assert_eq!(has_failed(&dry), has_failed(&wet), "{what}");
}

const INTO: &[&str] = &["in", "-o", "out"];

#[test]
fn outputs_that_the_run_refuses_or_keeps_are_refused_or_kept() {
    check("nothing is there", inputs, INTO, &[]);
    let foreign = |sandbox: &Sandbox| {
        inputs(sandbox);
        put(sandbox, "out/a.tar", "old");
        let other = Layout::of(&right_image(), "docker.io/library/other:1");
        other.write_to(&sandbox.path("out/layout"));
        put(sandbox, "out/sub/right.tar/file", "");
    };
    let refused = [
        ("in/a.tar", "output-exists"),
        ("in/layout", "output-exists"),
        ("in/sub/right.tar", "output-exists"),
    ];
    check("foreign outputs", foreign, INTO, &refused);
    check(
        "foreign outputs of named inputs",
        foreign,
        &["in/a.tar", "in/layout", "-o", "out/"],
        &refused[..2],
    );
    check(
        "foreign outputs that are replaced",
        foreign,
        &["in", "-o", "out", "--force"],
        &[("in/sub/right.tar", "output-exists")],
    );
    let same = |sandbox: &Sandbox| {
        inputs(sandbox);
        put(sandbox, "out/sub/right.tar", right());
    };
    check("an output with the same bytes", same, INTO, &[]);
    let kept = [
        ("in/a.tar", "kept"),
        ("in/layout", "kept"),
        ("in/sub/right.tar", "kept"),
    ];
    check("finished outputs", finished, INTO, &kept);
    check(
        "finished outputs to be replaced",
        finished,
        &["in", "-o", "out", "--force"],
        &[],
    );
    check(
        "finished outputs with other options",
        finished,
        &["in", "-o", "out", "--attestations", "drop"],
        &[],
    );
    let changed = |sandbox: &Sandbox| {
        finished(sandbox);
        put(sandbox, "out/a.tar", "changed since");
        put(
            sandbox,
            "in/sub/right.tar",
            fs::read(crate::common::fixture(FIX)).unwrap(),
        );
    };
    check(
        "outputs and inputs that changed since",
        changed,
        INTO,
        &[("in/a.tar", "output-exists"), ("in/layout", "kept")],
    );
}

#[test]
fn directories_and_links_that_the_run_refuses_are_refused() {
    let linked = |sandbox: &Sandbox| {
        inputs(sandbox);
        fs::create_dir_all(sandbox.path("out")).unwrap();
        fs::create_dir(sandbox.path("elsewhere")).unwrap();
        symlink("../elsewhere", sandbox.path("out/sub")).unwrap();
        symlink("gone.tar", sandbox.path("out/a.tar")).unwrap();
    };
    let refused = [
        ("in/a.tar", "output-exists"),
        ("in/sub/right.tar", "output-exists"),
    ];
    check("links", linked, INTO, &refused);
    let force = &["in", "-o", "out", "--force"];
    check("links that are not replaced", linked, force, &refused);
    let file = |sandbox: &Sandbox| {
        inputs(sandbox);
        put(sandbox, "out/sub", "a file");
    };
    let refused = [("in/sub/right.tar", "output-exists")];
    check("a file instead of a directory", file, INTO, &refused);
    let copies = |sandbox: &Sandbox| {
        inputs(sandbox);
        put(sandbox, "in/same", "same");
        put(sandbox, "out/same", "same");
        put(sandbox, "out/readme", "other text");
    };
    let line = &["in", "-o", "out", "--copy-others"];
    check(
        "files that are copied",
        copies,
        line,
        &[("in/readme", "output-exists")],
    );
}

#[test]
fn output_directories_that_the_run_refuses_are_refused() {
    let file = |sandbox: &Sandbox| {
        inputs(sandbox);
        put(sandbox, "out", "a file");
    };
    check("a file", file, INTO, &[("", "output-exists")]);
    check(
        "no parent",
        inputs,
        &["in", "-o", "none/out"],
        &[("", "parent-missing")],
    );
    check(
        "an image layout",
        inputs,
        &["in/a.tar", "in/sub/right.tar", "-o", "in/layout/"],
        &[("", "output-exists")],
    );
    check(
        "inside an input",
        inputs,
        &["in", "-o", "in/out"],
        &[("", "output-in-input")],
    );
    check(
        "an input",
        inputs,
        &["in", "-o", "in"],
        &[("", "output-is-input")],
    );
    let state = |sandbox: &Sandbox| {
        inputs(sandbox);
        fs::create_dir(sandbox.path("out")).unwrap();
        symlink("elsewhere", sandbox.path("out/.ocify-state")).unwrap();
    };
    check("a link for a state", state, INTO, &[("", "output-exists")]);
    let newer = |sandbox: &Sandbox| {
        finished(sandbox);
        let text = String::from_utf8(sandbox.read("out/.ocify-state")).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let first = first.replace(|c: char| c.is_ascii_digit(), "9");
        put(sandbox, "out/.ocify-state", format!("{first}\n{rest}"));
    };
    check("a newer state", newer, INTO, &[("", "output-exists")]);
}
