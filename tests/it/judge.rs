//! The checker that the other tests rely on detects every kind of fault.

use serde_json::{Value, json};

use crate::common::archive::{Entry, open_tar, tar};
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR,
    OCI_ZSTD, gzip, index, layer_tar, right_image, right_layout,
};
use crate::common::checker::judge;
use crate::common::runner::Sandbox;
use crate::common::{fixture, layouts};

fn faults(bytes: &[u8]) -> String {
    let sandbox = Sandbox::new();
    let path = sandbox.put("out.tar", bytes);
    judge(&path).err().unwrap_or_default().join("\n")
}

/// The right image with its manifest changed.
fn manifest(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&right_image());
    edit(&mut manifest);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    layout.tar()
}

/// The right archive with its entries changed.
fn changed(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = right_layout().entries();
    change(&mut entries);
    tar(&entries)
}

fn entry<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    let is_named = |entry: &&mut Entry| entry.name == name.as_bytes();
    entries.iter_mut().find(is_named).unwrap()
}

/// The archive of an image that is valid except for its only layer.
fn with_layer(layer: Layer) -> Vec<u8> {
    image(&Image::oci(vec![layer]))
}

fn image(image: &Image) -> Vec<u8> {
    let mut layout = Layout::of(image, "docker.io/library/app:v1");
    let manifest = layout.manifest(image);
    layout.docker(&manifest, &["app:v1"]);
    layout.tar()
}

fn root(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut layout = right_layout();
    layout.edit_root(edit);
    layout.tar()
}

#[test]
fn a_valid_archive_has_no_faults() {
    assert_eq!(faults(&right_layout().tar()), "");
}

