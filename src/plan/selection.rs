//! Which parts of the input the output contains: the requested images, without absent or unwanted content.

mod absent;
mod choice;
mod choosable;
pub(super) mod closure;
pub(super) mod platforms;
mod reach;
mod unwrap;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::Result;
use crate::graph::document::Shape;
use crate::graph::pointer::Pointer;
use crate::graph::referrers::{Listing, Referrers};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::plan::planner::Planner;
use crate::plan::preserve;
use crate::plan::rules::Rule;
use crate::plan::{Change, Dropped, MissingPolicy};
use absent::{absent_layers, unusable};
use choice::other_images;
use closure::{Gone, Item, gone};
pub(crate) use unwrap::Unwrapped;
use unwrap::unwrapped;

/// What is left out.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Pointers of the root, by position.
    pub(crate) root: BTreeSet<usize>,
    /// Pointers of other indexes, by digest and position.
    documents: BTreeMap<&'a Digest, BTreeSet<usize>>,
    /// Every digest that documents of the input point at and none of the output does.
    pub(crate) left_out: BTreeSet<&'a Digest>,
    /// The entries of the root, by position, that lead to an image instead of its index.
    pub(crate) unwrapped: BTreeMap<usize, Unwrapped<'a>>,
    /// Whether everything that was requested is something other than an image.
    pub(crate) has_only_artifacts: bool,
    /// What documents name that stay as they are because they are not part of the graph.
    pub(crate) named_elsewhere: BTreeSet<&'a Digest>,
    /// Whether such a document stays that cannot be read, and may name anything.
    pub(crate) has_unreadable: bool,
}

impl<'a> Selection<'a> {
    /// The pointers of a document that are left out, by position.
    pub(crate) fn dropped(&self, document: &Digest) -> Option<&BTreeSet<usize>> {
        self.documents.get(document)
    }

    /// Whether an item of an index stays, as far as that is decided.
    pub(super) fn keeps(&self, listing: &Listing<'_>) -> bool {
        let (dropped, is_left_out) = match listing.owner {
            None => (Some(&self.root), false),
            Some(owner) => (self.dropped(owner), self.left_out.contains(owner)),
        };
        !is_left_out && dropped.is_none_or(|dropped| !dropped.contains(&listing.position))
    }

    /// The blobs of the input that only what is left out needs.
    pub(crate) fn dropped_blobs(&self, graph: &Graph) -> Dropped {
        let blobs = &graph.inventory.blobs;
        let mut dropped = Dropped::default();
        let left_out = self.left_out.iter();
        for blob in left_out.filter_map(|digest| blobs.get(*digest)) {
            dropped.blobs += 1;
            dropped.bytes += blob.len;
        }
        dropped
    }

