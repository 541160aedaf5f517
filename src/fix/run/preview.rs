//! Dry runs: everything but the output.

use std::io;
use std::path::Path;

use super::{Run, Way};
use crate::apply::{ApplyOptions, Outcome, Output, Target, Verify, verify_with};
use crate::error::Result;
use crate::fix::Preview;
use crate::graph::Graph;
use crate::input::{Source, Stream};
use crate::operation::{Input, Kind, Stage};
use crate::plan::{Form, Plan, Transcode};

impl Run<'_> {
    /// A dry run for this output.
    pub(in crate::fix) fn preview_for(&self, input: Input, output: Output<'_>) -> Result<Preview> {
        self.preview(input, output.form(), Some(output))
    }

    /// A dry run for an output of that form, which is refused as a run would refuse it.
    pub(in crate::fix) fn preview(
        &self,
        input: Input,
        form: Form,
        output: Option<Output<'_>>,
    ) -> Result<Preview> {
        let prepare = |source: Option<&Source>| match output {
            Some(output) => Target::prepare(output, source).map(drop),
            None => Ok(()),
        };
        let source = match input.kind {
            _ if matches!(form, Form::Patch | Form::LayoutInPlace) => {
                return self.preview_where_it_is(&input.into_place()?);
            }
            Kind::Stream(stream) => {
                prepare(stream.file.as_ref())?;
                return self.preview_stream(self.opener.stream(stream)?, form);
            }
            Kind::Source(source) => source,
            Kind::Path(path) => self.opener.open(&path)?,
        };
        prepare(Some(&source))?;
        self.preview_source(&self.opener.decompressed(source)?, form)
    }

    pub(super) fn preview_source(&self, source: &Source, form: Form) -> Result<Preview> {
        self.preview_graph(&self.opener.resolved(source)?, source, form)
    }

    /// A dry run for a source that was read.
    pub(crate) fn preview_graph(
        &self,
        graph: &Graph,
        source: &Source,
        form: Form,
    ) -> Result<Preview> {
        let restated = |error| graph.restated(graph.with_images(error));
        let way = self.decide(graph, source, form).map_err(restated)?;
        let outcome = match &way {
            Way::Patch(plan, _) => self.verified(plan, &[], source),
            Way::Whole(draft) => self.verified(draft.plan(), draft.transcodes(), source),
        };
        let outcome = outcome.map_err(restated)?;
        Ok(Preview {
            summary: match way {
                Way::Patch(plan, _) => plan.summary,
                Way::Whole(draft) => draft.into_summary(),
            },
            outcome,
            spooled: None,
        })
    }

    /// Verifies what a plan takes from the source, and the layers that would be recompressed, if a level was
    /// chosen at which more than documents is verified.
    pub(crate) fn verified(
        &self,
        plan: &Plan,
        transcodes: &[Transcode],
        source: &Source,
    ) -> Result<Option<Outcome>> {
        let options = self.dry_run_options();
        if options.verify == Verify::Documents {
            return Ok(None);
        }
        let progress = self.observer.stage(Stage::Verifying);
        verify_with(plan, transcodes, source, &options, &*progress).map(Some)
    }

    /// On a dry run, only documents are verified unless another level is chosen.
    fn dry_run_options(&self) -> ApplyOptions<'_> {
        ApplyOptions {
            verify: self.fix.verify.unwrap_or(Verify::Documents),
            ..self.apply_options(None)
        }
    }

    fn preview_stream(&self, mut stream: Stream, form: Form) -> Result<Preview> {
        if let Some(reason) = self.spool_reason(&mut stream, form)? {
            let source = self.opener.spooled(stream, &reason)?;
            return Ok(Preview {
                spooled: Some(reason),
                ..self.preview_source(&source, form)?
            });
        }
        let options = self.dry_run_options();
        let path = Path::new("the output");
        let (plan, outcome) = self.one_pass(&mut stream, io::sink(), path, &options)?;
        Ok(Preview {
            summary: plan.summary,
            outcome: (options.verify != Verify::Documents).then_some(outcome),
            spooled: None,
        })
    }
}
