//! Docker's `manifest.json` of the output: one item per image, of one platform each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result, show_list};
use crate::graph::docker_archive::{DockerArchiveItem, LayerSource};
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestFacts};
use crate::image::{Digest, Platform};
use crate::inventory::{Inventory, RootName};
use crate::plan::decide::Decisions;
use crate::plan::names::Named;
use crate::plan::rewrite::check_len;
use crate::plan::{Change, rules::Rule};

/// An image that `manifest.json` describes.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    config: Digest,
    layers: Vec<Digest>,
    tags: Vec<String>,
    /// Where the layers that are fetched elsewhere come from.
    sources: Vec<LayerSource>,
}

/// Which of several platforms `manifest.json` is to describe.
#[derive(Clone, Copy)]
pub(crate) struct Preference<'a> {
    /// The platform that was asked for.
    pub(crate) asked: Option<&'a Platform>,
    /// The architecture to prefer if nothing else decides.
    pub(crate) host: Option<&'a str>,
}

/// The image of each entry that `manifest.json` describes, in the order of `entries`; `None` where
/// no image of the entry is whole.
///
/// # Errors
/// A platform was asked for that no image has.
pub(crate) fn choose(
    graph: &Graph,
    entries: &[Named],
    platforms: &BTreeMap<Digest, Platform>,
    preference: Preference<'_>,
) -> Result<Vec<Option<Digest>>> {
    let described: BTreeSet<Digest> = graph
        .docker_archive
        .iter()
        .flatten()
        .filter_map(|item| item.config_digest.clone())
        .collect();
    let mut is_found = preference.asked.is_none();
    let mut available = BTreeSet::new();
    let mut chosen = Vec::new();
    let mut by_digest: BTreeMap<&Digest, Option<Digest>> = BTreeMap::new();
    for entry in entries {
        if let Some(image) = by_digest.get(&entry.digest) {
            chosen.push(image.clone());
            continue;
        }
        let whole: Vec<(&Digest, Option<&Platform>, &Digest)> = entry
            .images
            .iter()
            .filter_map(|image| {
                let facts = graph.manifests.get(image).filter(|facts| facts.is_whole)?;
                Some((image, platforms.get(image), &facts.config))
            })
            .collect();
        available.extend(
            whole
                .iter()
                .filter_map(|(_, platform, _)| Some(platform.as_ref()?.to_string())),
        );
        let of_platform = |wanted: &Platform| {
            whole
                .iter()
                .find(|(_, platform, _)| platform.is_some_and(|found| found.matches(wanted)))
        };
        let asked = preference.asked.and_then(of_platform);
        is_found |= asked.is_some();
        let host = preference.host.and_then(|architecture| {
            whole.iter().find(|(_, platform, _)| {
                platform
                    .is_some_and(|found| found.os == "linux" && found.architecture == architecture)
            })
        });
        let image = asked
            .or_else(|| {
                whole
                    .iter()
                    .find(|(_, _, config)| described.contains(*config))
            })
            .or(host)
            .or(whole.first())
            .map(|(image, _, _)| (*image).clone());
        by_digest.insert(&entry.digest, image.clone());
        chosen.push(image);
    }
    match preference.asked {
        Some(platform) if !is_found => {
            let available: Vec<_> = available.into_iter().collect();
            let found = show_list(&available);
            Err(Error::new(
                Code::PlatformNotFound,
                format!("no image in the archive has the platform {platform}; there are {found}"),
            )
            .with_expected(platform)
            .with_found(found))
        }
        _ => Ok(chosen),
    }
}

/// The platform of each image: what its index says, else what its config says.
pub(crate) fn platforms(graph: &Graph) -> BTreeMap<Digest, Platform> {
    let configs = graph
        .manifests
        .iter()
        .filter_map(|(digest, facts)| Some((digest.clone(), facts.platform.clone()?)));
    let mut platforms: BTreeMap<Digest, Platform> = configs.collect();
    for document in std::iter::once(&graph.root).chain(graph.documents.values()) {
        for pointer in document.pointers_in(Role::Manifests) {
            if let Some(platform) = &pointer.platform {
                platforms.insert(pointer.digest.clone(), Platform::clone(platform));
            }
        }
    }
    platforms
}

