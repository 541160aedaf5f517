//! How the work grows with the number of things in an archive. It is proportional.
//!
//! By default, processor times of the smallest archives that take long enough are compared, and the limit has space for what other programs do to them.
//! The campaign counts instructions of archives with up to 100,000 of each, which valgrind does, so that nothing else has a part in it:
//!
//! ```sh
//! OCIFY_GROWTH=full cargo test --release --locked --test it -- growth --nocapture
//! ```
//!
//! `OCIFY_GROWTH_ONLY` is a part of the names of what to count. Times grow a little faster than instructions, because what does not fit
//! into the processor's caches takes longer to reach.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::common::countable::{COUNTABLES, Countable};
use crate::common::measured::measured;
use crate::common::runner::Sandbox;

/// What is measured of each kind.
struct Range {
    from: usize,
    to: usize,
    /// From one size to the next.
    factor: usize,
    /// How many sizes are enough.
    points: usize,
    /// How often work that seems to grow too fast, or too little to say, is measured. The least counts.
    rounds: usize,
    /// The largest exponent.
    limit: f64,
    /// The work of a run with these arguments.
    work: fn(&Sandbox, &[&str]) -> f64,
}

const SMALL: Range = Range {
    from: 250,
    to: 100_000,
    factor: 2,
    points: MIN_POINTS,
    rounds: 3,
    limit: 1.5,
    work: seconds,
};
const FULL: Range = Range {
    from: 1_000,
    to: 100_000,
    factor: 5,
    points: usize::MAX,
    rounds: 1,
    limit: 1.15,
    work: instructions,
};

/// A line through fewer points says little.
const MIN_POINTS: usize = 3;

/// The processor time of a run in one thread. The least time counts: other programs only make it longer.
fn seconds(sandbox: &Sandbox, line: &[&str]) -> f64 {
    let times = (0..2).map(|_| {
        let mut command = sandbox.command();
        let run = measured(command.args(line));
        assert!(matches!(run.code, 0 | 3), "{}", run.stderr);
        run.processor
    });
    times.min().unwrap().as_secs_f64()
}

