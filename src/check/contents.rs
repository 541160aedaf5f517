//! The images of an archive that is checked, as its documents and the first bytes of its layers show them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::graph::Graph;
use crate::image::{Content, Digest, Platform};
use crate::location::Role;

/// One image: the manifest of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListedImage {
    /// Digest of the manifest; `None` for an image that only a Docker archive describes.
    pub digest: Option<Digest>,
    /// Digest of the config: Docker's image ID.
    pub config_digest: Digest,
    /// The platform that the config states.
    pub platform: Option<Platform>,
    /// The layers, the lowest first.
    pub layers: Vec<ListedLayer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListedLayer {
    /// Digest of the bytes, which for a Docker archive may be a diff ID.
    pub digest: Digest,
    /// The media type in the manifest.
    pub media_type: String,
    /// What the first bytes show; `None` if the archive does not have the layer.
    #[serde(serialize_with = "name")]
    pub content: Option<Content>,
    /// Length in bytes, or the length that the manifest states if the archive does not have the layer.
    pub len: u64,
}

fn name<S: serde::Serializer>(content: &Option<Content>, serializer: S) -> Result<S::Ok, S::Error> {
    content.map(Content::name).serialize(serializer)
}

/// The images that `index.json` or `manifest.json` leads to, each once, in their order.
pub(super) fn images(graph: &Graph) -> Vec<ListedImage> {
    let mut seen = BTreeSet::new();
    let entries = graph.root.pointers_in(Role::Manifests);
    // Thousands of names may lead to one index of thousands of images.
    let mut entered = BTreeSet::new();
    let entries = entries.filter(|entry| entered.insert(&entry.digest));
    let all = entries.flat_map(|entry| graph.images_below(&entry.digest));
    let mut images = Vec::new();
    for digest in all {
        if seen.insert(digest) {
            images.extend(image(graph, digest));
        }
    }
    images
}

fn image(graph: &Graph, digest: &Digest) -> Option<ListedImage> {
    let facts = graph.manifests.get(digest)?;
    let document = graph.document(digest)?;
    let layers = document.pointers_in(Role::Layers).map(|layer| {
        let blob = graph.inventory.blobs.get(&layer.digest);
        ListedLayer {
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone().into_owned(),
            content: blob.map(|blob| blob.content),
            len: blob.map_or(layer.size, |blob| blob.len),
        }
    });
    Some(ListedImage {
        digest: (!graph.is_created(digest)).then(|| digest.clone()),
        config_digest: facts.config.clone(),
        platform: facts.platform.clone(),
        layers: layers.collect(),
    })
}
