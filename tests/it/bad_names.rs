//! Invalid image names in an input.

use serde_json::{Value, json};

use crate::common::builder::right_layout;
use crate::common::judged::fixed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

#[test]
fn invalid_names_are_reported_and_removed_from_manifest_json() {
    for (bad, better) in [
        ("App:v1", Some("app:v1")),
        ("example.com/Team/App:V1", Some("example.com/team/app:V1")),
        ("app:-v1", None),
        ("app: v1", None),
        ("", None),
    ] {
        let mut saved = Saved::new();
        saved.docker(&image(&["a"]), json!([bad, "good:1"]));
        let found = fixed(&saved.tar(), &[]);
        assert_eq!(found.names(), ["good:1"], "{bad}");
        let finding = found.finding("bad-name");
        assert_eq!(finding["location"], "manifest.json[0], RepoTags");
        assert!(
            finding["message"]
                .as_str()
                .unwrap()
                .contains(&format!("\"{bad}\""))
        );
        let hint = finding["hint"].as_str().unwrap();
        assert!(
            hint.contains(better.unwrap_or("example.com/app:1.0")),
            "{bad}: {hint}"
        );
        let mut alone = Saved::new();
        alone.docker(&image(&["a"]), json!([bad]));
        let found = fixed(&alone.tar(), &[]);
        assert_eq!(
            found.contents.json("manifest.json")[0]["RepoTags"],
            Value::Null,
            "{bad}"
        );
        assert!(
            found.findings().contains(&"bad-name") && found.findings().contains(&"unnamed-image"),
            "{bad}"
        );
        assert_eq!(
            fixed(&alone.tar(), &["--name", "app"]).names(),
            ["app:latest"]
        );
    }
}

#[test]
fn suggested_names_keep_the_tag() {
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!(["App:RC1"]));
    let found = fixed(&saved.tar(), &[]);
    let hint = found.finding("bad-name")["hint"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(hint.contains("app:RC1"), "{hint}");
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", saved.tar());
    let run = sandbox
        .fix_with("in.tar", "out.tar", &["--name", "App:RC1"])
        .exits(2);
    assert!(run.stderr.contains("app:RC1"), "{}", run.stderr);
}

#[test]
fn invalid_names_in_index_json_are_reported() {
    let mut layout = right_layout();
    layout.docker_manifest = None;
    layout.edit_root(|root| {
        root["manifests"][0]["annotations"]["io.containerd.image.name"] =
            json!("docker.io/library/App:v1")
    });
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let finding = &report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["rule"] == "bad-name")
        .unwrap();
    assert_eq!(
        finding["location"],
        "index.json, manifests[0], io.containerd.image.name"
    );
    assert!(finding["hint"].as_str().unwrap().contains("app:v1"));
    let named = fixed(&layout.tar(), &["--name", "app:v1"]);
    assert_eq!(named.names(), ["app:v1"]);
    assert!(named.report["status"] == "fixed");
}

#[test]
fn replaced_invalid_names_are_not_reported() {
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!(["App:v1"]));
    assert!(
        fixed(&saved.tar(), &["--name", "app:v1"])
            .findings()
            .is_empty()
    );
}

#[test]
fn invalid_names_are_removed_from_index_json() {
    let mut layout = right_layout();
    layout.edit_root(|root| {
        root["manifests"][0]["annotations"]["io.containerd.image.name"] =
            json!("docker.io/library/App:v1");
    });
    // manifest.json says app:v1, and both roots must give the same names.
    assert_eq!(fixed(&layout.tar(), &[]).names(), ["app:v1"]);
}
