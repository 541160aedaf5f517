//! A stable part of many files: each worker takes its own, and none needs to know of the others.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use ocify::{Algorithm, Digest};

/// One part of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which shard this is, counted from 1.
    pub(crate) number: u64,
    /// How many there are.
    pub(crate) count: u64,
}

impl Shard {
    /// Whether the file or layout at this relative path belongs to the shard. It depends on the path
    /// alone, so that a shard is the same on every machine and after every restart.
    pub(crate) fn contains(&self, relative: &Path) -> bool {
        let digest = Digest::of(Algorithm::Sha256, relative.as_os_str().as_bytes());
        let hash = u64::from_str_radix(&digest.hex()[..16], 16).unwrap_or(0);
        hash % self.count == self.number - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

/// How a shard was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardChoice {
    /// This one.
    Given(Shard),
    /// The one that the environment names; of this many, if the environment does not say how many.
    Auto(Option<u64>),
}

/// Why a text does not say which shard is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseShardError {
    Form,
    /// The number of shards is 0.
    NoShares,
    /// The shard's number is not between 1 and the number of shards.
    Absent(Shard),
}

impl fmt::Display for ParseShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseShardError::Form => f.write_str("expected K/N, auto or auto/N, such as 2/8"),
            ParseShardError::NoShares => f.write_str("expected at least one shard"),
            ParseShardError::Absent(Shard { number, count }) => {
                write!(f, "shard {number} of {count} does not exist")
            }
        }
    }
}

impl std::error::Error for ParseShardError {}

impl FromStr for ShardChoice {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(ShardChoice::Auto(None));
        }
        let (number, count) = text.split_once('/').ok_or(ParseShardError::Form)?;
        let count: u64 = count.parse().map_err(|_| ParseShardError::Form)?;
        if count == 0 {
            return Err(ParseShardError::NoShares);
        }
        if number == "auto" {
            return Ok(ShardChoice::Auto(Some(count)));
        }
        let number = number.parse().map_err(|_| ParseShardError::Form)?;
        checked(number, count).map(ShardChoice::Given)
    }
}

/// Where an engine says which of several workers this is.
struct Engine {
    name: &'static str,
    number: &'static str,
    /// The number of the first worker.
    first: u64,
    count: &'static str,
}

const ENGINES: [Engine; 4] = [
    Engine {
        name: "GitLab",
        number: "CI_NODE_INDEX",
        first: 1,
        count: "CI_NODE_TOTAL",
    },
    Engine {
        name: "CircleCI",
        number: "CIRCLE_NODE_INDEX",
        first: 0,
        count: "CIRCLE_NODE_TOTAL",
    },
    Engine {
        name: "Buildkite",
        number: "BUILDKITE_PARALLEL_JOB",
        first: 0,
        count: "BUILDKITE_PARALLEL_JOB_COUNT",
    },
    // Kubernetes gives a pod its index, but not the number of pods.
    Engine {
        name: "Kubernetes",
        number: "JOB_COMPLETION_INDEX",
        first: 0,
        count: "",
    },
];

impl ShardChoice {
    /// The shard, with `get` looking up environment variables.
    ///
    /// # Errors
    /// A message: the environment names no shard, or contradicts itself or the count that was given.
    pub(crate) fn resolve(self, get: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let wanted = match self {
            ShardChoice::Given(shard) => return Ok(shard),
            ShardChoice::Auto(wanted) => wanted,
        };
        let number = |name: &str| -> Result<Option<u64>, String> {
            let Some(text) = get(name) else {
                return Ok(None);
            };
            let parsed = text.trim().parse();
            parsed.map(Some).map_err(|_| {
                format!(
                    "{name} is \"{}\", not a number",
                    ocify::command::escape(&text)
                )
            })
        };
        // A job array may run inside a job of a CI system, so the innermost engine comes first.
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            return slurm(id, wanted, &number);
        }
        for engine in ENGINES.iter().rev() {
            let Some(index) = number(engine.number)? else {
                continue;
            };
            let said = match engine.count {
                "" => None,
                count => number(count)?,
            };
            let count = agreed(engine.name, engine.count, said, wanted)?;
            let index = index.checked_sub(engine.first);
            let index = index.ok_or_else(|| format!("{} starts at 1", engine.number))?;
            return checked(index.saturating_add(1), count)
                .map_err(|what| format!("{}: {what}", engine.number));
        }
        Err(format!(
            "--shard auto found none of SLURM_ARRAY_TASK_ID, {} in the environment",
            ENGINES.map(|engine| engine.number).join(", ")
        ))
    }
}

