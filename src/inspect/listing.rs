//! The listing of what a graph contains.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    BlobCount, Inspected, InspectedBlob, InspectedChild, InspectedEntry, InspectedIndex,
    InspectedManifest, InspectedMissing,
};
use crate::error::Error;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::graph::referrers::{Targets, listings};
use crate::graph::{Graph, ManifestFacts, ManifestRole};
use crate::image::{Content, DiffId, Digest, Platform};
use crate::inventory::Inventory;
use crate::location::{Role, RootName};
use crate::plan::named_entries;

/// Everything that is in a graph.
pub(super) fn listed(graph: &Graph) -> Inspected {
    let inventory = &graph.inventory;
    let (names, refused) = match named_entries(graph) {
        Ok(names) => (names, None),
        Err(error) => (BTreeMap::new(), Some(graph.restated(error))),
    };
    let listing = Listing::new(graph);
    let missing = graph.missing.iter().map(|missing| InspectedMissing {
        location: missing.location.clone(),
        digest: missing.digest.clone(),
        is_expected: missing.is_expected,
    });
    let of_documents = graph.faults.iter().map(|(_, error)| error);
    let faults: Vec<Error> = of_documents
        .chain(graph.item_faults.values())
        .map(|error| graph.restated(error.clone()))
        .collect();
    let orphans = match graph.orphans.unreadable {
        Some(_) => None,
        None => Some(counted(inventory, graph.orphans.digests.iter())),
    };
    Inspected {
        files: root_files(inventory),
        compression: inventory.outer_compression,
        is_cache: graph.is_cache(),
        entries: listing.entries(&names),
        indexes: listing.indexes(),
        manifests: listing.manifests(),
        missing: missing.collect(),
        faults,
        orphans,
        blobs: counted(inventory, inventory.blobs.keys()),
        outcome: None,
        refused,
        spooled: None,
    }
}

fn root_files(inventory: &Inventory) -> Vec<RootName> {
    let all = [
        (RootName::Index, &inventory.root_index),
        (RootName::DockerManifest, &inventory.docker_manifest),
        (RootName::OciLayout, &inventory.oci_layout),
    ];
    let there = all.into_iter().filter(|(_, file)| file.is_some());
    there.map(|(name, _)| name).collect()
}

fn counted<'d>(inventory: &Inventory, digests: impl Iterator<Item = &'d Digest>) -> BlobCount {
    let mut counted = BlobCount::default();
    for blob in digests.filter_map(|digest| inventory.blobs.get(digest)) {
        counted.count += 1;
        counted.bytes = counted.bytes.saturating_add(blob.len);
    }
    counted
}

/// The documents of a graph, with the position of each.
struct Listing<'a> {
    graph: &'a Graph,
    indexes: Vec<&'a Document>,
    manifests: Vec<(&'a Document, &'a ManifestFacts)>,
    /// Their positions; `None` for those that are not listed.
    positions: BTreeMap<&'a Digest, Option<usize>>,
    /// The first descriptor that leads to each.
    descriptors: BTreeMap<&'a Digest, &'a Pointer>,
    about: BTreeMap<&'a Digest, BTreeSet<&'a Digest>>,
}

impl<'a> Listing<'a> {
    /// The documents in the order in which they are listed, those that only a subject names last.
    fn new(graph: &'a Graph) -> Self {
        let mut listing = Listing {
            graph,
            indexes: Vec::new(),
            manifests: Vec::new(),
            positions: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            about: BTreeMap::new(),
        };
        let targets = Targets::new(graph);
        for listed in listings(graph) {
            let pointer = listed.pointer;
            listing
                .descriptors
                .entry(&pointer.digest)
                .or_insert(pointer);
            let about = listing.about.entry(&pointer.digest).or_default();
            about.extend(targets.of(&listed));
        }
        // The last is the first to be taken.
        let mut open: Vec<&Pointer> = below(&graph.root).rev().collect();
        while let Some(pointer) = open.pop() {
            let Some(document) = graph.document(&pointer.digest) else {
                continue;
            };
            if listing.add(&pointer.digest, document) {
                open.extend(below(document).rev());
            }
        }
        for (digest, document) in &graph.documents {
            listing.add(digest, document);
        }
        listing
    }

