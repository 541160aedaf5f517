//! One archive for each kind of bad input.

use std::io::Write;

use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, gzip, layer_tar,
    named, right_image, right_layout, zstd,
};
use super::contents::blob_name;
use super::saved::{Saved, image};
use super::sha256;

const NAME: &str = "docker.io/library/app:v1";

/// A bad archive, its name and the code that it fails with when layers are compressed with gzip.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) code: &'static str,
    pub(crate) bytes: Vec<u8>,
}

fn root(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut layout = right_layout();
    layout.docker_manifest = None;
    layout.edit_root(change);
    layout.tar()
}

fn manifest(change: impl FnOnce(&mut Layout, &mut Value)) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&right_image());
    change(&mut layout, &mut manifest);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout.tar()
}

fn with(entry: Entry) -> Vec<u8> {
    let mut entries = right_layout().entries();
    entries.push(entry);
    tar(&entries)
}

fn layer(layer: Layer) -> Vec<u8> {
    Layout::of(&Image::oci(vec![layer]), NAME).tar()
}

fn damaged() -> Vec<u8> {
    let mut layout = right_layout();
    let config = layout.find(&["\"rootfs\""]);
    layout.blobs.get_mut(&config).unwrap()[3] ^= 1;
    layout.tar()
}

/// A damaged manifest whose descriptor also has the wrong size.
fn wrong_size() -> Vec<u8> {
    let mut layout = right_layout();
    layout.docker_manifest = None;
    let manifest = layout.find(&["\"layers\":["]);
    layout.blobs.get_mut(&manifest).unwrap()[3] ^= 1;
    layout.edit_root(|root| root["manifests"][0]["size"] = json!(i64::MAX));
    layout.tar()
}

/// An archive as docker before 25 saves it, with this blob's name left out.
fn saved_without_layer() -> Vec<u8> {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    let name = saved.items[0]["Layers"][1].as_str().unwrap().to_owned();
    saved.entries.retain(|entry| entry.name != name.as_bytes());
    saved.tar()
}

fn deep() -> Vec<u8> {
    let mut layout = Layout::new();
    let mut descriptor = layout.image(&right_image());
    for _ in 0..100 {
        descriptor = layout.index_of(OCI_INDEX, vec![descriptor]);
    }
    layout.root(vec![descriptor]);
    layout.tar()
}

fn disagreeing() -> Vec<u8> {
    let mut layout = right_layout();
    let config = format!("blobs/sha256/{}", "1".repeat(64));
    let mut items: Value =
        serde_json::from_slice(layout.docker_manifest.as_ref().unwrap()).unwrap();
    items[0]["Config"] = json!(config);
    layout.docker_manifest = Some(items.to_string().into_bytes());
    layout.tar()
}

fn plugin() -> Vec<u8> {
    let config = json!({"mediaType": "application/vnd.docker.plugin.v1+json", "digest": format!("sha256:{}", sha256(b"x")), "size": 1});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
    tar(&[
        Entry::file("manifest.json", manifest.to_string()),
        Entry::file(sha256(b"x"), "x"),
    ])
}

/// A layer that becomes more than a thousand times larger.
fn bomb() -> Layer {
    let plain = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    let bytes = zstd(&plain);
    assert!(bytes.len() < 20_000);
    Layer::new(OCI_ZSTD, bytes, &plain)
}

/// Compressed so that it takes 256 MiB to decompress.
fn wide(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// All of them.
pub(crate) fn faults() -> Vec<Fault> {
    let right = right_layout().tar();
    let plain = layer_tar("x");
    let half = zstd(&plain);
    let cut = Layer::new(OCI_ZSTD, half[..half.len() / 2].to_vec(), &plain);
    let twice = manifest(|layout, manifest| {
        let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
        let text = String::from_utf8(layout.blobs.remove(&blob_name(&config)).unwrap()).unwrap();
        let text = text.replacen('{', "{\"os\":\"windows\",", 1);
        manifest["config"] = layout.blob(super::builder::OCI_CONFIG, text);
    });
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20));
    #[rustfmt::skip]
    let faults = vec![
        ("cut", "truncated-archive", right[..2600].to_vec()),
        ("cut-compressed", "truncated-archive", { let bytes = gzip(&right); bytes[..bytes.len() - 20].to_vec() }),
        ("window", "window-too-large", wide(&right)),
        ("climbing", "invalid-archive", with(Entry::file("../outside", "x"))),
        ("damaged", "digest-mismatch", damaged()),
        ("size", "size-mismatch", wrong_size()),
        ("no-layer", "missing-blob", saved_without_layer()),
        ("no-config", "invalid-document", manifest(|_, m| drop(m.as_object_mut().unwrap().remove("config")))),
        ("digest", "invalid-digest", root(|r| r["manifests"][0]["digest"] = json!("sha256:../../x"))),
        ("layers", "layer-count-mismatch", manifest(|_, m| { let layer = m["layers"][0].clone(); m["layers"].as_array_mut().unwrap().push(layer) })),
        ("diff-id", "diff-id-mismatch", layer(Layer::new(OCI_TAR, layer_tar("one"), b"another"))),
        ("cut-layer", "damaged-layer", layer(cut)),
        ("both", "ambiguous-document", manifest(|_, m| m["manifests"] = json!([]))),
        ("key-twice", "duplicate-key", twice),
        ("entry-twice", "duplicate-entry", with(Entry::file("index.json", "{}"))),
        ("roots", "root-disagreement", disagreeing()),
        ("two-archives", "trailing-archive", [&right[..], &right[..]].concat()),
        ("no-image", "not-an-image", { let mut layout = right_layout(); (layout.index, layout.docker_manifest) = (None, None); layout.tar() }),
        ("bomb", "compression-ratio", layer(bomb())),
        ("blake3", "unsupported-digest", root(|r| r["manifests"][0]["digest"] = json!(format!("blake3:{}", "0".repeat(64))))),
        ("schema1", "schema1", tar(&[Entry::file("manifest.json", r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#)])),
        ("plugin", "plugin", plugin()),
        ("sparse", "sparse-entry", with(Entry::new(format!("blobs/sha256/{}", "2".repeat(64)), b'S', "x"))),
        ("link", "link-entry", with(Entry::link(format!("blobs/sha256/{}", "3".repeat(64)), b'2', "../../gone"))),
        ("large", "document-too-large", { let mut layout = right_layout(); layout.index = Some(large.into_bytes()); layout.tar() }),
        ("deep", "document-too-deep", deep()),
    ];
    let fault = |(name, code, bytes)| Fault { name, code, bytes };
    let faults: Vec<Fault> = faults.into_iter().map(fault).collect();
    assert!(faults.iter().all(|fault| fault.bytes.len() < 12 << 20));
    faults
}

/// An image whose layer uses a compression that OCI has no media type for. Fixing it fails unless layers are
/// recompressed.
pub(crate) fn odd_layer() -> Fault {
    let plain = layer_tar("x");
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    Fault {
        name: "odd-layer",
        code: "unsupported-compression",
        bytes: layer(Layer::new(OCI_TAR, encoder.finish().unwrap(), &plain)),
    }
}

/// An image whose one layer is compressed with zstd.
pub(crate) fn good() -> Vec<u8> {
    let layers = vec![Layer::zstd(OCI_ZSTD, "good"), Layer::gzip(OCI_GZIP, "too")];
    Layout::of(&Image::oci(layers), NAME).tar()
}
