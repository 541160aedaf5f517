//! A file called `manifest.json` that another tool wrote for itself, beside a valid image layout.

use serde_json::{Value, json};

use crate::common::builder::{Layout, right_image, right_layout};
use crate::common::failure::fails;
use crate::common::judged::fixed;
use crate::common::placed;

const NAME: &str = "docker.io/library/app:v1";

/// What imgpkg and others have there.
fn foreign() -> [Value; 5] {
    [
        json!({"images": {}}),
        json!([{"ImageIndex": {"Digest": "sha256:x"}}, {"Image": {"Refs": ["app"]}}]),
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}),
        json!("text"),
        json!([1, 2]),
    ]
}

fn with(manifest: &Value) -> Layout {
    let mut layout = right_layout();
    layout.docker_manifest = Some(manifest.to_string().into_bytes());
    layout
}

#[test]
fn the_image_layout_decides_and_the_file_is_replaced() {
    for manifest in foreign() {
        let found = fixed(&with(&manifest).tar(), &[]);
        assert!(found.bytes == right_layout().tar(), "{manifest}");
        let change = [
            "docker-manifest",
            "manifest.json",
            "another file, not a list of images",
            "1 image",
        ];
        assert_eq!(
            found.changes(&["docker-manifest"]),
            [change.map(str::to_owned)],
            "{manifest}"
        );
    }
}

#[test]
fn the_file_is_replaced_in_place() {
    for manifest in foreign() {
        let (sandbox, report) = placed::fixed(&with(&manifest).tar(), &[]);
        assert_eq!(report["status"], "fixed", "{manifest}");
        let text = crate::common::contents::Contents::read(&sandbox.path("in.tar"));
        let items: Value = serde_json::from_slice(text.file("manifest.json")).unwrap();
        assert_eq!(items[0]["RepoTags"], json!(["app:v1"]), "{manifest}");
    }
}

/// Without an image there is nothing to replace it with.
#[test]
fn an_artifact_gets_no_manifest_json() {
    let mut layout = Layout::new();
    let config = layout.blob("application/vnd.example.config+json", "{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": crate::common::builder::OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": config,
        "layers": [],
    });
    let descriptor = layout.document(crate::common::builder::OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    layout.docker_manifest = Some(br#"{"a":1}"#.to_vec());
    let found = fixed(&layout.tar(), &[]);
    assert!(!found.contents.has("manifest.json"));
    assert_eq!(found.changes(&["docker-manifest"]).len(), 1);
}

/// Neither a list with some images nor damaged text is another tool's file.
#[test]
fn a_damaged_list_is_refused() {
    let layout = Layout::of(&right_image(), NAME);
    let parts: [(&str, &str); 3] = [
        (r#"[{"Config":1}]"#, "[0]"),
        (r#"[{"Config":"x"},{"Image":1}]"#, "[1]"),
        (r#"[{"Config":"#, "is not valid JSON"),
    ];
    for (text, part) in parts {
        let mut layout = layout.clone();
        layout.docker_manifest = Some(text.into());
        fails(text, &layout.tar(), "invalid-document", &[part]);
    }
}
