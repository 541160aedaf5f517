//! The bytes of every output are pinned: digests are our interface.
//!
//! After a change that is meant to change output bytes, run with `OCIFY_WRITE_DIGESTS=1`, look at
//! the difference, and give it its own heading in the changelog.

use std::fs;

use crate::common::runner::Sandbox;
use crate::common::{fixture, layouts, recent_fixtures, repository, sha256};

#[test]
fn outputs_have_the_pinned_digests() {
    let mut lines = String::new();
    for name in [layouts(), recent_fixtures()].concat() {
        let sandbox = Sandbox::new();
        // What manifest.json describes must not depend on the machine.
        let is_multi = name.starts_with("buildkit-oci-multi-") || name.starts_with("2026/");
        let arguments: &[&str] = if is_multi {
            &["--docker-platform", "linux/amd64"]
        } else {
            &[]
        };
        sandbox
            .fix_with(fixture(&name), "out.tar", arguments)
            .exits(0);
        lines.push_str(&format!("{}  {name}\n", sha256(&sandbox.read("out.tar"))));
    }
    let path = repository("tests/stability/digests.txt");
    if std::env::var_os("OCIFY_WRITE_DIGESTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &lines).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    for (found, pinned) in lines.lines().zip(pinned.lines()) {
        assert_eq!(
            found, pinned,
            "output bytes changed: look at plan/rewrite.rs, plan/output.rs, json/edit.rs and header.rs"
        );
    }
    assert_eq!(
        lines.lines().count(),
        pinned.lines().count(),
        "fixtures and pinned digests"
    );
}
