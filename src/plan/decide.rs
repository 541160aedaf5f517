//! What each document is to become, before any new digest is known.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::document::{Document, Shape};
use crate::graph::location::Location;
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole};
use crate::image::media_type::{self, Family, Kind};
use crate::image::{Compression, Content, Digest};
use crate::inventory::{Inventory, RootName};
use crate::plan::docker_type;
use crate::plan::recompress::{self, NewLayer, Transcode, recompressed};
use crate::plan::selection::Selection;
use crate::plan::{Change, NewLayers, PlanOptions, rules::Rule};

/// Decisions for every document, and the changes that they stand for.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    pub(crate) root: DocumentDecision,
    pub(crate) documents: BTreeMap<Digest, DocumentDecision>,
    pub(crate) changes: Vec<Change>,
    /// Layers still to compress anew, by digest.
    pub(crate) transcodes: BTreeMap<Digest, Transcode>,
    /// Layers whose descriptors now point at new ones.
    pub(crate) replaced: BTreeMap<Digest, NewLayer>,
    /// What documents point at as before.
    pub(crate) still_used: BTreeSet<Digest>,
}

impl Decisions {
    /// The compression that a layer is to have, or has by now, if it is compressed anew.
    pub(crate) fn new_compression(&self, digest: &Digest) -> Option<Compression> {
        let planned = self.transcodes.get(digest).map(|transcode| transcode.to);
        planned.or_else(|| Some(self.replaced.get(digest)?.compression))
    }
}

/// What one document is to become.
#[derive(Clone, Debug, Default)]
pub(crate) struct DocumentDecision {
    /// The value that `mediaType` gets.
    pub(crate) media_type: Option<&'static str>,
    /// New media types of descriptors, by position in the document's pointers.
    pub(crate) pointer_types: BTreeMap<usize, Cow<'static, str>>,
    /// Layers compressed anew, by position in the document's pointers.
    pub(crate) new_layers: BTreeMap<usize, NewLayer>,
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
    selection: &mut Selection,
    options: &PlanOptions,
    layers: &NewLayers,
) -> Result<Decisions> {
    let mut decisions = Decisions::default();
    made(graph, &mut decisions.changes);
    decisions.changes.append(&mut selection.changes);
    let context = Context {
        graph,
        options,
        layers,
    };
    decisions.root = context.document(&graph.root, None, &selection.root, &mut decisions)?;
    let nothing = BTreeSet::new();
    for digest in graph.children_first.iter().rev() {
        let Some(document) = graph
            .document(digest)
            .filter(|_| !selection.left_out.contains(digest))
        else {
            continue;
        };
        let role = graph.manifests.get(digest).map(|facts| facts.role);
        let dropped = selection.dropped(digest).unwrap_or(&nothing);
        let decision = context.document(document, role, dropped, &mut decisions)?;
        decisions.documents.insert(digest.clone(), decision);
    }
    Ok(decisions)
}

/// The changes that resolving a Docker archive stands for.
fn made(graph: &Graph, changes: &mut Vec<Change>) {
    if graph.is_root_made {
        let count = graph.root.pointers.len();
        let after = format!("{count} {}", if count == 1 { "image" } else { "images" });
        changes.push(Rule::IndexAdded.change(RootName::Index, None, Some(after)));
    }
    for pointer in &graph.root.pointers {
        if graph.made.contains_key(&pointer.digest) && graph.docker_archive.is_some() {
            let after = Some(pointer.digest.to_string());
            changes.push(Rule::ManifestAdded.change(graph.root.location_of(pointer), None, after));
        }
    }
    for adopted in &graph.adopted {
        changes.push(Rule::BlobName.change(
            Location::entry(&adopted.name),
            Some(escape(&adopted.name)),
            Some(adopted.digest.blob_name()),
        ));
    }
}

/// What decisions follow from.
struct Context<'a> {
    graph: &'a Graph,
    options: &'a PlanOptions,
    layers: &'a NewLayers,
}

