//! Archives and layouts that list nothing are not images.

use std::fs;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{Layout, OCI_INDEX, named};
use crate::common::failure::{expect, fails};
use crate::common::runner::Sandbox;

const EMPTY: [&str; 6] = [
    "{}",
    "null",
    "[]",
    "{\"manifests\":[]}",
    "{\"schemaVersion\":2,\"manifests\":null}",
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}",
];

fn archive(index: Option<&str>, docker: Option<&str>) -> Vec<u8> {
    let file = |name: &'static str, text: Option<&str>| text.map(|text| Entry::file(name, text));
    let mut entries = vec![Entry::file(
        "oci-layout",
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )];
    entries.extend(file("index.json", index));
    entries.extend(file("manifest.json", docker));
    tar(&entries)
}

#[test]
fn an_index_that_lists_nothing_is_refused() {
    let message = "index.json does not list any image";
    for index in EMPTY {
        fails(
            index,
            &archive(Some(index), None),
            "not-an-image",
            &[message],
        );
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", archive(Some(index), None));
        let run = sandbox.ocify(&["fix", "--in-place", "in.tar", "--format", "json"]);
        expect(index, &run, "not-an-image", &[message]);
        let run = sandbox.ocify(&["fix", "--dry-run", "in.tar", "--format", "json"]);
        expect(index, &run, "not-an-image", &[message]);
    }
}

#[test]
fn a_manifest_json_that_lists_nothing_is_refused() {
    for docker in ["[]", "null", "{}"] {
        let alone = archive(None, Some(docker));
        let message = "manifest.json does not list any image";
        fails(docker, &alone, "not-an-image", &[message]);
        for index in EMPTY {
            let both = archive(Some(index), Some(docker));
            fails(docker, &both, "not-an-image", &["list"]);
        }
    }
}

#[test]
fn indexes_of_nothing_are_refused() {
    let mut layout = Layout::new();
    let empty = layout.index_of(OCI_INDEX, vec![]);
    let outer = layout.index_of(OCI_INDEX, vec![empty.clone()]);
    layout.root(vec![named(outer, "docker.io/library/app:v1"), empty]);
    let message = "is an index that does not list any image";
    fails(
        "nested",
        &layout.tar(),
        "not-an-image",
        &["index.json, manifests[", message],
    );
}

#[test]
fn a_layout_that_lists_nothing_fails_alone_and_in_a_tree() {
    let mut layout = Layout::new();
    layout.index = Some(b"{\"schemaVersion\":2,\"manifests\":[]}".to_vec());
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    layout.write_to(&sandbox.path("in/layout"));
    sandbox.put("in/empty.tar", layout.tar());
    let run = sandbox.fix("in/layout", "out/");
    expect("layout", &run, "not-an-image", &["index.json"]);
    sandbox.put("in/app.tar", crate::common::builder::right_layout().tar());
    let run = sandbox
        .ocify(&["fix", "in", "-o", "fixed/", "--format", "json"])
        .exits(1);
    let statuses: Vec<Value> = run
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|report| json!([report["input"], report["error"]["code"]]))
        .collect();
    for input in ["in/layout", "in/empty.tar"] {
        assert!(
            statuses.contains(&json!([input, "not-an-image"])),
            "{statuses:?}"
        );
    }
    assert!(sandbox.path("fixed/app.tar").is_file());
    assert!(!sandbox.path("fixed/empty.tar").exists());
}
