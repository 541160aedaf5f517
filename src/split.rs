//! Split: writes each image of an archive or image layout to an output of its own.
//!
//! The input is read once. Each output is planned from the same graph, with the entries of `index.json` that belong to its image,
//! and written from the same source.

mod file_names;

use std::path::Path;

use crate::apply::{Outcome, Output, Target};
use crate::beneath::Directory;
use crate::error::{Code, Error, Result};
use crate::fix::{Fix, Run};
use crate::graph::Reducer;
use crate::image::{Digest, Platform, Reference};
use crate::input::Source;
use crate::operation::{Input, Observer, SpoolReason, Unobserved};
use crate::plan::{
    Change, Dropped, Finding, Form, NewLayers, Part, Places, SplitBy, Summary, Unusable,
};
use file_names::{Subject, stems};

/// How to split. The options of the [`Fix`] are those of each output. What it [renames](Fix::rename) is renamed first, and the
/// outputs are named after the new names.
#[derive(Clone, Debug, Default)]
pub struct Split {
    fix: Fix,
    by: SplitBy,
    layouts: bool,
    overwrite: bool,
}

/// What a split wrote, or would write.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Divided {
    /// The outputs, in the order of their names, and then the images for which there is none.
    pub parts: Vec<SplitPart>,
    /// What no output contains, and names that only one of several images keeps.
    pub changes: Vec<Change>,
    /// What a user should know about the input.
    pub findings: Vec<Finding>,
    /// The documents that the changes and findings are about.
    pub places: Places,
    /// The blobs that only what no output contains needs.
    pub dropped: Dropped,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
}

/// One output of a split.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SplitPart {
    /// Its name in the directory; `None` for an image that lacks so much that it cannot be written.
    pub file_name: Option<String>,
    /// The names that the image has in the input, sorted as they are displayed.
    pub names: Vec<Reference>,
    /// The digest that its entry of `index.json` has in the input.
    pub digest: Option<Digest>,
    /// The platforms of its images, sorted.
    pub platforms: Vec<Platform>,
    /// What was written, or would be; or what is wrong with it. The others are written nevertheless.
    pub result: Result<SplitOutput>,
}

/// What was written to one output, or would be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SplitOutput {
    /// What was changed, and the images.
    pub summary: Summary,
    /// What was written. On a dry run what was verified, if a level was chosen at which more than documents is verified.
    pub outcome: Option<Outcome>,
    /// The length of the archive, or of all files of the layout, in bytes; `None` on a dry run.
    pub len: Option<u64>,
}

/// What to do with each part.
enum Task<'t> {
    Write {
        directory: &'t Directory,
        layers: NewLayers,
    },
    /// The directory, if it exists.
    Preview(Option<&'t Directory>),
}

impl<'t> Task<'t> {
    /// The directory for the outputs, if it exists.
    fn directory(&self) -> Option<&'t Directory> {
        match self {
            Task::Write { directory, .. } => Some(directory),
            Task::Preview(directory) => *directory,
        }
    }
}

impl Split {
    /// Writes outputs that the fix would write.
    pub fn new(fix: Fix) -> Self {
        Split {
            fix,
            ..Self::default()
        }
    }

    /// What each output contains: by default, one image under all its names.
    #[must_use]
    pub fn by(mut self, by: SplitBy) -> Self {
        self.by = by;
        self
    }

    /// Whether the outputs are image layout directories. By default they are archives.
    #[must_use]
    pub fn layouts(mut self, layouts: bool) -> Self {
        self.layouts = layouts;
        self
    }

