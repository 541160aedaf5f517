//! Annotations that are not complete names: image IDs, tags alone, and names without their defaults.

use serde_json::{Value, json};

use crate::common::builder::{
    IMAGE_NAME, Layout, REF_NAME, annotated, digest_of, right_image, right_layout,
};
use crate::common::judged::{Fixed, fixed};
use crate::common::saved::{Saved, config_hex, image};

/// The right image under these annotations.
fn called(annotations: &[(&str, &str)]) -> Vec<u8> {
    let mut layout = Layout::new();
    let descriptor = layout.image(&right_image());
    layout.root(vec![annotated(descriptor, annotations)]);
    layout.tar()
}

fn annotations(found: &Fixed) -> Value {
    found.contents.json("index.json")["manifests"][0]["annotations"].clone()
}

fn message<'a>(found: &'a Fixed, rule: &str) -> &'a str {
    found.finding(rule)["message"].as_str().unwrap()
}

#[test]
fn an_image_id_is_not_a_name() {
    let hex = config_hex(&right_image());
    for id in [format!("sha256:{hex}"), hex] {
        let found = fixed(&called(&[(REF_NAME, &id)]), &[]);
        assert_eq!(annotations(&found), json!({REF_NAME: id}));
        assert_eq!(
            found.contents.json("manifest.json")[0]["RepoTags"],
            Value::Null
        );
        let message = message(&found, "unnamed-image");
        let expected = format!("has an image ID, {id}, and no name");
        assert!(message.contains(&expected), "{message}");
        let named = fixed(&called(&[(REF_NAME, &id)]), &["--name", "app:v1"]);
        assert_eq!(named.names(), ["app:v1"]);
        assert_eq!(named.findings(), [""; 0]);
    }
    // In manifest.json, where docker refuses it.
    let id = format!("sha256:{}", "0".repeat(64));
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!([id, "sha256:v1", "app:v1"]));
    let found = fixed(&saved.tar(), &[]);
    assert_eq!(found.names(), ["app:v1"]);
    let bad = found
        .findings()
        .into_iter()
        .filter(|rule| *rule == "bad-name");
    assert_eq!(bad.count(), 2);
}

#[test]
fn a_tag_alone_is_reported_with_what_each_engine_does() {
    let found = fixed(&called(&[(REF_NAME, "v1")]), &[]);
    assert_eq!(annotations(&found), json!({REF_NAME: "v1"}));
    let text = message(&found, "unnamed-image");
    for part in [
        "only the tag v1",
        "graph driver",
        "containerd image store",
        "Docker 29",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let named = fixed(
        &called(&[(REF_NAME, "v1")]),
        &["--name", "example.com/app:v1"],
    );
    assert_eq!(named.findings(), [""; 0]);
    assert_eq!(
        annotations(&named),
        json!({REF_NAME: "v1", IMAGE_NAME: "example.com/app:v1"})
    );
    // Without a tag it is another matter.
    let unnamed = fixed(&called(&[]), &[]);
    let text = message(&unnamed, "unnamed-image");
    assert!(
        text.contains("has no name: docker loads it untagged"),
        "{text}"
    );
}

#[test]
fn names_are_completed() {
    for (stated, full, tag) in [
        ("conv:oci", "docker.io/library/conv:oci", "conv:oci"),
        ("conv", "docker.io/library/conv:latest", "conv:latest"),
        ("team/app:1", "docker.io/team/app:1", "team/app:1"),
        (
            "example.com/app",
            "example.com/app:latest",
            "example.com/app:latest",
        ),
        ("index.docker.io/app:1", "docker.io/library/app:1", "app:1"),
        ("docker.io/app:1", "docker.io/library/app:1", "app:1"),
    ] {
        let found = fixed(&called(&[(IMAGE_NAME, stated), (REF_NAME, stated)]), &[]);
        let expected = json!({IMAGE_NAME: full, REF_NAME: stated});
        assert_eq!(annotations(&found), expected);
        assert_eq!(found.names(), [tag]);
        let [change] = &found.changes(&["image-name"])[..] else {
            panic!("{stated}: {:#}", found.report["changes"]);
        };
        assert_eq!(change[2..], [stated, full]);
        assert_eq!(found.findings(), [""; 0]);
    }
    // With a manifest.json that says the same, which stays.
    let mut layout = right_layout();
    layout.edit_root(|root| {
        root["manifests"][0]["annotations"] = json!({IMAGE_NAME: "app:v1", REF_NAME: "app:v1"});
    });
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(
        Some(found.contents.file("manifest.json")),
        layout.docker_manifest.as_deref()
    );
    assert_eq!(found.report["digests"], json!([]));
    let root = found.contents.json("index.json");
    assert!(
        found
            .contents
            .blob(&digest_of(&root["manifests"][0]))
            .is_some()
    );
}

#[test]
fn invalid_names_are_not_completed() {
    let found = fixed_without_judge("example.com/App");
    assert_eq!(found, json!("example.com/App"));
}

/// The image name in the output for one that is not valid.
fn fixed_without_judge(name: &str) -> Value {
    let sandbox = crate::common::runner::Sandbox::new();
    sandbox.put("in.tar", called(&[(IMAGE_NAME, name), (REF_NAME, "v1")]));
    sandbox.fix("in.tar", "out.tar").exits(0);
    let contents = crate::common::contents::Contents::read(&sandbox.path("out.tar"));
    contents.json("index.json")["manifests"][0]["annotations"][IMAGE_NAME].clone()
}
