//! Code that the benchmarks share. Not every benchmark uses all of it.
//!
//! The benchmarks read these environment variables:
//!
//! - `OCIFY_BENCH_DIR`: the directory for all files; `target/tmp` by default.
//! - `OCIFY_BENCH_ROUNDS`: how often each command is timed; 5 by default.
//! - `OCIFY_BENCH_BASELINE`: the path of another ocify, such as a build of an earlier commit. Every command with ocify is also run with this
//!   one. A second table shows the median of the ratio new/baseline over all rounds, and its 95 % interval, which requires at least six
//!   rounds. The benchmark fails if any interval is entirely above 1.03.
//! - `OCIFY_BENCH_ONLY_OCIFY=1`: skip all other programs.
#![allow(dead_code)]

pub(crate) mod contender;
pub(crate) mod images;
pub(crate) mod layered;
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

/// A run of a benchmark.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) rounds: usize,
    wanted: Vec<String>,
    /// Copies of the measured ocify and of the one to compare with.
    builds: Option<Builds>,
    /// Whether all other programs are skipped.
    pub(crate) has_only_ocify: bool,
    /// The names of the commands that are slower than with the baseline.
    slower: Vec<String>,
    /// The peak memory of ocify so far, in KiB.
    peak_kib: u64,
}

impl Bench {
    /// Creates a temporary directory in `OCIFY_BENCH_DIR`, by default `target/tmp`. `None` unless `cargo bench` started this program:
    /// `cargo test --all-targets` runs benchmarks too, but without `--bench`.
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
        let builds = Builds::copied_to(folder.path())?;
        let arguments = env::args().skip(1);
        Ok(Some(Bench {
            folder,
            rounds,
            wanted: arguments.filter(|word| word != "--bench").collect(),
            builds,
            has_only_ocify: env::var_os("OCIFY_BENCH_ONLY_OCIFY").is_some_and(|value| value == "1"),
            slower: Vec::new(),
            peak_kib: 0,
        }))
    }

    /// Whether to run the part with this name: it was selected, or nothing was.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    /// The directory for all files, removed at the end.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fails if ocify's peak memory exceeded `max_mib`, or if it was slower than the baseline.
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

/// Two builds of ocify. Both are copied, because a copy starts up to 10 % faster than the file that the linker wrote: its pages are in the
/// page cache in larger units.
struct Builds {
    /// The path of the measured one.
    this: String,
    /// The path of the one to compare with.
    baseline: String,
}

impl Builds {
    /// Copies the measured ocify and the one that `OCIFY_BENCH_BASELINE` names to a directory. `None` if it names none.
    fn copied_to(folder: &Path) -> Result<Option<Builds>> {
        let Some(path) = env::var_os("OCIFY_BENCH_BASELINE") else {
            return Ok(None);
        };
        let name = Path::new(&path).display();
        println!("baseline: {name}");
        let copy = |from: &Path, to: &str| {
            let to = folder.join(to);
            fs::copy(from, &to)?;
            // The path is inserted into shell commands without quoting.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
            match to.to_str() {
                Some(text) if text.chars().all(plain) => Ok(text.to_owned()),
                _ => Err(io::Error::other(format!(
                    "{} contains characters that would need quoting",
                    to.display()
                ))),
            }
        };
        let baseline = copy(Path::new(&path), "ocify-baseline").map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("OCIFY_BENCH_BASELINE={name}: {error}"),
            )
        })?;
        let this = copy(Path::new(OCIFY), "ocify-measured")?;
        Ok(Some(Builds { this, baseline }))
    }
}

/// Removes a file or a directory if it exists.
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
