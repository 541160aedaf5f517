//! What `regctl image import` imports: the layout if it is one, else the images of `manifest.json`.
//!
//! Source: regclient, `image.go`. It looks for what it needs in as many passes as that takes, by cleaned names, and follows links. What it does not
//! find at the end is an error. It takes one image: that with the requested name, or the only one.

use std::collections::{BTreeSet, HashSet};

use crate::engines::Obstacle;
use crate::engines::containers::{is_named_plainly, plain};
use crate::engines::docker::{is_unreadable, listed_items, note_unlisted};
use crate::engines::image::item_place;
use crate::engines::judge::Judge;
use crate::engines::layout::note_only_in_docker_manifest;
use crate::engines::verdict::Tally;
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::Digest;
use crate::inventory::LinkKind;
use crate::location::{Location, Role, RootName};

/// What is imported.
pub(crate) fn import<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    if is_unreadable(judge) {
        return Tally::default();
    }
    for (name, kind) in &archive.names.links {
        let obstacle = match kind {
            LinkKind::Hard => Obstacle::HardLink,
            LinkKind::Symbolic(_) => Obstacle::SymbolicLink,
        };
        // It looks for the link's target from where the link is.
        let is_absolute = archive.names.absolute.contains(name);
        if judge.fails_at(obstacle, || Location::entry(name))
            || is_absolute && judge.fails_at(Obstacle::UncleanName, || Location::entry(name))
        {
            return Tally::default();
        }
    }
    let finds = |name: RootName| archive.finds(name.name(), false);
    let layout = archive.layout_version.as_ref();
    let layout = layout.filter(|_| finds(RootName::OciLayout));
    let index = archive.index.as_ref();
    let index = index.filter(|_| finds(RootName::Index));
    let version = layout.map(|version| version.as_deref());
    let location = || Location::from(RootName::OciLayout);
    match (version, index) {
        (Some(Some("1.0.0")), Some(index)) => return import_layout(judge, index),
        // It is decoded even if it is not needed.
        (Some(None), _) if judge.fails_at(Obstacle::LayoutVersion, location) => {
            return Tally::default();
        }
        // Nothing is missing then, so it does not fall back to manifest.json, and imports nothing.
        (Some(Some(_)), Some(_))
            if finds(RootName::DockerManifest)
                && judge.fails_at(Obstacle::LayoutVersion, location) =>
        {
            return Tally::default();
        }
        _ => {}
    }
    import_docker(judge)
}

fn import_layout<'a>(judge: &mut Judge<'a>, index: &'a Document) -> Tally<'a> {
    let archive = judge.archive;
    let mut tally = Tally::default();
    let entries: Vec<&Pointer> = index.pointers_in(Role::Manifests).collect();
    let location = || Location::from(RootName::Index);
    if entries.is_empty() {
        judge.fails_at(Obstacle::NothingListed, location);
        return tally;
    }
    let absolute = archive.names.absolute.iter();
    let absolute: HashSet<Digest> = absolute
        .filter_map(|name| Digest::from_any_blob_name(name))
        .collect();
    tally.must_choose = entries.len() > 1 && judge.fails_at(Obstacle::SeveralImages, location);
    for entry in entries {
        let configs = archive.configs_below(entry);
        if !are_all_found(judge, index, entry, &absolute) {
            tally.has_failed |= !configs.is_empty() || !tally.must_choose;
            continue;
        }
        if configs.is_empty() {
            continue;
        }
        tally.configs.extend(configs);
        tally.has_unnamed |= entry.ref_name.is_none();
        tally.names.extend(entry.ref_name.clone());
    }
    note_only_in_docker_manifest(judge, &mut tally);
    tally
}

/// Whether all that an entry leads to is found, and is what descriptors say.
fn are_all_found<'a>(
    judge: &mut Judge<'a>,
    index: &'a Document,
    entry: &'a Pointer,
    absolute: &HashSet<Digest>,
) -> bool {
    let archive = judge.archive;
    let mut are_found = true;
    let mut open = vec![(index, entry)];
    let mut seen = BTreeSet::new();
    while let Some((parent, pointer)) = open.pop() {
        if !seen.insert(&pointer.digest) {
            continue;
        }
        let location = || parent.location_of(pointer);
        let document = archive.document(&pointer.digest);
        if document.is_none() && archive.content(&pointer.digest).is_none() {
            are_found &= !judge.fails_at(Obstacle::MissingContent, location);
            continue;
        }
        if absolute.contains(&pointer.digest) {
            are_found &= !judge.fails_at(Obstacle::UncleanName, location);
        }
        let Some(document) = document.filter(|_| parent.shape == Shape::Index) else {
            if pointer.actual_size.is_some() {
                are_found &= !judge.fails_at(Obstacle::WrongSize, location);
            }
            continue;
        };
        let stated = document.media_type.as_ref();
        if stated.is_some_and(|stated| *stated != pointer.media_type) {
            are_found &= !judge.fails_at(Obstacle::DocumentType, location);
        }
        let needed = document.pointers.iter();
        let needed = needed.filter(|pointer| pointer.role != Role::Subject);
        open.extend(needed.map(|pointer| (document, pointer)));
    }
    are_found
}

fn import_docker<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let mut tally = Tally::default();
    let absent = (Obstacle::NoImageFile, Location::Archive);
    let Some(items) = listed_items(judge, false, absent) else {
        return tally;
    };
    let location = || RootName::DockerManifest.into();
    // Without a request, it takes the first one. Others are requested by their names.
    let mut others = items.iter().skip(1);
    tally.must_choose = items.len() > 1
        && others.all(|item| !item.repo_tags.is_empty())
        && judge.fails_at(Obstacle::SeveralImages, location);
    for (position, item) in items.iter().enumerate() {
        let config = || item_place(position, "Config", None, &item.config);
        let is_chosen = !item.repo_tags.is_empty()
            || position == 0
            || !judge.fails_at(Obstacle::NoName, config);
        let is_read = is_chosen && is_item_imported(judge, item, position);
        tally.add_item(item, is_read);
    }
    note_unlisted(judge, &mut tally);
    tally
}

/// What is in the item's files does not matter: they become blobs, compressed with gzip.
fn is_item_imported(judge: &mut Judge<'_>, item: &DockerArchiveItem, position: usize) -> bool {
    let archive = judge.archive;
    let config = || item_place(position, "Config", None, &item.config);
    let mut is_read = is_named_plainly(judge, &item.config, config);
    if item.config_digest.is_none() {
        is_read &= !judge.fails_at(Obstacle::MissingContent, config);
    }
    let mut seen = BTreeSet::new();
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        let location = || item_place(position, "Layers", Some(index), name);
        if !seen.insert(plain(name)) {
            is_read &= !judge.fails_at(Obstacle::SharedFile, location);
        }
        is_read &= is_named_plainly(judge, name, location);
        let content = digest.as_ref().and_then(|digest| archive.content(digest));
        if content.is_none() {
            is_read &= !judge.fails_at(Obstacle::MissingContent, location);
        }
    }
    is_read
}