    /// The entries of each index that are left out, by position in its pointers.
    pub(crate) fn dropped_entries(
        &self,
        graph: &'a Graph,
    ) -> BTreeMap<&'a Digest, BTreeSet<usize>> {
        let documents = self.documents.iter();
        let indexes = documents.filter(|(digest, _)| {
            let document = graph.document(digest);
            document.is_some_and(|document| document.shape == Shape::Index)
        });
        let indexes = indexes.map(|(digest, positions)| (*digest, positions.clone()));
        indexes.collect()
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
        let refuses_missing = options.missing == MissingPolicy::Error;
        self.selection.named_elsewhere = graph.opaque.named().collect();
        self.selection.has_unreadable = !graph.opaque.unreadable().is_empty();
        if !options.leaves_out() && !refuses_missing && self.part.is_none() {
            return Ok(());
        }
        let referrers = Referrers::new(graph);
        let is_superseded = |digest: &Digest| options.superseded.contains(digest);
        self.entries.retain(|entry| !is_superseded(entry.digest));
        let others = other_images(graph, &referrers, &self.entries, &options.images)?;
        let chosen = others.images.as_ref();
        self.selection.has_only_artifacts = chosen.is_some_and(BTreeSet::is_empty);
        let mut dropped = others.dropped;
        let items = others.items.into_iter();
        let mut first: Vec<_> = items.map(|item| (item, Rule::ImageChoice)).collect();
        // An index that stays may list the same content.
        let listings = referrers.listings.iter().enumerate();
        let superseded = listings.filter(|(_, listing)| {
            listing.owner.is_none() && is_superseded(&listing.pointer.digest)
        });
        first.extend(superseded.map(|(number, _)| (Item::Listing(number), Rule::Superseded)));
        let other_platforms = self.other_platforms(&referrers, others.images.as_ref())?;
        let items = other_platforms.into_iter();
        first.extend(items.map(|item| (item, Rule::PlatformChoice)));
        if options.drop_attestations {
            let unwanted = attestations(graph, &referrers).into_iter();
            first.extend(unwanted.map(|item| (item, Rule::AttestationDropped)));
        }
        if options.missing == MissingPolicy::Prune {
            let unusable = unusable(graph, &referrers).into_iter();
            first.extend(unusable.map(|item| (item, Rule::AbsentPruned)));
            let layers = graph.manifests.keys();
            let layers = layers.flat_map(|digest| absent_layers(graph, digest));
            dropped.extend(layers.map(|listing| DroppedPointer {
                listing,
                rule: Rule::AbsentPruned,
            }));
        }
        let is_kept = |gone: &Gone<'_>, image: &Digest| {
            let chosen = others.images.as_ref();
            !gone.documents.contains(image) && chosen.is_none_or(|chosen| chosen.contains(image))
        };
        let mut gone = closure::gone(&referrers, first.clone());
        if options.unwrap {
            let is_kept = |image: &Digest| is_kept(&gone, image);
            let listings = dropped.iter().map(|pointer| &pointer.listing);
            let listings = listings.chain(
                gone.listings
                    .keys()
                    .map(|number| &referrers.listings[*number]),
            );
            let root = listings.filter(|listing| listing.owner.is_none());
            let root: BTreeSet<usize> = root.map(|listing| listing.position).collect();
            let entries = self
                .entries
                .iter()
                .filter(|entry| !root.contains(&entry.position));
            let found = unwrapped(graph, &referrers, entries, &gone, is_kept)?;
            self.selection.unwrapped = found.entries;
            first.extend(found.items.into_iter().map(|item| (item, Rule::Unwrapped)));
            gone = closure::gone(&referrers, first);
        }
        dropped.extend(gone.listings.iter().map(|(number, rule)| DroppedPointer {
            listing: referrers.listings[*number],
            rule: *rule,
        }));
        dropped.retain(|pointer| self.selection.drop(&pointer.listing));
        self.entries
            .retain(|entry| !self.selection.root.contains(&entry.position));
        let mut whole: BTreeMap<&Digest, Rc<[&Digest]>> = BTreeMap::new();
        for entry in &mut self.entries {
            let images = whole.entry(entry.digest).or_insert_with(|| {
                let images = entry.images.iter().copied();
                images.filter(|image| is_kept(&gone, image)).collect()
            });
            entry.images = Rc::clone(images);
            if let Some(unwrapped) = self.selection.unwrapped.get(&entry.position) {
                entry.digest = &unwrapped.pointer.digest;
                entry.stable_digest = Some(&unwrapped.pointer.digest);
            }
        }
        self.selection.leave_out(graph, &gone.documents);
        if refuses_missing {
            self.refuse_missing()?;
        }
        // A document that is removed completely is not reported part by part, except the index that an image was in.
        let unwrapped = self.selection.unwrapped.values();
        let unwrapped: BTreeSet<&Digest> = unwrapped.map(|found| &found.index.digest).collect();
        let is_kept = |owner: &Digest| !self.selection.left_out.contains(owner);
        let is_told = |pointer: &&DroppedPointer<'_>| {
            let owner = pointer.listing.owner;
            owner.is_none_or(|owner| is_kept(owner) || unwrapped.contains(owner))
        };
        let told = dropped.iter().filter(is_told);
        let is_stated = |owner: &Digest| !graph.is_created(owner);
        let mut below = told.clone().filter(|pointer| {
            let owner = pointer.listing.owner;
            owner.is_some_and(|owner| is_kept(owner) && is_stated(owner))
        });
        if let Some(pointer) = below.next()
            && options.preserve_digests
        {
            let location = pointer.change().location;
            return Err(preserve::refused(location, "would have to be removed"));
        }
        self.changes.extend(told.map(DroppedPointer::change));
        Ok(())
    }

    /// Leaves out entries of indexes that are for platforms of which no part of a divided input has an image.
    pub(super) fn leave_out_of_no_image(&mut self, entries: &BTreeSet<(&'a Digest, usize)>) {
        let graph = self.graph;
        for (owner, position) in entries {
            let Some((owner, document)) = graph.documents.get_key_value(*owner) else {
                continue;
            };
            let Some(pointer) = document.pointers.get(*position) else {
                continue;
            };
            let dropped = DroppedPointer {
                listing: Listing {
                    owner: Some(owner),
                    document,
                    position: *position,
                    pointer,
                },
                rule: Rule::PlatformChoice,
            };
            if self.selection.drop(&dropped.listing) {
                self.changes.push(dropped.change());
            }
        }
        let gone = std::mem::take(&mut self.selection.left_out);
        self.selection.leave_out(graph, &gone);
    }

    /// Refuses absent content that something in the output needs.
    fn refuse_missing(&self) -> Result<()> {
        let left_out = &self.selection.left_out;
        let mut missing = self.graph.missing.iter();
        let missing =
            missing.find(|missing| !missing.is_expected && !left_out.contains(&missing.digest));
        let Some(missing) = missing else {
            return Ok(());
        };
        Err(missing.refused())
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
