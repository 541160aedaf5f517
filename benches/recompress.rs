//! Times `ocify fix --compression` beside the command lines that people use to compress layers anew, and beside skopeo, and fails where
//! it needs too much memory or its gzip is larger than pigz's.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench recompress
//! ```
//!
//! `-- layer` and `-- layers` choose one layer of 540 MB or twenty of 27 MB, `-- pipes` and `-- skopeo` the programs. The layers are
//! made of this machine's /usr; the command lines get the layers as files, hash nothing and write no archive, and ocify gets the
//! archive and writes one. Each run of ocify follows one of the other program, and every ratio is that of such a pair; medians are
//! over OCIFY_BENCH_ROUNDS (5) rounds.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

#[path = "common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::Result;
use common::archive::{Archive, Form, OCI, make_layer};
use common::files::Files;
use common::runner::{Settings, exists, median, peak_rss_kib, run};

/// What `ocify fix --compression` may use at most at two threads, whatever the layers.
const MAX_RSS_KIB: u64 = 192 << 10;
/// What an archive has beside its layers, at most.
const OVERHEAD: u64 = 64 << 10;
/// The bytes of all layers together.
const LEN: u64 = 540_000_000;

fn main() -> Result<()> {
    let Some(settings) = Settings::read()? else {
        return Ok(());
    };
    let processors = std::thread::available_parallelism()?;
    let rounds = settings.rounds;
    println!("{processors} processors, medians of {rounds} interleaved rounds");
    let mut worst = 0;
    for (name, title, count) in [
        ("layer", "one layer of 540 MB", 1),
        ("layers", "20 layers of 27 MB", 20),
    ] {
        if !settings.wants(name, &["layer", "layers"]) {
            continue;
        }
        println!("\n## {title}\n");
        let bench = Bench {
            folder: settings.folder.path(),
            rounds,
            processors: processors.get(),
        };
        let from_zstd = bench.make(count, Form::Zstd(3))?;
        let from_gzip = bench.make(count, Form::Gzip(6))?;
        println!(
            "| Job | Beside | It takes | `ocify fix` takes | Times as fast | Pairs | Bytes, its | Bytes, ours | Our peak memory |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let mut jobs = Vec::new();
        if settings.wants("pipes", &["pipes", "skopeo"]) {
            jobs.extend(bench.pipes(&from_zstd, &from_gzip));
        }
        if settings.wants("skopeo", &["pipes", "skopeo"]) {
            jobs.extend(bench.skopeo(&from_zstd, &from_gzip));
        }
        for job in jobs {
            worst = worst.max(bench.measure(&job)?);
        }
        for input in [from_zstd, from_gzip] {
            fs::remove_file(input.archive)?;
            fs::remove_dir_all(input.layers)?;
        }
    }
    println!("\npeak memory of ocify: {} MiB", worst >> 10);
    if processors.get() <= 2 && worst > MAX_RSS_KIB {
        return Err(io::Error::other(format!(
            "ocify used {worst} KiB; at most {MAX_RSS_KIB} are allowed"
        )));
    }
    Ok(())
}

/// The same layers, in an archive and as files of a folder.
struct Input {
    archive: PathBuf,
    layers: PathBuf,
}

/// One thing to do, and two ways to do it.
struct Job {
    name: String,
    /// What the other program is, for the table.
    other_name: String,
    /// The programs that it needs.
    needs: Vec<&'static str>,
    other: Vec<String>,
    /// What it writes.
    other_output: PathBuf,
    ocify: Vec<String>,
    output: PathBuf,
    /// Whether our output must not be larger.
    is_size_bound: bool,
}

struct Bench<'a> {
    folder: &'a Path,
    rounds: usize,
    processors: usize,
}

