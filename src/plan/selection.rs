//! Which parts of the input the output contains: the requested images, without absent or unwanted content.

mod closure;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Code, Error, Hint, Result, escape, show_list};
use crate::graph::document::Document;
use crate::graph::link::LinkKind;
use crate::graph::pointer::Pointer;
use crate::graph::referrers::{Listing, Referrers};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::preserve;
use crate::plan::rules::Rule;
use crate::plan::{Change, ImageChoice, MissingPolicy};
use closure::{Item, gone, kept_with};

/// What is left out.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Pointers of the root, by position.
    pub(crate) root: BTreeSet<usize>,
    /// Pointers of other indexes, by digest and position.
    documents: BTreeMap<&'a Digest, BTreeSet<usize>>,
    /// Every digest that documents of the input point at and none of the output does.
    pub(crate) left_out: BTreeSet<&'a Digest>,
}

impl<'a> Selection<'a> {
    /// The pointers of a document that are left out, by position.
    pub(crate) fn dropped(&self, document: &Digest) -> Option<&BTreeSet<usize>> {
        self.documents.get(document)
    }

    /// Leaves a pointer out; returns whether it was still there.
    fn drop(&mut self, listing: &Listing<'a>) -> bool {
        let dropped = match listing.owner {
            None => &mut self.root,
            Some(digest) => self.documents.entry(digest).or_default(),
        };
        dropped.insert(listing.position)
    }
}

/// A pointer that a rule leaves out.
struct DroppedPointer<'a> {
    listing: Listing<'a>,
    rule: Rule,
}

impl DroppedPointer<'_> {
    fn change(&self) -> Change {
        let Listing {
            document, pointer, ..
        } = self.listing;
        let before = Some(pointer.digest.to_string());
        self.rule
            .change(document.location_of(pointer), before, None)
    }
}

impl<'a> Planner<'a> {
    /// Decides what the output contains, and removes the rest from the entries.
    ///
    /// # Errors
    /// A requested image is not there; content is absent, and the policy is to refuse that.
    pub(crate) fn select(&mut self) -> Result<()> {
        let (graph, options) = (self.graph, self.options);
        let is_all_kept = options.missing == MissingPolicy::Keep;
        if options.images.is_empty() && !options.drop_attestations && is_all_kept {
            return Ok(());
        }
        let referrers = Referrers::new(graph);
        let mut dropped = other_images(graph, &referrers, &self.entries, &options.images)?;
        if options.missing == MissingPolicy::Error {
            refuse_missing(graph)?;
        }
        let mut first = Vec::new();
        if options.drop_attestations {
            let unwanted = attestations(graph, &referrers).into_iter();
            first.extend(unwanted.map(|item| (item, Rule::AttestationDropped)));
        }
        if options.missing == MissingPolicy::Prune {
            let unusable = unusable(graph, &referrers).into_iter();
            first.extend(unusable.map(|item| (item, Rule::AbsentPruned)));
        }
        let gone = gone(&referrers, first);
        dropped.extend(gone.listings.iter().map(|(number, rule)| DroppedPointer {
            listing: referrers.listings[*number],
            rule: *rule,
        }));
        dropped.retain(|pointer| self.selection.drop(&pointer.listing));
        self.entries
            .retain(|entry| !self.selection.root.contains(&entry.position));
        let mut whole: BTreeMap<&Digest, Rc<[&Digest]>> = BTreeMap::new();
        for entry in self
            .entries
            .iter_mut()
            .filter(|_| !gone.documents.is_empty())
        {
            let images = whole.entry(entry.digest).or_insert_with(|| {
                let images = entry.images.iter().copied();
                images
                    .filter(|image| !gone.documents.contains(image))
                    .collect()
            });
            entry.images = Rc::clone(images);
        }
        self.selection.left_out = left_out(graph, &self.selection, &gone.documents);
        // A document that is removed completely is not reported part by part.
        let is_told = |pointer: &&DroppedPointer<'_>| {
            let owner = pointer.listing.owner;
            owner.is_none_or(|owner| !self.selection.left_out.contains(owner))
        };
        let told = dropped.iter().filter(is_told);
        let mut below = told
            .clone()
            .filter(|pointer| pointer.listing.owner.is_some());
        if let Some(pointer) = below.next()
            && options.preserve_digests
        {
            let location = pointer.change().location;
            return Err(preserve::refused(location, "would have to be removed"));
        }
        self.changes.extend(told.map(DroppedPointer::change));
        Ok(())
    }
}

