//! How much memory the command takes for hostile archives, in which a few bytes name many things, and for large legitimate ones.
//! `docs/performance.md` states these bounds. The campaign has larger ones:
//!
//! ```sh
//! OCIFY_MEMORY=full cargo test --release --locked --test it -- memory --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_TAR, docker_item, gzip, index,
    layer_tar, named, right_image, right_layout,
};
use crate::common::countable::COUNTABLES;
use crate::common::measured::measured;
use crate::common::runner::Sandbox;
use crate::common::sha256;

/// Runs a fix with `--dry-run`, and returns its exit code, its messages and its peak memory.
#[track_caller]
fn peak(name: &str, bytes: &[u8], options: &[&str]) -> (i32, String, u64) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let mut command = sandbox.command();
    command.env("TMPDIR", sandbox.root());
    command.args(["fix", "in.tar"]).args(options);
    let run = measured(&mut command);
    println!(
        "memory: {name} {options:?}: exit code {}, {} KiB, {:.1?}",
        run.code, run.peak_kib, run.processor
    );
    (run.code, run.stderr, run.peak_kib)
}

/// A Docker archive whose `manifest.json` names one layer so often, for each of so many images.
fn repeated_layer(images: usize, layers: usize) -> Vec<u8> {
    let layer = layer_tar("x");
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]}});
    let item = json!({"Config": "c", "Layers": vec!["l"; layers]}).to_string();
    tar(&[
        Entry::file("l", layer),
        Entry::file("c", config.to_string()),
        Entry::file(
            "manifest.json",
            format!("[{}]", vec![item; images].join(",")),
        ),
    ])
}

/// Manifests that list one layer as often as 4 MiB allow.
fn large_manifests(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let config = layout.document(OCI_CONFIG, &right_image().config());
    let digest = format!("sha256:{}", sha256(b"x"));
    let layer = format!(r#"{{"mediaType":"a","digest":"{digest}","size":1}}"#);
    let layers = vec![layer.as_str(); 36_000].join(",");
    let manifests = (0..count).map(|number| {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","number":{number},"config":{config},"layers":[{layers}]}}"#
        );
        layout.blob(OCI_MANIFEST, text)
    });
    let manifests = manifests.collect();
    layout.root(manifests);
    layout.tar()
}

/// Images whose configs state a million diff IDs.
fn large_configs(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let layer = layout.blob(OCI_TAR, layer_tar("x"));
    let diff_ids = vec!["\"a\""; 1_000_000].join(",");
    let mut manifests = vec![layout.image(&right_image())];
    for number in 0..count {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","n":{number},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
        );
        let config = layout.blob(OCI_CONFIG, config);
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        manifests.push(layout.document(OCI_MANIFEST, &manifest));
    }
    layout.root(manifests);
    layout.tar()
}

/// Images that share one large config, which is read for each.
fn shared_config(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let layer = layout.blob(OCI_TAR, layer_tar("x"));
    let diff_id = format!("sha256:{}", sha256(&layer_tar("x")));
    let config = json!({"architecture": "amd64", "os": "linux", "x": "y".repeat(4_000_000), "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
    let config = layout.document(OCI_CONFIG, &config);
    let manifests = (0..count).map(|number| {
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer], "n": number});
        layout.document(OCI_MANIFEST, &manifest)
    });
    let manifests = manifests.collect();
    layout.root(manifests);
    layout.tar()
}

fn more(entries: impl Iterator<Item = Entry>) -> Vec<u8> {
    let mut layout = right_layout();
    layout.more = entries.collect();
    layout.tar()
}

fn named_entry(name: &str) -> [Entry; 2] {
    [Entry::pax(&[("path", name)]), Entry::file("x", "")]
}

fn long_name(number: usize) -> String {
    format!("{number:08}/{}", "n".repeat(4_000))
}

fn long_names(count: usize) -> Vec<u8> {
    more((0..count).flat_map(|number| named_entry(&long_name(number))))
}

/// Entries with long names, each with as many extended attributes as a header can have.
fn many_attributes(count: usize) -> Vec<u8> {
    let keys: Vec<String> = (0..30_000)
        .map(|number| format!("SCHILY.xattr.{number}"))
        .collect();
    more((0..count).flat_map(|number| {
        let name = long_name(number);
        let path = [("path", name.as_str())];
        let records: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        [
            Entry::pax(&[&path[..], &records].concat()),
            Entry::file("x", ""),
        ]
    }))
}

