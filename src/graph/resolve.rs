//! The roots of a source, and the walk from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Hint, Result};
use crate::graph::ahead::Ahead;
use crate::graph::docker_archive::ItemFaults;
use crate::graph::document::{Document, DocumentReader, Shape};
use crate::graph::image::{ManifestFacts, Role};
use crate::graph::link::complete_tag_links;
use crate::graph::nest::nest;
use crate::graph::order::children_first;
use crate::graph::pointer::Pointer;
use crate::graph::source_names::SourceNames;
use crate::graph::synthesize::{self, Synthesized};
use crate::graph::unverifiable::Moved;
use crate::graph::walk::{Start, walk};
use crate::graph::{Graph, Opaque, Orphans, docker_archive, inside, unlisted, unverifiable};
use crate::image::{Algorithm, Digest};
use crate::inventory::{BlobSource, Inventory, Strictness};
use crate::json::View;
use crate::location::{Location, RootName};
use crate::threads::Workers;

/// What a source means, of which at least one image must be complete.
pub(crate) fn resolve(
    inventory: Inventory,
    blobs: &dyn BlobSource,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Graph> {
    let graph = resolve_incomplete(inventory, blobs, strictness, workers)?;
    graph.require_a_whole_image()?;
    Ok(graph)
}

impl Graph {
    /// Refuses a Docker archive of which no image can be used: the first fault of one.
    pub(crate) fn require_an_item(&self) -> Result<()> {
        let fault = self.item_faults.values().next();
        match fault.filter(|_| self.is_root_synthesized && self.root.pointers.is_empty()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Refuses an archive that loads nowhere, because all its images lack parts.
    pub(crate) fn require_a_whole_image(&self) -> Result<()> {
        require_a_whole_image(self).map_err(|error| self.restated(error))
    }
}

/// The same if what the images lack may be elsewhere.
pub(crate) fn resolve_incomplete(
    inventory: Inventory,
    blobs: &dyn BlobSource,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Graph> {
    let graph = resolve_beside_others(inventory, blobs, strictness, workers)?;
    graph.require_an_item()?;
    Ok(graph)
}

/// The same for one of several sources. Others may also have the images.
pub(crate) fn resolve_beside_others(
    mut inventory: Inventory,
    blobs: &dyn BlobSource,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Graph> {
    let mut reader = DocumentReader::new(strictness);
    let unverifiable = match &inventory.root_index {
        Some(_) => unverifiable::move_to_blobs(&mut inventory, blobs)?,
        // A Docker archive names files, whatever they are called.
        None => Moved::default(),
    };
    let mut docker_archive = None;
    let mut renamed = Vec::new();
    let mut item_faults = ItemFaults::new();
    let mut synthesized = None;
    if let Some(file) = inventory.docker_manifest.clone() {
        let has_index = inventory.root_index.is_some();
        if !has_index && synthesize::is_directory_transport(&file.bytes) {
            let found = synthesize::from_directory_transport(&file.bytes, &mut inventory, blobs)?;
            renamed = found.renamed;
            synthesized = Some(found.documents);
        } else {
            let mut items_reader = reader.clone();
            match docker_archive::parse(&file.bytes, &mut items_reader) {
                Err(_) if has_index && docker_archive::unusable(&file.bytes).is_some() => {}
                parsed => {
                    let mut items = parsed?;
                    reader = items_reader;
                    (renamed, item_faults) = docker_archive::rename_to_digests(
                        &mut items,
                        &mut inventory,
                        blobs,
                        &mut reader,
                    )?;
                    docker_archive = Some(items);
                }
            }
        }
    }
    let has_items = docker_archive
        .as_ref()
        .is_some_and(|items| !items.is_empty());
    let stated = match &inventory.root_index {
        Some(file) => {
            let root = root(file.bytes.clone(), &mut reader);
            Some(root.map_err(|error| match error.code() {
                Code::InvalidDocument if has_items => error.with_hint(Hint::RemoveIndex),
                _ => error,
            })?)
        }
        None => None,
    };
    if let Some(items) = &docker_archive
        && !items.is_empty()
        && stated.as_ref().is_none_or(|root| root.pointers.is_empty())
    {
        synthesized = Some(synthesize::from_docker_archive(
            items,
            &inventory,
            &mut item_faults,
        )?);
    }
    let is_root_synthesized = synthesized.is_some();
    let (mut root, mut synthesized) = match (synthesized, stated) {
        (
            Some(Synthesized {
                root: text,
                documents,
            }),
            _,
        ) => (root(text, &mut reader)?, documents),
        (None, Some(root)) => (root, BTreeMap::new()),
        (None, None) => {
            return Err(Error::new(
                Code::NotAnImage,
                "manifest.json does not list any image, and the archive lacks index.json",
            )
            .with_location(RootName::DockerManifest)
            .with_hint(Hint::SaveEmptyAgain));
        }
    };
    let items = docker_archive.as_deref().unwrap_or_default();
    let walk_from = |root: &mut Document, synthesized: &BTreeMap<Digest, Vec<u8>>| {
        let start = Start {
            inventory: &inventory,
            synthesized,
            items,
        };
        // Keys that a walk noted before are noted again.
        let mut noted = reader.clone();
        let ahead = Ahead::new(&inventory, blobs, strictness, workers);
        let found = walk(root, start, blobs, ahead, &mut noted)?;
        let unlisted = match is_root_synthesized {
            true => None,
            false => unlisted::listed(root, &found, start, blobs)?,
        };
        Ok::<_, Error>((found, unlisted, noted))
    };
    let in_words_of_source = |error: Error| {
        let names = SourceNames {
            items: docker_archive.as_deref(),
            renamed: &renamed,
        };
        match is_root_synthesized {
            true => names.restated(error),
            false => error,
        }
    };
    let walked = walk_from(&mut root, &synthesized);
    let (mut found, unlisted, mut noted) = walked.map_err(in_words_of_source)?;
    let mut added_entries = Vec::new();
    if let Some(listed) = unlisted {
        synthesized.extend(listed.documents);
        root = self::root(listed.root, &mut DocumentReader::new(strictness))?;
        added_entries = listed.added;
        (found, _, noted) = walk_from(&mut root, &synthesized)?;
    }
    complete_tag_links(&mut root.pointers, &found.documents);
    let not_tars = inside::not_tars(
        &found.documents,
        &found.manifests,
        &inventory,
        blobs,
        workers,
    )?;
    let mut graph = Graph {
        not_tars,
        children_first: children_first(&root, &found.documents),
        inventory,
        root,
        is_root_synthesized,
        added_entries,
        synthesized,
        renamed,
        docker_archive,
        documents: found.documents,
        manifests: found.manifests,
        faults: found.faults,
        item_faults,
        missing: found.missing,
        repeated_keys: noted.into_repeated_keys(),
        computed: BTreeSet::new(),
        nested: Vec::new(),
        opaque: Opaque::default(),
        orphans: Orphans::default(),
    };
    unverifiable::move_back(unverifiable, &mut graph);
    graph.unmark_images();
    nest(&mut graph)?;
    graph.opaque = Opaque::of(&graph, blobs);
    graph.orphans = Orphans::of(&graph);
    let is_usable = require_content(&graph).and_then(|()| unverifiable::require_verifiable(&graph));
    is_usable.map_err(|error| graph.restated(error))?;
    Ok(graph)
}

/// Reads `index.json`. `null` and an empty list say that there is nothing to list.
pub(crate) fn root(bytes: Vec<u8>, reader: &mut DocumentReader) -> Result<Document> {
    let is_empty =
        |root: View<'_>| root.is_null() || root.items().is_some_and(|items| items.is_empty());
    let stated = std::str::from_utf8(&bytes).ok().and_then(View::parse);
    let bytes = match stated.is_some_and(is_empty) {
        true => b"{}".to_vec(),
        false => bytes,
    };
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    Document::parse(bytes, digest, Shape::Index, RootName::Index.into(), reader)
}

/// Refuses an archive in which nothing is listed: an empty index loads nowhere.
fn require_content(graph: &Graph) -> Result<()> {
    let indexes = std::iter::once(&graph.root).chain(graph.documents.values());
    let mut listed = indexes.flat_map(|document| &document.pointers);
    let is_index = |pointer: &Pointer| {
        let document = graph.document(&pointer.digest);
        document.is_some_and(|document| document.shape == Shape::Index)
    };
    // What is wrong with the items of manifest.json says more.
    if listed.any(|pointer| !is_index(pointer)) || graph.require_an_item().is_err() {
        return Ok(());
    }
    let mut nested = graph.documents.values();
    let empty = nested.find(|document| document.pointers.is_empty());
    let (location, what, hint) = match (empty, &graph.docker_archive) {
        (Some(empty), _) => {
            let location = Location::from(&empty.path);
            let what = format!("{location} is an index that does not list any image");
            (location, what, Hint::SaveAgain)
        }
        (None, Some(_)) => {
            let what = "neither index.json nor manifest.json lists an image";
            (RootName::Index.into(), what.to_owned(), Hint::GiveImage)
        }
        (None, None) => {
            let what = "index.json does not list any image";
            (RootName::Index.into(), what.to_owned(), Hint::GiveImage)
        }
    };
    Err(Error::new(Code::NotAnImage, what)
        .with_location(location)
        .with_hint(hint))
}

/// An archive whose images all lack parts loads nowhere; one without images (a cache, artifacts) is fine.
fn require_a_whole_image(graph: &Graph) -> Result<()> {
    // What is wrong with a document says more than what is absent without it, and planning judges that.
    if !graph.faults.is_empty() {
        return Ok(());
    }
    let mut images = graph
        .manifests
        .values()
        .filter(|facts| facts.role == Role::Image)
        .peekable();
    let is_other = |facts: &ManifestFacts| matches!(facts.role, Role::Cache | Role::Artifact);
    let has_images = images.peek().is_some();
    if images.any(|facts| facts.is_whole) || (!has_images && graph.manifests.values().any(is_other))
    {
        return Ok(());
    }
    let missing = graph
        .missing
        .iter()
        .find(|missing| missing.is_child != has_images && !missing.is_expected);
    match missing {
        None => Ok(()),
        Some(missing) => Err(missing.no_complete_image()),
    }
}
