//! What the kept pointers lead to, and what is left out with the others.

use std::collections::BTreeSet;

use super::Selection;
use crate::graph::Graph;
use crate::graph::document::Document;
use crate::graph::link::Link;
use crate::graph::pointer::Pointer;
use crate::image::Digest;

impl<'a> Selection<'a> {
    /// Leaves out what only pointers lead to that are left out, or documents that go with them. `gone` has the documents
    /// that go although a link may name them. What a kept document needs stays all the same: the bytes of a document can be
    /// a layer of another one.
    pub(super) fn leave_out(&mut self, graph: &'a Graph, gone: &BTreeSet<&'a Digest>) {
        let selection = self;
        let is_whole = selection.root.is_empty() && selection.documents.is_empty();
        if is_whole && selection.unwrapped.is_empty() {
            return;
        }
        let mut reached = BTreeSet::new();
        let unwrapped = &selection.unwrapped;
        let root = kept_pointers(&graph.root, Some(&selection.root));
        let root = root.map(|(position, pointer)| match unwrapped.get(&position) {
            Some(unwrapped) => unwrapped.pointer,
            None => pointer,
        });
        let mut open: Vec<&Digest> = named(&graph.root.links, gone).collect();
        for pointer in root {
            open.push(&pointer.digest);
            open.extend(named(&pointer.links, gone));
        }
        let mut named_elsewhere = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if !reached.insert(digest) {
                continue;
            }
            if let Some(document) = graph.document(digest) {
                open.extend(named(&document.links, gone));
                for (_, pointer) in kept_pointers(document, selection.dropped(digest)) {
                    open.push(&pointer.digest);
                    open.extend(named(&pointer.links, gone));
                }
            }
            let elsewhere = graph.opaque.named_by(digest);
            named_elsewhere.extend(elsewhere);
            open.extend(elsewhere.iter().filter(|digest| !gone.contains(digest)));
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

fn kept_pointers<'a>(
    document: &'a Document,
    dropped: Option<&BTreeSet<usize>>,
) -> impl Iterator<Item = (usize, &'a Pointer)> {
    let pointers = document.pointers.iter().enumerate();
    pointers.filter(move |(position, _)| dropped.is_none_or(|dropped| !dropped.contains(position)))
}

/// What these links name that is not gone.
fn named<'a>(links: &'a [Link], gone: &BTreeSet<&Digest>) -> impl Iterator<Item = &'a Digest> {
    let named = links.iter().map(|link| &link.digest);
    named.filter(move |digest| !gone.contains(*digest))
}