fn long_links(count: usize) -> Vec<u8> {
    let target = "t".repeat(1_000_000);
    more((0..count).flat_map(|number| {
        [
            Entry::pax(&[("linkpath", &target)]),
            Entry::link(format!("link{number}"), b'2', "x"),
        ]
    }))
}

fn many_tags(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&right_image());
    let tags: Vec<String> = (0..count).map(|number| format!("a:{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    layout.docker(&manifest, &tags);
    layout.tar()
}

/// A layer source with a descriptor of as many values as 4 MiB allow, and items that share it.
fn large_source(items: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&right_image());
    let mut item = docker_item(&manifest, &["app:v1"]);
    let diff_id = &right_image().layers[0].diff_id;
    let values = vec![0; 1_800_000];
    let source = json!({"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": diff_id, "size": 1, "x": values});
    item["LayerSources"] = json!({diff_id: source});
    let plain = docker_item(&manifest, &["app:v1"]);
    let all: Vec<Value> = std::iter::once(item)
        .chain(std::iter::repeat_n(plain, items))
        .collect();
    layout.docker_manifest = Some(Value::from(all).to_string().into_bytes());
    layout.tar()
}

/// Indexes that list the same index, which lists so many images.
fn shared_index(indexes: usize, images: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.manifest(&right_image());
    let images = (0..images).map(|number| {
        let mut image = image.clone();
        image["n"] = json!(number);
        layout.document(OCI_MANIFEST, &image)
    });
    let images = images.collect();
    let shared = layout.index_of(OCI_INDEX, images);
    let above = (0..indexes).map(|number| {
        let mut above = index(OCI_INDEX, vec![shared.clone()]);
        above["n"] = json!(number);
        layout.document(OCI_INDEX, &above)
    });
    let above = above.collect();
    layout.root(above);
    layout.tar()
}

/// So many entries of `index.json` for one image, and as many items of `manifest.json`.
fn shared_image(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&right_image());
    let image = layout.document(OCI_MANIFEST, &manifest);
    let name = |number: usize| format!("docker.io/library/a:{number}");
    let entries = (0..count).map(|number| named(image.clone(), &name(number)));
    layout.root(entries.collect());
    let items = (0..count).map(|number| docker_item(&manifest, &[&format!("a:{number}")]));
    layout.docker_manifest = Some(Value::from_iter(items).to_string().into_bytes());
    layout.tar()
}

/// A hostile archive, and what becomes of it.
struct Hostile {
    name: &'static str,
    archive: fn() -> Vec<u8>,
    code: i32,
    /// A part of the error.
    part: &'static str,
    /// Its peak memory is less.
    mib: u64,
}

#[rustfmt::skip]
const HOSTILE: [Hostile; 12] = [
    Hostile { name: "a layer named a million times", archive: || repeated_layer(1, 1_000_000), code: 1, part: "lists 1000000 layers, expected at most 28532", mib: 64 },
    Hostile { name: "as many layers as fit", archive: || repeated_layer(2, 28_000), code: 1, part: "lists 28000 layers, but its config has 1 diff ID", mib: 128 },
    Hostile { name: "configs with a million diff IDs", archive: || large_configs(4), code: 3, part: "", mib: 64 },
    Hostile { name: "names of 4,000 bytes", archive: || long_names(20_000), code: 1, part: "names of entries with more than 67108864 bytes", mib: 256 },
    Hostile { name: "extended attributes", archive: || many_attributes(40), code: 1, part: "more than 1048576 entries and extended attributes", mib: 128 },
    Hostile { name: "links of a million bytes", archive: || long_links(80), code: 1, part: "names of entries with more than 67108864 bytes", mib: 192 },
    Hostile { name: "300,000 tags", archive: || many_tags(300_000), code: 1, part: "would grow to more than 4194304 bytes", mib: 512 },
    Hostile { name: "a large layer source", archive: || large_source(2), code: 3, part: "", mib: 512 },
    Hostile { name: "4 manifests of 4 MB", archive: || large_manifests(4), code: 1, part: "index.json, manifests[0], layers[0] is missing: blobs/sha256/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 is not in the archive", mib: 256 },
    Hostile { name: "12 manifests of 4 MB", archive: || large_manifests(12), code: 1, part: "brings the memory for all documents to", mib: 384 },
    Hostile { name: "a config of 4 MB that 270 images share", archive: || shared_config(270), code: 1, part: "brings the total length of all documents that are read to", mib: 64 },
    Hostile { name: "2,900 entries and items of one image", archive: || shared_image(2_900), code: 1, part: "in more than 8388608 ways", mib: 64 },
];

