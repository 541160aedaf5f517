//! Times `ocify fix` beside the programs that do parts of its work, and fails where it needs too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench fix
//! ```
//!
//! `-- layer`, `-- layers` and `-- blobs` choose shapes. The archives are made of this machine's /usr. Runs are interleaved, and every
//! figure is a median over OCIFY_BENCH_ROUNDS (5) rounds; compare ratios within one run, not seconds between runs.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// What `ocify fix` may use at most, whatever the archive.
const MAX_RSS_KIB: u64 = 64 << 10;
const MIB: u64 = 1 << 20;

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

type Result<T> = io::Result<T>;

fn main() -> Result<()> {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
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
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let mut worst = 0;
    let mut files = Files::new(Path::new("/usr"));
    for shape in [Shape::OneLayer, Shape::Layers, Shape::Blobs] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == shape.name()) {
            continue;
        }
        let path = folder.path().join("shape.tar");
        let count = make(shape, &mut files, folder.path(), &path)?;
        let mib = fs::metadata(&path)?.len() / MIB;
        println!("\n## {}: {count} blobs, {mib} MiB\n", shape.title());
        worst = worst.max(measure(&path, folder.path(), rounds, shape)?);
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

/// The bytes of this machine's files, over and over.
struct Files {
    paths: Vec<PathBuf>,
    next: usize,
}

impl Files {
    fn new(root: &Path) -> Self {
        let entries = WalkDir::new(root).sort_by_file_name().into_iter().flatten();
        let paths = entries
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect();
        Files { paths, next: 0 }
    }

    /// Writes a tar of at least `len` bytes of files. `prefix` makes it unlike the others.
    fn write_tar(&mut self, prefix: &str, len: u64, out: impl Write) -> Result<()> {
        let mut tar = tar::Builder::new(out);
        let mut written = 0;
        while written < len {
            let path = self.paths.get(self.next % self.paths.len().max(1));
            let path = path.ok_or_else(|| io::Error::other("/usr has no files"))?;
            self.next += 1;
            let mut bytes = Vec::new();
            // A file that vanished or may not be read is no reason to stop.
            if File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .is_err()
            {
                continue;
            }
            // No single file makes the sizes of layers uneven.
            bytes.truncate(usize::try_from((len - written).min(64 * MIB)).unwrap_or(usize::MAX));
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            written += 1024 + bytes.len() as u64;
            tar.append_data(
                &mut header,
                format!("{prefix}/{}", self.next),
                bytes.as_slice(),
            )?;
        }
        tar.into_inner()?.flush()
    }
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Hashing {
            inner,
            hasher: Sha256::new(),
            len: 0,
        }
    }

    fn descriptor(self, media_type: &str) -> (W, Descriptor) {
        let hex: String = self
            .hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        (
            self.inner,
            Descriptor {
                media_type: media_type.to_owned(),
                hex,
                len: self.len,
            },
        )
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

struct Descriptor {
    media_type: String,
    hex: String,
    len: u64,
}

impl Descriptor {
    fn of(bytes: &[u8], media_type: &str) -> Result<Self> {
        let mut hashing = Hashing::new(io::sink());
        hashing.write_all(bytes)?;
        Ok(hashing.descriptor(media_type).1)
    }

    fn json(&self, more: &str) -> String {
        format!(
            r#"{{"mediaType":"{}","digest":"sha256:{}","size":{}{more}}}"#,
            self.media_type, self.hex, self.len
        )
    }
}

struct Layer {
    descriptor: Descriptor,
    diff_id: String,
}

/// Writes the layer to a file, compressed as `suffix` says.
fn make_layer(
    files: &mut Files,
    prefix: &str,
    len: u64,
    suffix: &str,
    path: &Path,
) -> Result<Layer> {
    let file = Hashing::new(BufWriter::new(File::create(path)?));
    let media_type = format!("{DOCKER_LAYER}{suffix}");
    let (file, diff_id) = match suffix {
        ".zstd" => {
            let mut tar = Hashing::new(zstd::Encoder::new(file, 1)?);
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, Some(tar.hex))
        }
        ".gzip" => {
            let encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            let mut tar = Hashing::new(encoder);
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, Some(tar.hex))
        }
        _ => {
            let mut file = file;
            files.write_tar(prefix, len, &mut file)?;
            (file, None)
        }
    };
    let (mut inner, descriptor) = file.descriptor(&media_type);
    inner.flush()?;
    let diff_id = diff_id.unwrap_or_else(|| descriptor.hex.clone());
    Ok(Layer {
        descriptor,
        diff_id,
    })
}

