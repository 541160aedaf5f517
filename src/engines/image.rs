//! The images of an archive, and what their layers need.

use std::collections::{BTreeMap, BTreeSet};

use crate::engines::archive::DockerManifest;
use crate::engines::choice::Choice;
use crate::engines::judge::Judge;
use crate::engines::{Archive, Obstacle};
use crate::graph::ManifestRole;
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Family, Kind};
use crate::image::{Compression, Content, Digest, StatedDiffId};
use crate::location::{Location, Role};

/// An image, or another manifest, below an entry of an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image<'a> {
    pub(crate) manifest: &'a Document,
    /// The descriptor that leads to the manifest.
    pub(crate) pointer: &'a Pointer,
}

impl<'a> Archive<'a> {
    /// The images that an entry of `index.json` leads to.
    pub(crate) fn images<'s>(&'s self, entry: &'s Pointer) -> Vec<Image<'s>> {
        let manifests = self.manifests_below(entry).into_iter();
        let images = manifests.filter(|image| self.is_image(image.manifest, image.pointer));
        images.collect()
    }

    /// The manifests that an entry of `index.json` leads to.
    pub(crate) fn documents_below<'s>(&'s self, entry: &'s Pointer) -> Vec<&'s Document> {
        let manifests = self.manifests_below(entry).into_iter();
        manifests.map(|image| image.manifest).collect()
    }

    /// What an entry of `index.json` lists, in its order; an index within an index is not followed.
    pub(crate) fn manifests_in_order<'s>(&'s self, entry: &'s Pointer) -> Vec<Choice<'s>> {
        let Some(document) = self.document(&entry.digest) else {
            return Vec::new();
        };
        if document.shape == Shape::Manifest {
            let manifest = document;
            let pointer = entry;
            return vec![Choice::Manifest(Image { manifest, pointer })];
        }
        let children = document.pointers_in(Role::Manifests);
        let children = children.map(|pointer| match self.document(&pointer.digest) {
            None => Choice::Absent(document, pointer),
            Some(inner) if inner.shape == Shape::Index => Choice::Index(document, pointer),
            Some(manifest) => Choice::Manifest(Image { manifest, pointer }),
        });
        children.collect()
    }

    /// The manifests that an entry of `index.json` leads to, with the descriptors that lead to them.
    pub(crate) fn manifests_below<'s>(&'s self, entry: &'s Pointer) -> Vec<Image<'s>> {
        let mut manifests = Vec::new();
        let mut open = vec![entry];
        let mut seen = BTreeSet::new();
        while let Some(pointer) = open.pop() {
            if !seen.insert(&pointer.digest) {
                continue;
            }
            let Some(document) = self.document(&pointer.digest) else {
                continue;
            };
            match document.shape {
                Shape::Index => open.extend(document.pointers_in(Role::Manifests)),
                Shape::Manifest => manifests.push(Image {
                    manifest: document,
                    pointer,
                }),
            }
        }
        manifests.reverse();
        manifests
    }

    /// Whether a manifest is that of an image.
    pub(crate) fn is_image(&self, document: &Document, pointer: &Pointer) -> bool {
        let config = document.config();
        let known = config.and_then(|config| self.config(&config.digest));
        let is_marked = pointer.is_attestation;
        known.is_some_and(|facts| facts.role == ManifestRole::Image) && !is_marked
    }

    /// Whether all content of an image is there, or may be absent.
    pub(crate) fn is_complete(&self, image: Image<'_>) -> bool {
        self.missing_part(image).is_none()
    }