/// Those that take many seconds.
#[rustfmt::skip]
const SLOW: [Hostile; 4] = [
    Hostile { name: "an index in 10,000 indexes", archive: || shared_index(10_000, 5_000), code: 1, part: "in more than 8388608 ways", mib: 512 },
    Hostile { name: "64 manifests of 4 MB", archive: || large_manifests(64), code: 1, part: "brings the memory for all documents to", mib: 640 },
    Hostile { name: "40 images of 28,000 layers", archive: || repeated_layer(36, 28_000), code: 1, part: "brings the memory for all documents to", mib: 640 },
    Hostile { name: "64 configs with a million diff IDs", archive: || large_configs(64), code: 3, part: "", mib: 96 },
];

#[test]
fn hostile_archives_take_bounded_memory() {
    let slow = if is_full() { &SLOW[..] } else { &[] };
    let mut wrong = Vec::new();
    for hostile in HOSTILE.iter().chain(slow) {
        let (code, stderr, kib) = peak(hostile.name, &(hostile.archive)(), &["--dry-run"]);
        if code != hostile.code || !stderr.contains(hostile.part) || kib > hostile.mib << 10 {
            wrong.push(format!(
                "{}: {code}, {} MiB, {stderr}",
                hostile.name,
                kib >> 10
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether archives are measured that take many seconds.
fn is_full() -> bool {
    std::env::var("OCIFY_MEMORY").is_ok_and(|value| value == "full")
}

/// What is compressed as a whole is as hostile, and much shorter.
#[test]
fn a_few_kilobytes_take_bounded_memory() {
    let bytes = gzip(&repeated_layer(1, 1_000_000));
    assert!(bytes.len() < 30_000, "{}", bytes.len());
    let (code, stderr, kib) = peak("a compressed archive", &bytes, &["--dry-run"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(kib < 64 << 10, "{kib} KiB");
}

/// Each as many as there can be. What a run needs anyway, mostly its code, is not counted: a quarter of them needs it too.
#[test]
fn many_things_take_bounded_memory() {
    let mut wrong = Vec::new();
    for countable in COUNTABLES {
        let share = if is_full() { 1 } else { 20 };
        let count = countable.max / share;
        let fewer = count / 4;
        let (few, many) = ((countable.archive)(fewer), (countable.archive)(count));
        for options in [&["--dry-run"][..], &["-o", "out.tar"]] {
            let (_, _, before) = peak("a quarter", &few, options);
            let (code, stderr, kib) = peak(countable.name, &many, options);
            // What `docs/performance.md` allows for each.
            let things = |count: usize| 12 * (count * countable.documents) as u64;
            let bound = before + (3 << 8) + things(count - fewer);
            let is_small = before < (32 << 10) + things(fewer);
            if !matches!(code, 0 | 3) || kib > bound || !is_small {
                wrong.push(format!(
                    "{}: {code}, {before} KiB, {kib} KiB, {stderr}",
                    countable.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn images_of_layers(images: usize, layers: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut entries = Vec::with_capacity(images);
    for number in 0..images {
        let layers: Vec<Layer> = (0..layers)
            .map(|layer| Layer::plain(OCI_TAR, &format!("{number} {layer}")))
            .collect();
        let image = layout.image(&Image::docker(layers));
        entries.push(named(image, &format!("docker.io/library/app{number}:v1")));
    }
    layout.root(entries);
    layout.tar()
}

/// Every document of these changes.
#[test]
fn large_archives_are_accepted() {
    let (code, stderr, kib) = peak(
        "1,000 images of 20 layers",
        &images_of_layers(1_000, 20),
        &["-o", "out.tar"],
    );
    assert_eq!(code, 0, "{stderr}");
    assert!(kib < 96 << 10, "{kib} KiB");
    let (code, stderr, kib) = peak(
        "12,000 images",
        &images_of_layers(12_000, 1),
        &["-o", "out.tar"],
    );
    assert_eq!(code, 0, "{stderr}");
    assert!(kib < 192 << 10, "{kib} KiB");
}
