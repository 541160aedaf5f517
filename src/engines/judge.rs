//! What a reader meets in an archive.

use serde::Serialize;

use crate::engines::facts::fact;
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
    pub(crate) version: Version,
    reasons: Vec<Reason>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(archive: &'a Archive<'a>, reader: Reader, version: Version) -> Self {
        Judge {
            archive,
            reader,
            version,
            reasons: Vec::new(),
        }
    }

    /// Whether the reader fails at this, which is then noted.
    pub(crate) fn fails_at(
        &mut self,
        obstacle: Obstacle,
        location: impl FnOnce() -> Location,
    ) -> bool {
        let Some(fact) = fact(self.reader, self.version, obstacle) else {
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

    /// Notes again what was taken.
    pub(crate) fn put_back(&mut self, reasons: Vec<Reason>) {
        self.reasons = reasons;
    }

    /// What was noted so far.
    pub(crate) fn take_reasons(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.reasons)
    }
}
