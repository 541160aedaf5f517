//! One input of a merge, planned as if it were fixed alone.

use std::collections::BTreeSet;

use crate::error::{Result, path_text};
use crate::fix::Run;
use crate::graph::Graph;
use crate::image::Digest;
use crate::input::Source;
use crate::plan::{Form, ImageChoice, NewLayers, Plan, PlanOptions, plan};

/// An input, and what an output for it alone would contain.
pub(super) struct Part {
    /// What messages call it.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) plan: Plan,
}

/// Plans each input. What is wrong with one is an error that names it.
pub(super) fn parts(sources: Vec<Source>, run: &Run<'_>) -> Result<Vec<Part>> {
    let parts = sources.into_iter().map(|source| {
        let plan = planned(&source, &PlanOptions::default(), run)?;
        Ok(Part {
            name: path_text(source.path()).into_owned(),
            source,
            plan,
        })
    });
    parts.collect()
}

impl Part {
    /// The names of the images in `index.json`, with their digests.
    pub(super) fn images(&self) -> impl Iterator<Item = (&crate::image::Reference, &Digest)> {
        let images = self.plan.summary.images.iter();
        // Nothing is recompressed, so every digest is known.
        let known = images.filter_map(|image| Some((image, image.digest.as_ref()?)));
        known.flat_map(|(image, digest)| image.names.iter().map(move |name| (name, digest)))
    }

    /// The same without these images and what refers to them; `None` if no other image is left.
    pub(super) fn without(
        self,
        unwanted: &BTreeSet<Digest>,
        run: &Run<'_>,
    ) -> Result<Option<Self>> {
        let images = self.plan.summary.images.iter().enumerate();
        let is_kept = |digest: &Digest| !unwanted.contains(digest);
        let kept = images.filter(|(_, image)| image.digest.as_ref().is_none_or(is_kept));
        let kept: Vec<ImageChoice> = kept
            .map(|(position, _)| ImageChoice::Number(position + 1))
            .collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let options = PlanOptions {
            images: kept,
            ..PlanOptions::default()
        };
        let plan = planned(&self.source, &options, run)?;
        Ok(Some(Part { plan, ..self }))
    }
}

fn planned(source: &Source, options: &PlanOptions, run: &Run<'_>) -> Result<Plan> {
    let planned = || {
        let graph = run.resolved(source)?;
        plan_of(&graph, options, run).map_err(|error| graph.restated(error))
    };
    planned().map_err(|error| error.within(source.path()))
}

fn plan_of(graph: &Graph, options: &PlanOptions, run: &Run<'_>) -> Result<Plan> {
    // Nothing is recompressed yet.
    plan(graph, options, Form::default(), run.host())?.complete(&NewLayers::default())
}
