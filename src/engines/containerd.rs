//! containerd's importer, which Docker's containerd store, k3s and kind use too.
//!
//! Source: containerd, `images/archive/importer.go` and `images/mediatypes.go`. Names of entries are cleaned, absolute
//! ones are others, and hard links are not found. A valid `oci-layout` decides that `index.json` is read; otherwise
//! `manifest.json` is.

use std::collections::{BTreeMap, BTreeSet};

use crate::engines::archive::DockerManifest;
use crate::engines::choice::{self, Choice};
use crate::engines::config::{is_config_decoded, is_decoded};
use crate::engines::containers::is_named_plainly;
use crate::engines::docker::{is_unreadable, listed_items};
use crate::engines::habit::Habit;
use crate::engines::image::{
    Image, Labels, item_config, item_place, match_diff_ids, reads_content, reads_layers,
};
use crate::engines::judge::Judge;
use crate::engines::machine::Fit;
use crate::engines::verdict::Tally;
use crate::engines::{Archive, Obstacle, Reader};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::image::{Digest, Reference};
use crate::inventory::LinkKind;
use crate::location::{Location, Role, RootName};

/// With what containerd marks referrers that it exports.
const SUBJECT: &str = "io.containerd.manifest.subject";

/// What the engine loads.
pub(crate) fn import<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    if is_unreadable(judge) {
        return Tally::default();
    }
    let finds = |name: RootName| archive.finds(name.name(), false);
    // It is decoded even if index.json is what counts.
    if let DockerManifest::Other {
        is_decodable: false,
    } = &archive.docker
        && finds(RootName::DockerManifest)
        && judge.fails_at(Obstacle::OtherDockerManifest, || {
            RootName::DockerManifest.into()
        })
    {
        return Tally::default();
    }
    let layout_file = archive.layout_version.as_ref();
    let layout_file = layout_file.filter(|_| finds(RootName::OciLayout));
    match layout_file.map(|version| version.as_deref()) {
        Some(Some("1.0.0")) => import_layout(judge),
        // A file without a version is as good as none.
        Some(None | Some(_)) if layout_file != Some(&Some(String::new())) => {
            judge.fails_at(Obstacle::LayoutVersion, || RootName::OciLayout.into());
            Tally::default()
        }
        _ => import_docker(judge),
    }
}

fn import_layout<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let location = || Location::from(RootName::Index);
    let index = match &archive.index {
        Some(index) if archive.finds(RootName::Index.name(), false) => index,
        _ => {
            judge.fails_at(Obstacle::NoIndex, location);
            return Tally::default();
        }
    };
    let mut tally = Tally::default();
    if index.pointers_in(Role::Manifests).next().is_none() {
        judge.fails_at(Obstacle::NothingListed, location);
        return tally;
    }
    // It then walks nothing.
    let is_other = |entry: &Pointer| archive.machine.fit(entry) == Fit::Other;
    if index.pointers_in(Role::Manifests).all(is_other)
        && !judge.has(Habit::ReadsAllPlatforms)
        && judge.fails_at(Obstacle::NoPlatform, location)
    {
        return tally;
    }
    let kept = index.pointers_in(Role::Manifests);
    let kept = kept.filter(|entry| name(entry).is_some() && !is_other(entry));
    let kept: BTreeSet<&Digest> = kept.map(|entry| &entry.digest).collect();
    let mut named: BTreeMap<&str, (&Digest, Option<&Digest>)> = BTreeMap::new();
    for pointer in index.pointers_in(Role::Manifests) {
        let place = || index.location_of(pointer);
        let name = name(pointer);
        let earlier = name.and_then(|name| named.insert(name, (&pointer.digest, None)));
        if let Some((_, config)) = earlier.filter(|(earlier, _)| **earlier != pointer.digest)
            && judge.fails_at(Obstacle::RepeatedName, place)
        {
            tally.has_failed = true;
            // The name now leads to this entry.
            if let Some(config) = config {
                tally.configs.remove(config);
            }
        }
        if judge.has(Habit::ReadsAllPlatforms) {
            tally.has_failed |= !are_documents(judge, pointer);
        }
        let images = archive.images(pointer);
        if images.is_empty() {
            let is_short = name.is_some_and(is_short);
            if is_short && judge.fails_at(Obstacle::ShortName, place) {
                tally.has_failed = true;
                continue;
            }
            let is_filtered =
                archive.machine.fit(pointer) == Fit::Other && !judge.has(Habit::ReadsAllPlatforms);
            let obstacle = match (name, archive.document(&pointer.digest)) {
                (None, None) if is_filtered => continue,
                (_, None) => Obstacle::MissingContent,
                (Some(_), _) => Obstacle::Artifact,
                // It gets a digest for a name, and is unpacked like an image.
                (None, _) if judge.reader == Reader::Kind => {
                    match unpacked_evidence(archive, pointer) {
                        Some(obstacle) => obstacle,
                        None => continue,
                    }
                }
                (None, _) if has_subject(pointer) => Obstacle::Referrer,
                (None, _) => Obstacle::UnnamedEvidence,
            };
            tally.has_failed |= judge.fails_at(obstacle, place);
            continue;
        }
        let is_dropped = name.is_none() && judge.fails_at(Obstacle::NoName, place)
            || name.is_some_and(is_short) && judge.fails_at(Obstacle::ShortName, place)
            || name.is_some_and(is_invalid) && judge.fails_at(Obstacle::InvalidName, place);
        // It gets its name, but the garbage collector removes its content, unless another name keeps that.
        if !is_dropped
            && !judge.has(Habit::ReadsAllPlatforms)
            && archive.machine.fit(pointer) == Fit::Other
            && !kept.contains(&pointer.digest)
            && judge.fails_at(Obstacle::NoPlatform, place)
        {
            tally.has_failed = true;
            continue;
        }
        match loaded(judge, pointer, &images).filter(|_| !is_dropped) {
            Some(image) => {
                let config = image.manifest.config().map(|config| &config.digest);
                if let Some(named) = name.and_then(|name| named.get_mut(name)) {
                    named.1 = config;
                }
                tally.configs.extend(config);
                tally.names.extend(name.map(str::to_owned));
                tally.has_unnamed |= name.is_none();
            }
            None => tally.has_failed = true,
        }
    }
    note_unlisted(judge, &mut tally);
    tally
}

