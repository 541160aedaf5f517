//! Names of images: what the entries of `index.json` and the items of `manifest.json` say together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{Code, Error, Result, escape, show_list};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole};
use crate::media_type::{self, Kind};
use crate::reference::Reference;

/// An entry of `index.json` that leads to images.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The position in the root's pointers.
    pub(crate) position: usize,
    /// The digest that the entry points at.
    pub(crate) digest: Digest,
    /// The images, in order; one list for all entries of one digest.
    pub(crate) images: Arc<Vec<Digest>>,
    /// The names; none if the entry is unnamed. More than one where `manifest.json` added some.
    pub(crate) names: Vec<Reference>,
    /// Whether the first name takes the place of what the entry's annotations say.
    pub(crate) is_renamed: bool,
}

/// The name that a descriptor's annotations give; a bare tag is none.
pub(crate) fn name_of(pointer: &Pointer) -> Option<Reference> {
    let full = pointer.image_name.as_deref().and_then(Reference::parse);
    full.or_else(|| {
        let ref_name = pointer.ref_name.as_deref()?;
        ref_name
            .contains(['/', ':'])
            .then(|| Reference::parse(ref_name))?
    })
}

/// Joins the names of both roots.
///
/// # Errors
/// `manifest.json` describes an image that `index.json` does not, or gives a name to another image.
pub(crate) fn join(graph: &Graph) -> Result<Vec<Named>> {
    let mut join = Join {
        graph,
        entries: Vec::new(),
        by_digest: BTreeMap::new(),
        by_name: BTreeMap::new(),
        by_config: BTreeMap::new(),
        holders: BTreeMap::new(),
    };
    for (position, pointer) in graph.root.pointers.iter().enumerate() {
        if pointer.role == Role::Manifests {
            join.add_entry(position, pointer);
        }
    }
    for (position, item) in graph.docker_archive.iter().flatten().enumerate() {
        join.add_item(position, item)?;
    }
    Ok(join.entries)
}

fn disagreement(what: String) -> Error {
    Error::new(Code::RootDisagreement, format!("index.json and manifest.json disagree: {what}"))
        .with_hint("readers would load different images from this archive; save it again from a source you trust")
}

/// The entries so far, and what finds them without going through all: thousands of names may lead
/// to thousands of images.
struct Join<'a> {
    graph: &'a Graph,
    entries: Vec<Named>,
    /// The entries that point at a digest.
    by_digest: BTreeMap<Digest, Vec<usize>>,
    /// The first entry of a name.
    by_name: BTreeMap<Reference, usize>,
    /// The images of a config.
    by_config: BTreeMap<Digest, Vec<Digest>>,
    /// The digests that entries point at, by the images below.
    holders: BTreeMap<Digest, Vec<Digest>>,
}

