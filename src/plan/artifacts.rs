//! Entries of `index.json` that lead to no image, such as artifacts: they too can be chosen and named.

use std::rc::Rc;

use crate::graph::Graph;
use crate::graph::link::LinkKind;
use crate::graph::pointer::Pointer;
use crate::graph::referrers::targets;
use crate::image::Digest;
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;

/// The entries of the root that lead to no image, with their positions. `images` are those that do, in order.
pub(crate) fn artifacts<'a>(
    graph: &'a Graph,
    images: &[NamedEntry<'a>],
) -> impl Iterator<Item = (usize, &'a Pointer)> {
    let images: Vec<usize> = images.iter().map(|entry| entry.position).collect();
    let pointers = graph.root.pointers.iter().enumerate();
    pointers.filter(move |(position, pointer)| {
        pointer.role == Role::Manifests && images.binary_search(position).is_err()
    })
}

/// Whether an entry has a name of its own, if it has one: not that of an image, nor one made of its digest.
pub(crate) fn has_own_name(pointer: &Pointer) -> bool {
    let is_tag = |kind: &LinkKind| *kind == LinkKind::Tag;
    let mut kinds = pointer.links.iter().map(|link| &link.kind);
    !pointer.is_saved_evidence() && !kinds.any(is_tag)
}

impl<'a> Planner<'a> {
    /// The entries of the output that lead to no image, with the names that they may lose.
    pub(crate) fn nameable_artifacts(&self) -> Vec<NamedEntry<'a>> {
        let artifacts = artifacts(self.graph, &self.entries);
        let kept = artifacts.filter(|(position, pointer)| {
            !self.selection.root.contains(position) && has_own_name(pointer)
        });
        let entry = |(position, pointer): (usize, &'a Pointer)| NamedEntry {
            position,
            digest: &pointer.digest,
            images: Rc::from([]),
            names: match self.nameless.contains(&position) {
                true => Vec::new(),
                false => pointer.name().into_iter().collect(),
            },
            is_renamed: false,
            loses_first_name: false,
            loses_name: false,
            has_false_name: false,
            stable_digest: Some(&pointer.digest),
            bad_names: Vec::new(),
        };
        kept.map(entry).collect()
    }

    /// Whether an entry is about something else in the output, such as a signature beside its image.
    pub(crate) fn is_about_kept(&self, digest: &Digest, position: usize) -> bool {
        let graph = self.graph;
        let pointer = graph.root.pointers.get(position);
        let targets = pointer
            .into_iter()
            .flat_map(|pointer| targets(graph, pointer));
        let mut others = targets.filter(|target| *target != digest);
        others.any(|target| {
            graph.document(target).is_some() && !self.selection.left_out.contains(target)
        })
    }
}
