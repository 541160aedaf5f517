//! An archive as engines see it: before it is fixed, and as it is planned.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::engines::machine::Machine;
use crate::engines::{Obstacle, image};
use crate::error::Result;
use crate::graph::docker_archive::{self, DockerArchiveItem};
use crate::graph::document::{Document, DocumentReader, Shape};
use crate::graph::{Graph, ManifestFacts, ManifestRole, root};
use crate::image::{Content, Digest, StatedDiffId};
use crate::inventory::{EntryNames, Strictness};
use crate::json::View;
use crate::location::{DocumentPath, Role, RootName};
use crate::plan::{Body, Draft};

/// What readers find in an archive.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    graph: &'a Graph,
    /// The machine on which engines read it.
    pub(crate) machine: Machine,
    /// The compression of the complete archive.
    pub(crate) outer: Option<Content>,
    /// How entries are named that are not named plainly.
    pub(crate) names: Cow<'a, EntryNames>,
    /// The first entry that readers misread, if it is not only its type that some of them do not know.
    pub(crate) misread: Option<&'a str>,
    /// The version in `oci-layout`: empty if it states none, and `None` if it is not an object.
    pub(crate) layout_version: Option<Option<String>>,
    /// `index.json`.
    pub(crate) index: Option<Document>,
    /// `manifest.json`.
    pub(crate) docker: DockerManifest,
    /// Documents other than those of the graph.
    documents: BTreeMap<Digest, Document>,
    /// Blobs that stand for layers which are still to be recompressed.
    pending: BTreeMap<Digest, Content>,
    /// Whether documents that the input lacks are there.
    has_created: bool,
    /// What the configs of images say, by their digests.
    configs: BTreeMap<&'a Digest, &'a ManifestFacts>,
    /// The diff IDs of layers that `manifest.json` lists, once they are needed.
    diff_ids: OnceCell<BTreeMap<Digest, StatedDiffId>>,
}

/// What `manifest.json` says.
#[derive(Debug)]
pub(crate) enum DockerManifest {
    Absent,
    /// Another tool's file, or damaged.
    Other {
        /// Whether it is a list of objects, in which readers in Go find no image but no fault either.
        is_decodable: bool,
    },
    Items(Vec<DockerArchiveItem>),
}

impl<'a> Archive<'a> {
    /// The archive of a graph as it is, on this machine.
    pub(crate) fn of_input(graph: &'a Graph, machine: Machine) -> Self {
        let inventory = &graph.inventory;
        // What the graph knows of descriptors is not in their text.
        let with_sizes = |mut document: Document| {
            for pointer in &mut document.pointers {
                let blob = inventory.blobs.get(&pointer.digest);
                let len = blob.map(|blob| blob.len);
                pointer.actual_size = len.filter(|len| *len != pointer.size);
            }
            document
        };
        let index = inventory.root_index.as_ref();
        let index = index.and_then(|file| read_root(file.bytes.clone()).ok());
        let index = index.map(with_sizes);
        let originals = graph.documents.values().filter_map(|document| {
            let text = document.original.clone()?;
            let (digest, path) = (document.digest.clone(), document.path.clone());
            let document = parse(text.into_bytes(), digest, document.shape, path).ok()?;
            Some((document.digest.clone(), with_sizes(document)))
        });
        let docker = match (&inventory.docker_manifest, &graph.docker_archive) {
            (None, _) => DockerManifest::Absent,
            (Some(_), Some(items)) => DockerManifest::Items(items.clone()),
            (Some(file), None) => DockerManifest::Other {
                is_decodable: is_decodable(&file.bytes),
            },
        };
        // An entry that only has another type is ignored by those that do not unpack it.
        let other_type = inventory.names.other_type.as_deref();
        let misread = inventory.misread();
        let misread = misread.filter(|form| Some(form.entry.as_str()) != other_type);
        Archive {
            graph,
            machine,
            outer: inventory.outer_compression,
            names: Cow::Borrowed(&inventory.names),
            misread: misread.map(|form| form.entry.as_str()),
            layout_version: inventory
                .oci_layout
                .as_ref()
                .map(|file| layout_version(&file.bytes)),
            index,
            docker,
            documents: originals.collect(),
            pending: BTreeMap::new(),
            has_created: false,
            configs: configs(graph),
            diff_ids: OnceCell::new(),
        }
    }

