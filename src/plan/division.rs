//! The parts that a split makes of an input: which entries of `index.json` each output contains.

mod companions;
mod part;
mod within;

use std::collections::BTreeSet;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::referrers::Referrers;
use crate::graph::{Graph, ManifestRole, Reducer};
use crate::image::media_type::Kind;
use crate::image::{Digest, Reference};
use crate::location::{Location, Role};
use crate::plan::draft::{NewLayers, Request};
use crate::plan::entries::{self, NamedEntry};
use crate::plan::planner::Planner;
use crate::plan::{Change, Dropped, Finding, IndexRead, MissingPolicy, Places};
use companions::{Companions, groups};
use part::Contents;
pub(crate) use part::Part;
use within::IndexEntries;

/// What an output of a split contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SplitBy {
    /// One image, under all its names, for all its platforms.
    #[default]
    Image,
    /// One image under one of its names. An image without a name has one output.
    Name,
    /// One image for one platform, under all its names.
    Platform,
}

/// An input that was divided.
#[derive(Debug)]
pub(crate) struct Division<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    /// The images of `manifest.json` that no part contains, because something is wrong with them.
    pub(crate) unusable: Vec<Unusable>,
    /// What is changed whatever the part: what no part contains, and names that only one of several images keeps.
    pub(crate) changes: Vec<Change>,
    pub(crate) findings: Vec<Finding>,
    /// The documents that the changes and findings are about.
    pub(crate) places: Places,
    /// The blobs that only what no part contains needs.
    pub(crate) dropped: Dropped,
    /// The entries of indexes that are left out of all parts.
    dropped_entries: IndexEntries<'a>,
    /// What documents of the input point at and no part contains.
    left_out: BTreeSet<&'a Digest>,
}

impl<'a> Division<'a> {
    /// What finds the contents of each part.
    ///
    /// # Errors
    /// None if the graph is one that was resolved.
    pub(crate) fn reducer(&self, graph: &'a Graph) -> Result<Reducer<'a>> {
        Reducer::new(graph, &self.dropped_entries, self.left_out.clone())
    }
}

/// An image that has no part.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) names: Vec<Reference>,
    pub(crate) error: Error,
}

/// Divides an input. The options say what to leave out of all parts; what they say about single images is decided in the plan of
/// each part.
///
/// # Errors
/// The input is a build cache; a requested image or platform is not there; `index.json` and `manifest.json` disagree.
pub(crate) fn divide<'a>(request: Request<'a>, by: SplitBy) -> Result<Division<'a>> {
    let (graph, options) = (request.graph, request.options);
    let mut planner = Planner::new(request, NewLayers::NONE);
    planner.entries = entries::join(graph)?;
    refuse_cache(graph, &planner.entries)?;
    planner.select()?;
    // What a build cache lacks is reported for the part that contains the cache.
    planner
        .changes
        .retain(|change| is_of_index(&change.location));
    planner.separate_names()?;
    planner.rename()?;
    planner.leave_out_extra_entries();
    planner.platforms = planner.platforms_of_images();
    let referrers = Referrers::new(graph);
    let mut parts = Vec::new();
    let mut of_no_image = BTreeSet::new();
    let contents = Contents::of(&planner);
    let mut companions = Companions::new(&planner, &referrers);
    for group in groups(&planner, &mut companions) {
        let of_group = part::parts(&contents, &mut companions, &group, by, &mut of_no_image);
        parts.extend(of_group);
    }
    let dropped_entries = planner.selection.dropped_entries(graph);
    let left_out = planner.selection.left_out.clone();
    for within in parts.iter().filter_map(Part::within) {
        for (index, positions) in within {
            let kept = positions.iter().map(|position| (*index, *position));
            kept.for_each(|entry| {
                of_no_image.remove(&entry);
            });
        }
    }
    planner.leave_out_of_no_image(&of_no_image);
    let mut findings = Vec::new();
    planner.about_archive(&mut findings);
    planner.about_orphans_of_no_part(&mut findings);
    planner.drop_orphans();
    let dropped = planner.selection.dropped_blobs(graph);
    let mut unusable = Vec::new();
    if options.missing == MissingPolicy::Prune {
        planner.about_faults_of_items(&mut findings);
    } else if options.images.is_empty() {
        unusable = unusable_items(graph);
    }
    findings.append(&mut planner.name_findings);
    let changed = planner.changes.iter().map(|change| &change.location);
    let found = findings
        .iter()
        .filter_map(|finding| finding.location.as_ref());
    let places = Places::of(graph, changed.chain(found), IndexRead::AsInGraph);
    Ok(Division {
        parts,
        unusable,
        findings,
        places,
        dropped,
        dropped_entries,
        left_out,
        changes: planner.changes,
    })
}

/// Whether something is an entry of an index.
fn is_of_index(location: &Location) -> bool {
    matches!(location, Location::Descriptor { step, .. } if step.role == Role::Manifests)
}

/// Refuses an input without images that is a build cache: its layers belong together.
fn refuse_cache(graph: &Graph, entries: &[NamedEntry<'_>]) -> Result<()> {
    let is_cache = graph
        .manifests
        .values()
        .any(|facts| facts.role == ManifestRole::Cache)
        || graph.documents.values().any(|document| {
            let mut listed = document.pointers_in(Role::Manifests);
            listed.any(|pointer| pointer.kind == Kind::CacheConfig)
        });
    if !entries.is_empty() || !is_cache {
        return Ok(());
    }
    let message = "a build cache does not contain images, so it cannot be split";
    Err(Error::new(Code::NotAnImage, message).with_hint(Hint::GiveImage))
}

/// The items of `manifest.json` whose images cannot be used.
fn unusable_items(graph: &Graph) -> Vec<Unusable> {
    let items = graph.docker_archive.as_deref().unwrap_or_default();
    let faults = graph.item_faults.iter();
    let faults = faults.map(|(position, error)| {
        let tags = items.get(*position).map(|item| item.repo_tags.as_slice());
        let tags = tags.unwrap_or_default().iter();
        Unusable {
            names: tags.filter_map(|tag| Reference::parse(tag)).collect(),
            error: error.clone(),
        }
    });
    faults.collect()
}
