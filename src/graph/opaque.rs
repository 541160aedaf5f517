//! Documents that are not part of the graph, and what they name: those with a fault or of an unknown type, those that only
//! annotations name, and the configs of BuildKit caches. ocify keeps them as they are, so what they name has to stay too.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::graph::document::{Document, MAX_DOCUMENT_LEN};
use crate::graph::link::links;
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::image::{Content, Digest};
use crate::inventory::BlobSource;
use crate::json::View;
use crate::location::Role;

/// How many bytes of such documents are read.
const MAX_READ: u64 = 64 << 20;

/// What is known of documents outside the graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opaque {
    /// What each names.
    named: BTreeMap<Digest, Vec<Digest>>,
    /// Those that may name anything, because they cannot be read.
    unreadable: BTreeSet<Digest>,
}

/// What a document is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    /// Content that may be a document.
    Anything,
    /// An index or a manifest.
    Document,
    /// The config of a BuildKit cache.
    CacheConfig,
}

impl Opaque {
    /// Reads what documents of the graph lead to that is not part of it.
    pub(crate) fn of(graph: &Graph, blobs: &dyn BlobSource) -> Self {
        let documents = || std::iter::once(&graph.root).chain(graph.documents.values());
        let pointers = documents().flat_map(|document| &document.pointers);
        let expected =
            pointers.filter_map(|pointer| Some((pointer.digest.clone(), expected(pointer)?)));
        let annotated = documents().flat_map(annotated).cloned();
        let annotated = annotated.map(|digest| (digest, Expected::Anything));
        let mut open: Vec<(Digest, Expected)> = expected.chain(annotated).collect();
        open.retain(|(digest, _)| graph.document(digest).is_none());
        let (mut opaque, mut seen, mut len) = (Self::default(), BTreeSet::new(), 0);
        // What is expected to be a document comes first.
        open.sort_unstable_by_key(|(_, expected)| *expected);
        while let Some((digest, expected)) = open.pop() {
            let Some(blob) = graph.inventory.blobs.get(&digest) else {
                continue;
            };
            let is_document = blob.content == Content::Other || expected == Expected::CacheConfig;
            if !is_document && expected != Expected::Document || !seen.insert(digest.clone()) {
                continue;
            }
            let is_short = blob.len <= MAX_DOCUMENT_LEN;
            if !is_short && expected == Expected::Anything {
                continue;
            }
            len += blob.len;
            let bytes = match is_short && len <= MAX_READ {
                true => blobs.read_blob(blob, MAX_DOCUMENT_LEN).ok(),
                false => None,
            };
            let is_right = |bytes: &Vec<u8>| digest.recompute(bytes).as_ref() == Some(&digest);
            match bytes
                .filter(is_right)
                .map(|bytes| named_in(&bytes, expected))
            {
                Some(Some(named)) => {
                    let next = named
                        .iter()
                        .filter(|digest| graph.document(digest).is_none());
                    open.extend(next.map(|digest| (digest.clone(), Expected::Anything)));
                    opaque.named.insert(digest, named);
                }
                _ => {
                    opaque.unreadable.insert(digest);
                }
            }
        }
        opaque
    }

    /// What a document outside the graph names.
    pub(crate) fn named_by(&self, digest: &Digest) -> &[Digest] {
        self.named.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Everything that these documents name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Digest> {
        self.named.values().flatten()
    }

    /// Those that may name anything.
    pub(crate) fn unreadable(&self) -> &BTreeSet<Digest> {
        &self.unreadable
    }

    /// The same of these documents alone.
    pub(crate) fn among(&self, digests: &BTreeSet<&Digest>) -> Self {
        let named = digests.iter();
        let named = named.filter_map(|digest| self.named.get_key_value(*digest));
        let unreadable = digests.iter();
        let unreadable = unreadable.filter_map(|digest| self.unreadable.get(*digest));
        Opaque {
            named: named
                .map(|(digest, named)| (digest.clone(), named.clone()))
                .collect(),
            unreadable: unreadable.cloned().collect(),
        }
    }
}

/// What a pointer leads to if that may be a document that is not part of the graph.
fn expected(pointer: &Pointer) -> Option<Expected> {
    match (pointer.kind, pointer.role) {
        (Kind::CacheConfig, _) => Some(Expected::CacheConfig),
        (Kind::Index | Kind::Manifest | Kind::Schema1, _) => Some(Expected::Document),
        (_, Role::Manifests | Role::Subject) => Some(Expected::Anything),
        _ => None,
    }
}

/// The digests that annotations state, in a document and in its descriptors.
pub(super) fn annotated(document: &Document) -> impl Iterator<Item = &Digest> {
    let of_pointers = document.pointers.iter().flat_map(|pointer| &pointer.links);
    let links = document.links.iter().chain(of_pointers);
    links.map(|link| &link.digest)
}

/// What a document names; `None` if that cannot be found out.
fn named_in(bytes: &[u8], expected: Expected) -> Option<Vec<Digest>> {
    let root = std::str::from_utf8(bytes).ok().and_then(View::parse);
    let root = root.filter(|root| root.members().is_some());
    match (root, expected) {
        (Some(root), Expected::CacheConfig) => cached(root),
        (Some(root), Expected::Document | Expected::Anything) => Some(listed(root)),
        // Text that begins like a document may be a damaged one.
        (None, Expected::Anything) if !bytes.trim_ascii_start().starts_with(b"{") => {
            Some(Vec::new())
        }
        (None, _) => None,
    }
}

/// The layers that the config of a BuildKit cache names; `None` if it cannot be understood.
fn cached(root: View<'_>) -> Option<Vec<Digest>> {
    let Some(layers) = root.get("layers").filter(|layers| !layers.is_null()) else {
        return Some(Vec::new());
    };
    let named = |layer: View<'_>| Digest::stated(&layer.get("blob")?.str()?).ok();
    layers.items()?.into_iter().map(named).collect()
}

/// What a document names, as far as it can be understood.
fn listed(root: View<'_>) -> Vec<Digest> {
    let roles = [
        Role::Manifests,
        Role::Config,
        Role::Layers,
        Role::Blobs,
        Role::Subject,
    ];
    let lists = roles.map(|role| (role.property(), "digest", role.is_list()));
    // Docker's schema 1.
    let lists = lists.into_iter().chain([("fsLayers", "blobSum", true)]);
    let mut found = Vec::new();
    let annotations = |view: View<'_>, found: &mut Vec<Digest>| {
        let linked = view.get("annotations").and_then(|annotations| {
            let values = annotations.strings()?;
            Some(links(annotations, &values))
        });
        found.extend(linked.into_iter().flatten().map(|link| link.digest));
    };
    annotations(root, &mut found);
    for (property, key, is_list) in lists {
        let Some(value) = root.get(property) else {
            continue;
        };
        let descriptors = match is_list {
            true => value.items().unwrap_or_default(),
            false => vec![value],
        };
        for descriptor in descriptors {
            let digest = descriptor.get(key).and_then(View::str);
            found.extend(digest.and_then(|digest| Digest::stated(&digest).ok()));
            annotations(descriptor, &mut found);
        }
    }
    found
}
