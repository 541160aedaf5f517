//! podman and skopeo: the `oci-archive` and `docker-archive` transports of container-libs.
//!
//! Source: container-libs, `image/oci/archive`, `image/docker/internal/tarfile`; podman, `common/libimage/load.go`.

use std::collections::{BTreeMap, BTreeSet};

use crate::engines::choice::{self, Choice};
use crate::engines::docker::{
    is_not_unpacked, is_tagged_name, is_unreadable, listed_items, note_unlisted,
};
use crate::engines::habit::Habit;
use crate::engines::image::{
    Image, Labels, item_place, match_diff_ids, reads_content, reads_layers,
};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::engines::{Obstacle, Reader, Reason, containerd};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Family};
use crate::image::{Content, Digest, Reference, StatedDiffId};
use crate::inventory::LinkKind;
use crate::location::{Location, Role, RootName};

/// What `podman load` loads: from the first transport that reads the archive.
pub(crate) fn podman_load<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    if is_unreadable(judge) {
        return Tally::default();
    }
    if judge.has(Habit::TriesDockerFirst) {
        let tally = docker_archive(judge);
        if !tally.is_empty() {
            return tally;
        }
        judge.take_reasons();
    }
    let mut tally = oci_archive(judge);
    if tally.is_final || !tally.is_empty() && !tally.must_choose {
        containerd::note_unlisted(judge, &mut tally);
        return tally;
    }
    let of_layout = judge.take_reasons();
    let tally = docker_archive(judge);
    if tally.is_empty() {
        let of_docker = judge.take_reasons();
        // What is wrong with the image says more than which list is absent.
        let is_about_lists = |reason: &Reason| {
            matches!(
                reason.obstacle,
                Obstacle::NoIndex | Obstacle::SeveralImages | Obstacle::NothingListed
            )
        };
        // podman then says that it loaded the archive.
        let is_empty = |reason: &Reason| reason.obstacle == Obstacle::NothingListed;
        let is_about_docker =
            of_layout.iter().all(is_about_lists) || of_docker.iter().any(is_empty);
        let first = match is_about_docker {
            true => of_docker,
            false => of_layout,
        };
        judge.put_back(first);
    }
    tally
}

/// What is copied from `oci-archive:FILE`. The archive is unpacked, and `oci-layout` is not read.
pub(crate) fn oci_archive<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let mut tally = Tally::default();
    if is_unreadable(judge) || is_not_unpacked(judge) {
        return tally;
    }
    let location = || Location::from(RootName::Index);
    let index = match &archive.index {
        Some(index) if archive.finds(RootName::Index.name(), true) => index,
        _ => {
            judge.fails_at(Obstacle::NoIndex, location);
            return tally;
        }
    };
    let entries: Vec<&Pointer> = index.pointers_in(Role::Manifests).collect();
    match entries.len() {
        0 => {
            judge.fails_at(Obstacle::NothingListed, location);
            return tally;
        }
        1 => {}
        _ if judge.fails_at(Obstacle::SeveralImages, location) => tally.must_choose = true,
        _ => {}
    }
    for pointer in entries {
        let images = archive.images(pointer);
        if images.is_empty() {
            // Nobody chooses it.
            continue;
        }
        let is_unreachable = tally.must_choose
            && (pointer.ref_name.as_deref().is_none_or(str::is_empty)
                || media_type::family(&pointer.media_type) == Some(Family::Docker)
                    && judge.fails_at(Obstacle::DockerTypeByName, || index.location_of(pointer)));
        if is_unreachable {
            tally.has_failed = true;
            continue;
        }
        let names = [&pointer.image_name, &pointer.ref_name]
            .into_iter()
            .flatten();
        let mut names = names.filter(|name| !name.is_empty());
        let name = names.next();
        // A digest is taken for a name and a tag.
        let is_name =
            |name: &String| Reference::parse(name).is_some() || name.parse::<Digest>().is_ok();
        let is_invalid = name.is_some_and(|name| !is_name(name));
        if is_invalid && judge.fails_at(Obstacle::InvalidName, || index.location_of(pointer)) {
            tally.has_failed = true;
            continue;
        }
        let images = match judge.reader {
            // It copies all, and with them what is not an image.
            Reader::SkopeoOci => are_copied(judge, pointer, &images).then_some(images),
            _ => chosen(judge, pointer)
                .filter(|image| is_copied(judge, *image) & reads_parts(judge, *image))
                .map(|image| vec![image]),
        };
        let Some(images) = images else {
            tally.has_failed = true;
            continue;
        };
        // The image is copied all the same, without what the layers should have.
        if !has_all_layers(judge, &images) {
            tally.has_failed = true;
            tally.is_final = true;
            continue;
        }
        let configs = images.iter().filter_map(|image| image.manifest.config());
        tally.configs.extend(configs.map(|config| &config.digest));
        tally.has_unnamed |= name.is_none();
        tally.names.extend(name.cloned());
    }
    tally
}

