//! Merge: joins archives and image layouts into one output.
//!
//! Each input is planned as if it were fixed alone, so that it has the form of an output of ocify: names in
//! `index.json`, OCI types, and a digest for everything. The entries of these plans are one source then, whose index lists what all
//! of them list, and which is fixed like any other.

mod conflict;
mod copies;
mod joined;
mod listed;
mod part;
mod repaired;
mod replaced;
mod rescue;
mod root;

use crate::apply::{Output, Target};
use crate::error::{Code, Error, Result};
use crate::fix::{Fix, Fixed, Preview, Run};
use crate::image::Reference;
use crate::input::Source;
use crate::operation::{Input, Observer, SpoolReason, Unobserved};
use crate::plan::{Form, NewLayers, Summary};
use conflict::settle;
use joined::{Joined, join, join_chosen};
use part::Part;
use rescue::rescue;
use root::Names;

/// How to merge. The options of the [`Fix`] are those of the output: for example, which platforms it keeps.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    fix: Fix,
    on_conflict: Option<OnConflict>,
    index: Option<Reference>,
}

/// What happens to a name that inputs give to different content: images, artifacts, or signatures and attestations under a
/// tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnConflict {
    /// The content of the first input has it, and that of the others is left out.
    First,
    /// The content of the last input has it, and that of the others is left out, like in an engine that loads one after the
    /// other.
    Last,
    /// The content of the first input has it. That of the others gets a number at the end of the tag, such as `v1-2`.
    Rename,
}

/// An output that was merged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Merged {
    /// What was changed in each input before they were merged, in their order.
    pub inputs: Vec<MergedInput>,
    /// What was written.
    pub output: Fixed,
}

/// What a merge would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MergePreview {
    /// What would be changed in each input before they are merged, in their order.
    pub inputs: Vec<MergedInput>,
    /// What would be changed after that.
    pub output: Preview,
}

/// An input of a merge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MergedInput {
    /// What messages call it: its path.
    pub name: String,
    /// What was changed in it, and its images. The digests are those before options of the output change them.
    pub summary: Summary,
    /// What was done about names that images of other inputs have.
    pub conflicts: Vec<NameConflict>,
}

/// A name that an image, artifact or signature of an input has, and different content of another input too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameConflict {
    /// The name in full, or a tag alone, as cosign's signatures have it.
    pub name: String,
    /// The name that the content has instead; `None` if it lost this name, and is left out if it has no other.
    pub renamed: Option<String>,
}

impl Merge {
    /// Merges into what `fix` would write.
    pub fn new(fix: Fix) -> Self {
        Merge {
            fix,
            ..Self::default()
        }
    }

    /// What happens to a name that inputs give to different content. Without it, that is an error.
    #[must_use]
    pub fn on_conflict(mut self, choice: OnConflict) -> Self {
        self.on_conflict = Some(choice);
        self
    }

    /// Joins all images that the output is to contain into one index of that name, each for another platform. Their old indexes
    /// are left out unless something else refers to them.
    #[must_use]
    pub fn index(mut self, name: Reference) -> Self {
        self.index = Some(name);
        self
    }