    /// Whether outputs replace what has their names: an archive a regular file, and a layout an image layout directory.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Splits the input, and writes the outputs into a directory. Each appears only when it is complete.
    ///
    /// What is wrong with one image is in the [`result`](SplitPart::result) of its part, and does not keep the
    /// others from being written.
    ///
    /// # Errors
    /// The input is not an image, is damaged or ambiguous as a whole, or is a build cache; one of the outputs exists. Nothing
    /// is written then.
    pub fn run(&self, input: Input, directory: &Directory) -> Result<Divided> {
        self.run_observed(input, directory, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_observed(
        &self,
        input: Input,
        directory: &Directory,
        observer: &dyn Observer,
    ) -> Result<Divided> {
        let task = Task::Write {
            directory,
            layers: NewLayers::default(),
        };
        self.divided(input, task, observer)
    }

    /// A dry run: what [`run`](Self::run) would write.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of the outputs.
    pub fn plan_only(&self, input: Input) -> Result<Divided> {
        self.plan_only_observed(input, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`plan_only`](Self::plan_only).
    pub fn plan_only_observed(&self, input: Input, observer: &dyn Observer) -> Result<Divided> {
        self.divided(input, Task::Preview(None), observer)
    }

    /// A dry run for this directory. Outputs are refused as [`run`](Self::run) would refuse them: if they exist,
    /// for example.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn plan_for(
        &self,
        input: Input,
        directory: &Directory,
        observer: &dyn Observer,
    ) -> Result<Divided> {
        self.divided(input, Task::Preview(Some(directory)), observer)
    }

    fn divided(
        &self,
        input: Input,
        mut task: Task<'_>,
        observer: &dyn Observer,
    ) -> Result<Divided> {
        let run = Run::new(&self.fix, observer);
        let (mut source, spooled) = run.open(input, SpoolReason::Split)?;
        let graph = run.resolved(&source)?;
        let options = run.choosing();
        let division = run.divide(&graph, &options, self.by);
        let division = division.map_err(|error| graph.restated(error))?;
        let reducer = division.reducer(&graph)?;
        let mut named = self.named(&division.parts);
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(directory) = task.directory() {
            for (name, _) in &named {
                self.target(name, directory, &source)?;
            }
        }
        let of_parts = self.fix.clone().for_parts();
        let run = Run::new(&of_parts, observer);
        let mut parts = Vec::with_capacity(named.len() + division.unusable.len());
        let mut stopped = None;
        for (name, part) in named {
            let result = match &stopped {
                Some(error) => Err(Error::clone(error)),
                None => self.part(&run, part, &reducer, &mut source, &name, &mut task),
            };
            let result = result.map_err(|error| graph.restated(error));
            if let Err(error) = &result
                && error.code() == Code::Interrupted
            {
                stopped = Some(error.clone());
            }
            parts.push(SplitPart {
                file_name: Some(name),
                names: part.names.clone(),
                digest: Some(part.digest.clone()),
                platforms: part.platforms.clone(),
                result,
            });
        }
        let unusable = division.unusable.into_iter();
        parts.extend(unusable.map(|Unusable { names, error }| SplitPart {
            file_name: None,
            names,
            digest: None,
            platforms: Vec::new(),
            result: Err(graph.restated(error)),
        }));
        Ok(Divided {
            parts,
            changes: division.changes,
            findings: division.findings,
            places: division.places,
            dropped: division.dropped,
            spooled,
        })
    }

    /// The parts with the names of their outputs.
    fn named<'p, 'a>(&self, parts: &'p [Part<'a>]) -> Vec<(String, &'p Part<'a>)> {
        let subjects: Vec<Subject<'_>> = parts.iter().map(Subject::of).collect();
        let stems = stems(&subjects).into_iter();
        let names = stems.map(|stem| match self.layouts {
            true => stem,
            false => format!("{stem}.tar"),
        });
        names.zip(parts).collect()
    }

    fn target(
        &self,
        name: &str,
        directory: &Directory,
        source: &Source,
    ) -> Result<Target<'static>> {
        let output = match self.layouts {
            true => Output::layout(name),
            false => Output::archive(name),
        };
        let output = output.overwrite(self.overwrite).beneath(directory);
        Target::prepare(output, source)
    }

    fn part(
        &self,
        run: &Run<'_>,
        part: &Part<'_>,
        reducer: &Reducer<'_>,
        source: &mut Source,
        name: &str,
        task: &mut Task<'_>,
    ) -> Result<SplitOutput> {
        let (graph, part) = part.reduced(reducer)?;
        let (graph, part) = (&graph, &part);
        let fix = run.fix_of(part);
        let run = run.for_part(&fix, part);
        let Task::Write { directory, layers } = task else {
            let form = match self.layouts {
                true => Form::Layout,
                false => Form::default(),
            };
            let preview = run.preview_graph(graph, source, form)?;
            return Ok(SplitOutput {
                summary: preview.summary,
                outcome: preview.outcome,
                len: None,
            });
        };
        let target = self.target(name, directory, source)?;
        let fixed = run.write_one(graph, source, layers, target)?;
        let entries = fixed.plan.entries.iter();
        let len = match self.layouts {
            true => Some(entries.map(|entry| entry.len).sum()),
            false => directory
                .look_up(Path::new(name))
                .ok()
                .map(|found| found.len),
        };
        Ok(SplitOutput {
            summary: fixed.plan.summary,
            outcome: Some(fixed.outcome),
            len,
        })
    }
}
