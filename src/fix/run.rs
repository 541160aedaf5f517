//! The ways from an input to an output.

mod engines;
mod layout;
mod preview;
mod steps;

use std::cell::OnceCell;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use super::{Fix, Fixed, Preview};
use crate::apply::{
    ApplyOptions, Confirm, Outcome, Output, Patch, StreamSink, Target, Verify, apply,
    apply_in_place, apply_patched, patch, without_tar,
};
use crate::beneath::InputPath;
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::graph::{Graph, resolve};
use crate::input::{Source, Stream};
use crate::operation::{Input, Kind, Observer, Opener, SpoolReason, Stage};
use crate::plan::{Draft, Form, MissingPolicy, NewLayers, Part, Plan, PlanOptions};

/// One run of a fix.
pub(crate) struct Run<'a> {
    fix: &'a Fix,
    opener: Opener<'a>,
    observer: &'a dyn Observer,
    /// What the output contains, if the input is divided among several.
    part: Option<&'a Part<'a>>,
    /// The options with what engines need, once they are known.
    for_engines: OnceCell<PlanOptions>,
}

/// Larger archives that are compressed as a whole are refused in place without looking into them.
const MAX_LEFT_ALONE: u64 = 64 << 20;

/// How an output comes to be.
enum Way<'a> {
    /// From the input's bytes, with few of them changed.
    Patch(Plan, Patch),
    /// Entry by entry.
    Whole(Draft<'a>),
}

impl<'a> Run<'a> {
    pub(crate) fn new(fix: &'a Fix, observer: &'a dyn Observer) -> Self {
        let opener = Opener {
            strictness: fix.strictness,
            limits: fix.limits,
            spool_directory: fix.spool_directory.as_deref(),
            recovers: !fix.keeps_unfinished,
            jobs: fix.jobs.into(),
            observer,
            follows_links: fix.follows_links,
            allows_incomplete: fix.plan.allows_incomplete,
        };
        Run {
            fix,
            opener,
            observer,
            part: None,
            for_engines: OnceCell::new(),
        }
    }

    pub(super) fn write(&self, input: Input, output: Output<'_>) -> Result<Fixed> {
        if output.is_in_place() {
            return self.write_where_it_is(&input.into_place()?);
        }
        let source = match input.kind {
            Kind::Stream(stream) => {
                let target = Target::prepare(output, stream.file.as_ref())?;
                return self.write_stream(self.opener.stream(stream)?, target);
            }
            Kind::Source(source) => source,
            Kind::Path(path) => self.opener.open(&path)?,
        };
        // Everything that can refuse an output does so before the input is read.
        let target = Target::prepare(output, &source)?;
        self.write_source(self.opener.decompressed(source)?, target)
    }

    fn write_source(&self, source: Source, target: Target<'_>) -> Result<Fixed> {
        let graph = self.opener.resolved(&source)?;
        let written = self.write_graph(&graph, source, target);
        written.map_err(|error| graph.restated(graph.with_images(error)))
    }

    /// Writes the output for a source that was read.
    pub(crate) fn write_graph(
        &self,
        graph: &Graph,
        mut source: Source,
        target: Target<'_>,
    ) -> Result<Fixed> {
        self.write_one(graph, &mut source, &mut NewLayers::default(), target)
    }

    /// Writes one of several outputs for a source that was read. `layers` has those that were recompressed for earlier
    /// ones, which are in the source.
    pub(crate) fn write_one(
        &self,
        graph: &Graph,
        source: &mut Source,
        layers: &mut NewLayers,
        target: Target<'_>,
    ) -> Result<Fixed> {
        // Layers that are not verified are what they were only if the input is.
        let is_trusted = self.verify(target.form()) == Verify::Documents;
        let unwritten = is_trusted.then(|| source.unwritten());
        let confirm = || {
            unwritten.as_ref().map_or(Ok(()), |unwritten| unwritten())?;
            self.observer.confirm()
        };
        let options = self.apply_options(Some(Confirm(&confirm)));
        match self.decide(graph, source, target.form())? {
            Way::Patch(plan, patch) => {
                let progress = self.observer.stage(Stage::Writing);
                let outcome = apply_patched(&patch, source, &target, &options, &*progress)?;
                Ok(self.fixed(plan, outcome))
            }
            Way::Whole(draft) => {
                layers.extend(self.recompressed(&draft, source, layers, target.directory())?);
                let plan = draft.complete(layers)?;
                let progress = self.observer.stage(Stage::Writing);
                let outcome = apply(&plan, source, target, &options, &*progress)?;
                Ok(self.fixed(plan, outcome))
            }
        }
    }

