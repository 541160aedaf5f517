//! Damaged and contradictory documents are refused, and the error names the location.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_TAR, digest_of, layer_tar, named, right_image,
    right_layout, with_manifest,
};
use crate::common::contents::blob_name;
use crate::common::failure::fails;
use crate::common::runner::Sandbox;
use crate::common::sha256;

/// The right image's archive without manifest.json, with one document's text changed and everything
/// above it following.
fn with_config(change: impl FnOnce(&mut Value)) -> Layout {
    let image = right_image();
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image);
    layout
        .blobs
        .remove(&blob_name(&digest_of(&manifest["config"])));
    let mut config = image.config();
    change(&mut config);
    manifest["config"] = layout.document(OCI_CONFIG, &config);
    let descriptor = layout.document(&image.manifest_type, &manifest);
    layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
    layout
}

fn with_root(change: impl FnOnce(&mut Value)) -> Layout {
    let mut layout = right_layout();
    layout.docker_manifest = None;
    layout.edit_root(change);
    layout
}

#[test]
fn invalid_documents_are_named() {
    let at = "index.json, manifests[0]";
    let hex = "0".repeat(64);
    let no = |key: &'static str| {
        move |document: &mut Value| drop(document.as_object_mut().unwrap().remove(key))
    };
    #[rustfmt::skip]
    let cases = [
        ("no config", with_manifest(no("config")), "invalid-document", vec![at, "lacks a config"]),
        ("layers", with_manifest(|m| m["layers"] = json!({})), "invalid-document", vec![at, "layers is not a list"]),
        ("layer", with_manifest(|m| m["layers"] = json!([1])), "invalid-document", vec![at, "layers[0] is not a descriptor"]),
        ("no size", with_manifest(|m| drop(m["config"].as_object_mut().unwrap().remove("size"))), "invalid-document", vec![at, "config lacks size"]),
        ("negative size", with_root(|r| r["manifests"][0]["size"] = json!(-1)), "invalid-document", vec![at, "the size -1"]),
        ("fraction", with_root(|r| r["manifests"][0]["size"] = json!(1.5)), "invalid-document", vec![at, "the size 1.5"]),
        ("2^63", with_root(|r| r["manifests"][0]["size"] = json!(1u64 << 63)), "invalid-document", vec![at, "9223372036854775808"]),
        ("size as text", with_root(|r| r["manifests"][0]["size"] = json!("12")), "invalid-document", vec![at, "size"]),
        ("digest", with_root(|r| r["manifests"][0]["digest"] = json!("sha256:../../x")), "invalid-digest", vec![at, "sha256:../../x"]),
        ("upper case", with_root(|r| { r["manifests"][0]["digest"] = json!(format!("sha256:{}", "A".repeat(64))) }), "invalid-digest", vec![at]),
        ("short", with_root(|r| r["manifests"][0]["digest"] = json!("sha256:00")), "invalid-digest", vec![at]),
        ("no algorithm", with_root(|r| r["manifests"][0]["digest"] = json!(format!(":{hex}"))), "invalid-digest", vec![at]),
        ("two colons", with_root(|r| r["manifests"][0]["digest"] = json!(format!("sha256:sha256:{hex}"))), "invalid-digest", vec![at]),
        ("algorithm", with_root(|r| r["manifests"][0]["digest"] = json!(format!("blake3:{hex}"))), "unsupported-digest", vec![at, "blake3"]),
        ("annotations", with_root(|r| r["manifests"][0]["annotations"] = json!({"a": 1})), "invalid-document", vec![at, "annotations"]),
        ("data", with_root(|r| r["manifests"][0]["data"] = json!("e30=")), "digest-mismatch", vec![at, "embedded data"]),
        ("data no base64", with_root(|r| r["manifests"][0]["data"] = json!("%")), "invalid-document", vec![at, "base64"]),
        ("diff IDs", with_config(|c| c["rootfs"]["diff_ids"] = json!("x")), "invalid-document", vec![at, "config has diff IDs"]),
        ("fewer diff IDs", with_config(|c| c["rootfs"]["diff_ids"] = json!([])), "layer-count-mismatch", vec![at, "lists 1 layer, but its config has 0 diff IDs"]),
        ("more diff IDs", with_config(|c| c["rootfs"]["diff_ids"] = json!(["a", "b"])), "layer-count-mismatch", vec![at, "2 diff IDs"]),
    ];
    for (name, layout, code, parts) in cases {
        fails(name, &layout.tar(), code, &parts);
    }
}

