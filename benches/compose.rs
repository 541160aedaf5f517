//! Compares choosing a platform, `ocify merge` and `ocify split` with `cp` of the same bytes, and choosing one with `skopeo copy` and `regctl
//! image export`. Compares cleaning a cache in place with listing it. Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/50/GB cargo bench --bench compose
//! ```
//!
//! `-- platform`, `-- merge`, `-- split` and `-- cache` select a part. The archives contain files from this machine's /usr: 20 images of 1 GB that
//! share all layers except one of 10 MB, and an index of two images of 1 GB, before gzip compresses them. `OCIFY_BENCH_MB` sets another length than 1,000 MB, which takes up to
//! 20 GB for the inputs, and with `-- split` 20 GB more. `cp` copies files with the bytes that the outputs have. skopeo copies one image at a
//! time, and regctl writes an archive only from an image layout. The cache that is cleaned in place has 300 layers of 1 GB, which are holes, and 100 more to which nothing refers. Commands are
//! interleaved, and each ratio is the median of pairs.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::contender::Contender;
use common::images::{Archive, Files, Layer, make_layer};
use common::race::Race;
use common::{Bench, OCIFY, Result, remove};
use ocify::{Algorithm, Digest};
use serde_json::{Value, json};

/// The memory limit of ocify in MiB, whatever the archives.
const MAX_MIB: u64 = 96;
/// How many archives are merged.
const IMAGES: usize = 20;
/// How many layers all of them have in common.
const SHARED: u64 = 8;
const MB: u64 = 1_000_000;
/// How many layers the cache has, and how many more to which nothing refers.
const LAYERS: u64 = 300;
const ORPHANS: u64 = 100;

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    let len = std::env::var("OCIFY_BENCH_MB").ok();
    let len = len.and_then(|len| len.parse().ok()).unwrap_or(1_000) * MB;
    let mut files = Files::new(Path::new("/usr"));
    if bench.wants("platform") {
        println!("\n## One platform of an index of two");
        platform(&mut bench, &mut files, len)?;
    }
    if bench.wants("merge") || bench.wants("split") {
        let inputs = archives(&bench, &mut files, len)?;
        let merged = bench.path("merged.tar");
        let line = [
            vec!["merge".to_owned()],
            inputs.clone(),
            vec!["-o".to_owned(), text(&merged)],
        ];
        ocify(&line.concat())?;
        if bench.wants("merge") {
            println!("\n## {IMAGES} archives that share layers, merged");
            merge(&mut bench, &inputs, &merged)?;
        }
        if bench.wants("split") {
            println!("\n## {IMAGES} images that share layers, split");
            split(&mut bench, &inputs, &merged)?;
        }
    }
    if bench.wants("cache") {
        println!("\n## A cache of {LAYERS} layers of 1 GB, fixed and cleaned in place");
        cache(&mut bench)?;
    }
    bench.finish(MAX_MIB)
}

/// Cleans a BuildKit cache in its own directory.
fn cache(bench: &mut Bench) -> Result<()> {
    let path = bench.path("cache");
    let directory = text(&path);
    let fresh = {
        let path = path.clone();
        move || make_cache(&path)
    };
    let mut race = Race::new(
        Contender::new("`ls -lR`", &["ls", "-lR", &directory])
            .after(fresh.clone())
            .makes(&path),
    );
    let line = [OCIFY, "fix", "--in-place", &directory];
    race.add(
        Contender::new("`ocify fix --in-place`", &line)
            .after(fresh.clone())
            .makes(&path),
    );
    let drop = ["--orphans", "drop", "--orphans-older-than", "0"];
    let line = [&line[..], &drop].concat();
    race.add(
        Contender::new("`ocify fix --in-place --orphans drop`", &line)
            .after(fresh)
            .makes(&path),
    );
    race.run(bench)
}

/// Writes a cache with Docker's media types, whose layers are holes.
fn make_cache(path: &Path) -> Result<()> {
    remove(path)?;
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut layers = Vec::new();
    for number in 0..LAYERS + ORPHANS {
        let hex = hex_of(&number.to_le_bytes());
        File::create(blobs.join(&hex))?.set_len(1_000 * MB)?;
        if number < LAYERS {
            layers.push(json!({
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": format!("sha256:{hex}"),
                "size": 1_000 * MB,
            }));
        }
    }
    let write = |text: String, media_type: &str| -> Result<Value> {
        let hex = hex_of(text.as_bytes());
        fs::write(blobs.join(&hex), &text)?;
        let digest = format!("sha256:{hex}");
        Ok(json!({"mediaType": media_type, "digest": digest, "size": text.len()}))
    };
    let named = layers.iter().map(|layer| json!({"blob": layer["digest"]}));
    let config = json!({"layers": named.collect::<Vec<_>>(), "records": []});
    layers.push(write(
        config.to_string(),
        "application/vnd.buildkit.cacheconfig.v0",
    )?);
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let index = json!({"schemaVersion": 2, "mediaType": list, "manifests": layers});
    let mut index = write(index.to_string(), list)?;
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let root = json!({"schemaVersion": 2, "manifests": [index]});
    fs::write(path.join("index.json"), root.to_string())?;
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
}

fn hex_of(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).hex().to_string()
}

