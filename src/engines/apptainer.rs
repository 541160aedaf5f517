//! What `apptainer build` builds since it reads archives with go-containerregistry.
//!
//! Source: apptainer, `internal/pkg/ociimage` and `internal/pkg/build/sources`; go-containerregistry, `pkg/v1/layout`. The archive is unpacked by
//! a simple loop that creates directories and files, and nothing else. The layout then has to have one entry. Sizes of layers are compared,
//! digests and diff IDs are not, and layers are decompressed by their first bytes.

use crate::engines::config::is_config_decoded;
use crate::engines::containers::lacks_layers;
use crate::engines::crane::{self, has_known_digests};
use crate::engines::docker::is_unreadable;
use crate::engines::image::{Image, reads_content};
use crate::engines::judge::Judge;
use crate::engines::layout::note_only_in_docker_manifest;
use crate::engines::verdict::Tally;
use crate::engines::{Archive, Obstacle};
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::Digest;
use crate::image::media_type::{self, Kind};
use crate::inventory::LinkKind;
use crate::location::{Location, Role, RootName};

/// What of a platform says that a manifest is an attestation.
const UNKNOWN: &str = "unknown";

/// What is built from `docker-archive:FILE`: the image layout if the archive contains one under plain names.
pub(crate) fn docker_archive<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let is_plain = |name: RootName| {
        let name = name.name();
        let names = &archive.names;
        archive.finds(name, false)
            && !names.renamed.contains(name)
            && !names.links.contains_key(name)
    };
    let is_layout = archive.layout_version.is_some()
        && archive.index.is_some()
        && is_plain(RootName::OciLayout)
        && is_plain(RootName::Index);
    match is_layout {
        true => oci_archive(judge),
        false => crane::tarball(judge),
    }
}

/// What is built from `oci-archive:FILE`.
pub(crate) fn oci_archive<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let archive = judge.archive;
    let mut tally = Tally::default();
    if is_unreadable(judge) || is_not_unpacked(judge) {
        return tally;
    }
    let location = || Location::from(RootName::Index);
    let index = match &archive.index {
        Some(index) if is_unpacked(archive, RootName::Index.name()) => index,
        _ => {
            judge.fails_at(Obstacle::NoIndex, location);
            return tally;
        }
    };
    let entries: Vec<&Pointer> = index.pointers_in(Role::Manifests).collect();
    let is_first = |entry: &Pointer| {
        entries
            .first()
            .is_some_and(|first| first.digest == entry.digest)
    };
    let obstacle = match entries.len() {
        0 => Some(Obstacle::NothingListed),
        1 => None,
        _ if entries.iter().all(|entry| is_first(entry)) => Some(Obstacle::SeveralNames),
        _ => Some(Obstacle::SeveralImages),
    };
    if obstacle.is_some_and(|obstacle| judge.fails_at(obstacle, location)) {
        return tally;
    }
    for entry in entries {
        let image = match are_digests_known(judge, index) {
            true => chosen(judge, index, entry),
            false => None,
        };
        match image.filter(|image| is_built(judge, *image)) {
            Some(image) => {
                let config = image.manifest.config();
                tally.configs.extend(config.map(|config| &config.digest));
            }
            None => tally.has_failed = true,
        }
        if let Some(image) = image {
            tally.has_failed |= lacks_layers(judge, &[image]);
        }
    }
    note_only_in_docker_manifest(judge, &mut tally);
    tally
}

/// Whether an entry stops the loop that unpacks the archive.
fn is_not_unpacked(judge: &mut Judge<'_>) -> bool {
    let names = &judge.archive.names;
    let is_refused = names.has_root && judge.fails_at(Obstacle::RootEntry, || Location::Archive);
    let without = names.before_directory.as_ref();
    let is_stopped =
        without.is_some_and(|name| judge.fails_at(Obstacle::NoDirectory, || Location::entry(name)));
    is_refused || is_stopped
}

/// Whether the file of that name is there once the archive is unpacked: links are not.
fn is_unpacked(archive: &Archive<'_>, name: &str) -> bool {
    archive.finds(name, true) && !archive.names.links.contains_key(name)
}

/// Whether a document's digests are SHA-256, which is the only algorithm that go-containerregistry knows.
fn are_digests_known(judge: &mut Judge<'_>, document: &Document) -> bool {
    let mut pointers = document.pointers.iter();
    let other = pointers.find(|pointer| pointer.digest.algorithm_name() != "sha256");
    other.is_none_or(|other| !judge.fails_at(Obstacle::OtherDigest, || document.location_of(other)))
}

