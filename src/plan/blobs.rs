//! What the blobs of an output are, and what proves their bytes.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::graph::ManifestRole;
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::image::{Algorithm, Content, DiffId, Digest};
use crate::location::{Location, Role};
use crate::plan::planner::{InputDocument, Planner};

/// What a blob of an output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BlobKind {
    /// An index or a manifest.
    Document,
    /// The config of an image.
    Config,
    /// A layer of an image.
    Layer,
    /// A layer of an image whose digest is its diff ID, because it is not compressed.
    PlainLayer,
    /// A config whose digest ocify computed: nothing in the input proves its bytes.
    UnprovenConfig,
    /// A layer whose digest ocify computed or cannot verify, and whose diff ID cannot be verified either.
    UnprovenLayer,
    /// Anything else: a layer of a cache, an artifact's content, or a blob that nothing refers to.
    #[default]
    Other,
}

/// A diff ID that a compressed layer of the output must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerProof {
    /// The layer's digest.
    pub(crate) digest: Digest,
    /// The SHA-256 digest of what it decompresses to.
    pub(crate) diff_id: DiffId,
    /// What its first bytes indicate.
    pub(crate) content: Content,
    /// What it decompresses to, if that is not a tar.
    pub(crate) inside: Option<Content>,
    /// Whether the diff ID is the only proof, because ocify computed the digest or cannot verify it.
    pub(crate) is_only_proof: bool,
    /// Where its descriptor is.
    pub(crate) location: Location,
}

/// What was verified of the blobs of an output. Each blob is counted once, except that
/// [`diff_ids`](Self::diff_ids) counts some of the [`layers`](Self::layers) again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Indexes and manifests that were verified against their digest.
    pub documents: u64,
    /// Image configs that were verified against their digest.
    pub configs: u64,
    /// Layers of images that were verified against their digest, or against their diff ID if the digest cannot
    /// be verified.
    pub layers: u64,
    /// Of these layers, those that were verified against their diff ID: they were decompressed, or they are
    /// not compressed and their digest is their diff ID.
    pub diff_ids: u64,
    /// Other blobs that were verified against their digest: layers of caches, the content of artifacts, and
    /// blobs that nothing refers to.
    pub others: u64,
}

/// The blobs of an output that were not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unverified {
    /// Image configs whose digest ocify computed, because nothing in the input states it.
    pub configs: u64,
    /// Layers of images.
    pub layers: u64,
    /// Other blobs.
    pub others: u64,
}

impl Verified {
    /// How many blobs were verified.
    pub fn total(&self) -> u64 {
        self.documents + self.configs + self.layers + self.others
    }
}

impl Unverified {
    /// How many blobs were not verified.
    pub fn total(&self) -> u64 {
        self.configs + self.layers + self.others
    }
}

/// The kinds of blobs, by digest, and the proofs of layers, sorted by digest.
#[derive(Debug, Default)]
pub(crate) struct Blobs<'a> {
    pub(crate) kinds: HashMap<&'a Digest, BlobKind>,
    pub(crate) proofs: Vec<LayerProof>,
}