/// The tasks of an array are numbered from any first number in any steps.
fn slurm(
    id: u64,
    wanted: Option<u64>,
    number: &dyn Fn(&str) -> Result<Option<u64>, String>,
) -> Result<Shard, String> {
    let said = number("SLURM_ARRAY_TASK_COUNT")?;
    let count = agreed("Slurm", "SLURM_ARRAY_TASK_COUNT", said, wanted)?;
    let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let last = number("SLURM_ARRAY_TASK_MAX")?.unwrap_or(first.saturating_add(count - 1));
    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let is_even = last.checked_sub(first) == step.checked_mul(count - 1)
        && id >= first
        && (id - first).is_multiple_of(step);
    if !is_even {
        return Err(format!(
            "the array of {count} Slurm tasks from {first} to {last} has gaps, so task {id} cannot be assigned a shard; use --array=1-N or give --shard K/N"
        ));
    }
    checked((id - first) / step + 1, count).map_err(|error| error.to_string())
}

/// The number of workers, by the engine or by the option.
fn agreed(
    engine: &str,
    variable: &str,
    said: Option<u64>,
    wanted: Option<u64>,
) -> Result<u64, String> {
    match (said, wanted) {
        (Some(said), Some(wanted)) if said != wanted => Err(format!(
            "--shard auto/{wanted} contradicts {variable}, which is {said}"
        )),
        (Some(0), _) => Err(format!("{variable} is 0")),
        (Some(count), _) | (None, Some(count)) => Ok(count),
        (None, None) => Err(format!(
            "{engine} does not say how many workers there are; use --shard auto/N"
        )),
    }
}