/// The image of an entry that is copied: the one for the machine. Nothing if it cannot be.
fn chosen<'a>(judge: &mut Judge<'a>, entry: &'a Pointer) -> Option<Image<'a>> {
    let archive = judge.archive;
    let (obstacle, location) = match choice::by_container_libs(archive, entry) {
        Choice::Manifest(image) if !archive.is_image(image.manifest, image.pointer) => {
            (Obstacle::Artifact, image.manifest.path.clone().into())
        }
        Choice::Manifest(image) => match archive.missing_part(image) {
            None => return Some(image),
            Some((document, part)) => (Obstacle::MissingContent, document.location_of(part)),
        },
        Choice::Nothing => (
            Obstacle::NoPlatform,
            containerd::entry_place(archive, entry),
        ),
        Choice::Index(index, inner) => (Obstacle::NestedIndex, index.location_of(inner)),
        Choice::Absent(index, child) => (Obstacle::MissingContent, index.location_of(child)),
    };
    judge.fails_at(obstacle, || location);
    None
}

/// Whether all images of an entry can be copied, and with them what is not an image.
fn are_copied(judge: &mut Judge<'_>, entry: &Pointer, images: &[Image<'_>]) -> bool {
    let archive = judge.archive;
    let has_complete = images.iter().any(|image| archive.is_complete(*image));
    let absent = match has_complete {
        true => Obstacle::AbsentPlatform,
        false => Obstacle::MissingContent,
    };
    let mut are_copied = true;
    for copied in archive.manifests_in_order(entry) {
        are_copied &= match copied {
            Choice::Manifest(image) => {
                let missing = archive.missing_part(image).is_some_and(|(document, part)| {
                    judge.fails_at(absent, || document.location_of(part))
                });
                let is_image = archive.is_image(image.manifest, image.pointer);
                !missing & (!is_image || is_copied(judge, image)) & reads_parts(judge, image)
            }
            Choice::Index(index, inner) => {
                !judge.fails_at(Obstacle::NestedIndex, || index.location_of(inner))
            }
            Choice::Absent(index, child) => !judge.fails_at(absent, || index.location_of(child)),
            Choice::Nothing => true,
        };
    }
    are_copied
}

fn is_copied(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let archive = judge.archive;
    let mut is_read = reads_layers(judge, image, Labels::Checked);
    let manifest = image.manifest;
    let config = manifest.config();
    let facts = config.and_then(|config| archive.config(&config.digest));
    let diff_ids = facts.map_or(&[][..], |facts| &facts.diff_ids);
    let layers: Vec<&Pointer> = manifest.pointers_in(Role::Layers).collect();
    let digests = layers.iter().map(|layer| Some(&layer.digest));
    let is_checked = judge.has(Habit::VerifiesDiffIds);
    let has_more = layers.len() > diff_ids.len();
    let is_alike = layers.len() < diff_ids.len() || match_diff_ids(archive, digests, diff_ids);
    if is_checked && (has_more || !is_alike) {
        let place = || manifest.path.clone().into();
        is_read &= !judge.fails_at(Obstacle::WrongLayers, place);
    }
    let stated = manifest.media_type.as_deref();
    let declared = stated.unwrap_or(&image.pointer.media_type);
    if let Some(config) = manifest.config()
        && media_type::family(declared) == Some(Family::Oci)
        && media_type::family(&config.media_type) == Some(Family::Docker)
    {
        let place = || manifest.location_of(config);
        is_read &= !judge.fails_at(Obstacle::MixedConfig, place);
    }
    is_read
}

/// Whether a reader copes with the descriptors of a manifest's config and layers.
fn reads_parts(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let archive = judge.archive;
    let document = image.manifest;
    let mut is_read = true;
    let parts = document.pointers.iter();
    for part in parts.filter(|part| matches!(part.role, Role::Layers | Role::Config)) {
        let place = || document.location_of(part);
        if part.has_urls && archive.content(&part.digest).is_some() {
            is_read &= !judge.fails_at(Obstacle::LayerUrls, place);
        }
        // The length of a layer is that of its file.
        if part.role == Role::Config && part.actual_size.is_some() {
            is_read &= !judge.fails_at(Obstacle::WrongSize, place);
        }
    }
    is_read
}

fn has_all_layers(judge: &mut Judge<'_>, images: &[Image<'_>]) -> bool {
    let archive = judge.archive;
    // Only running shows it.
    if judge.reader != Reader::Podman {
        return true;
    }
    let mut has_all = true;
    for image in images {
        let manifest = image.manifest;
        let config = manifest.config();
        let facts = config.and_then(|config| archive.config(&config.digest));
        let count = facts.map_or(0, |facts| facts.diff_ids.len());
        if manifest.pointers_in(Role::Layers).count() < count {
            let place = || manifest.path.clone().into();
            has_all &= !judge.fails_at(Obstacle::WrongLayers, place);
        }
    }
    has_all
}

