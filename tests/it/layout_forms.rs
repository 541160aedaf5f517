//! Image layouts in every form that archives of them have, and with every fault outside the image.

use serde_json::json;

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_LIST, Image, Layer, Layout, OCI_GZIP, named, on, right_layout,
};
use crate::common::forms::every_form;
use crate::common::judged::fixed;
use crate::common::saved::image;

const NAME: &str = "docker.io/library/app:v1";

/// An index of two platforms with Docker's types, in which everything needs to be fixed.
fn sample() -> Layout {
    let mut layout = Layout::new();
    let children = ["amd64", "arm64"]
        .map(|architecture| {
            let layers = vec![
                Layer::gzip(DOCKER_GZIP, architecture),
                Layer::zstd(DOCKER_GZIP, "b"),
            ];
            let child = Image::docker(layers).architecture(architecture);
            on(layout.image(&child), "linux", architecture)
        })
        .to_vec();
    let index = layout.index_of(DOCKER_LIST, children);
    layout.root(vec![named(index, NAME)]);
    layout
}

#[test]
fn equivalent_archives_give_the_same_output() {
    let right = right_layout();
    let sample = sample();
    let expected = fixed(&sample.tar(), &["--docker-platform", "linux/amd64"]).bytes;
    for root in ["index.json", "oci-layout"] {
        for (name, bytes) in every_form(&right.entries(), root) {
            let found = fixed(&bytes, &[]);
            assert!(found.bytes == right.tar(), "{name}");
            // A right archive whose last file is the last one stays as it is.
            let is_right = bytes == right.tar();
            let form: &[&str] = if is_right { &[] } else { &["archive-form"] };
            assert_eq!(found.rules(), form, "{name}");
        }
        for (name, bytes) in every_form(&sample.entries(), root) {
            let found = fixed(&bytes, &["--docker-platform", "linux/amd64"]);
            assert!(found.bytes == expected, "{name}");
        }
    }
    for (name, bytes) in every_form(&right.entries(), "manifest.json") {
        assert!(fixed(&bytes, &[]).bytes == right.tar(), "{name}");
    }
}

#[test]
fn missing_and_incomplete_root_files_are_written() {
    let right = right_layout();
    let changed = |change: &dyn Fn(&mut Layout)| {
        let mut layout = right.clone();
        change(&mut layout);
        layout.tar()
    };
    let without_type = changed(&|layout| {
        layout.edit_root(|root| drop(root.as_object_mut().unwrap().remove("mediaType")));
    });
    let mut without_names = right_layout();
    without_names.edit_root(|root| {
        let entry = root["manifests"][0].as_object_mut().unwrap();
        entry.remove("annotations");
    });
    #[rustfmt::skip]
    let cases = [
        ("no oci-layout", changed(&|layout| layout.oci_layout = None), vec!["oci-layout"]),
        ("another version", changed(&|layout| layout.oci_layout = Some(br#"{"imageLayoutVersion":"1.1.0"}"#.to_vec())), vec!["oci-layout"]),
        ("no manifest.json", changed(&|layout| layout.docker_manifest = None), vec!["docker-manifest"]),
        ("neither", changed(&|layout| (layout.docker_manifest, layout.oci_layout) = (None, None)), vec!["docker-manifest", "oci-layout"]),
        ("no mediaType", without_type, vec!["media-type-field"]),
        ("no names", without_names.tar(), vec!["image-name", "ref-name"]),
    ];
    for (name, bytes, expected) in cases {
        let found = fixed(&bytes, &[]);
        assert_eq!(found.rules(), expected, "{name}");
        assert_eq!(found.names(), ["app:v1"], "{name}");
        assert_eq!(
            found.contents.parts(),
            fixed(&right.tar(), &[]).contents.parts(),
            "{name}"
        );
    }
}

#[test]
fn an_image_without_layers_is_fixed() {
    let found = fixed(&Layout::of(&image(&[]), NAME).tar(), &[]);
    assert_eq!(found.rules(), ["docker-manifest"]);
    let manifest = found.contents.json("manifest.json");
    assert_eq!(manifest[0]["Layers"], json!([]));
    assert_eq!(found.names(), ["app:v1"]);
}

#[test]
fn a_layer_may_be_used_twice() {
    let layer = Layer::gzip(OCI_GZIP, "a");
    let found = fixed(
        &Layout::of(&Image::oci(vec![layer.clone(), layer]), NAME).tar(),
        &[],
    );
    let layers = &found.contents.json("manifest.json")[0]["Layers"];
    assert_eq!(layers.as_array().unwrap().len(), 2);
    assert_eq!(layers[0], layers[1]);
    // A config, a manifest and one layer.
    assert_eq!(found.contents.digests().len(), 3);
}