fn checked(number: u64, count: u64) -> Result<Shard, ParseShardError> {
    let shard = Shard { number, count };
    match (1..=count).contains(&number) {
        true => Ok(shard),
        false => Err(ParseShardError::Absent(shard)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_in_one_share() {
        let paths: Vec<String> = (0..1000).map(|n| format!("dir/{n}.tar")).collect();
        for count in [1, 2, 3, 7, 64] {
            let mut sizes = Vec::new();
            let mut seen = 0;
            for number in 1..=count {
                let shard = Shard { number, count };
                let own = paths.iter().filter(|path| shard.contains(Path::new(path)));
                sizes.push(own.count());
                seen += sizes.last().unwrap();
            }
            assert_eq!(seen, 1000, "{count}");
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(*least * 4 > *most, "{count}: {sizes:?}");
        }
        // The partition is part of the interface: workers of two versions must agree.
        let shard = Shard {
            number: 2,
            count: 3,
        };
        let own: Vec<usize> = (0..12)
            .filter(|n| shard.contains(Path::new(&paths[*n])))
            .collect();
        assert_eq!(own, PINNED);
    }

    /// Of `dir/0.tar` to `dir/11.tar`, those in shard 2 of 3.
    const PINNED: [usize; 4] = [3, 4, 6, 10];

    #[test]
    fn choices() {
        let given = |number, count| Ok(ShardChoice::Given(Shard { number, count }));
        for (text, expected) in [
            ("1/1", given(1, 1)),
            ("3/8", given(3, 8)),
            ("auto", Ok(ShardChoice::Auto(None))),
            ("auto/8", Ok(ShardChoice::Auto(Some(8)))),
            ("0/8", Err("shard 0 of 8 does not exist")),
            ("9/8", Err("shard 9 of 8 does not exist")),
            ("1/0", Err("expected at least one shard")),
            ("3", Err("expected K/N, auto or auto/N, such as 2/8")),
            ("a/8", Err("expected K/N, auto or auto/N, such as 2/8")),
            ("-1/8", Err("expected K/N, auto or auto/N, such as 2/8")),
        ] {
            let found = text.parse::<ShardChoice>();
            let found = found.map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    /// A name, the number of workers in the option, the environment, and what is expected.
    type Case = (
        &'static str,
        Option<u64>,
        &'static str,
        Result<&'static str, &'static str>,
    );

    #[test]
    fn environments() {
        let kubernetes = "Kubernetes does not say how many workers there are; use --shard auto/N";
        let gaps = "the array of 3 Slurm tasks from 1 to 9 has gaps, so task 5 cannot be assigned a shard; use --array=1-N or give --shard K/N";
        #[rustfmt::skip]
        let cases: [Case; 18] = [
            ("nothing", None, "", Err("--shard auto found none of SLURM_ARRAY_TASK_ID, CI_NODE_INDEX, CIRCLE_NODE_INDEX, BUILDKITE_PARALLEL_JOB, JOB_COMPLETION_INDEX in the environment")),
            ("kubernetes", Some(8), "JOB_COMPLETION_INDEX=0", Ok("1/8")),
            ("kubernetes, last", Some(8), "JOB_COMPLETION_INDEX=7", Ok("8/8")),
            ("kubernetes, more than said", Some(8), "JOB_COMPLETION_INDEX=8", Err("JOB_COMPLETION_INDEX: shard 9 of 8 does not exist")),
            ("kubernetes, count unknown", None, "JOB_COMPLETION_INDEX=0", Err(kubernetes)),
            ("gitlab", None, "CI_NODE_INDEX=1 CI_NODE_TOTAL=3", Ok("1/3")),
            ("gitlab, without parallel", None, "CI_NODE_TOTAL=1", Err("--shard auto found none of SLURM_ARRAY_TASK_ID, CI_NODE_INDEX, CIRCLE_NODE_INDEX, BUILDKITE_PARALLEL_JOB, JOB_COMPLETION_INDEX in the environment")),
            ("gitlab, zero", None, "CI_NODE_INDEX=0 CI_NODE_TOTAL=3", Err("CI_NODE_INDEX starts at 1")),
            ("circle", None, "CIRCLE_NODE_INDEX=2 CIRCLE_NODE_TOTAL=3", Ok("3/3")),
            ("buildkite", None, "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", Ok("1/3")),
            ("contradiction", Some(4), "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", Err("--shard auto/4 contradicts BUILDKITE_PARALLEL_JOB_COUNT, which is 3")),
            ("no number", None, "CI_NODE_INDEX=one CI_NODE_TOTAL=3", Err("CI_NODE_INDEX is \"one\", not a number")),
            ("slurm from 0", None, "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=4", Ok("1/4")),
            ("slurm from 1", None, "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=4", Ok("4/4")),
            ("slurm in steps", None, "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4", Ok("3/4")),
            ("slurm with gaps", None, "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=3", Err(gaps)),
            ("slurm, one task again", Some(8), "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=1", Err("--shard auto/8 contradicts SLURM_ARRAY_TASK_COUNT, which is 1")),
            ("slurm inside gitlab", None, "CI_NODE_INDEX=1 CI_NODE_TOTAL=3 SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=1 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=2", Ok("2/2")),
        ];
        for (name, wanted, environment, expected) in cases {
            let get = |wanted: &str| {
                let mut pairs = environment
                    .split(' ')
                    .filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, value)| value.to_owned())
            };
            let found = ShardChoice::Auto(wanted).resolve(&get);
            let found = found.map(|shard| shard.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name}");
        }
    }
}
