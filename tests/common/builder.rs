//! Builds images, indexes and archives in code, so that a test can bend one thing at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::contents::blob_name;
use super::sha256;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const DOCKER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A plain tar of one file, different for every text.
pub(crate) fn layer_tar(text: &str) -> Vec<u8> {
    tar(&[Entry::file("etc/text", text)])
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A layer: its type, its bytes and the digest of the tar in it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) diff_id: String,
}

impl Layer {
    /// A layer of this type whose bytes are as given, and hold a plain tar.
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
    /// An image that is right in every respect.
    pub(crate) fn oci(layers: Vec<Layer>) -> Self {
        Image {
            manifest_type: OCI_MANIFEST.to_owned(),
            config_type: OCI_CONFIG.to_owned(),
            architecture: "amd64".to_owned(),
            layers,
        }
    }

    /// An image as Docker's registry format has it.
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

/// The blobs and root files of an archive that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// By entry name.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) index: Option<Vec<u8>>,
    pub(crate) docker_manifest: Option<Vec<u8>>,
    pub(crate) oci_layout: Option<Vec<u8>>,
    /// Further entries, at the end.
    pub(crate) more: Vec<Entry>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Layout {
            blobs: BTreeMap::new(),
            index: None,
            docker_manifest: None,
            oci_layout: Some(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            more: Vec::new(),
        }
    }

    /// One image under a name; the image's descriptor is what `index.json` lists.
    pub(crate) fn of(image: &Image, name: &str) -> Self {
        let mut layout = Layout::new();
        let descriptor = named(layout.image(image), name);
        layout.root(vec![descriptor]);
        layout
    }

    /// Adds a blob and returns its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: impl AsRef<[u8]>) -> Value {
        let bytes = bytes.as_ref();
        let digest = format!("sha256:{}", sha256(bytes));
        self.blobs.insert(blob_name(&digest), bytes.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds a document as a blob and returns its descriptor.
    pub(crate) fn document(&mut self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string())
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

    /// Sets `index.json`.
    pub(crate) fn root(&mut self, manifests: Vec<Value>) {
        self.index = Some(index(OCI_INDEX, manifests).to_string().into_bytes());
    }

    /// `index.json`, to be changed.
    pub(crate) fn edit_root(&mut self, edit: impl FnOnce(&mut Value)) {
        let mut root: Value = serde_json::from_slice(self.index.as_ref().unwrap()).unwrap();
        edit(&mut root);
        self.index = Some(root.to_string().into_bytes());
    }

    /// Sets `manifest.json` to one item for this manifest.
    pub(crate) fn docker(&mut self, manifest: &Value, tags: &[&str]) {
        let item = docker_item(manifest, tags);
        self.docker_manifest = Some(json!([item]).to_string().into_bytes());
    }

    /// The entries in the order of containerd.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::dir("blobs/")];
        let mut algorithm = String::new();
        for (name, bytes) in &self.blobs {
            let dir = name.rsplit_once('/').unwrap().0;
            if dir != algorithm {
                entries.push(Entry::dir(format!("{dir}/")));
                dir.clone_into(&mut algorithm);
            }
            entries.push(Entry::file(name, bytes).mode(0o444));
        }
        let file = |name: &str, bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map(|bytes| Entry::file(name, bytes))
        };
        entries.extend(file("index.json", &self.index));
        entries.extend(file("manifest.json", &self.docker_manifest));
        entries.extend(file("oci-layout", &self.oci_layout).map(|entry| entry.mode(0o444)));
        entries.extend(self.more.clone());
        entries
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        tar(&self.entries())
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

pub(crate) fn index(media_type: &str, manifests: Vec<Value>) -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})
}

/// One item of `manifest.json`, as containerd writes it.
pub(crate) fn docker_item(manifest: &Value, tags: &[&str]) -> Value {
    let entry = |descriptor: &Value| blob_name(descriptor["digest"].as_str().unwrap());
    let layers: Vec<String> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(entry)
        .collect();
    let tags = if tags.is_empty() {
        Value::Null
    } else {
        json!(tags)
    };
    json!({"Config": entry(&manifest["config"]), "RepoTags": tags, "Layers": layers})
}

/// A descriptor with the annotations that containerd writes for a name.
pub(crate) fn named(descriptor: Value, name: &str) -> Value {
    let tag = name.rsplit_once(':').unwrap().1;
    annotated(descriptor, &[(IMAGE_NAME, name), (REF_NAME, tag)])
}

/// A descriptor with more annotations.
pub(crate) fn annotated(mut descriptor: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        descriptor["annotations"][*key] = json!(value);
    }
    descriptor
}

/// A descriptor with a platform.
pub(crate) fn on(mut descriptor: Value, os: &str, architecture: &str) -> Value {
    descriptor["platform"] = json!({"architecture": architecture, "os": os});
    descriptor
}

pub(crate) fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().to_owned()
}

/// An image with one gzip layer, right in every respect: what most tests begin with.
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
