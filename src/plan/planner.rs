//! The phases of planning, and what each leaves for the next.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, escape};
use crate::graph::document::Document;
use crate::graph::{Graph, ManifestFacts, ManifestRole};
use crate::image::{Digest, Platform, Reference};
use crate::location::{Location, RootName};
use crate::plan::blobs::Blobs;
use crate::plan::decide::Decisions;
use crate::plan::division::Part;
use crate::plan::draft::Request;
use crate::plan::entries::{self, NamedEntry};
use crate::plan::image_platforms::ImagePlatforms;
use crate::plan::output::Contents;
use crate::plan::preserve::{self, Preserved};
use crate::plan::rewrite::Rewritten;
use crate::plan::rules::Rule;
use crate::plan::selection::Selection;
use crate::plan::{
    Change, Finding, Form, IndexRead, NewLayers, Places, Plan, PlanOptions, Summary, Transcode,
};

/// An unfinished plan: each phase is a method, in a module of its own, that fills in its field and adds
/// its changes.
#[derive(Debug)]
pub(crate) struct Planner<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) options: &'a PlanOptions,
    pub(crate) form: Form,
    /// The architecture to prefer if nothing else decides.
    pub(crate) host: Option<&'a str>,
    /// What the output contains, if the input is divided among several.
    pub(crate) part: Option<&'a Part<'a>>,
    /// Layers that were recompressed.
    pub(crate) layers: &'a NewLayers,
    /// The graph's documents without the root, children first.
    pub(crate) documents: Vec<InputDocument<'a>>,
    pub(crate) changes: Vec<Change>,
    /// Findings about names that are not in the output.
    pub(crate) name_findings: Vec<Finding>,
    /// The entries of the root, by position, whose annotations no longer name them.
    pub(crate) nameless: BTreeSet<usize>,
    /// The entries of the index that lead to images.
    pub(crate) entries: Vec<NamedEntry<'a>>,
    /// Those that lead to no image, if names were requested.
    pub(crate) artifacts: Vec<NamedEntry<'a>>,
    /// What is left out.
    pub(crate) selection: Selection<'a>,
    /// What each document is to become.
    pub(crate) decisions: Decisions<'a>,
    /// Images with layers that have no OCI media type, or that cannot be recompressed.
    pub(crate) unsupported: BTreeMap<&'a Digest, Error>,
    /// What documents would have become if their digests were not preserved.
    pub(crate) preserved: Preserved<'a>,
    /// The platforms of each image.
    pub(crate) platforms: ImagePlatforms<'a>,
    /// The image of each entry that `manifest.json` describes, in the order of `entries`; `None` if none
    /// of the entry is complete.
    pub(crate) described: Vec<Option<&'a Digest>>,
    /// Entries whose images have several platforms but not the requested one, with the platform that
    /// `manifest.json` describes.
    pub(crate) lacking_platform: Vec<(usize, Option<&'a Platform>)>,
    /// What documents became.
    pub(crate) rewritten: Rewritten<'a>,
    /// Names of the output that contain a digest which is known only once layers have been recompressed.
    pub(crate) pending_names: BTreeSet<Reference>,
}

/// A document of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputDocument<'a> {
    pub(crate) document: &'a Document,
    /// What is known about it if it is a manifest.
    pub(crate) facts: Option<&'a ManifestFacts>,
}

