//! What `index.json` lists: images, and what is about them.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::origin::Origin;
use crate::graph::document::Document;
use crate::graph::pointer::{EntryKind, Pointer};
use crate::image::{Digest, Reference, is_tag};
use crate::location::{Location, Role};

/// Something that `index.json` lists, with everything that its entries say of it.
pub(super) struct Item<'a> {
    pub(super) digest: &'a Digest,
    /// Where its first entry is.
    pub(super) location: Location,
    pub(super) names: Vec<Reference>,
    /// Tags without a repository, and those that follow from what it is about.
    pub(super) tags: Vec<String>,
    /// The documents of the output that it is about; none for an image.
    pub(super) about: BTreeSet<&'a Digest>,
    /// Whether it may go without a name: it is neither an image nor about one, and there are other things.
    pub(super) is_unnamed_artifact: bool,
}

/// Everything that `index.json` lists, in its order.
pub(super) fn items<'a>(contents: &'a Contents<'_>) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::new();
    let mut by_digest: BTreeMap<&Digest, usize> = BTreeMap::new();
    let root = &contents.root;
    for pointer in root.pointers_in(Role::Manifests) {
        let number = *by_digest.entry(&pointer.digest).or_insert(items.len());
        if number == items.len() {
            items.push(Item {
                digest: &pointer.digest,
                location: Location::of(&root.path, pointer.step()),
                names: Vec::new(),
                tags: Vec::new(),
                about: BTreeSet::new(),
                is_unnamed_artifact: false,
            });
        }
        let item = &mut items[number];
        let saved = pointer.is_saved_evidence().then(|| subjects(root, pointer));
        match saved {
            // It has the name of what it is about.
            Some(subjects) => {
                item.tags.extend(evidence_tags(pointer, &subjects));
                item.about.extend(subjects);
            }
            None => match (pointer.name(), &pointer.ref_name) {
                (Some(name), _) => item.names.push(name),
                (None, Some(tag)) if is_tag(tag) => item.tags.push(tag.clone()),
                _ => {}
            },
        }
        let about = about(contents.documents.get(&pointer.digest), pointer);
        item.about.extend(about.filter(|digest| {
            *digest != &pointer.digest && contents.documents.contains_key(*digest)
        }));
    }
    mark_unnamed_artifacts(&mut items, contents);
    items
}

/// Marks what is not an image and has no name, unless the output has nothing else.
fn mark_unnamed_artifacts(items: &mut [Item<'_>], contents: &Contents<'_>) {
    for item in items.iter_mut() {
        let is_named = !(item.names.is_empty() && item.tags.is_empty());
        let mut within = within(contents, item.digest).into_iter();
        let is_image = within.any(|digest| contents.may_be_image(digest));
        item.is_unnamed_artifact = !is_named && item.about.is_empty() && !is_image;
    }
    if items.iter().all(|item| item.is_unnamed_artifact) {
        for item in items {
            item.is_unnamed_artifact = false;
        }
    }
}

/// A document and all that it lists.
pub(super) fn within<'a>(contents: &'a Contents<'_>, digest: &'a Digest) -> BTreeSet<&'a Digest> {
    let mut found = BTreeSet::new();
    let mut open = vec![digest];
    while let Some(digest) = open.pop() {
        if found.insert(digest)
            && let Some(document) = contents.documents.get(digest)
        {
            let listed = document.pointers_in(Role::Manifests);
            open.extend(listed.map(|pointer| &pointer.digest));
        }
    }
    found
}

/// What a document is about: its subject, and what annotations say.
fn about<'a>(
    document: Option<&'a Document>,
    pointer: &'a Pointer,
) -> impl Iterator<Item = &'a Digest> {
    let inside = document.into_iter().flat_map(|document| {
        let links = document.links.iter().filter(|link| link.is_about());
        let subjects = document.pointers_in(Role::Subject);
        let subjects = subjects.map(|subject| &subject.digest);
        subjects.chain(links.map(|link| &link.digest))
    });
    let links = pointer.links.iter().filter(|link| link.is_about());
    inside.chain(links.map(|link| &link.digest))
}

/// The images that evidence is about which was saved under their name: those of the name, or the only one.
fn subjects<'a>(root: &'a Document, evidence: &Pointer) -> Vec<&'a Digest> {
    let images = root.pointers_in(Role::Manifests);
    let images: Vec<&Pointer> = images
        .filter(|pointer| pointer.entry_kind == Some(EntryKind::Image))
        .collect();
    let is_same = |image: &&&Pointer| image.name().is_some() && image.name() == evidence.name();
    let named: Vec<&Digest> = images
        .iter()
        .filter(is_same)
        .map(|image| &image.digest)
        .collect();
    match (named.is_empty(), images.as_slice()) {
        (true, [only]) => vec![&only.digest],
        _ => named,
    }
}

/// The tags under which cosign looks for evidence about these images.
fn evidence_tags(evidence: &Pointer, subjects: &[&Digest]) -> Vec<String> {
    let suffix = match evidence.entry_kind {
        Some(EntryKind::Signature) => "sig",
        Some(EntryKind::Attestation) => "att",
        _ => return Vec::new(),
    };
    let tags = subjects.iter();
    tags.map(|digest| format!("{}.{suffix}", digest.referrers_tag()))
        .collect()
}

impl Item<'_> {
    /// Whether it has to have a name or a tag of its own.
    pub(super) fn is_independent(&self) -> bool {
        self.about.is_empty() && !self.is_unnamed_artifact
    }

    /// How messages call it.
    pub(super) fn shown(&self) -> String {
        match (self.names.first(), self.tags.first()) {
            (Some(name), _) => name.familiar(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => self.digest.to_string(),
        }
    }

    /// How `--image` chooses it in the input; `None` if only the output has its names and its digest.
    pub(super) fn choice(&self, all: &[Item<'_>], origin: &Origin<'_>) -> Option<String> {
        let is_own = |name: &&Reference| {
            let mut having = all.iter().filter(|item| item.names.contains(name));
            origin.has_name(name) && having.all(|item| item.digest == self.digest)
        };
        match self.names.iter().find(is_own) {
            Some(name) => Some(name.familiar()),
            None => origin.digest_of(self.digest).map(Digest::to_string),
        }
    }
}