impl Join<'_> {
    fn add_entry(&mut self, position: usize, pointer: &Pointer) {
        let known = self.by_digest.get(&pointer.digest);
        let images = match known.and_then(|known| known.first()) {
            Some(first) => Arc::clone(&self.entries[*first].images),
            None => self.images_below(&pointer.digest),
        };
        if images.is_empty() {
            return;
        }
        let number = self.entries.len();
        let of_digest = self.by_digest.entry(pointer.digest.clone());
        of_digest.or_default().push(number);
        let name = name_of(pointer);
        if let Some(name) = &name {
            self.by_name.entry(name.clone()).or_insert(number);
        }
        self.entries.push(Named {
            position,
            digest: pointer.digest.clone(),
            images,
            names: name.into_iter().collect(),
            is_renamed: false,
        });
    }

    fn images_below(&mut self, digest: &Digest) -> Arc<Vec<Digest>> {
        let images = self.graph.images_below(digest);
        for image in &images {
            let holders = self.holders.entry(image.clone()).or_default();
            holders.push(digest.clone());
            if let Some(facts) = self.graph.manifests.get(image) {
                let of_config = self.by_config.entry(facts.config.clone()).or_default();
                if !of_config.contains(image) {
                    of_config.push(image.clone());
                }
            }
        }
        Arc::new(images)
    }

    fn add_item(&mut self, position: usize, item: &DockerArchiveItem) -> Result<()> {
        let images = item
            .config_digest
            .as_ref()
            .and_then(|config| self.by_config.get(config));
        let Some(images) = images else {
            return Err(no_such_config(self.graph, position, item));
        };
        // One config can belong to several manifests: the same layers in two compressions.
        let mut checked = images
            .iter()
            .map(|image| (image, check_layers(self.graph, position, item, image)));
        let mut first_error = None;
        let image = checked.find_map(|(image, checked)| match checked {
            Ok(()) => Some(image.clone()),
            Err(error) => {
                first_error.get_or_insert(error);
                None
            }
        });
        let image = match (image, first_error) {
            (Some(image), _) => image,
            (None, Some(error)) => return Err(error),
            (None, None) => return Err(no_such_config(self.graph, position, item)),
        };
        for tag in &item.repo_tags {
            self.add_tag(tag, &image)?;
        }
        Ok(())
    }

    fn add_tag(&mut self, tag: &str, image: &Digest) -> Result<()> {
        let Some(name) = Reference::parse(tag) else {
            return Ok(());
        };
        let holders = self.holders.get(image).map_or(&[][..], Vec::as_slice);
        if let Some(known) = self.by_name.get(&name) {
            return if holders.contains(&self.entries[*known].digest) {
                Ok(())
            } else {
                Err(disagreement(format!(
                    "they give the name {} to different images",
                    escape(tag)
                )))
            };
        }
        // An entry without a name takes the first one; further names become entries of their own.
        let of_image = holders
            .iter()
            .filter_map(|digest| self.by_digest.get(digest))
            .flatten();
        let entry = of_image
            .copied()
            .min_by_key(|entry| (!self.entries[*entry].names.is_empty(), *entry));
        if let Some(entry) = entry {
            self.entries[entry].names.push(name.clone());
            self.by_name.insert(name, entry);
        }
        Ok(())
    }
}

fn no_such_config(graph: &Graph, position: usize, item: &DockerArchiveItem) -> Error {
    let configs: BTreeSet<&Digest> = graph
        .manifests
        .values()
        .filter(|facts| facts.role == ManifestRole::Image)
        .map(|facts| &facts.config)
        .collect();
    let configs: Vec<_> = configs.into_iter().collect();
    disagreement(format!(
        "manifest.json[{position}] has the config {}, but the images of index.json have {}",
        escape(&item.config),
        if configs.is_empty() {
            "none".to_owned()
        } else {
            show_list(&configs)
        }
    ))
}

fn check_layers(
    graph: &Graph,
    position: usize,
    item: &DockerArchiveItem,
    image: &Digest,
) -> Result<()> {
    let Some(document) = graph.document(image) else {
        return Ok(());
    };
    let layers: Vec<&Pointer> = document.pointers_in(Role::Layers).collect();
    if layers.len() != item.layers.len() {
        return Err(disagreement(format!(
            "manifest.json[{position}] has {} layers, {} has {}",
            item.layers.len(),
            document.location,
            layers.len()
        )));
    }
    for (number, layer) in layers.into_iter().enumerate() {
        let found = item.layer_digests.get(number).and_then(Option::as_ref);
        // Docker saves a foreign layer as a plain tar beside the descriptor of the remote one.
        let diff_id = item.diff_ids.get(number).map(String::as_str);
        let is_local_copy = is_foreign(layer)
            && match (found, diff_id) {
                (Some(found), Some(diff_id)) => found.is_written(diff_id),
                (found, diff_id) => found.is_none() && diff_id.is_none(),
            };
        if found != Some(&layer.digest) && !is_local_copy {
            return Err(disagreement(format!(
                "manifest.json[{position}], Layers[{number}] is {}, {}, layers[{number}] is {}",
                escape(&item.layers[number]),
                document.location,
                layer.digest
            )));
        }
    }
    Ok(())
}

/// Whether a layer may be absent because it is fetched from elsewhere.
pub(crate) fn is_foreign(layer: &Pointer) -> bool {
    matches!(
        media_type::kind(&layer.media_type),
        Kind::Layer {
            distributable: false,
            ..
        }
    )
}