/// Writes the archives to be merged.
fn archives(bench: &Bench, files: &mut Files, len: u64) -> Result<Vec<String>> {
    let mut shared = Vec::new();
    for number in 0..SHARED {
        let path = bench.path(&format!("shared-{number}"));
        let layer = make_layer(files, &number.to_string(), len / SHARED, "+gzip", &path)?;
        shared.push((layer, path));
    }
    let mut inputs = Vec::new();
    for number in 0..IMAGES {
        let own = bench.path("own");
        let layer = make_layer(files, &format!("own-{number}"), len / 100, "+gzip", &own)?;
        let path = bench.path(&format!("in-{number:02}.tar"));
        let mut archive = Archive::create_oci(&path)?;
        let mut layers = Vec::new();
        let all = shared.iter().map(|(layer, path)| (layer, path));
        for (layer, path) in all.chain([(&layer, &own)]) {
            archive.add_blob(&layer.descriptor, File::open(path)?)?;
            layers.push(layer.clone());
        }
        archive.add_image(&format!("app{number:02}"), &layers)?;
        archive.finish()?;
        remove(&own)?;
        inputs.push(text(&path));
    }
    for (_, path) in shared {
        remove(&path)?;
    }
    Ok(inputs)
}

fn merge(bench: &mut Bench, inputs: &[String], merged: &Path) -> Result<()> {
    let out = bench.path("out.tar");
    let output = text(&out);
    let mut race = Race::new(cp("`cp` of the merged archive", &text(merged), &out));
    let line = [
        &[OCIFY.to_owned(), "merge".to_owned()],
        inputs,
        &["-o".to_owned(), output],
    ]
    .concat();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    race.add(Contender::new("`ocify merge`", &line).makes(&out));
    race.run(bench)
}

fn split(bench: &mut Bench, inputs: &[String], merged: &Path) -> Result<()> {
    let out = bench.path("out");
    let output = text(&out);
    let copies = format!(
        "mkdir '{output}' && cp --reflink=never {} '{output}/'",
        inputs.join(" ")
    );
    let mut race = Race::new(Contender::shell("`cp` of all archives", &copies).makes(&out));
    let line = [OCIFY, "split", &text(merged), "-o", &output];
    race.add(Contender::new("`ocify split`", &line).makes(&out));
    let line = [
        OCIFY,
        "split",
        &text(merged),
        "-o",
        &output,
        "--verify",
        "documents",
    ];
    race.add(Contender::new("`ocify split --verify documents`", &line).makes(&out));
    race.run(bench)
}

fn platform(bench: &mut Bench, files: &mut Files, len: u64) -> Result<()> {
    let mut parts = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let blob = bench.path("layer");
        let layer: Layer = make_layer(files, architecture, len, "+gzip", &blob)?;
        let path = bench.path(&format!("{architecture}.tar"));
        let mut archive = Archive::create_oci(&path)?;
        archive.architecture = architecture;
        archive.add_blob(&layer.descriptor, File::open(&blob)?)?;
        archive.add_image(architecture, &[layer])?;
        archive.finish()?;
        remove(&blob)?;
        parts.push(path);
    }
    let (index, chosen, out) = (
        bench.path("index.tar"),
        bench.path("chosen.tar"),
        bench.path("out.tar"),
    );
    let inputs: Vec<String> = parts.iter().map(|path: &PathBuf| text(path)).collect();
    let joined = ["-o", &text(&index), "--index", "example.com/app:v1"].map(str::to_owned);
    ocify(&[vec!["merge".to_owned()], inputs, joined.to_vec()].concat())?;
    parts.iter().try_for_each(|part| remove(part))?;
    let options = ["--platform", "linux/arm64", "--unwrap"];
    let line = ["fix", &text(&index), "-o", &text(&chosen)].map(str::to_owned);
    ocify(&[line.to_vec(), options.map(str::to_owned).to_vec()].concat())?;

    let mut race = Race::new(cp("`cp` of the chosen image", &text(&chosen), &out));
    let (input, output) = (text(&index), text(&out));
    let line = [&[OCIFY, "fix", &input, "-o", &output], &options[..]].concat();
    race.add(Contender::new("`ocify fix --platform --unwrap`", &line).makes(&out));
    let from = format!("oci-archive:{}", text(&index));
    let to = format!("oci-archive:{output}:v1");
    let line = [
        "skopeo",
        "--insecure-policy",
        "--override-arch",
        "arm64",
        "copy",
        "--quiet",
        "--preserve-digests",
        &from,
        &to,
    ];
    race.add(Contender::new("`skopeo --override-arch copy`", &line).makes(&out));
    race.run(bench)?;

    println!("\n## One platform of an image layout");
    let layout = bench.path("index");
    let line = ["fix", &input, "-o", &text(&layout), "--layout"].map(str::to_owned);
    ocify(&line)?;
    remove(&index)?;
    let input = text(&layout);
    let mut race = Race::new(cp("`cp` of the chosen image", &text(&chosen), &out));
    let line = [
        &[OCIFY, "fix", &input, "-o", &output, "--archive"],
        &options[..],
    ]
    .concat();
    race.add(Contender::new("`ocify fix --archive --platform --unwrap`", &line).makes(&out));
    let from = format!("ocidir://{input}:v1");
    let line = [
        "regctl",
        "image",
        "export",
        "--platform",
        "linux/arm64",
        &from,
        &output,
    ];
    race.add(Contender::new("`regctl image export --platform`", &line).makes(&out));
    race.run(bench)?;
    remove(&layout)?;
    remove(&chosen)
}

fn cp(name: &str, from: &str, to: &Path) -> Contender {
    Contender::new(name, &["cp", "--reflink=never", from, &text(to)]).makes(to)
}

/// Runs ocify, which is not measured.
fn ocify(line: &[String]) -> Result<()> {
    let status = Command::new(OCIFY)
        .args(line)
        .stdout(Stdio::null())
        .status()?;
    assert!(status.success(), "{line:?}: {status}");
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
