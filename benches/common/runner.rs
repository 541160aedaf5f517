//! Running programs in turns, and looking at what they need.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Result;

/// How a benchmark was started.
pub(crate) struct Settings {
    /// Removed at the end.
    pub(crate) folder: tempfile::TempDir,
    pub(crate) rounds: usize,
    wanted: Vec<String>,
}

impl Settings {
    /// From the command line and the environment; `None` unless cargo asks for a benchmark: `cargo
    /// test --all-targets` starts benchmarks too, without that argument.
    pub(crate) fn read() -> Result<Option<Self>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if !arguments.iter().any(|argument| argument == "--bench") {
            return Ok(None);
        }
        let parent = std::env::var_os("OCIFY_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = tempfile::Builder::new()
            .prefix("bench")
            .tempdir_in(parent)?;
        let rounds = std::env::var("OCIFY_BENCH_ROUNDS").ok();
        let is_word = |argument: &String| argument != "--bench";
        Ok(Some(Settings {
            folder,
            rounds: rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(5),
            wanted: arguments.into_iter().filter(is_word).collect(),
        }))
    }

    /// Whether one of several parts was chosen: by its name, or by choosing none of them.
    pub(crate) fn wants(&self, part: &str, parts: &[&str]) -> bool {
        let is_wanted = |part: &str| self.wanted.iter().any(|wanted| wanted == part);
        is_wanted(part) || !parts.iter().any(|part| is_wanted(part))
    }
}

pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

pub(crate) fn command(line: &[String], folder: &Path) -> Command {
    let mut command = Command::new(&line[0]);
    // skopeo unpacks an archive into a temporary folder; it shall be on the same disk.
    command
        .args(&line[1..])
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

pub(crate) fn run(line: &[String], code: i32, folder: &Path) -> Result<()> {
    let status = command(line, folder).status()?;
    if status.code() == Some(code) {
        return Ok(());
    }
    Err(io::Error::other(format!("{}: {status}", line.join(" "))))
}

/// The peak of the memory that the program held, in KiB. A run of its own, because looking takes time.
pub(crate) fn peak_rss_kib(line: &[String], folder: &Path) -> Result<u64> {
    let mut child = command(line, folder).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The kernel keeps the peak, so only what comes after the last look is missed.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let found = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
        peak = peak.max(found.unwrap_or(0));
        if child.try_wait()?.is_some() {
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

pub(crate) fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}
