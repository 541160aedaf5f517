//! Check: says what is wrong with an archive, and which engines load it.

mod contents;
mod gate;
mod remedies;

use crate::apply::Outcome;
use std::rc::Rc;

use crate::engines::{
    Archive, Engine, Loads, Obstacle, Reader, Reason, Remedy, Verdict, Verdicts, Version, ranges,
    worst_range,
};
use crate::error::Result;
use crate::fix::{Fix, Run};
use crate::graph::Graph;
use crate::image::{Content, Platform};
use crate::input::Source;
use crate::operation::{Input, Observer, SpoolReason, Unobserved};
use crate::plan::rules::FindingRule;
use crate::plan::{DocumentPlace, IndexRead, Places, Summary};

pub use contents::{ListedImage, ListedLayer};
pub use gate::{FailOn, ParseFailOnError};
use remedies::Trial;

/// How to check. By default, the verdicts are those of all engines in the table of facts, in all versions that are known.
#[derive(Clone, Debug, Default)]
pub struct Check {
    fix: Fix,
    engines: Vec<Engine>,
    platform: Option<Platform>,
    fail_on: Vec<FailOn>,
}

/// An archive that was checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// What [`Fix::run`] would change, and what it would report.
    pub summary: Summary,
    /// The images of the archive as it is.
    pub images: Vec<ListedImage>,
    /// Whether the archive is a build cache.
    pub is_cache: bool,
    /// The platform of the machine for which engines were judged.
    pub platform: Platform,
    /// What engines do with the archive, as it is and once it is fixed. Nothing for an archive without images, such as
    /// a build cache.
    pub verdicts: Vec<Judged>,
    /// What [`Check::fail_on`] named and is true of the archive.
    pub failed_on: Vec<FailOn>,
    /// The fix with which the whole check passes; `None` if nothing that ocify knows of makes it pass.
    pub remedy: Option<Remedy>,
    /// What was verified, if a level was chosen with [`Fix::verify`] at which more than documents is verified.
    pub outcome: Option<Outcome>,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
    /// The documents that the reasons of verdicts on the archive as it is are about.
    pub(crate) places: Places,
}

impl Checked {
    /// Where in a document of the input a reason of a verdict on the archive as it is has its location; `None` if it is
    /// not in one.
    pub fn place_of(&self, reason: &Reason) -> Option<DocumentPlace> {
        let member = match reason.obstacle {
            Obstacle::LayerType | Obstacle::OtherLayerType => Some("mediaType"),
            _ => None,
        };
        self.places.place(&reason.location, member)
    }
}

/// What one reader does with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judged {
    /// The engine that was asked for.
    pub asked: Option<Engine>,
    /// The part of it that reads the archive.
    pub reader: Reader,
    /// The first known version that has this verdict on the archive as it is; `None` if none is known.
    pub from: Option<Version>,
    /// The last one of those that follow without a gap.
    pub to: Option<Version>,
    /// Whether the makers still support one of the versions that are meant.
    pub is_supported: bool,
    /// What it does with the archive as it is. Of several versions of an engine that was asked for, the worst.
    pub as_it_is: Verdict,
    /// What it does with the archive once it is fixed. Of several versions of an engine that was asked for, the worst.
    pub fixed: Verdict,
    /// The first and the last version that have this verdict on the fixed archive; `None` if none is known.
    pub fixed_versions: Option<(Version, Version)>,
    /// What makes it load the archive, if it does not once that is fixed without options; `None` also if nothing that ocify
    /// knows of does. For an engine that was asked for, all its stores or transports then load it.
    pub remedy: Option<Remedy>,
}

impl Check {
    /// A check against what this fix would do.
    pub fn new(fix: Fix) -> Self {
        Check {
            fix,
            engines: Vec::new(),
            platform: None,
            fail_on: Vec::new(),
        }
    }