impl Context<'_> {
    fn document(
        &self,
        document: &Document,
        role: Option<ManifestRole>,
        dropped: &BTreeSet<usize>,
        decisions: &mut Decisions,
    ) -> Result<DocumentDecision> {
        let mut decision = DocumentDecision {
            dropped: dropped.clone(),
            ..DocumentDecision::default()
        };
        if document.is_restored {
            let location = document.location_in(Role::Layers.property());
            let change = Rule::LayersRestored.change(location, None, None);
            decisions.changes.push(change);
        }
        let family = match document.digest == self.graph.root.digest {
            // That file is always the one of an OCI image layout.
            true => Family::Oci,
            false => self.options.family,
        };
        decide_own_type(document, family, &mut decision, &mut decisions.changes);
        if self.options.family == Family::Docker {
            docker_type::check(document, role)?;
        }
        for (position, pointer) in document.pointers.iter().enumerate() {
            if dropped.contains(&position) {
                continue;
            }
            if !self.recompress(document, position, pointer, &mut decision, decisions)? {
                // Only of interest where something is used no more.
                if recompress::is_wanted(self.options) {
                    decisions.still_used.insert(pointer.digest.clone());
                }
                self.pointer_type(document, role, position, &mut decision, decisions)?;
            }
        }
        Ok(decision)
    }

    /// Whether the pointer leads to a layer that is compressed anew.
    fn recompress(
        &self,
        document: &Document,
        position: usize,
        pointer: &Pointer,
        decision: &mut DocumentDecision,
        decisions: &mut Decisions,
    ) -> Result<bool> {
        let found = recompressed(self.graph, document, pointer, self.options, self.layers)?;
        let Some(found) = found else {
            return Ok(false);
        };
        decisions.changes.push(recompress::change(&found));
        let digest = pointer.digest.clone();
        if let Some(new) = found.new {
            decision
                .pointer_types
                .insert(position, Cow::Borrowed(found.media_type));
            decision.new_layers.insert(position, new.clone());
            decisions.replaced.insert(digest, new);
            return Ok(true);
        }
        let known = decisions.transcodes.get(&digest);
        if known.is_some_and(|known| known.diff_id != found.transcode.diff_id) {
            return Err(Error::new(
                Code::DiffIdMismatch,
                format!(
                    "{} has another diff ID than the same layer at {}",
                    document.location_of(pointer),
                    known.map_or_else(String::new, |known| known.location.to_string())
                ),
            )
            .with_document(document.location_of(pointer)));
        }
        decisions
            .transcodes
            .entry(digest)
            .or_insert(found.transcode);
        Ok(true)
    }

    fn pointer_type(
        &self,
        document: &Document,
        role: Option<ManifestRole>,
        position: usize,
        decision: &mut DocumentDecision,
        decisions: &mut Decisions,
    ) -> Result<()> {
        let pointer = &document.pointers[position];
        let location = || document.location_of(pointer);
        let wanted = wanted_type(pointer, role, &self.graph.inventory).map_err(|what| {
            Error::new(
                Code::UnsupportedCompression,
                format!(
                    "{} is compressed with {what}, which has no OCI media type",
                    location()
                ),
            )
            .with_document(location())
            .with_found(what)
            .with_hint(Hint::CompressWithGzip)
        })?;
        let wanted = match self.options.family {
            Family::Oci => wanted,
            Family::Docker => docker_type::of(wanted, pointer, role, location())?,
        };
        if wanted != pointer.media_type {
            let rule = match media_type::kind(&pointer.media_type) {
                _ if self.options.family == Family::Docker => Rule::DockerType,
                Kind::Index => Rule::IndexType,
                Kind::Manifest => Rule::ManifestType,
                Kind::Layer { .. } => Rule::LayerType,
                _ => Rule::ConfigType,
            };
            let wanted = media_type::shared(Cow::Borrowed(wanted));
            decisions.changes.push(rule.change_of(
                location(),
                Some(pointer.media_type.clone()),
                Some(wanted.clone()),
            ));
            decision.pointer_types.insert(position, wanted);
        }
        Ok(())
    }
}

/// The document's own `mediaType`.
fn decide_own_type(
    document: &Document,
    family: Family,
    decision: &mut DocumentDecision,
    changes: &mut Vec<Change>,
) {
    let (wanted, rule) = match document.shape {
        Shape::Index => (media_type::index_type(family), Rule::IndexType),
        Shape::Manifest => (media_type::manifest_type(family), Rule::ManifestType),
    };
    let found = document.media_type.as_deref();
    if found == Some(wanted) {
        return;
    }
    decision.media_type = Some(wanted);
    let rule = match found {
        None => Rule::MediaTypeField,
        Some(_) if family == Family::Docker => Rule::DockerType,
        Some(_) => rule,
    };
    let location = document.location_in("mediaType");
    changes.push(rule.change(location, found.map(str::to_owned), Some(wanted.to_owned())));
}

/// The OCI media type that a descriptor should have; the error is the name of a compression without one.
fn wanted_type<'a>(
    pointer: &'a Pointer,
    role: Option<ManifestRole>,
    inventory: &Inventory,
) -> Result<&'a str, &'static str> {
    let declared = &*pointer.media_type;
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
