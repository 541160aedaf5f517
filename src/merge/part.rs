//! One input of a merge, planned as if it were fixed alone.

use std::collections::{BTreeMap, BTreeSet};

use super::copies::Copies;
use super::joined::Joined;
use super::listed::{Listed, listed};
use super::repaired::{Read, repair};
use super::root::index_text;
use crate::error::{Error, Result, path_text};
use crate::fix::Run;
use crate::graph::Graph;
use crate::image::Digest;
use crate::input::Source;
use crate::plan::{BlobKind, Form, NewLayers, Plan, PlanOptions, plan};

/// An input, and what an output for it alone would contain.
pub(super) struct Part {
    /// What messages call it.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) plan: Plan,
    /// What the planned index lists.
    pub(super) listed: Vec<Listed>,
    /// What is wrong with documents of the plan. The plan of the output refuses what it would contain.
    pub(super) faults: Vec<(Digest, Error)>,
    /// What documents name and the input lacks, as errors for an output that must be complete.
    pub(super) missing: Vec<(Digest, Error)>,
    /// The blobs that nothing in the input refers to.
    pub(super) orphans: BTreeSet<Digest>,
    /// The error for the input alone, if none of its images is complete.
    pub(super) incomplete: Option<Error>,
    /// More copies of its blobs, if it was joined from several inputs.
    pub(super) copies: Copies,
}

/// Plans each input. What is wrong with one as a whole is an error that names it; what is wrong with a single image is not,
/// because the output may leave it out, or contain others.
pub(super) fn parts(sources: Vec<Source>, run: &Run<'_>) -> Result<Vec<Part>> {
    let options = PlanOptions {
        is_joined: true,
        ..PlanOptions::default().with_preserve_digests(run.requested().preserve_digests)
    };
    let read = sources.into_iter();
    let read = read.map(|source| Read::of(source, &options, run));
    let mut read: Vec<Read> = read.collect::<Result<_>>()?;
    repair(&mut read, &options, run)?;
    refuse(&read)?;
    let parts = read.into_iter().map(|read| {
        let (source, found) = (read.source, read.found);
        let known = found.known;
        let mut plan = known.plan;
        plan.summary.findings.extend(read.repairs);
        let within = |(digest, error): (Digest, Error)| (digest, error.within(source.path()));
        Part {
            plan,
            listed: known.listed,
            faults: known.faults.into_iter().map(within).collect(),
            missing: known.missing.into_iter().map(within).collect(),
            orphans: known.orphans,
            incomplete: found.incomplete,
            copies: Copies::default(),
            name: path_text(source.path()).into_owned(),
            source,
        }
    });
    Ok(parts.collect())
}

/// What is known of a part besides its source.
pub(super) struct Known {
    plan: Plan,
    listed: Vec<Listed>,
    faults: Vec<(Digest, Error)>,
    missing: Vec<(Digest, Error)>,
    orphans: BTreeSet<Digest>,
}

impl Known {
    fn has_images(&self) -> bool {
        !self.plan.summary.images.is_empty()
    }
}

/// Refuses images of Docker archives that the output would contain if nothing were wrong with them: they are not in the joined
/// index, so nothing would be wrong there.
fn refuse(inputs: &[Read]) -> Result<()> {
    let mut refused = inputs
        .iter()
        .filter_map(|input| input.found.refused.as_ref());
    let Some(refused) = refused.next() else {
        return Ok(());
    };
    let has_others = inputs.iter().any(|input| input.found.known.has_images());
    Err(match has_others {
        true => refused.beside_others.clone(),
        false => refused.alone.clone(),
    })
}

/// Inputs that were joined, with what is chosen of them, as one part. Their names are still those of the inputs.
///
/// # Errors
/// Those of the plan, in the words of the input that they are about.
pub(super) fn chosen(joined: Joined, run: &Run<'_>) -> Result<Part> {
    let requested = run.requested();
    let options = PlanOptions {
        is_joined: true,
        platforms: requested.platforms.clone(),
        images: requested.images.clone(),
        superseded: joined.superseded.clone(),
        ..PlanOptions::default().with_preserve_digests(requested.preserve_digests)
    };
    let known = known(&joined.graph, &options, run).map_err(|error| joined.placed(error))?;
    let faults = known.faults.into_iter();
    let faults = faults.map(|(digest, error)| (digest, joined.placed(error)));
    Ok(Part {
        name: String::new(),
        plan: known.plan,
        listed: known.listed,
        faults: faults.collect(),
        missing: Vec::new(),
        orphans: known.orphans,
        incomplete: None,
        copies: joined.copies,
        source: joined.source,
    })
}

/// What an output for an input alone would contain.
pub(super) fn known(graph: &Graph, options: &PlanOptions, run: &Run<'_>) -> Result<Known> {
    let planned = plan(graph, options, Form::default(), run.host());
    // Nothing is recompressed yet.
    let planned = planned.and_then(|draft| draft.complete(&NewLayers::default()));
    let plan = planned.map_err(|error| graph.restated(error))?;
    let images = plan.summary.images.iter();
    // Nothing is recompressed, so every digest is known.
    let images: BTreeSet<&Digest> = images.filter_map(|image| image.digest.as_ref()).collect();
    let listed = listed(index_text(&plan)?, &images)?;
    Ok(Known {
        listed,
        faults: faults(graph, &plan),
        missing: missing(graph),
        orphans: graph.orphans.digests.iter().cloned().collect(),
        plan,
    })
}

/// What is wrong with documents, by the digests that the plan gives them.
fn faults(graph: &Graph, plan: &Plan) -> Vec<(Digest, Error)> {
    let changed = plan.summary.digests.iter();
    let changed = changed.filter_map(|change| Some((&change.before, change.after.as_ref()?)));
    let changed: BTreeMap<&Digest, &Digest> = changed.collect();
    let faults = graph.faults.iter().map(|(digest, error)| {
        let after = changed.get(digest).copied().unwrap_or(digest);
        (after.clone(), graph.restated(error.clone()))
    });
    faults.collect()
}

fn missing(graph: &Graph) -> Vec<(Digest, Error)> {
    let missing = graph.missing.iter();
    let missing = missing.filter(|missing| !missing.is_expected);
    let missing = missing.map(|missing| (missing.digest.clone(), missing.refused()));
    missing.collect()
}

impl Part {
    /// The digests of blobs that ocify computed, and that nothing in the input states.
    pub(super) fn computed(&self) -> BTreeSet<&Digest> {
        let entries = self.plan.entries.iter();
        let unproven = entries.filter(|entry| {
            matches!(
                entry.kind,
                BlobKind::UnprovenConfig | BlobKind::UnprovenLayer
            )
        });
        let unproven = unproven.filter_map(|entry| entry.digest());
        let proofs = self.plan.proofs.iter();
        let layers = proofs.filter(|proof| proof.is_only_proof);
        unproven.chain(layers.map(|proof| &proof.digest)).collect()
    }
}