/// The only image, or that for the machine, if it is found.
fn chosen<'a>(judge: &mut Judge<'a>, index: &'a Document, entry: &'a Pointer) -> Option<Image<'a>> {
    let archive = judge.archive;
    let is_index = entry.kind == Kind::Index;
    let document = found(judge, index, entry)?;
    if !is_index {
        return image_of(judge, index, entry, document);
    }
    if !are_digests_known(judge, document) {
        return None;
    }
    for child in document.pointers_in(Role::Manifests) {
        let location = || document.location_of(child);
        let Some(platform) = child.platform.as_deref() else {
            if !child.has_platform && judge.fails_at(Obstacle::UnstatedPlatform, location) {
                return None;
            }
            continue;
        };
        let is_attestation = platform.os == UNKNOWN && platform.architecture == UNKNOWN;
        if !is_attestation && archive.machine.is_satisfied_by(platform) {
            let manifest = found(judge, document, child)?;
            return image_of(judge, document, child, manifest);
        }
    }
    judge.fails_at(Obstacle::NoPlatform, || document.path.clone().into());
    None
}

/// The index or manifest that a descriptor leads to, if it is there.
fn found<'a>(judge: &mut Judge<'a>, parent: &Document, pointer: &Pointer) -> Option<&'a Document> {
    let is_there = is_blob_found(judge, &pointer.digest, || parent.location_of(pointer));
    judge.archive.document(&pointer.digest).filter(|_| is_there)
}

fn image_of<'a>(
    judge: &mut Judge<'a>,
    parent: &Document,
    pointer: &'a Pointer,
    manifest: &'a Document,
) -> Option<Image<'a>> {
    let location = || parent.location_of(pointer);
    let obstacle = match pointer.kind {
        Kind::Manifest => None,
        Kind::Index => Some(Obstacle::NestedIndex),
        _ => Some(Obstacle::DocumentType),
    };
    if obstacle.is_some_and(|obstacle| judge.fails_at(obstacle, location)) {
        return None;
    }
    Some(Image { manifest, pointer })
}

/// Whether a blob is a file once the archive is unpacked.
fn is_blob_found(judge: &mut Judge<'_>, digest: &Digest, location: impl Fn() -> Location) -> bool {
    let archive = judge.archive;
    let obstacle = match archive.names.links.get(&digest.blob_name()) {
        Some(LinkKind::Hard) => Obstacle::HardLink,
        Some(LinkKind::Symbolic(_)) => Obstacle::SymbolicLink,
        None if archive.content(digest).is_some() || archive.document(digest).is_some() => {
            return true;
        }
        None => Obstacle::MissingContent,
    };
    !judge.fails_at(obstacle, location)
}

/// Whether an image is copied and unpacked.
fn is_built(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let archive = judge.archive;
    let manifest = image.manifest;
    let place = || Location::from(manifest.path.clone());
    let mut is_read = are_digests_known(judge, manifest);
    if !archive.is_image(manifest, image.pointer) {
        is_read &= !judge.fails_at(Obstacle::Artifact, place);
    }
    for part in &manifest.pointers {
        let location = || manifest.location_of(part);
        if matches!(part.role, Role::Config | Role::Layers) {
            is_read &= is_blob_found(judge, &part.digest, location);
        }
        if part.role == Role::Layers {
            if part.actual_size.is_some() {
                is_read &= !judge.fails_at(Obstacle::WrongSize, location);
            }
            is_read &= reads_content(judge, Some(&part.digest), location);
        }
    }
    is_read &= is_config_decoded(judge, manifest);
    is_read & has_known_layer(judge, manifest) & are_diff_ids_known(judge, image)
}

/// Whether an image has a layer of a type that go-containerregistry knows. One is enough for all of them to be unpacked.
fn has_known_layer(judge: &mut Judge<'_>, manifest: &Document) -> bool {
    let mut layers = manifest.pointers_in(Role::Layers);
    let Some(first) = layers.next() else {
        return !judge.fails_at(Obstacle::NoLayers, || manifest.path.clone().into());
    };
    let is_known = |layer: &Pointer| {
        media_type::family(&layer.media_type).is_some() && matches!(layer.kind, Kind::Layer { .. })
    };
    if is_known(first) || layers.any(is_known) {
        return true;
    }
    let obstacle = match first.kind {
        Kind::Layer { .. } => Obstacle::LayerType,
        _ => Obstacle::OtherLayerType,
    };
    !judge.fails_at(obstacle, || manifest.location_of(first))
}

fn are_diff_ids_known(judge: &mut Judge<'_>, image: Image<'_>) -> bool {
    let Some(config) = image.manifest.config() else {
        return true;
    };
    let facts = judge.archive.config(&config.digest);
    facts.is_none_or(|facts| {
        has_known_digests(judge, &facts.diff_ids, || {
            image.manifest.location_of(config)
        })
    })
}