    /// Asks for one more engine; can be given several times.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engines.push(engine);
        self
    }

    /// The platform of the machine for which engines are judged. It must be Linux: what engines do elsewhere is not known.
    /// By default, it is that of this machine if there is an image for it, and otherwise that of the first image.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Lets the check fail on this, too; can be given several times.
    #[must_use]
    pub fn fail_on(mut self, fail_on: FailOn) -> Self {
        self.fail_on.push(fail_on);
        self
    }

    /// Checks the input. It writes nothing but temporary files, and reads only headers and documents unless
    /// [`Fix::verify`] asks for more.
    ///
    /// # Errors
    /// The input is not an image, is damaged or ambiguous. The [code](crate::error::Error::code) says which.
    pub fn run(&self, input: Input) -> Result<Checked> {
        self.run_observed(input, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and those of the observer.
    pub fn run_observed(&self, input: Input, observer: &dyn Observer) -> Result<Checked> {
        let fix = match self.engines.is_empty() {
            true => self.fix.clone(),
            false => self.fix.clone().without_mention_of(self.read_by_all()),
        };
        let run = Run::new(&fix, observer);
        let (source, spooled) = run.open(input, SpoolReason::Check)?;
        let graph = run.resolved(&source)?;
        let checked = self.checked(&graph, &source, &run);
        let checked = checked.map_err(|error| graph.restated(error))?;
        Ok(Checked { spooled, ..checked })
    }

    fn checked(&self, graph: &Graph, source: &Source, run: &Run<'_>) -> Result<Checked> {
        let draft = run.new_archive(graph, source)?;
        let outcome = run.verified(draft.plan(), draft.transcodes(), source)?;
        let machine = run.machine(graph, self.platform.as_ref());
        let verdicts = match draft.summary().images.is_empty() {
            true => Vec::new(),
            false => {
                let as_it_is = Archive::of_input(graph, machine.clone());
                let fixed = Archive::of_draft(&draft, machine.clone())?;
                self.verdicts(&Verdicts::new(&as_it_is), &Verdicts::new(&fixed))
            }
        };
        let reasons = verdicts.iter().flat_map(|judged| &judged.as_it_is.because);
        let locations = reasons.map(|reason| &reason.location);
        let mut checked = Checked {
            platform: machine.platform().clone(),
            places: Places::of(graph, locations, IndexRead::AsItIs),
            verdicts,
            failed_on: Vec::new(),
            remedy: None,
            images: contents::images(graph),
            is_cache: graph.is_cache(),
            outcome,
            summary: draft.into_summary(),
            spooled: None,
        };
        let mut failed_on = self.fail_on.clone();
        failed_on.retain(|fail_on| fail_on.applies_to(&checked));
        checked.failed_on = failed_on;
        let trial = Trial {
            graph,
            source,
            run,
            machine: &machine,
        };
        for judged in &mut checked.verdicts {
            let loads = judged.fixed.loads;
            if !loads.is_good() && loads != Loads::Unknown {
                judged.remedy = trial.of_one(judged);
            }
        }
        checked.remedy = trial.of_all(&checked.verdicts, &self.fail_on, &checked.summary);
        Ok(checked)
    }

    /// What all engines read that were asked for. What a rule is about lets the check fail by that rule nonetheless.
    fn read_by_all(&self) -> Vec<Content> {
        let rules = [
            (Content::Zstd, FindingRule::ZstdLayers),
            (Content::ZstdAfterSkippable, FindingRule::SkippableFrame),
        ];
        let mut contents = Engine::read_by_all(&self.engines);
        for (content, rule) in rules {
            if self.fail_on.iter().any(|fail_on| fail_on.names(rule)) {
                contents.retain(|other| *other != content);
            }
        }
        contents
    }

    fn verdicts(&self, as_it_is: &Verdicts<'_>, fixed: &Verdicts<'_>) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        for engine in &self.engines {
            for reader in engine.readers() {
                let versions = engine.versions(reader);
                let (as_it_is, range) = worst_range(as_it_is, *engine, reader);
                let (fixed, fixed_versions) = worst_range(fixed, *engine, reader);
                judged.push(Judged {
                    asked: Some(*engine),
                    reader,
                    from: range.map(|(from, _)| from),
                    to: range.map(|(_, to)| to),
                    is_supported: versions.iter().any(|version| reader.is_supported(*version)),
                    as_it_is: Rc::unwrap_or_clone(as_it_is),
                    fixed: Rc::unwrap_or_clone(fixed),
                    fixed_versions,
                    remedy: None,
                });
            }
        }
        if !self.engines.is_empty() {
            return judged;
        }
        let mut before = None;
        let readers = Reader::ALL.into_iter();
        for reader in readers.filter(|reader| !reader.is_asked_for()) {
            for (from, to) in ranges(reader) {
                let both = (as_it_is.of(reader, from), fixed.of(reader, from));
                let is_supported = reader.is_supported(to);
                if let Some(last) = judged.last_mut()
                    && last.reader == reader
                    && last.is_supported == is_supported
                    && before.as_ref() == Some(&both)
                {
                    last.to = Some(to);
                    last.fixed_versions = last.from.map(|first| (first, to));
                    continue;
                }
                judged.push(Judged {
                    asked: None,
                    reader,
                    from: Some(from),
                    to: Some(to),
                    is_supported,
                    as_it_is: both.0.as_ref().clone(),
                    fixed: both.1.as_ref().clone(),
                    fixed_versions: Some((from, to)),
                    remedy: None,
                });
                before = Some(both);
            }
        }
        judged
    }
}

impl Checked {
    /// Whether no verdict that [counts](Judged::counts) is [bad](Judged::is_bad), and nothing is true that
    /// [`Check::fail_on`] named.
    pub fn passes(&self) -> bool {
        let mut verdicts = self.verdicts.iter();
        let is_bad = verdicts.any(|judged| judged.counts() && judged.is_bad());
        !is_bad && self.failed_on.is_empty()
    }

    /// Whether all images are for the platform for which engines were judged.
    pub(crate) fn is_of_one_platform(&self) -> bool {
        let platforms = self
            .images
            .iter()
            .filter_map(|image| image.platform.as_ref());
        let mut others = platforms.filter(|platform| **platform != self.platform);
        others.next().is_none()
    }
}

impl Judged {
    /// The engine that was asked for, or the newest version that is meant.
    fn engine(&self) -> Option<Engine> {
        let newest = self.to.map(|version| Engine::of(self.reader, version));
        self.asked.or(newest)
    }

    /// Whether the verdict counts: the engine was asked for, or its makers still support one of these versions.
    pub fn counts(&self) -> bool {
        self.asked.is_some() || self.is_supported
    }

    /// Whether the engine does not load the archive as it is, or not all of it; for an engine that was asked for, also if
    /// that is not known.
    pub fn is_bad(&self) -> bool {
        self.is_bad_as(&self.as_it_is)
    }

    /// The same, if it had this verdict.
    fn is_bad_as(&self, verdict: &Verdict) -> bool {
        match verdict.loads {
            Loads::Unknown => self.asked.is_some(),
            loads => !loads.is_good(),
        }
    }
}
