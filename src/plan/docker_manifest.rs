//! Docker's `manifest.json` of the output: one item per image, of one platform each.

mod difference;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde::{Serialize, Serializer};

use crate::error::{Code, Error, Result};
use crate::graph::docker_archive::{DockerArchiveItem, LayerSource, unusable};
use crate::graph::pointer::Pointer;
use crate::graph::{Graph, ManifestFacts};
use crate::image::Digest;
use crate::inventory::Inventory;
use crate::location::{Role, RootName};
use crate::plan::planner::{Planner, count_of_images};
use crate::plan::recompress::is_wanted;
use crate::plan::rewrite::{check_grown, check_len};
use crate::plan::rules::Rule;
use crate::plan::{Change, Severity};
use difference::{Difference, difference, is_of};

/// An image that `manifest.json` describes.
#[derive(Debug)]
struct Item<'a> {
    config: &'a Digest,
    layers: Rc<[&'a Digest]>,
    tags: Vec<String>,
    /// Where the layers that are fetched elsewhere come from.
    sources: Vec<&'a LayerSource>,
}

impl Planner<'_> {
    /// The text of `manifest.json`: the input's, byte for byte, if it says the same.
    ///
    /// # Errors
    /// It would become larger than readers accept.
    pub(crate) fn docker_manifest(&mut self) -> Result<Option<Vec<u8>>> {
        let (text, change) = self.new_docker_manifest()?;
        self.changes.extend(change);
        Ok(text)
    }

    /// The text, and how it differs from the input's, if it does.
    fn new_docker_manifest(&self) -> Result<(Option<Vec<u8>>, Option<Change>)> {
        let graph = self.graph;
        let items = self.items();
        let old = graph.inventory.docker_manifest.as_ref();
        let is_ignored = graph.docker_archive.is_none() && !graph.is_root_synthesized;
        let ignored = old.filter(|_| is_ignored);
        let old = old.zip(graph.docker_archive.as_ref());
        let before = match (old, ignored) {
            (Some((_, old_items)), _) => Some(count_of_images(old_items.len())),
            (None, Some(file)) => unusable(&file.bytes).map(str::to_owned),
            (None, None) => None,
        };
        if items.is_empty() {
            let change = before.map(|before| {
                let location = RootName::DockerManifest;
                let change = Rule::DockerManifest.change(location, Some(before), None);
                let old_items = old.map(|(_, old_items)| old_items.as_slice());
                let omitted = self.omitted();
                match old_items {
                    Some([]) => change.with_severity(Severity::Cosmetic),
                    // Docker fails with it and without it.
                    Some(old_items) if old_items.iter().all(|old| is_of(old, &omitted)) => {
                        change.with_severity(Severity::Warns)
                    }
                    _ => self.unless_requested(change),
                }
            });
            return Ok((None, change));
        }
        if let Some((file, old_items)) = old
            && says_the_same(old_items, &items)
        {
            return Ok((Some(file.bytes.clone()), None));
        }
        let text = text(&items)?;
        let old_items = old.map(|(_, old_items)| old_items.as_slice());
        let difference = old_items
            .filter(|old_items| !old_items.is_empty())
            .map(|old_items| difference(graph, old_items, &items, &self.omitted()));
        let what = difference.map_or("", Difference::words);
        let after = format!("{}{what}", count_of_images(items.len()));
        let change = Rule::DockerManifest.change(RootName::DockerManifest, before, Some(after));
        let change = match difference {
            None | Some(Difference::Others | Difference::Omitted | Difference::EntryNames) => {
                change
            }
            // Readers in Go ignore the case of keys.
            Some(Difference::Keys) => change.with_severity(Severity::Warns),
            Some(Difference::Names | Difference::Layers) => self.unless_requested(change),
            Some(Difference::LayerSources | Difference::EmptyList | Difference::Items) => {
                change.with_severity(Severity::Cosmetic)
            }
        };
        Ok((Some(text), Some(change)))
    }

    /// The change as it is, unless an option that has other images or names may be its cause.
    fn unless_requested(&self, change: Change) -> Change {
        let options = self.options;
        let is_requested = self.part.is_some()
            || options.docker_platform.is_some()
            || options.leaves_out()
            || !(options.names.is_empty() && options.renames.is_empty())
            || is_wanted(options);
        match is_requested {
            true => change.with_severity(Severity::Warns).requested(),
            false => change,
        }
    }

    /// The configs of images that are kept and not described because of what they are.
    fn omitted(&self) -> BTreeSet<&Digest> {
        let entries = self.entries.iter().zip(&self.described);
        let omitted = entries.filter(|(_, described)| described.is_none());
        // Thousands of names may lead to one index.
        let by_digest: BTreeMap<_, _> = omitted
            .map(|(entry, _)| (entry.digest, &entry.images))
            .collect();
        let images = by_digest.into_values().flat_map(|images| images.iter());
        let facts = images.filter_map(|image| self.graph.manifests.get(*image));
        facts.map(|facts| &facts.config).collect()
    }

    /// One item for each image that is described.
    fn items(&self) -> Vec<Item<'_>> {
        let graph = self.graph;
        let foreign = foreign_sources(graph);
        let mut items: Vec<Item<'_>> = Vec::new();
        let mut by_content: HashMap<(&Digest, Rc<[&Digest]>), usize> = HashMap::new();
        let mut by_manifest: HashMap<&Digest, usize> = HashMap::new();
        let mut tagged = HashSet::new();
        for (entry, manifest) in self.entries.iter().zip(&self.described) {
            let Some(manifest) = manifest else { continue };
            let (Some(facts), Some(document)) =
                (graph.manifests.get(manifest), graph.document(manifest))
            else {
                continue;
            };
            let position = *by_manifest.entry(manifest).or_insert_with(|| {
                let pointers = document.pointers_in(Role::Layers).enumerate();
                let layers: Rc<[&Digest]> = pointers
                    .map(|(number, layer)| self.layer_in_archive(facts, number, layer))
                    .collect();
                // One config can belong to the same layers in two compressions.
                let content = (&facts.config, Rc::clone(&layers));
                *by_content.entry(content).or_insert_with(|| {
                    items.push(Item {
                        config: &facts.config,
                        sources: sources_of(facts, &foreign),
                        layers,
                        tags: Vec::new(),
                    });
                    items.len() - 1
                })
            });
            // Docker refuses a tag with a digest.
            for name in entry.names.iter().filter(|name| !name.is_digest()) {
                if tagged.insert((position, name)) {
                    items[position].tags.push(name.familiar());
                }
            }
        }
        items
    }

    /// The digest of the file that has a layer's bytes in the output.
    fn layer_in_archive<'s>(
        &'s self,
        facts: &'s ManifestFacts,
        number: usize,
        layer: &'s Pointer,
    ) -> &'s Digest {
        if let Some(local) = local_copy(&self.graph.inventory, facts, number, layer) {
            return local;
        }
        let new = self.decisions.replaced.get(&layer.digest);
        new.map_or(&layer.digest, |new| &new.digest)
    }
}

