//! The walk from `index.json` down.

use std::collections::BTreeMap;

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::Missing;
use crate::graph::ahead::{Ahead, BATCH, Manifest, Parsed};
use crate::graph::descriptor::{check_data, check_size};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::{
    Document, DocumentReader, MAX_DOCUMENT_LEN, Shape, read_verified, schema1,
};
use crate::graph::image::{self, Config, ManifestFacts, Role};
use crate::graph::pointer::Pointer;
use crate::graph::restore::restored;
use crate::image::media_type::Kind;
use crate::image::{Algorithm, Content, Digest, StatedDiffId};
use crate::inventory::{BlobEntry, BlobSource, Inventory};
use crate::location::{self, DocumentPath, Location};

/// How deep indexes, manifests and subjects may be nested.
const MAX_DEPTH: usize = 32;
/// How many bytes of documents are kept in memory.
const MAX_DOCUMENTS_LEN: u64 = 256 * 1024 * 1024;

/// Where a walk begins, and what it may find besides blobs.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) inventory: &'a Inventory,
    /// Documents that the source does not contain.
    pub(crate) synthesized: &'a BTreeMap<Digest, Vec<u8>>,
    /// The items of `manifest.json`.
    pub(crate) items: &'a [DockerArchiveItem],
}

/// What a walk found; [`Graph`](crate::graph::Graph) documents the fields.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) documents: BTreeMap<Digest, Document>,
    pub(crate) manifests: BTreeMap<Digest, ManifestFacts>,
    pub(crate) missing: Vec<Missing>,
}

/// Follows every pointer from the root, and notes in each what the source contains.
pub(crate) fn walk(
    root: &mut Document,
    start: Start<'_>,
    blobs: &dyn BlobSource,
    ahead: Option<Ahead<'_>>,
    reader: &mut DocumentReader,
) -> Result<Found> {
    let mut by_config = BTreeMap::new();
    for (position, item) in start.items.iter().enumerate() {
        if let Some(config) = &item.config_digest {
            by_config.entry(config.clone()).or_insert(position);
        }
    }
    let mut walk = Walk {
        start,
        blobs,
        ahead,
        reader,
        documents_len: 0,
        ancestors: Vec::new(),
        children: BTreeMap::new(),
        by_config,
        found: Found::default(),
    };
    walk.follow_all(root)?;
    Ok(walk.found)
}

struct Walk<'a> {
    start: Start<'a>,
    blobs: &'a dyn BlobSource,
    ahead: Option<Ahead<'a>>,
    reader: &'a mut DocumentReader,
    documents_len: u64,
    ancestors: Vec<Digest>,
    /// Documents already read, and the shape that they were read as.
    children: BTreeMap<Digest, Shape>,
    /// The first item of `manifest.json` with each config.
    by_config: BTreeMap<Digest, usize>,
    found: Found,
}

impl<'a> Walk<'a> {
    fn follow_all(&mut self, document: &mut Document) -> Result<()> {
        for pointers in document.pointers.chunks_mut(BATCH) {
            if document.shape == Shape::Index {
                self.read_ahead(&document.path, pointers);
            }
            for pointer in pointers {
                let blob = self.start.inventory.blobs.get(&pointer.digest);
                pointer.content = blob.map(|blob| blob.content);
                self.follow(&document.path, pointer, blob)?;
            }
        }
        Ok(())
    }

    fn read_ahead(&mut self, parent: &DocumentPath, pointers: &[Pointer]) {
        if let Some(ahead) = &mut self.ahead {
            let (synthesized, children) = (self.start.synthesized, &self.children);
            ahead.read(parent, pointers, |digest| {
                synthesized.contains_key(digest) || children.contains_key(digest)
            });
        }
    }

