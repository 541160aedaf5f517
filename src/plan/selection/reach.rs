//! What the kept pointers lead to, and what is left out with the others.

use std::collections::BTreeSet;

use super::Selection;
use crate::graph::Graph;
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::Digest;

impl<'a> Selection<'a> {
    /// Leaves out what only pointers lead to that are left out, or documents that go with them. `gone` has the documents
    /// that go although a link may name them.
    pub(super) fn leave_out(&mut self, graph: &'a Graph, gone: &BTreeSet<&'a Digest>) {
        let selection = self;
        let is_whole = selection.root.is_empty() && selection.documents.is_empty();
        if is_whole && selection.unwrapped.is_empty() {
            return;
        }
        let mut reached = BTreeSet::new();
        let unwrapped = &selection.unwrapped;
        let root = kept_pointers(&graph.root, Some(&selection.root));
        let root = root.flat_map(|(position, pointer)| match unwrapped.get(&position) {
            Some(unwrapped) => digests_of(unwrapped.pointer),
            None => digests_of(pointer),
        });
        let links = graph.root.links.iter().map(|link| &link.digest);
        let mut open: Vec<&Digest> = root.chain(links).collect();
        let mut named_elsewhere = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if gone.contains(digest) || !reached.insert(digest) {
                continue;
            }
            if let Some(document) = graph.document(digest) {
                open.extend(kept_digests(document, selection.dropped(digest)));
            }
            let named = graph.opaque.named_by(digest);
            named_elsewhere.extend(named);
            open.extend(named);
        }
        let all = graph.reachable().into_iter().chain(graph.opaque.named());
        let unreadable = graph.opaque.unreadable();
        selection.has_unreadable = unreadable.iter().any(|digest| reached.contains(digest));
        // Of a document that cannot be read it is not known which blobs it needs.
        let may_go =
            |digest: &&Digest| !selection.has_unreadable || graph.document(digest).is_some();
        let left_out = all
            .filter(|digest| !reached.contains(digest))
            .filter(may_go);
        selection.left_out = left_out.collect();
        selection.named_elsewhere = named_elsewhere;
    }
}

/// What a document points at, and what links in it name, except by what is left out.
fn kept_digests<'a>(
    document: &'a Document,
    dropped: Option<&BTreeSet<usize>>,
) -> impl Iterator<Item = &'a Digest> {
    let kept = kept_pointers(document, dropped).flat_map(|(_, pointer)| digests_of(pointer));
    let links = document.links.iter();
    kept.chain(links.map(|link| &link.digest))
}

fn kept_pointers<'a>(
    document: &'a Document,
    dropped: Option<&BTreeSet<usize>>,
) -> impl Iterator<Item = (usize, &'a Pointer)> {
    let pointers = document.pointers.iter().enumerate();
    pointers.filter(move |(position, _)| dropped.is_none_or(|dropped| !dropped.contains(position)))
}

/// What a descriptor points at, and what its annotations name.
fn digests_of(pointer: &Pointer) -> impl Iterator<Item = &Digest> {
    let links = pointer.links.iter().map(|link| &link.digest);
    links.chain([&pointer.digest])
}
