//! Compares `ocify fix -` in a pipe with `openssl`, which only hashes its input. Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/5/GB cargo bench --bench stream
//! ```
//!
//! `-- layer`, `-- layers` and `-- blobs` select archives, which contain files from this machine's /usr.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs;
use std::path::Path;

use common::contender::Contender;
use common::images::{Files, Shape, make};
use common::race::Race;
use common::{Bench, MIB, OCIFY, Result};

/// The memory limit of `ocify fix -` in MiB, whatever the length of the stream.
const MAX_MIB: u64 = 48;

const ONE_LAYER: Shape = Shape {
    images: 1,
    layers: 1,
    len: 4096 * MIB,
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
    images: 500,
    layers: 38,
    len: 2048,
    suffixes: &[""],
    loose: 0,
};

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    let mut files = Files::new(Path::new("/usr"));
    let input = bench.path("in.tar");
    for (name, title, shape) in [
        ("layer", "one layer of 4 GiB", &ONE_LAYER),
        ("layers", "40 layers: zstd, gzip and plain", &LAYERS),
        ("blobs", "500 images, blobs of 4 KiB", &BLOBS),
    ] {
        if bench.wants(name) {
            let count = make(shape, &mut files, bench.folder(), &input)?;
            let mib = fs::metadata(&input)?.len() / MIB;
            println!("\n## {title}: {count} blobs, {mib} MiB");
            passes(&mut bench, &input)?;
        }
    }
    bench.finish(MAX_MIB)
}

fn passes(bench: &mut Bench, input: &Path) -> Result<()> {
    let input = input.display();
    let pipe = |name: &str, line: String| Contender::shell(name, &line);
    let fix = format!("{OCIFY} fix - 2>/dev/null");
    let hash = format!("cat {input} | openssl dgst -sha256");
    let mut race = Race::new(pipe("`cat FILE \\| openssl dgst -sha256`", hash));
    let line = format!("cat {input} | {fix}");
    race.add(pipe("`cat FILE \\| ocify fix -`, to `/dev/null`", line));
    let line = format!("cat {input} | {fix} | cat");
    race.add(pipe("`cat FILE \\| ocify fix - \\| cat`", line));
    // Only the memory of the started process is measured, not that of its children.
    let line = format!("exec {fix} <{input}");
    race.add(pipe("`ocify fix - <FILE`, to `/dev/null`", line));
    race.run(bench)
}
