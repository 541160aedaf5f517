//! What each document is to become, before any new digest is known.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::graph::ManifestRole;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::{Pointer, stated_text};
use crate::image::media_type::{self, Family, Kind};
use crate::image::{Compression, Digest, Platform};
use crate::json::View;
use crate::location::Role;
use crate::plan::Severity;
use crate::plan::docker_type;
use crate::plan::oci_type::{oci_type, unsupported_compression};
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::recompress::{self, NewLayer, Transcode};
use crate::plan::rules::Rule;
use crate::plan::selection::Unwrapped;
use crate::plan::severity::{self, TypeSeverity};

/// Decisions for every document.
#[derive(Debug, Default)]
pub(crate) struct Decisions<'a> {
    pub(crate) root: DocumentDecision<'a>,
    /// The other documents, in the order of the planner's; `None` for one that is left out or stays as
    /// it is.
    pub(crate) documents: Vec<Option<DocumentDecision<'a>>>,
    /// Layers still to recompress, by digest.
    pub(crate) transcodes: BTreeMap<&'a Digest, Transcode>,
    /// Layers whose descriptors now point at new ones.
    pub(crate) replaced: BTreeMap<&'a Digest, Cow<'a, NewLayer>>,
    /// What documents point at as before, if layers may have to be recompressed.
    pub(crate) still_used: BTreeSet<&'a Digest>,
    /// The severities of the descriptors' changes, by the manifest that a descriptor calls Docker's.
    docker_manifests: BTreeMap<&'a Digest, Severity>,
    /// The images, and the indexes that lead to one; `None` if nobody has asked.
    leading_to_images: Option<BTreeSet<&'a Digest>>,
}

impl Decisions<'_> {
    /// The compression that a layer is to have, or has by now, if it is recompressed.
    pub(crate) fn new_compression(&self, digest: &Digest) -> Option<Compression> {
        self.replaced.get(digest).map(|new| new.compression)
    }
}

/// What one document is to become.
#[derive(Debug, Default)]
pub(crate) struct DocumentDecision<'a> {
    /// The value that `mediaType` gets.
    pub(crate) media_type: Option<&'static str>,
    /// The list to write as an empty one.
    pub(crate) empty_list: Option<Role>,
    /// The value that an absent `mediaType` gets if the document changes anyway.
    pub(crate) absent_media_type: Option<&'static str>,
    /// The highest severity of the document's own changes; `None` if it has none.
    pub(crate) severity: Option<Severity>,
    /// What becomes of each of the document's pointers.
    pub(crate) pointers: Vec<PointerDecision<'a>>,
    /// Descriptors to add.
    pub(crate) copies: Vec<EntryCopy>,
}

/// What one descriptor is to become.
#[derive(Clone, Debug, Default)]
pub(crate) struct PointerDecision<'a> {
    pub(crate) is_dropped: bool,
    /// The descriptor to write instead, under the names of this one.
    pub(crate) unwrapped: Option<Unwrapped<'a>>,
    /// The new media type.
    pub(crate) media_type: Option<&'static str>,
    /// The layer to point at instead.
    pub(crate) layer: Option<Cow<'a, NewLayer>>,
    /// Whether `platform` is removed.
    pub(crate) drops_platform: bool,
    /// What `platform` has to state and does not.
    pub(crate) completes_platform: Option<&'a Platform>,
    /// Annotations to set.
    pub(crate) annotations: Annotations,
    /// The keys of annotations to remove.
    pub(crate) removed_annotations: Vec<&'static str>,
}

