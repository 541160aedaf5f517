//! What makes engines load the archive that do not load it once it is fixed without options. A remedy is tried before it is
//! stated.

use std::rc::Rc;

use super::{FailOn, Judged};
use crate::engines::{Engine, Machine, Obstacle, Remedy, Verdict, Verdicts, ranges, worst};
use crate::fix::Run;
use crate::graph::Graph;
use crate::image::Digest;
use crate::input::Source;
use crate::location::Role;
use crate::plan::Summary;

/// How many images a remedy chooses at most, so that its command can be read.
const MAX_IMAGES: usize = 8;

/// What an archive is tried with.
pub(super) struct Trial<'a> {
    pub(super) graph: &'a Graph,
    pub(super) source: &'a Source,
    pub(super) run: &'a Run<'a>,
    pub(super) machine: &'a Machine,
}

/// What still keeps a check from passing.
enum Left {
    /// An engine, with its verdict.
    Engine(Engine, Rc<Verdict>),
    /// Something else, which no remedy removes.
    Other,
}

impl Trial<'_> {
    /// What makes the engine of one verdict load the archive; `None` if nothing that ocify knows of does.
    pub(super) fn of_one(&self, judged: &Judged) -> Option<Remedy> {
        let engine = judged.engine()?;
        let first = Left::Engine(engine, Rc::new(judged.fixed.clone()));
        // A fix for an engine is for all its stores or transports.
        self.search(first, &|tried, _, remedy| {
            let of_engines = remedy.engines.iter().find_map(|engine| {
                let readers = engine.readers();
                let mut verdicts = readers.map(|reader| worst(tried, *engine, reader));
                let bad = verdicts.find(|verdict| !verdict.loads.is_good())?;
                Some(Left::Engine(*engine, bad))
            });
            of_engines.or_else(|| {
                let bad = judged.bad_in(tried)?;
                Some(Left::Engine(engine, bad))
            })
        })
    }

    /// What makes the whole check pass; `None` if nothing that ocify knows of does.
    pub(super) fn of_all(
        &self,
        verdicts: &[Judged],
        fail_on: &[FailOn],
        summary: &Summary,
    ) -> Option<Remedy> {
        let counted = || verdicts.iter().filter(|judged| judged.counts());
        let fails = |summary: &Summary, verdicts: &[&Verdict]| {
            let mut fail_on = fail_on.iter();
            fail_on.any(|fail_on| fail_on.remains(summary, verdicts))
        };
        let bad = counted().find(|judged| judged.is_bad_as(&judged.fixed));
        let Some(first) = bad else {
            let fixed: Vec<&Verdict> = counted().map(|judged| &judged.fixed).collect();
            return (!fails(summary, &fixed)).then(Remedy::default);
        };
        let first = Left::Engine(first.engine()?, Rc::new(first.fixed.clone()));
        self.search(first, &|tried, summary, _| {
            let mut all = Vec::new();
            for judged in counted() {
                for verdict in judged.verdicts_in(tried) {
                    if judged.is_bad_as(&verdict) {
                        let engine = judged.engine();
                        return Some(
                            engine.map_or(Left::Other, |engine| Left::Engine(engine, verdict)),
                        );
                    }
                    all.push(verdict);
                }
            }
            let all: Vec<&Verdict> = all.iter().map(Rc::as_ref).collect();
            fails(summary, &all).then_some(Left::Other)
        })
    }

    /// Adds to a remedy until nothing is left, or nothing can be added.
    fn search(
        &self,
        first: Left,
        left_in: &dyn Fn(&Verdicts<'_>, &Summary, &Remedy) -> Option<Left>,
    ) -> Option<Remedy> {
        let mut remedy = Remedy::default();
        let mut left = first;
        loop {
            let Left::Engine(engine, verdict) = left else {
                return None;
            };
            if !self.add(&mut remedy, engine, &verdict) {
                return None;
            }
            let input = (self.graph, self.source);
            let tried = self
                .run
                .judged_with(input, self.machine, &remedy, |archive, summary| {
                    left_in(&Verdicts::new(archive), summary, &remedy)
                });
            match tried.ok()? {
                Some(still) => left = still,
                None => return Some(remedy),
            }
        }
    }

    /// Adds what may help against what is in the way of an engine; returns whether there was something to add.
    fn add(&self, remedy: &mut Remedy, engine: Engine, verdict: &Verdict) -> bool {
        let (mut is_added, mut needs_engine) = (false, verdict.because.is_empty());
        for reason in &verdict.because {
            match reason.obstacle {
                Obstacle::NoName | Obstacle::ShortName | Obstacle::SeveralNames
                    if !remedy.needs_name =>
                {
                    remedy.needs_name = true;
                    is_added = true;
                }
                Obstacle::Artifact if remedy.images.is_empty() => {
                    remedy.images = self.images();
                    is_added |= !remedy.images.is_empty();
                }
                Obstacle::NoName
                | Obstacle::ShortName
                | Obstacle::SeveralNames
                | Obstacle::Artifact => {}
                _ => needs_engine = true,
            }
        }
        if (needs_engine || !is_added) && !remedy.engines.contains(&engine) {
            remedy.engines.push(engine);
            is_added = true;
        }
        is_added
    }

    /// The entries of the root that have images; none if there are too many.
    fn images(&self) -> Vec<Digest> {
        let mut images: Vec<Digest> = Vec::new();
        for entry in self.graph.root.pointers_in(Role::Manifests) {
            let has_image = !self.graph.images_below(&entry.digest).is_empty();
            if has_image && !images.contains(&entry.digest) {
                if images.len() == MAX_IMAGES {
                    return Vec::new();
                }
                images.push(entry.digest.clone());
            }
        }
        images
    }
}

impl Judged {
    /// The verdicts of the versions that are meant on another archive.
    fn verdicts_in(&self, verdicts: &Verdicts<'_>) -> Vec<Rc<Verdict>> {
        if let Some(asked) = self.asked {
            return vec![worst(verdicts, asked, self.reader)];
        }
        let Some((first, last)) = self.from.zip(self.to) else {
            return Vec::new();
        };
        let meant = ranges(self.reader).filter(|(from, to)| first <= *from && *to <= last);
        let verdicts = meant.map(|(from, _)| verdicts.of(self.reader, from));
        verdicts.collect()
    }

    /// A verdict on another archive that is not good.
    fn bad_in(&self, verdicts: &Verdicts<'_>) -> Option<Rc<Verdict>> {
        let mut verdicts = self.verdicts_in(verdicts).into_iter();
        verdicts.find(|verdict| !verdict.loads.is_good())
    }
}
