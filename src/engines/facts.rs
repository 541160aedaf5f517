//! The table of facts: what is in the way of which reader, in which versions, in the engine's own words.

mod apptainer;
mod container;
mod further;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use crate::engines::habit::Habit;
use crate::engines::{Obstacle, Reader, Version};

/// How a fact is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// Seen with this version.
    Seen(&'static str),
    /// Read in a repository at this place.
    Source(&'static str),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Seen(version) => write!(f, "seen with {version}"),
            Evidence::Source(place) => f.write_str(place),
        }
    }
}

/// As it is displayed.
impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that is in the way of some versions of a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    reader: Reader,
    pub(crate) obstacle: Obstacle,
    /// The first version that it is in the way of; `None` for all older ones.
    from: Option<Version>,
    /// The first later version that copes with it.
    before: Option<Version>,
    /// What the engine says: phrases of which its message contains one, with `…` for anything in between. It says
    /// nothing if there is none.
    pub(crate) says: &'static [&'static str],
    pub(crate) evidence: Evidence,
}

impl Fact {
    /// Whether it holds for a version.
    fn covers(&self, version: Version) -> bool {
        self.from.is_none_or(|from| from <= version)
            && self.before.is_none_or(|before| version < before)
    }
}

/// All facts.
fn all() -> impl Iterator<Item = &'static Fact> {
    let of_apptainer = [apptainer::OWN, &apptainer::OCI, &apptainer::DOCKER];
    let facts = [container::FACTS, further::FURTHER].into_iter();
    facts.chain(of_apptainer).flatten()
}

/// All facts, by reader and obstacle. They are asked for often.
static SORTED: LazyLock<Vec<&'static Fact>> = LazyLock::new(|| {
    let mut facts: Vec<&Fact> = all().collect();
    facts.sort_by_key(|fact| (fact.reader, fact.obstacle));
    facts
});

/// What is in the way of a version of a reader; `None` if it copes with it.
pub(crate) fn fact(reader: Reader, version: Version, obstacle: Obstacle) -> Option<&'static Fact> {
    let find = |reader: Reader, version: Version| {
        let wanted = (reader, obstacle);
        let key = |fact: &Fact| (fact.reader, fact.obstacle);
        let start = SORTED.partition_point(|fact| key(fact) < wanted);
        let facts = SORTED.get(start..)?.iter().copied();
        let mut facts = facts.take_while(|fact| key(fact) == wanted);
        facts.find(|fact| fact.covers(version))
    };
    find(reader, version).or_else(|| {
        let (base, of_base) = reader.base(version)?;
        find(base, of_base).filter(|_| !copes(reader, version, obstacle))
    })
}

/// Whether a version of a reader copes with what is in the way of the one whose code it contains.
fn copes(reader: Reader, version: Version, obstacle: Obstacle) -> bool {
    let mut known = further::COPES.iter();
    known.any(|(other, known, from)| *other == reader && *known == obstacle && *from <= version)
}

/// The known versions of a reader in ranges that do the same, first and last version, in order.
pub(crate) fn ranges(reader: Reader) -> impl Iterator<Item = (Version, Version)> {
    let of_reader = RANGES.iter().filter(move |range| range.0 == reader);
    let of_reader = of_reader.map(|(_, first, last)| (*first, *last));
    let further = match reader.is_asked_for() {
        true => ranges_of(reader),
        false => Vec::new(),
    };
    of_reader.chain(further)
}

/// The ranges of the readers that are judged without being asked for. Comparing all facts of all versions takes longer than
/// checking a small archive.
static RANGES: LazyLock<Vec<(Reader, Version, Version)>> = LazyLock::new(|| {
    let readers = Reader::ALL.into_iter();
    let readers = readers.filter(|reader| !reader.is_asked_for());
    let ranges = readers.flat_map(|reader| {
        let ranges = ranges_of(reader).into_iter();
        ranges.map(move |(first, last)| (reader, first, last))
    });
    ranges.collect()
});

fn ranges_of(reader: Reader) -> Vec<(Version, Version)> {
    let mut ranges: Vec<(Version, Version)> = Vec::new();
    let mut of_last = None;
    for version in reader.known() {
        let behavior = Some(Behavior::of(reader, version));
        match ranges.last_mut() {
            Some((_, last)) if behavior == of_last => *last = version,
            _ => ranges.push((version, version)),
        }
        of_last = behavior;
    }
    ranges
}

