//! Annotations that name a rewritten manifest follow it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::graph::document::Document;
use crate::graph::link::{DigestTag, Link, LinkKind};
use crate::graph::pointer::{IMAGE_NAME, Pointer};
use crate::image::Digest;
use crate::json::Edit;
use crate::plan::Severity;
use crate::plan::decide::Annotations;
use crate::plan::rewrite::Output;
use crate::plan::rules::Rule;

impl Output<'_, '_> {
    /// Updates the links of a descriptor, except those that are set to another value or removed. Returns the
    /// annotations to remove because of the link.
    pub(super) fn follow_links(
        &mut self,
        document: &Document,
        pointer: &Pointer,
        set: &Annotations,
        removed: &[&'static str],
        edits: &mut Vec<Edit>,
    ) -> BTreeSet<&'static str> {
        let is_set = |link: &&Link| {
            let mut set = set.iter();
            set.any(|(key, _)| *key == link.annotation) || removed.contains(&link.annotation)
        };
        let mut untrue = BTreeSet::new();
        for link in pointer.links.iter().filter(|link| !is_set(link)) {
            let before = stated(link, pointer);
            let after = self.current_value(link, pointer);
            match &after {
                Some(after) => edits.push(Edit::string(link.place.clone(), after)),
                None if self.is_untrue(link) => {
                    untrue.insert(link.annotation);
                }
                None => continue,
            }
            let rule = match link.kind {
                LinkKind::Tag => Rule::ReferrersTag,
                _ => Rule::AttestationLink,
            };
            let location = document.location_of_annotation(pointer, link.annotation);
            let severity = self.severity(link);
            let change = rule.change(location, Some(before), after);
            self.changes.push(change.with_severity(severity));
        }
        untrue
    }

    /// Updates the links in a document's own annotations. Returns the annotations to remove.
    pub(super) fn follow_own_links(
        &mut self,
        document: &Document,
        edits: &mut Vec<Edit>,
    ) -> BTreeSet<&'static str> {
        let mut untrue = BTreeSet::new();
        for link in &document.links {
            let after = self.current_digest(link);
            match &after {
                Some(after) => edits.push(Edit::string(link.place.clone(), after)),
                None if self.is_untrue(link) => {
                    untrue.insert(link.annotation);
                }
                None => continue,
            }
            let location = document.location_in(link.annotation);
            let before = Some(link.digest.to_string());
            let change = Rule::AttestationLink.change(location, before, after);
            let severity = self.severity(link);
            self.changes.push(change.with_severity(severity));
        }
        untrue
    }

    /// How much it matters that a link follows: as much as the changes of what it names.
    fn severity(&self, link: &Link) -> Severity {
        let new = self.documents.get(&link.digest);
        new.map_or(Severity::Cosmetic, |new| new.severity)
    }

    /// Updates the links in the annotations of a copy of a descriptor.
    pub(super) fn set_links(&self, annotations: &mut Map<String, Value>, pointer: &Pointer) {
        let links = pointer.links.iter();
        for link in links.filter(|link| link.kind != LinkKind::Tag) {
            if let Some(after) = self.current_digest(link) {
                annotations.insert(link.annotation.to_owned(), json!(after));
            } else if self.is_untrue(link) {
                annotations.remove(link.annotation);
            }
        }
    }

    /// Annotations to set on a descriptor of `own`, with names made of the digests that manifests have now.
    pub(super) fn current(&self, annotations: &Annotations, own: &Digest) -> Annotations {
        let current = annotations.iter().map(|(key, value)| {
            let current = self.current_name(value, own);
            (*key, current.unwrap_or_else(|| value.clone()))
        });
        current.collect()
    }

    /// A name that is made of the digest of a rewritten manifest, made of the new one; `None` for any other
    /// name, and for one that is made of the digest of `own`, which has the name.
    pub(super) fn current_name(&self, name: &str, own: &Digest) -> Option<String> {
        let tag = DigestTag::of(name)?;
        let new = self.documents.get(&tag.digest)?;
        (tag.digest != *own).then(|| tag.with(&new.digest))
    }

    /// The value that a link of a descriptor gets if the manifest that it names was rewritten.
    fn current_value(&self, link: &Link, pointer: &Pointer) -> Option<String> {
        match link.kind {
            LinkKind::Tag => self.current_name(&stated(link, pointer), &pointer.digest),
            _ => self.current_digest(link),
        }
    }

    fn current_digest(&self, link: &Link) -> Option<String> {
        let new = self.documents.get(&link.digest)?;
        Some(new.digest.to_string())
    }

    /// Whether what a link names is left out although what has the link is not.
    fn is_untrue(&self, link: &Link) -> bool {
        link.kind == LinkKind::Companion && self.left_out.contains(&link.digest)
    }
}

/// The value of a link's annotation.
fn stated(link: &Link, pointer: &Pointer) -> String {
    let name = match link.annotation {
        IMAGE_NAME => &pointer.image_name,
        _ => &pointer.ref_name,
    };
    match (link.kind, name) {
        (LinkKind::Tag, Some(name)) => name.clone(),
        _ => link.digest.to_string(),
    }
}