impl InputDocument<'_> {
    pub(crate) fn role(&self) -> Option<ManifestRole> {
        self.facts.map(|facts| facts.role)
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(request: Request<'a>, layers: &'a NewLayers) -> Self {
        let graph = request.graph;
        let documents = graph.children_first.iter().filter_map(|digest| {
            Some(InputDocument {
                document: graph.document(digest)?,
                facts: graph.manifests.get(digest),
            })
        });
        Planner {
            documents: documents.collect(),
            graph,
            options: request.options,
            form: request.form,
            host: request.host,
            part: request.part,
            layers,
            changes: Vec::new(),
            name_findings: Vec::new(),
            nameless: BTreeSet::new(),
            entries: Vec::new(),
            artifacts: Vec::new(),
            selection: Selection::default(),
            decisions: Decisions::default(),
            unsupported: BTreeMap::new(),
            preserved: Preserved::default(),
            platforms: ImagePlatforms::default(),
            described: Vec::new(),
            lacking_platform: Vec::new(),
            rewritten: Rewritten::default(),
            pending_names: BTreeSet::new(),
        }
    }

    /// The plan, and the layers that have to be recompressed before it can be carried out.
    ///
    /// # Errors
    /// Those of [`plan`](crate::plan::plan).
    pub(crate) fn plan(mut self) -> Result<(Plan, Vec<Transcode>)> {
        preserve::check(self.options)?;
        match self.part {
            Some(part) => self.enter(part),
            None => self.entries = entries::join(self.graph)?,
        }
        self.report_resolved();
        let had_images = !self.entries.is_empty();
        self.select()?;
        self.refuse_reduced_indexes()?;
        self.refuse_nothing_left(had_images && !self.selection.has_only_artifacts)?;
        self.refuse_faults()?;
        self.separate_names()?;
        self.rename()?;
        self.check_names()?;
        self.decide()?;
        self.refuse_faults()?;
        self.rewrite_documents()?;
        self.drop_false_names();
        self.annotate();
        self.describe()?;
        self.rewrite_root()?;
        self.drop_orphans();
        let docker_manifest = self.docker_manifest()?;
        self.leave_out_extra_entries();
        let oci_layout = self.oci_layout()?;
        self.report_archive_form();
        let keeps_bytes = self.keeps_bytes();
        if keeps_bytes {
            self.changes.clear();
        }
        let (plan, transcodes) = self.finish(docker_manifest, oci_layout);
        let plan = Plan {
            keeps_bytes,
            ..plan
        };
        Ok((plan, transcodes))
    }

    fn finish(
        self,
        docker_manifest: Option<Vec<u8>>,
        oci_layout: Vec<u8>,
    ) -> (Plan, Vec<Transcode>) {
        let (findings, digests, images) = (self.findings(), self.digests(), self.images());
        let dropped = self.selection.dropped_blobs(self.graph);
        let changed = self.changes.iter().map(|change| &change.location);
        let found = findings
            .iter()
            .filter_map(|finding| finding.location.as_ref());
        let places = Places::of(self.graph, changed.chain(found), IndexRead::AsInGraph);
        let (blobs, documents) = self.kept();
        let Blobs { kinds, proofs } = self.blobs();
        let layers = self.decisions.replaced.into_values();
        let done = layers.filter(|new| !new.is_pending);
        let contents = Contents {
            blobs,
            kinds,
            documents,
            layers: done.collect(),
            rewritten: self.rewritten,
            docker_manifest,
            oci_layout,
        };
        let plan = Plan {
            entries: contents.entries(&self.graph.inventory),
            summary: Summary {
                changes: self.changes,
                findings,
                dropped,
                digests,
                images,
                places,
            },
            form: self.form,
            keeps_bytes: false,
            proofs,
        };
        (plan, self.decisions.transcodes.into_values().collect())
    }

    /// The changes that resolving a Docker archive made.
    fn report_resolved(&mut self) {
        let graph = self.graph;
        if graph.is_root_synthesized {
            let count = graph.root.pointers.len() - self.selection.root.len();
            let after = count_of_images(count);
            let change = Rule::IndexAdded.change(RootName::Index, None, Some(after));
            self.changes.push(change);
        }
        for digest in &graph.added_entries {
            let mut pointers = graph.root.pointers.iter();
            let entry = pointers.find(|pointer| pointer.digest == *digest);
            let location = match entry {
                Some(pointer) => graph.root.location_of(pointer),
                None => RootName::Index.into(),
            };
            let after = Some(digest.to_string());
            let change = Rule::IndexEntryAdded.change(location, None, after);
            self.changes.push(change);
        }
        let nested = graph.nested.iter();
        let nested = nested.filter_map(|nested| graph.document(&nested.digest));
        for document in std::iter::once(&graph.root).chain(nested) {
            for pointer in &document.pointers {
                let digest = &pointer.digest;
                if graph.is_created(digest) && !graph.is_nested(digest) {
                    let location = document.location_of(pointer);
                    let after = Some(digest.to_string());
                    let change = Rule::ManifestAdded.change(location, None, after);
                    self.changes.push(change);
                }
            }
        }
        for nested in &graph.nested {
            for named in &nested.names {
                let before = format!("{} entries named {}", named.entries, escape(&named.name));
                let after = format!("an index of {}", nested.platforms.join(", "));
                let location = named.location.clone();
                let change = Rule::PlatformsNested.change(location, Some(before), Some(after));
                self.changes.push(change);
            }
        }
        for (name, target) in &graph.inventory.links {
            self.changes.push(Rule::Link.change(
                Location::entry(name),
                Some(format!("a link to {}", escape(target))),
                Some("a regular file".to_owned()),
            ));
        }
        for renamed in &graph.renamed {
            self.changes.push(Rule::BlobName.change(
                Location::entry(&renamed.name),
                Some(escape(&renamed.name)),
                Some(renamed.digest.blob_name()),
            ));
        }
    }

    /// The root and every other document that the output contains, parents first.
    pub(crate) fn documents_after(&self) -> impl Iterator<Item = InputDocument<'a>> {
        let root = InputDocument {
            document: &self.graph.root,
            facts: None,
        };
        let others = self.documents.iter().rev().copied();
        let kept = others.filter(|input| !self.selection.left_out.contains(&input.document.digest));
        std::iter::once(root).chain(kept)
    }
}

pub(crate) fn count_of_images(count: usize) -> String {
    crate::error::count(count as u64, "image", "images")
}