    /// The archive that a draft is of, on this machine.
    ///
    /// # Errors
    /// A document of the draft cannot be read, which no valid draft causes.
    pub(crate) fn of_draft(draft: &'a Draft<'a>, machine: Machine) -> Result<Self> {
        let graph = draft.graph();
        let mut archive = Archive {
            graph,
            machine,
            outer: None,
            names: Cow::Owned(EntryNames::default()),
            misread: None,
            layout_version: None,
            index: None,
            docker: DockerManifest::Absent,
            documents: BTreeMap::new(),
            pending: draft
                .transcodes()
                .iter()
                .map(|work| work.stand_in())
                .collect(),
            has_created: true,
            configs: configs(graph),
            diff_ids: OnceCell::new(),
        };
        let mut written: BTreeMap<Digest, &[u8]> = BTreeMap::new();
        for entry in &draft.plan().entries {
            let Body::Bytes(bytes) = &entry.body else {
                continue;
            };
            match RootName::of(&entry.name) {
                Some(RootName::Index) => archive.index = Some(read_root(bytes.clone())?),
                Some(RootName::OciLayout) => {
                    archive.layout_version = Some(layout_version(bytes));
                }
                Some(RootName::DockerManifest) => {
                    archive.docker = DockerManifest::Items(items(bytes)?);
                }
                None => {
                    if let Some(digest) = Digest::from_any_blob_name(&entry.name) {
                        written.insert(digest, bytes);
                    }
                }
            }
        }
        archive.read_written(&written)?;
        if let DockerManifest::Items(items) = &mut archive.docker {
            for item in items {
                let facts = item.config_digest.as_ref();
                let facts = facts.and_then(|digest| archive.configs.get(digest));
                item.diff_ids = facts
                    .map(|facts| facts.diff_ids.clone())
                    .unwrap_or_default();
            }
        }
        Ok(archive)
    }