/// Notes an image that only `manifest.json` lists, for a reader of `index.json`.
pub(crate) fn note_unlisted(judge: &mut Judge<'_>, tally: &mut Tally<'_>) {
    if let Some((position, item)) = judge.archive.only_in_docker_manifest() {
        let location = || item_place(position, "Config", None, &item.config);
        tally.has_failed |= judge.fails_at(Obstacle::UnlistedImage, location);
    }
}

/// The image of an entry that is loaded, if the engine can load it.
fn loaded<'a>(
    judge: &mut Judge<'a>,
    entry: &'a Pointer,
    images: &[Image<'a>],
) -> Option<Image<'a>> {
    let archive = judge.archive;
    let missing = match judge.has(Habit::ReadsAllPlatforms) {
        true => {
            let missing = archive.missing_document(entry, |_| true);
            missing.map(|missing| (Obstacle::AbsentPlatform, missing))
        }
        false => {
            let is_followed = |child: &Pointer| archive.machine.fit(child) != Fit::Other;
            let missing = archive.missing_document(entry, is_followed);
            missing.map(|missing| (Obstacle::MissingContent, missing))
        }
    };
    if let Some((obstacle, (document, pointer))) = missing
        && judge.fails_at(obstacle, || document.location_of(pointer))
    {
        return None;
    }
    let mut is_read = true;
    let unpacks_all = judge.has(Habit::UnpacksAllPlatforms);
    // One without its config is left alone.
    let has_config = |image: &&Image<'_>| {
        let config = image.manifest.config();
        config.is_some_and(|config| archive.content(&config.digest).is_some())
    };
    for image in images
        .iter()
        .filter(|image| unpacks_all && has_config(image))
    {
        is_read &= is_unpacked(judge, *image);
    }
    let chosen = match choice::by_containerd(judge, entry) {
        Choice::Manifest(image) => image,
        Choice::Nothing => {
            judge.fails_at(Obstacle::NoPlatform, || entry_place(archive, entry));
            return None;
        }
        Choice::Absent(document, pointer) => {
            judge.fails_at(Obstacle::MissingContent, || document.location_of(pointer));
            return None;
        }
        Choice::Index(index, inner) => {
            judge.fails_at(Obstacle::NestedIndex, || index.location_of(inner));
            return None;
        }
    };
    if !archive.is_image(chosen.manifest, chosen.pointer) {
        judge.fails_at(Obstacle::Artifact, || chosen.manifest.path.clone().into());
        return None;
    }
    if !unpacks_all || !has_config(&&chosen) {
        is_read &= is_unpacked(judge, chosen);
    }
    is_read.then_some(chosen)
}

/// Where an index lists the manifests of an entry.
pub(crate) fn entry_place(archive: &Archive<'_>, entry: &Pointer) -> Location {
    match archive.document(&entry.digest) {
        Some(document) => document.path.clone().into(),
        None => RootName::Index.into(),
    }
}

/// Whether everything below an entry whose media type is that of a document is one: the engine follows it, in artifacts too.
pub(crate) fn are_documents(judge: &mut Judge<'_>, entry: &Pointer) -> bool {
    let archive = judge.archive;
    let mut are_documents = true;
    for document in archive.documents_below(entry) {
        for layer in document.pointers_in(Role::Layers) {
            let claims_document = matches!(layer.kind, Kind::Index | Kind::Manifest);
            if claims_document && archive.document(&layer.digest).is_none() {
                let place = || document.location_of(layer);
                are_documents &= !judge.fails_at(Obstacle::OtherLayerType, place);
            }
        }
    }
    are_documents
}