#[test]
fn faults_of_the_form_are_detected() {
    let right = right_layout();
    let mut cut = right.tar();
    cut.truncate(cut.len() - 512);
    #[rustfmt::skip]
    let cases = [
        ("time", changed(|entries| entries[0].mtime = 1), "blobs/: time"),
        ("mode", changed(|entries| entry(entries, "index.json").mode = 0o600), "index.json: mode"),
        ("order", changed(|entries| entries.reverse()), "order"),
        ("directory", changed(|entries| drop(entries.remove(1))), "stands before its directory"),
        ("pax", changed(|entries| entries.insert(0, Entry::pax(&[("a", "b")]))), "a header more"),
        ("end", open_tar(&right.entries()), "the end"),
        ("cut end", cut, "the end"),
        ("extra", changed(|entries| entries.push(Entry::file("version", "1"))), "a file of an image"),
    ];
    for (name, bytes, expected) in cases {
        let found = faults(&bytes);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn faults_of_the_documents_are_detected() {
    let plain = layer_tar("x");
    let wrong_diff_id = Layer::new(OCI_GZIP, gzip(&plain), b"something else");
    let docker_config = Image {
        config_type: DOCKER_CONFIG.to_owned(),
        ..right_image()
    };
    #[rustfmt::skip]
    let cases = [
        ("docker layer", with_layer(Layer::gzip(DOCKER_GZIP, "x")), DOCKER_GZIP),
        ("docker config", image(&docker_config), DOCKER_CONFIG),
        ("docker manifest", image(&Image::docker(vec![])), "distribution.manifest"),
        ("gzip as zstd", with_layer(Layer::gzip(OCI_ZSTD, "x")), "and is v1.tar+gzip"),
        ("gzip as tar", with_layer(Layer::gzip(OCI_TAR, "x")), "and is v1.tar+gzip"),
        ("zstd as gzip", with_layer(Layer::zstd(OCI_GZIP, "x")), "and is v1.tar+zstd"),
        ("diff ID", with_layer(wrong_diff_id), "diff ID"),
        ("index type", root(|root| drop(root.as_object_mut().unwrap().remove("mediaType"))), "mediaType null"),
        ("size", root(|root| root["manifests"][0]["size"] = json!(1)), "size 1"),
        ("data", root(|root| root["manifests"][0]["data"] = json!("e30=")), "embedded data"),
        ("layout version", changed(|entries| entry(entries, "oci-layout").data = b"{}".to_vec()), "version"),
        ("bytes", changed(|entries| entries[2].data[0] ^= 1), "expected"),
    ];
    for (name, bytes, expected) in cases {
        // Damaged documents may end the check early, which is as good.
        let found =
            std::panic::catch_unwind(|| faults(&bytes)).unwrap_or_else(|_| expected.to_owned());
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn only_indexes_of_images_need_a_media_type() {
    let untyped =
        |document: &mut Value| drop(document.as_object_mut().unwrap().remove("mediaType"));
    let nested = |image: bool| {
        let mut layout = right_layout();
        let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
        let artifact = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note", "config": config, "layers": []});
        let child = match image {
            true => layout.image(&right_image()),
            false => layout.document(OCI_MANIFEST, &artifact),
        };
        let mut list = index(OCI_INDEX, vec![child]);
        untyped(&mut list);
        let list = layout.document(OCI_INDEX, &list);
        layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(list));
        faults(&layout.tar())
    };
    assert!(nested(true).contains("mediaType null in the document"));
    assert_eq!(nested(false), "");
    let without = manifest(untyped);
    assert!(!faults(&without).contains("mediaType null"));
}

#[test]
fn documents_that_oci_spec_rejects_are_detected() {
    let without_version = |document: &mut Value| document["schemaVersion"] = Value::Null;
    let no_config = |manifest: &mut Value| manifest["config"] = Value::Null;
    let layout = |entries: &mut Vec<Entry>| {
        entry(entries, "oci-layout").data = br#"{"imageLayoutVersion":1}"#.to_vec();
    };
    #[rustfmt::skip]
    let cases = [
        ("index", root(without_version), "index.json: oci-spec refuses it: invalid type: null, expected u32"),
        ("manifest", manifest(without_version), "index.json, manifests[0]: oci-spec refuses it: invalid type: null, expected u32"),
        ("no config", manifest(no_config), "index.json, manifests[0]: oci-spec refuses it: "),
        ("layout", changed(layout), "oci-layout: oci-spec refuses it: "),
    ];
    for (name, bytes, expected) in cases {
        let found = faults(&bytes);
        assert!(found.contains(expected), "{name}: {found}");
    }
    let mut layout = Layout::new();
    let image = right_image();
    let mut manifest = layout.manifest(&image);
    let mut config = image.config();
    config["os"] = json!(7);
    manifest["config"] = layout.document(&image.config_type, &config);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    let found = faults(&layout.tar());
    let expected = "index.json, manifests[0], config: oci-spec refuses it: ";
    assert!(found.contains(expected), "{found}");
}

#[test]
fn faults_of_the_names_are_detected() {
    let no_docker = |layout: &mut Layout| layout.docker_manifest = None;
    let mut absent = right_layout();
    no_docker(&mut absent);
    let mut other_tag = right_layout();
    let manifest = other_tag.manifest(&right_image());
    other_tag.docker(&manifest, &["app:v2"]);
    let mut empty_tags = right_layout();
    let text = String::from_utf8(empty_tags.docker_manifest.unwrap()).unwrap();
    empty_tags.docker_manifest = Some(text.replace("[\"app:v1\"]", "[]").into_bytes());
    let mut other_layers = right_layout();
    let text = String::from_utf8(other_layers.docker_manifest.unwrap()).unwrap();
    let layers = text.replace("\"Layers\":[", "\"Layers\":[\"x\",");
    other_layers.docker_manifest = Some(layers.into_bytes());
    let half = root(|root| {
        let annotations = root["manifests"][0]["annotations"].as_object_mut().unwrap();
        annotations.remove("org.opencontainers.image.ref.name");
    });
    #[rustfmt::skip]
    let cases = [
        ("no manifest.json", absent.tar(), "is absent"),
        ("other tag", other_tag.tar(), "the names"),
        ("empty tags", empty_tags.tar(), "empty and not null"),
        ("other layers", other_layers.tar(), "is no image of index.json"),
        ("half a name", half, "no ref name"),
    ];
    for (name, bytes, expected) in cases {
        let found = faults(&bytes);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn fixtures_with_docker_types_have_faults() {
    // BuildKit writes OCI types for estargz in any case.
    let is_docker = |name: &&String| name.contains("ocifalse") && !name.contains("estargz");
    for name in layouts().iter().filter(is_docker) {
        assert!(judge(&fixture(name)).is_err(), "{name}");
    }
}