    /// Adds a document that is not there yet; returns whether it was not.
    fn add(&mut self, digest: &'a Digest, document: &'a Document) -> bool {
        if self.positions.contains_key(digest) {
            return false;
        }
        // What it lists is listed in its place.
        if self.graph.is_nested(digest) {
            self.positions.insert(digest, None);
            return true;
        }
        let facts = self.graph.manifests.get(digest);
        let position = match (document.shape, facts) {
            (Shape::Index, _) => Some(push(&mut self.indexes, document)),
            (Shape::Manifest, Some(facts)) => Some(push(&mut self.manifests, (document, facts))),
            // Its fault is listed.
            (Shape::Manifest, None) => None,
        };
        self.positions.insert(digest, position);
        true
    }

    /// The position of an index, and that of a manifest.
    fn position(&self, digest: &Digest) -> (Option<usize>, Option<usize>) {
        let position = self.positions.get(digest).copied().flatten();
        match self.graph.document(digest).map(|document| document.shape) {
            Some(Shape::Index) => (position, None),
            Some(Shape::Manifest) => (None, position),
            None => (None, None),
        }
    }

    fn entries(&self, names: &BTreeMap<usize, Vec<String>>) -> Vec<InspectedEntry> {
        let mut entries: Vec<InspectedEntry> = Vec::new();
        let mut seen: HashSet<(usize, String)> = HashSet::new();
        let mut known: BTreeMap<&Digest, usize> = BTreeMap::new();
        for (position, pointer) in self.graph.root.pointers.iter().enumerate() {
            if pointer.role != Role::Manifests {
                continue;
            }
            let joined = names.get(&position).map_or(&[][..], Vec::as_slice);
            let leads_to: Vec<&Pointer> = match self.graph.is_nested(&pointer.digest) {
                true => {
                    let nested = self.graph.document(&pointer.digest);
                    nested.into_iter().flat_map(below).collect()
                }
                false => vec![pointer],
            };
            for to in leads_to {
                let number = *known.entry(&to.digest).or_insert_with(|| {
                    entries.push(self.entry(to));
                    entries.len() - 1
                });
                let (names, tag) = names_of(pointer, joined);
                let entry = &mut entries[number];
                for (list, names) in [(&mut entry.names, names), (&mut entry.tags, tag)] {
                    let new = names.into_iter();
                    list.extend(new.filter(|name| seen.insert((number, name.clone()))));
                }
            }
        }
        entries
    }

    /// An entry without its names.
    fn entry(&self, pointer: &Pointer) -> InspectedEntry {
        let is_created = self.graph.is_created(&pointer.digest);
        let (index, manifest) = self.position(&pointer.digest);
        InspectedEntry {
            names: Vec::new(),
            tags: Vec::new(),
            digest: (!is_created).then(|| pointer.digest.clone()),
            media_type: (!is_created).then(|| pointer.media_type.clone().into_owned()),
            index,
            manifest,
        }
    }

    fn indexes(&self) -> Vec<InspectedIndex> {
        let child = |pointer: &Pointer| {
            let (index, manifest) = self.position(&pointer.digest);
            InspectedChild {
                digest: pointer.digest.clone(),
                media_type: pointer.media_type.clone().into_owned(),
                platform: pointer.platform.as_deref().cloned(),
                len: pointer.size,
                is_present: self.graph.inventory.blobs.contains_key(&pointer.digest),
                index,
                manifest,
            }
        };
        let index = |document: &&Document| InspectedIndex {
            digest: document.digest.clone(),
            media_type: self.media_type(document),
            len: self.len(document),
            manifests: below(document).map(child).collect(),
            about: self.about(document),
        };
        self.indexes.iter().map(index).collect()
    }