    /// Merges the inputs and writes the output, which appears only when it is complete.
    ///
    /// # Errors
    /// Those of [`Fix::run`] for the inputs together; a name that inputs give to different content; two images for
    /// one platform that are to be in one index.
    pub fn run(&self, inputs: Vec<Input>, output: Output<'_>) -> Result<Merged> {
        self.run_observed(inputs, output, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and those of the observer.
    pub fn run_observed(
        &self,
        inputs: Vec<Input>,
        output: Output<'_>,
        observer: &dyn Observer,
    ) -> Result<Merged> {
        let run = Run::new(&self.fix, observer);
        let sources = open(inputs, &run)?;
        let target = prepared(output, &sources)?;
        let parts = part::parts(sources, &run)?;
        let (mut inputs, mut joined) = self.joined(parts, &run)?;
        let fix = joined.fix(&self.fix);
        let run = Run::new(&fix, observer);
        let again = target.again();
        let write = |joined: &mut Joined, target| {
            let (graph, source) = (&joined.graph, &mut joined.source);
            run.write_one(graph, source, &mut NewLayers::default(), target)
        };
        let output = match (write(&mut joined, target), again) {
            (Err(error), Some(target)) => rescue(error, &mut inputs, &mut joined, &run, |joined| {
                write(joined, target)
            }),
            (Err(error), None) => Err(joined.with_intact_copy(error, &run)?),
            (output, _) => output,
        };
        let mut output = output.map_err(|error| joined.placed(error))?;
        joined.report(&mut output.plan.summary);
        Ok(Merged { inputs, output })
    }

    /// A dry run: what [`run`](Self::run) would do for an output of that form.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of the output and of blobs that are not verified.
    pub fn plan_only_observed(
        &self,
        inputs: Vec<Input>,
        form: Form,
        observer: &dyn Observer,
    ) -> Result<MergePreview> {
        self.planned(
            open(inputs, &Run::new(&self.fix, observer))?,
            form,
            observer,
        )
    }

    /// A dry run for this output, which is refused as [`run`](Self::run) would refuse it: if it exists, for
    /// example.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of blobs that are not verified.
    pub fn plan_for(
        &self,
        inputs: Vec<Input>,
        output: Output<'_>,
        observer: &dyn Observer,
    ) -> Result<MergePreview> {
        let form = output.form();
        let sources = open(inputs, &Run::new(&self.fix, observer))?;
        prepared(output, &sources)?;
        self.planned(sources, form, observer)
    }

    fn planned(
        &self,
        sources: Vec<Source>,
        form: Form,
        observer: &dyn Observer,
    ) -> Result<MergePreview> {
        let run = Run::new(&self.fix, observer);
        let parts = part::parts(sources, &run)?;
        let (mut inputs, mut joined) = self.joined(parts, &run)?;
        let fix = joined.fix(&self.fix);
        let run = Run::new(&fix, observer);
        let preview = |joined: &mut Joined| run.preview_graph(&joined.graph, &joined.source, form);
        let output = match preview(&mut joined) {
            Err(error) if form == Form::Stream => Err(joined.with_intact_copy(error, &run)?),
            Err(error) => rescue(error, &mut inputs, &mut joined, &run, preview),
            output => output,
        };
        let mut output = output.map_err(|error| joined.placed(error))?;
        joined.report(&mut output.summary);
        Ok(MergePreview { inputs, output })
    }

    fn joined(&self, parts: Vec<Part>, run: &Run<'_>) -> Result<(Vec<MergedInput>, Joined)> {
        let settled = settle(&parts, self.on_conflict, self.index.is_some())?;
        let inputs = parts.iter().zip(settled.conflicts());
        let inputs = inputs.map(|(part, conflicts)| MergedInput {
            name: part.name.clone(),
            summary: part.plan.summary.clone(),
            conflicts,
        });
        let inputs = inputs.collect();
        let names = |index| Names {
            settled: &settled,
            index,
        };
        let joined = match &self.index {
            // Images that are left out need not be for other platforms than those that stay.
            Some(name)
                if !run.requested().platforms.is_empty() || !run.requested().images.is_empty() =>
            {
                join_chosen(join(parts, names(None), run)?, name, run)?
            }
            index => join(parts, names(index.as_ref()), run)?,
        };
        Ok((inputs, joined))
    }
}

/// The output, if it can be written.
fn prepared<'o>(output: Output<'o>, sources: &[Source]) -> Result<Target<'o>> {
    if output.is_in_place() {
        return Err(Error::new(
            Code::InPlaceRefused,
            "several inputs cannot be merged in place",
        ));
    }
    Target::prepare_for(output, &sources.iter().collect::<Vec<_>>())
}

fn open(inputs: Vec<Input>, run: &Run<'_>) -> Result<Vec<Source>> {
    let sources = inputs.into_iter();
    let sources = sources.map(|input| Ok(run.open(input, SpoolReason::Merge)?.0));
    sources.collect()
}
