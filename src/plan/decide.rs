//! What each document is to become, before any new digest is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::compression::Compression;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole};
use crate::inventory::{Content, Inventory};
use crate::media_type::{self, Kind};
use crate::plan::selection::Selection;
use crate::plan::{Change, rules::Rule};

/// Decisions for every document, and the changes that they stand for.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    pub(crate) root: DocumentDecision,
    pub(crate) documents: BTreeMap<Digest, DocumentDecision>,
    pub(crate) changes: Vec<Change>,
}

/// What one document is to become.
#[derive(Clone, Debug, Default)]
pub(crate) struct DocumentDecision {
    /// The value that `mediaType` gets.
    pub(crate) media_type: Option<&'static str>,
    /// New media types of descriptors, by position in the document's pointers.
    pub(crate) pointer_types: BTreeMap<usize, String>,
    /// Annotations to add to descriptors, by position in the document's pointers.
    pub(crate) annotations: BTreeMap<usize, Vec<(&'static str, String)>>,
    /// Descriptors to leave out, by position in the document's pointers.
    pub(crate) dropped: BTreeSet<usize>,
    /// Descriptors to add: a copy of that one, with these name annotations instead of its own.
    pub(crate) copies: Vec<(usize, Vec<(&'static str, String)>)>,
}

/// Decides the types of all documents that go out; names are decided apart.
pub(crate) fn decide(
    graph: &Graph,
    inventory: &Inventory,
    selection: &mut Selection,
) -> Result<Decisions> {
    let mut decisions = Decisions::default();
    let changes = &mut decisions.changes;
    made(graph, changes);
    changes.append(&mut selection.changes);
    decisions.root = decide_document(&graph.root, None, inventory, &selection.root, changes)?;
    let nothing = BTreeSet::new();
    for digest in graph.children_first.iter().rev() {
        let Some(document) = graph
            .document(digest)
            .filter(|_| selection.reachable.contains(digest))
        else {
            continue;
        };
        let role = graph.manifests.get(digest).map(|facts| facts.role);
        let dropped = selection.dropped(digest).unwrap_or(&nothing);
        let decision = decide_document(document, role, inventory, dropped, changes)?;
        decisions.documents.insert(digest.clone(), decision);
    }
    Ok(decisions)
}

/// The changes that resolving a Docker archive stands for.
fn made(graph: &Graph, changes: &mut Vec<Change>) {
    if graph.is_root_made {
        let count = graph.root.pointers.len();
        let after = format!("{count} {}", if count == 1 { "image" } else { "images" });
        changes.push(Rule::IndexAdded.change("index.json", None, Some(after)));
    }
    for pointer in &graph.root.pointers {
        if graph.made.contains_key(&pointer.digest) && graph.docker_archive.is_some() {
            let after = Some(pointer.digest.to_string());
            changes.push(Rule::ManifestAdded.change(graph.root.location_of(pointer), None, after));
        }
    }
    for adopted in &graph.adopted {
        let name = crate::error::escape(&adopted.name);
        changes.push(Rule::BlobName.change(
            name.clone(),
            Some(name),
            Some(adopted.digest.blob_name()),
        ));
    }
}

fn decide_document(
    document: &Document,
    role: Option<ManifestRole>,
    inventory: &Inventory,
    dropped: &BTreeSet<usize>,
    changes: &mut Vec<Change>,
) -> Result<DocumentDecision> {
    let mut decision = DocumentDecision {
        dropped: dropped.clone(),
        ..DocumentDecision::default()
    };
    if document.is_restored {
        let location = format!("{}, layers", document.location);
        changes.push(Rule::LayersRestored.change(location, None, None));
    }
    let (wanted, rule) = match document.shape {
        Shape::Index => (media_type::OCI_INDEX, Rule::IndexType),
        Shape::Manifest => (media_type::OCI_MANIFEST, Rule::ManifestType),
    };
    match document.media_type.as_deref() {
        Some(found) if found == wanted => {}
        found => {
            decision.media_type = Some(wanted);
            let rule = if found.is_none() {
                Rule::MediaTypeField
            } else {
                rule
            };
            let location = format!("{}, mediaType", document.location);
            changes.push(rule.change(location, found.map(str::to_owned), Some(wanted.to_owned())));
        }
    }
    for (position, pointer) in document.pointers.iter().enumerate() {
        let location = || document.location_of(pointer);
        if dropped.contains(&position) {
            continue;
        }
        let wanted = wanted_type(pointer, role, inventory).map_err(|what| {
            Error::new(
                Code::UnsupportedCompression,
                format!(
                    "{} is compressed with {what}, which has no OCI media type",
                    location()
                ),
            )
            .with_hint("build or save the image again with gzip or zstd layers")
        })?;
        if wanted != pointer.media_type {
            let rule = match media_type::kind(&pointer.media_type) {
                Kind::Index => Rule::IndexType,
                Kind::Manifest => Rule::ManifestType,
                Kind::Layer { .. } => Rule::LayerType,
                _ => Rule::ConfigType,
            };
            changes.push(rule.change(
                location(),
                Some(pointer.media_type.clone()),
                Some(wanted.to_owned()),
            ));
            decision.pointer_types.insert(position, wanted.to_owned());
        }
    }
    Ok(decision)
}

/// The media type that a descriptor should have; the error is the name of a compression without one.
fn wanted_type<'a>(
    pointer: &'a Pointer,
    role: Option<ManifestRole>,
    inventory: &Inventory,
) -> Result<&'a str, &'static str> {
    let declared = pointer.media_type.as_str();
    // The bytes of an artifact's content are its own affair; of images and caches they decide.
    let decides_by_bytes = matches!(role, None | Some(ManifestRole::Image | ManifestRole::Cache));
    Ok(match media_type::kind(declared) {
        Kind::Layer { distributable, .. } if decides_by_bytes => {
            let content = inventory
                .blobs
                .get(&pointer.digest)
                .map(|blob| blob.content);
            match content {
                Some(Content::Bzip2) => return Err("bzip2"),
                Some(Content::Xz) => return Err("xz"),
                _ => content
                    .and_then(Compression::of_content)
                    .map_or(media_type::oci_form(declared), |found| {
                        media_type::oci_layer(found, distributable)
                    }),
            }
        }
        Kind::OctetStream if pointer.role != Role::Config || role != Some(ManifestRole::Image) => {
            declared
        }
        _ => media_type::oci_form(declared),
    })
}
