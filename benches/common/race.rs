//! Runs commands in turns and prints tables of their times.

use std::path::Path;

use super::contender::Contender;
use super::statistics::{Comparison, median, median_interval, ratios};
use super::{Bench, Result, exists};

/// A comparison of commands. The first one is the reference.
pub(crate) struct Race {
    contenders: Vec<Contender>,
}

/// A command and its baseline that together take less than this many seconds are repeated in the same turn, and their times averaged.
const SHORT: f64 = 0.2;
/// The largest number of runs in one turn.
const MAX_RUNS: usize = 8;

/// The commands of one turn.
struct Lane {
    contender: Contender,
    /// Whether the command runs ocify.
    is_ocify: bool,
    /// The same command with the baseline, if it uses ocify and there is a baseline.
    baseline: Option<Contender>,
}

impl Lane {
    /// The command, and its baseline if there is one.
    fn both(&mut self) -> impl Iterator<Item = &mut Contender> {
        [&mut self.contender].into_iter().chain(&mut self.baseline)
    }

    /// Runs both commands, repeatedly if they are short. They alternate in going first, because leftovers of earlier runs, such as dirty
    /// pages, slow down the first one.
    fn run(&mut self, round: usize, folder: &Path) -> Result<()> {
        let Some(baseline) = &mut self.baseline else {
            self.contender.times.push(self.contender.time(folder)?);
            return Ok(());
        };
        let (mut time, mut other) = (0.0, 0.0);
        for runs in 1_usize.. {
            if (round + runs).is_multiple_of(2) {
                time += self.contender.time(folder)?;
                other += baseline.time(folder)?;
            } else {
                other += baseline.time(folder)?;
                time += self.contender.time(folder)?;
            }
            let is_long = time + other >= SHORT && (runs == 1 || runs.is_multiple_of(2));
            if is_long || runs == MAX_RUNS {
                self.contender.times.push(time / runs as f64);
                baseline.times.push(other / runs as f64);
                break;
            }
        }
        Ok(())
    }
}

impl Race {
    /// Creates a comparison with `reference`.
    pub(crate) fn new(reference: Contender) -> Self {
        Race {
            contenders: vec![reference],
        }
    }

    /// Adds a command if its program is installed.
    pub(crate) fn add(&mut self, contender: Contender) {
        let program = contender.program();
        if contender.is_ocify() || exists(program) {
            self.contenders.push(contender);
        } else {
            println!("{program} is not installed, so not compared");
        }
    }

    /// Runs all commands in turns and prints the tables. An extra first round is not timed, so that files are in the page cache.
    pub(crate) fn run(self, bench: &mut Bench) -> Result<()> {
        let folder = bench.folder().to_owned();
        let mut lanes = self.lanes(bench);
        for lane in &mut lanes {
            lane.both()
                .try_for_each(|each| each.watch_memory(&folder))?;
            if lane.is_ocify {
                bench.peak_kib = bench.peak_kib.max(lane.contender.peak_kib);
            }
        }
        let count = lanes.len();
        for round in 0..bench.rounds {
            for turn in 0..count {
                // Start each round with a different command.
                lanes[(turn + round) % count].run(round, &folder)?;
            }
        }
        print_times(&lanes);
        if bench.builds.is_some() {
            bench.slower.extend(print_comparisons(&lanes));
        }
        Ok(())
    }

    /// The commands to run, with their baselines.
    fn lanes(self, bench: &Bench) -> Vec<Lane> {
        let mut lanes = Vec::new();
        for contender in self.contenders {
            let is_ocify = contender.is_ocify();
            if !is_ocify && bench.has_only_ocify {
                continue;
            }
            let builds = bench.builds.as_ref().filter(|_| is_ocify);
            let (contender, baseline) = match builds {
                Some(builds) => (
                    contender.with_ocify(&builds.this),
                    Some(contender.with_baseline(&builds.baseline)),
                ),
                None => (contender, None),
            };
            lanes.push(Lane {
                contender,
                is_ocify,
                baseline,
            });
        }
        lanes
    }
}

/// With at least six rounds, each ratio has its 95 % interval.
fn print_times(lanes: &[Lane]) {
    let Some(reference) = lanes.first().map(|lane| &lane.contender) else {
        return;
    };
    println!(
        "\n| Command | Median | Range | Ratio to {} | Peak memory |",
        reference.name
    );
    println!("|---|---|---|---|---|");
    for contender in lanes
        .iter()
        .flat_map(|lane| [&lane.contender].into_iter().chain(&lane.baseline))
    {
        let times = &contender.times;
        // Ratios within a round, so that a slow phase of the machine affects both times.
        let ratios = ratios(times, &reference.times);
        let memory = match contender.peak_kib {
            0 => "too short to measure".to_owned(),
            peak => format!("{:.1} MiB", peak as f64 / 1024.0),
        };
        println!(
            "| {} | {:.3} s | {:.3} to {:.3} s | {} | {memory} |",
            contender.name,
            median(times),
            times.iter().copied().fold(f64::INFINITY, f64::min),
            times.iter().copied().fold(0.0, f64::max),
            match median_interval(&ratios) {
                Some((low, high)) => format!("{:.2} ({low:.2} to {high:.2})", median(&ratios)),
                None => format!("{:.2}", median(&ratios)),
            },
        );
    }
}

/// Prints the comparison of each command with its baseline, and returns the names of the slower ones.
fn print_comparisons(lanes: &[Lane]) -> Vec<String> {
    println!("\n| Command | Median | Baseline | Ratio | 95 % interval | |");
    println!("|---|---|---|---|---|---|");
    let mut slower = Vec::new();
    for lane in lanes {
        let Some(baseline) = &lane.baseline else {
            continue;
        };
        let Contender { name, times, .. } = &lane.contender;
        let comparison = Comparison::of(times, &baseline.times);
        println!(
            "| {name} | {:.4} s | {:.4} s | {comparison} |",
            median(times),
            median(&baseline.times),
        );
        if comparison.is_slower() {
            slower.push(name.clone());
        }
    }
    slower
}