/// What distinguishes a version of a reader from another one.
#[derive(PartialEq)]
struct Behavior {
    habits: [bool; Habit::ALL.len()],
    /// What is in its way, in order, and what it says.
    obstacles: Vec<(Obstacle, &'static [&'static str])>,
}

impl Behavior {
    fn of(reader: Reader, version: Version) -> Self {
        let own = covering(reader, version).map(|fact| (fact.obstacle, fact.says));
        let mut obstacles: Vec<_> = own.collect();
        if let Some((base, of_base)) = reader.base(version) {
            let own: BTreeSet<Obstacle> = obstacles.iter().map(|(obstacle, _)| *obstacle).collect();
            let further = covering(base, of_base).filter(|fact| {
                !own.contains(&fact.obstacle) && !copes(reader, version, fact.obstacle)
            });
            obstacles.extend(further.map(|fact| (fact.obstacle, fact.says)));
            obstacles.sort_unstable_by_key(|(obstacle, _)| *obstacle);
        }
        Behavior {
            habits: Habit::ALL.map(|habit| reader.has(habit, version)),
            obstacles,
        }
    }
}

/// The facts about a reader itself that hold for a version, by obstacle.
fn covering(reader: Reader, version: Version) -> impl Iterator<Item = &'static Fact> {
    let start = SORTED.partition_point(|fact| fact.reader < reader);
    let facts = SORTED.iter().skip(start).copied();
    let facts = facts.take_while(move |fact| fact.reader == reader);
    facts.filter(move |fact| fact.covers(version))
}

const fn always(
    reader: Reader,
    obstacle: Obstacle,
    says: &'static [&'static str],
    evidence: Evidence,
) -> Fact {
    Fact {
        reader,
        obstacle,
        from: None,
        before: None,
        says,
        evidence,
    }
}

impl Fact {
    const fn from(self, major: u32, minor: u32, patch: u32) -> Self {
        Fact {
            from: Some(Version(major, minor, patch)),
            ..self
        }
    }

    const fn before(self, major: u32, minor: u32, patch: u32) -> Self {
        Fact {
            before: Some(Version(major, minor, patch)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Obstacle::{LayerType, SkippableFrame, ZstdLayer};

    #[test]
    fn facts_are_in_order_and_do_not_overlap() {
        let facts: Vec<&Fact> = all().collect();
        for (number, fact) in facts.iter().enumerate() {
            if let (Some(from), Some(before)) = (fact.from, fact.before) {
                assert!(from < before, "{fact:?}");
            }
            let same =
                |other: &&&Fact| other.reader == fact.reader && other.obstacle == fact.obstacle;
            for other in facts[..number].iter().filter(same) {
                let is_after = other
                    .before
                    .is_some_and(|before| fact.from.is_some_and(|from| before <= from));
                assert!(is_after, "{other:?} overlaps {fact:?}");
            }
        }
    }

    /// Reports state a range as if all of its versions were its first one.
    #[test]
    fn all_versions_of_a_range_do_and_say_the_same() {
        let says = |reader, version| {
            let facts = Obstacle::ALL.map(|obstacle| fact(reader, version, obstacle));
            let says = facts.map(|fact| fact.map(|fact| fact.says));
            (says, Habit::ALL.map(|habit| reader.has(habit, version)))
        };
        for reader in Reader::ALL {
            let mut expected: Vec<(Version, Version)> = Vec::new();
            for version in reader.known() {
                match expected.last_mut() {
                    Some((first, last)) if says(reader, *first) == says(reader, version) => {
                        *last = version;
                    }
                    _ => expected.push((version, version)),
                }
            }
            let found: Vec<(Version, Version)> = ranges(reader).collect();
            assert_eq!(found, expected, "{reader:?}");
        }
    }

    #[test]
    fn an_engine_with_containerd_has_its_facts() {
        let has = |reader, version: Version, obstacle| fact(reader, version, obstacle).is_some();
        assert!(has(Reader::Kind, Version(0, 10, 0), ZstdLayer));
        assert!(!has(Reader::Kind, Version(0, 11, 0), ZstdLayer));
        assert!(has(Reader::Kind, Version(0, 11, 0), SkippableFrame));
        assert!(!has(Reader::Kind, Version(0, 15, 0), SkippableFrame));
        assert!(has(Reader::K3s, Version(1, 31, 0), LayerType));
        assert!(!has(Reader::K3s, Version(1, 33, 0), LayerType));
    }
}