    /// The first descriptor below an entry whose content is not there.
    pub(crate) fn missing<'s>(&'s self, entry: &'s Pointer) -> Option<(&'s Document, &'s Pointer)> {
        let root = self.document(&entry.digest)?;
        let mut open = vec![root];
        let mut seen = BTreeSet::new();
        while let Some(document) = open.pop() {
            if !seen.insert(&document.digest) {
                continue;
            }
            for pointer in &document.pointers {
                if pointer.role == Role::Subject {
                    continue;
                }
                match self.document(&pointer.digest) {
                    Some(child) => open.push(child),
                    None if self.content(&pointer.digest).is_some() || pointer.is_optional() => {}
                    None => return Some((document, pointer)),
                }
            }
        }
        None
    }

    /// The first descriptor of a part of an image whose content is not there.
    pub(crate) fn missing_part<'s>(&self, image: Image<'s>) -> Option<(&'s Document, &'s Pointer)> {
        let mut parts = image.manifest.pointers.iter();
        let is_missing = |part: &&Pointer| {
            part.role != Role::Subject
                && self.content(&part.digest).is_none()
                && !part.is_optional()
        };
        let part = parts.find(is_missing)?;
        Some((image.manifest, part))
    }

    /// The first index or manifest below an entry that is not there, among those that a reader follows.
    pub(crate) fn missing_document<'s>(
        &'s self,
        entry: &'s Pointer,
        is_followed: impl Fn(&Pointer) -> bool,
    ) -> Option<(&'s Document, &'s Pointer)> {
        let mut open = vec![self.document(&entry.digest)?];
        let mut seen = BTreeSet::new();
        while let Some(document) = open.pop() {
            if !seen.insert(&document.digest) {
                continue;
            }
            let children = document.pointers_in(Role::Manifests);
            for pointer in children.filter(|pointer| is_followed(pointer)) {
                match self.document(&pointer.digest) {
                    Some(child) => open.push(child),
                    None => return Some((document, pointer)),
                }
            }
        }
        None
    }

    /// The configs of all images that an entry leads to.
    pub(crate) fn configs_below<'s>(&'s self, entry: &'s Pointer) -> Vec<&'s Digest> {
        let images = self.images(entry).into_iter();
        let configs = images.filter_map(|image| image.manifest.config());
        configs.map(|config| &config.digest).collect()
    }

    /// The first image that `manifest.json` lists and no entry of `index.json` leads to, and its position.
    pub(crate) fn only_in_docker_manifest(&self) -> Option<(usize, &DockerArchiveItem)> {
        let DockerManifest::Items(items) = &self.docker else {
            return None;
        };
        let entries = self.index.iter();
        let entries = entries.flat_map(|index| index.pointers_in(Role::Manifests));
        let listed: BTreeSet<&Digest> = entries
            .flat_map(|entry| self.configs_below(entry))
            .collect();
        let mut items = items.iter().enumerate();
        items.find(|(_, item)| {
            let config = item.config_digest.as_ref();
            config.is_some_and(|config| !listed.contains(config) && self.is_image_config(config))
        })
    }

    /// The first entry of `index.json` that leads to images of which `manifest.json` lists none.
    pub(crate) fn only_in_index(&self) -> Option<(&Document, &Pointer)> {
        let DockerManifest::Items(items) = &self.docker else {
            return None;
        };
        let listed = items.iter().filter_map(|item| item.config_digest.as_ref());
        let listed: BTreeSet<&Digest> = listed.collect();
        let index = self.index.as_ref()?;
        let mut entries = index.pointers_in(Role::Manifests);
        let entry = entries.find(|entry| {
            let configs = self.configs_below(entry);
            !configs.is_empty() && !configs.iter().any(|config| listed.contains(config))
        })?;
        Some((index, entry))
    }

    /// Whether it is the config of an image.
    pub(crate) fn is_image_config(&self, config: &Digest) -> bool {
        let facts = self.config(config);
        facts.is_none_or(|facts| facts.role == ManifestRole::Image)
    }
}

/// What a reader that goes by media types does with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Labels {
    /// It decompresses what is labelled as compressed, and takes anything else for a plain tar.
    Trusted,
    /// It refuses types that are not Docker's in a Docker manifest, and decompresses by first bytes.
    Checked,
}

/// Whether a reader copes with all layers of an image. All that is in its way is noted.
pub(crate) fn reads_layers(judge: &mut Judge<'_>, image: Image<'_>, labels: Labels) -> bool {
    let archive = judge.archive;
    let manifest = image.manifest;
    let stated = manifest.media_type.as_deref();
    let declared = stated.unwrap_or(&image.pointer.media_type);
    let is_docker = media_type::family(declared) == Some(Family::Docker);
    let mut is_read = true;
    for layer in manifest.pointers_in(Role::Layers) {
        let location = || manifest.location_of(layer);
        let content = archive.content(&layer.digest);
        let family = media_type::family(&layer.media_type);
        let is_layer = matches!(layer.kind, Kind::Layer { .. });
        let obstacle = match labels {
            Labels::Checked if !is_docker => None,
            _ if is_layer && family.is_none() => Some(Obstacle::LayerType),
            _ if !layer.kind.is_layer() => Some(Obstacle::OtherLayerType),
            Labels::Checked if family == Some(Family::Oci) => Some(Obstacle::MixedTypes),
            Labels::Trusted if is_mislabelled(layer, family, content) => Some(Obstacle::LayerLabel),
            _ => None,
        };
        if let Some(obstacle) = obstacle {
            is_read &= !judge.fails_at(obstacle, location);
        }
        let digest = is_layer.then_some(&layer.digest);
        is_read &= reads_content(judge, digest, location);
    }
    is_read
}