/// Keys and values.
pub(crate) type Annotations = Vec<(&'static str, String)>;

/// A copy of a descriptor with these name annotations instead of its own.
#[derive(Debug)]
pub(crate) struct EntryCopy {
    /// The position in the document's pointers.
    pub(crate) of: usize,
    pub(crate) annotations: Annotations,
}

impl<'a> DocumentDecision<'a> {
    fn new(document: &Document, dropped: Option<&BTreeSet<usize>>) -> Self {
        let mut pointers = vec![PointerDecision::default(); document.pointers.len()];
        for position in dropped.into_iter().flatten() {
            pointers[*position].is_dropped = true;
        }
        DocumentDecision {
            pointers,
            ..DocumentDecision::default()
        }
    }
}

impl<'a> Planner<'a> {
    /// Decides the types of all documents that go out; names are decided apart.
    ///
    /// # Errors
    /// A layer's compression has no OCI media type, or something has no Docker media type and is to have
    /// one; a layer to recompress has no diff ID that can be verified.
    pub(crate) fn decide(&mut self) -> Result<()> {
        let root = InputDocument {
            document: &self.graph.root,
            facts: None,
        };
        let first_change = self.changes.len();
        let mut decision = DocumentDecision::new(root.document, Some(&self.selection.root));
        for (position, unwrapped) in &self.selection.unwrapped {
            decision.pointers[*position].unwrapped = Some(*unwrapped);
        }
        self.decisions.root = self.document(root, decision)?;
        let mut decisions = Vec::with_capacity(self.documents.len());
        for number in (0..self.documents.len()).rev() {
            let input = self.documents[number];
            let digest = &input.document.digest;
            if self.selection.left_out.contains(digest) {
                decisions.push(None);
                continue;
            }
            let first_change = self.changes.len();
            let decision = DocumentDecision::new(input.document, self.selection.dropped(digest));
            let decision = self.document(input, decision)?;
            let is_preserved = self.preserve(input, first_change);
            decisions.push((!is_preserved).then_some(decision));
        }
        decisions.reverse();
        self.decisions.documents = decisions;
        if self.options.preserve_digests {
            self.preserve_types(first_change);
        }
        Ok(())
    }

    fn document(
        &mut self,
        input: InputDocument<'a>,
        mut decision: DocumentDecision<'a>,
    ) -> Result<DocumentDecision<'a>> {
        let document = input.document;
        let first_change = self.changes.len();
        if document.is_restored {
            let location = document.location_in(Role::Layers.property());
            let change = Rule::LayersRestored.change(location, None, None);
            self.changes.push(change);
        }
        self.report_keys(document);
        let types = LazyCell::new(|| TypeSeverity::of(document, input.role()));
        let types = || *types;
        self.own_type(document, &types, &mut decision);
        decision.empty_list = self.empty_list(document);
        if self.options.family == Family::Docker {
            docker_type::check(document, input.role())?;
        }
        for (pointer, decision) in document.pointers.iter().zip(&mut decision.pointers) {
            if decision.is_dropped {
                continue;
            }
            if let Some(Unwrapped { index, pointer }) = decision.unwrapped {
                let index = InputDocument {
                    document: index,
                    facts: None,
                };
                decision.media_type = self.pointer_type(index, pointer, &types)?;
                decision.completes_platform = self.completes_platform(index.document, pointer);
                self.report_size(index.document, pointer);
                continue;
            }
            decision.drops_platform = self.drops_platform(input, pointer);
            decision.completes_platform = self.completes_platform(document, pointer);
            if !self.recompress(input, pointer, decision)? {
                // Only of interest if something is no longer used.
                if recompress::is_wanted(self.options) {
                    self.decisions.still_used.insert(&pointer.digest);
                }
                decision.media_type = self.pointer_type(input, pointer, &types)?;
                self.report_size(document, pointer);
            }
        }
        let is_dropped = |pointer: &PointerDecision<'_>| pointer.is_dropped;
        let dropped = decision.pointers.iter().any(is_dropped);
        let changes = self.changes[first_change..].iter();
        let severities = changes.map(|change| change.severity);
        decision.severity = severities.chain(dropped.then_some(Severity::Warns)).max();
        Ok(decision)
    }

    /// Decides the document's own `mediaType`.
    fn own_type(
        &mut self,
        document: &Document,
        types: &dyn Fn() -> TypeSeverity,
        decision: &mut DocumentDecision<'a>,
    ) {
        let family = match document.path.parent() {
            // index.json is always the one of an OCI image layout.
            None => Family::Oci,
            Some(_) => self.options.family,
        };
        let (wanted, rule) = match document.shape {
            Shape::Index => (media_type::index_type(family), Rule::IndexType),
            Shape::Manifest => (media_type::manifest_type(family), Rule::ManifestType),
        };
        let found = document.media_type.as_deref();
        if found == Some(wanted) {
            return;
        }
        if found.is_none() && !self.needs_media_type(document, family) {
            decision.absent_media_type = Some(wanted);
            return;
        }
        let rule = match found {
            None => Rule::MediaTypeField,
            Some(_) if family == Family::Docker => Rule::DockerType,
            Some(_) => rule,
        };
        let severity = match rule {
            Rule::ManifestType => types().document(),
            Rule::IndexType if document.path.parent().is_none() => Severity::Warns,
            rule => rule.severity(),
        };
        let before = found.map(|found| media_type::shared(Cow::Borrowed(found)));
        let location = document.location_in("mediaType");
        let change = rule.change_of(location, before, Some(Cow::Borrowed(wanted)));
        self.changes.push(change.with_severity(severity));
        decision.media_type = Some(wanted);
    }

    /// Whether a reader needs a `mediaType` in a document that lacks it. For OCI it is optional;
    /// containerization before 0.13 needs it in every index that leads to an image.
    fn needs_media_type(&mut self, document: &Document, family: Family) -> bool {
        if family == Family::Docker || document.path.parent().is_none() {
            return true;
        }
        let graph = self.graph;
        let leading = &mut self.decisions.leading_to_images;
        let leading = leading.get_or_insert_with(|| graph.leading_to_images());
        document.shape == Shape::Index && leading.contains(&document.digest)
    }

    /// The document's list, if it is to be written as an empty one.
    fn empty_list(&mut self, document: &Document) -> Option<Role> {
        if !document.lacks_list {
            return None;
        }
        let list = document.shape.list();
        let location = document.location_in(list.property());
        let after = Some("[]".to_owned());
        self.changes
            .push(Rule::EmptyList.change(location, None, after));
        Some(list)
    }

    /// Whether a descriptor states a platform that only entries of an index have.
    fn drops_platform(&mut self, input: InputDocument<'a>, pointer: &Pointer) -> bool {
        let is_extra = match pointer.role {
            Role::Config | Role::Layers => input.role() == Some(ManifestRole::Image),
            Role::Subject => input.document.shape == Shape::Manifest,
            Role::Manifests | Role::Blobs => false,
        };
        if !is_extra || !pointer.has_platform {
            return false;
        }
        let location = input.document.location_of(pointer);
        let before = pointer.platform.as_ref().map(ToString::to_string);
        self.changes
            .push(Rule::DescriptorPlatform.change(location, before, None));
        true
    }

    /// The platform of an image's config, if the entry of an index states only a part of it.
    fn completes_platform(
        &mut self,
        document: &'a Document,
        pointer: &'a Pointer,
    ) -> Option<&'a Platform> {
        let is_incomplete = pointer.has_platform && pointer.platform.is_none();
        if pointer.role != Role::Manifests || !is_incomplete {
            return None;
        }
        let facts = self.graph.manifests.get(&pointer.digest)?;
        let platform = facts.platform.as_ref()?;
        let descriptor = View::at(&document.text, &pointer.places.descriptor);
        let members = descriptor.get("platform")?.members()?;
        let os = stated_text(&members, "os");
        let architecture = stated_text(&members, "architecture");
        let is_other = os.as_ref().is_some_and(|os| *os != platform.os)
            || architecture
                .as_ref()
                .is_some_and(|stated| *stated != platform.architecture);
        if is_other {
            return None;
        }
        let before = os.or(architecture);
        let location = document.location_of(pointer);
        let change = Rule::IncompletePlatform.change(location, before, Some(platform.to_string()));
        // Of what index.json lists, engines read the config.
        self.changes
            .push(match document.digest == self.graph.root.digest {
                true => change.with_severity(Severity::Warns),
                false => change,
            });
        Some(platform)
    }

    /// Whether a document could not be read, so that what it calls itself cannot change.
    fn is_unreadable_document(&self, pointer: &Pointer) -> bool {
        let graph = self.graph;
        matches!(pointer.kind, Kind::Index | Kind::Manifest)
            && graph.faults.of(&pointer.digest).is_some()
            && graph.document(&pointer.digest).is_none()
    }

    /// The media type of a descriptor, if it changes.
    fn pointer_type(
        &mut self,
        input: InputDocument<'a>,
        pointer: &'a Pointer,
        types: &dyn Fn() -> TypeSeverity,
    ) -> Result<Option<&'static str>> {
        // A document that cannot be verified is not rewritten, so its descriptor keeps the type as well.
        if !pointer.digest.is_verifiable() && matches!(pointer.kind, Kind::Index | Kind::Manifest) {
            return Ok(None);
        }
        let declared = &*pointer.media_type;
        let location = || input.document.location_of(pointer);
        if self.is_unreadable_document(pointer) {
            return Ok(None);
        }
        let oci = match oci_type(pointer, input.role()) {
            Ok(oci) => oci,
            Err(what) => {
                let is_of_bytes =
                    (input.facts).is_some_and(|facts| facts.has_diff_id_of_bytes(pointer));
                let error = unsupported_compression(&location(), what, is_of_bytes);
                if input.role() != Some(ManifestRole::Image) {
                    return Err(error);
                }
                self.keep_unsupported(&input.document.digest, error);
                return Ok(None);
            }
        };
        let wanted = match self.options.family {
            Family::Oci => oci,
            Family::Docker => {
                let oci_type = oci.unwrap_or(declared);
                docker_type::of(oci_type, pointer, input.role(), &location())?.or(oci)
            }
        };
        let Some(wanted) = wanted.filter(|wanted| *wanted != declared) else {
            return Ok(None);
        };
        let rule = match pointer.kind {
            _ if self.options.family == Family::Docker => Rule::DockerType,
            Kind::Index => Rule::IndexType,
            Kind::Manifest => Rule::ManifestType,
            Kind::Layer { .. } => Rule::LayerType,
            _ => Rule::ConfigType,
        };
        let severity = match rule {
            Rule::ManifestType => self.docker_manifest_severity(&pointer.digest),
            Rule::LayerType | Rule::ConfigType => types().pointer(pointer),
            rule => rule.severity(),
        };
        let before = Some(pointer.media_type.clone());
        let change = rule.change_of(location(), before, Some(Cow::Borrowed(wanted)));
        self.changes.push(change.with_severity(severity));
        Ok(Some(wanted))
    }

    /// The severity of the change of a descriptor that calls this manifest Docker's.
    fn docker_manifest_severity(&mut self, digest: &'a Digest) -> Severity {
        let graph = self.graph;
        let known = self.decisions.docker_manifests.entry(digest);
        *known.or_insert_with(|| match graph.document(digest) {
            Some(manifest) => {
                let facts = graph.manifests.get(digest);
                severity::docker_manifest(manifest, facts.map(|facts| facts.role))
            }
            None => Severity::Cosmetic,
        })
    }
}
