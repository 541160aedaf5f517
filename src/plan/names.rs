//! Names of images: what the entries of `index.json` and the items of `manifest.json` say together.

use std::collections::BTreeSet;

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
    /// The images, in order.
    pub(crate) images: Vec<Digest>,
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
    let mut entries = Vec::new();
    for (position, pointer) in graph.root.pointers.iter().enumerate() {
        if pointer.role != Role::Manifests {
            continue;
        }
        let images = graph.images_below(&pointer.digest);
        if !images.is_empty() {
            entries.push(Named {
                position,
                digest: pointer.digest.clone(),
                images,
                names: name_of(pointer).into_iter().collect(),
                is_renamed: false,
            });
        }
    }
    for (position, item) in graph.docker_archive.iter().flatten().enumerate() {
        join_item(graph, position, item, &mut entries)?;
    }
    Ok(entries)
}

fn disagreement(what: String) -> Error {
    Error::new(Code::RootDisagreement, format!("index.json and manifest.json disagree: {what}"))
        .with_hint("readers would load different images from this archive; save it again from a source you trust")
}

fn join_item(
    graph: &Graph,
    position: usize,
    item: &DockerArchiveItem,
    entries: &mut [Named],
) -> Result<()> {
    let is_of_item = |image: &Digest| {
        graph
            .manifests
            .get(image)
            .is_some_and(|facts| Some(&facts.config) == item.config_digest.as_ref())
    };
    let images = entries.iter().flat_map(|entry| &entry.images);
    // One config can belong to several manifests: the same layers in two compressions.
    let candidates: Vec<&Digest> = images.filter(|image| is_of_item(image)).collect();
    let Some(first) = candidates.first() else {
        return Err(no_such_config(graph, position, item));
    };
    let image = candidates
        .iter()
        .find(|image| check_layers(graph, position, item, image).is_ok())
        .unwrap_or(first);
    let image = (*image).clone();
    check_layers(graph, position, item, &image)?;
    for tag in &item.repo_tags {
        let Some(name) = Reference::parse(tag) else {
            continue;
        };
        let holder = entries
            .iter()
            .position(|entry| entry.names.iter().any(|known| known.full() == name.full()));
        match holder {
            Some(holder) if entries[holder].images.contains(&image) => {}
            Some(_) => {
                return Err(disagreement(format!(
                    "they give the name {} to different images",
                    escape(tag)
                )));
            }
            None => {
                // An entry without a name takes the first one; further names become entries of their own.
                let entry = entries
                    .iter_mut()
                    .filter(|entry| entry.images.contains(&image))
                    .min_by_key(|entry| !entry.names.is_empty());
                if let Some(entry) = entry {
                    entry.names.push(name);
                }
            }
        }
    }
    Ok(())
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
        let is_local_copy = is_foreign(layer) && found.map(Digest::as_str) == diff_id;
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
