//! Annotations that name a rewritten manifest follow it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::graph::document::Document;
use crate::graph::link::{DigestTag, Link, LinkKind};
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::{Digest, Reference};
use crate::json::Edit;
use crate::plan::Severity;
use crate::plan::decide::{Annotations, DocumentDecision};
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
            let after = self.current_value(link, pointer, set);
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
            let is_pending = after.is_some() && self.is_pending(&link.digest);
            let change = rule.change(location, Some(before), after);
            let change = change.with_severity(severity);
            self.changes.push(change.pending_if(is_pending));
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
            let is_pending = after.is_some() && self.is_pending(&link.digest);
            let change = Rule::AttestationLink.change(location, before, after);
            let change = change.with_severity(self.severity(link));
            self.changes.push(change.pending_if(is_pending));
        }
        untrue
    }

    /// Whether the new digest of a document is not known yet.
    pub(super) fn is_pending(&self, before: &Digest) -> bool {
        let new = self.documents.get(before);
        new.is_some_and(|new| new.is_pending)
    }

    /// Whether a name is made of the digest of a document whose new one is not known yet.
    pub(super) fn is_pending_name(&self, name: &str) -> bool {
        let new = DigestTag::of(name).and_then(|tag| tag.find_in(&self.documents));
        new.is_some_and(|(_, new)| new.is_pending)
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

    /// Annotations to set on a descriptor, with names made of the digests that manifests have now.
    pub(super) fn current(&self, annotations: &Annotations, pointer: &Pointer) -> Annotations {
        let entry = entry_name(annotations, pointer).unwrap_or_default();
        let current = annotations.iter().map(|(key, value)| {
            let current = self.current_name(value, entry, &pointer.digest);
            (*key, current.unwrap_or_else(|| value.clone()))
        });
        current.collect()
    }

    /// A name that is made of the digest of a rewritten manifest, made of the new one; `None` for any other
    /// name, for one that is made of the digest of `own`, which has the name, and where the name of the `entry`
    /// stays what it is.
    pub(super) fn current_name(&self, name: &str, entry: &str, own: &Digest) -> Option<String> {
        if !self.held.is_empty() && self.held.contains(&full(entry)) {
            return None;
        }
        let tag = DigestTag::of(name)?;
        let (_, new) = tag.find_in(&self.documents)?;
        (!tag.is_of(own)).then(|| tag.with(&new.digest))
    }

    /// The names in `index.json` whose new form another entry has already: its evidence is about the rewritten
    /// manifest, theirs about the old one. Of several that get the same name, the last gets it.
    pub(super) fn held_names(
        &self,
        root: &Document,
        decision: &DocumentDecision<'_>,
    ) -> BTreeSet<String> {
        let pointers = root.pointers.iter().zip(&decision.pointers);
        let kept = pointers.filter(|(_, decision)| !decision.is_dropped);
        let kept = kept.filter_map(|(pointer, decision)| {
            let name = entry_name(&decision.annotations, pointer)?;
            Some((name, pointer))
        });
        let copies = decision.copies.iter().filter_map(|copy| {
            let pointer = root.pointers.get(copy.of)?;
            Some((entry_name(&copy.annotations, pointer)?, pointer))
        });
        let mut taken: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut following = Vec::new();
        for (name, pointer) in kept.chain(copies) {
            match self.current_name(name, name, &pointer.digest) {
                Some(new) => following.push((full(name), full(&new))),
                None => {
                    taken.insert(full(name), None);
                }
            }
        }
        let mut held = BTreeSet::new();
        for (old, new) in following.into_iter().rev() {
            let by = taken.entry(new).or_insert_with(|| Some(old.clone()));
            if by.as_ref() != Some(&old) {
                held.insert(old);
            }
        }
        held
    }

    /// The value that a link of a descriptor gets if the manifest that it names was rewritten.
    fn current_value(&self, link: &Link, pointer: &Pointer, set: &Annotations) -> Option<String> {
        match link.kind {
            LinkKind::Tag => {
                let entry = entry_name(set, pointer).unwrap_or_default();
                self.current_name(&stated(link, pointer), entry, &pointer.digest)
            }
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

/// The name that an entry gets, or else has: the image's, or a tag alone.
fn entry_name<'a>(set: &'a Annotations, pointer: &'a Pointer) -> Option<&'a str> {
    let get = |key| {
        let mut set = set.iter();
        set.find_map(|(set, value)| (*set == key).then_some(&**value))
    };
    let image_name = get(IMAGE_NAME).or(pointer.image_name.as_deref());
    image_name
        .or_else(|| get(REF_NAME))
        .or(pointer.ref_name.as_deref())
}

/// A name's full form; a bare tag stays what it is.
fn full(name: &str) -> String {
    let is_name = name.contains(':');
    let name_of = is_name.then(|| Reference::parse(name)).flatten();
    name_of.map_or_else(|| name.to_owned(), |name| name.full())
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