/// What an item says, whatever the order of its names: config, layers, names.
type Statement<'a> = (Digest, Vec<Digest>, BTreeSet<&'a String>);

fn says_the_same(old: &[DockerArchiveItem], items: &[Item<'_>]) -> bool {
    // And whether it says so without properties that some readers (jib) do not know and refuse.
    let mut stated: HashMap<Statement<'_>, bool> = HashMap::new();
    for item in old {
        if let Some(statement) = statement(item) {
            *stated.entry(statement).or_default() |= !item.has_more && !item.lacks_layers;
        }
    }
    old.len() == items.len()
        && !old.iter().any(|item| item.is_respelled)
        && items.iter().all(|item| {
            let tags = item.tags.iter().collect();
            let layers = item.layers.iter().copied().cloned().collect();
            let statement = (item.config.clone(), layers, tags);
            let is_plain = stated.get(&statement);
            is_plain.is_some_and(|is_plain| *is_plain || !item.sources.is_empty())
        })
}

/// What an item of the input says, if it names files by their digests and states no name twice.
fn statement(item: &DockerArchiveItem) -> Option<Statement<'_>> {
    let layers = item
        .layers
        .iter()
        .map(|entry| Digest::from_any_blob_name(entry));
    let tags: BTreeSet<&String> = item.repo_tags.iter().collect();
    let is_plain = tags.len() == item.repo_tags.len();
    Some((
        Digest::from_blob_name(&item.config)?,
        layers.collect::<Option<_>>()?,
        tags,
    ))
    .filter(|_| is_plain)
}

