//! `--name` and `--rename`.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, annotated, named, right_image, right_layout,
};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

/// Two images with two names and one.
fn two_images() -> Layout {
    let mut layout = Layout::new();
    let first = layout.image(&right_image());
    let second = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]));
    layout.root(vec![
        named(first.clone(), "docker.io/library/one:1"),
        named(first, "example.com/alias:2"),
        named(second, "docker.io/library/two:1"),
    ]);
    layout
}

/// The full names in the order of `index.json`.
fn in_index(found: &Fixed) -> Vec<String> {
    let root = found.contents.json("index.json");
    let entries = root["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let annotations = &entry["annotations"];
            let name = annotations["io.containerd.image.name"]
                .as_str()
                .unwrap_or("-")
                .to_owned();
            let tag = annotations["org.opencontainers.image.ref.name"]
                .as_str()
                .unwrap_or("-");
            assert!(name.ends_with(&format!(":{tag}")), "{annotations}");
            name
        })
        .collect()
}

#[test]
fn a_name_replaces_all_names() {
    for (given, full) in [
        ("app", "docker.io/library/app:latest"),
        ("team/app:2", "docker.io/team/app:2"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("docker.io/library/app:v1", "docker.io/library/app:v1"),
    ] {
        let found = fixed(&right_layout().tar(), &["--name", given]);
        assert_eq!(in_index(&found), [full]);
        assert_eq!(found.report["images"][0]["names"], json!([full]));
        assert_eq!(
            found.report["status"] == "unchanged",
            full.ends_with("library/app:v1")
        );
        assert_eq!(
            found.report["digests"],
            json!([]),
            "a name is no part of the image"
        );
    }
    // Also if there was none, or only a tag.
    for annotations in [
        vec![],
        vec![("org.opencontainers.image.ref.name", "latest")],
    ] {
        let mut layout = Layout::new();
        let descriptor = annotated(layout.image(&right_image()), &annotations);
        layout.root(vec![descriptor]);
        let found = fixed(&layout.tar(), &["--name", "example.com/app:1.0"]);
        assert_eq!(in_index(&found), ["example.com/app:1.0"]);
        assert!(!found.findings().contains(&"unnamed-image"));
    }
}

#[test]
fn several_names_become_several_entries() {
    let found = fixed(
        &right_layout().tar(),
        &[
            "--name",
            "b:1",
            "--name",
            "a:1",
            "--name",
            "docker.io/library/b:1",
        ],
    );
    assert_eq!(
        in_index(&found),
        ["docker.io/library/b:1", "docker.io/library/a:1"]
    );
    assert_eq!(found.names(), ["a:1", "b:1"]);
    // Fewer names than before: the entries that are left over go.
    let fewer = fixed(&found.bytes, &["--name", "c:1"]);
    assert_eq!(in_index(&fewer), ["docker.io/library/c:1"]);
    let removed = fewer.changes(&["name-entry"]);
    assert_eq!(removed.len(), 1);
    assert_eq!(
        removed[0][2..],
        ["docker.io/library/a:1".to_owned(), "-".to_owned()]
    );
    let same = fixed(&found.bytes, &["--name", "b:1", "--name", "a:1"]);
    assert_eq!(in_index(&same), in_index(&found));
}

#[test]
fn a_name_applies_to_one_image() {
    let bytes = two_images().tar();
    fails_with(
        "several",
        &bytes,
        &["--name", "app"],
        "several-images",
        &["one:1", "example.com/alias:2", "two:1"],
    );
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let run = sandbox
        .fix_with("in.tar", "out.tar", &["--name", "app"])
        .exits(1);
    assert!(
        run.stderr.contains("--image") && run.stderr.contains("--rename"),
        "{}",
        run.stderr
    );
    let chosen = fixed(&bytes, &["--image", "one:1", "--name", "app:v1"]);
    assert_eq!(in_index(&chosen), ["docker.io/library/app:v1"]);
    // Of a Docker archive too.
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!(["old:1", "old:2"]));
    assert_eq!(
        in_index(&fixed(&saved.tar(), &["--name", "new:1"])),
        ["docker.io/library/new:1"]
    );
    saved.docker(&image(&["b"]), Value::Null);
    fails_with(
        "several",
        &saved.tar(),
        &["--name", "app"],
        "several-images",
        &["old:1"],
    );
}