fn is_unpacked(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let archive = judge.archive;
    if let Some((document, part)) = archive.missing_part(image)
        && judge.fails_at(Obstacle::MissingContent, || document.location_of(part))
    {
        return false;
    }
    let manifest = image.manifest;
    let config = manifest.config();
    let facts = config.and_then(|config| archive.config(&config.digest));
    let layers: Vec<_> = manifest.pointers_in(Role::Layers).collect();
    let digests = layers.iter().map(|layer| Some(&layer.digest));
    let diff_ids = facts.map_or(&[][..], |facts| &facts.diff_ids);
    let mut is_read = true;
    if !match_diff_ids(archive, digests, diff_ids) {
        let place = || manifest.path.clone().into();
        is_read &= !judge.fails_at(Obstacle::WrongLayers, place);
    }
    is_read &= is_config_decoded(judge, manifest);
    is_read & reads_layers(judge, image, Labels::Trusted)
}

fn import_docker<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let absent = (Obstacle::NoImageFile, Location::Archive);
    let Some(items) = listed_items(judge, false, absent) else {
        return Tally::default();
    };
    if let Some(link) = &judge.archive.names.dangling_link
        && judge.fails_at(Obstacle::DanglingLink, || Location::entry(link))
    {
        return Tally::default();
    }
    let mut tally = Tally::default();
    for (position, item) in items.iter().enumerate() {
        let is_read = is_imported(judge, item, position);
        tally.add_item(item, is_read);
    }
    tally
}

fn is_imported(judge: &mut Judge<'_>, item: &DockerArchiveItem, position: usize) -> bool {
    let archive = judge.archive;
    let config = || item_place(position, "Config", None, &item.config);
    let mut is_read = true;
    if !is_clean(&item.config) {
        is_read &= !judge.fails_at(Obstacle::UncleanPath, config);
    }
    is_read &= is_named_plainly(judge, &item.config, config);
    match item_config(judge, item, position) {
        Ok(digest) => is_read &= is_decoded(judge, digest, config),
        Err(is_passed) => return is_passed && is_read,
    }
    if item.repo_tags.is_empty() {
        is_read &= !judge.fails_at(Obstacle::NoName, config);
    }
    let layers = item.layer_digests.iter().map(Option::as_ref);
    if !match_diff_ids(archive, layers, &item.diff_ids) {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, config);
    }
    // It takes the platform from the config, and then drops what is for another one.
    let facts = item.config_digest.as_ref();
    let facts = facts.and_then(|digest| archive.config(digest));
    let has_variant = judge.has(Habit::ReadsVariants);
    let is_other = facts.is_some_and(|facts| !archive.machine.runs(facts.stated(), has_variant));
    if is_other && !judge.has(Habit::ReadsAllPlatforms) {
        is_read &= !judge.fails_at(Obstacle::NoPlatform, config);
    }
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        let location = || item_place(position, "Layers", Some(index), name);
        let content = digest.as_ref().and_then(|digest| archive.content(digest));
        is_read &= is_named_plainly(judge, name, location);
        if !is_clean(name) {
            is_read &= !judge.fails_at(Obstacle::UncleanPath, location);
        } else if archive.names.links.get(name) == Some(&LinkKind::Hard) {
            is_read &= !judge.fails_at(Obstacle::HardLink, location);
        } else if content.is_none() {
            is_read &= !judge.fails_at(Obstacle::MissingContent, location);
        }
        is_read &= reads_content(judge, digest.as_ref(), location);
    }
    is_read
}

/// Whether a path is looked up as it is written.
fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The name that the importer gives to an entry.
fn name(pointer: &Pointer) -> Option<&str> {
    let names = [&pointer.image_name, &pointer.ref_name];
    let mut names = names.into_iter().flatten().map(String::as_str);
    names.find(|name| !name.is_empty())
}

/// Whether a name lacks a registry, which Docker looks for.
fn is_short(name: &str) -> bool {
    let full = Reference::parse(name).map(|parsed| parsed.full());
    full.is_some_and(|full| full != name)
}

/// Whether a name is not one that Docker can look for.
fn is_invalid(name: &str) -> bool {
    Reference::parse(name).is_none() && name.parse::<Digest>().is_err()
}

/// What is in the way of unpacking evidence like an image, as kind does; nothing if it has its config and no layers.
fn unpacked_evidence(archive: &Archive<'_>, entry: &Pointer) -> Option<Obstacle> {
    let manifests = archive.documents_below(entry);
    let mut configs = manifests.iter().filter_map(|manifest| manifest.config());
    if configs.any(|config| archive.content(&config.digest).is_none()) {
        return Some(Obstacle::UnnamedEvidence);
    }
    let mut manifests = manifests.iter();
    let manifest =
        manifests.find(|manifest| manifest.pointers_in(Role::Layers).next().is_some())?;
    match manifest.config().map(|config| config.kind) {
        Some(Kind::Config) => Some(Obstacle::UnnamedEvidence),
        _ => Some(Obstacle::Referrer),
    }
}

/// Whether an annotation says which manifest the entry is about.
fn has_subject(pointer: &Pointer) -> bool {
    pointer.links.iter().any(|link| link.annotation == SUBJECT)
}
