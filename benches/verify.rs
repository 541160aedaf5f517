//! Compares `ocify fix --dry-run --verify full` with the pipelines that verify diff IDs: `zstd -dc | sha256sum` and `pigz -dc | sha256sum`.
//! Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench verify
//! ```
//!
//! `-- layer`, `-- layers` and `-- small` select one layer of 540 MB, 20 of 27 MB or 500 of 8 kB. `-- zstd` and `-- gzip` select the
//! compression. The layers contain files from this machine's /usr. The pipelines read layers from files, one after another, and print
//! digests. ocify reads an archive, verifies every blob against its digest and every layer against its diff ID. Its `digests` level and a full
//! copy are measured too. Commands are interleaved, and each ratio is the median of pairs.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::path::Path;

use common::contender::Contender;
use common::layered::{Layered, with_each_size};
use common::race::Race;
use common::{Bench, OCIFY, Result, exists};

/// The memory limit of `ocify fix --verify full` in MiB, whatever the layers.
const MAX_MIB: u64 = 96;

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    with_each_size(&mut bench, pipes)?;
    bench.finish(MAX_MIB)
}

/// Compares with pipelines that decompress and hash each layer with the fastest programs.
fn pipes(bench: &mut Bench, count: u64, len: u64) -> Result<()> {
    if !bench.has_only_ocify && (!exists("pigz") || !exists("zstd")) {
        println!("\npigz or zstd is not installed, so not compared");
        return Ok(());
    }
    let has_choice = bench.wants("zstd") != bench.wants("gzip");
    for (name, decompress) in [("zstd", "zstd -dcq"), ("gzip", "pigz -dc")] {
        if has_choice && !bench.wants(name) {
            continue;
        }
        println!("\n### {name}");
        let input = Layered::make(bench, count, len, &format!("+{name}"))?;
        let pipe = format!("{decompress} | sha256sum");
        let script = format!(
            "set -e; for layer in '{}'/*; do < \"$layer\" {pipe}; done",
            input.layers.display()
        );
        let shown = format!("`{}`", pipe.replace('|', "\\|"));
        let mut race = Race::new(Contender::shell(&shown, &script));
        let archive = text(&input.archive);
        for level in ["full", "digests"] {
            let line = [OCIFY, "fix", &archive, "--dry-run", "--verify", level];
            let title = format!("`ocify fix --dry-run --verify {level}`");
            // The archive has no manifest.json, which a fix adds.
            race.add(Contender::new(&title, &line).exits(3));
        }
        let out = bench.path("out.tar");
        let output = text(&out);
        let line = [OCIFY, "fix", &archive, "-o", &output, "--verify", "full"];
        race.add(Contender::new("`ocify fix --verify full`", &line).makes(&out));
        race.run(bench)?;
        input.remove()?;
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