/// One item for each image that was chosen.
pub(crate) fn items(
    graph: &Graph,
    inventory: &Inventory,
    entries: &[Named],
    chosen: &[Option<Digest>],
    decisions: &Decisions,
) -> Vec<Item> {
    let foreign = foreign_sources(graph);
    let mut items: Vec<Item> = Vec::new();
    let mut positions = HashMap::new();
    let mut tagged = HashSet::new();
    for (entry, manifest) in entries.iter().zip(chosen) {
        let Some(manifest) = manifest else { continue };
        let (Some(facts), Some(document)) =
            (graph.manifests.get(manifest), graph.document(manifest))
        else {
            continue;
        };
        let pointers = document.pointers_in(Role::Layers).enumerate();
        let layers: Vec<Digest> = pointers
            .map(|(number, layer)| {
                let local = local_copy(inventory, facts, number, layer);
                local.unwrap_or_else(|| match decisions.replaced.get(&layer.digest) {
                    Some(new) => new.digest.clone(),
                    None => layer.digest.clone(),
                })
            })
            .collect();
        // One config can belong to the same layers in two compressions.
        let position = *positions
            .entry((&facts.config, layers.clone()))
            .or_insert(items.len());
        if position == items.len() {
            items.push(Item {
                config: facts.config.clone(),
                sources: sources_of(facts, &foreign),
                layers,
                tags: Vec::new(),
            });
        }
        for name in entry.names.iter().filter(|name| name.tag().is_some()) {
            let tag = name.familiar();
            if tagged.insert((position, tag.clone())) {
                items[position].tags.push(tag);
            }
        }
    }
    items
}

/// The text of `manifest.json`: the input's, byte for byte, where it says the same.
pub(crate) fn text(
    graph: &Graph,
    inventory: &Inventory,
    items: &[Item],
    changes: &mut Vec<Change>,
) -> Result<Option<Vec<u8>>> {
    let describe =
        |count: usize| format!("{count} {}", if count == 1 { "image" } else { "images" });
    let old = inventory
        .docker_manifest
        .as_ref()
        .zip(graph.docker_archive.as_ref());
    if items.is_empty() {
        if let Some((_, old_items)) = old {
            let before = Some(describe(old_items.len()));
            changes.push(Rule::DockerManifest.change(RootName::DockerManifest, before, None));
        }
        return Ok(None);
    }
    if let Some((file, old_items)) = old
        && says_the_same(old_items, items)
    {
        return Ok(Some(file.bytes.clone()));
    }
    let written: Vec<Written<'_>> = items.iter().map(Written::of).collect();
    let text = serde_json::to_string(&written).map_err(|error| {
        Error::new(Code::InvalidDocument, "manifest.json cannot be written")
            .with_document("manifest.json")
            .with_source(error)
    })?;
    check_len(&RootName::DockerManifest.into(), &text)?;
    let before = old.map(|(_, old_items)| describe(old_items.len()));
    let what = old.map_or("", |(_, old_items)| difference(old_items, items));
    let after = format!("{}{what}", describe(items.len()));
    changes.push(Rule::DockerManifest.change(RootName::DockerManifest, before, Some(after)));
    Ok(Some(text.into_bytes()))
}

/// What an item says, whatever the order of its names: config, layers, names.
type Statement<'a> = (Digest, Vec<Digest>, BTreeSet<&'a String>);

fn says_the_same(old: &[DockerArchiveItem], items: &[Item]) -> bool {
    // And whether it says so without properties that some readers (jib) do not know and refuse.
    let mut stated: HashMap<Statement<'_>, bool> = HashMap::new();
    for item in old {
        if let Some(statement) = statement(item) {
            *stated.entry(statement).or_default() |= !item.has_more;
        }
    }
    old.len() == items.len()
        && items.iter().all(|item| {
            let tags = item.tags.iter().collect();
            let statement = (item.config.clone(), item.layers.clone(), tags);
            let is_plain = stated.get(&statement);
            is_plain.is_some_and(|is_plain| *is_plain || !item.sources.is_empty())
        })
}