struct Archive {
    tar: tar::Builder<BufWriter<File>>,
    entries: Vec<String>,
    count: u64,
}

impl Archive {
    fn add(&mut self, name: &str, len: u64, bytes: impl Read) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(len);
        self.tar.append_data(&mut header, name, bytes)
    }

    fn add_blob(&mut self, descriptor: &Descriptor, bytes: impl Read) -> Result<()> {
        self.count += 1;
        self.add(
            &format!("blobs/sha256/{}", descriptor.hex),
            descriptor.len,
            bytes,
        )
    }

    /// Adds the documents of an image whose layers are there.
    fn add_image(&mut self, name: &str, layers: &[Layer]) -> Result<()> {
        let list = |items: Vec<String>| items.join(",");
        let diff_ids = list(
            layers
                .iter()
                .map(|layer| format!(r#""sha256:{}""#, layer.diff_id))
                .collect(),
        );
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
        );
        let config_descriptor = Descriptor::of(config.as_bytes(), DOCKER_CONFIG)?;
        self.add_blob(&config_descriptor, config.as_bytes())?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{},"layers":[{}]}}"#,
            config_descriptor.json(""),
            list(
                layers
                    .iter()
                    .map(|layer| layer.descriptor.json(""))
                    .collect()
            )
        );
        let descriptor = Descriptor::of(manifest.as_bytes(), DOCKER_MANIFEST)?;
        self.add_blob(&descriptor, manifest.as_bytes())?;
        self.entries.push(descriptor.json(&format!(
            r#","annotations":{{"io.containerd.image.name":"example.com/{name}:v1","org.opencontainers.image.ref.name":"v1"}}"#
        )));
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            self.entries.join(",")
        );
        self.add("index.json", index.len() as u64, index.as_bytes())?;
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        self.add("oci-layout", layout.len() as u64, layout.as_bytes())?;
        self.tar.into_inner()?.flush()?;
        Ok(self.count)
    }
}

/// Writes an archive of that shape in which every type is Docker's, and returns how many blobs it has.
fn make(shape: Shape, files: &mut Files, folder: &Path, path: &Path) -> Result<u64> {
    let tar = tar::Builder::new(BufWriter::new(File::create(path)?));
    let mut archive = Archive {
        tar,
        entries: Vec::new(),
        count: 0,
    };
    let (images, layers, len) = match shape {
        Shape::OneLayer => (1, 1, 2048 * MIB),
        Shape::Layers => (1, 40, 64 * MIB),
        Shape::Blobs => (1000, 18, 2048),
    };
    let scratch = folder.join("layer");
    for image in 0..images {
        let mut made = Vec::new();
        for layer in 0..layers {
            let suffix = match (shape, layer % 3) {
                (Shape::Layers, 0) => ".zstd",
                (Shape::Layers, 1) => ".gzip",
                _ => "",
            };
            let layer = make_layer(files, &format!("{image}/{layer}"), len, suffix, &scratch)?;
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

fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn command(line: &[String], folder: &Path) -> Command {
    let mut command = Command::new(&line[0]);
    // skopeo unpacks an archive into a temporary folder; it shall be on the same disk.
    command
        .args(&line[1..])
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn run(line: &[String], code: i32, folder: &Path) -> Result<()> {
    let status = command(line, folder).status()?;
    if status.code() == Some(code) {
        return Ok(());
    }
    Err(io::Error::other(format!("{}: {status}", line.join(" "))))
}

/// The peak of the memory that the program held, in KiB. A run of its own, because looking takes time.
fn peak_rss_kib(line: &[String], folder: &Path) -> Result<u64> {
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

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}