/// What is copied from `docker-archive:FILE`. Entries are found by their cleaned names, and links are not followed
/// when layers are measured.
pub(crate) fn docker_archive<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let mut tally = Tally::default();
    let is_gzip = judge.archive.outer == Some(Content::Gzip);
    if is_unreadable(judge)
        || is_gzip && judge.fails_at(Obstacle::OuterGzipDocker, || Location::Archive)
    {
        return tally;
    }
    let absent = (Obstacle::NoDockerManifest, RootName::DockerManifest.into());
    let Some(items) = listed_items(judge, false, absent) else {
        return tally;
    };
    // podman loads all of them.
    if items.len() > 1
        && matches!(
            judge.reader,
            Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker | Reader::Regctl
        )
        && judge.fails_at(Obstacle::SeveralImages, || RootName::DockerManifest.into())
    {
        tally.must_choose = true;
    }
    for (position, item) in items.iter().enumerate() {
        let is_read = is_item_copied(judge, item, position, items.len() == 1);
        tally.add_item(item, is_read);
    }
    note_unlisted(judge, &mut tally);
    // podman stops at the first image that it cannot load.
    if tally.has_failed && judge.reader == Reader::Podman && items.len() > 1 {
        tally.configs.clear();
    }
    tally
}

fn is_item_copied(
    judge: &mut Judge<'_>,
    item: &DockerArchiveItem,
    position: usize,
    is_only: bool,
) -> bool {
    let archive = judge.archive;
    let config = || item_place(position, "Config", None, &item.config);
    let Some(digest) = &item.config_digest else {
        return !judge.fails_at(Obstacle::MissingContent, config);
    };
    if !archive.is_image_config(digest) {
        return !judge.fails_at(Obstacle::Artifact, config);
    }
    let mut is_read = is_named_plainly(judge, &item.config, config);
    let layers = item.layer_digests.iter().map(Option::as_ref);
    if !match_diff_ids(archive, layers, &item.diff_ids) {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, config);
    }
    let mut seen = BTreeSet::new();
    let mut files: BTreeMap<String, &StatedDiffId> = BTreeMap::new();
    let mut measured: BTreeSet<&str> = BTreeSet::new();
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        // A layer that the image has twice is read once.
        let Some(diff_id) = item.diff_ids.get(index) else {
            continue;
        };
        if !seen.insert(diff_id.to_string()) {
            continue;
        }
        let location = || item_place(position, "Layers", Some(index), name);
        if files.insert(name.clone(), diff_id).is_some() {
            is_read &= !judge.fails_at(Obstacle::SharedFile, location);
        }
        let content = digest.as_ref().and_then(|digest| archive.content(digest));
        is_read &= is_named_plainly(judge, name, location);
        match archive.names.links.get(plain(name)) {
            Some(LinkKind::Hard) => is_read &= !judge.fails_at(Obstacle::HardLink, location),
            Some(LinkKind::Symbolic(target)) if !measured.contains(target.as_str()) => {
                is_read &= !judge.fails_at(Obstacle::SymbolicLink, location);
            }
            _ if content.is_none() => {
                is_read &= !judge.fails_at(Obstacle::MissingContent, location);
            }
            _ => {}
        }
        measured.insert(plain(name));
        let is_twice = digest
            .as_ref()
            .is_some_and(|digest| archive.other_than_tar(digest) == Some(Obstacle::LayerTwice));
        if !is_twice || !judge.has(Habit::DecompressesTwice) {
            is_read &= reads_content(judge, digest.as_ref(), location);
        }
    }
    for tag in &item.repo_tags {
        // skopeo compares names with the requested one, and needs none for an only image.
        let is_read_at_all = match judge.reader {
            Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker => {
                !is_only && Reference::parse(tag).is_none()
            }
            _ => true,
        };
        if is_read_at_all && !is_tagged_name(tag) {
            let place = || item_place(position, "RepoTags", None, tag);
            is_read &= !judge.fails_at(Obstacle::InvalidTag, place);
        }
    }
    is_read
}

/// A path of `manifest.json` without what precedes a plain name.
pub(crate) fn plain(path: &str) -> &str {
    path.trim_start_matches("./")
}

/// Whether a reader that does not find absolute names finds what a path of `manifest.json` names.
pub(crate) fn is_named_plainly(
    judge: &mut Judge<'_>,
    path: &str,
    location: impl FnOnce() -> Location,
) -> bool {
    let is_absolute = judge.archive.names.absolute.contains(plain(path));
    !is_absolute || !judge.fails_at(Obstacle::UncleanName, location)
}