impl Bench<'_> {
    fn make(&self, count: u64, form: Form) -> Result<Input> {
        let word = match form {
            Form::Plain => "plain",
            Form::Gzip(_) => "gzip",
            Form::Zstd(_) => "zstd",
        };
        let archive = self.folder.join(format!("{word}.tar"));
        let layers = self.folder.join(word);
        fs::create_dir(&layers)?;
        let mut writer = Archive::create(&archive, &OCI)?;
        // Every archive has the same files.
        let mut files = Files::new(Path::new("/usr"));
        let mut made = Vec::new();
        for number in 0..count {
            let path = layers.join(format!("{number:02}"));
            let len = LEN / count;
            let layer = make_layer(&mut files, &number.to_string(), len, form, &OCI, &path)?;
            writer.add_blob(&layer.descriptor, File::open(&path)?)?;
            made.push(layer);
        }
        writer.add_image("app", &made)?;
        writer.finish()?;
        Ok(Input { archive, layers })
    }

    /// Decompressing and compressing each layer by the fastest programs for it.
    fn pipes(&self, from_zstd: &Input, from_gzip: &Input) -> Vec<Job> {
        let threads = self.processors;
        let pigz = format!("zstd -dcq \"$1\" | pigz -6 -p {threads} > \"$2\"");
        let zstd = format!("pigz -dc \"$1\" | zstd -3 -q -T{threads} > \"$2\"");
        let job = |name: &str, input: &Input, line: &str, to: &str| {
            let out = self.folder.join("pipe");
            let script = format!(
                "set -e; mkdir -p '{0}'; for layer in '{1}'/*; do set -- \"$layer\" \"{0}/${{layer##*/}}\"; {line}; done",
                out.display(),
                input.layers.display()
            );
            let shown = line.replace(" \"$1\"", "").replace(" > \"$2\"", "");
            Job {
                name: name.to_owned(),
                other_name: format!("`{}`", shown.replace('|', "\\|")),
                needs: vec!["zstd", "pigz"],
                other: ["sh", "-c", &script].map(str::to_owned).to_vec(),
                other_output: out,
                ocify: self.ocify(input, &["--compression", to]),
                output: self.output(),
                is_size_bound: to == "gzip",
            }
        };
        vec![
            job("zstd to gzip", from_zstd, &pigz, "gzip"),
            job("gzip to zstd", from_gzip, &zstd, "zstd"),
            job(
                "zstd to plain tar",
                from_zstd,
                "zstd -dcq \"$1\" > \"$2\"",
                "uncompressed",
            ),
            job(
                "gzip to plain tar",
                from_gzip,
                "pigz -dc \"$1\" > \"$2\"",
                "uncompressed",
            ),
        ]
    }

    /// Whole archives, where skopeo can do the same.
    fn skopeo(&self, from_zstd: &Input, from_gzip: &Input) -> Vec<Job> {
        let job = |name: &str, input: &Input, more: &[&str], to: &str| {
            let out = self.folder.join("skopeo.tar");
            let transport = if to == "uncompressed" {
                "docker-archive"
            } else {
                "oci-archive"
            };
            let from = format!("oci-archive:{}", input.archive.display());
            let target = format!("{transport}:{}:example.com/app:v1", out.display());
            let line = ["skopeo", "--insecure-policy", "copy", "--quiet"];
            let line = [&line[..], more, &[&from, &target]].concat();
            let shown = ["skopeo copy"]
                .iter()
                .chain(more)
                .copied()
                .collect::<Vec<_>>()
                .join(" ");
            Job {
                name: name.to_owned(),
                other_name: format!("`{shown} oci-archive:… {transport}:…`"),
                needs: vec!["skopeo"],
                other: line.into_iter().map(str::to_owned).collect(),
                other_output: out,
                ocify: self.ocify(input, &["--compression", to]),
                output: self.output(),
                is_size_bound: false,
            }
        };
        let compress = ["--dest-compress", "--dest-compress-format"];
        let to_gzip = [&compress[..], &["gzip"]].concat();
        let to_zstd = [&compress[..], &["zstd"]].concat();
        vec![
            job("archive, zstd to gzip", from_zstd, &to_gzip, "gzip"),
            job("archive, gzip to zstd", from_gzip, &to_zstd, "zstd"),
            job("archive, gzip to plain tar", from_gzip, &[], "uncompressed"),
        ]
    }

    fn output(&self) -> PathBuf {
        self.folder.join("out.tar")
    }

    fn ocify(&self, input: &Input, options: &[&str]) -> Vec<String> {
        let input = input.archive.display().to_string();
        let output = self.output().display().to_string();
        let line = [env!("CARGO_BIN_EXE_ocify"), "fix", &input, "-o", &output];
        let line = [&line[..], options].concat();
        line.into_iter().map(str::to_owned).collect()
    }

    /// Runs a job both ways in turns, prints its row, and returns ocify's peak memory in KiB.
    fn measure(&self, job: &Job) -> Result<u64> {
        if let Some(absent) = job.needs.iter().find(|program| !exists(program)) {
            println!("| {} | {absent} is not installed | | | | | | | |", job.name);
            return Ok(0);
        }
        let mut others = Vec::new();
        let mut ours = Vec::new();
        let (mut other_len, mut len) = (0, 0);
        for round in 0..self.rounds {
            let mut time_other = || -> Result<()> {
                others.push(time(&job.other, self.folder)?);
                other_len = total_len(&job.other_output)?;
                remove(&job.other_output)
            };
            // Each comes first sometimes.
            if round % 2 == 0 {
                time_other()?;
            }
            ours.push(time(&job.ocify, self.folder)?);
            len = total_len(&job.output)?;
            remove(&job.output)?;
            if round % 2 == 1 {
                time_other()?;
            }
        }
        let rss = peak_rss_kib(&job.ocify, self.folder)?;
        remove(&job.output)?;
        let mut ratios: Vec<f64> = others
            .iter()
            .zip(&ours)
            .map(|(other, own)| other.as_secs_f64() / own.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {} | {} | {:.2} s | {:.2} s | **{:.2}** | {:.2} to {:.2} | {other_len} | {len} | {} MiB |",
            job.name,
            job.other_name,
            median(&others),
            median(&ours),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
            rss >> 10,
        );
        if job.is_size_bound && len > other_len + OVERHEAD {
            return Err(io::Error::other(format!(
                "{}: {len} bytes, and {other_len} by the other program",
                job.name
            )));
        }
        Ok(rss)
    }
}

fn time(line: &[String], folder: &Path) -> Result<Duration> {
    let start = Instant::now();
    run(line, 0, folder)?;
    Ok(start.elapsed())
}

/// The length of a file, or of all files in a folder.
fn total_len(path: &Path) -> Result<u64> {
    if path.is_file() {
        return Ok(fs::metadata(path)?.len());
    }
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        total += entry?.metadata()?.len();
    }
    Ok(total)
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
