//! Blobs that nothing refers to.
//!
//! What documents point at is known without reading anything else. Only if blobs are left over is it worth looking into
//! what else may name them: the config of a BuildKit cache, documents that only annotations name, and documents that are
//! not part of the graph because of a fault.

use std::collections::BTreeSet;

use crate::graph::Graph;
use crate::graph::document::{Document, MAX_DOCUMENT_LEN};
use crate::graph::link::links;
use crate::image::media_type::Kind;
use crate::image::{Content, Digest};
use crate::inventory::{BlobEntry, BlobSource};
use crate::json::View;
use crate::location::Role;

/// How many bytes of documents are read that only annotations name.
const MAX_READ: u64 = 64 << 20;

/// What became known about blobs that nothing refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orphans {
    /// Their digests, sorted.
    pub(crate) digests: Vec<Digest>,
    /// Others that must stay.
    pub(crate) held: Vec<Digest>,
    /// Why they, and what a fix replaces, must stay in a layout that is fixed where it is.
    pub(crate) held_because: Option<HeldBecause>,
    /// A document that may name such blobs and cannot be read. `digests` is empty then.
    pub(crate) unreadable: Option<Digest>,
}

/// Why blobs must stay in a layout that is fixed where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBecause {
    /// A build may be running, so nothing may be removed.
    Building,
    /// They have changed in so many seconds, so a build may have written them that is not complete.
    YoungerThan(u64),
}

impl Orphans {
    /// The blobs that neither `index.json` nor `manifest.json` leads to, through documents, the annotations in them that
    /// state digests, and the configs of BuildKit caches.
    pub(crate) fn of(graph: &Graph, blobs: &dyn BlobSource) -> Self {
        let mut referred: Vec<(u64, &Digest)> = Vec::with_capacity(graph.inventory.blobs.len());
        // A layer may be named millions of times.
        let mut enough = 2 * graph.inventory.blobs.len() + 4096;
        for digest in stated(graph) {
            if referred.len() == enough {
                referred.sort_unstable();
                referred.dedup();
                enough = 2 * referred.len().max(enough / 2);
            }
            referred.push(key(digest));
        }
        // The first bytes decide nearly always, and comparing them needs no look at the documents.
        referred.sort_unstable();
        let inventory = graph.inventory.blobs.keys();
        let others = inventory.filter(|digest| referred.binary_search(&key(digest)).is_err());
        let others: BTreeSet<&Digest> = others.collect();
        if others.is_empty() {
            return Self::default();
        }
        match named_elsewhere(graph, &others, blobs) {
            Ok(named) => Orphans {
                digests: others
                    .into_iter()
                    .filter(|digest| !named.contains(*digest))
                    .cloned()
                    .collect(),
                ..Self::default()
            },
            Err(unreadable) => Orphans {
                unreadable: Some(unreadable),
                ..Self::default()
            },
        }
    }

    /// Holds those of which this is true.
    pub(crate) fn hold(&mut self, because: HeldBecause, is_held: impl FnMut(&mut Digest) -> bool) {
        self.held = self.digests.extract_if(.., is_held).collect();
        if because == HeldBecause::Building || !self.held.is_empty() {
            self.held_because = Some(because);
        }
    }
}

fn key(digest: &Digest) -> (u64, &Digest) {
    (digest.first_bytes(), digest)
}

/// Every digest that a document or `manifest.json` states.
fn stated(graph: &Graph) -> impl Iterator<Item = &Digest> {
    let documents = std::iter::once(&graph.root).chain(graph.documents.values());
    let of_documents = documents.flat_map(|document| {
        let pointers = document.pointers.iter().map(|pointer| &pointer.digest);
        pointers.chain(annotated(document))
    });
    let items = graph.docker_archive.iter().flatten();
    let of_items = items.flat_map(|item| {
        let layers = item.layer_digests.iter().flatten();
        layers.chain(&item.config_digest)
    });
    of_documents.chain(of_items)
}

/// The digests that annotations state, in a document and in its descriptors.
fn annotated(document: &Document) -> impl Iterator<Item = &Digest> {
    let of_pointers = document.pointers.iter().flat_map(|pointer| &pointer.links);
    let links = document.links.iter().chain(of_pointers);
    links.map(|link| &link.digest)
}

