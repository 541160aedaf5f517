//! What changes in `manifest.json`, as a reader of the same images sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Item, statement};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;

/// What a reader of the same images sees change.
#[derive(Clone, Copy)]
pub(super) enum Difference {
    /// Items that are not images.
    Others,
    /// Items of images that Docker cannot load.
    Omitted,
    /// Files that were not named by their digest.
    EntryNames,
    /// Keys in Docker's spelling.
    Keys,
    /// Other names of images.
    Names,
    /// Only properties that some readers refuse and that say nothing more.
    LayerSources,
    /// Only a list of layers that is absent or `null`.
    EmptyList,
    /// Only the number of items for one image.
    Items,
    /// Other images or layers.
    Layers,
}

impl Difference {
    pub(super) fn words(self) -> &'static str {
        match self {
            Difference::Others => ", without what is not an image",
            Difference::Omitted => ", without what docker cannot load",
            Difference::EntryNames => ", with files named by digest",
            Difference::Keys => ", with Docker's spelling of the keys",
            Difference::Names => ", with other names",
            Difference::LayerSources => ", without LayerSources",
            Difference::EmptyList => ", with an empty list of layers",
            Difference::Items => ", with one item for each image",
            Difference::Layers => ", with other layers",
        }
    }
}

/// Whether an item's config is one of these.
pub(super) fn is_of(item: &DockerArchiveItem, configs: &BTreeSet<&Digest>) -> bool {
    let config = item.config_digest.as_ref();
    config.is_some_and(|config| configs.contains(config))
}

/// The first difference between the items of the input and those of the output. `omitted` has the configs of
/// images that are not described because of what they are.
pub(super) fn difference(
    graph: &Graph,
    old: &[DockerArchiveItem],
    items: &[Item<'_>],
    omitted: &BTreeSet<&Digest>,
) -> Difference {
    let manifests = graph.manifests.values();
    let images = manifests.filter(|facts| facts.role == ManifestRole::Image);
    let configs: BTreeSet<&Digest> = images.map(|facts| &facts.config).collect();
    let is_other = |(position, old): (usize, &DockerArchiveItem)| {
        let config = old.config_digest.as_ref();
        !graph.item_faults.contains_key(&position)
            && config.is_some_and(|config| !configs.contains(config))
    };
    if old.iter().enumerate().any(is_other) {
        return Difference::Others;
    }
    let written: BTreeSet<&Digest> = items.iter().map(|item| item.config).collect();
    if (old.iter()).any(|old| is_of(old, omitted) && !is_of(old, &written)) {
        return Difference::Omitted;
    }
    if old.iter().any(|old| old.is_respelled) {
        return Difference::Keys;
    }
    let mut stated: BTreeMap<(Digest, Vec<Digest>), BTreeSet<&String>> = BTreeMap::new();
    for item in old {
        let Some((config, layers, tags)) = statement(item) else {
            return Difference::EntryNames;
        };
        stated.entry((config, layers)).or_default().extend(tags);
    }
    let old_tags: BTreeSet<&String> = old.iter().flat_map(|old| &old.repo_tags).collect();
    let tags: BTreeSet<&String> = items.iter().flat_map(|item| &item.tags).collect();
    if old_tags != tags {
        return Difference::Names;
    }
    let written = items.iter().map(|item| {
        let layers = item.layers.iter().copied().cloned().collect();
        ((item.config.clone(), layers), item.tags.iter().collect())
    });
    let written: BTreeMap<_, _> = written.collect();
    if stated != written {
        Difference::Layers
    } else if old.iter().any(|old| old.lacks_layers) {
        Difference::EmptyList
    } else if old.len() == items.len() {
        Difference::LayerSources
    } else {
        Difference::Items
    }
}
