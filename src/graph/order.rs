//! The order in which documents can be rewritten.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::document::Document;
use crate::image::Digest;

/// The digests of all documents, those that a document names before it: its children, its subject
/// and the targets of links. There are no cycles, because no document can contain its own digest.
pub(crate) fn children_first(
    root: &Document,
    documents: &BTreeMap<Digest, Document>,
) -> Vec<Digest> {
    let mut order = Vec::with_capacity(documents.len());
    let mut seen: BTreeSet<&Digest> = BTreeSet::new();
    let roots: Vec<&Digest> = root.named().collect();
    let mut open: Vec<(&Digest, bool)> = roots.into_iter().rev().map(|d| (d, false)).collect();
    while let Some((digest, is_done)) = open.pop() {
        let Some(document) = documents.get(digest) else {
            continue;
        };
        if is_done {
            order.push(digest.clone());
            continue;
        }
        if seen.insert(digest) {
            open.push((digest, true));
            let named: Vec<&Digest> = document.named().collect();
            open.extend(named.into_iter().rev().map(|digest| (digest, false)));
        }
    }
    order
}

impl Document {
    /// What the document points at, and what annotations in it name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Digest> {
        let own = self.links.iter().map(|link| &link.digest);
        let of_pointers = self.pointers.iter().flat_map(|pointer| {
            let links = pointer.links.iter().map(|link| &link.digest);
            links.chain([&pointer.digest])
        });
        own.chain(of_pointers)
    }
}