/// The plain tar that an archive may contain for a layer whose descriptor is that of a remote blob: its
/// digest is the diff ID. docker does not look for any other.
fn local_copy<'a>(
    inventory: &Inventory,
    facts: &'a ManifestFacts,
    number: usize,
    layer: &Pointer,
) -> Option<&'a Digest> {
    if !layer.is_foreign() || layer.content.is_some() {
        return None;
    }
    let diff_id = &facts.diff_ids.get(number)?.valid()?.0;
    inventory.blobs.contains_key(diff_id).then_some(diff_id)
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
fn sources_of<'a>(
    facts: &ManifestFacts,
    foreign: &BTreeMap<&Digest, Vec<&'a LayerSource>>,
) -> Vec<&'a LayerSource> {
    let Some(sources) = foreign.get(&facts.config) else {
        return Vec::new();
    };
    let mut wanted: HashSet<String> = facts.diff_ids.iter().map(ToString::to_string).collect();
    // Of several about one layer the first counts.
    let sources = sources.iter().filter(|source| wanted.remove(&source.key));
    sources.copied().collect()
}

/// An item as docker reads it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    config: BlobName<'a>,
    /// `null` for an image without names, as docker writes it.
    repo_tags: Option<&'a [String]>,
    layers: Vec<BlobName<'a>>,
    #[serde(skip_serializing_if = "Sources::is_empty")]
    layer_sources: Sources<'a>,
}

impl<'a> Written<'a> {
    fn of(item: &'a Item<'a>) -> Self {
        Written {
            config: BlobName(item.config),
            repo_tags: Some(&item.tags[..]).filter(|tags| !tags.is_empty()),
            layers: item.layers.iter().map(|layer| BlobName(layer)).collect(),
            layer_sources: Sources(&item.sources),
        }
    }
}

/// Descriptors of layers, by their keys.
struct Sources<'a>(&'a [&'a LayerSource]);

impl Sources<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Sources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = self.0.iter();
        serializer.collect_map(sources.map(|source| (&source.key, &source.descriptor)))
    }
}

/// The text of `manifest.json`.
///
/// # Errors
/// It would become larger than readers accept. That is known before it is written, because images can share what it says of
/// their layers.
fn text(items: &[Item<'_>]) -> Result<Vec<u8>> {
    let mut len = 0;
    for item in items {
        len += item.tags.iter().map(String::len).sum::<usize>();
        len += (item.layers.len() + 1) * MIN_BLOB_NAME_LEN;
        for source in &item.sources {
            len += source.descriptor.to_string().len();
            check_grown(&RootName::DockerManifest.into(), len)?;
        }
    }
    check_grown(&RootName::DockerManifest.into(), len)?;
    let written: Vec<Written<'_>> = items.iter().map(Written::of).collect();
    let text = serde_json::to_string(&written).map_err(|error| {
        Error::new(Code::InvalidDocument, "manifest.json cannot be written")
            .with_location(RootName::DockerManifest)
            .with_source(error)
    })?;
    check_len(&RootName::DockerManifest.into(), &text)?;
    Ok(text.into_bytes())
}

/// The least length in bytes of the name of a blob that can be verified.
const MIN_BLOB_NAME_LEN: usize = "blobs/sha256/".len() + 64;

/// The name of a blob's file.
struct BlobName<'a>(&'a Digest);

impl Serialize for BlobName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.blob_name())
    }
}
