//! podman and skopeo: the `oci-archive` and `docker-archive` transports of container-libs.
//!
//! Source: container-libs, `image/oci/archive`; podman, `common/libimage/load.go`.

mod tarfile;

use std::collections::HashSet;

use crate::engines::choice::{self, Choice};
use crate::engines::config::is_config_decoded;
use crate::engines::docker::{is_not_unpacked, is_unreadable};
use crate::engines::habit::Habit;
use crate::engines::image::{Image, Labels, match_diff_ids, of_content, reads_layers};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::engines::{Obstacle, Reader, Reason, containerd};
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Family};
use crate::image::{Digest, Reference, StatedDiffId};
use crate::location::{Location, Role, RootName};
pub(crate) use tarfile::{docker_archive, is_named_plainly, plain};

/// What `podman load` loads: from the first transport that reads the archive.
pub(crate) fn podman_load<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    if is_unreadable(judge) {
        return Tally::default();
    }
    if judge.has(Habit::TriesDockerFirst) {
        let tally = docker_archive(judge, &HashSet::new());
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
    let tally = docker_archive(judge, &tally.stored);
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
            _ => chosen(judge, pointer).and_then(|image| {
                let is_read = is_copied(judge, image) & reads_places(judge, image);
                let is_read = is_read & reads_config(judge, image);
                if !is_read && !tally.must_choose {
                    tally.stored.extend(stored(judge, image));
                }
                is_read.then(|| vec![image])
            }),
        };
        let Some(images) = images else {
            tally.has_failed = true;
            continue;
        };
        // The image is copied all the same, without what the layers should have.
        if lacks_layers(judge, &images) {
            tally.has_failed = true;
            tally.is_final = !tally.must_choose;
            let has_layers = |image: &Image<'_>| {
                let mut layers = image.manifest.pointers_in(Role::Layers);
                layers.next().is_some()
            };
            if !images.iter().any(has_layers) {
                continue;
            }
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
            // The types of its layers are read first, as in anything that is a Docker manifest.
            reads_layers(judge, image, Labels::Checked);
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
                // The types of layers count in anything that is a Docker manifest.
                let mut has_types = || reads_layers(judge, image, Labels::Checked);
                let has_types = is_image || has_types();
                let is_read = reads_places(judge, image) & reads_config(judge, image);
                !missing & has_types & (!is_image || is_copied(judge, image)) & is_read
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
    let diff_ids = diff_ids(judge, image);
    let layers: Vec<&Pointer> = manifest.pointers_in(Role::Layers).collect();
    // Those that the manifest lacks are not missed.
    let begin = diff_ids.get(..layers.len()).unwrap_or(diff_ids);
    let is_alike = || {
        let mut pairs = layers.iter().zip(begin);
        let digests = layers.iter().map(|layer| Some(&layer.digest));
        match_diff_ids(archive, digests, begin)
            && (begin.len() == diff_ids.len()
                || pairs.all(|(layer, diff_id)| archive.may_be(&layer.digest, diff_id)))
    };
    if judge.has(Habit::VerifiesDiffIds) && !is_alike() {
        let place = || manifest.path.clone().into();
        is_read &= !judge.fails_at(Obstacle::WrongLayers, place);
    }
    is_read &= is_config_decoded(judge, manifest);
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

/// Whether a reader finds the config and the layers of a manifest where it looks for them.
fn reads_places(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let archive = judge.archive;
    let document = image.manifest;
    let mut is_read = true;
    let parts = document.pointers.iter();
    for part in parts.filter(|part| matches!(part.role, Role::Layers | Role::Config)) {
        let place = || document.location_of(part);
        if part.has_urls && archive.content(&part.digest).is_some() {
            is_read &= !judge.fails_at(Obstacle::LayerUrls, place);
        }
    }
    is_read
}

/// Whether the config of a manifest has the stated size. The length of a layer is that of its file.
fn reads_config(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let document = image.manifest;
    let config = document.config();
    let config = config.filter(|config| config.actual_size.is_some());
    config
        .is_none_or(|config| !judge.fails_at(Obstacle::WrongSize, || document.location_of(config)))
}

/// The diff IDs of the layers that are in the store once an image could not be copied: those before the first layer that cannot be
/// copied. The config is copied last.
fn stored<'a>(judge: &mut Judge<'a>, image: Image<'_>) -> Vec<&'a StatedDiffId> {
    let archive = judge.archive;
    let manifest = image.manifest;
    // What is wrong with types is noticed before anything is copied, and the config is read first, too.
    let is_refused = judge.has_noted(&[
        Obstacle::LayerType,
        Obstacle::OtherLayerType,
        Obstacle::MixedTypes,
        Obstacle::MixedConfig,
    ]);
    let reads_urls = !judge.would_fail_at(Obstacle::LayerUrls);
    let is_elsewhere = |part: &Pointer| part.has_urls && archive.content(&part.digest).is_some();
    if is_refused || !reads_urls && manifest.config().is_some_and(is_elsewhere) {
        return Vec::new();
    }
    let is_checked = judge.has(Habit::VerifiesDiffIds);
    let layers = manifest.pointers_in(Role::Layers);
    let layers = layers.zip(diff_ids(judge, image));
    let copied = layers.take_while(|(layer, diff_id)| {
        let digest = &layer.digest;
        let is_it = || {
            let only = std::iter::once(Some(digest));
            match_diff_ids(archive, only, std::slice::from_ref(*diff_id))
                && archive.may_be(digest, diff_id)
        };
        (reads_urls || !is_elsewhere(layer))
            && !of_content(archive, digest).any(|obstacle| judge.would_fail_at(obstacle))
            && (!is_checked || is_it())
    });
    copied.map(|(_, diff_id)| diff_id).collect()
}

/// The diff IDs that the config of an image states.
fn diff_ids<'a>(judge: &Judge<'a>, image: Image<'_>) -> &'a [StatedDiffId] {
    let config = image.manifest.config();
    let facts = config.and_then(|config| judge.archive.config(&config.digest));
    facts.map_or(&[][..], |facts| &facts.diff_ids)
}

/// Whether a manifest lists fewer layers than its config, and the engine does not notice.
pub(crate) fn lacks_layers(judge: &mut Judge<'_>, images: &[Image<'_>]) -> bool {
    let mut lacks = false;
    for image in images {
        let manifest = image.manifest;
        let count = diff_ids(judge, *image).len();
        if manifest.pointers_in(Role::Layers).count() < count {
            let place = || manifest.path.clone().into();
            lacks |= judge.fails_at(Obstacle::FewerLayers, place);
        }
    }
    lacks
}
