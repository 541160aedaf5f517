//! What a reader meets in an archive.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engines::facts::{Fact, fact};
use crate::engines::habit::Habit;
use crate::engines::{Archive, Evidence, Obstacle, Reader, Version};
use crate::location::Location;

/// Something that is in the way of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// What it is.
    #[serde(rename = "rule")]
    pub obstacle: Obstacle,
    /// Where it is met first.
    pub location: Location,
    /// How often it is met.
    pub count: usize,
    /// What the engine's message contains: one of these phrases, with `…` for anything in between.
    pub says: &'static [&'static str],
    /// How this is known.
    pub evidence: Evidence,
}

/// Follows a reader through an archive, and notes what is in its way.
pub(crate) struct Judge<'a> {
    pub(crate) archive: &'a Archive<'a>,
    pub(crate) reader: Reader,
    version: Version,
    reasons: Vec<Reason>,
    answers: Answers,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(archive: &'a Archive<'a>, reader: Reader, version: Version) -> Self {
        Judge {
            archive,
            reader,
            version,
            reasons: Vec::new(),
            answers: Answers::default(),
        }
    }

    /// Whether the reader fails at this, which is then noted.
    pub(crate) fn fails_at(
        &mut self,
        obstacle: Obstacle,
        location: impl FnOnce() -> Location,
    ) -> bool {
        let Some(fact) = self.fact(obstacle) else {
            return false;
        };
        let mut known = self.reasons.iter_mut();
        match known.find(|reason| reason.obstacle == obstacle) {
            Some(reason) => reason.count += 1,
            None => self.reasons.push(Reason {
                obstacle,
                location: location(),
                count: 1,
                says: fact.says,
                evidence: fact.evidence,
            }),
        }
        true
    }

    /// Whether the reader fails at this, which is not noted.
    pub(crate) fn would_fail_at(&mut self, obstacle: Obstacle) -> bool {
        self.fact(obstacle).is_some()
    }

    fn fact(&mut self, obstacle: Obstacle) -> Option<&'static Fact> {
        let answer = self.answers.facts.entry(obstacle);
        *answer.or_insert_with(|| fact(self.reader, self.version, obstacle))
    }

    /// Whether one of these was noted.
    pub(crate) fn has_noted(&self, obstacles: &[Obstacle]) -> bool {
        let mut reasons = self.reasons.iter();
        reasons.any(|reason| obstacles.contains(&reason.obstacle))
    }

    /// Whether the reader has this habit.
    pub(crate) fn has(&mut self, habit: Habit) -> bool {
        let habits = &mut self.answers.habits;
        let has = || self.reader.has(habit, self.version);
        *habits.entry(habit).or_insert_with(has)
    }

    /// Notes again what was taken.
    pub(crate) fn put_back(&mut self, reasons: Vec<Reason>) {
        self.reasons = reasons;
    }

    /// What was noted so far.
    pub(crate) fn take_reasons(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.reasons)
    }

    /// What was asked about the version.
    pub(crate) fn into_answers(self) -> Answers {
        self.answers
    }
}

/// What was asked about a version of a reader to judge an archive, with the answers. A version that gives the same answers has
/// the same verdict.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    facts: BTreeMap<Obstacle, Option<&'static Fact>>,
    habits: BTreeMap<Habit, bool>,
}

impl Answers {
    /// Whether a version gives these answers.
    pub(crate) fn are_given_by(&self, reader: Reader, version: Version) -> bool {
        let stated = |fact: Option<&'static Fact>| fact.map(|fact| (fact.says, fact.evidence));
        let mut facts = self.facts.iter();
        let mut habits = self.habits.iter();
        facts.all(|(obstacle, known)| stated(*known) == stated(fact(reader, version, *obstacle)))
            && habits.all(|(habit, known)| *known == reader.has(*habit, version))
    }
}
