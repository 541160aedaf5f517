//! What refers to what: every way in which one document says that it is about another.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::{EntryKind, Pointer};
use crate::image::{Digest, Reference};
use crate::location::Role;

/// An item of an index's `manifests`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing<'a> {
    /// The digest of the index; `None` for the root.
    pub(crate) owner: Option<&'a Digest>,
    pub(crate) document: &'a Document,
    /// The position in the index's pointers.
    pub(crate) position: usize,
    pub(crate) pointer: &'a Pointer,
}

/// What is listed where, and what is about what.
#[derive(Debug)]
pub(crate) struct Referrers<'a> {
    /// The root's listings first.
    pub(crate) listings: Vec<Listing<'a>>,
    /// The listings of each digest, as positions in `listings`, like those of the next two.
    pub(crate) of: BTreeMap<&'a Digest, Vec<usize>>,
    /// The listings in each index.
    pub(crate) within: BTreeMap<&'a Digest, Vec<usize>>,
    /// The listings whose annotations say that they are about a digest.
    pub(crate) about: BTreeMap<&'a Digest, Vec<usize>>,
    /// The documents that say themselves that they are about a digest, listed or not.
    pub(crate) documents_about: BTreeMap<&'a Digest, Vec<&'a Digest>>,
}

impl<'a> Referrers<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut found = Referrers {
            listings: listings(graph).collect(),
            of: BTreeMap::new(),
            within: BTreeMap::new(),
            about: BTreeMap::new(),
            documents_about: BTreeMap::new(),
        };
        let targets = Targets::new(graph);
        let listed = found.listings.iter();
        // An index is not about what it lists, whatever its name says.
        let listed: BTreeSet<(&Digest, &Digest)> = listed
            .filter_map(|listing| Some((listing.owner?, &listing.pointer.digest)))
            .collect();
        for (number, listing) in found.listings.iter().enumerate() {
            let pointer = listing.pointer;
            found.of.entry(&pointer.digest).or_default().push(number);
            if let Some(owner) = listing.owner {
                found.within.entry(owner).or_default().push(number);
            }
            for target in targets.of_listing(listing) {
                if !listed.contains(&(&pointer.digest, target)) {
                    found.about.entry(target).or_default().push(number);
                }
            }
        }
        for (digest, document) in &graph.documents {
            for target in stated(document) {
                found
                    .documents_about
                    .entry(target)
                    .or_default()
                    .push(digest);
            }
        }
        found
    }
}

/// The items of all indexes, the root's first.
pub(crate) fn listings(graph: &Graph) -> impl Iterator<Item = Listing<'_>> {
    let indexes = graph.documents.iter();
    let indexes = indexes.filter(|(_, document)| document.shape == Shape::Index);
    let others = indexes.map(|(digest, document)| (Some(digest), document));
    let all = std::iter::once((None, &graph.root)).chain(others);
    all.flat_map(|(owner, document)| {
        let pointers = document.pointers.iter().enumerate();
        let listed = pointers.filter(|(_, pointer)| pointer.role == Role::Manifests);
        listed.map(move |(position, pointer)| Listing {
            owner,
            document,
            position,
            pointer,
        })
    })
}

/// What a descriptor's annotations say that its content is about.
fn annotated(pointer: &Pointer) -> impl Iterator<Item = &Digest> {
    let links = pointer.links.iter().filter(|link| link.is_about());
    links.map(|link| &link.digest)
}

/// What a document says that it is about.
fn stated(document: &Document) -> impl Iterator<Item = &Digest> {
    let subjects = document.pointers_in(Role::Subject);
    let links = document.links.iter().filter(|link| link.is_about());
    let links = links.map(|link| &link.digest);
    subjects.map(|subject| &subject.digest).chain(links)
}

/// What a descriptor's annotations, and its document, say that the content is about.
pub(crate) fn targets<'a>(
    graph: &'a Graph,
    pointer: &'a Pointer,
) -> impl Iterator<Item = &'a Digest> {
    let document = graph.document(&pointer.digest);
    annotated(pointer).chain(document.into_iter().flat_map(stated))
}

/// What each listed document is about.
pub(crate) struct Targets<'a> {
    graph: &'a Graph,
    /// The images that the annotation `kind` marks in `index.json`, by their names. Evidence beside them is
    /// about the one of the same name: in such layouts no digest links them.
    saved: BTreeMap<Option<String>, &'a Digest>,
}

impl<'a> Targets<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut saved = BTreeMap::new();
        for pointer in graph.root.pointers_in(Role::Manifests) {
            if pointer.entry_kind == Some(EntryKind::Image) {
                saved.entry(name(pointer)).or_insert(&pointer.digest);
            }
        }
        Targets { graph, saved }
    }

    /// The manifests that a listed document is about, each as often as something says so.
    pub(crate) fn of(&self, listing: &Listing<'a>) -> impl Iterator<Item = &'a Digest> {
        let document = self.graph.document(&listing.pointer.digest);
        self.of_listing(listing)
            .chain(document.into_iter().flat_map(stated))
    }

    /// The same, without those that the content does not name: if they are rewritten, it stays true.
    pub(crate) fn of_evidence(&self, listing: &Listing<'a>) -> impl Iterator<Item = &'a Digest> {
        let links = listing.pointer.links.iter();
        let unnamed: Vec<&Digest> = links
            .filter(|link| !link.is_stated_inside())
            .map(|link| &link.digest)
            .collect();
        self.of(listing)
            .filter(move |target| !unnamed.contains(target))
    }

    /// The same as [`of`](Self::of), without what the document says itself.
    fn of_listing(&self, listing: &Listing<'a>) -> impl Iterator<Item = &'a Digest> {
        let pointer = listing.pointer;
        let is_evidence = matches!(pointer.entry_kind, Some(kind) if kind != EntryKind::Image);
        let is_unlinked = listing.owner.is_none() && annotated(pointer).next().is_none();
        let saved = (is_evidence && is_unlinked).then(|| self.saved_image(pointer));
        annotated(pointer).chain(saved.flatten())
    }

    /// The image of the same name, or the only one: it may have been renamed.
    fn saved_image(&self, evidence: &Pointer) -> Option<&'a Digest> {
        let mut all = self.saved.values();
        let only = all.next().filter(|_| self.saved.len() == 1);
        self.saved.get(&name(evidence)).or(only).copied()
    }
}

/// The full form of a name, however it is written.
fn name(pointer: &Pointer) -> Option<String> {
    let name = pointer.image_name.as_ref().or(pointer.ref_name.as_ref())?;
    let full = Reference::parse(name).map(|name| name.full());
    Some(full.unwrap_or_else(|| name.clone()))
}
