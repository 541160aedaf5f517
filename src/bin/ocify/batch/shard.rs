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

/// The name of a file or directory that a shard keeps for its own use in the output directory.
pub(super) fn own_name(what: &str, shard: Option<Shard>) -> String {
    match shard {
        None => format!(".ocify-{what}"),
        Some(shard) => format!(".ocify-{what}-{}-of-{}", shard.number, shard.count),
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

const ENGINES: [Engine; 8] = [
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
    Engine {
        name: "Cloud Run",
        number: "CLOUD_RUN_TASK_INDEX",
        first: 0,
        count: "CLOUD_RUN_TASK_COUNT",
    },
    Engine {
        name: "Google Batch",
        number: "BATCH_TASK_INDEX",
        first: 0,
        count: "BATCH_TASK_COUNT",
    },
    Engine {
        name: "AWS Batch",
        number: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: 0,
        count: "AWS_BATCH_JOB_ARRAY_SIZE",
    },
    // PBS says neither how many there are nor where they begin.
    Engine {
        name: "PBS",
        number: "PBS_ARRAY_INDEX",
        first: 1,
        count: "",
    },
];

/// An engine whose arrays begin with any number and continue in any steps. Variables that it lacks are empty.
struct Array {
    name: &'static str,
    number: &'static str,
    /// What the number is in a job that is not part of an array.
    absent: &'static str,
    first: &'static str,
    last: &'static str,
    step: &'static str,
    count: &'static str,
    /// How to submit an array without gaps.
    advice: &'static str,
}

const ARRAYS: [Array; 3] = [
    Array {
        name: "Slurm",
        number: "SLURM_ARRAY_TASK_ID",
        absent: "",
        first: "SLURM_ARRAY_TASK_MIN",
        last: "SLURM_ARRAY_TASK_MAX",
        step: "SLURM_ARRAY_TASK_STEP",
        count: "SLURM_ARRAY_TASK_COUNT",
        advice: "--array=1-N",
    },
    Array {
        name: "Grid Engine",
        number: "SGE_TASK_ID",
        absent: "undefined",
        first: "SGE_TASK_FIRST",
        last: "SGE_TASK_LAST",
        step: "SGE_TASK_STEPSIZE",
        count: "",
        advice: "-t 1-N",
    },
    Array {
        name: "LSF",
        number: "LSB_JOBINDEX",
        absent: "0",
        first: "",
        last: "LSB_JOBINDEX_END",
        step: "LSB_JOBINDEX_STEP",
        count: "",
        advice: "-J 'NAME[1-N]'",
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
        for array in &ARRAYS {
            if get(array.number).is_none_or(|text| text.trim() == array.absent) {
                continue;
            }
            if let Some(id) = number(array.number)? {
                return array.shard(id, wanted, &number);
            }
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
            let index = index.ok_or_else(|| format!("{} must start at 1", engine.number))?;
            return checked(index.saturating_add(1), count)
                .map_err(|what| format!("{}: {what}", engine.number));
        }
        let names = ARRAYS.iter().map(|array| array.number);
        let names: Vec<&str> = names
            .chain(ENGINES.iter().map(|engine| engine.number))
            .collect();
        Err(format!(
            "--shard auto found none of {} in the environment",
            names.join(", ")
        ))
    }
}

impl Array {
    /// The shard of the task with this number.
    fn shard(
        &self,
        id: u64,
        wanted: Option<u64>,
        number: &dyn Fn(&str) -> Result<Option<u64>, String>,
    ) -> Result<Shard, String> {
        let name = self.name;
        let number = |variable: &str| match variable {
            "" => Ok(None),
            variable => number(variable),
        };
        if self.first.is_empty() && wanted.is_none() {
            return Err(format!(
                "{name} does not say where the array begins; submit it with {}, and use --shard auto/N",
                self.advice
            ));
        }
        let first = number(self.first)?.unwrap_or(1);
        let step = number(self.step)?.unwrap_or(1).max(1);
        let last = number(self.last)?;
        let steps = |last: u64| last.checked_sub(first).map(|len| len / step);
        let (said, variable) = match self.count {
            "" => {
                let said = last.map(|last| steps(last).map_or(0, |steps| steps + 1));
                (said, format!("the number of {name} tasks"))
            }
            variable => (number(variable)?, variable.to_owned()),
        };
        let count = agreed(name, &variable, said, wanted)?;
        let last = last.unwrap_or(first.saturating_add(step.saturating_mul(count - 1)));
        let is_even =
            steps(last) == Some(count - 1) && id >= first && (id - first).is_multiple_of(step);
        if !is_even {
            return Err(format!(
                "the array of {count} {name} tasks from {first} to {last} has gaps, so task {id} cannot be assigned a shard; use {} or give --shard K/N",
                self.advice
            ));
        }
        checked((id - first) / step + 1, count).map_err(|error| error.to_string())
    }
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
        let cases: [Case; 38] = [
            ("nothing", None, "", Err("--shard auto found none of SLURM_ARRAY_TASK_ID, SGE_TASK_ID, LSB_JOBINDEX, CI_NODE_INDEX, CIRCLE_NODE_INDEX, BUILDKITE_PARALLEL_JOB, JOB_COMPLETION_INDEX, CLOUD_RUN_TASK_INDEX, BATCH_TASK_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, PBS_ARRAY_INDEX in the environment")),
            ("kubernetes", Some(8), "JOB_COMPLETION_INDEX=0", Ok("1/8")),
            ("kubernetes, last", Some(8), "JOB_COMPLETION_INDEX=7", Ok("8/8")),
            ("kubernetes, more than said", Some(8), "JOB_COMPLETION_INDEX=8", Err("JOB_COMPLETION_INDEX: shard 9 of 8 does not exist")),
            ("kubernetes, count unknown", None, "JOB_COMPLETION_INDEX=0", Err(kubernetes)),
            ("gitlab", None, "CI_NODE_INDEX=1 CI_NODE_TOTAL=3", Ok("1/3")),
            ("gitlab, without parallel", None, "CI_NODE_TOTAL=1", Err("--shard auto found none of SLURM_ARRAY_TASK_ID, SGE_TASK_ID, LSB_JOBINDEX, CI_NODE_INDEX, CIRCLE_NODE_INDEX, BUILDKITE_PARALLEL_JOB, JOB_COMPLETION_INDEX, CLOUD_RUN_TASK_INDEX, BATCH_TASK_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, PBS_ARRAY_INDEX in the environment")),
            ("gitlab, zero", None, "CI_NODE_INDEX=0 CI_NODE_TOTAL=3", Err("CI_NODE_INDEX must start at 1")),
            ("circle", None, "CIRCLE_NODE_INDEX=2 CIRCLE_NODE_TOTAL=3", Ok("3/3")),
            ("buildkite", None, "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", Ok("1/3")),
            ("contradiction", Some(4), "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", Err("--shard auto/4 contradicts BUILDKITE_PARALLEL_JOB_COUNT, which is 3")),
            ("no number", None, "CI_NODE_INDEX=one CI_NODE_TOTAL=3", Err("CI_NODE_INDEX is \"one\", not a number")),
            ("slurm from 0", None, "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=4", Ok("1/4")),
            ("slurm from 1", None, "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=4", Ok("4/4")),
            ("slurm in steps", None, "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4", Ok("3/4")),
            ("slurm with gaps", None, "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=3", Err(gaps)),
            ("slurm, one task again", Some(8), "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=1", Err("--shard auto/8 contradicts SLURM_ARRAY_TASK_COUNT, which is 1")),
            ("aws batch", None, "AWS_BATCH_JOB_ARRAY_INDEX=0 AWS_BATCH_JOB_ARRAY_SIZE=10", Ok("1/10")),
            ("aws batch, last", None, "AWS_BATCH_JOB_ARRAY_INDEX=9 AWS_BATCH_JOB_ARRAY_SIZE=10", Ok("10/10")),
            ("aws batch, without size", None, "AWS_BATCH_JOB_ARRAY_INDEX=9", Err("AWS Batch does not say how many workers there are; use --shard auto/N")),
            ("google batch", None, "BATCH_TASK_INDEX=2 BATCH_TASK_COUNT=3", Ok("3/3")),
            ("cloud run", None, "CLOUD_RUN_TASK_INDEX=0 CLOUD_RUN_TASK_COUNT=3", Ok("1/3")),
            ("cloud run, contradiction", Some(2), "CLOUD_RUN_TASK_INDEX=0 CLOUD_RUN_TASK_COUNT=3", Err("--shard auto/2 contradicts CLOUD_RUN_TASK_COUNT, which is 3")),
            ("pbs", Some(4), "PBS_ARRAY_INDEX=4", Ok("4/4")),
            ("pbs from 0", Some(4), "PBS_ARRAY_INDEX=0", Err("PBS_ARRAY_INDEX must start at 1")),
            ("pbs, count unknown", None, "PBS_ARRAY_INDEX=1", Err("PBS does not say how many workers there are; use --shard auto/N")),
            ("grid engine", None, "SGE_TASK_ID=3 SGE_TASK_FIRST=1 SGE_TASK_LAST=4 SGE_TASK_STEPSIZE=1", Ok("3/4")),
            ("grid engine in steps", None, "SGE_TASK_ID=9 SGE_TASK_FIRST=1 SGE_TASK_LAST=10 SGE_TASK_STEPSIZE=4", Ok("3/3")),
            ("grid engine from 5", Some(4), "SGE_TASK_ID=8 SGE_TASK_FIRST=5 SGE_TASK_LAST=8 SGE_TASK_STEPSIZE=1", Ok("4/4")),
            ("grid engine, one task again", Some(4), "SGE_TASK_ID=3 SGE_TASK_FIRST=3 SGE_TASK_LAST=3 SGE_TASK_STEPSIZE=1", Err("--shard auto/4 contradicts the number of Grid Engine tasks, which is 1")),
            ("grid engine without an array", Some(4), "SGE_TASK_ID=undefined JOB_COMPLETION_INDEX=0", Ok("1/4")),
            ("lsf", Some(4), "LSB_JOBINDEX=1 LSB_JOBINDEX_END=4 LSB_JOBINDEX_STEP=1", Ok("1/4")),
            ("lsf in steps", Some(4), "LSB_JOBINDEX=7 LSB_JOBINDEX_END=7 LSB_JOBINDEX_STEP=2", Ok("4/4")),
            // It would be shards 5 to 8 of 8, and nobody would do the others.
            ("lsf from 5", Some(4), "LSB_JOBINDEX=5 LSB_JOBINDEX_END=8 LSB_JOBINDEX_STEP=1", Err("--shard auto/4 contradicts the number of LSF tasks, which is 8")),
            ("lsf, begin unknown", None, "LSB_JOBINDEX=5 LSB_JOBINDEX_END=8 LSB_JOBINDEX_STEP=1", Err("LSF does not say where the array begins; submit it with -J 'NAME[1-N]', and use --shard auto/N")),
            ("lsf without an array", Some(4), "LSB_JOBINDEX=0 LSB_JOBINDEX_END=0 JOB_COMPLETION_INDEX=1", Ok("2/4")),
            ("aws batch on kubernetes", None, "JOB_COMPLETION_INDEX=7 AWS_BATCH_JOB_ARRAY_INDEX=1 AWS_BATCH_JOB_ARRAY_SIZE=2", Ok("2/2")),
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
