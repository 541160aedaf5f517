//! The table of facts as data: what is in the way of each reader, in which versions.

use crate::engines::facts::{Fact, fact};
use crate::engines::{Evidence, Obstacle, Reader, Version};

/// What is known of a reader.
#[derive(Clone, Debug)]
pub(crate) struct KnownReader {
    /// The reader.
    pub(crate) reader: Reader,
    /// The versions that somebody tried, or whose source somebody read, in order.
    pub(crate) versions: Vec<Version>,
    /// Those of them that the makers still support.
    pub(crate) supported: Vec<Version>,
    /// What is in their way.
    pub(crate) problems: Vec<Problem>,
}

/// Something that is in the way of versions of a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    /// What it is.
    pub(crate) obstacle: Obstacle,
    /// The first known version that it is in the way of.
    pub(crate) from: Version,
    /// The last known version of those that follow without a gap.
    pub(crate) to: Version,
    /// What the engine's message contains: one of these phrases, with `…` for anything in between. It says nothing if
    /// there is none.
    pub(crate) says: &'static [&'static str],
    /// How this is known.
    pub(crate) evidence: Evidence,
}

/// All readers, in the order of tables.
pub(crate) fn table() -> Vec<KnownReader> {
    Reader::ALL.map(known).into()
}

fn known(reader: Reader) -> KnownReader {
    let versions: Vec<Version> = reader.known().collect();
    let supported = versions.iter().copied();
    let supported = supported.filter(|version| reader.is_supported(*version));
    let problems = Obstacle::ALL.iter();
    let problems = problems.flat_map(|obstacle| problems_of(reader, &versions, *obstacle));
    KnownReader {
        reader,
        supported: supported.collect(),
        problems: problems.collect(),
        versions,
    }
}

/// The ranges of versions with the same fact about an obstacle.
fn problems_of(reader: Reader, versions: &[Version], obstacle: Obstacle) -> Vec<Problem> {
    let facts = versions.iter().copied();
    let facts = facts.map(|version| (version, fact(reader, version, obstacle)));
    let facts: Vec<(Version, Option<&Fact>)> = facts.collect();
    let key = |fact: Option<&Fact>| fact.map(|fact| (fact.says, fact.evidence));
    let ranges = facts.chunk_by(|one, other| key(one.1) == key(other.1));
    let problem = |range: &[(Version, Option<&Fact>)]| {
        let ((from, fact), (to, _)) = (range.first()?, range.last()?);
        let fact = (*fact)?;
        Some(Problem {
            obstacle,
            from: *from,
            to: *to,
            says: fact.says,
            evidence: fact.evidence,
        })
    };
    ranges.filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_fact_of_every_known_version() {
        for known in table() {
            for version in &known.versions {
                for obstacle in Obstacle::ALL {
                    let mut problems = known.problems.iter();
                    let found = problems.find(|problem| {
                        problem.obstacle == obstacle
                            && (problem.from..=problem.to).contains(version)
                    });
                    let expected = fact(known.reader, *version, obstacle);
                    let about = format!("{:?} {version} {obstacle:?}", known.reader);
                    let found = found.map(|problem| (problem.says, problem.evidence));
                    assert_eq!(
                        found,
                        expected.map(|fact| (fact.says, fact.evidence)),
                        "{about}"
                    );
                }
            }
        }
    }
}
