//! The parts that a split makes of an input: which entries of `index.json` each output contains.

mod companions;
mod part;
mod within;

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::referrers::Referrers;
use crate::graph::{Graph, ManifestRole};
use crate::image::media_type::Kind;
use crate::image::{Digest, Reference};
use crate::location::{Location, Role};
use crate::plan::draft::{NewLayers, Request};
use crate::plan::entries::{self, NamedEntry};
use crate::plan::planner::Planner;
use crate::plan::{Change, Dropped, Finding, MissingPolicy};
use companions::{Companions, groups};
pub(crate) use part::Part;

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
    /// The blobs that only what no part contains needs.
    pub(crate) dropped: Dropped,
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
    let complete: BTreeMap<usize, Rc<[&Digest]>> = planner
        .entries
        .iter()
        .map(|entry| (entry.position, Rc::clone(&entry.images)))
        .collect();
    planner.select()?;
    // What is removed within a document is reported for the part that contains the document.
    let pointers = graph.root.pointers.iter();
    let of_root: HashSet<Location> = pointers
        .map(|pointer| graph.root.location_of(pointer))
        .collect();
    let changes = &mut planner.changes;
    changes.retain(|change| of_root.contains(&change.location));
    planner.separate_names()?;
    planner.rename()?;
    planner.leave_out_extra_entries();
    planner.platforms = planner.platforms_of_images();
    let referrers = Referrers::new(graph);
    let entries = planner.entries.iter();
    let by_position = entries.map(|entry| (entry.position, entry)).collect();
    let mut parts = Vec::new();
    let mut companions = Companions::new(&planner, &referrers);
    for group in groups(&planner, &mut companions) {
        parts.extend(part::parts(
            &planner,
            &complete,
            &by_position,
            &mut companions,
            &group,
            by,
        ));
    }
    let mut findings = Vec::new();
    planner.about_archive(&mut findings);
    planner.about_orphans_of_no_part(&mut findings);
    planner.drop_orphans();
    let mut unusable = Vec::new();
    if options.missing == MissingPolicy::Prune {
        planner.about_faults_of_items(&mut findings);
    } else if options.images.is_empty() {
        unusable = unusable_items(graph);
    }
    findings.append(&mut planner.name_findings);
    Ok(Division {
        parts,
        unusable,
        findings,
        dropped: dropped(&planner),
        changes: planner.changes,
    })
}

/// The blobs that only those entries need that no part contains.
fn dropped(planner: &Planner<'_>) -> Dropped {
    planner
        .selection
        .of_root(planner.graph)
        .dropped_blobs(planner.graph)
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