    fn open_in_place(&self, path: &InputPath) -> Result<Source> {
        let source = self.opener.open_in_place(path)?;
        let path = &source.path().to_owned();
        let Some(content) = source.outer_compression()? else {
            return Ok(source);
        };
        if let Some(source) = self.left_alone(source)? {
            return Ok(source);
        }
        Err(Error::new(
            Code::InPlaceRefused,
            format!(
                "{} cannot be fixed in place: it is compressed with {}",
                show_path(path),
                content.name()
            ),
        )
        .with_path(path)
        .with_found(content.name())
        .with_hint(Hint::WriteElsewhere))
    }

    /// A small archive that is compressed as a whole, decompressed, if it holds no images and nothing in it
    /// has to change, as is true of build records.
    fn left_alone(&self, source: Source) -> Result<Option<Source>> {
        let len = source
            .file()
            .metadata()
            .context("read", source.path())?
            .len();
        if len > MAX_LEFT_ALONE {
            return Ok(None);
        }
        // What is wrong with it does not matter: it is refused anyway.
        let Ok(source) = self.opener.decompressed(source) else {
            return Ok(None);
        };
        let Ok(graph) = self.opener.resolved(&source) else {
            return Ok(None);
        };
        let draft = self.draft(&graph, Form::Patch);
        let is_kept = draft.is_ok_and(|draft| keeps_bytes(&draft));
        Ok(is_kept.then_some(source))
    }

    fn write_in_place(&self, path: &InputPath) -> Result<Fixed> {
        let source = self.open_in_place(path)?;
        let graph = self.opener.resolved(&source)?;
        let written = self.write_patch(&graph, &source);
        written.map_err(|error| graph.restated(graph.with_images(error)))
    }

    fn write_patch(&self, graph: &Graph, source: &Source) -> Result<Fixed> {
        let draft = self.settled(graph, source, Form::Patch)?;
        let patch = patch(&draft, source)?;
        let plan = draft.complete(&NewLayers::default())?;
        let confirm = || self.observer.confirm();
        let options = ApplyOptions {
            verify: self.verify(Form::Patch),
            ..self.apply_options(Some(Confirm(&confirm)))
        };
        let progress = self.observer.stage(Stage::Verifying);
        let outcome = apply_in_place(&patch, &plan, source, &options, &*progress)?;
        Ok(Fixed {
            verified: options.verify,
            ..self.fixed(plan, outcome)
        })
    }

    fn write_stream(&self, mut stream: Stream, target: Target<'_>) -> Result<Fixed> {
        if let Some(reason) = self.spool_reason(&mut stream, target.form())? {
            let source = self.opener.spooled(stream, &reason)?;
            return Ok(Fixed {
                spooled: Some(reason),
                ..self.write_source(source, target)?
            });
        }
        let path = target.path().to_owned();
        let confirm = || self.observer.confirm();
        let options = self.apply_options(Some(Confirm(&confirm)));
        let (plan, outcome) = match target.into_writer() {
            Some(writer) => self.one_pass(&mut stream, writer, &path, &options)?,
            None => self.one_pass(&mut stream, io::sink(), &path, &options)?,
        };
        Ok(self.fixed(plan, outcome))
    }

    /// Why the stream has to be kept in a file, if it has to.
    fn spool_reason(&self, stream: &mut Stream, form: Form) -> Result<Option<SpoolReason>> {
        let options = &self.fix.plan;
        Ok(Some(if form != Form::Stream {
            SpoolReason::SortedOutput
        } else if options.compression.is_some() || !options.avoid.is_empty() {
            SpoolReason::Recompression
        } else if options.chooses_images() {
            SpoolReason::Selection
        } else if options.drop_attestations {
            SpoolReason::Attestations
        } else if options.drop_orphans {
            SpoolReason::Orphans
        } else if options.missing == MissingPolicy::Prune {
            SpoolReason::MissingContent
        } else {
            return Ok(stream.obstacle()?.map(SpoolReason::of));
        }))
    }