    fn follow(
        &mut self,
        parent: &DocumentPath,
        pointer: &Pointer,
        blob: Option<&BlobEntry>,
    ) -> Result<()> {
        // Computed only on errors: most pointers are valid.
        let location = || Location::of(parent, pointer.step());
        check_data(pointer, location)?;
        let shape = match pointer.kind {
            Kind::Index => Some(Shape::Index),
            Kind::Manifest => Some(Shape::Manifest),
            Kind::Schema1 => return Err(schema1(&location())),
            _ => None,
        };
        let synthesized = self.start.synthesized.get(&pointer.digest);
        match blob {
            _ if synthesized.is_some() => {}
            Some(blob) => check_size(blob, pointer, location)?,
            None => {
                self.found.missing.push(missing(pointer, location()));
                return Ok(());
            }
        }
        let Some(shape) = shape else {
            return Ok(());
        };
        if let Some(known) = self.children.get(&pointer.digest) {
            return if *known == shape {
                Ok(())
            } else {
                Err(two_shapes(&location()))
            };
        }
        let location = location();
        if self.ancestors.len() >= MAX_DEPTH {
            return Err(Error::new(
                Code::DocumentTooDeep,
                format!("{location} is nested deeper than {MAX_DEPTH} documents"),
            )
            .with_location(location)
            .with_expected(MAX_DEPTH));
        }
        let mut config = None;
        let mut document = match (synthesized, blob) {
            (Some(bytes), _) => self.parse(bytes.clone(), parent, pointer, shape)?,
            (None, Some(blob)) => {
                self.count_document(blob, &location)?;
                match self.take_ahead(&pointer.digest, shape) {
                    Some(manifest) => {
                        config = manifest.config;
                        manifest.document.take(self.reader)?
                    }
                    None => {
                        let bytes = read_verified(self.blobs, &pointer.digest, blob, &location)?;
                        self.parse(bytes, parent, pointer, shape)?
                    }
                }
            }
            (None, None) => return Ok(()),
        };
        self.children.insert(pointer.digest.clone(), shape);
        if shape == Shape::Manifest
            && let Some(item) = self.docker_archive_item(&document)
            && let Some(text) = restored(&document, item, self.start.inventory)
        {
            document = Document::parse(
                text.into_bytes(),
                document.digest,
                shape,
                document.path,
                self.reader,
            )?;
            document.is_restored = true;
        }
        self.ancestors.push(pointer.digest.clone());
        let missing = self.found.missing.len();
        self.follow_all(&mut document)?;
        let is_complete = self.found.missing.len() == missing;
        self.ancestors.pop();
        if shape == Shape::Manifest {
            let facts = self.manifest_facts(&document, config, pointer, is_complete)?;
            self.found.manifests.insert(pointer.digest.clone(), facts);
        }
        self.found
            .documents
            .insert(pointer.digest.clone(), document);
        Ok(())
    }

