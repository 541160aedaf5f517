//! The steps of a fix that other operations take too.

use std::path::PathBuf;

use super::Run;
use crate::apply::{RecompressOptions, recompress};
use crate::beneath::Directory;
use crate::error::Result;
use crate::fix::Fix;
use crate::fix::host::host_architecture;
use crate::graph::Graph;
use crate::input::Source;
use crate::inventory::Inventory;
use crate::operation::{Input, Kind, SpoolReason, Stage};
use crate::plan::{
    Division, Draft, Form, MissingPolicy, NewLayers, Part, PlanOptions, Request, SplitBy,
    Transcode, divide,
};
use crate::progress::Progress;

impl Run<'_> {
    /// Any input as a source that can be read as often as needed, and the reason if it is a stream that was kept in a
    /// temporary file.
    pub(crate) fn open(
        &self,
        input: Input,
        reason: SpoolReason,
    ) -> Result<(Source, Option<SpoolReason>)> {
        let source = match input.kind {
            Kind::Stream(stream) => {
                let stream = self.opener.stream(stream)?;
                let source = self.opener.spooled(stream, &reason)?;
                return Ok((source, Some(reason)));
            }
            Kind::Source(source) => source,
            Kind::Path(path) => self.opener.open(&path)?,
        };
        let path = source.path().to_owned();
        let source = self.opener.decompressed(source);
        Ok((source.map_err(|error| error.within(&path))?, None))
    }

    /// The draft of a new archive.
    pub(crate) fn new_archive<'g>(
        &'g self,
        graph: &'g Graph,
        source: &Source,
    ) -> Result<Draft<'g>> {
        self.settled(graph, source, Form::default())
    }

    /// What a source contains and means.
    pub(crate) fn resolved(&self, source: &Source) -> Result<Graph> {
        self.opener.resolved(source)
    }

    /// What one of several sources contains. Others may have what its images lack.
    pub(crate) fn scanned(&self, source: &Source) -> Result<Inventory> {
        self.opener.scanned(source)
    }

    /// What such an inventory means.
    pub(crate) fn meaning_beside_others(
        &self,
        inventory: Inventory,
        source: &Source,
    ) -> Result<Graph> {
        self.opener.meaning_beside_others(inventory, source)
    }

    /// What an inventory of a source means.
    pub(crate) fn meaning(&self, inventory: Inventory, source: &Source) -> Result<Graph> {
        self.opener.meaning(inventory, source)
    }

    /// Divides an input. The options are those of [`choosing`](Self::choosing).
    pub(crate) fn divide<'g>(
        &'g self,
        graph: &'g Graph,
        options: &'g PlanOptions,
        by: SplitBy,
    ) -> Result<Division<'g>> {
        let request = Request {
            graph,
            options,
            form: Form::default(),
            host: self.host(),
            part: None,
        };
        divide(request, by)
    }

    /// The options that decide what a divided input leaves out of all its parts. What can be wrong with a single image is
    /// checked later, for its own part.
    pub(crate) fn choosing(&self) -> PlanOptions {
        let missing = match self.fix.plan.missing {
            MissingPolicy::Prune => MissingPolicy::Prune,
            MissingPolicy::Keep | MissingPolicy::Error => MissingPolicy::Keep,
        };
        PlanOptions {
            unwrap: false,
            preserve_digests: false,
            missing,
            ..self.fix.plan.clone()
        }
    }

    /// The fix for a part of its input.
    pub(crate) fn fix_of(&self, part: &Part<'_>) -> Fix {
        self.fix.clone().for_part(part)
    }

    /// The same run for a part of its input. The fix is the one for that part.
    pub(crate) fn for_part<'p>(&'p self, fix: &'p Fix, part: &'p Part<'p>) -> Run<'p> {
        Run {
            fix,
            part: Some(part),
            ..Run::new(fix, self.observer)
        }
    }

    /// What the output is to contain.
    pub(crate) fn requested(&self) -> &PlanOptions {
        &self.fix.plan
    }

    /// Begins a stage of the work.
    pub(crate) fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        self.observer.stage(stage)
    }

    /// The directory for temporary files.
    pub(crate) fn spool_directory(&self) -> PathBuf {
        self.opener.spool_directory()
    }

    /// The architecture to prefer if nothing else decides.
    pub(crate) fn host(&self) -> Option<&str> {
        let host = self.fix.host_architecture.as_deref();
        host.or(host_architecture())
    }

    /// Recompresses the layers of a draft that are not known yet, and adds them to the source.
    pub(crate) fn recompressed(
        &self,
        draft: &Draft<'_>,
        source: &mut Source,
        known: &NewLayers,
        beside: Option<&Directory>,
    ) -> Result<NewLayers> {
        let work = draft.transcodes().iter();
        let work = work.filter(|work| known.get(&work.digest).is_none());
        let work: Vec<Transcode> = work.cloned().collect();
        if work.is_empty() {
            return Ok(NewLayers::default());
        }
        let directory = self.opener.spool_beside(beside)?;
        let options = RecompressOptions {
            level: self.fix.level,
            members: self.fix.members,
            jobs: self.jobs(),
            idle_threads: self.observer.idle_threads(),
            limits: self.fix.limits,
            directory: &directory,
        };
        let progress = self.observer.stage(Stage::Compressing);
        recompress(&work, source, options, &*progress)
    }
}
