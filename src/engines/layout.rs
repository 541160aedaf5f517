//! Readers of image layouts that check more than engines do: umoci and oras.
//!
//! Source: umoci, `oci/cas/dir`, `oci/casext` and `oci/layer`; oras-go, `content/oci` and `internal/fs/tarfs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::engines::config::is_config_decoded;
use crate::engines::docker::is_unreadable;
use crate::engines::image::{Image, item_place, match_diff_ids, reads_content};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::engines::{Obstacle, containerd};
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::Content;
use crate::image::media_type::{self, Family, Kind};
use crate::image::{Compression, Digest};
use crate::inventory::LinkKind;
use crate::location::{Location, Role, RootName};

/// What `umoci unpack` unpacks of the layout that the archive contains, once that is a directory.
pub(crate) fn umoci<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let mut tally = Tally::default();
    // A directory has no absolute names.
    let Some(index) = opened(judge, true) else {
        return tally;
    };
    let entries: Vec<&Pointer> = index.pointers_in(Role::Manifests).collect();
    let mut tags: BTreeMap<&str, BTreeSet<&Digest>> = BTreeMap::new();
    for entry in &entries {
        if let Some(tag) = &entry.ref_name {
            let manifests = archive.documents_below(entry).into_iter();
            let digests = manifests.map(|manifest| &manifest.digest);
            tags.entry(tag).or_default().extend(digests);
        }
    }
    tally.must_choose = tags.len() > 1;
    for entry in entries {
        let images = archive.images(entry);
        let Some(image) = images.first() else {
            // Nobody unpacks it.
            continue;
        };
        let place = || index.location_of(entry);
        let Some(tag) = &entry.ref_name else {
            tally.has_failed |= judge.fails_at(Obstacle::NoName, place);
            continue;
        };
        let manifests = tags.get(tag.as_str()).map_or(0, BTreeSet::len);
        let is_ambiguous = manifests != 1 && judge.fails_at(Obstacle::AmbiguousTag, place);
        if is_ambiguous || !is_unpacked(judge, entry, *image) {
            tally.has_failed = true;
            continue;
        }
        let config = image.manifest.config();
        tally.configs.extend(config.map(|config| &config.digest));
        tally.names.insert(tag.clone());
    }
    tally
}

fn is_unpacked(judge: &mut Judge<'_>, entry: &Pointer, image: Image<'_>) -> bool {
    let archive = judge.archive;
    let manifest = image.manifest;
    if let Some((document, pointer)) = archive.missing(entry)
        && judge.fails_at(Obstacle::MissingContent, || document.location_of(pointer))
    {
        return false;
    }
    let mut is_read = true;
    let is_docker = |media_type: &str| media_type::family(media_type) == Some(Family::Docker);
    let own = manifest.media_type.as_deref();
    if is_docker(own.unwrap_or(&image.pointer.media_type)) || is_docker(&image.pointer.media_type) {
        is_read &= !judge.fails_at(Obstacle::DockerTypes, || manifest.path.clone().into());
    }
    let config = manifest.config();
    for pointer in manifest.pointers_in(Role::Layers).chain(config) {
        let location = || manifest.location_of(pointer);
        match media_type::family(&pointer.media_type) {
            Some(Family::Docker) => is_read &= !judge.fails_at(Obstacle::DockerTypes, location),
            None if pointer.role == Role::Layers => {
                is_read &= !judge.fails_at(Obstacle::LayerType, location);
            }
            _ => {}
        }
        if pointer.role == Role::Layers {
            let content = archive.content(&pointer.digest);
            if content.is_some_and(|content| !is_as_labelled(pointer.kind, content)) {
                is_read &= !judge.fails_at(Obstacle::OtherLabel, location);
            }
            is_read &= reads_content(judge, Some(&pointer.digest), location);
        }
    }
    is_read &= is_config_decoded(judge, manifest);
    let facts = config.and_then(|config| archive.config(&config.digest));
    let diff_ids = facts.map_or(&[][..], |facts| &facts.diff_ids);
    let layers: Vec<&Pointer> = manifest.pointers_in(Role::Layers).collect();
    let digests = layers.iter().map(|layer| Some(&layer.digest));
    // What the config says of further layers is not read.
    let diff_ids = &diff_ids[..layers.len().min(diff_ids.len())];
    if !match_diff_ids(archive, digests, diff_ids) {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, || manifest.path.clone().into());
    }
    is_read
}

/// Whether a layer is compressed as its media type says.
fn is_as_labelled(kind: Kind, content: Content) -> bool {
    let Kind::Layer { compression, .. } = kind else {
        return true;
    };
    match content {
        Content::Gzip => compression == Compression::Gzip,
        Content::Zstd | Content::ZstdAfterSkippable => compression == Compression::Zstd,
        Content::Tar | Content::Empty => compression == Compression::Uncompressed,
        _ => true,
    }
}