/// What an item of the input says, if it names files by their digests.
fn statement(item: &DockerArchiveItem) -> Option<Statement<'_>> {
    let layers = item
        .layers
        .iter()
        .map(|entry| Digest::from_blob_name(entry));
    Some((
        Digest::from_blob_name(&item.config)?,
        layers.collect::<Option<_>>()?,
        item.repo_tags.iter().collect(),
    ))
}

/// What a reader of the same images sees change.
fn difference(old: &[DockerArchiveItem], items: &[Item]) -> &'static str {
    let by_digest = |name: &str| Digest::from_blob_name(name).is_some();
    let is_named =
        |old: &DockerArchiveItem| by_digest(&old.config) && old.layers.iter().all(|l| by_digest(l));
    let old_tags: BTreeSet<&String> = old.iter().flat_map(|old| &old.repo_tags).collect();
    let tags: BTreeSet<&String> = items.iter().flat_map(|item| &item.tags).collect();
    if !old.iter().all(is_named) {
        ", with files named by digest"
    } else if old_tags != tags {
        ", with other names"
    } else if old.iter().any(|old| old.has_more) && items.iter().all(|item| item.sources.is_empty())
    {
        ", without LayerSources"
    } else {
        ", with other layers"
    }
}

/// The plain tar that an archive may hold of a layer whose descriptor is that of a remote blob: its
/// digest is the diff ID. docker looks for no other.
fn local_copy(
    inventory: &Inventory,
    facts: &ManifestFacts,
    number: usize,
    layer: &Pointer,
) -> Option<Digest> {
    if !layer.is_foreign() || inventory.blobs.contains_key(&layer.digest) {
        return None;
    }
    let diff_id = &facts.diff_ids.get(number)?.valid()?.0;
    let is_there = inventory.blobs.contains_key(diff_id);
    is_there.then(|| diff_id.clone())
}

/// What `LayerSources` says of layers that are fetched elsewhere, by the config of the image.
fn foreign_sources(graph: &Graph) -> BTreeMap<&Digest, Vec<&LayerSource>> {
    let mut by_config: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for item in graph.docker_archive.iter().flatten() {
        let mut foreign = item.layer_sources.iter().filter(|source| source.is_foreign);
        if let (Some(config), Some(first)) = (&item.config_digest, foreign.next()) {
            let sources = by_config.entry(config).or_default();
            sources.push(first);
            sources.extend(foreign);
        }
    }
    by_config
}

/// Those of an image's own layers: docker pushes them as such only if `manifest.json` says so. Of all
/// other layers it says nothing that the manifest does not.
fn sources_of(
    facts: &ManifestFacts,
    foreign: &BTreeMap<&Digest, Vec<&LayerSource>>,
) -> Vec<LayerSource> {
    let Some(sources) = foreign.get(&facts.config) else {
        return Vec::new();
    };
    let mut wanted: HashSet<String> = facts.diff_ids.iter().map(ToString::to_string).collect();
    // Of several about one layer the first counts.
    let sources = sources.iter().filter(|source| wanted.remove(&source.key));
    sources.copied().cloned().collect()
}

/// An item as docker reads it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    config: String,
    /// `null` for an image without names, as docker writes it.
    repo_tags: Option<&'a [String]>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    layer_sources: Map<String, Value>,
}

impl<'a> Written<'a> {
    fn of(item: &'a Item) -> Self {
        let sources = item.sources.iter();
        Written {
            config: item.config.blob_name(),
            repo_tags: Some(&item.tags[..]).filter(|tags| !tags.is_empty()),
            layers: item.layers.iter().map(Digest::blob_name).collect(),
            layer_sources: sources
                .map(|source| (source.key.clone(), source.descriptor.clone()))
                .collect(),
        }
    }
}
