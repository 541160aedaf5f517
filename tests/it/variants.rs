//! Of variants of one platform `manifest.json` describes one that Docker can run.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, digest_of,
    docker_item, named, on, right_image,
};
use crate::common::contents::blob_name;
use crate::common::judged::{Fixed, finding, fixed};
use crate::common::placed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const EROFS: &str = "application/vnd.erofs.layer.v1";
const EROFS_ZSTD: &str = "application/vnd.erofs+zstd";
const NYDUS: &str = "application/vnd.oci.image.layer.nydus.blob.v1";

/// An image with layers of this type, which are not tars, and with these diff IDs.
fn opaque(layout: &mut Layout, media_type: &str, diff_ids: Value) -> Value {
    let layer = layout.blob(media_type, b"\xe2\xe1\xf5\xe0 a filesystem");
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = layout.document(OCI_CONFIG, &config);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer, layer]});
    layout.document(OCI_MANIFEST, &manifest)
}

/// The config that `manifest.json` names, which must be of one image.
fn described(found: &Fixed) -> String {
    let items = found.contents.json("manifest.json");
    assert_eq!(items.as_array().unwrap().len(), 1, "{items:#}");
    items[0]["Config"].as_str().unwrap().to_owned()
}

fn config_of(layout: &Layout, descriptor: &Value) -> String {
    let manifest = &layout.blobs[&blob_name(&digest_of(descriptor))];
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    blob_name(&digest_of(&manifest["config"]))
}

#[test]
fn an_image_without_tar_layers_is_not_described_beside_one_with() {
    let diff_ids = json!([
        format!("sha256:{}", "0".repeat(64)),
        format!("sha256:{}", "1".repeat(64))
    ]);
    for media_type in [EROFS, EROFS_ZSTD, NYDUS] {
        for diff_ids in [json!([]), Value::Null, diff_ids.clone()] {
            for is_first in [true, false] {
                let mut layout = Layout::new();
                let variant = on(
                    opaque(&mut layout, media_type, diff_ids.clone()),
                    "linux",
                    "amd64",
                );
                let tar = on(layout.image(&right_image()), "linux", "amd64");
                let mut children = vec![variant, tar.clone()];
                if !is_first {
                    children.reverse();
                }
                let index = layout.index_of(OCI_INDEX, children);
                layout.root(vec![named(index, NAME)]);
                for options in [&[][..], &["--docker-platform", "linux/amd64"]] {
                    let found = fixed(&layout.tar(), options);
                    assert_eq!(described(&found), config_of(&layout, &tar));
                    assert_eq!(found.report["findings"], json!([]), "{media_type}");
                }
                let found = fixed(&layout.tar(), &["--compression", "zstd"]);
                let root = found.contents.json("index.json");
                assert_eq!(root["manifests"].as_array().unwrap().len(), 1);
                let left = found.finding("layers-left-alone")["message"].as_str();
                assert!(
                    left.unwrap().starts_with("2 blobs keep their bytes"),
                    "{left:?}"
                );
            }
        }
    }
}

#[test]
fn an_image_that_requires_features_is_not_described_beside_one_that_does_not() {
    for (in_index, in_config) in [(true, false), (false, true), (true, true)] {
        let mut layout = Layout::new();
        let tar = on(layout.image(&right_image()), "linux", "amd64");
        let special = Image::oci(vec![Layer::gzip(OCI_GZIP, "special")]);
        let mut manifest = layout.manifest(&special);
        if in_config {
            let mut config = special.config();
            config["os.features"] = json!(["special"]);
            manifest["config"] = layout.document(OCI_CONFIG, &config);
        }
        let mut special = on(layout.document(OCI_MANIFEST, &manifest), "linux", "amd64");
        if in_index {
            special["platform"]["os.features"] = json!(["special"]);
        }
        // What manifest.json described before does not count.
        layout.docker(&manifest, &["app:v1"]);
        let index = layout.index_of(OCI_INDEX, vec![special, tar.clone()]);
        layout.root(vec![named(index, NAME)]);
        let found = fixed(&layout.tar(), &[]);
        assert_eq!(described(&found), config_of(&layout, &tar));
    }
}

#[test]
fn a_variant_is_described_if_there_is_no_other() {
    let mut layout = Layout::new();
    let diff_ids = ["0", "1"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    let variant = opaque(&mut layout, EROFS, json!(diff_ids));
    let other = opaque(&mut layout, EROFS_ZSTD, json!(diff_ids));
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            on(variant.clone(), "linux", "amd64"),
            on(other, "linux", "arm64"),
        ],
    );
    layout.root(vec![named(index, NAME)]);
    let found = fixed(&layout.tar(), &["--docker-platform", "linux/amd64"]);
    assert_eq!(described(&found), config_of(&layout, &variant));
    assert_eq!(found.report["images"][0]["platform"], "linux/amd64");
    let finding = found.finding("opaque-layers");
    assert_eq!(finding["severity"], "breaks");
    let message = finding["message"].as_str().unwrap();
    assert!(!message.contains("manifest.json"), "{message}");
}

