//! Descriptors of recompressed layers: everything that was true only of the old bytes is removed.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, annotated, layer_tar, named,
};
use crate::common::judged::{Fixed, fixed};

const NAME: &str = "docker.io/library/app:v1";

/// The annotations that describe the compressed bytes.
const OF_ONE_FORM: [&str; 9] = [
    "containerd.io/snapshot/stargz/toc.digest",
    "io.containers.estargz.uncompressed-size",
    "io.github.containers.zstd-chunked.manifest-checksum",
    "io.github.containers.zstd-chunked.manifest-position",
    "io.github.containers.zstd-chunked.tarsplit-position",
    "io.containers.zstd-chunked.manifest-position",
    "containerd.io/snapshot/overlaybd/blob-digest",
    "containerd.io/distribution.source.example.com",
    "containerd.io/uncompressed",
];

/// An archive whose only layer's descriptor has more members.
fn with_members(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]));
    edit(&mut manifest["layers"][0]);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout.tar()
}

fn layer(fixed: &Fixed) -> Value {
    let (_, manifest) = fixed.contents.manifests().remove(0);
    manifest["layers"][0].clone()
}

fn keys(layer: &Value) -> Vec<&str> {
    let annotations = layer["annotations"].as_object().unwrap();
    annotations.keys().map(String::as_str).collect()
}

#[test]
fn only_annotations_about_the_old_bytes_are_removed() {
    let input = with_members(|layer| {
        let mut all = annotated(layer.clone(), &[("a", "1")]);
        for key in OF_ONE_FORM {
            all = annotated(all, &[(key, "x")]);
        }
        let title = "org.opencontainers.image.title";
        *layer = annotated(all, &[(title, "t"), ("z", "2")]);
    });
    for form in ["zstd", "uncompressed"] {
        let changed = layer(&fixed(&input, &["--compression", form]));
        let expected = ["a", "org.opencontainers.image.title", "z"];
        assert_eq!(keys(&changed), expected, "{form}");
    }
    // A layer that already uses gzip keeps its bytes and their annotations.
    for options in [
        &[][..],
        &["--compression", "gzip"],
        &["--for", "docker@20.10"],
    ] {
        let kept = layer(&fixed(&input, options));
        assert_eq!(keys(&kept).len(), OF_ONE_FORM.len() + 3, "{options:?}");
    }
}

#[test]
fn empty_annotations_are_removed() {
    let input = with_members(|layer| {
        *layer = annotated(
            layer.clone(),
            &[(OF_ONE_FORM[0], "x"), (OF_ONE_FORM[1], "1")],
        );
    });
    let changed = layer(&fixed(&input, &["--compression", "zstd"]));
    assert_eq!(changed.get("annotations"), None, "{changed:#}");
}

#[test]
fn a_correct_annotation_of_the_diff_id_is_kept() {
    let diff_id = format!("sha256:{}", crate::common::sha256(&layer_tar("x")));
    let right = with_members(|layer| {
        *layer = annotated(layer.clone(), &[("containerd.io/uncompressed", &diff_id)]);
    });
    for form in ["zstd", "uncompressed"] {
        let changed = layer(&fixed(&right, &["--compression", form]));
        let found = &changed["annotations"]["containerd.io/uncompressed"];
        assert_eq!(*found, json!(diff_id), "{form}");
    }
}

#[test]
fn embedded_data_and_urls_of_the_old_bytes_are_removed() {
    let bytes = Layer::gzip(OCI_GZIP, "x").bytes;
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    let input = with_members(|layer| {
        layer["data"] = json!(data);
        layer["urls"] = json!(["https://example.com/layer"]);
    });
    let kept = layer(&fixed(&input, &[]));
    assert_eq!(kept["data"], json!(data));
    assert!(kept["urls"].is_array());
    let changed = layer(&fixed(&input, &["--compression", "zstd"]));
    let members: Vec<&String> = changed.as_object().unwrap().keys().collect();
    assert_eq!(members, ["mediaType", "digest", "size"]);
}
