//! Names of images: what the entries of `index.json` and the items of `manifest.json` say together.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::error::{Code, Error, Result, escape, show_list};
use crate::graph::docker_archive::{DockerArchiveItem, entry_digest};
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME, Role};
use crate::graph::{Graph, ManifestRole};
use crate::plan::decide::Decisions;
use crate::plan::rules::Rule;
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

/// Joins the names of both roots, and decides the annotations and entries to add.
///
/// # Errors
/// `manifest.json` describes an image that `index.json` does not, or gives a name to another image.
pub(crate) fn join(graph: &Graph, decisions: &mut Decisions) -> Result<Vec<Named>> {
    let mut entries = Vec::new();
    for (position, pointer) in graph.root.pointers.iter().enumerate() {
        let is_kept =
            pointer.role == Role::Manifests && !decisions.root.dropped.contains(&position);
        let images = if is_kept {
            graph.images_below(&pointer.digest)
        } else {
            Vec::new()
        };
        if !images.is_empty() {
            let names = name_of(pointer).into_iter().collect();
            entries.push(Named {
                position,
                digest: pointer.digest.clone(),
                images,
                names,
            });
        }
    }
    for (position, item) in graph.docker_archive.iter().flatten().enumerate() {
        join_item(graph, position, item, &mut entries)?;
    }
    for entry in &entries {
        decide_annotations(graph, entry, decisions);
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
    let config = item.config_digest();
    let is_of_item = |image: &Digest| {
        graph
            .manifests
            .get(image)
            .is_some_and(|facts| Some(&facts.config) == config.as_ref())
    };
    let image = entries
        .iter()
        .flat_map(|entry| &entry.images)
        .find(|image| is_of_item(image))
        .cloned();
    let Some(image) = image else {
        let configs: BTreeSet<&Digest> = graph
            .manifests
            .values()
            .filter(|facts| facts.role == ManifestRole::Image)
            .map(|facts| &facts.config)
            .collect();
        let configs: Vec<_> = configs.into_iter().collect();
        return Err(disagreement(format!(
            "manifest.json[{position}] has the config {}, but the images of index.json have {}",
            escape(&item.config),
            if configs.is_empty() {
                "none".to_owned()
            } else {
                show_list(&configs)
            }
        )));
    };
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

fn check_layers(
    graph: &Graph,
    position: usize,
    item: &DockerArchiveItem,
    image: &Digest,
) -> Result<()> {
    let Some(document) = graph.document(image) else {
        return Ok(());
    };
    let layers: Vec<&Digest> = document
        .pointers_in(Role::Layers)
        .map(|layer| &layer.digest)
        .collect();
    if layers.len() != item.layers.len() {
        return Err(disagreement(format!(
            "manifest.json[{position}] has {} layers, {} has {}",
            item.layers.len(),
            document.location,
            layers.len()
        )));
    }
    for (number, (layer, entry)) in layers.into_iter().zip(&item.layers).enumerate() {
        if entry_digest(entry).as_ref() != Some(layer) {
            return Err(disagreement(format!(
                "manifest.json[{position}], Layers[{number}] is {}, {}, layers[{number}] is {layer}",
                escape(entry),
                document.location
            )));
        }
    }
    Ok(())
}

fn decide_annotations(graph: &Graph, entry: &Named, decisions: &mut Decisions) {
    let Some(pointer) = graph.root.pointers.get(entry.position) else {
        return;
    };
    let location = graph.root.location_of(pointer);
    for (number, name) in entry.names.iter().enumerate() {
        let ref_name = name.tag().map_or_else(|| name.full(), str::to_owned);
        let annotations = [(IMAGE_NAME, name.full()), (REF_NAME, ref_name)];
        if number > 0 {
            decisions
                .changes
                .push(Rule::NameEntry.change("index.json", None, Some(name.full())));
            decisions
                .root
                .copies
                .push((entry.position, annotations.to_vec()));
            continue;
        }
        let mut added = Vec::new();
        for ((key, value), rule, present) in [
            (
                annotations[0].clone(),
                Rule::ImageName,
                pointer.image_name.is_some(),
            ),
            (
                annotations[1].clone(),
                Rule::RefName,
                pointer.ref_name.is_some(),
            ),
        ] {
            if !present {
                decisions
                    .changes
                    .push(rule.change(location.clone(), None, Some(value.clone())));
                added.push((key, value));
            }
        }
        if !added.is_empty() {
            decisions.root.annotations.insert(entry.position, added);
        }
    }
}
