//! What a source means: `resolve` follows every pointer from `index.json` down.

mod ahead;
mod budget;
pub(crate) mod decoders;
mod descriptor;
pub(crate) mod docker_archive;
pub(crate) mod document;
pub(crate) mod fault;
pub(crate) mod fields;
mod image;
mod inside;
mod layers;
pub(crate) mod link;
pub(crate) mod needed_by;
pub(crate) mod nest;
pub(crate) mod opaque;
mod order;
mod orphans;
pub(crate) mod pointer;
mod reduced;
pub(crate) mod referrers;
mod resolve;
mod restore;
mod source_names;
mod synthesize;
mod typed;
mod unlisted;
mod unverifiable;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Hint, Result};
use crate::image::media_type::Kind;
use crate::image::{Content, Digest};
use crate::inventory::{BlobSource, Inventory, Strictness};
use crate::location::{self, Location};
use crate::threads::Workers;
use docker_archive::{DockerArchiveItem, ItemFaults, RenamedFile};
use document::{Document, RepeatedKey};
pub use fault::Faults;
pub use image::{ManifestFacts, Role as ManifestRole};
pub(crate) use nest::{NestedIndex, set_names};
pub(crate) use opaque::Opaque;
pub(crate) use orphans::{HeldBecause, Orphans};
pub(crate) use reduced::Reducer;
pub(crate) use resolve::{resolve_beside_others, resolve_incomplete, root};

/// The documents of a source and what they point at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Graph {
    /// What the source contains. Its blobs include the files that are listed in `renamed`.
    pub inventory: Inventory,
    /// The top-level index. Platforms that the source lists side by side under one name are in an index of
    /// that name.
    pub root: Document,
    /// Whether the source has no such index, and `root` says what `manifest.json` does.
    pub is_root_synthesized: bool,
    /// The manifests of images that `manifest.json` lists and the source's index does not. Entries for them were added to
    /// `root`.
    pub added_entries: Vec<Digest>,
    /// Documents that the source does not contain because another form says the same.
    pub synthesized: BTreeMap<Digest, Vec<u8>>,
    /// Files that were named by something other than their digest.
    pub renamed: Vec<RenamedFile>,
    /// Every other index and manifest that is present, by digest.
    pub documents: BTreeMap<Digest, Document>,
    /// The digests of `documents`; what a document names comes before it.
    pub children_first: Vec<Digest>,
    /// What each manifest is.
    pub manifests: BTreeMap<Digest, ManifestFacts>,
    /// What is wrong with single manifests and indexes. [`plan`](crate::plan()) refuses those that matter.
    pub faults: Faults,
    pub(crate) item_faults: ItemFaults,
    /// Pointers to content that is not there.
    pub missing: Vec<Missing>,
    /// What compressed layers of images decompress to, if that is not a tar. Only their first bytes were
    /// decompressed.
    pub(crate) not_tars: BTreeMap<Digest, Content>,
    /// Duplicate keys, if they were accepted.
    pub repeated_keys: Vec<RepeatedKey>,
    /// The images of `manifest.json`, if there is one.
    pub docker_archive: Option<Vec<DockerArchiveItem>>,
    /// Digests of the source that ocify computed when it read the inputs that the source was joined from.
    pub(crate) computed: BTreeSet<Digest>,
    /// Documents that are not part of the graph, and what they name.
    pub(crate) opaque: Opaque,
    /// The blobs that nothing refers to.
    pub(crate) orphans: Orphans,
    /// The indexes that the source lacks, by digest. `synthesized` has their text.
    pub(crate) nested: Vec<NestedIndex>,
}

/// A pointer to content that is not in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// Where the pointer is.
    pub location: Location,
    /// The digest of the absent content.
    pub digest: Digest,
    /// Whether it is a manifest or index that another document lists, rather than a part of an image.
    pub is_child: bool,
    /// Whether the content may be fetched elsewhere.
    pub is_expected: bool,
}

impl Missing {
    /// The error if missing content is refused.
    pub(crate) fn refused(&self) -> Error {
        let name = self.digest.blob_name();
        let message = format!("{} is {name}, which is not in the archive", self.location);
        self.error(message)
            .about_blob(&self.digest)
            .with_hint(Hint::ChooseMissing)
    }

    /// The error if no image is complete without the content.
    pub(crate) fn no_complete_image(&self) -> Error {
        let name = self.digest.blob_name();
        let message = format!(
            "{} is missing: {name} is not in the archive, and no image is complete without it",
            self.location,
        );
        self.error(message).with_hint(Hint::SaveAgain)
    }

    fn error(&self, message: String) -> Error {
        Error::new(Code::MissingBlob, message)
            .with_location(&self.location)
            .with_entry(self.digest.blob_name())
    }
}

impl Graph {
    /// The document of that digest, if it is an index or a manifest that is present.
    pub fn document(&self, digest: &Digest) -> Option<&Document> {
        self.documents.get(digest)
    }

    /// Removes the marks of evidence from entries of `index.json` that lead to images.
    fn unmark_images(&mut self) {
        let manifests = &self.manifests;
        pointer::unmark_images(&mut self.root.pointers, &|digest| {
            let facts = manifests.get(digest);
            facts.is_some_and(|facts| facts.role == ManifestRole::Image)
        });
    }

    /// Whether it is the digest of an index that the source lacks.
    pub(crate) fn is_nested(&self, digest: &Digest) -> bool {
        self.synthesized.contains_key(digest) && self.nested(digest).is_some()
    }

    /// The index of that digest, if the source lacks it.
    fn nested(&self, digest: &Digest) -> Option<&NestedIndex> {
        let found = self
            .nested
            .binary_search_by(|nested| nested.digest.cmp(digest));
        found.ok().map(|place| &self.nested[place])
    }

