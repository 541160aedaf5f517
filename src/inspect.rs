//! Inspect: lists what an archive contains.

mod listing;

use serde::Serialize;

use crate::apply::Outcome;
use crate::error::{Error, Result};
use crate::fix::{Fix, Run};
use crate::graph::{Graph, ManifestRole};
use crate::image::{Content, DiffId, Digest, Platform};
use crate::input::Source;
use crate::location::{Location, RootName};
use crate::operation::{Input, Observer, SpoolReason, Unobserved};

/// How to list the contents of an archive, an image layout or a build cache.
#[derive(Clone, Debug, Default)]
pub struct Inspect {
    fix: Fix,
}

/// What an input contains. Each index and manifest is listed once, and others refer to it by its position.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// The files at the root that it has.
    pub files: Vec<RootName>,
    /// The compression of the complete archive.
    pub compression: Option<Content>,
    /// Whether it is a build cache.
    pub is_cache: bool,
    /// What `index.json` lists, or else `manifest.json`. Entries that lead to the same content are one.
    pub entries: Vec<InspectedEntry>,
    /// The indexes, in the order in which they are listed.
    pub indexes: Vec<InspectedIndex>,
    /// The manifests, in the order in which they are listed.
    pub manifests: Vec<InspectedManifest>,
    /// Content that documents name and the input lacks.
    pub missing: Vec<InspectedMissing>,
    /// What is wrong with single documents, and with items of `manifest.json`.
    pub faults: Vec<Error>,
    /// Blobs that nothing refers to; `None` if a document that may refer to them cannot be read.
    pub orphans: Option<BlobCount>,
    /// All blobs.
    pub blobs: BlobCount,
    /// What was verified, if a level was chosen with [`Fix::verify`] at which more than documents is verified.
    pub outcome: Option<Outcome>,
    /// Why a fix would refuse the input, or what could not be verified. What is listed may then not be all.
    pub refused: Option<Error>,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
}

/// An entry of `index.json`, or an image of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedEntry {
    /// The full names, such as `docker.io/library/app:latest`, then invalid names as they are written.
    pub names: Vec<String>,
    /// The tags that are not part of a name.
    pub tags: Vec<String>,
    /// What it leads to; `None` for an image that only a Docker archive describes.
    pub digest: Option<Digest>,
    /// The media type that the entry states, if there is one.
    pub media_type: Option<String>,
    /// The position of the index that it leads to, if that is an index which could be read.
    pub index: Option<usize>,
    /// The position of the manifest that it leads to, if that is a manifest which could be read.
    pub manifest: Option<usize>,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedIndex {
    /// Digest of the index.
    pub digest: Digest,
    /// Its own media type, or else the one that the descriptor states.
    pub media_type: Option<String>,
    /// Length in bytes.
    pub len: u64,
    /// What it lists.
    pub manifests: Vec<InspectedChild>,
    /// The digests of what it is about.
    pub about: Vec<Digest>,
}

/// An item of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedChild {
    /// What it leads to.
    pub digest: Digest,
    /// The media type that it states.
    pub media_type: String,
    /// The platform that it states.
    pub platform: Option<Platform>,
    /// Length in bytes that it states.
    pub len: u64,
    /// Whether the input contains it.
    #[serde(rename = "present")]
    pub is_present: bool,
    /// The position of the index that it leads to, if that is an index which could be read.
    pub index: Option<usize>,
    /// The position of the manifest that it leads to, if that is a manifest which could be read.
    pub manifest: Option<usize>,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedManifest {
    /// Digest of the manifest; `None` for an image that only a Docker archive describes.
    pub digest: Option<Digest>,
    /// What it is.
    #[serde(serialize_with = "kind")]
    pub kind: ManifestRole,
    /// Its own media type, or else the one that its descriptor states; `None` like the digest.
    pub media_type: Option<String>,
    /// The type of the artifact, if it states one.
    pub artifact_type: Option<String>,
    /// Length in bytes; 0 without a digest.
    pub len: u64,
    /// The platform that the config states, or else the index.
    pub platform: Option<Platform>,
    /// The config. Its digest is Docker's image ID.
    pub config: InspectedBlob,
    /// The layers, the lowest first.
    pub layers: Vec<InspectedBlob>,
    /// The digests of what it is about, such as the image that an attestation attests.
    pub about: Vec<Digest>,
}

impl InspectedManifest {
    /// The length of all layers in bytes, as they are stored.
    pub fn layer_bytes(&self) -> u64 {
        let lens = self.layers.iter().map(|layer| layer.len);
        lens.fold(0, u64::saturating_add)
    }
}

/// A config or a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedBlob {
    /// Digest of the bytes, which for a layer of a Docker archive may be a diff ID.
    pub digest: Digest,
    /// The media type in the manifest, if there is a manifest.
    pub media_type: Option<String>,
    /// What the first bytes show; `None` if the input does not have the blob.
    #[serde(serialize_with = "content")]
    pub content: Option<Content>,
    /// Length in bytes as stored, or the length that the manifest states if the input does not have the blob.
    pub len: u64,
    /// Length in bytes once it is decompressed, if that is known without decompressing it.
    pub uncompressed_len: Option<u64>,
    /// The diff ID that the config states for this layer of an image.
    #[serde(serialize_with = "diff_id")]
    pub diff_id: Option<DiffId>,
}

/// Content that the input lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedMissing {
    /// Where it is named.
    pub location: Location,
    /// Its digest.
    pub digest: Digest,
    /// Whether it may be fetched elsewhere.
    #[serde(rename = "expected")]
    pub is_expected: bool,
}

/// How many blobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlobCount {
    /// How many.
    pub count: u64,
    /// Their total length in bytes.
    pub bytes: u64,
}

fn kind<S: serde::Serializer>(role: &ManifestRole, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.name())
}

fn content<S: serde::Serializer>(
    content: &Option<Content>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    content.map(Content::name).serialize(serializer)
}

fn diff_id<S: serde::Serializer>(
    diff_id: &Option<DiffId>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    diff_id
        .as_ref()
        .map(|diff_id| &diff_id.0)
        .serialize(serializer)
}

impl Inspect {
    /// Reads inputs as this fix does. What the fix would change has no effect.
    pub fn new(fix: Fix) -> Self {
        Inspect { fix }
    }

    /// Lists the contents of the input. It writes nothing but temporary files, and reads only headers, documents and the
    /// first bytes of blobs unless [`Fix::verify`] asks for more.
    ///
    /// # Errors
    /// The input is not an image, is damaged or ambiguous. The [code](Error::code) says which. What is wrong with an input
    /// that can be listed is in [`Inspected::refused`].
    pub fn run(&self, input: Input) -> Result<Inspected> {
        self.run_observed(input, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and those of the observer.
    pub fn run_observed(&self, input: Input, observer: &dyn Observer) -> Result<Inspected> {
        let run = Run::new(&self.fix, observer);
        let (source, spooled) = run.open(input, SpoolReason::Inspect)?;
        let graph = run.resolved(&source)?;
        let mut inspected = listing::listed(&graph);
        match planned(&run, &graph, &source) {
            Ok(outcome) => inspected.outcome = outcome,
            Err(error) => inspected.refused = Some(graph.restated(error)),
        }
        inspected.spooled = spooled;
        Ok(inspected)
    }
}

/// Does what a check does, which finds out whether the input is refused.
fn planned(run: &Run<'_>, graph: &Graph, source: &Source) -> Result<Option<Outcome>> {
    let draft = run.new_archive(graph, source)?;
    run.verified(draft.plan(), draft.transcodes(), source)
}
