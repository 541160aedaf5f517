//! Builds layers, images and archives of them, so that a test can change one thing at a time.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::sha256;

pub(crate) use super::shared::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_TAR, DOCKER_ZSTD, IMAGE_NAME,
    Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, REF_NAME, annotated,
    bzip2, docker_item, gzip, index, named, xz, zstd,
};

/// A plain tar with one file. Each text gives a different tar.
pub(crate) fn layer_tar(text: &str) -> Vec<u8> {
    tar(&[Entry::file("etc/text", text)])
}

/// A layer: its type, its bytes and the digest of the tar in it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) diff_id: String,
}

impl Layer {
    /// A layer with this type and these bytes, which contain the tar `plain`.
    pub(crate) fn new(media_type: &str, bytes: Vec<u8>, plain: &[u8]) -> Self {
        Layer {
            media_type: media_type.to_owned(),
            bytes,
            diff_id: format!("sha256:{}", sha256(plain)),
        }
    }

    pub(crate) fn plain(media_type: &str, text: &str) -> Self {
        let plain = layer_tar(text);
        Layer::new(media_type, plain.clone(), &plain)
    }

    pub(crate) fn gzip(media_type: &str, text: &str) -> Self {
        let plain = layer_tar(text);
        Layer::new(media_type, gzip(&plain), &plain)
    }

    pub(crate) fn zstd(media_type: &str, text: &str) -> Self {
        let plain = layer_tar(text);
        Layer::new(media_type, zstd(&plain), &plain)
    }
}

/// An image before it becomes blobs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest_type: String,
    pub(crate) config_type: String,
    pub(crate) architecture: String,
    pub(crate) layers: Vec<Layer>,
}

impl Image {
    /// A valid image.
    pub(crate) fn oci(layers: Vec<Layer>) -> Self {
        Image {
            manifest_type: OCI_MANIFEST.to_owned(),
            config_type: OCI_CONFIG.to_owned(),
            architecture: "amd64".to_owned(),
            layers,
        }
    }

    /// An image with Docker's media types.
    pub(crate) fn docker(layers: Vec<Layer>) -> Self {
        Image {
            manifest_type: DOCKER_MANIFEST.to_owned(),
            config_type: DOCKER_CONFIG.to_owned(),
            ..Image::oci(layers)
        }
    }

    pub(crate) fn architecture(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    pub(crate) fn config(&self) -> Value {
        let diff_ids: Vec<&str> = self
            .layers
            .iter()
            .map(|layer| layer.diff_id.as_str())
            .collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
    }
}

impl Layout {
    /// One image under a name; the image's descriptor is what `index.json` lists.
    pub(crate) fn of(image: &Image, name: &str) -> Self {
        let mut layout = Layout::new();
        let descriptor = named(layout.image(image), name);
        layout.root(vec![descriptor]);
        layout
    }

    /// The manifest of an image, whose config and layers are added as blobs.
    pub(crate) fn manifest(&mut self, image: &Image) -> Value {
        let config = self.document(&image.config_type, &image.config());
        let layers: Vec<Value> = image
            .layers
            .iter()
            .map(|layer| self.blob(&layer.media_type, &layer.bytes))
            .collect();
        json!({
            "schemaVersion": 2,
            "mediaType": image.manifest_type,
            "config": config,
            "layers": layers,
        })
    }

    /// Adds an image and returns its manifest's descriptor.
    pub(crate) fn image(&mut self, image: &Image) -> Value {
        let manifest = self.manifest(image);
        self.document(&image.manifest_type, &manifest)
    }

    /// Adds an index of these descriptors and returns its own.
    pub(crate) fn index_of(&mut self, media_type: &str, manifests: Vec<Value>) -> Value {
        self.document(media_type, &index(media_type, manifests))
    }

    /// Writes a layout directory.
    pub(crate) fn write_to(&self, root: &Path) {
        for entry in self.entries() {
            let path = root.join(std::str::from_utf8(&entry.name).unwrap());
            if entry.flag == b'5' {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &entry.data).unwrap();
            }
        }
    }

    /// The name of the only blob whose text contains all of these.
    pub(crate) fn find(&self, parts: &[&str]) -> String {
        let has_all = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            parts.iter().all(|part| text.contains(part))
        };
        let found: Vec<&String> = self
            .blobs
            .iter()
            .filter(|(_, bytes)| has_all(bytes))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found.len(), 1, "{parts:?}: {found:?}");
        found[0].clone()
    }
}

/// A descriptor with a platform.
pub(crate) fn on(mut descriptor: Value, os: &str, architecture: &str) -> Value {
    descriptor["platform"] = json!({"architecture": architecture, "os": os});
    descriptor
}

pub(crate) fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().to_owned()
}

/// A valid image with one gzip layer, which most tests start from.
pub(crate) fn right_image() -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, "right")])
}

/// That image as an archive, named `docker.io/library/app:v1`, with `manifest.json`.
pub(crate) fn right_layout() -> Layout {
    let mut layout = Layout::of(&right_image(), "docker.io/library/app:v1");
    let manifest = layout.manifest(&right_image());
    layout.docker(&manifest, &["app:v1"]);
    layout
}

/// That image as an archive without `manifest.json`, whose manifest can be changed.
pub(crate) fn with_manifest(change: impl FnOnce(&mut Value)) -> Layout {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&right_image());
    change(&mut manifest);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
    layout
}
