//! `LayerSources` in manifest.json, and the foreign layers that it describes.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, OCI_TAR, digest_of, gzip, layer_tar, named,
};
use crate::common::judged::fixed;
use crate::common::saved::{Saved, holds, image};
use crate::common::sha256;

const NAME: &str = "docker.io/library/app:v1";

fn right(image: &Image) -> Layout {
    let mut layout = Layout::of(image, NAME);
    let manifest = layout.manifest(image);
    layout.docker(&manifest, &["app:v1"]);
    layout
}

/// The archive with `LayerSources` of this key and value in its `manifest.json`.
fn with_sources(layout: &mut Layout, sources: Value) {
    let mut items: Value =
        serde_json::from_slice(layout.docker_manifest.as_ref().unwrap()).unwrap();
    items[0]["LayerSources"] = sources;
    layout.docker_manifest = Some(items.to_string().into_bytes());
}

#[test]
fn layer_sources_are_removed_unless_needed() {
    let app = Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]);
    let diff_id = app.layers[0].diff_id.clone();
    let digest = format!("sha256:{}", sha256(&app.layers[0].bytes));
    for key in [diff_id, digest.clone()] {
        let mut layout = right(&app);
        let source =
            json!({"mediaType": OCI_GZIP, "digest": digest, "size": app.layers[0].bytes.len()});
        with_sources(&mut layout, json!({key: source}));
        let found = fixed(&layout.tar(), &[]);
        let expected = [
            "docker-manifest",
            "manifest.json",
            "1 image",
            "1 image, without LayerSources",
        ];
        assert_eq!(
            found.changes(&["docker-manifest"]),
            [expected.map(str::to_owned)]
        );
        assert!(found.bytes == right(&app).tar());
    }
}

/// What docker 25 and later save of an image with a foreign layer: a descriptor of the remote blob,
/// and a local plain tar that has the diff ID for its name.
fn foreign(with_local: bool) -> Layout {
    let mut layout = Layout::new();
    let local = Layer::plain(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "base",
    );
    let app = Image::oci(vec![local, Layer::plain(OCI_TAR, "app")]);
    let mut manifest = layout.manifest(&app);
    layout.docker(&manifest, &["app:v1"]);
    let remote = gzip(&layer_tar("base"));
    manifest["layers"][0]["digest"] = json!(format!("sha256:{}", sha256(&remote)));
    manifest["layers"][0]["size"] = json!(remote.len());
    manifest["layers"][0]["urls"] = json!(["https://example.com/base"]);
    with_sources(
        &mut layout,
        json!({app.layers[0].diff_id.clone(): manifest["layers"][0]}),
    );
    if !with_local {
        layout
            .blobs
            .remove(&format!("blobs/sha256/{}", sha256(&layer_tar("base"))));
    }
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout
}

#[test]
fn a_foreign_layer_remains_remote_in_the_index() {
    for with_local in [true, false] {
        let found = fixed(&foreign(with_local).tar(), &[]);
        let manifest = &found.contents.manifests()[0].1;
        let layer = &manifest["layers"][0];
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        );
        assert_eq!(layer["urls"], json!(["https://example.com/base"]));
        assert_eq!(
            found.finding("absent-content")["location"],
            "index.json, manifests[0], layers[0]"
        );
        assert_eq!(found.findings(), ["absent-content"]);
    }
}

#[test]
fn a_docker_archive_keeps_the_source_of_a_foreign_layer() {
    let app = image(&["base", "app"]);
    let remote = gzip(&layer_tar("base"));
    let foreign = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "size": remote.len(),
        "digest": format!("sha256:{}", sha256(&remote)),
        "urls": ["https://example.com/base"],
    });
    let ordinary = json!({"mediaType": OCI_TAR, "digest": app.layers[1].diff_id, "size": 1});
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    saved.items[0]["LayerSources"] = json!({
        app.layers[0].diff_id.clone(): foreign,
        app.layers[1].diff_id.clone(): ordinary,
    });
    // The layer is there, so readers of the index need no other source; docker still pushes it as foreign.
    let found = holds(&saved.tar(), &[&app]);
    let item = &found.contents.json("manifest.json")[0];
    assert_eq!(
        item["LayerSources"],
        json!({app.layers[0].diff_id.clone(): foreign})
    );
    // docker does not look for this key.
    saved.items[0]["LayerSources"] = json!({format!("sha256:{}", sha256(&remote)): foreign});
    let found = holds(&saved.tar(), &[&app]);
    assert!(found.contents.json("manifest.json")[0]["LayerSources"].is_null());
}

#[test]
fn docker_still_finds_the_local_copy_of_a_foreign_layer() {
    let local = format!("blobs/sha256/{}", sha256(&layer_tar("base")));
    let found = fixed(&foreign(true).tar(), &[]);
    let item = &found.contents.json("manifest.json")[0];
    assert_eq!(item["Layers"][0], local);
    assert!(found.contents.has(&local));
    // What the descriptor in LayerSources is for: docker pushes the layer as a foreign one.
    let manifest = &found.contents.manifests()[0].1;
    let source = &item["LayerSources"][format!("sha256:{}", sha256(&layer_tar("base")))];
    assert_eq!(digest_of(source), digest_of(&manifest["layers"][0]));
}
