//! Whatever the options and the kind of output, no reference leads to what ocify rewrote or left out, and a second
//! fix changes nothing.

use std::fs;
use std::path::Path;

use crate::common::contents::Contents;
use crate::common::judged::fixed_path;
use crate::common::links::{check_links, links};
use crate::common::runner::Sandbox;
use crate::common::{fixture, layouts, placed, recent_fixtures};

const OPTIONS: [&[&str]; 8] = [
    &[],
    &["--image", "1"],
    &["--attestations", "drop"],
    &["--missing", "prune"],
    &["--compression", "gzip"],
    &["--image", "1", "--attestations", "drop"],
    &[
        "--image",
        "1",
        "--missing",
        "prune",
        "--compression",
        "zstd",
    ],
    &["--attestations", "drop", "--missing", "prune"],
];

fn inputs() -> Vec<String> {
    [layouts(), recent_fixtures()].concat()
}

#[test]
fn no_reference_leads_to_what_was_left_out() {
    let mut checked = 0;
    for name in inputs() {
        let path = fixture(&name);
        let input = Contents::read(&path);
        if links(&input).is_empty() {
            continue;
        }
        for options in OPTIONS {
            let what = format!("{name} {options:?}");
            check_links(&input, &fixed_path(&path, options).contents, &what);
            let sandbox = Sandbox::new();
            let to_layout = [&["--layout"], options].concat();
            sandbox.fix_with(&path, "out", &to_layout).exits(0);
            check_links(&input, &Contents::read(&sandbox.path("out")), &what);
            in_place(&path, &input, options, &what);
            let patched = [&["--verify", "documents"], options].concat();
            sandbox.fix_with(&path, "patched.tar", &patched).exits(0);
            check_links(&input, &Contents::read(&sandbox.path("patched.tar")), &what);
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

/// What would not fit is refused, and recompression always is.
fn in_place(path: &Path, input: &Contents, options: &[&str], what: &str) {
    if !path.is_file() || options.contains(&"--compression") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", fs::read(path).unwrap());
    let run = placed::fix(&sandbox, "in.tar", options);
    if run.code == 0 {
        check_links(input, &Contents::read(&sandbox.path("in.tar")), what);
    } else {
        assert_eq!(run.json()["error"]["code"], "in-place-refused", "{what}");
    }
}

#[test]
fn archives_of_the_newest_tools_are_fixed() {
    for name in recent_fixtures() {
        let path = fixture(&name);
        let found = fixed_path(&path, &[]);
        let (old, new) = (Contents::read(&path), &found.contents);
        assert_eq!(old.parts(), new.parts(), "{name}: configs and layers");
        assert!(found.facts.unreferenced.is_empty(), "{name}");
    }
}
