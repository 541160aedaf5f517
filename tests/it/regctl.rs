//! What is in the way of `regctl image import`. `tests/engines/further.rs` compares these with what it does, where it is installed.

use ocify::Loads;
use serde_json::json;

use crate::common::archive::tar;
use crate::common::builder::{DOCKER_MANIFEST, right_layout, with_manifest};
use crate::common::saved::{Saved, config_hex, image};
use crate::obstacles::check;

#[test]
fn a_layout_is_imported_as_its_descriptors_say() {
    let longer = with_manifest(|manifest| {
        let size = manifest["layers"][0]["size"].as_u64().unwrap();
        manifest["layers"][0]["size"] = json!(size + 1);
    });
    check(
        "a size",
        &longer.tar(),
        &[("regctl", Loads::No, "wrong-size")],
    );
    let other = with_manifest(|manifest| manifest["mediaType"] = json!(DOCKER_MANIFEST));
    check(
        "a type",
        &other.tar(),
        &[("regctl", Loads::No, "document-type")],
    );
    let mut entries = right_layout().entries();
    for entry in &mut entries {
        if entry.name.starts_with(b"blobs/sha256/") && entry.flag == b'0' {
            entry.name.insert(0, b'/');
        }
    }
    check(
        "absolute names",
        &tar(&entries),
        &[("regctl", Loads::No, "unclean-name")],
    );
}

/// It reads `manifest.json` only if something is missing for a layout.
#[test]
fn a_layout_of_another_version_is_not_imported() {
    for (text, loads, rule) in [
        (
            Some(r#"{"imageLayoutVersion":"1.1.0"}"#),
            Loads::No,
            "layout-version",
        ),
        (None, Loads::Yes, ""),
    ] {
        let mut layout = right_layout();
        layout.oci_layout = text.map(|text| text.as_bytes().to_vec());
        check("a version", &layout.tar(), &[("regctl", loads, rule)]);
    }
}

#[test]
fn images_of_manifest_json_are_requested_by_name() {
    let (one, other) = (image(&["one"]), image(&["other"]));
    for (tags, loads, rule) in [
        (
            json!(["example.com/other:1"]),
            Loads::Choose,
            "several-images",
        ),
        (json!(null), Loads::Partly, "no-name"),
    ] {
        let mut saved = Saved::new();
        saved.docker(&one, json!(["example.com/one:1"]));
        saved.docker(&other, tags);
        check("two images", &saved.tar(), &[("regctl", loads, rule)]);
    }
    // The first of them would have no layer.
    let twice = image(&["same", "same"]);
    let config = format!("{}.json", config_hex(&twice));
    let mut saved = Saved::new();
    saved.file(&config, twice.config().to_string());
    saved.file("layer.tar", &twice.layers[0].bytes);
    for second in ["layer.tar", "./layer.tar"] {
        let mut saved = saved.clone();
        saved.item(
            &config,
            &["layer.tar", second],
            json!(["example.com/twice:1"]),
        );
        check(
            "a layer twice",
            &saved.tar(),
            &[("regctl", Loads::No, "shared-file")],
        );
    }
}
