//! Compressed layers that do not contain a tar.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::graph::document::Document;
use crate::graph::image::{ManifestFacts, Role};
use crate::image::media_type::Kind;
use crate::image::{Content, Digest};
use crate::inventory::{BlobEntry, BlobSource, Inventory};
use crate::location;
use crate::threads::Workers;

/// Fewer layers take less time than starting a thread.
const MIN_COUNT: usize = 64;

/// What compressed layers of images decompress to, according to their first bytes, if that is not a tar.
/// Layers of other types than tar are not decompressed.
///
/// # Errors
/// A layer cannot be read.
pub(super) fn not_tars(
    documents: &BTreeMap<Digest, Document>,
    manifests: &BTreeMap<Digest, ManifestFacts>,
    inventory: &Inventory,
    blobs: &dyn BlobSource,
    workers: Workers<'_>,
) -> Result<BTreeMap<Digest, Content>> {
    let images = manifests
        .iter()
        .filter(|(_, facts)| facts.role == Role::Image);
    let images = images.filter_map(|(digest, _)| documents.get(digest));
    let layers = images.flat_map(|image| image.pointers_in(location::Role::Layers));
    let is_tar = |kind: Kind| {
        matches!(
            kind,
            Kind::Layer {
                distributable: true,
                ..
            }
        )
    };
    let layers = layers.filter(|layer| is_tar(layer.kind));
    let layers = layers.filter(|layer| layer.content.is_some_and(Content::is_compressed));
    let unique: BTreeSet<&Digest> = layers.map(|layer| &layer.digest).collect();
    let layers: Vec<(&Digest, &BlobEntry)> = unique
        .into_iter()
        .filter_map(|digest| Some((digest, inventory.blobs.get(digest)?)))
        .collect();
    let contents: Vec<Result<Option<Content>>> = match blobs.shared() {
        Some(shared) if layers.len() >= MIN_COUNT => workers.map(&layers, |(digest, blob)| {
            shared.content_inside(digest, blob)
        }),
        _ => {
            let layers = layers.iter();
            let contents = layers.map(|(digest, blob)| blobs.content_inside(digest, blob));
            contents.collect()
        }
    };
    let mut not_tars = BTreeMap::new();
    for ((digest, _), content) in layers.into_iter().zip(contents) {
        if let Some(content) = content?
            && content != Content::Tar
        {
            not_tars.insert(digest.clone(), content);
        }
    }
    Ok(not_tars)
}
