//! Indexes with one image left, which become that image's manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::{Gone, Item};
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
/// Several images are left of an index.
pub(super) fn unwrapped<'a>(
    graph: &'a Graph,
    referrers: &Referrers<'a>,
    entries: &[NamedEntry<'a>],
    gone: &Gone<'a>,
    is_kept: impl Fn(&Digest) -> bool,
) -> Result<Unwrapping<'a>> {
    let mut found = Unwrapping::default();
    let mut indexes: BTreeSet<&Digest> = BTreeSet::new();
    let mut kept_listings: BTreeSet<usize> = BTreeSet::new();
    for entry in entries {
        let index = graph.document(entry.digest);
        let Some(mut index) = index.filter(|index| index.shape == Shape::Index) else {
            continue;
        };
        let images: Vec<&Digest> = entry
            .images
            .iter()
            .copied()
            .filter(|image| is_kept(image))
            .collect();
        let image = match images[..] {
            [] => continue,
            [image] => image,
            _ => return Err(several_images(graph, entry, images.len())),
        };
        // An index may list an index, which leads to the image.
        while indexes.len() <= graph.documents.len() {
            indexes.insert(&index.digest);
            let numbers = referrers.within.get(&index.digest).into_iter().flatten();
            let leading = numbers.copied().find(|number| {
                let digest = &referrers.listings[*number].pointer.digest;
                !gone.listings.contains_key(number) && graph.images_below(digest).contains(&image)
            });
            let Some(number) = leading else { break };
            kept_listings.insert(number);
            let pointer = referrers.listings[number].pointer;
            if pointer.digest == *image {
                let unwrapped = Unwrapped { index, pointer };
                found.entries.insert(entry.position, unwrapped);
                break;
            }
            match graph.document(&pointer.digest) {
                Some(next) => index = next,
                None => break,
            }
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
            found.items.extend(others.map(Item::Listing));
        }
        let documents = referrers.documents_about.get(index).into_iter().flatten();
        found.items.extend(documents.copied().map(Item::Document));
    }
    Ok(found)
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
