//! The options with which the output loads in the engines that were asked for.

use super::{Fix, Run};
use crate::engines::{Archive, Engine, Machine, Obstacle, Refusal, Remedy, improve, refusals};
use crate::error::{Code, Error, Hint, Result};
use crate::graph::Graph;
use crate::image::Platform;
use crate::input::Source;
use crate::plan::{Draft, Form, ImageChoice, PlanOptions, Summary, plan_part};

/// Stands for a name that the user is still to choose.
const PLACEHOLDER: &str = "example.com/name:tag";

impl Run<'_> {
    pub(super) fn draft<'g>(&'g self, graph: &'g Graph, form: Form) -> Result<Draft<'g>> {
        let options = self.plan_options(graph)?;
        plan_part(graph, options, form, self.host(), self.part)
    }

    /// The options of the fix, with those that its engines need beyond recompression.
    ///
    /// # Errors
    /// One of the engines would not load the output, whatever ocify removes from it by itself.
    fn plan_options(&self, graph: &Graph) -> Result<&PlanOptions> {
        if self.fix.engines.is_empty() {
            return Ok(&self.fix.plan);
        }
        if let Some(options) = self.for_engines.get() {
            return Ok(options);
        }
        let options = self.options_for(graph, self.fix.plan.clone(), &self.fix.engines)?;
        Ok(self.for_engines.get_or_init(|| options))
    }

    /// The machine for which engines are judged: the one of this platform, or what the options say.
    pub(crate) fn machine(&self, graph: &Graph, asked: Option<&Platform>) -> Machine {
        Machine::of(graph, &self.fix.plan, self.host(), asked)
    }

    /// What `judge` says of the archive that a fix with this remedy would write, whether or not the fix would refuse to.
    ///
    /// # Errors
    /// The archive cannot be fixed like this.
    pub(crate) fn judged_with<T>(
        &self,
        (graph, source): (&Graph, &Source),
        machine: &Machine,
        remedy: &Remedy,
        judge: impl FnOnce(&Archive<'_>, &Summary) -> T,
    ) -> Result<T> {
        let engines = remedy.engines.iter().copied();
        let fix = engines.fold(self.fix.clone(), Fix::engine);
        let mut options = fix.plan;
        let images = remedy.images.iter().cloned();
        options.images.extend(images.map(ImageChoice::Digest));
        if remedy.needs_name {
            options.names = PLACEHOLDER.parse().into_iter().collect();
        }
        loop {
            let draft = plan_part(graph, &options, Form::default(), self.host(), self.part)?;
            let archive = Archive::of_draft(&draft, machine.clone())?;
            let refusals = refusals(&archive, &fix.engines);
            let mut next = options.clone();
            if improve(&mut next, &refusals) {
                options = next;
                continue;
            }
            let draft = self.settle(draft, source)?;
            let archive = Archive::of_draft(&draft, machine.clone())?;
            return Ok(judge(&archive, draft.summary()));
        }
    }

    /// # Errors
    /// One of the engines would not load this output.
    pub(super) fn refuse_for_engines(&self, draft: &Draft<'_>) -> Result<()> {
        if self.fix.engines.is_empty() || draft.summary().images.is_empty() {
            return Ok(());
        }
        let machine = self.machine(draft.graph(), None);
        let refusals = refusals(&Archive::of_draft(draft, machine)?, &self.fix.engines);
        refusals.first().map_or(Ok(()), |first| Err(refused(first)))
    }

    fn options_for(
        &self,
        graph: &Graph,
        mut options: PlanOptions,
        engines: &[Engine],
    ) -> Result<PlanOptions> {
        let mut before = None;
        loop {
            // An output of another form has the same images.
            let draft = plan_part(graph, &options, Form::default(), self.host(), self.part);
            let draft = match (draft, &before) {
                // Without what the engine needs, it is the engine that refuses the output.
                (Err(_), Some(before)) => return Err(refused(before)),
                (draft, _) => draft?,
            };
            if draft.summary().images.is_empty() {
                return Ok(options);
            }
            let machine = self.machine(graph, None);
            let mut refusals = refusals(&Archive::of_draft(&draft, machine)?, engines);
            if refusals.is_empty() {
                return Ok(options);
            }
            let is_improved = improve(&mut options, &refusals);
            // Only the user can choose among platforms.
            let is_ambiguous = |refusal: &Refusal| {
                matches!(
                    refusal.obstacle(),
                    Some(Obstacle::AmbiguousTag | Obstacle::UnstatedPlatform)
                )
            };
            let ambiguous = refusals.iter().position(is_ambiguous);
            let ambiguous = ambiguous.filter(|_| is_improved);
            let told = refusals.swap_remove(ambiguous.unwrap_or_default());
            if !is_improved {
                return Err(refused(&told));
            }
            before = Some(told);
        }
    }
}

fn refused(refusal: &Refusal) -> Error {
    let engine = refusal.engine;
    if refusal.is_unknown() {
        let newest = refusal.reader.newest();
        let newest = newest.map_or_else(String::new, |newest| newest.to_string());
        let message = format!(
            "it is not known what {engine} reads; the newest version of {} that is known is {newest}",
            refusal.reader.engine()
        );
        return Error::new(Code::EngineRefuses, message)
            .with_found(engine.to_string())
            .with_hint(Hint::ChooseEngine);
    }
    let first = refusal.verdict.because.first();
    let what = first.map_or_else(String::new, |reason| {
        format!(": {}: {}", reason.location, reason.obstacle.meaning())
    });
    let store = refusal.reader.store();
    let store = store.map_or_else(String::new, |store| format!(" ({store})"));
    let message = format!("{engine}{store} would not load the output{what}");
    let message = message.trim_end_matches('.');
    let error = Error::new(Code::EngineRefuses, message.to_owned())
        .with_found(engine.to_string())
        .with_hint(match refusal.obstacle() {
            Some(Obstacle::NoName | Obstacle::ShortName | Obstacle::SeveralNames) => {
                Hint::NameImage
            }
            Some(Obstacle::Artifact) => Hint::ChooseOtherImages,
            Some(Obstacle::MissingContent) => Hint::SaveAgain,
            Some(Obstacle::AmbiguousTag | Obstacle::SeveralImages) => Hint::ChoosePlatform,
            _ => Hint::ChooseEngine,
        });
    match first {
        Some(reason) => error.with_location(&reason.location),
        None => error,
    }
}
