//! A file called `manifest.json` that Docker cannot read, beside a valid image layout: another tool's file, or a
//! damaged one. Every engine that loads the archive reads `index.json`.

use serde_json::{Value, json};

use crate::common::archive::Entry;
use crate::common::batch::{batch, put};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, right_image, right_layout};
use crate::common::contents::Contents;
use crate::common::failure::fails;
use crate::common::judged::{fixed, fixed_path};
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::Saved;

const NAME: &str = "docker.io/library/app:v1";
const FOREIGN: &str = "another file, not a list of images";
const DAMAGED: &str = "text that is not valid JSON";
const WRONG: &str = "a list with values of the wrong type";

/// What imgpkg and others have there, and what is left of a list of images after damage; with what the report
/// calls it.
const UNUSABLE: [(&str, &str); 16] = [
    (r#"{"images":{}}"#, FOREIGN),
    (
        r#"[{"ImageIndex":{"Digest":"sha256:x"}},{"Image":{"Refs":["app"]}}]"#,
        FOREIGN,
    ),
    (
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
        FOREIGN,
    ),
    (r#"{"images":{}} and more"#, FOREIGN),
    (r#""text""#, FOREIGN),
    ("5", FOREIGN),
    ("true", FOREIGN),
    ("[1,2]", FOREIGN),
    ("", "an empty file"),
    (" \n", "an empty file"),
    ("text", DAMAGED),
    (r#"[{"Config":"#, DAMAGED),
    ("<html></html>", DAMAGED),
    (r#"[{"Config":1}]"#, WRONG),
    (r#"[{"Config":"x","Layers":"y"}]"#, WRONG),
    (r#"[{"Config":"x","RepoTags":{"a":"b"}}]"#, WRONG),
];

fn with(manifest: &str) -> Layout {
    let mut layout = right_layout();
    layout.docker_manifest = Some(manifest.as_bytes().to_vec());
    layout
}

#[test]
fn the_image_layout_decides_and_the_file_is_replaced() {
    for (manifest, before) in UNUSABLE {
        let layout = with(manifest);
        let change = ["docker-manifest", "manifest.json", before, "1 image"];
        let change = [change.map(str::to_owned)];
        let found = fixed(&layout.tar(), &[]);
        assert!(found.bytes == right_layout().tar(), "{manifest}");
        assert_eq!(found.changes(&["docker-manifest"]), change, "{manifest}");
        assert_eq!(found.report["severity"], "breaks", "{manifest}");
        let sandbox = Sandbox::new();
        layout.write_to(&sandbox.path("in/layout"));
        let found = fixed_path(&sandbox.path("in/layout"), &[]);
        assert!(found.bytes == right_layout().tar(), "{manifest}");
        assert_eq!(found.changes(&["docker-manifest"]), change, "{manifest}");
        put(&sandbox, "in/app.tar", layout.tar());
        let end = batch(&sandbox, &["in", "-o", "out"]);
        end.exits(0);
        assert!(sandbox.read("out/app.tar") == right_layout().tar());
        assert!(end.ends().values().all(|end| *end == "fixed"), "{manifest}");
        let end = batch(&sandbox, &["in", "--dry-run"]);
        end.exits(3);
    }
}

#[test]
fn the_file_is_replaced_in_place_and_in_a_copy() {
    for (manifest, _) in UNUSABLE {
        let bytes = with(manifest).tar();
        let (sandbox, report) = placed::fixed(&bytes, &[]);
        assert_eq!(report["status"], "fixed", "{manifest}");
        let text = Contents::read(&sandbox.path("in.tar"));
        let items: Value = serde_json::from_slice(text.file("manifest.json")).unwrap();
        assert_eq!(items[0]["RepoTags"], json!(["app:v1"]), "{manifest}");
        let result = sandbox.read("in.tar");
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let options = ["--verify", "documents"];
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
        assert!(sandbox.read("out.tar") == result, "{manifest}");
    }
}

#[test]
fn without_an_index_it_is_refused() {
    for (manifest, _) in UNUSABLE {
        for index in [None, Some(&br#"{"schemaVersion":2,"manifests":[]}"#[..])] {
            let mut layout = with(manifest);
            layout.index = index.map(<[u8]>::to_vec);
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", layout.tar());
            let report = sandbox.fix("in.tar", "out.tar").exits(1).json();
            let code = report["error"]["code"].as_str().unwrap();
            let codes = ["invalid-document", "not-an-image"];
            assert!(codes.contains(&code), "{manifest}: {report:#}");
            assert_eq!(sandbox.names(), ["in.tar"]);
        }
    }
}

/// The change says what there was, and does not compare names.
#[test]
fn an_empty_list_is_replaced() {
    for manifest in ["[]", "null", "{}"] {
        let found = fixed(&with(manifest).tar(), &[]);
        assert!(found.bytes == right_layout().tar(), "{manifest}");
        let change = ["docker-manifest", "manifest.json", "0 images", "1 image"];
        let change = [change.map(str::to_owned)];
        assert_eq!(found.changes(&["docker-manifest"]), change, "{manifest}");
    }
}

/// docker has not read this file since 1.10, and no other engine does.
#[test]
fn the_file_repositories_is_not_read() {
    for text in [
        "",
        "5",
        "[",
        r#"{"app":{"v1":"x"}}"#,
        r#"{"other":{"v2":"x"}}"#,
    ] {
        let mut layout = right_layout();
        layout.more.push(Entry::file("repositories", text));
        let found = fixed(&layout.tar(), &[]);
        assert!(found.bytes == right_layout().tar(), "{text}");
        let mut saved = Saved::new();
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]);
        saved.named(&image, "config.json", &["layer.tar"], json!(["app:v1"]));
        saved.file("repositories", text);
        let entries: Vec<Entry> = saved.all();
        let entries = &entries[..entries.len() - 1];
        let found = fixed(&crate::common::archive::tar(entries), &[]);
        assert_eq!(found.names(), ["app:v1"], "{text}");
    }
}

/// It may list platforms and attestations that `manifest.json` does not, so only the user can give it up.
#[test]
fn a_damaged_index_is_refused_beside_a_valid_list() {
    for text in ["", "[", "5", "[1]", "text"] {
        let mut layout = right_layout();
        layout.index = Some(text.into());
        fails(
            text,
            &layout.tar(),
            "invalid-document",
            &["index.json is not"],
        );
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let report = sandbox.fix("in.tar", "out.tar").json();
        let hint = report["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("tar --delete -f"), "{hint}");
        // What the hint says works.
        layout.index = None;
        assert_eq!(fixed(&layout.tar(), &[]).names(), ["app:v1"]);
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

/// Docker reads a list with some images, and the first value of a text.
#[test]
fn a_list_that_docker_reads_is_not_ignored() {
    let layout = Layout::of(&right_image(), NAME);
    let parts: [(&str, &str); 3] = [
        (r#"[{"Config":"x"},{"Image":1}]"#, "[1]"),
        (
            r#"[{"Config":"x","Layers":[]}] and more"#,
            "is not valid JSON",
        ),
        (r#"[{"Config":"x"},null]"#, "[1]"),
    ];
    for (text, part) in parts {
        let mut layout = layout.clone();
        layout.docker_manifest = Some(text.into());
        fails(text, &layout.tar(), "invalid-document", &[part]);
    }
}