impl<'a> Planner<'a> {
    /// What the blobs of the input that go out are. Recompressed layers and rewritten documents are not
    /// among them.
    pub(crate) fn blobs(&self) -> Blobs<'a> {
        let unstated = self.unstated();
        let mut blobs = Blobs::default();
        for input in self.documents_after() {
            let document = input.document;
            blobs.kinds.insert(&document.digest, BlobKind::Document);
            if input.role() != Some(ManifestRole::Image) {
                continue;
            }
            for pointer in &document.pointers {
                let digest = &pointer.digest;
                match pointer.role {
                    Role::Config => {
                        let kind = match unstated.contains(digest) {
                            true => BlobKind::UnprovenConfig,
                            false => BlobKind::Config,
                        };
                        blobs.kinds.insert(digest, kind);
                    }
                    Role::Layers => {
                        let is_only_proof = unstated.contains(digest) || !digest.is_verifiable();
                        self.layer(&mut blobs, input, pointer, is_only_proof);
                    }
                    _ => {}
                }
            }
        }
        // The same layer may be in several images.
        blobs
            .proofs
            .sort_by(|a, b| (&a.digest, &a.diff_id).cmp(&(&b.digest, &b.diff_id)));
        blobs
            .proofs
            .dedup_by(|b, a| (&a.digest, &a.diff_id) == (&b.digest, &b.diff_id));
        blobs
    }

    fn layer(
        &self,
        blobs: &mut Blobs<'a>,
        input: InputDocument<'a>,
        layer: &'a Pointer,
        is_only_proof: bool,
    ) {
        let digest = &layer.digest;
        let diff_id = self.diff_id(input, layer);
        // Of a compressed layer, the digest of its own bytes is a wrong diff ID.
        let is_compressed = layer.content.is_some_and(Content::is_compressed);
        let kind = match (diff_id, layer.content) {
            (Some(diff_id), _) if diff_id.0 == *digest && !is_compressed => BlobKind::PlainLayer,
            (Some(diff_id), Some(content)) if is_provable(diff_id) => {
                blobs.proofs.push(LayerProof {
                    digest: digest.clone(),
                    diff_id: diff_id.clone(),
                    content,
                    inside: self.graph.not_tars.get(digest).copied(),
                    is_only_proof,
                    location: input.document.location_of(layer),
                });
                BlobKind::Layer
            }
            _ if is_only_proof => BlobKind::UnprovenLayer,
            _ => BlobKind::Layer,
        };
        // In another image it may be opaque, or have no diff ID that can be verified.
        let known = blobs.kinds.entry(digest).or_insert(kind);
        if matches!(
            (*known, kind),
            (BlobKind::Layer, BlobKind::PlainLayer)
                | (
                    BlobKind::UnprovenLayer,
                    BlobKind::Layer | BlobKind::PlainLayer
                )
        ) {
            *known = kind;
        }
    }

    /// The diff ID that an image states for a layer that is a tar.
    fn diff_id(&self, input: InputDocument<'a>, layer: &Pointer) -> Option<&'a DiffId> {
        let is_tar = matches!(
            layer.kind,
            Kind::Layer {
                distributable: true,
                ..
            }
        );
        // Of an image with a fault it may not be known which diff ID belongs to which layer.
        let is_known = || self.graph.faults.of(&input.document.digest).is_none();
        let diff_ids = &input.facts?.diff_ids;
        let stated = diff_ids.get(layer.position).filter(|_| is_tar)?;
        stated.valid().filter(|_| is_known())
    }

    /// Whether the diff ID proves the bytes of a layer whose digest cannot be verified.
    pub(crate) fn is_proven_by_diff_id(&self, input: InputDocument<'a>, layer: &Pointer) -> bool {
        let is_layer = layer.role == Role::Layers && layer.content.is_some();
        let is_image = input.role() == Some(ManifestRole::Image);
        is_layer && is_image && self.diff_id(input, layer).is_some_and(is_provable)
    }

    /// The digests that ocify computed, and that nothing in the input states.
    fn unstated(&self) -> BTreeSet<&'a Digest> {
        let renamed = &self.graph.renamed;
        if !self.graph.computed.is_empty() {
            return self.graph.computed.iter().collect();
        }
        let mut unstated: BTreeSet<&Digest> = BTreeSet::new();
        for computed in renamed.iter().filter(|renamed| !renamed.is_stated) {
            unstated.insert(&computed.digest);
        }
        if unstated.is_empty() {
            return unstated;
        }
        for stated in renamed.iter().filter(|renamed| renamed.is_stated) {
            unstated.remove(&stated.digest);
        }
        let is_of_input = |input: &&InputDocument<'_>| {
            let document = input.document;
            !document.is_restored && !self.graph.synthesized.contains_key(&document.digest)
        };
        for input in self.documents.iter().filter(is_of_input) {
            for pointer in &input.document.pointers {
                unstated.remove(&pointer.digest);
            }
        }
        unstated
    }
}

/// Whether ocify can compare what a layer decompresses to with its diff ID.
fn is_provable(diff_id: &DiffId) -> bool {
    diff_id.0.algorithm() == Some(Algorithm::Sha256)
}