fn is_attestation(pointer: &Pointer, graph: &Graph) -> bool {
    pointer.is_attestation
        || graph
            .manifests
            .get(&pointer.digest)
            .is_some_and(|facts| facts.role == ManifestRole::Attestation)
}

/// The numbers of the listings that go if attestations are dropped.
pub(crate) fn gone_with_attestations(graph: &Graph, referrers: &Referrers<'_>) -> BTreeSet<usize> {
    let unwanted = attestations(graph, referrers).into_iter();
    let first = unwanted.map(|item| (item, Rule::AttestationDropped));
    gone(referrers, first).listings.into_keys().collect()
}

/// All attestations, listed or not.
fn attestations<'a>(graph: &'a Graph, referrers: &Referrers<'a>) -> Vec<Item<'a>> {
    let listed = referrers.listings.iter().map(|listing| listing.pointer);
    let listed = listed.filter(|pointer| is_attestation(pointer, graph));
    let listed = listed.map(|pointer| &pointer.digest);
    let manifests = graph.manifests.iter();
    let others = manifests.filter(|(_, facts)| facts.role == ManifestRole::Attestation);
    let all = listed.chain(others.map(|(digest, _)| digest));
    all.map(Item::Document).collect()
}

/// The root's entries of images that were not requested, and what refers to none of those that stay.
fn other_images<'a>(
    graph: &'a Graph,
    referrers: &Referrers<'a>,
    entries: &[NamedEntry<'a>],
    choices: &[ImageChoice],
) -> Result<Vec<DroppedPointer<'a>>> {
    if choices.is_empty() {
        return Ok(Vec::new());
    }
    let mut numbered: Vec<&Digest> = Vec::new();
    for entry in entries {
        if !numbered.contains(&entry.digest) {
            numbered.push(entry.digest);
        }
    }
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    for choice in choices {
        let found = match choice {
            ImageChoice::Number(number) => number
                .checked_sub(1)
                .and_then(|place| numbered.get(place).copied()),
            ImageChoice::Digest(digest) => entries
                .iter()
                .find(|entry| entry.digest == digest || is_sole_image(graph, entry, digest))
                .map(|entry| entry.digest),
            // Of several images with one name, it stays with the last.
            ImageChoice::Name(name) => entries
                .iter()
                .rfind(|entry| entry.names.contains(name))
                .map(|entry| entry.digest),
        };
        match found {
            Some(digest) => {
                kept.insert(digest);
                kept.extend(graph.images_below(digest));
            }
            None => return Err(image_not_found(choice, entries, &numbered)),
        }
    }
    let referring = kept_with(referrers, kept.iter().copied());
    let listings = referrers.listings.iter().enumerate();
    let others = listings.filter(|(number, listing)| {
        listing.owner.is_none()
            && !kept.contains(&listing.pointer.digest)
            && !referring.contains(number)
    });
    let dropped = others.map(|(_, listing)| DroppedPointer {
        listing: *listing,
        rule: Rule::ImageChoice,
    });
    Ok(dropped.collect())
}

/// Whether the digest is that of the one image that the entry has, or its image ID.
fn is_sole_image(graph: &Graph, entry: &NamedEntry<'_>, digest: &Digest) -> bool {
    let [image] = *entry.images else {
        return false;
    };
    let facts = graph.manifests.get(image);
    image == digest || facts.is_some_and(|facts| facts.config == *digest)
}