/// Whether a layer is compressed, and its media type says that it is a plain tar.
fn is_mislabelled(layer: &Pointer, family: Option<Family>, content: Option<Content>) -> bool {
    let claims_plain = matches!(
        layer.kind,
        Kind::Layer {
            compression: Compression::Uncompressed,
            ..
        }
    );
    // Docker's type says nothing about compression.
    claims_plain && family == Some(Family::Oci) && content.is_some_and(Content::is_compressed)
}

/// What may be in the way of a reader in a layer, if that is there.
pub(crate) fn of_content(archive: &Archive<'_>, layer: &Digest) -> impl Iterator<Item = Obstacle> {
    let compression = archive.content(layer).and_then(Obstacle::of_layer);
    let content = archive.other_than_tar(layer);
    compression.into_iter().chain(content)
}

/// Whether a reader copes with what a layer contains, if that is there.
pub(crate) fn reads_content(
    judge: &mut Judge<'_>,
    layer: Option<&Digest>,
    location: impl Fn() -> Location,
) -> bool {
    let obstacles = layer.into_iter();
    let obstacles = obstacles.flat_map(|layer| of_content(judge.archive, layer));
    obstacles.fold(true, |is_read, obstacle| {
        is_read & !judge.fails_at(obstacle, &location)
    })
}

/// The diff IDs of layers, as the items of `manifest.json` state them that list as many layers as diff IDs.
pub(crate) fn listed_diff_ids(archive: &Archive<'_>) -> BTreeMap<Digest, StatedDiffId> {
    let DockerManifest::Items(items) = &archive.docker else {
        return BTreeMap::new();
    };
    let items = items.iter();
    let items = items.filter(|item| item.layer_digests.len() == item.diff_ids.len());
    let pairs = items.flat_map(|item| item.layer_digests.iter().zip(&item.diff_ids));
    let pairs = pairs.filter_map(|(layer, diff_id)| Some((layer.clone()?, diff_id.clone())));
    pairs.collect()
}

/// Whether layers can be those of the diff IDs: as many, and plain tars where their digests are.
pub(crate) fn match_diff_ids<'l>(
    archive: &Archive<'_>,
    layers: impl ExactSizeIterator<Item = Option<&'l Digest>>,
    diff_ids: &[StatedDiffId],
) -> bool {
    let is_other = |layer: &Digest, diff_id: &StatedDiffId| {
        archive.content(layer) == Some(Content::Tar)
            && layer.is_verifiable()
            && !diff_id.is_of(layer)
    };
    layers.len() == diff_ids.len()
        && layers
            .zip(diff_ids)
            .all(|(layer, diff_id)| layer.is_none_or(|layer| !is_other(layer, diff_id)))
}

/// The config of an item of `manifest.json`. If it is not there, or is not that of an image: whether the reader passes it over.
pub(crate) fn item_config<'i>(
    judge: &mut Judge<'_>,
    item: &'i DockerArchiveItem,
    position: usize,
) -> Result<&'i Digest, bool> {
    let config = || item_place(position, "Config", None, &item.config);
    let Some(digest) = &item.config_digest else {
        return Err(!judge.fails_at(Obstacle::MissingContent, config));
    };
    match judge.archive.is_image_config(digest) {
        true => Ok(digest),
        false => Err(!judge.fails_at(Obstacle::Artifact, config)),
    }
}

/// Where an item of `manifest.json` names an entry.
pub(crate) fn item_place(
    position: usize,
    property: &'static str,
    index: Option<usize>,
    entry: &str,
) -> Location {
    Location::Item {
        position,
        property,
        index,
        entry: Some(entry.to_owned()),
    }
}
