//! Indexes with one image left, which become that image's manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::{Gone, Item};
use super::platforms::UNKNOWN;
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::Graph;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::graph::referrers::Referrers;
use crate::image::{Digest, Reference};
use crate::plan::entries::NamedEntry;

/// An entry of `index.json` that becomes another descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwrapped<'a> {
    /// The index that contains the descriptor.
    pub(crate) index: &'a Document,
    /// The descriptor of the only image.
    pub(crate) pointer: &'a Pointer,
}

/// The entries that are unwrapped, and what goes with their indexes.
#[derive(Debug, Default)]
pub(super) struct Unwrapping<'a> {
    /// By the position in the root's pointers.
    pub(super) entries: BTreeMap<usize, Unwrapped<'a>>,
    /// What the indexes list beside the images, and what is about the indexes.
    pub(super) items: Vec<Item<'a>>,
}

/// Finds the entries that lead to an index, and the only image that is left of it.
///
/// # Errors
/// Several images are left of an index, or something that may be one and cannot be read.
pub(super) fn unwrapped<'a: 's, 's>(
    graph: &'a Graph,
    referrers: &Referrers<'a>,
    entries: impl Iterator<Item = &'s NamedEntry<'a>>,
    gone: &Gone<'a>,
    is_kept: impl Fn(&Digest) -> bool,
) -> Result<Unwrapping<'a>> {
    let leading = graph.leading_to(&is_kept);
    let mut unwrapping = Unwrapping::default();
    // Thousands of names may lead to one index.
    let mut by_index: BTreeMap<&Digest, Option<Unwrapped<'a>>> = BTreeMap::new();
    let mut indexes: BTreeSet<&Digest> = BTreeSet::new();
    let mut kept_listings: BTreeSet<usize> = BTreeSet::new();
    for entry in entries {
        let known = by_index.get(entry.digest).copied();
        let unwrapped = match known {
            Some(known) => known,
            None => {
                let mut chain = Chain::of(graph, referrers, gone, &leading);
                let found = chain.follow(entry, &is_kept)?;
                indexes.extend(chain.indexes);
                kept_listings.extend(chain.listings);
                by_index.insert(entry.digest, found);
                found
            }
        };
        if let Some(unwrapped) = unwrapped {
            unwrapping.entries.insert(entry.position, unwrapped);
        }
    }
    for index in &indexes {
        // What another index lists as well stays complete.
        let numbers = referrers.of.get(index).into_iter().flatten();
        let mut owners = numbers.filter_map(|number| referrers.listings[*number].owner);
        if owners.any(|owner| !indexes.contains(owner)) {
            continue;
        }
        for map in [&referrers.within, &referrers.about] {
            let numbers = map.get(index).into_iter().flatten().copied();
            let others = numbers.filter(|number| !kept_listings.contains(number));
            unwrapping.items.extend(others.map(Item::Listing));
        }
        let documents = referrers.documents_about.get(index).into_iter().flatten();
        let documents = documents.copied().map(Item::Document);
        unwrapping.items.extend(documents);
    }
    Ok(unwrapping)
}

/// The indexes between an entry and its only image: an index may list an index.
struct Chain<'a, 's> {
    graph: &'a Graph,
    referrers: &'s Referrers<'a>,
    gone: &'s Gone<'a>,
    /// The images that stay, and the indexes that lead to one of them.
    leading: &'s BTreeSet<&'a Digest>,
    indexes: BTreeSet<&'a Digest>,
    /// The listings that lead to the image.
    listings: Vec<usize>,
}

impl<'a, 's> Chain<'a, 's> {
    fn of(
        graph: &'a Graph,
        referrers: &'s Referrers<'a>,
        gone: &'s Gone<'a>,
        leading: &'s BTreeSet<&'a Digest>,
    ) -> Self {
        Chain {
            graph,
            referrers,
            gone,
            leading,
            indexes: BTreeSet::new(),
            listings: Vec::new(),
        }
    }

    /// `None` for an entry that is not an index, or of which no image stays.
    fn follow(
        &mut self,
        entry: &NamedEntry<'a>,
        is_kept: impl Fn(&Digest) -> bool,
    ) -> Result<Option<Unwrapped<'a>>> {
        let mut images = entry.images.iter().copied().filter(|image| is_kept(image));
        let Some(image) = images.next() else {
            return Ok(None);
        };
        let others = images.count();
        let mut next = self.graph.document(entry.digest);
        // An index that lists itself has no digest.
        while let Some(index) = next.filter(|index| index.shape == Shape::Index) {
            self.indexes.insert(&index.digest);
            let numbers = self.referrers.within.get(&index.digest);
            let numbers = numbers.into_iter().flatten().copied();
            let (leading, beside): (Vec<usize>, Vec<usize>) = numbers
                .filter(|number| !self.gone.listings.contains_key(number))
                .partition(|number| self.leading.contains(&self.pointer(*number).digest));
            let unread = beside.iter().filter(|number| self.may_be_image(**number));
            let count = 1 + others + unread.count();
            if count > 1 {
                return Err(several_images(self.graph, entry, count));
            }
            let Some(number) = leading.first() else {
                return Ok(None);
            };
            self.listings.push(*number);
            let pointer = self.pointer(*number);
            if pointer.digest == *image {
                return Ok(Some(Unwrapped { index, pointer }));
            }
            next = self.graph.document(&pointer.digest);
        }
        Ok(None)
    }

    fn pointer(&self, number: usize) -> &'a Pointer {
        self.referrers.listings[number].pointer
    }

    /// Whether a listing states the platform of an image, which then is absent or cannot be read.
    fn may_be_image(&self, number: usize) -> bool {
        let platform = self.pointer(number).platform.as_deref();
        platform.is_some_and(|platform| platform.os != UNKNOWN)
    }
}

fn several_images(graph: &Graph, entry: &NamedEntry<'_>, count: usize) -> Error {
    let names: Vec<String> = entry.names.iter().map(Reference::familiar).collect();
    let shown = match names.is_empty() {
        true => entry.digest.to_string(),
        false => show_list(&names),
    };
    let message = format!("cannot unwrap the index {shown}: it contains {count} images");
    let error = Error::new(Code::SeveralImages, message).with_hint(Hint::ChoosePlatform);
    match graph.root.pointers.get(entry.position) {
        Some(pointer) => error.with_location(graph.root.location_of(pointer)),
        None => error,
    }
}
