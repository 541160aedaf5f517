//! Layers that were recompressed: what is written for the oldest engine must load and run in all of them, in whatever members its
//! gzip is, and with the media types of either family.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::archive::{Archive, fix, folder, names_if_several, tags_if_several};
use crate::common::archive::{Entry, tar};
use crate::common::builder::{DOCKER_CONFIG, DOCKER_MANIFEST, DOCKER_ZSTD, Layout, named, zstd};
use crate::common::checker::unpack;
use crate::common::contents::Contents;
use crate::common::sha256;
use crate::expected::{self, Reason};
use crate::machine::SHARED;

/// What docs/engines.md says of it.
pub(crate) const PAGE: &str = "
## Recompressed layers

Docker 20.10 cannot load the archives above that have zstd layers. Written with `ocify fix --for docker@20.10`, every one of them loads and runs in
every engine of the table. Archives without a name got one with `--name`, and those that lack platforms were reduced to the available ones with
`--missing prune`. An image with a layer of 5 MiB, enough for several gzip members, also loads and runs when written with each of these:
";

/// A way to write the image with the large layer.
const WAYS: [&[&str]; 5] = [
    &["--for", "docker@20.10"],
    &["--compression", "gzip", "--gzip-members", "single"],
    &["--compression", "gzip", "--oci-mediatypes=false"],
    &["--compression", "uncompressed"],
    &["--compression", "uncompressed", "--oci-mediatypes=false"],
];

/// An archive that every engine must load.
#[derive(Debug)]
pub(crate) struct Recompressed {
    pub(crate) name: String,
    pub(crate) archive: Archive,
}

/// The section of the page.
pub(crate) fn section() -> String {
    let ways = WAYS.map(|options| format!("- `ocify fix {}`\n", options.join(" ")));
    format!("{PAGE}\n{}", ways.concat())
}

/// Writes all of them into the shared folder.
pub(crate) fn prepare(shared: &Path) -> Vec<Recompressed> {
    let out = shared.join("recompressed");
    fs::create_dir(&out).expect("the shared folder is writable");
    let mut all = Vec::new();
    let mut add = |name: String, input: &Path, options: &[&str]| {
        let file = format!("{}.tar", all.len());
        fix(input, &out.join(&file), options);
        let archive = Archive {
            path: format!("{SHARED}/recompressed/{file}"),
            ask_for: names_if_several(&out.join(&file)),
            tags: tags_if_several(&out.join(&file)),
        };
        all.push(Recompressed { name, archive });
    };
    for exception in expected::EXCEPTIONS {
        for archive in exception
            .archives
            .iter()
            .filter(|name| folder().join(name).exists())
            .filter(|_| exception.reason == Reason::A)
        {
            let options = expected::exceptions(archive).flat_map(|e| e.mended_by);
            let options: Vec<&str> = options.copied().collect();
            add((*archive).to_owned(), &folder().join(archive), &options);
        }
    }
    let sample = large_layer(&out);
    for options in WAYS {
        add(
            format!("a large layer with {}", options.join(" ")),
            &sample,
            options,
        );
    }
    all
}

/// The image of a fixture with one more layer, all of them zstd with the nonstandard type.
fn large_layer(out: &Path) -> PathBuf {
    let contents = Contents::read(&folder().join("buildkit-docker-zstd-ocifalse.tar"));
    let (_, manifest) = contents.manifests().remove(0);
    let digest = manifest["config"]["digest"].as_str().expect("a digest");
    let mut config: Value = contents.document(digest);
    let mut layout = Layout::new();
    let mut layers = Vec::new();
    for layer in manifest["layers"].as_array().expect("a list of layers") {
        let bytes = contents.blob(layer["digest"].as_str().expect("a digest"));
        layers.push(layout.blob(DOCKER_ZSTD, bytes.expect("the layer is there")));
    }
    let plain = tar(&[
        Entry::file("noise", noise(3 << 20)).mode(0o644),
        Entry::file("zeros", vec![0; 2 << 20]).mode(0o644),
    ]);
    assert!(plain.len() > 5 << 20);
    let compressed = zstd(&plain);
    assert_eq!(unpack(&compressed).1, plain);
    layers.push(layout.blob(DOCKER_ZSTD, compressed));
    let rootfs = config["rootfs"]["diff_ids"].as_array_mut();
    rootfs
        .expect("a list of diff IDs")
        .push(json!(format!("sha256:{}", sha256(&plain))));
    if let Some(history) = config["history"].as_array_mut() {
        history.push(json!({"created_by": "COPY noise zeros /"}));
    }
    let config = layout.document(DOCKER_CONFIG, &config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": config,
        "layers": layers,
    });
    let descriptor = layout.document(DOCKER_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, "example.com/large:v1")]);
    let path = out.join("large.tar.input");
    fs::write(&path, layout.tar()).expect("the shared folder is writable");
    path
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}
