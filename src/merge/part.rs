//! One input of a merge, planned as if it were fixed alone.

use std::collections::BTreeSet;

use crate::error::{Result, path_text};
use crate::fix::Run;
use crate::image::{Digest, Reference};
use crate::input::Source;
use crate::plan::{BlobKind, Form, NewLayers, Plan, PlanOptions, plan};

/// An input, and what an output for it alone would contain.
pub(super) struct Part {
    /// What messages call it.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) plan: Plan,
}

/// Plans each input. What is wrong with one is an error that names it.
pub(super) fn parts(sources: Vec<Source>, run: &Run<'_>) -> Result<Vec<Part>> {
    let options = PlanOptions::default().with_preserve_digests(run.preserves_digests());
    let parts = sources.into_iter().map(|source| {
        let planned = planned(&source, &options, run);
        Ok(Part {
            plan: planned.map_err(|error| error.within(source.path()))?,
            name: path_text(source.path()).into_owned(),
            source,
        })
    });
    parts.collect()
}

fn planned(source: &Source, options: &PlanOptions, run: &Run<'_>) -> Result<Plan> {
    let graph = run.resolved(source)?;
    let planned = plan(&graph, options, Form::default(), run.host());
    // Nothing is recompressed yet.
    let planned = planned.and_then(|draft| draft.complete(&NewLayers::default()));
    planned.map_err(|error| graph.restated(error))
}

impl Part {
    /// The names of the images in `index.json`, with their digests.
    pub(super) fn images(&self) -> impl Iterator<Item = (&Reference, &Digest)> {
        let images = self.plan.summary.images.iter();
        // Nothing is recompressed, so every digest is known.
        let known = images.filter_map(|image| Some((image, image.digest.as_ref()?)));
        known.flat_map(|(image, digest)| image.names.iter().map(move |name| (name, digest)))
    }

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