/// Docker compares the number of layers with that of diff IDs before anything else.
#[test]
fn an_image_with_layers_without_diff_ids_is_never_described() {
    for media_type in [EROFS, EROFS_ZSTD, NYDUS] {
        for diff_ids in [
            json!([]),
            Value::Null,
            json!([format!("sha256:{}", "0".repeat(64))]),
        ] {
            for (has_docker, is_alone) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let mut layout = Layout::new();
                let variant = opaque(&mut layout, media_type, diff_ids.clone());
                let text = &layout.blobs[&blob_name(&digest_of(&variant))];
                let manifest: Value = serde_json::from_slice(text).unwrap();
                let right = layout.manifest(&right_image());
                let mut entries = vec![named(variant.clone(), NAME)];
                let mut items = vec![docker_item(&manifest, &["app:v1"])];
                if !is_alone {
                    let right_entry = layout.document(OCI_MANIFEST, &right);
                    entries.push(named(right_entry, "docker.io/library/right:1"));
                    items.push(docker_item(&right, &["right:1"]));
                }
                layout.root(entries);
                layout.docker_manifest = has_docker.then(|| json!(items).to_string().into());
                let bytes = layout.tar();
                let found = fixed(&bytes, &[]);
                assert_eq!(found.contents.has("manifest.json"), !is_alone);
                let name = digest_of(&variant);
                check(&found.report, &name);
                let image = &found.report["images"][0];
                assert_eq!(image["digest"], name.as_str());
                assert_eq!(image["platform"], "linux/amd64");
                assert!(image["config_digest"].is_string(), "{image}");
                let changes = found.changes(&["docker-manifest"]);
                match (has_docker, is_alone) {
                    (true, true) => assert_eq!(changes[0][2..], ["1 image", "-"]),
                    (true, false) => {
                        let after = "1 image, without what docker cannot load";
                        assert_eq!(changes[0][2..], ["2 images", after]);
                    }
                    (false, true) => assert!(changes.is_empty()),
                    (false, false) => assert_eq!(changes[0][2..], ["-", "1 image"]),
                }
                // One that nothing else needs is no reason to fail a gate.
                let sandbox = Sandbox::new();
                sandbox.put("in.tar", &bytes);
                layout.write_to(&sandbox.path("in"));
                let code = if is_alone { 0 } else { 3 };
                let run = sandbox.fix_with("in.tar", "out.tar", &["--dry-run"]);
                check(&run.exits(code).json(), &name);
                check(&sandbox.fix("in", "out/").exits(0).json(), &name);
                let run = sandbox.fix_with("in.tar", "out.tar", &["--verify", "documents"]);
                check(&run.exits(0).json(), &name);
                if !(has_docker && is_alone) {
                    let (_, report) = placed::fixed(&bytes, &[]);
                    check(&report, &name);
                }
                // Its platform is there, and cannot be described.
                let options = ["--docker-platform", "linux/amd64", "--image", "app:v1"];
                let found = fixed(&bytes, &options);
                assert!(!found.contents.has("manifest.json"));
            }
        }
    }
}

#[track_caller]
fn check(report: &Value, digest: &str) {
    let finding = finding(report, "opaque-layers");
    assert_eq!(finding["severity"], "breaks");
    assert_eq!(finding["location"], "index.json, manifests[0]");
    let message = finding["message"].as_str().unwrap();
    assert!(message.starts_with(digest), "{message}");
    assert!(message.ends_with("manifest.json omits it"), "{message}");
}

#[test]
fn layers_without_diff_ids_must_not_be_tars() {
    let mut layout = Layout::new();
    let image = opaque(&mut layout, OCI_TAR, json!([]));
    layout.root(vec![named(image, NAME)]);
    crate::common::failure::fails_with("tar", &layout.tar(), &[], "layer-count-mismatch", &[]);
    // An image may have tars and filesystem images; only the latter can lack a diff ID.
    for (count, is_right) in [(0, false), (1, true), (3, false)] {
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&right_image());
        let erofs = layout.blob(EROFS, b"\xe2\xe1\xf5\xe0 a filesystem");
        manifest["layers"] = json!([manifest["layers"][0], erofs]);
        let mut config = right_image().config();
        let diff_id = config["rootfs"]["diff_ids"][0].clone();
        config["rootfs"]["diff_ids"] = json!(vec![diff_id; count]);
        manifest["config"] = layout.document(OCI_CONFIG, &config);
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, NAME)]);
        if is_right {
            fixed(&layout.tar(), &["--compression", "zstd"]);
        } else {
            crate::common::failure::fails_with(
                "mixed",
                &layout.tar(),
                &[],
                "layer-count-mismatch",
                &[],
            );
        }
    }
}
