//! Findings about indexes in indexes.

use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::location::Role;
use crate::plan::Finding;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::FindingRule;

impl Planner<'_> {
    /// Indexes of images that another index lists, other than `index.json`.
    pub(super) fn nested_indexes(
        &self,
        documents: &[InputDocument<'_>],
        findings: &mut Vec<Finding>,
    ) {
        let others = documents.iter().map(|input| input.document);
        let others = others
            .filter(|document| document.shape == Shape::Index && document.path.parent().is_some());
        let listed = others.flat_map(|document| {
            let pointers = document.pointers_in(Role::Manifests);
            pointers.map(move |pointer| (document, pointer))
        });
        let is_kept = |(_, pointer): &(&Document, &Pointer)| {
            pointer.kind == Kind::Index && !self.selection.left_out.contains(&pointer.digest)
        };
        let mut indexes = listed.filter(is_kept).peekable();
        if indexes.peek().is_none() {
            return;
        }
        let leading = self.graph.leading_to_images();
        let indexes: Vec<_> = indexes
            .filter(|(_, pointer)| leading.contains(&pointer.digest))
            .collect();
        let Some((document, first)) = indexes.first() else {
            return;
        };
        let what = match indexes.len() {
            1 => "an index lists another index".to_owned(),
            count => format!("indexes list {count} other indexes"),
        };
        let message = format!(
            "{what}: skopeo and podman refuse such an image, and podman loads it only if manifest.json describes it"
        );
        findings.push(FindingRule::NestedIndex.finding(
            Some(document.location_of(first)),
            message,
            None,
        ));
    }
}
