//! What the benchmarks share. Not every benchmark uses everything.
#![allow(dead_code)]

pub(crate) mod archive;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod race;
pub(crate) mod runner;

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
    /// The most memory that ocify held so far, in KiB.
    peak_kib: u64,
}

impl Bench {
    /// Prepares a folder in `OCIFY_BENCH_DIR`, by default `target/tmp`. `None` when this is no `cargo bench`: `cargo test --all-targets`
    /// starts benchmarks too, without that argument.
    pub(crate) fn start() -> Result<Option<Bench>> {
        if !std::env::args().any(|argument| argument == "--bench") {
            return Ok(None);
        }
        let parent = std::env::var_os("OCIFY_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = tempfile::Builder::new()
            .prefix("bench")
            .tempdir_in(parent)?;
        let rounds = std::env::var("OCIFY_BENCH_ROUNDS")
            .ok()
            .and_then(|rounds| rounds.parse().ok())
            .unwrap_or(5);
        let processors = std::thread::available_parallelism()?;
        println!("{processors} processors, medians of {rounds} interleaved rounds");
        let arguments = std::env::args().skip(1);
        Ok(Some(Bench {
            folder,
            rounds,
            wanted: arguments.filter(|word| word != "--bench").collect(),
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

    /// Fails if ocify ever held more memory than that.
    pub(crate) fn finish(self, max_mib: u64) -> Result<()> {
        println!("\npeak memory of ocify: {} MiB", self.peak_kib >> 10);
        if self.peak_kib > max_mib << 10 {
            return Err(io::Error::other(format!(
                "ocify used {} KiB; at most {max_mib} MiB are allowed",
                self.peak_kib
            )));
        }
        Ok(())
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
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
