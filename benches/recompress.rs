//! Compares `ocify fix --compression` with skopeo and with the shell pipelines that people use to recompress layers. Fails if ocify uses too
//! much memory or its gzip output is larger than pigz's.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench recompress
//! ```
//!
//! `-- layer`, `-- layers` and `-- small` select one layer of 540 MB, 20 of 27 MB or 500 of 8 kB. `-- zstd-gzip`, `-- gzip-zstd`,
//! `-- zstd-tar` and `-- gzip-tar` select the conversion. `-- skopeo` compares complete archives with skopeo. The layers contain files from
//! this machine's /usr. The pipelines read layers from files, hash nothing and do not write an archive. ocify reads an archive, verifies and
//! hashes everything, and writes an archive. Commands are interleaved, and each ratio is the median of pairs.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use common::contender::Contender;
use common::layered::{LEN, Layered, with_each_size};
use common::race::Race;
use common::{Bench, OCIFY, Result, exists, remove};

/// The memory limit of `ocify fix --compression` in MiB with two threads, whatever the layers.
const MAX_MIB: u64 = 192;
/// The largest overhead of an archive in bytes, in total and for each layer.
const OVERHEAD: u64 = 64 << 10;
const LAYER_OVERHEAD: u64 = 2 << 10;

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    with_each_size(&mut bench, pipes)?;
    if bench.wants("skopeo") {
        println!("\n## Complete archives, one layer of 540 MB");
        skopeo(&mut bench)?;
    }
    bench.finish(MAX_MIB)
}

/// `ocify fix --compression TO`.
fn ocify(input: &Layered, bench: &Bench, to: &str) -> Contender {
    ocify_at(input, bench, to, &[])
}

/// `ocify fix --compression TO` with additional options.
fn ocify_at(input: &Layered, bench: &Bench, to: &str, more: &[&str]) -> Contender {
    let out = bench.path("out.tar");
    let (from, output) = (text(&input.archive), text(&out));
    let line = [OCIFY, "fix", &from, "-o", &output, "--compression", to];
    let name = [&["ocify fix --compression", to], more].concat().join(" ");
    Contender::new(&format!("`{name}`"), &[&line, more].concat()).makes(&out)
}

/// Compares with pipelines that decompress and compress each layer with the fastest programs.
fn pipes(bench: &mut Bench, count: u64, len: u64) -> Result<()> {
    if !bench.has_only_ocify && (!exists("pigz") || !exists("zstd")) {
        println!("\npigz or zstd is not installed, so not compared");
        return Ok(());
    }
    let threads = std::thread::available_parallelism()?;
    let to_gzip = format!("zstd -dcq | pigz -6 -p {threads}");
    let to_zstd = format!("pigz -dc | zstd -3 -q -T{threads}");
    let jobs = [
        ("zstd-gzip", "+zstd", &to_gzip[..], "gzip"),
        ("gzip-zstd", "+gzip", &to_zstd, "zstd"),
        ("zstd-tar", "+zstd", "zstd -dcq", "uncompressed"),
        ("gzip-tar", "+gzip", "pigz -dc", "uncompressed"),
    ];
    let has_choice = jobs.iter().any(|(name, ..)| bench.wants(name));
    for (name, suffix, pipe, to) in jobs {
        if has_choice && !bench.wants(name) {
            continue;
        }
        println!("\n### {}", name.replace('-', " to "));
        let input = Layered::make(bench, count, len, suffix)?;
        let out = bench.path("pipe");
        let script = format!(
            "set -e; mkdir '{0}'; for layer in '{1}'/*; do < \"$layer\" {pipe} > \"{0}/${{layer##*/}}\"; done",
            out.display(),
            input.layers.display()
        );
        if to == "gzip" && !bench.has_only_ocify {
            compare_sizes(bench, &input, &script, &out)?;
        }
        let name = format!("`{}`", pipe.replace('|', "\\|"));
        let mut race = Race::new(Contender::shell(&name, &script).makes(&out));
        race.add(ocify(&input, bench, to));
        race.run(bench)?;
        input.remove()?;
    }
    Ok(())
}

/// Fails if ocify's gzip output is larger than pigz's.
fn compare_sizes(bench: &Bench, input: &Layered, script: &str, out: &Path) -> Result<()> {
    let ours = bench.path("size.tar");
    let (from, to) = (text(&input.archive), text(&ours));
    run(Command::new("sh").args(["-c", script]))?;
    run(Command::new(OCIFY).args(["fix", &from, "-o", &to, "--compression", "gzip"]))?;
    let mut pigz = 0;
    let mut overhead = OVERHEAD;
    for entry in fs::read_dir(out)? {
        pigz += entry?.metadata()?.len();
        overhead += LAYER_OVERHEAD;
    }
    let len = fs::metadata(&ours)?.len();
    println!("\npigz: {pigz} bytes, ocify: {len} bytes including the archive");
    remove(out)?;
    remove(&ours)?;
    if len > pigz + overhead {
        return Err(io::Error::other(
            "ocify's gzip output is larger than pigz's",
        ));
    }
    Ok(())
}

/// Compares the conversions that skopeo supports.
fn skopeo(bench: &mut Bench) -> Result<()> {
    if !bench.has_only_ocify && !exists("skopeo") {
        println!("\nskopeo is not installed, so not compared");
        return Ok(());
    }
    let compress = ["--dest-compress", "--dest-compress-format"];
    for (title, suffix, options, transport, to) in [
        (
            "zstd to gzip",
            "+zstd",
            [&compress[..], &["gzip"]].concat(),
            "oci-archive",
            "gzip",
        ),
        (
            "gzip to zstd",
            "+gzip",
            [&compress[..], &["zstd"]].concat(),
            "oci-archive",
            "zstd",
        ),
        (
            "gzip to plain tar",
            "+gzip",
            Vec::new(),
            "docker-archive",
            "uncompressed",
        ),
    ] {
        println!("\n### {title}");
        let input = Layered::make(bench, 1, LEN, suffix)?;
        let out = bench.path("skopeo.tar");
        let from = format!("oci-archive:{}", input.archive.display());
        let target = format!("{transport}:{}:example.com/app:v1", out.display());
        let line = ["skopeo", "--insecure-policy", "copy", "--quiet"];
        let line = [&line[..], &options, &[&from, &target]].concat();
        let name = [&["skopeo copy"], &options[..]].concat().join(" ");
        let name = format!("`{name} oci-archive:… {transport}:…`");
        let mut race = Race::new(Contender::new(&name, &line).makes(&out));
        race.add(ocify(&input, bench, to));
        if to == "gzip" {
            // This level gives about the same size as skopeo.
            race.add(ocify_at(&input, bench, to, &["--compression-level", "1"]));
        }
        race.run(bench)?;
        input.remove()?;
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", output.status)))
}
