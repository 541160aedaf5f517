//! Times `ocify fix` beside the programs that do parts of its work, and fails where it needs too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench fix
//! ```
//!
//! `-- layer`, `-- layers` and `-- blobs` choose shapes. The archives are made of this machine's /usr. Runs are interleaved, and every
//! figure is a median over OCIFY_BENCH_ROUNDS (5) rounds; compare ratios within one run, not seconds between runs.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

#[path = "common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use common::archive::{Archive, DOCKER, Form, make_layer};
use common::files::Files;
use common::runner::{Settings, exists, median, peak_rss_kib, run};
use common::{MIB, Result};

/// What `ocify fix` may use at most, whatever the archive.
const MAX_RSS_KIB: u64 = 64 << 10;

fn main() -> Result<()> {
    let Some(settings) = Settings::read()? else {
        return Ok(());
    };
    let rounds = settings.rounds;
    let folder = settings.folder.path();
    let processors = std::thread::available_parallelism()?;
    println!("{processors} processors, medians of {rounds} interleaved rounds");
    let mut worst = 0;
    let mut files = Files::new(Path::new("/usr"));
    let shapes = [Shape::OneLayer, Shape::Layers, Shape::Blobs];
    for shape in shapes {
        if !settings.wants(shape.name(), &shapes.map(Shape::name)) {
            continue;
        }
        let path = folder.join("shape.tar");
        let count = make(shape, &mut files, folder, &path)?;
        let mib = fs::metadata(&path)?.len() / MIB;
        println!("\n## {}: {count} blobs, {mib} MiB\n", shape.title());
        worst = worst.max(measure(&path, folder, rounds, shape)?);
    }
    println!("\npeak memory of ocify: {} MiB", worst >> 10);
    if worst > MAX_RSS_KIB {
        return Err(io::Error::other(format!(
            "ocify used {worst} KiB; at most {MAX_RSS_KIB} are allowed"
        )));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    OneLayer,
    Layers,
    Blobs,
}

impl Shape {
    /// The word that chooses it on the command line.
    fn name(self) -> &'static str {
        match self {
            Shape::OneLayer => "layer",
            Shape::Layers => "layers",
            Shape::Blobs => "blobs",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Shape::OneLayer => "one layer of 2 GiB",
            Shape::Layers => "40 layers: zstd, gzip and plain",
            Shape::Blobs => "1,000 images, blobs of 4 KiB",
        }
    }
}

/// Writes an archive of that shape in which every type is Docker's, and returns how many blobs it has.
fn make(shape: Shape, files: &mut Files, folder: &Path, path: &Path) -> Result<u64> {
    let mut archive = Archive::create(path, &DOCKER)?;
    let (images, layers, len) = match shape {
        Shape::OneLayer => (1, 1, 2048 * MIB),
        Shape::Layers => (1, 40, 64 * MIB),
        Shape::Blobs => (1000, 18, 2048),
    };
    let scratch = folder.join("layer");
    for image in 0..images {
        let mut made = Vec::new();
        for layer in 0..layers {
            let form = match (shape, layer % 3) {
                (Shape::Layers, 0) => Form::Zstd(1),
                (Shape::Layers, 1) => Form::Gzip(1),
                _ => Form::Plain,
            };
            let prefix = format!("{image}/{layer}");
            let layer = make_layer(files, &prefix, len, form, &DOCKER, &scratch)?;
            archive.add_blob(&layer.descriptor, File::open(&scratch)?)?;
            made.push(layer);
        }
        archive.add_image(&format!("app{image}"), &made)?;
    }
    fs::remove_file(&scratch)?;
    archive.finish()
}

struct Contender {
    name: &'static str,
    line: Vec<String>,
    /// The exit code of success.
    code: i32,
    is_ocify: bool,
    times: Vec<Duration>,
}

/// Times all contenders and returns ocify's peak memory in KiB.
fn measure(input: &Path, folder: &Path, rounds: usize, shape: Shape) -> Result<u64> {
    let out = folder.join("out.tar");
    let fixed = folder.join("fixed.tar");
    let ocify = env!("CARGO_BIN_EXE_ocify");
    let text = |path: &Path| path.display().to_string();
    let (input, out_text, fixed_text) = (text(input), text(&out), text(&fixed));
    let mut contenders = Vec::new();
    let mut add = |name, line: &[&str], code| {
        let is_ocify = line[0] == ocify;
        if !is_ocify && !exists(line[0]) {
            println!("{} is not installed, so not compared", line[0]);
            return;
        }
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        contenders.push(Contender {
            name,
            line,
            code,
            is_ocify,
            times: Vec::new(),
        });
    };
    add(
        "`cp --reflink=never`",
        &["cp", "--reflink=never", &input, &out_text],
        0,
    );
    add(
        "`openssl dgst -sha256`",
        &["openssl", "dgst", "-sha256", &input],
        0,
    );
    add("`ocify fix`", &[ocify, "fix", &input, "-o", &out_text], 0);
    add(
        "`ocify fix --jobs 1`",
        &[ocify, "fix", &input, "-o", &out_text, "--jobs", "1"],
        0,
    );
    add(
        "`ocify fix --dry-run`",
        &[ocify, "fix", &input, "--dry-run"],
        3,
    );
    if shape == Shape::Blobs {
        println!("`skopeo copy` is not compared: it copies one image of an archive at a time");
    } else {
        // skopeo refuses the types of the input, so it gets the output; it must not compress what ocify copies.
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
        add(
            "`skopeo copy --preserve-digests` of the fixed archive",
            &line,
            0,
        );
        add(
            "`ocify fix` of the fixed archive",
            &[ocify, "fix", &fixed_text, "-o", &out_text],
            0,
        );
    }
    run(
        &[
            ocify.into(),
            "fix".into(),
            input.clone(),
            "-o".into(),
            fixed_text.clone(),
        ],
        0,
        folder,
    )?;
    for round in 0..rounds {
        let count = contenders.len();
        for place in 0..count {
            // Each starts after each of the others sometimes.
            let contender = &mut contenders[(place + round) % count];
            let start = Instant::now();
            run(&contender.line, contender.code, folder)?;
            contender.times.push(start.elapsed());
            if out.exists() {
                fs::remove_file(&out)?;
            }
        }
    }
    let mut worst = 0;
    let baseline = median(&contenders[0].times);
    println!("\n| Command | Median | Least to most | Ratio to `cp` | Peak memory |");
    println!("|---|---|---|---|---|");
    for contender in &contenders {
        let rss = peak_rss_kib(&contender.line, folder)?;
        if out.exists() {
            fs::remove_file(&out)?;
        }
        if contender.is_ocify {
            worst = worst.max(rss);
        }
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        let time = median(&contender.times);
        let memory = match rss {
            0 => "too short to see".to_owned(),
            rss => format!("{:.1} MiB", rss as f64 / 1024.0),
        };
        println!(
            "| {} | {time:.3} s | {:.3} to {:.3} s | {:.2} | {memory} |",
            contender.name,
            seconds(contender.times.iter().min()),
            seconds(contender.times.iter().max()),
            time / baseline,
        );
    }
    fs::remove_file(&fixed)?;
    Ok(worst)
}