#[test]
fn invalid_names_are_wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let digest = format!("app@sha256:{}", "0".repeat(64));
    let hex = "0".repeat(64);
    let old_digest = format!("app:v1={digest}");
    for (option, value, expected) in [
        ("--name", "App:v1", "lower case; did you mean app:v1?"),
        (
            "--name",
            "example.com/Team/App",
            "lower case; did you mean example.com/team/app:latest?",
        ),
        ("--name", &digest[..], "a tag and without a digest"),
        ("--name", "", "expected a name such as"),
        ("--name", "app:", "expected a name such as"),
        ("--name", "app: v1", "expected a name such as"),
        ("--name", "app::v1", "expected a name such as"),
        (
            "--name",
            "https://example.com/app",
            "expected a name such as",
        ),
        ("--name", &hex, "expected a name such as"),
        ("--rename", "app:v1", "expected OLD=NEW"),
        ("--rename", "=app:v2", "is not an image name"),
        ("--rename", "App:v1=app:v2", "App:v1 is not an image name"),
        (
            "--rename",
            "app:v1=App:v2",
            "lower case; did you mean app:v2?",
        ),
        ("--rename", "app:v1=", "expected a name such as"),
        ("--rename", &old_digest, "a tag and without a digest"),
    ] {
        let run = sandbox
            .fix_with("in.tar", "out.tar", &[option, value])
            .exits(2);
        assert!(run.stderr.contains(expected), "{value}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{value}");
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn a_name_is_renamed() {
    let bytes = two_images().tar();
    let found = fixed(&bytes, &["--rename", "one:1=example.com/new:3"]);
    assert_eq!(
        in_index(&found),
        [
            "example.com/new:3",
            "example.com/alias:2",
            "docker.io/library/two:1"
        ]
    );
    assert_eq!(
        found.names(),
        ["example.com/alias:2", "example.com/new:3", "two:1"]
    );
    let several = fixed(
        &bytes,
        &[
            "--rename",
            "one:1=x:1",
            "--rename",
            "docker.io/library/two:1=y:1",
        ],
    );
    assert_eq!(several.names(), ["example.com/alias:2", "x:1", "y:1"]);
    // One after the other, so names can go round.
    let round = fixed(
        &bytes,
        &[
            "--rename",
            "one:1=tmp:1",
            "--rename",
            "two:1=one:1",
            "--rename",
            "tmp:1=two:1",
        ],
    );
    assert_eq!(
        in_index(&round),
        [
            "docker.io/library/two:1",
            "example.com/alias:2",
            "docker.io/library/one:1"
        ]
    );
    let same = fixed(&bytes, &["--rename", "one:1=one:1"]);
    assert!(same.bytes == fixed(&bytes, &[]).bytes);
    let chosen = fixed(&bytes, &["--image", "2", "--rename", "two:1=three:1"]);
    assert_eq!(in_index(&chosen), ["docker.io/library/three:1"]);
    // A name that only manifest.json has.
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!(["old:1", "old:2"]));
    let found = fixed(&saved.tar(), &["--rename", "old:2=new:2"]);
    assert_eq!(found.names(), ["new:2", "old:1"]);

    let no = |rename: &str, code: &str, parts: &[&str]| {
        fails_with(rename, &bytes, &["--rename", rename], code, parts)
    };
    no(
        "three:1=x:1",
        "image-not-found",
        &["three:1", "one:1, example.com/alias:2, two:1"],
    );
    no("one=x:1", "image-not-found", &["one:latest"]);
    no(
        "one:1=two:1",
        "name-taken",
        &["cannot rename one:1 to two:1"],
    );
    fails_with(
        "left out",
        &bytes,
        &["--image", "two:1", "--rename", "one:1=x:1"],
        "image-not-found",
        &["one:1", "two:1"],
    );
}

#[test]
fn a_name_may_be_renamed_to_another_name_of_the_image() {
    let found = fixed(
        &two_images().tar(),
        &["--rename", "one:1=example.com/alias:2"],
    );
    assert_eq!(found.names(), ["example.com/alias:2", "two:1"]);
    let names = &found.report["images"][0]["names"];
    assert_eq!(
        in_index(&found),
        ["example.com/alias:2", "docker.io/library/two:1"],
        "{names}"
    );
}
