//! Builds archives of blobs, documents and indexes, so that a test can change one thing at a time.

use std::collections::BTreeMap;
use std::io::Write;

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
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const DOCKER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

pub(crate) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
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

    /// `manifest.json`, to be changed.
    pub(crate) fn edit_docker(&mut self, edit: impl FnOnce(&mut Value)) {
        let bytes = self.docker_manifest.as_ref().unwrap();
        let mut items: Value = serde_json::from_slice(bytes).unwrap();
        edit(&mut items);
        self.docker_manifest = Some(items.to_string().into_bytes());
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
