//! A command of a comparison: its preparation, invocation and cleanup, and its times.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{OCIFY, Result, remove};

/// Runs before each run of the command, and is not measured.
type Prepare = Rc<dyn Fn() -> Result<()>>;

/// A command of a comparison.
#[derive(Clone)]
pub(crate) struct Contender {
    pub(crate) name: String,
    line: Vec<String>,
    code: i32,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
    /// How many outputs were kept; `None` if they are removed.
    kept: Option<Cell<usize>>,
    prepare: Option<Prepare>,
    /// The factor for the times of a command that does only a part of the work.
    factor: f64,
    /// The time of each round in seconds.
    pub(crate) times: Vec<f64>,
    /// The peak memory in KiB.
    pub(crate) peak_kib: u64,
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
            factor: 1.0,
            times: Vec::new(),
            peak_kib: 0,
        }
    }

    /// A shell command line, such as a pipeline.
    pub(crate) fn shell(name: &str, line: &str) -> Self {
        Self::new(name, &["sh", "-c", line])
    }

    /// Sets the expected exit code, 0 by default.
    pub(crate) fn exits(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// Sets the file for standard input.
    pub(crate) fn reads(mut self, path: &Path) -> Self {
        self.input = Some(path.to_owned());
        self
    }

    /// Sets the file or directory that each run creates. It is removed after each run.
    pub(crate) fn makes(mut self, path: &Path) -> Self {
        self.output = Some(path.to_owned());
        self
    }

    /// Like [`makes`](Self::makes), but keeps the output under another name until the benchmark ends. ext4 does not reuse an inode for a
    /// while after its file was removed, and searching for free ones takes longer than writing small files.
    pub(crate) fn makes_and_keeps(mut self, path: &Path) -> Self {
        self.kept = Some(Cell::new(0));
        self.makes(path)
    }

    /// Sets a preparation to run before each run.
    pub(crate) fn after(mut self, prepare: impl Fn() -> Result<()> + 'static) -> Self {
        self.prepare = Some(Rc::new(prepare));
        self
    }

    /// Declares that the command does one of `parts` equal parts of the work. Its times are multiplied accordingly.
    pub(crate) fn does_one_of(mut self, parts: u32) -> Self {
        self.factor = parts.into();
        self
    }

    /// Runs on the first processor only.
    pub(crate) fn pinned(mut self) -> Self {
        let pin = ["taskset", "-c", "0"].map(str::to_owned);
        self.line.splice(0..0, pin);
        self
    }

    pub(crate) fn program(&self) -> &str {
        &self.line[0]
    }

    /// Whether the command runs the measured ocify.
    pub(crate) fn is_ocify(&self) -> bool {
        self.line.iter().any(|word| word.contains(OCIFY))
    }

    /// The same command with the build to compare with.
    pub(crate) fn with_baseline(&self, path: &str) -> Self {
        Contender {
            name: format!("{}, baseline", self.name),
            ..self.with_ocify(path)
        }
    }

    /// The same command with another file of ocify. Its preparation still uses the measured one.
    pub(crate) fn with_ocify(&self, path: &str) -> Self {
        Contender {
            line: self
                .line
                .iter()
                .map(|word| word.replace(OCIFY, path))
                .collect(),
            kept: self.kept.as_ref().map(|_| Cell::new(0)),
            times: Vec::new(),
            ..self.clone()
        }
    }

    fn command(&self, folder: &Path) -> Result<Command> {
        let mut command = Command::new(&self.line[0]);
        let input = match &self.input {
            Some(path) => Stdio::from(File::open(path)?),
            None => Stdio::null(),
        };
        // Temporary files should be on the same disk.
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
        // Names are unique within a comparison.
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

    /// Runs the command once and returns its time in seconds.
    pub(crate) fn time(&self, folder: &Path) -> Result<f64> {
        self.prepare()?;
        let mut command = self.command(folder)?;
        let start = Instant::now();
        let status = command.status()?;
        let time = start.elapsed();
        self.check(status.code())?;
        self.clean()?;
        Ok(time.as_secs_f64() * self.factor)
    }

    /// Runs the command once and records its peak memory. Polling takes time, so this run is not timed.
    pub(crate) fn watch_memory(&mut self, folder: &Path) -> Result<()> {
        self.prepare()?;
        let mut child = self.command(folder)?.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        loop {
            // The kernel records the peak, so only growth after the last poll is missed.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let found = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
            peak = peak.max(found.unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                self.check(status.code())?;
                self.peak_kib = peak;
                return self.clean();
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}
