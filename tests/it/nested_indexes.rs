//! Indexes in indexes: kept as they are, and reported, because podman and skopeo do not read them.

use serde_json::{Value, json};

use crate::common::batch::{batch, put};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, named, on, right_image,
};
use crate::common::judged::{finding, fixed};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";

/// An index of an index of images.
fn nested(layout: &mut Layout) -> Value {
    let amd64 = on(layout.image(&right_image()), "linux", "amd64");
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]).architecture("arm64");
    let arm64 = on(layout.image(&other), "linux", "arm64");
    let inner = layout.index_of(OCI_INDEX, vec![amd64, arm64]);
    layout.index_of(OCI_INDEX, vec![inner])
}

#[track_caller]
fn check(report: &Value) {
    let finding = finding(report, "nested-index");
    assert_eq!(finding["severity"], "breaks");
    assert_eq!(
        finding["location"],
        "index.json, manifests[0], manifests[0]"
    );
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.starts_with("an index lists another index: "),
        "{message}"
    );
}

#[test]
fn an_index_in_the_index_of_an_image_is_reported_in_every_kind_of_output() {
    let mut layout = Layout::new();
    let index = nested(&mut layout);
    layout.root(vec![named(index.clone(), NAME)]);
    let bytes = layout.tar();
    let found = fixed(&bytes, &[]);
    check(&found.report);
    // Nothing in it changes, and manifest.json describes one of the images.
    let root = found.contents.json("index.json");
    assert_eq!(root["manifests"][0]["digest"], index["digest"]);
    assert_eq!(found.names(), ["app:v1"]);
    let (_, report) = placed::fixed(&bytes, &[]);
    check(&report);
    let sandbox = Sandbox::new();
    put(&sandbox, "in/app.tar", &bytes);
    layout.write_to(&sandbox.path("in/layout"));
    check(&sandbox.fix("in/layout", "copy/").exits(0).json());
    let options = ["--verify", "documents"];
    let run = sandbox.fix_with("in/app.tar", "out.tar", &options);
    check(&run.exits(0).json());
    check(&stream(&bytes, &[]).exits(0).json());
    for more in [&["--dry-run"][..], &["-o", "out"]] {
        let end = batch(&sandbox, &[&["in"], more].concat());
        end.items.values().for_each(check);
    }
}

#[test]
fn several_are_counted_and_what_goes_is_not() {
    let mut layout = Layout::new();
    let index = nested(&mut layout);
    let inner = Image::oci(vec![Layer::gzip(OCI_GZIP, "inner")]).architecture("s390x");
    let inner = on(layout.image(&inner), "linux", "s390x");
    let inner = layout.index_of(OCI_INDEX, vec![inner]);
    let outer = layout.index_of(OCI_INDEX, vec![inner]);
    layout.root(vec![
        named(index, NAME),
        named(outer, "docker.io/library/other:v1"),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let message = found.finding("nested-index")["message"].to_string();
    assert!(
        message.contains("indexes list 2 other indexes"),
        "{message}"
    );
    let found = fixed(&layout.tar(), &["--image", "other:v1"]);
    let message = found.finding("nested-index")["message"].to_string();
    assert!(
        message.contains("an index lists another index"),
        "{message}"
    );
}

#[test]
fn other_indexes_are_not_reported() {
    // The index of an image, and an index of artifacts in it.
    let mut layout = Layout::new();
    let image = on(layout.image(&right_image()), "linux", "amd64");
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": config,
        "layers": [],
    });
    let artifact = layout.document(OCI_MANIFEST, &artifact);
    let artifacts = layout.index_of(OCI_INDEX, vec![artifact]);
    for children in [vec![image.clone()], vec![image, artifacts]] {
        let index = layout.index_of(OCI_INDEX, children);
        layout.root(vec![named(index, NAME)]);
        let found = fixed(&layout.tar(), &[]);
        assert!(!found.findings().contains(&"nested-index"));
    }
}