    /// The item of `manifest.json` that has the config of a manifest.
    fn docker_archive_item(&self, document: &Document) -> Option<&'a DockerArchiveItem> {
        let position = self.by_config.get(&document.config()?.digest)?;
        self.start.items.get(*position)
    }

    fn parse(
        &mut self,
        bytes: Vec<u8>,
        parent: &DocumentPath,
        pointer: &Pointer,
        shape: Shape,
    ) -> Result<Document> {
        let path = parent.child(pointer.step());
        Document::parse(bytes, pointer.digest.clone(), shape, path, self.reader)
    }

    fn take_ahead(&mut self, digest: &Digest, shape: Shape) -> Option<Manifest> {
        let ahead = self.ahead.as_mut().filter(|_| shape == Shape::Manifest)?;
        ahead.take(digest)
    }

    fn count_document(&mut self, blob: &BlobEntry, location: &Location) -> Result<()> {
        self.documents_len = self.documents_len.saturating_add(blob.len);
        if blob.len > MAX_DOCUMENT_LEN || self.documents_len > MAX_DOCUMENTS_LEN {
            let (what, len, cap) = if blob.len > MAX_DOCUMENT_LEN {
                ("is a document of", blob.len, MAX_DOCUMENT_LEN)
            } else {
                (
                    "brings the total size of all documents to",
                    self.documents_len,
                    MAX_DOCUMENTS_LEN,
                )
            };
            return Err(Error::new(
                Code::DocumentTooLarge,
                format!("{location} {what} {len} bytes, expected at most {cap}"),
            )
            .with_location(location)
            .with_expected(cap)
            .with_found(len));
        }
        Ok(())
    }

    fn manifest_facts(
        &mut self,
        document: &Document,
        ahead: Option<Parsed<Config>>,
        parent: &Pointer,
        is_complete: bool,
    ) -> Result<ManifestFacts> {
        let role = image::role(document, parent)?;
        let Some(config) = document.config().cloned() else {
            return Err(Error::new(
                Code::InvalidDocument,
                format!("{} lacks a config", document.path),
            )
            .with_location(&document.path));
        };
        let layers: Vec<&Pointer> = document.pointers_in(location::Role::Layers).collect();
        let is_whole = is_complete
            || config.content.is_some()
                && layers
                    .iter()
                    .all(|layer| layer.content.is_some() || layer.is_optional());
        let mut platform = None;
        let mut diff_ids = Vec::new();
        if let (Role::Image, Some(blob)) = (role, self.start.inventory.blobs.get(&config.digest)) {
            let location = document.location_of(&config);
            self.count_document(blob, &location)?;
            self.documents_len -= blob.len;
            let config = match ahead {
                Some(config) => config.take(self.reader)?,
                None => {
                    let bytes = read_verified(self.blobs, &config.digest, blob, &location)?;
                    image::config(bytes, &location, self.reader)?
                }
            };
            self.check_layers(document, &layers, &config.diff_ids)?;
            platform = config.platform;
            diff_ids = config.diff_ids;
        }
        Ok(ManifestFacts {
            role,
            config: config.digest,
            platform,
            diff_ids,
            is_whole,
        })
    }

    fn check_layers(
        &self,
        document: &Document,
        layers: &[&Pointer],
        diff_ids: &[StatedDiffId],
    ) -> Result<()> {
        if layers.len() != diff_ids.len() {
            return Err(Error::new(
                Code::LayerCountMismatch,
                format!(
                    "{} lists {} layers, but its config has {} diff IDs",
                    document.path,
                    layers.len(),
                    diff_ids.len()
                ),
            )
            .with_location(&document.path)
            .with_expected(diff_ids.len())
            .with_found(layers.len())
            .with_hint(Hint::BuildAgain));
        }
        let layers = layers.iter().zip(diff_ids);
        for (layer, diff_id) in layers.filter(|(layer, id)| !id.is_of(&layer.digest)) {
            // The digest of an uncompressed layer is its diff ID, so a difference shows
            // without reading it. Bytes of no known form are either not compressed or not a layer.
            let what = match layer.content {
                Some(Content::Tar) => "a plain tar",
                Some(Content::Other | Content::Empty) => "not compressed in a known format",
                _ => continue,
            };
            if layer.digest.algorithm() == Algorithm::Sha256
                && matches!(layer.kind, Kind::Layer { .. })
            {
                return Err(Error::new(
                    Code::DiffIdMismatch,
                    format!(
                        "{} is {what} and has the digest {}, but the config's diff ID is {}",
                        document.location_of(layer),
                        layer.digest,
                        escape(&diff_id.to_string())
                    ),
                )
                .with_location(document.location_of(layer))
                .with_expected(diff_id)
                .with_found(&layer.digest)
                .with_hint(Hint::SaveWrongAgain));
            }
        }
        Ok(())
    }
}

fn missing(pointer: &Pointer, location: Location) -> Missing {
    Missing {
        location,
        digest: pointer.digest.clone(),
        is_child: matches!(
            pointer.role,
            location::Role::Manifests | location::Role::Subject
        ) && matches!(pointer.kind, Kind::Index | Kind::Manifest),
        is_expected: pointer.is_optional() || pointer.role == location::Role::Subject,
    }
}

fn two_shapes(location: &Location) -> Error {
    Error::new(
        Code::AmbiguousDocument,
        format!("{location} and another descriptor give the same document different types"),
    )
    .with_location(location)
}
