//! The images that were requested, and what goes because it belongs to others.

use std::collections::{BTreeMap, BTreeSet};

use super::DroppedPointer;
use super::choosable::Choosable;
use super::closure::{Item, kept_with};
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::Graph;
use crate::graph::referrers::Referrers;
use crate::image::Digest;
use crate::plan::ImageChoice;
use crate::plan::artifacts::artifacts;
use crate::plan::entries::NamedEntry;
use crate::plan::rules::Rule;

/// What a request for images leaves out.
#[derive(Default)]
pub(super) struct Others<'a> {
    /// Entries of the root.
    pub(super) dropped: Vec<DroppedPointer<'a>>,
    /// What goes with all that refers to it.
    pub(super) items: Vec<Item<'a>>,
    /// The images that stay; `None` if none was requested.
    pub(super) images: Option<BTreeSet<&'a Digest>>,
}

/// Leaves out the root's entries of images that were not requested, what refers to none of those that stay, and the
/// other images of an index of which only some were requested.
///
/// # Errors
/// A requested image is not there.
pub(super) fn other_images<'a>(
    graph: &'a Graph,
    referrers: &Referrers<'a>,
    entries: &[NamedEntry<'a>],
    choices: &[ImageChoice],
) -> Result<Others<'a>> {
    if choices.is_empty() {
        return Ok(Others::default());
    }
    let choosable = Choosable::of(graph, entries);
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    let mut images: BTreeSet<&Digest> = BTreeSet::new();
    let mut parts: Vec<&Digest> = Vec::new();
    for choice in choices {
        let Some(found) = choosable.find(choice) else {
            let artifacts = artifacts_shown(graph, referrers, entries);
            return Err(image_not_found(choice, entries, &choosable, artifacts));
        };
        kept.insert(found.entry);
        match found.images {
            Some(some) => {
                images.extend(some);
                parts.push(found.entry);
            }
            None => images.extend(graph.images_below(found.entry)),
        }
    }
    kept.extend(&images);
    let referring = kept_with(referrers, kept.iter().copied());
    // An image under a tag made of the digest of a chosen one stays too.
    for number in &referring {
        let listing = &referrers.listings[*number];
        if listing.owner.is_none() {
            images.extend(graph.images_below(&listing.pointer.digest));
        }
    }
    let listings = referrers.listings.iter().enumerate();
    let others = listings.filter(|(number, listing)| {
        listing.owner.is_none()
            && !kept.contains(&listing.pointer.digest)
            && !referring.contains(number)
    });
    let others: Vec<usize> = others.map(|(number, _)| number).collect();
    let dropped = others.iter().map(|number| DroppedPointer {
        listing: referrers.listings[*number],
        rule: Rule::ImageChoice,
    });
    let dropped = dropped.collect();
    let within = other_platforms(graph, referrers, &parts, &images);
    let items = match parts.is_empty() {
        true => Vec::new(),
        // An image that only entries that go list as well is not in an index either.
        false => others
            .into_iter()
            .chain(within)
            .map(Item::Listing)
            .collect(),
    };
    Ok(Others {
        dropped,
        items,
        images: Some(images),
    })
}

/// How messages list what is not an image and not about something else either.
fn artifacts_shown(
    graph: &Graph,
    referrers: &Referrers<'_>,
    entries: &[NamedEntry<'_>],
) -> Vec<String> {
    let listings = || referrers.about.values().flatten();
    let about: BTreeSet<usize> = listings().copied().collect();
    let documents: BTreeSet<&Digest> = referrers
        .documents_about
        .iter()
        .filter(|(about, _)| graph.document(about).is_some())
        .flat_map(|(_, documents)| documents.iter().copied())
        .collect();
    // The root's listings come first, in the order of its entries.
    let root = referrers.listings.iter().enumerate();
    let root = root.filter(|(_, listing)| listing.owner.is_none());
    let independent: BTreeSet<usize> = root
        .filter(|(number, listing)| {
            !about.contains(number) && !documents.contains(&listing.pointer.digest)
        })
        .map(|(_, listing)| listing.position)
        .collect();
    let mut seen = BTreeSet::new();
    artifacts(graph, entries)
        .filter(|(position, pointer)| {
            independent.contains(position) && !pointer.is_saved_evidence()
        })
        .map(|(_, pointer)| match pointer.name() {
            Some(name) => format!("{} (artifact)", name.familiar()),
            None => format!("{} (artifact)", pointer.digest),
        })
        .filter(|shown| seen.insert(shown.clone()))
        .collect()
}

/// The listings of images in indexes of which only some images stay.
fn other_platforms(
    graph: &Graph,
    referrers: &Referrers<'_>,
    parts: &[&Digest],
    images: &BTreeSet<&Digest>,
) -> Vec<usize> {
    let mut seen: BTreeSet<&Digest> = BTreeSet::new();
    let mut open: Vec<&Digest> = parts.to_vec();
    let mut others = Vec::new();
    if parts.is_empty() {
        return others;
    }
    let leading = graph.leading_to_images();
    let leading_to_kept = graph.leading_to(|image| images.contains(image));
    while let Some(index) = open.pop() {
        if !seen.insert(index) {
            continue;
        }
        for number in referrers.within.get(index).into_iter().flatten() {
            let listed = &referrers.listings[*number].pointer.digest;
            if leading_to_kept.contains(listed) {
                open.push(listed);
            } else if leading.contains(listed) {
                others.push(*number);
            }
        }
    }
    others
}

fn image_not_found(
    choice: &ImageChoice,
    entries: &[NamedEntry<'_>],
    choosable: &Choosable<'_>,
    artifacts: Vec<String>,
) -> Error {
    let mut names_of: BTreeMap<&Digest, Vec<String>> = BTreeMap::new();
    for entry in entries {
        let names = entry.names.iter().map(|name| name.familiar());
        names_of.entry(entry.digest).or_default().extend(names);
    }
    let images = choosable
        .numbered
        .iter()
        .enumerate()
        .map(|(place, digest)| {
            let names = names_of.get(digest).filter(|names| !names.is_empty());
            let name = names.map_or_else(|| digest.to_string(), |names| names.join(" = "));
            format!("{}: {name}", place + 1)
        });
    let what = match artifacts.is_empty() {
        true => "image",
        false => "image or artifact",
    };
    let list: Vec<String> = images.chain(artifacts).collect();
    if list.is_empty() {
        return Error::new(
            Code::ImageNotFound,
            format!("cannot choose {choice}: the archive does not contain an image"),
        )
        .with_expected(choice)
        .with_hint(Hint::KeepAll);
    }
    let found = show_list(&list);
    Error::new(
        Code::ImageNotFound,
        format!("no {what} in the archive is {choice}; available: {found}"),
    )
    .with_expected(choice)
    .with_found(found)
    .with_hint(Hint::ChooseImageBy)
}