/// What `oras copy --from-oci-layout FILE:TAG` copies. Any tag or digest of the layout can be copied, if all the layout's documents are
/// there.
pub(crate) fn oras<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let mut tally = Tally::default();
    if is_unreadable(judge) {
        return tally;
    }
    let Some(index) = opened(judge, false) else {
        return tally;
    };
    let names = &archive.names;
    let is_needed =
        |name: &str| Digest::from_any_blob_name(name).is_some() || RootName::of(name).is_some();
    let links = names.links.iter().map(|(name, kind)| match kind {
        LinkKind::Hard => (name, Obstacle::HardLink),
        LinkKind::Symbolic(_) => (name, Obstacle::SymbolicLink),
    });
    let absolute = names.absolute.iter();
    let absolute = absolute.map(|name| (name, Obstacle::UncleanName));
    let renamed = names.renamed.iter();
    let renamed = renamed.map(|name| (name, Obstacle::UncleanPath));
    let mut is_refused = false;
    for (name, obstacle) in links.chain(absolute).chain(renamed) {
        if is_needed(name) {
            is_refused |= judge.fails_at(obstacle, || Location::entry(name));
        }
    }
    for entry in index.pointers_in(Role::Manifests) {
        is_refused |= !containerd::are_documents(judge, entry);
    }
    is_refused |= has_wrong_size(judge, index);
    copied(judge, index, &mut tally);
    if is_refused {
        tally.configs.clear();
    }
    tally
}

/// Whether a reader fails because of a size that a descriptor in the layout states.
fn has_wrong_size<'a>(judge: &mut Judge<'a>, index: &'a Document) -> bool {
    let archive = judge.archive;
    let mut open = vec![index];
    let mut seen = BTreeSet::new();
    let mut fails = false;
    while let Some(document) = open.pop() {
        for pointer in &document.pointers {
            if pointer.actual_size.is_some() {
                fails |= judge.fails_at(Obstacle::WrongSize, || document.location_of(pointer));
            }
            if seen.insert(&pointer.digest) {
                open.extend(archive.document(&pointer.digest));
            }
        }
    }
    fails
}

/// The index of a layout of version 1.0.0; nothing if the reader does not open it.
fn opened<'a>(judge: &mut Judge<'a>, finds_absolute: bool) -> Option<&'a Document> {
    let archive = judge.archive;
    let finds = |name: RootName| archive.finds(name.name(), finds_absolute);
    match &archive.layout_version {
        Some(Some(version)) if version == "1.0.0" && finds(RootName::OciLayout) => {}
        Some(_) if finds(RootName::OciLayout) => {
            judge.fails_at(Obstacle::LayoutVersion, || RootName::OciLayout.into());
            return None;
        }
        _ => {
            judge.fails_at(Obstacle::NoImageFile, || Location::Archive);
            return None;
        }
    }
    match &archive.index {
        Some(index) if finds(RootName::Index) => Some(index),
        _ => {
            judge.fails_at(Obstacle::NoIndex, || RootName::Index.into());
            None
        }
    }
}

/// Counts what a reader copies that takes every type.
fn copied<'a>(judge: &mut Judge<'a>, index: &'a Document, tally: &mut Tally<'a>) {
    let archive = judge.archive;
    let entries: Vec<&Pointer> = index.pointers_in(Role::Manifests).collect();
    let location = || Location::from(RootName::Index);
    if entries.is_empty() {
        judge.fails_at(Obstacle::NothingListed, location);
        return;
    }
    tally.must_choose = entries.len() > 1 && judge.fails_at(Obstacle::SeveralImages, location);
    for entry in entries {
        let is_listed = archive.document(&entry.digest).is_some();
        let missing = match is_listed {
            true => archive.missing(entry),
            false => Some((index, entry)),
        };
        if let Some((document, pointer)) = missing
            && judge.fails_at(Obstacle::MissingContent, || document.location_of(pointer))
        {
            tally.has_failed = true;
            continue;
        }
        let configs = archive.configs_below(entry);
        if configs.is_empty() {
            continue;
        }
        tally.configs.extend(configs);
        tally.has_unnamed |= entry.ref_name.is_none();
        tally.names.extend(entry.ref_name.clone());
    }
    note_only_in_docker_manifest(judge, tally);
}

/// Notes an image that only `manifest.json` lists.
pub(crate) fn note_only_in_docker_manifest(judge: &mut Judge<'_>, tally: &mut Tally<'_>) {
    if let Some((position, item)) = judge.archive.only_in_docker_manifest() {
        let place = || item_place(position, "Config", None, &item.config);
        tally.has_failed |= judge.fails_at(Obstacle::UnlistedImage, place);
    }
}
