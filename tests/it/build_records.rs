//! An archive without images, such as a build record, stays what it is if nothing but its form would change.

use std::fs;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::batch::batch;
use crate::common::builder::{Layout, OCI_MANIFEST, gzip, right_layout, zstd};
use crate::common::contents::Contents;
use crate::common::failure::fails;
use crate::common::placed;
use crate::common::runner::Sandbox;

/// A record of a build as buildx exports it.
fn record() -> Layout {
    let mut layout = Layout::new();
    let config = layout.blob(
        "application/vnd.buildkit.historyrecord.v0",
        r#"{"frontend":"dockerfile.v0"}"#,
    );
    let status = layout.blob("application/vnd.buildkit.status.v0", "log");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [status]});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    layout
}

/// The record as an archive in a form of its own.
fn bytes() -> Vec<u8> {
    let mut entries = record().entries();
    entries.retain(|entry| entry.flag != b'5');
    entries.reverse();
    entries.push(Entry::file("notes", "extra"));
    tar(&entries)
}

#[test]
fn the_output_is_the_input() {
    for (name, input) in [
        ("plain", bytes()),
        ("gzip", gzip(&bytes())),
        ("zstd", zstd(&bytes())),
    ] {
        for options in [&[][..], &["--verify", "documents"], &["--jobs", "1"]] {
            let sandbox = Sandbox::new();
            sandbox.put("in.dockerbuild", &input);
            let run = sandbox.fix_with("in.dockerbuild", "out.dockerbuild", options);
            let report = run.exits(0).json();
            assert_eq!(report["status"], "unchanged", "{name}: {report:#}");
            assert_eq!(report["changes"], json!([]), "{name}");
            assert!(sandbox.read("out.dockerbuild") == input, "{name}");
        }
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &input);
        let before = fs::metadata(sandbox.path("in.tar")).unwrap().modified();
        let report = placed::fix(&sandbox, "in.tar", &[]).exits(0).json();
        assert_eq!(report["status"], "unchanged", "{name}: {report:#}");
        assert!(sandbox.read("in.tar") == input, "{name}");
        let after = fs::metadata(sandbox.path("in.tar")).unwrap().modified();
        assert_eq!(before.unwrap(), after.unwrap());
        let dry = sandbox.ocify(&["fix", "in.tar", "--dry-run"]);
        assert_eq!(dry.code, 0, "{name}: {dry:#?}");
    }
}

#[test]
fn a_walk_leaves_it_unchanged() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put("in/app.tar", right_layout().tar());
    sandbox.put("in/app.dockerbuild", gzip(&bytes()));
    sandbox.put("in/record.tar", bytes());
    batch(&sandbox, &["in", "-o", "out"]).exits(0);
    for (name, expected) in [
        ("app.tar", right_layout().tar()),
        ("app.dockerbuild", gzip(&bytes())),
        ("record.tar", bytes()),
    ] {
        assert!(sandbox.read(&format!("out/{name}")) == expected, "{name}");
    }
    batch(&sandbox, &["in", "--in-place"]).exits(0);
    assert!(sandbox.read("in/app.dockerbuild") == gzip(&bytes()));
    assert!(sandbox.read("in/record.tar") == bytes());
}

#[test]
fn another_form_is_written_if_it_was_requested() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes());
    sandbox.fix("in.tar", "out/").exits(0);
    let contents = Contents::read(&sandbox.path("out"));
    assert_eq!(
        contents.json("index.json"),
        Contents::from_tar(&record().tar()).json("index.json")
    );
    sandbox.fix("in.tar", "out.tar.gz").exits(0);
    assert!(sandbox.read("out.tar.gz").starts_with(b"\x1f\x8b"));
    sandbox.put("in.tar.gz", gzip(&bytes()));
    sandbox.fix("in.tar.gz", "same.tar.gz").exits(0);
    assert!(sandbox.read("same.tar.gz") == gzip(&bytes()));
}

#[test]
fn a_damaged_one_is_refused() {
    let mut input = bytes();
    let at = input.windows(3).position(|part| part == b"log").unwrap();
    input[at] = b'L';
    fails("damaged", &input, "digest-mismatch", &[]);
    fails(
        "damaged and compressed",
        &gzip(&input),
        "digest-mismatch",
        &[],
    );
}

#[test]
fn an_archive_with_an_image_gets_its_own_form() {
    let mut entries = right_layout().entries();
    entries.reverse();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar.gz", gzip(&tar(&entries)));
    let report = sandbox.fix("in.tar.gz", "out.tar").exits(0).json();
    assert_eq!(report["status"], "fixed");
    assert!(sandbox.read("out.tar") == right_layout().tar());
    let refused = placed::fix(&sandbox, "in.tar.gz", &[]).exits(1).json();
    assert_eq!(refused["error"]["code"], "in-place-refused");
}
