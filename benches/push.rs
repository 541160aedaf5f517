//! Compares `ocify push` of an image layout with `skopeo copy --all oci:`, to an empty registry and to one that has nine tenths of the layers.
//! Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/7/GB cargo bench --bench push
//! ```
//!
//! `-- empty` and `-- most` select a part. The registry is Debian's docker-registry on the loopback interface, with its storage in the same
//! directory. The layout has 40 layers of random bytes, 2,000 MB in all; `OCIFY_BENCH_MB` sets another length. They are compressed by name only
//! (gzip at level 0), so that nothing is to be compressed, and no program has to decompress to push. crane and regctl are compared if they are
//! installed.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::contender::Contender;
use common::images::{Archive, Hashing, Layer};
use common::race::Race;
use common::{Bench, OCIFY, Result, remove};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The memory limit of ocify in MiB.
const MAX_MIB: u64 = 64;
const LAYERS: u64 = 40;
/// How many of them are new to a registry that has the others.
const NEW: usize = 4;
const MB: u64 = 1_000_000;
const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const REGISTRY: &str = "docker-registry";

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    for program in [REGISTRY, "skopeo"] {
        if !common::exists(program) {
            println!("{program} is not installed");
            return Ok(());
        }
    }
    let len = std::env::var("OCIFY_BENCH_MB").ok();
    let len = len.and_then(|len| len.parse().ok()).unwrap_or(2_000) * MB;
    let layout = bench.path("layout");
    let layers = make(&bench, &layout, len)?;
    let registry = Registry::start(bench.folder())?;
    if bench.wants("empty") {
        println!(
            "\n## {LAYERS} layers, {} MB, to an empty registry",
            len / MB
        );
        let storage = registry.storage.clone();
        race(&mut bench, &registry, &layout, move || remove(&storage))?;
    }
    if bench.wants("most") {
        println!(
            "\n## The same to a registry that has {} of the layers",
            LAYERS as usize - NEW
        );
        let status = Command::new(OCIFY)
            .args(["push", &text(&layout), &registry.target()])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other("the registry could not be filled"));
        }
        let (storage, new) = (registry.storage.clone(), layers[..NEW].to_vec());
        race(&mut bench, &registry, &layout, move || {
            forget(&storage, &new)
        })?;
    }
    bench.finish(MAX_MIB)
}

fn race(
    bench: &mut Bench,
    registry: &Registry,
    layout: &Path,
    prepare: impl Fn() -> Result<()> + Clone + 'static,
) -> Result<()> {
    let (layout, target, host) = (text(layout), registry.target(), &registry.host);
    let skopeo = [
        "skopeo",
        "--insecure-policy",
        "copy",
        "--quiet",
        "--all",
        "--dest-tls-verify=false",
        &format!("oci:{layout}"),
        &format!("docker://{target}"),
    ];
    let mut race =
        Race::new(Contender::new("`skopeo copy --all oci:`", &skopeo).after(prepare.clone()));
    let push = [OCIFY, "push", &layout, &target];
    race.add(Contender::new("`ocify push`", &push).after(prepare.clone()));
    let crane = ["crane", "push", "--insecure", &layout, &target];
    race.add(Contender::new("`crane push`", &crane).after(prepare.clone()));
    let (reach, from) = (
        format!("reg={host},tls=disabled"),
        // Without a tag, regctl looks for "latest".
        format!("ocidir://{layout}:v1"),
    );
    let regctl = ["regctl", "--host", &reach, "image", "copy", &from, &target];
    race.add(Contender::new("`regctl image copy ocidir:`", &regctl).after(prepare));
    race.run(bench)
}

/// Writes the layout, and returns the digests of its layers.
fn make(bench: &Bench, layout: &Path, len: u64) -> Result<Vec<String>> {
    let (archive, scratch) = (bench.path("layout.tar"), bench.path("layer"));
    let mut writer = Archive::create_oci(&archive)?;
    let mut layers = Vec::new();
    for number in 0..LAYERS {
        let layer = make_layer(number + 1, len / LAYERS, &scratch)?;
        writer.add_blob(&layer.descriptor, File::open(&scratch)?)?;
        layers.push(layer);
    }
    writer.add_image("app", &layers)?;
    writer.finish()?;
    remove(&scratch)?;
    let status = Command::new(OCIFY)
        .args(["fix", &text(&archive), "--layout", "-o", &text(layout)])
        .stdout(Stdio::null())
        .status()?;
    remove(&archive)?;
    match status.success() {
        true => Ok(layers
            .into_iter()
            .map(|layer| layer.descriptor.hex)
            .collect()),
        false => Err(io::Error::other("the layout could not be written")),
    }
}

/// A layer of one file with random bytes.
fn make_layer(seed: u64, len: u64, path: &Path) -> Result<Layer> {
    let file = Hashing::new(BufWriter::new(File::create(path)?));
    let plain = Hashing::new(GzEncoder::new(file, Compression::none()));
    let mut tar = tar::Builder::new(plain);
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(len);
    tar.append_data(&mut header, "data", Random(seed).take(len))?;
    let (gzip, plain) = tar.into_inner()?.descriptor("");
    let (mut file, descriptor) = gzip.finish()?.descriptor(OCI_GZIP);
    file.flush()?;
    Ok(Layer {
        descriptor,
        diff_id: plain.hex,
    })
}

/// Bytes that do not compress, the same for one seed (xorshift64*).
struct Random(u64);

impl Read for Random {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for piece in buffer.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            piece.copy_from_slice(&word[..piece.len()]);
        }
        Ok(buffer.len())
    }
}

/// Removes some layers and all manifests from the registry's storage.
fn forget(storage: &Path, layers: &[String]) -> Result<()> {
    let root = storage.join("docker/registry/v2");
    let repository = root.join("repositories/bench");
    remove(&repository.join("_manifests"))?;
    remove(&repository.join("_uploads"))?;
    for hex in layers {
        remove(&repository.join("_layers/sha256").join(hex))?;
        remove(&root.join("blobs/sha256").join(&hex[..2]).join(hex))?;
    }
    Ok(())
}

/// A registry that ends when this is dropped.
struct Registry {
    host: String,
    storage: PathBuf,
    child: Child,
}

impl Registry {
    fn start(folder: &Path) -> Result<Self> {
        let host = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let storage = folder.join("storage");
        let config = folder.join("registry.yml");
        // Without a cache, so that what is removed from the storage is gone.
        let lines = [
            "version: 0.1".to_owned(),
            "log: {level: error, accesslog: {disabled: true}}".to_owned(),
            format!(
                "storage: {{filesystem: {{rootdirectory: {}}}}}",
                storage.display()
            ),
            format!("http: {{addr: \"{host}\"}}"),
        ];
        fs::write(&config, lines.join("\n"))?;
        let child = Command::new(REGISTRY)
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let registry = Registry {
            host,
            storage,
            child,
        };
        for _ in 0..500 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other(format!("{REGISTRY} does not start")))
    }

    fn target(&self) -> String {
        format!("{}/bench:v1", self.host)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