    fn manifests(&self) -> Vec<InspectedManifest> {
        let manifests = self.manifests.iter();
        manifests
            .map(|(document, facts)| self.manifest(document, facts))
            .collect()
    }

    fn manifest(&self, document: &Document, facts: &ManifestFacts) -> InspectedManifest {
        let is_created = self.graph.is_created(&document.digest);
        let diff_id = |layer: &Pointer| -> Option<DiffId> {
            let stated = facts.diff_ids.get(layer.position)?;
            stated.valid().cloned()
        };
        let blob = |pointer: &Pointer, diff_id: Option<DiffId>| {
            let blob = self.graph.inventory.blobs.get(&pointer.digest);
            let content = blob.map(|blob| blob.content);
            let len = blob.map_or(pointer.size, |blob| blob.len);
            let is_plain = matches!(content, Some(Content::Tar | Content::Empty));
            InspectedBlob {
                digest: pointer.digest.clone(),
                media_type: (!is_created).then(|| pointer.media_type.clone().into_owned()),
                content,
                len,
                uncompressed_len: is_plain.then_some(len),
                diff_id,
            }
        };
        let config = document.config().map(|config| blob(config, None));
        let layers = document.pointers_in(Role::Layers);
        let layers = layers.map(|layer| blob(layer, diff_id(layer)));
        InspectedManifest {
            digest: (!is_created).then(|| document.digest.clone()),
            kind: facts.role,
            media_type: self.media_type(document).filter(|_| !is_created),
            artifact_type: document.artifact_type.clone(),
            len: if is_created { 0 } else { self.len(document) },
            platform: self.platform(document, facts),
            config: config.unwrap_or_else(|| InspectedBlob {
                digest: facts.config.clone(),
                media_type: None,
                content: None,
                len: 0,
                uncompressed_len: None,
                diff_id: None,
            }),
            layers: layers.collect(),
            about: self.about(document),
        }
    }

    fn platform(&self, document: &Document, facts: &ManifestFacts) -> Option<Platform> {
        let listed = || {
            let pointer = self.descriptors.get(&document.digest)?;
            pointer.platform.as_deref().cloned()
        };
        match facts.role {
            ManifestRole::Image => facts.platform.clone().or_else(listed),
            // That of BuildKit's attestations is unknown/unknown.
            _ => None,
        }
    }

    fn media_type(&self, document: &Document) -> Option<String> {
        let stated = self.descriptors.get(&document.digest);
        let stated = || stated.map(|pointer| pointer.media_type.clone().into_owned());
        document.media_type.clone().or_else(stated)
    }

    fn len(&self, document: &Document) -> u64 {
        let blob = self.graph.inventory.blobs.get(&document.digest);
        blob.map_or(document.text.len() as u64, |blob| blob.len)
    }

    fn about(&self, document: &Document) -> Vec<Digest> {
        let about = self.about.get(&document.digest).into_iter().flatten();
        about.map(|digest| (*digest).clone()).collect()
    }
}

/// What a document lists.
fn below(document: &Document) -> impl DoubleEndedIterator<Item = &Pointer> {
    let pointers = document.pointers.iter();
    pointers.filter(|pointer| pointer.role == Role::Manifests)
}

/// The names that a descriptor states and `manifest.json` adds, and a tag that is not part of a name.
fn names_of(pointer: &Pointer, joined: &[String]) -> (Vec<String>, Vec<String>) {
    let mut names = joined.to_vec();
    match (pointer.name(), &pointer.image_name, &pointer.ref_name) {
        (Some(name), ..) => names.push(name.full()),
        (None, Some(invalid), _) if !invalid.is_empty() => names.push(invalid.clone()),
        (None, _, Some(tag)) if !tag.is_empty() => return (names, vec![tag.clone()]),
        _ => {}
    }
    (names, Vec::new())
}

fn push<T>(list: &mut Vec<T>, item: T) -> usize {
    list.push(item);
    list.len() - 1
}