fn image_not_found(
    choice: &ImageChoice,
    entries: &[NamedEntry<'_>],
    numbered: &[&Digest],
) -> Error {
    let list: Vec<String> = numbered
        .iter()
        .enumerate()
        .map(|(place, digest)| {
            let names: Vec<String> = entries
                .iter()
                .filter(|entry| entry.digest == *digest)
                .flat_map(|entry| entry.names.iter().map(|name| name.familiar()))
                .collect();
            let name = if names.is_empty() {
                digest.to_string()
            } else {
                names.join(" = ")
            };
            format!("{}: {name}", place + 1)
        })
        .collect();
    let found = show_list(&list);
    Error::new(
        Code::ImageNotFound,
        format!("no image in the archive is {choice}; available: {found}"),
    )
    .with_expected(choice)
    .with_found(found)
    .with_hint(Hint::ChooseImageBy)
}

fn refuse_missing(graph: &Graph) -> Result<()> {
    let Some(missing) = graph.missing.iter().find(|missing| !missing.is_expected) else {
        return Ok(());
    };
    Err(Error::new(
        Code::MissingBlob,
        format!(
            "{} is {}, which is not in the archive",
            escape(&missing.location.to_string()),
            missing.digest.blob_name()
        ),
    )
    .with_location(&missing.location)
    .with_entry(missing.digest.blob_name())
    .with_hint(Hint::ChooseMissing))
}

/// What cannot be used without absent content: manifests that lack a part, what is listed and absent, and
/// what is about an absent manifest and useless without it.
fn unusable<'a>(graph: &'a Graph, referrers: &Referrers<'a>) -> Vec<Item<'a>> {
    let is_absent = |digest: &Digest| {
        !graph.inventory.blobs.contains_key(digest) && !graph.synthesized.contains_key(digest)
    };
    let manifests = graph.manifests.iter();
    let incomplete = manifests.filter(|(_, facts)| !facts.is_whole);
    let mut items: Vec<Item<'_>> = incomplete
        .map(|(digest, _)| Item::Document(digest))
        .collect();
    for (number, listing) in referrers.listings.iter().enumerate() {
        let pointer = listing.pointer;
        if is_absent(&pointer.digest) {
            items.push(Item::Document(&pointer.digest));
        }
        let mut links = pointer.links.iter();
        let is_unlinked = links.any(|link| link.kind == LinkKind::About && is_absent(&link.digest));
        // Other referrers may have a subject elsewhere.
        let document = graph.document(&pointer.digest);
        let subject = document
            .filter(|_| is_attestation(pointer, graph))
            .and_then(|document| document.pointers_in(Role::Subject).next());
        if is_unlinked || subject.is_some_and(|subject| is_absent(&subject.digest)) {
            items.push(Item::Listing(number));
        }
    }
    items
}

/// What only pointers lead to that are left out, or documents that go with them. `gone` has the documents
/// that go although a link may name them.
fn left_out<'a>(
    graph: &'a Graph,
    selection: &Selection<'a>,
    gone: &BTreeSet<&'a Digest>,
) -> BTreeSet<&'a Digest> {
    if selection.root.is_empty() && selection.documents.is_empty() {
        return BTreeSet::new();
    }
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Digest> = kept_digests(&graph.root, Some(&selection.root)).collect();
    while let Some(digest) = open.pop() {
        if !gone.contains(digest)
            && reached.insert(digest)
            && let Some(document) = graph.document(digest)
        {
            open.extend(kept_digests(document, selection.dropped(digest)));
        }
    }
    let all = graph.reachable();
    all.difference(&reached).copied().collect()
}

/// What a document points at, and what links in it name, except by what is left out.
fn kept_digests<'a>(
    document: &'a Document,
    dropped: Option<&BTreeSet<usize>>,
) -> impl Iterator<Item = &'a Digest> {
    let pointers = document.pointers.iter().enumerate();
    let kept = pointers
        .filter(move |(position, _)| dropped.is_none_or(|dropped| !dropped.contains(position)));
    let links = document.links.iter();
    let kept = kept.flat_map(|(_, pointer)| {
        let links = pointer.links.iter().map(|link| &link.digest);
        links.chain([&pointer.digest])
    });
    kept.chain(links.map(|link| &link.digest))
}
