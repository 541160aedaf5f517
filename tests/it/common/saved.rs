//! Builds Docker archives: `manifest.json` and the files that it names.

use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::builder::{Image, Layer, OCI_TAR};
use super::judged::{Fixed, fixed};
use super::sha256;

/// An archive that is being built: its files, and the items of its `manifest.json`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saved {
    pub(crate) entries: Vec<Entry>,
    pub(crate) items: Vec<Value>,
}

impl Saved {
    pub(crate) fn new() -> Self {
        Saved::default()
    }

    pub(crate) fn file(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.entries.push(Entry::file(name, bytes));
    }

    /// Adds an image whose config and layers have these names.
    pub(crate) fn named(&mut self, image: &Image, config: &str, layers: &[&str], tags: Value) {
        self.file(config, image.config().to_string());
        for (layer, name) in image.layers.iter().zip(layers) {
            self.file(name, &layer.bytes);
        }
        self.item(config, layers, tags);
    }

    pub(crate) fn item(&mut self, config: &str, layers: &[&str], tags: Value) {
        let item = json!({"Config": config, "RepoTags": tags, "Layers": layers});
        self.items.push(item);
    }

    /// Adds an image as docker before 25 saves it.
    pub(crate) fn docker(&mut self, image: &Image, tags: Value) {
        let mut layers = Vec::new();
        for (number, layer) in image.layers.iter().enumerate() {
            let id = v1_id(image, number);
            self.entries.push(Entry::dir(format!("{id}/")));
            self.file(&format!("{id}/VERSION"), "1.0");
            self.file(
                &format!("{id}/json"),
                json!({"id": id, "os": "linux"}).to_string(),
            );
            self.file(&format!("{id}/layer.tar"), &layer.bytes);
            layers.push(format!("{id}/layer.tar"));
        }
        let config = format!("{}.json", config_hex(image));
        self.file(&config, image.config().to_string());
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        self.item(&config, &layers, tags);
    }

    /// The bytes of `manifest.json`.
    pub(crate) fn manifest(&self) -> Vec<u8> {
        json!(self.items).to_string().into_bytes()
    }

    /// All entries, `manifest.json` and `repositories` at the end.
    pub(crate) fn all(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.push(Entry::file("manifest.json", self.manifest()));
        entries.push(Entry::file("repositories", "{}"));
        entries
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        tar(&self.all())
    }

    /// The entry of that name, to be changed.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Entry {
        let mut entries = self.entries.iter_mut();
        let found = entries.find(|entry| entry.name == name.as_bytes());
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }
}

/// The directory of a layer: an ID that does not depend on its bytes.
pub(crate) fn v1_id(image: &Image, number: usize) -> String {
    sha256(format!("{} {number}", image.config()).as_bytes())
}

pub(crate) fn config_hex(image: &Image) -> String {
    sha256(image.config().to_string().as_bytes())
}

/// The digests of an image's config and layers.
pub(crate) fn parts(image: &Image) -> Vec<String> {
    let layers = image.layers.iter().map(|layer| sha256(&layer.bytes));
    std::iter::once(config_hex(image))
        .chain(layers)
        .map(|hex| format!("sha256:{hex}"))
        .collect()
}

/// The digest of the manifest that Docker 25 and later write for an image of plain layers.
pub(crate) fn manifest_digest(image: &Image) -> String {
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(bytes)), "size": bytes.len()});
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| descriptor(&layer.media_type, &layer.bytes))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": image.manifest_type,
        "config": descriptor(&image.config_type, image.config().to_string().as_bytes()),
        "layers": layers,
    });
    format!("sha256:{}", sha256(manifest.to_string().as_bytes()))
}

/// An image of plain layers.
pub(crate) fn image(texts: &[&str]) -> Image {
    Image::oci(
        texts
            .iter()
            .map(|text| Layer::plain(OCI_TAR, text))
            .collect(),
    )
}

/// Fixes the archive and checks that the output contains these images.
#[track_caller]
pub(crate) fn holds(bytes: &[u8], images: &[&Image]) -> Fixed {
    let fixed = fixed(bytes, &[]);
    let mut expected: Vec<Vec<String>> = images.iter().map(|image| parts(image)).collect();
    expected.sort();
    assert_eq!(fixed.contents.parts(), expected);
    for image in images {
        let config = format!("sha256:{}", config_hex(image));
        assert_eq!(
            fixed.contents.blob(&config).unwrap(),
            image.config().to_string().as_bytes()
        );
        // The manifest is the one that Docker 25 and later write.
        assert!(fixed.contents.blob(&manifest_digest(image)).is_some());
    }
    assert!(
        fixed.facts.unreferenced.is_empty() && fixed.facts.missing.is_empty(),
        "{:?}",
        fixed.facts
    );
    fixed
}

/// Two images that share their first layer, which the second one has as a link of this kind.
pub(crate) fn linked(flag: u8) -> (Saved, Image, Image) {
    let (one, two) = (image(&["a", "b"]), image(&["a", "c"]));
    let mut saved = Saved::new();
    saved.docker(&one, json!(["one:1"]));
    saved.docker(&two, json!(["two:1"]));
    let (target, link) = (v1_id(&one, 0), v1_id(&two, 0));
    let up = if flag == b'2' { "../" } else { "" };
    *saved.entry(&format!("{link}/layer.tar")) = Entry::link(
        format!("{link}/layer.tar"),
        flag,
        &format!("{up}{target}/layer.tar"),
    );
    (saved, one, two)
}