    /// Whether it is the digest of a document that no tool wrote before: a nested index, or the manifest of an image
    /// that only a Docker archive describes.
    pub(crate) fn is_created(&self, digest: &Digest) -> bool {
        let is_manifest = self.docker_archive.is_some() && self.synthesized.contains_key(digest);
        is_manifest || self.is_nested(digest)
    }

    /// Whether it is a build cache: a manifest, or an older index, with the cache's config.
    pub(crate) fn is_cache(&self) -> bool {
        let mut roles = self.manifests.values().map(|facts| facts.role);
        let mut pointers = self
            .documents
            .values()
            .flat_map(|document| &document.pointers);
        roles.any(|role| role == ManifestRole::Cache)
            || pointers.any(|pointer| pointer.kind == Kind::CacheConfig)
    }

    /// Every digest that something points at.
    pub fn reachable(&self) -> BTreeSet<&Digest> {
        let documents = std::iter::once(&self.root).chain(self.documents.values());
        let pointers = documents.flat_map(|document| &document.pointers);
        pointers.map(|pointer| &pointer.digest).collect()
    }

    /// Takes out of the inventory what nothing refers to and this is true of.
    pub(crate) fn take_orphans(&mut self, is_taken: impl Fn(&Digest) -> bool) -> Vec<Digest> {
        let orphans = &mut self.orphans.digests;
        let taken: Vec<Digest> = orphans.extract_if(.., |digest| is_taken(digest)).collect();
        for digest in &taken {
            self.inventory.blobs.remove(digest);
        }
        taken
    }

    /// The signature files beside an image in a directory whose `manifest.json` is the image's own manifest:
    /// `signature-1`, and `<hex>.signature-1` of a manifest in an index (container-libs,
    /// `directory/directory_transport.go`).
    pub(crate) fn signature_files(&self) -> impl Iterator<Item = &str> {
        let is_directory = self.is_root_synthesized && self.docker_archive.is_none();
        let names = self.inventory.extra.keys().filter(move |_| is_directory);
        names.map(String::as_str).filter(|name| {
            let Some((head, number)) = name.rsplit_once("signature-") else {
                return false;
            };
            (head.is_empty() || head.ends_with('.'))
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// The images below an entry of an index, in order: manifests of digest `digest` or in that index.
    pub fn images_below<'a>(&'a self, digest: &'a Digest) -> Vec<&'a Digest> {
        let mut steps = usize::MAX;
        self.images_below_within(digest, &mut steps)
            .unwrap_or_default()
    }

    /// The same; `None` if finding them takes more steps than are left.
    pub(crate) fn images_below_within<'a>(
        &'a self,
        digest: &'a Digest,
        steps: &mut usize,
    ) -> Option<Vec<&'a Digest>> {
        let mut images = Vec::new();
        let mut seen = BTreeSet::new();
        self.collect_images(digest, steps, &mut seen, &mut images)?;
        Some(images)
    }

    /// The images, and the indexes that lead to one.
    pub(crate) fn leading_to_images(&self) -> BTreeSet<&Digest> {
        self.leading_to(|_| true)
    }

    /// The images for which this is true, and the indexes that lead to one of them.
    pub(crate) fn leading_to(&self, is_wanted: impl Fn(&Digest) -> bool) -> BTreeSet<&Digest> {
        let is_image = |facts: &ManifestFacts| facts.role == ManifestRole::Image;
        let mut leading = BTreeSet::new();
        for digest in &self.children_first {
            let documents = self.documents.get(digest).into_iter();
            let mut children = documents.flat_map(|document| {
                let children = document.pointers_in(location::Role::Manifests);
                children.map(|child| &child.digest)
            });
            let facts = self.manifests.get(digest);
            if facts.is_some_and(is_image) && is_wanted(digest)
                || children.any(|child| leading.contains(child))
            {
                leading.insert(digest);
            }
        }
        leading
    }

    fn collect_images<'a>(
        &'a self,
        digest: &'a Digest,
        steps: &mut usize,
        seen: &mut BTreeSet<&'a Digest>,
        images: &mut Vec<&'a Digest>,
    ) -> Option<()> {
        *steps = steps.checked_sub(1)?;
        if !seen.insert(digest) {
            return Some(());
        }
        let is_image = |facts: &ManifestFacts| facts.role == ManifestRole::Image;
        if self.manifests.get(digest).is_some_and(is_image) {
            images.push(digest);
        }
        let document = self.documents.get(digest);
        for pointer in document
            .into_iter()
            .flat_map(|document| document.pointers_in(location::Role::Manifests))
        {
            self.collect_images(&pointer.digest, steps, seen, images)?;
        }
        Some(())
    }
}

/// Follows every pointer of a source.
///
/// Files that `manifest.json` names in ways of its own join the blobs of the graph's inventory under
/// their digest; [`Graph::renamed`] lists them.
///
/// What is wrong with a single manifest, its parts or a nested index is not an error:
/// [`Graph::faults`] has it.
///
/// # Errors
/// An `index.json` or `manifest.json` that is not valid or ambiguous; documents that are too large together;
/// an archive in which no image is complete.
pub fn resolve(
    inventory: Inventory,
    blobs: &dyn BlobSource,
    strictness: Strictness,
) -> Result<Graph> {
    resolve_with(inventory, blobs, strictness, Workers::ONE)
}

/// The same, with several threads. What it returns does not depend on them.
pub(crate) fn resolve_with(
    inventory: Inventory,
    blobs: &dyn BlobSource,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Graph> {
    resolve::resolve(inventory, blobs, strictness, workers)
}