    /// Reads the new documents, from the root down.
    fn read_written(&mut self, written: &BTreeMap<Digest, &[u8]>) -> Result<()> {
        let Some(root) = &self.index else {
            return Ok(());
        };
        let pointers = |document: &Document| -> Vec<_> {
            let pointers = document.pointers.iter();
            let pointers = pointers.map(|pointer| {
                let path = document.path.child(pointer.step());
                (pointer.digest.clone(), pointer.kind, path)
            });
            pointers.collect()
        };
        let mut open = pointers(root);
        let mut seen = BTreeSet::new();
        while let Some((digest, kind, path)) = open.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            let shape = Shape::of(kind);
            match (shape, written.get(&digest)) {
                (Some(shape), Some(bytes)) => {
                    let document = parse(bytes.to_vec(), digest.clone(), shape, path)?;
                    open.extend(pointers(&document));
                    self.documents.insert(digest, document);
                }
                _ => {
                    let Some(document) = self.graph.document(&digest) else {
                        continue;
                    };
                    // It may have another place now.
                    if document.path == path {
                        open.extend(pointers(document));
                    } else {
                        let document = Document {
                            path,
                            ..document.clone()
                        };
                        open.extend(pointers(&document));
                        self.documents.insert(digest, document);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether there is an image that no engine can load.
    pub(crate) fn has_unloadable_image(&self) -> bool {
        let faults = &self.graph.faults;
        let mut open: Vec<&Document> = self.index.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(document) = open.pop().filter(|_| !faults.is_empty()) {
            for pointer in document.pointers_in(Role::Manifests) {
                if faults.of(&pointer.digest).is_some() {
                    return true;
                }
                if seen.insert(&pointer.digest) {
                    open.extend(self.document(&pointer.digest));
                }
            }
        }
        false
    }

    /// The index or manifest of that digest, if it is there.
    pub(crate) fn document(&self, digest: &Digest) -> Option<&Document> {
        let is_there = self.has_created || !self.graph.synthesized.contains_key(digest);
        let known = || self.graph.document(digest).filter(|_| is_there);
        self.documents.get(digest).or_else(known)
    }

    /// The first bytes of the blob of that digest, if it is there.
    pub(crate) fn content(&self, digest: &Digest) -> Option<Content> {
        let blobs = &self.graph.inventory.blobs;
        let known = || blobs.get(digest).map(|blob| blob.content);
        self.pending.get(digest).copied().or_else(known)
    }

    /// What the layer of that digest is instead of a tar, or decompresses to.
    pub(crate) fn other_than_tar(&self, digest: &Digest) -> Option<Obstacle> {
        match self.graph.not_tars.get(digest) {
            Some(Content::Tar | Content::Empty) => None,
            Some(inside) if inside.is_compressed() => Some(Obstacle::LayerTwice),
            Some(_) => Some(Obstacle::LayerNotTar),
            None => (self.content(digest) == Some(Content::Other)).then_some(Obstacle::LayerNotTar),
        }
    }

    /// Whether a layer can be that of a diff ID, by what `manifest.json` says of it.
    pub(crate) fn may_be(&self, layer: &Digest, diff_id: &StatedDiffId) -> bool {
        let known = self.diff_ids.get_or_init(|| image::listed_diff_ids(self));
        known.get(layer).is_none_or(|known| known == diff_id)
    }

    /// What the config of that digest says, if it is the config of a manifest.
    pub(crate) fn config(&self, digest: &Digest) -> Option<&'a ManifestFacts> {
        self.configs.get(digest).copied()
    }

    /// Whether a reader that goes by cleaned names finds an entry of that name. Those that unpack the archive find absolute
    /// names, too.
    pub(crate) fn finds(&self, name: &str, finds_absolute: bool) -> bool {
        self.names.wrapper.is_none() && (finds_absolute || !self.names.absolute.contains(name))
    }
}

/// An artifact may have the config of an image. What is known of the image then counts.
fn configs(graph: &Graph) -> BTreeMap<&Digest, &ManifestFacts> {
    let is_image = |facts: &&ManifestFacts| facts.role == ManifestRole::Image;
    let (images, others): (Vec<_>, Vec<_>) = graph.manifests.values().partition(is_image);
    let all = others.into_iter().chain(images);
    all.map(|facts| (&facts.config, facts)).collect()
}

fn reader() -> DocumentReader {
    DocumentReader::new(Strictness::Lenient)
}

fn read_root(bytes: Vec<u8>) -> Result<Document> {
    root(bytes, &mut reader())
}

fn parse(bytes: Vec<u8>, digest: Digest, shape: Shape, path: DocumentPath) -> Result<Document> {
    Document::parse(bytes, digest, shape, path, &mut reader())
}

/// The items of a `manifest.json` that ocify wrote, whose paths are names of blobs.
fn items(bytes: &[u8]) -> Result<Vec<DockerArchiveItem>> {
    let mut items = docker_archive::parse(bytes, &mut reader())?;
    for item in &mut items {
        item.config_digest = Digest::from_any_blob_name(&item.config);
        let layers = item.layers.iter();
        item.layer_digests = layers
            .map(|name| Digest::from_any_blob_name(name))
            .collect();
    }
    Ok(items)
}

/// Whether a file is a list of objects or null, whose known keys have the types that Docker gives them.
fn is_decodable(bytes: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let Some(Ok(first)) = values.next() else {
        return false;
    };
    let is_texts = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(|item| item.is_string() || item.is_null()),
        _ => false,
    };
    let is_item = |item: &Value| match item {
        Value::Null => true,
        Value::Object(members) => {
            members
                .iter()
                .all(|(key, value)| match key.to_ascii_lowercase().as_str() {
                    "config" => value.is_string() || value.is_null(),
                    "repotags" | "layers" => is_texts(value),
                    _ => true,
                })
        }
        _ => false,
    };
    match first {
        Value::Null => true,
        Value::Array(items) => items.iter().all(is_item),
        _ => false,
    }
}

/// The version in an `oci-layout` file, as readers in Go find it; empty if there is none, and `None` if the file is not an
/// object.
fn layout_version(bytes: &[u8]) -> Option<String> {
    let root = View::parse(std::str::from_utf8(bytes).ok()?)?;
    let members = root.members()?;
    let mut versions = members.iter().rev();
    let version = versions.find(|member| member.key.eq_ignore_ascii_case("imageLayoutVersion"));
    match version {
        Some(member) => member.value.string(),
        None => Some(String::new()),
    }
}