#[test]
fn root_files_that_are_not_json_are_named() {
    let with = |index: &[u8], docker: Option<&[u8]>| {
        let mut layout = right_layout();
        layout.index = Some(index.to_vec());
        layout.docker_manifest = docker.map(<[u8]>::to_vec);
        layout.tar()
    };
    let right = right_layout().index.unwrap();
    fails(
        "cut",
        &with(&right[..right.len() - 1], None),
        "invalid-document",
        &["index.json is not valid JSON"],
    );
    fails(
        "empty",
        &with(b"", None),
        "invalid-document",
        &["index.json is not valid JSON"],
    );
    fails(
        "list",
        &with(b"[1]", None),
        "invalid-document",
        &["index.json is not a JSON object"],
    );
    fails(
        "bytes",
        &with(b"\xff\xfe", None),
        "invalid-document",
        &["index.json is not UTF-8"],
    );
    fails(
        "two",
        &with(b"{} {}", None),
        "invalid-document",
        &["index.json is not valid JSON"],
    );
    fails(
        "mark",
        &with("\u{feff}{}".as_bytes(), None),
        "invalid-document",
        &["index.json"],
    );
    // What docker cannot decode is replaced, and what it decodes must be right.
    for text in [
        &b"[{\"Config\":\"\"}]"[..],
        b"[{\"Config\":\"x\"},{}]",
        b"[{\"Config\":\"x\",\"Layers\":[\"\"]}]",
    ] {
        let name = String::from_utf8_lossy(text);
        fails(
            &name,
            &with(&right, Some(text)),
            "invalid-document",
            &["manifest.json"],
        );
    }
}

#[test]
fn a_plain_layer_must_match_its_diff_id() {
    let wrong = Layer::new(OCI_TAR, layer_tar("one"), b"another");
    let layout = Layout::of(&Image::oci(vec![wrong]), "docker.io/library/app:v1");
    let (found, stated) = (sha256(&layer_tar("one")), sha256(b"another"));
    fails(
        "diff ID",
        &layout.tar(),
        "diff-id-mismatch",
        &["manifests[0], layers[0]", &found, &stated],
    );

    let layers = vec![Layer::plain(OCI_TAR, "a"), Layer::plain(OCI_TAR, "b")];
    let mut swapped = Image::oci(layers);
    let (a, b) = (
        swapped.layers[0].diff_id.clone(),
        swapped.layers[1].diff_id.clone(),
    );
    (swapped.layers[0].diff_id, swapped.layers[1].diff_id) = (b, a);
    let layout = Layout::of(&swapped, "docker.io/library/app:v1");
    fails(
        "swapped",
        &layout.tar(),
        "diff-id-mismatch",
        &["manifests[0], layers[0]"],
    );
}

#[test]
fn a_wrong_layout_version_is_fixed() {
    for (text, before) in [
        ("{}", "no version"),
        ("{\"imageLayoutVersion\":\"1.1.0\"}", "1.1.0"),
        ("", "no version"),
        ("[]", "no version"),
        ("{\"imageLayoutVersion\":1}", "no version"),
    ] {
        let mut layout = right_layout();
        layout.oci_layout = Some(text.as_bytes().to_vec());
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
        let change = &report["changes"][0];
        assert_eq!(change["rule"], "oci-layout", "{text}");
        assert_eq!(change["before"], before, "{text}");
        assert_eq!(change["after"], "1.0.0", "{text}");
        assert!(sandbox.read("out.tar") == right_layout().tar(), "{text}");
    }
}
