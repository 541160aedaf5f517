//! Whole descriptors of `index.json` that are written anew: copies under other names, and those of unwrapped images.

use serde_json::{Map, Value, json};

use crate::graph::document::Document;
use crate::graph::nest::complete_platform;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::json::Edit;
use crate::plan::decide::{Annotations, PointerDecision};
use crate::plan::rewrite::Output;
use crate::plan::rules::Rule;
use crate::plan::selection::Unwrapped;

impl Output<'_, '_> {
    /// The descriptor of what was unwrapped, under the names that the index had.
    pub(super) fn unwrap(
        &mut self,
        document: &Document,
        pointer: &Pointer,
        decision: &PointerDecision<'_>,
    ) -> Edit {
        let mut descriptor = self.descriptor(document, pointer, decision);
        let after = descriptor.get("digest").and_then(Value::as_str);
        let change = Rule::Unwrapped.change(
            document.location_of(pointer),
            Some(pointer.digest.to_string()),
            after.map(str::to_owned),
        );
        let inner = decision
            .unwrapped
            .map(|unwrapped| &unwrapped.pointer.digest);
        let is_pending = inner.is_some_and(|digest| self.is_pending(digest));
        self.changes.push(change.pending_if(is_pending));
        // What the index's own descriptor says stays, unless it is only about the index.
        let stated = serde_json::from_str(&document.text[pointer.places.descriptor.clone()]);
        let mut stated: Map<String, Value> = stated.unwrap_or_default();
        if let Some(Value::Object(own)) = stated.remove("annotations") {
            let annotations = descriptor.entry("annotations").or_insert_with(|| json!({}));
            if let Value::Object(annotations) = annotations {
                annotations.extend(own);
            }
        }
        let removed = &decision.removed_annotations;
        let text = match removed.is_empty() {
            true => self.with_annotations(descriptor, pointer, &decision.annotations),
            false => self.named(descriptor, pointer, &decision.annotations),
        };
        Edit {
            range: pointer.places.descriptor.clone(),
            text,
        }
    }

    /// The descriptor of an entry as it is in the output, except for its names.
    pub(super) fn descriptor(
        &self,
        document: &Document,
        pointer: &Pointer,
        decision: &PointerDecision<'_>,
    ) -> Map<String, Value> {
        let (document, pointer) = match decision.unwrapped {
            Some(Unwrapped { index, pointer }) => (index, pointer),
            None => (document, pointer),
        };
        let text = &document.text[pointer.places.descriptor.clone()];
        // The text was checked when the document was read.
        let mut descriptor: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let media_type = decision.media_type.unwrap_or(&pointer.media_type);
        descriptor.insert("mediaType".to_owned(), json!(media_type));
        if let Some(platform) = decision.completes_platform {
            complete_platform(&mut descriptor, platform);
        }
        if let Some(size) = pointer.actual_size {
            descriptor.insert("size".to_owned(), json!(size));
        }
        if let Some(new) = self.documents.get(&pointer.digest) {
            descriptor.insert("digest".to_owned(), json!(new.digest.to_string()));
            descriptor.insert("size".to_owned(), json!(new.text.len()));
            descriptor.remove("data");
        }
        descriptor
    }

    /// The text of a descriptor with these names instead of its own.
    pub(super) fn named(
        &self,
        mut descriptor: Map<String, Value>,
        pointer: &Pointer,
        names: &Annotations,
    ) -> String {
        if let Some(Value::Object(annotations)) = descriptor.get_mut("annotations") {
            annotations.remove(IMAGE_NAME);
            annotations.remove(REF_NAME);
        }
        self.with_annotations(descriptor, pointer, names)
    }

    /// The text of a descriptor with these annotations in addition to its own.
    fn with_annotations(
        &self,
        mut descriptor: Map<String, Value>,
        pointer: &Pointer,
        annotations_to_set: &Annotations,
    ) -> String {
        let mut annotations = match descriptor.get_mut("annotations") {
            Some(Value::Object(annotations)) => std::mem::take(annotations),
            _ => Map::new(),
        };
        self.set_links(&mut annotations, pointer);
        let set = self.current(annotations_to_set, pointer).into_iter();
        annotations.extend(set.map(|(key, value)| (key.to_owned(), json!(value))));
        if annotations.is_empty() {
            descriptor.shift_remove("annotations");
        } else {
            descriptor.insert("annotations".to_owned(), Value::Object(annotations));
        }
        Value::Object(descriptor).to_string()
    }
}