/// How many instructions a run in one thread takes.
fn instructions(sandbox: &Sandbox, line: &[&str]) -> f64 {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=instructions"])
        .arg(env!("CARGO_BIN_EXE_ocify"))
        .args(line)
        .current_dir(sandbox.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .expect("valgrind is installed");
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(matches!(run.status.code(), Some(0 | 3)), "{text}");
    let count = text.split("Collected :").nth(1);
    let count = count.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    count.unwrap_or_else(|| panic!("valgrind did not count: {text}"))
}

/// The exponent of the line through these points: sizes, and the work without what every run takes. `None` if they are too few.
fn exponent(points: &[(usize, f64)]) -> Option<f64> {
    if points.len() < MIN_POINTS {
        return None;
    }
    let logs: Vec<(f64, f64)> = points
        .iter()
        .map(|(size, work)| ((*size as f64).ln(), work.ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    Some(covariance / variance)
}

/// A dry run, and a run that writes an archive.
const LINES: [(&str, &[&str]); 2] = [
    ("dry run", &["fix", "in.tar", "--dry-run", "--jobs", "1"]),
    (
        "run",
        &[
            "fix", "in.tar", "-o", "out.tar", "--force", "--jobs", "1", "--format", "json",
        ],
    ),
];

/// A command with a result for each of these.
struct More {
    of: &'static str,
    what: &'static str,
    line: &'static [&'static str],
    /// The options that choose some of so many.
    choice: fn(usize) -> Vec<String>,
}

const fn more(of: &'static str, what: &'static str, line: &'static [&'static str]) -> More {
    More {
        of,
        what,
        line,
        choice: |_| Vec::new(),
    }
}

/// Every other image, by its number.
fn half_of_images(count: usize) -> Vec<String> {
    let numbers = (1..=count).step_by(2);
    numbers
        .flat_map(|number| ["--image".to_owned(), number.to_string()])
        .collect()
}

/// Every other platform.
fn half_of_platforms(count: usize) -> Vec<String> {
    let platforms = (0..count).step_by(2);
    let platforms: Vec<String> = platforms.map(|number| format!("linux/a{number}")).collect();
    vec!["--platform".to_owned(), platforms.join(",")]
}

const ARCHIVE: &str = "in.tar";
const SPLIT: &[&str] = &["split", ARCHIVE, "--dry-run", "--jobs", "1"];
const BY_NAME: &[&str] = &["split", ARCHIVE, "--by", "name", "--dry-run", "--jobs", "1"];
const BY_PLATFORM: &[&str] = &[
    "split",
    ARCHIVE,
    "--by",
    "platform",
    "--dry-run",
    "--jobs",
    "1",
];
const MERGE: &[&str] = &["merge", ARCHIVE, ARCHIVE, "--dry-run", "--jobs", "1"];
const INSPECT: &[&str] = &["inspect", ARCHIVE, "--jobs", "1"];

const MORE: [More; 23] = [
    more("entries of index.json", "split", SPLIT),
    More {
        choice: half_of_images,
        ..more(
            "entries of index.json",
            "split of half of the images",
            SPLIT,
        )
    },
    more("names of one image", "split by name", BY_NAME),
    more("platforms", "split by platform", BY_PLATFORM),
    More {
        choice: half_of_platforms,
        ..more(
            "platforms",
            "split by platform of half of the platforms",
            BY_PLATFORM,
        )
    },
    More {
        choice: half_of_platforms,
        ..more("platforms", "split of half of the platforms", SPLIT)
    },
    more(
        "platforms",
        "split by platform of one platform",
        &[
            "split",
            ARCHIVE,
            "--by",
            "platform",
            "--platform",
            "linux/a0",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more(
        "platforms",
        "split by platform with the same digests",
        &[
            "split",
            ARCHIVE,
            "--by",
            "platform",
            "--unwrap",
            "--preserve-digests",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more(
        "images for two platforms",
        "split by platform of one platform",
        &[
            "split",
            ARCHIVE,
            "--by",
            "platform",
            "--platform",
            "linux/amd64",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more("absent platforms", "split by platform", BY_PLATFORM),
    more(
        "absent platforms",
        "split by platform without what is missing",
        &[
            "split",
            ARCHIVE,
            "--by",
            "platform",
            "--missing",
            "prune",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more(
        "names of an index",
        "split by name of one platform",
        &[
            "split",
            ARCHIVE,
            "--by",
            "name",
            "--platform",
            "linux/a0",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more(
        "names of an index",
        "split by platform of one platform",
        &[
            "split",
            ARCHIVE,
            "--by",
            "platform",
            "--platform",
            "linux/a0",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more("nested platforms", "split by platform", BY_PLATFORM),
    More {
        choice: half_of_platforms,
        ..more(
            "nested platforms",
            "split by platform of half of the platforms",
            BY_PLATFORM,
        )
    },
    more("names of flat platforms", "split", SPLIT),
    more(
        "names of flat platforms",
        "split of one platform",
        &[
            "split",
            ARCHIVE,
            "--platform",
            "linux/arm64",
            "--dry-run",
            "--jobs",
            "1",
        ],
    ),
    more("nested platforms", "merge", MERGE),
    more("names of one image", "merge", MERGE),
    more(
        "entries of index.json",
        "check",
        &["check", ARCHIVE, "--jobs", "1"],
    ),
    more("entries of index.json", "inspect", INSPECT),
    more("names of one image", "inspect", INSPECT),
    more(
        "entries of index.json",
        "split of one image",
        &["split", ARCHIVE, "--image", "1", "--dry-run", "--jobs", "1"],
    ),
];

/// How the work of a run grows; `None` if no archive takes long enough to say.
fn growth(
    countable: Countable,
    line: &[&str],
    choice: fn(usize) -> Vec<String>,
    range: &Range,
) -> (Option<f64>, Vec<(usize, f64)>) {
    let sandbox = Sandbox::new();
    let to = (range.to / countable.documents).min(countable.max);
    let from = (range.from / countable.documents).min(to / range.factor.pow(2));
    // The largest size is one of them.
    let mut sizes: Vec<usize> = std::iter::successors(Some(to), |size| Some(size / range.factor))
        .take_while(|size| *size >= from)
        .collect();
    sizes.reverse();
    let mut least = BTreeMap::new();
    let mut work = |size: usize| -> f64 {
        sandbox.put("in.tar", (countable.archive)(size));
        let choice = choice(size);
        let choice = choice.iter().map(String::as_str);
        let line: Vec<&str> = line.iter().copied().chain(choice).collect();
        let found = (range.work)(&sandbox, &line);
        let least = least.entry(size).or_insert(found);
        *least = least.min(found);
        *least
    };
    let mut result = (None, Vec::new());
    for _ in 0..range.rounds {
        let start = work(1);
        // What is little beside the start of a program says nothing.
        let points: Vec<(usize, f64)> = sizes
            .iter()
            .map(|size| (*size, work(*size) - start))
            .filter(|(_, work)| *work > start / 4.0)
            .take(range.points)
            .collect();
        result = (exponent(&points), points);
        if result.0.is_some_and(|exponent| exponent <= range.limit) {
            break;
        }
    }
    result
}

#[test]
fn work_is_proportional_to_counts() {
    let range = match std::env::var("OCIFY_GROWTH").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    };
    let only = std::env::var("OCIFY_GROWTH_ONLY").unwrap_or_default();
    let (mut wrong, mut unmeasured) = (Vec::new(), Vec::new());
    for countable in COUNTABLES {
        if !countable.name.contains(&only) {
            continue;
        }
        let lines = LINES.map(|(what, line)| more(countable.name, what, line));
        let more = MORE.iter().filter(|more| more.of == countable.name);
        for More {
            what, line, choice, ..
        } in lines.iter().chain(more)
        {
            let (exponent, points) = growth(countable, line, *choice, &range);
            let name = format!("{}, {what}", countable.name);
            println!("growth: {name}: {exponent:.2?}, {points:.3?}");
            match exponent {
                None => unmeasured.push(name),
                Some(exponent) if exponent > range.limit => {
                    wrong.push(format!("{name}: {exponent:.2}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "more than {}: {wrong:#?}", range.limit);
    assert!(unmeasured.is_empty(), "not measured: {unmeasured:#?}");
}

#[test]
fn exponents_are_those_of_the_line_through_all_points() {
    for power in [0.5, 1.0, 1.15, 2.0] {
        let points: Vec<(usize, f64)> = [1_000, 2_000, 4_000, 8_000]
            .map(|size| (size, (size as f64).powf(power) / 1e6))
            .to_vec();
        assert!(
            (exponent(&points).unwrap() - power).abs() < 0.001,
            "{power}"
        );
        assert_eq!(exponent(&points[..MIN_POINTS - 1]), None);
    }
}