/// Which of the other blobs are named by the configs of BuildKit caches, by documents that only annotations name, or by
/// listed documents with faults.
///
/// # Errors
/// The digest of a document that cannot be read.
fn named_elsewhere(
    graph: &Graph,
    others: &BTreeSet<&Digest>,
    blobs: &dyn BlobSource,
) -> Result<BTreeSet<Digest>, Digest> {
    let mut named = BTreeSet::new();
    let documents = || std::iter::once(&graph.root).chain(graph.documents.values());
    let pointers = documents().flat_map(|document| &document.pointers);
    let configs = pointers.filter(|pointer| pointer.kind == Kind::CacheConfig);
    let configs: BTreeSet<&Digest> = configs.map(|config| &config.digest).collect();
    for digest in configs {
        let Some(blob) = graph.inventory.blobs.get(digest) else {
            continue;
        };
        let text = read(digest, blob, blobs).ok_or_else(|| digest.clone())?;
        named.extend(cached(&text).ok_or_else(|| digest.clone())?);
    }
    let annotated = documents().flat_map(annotated).cloned();
    let mut open: Vec<Digest> = annotated
        .filter(|digest| graph.document(digest).is_none())
        .collect();
    let pointers = documents().flat_map(|document| &document.pointers);
    let faulty = pointers.filter(|pointer| {
        matches!(pointer.kind, Kind::Index | Kind::Manifest)
            && graph.document(&pointer.digest).is_none()
    });
    let faulty: BTreeSet<&Digest> = faulty.map(|pointer| &pointer.digest).collect();
    for digest in faulty.iter().copied() {
        if let Some(blob) = graph.inventory.blobs.get(digest) {
            let is_read = blob.len <= MAX_DOCUMENT_LEN && read(digest, blob, blobs).is_some();
            match is_read {
                true => open.push(digest.clone()),
                false => return Err(digest.clone()),
            }
        }
    }
    let (mut seen, mut len) = (BTreeSet::new(), 0);
    while let Some(digest) = open.pop() {
        let Some(blob) = graph.inventory.blobs.get(&digest) else {
            continue;
        };
        let is_document = blob.content == Content::Other && blob.len <= MAX_DOCUMENT_LEN;
        if !is_document || !seen.insert(digest.clone()) {
            continue;
        }
        len += blob.len;
        if len > MAX_READ {
            return Err(digest);
        }
        let text = read(&digest, blob, blobs).unwrap_or_default();
        for digest in listed(&text) {
            if others.contains(&digest) {
                named.insert(digest.clone());
                open.push(digest);
            }
        }
    }
    Ok(named)
}

/// The text of a blob, if it is what its digest says.
fn read(digest: &Digest, blob: &BlobEntry, blobs: &dyn BlobSource) -> Option<String> {
    let bytes = blobs.read_blob(blob, MAX_DOCUMENT_LEN).ok()?;
    let is_right = digest.recompute(&bytes).as_ref() == Some(digest);
    is_right.then(|| String::from_utf8(bytes).ok()).flatten()
}

/// The layers that the config of a BuildKit cache names; `None` if it cannot be understood.
fn cached(config: &str) -> Option<Vec<Digest>> {
    let root = View::parse(config)?;
    root.members()?;
    let Some(layers) = root.get("layers").filter(|layers| !layers.is_null()) else {
        return Some(Vec::new());
    };
    let named = |layer: View<'_>| Digest::stated(&layer.get("blob")?.str()?).ok();
    layers.items()?.into_iter().map(named).collect()
}

/// What a document names that nothing lists, as far as it can be read.
fn listed(text: &str) -> Vec<Digest> {
    let Some(root) = View::parse(text) else {
        return Vec::new();
    };
    let roles = [
        Role::Manifests,
        Role::Config,
        Role::Layers,
        Role::Blobs,
        Role::Subject,
    ];
    let mut found = Vec::new();
    let annotations = |view: View<'_>, found: &mut Vec<Digest>| {
        let linked = view.get("annotations").and_then(|annotations| {
            let values = annotations.strings()?;
            Some(links(annotations, &values))
        });
        found.extend(linked.into_iter().flatten().map(|link| link.digest));
    };
    annotations(root, &mut found);
    for role in roles {
        let Some(value) = root.get(role.property()) else {
            continue;
        };
        let descriptors = match role.is_list() {
            true => value.items().unwrap_or_default(),
            false => vec![value],
        };
        for descriptor in descriptors {
            let digest = descriptor.get("digest").and_then(View::str);
            found.extend(digest.and_then(|digest| Digest::stated(&digest).ok()));
            annotations(descriptor, &mut found);
        }
    }
    found
}
