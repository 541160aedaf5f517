//! What the benchmarks share. Not every benchmark uses everything.
//!
//! They read these environment variables:
//!
//! - `OCIFY_BENCH_DIR`: where files are made; `target/tmp` by default.
//! - `OCIFY_BENCH_ROUNDS`: how often each command is timed; 5 by default.
//! - `OCIFY_BENCH_BASELINE`: the path of an ocify to compare with, such as one of an earlier commit. It takes part in every race beside the one
//!   that is measured. A second table has the median of new/baseline of each round with its 95 % interval, which takes six rounds or more, and the
//!   benchmark fails at its end if any interval lies wholly above 1.03.
//! - `OCIFY_BENCH_ONLY_OCIFY=1`: leaves out all other programs.
#![allow(dead_code)]

pub(crate) mod contender;
pub(crate) mod images;
pub(crate) mod race;
pub(crate) mod statistics;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const MIB: u64 = 1 << 20;
/// The command that is measured.
pub(crate) const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");

pub(crate) type Result<T> = io::Result<T>;

/// One run of a benchmark.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) rounds: usize,
    wanted: Vec<String>,
    /// The ocify to compare with.
    baseline: Option<String>,
    /// Whether no other program is measured.
    pub(crate) has_only_ocify: bool,
    /// The commands that are slower than with the baseline.
    slower: Vec<String>,
    /// The most memory that ocify held so far, in KiB.
    peak_kib: u64,
}

impl Bench {
    /// Prepares a folder in `OCIFY_BENCH_DIR`, by default `target/tmp`. `None` when this is no `cargo bench`: `cargo test --all-targets`
    /// starts benchmarks too, without that argument.
    pub(crate) fn start() -> Result<Option<Bench>> {
        if !env::args().any(|argument| argument == "--bench") {
            return Ok(None);
        }
        let parent = env::var_os("OCIFY_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = tempfile::Builder::new()
            .prefix("bench")
            .tempdir_in(parent)?;
        let rounds = env::var("OCIFY_BENCH_ROUNDS")
            .ok()
            .and_then(|rounds| rounds.parse().ok())
            .unwrap_or(5);
        let processors = std::thread::available_parallelism()?;
        println!("{processors} processors, medians of {rounds} interleaved rounds");
        let baseline = baseline()?;
        if let Some(path) = &baseline {
            println!("baseline: {path}");
        }
        let arguments = env::args().skip(1);
        Ok(Some(Bench {
            folder,
            rounds,
            wanted: arguments.filter(|word| word != "--bench").collect(),
            baseline,
            has_only_ocify: env::var_os("OCIFY_BENCH_ONLY_OCIFY").is_some_and(|value| value == "1"),
            slower: Vec::new(),
            peak_kib: 0,
        }))
    }

    /// Whether a part was asked for by its name, or none was.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    /// The folder for everything that is made; it is removed at the end.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fails if ocify ever held more memory than that, or was slower than its baseline.
    pub(crate) fn finish(self, max_mib: u64) -> Result<()> {
        println!("\npeak memory of ocify: {} MiB", self.peak_kib >> 10);
        if self.peak_kib > max_mib << 10 {
            return Err(io::Error::other(format!(
                "ocify used {} KiB; at most {max_mib} MiB are allowed",
                self.peak_kib
            )));
        }
        if !self.slower.is_empty() {
            return Err(io::Error::other(format!(
                "slower than the baseline: {}",
                self.slower.join(", ")
            )));
        }
        Ok(())
    }
}

/// The absolute path of the program that `OCIFY_BENCH_BASELINE` names.
fn baseline() -> Result<Option<String>> {
    let Some(path) = env::var_os("OCIFY_BENCH_BASELINE") else {
        return Ok(None);
    };
    let invalid = |reason: String| {
        let name = Path::new(&path).display();
        io::Error::other(format!("OCIFY_BENCH_BASELINE={name}: {reason}"))
    };
    let program = fs::canonicalize(&path).map_err(|error| invalid(error.to_string()))?;
    // It becomes a word of shell commands.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match program.to_str() {
        Some(text) if text.chars().all(plain) => Ok(Some(text.to_owned())),
        _ => Err(invalid("not a path of plain characters".to_owned())),
    }
}

/// Removes a file or a directory if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Whether a program is installed.
pub(crate) fn exists(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
