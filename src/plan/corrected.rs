//! The changes that correct what a document states about itself and its content.

use std::borrow::Cow;

use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;

impl Planner<'_> {
    /// Known keys that get their usual spelling.
    pub(crate) fn report_keys(&mut self, document: &Document) {
        for key in &document.respelled {
            let change = Rule::KeyCase.change_of(
                &document.path,
                Some(Cow::Owned(key.found.clone())),
                Some(Cow::Borrowed(key.known)),
            );
            self.changes.push(change);
        }
    }

    /// The size of a descriptor's content, if another one is stated.
    pub(crate) fn report_size(&mut self, document: &Document, pointer: &Pointer) {
        if let Some(size) = pointer.actual_size {
            let before = Some(pointer.size.to_string());
            let location = document.location_of(pointer);
            let change = Rule::Size.change(location, before, Some(size.to_string()));
            self.changes.push(change);
        }
    }
}