    /// All stages while the archive passes.
    fn one_pass(
        &self,
        stream: &mut Stream,
        output: impl Write + Send,
        path: &Path,
        options: &ApplyOptions<'_>,
    ) -> Result<(Plan, Outcome)> {
        let progress = self.observer.stage(Stage::Streaming);
        // How much will come is not known.
        progress.start(0);
        let run = || {
            let mut sink = StreamSink::new(output, path, options, &*progress);
            let inventory = stream.scan(self.opener.strictness, &mut sink)?;
            let graph = resolve(inventory, stream, self.opener.strictness)?;
            let plan = self
                .draft(&graph, Form::Stream)?
                .complete(&NewLayers::default())?;
            let outcome = sink.finish(&plan, stream)?;
            Ok((plan, outcome))
        };
        let result = run();
        progress.finish();
        result
    }

    /// Plans an output of that form: as a patch if it is one in place, or if it can be one.
    fn decide<'g>(&'g self, graph: &'g Graph, source: &Source, form: Form) -> Result<Way<'g>> {
        if form == Form::Patch || self.may_patch(source, form) {
            let draft = self.settled(graph, source, Form::Patch)?;
            // Bytes that stay as they are include the compression of the archive as a whole.
            if form == Form::Patch || !keeps_bytes(&draft) {
                match patch(&draft, source) {
                    Ok(patch) => {
                        return Ok(Way::Patch(draft.complete(&NewLayers::default())?, patch));
                    }
                    // Whether it can be patched depends on the input alone, and so does what is written.
                    Err(error) if form != Form::Patch && error.code() == Code::InPlaceRefused => {}
                    Err(error) => return Err(error),
                }
            }
            // Documents are not padded, but the layers are those that were examined.
            return Ok(Way::Whole(draft.in_form(form)?));
        }
        Ok(Way::Whole(self.settled(graph, source, form)?))
    }

    /// Whether a new archive may be the input with as little as possible rewritten. Blobs that are not
    /// verified need not be read, so that nothing but the system has to copy them.
    fn may_patch(&self, source: &Source, form: Form) -> bool {
        self.part.is_none()
            && self.verify(form) == Verify::Documents
            && form == Form::default()
            && !source.is_directory()
    }

    /// The draft, in which layers that do not decompress to a tar are recompressed only if their diff IDs are of
    /// the tar inside. Only decompressing them shows that.
    ///
    /// # Errors
    /// One of the engines would not load the output with a layer that stays as it is.
    pub(crate) fn settled<'g>(
        &'g self,
        graph: &'g Graph,
        source: &Source,
        form: Form,
    ) -> Result<Draft<'g>> {
        let draft = self.settle(self.draft(graph, form)?, source)?;
        if !graph.not_tars.is_empty() {
            self.refuse_for_engines(&draft)?;
        }
        Ok(draft)
    }

    fn settle<'g>(&self, draft: Draft<'g>, source: &Source) -> Result<Draft<'g>> {
        if draft.transcodes().iter().all(|work| work.inside.is_none()) {
            return Ok(draft);
        }
        let progress = self.observer.stage(Stage::Verifying);
        let kept = without_tar(draft.transcodes(), source, self.fix.limits, &*progress)?;
        draft.with_kept(kept)
    }

    pub(crate) fn apply_options<'o>(&'o self, confirm: Option<Confirm<'o>>) -> ApplyOptions<'o> {
        ApplyOptions {
            sync: self.fix.sync,
            jobs: self.jobs(),
            idle_threads: self.observer.idle_threads(),
            verify: self.verify(Form::default()),
            limits: self.fix.limits,
            link: self.fix.link,
            confirm,
        }
    }

    fn verify(&self, form: Form) -> Verify {
        self.fix.verify.unwrap_or(match form {
            Form::Patch | Form::LayoutInPlace => Verify::Documents,
            _ => Verify::Digests,
        })
    }

    fn jobs(&self) -> NonZeroUsize {
        self.opener.jobs.count()
    }

    fn fixed(&self, plan: Plan, outcome: Outcome) -> Fixed {
        Fixed {
            plan,
            outcome,
            verified: self.verify(Form::default()),
            spooled: None,
        }
    }
}

/// Whether the output is the input, byte for byte.
fn keeps_bytes(draft: &Draft<'_>) -> bool {
    draft.ready().is_some_and(|plan| plan.keeps_bytes)
}
