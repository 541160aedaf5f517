//! Indexes whose images are in the index of the output, so that nothing refers to them any more.

use std::collections::BTreeSet;

use crate::graph::Graph;
use crate::graph::document::Shape;
use crate::image::Digest;
use crate::location::RootName;
use crate::plan::rules::Rule;
use crate::plan::{Dropped, Summary};

/// Indexes that were left out.
#[derive(Default)]
pub(super) struct Replaced {
    indexes: Vec<Digest>,
    dropped: Dropped,
}

impl Replaced {
    /// Takes indexes out of the graph to which nothing refers since the inputs were joined. `orphans` are blobs to which
    /// nothing in an input refers; they stay. An index is joined only if it contains nothing but its list.
    pub(super) fn take(graph: &mut Graph, orphans: &BTreeSet<Digest>) -> Self {
        let mut replaced = Replaced::default();
        let unreferenced = graph.orphans.digests.iter();
        let unreferenced = unreferenced.filter(|digest| !orphans.contains(*digest));
        for digest in unreferenced {
            let document = graph.documents.get(digest);
            if document.is_some_and(|document| document.shape == Shape::Index)
                && let Some(blob) = graph.inventory.blobs.get(digest)
            {
                replaced.indexes.push(digest.clone());
                replaced.dropped.blobs += 1;
                replaced.dropped.bytes += blob.len;
            }
        }
        let taken: BTreeSet<&Digest> = replaced.indexes.iter().collect();
        graph.take_orphans(|digest| taken.contains(digest));
        for digest in &replaced.indexes {
            graph.documents.remove(digest);
        }
        replaced
    }

    /// Adds them to what was done for the output.
    pub(super) fn report(&self, summary: &mut Summary) {
        for index in &self.indexes {
            let before = Some(index.to_string());
            let change = Rule::IndexReplaced.change(RootName::Index, before, None);
            summary.changes.push(change);
        }
        summary.dropped.blobs += self.dropped.blobs;
        summary.dropped.bytes += self.dropped.bytes;
    }
}
