//! The images that were requested, and what goes because it belongs to others.

use std::collections::{BTreeMap, BTreeSet};

use super::DroppedPointer;
use super::closure::{Item, kept_with};
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::Graph;
use crate::graph::document::Shape;
use crate::graph::pointer::Pointer;
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

/// Images that match a request: all of an entry, or some of them.
struct Match<'a> {
    entry: &'a Digest,
    /// The images of the entry, if only some of them match.
    images: Option<Vec<&'a Digest>>,
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
    let mut numbered: Vec<&Digest> = Vec::new();
    let mut seen: BTreeSet<&Digest> = BTreeSet::new();
    for entry in entries {
        if seen.insert(entry.digest) {
            numbered.push(entry.digest);
        }
    }
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    let mut images: BTreeSet<&Digest> = BTreeSet::new();
    let mut parts: Vec<&Digest> = Vec::new();
    for choice in choices {
        let found = find(graph, entries, &numbered, choice);
        let Some(found) = found.or_else(|| find_artifact(graph, entries, choice)) else {
            let artifacts = artifacts_shown(graph, referrers, entries);
            return Err(image_not_found(choice, entries, &numbered, artifacts));
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

fn find<'a>(
    graph: &'a Graph,
    entries: &[NamedEntry<'a>],
    numbered: &[&'a Digest],
    choice: &ImageChoice,
) -> Option<Match<'a>> {
    let entry = match choice {
        ImageChoice::Number(number) => number
            .checked_sub(1)
            .and_then(|place| numbered.get(place).copied()),
        // Of several images with one name, it stays with the last.
        ImageChoice::Name(name) => entries
            .iter()
            .rfind(|entry| entry.names.contains(name))
            .map(|entry| entry.digest),
        ImageChoice::Digest(digest) => {
            return by_digest(graph, entries, digest);
        }
    };
    entry.map(|entry| Match {
        entry,
        images: None,
    })
}

/// An entry that leads to no image. Numbers are those of images.
fn find_artifact<'a>(
    graph: &'a Graph,
    entries: &[NamedEntry<'a>],
    choice: &ImageChoice,
) -> Option<Match<'a>> {
    let is_meant = |(_, pointer): &(usize, &Pointer)| match choice {
        ImageChoice::Number(_) => false,
        ImageChoice::Name(name) => {
            pointer.name().as_ref() == Some(name) && !pointer.is_saved_evidence()
        }
        ImageChoice::Digest(digest) => pointer.digest == *digest,
    };
    let found = artifacts(graph, entries).filter(is_meant).last();
    found.map(|(_, pointer)| Match {
        entry: &pointer.digest,
        images: None,
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

/// An entry with that digest, or with a manifest, index or config below it that has it.
fn by_digest<'a>(
    graph: &'a Graph,
    entries: &[NamedEntry<'a>],
    digest: &Digest,
) -> Option<Match<'a>> {
    let is_meant = |image: &Digest| {
        let facts = graph.manifests.get(image);
        image == digest || facts.is_some_and(|facts| facts.config == *digest)
    };
    if let Some(entry) = entries.iter().find(|entry| entry.digest == digest) {
        return Some(Match {
            entry: entry.digest,
            images: None,
        });
    }
    let within: BTreeSet<&Digest> = match graph.documents.get_key_value(digest) {
        Some((index, document)) if document.shape == Shape::Index => {
            graph.images_below(index).into_iter().collect()
        }
        _ => BTreeSet::new(),
    };
    entries.iter().find_map(|entry| {
        let images = entry.images.iter().copied();
        let some: Vec<&Digest> = images
            .filter(|image| is_meant(image) || within.contains(image))
            .collect();
        let is_all = some.len() == entry.images.len();
        (!some.is_empty()).then_some(Match {
            entry: entry.digest,
            images: (!is_all).then_some(some),
        })
    })
}

/// The listings of images in indexes of which only some images stay.
pub(super) fn other_platforms(
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
    numbered: &[&Digest],
    artifacts: Vec<String>,
) -> Error {
    let mut names_of: BTreeMap<&Digest, Vec<String>> = BTreeMap::new();
    for entry in entries {
        let names = entry.names.iter().map(|name| name.familiar());
        names_of.entry(entry.digest).or_default().extend(names);
    }
    let images = numbered.iter().enumerate().map(|(place, digest)| {
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
