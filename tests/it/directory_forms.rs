//! Which directories are image layouts, which are walked, and which forms of skopeo's `dir:` are read.

use std::fs;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put, put_fixture};
use crate::common::builder::right_layout;
use crate::common::contents::Contents;
use crate::common::fixture;
use crate::common::judged::{fixed, fixed_path};
use crate::common::runner::Sandbox;
use crate::common::sha256;

const RIGHT: &str = "buildkit-docker-gzip-ocitrue.tar";

/// The names of root files may be those of directories in a tree.
#[test]
fn a_tree_with_directories_named_like_root_files_is_walked() {
    for name in ["oci-layout", "index.json", "manifest.json"] {
        let sandbox = Sandbox::new();
        right_layout().write_to(&sandbox.path(&format!("in/{name}")));
        put_fixture(&sandbox, &format!("in/{name}.d/app.tar"), RIGHT);
        let found = batch(&sandbox, &["in", "-o", "out"]);
        found.exits(0);
        let inputs: Vec<&str> = found.items.keys().map(String::as_str).collect();
        assert_eq!(
            inputs,
            [format!("in/{name}"), format!("in/{name}.d/app.tar")]
        );
        let index = sandbox.path(&format!("out/{name}/index.json"));
        assert!(index.is_file(), "{name}");
    }
}

#[test]
fn a_tree_with_a_file_called_blobs_is_walked() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/blobs", "notes");
    put_fixture(&sandbox, "in/app.tar", RIGHT);
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    assert_eq!(found.items.len(), 1);
}

/// The files of skopeo's directory, and those of version 1.0, whose layers end in `.tar`.
fn skopeo_directories() -> [(&'static str, Contents); 3] {
    let current = Contents::read(&fixture("podman-dockerdir"));
    let mut bare = current.clone();
    bare.files.remove("version").unwrap();
    let mut old = bare.clone();
    let blobs: Vec<String> = old
        .files
        .keys()
        .filter(|name| name.len() == 64)
        .cloned()
        .collect();
    for name in blobs {
        let bytes = old.files.remove(&name).unwrap();
        old.files.insert(format!("{name}.tar"), bytes);
    }
    let version = b"Directory Transport Version: 1.0\n".to_vec();
    old.files.insert("version".to_owned(), version);
    [
        ("current", current),
        ("without version", bare),
        ("1.0", old),
    ]
}

#[test]
fn every_version_of_a_skopeo_directory_gives_the_same_output() {
    let [(_, current), ..] = skopeo_directories();
    let write = |sandbox: &Sandbox, contents: &Contents, folder: &str| {
        for (name, bytes) in &contents.files {
            put(sandbox, &format!("{folder}/{name}"), bytes);
        }
    };
    let sandbox = Sandbox::new();
    write(&sandbox, &current, "in");
    let expected = fixed_path(&sandbox.path("in"), &["--name", "app:v1"]);
    for (version, contents) in skopeo_directories() {
        let sandbox = Sandbox::new();
        write(&sandbox, &contents, "tree/one");
        let found = fixed_path(&sandbox.path("tree/one"), &["--name", "app:v1"]);
        assert!(found.bytes == expected.bytes, "{version}");
        // As a tar, and in a walk.
        let files = contents.files.iter();
        let entries: Vec<Entry> = files
            .map(|(name, bytes)| Entry::file(name, bytes))
            .collect();
        let packed = fixed(&tar(&entries), &["--name", "app:v1"]);
        assert!(packed.bytes == expected.bytes, "{version}");
        let found = batch(&sandbox, &["tree", "-o", "out"]);
        found.exits(0);
        assert_eq!(found.ends()["tree/one"], "fixed", "{version}");
    }
}

/// A digest with another algorithm has its name in that of the file.
#[test]
fn a_skopeo_directory_may_have_sha512_digests() {
    let sandbox = Sandbox::new();
    let [(_, mut contents), ..] = skopeo_directories();
    let mut manifest: Value = serde_json::from_slice(contents.file("manifest.json")).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let bytes = contents.files.remove(&layer[7..]).unwrap();
    assert_eq!(sha256(&bytes), layer[7..]);
    let hex = crate::common::sha512(&bytes);
    manifest["layers"][0]["digest"] = json!(format!("sha512:{hex}"));
    contents.files.insert(format!("sha512-{hex}"), bytes);
    let text = manifest.to_string().into_bytes();
    contents.files.insert("manifest.json".to_owned(), text);
    for (name, bytes) in &contents.files {
        put(&sandbox, &format!("in/{name}"), bytes);
    }
    let found = fixed_path(&sandbox.path("in"), &["--name", "app:v1"]);
    assert!(found.contents.has(&format!("blobs/sha512/{hex}")));
}

/// A web application's `manifest.json` does not make a layout.
#[test]
fn other_directories_with_a_manifest_json_are_walked() {
    let sandbox = Sandbox::new();
    let manifest = r#"{"schemaVersion": 2, "name": "app", "digest": "x"}"#;
    put(&sandbox, "in/web/manifest.json", manifest);
    put(&sandbox, "in/web/index.html", "<html>");
    put_fixture(&sandbox, "in/web/app.tar", RIGHT);
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    assert_eq!(found.ends()["in/web/app.tar"], "unchanged");
    assert!(fs::read_dir(sandbox.path("out/web")).unwrap().count() == 1);
}
