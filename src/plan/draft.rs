//! A plan before and after the layers that it waits for are recompressed.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Result};
use crate::graph::Graph;
use crate::image::Digest;
use crate::plan::division::Part;
use crate::plan::planner::Planner;
use crate::plan::recompress::{NewLayer, Transcode};
use crate::plan::{Form, Plan, PlanOptions, Summary};

/// What a plan follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) options: &'a PlanOptions,
    pub(crate) form: Form,
    /// The architecture to prefer if nothing else decides.
    pub(crate) host: Option<&'a str>,
    /// What the output contains, if the input is divided among several.
    pub(crate) part: Option<&'a Part<'a>>,
}

/// A plan that may wait for layers to be recompressed: only then are their digests known, and those of
/// the documents that name them.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    request: Request<'a>,
    plan: Plan,
    transcodes: Vec<Transcode>,
    /// Layers that are known to stay what they are.
    kept: NewLayers,
}

/// Layers that were recompressed, by the digest that they had before.
#[derive(Clone, Debug, Default)]
pub struct NewLayers {
    done: BTreeMap<Digest, NewLayer>,
    /// Layers that are still to be recompressed, and are known to be compressed twice.
    twice: BTreeSet<Digest>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(request: Request<'a>) -> Result<Self> {
        Self::planned(request, NewLayers::default())
    }

    /// The same once it is known which layers stay what they are, although the first plan would recompress them,
    /// and which are compressed twice.
    pub(crate) fn with_kept(self, kept: NewLayers) -> Result<Self> {
        Self::planned(self.request, kept)
    }

    /// The same for an output of another form.
    pub(crate) fn in_form(self, form: Form) -> Result<Self> {
        let request = Request {
            form,
            ..self.request
        };
        Self::planned(request, self.kept)
    }

    fn planned(request: Request<'a>, kept: NewLayers) -> Result<Self> {
        let (plan, transcodes) = Planner::new(request, &kept).plan()?;
        Ok(Draft {
            request,
            plan,
            transcodes,
            kept,
        })
    }

    /// The layers that have to be recompressed before the plan can be carried out.
    pub fn transcodes(&self) -> &[Transcode] {
        &self.transcodes
    }

    /// What the plan changes. It lacks the digests that are known only once layers have been recompressed: theirs,
    /// and those of the documents that lead to them.
    pub fn summary(&self) -> &Summary {
        &self.plan.summary
    }

    /// The plan as far as it is known: without the layers that are still to be recompressed, instead of which
    /// it has those of the input.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The summary alone, for a run that writes nothing.
    pub fn into_summary(self) -> Summary {
        self.plan.summary
    }

    /// The graph that the plan is for.
    pub fn graph(&self) -> &'a Graph {
        self.request.graph
    }

    /// The plan, if it waits for nothing.
    pub(crate) fn ready(&self) -> Option<&Plan> {
        self.transcodes.is_empty().then_some(&self.plan)
    }

    /// The plan that can be carried out. `layers` holds the result of each of
    /// [`transcodes`](Self::transcodes).
    ///
    /// # Errors
    /// A layer has not been recompressed; a document becomes too large.
    pub fn complete(self, layers: &NewLayers) -> Result<Plan> {
        if self.transcodes.is_empty() {
            return Ok(self.plan);
        }
        let mut all = self.kept;
        all.done.extend(layers.done.clone());
        let (plan, transcodes) = Planner::new(self.request, &all).plan()?;
        match transcodes.first() {
            None => Ok(plan),
            Some(first) => Err(Error::new(
                Code::MissingBlob,
                format!("{} has not been recompressed", first.location),
            )
            .with_location(&first.location)),
        }
    }
}

impl NewLayers {
    /// No layers.
    pub(crate) const NONE: &'static NewLayers = &NewLayers {
        done: BTreeMap::new(),
        twice: BTreeSet::new(),
    };

    /// Adds layers.
    pub(crate) fn extend(&mut self, others: NewLayers) {
        self.done.extend(others.done);
        self.twice.extend(others.twice);
    }

    /// The new form of the layer with that digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&NewLayer> {
        self.done.get(digest)
    }

    /// The same with layers that are still to be recompressed, and are compressed twice.
    pub(crate) fn with_twice(mut self, twice: BTreeSet<Digest>) -> Self {
        self.twice = twice;
        self
    }

    /// Whether the layer with that digest was compressed twice, or is until it is recompressed.
    pub(crate) fn is_twice(&self, digest: &Digest) -> bool {
        let done = self.done.get(digest);
        self.twice.contains(digest) || done.is_some_and(|layer| layer.was_compressed_twice)
    }
}

impl FromIterator<(Digest, NewLayer)> for NewLayers {
    fn from_iter<T: IntoIterator<Item = (Digest, NewLayer)>>(layers: T) -> Self {
        NewLayers {
            done: layers.into_iter().collect(),
            twice: BTreeSet::new(),
        }
    }
}
