//! Compares `ocify fix` with programs that do parts of its work. Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench fix
//! ```
//!
//! `-- layer`, `-- layers`, `-- blobs`, `-- entries` and `-- sparse` select archives, which contain files from this machine's /usr.
//! Commands are interleaved, and each figure is the median of OCIFY_BENCH_ROUNDS (5) rounds. Compare ratios within a run, not seconds
//! between runs.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs;
use std::path::Path;

use common::contender::Contender;
use common::images::{Files, Shape, make, make_sparse};
use common::race::Race;
use common::{Bench, MIB, OCIFY, Result};

/// The memory limit of `ocify fix` in MiB, whatever the archive.
const MAX_MIB: u64 = 96;

const ONE_LAYER: Shape = Shape {
    images: 1,
    layers: 1,
    len: 2048 * MIB,
    suffixes: &[""],
    loose: 0,
};
const LAYERS: Shape = Shape {
    images: 1,
    layers: 40,
    len: 64 * MIB,
    suffixes: &[".zstd", ".gzip", ""],
    loose: 0,
};
const BLOBS: Shape = Shape {
    images: 1000,
    layers: 18,
    len: 2048,
    suffixes: &[""],
    loose: 0,
};
/// More images would make manifest.json larger than readers accept.
const ENTRIES: Shape = Shape {
    images: 20,
    layers: 1_500,
    len: 1024,
    suffixes: &[""],
    loose: 70_000,
};

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    let mut files = Files::new(Path::new("/usr"));
    let input = bench.path("in.tar");
    for (name, title, shape) in [
        ("layer", "one layer of 2 GiB", &ONE_LAYER),
        ("layers", "40 layers: zstd, gzip and plain", &LAYERS),
        ("blobs", "1,000 images, blobs of 4 KiB", &BLOBS),
    ] {
        if bench.wants(name) {
            let count = make(shape, &mut files, bench.folder(), &input)?;
            let mib = fs::metadata(&input)?.len() / MIB;
            println!("\n## {title}: {count} blobs, {mib} MiB");
            copies(&mut bench, &input, shape.images == 1)?;
        }
    }
    if bench.wants("entries") {
        let count = make(&ENTRIES, &mut files, bench.folder(), &input)?;
        println!("\n## 20 images of 1,500 layers, and loose blobs: {count} blobs");
        listing(&mut bench, &input)?;
    }
    if bench.wants("sparse") {
        make_sparse(10, &input)?;
        println!("\n## one layer of 10 GiB of holes");
        listing(&mut bench, &input)?;
    }
    bench.finish(MAX_MIB)
}

/// Compares commands that read the archive, and mostly copy it, on all processors and on one.
fn copies(bench: &mut Bench, input: &Path, is_one_image: bool) -> Result<()> {
    let (out, fixed) = (bench.path("out.tar"), bench.path("fixed.tar"));
    let text = |path: &Path| path.display().to_string();
    let (input, out_text, fixed_text) = (text(input), text(&out), text(&fixed));
    let cp = || {
        let line = ["cp", "--reflink=never", &input, &out_text];
        Contender::new("`cp --reflink=never`", &line).makes(&out)
    };
    let fix = |name: &str, more: &[&str]| {
        let line = [&[OCIFY, "fix", &input, "-o", &out_text], more].concat();
        Contender::new(name, &line).makes(&out)
    };
    let hash = || {
        let line = ["openssl", "dgst", "-sha256", &input];
        Contender::new("`openssl dgst -sha256`", &line)
    };
    let mut race = Race::new(cp());
    race.add(hash());
    race.add(fix("`ocify fix`", &[]));
    race.add(fix(
        "`ocify fix --verify documents`",
        &["--verify", "documents"],
    ));
    let dry = [OCIFY, "fix", &input, "--dry-run"];
    race.add(Contender::new("`ocify fix --dry-run`", &dry).exits(3));
    if is_one_image {
        // skopeo rejects the media types of the input, so it copies the fixed archive. Without --preserve-digests it would compress layers.
        let status = std::process::Command::new(OCIFY)
            .args(["fix", &input, "-o", &fixed_text])
            .stdout(std::process::Stdio::null())
            .status()?;
        assert!(status.success(), "{status}");
        let (from, to) = (
            format!("oci-archive:{fixed_text}"),
            format!("oci-archive:{out_text}:v1"),
        );
        let line = [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--preserve-digests",
            &from,
            &to,
        ];
        let name = "`skopeo copy --preserve-digests` of the fixed archive";
        race.add(Contender::new(name, &line).makes(&out));
    } else {
        println!("`skopeo copy` is not compared: it copies one image of an archive at a time");
    }
    race.run(bench)?;
    common::remove(&fixed)?;

    println!("\nOn one processor (`taskset -c 0`):");
    let mut race = Race::new(cp().pinned());
    race.add(hash().pinned());
    race.add(fix("`ocify fix`", &[]).pinned());
    race.add(fix("`ocify fix --verify documents`", &["--verify", "documents"]).pinned());
    race.run(bench)
}

/// Compares a dry run with listing the entries.
fn listing(bench: &mut Bench, input: &Path) -> Result<()> {
    let input = input.display().to_string();
    let mut race = Race::new(Contender::new("`tar tf`", &["tar", "tf", &input]));
    let dry = [OCIFY, "fix", &input, "--dry-run"];
    race.add(Contender::new("`ocify fix --dry-run`", &dry).exits(3));
    race.run(bench)
}
