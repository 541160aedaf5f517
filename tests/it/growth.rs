//! How the work grows with the number of things in an archive. It is proportional.
//!
//! By default, processor times of small archives are compared, and the limit has space for what other programs do to them. The campaign
//! counts instructions of archives with up to 100,000 of each, which valgrind does, so that nothing else has a part in it:
//!
//! ```sh
//! OCIFY_GROWTH=full cargo test --release --locked --test it -- growth --nocapture
//! ```
//!
//! `OCIFY_GROWTH_ONLY` is a part of the names of what to count. Times grow a little faster than instructions, because what does not fit
//! into the processor's caches takes longer to reach.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

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
    /// The largest exponent.
    limit: f64,
    /// The work of a run with these arguments.
    work: fn(&Sandbox, &[&str]) -> f64,
}

const SMALL: Range = Range {
    from: 250,
    to: 1_000,
    factor: 2,
    limit: 1.5,
    work: seconds,
};
const FULL: Range = Range {
    from: 1_000,
    to: 100_000,
    factor: 5,
    limit: 1.15,
    work: instructions,
};

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

/// The exponent of the line through these points: sizes, and the work without what every run takes.
fn exponent(points: &[(usize, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .map(|(size, work)| ((*size as f64).ln(), work.ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    covariance / variance
}

/// The exponents of a dry run, and of a run that writes an archive.
fn exponents(countable: Countable, range: &Range) -> Vec<(&'static str, f64)> {
    let sandbox = Sandbox::new();
    let lines: [(&str, &[&str]); 2] = [
        ("dry run", &["fix", "in.tar", "--dry-run", "--jobs", "1"]),
        (
            "run",
            &[
                "fix", "in.tar", "-o", "out.tar", "--force", "--jobs", "1", "--format", "json",
            ],
        ),
    ];
    let to = (range.to / countable.documents).min(countable.max);
    let from = range.from / countable.documents;
    let mut sizes = vec![from.min(to / range.factor / range.factor)];
    while sizes[sizes.len() - 1] * range.factor <= to {
        sizes.push(sizes[sizes.len() - 1] * range.factor);
    }
    let mut found = Vec::new();
    for (what, line) in lines {
        sandbox.put("in.tar", (countable.archive)(1));
        let start = (range.work)(&sandbox, line);
        let mut points = Vec::new();
        for size in &sizes {
            sandbox.put("in.tar", (countable.archive)(*size));
            let work = (range.work)(&sandbox, line) - start;
            // Less than the start of a program says nothing.
            if work > start {
                points.push((*size, work));
            }
        }
        let exponent = if points.len() < 2 {
            0.0
        } else {
            exponent(&points)
        };
        println!(
            "growth: {}, {what}: {exponent:.2}, {points:.3?}",
            countable.name
        );
        found.push((what, exponent));
    }
    found
}

#[test]
fn work_is_proportional_to_counts() {
    let range = match std::env::var("OCIFY_GROWTH").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    };
    let only = std::env::var("OCIFY_GROWTH_ONLY").unwrap_or_default();
    let mut wrong = Vec::new();
    for countable in COUNTABLES {
        if !countable.name.contains(&only) {
            continue;
        }
        for (what, exponent) in exponents(countable, &range) {
            if exponent > range.limit {
                wrong.push(format!("{}, {what}: {exponent:.2}", countable.name));
            }
        }
    }
    assert!(wrong.is_empty(), "more than {}: {wrong:#?}", range.limit);
}

#[test]
fn exponents_are_those_of_the_line_through_all_points() {
    for power in [0.5, 1.0, 1.15, 2.0] {
        let points: Vec<(usize, f64)> = [1_000, 2_000, 4_000, 8_000]
            .map(|size| (size, (size as f64).powf(power) / 1e6))
            .to_vec();
        assert!((exponent(&points) - power).abs() < 0.001, "{power}");
    }
}
