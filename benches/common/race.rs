//! Commands that take turns, and a table of their times.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, OCIFY, Result, exists, remove};

/// What happens before each run, and is not measured.
type Prepare = Box<dyn Fn() -> Result<()>>;

/// One command of a race.
pub(crate) struct Contender {
    name: String,
    line: Vec<String>,
    code: i32,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
    /// How many outputs were put aside, if that is what happens to them.
    kept: Option<Cell<usize>>,
    prepare: Option<Prepare>,
    /// How often this would have to run to do what the others do.
    share: f64,
    times: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(name: &str, line: &[&str]) -> Self {
        Contender {
            name: name.to_owned(),
            line: line.iter().map(|word| (*word).to_owned()).collect(),
            code: 0,
            input: None,
            output: None,
            kept: None,
            prepare: None,
            share: 1.0,
            times: Vec::new(),
        }
    }

    /// A line for the shell, such as a pipe.
    pub(crate) fn shell(name: &str, line: &str) -> Self {
        Self::new(name, &["sh", "-c", line])
    }

    /// The exit code of success, where it is not 0.
    pub(crate) fn exits(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// A file for standard input.
    pub(crate) fn reads(mut self, path: &Path) -> Self {
        self.input = Some(path.to_owned());
        self
    }

    /// A file or directory that each run makes anew; it is removed after each.
    pub(crate) fn makes(mut self, path: &Path) -> Self {
        self.output = Some(path.to_owned());
        self
    }

    /// The same, but it is put aside until the benchmark ends. Ext4 does not use an inode again soon after its file was removed, and
    /// looking for others takes longer than writing small files.
    pub(crate) fn makes_and_keeps(mut self, path: &Path) -> Self {
        self.kept = Some(Cell::new(0));
        self.makes(path)
    }

    /// What has to be done before each run.
    pub(crate) fn after(mut self, prepare: impl Fn() -> Result<()> + 'static) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// It does one of that many equal parts of the work; its times are multiplied.
    pub(crate) fn does_one_of(mut self, parts: u32) -> Self {
        self.share = parts.into();
        self
    }

    /// Runs on the first processor only.
    pub(crate) fn pinned(mut self) -> Self {
        let pin = ["taskset", "-c", "0"].map(str::to_owned);
        self.line.splice(0..0, pin);
        self
    }

    fn is_ocify(&self) -> bool {
        self.line.iter().any(|word| word.contains(OCIFY))
    }

    fn command(&self, folder: &Path) -> Result<Command> {
        let mut command = Command::new(&self.line[0]);
        let input = match &self.input {
            Some(path) => Stdio::from(File::open(path)?),
            None => Stdio::null(),
        };
        // What a program unpacks for a while shall be on the same disk.
        command
            .args(&self.line[1..])
            .env("TMPDIR", folder)
            .stdin(input)
            .stdout(Stdio::null());
        Ok(command)
    }

    fn check(&self, found: Option<i32>) -> Result<()> {
        if found == Some(self.code) {
            return Ok(());
        }
        let line = self.line.join(" ");
        Err(io::Error::other(format!("{line}: exit code {found:?}")))
    }

    fn prepare(&self) -> Result<()> {
        self.prepare.as_ref().map_or(Ok(()), |prepare| prepare())
    }

    fn clean(&self) -> Result<()> {
        let Some(path) = &self.output else {
            return Ok(());
        };
        let Some(kept) = &self.kept else {
            return remove(path);
        };
        // No two contenders have the same name.
        let name: String = self
            .name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        kept.set(kept.get() + 1);
        fs::rename(
            path,
            path.with_file_name(format!("kept-{name}-{}", kept.get())),
        )
    }

    /// Runs it once and measures.
    fn time(&self, folder: &Path) -> Result<f64> {
        self.prepare()?;
        let mut command = self.command(folder)?;
        let start = Instant::now();
        let status = command.status()?;
        let time = start.elapsed();
        self.check(status.code())?;
        self.clean()?;
        Ok(time.as_secs_f64() * self.share)
    }

    /// The peak of the memory that the program held, in KiB. A run of its own, because looking takes time.
    fn peak_kib(&self, folder: &Path) -> Result<u64> {
        self.prepare()?;
        let mut child = self.command(folder)?.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        loop {
            // The kernel keeps the peak, so only what comes after the last look is missed.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let found = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
            peak = peak.max(found.unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                self.check(status.code())?;
                self.clean()?;
                return Ok(peak);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Commands that are compared with the first of them.
pub(crate) struct Race {
    contenders: Vec<Contender>,
}

impl Race {
    /// A race against `baseline`.
    pub(crate) fn new(baseline: Contender) -> Self {
        Race {
            contenders: vec![baseline],
        }
    }

    /// Takes part, if its program is installed.
    pub(crate) fn add(&mut self, contender: Contender) {
        let program = &contender.line[0];
        if contender.is_ocify() || exists(program) {
            self.contenders.push(contender);
        } else {
            println!("{program} is not installed, so not compared");
        }
    }

    /// Runs all in turns, one more round than is counted so that files are in memory, and prints the table.
    pub(crate) fn run(mut self, bench: &mut Bench) -> Result<()> {
        let folder = bench.folder().to_owned();
        let count = self.contenders.len();
        let mut peaks = Vec::new();
        for contender in &self.contenders {
            let peak = contender.peak_kib(&folder)?;
            if contender.is_ocify() {
                bench.peak_kib = bench.peak_kib.max(peak);
            }
            peaks.push(peak);
        }
        for round in 0..bench.rounds {
            for place in 0..count {
                // Each starts after each of the others sometimes.
                let contender = &mut self.contenders[(place + round) % count];
                let time = contender.time(&folder)?;
                contender.times.push(time);
            }
        }
        let baseline = &self.contenders[0];
        println!(
            "\n| Command | Median | Least to most | Ratio to {} | Peak memory |",
            baseline.name
        );
        println!("|---|---|---|---|---|");
        for (contender, peak) in self.contenders.iter().zip(peaks) {
            let times = &contender.times;
            // Of runs beside each other, so that a slow minute of the machine counts for both.
            let pairs = times.iter().zip(&baseline.times);
            let ratios: Vec<f64> = pairs.map(|(time, base)| time / base).collect();
            let memory = match peak {
                0 => "too short to see".to_owned(),
                peak => format!("{:.1} MiB", peak as f64 / 1024.0),
            };
            println!(
                "| {} | {:.3} s | {:.3} to {:.3} s | {:.2} | {memory} |",
                contender.name,
                median(times),
                times.iter().copied().fold(f64::INFINITY, f64::min),
                times.iter().copied().fold(0.0, f64::max),
                median(&ratios),
            );
        }
        Ok(())
    }
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
