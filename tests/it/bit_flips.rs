//! A bit flip anywhere in a layer is detected, whatever the layer's compression before and after, and nothing
//! is written. A bit flip anywhere else in an archive or a layout is detected or harmless.
//!
//! By default a sample of the bits is flipped. The campaign flips every bit of headers and documents, and a sample of those of layers:
//!
//! ```sh
//! OCIFY_BIT_FLIPS=full cargo test --release --locked --test it -- bit_flips --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use ocify::{Compression, Fix, Fixed, Input, Output, Result, Verify};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_TAR, OCI_ZSTD, layer_tar};
use crate::common::checker::{Facts, check_form, judge_contents};
use crate::common::contents::{Contents, blob_name};
use crate::common::runner::Sandbox;
use crate::common::{fixture, sha256};

const NAME: &str = "docker.io/library/app:v1";

fn forms() -> [(&'static str, Layer); 4] {
    let plain = layer_tar("x");
    let skippable = [
        b"\x53\x2a\x4d\x18\x05\0\0\0hello",
        &crate::common::builder::zstd(&plain)[..],
    ];
    [
        ("uncompressed", Layer::plain(OCI_TAR, "x")),
        ("gzip", Layer::gzip(OCI_GZIP, "x")),
        ("zstd", Layer::zstd(OCI_ZSTD, "x")),
        (
            "skippable",
            Layer::new(OCI_ZSTD, skippable.concat(), &plain),
        ),
    ]
}

/// The archive, and where the layer's bytes are in it.
fn archive(layer: &Layer) -> (Vec<u8>, usize) {
    let layout = Layout::of(&Image::oci(vec![layer.clone()]), NAME);
    let bytes = layout.tar();
    let name = blob_name(&format!("sha256:{}", sha256(&layer.bytes)));
    assert!(layout.blobs.contains_key(&name));
    let header = bytes
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .unwrap();
    (bytes, header + 512)
}

/// Every byte, by the library; the command at some places shows that it says so.
#[test]
fn a_bit_flip_in_any_byte_of_a_layer_is_detected() {
    thread::scope(|scope| {
        for (form, layer) in forms() {
            scope.spawn(move || every_byte(form, &layer));
        }
    });
}

fn every_byte(form: &str, layer: &Layer) {
    let targets = ["gzip", "zstd", "uncompressed"];
    let (good, start) = archive(layer);
    for to in targets.into_iter().filter(|to| *to != form) {
        let sandbox = Sandbox::new();
        for place in 0..layer.bytes.len() {
            let mut bytes = good.clone();
            bytes[start + place] ^= 1 << (place % 8);
            let path = sandbox.put("in.tar", bytes);
            let error = by_library(&path, to, sandbox.root());
            let expected = [
                "digest-mismatch",
                "unsupported-compression",
                "diff-id-mismatch",
            ];
            let error = error.unwrap_or_else(|| panic!("{form} to {to}: {place} was not seen"));
            assert!(
                expected.contains(&error.as_str()),
                "{form} {place}: {error}"
            );
            if place % 97 == 0 {
                let options = ["--compression", to];
                let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(1);
                assert_eq!(
                    run.json()["error"]["code"],
                    error,
                    "{form} to {to}: {place}"
                );
            }
            assert_eq!(sandbox.names(), ["in.tar"], "{form} to {to}: {place}");
        }
    }
}

/// The code of the error; a flipped magic number makes a layer that is only copied, and copying sees it.
fn by_library(path: &Path, to: &str, directory: &Path) -> Option<String> {
    let compression = match to {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::Uncompressed,
    };
    let fix = Fix::new().compression(compression).jobs(NonZeroUsize::MIN);
    let output = Output::archive(directory.join("out.tar"));
    let result = fix.run(Input::path(path), output);
    result.err().map(|error| error.code().name().to_owned())
}

/// Archives of as many tools as possible, with every kind of document.
const ARCHIVES: [&str; 10] = [
    "buildkit-docker-zstd-ocifalse.tar",
    "buildkit-oci-attest-zstd-ocifalse.tar",
    "buildkit-oci-multi-zstd-ocitrue.tar",
    "buildkit-docker-names-zstd-ocifalse.tar",
    "buildkit-oci-estargz-ocifalse.tar",
    "containerd17-export-multi.tar",
    "docker20-save-names.tar",
    "docker26c-save-names.tar",
    "podman-multi.tar",
    "skopeo19-oci.tar",
];

/// How an archive with a flipped bit is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    File,
    Stream,
    InPlace,
    /// The files of the archive in a directory, as a layout that is written anew.
    Layout,
}

const WAYS: [Way; 4] = [Way::File, Way::Stream, Way::InPlace, Way::Layout];

/// What came of the flips.
#[derive(Debug, Default)]
struct Counts {
    refused: usize,
    same: usize,
    /// Another output, without contradiction.
    other: usize,
    wrong: Vec<String>,
}

/// An output, and what was reported: findings, and the rules of changes.
struct Outcome {
    contents: Contents,
    bytes: Vec<u8>,
    findings: BTreeSet<String>,
}

/// A place of an archive whose bits are flipped.
struct Region {
    name: String,
    start: usize,
    len: usize,
    /// Layers have more bits than can be flipped.
    is_layer: bool,
}

/// Headers, documents, layers and padding, in order.
fn regions(bytes: &[u8]) -> Vec<Region> {
    let mut regions = Vec::new();
    let mut end = 0;
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (header, data) = (entry.raw_header_position(), entry.raw_file_position());
        let (header, data, len) = (header as usize, data as usize, entry.size() as usize);
        let text = bytes[data..data + len].trim_ascii_start();
        let is_layer = !(text.starts_with(b"{") || text.starts_with(b"[") || len < 64);
        let region = |what: &str, start: usize, len: usize, is_layer| Region {
            name: format!("{what} of {name}"),
            start,
            len,
            is_layer,
        };
        regions.push(region("header", header, data - header, false));
        regions.push(region("bytes", data, len, is_layer));
        end = (data + len).next_multiple_of(512);
        regions.push(region("padding", data + len, end - data - len, true));
    }
    regions.push(Region {
        name: "the end".to_owned(),
        start: end,
        len: bytes.len() - end,
        is_layer: true,
    });
    regions
}

fn findings(fixed: &Fixed) -> BTreeSet<String> {
    let summary = &fixed.plan.summary;
    let findings = summary.findings.iter();
    let findings = findings.map(|finding| finding.message.clone());
    let changes = summary.changes.iter();
    let changes = changes.map(|change| change.rule.name().to_owned());
    findings.chain(changes).collect()
}

fn library() -> Fix {
    Fix::new()
        .jobs(NonZeroUsize::MIN)
        .host_architecture("amd64")
}

/// Fixes an archive; for a layout `name` is the file that is changed.
fn fix(way: Way, bytes: &[u8], sandbox: &Sandbox) -> Result<Outcome> {
    let out = sandbox.path("out");
    let fixed = |fixed: Fixed, bytes: Vec<u8>| Outcome {
        contents: Contents::from_tar(&bytes),
        bytes,
        findings: findings(&fixed),
    };
    match way {
        Way::File => {
            let input = sandbox.put("in.tar", bytes);
            let done = library().run(Input::path(input), Output::archive(&out))?;
            let bytes = fs::read(&out).unwrap();
            fs::remove_file(&out).unwrap();
            Ok(fixed(done, bytes))
        }
        Way::Stream => {
            let mut out = Vec::new();
            let input = Input::stream(Cursor::new(bytes.to_vec()));
            let done = library().run(input, Output::stream(&mut out))?;
            Ok(fixed(done, out))
        }
        Way::InPlace => {
            let path = sandbox.put("in.tar", bytes);
            // By default, layers are not verified in place.
            let fix = library().verify(Verify::Digests);
            let done = fix.run(Input::path(&path), Output::in_place());
            let after = fs::read(&path).unwrap();
            if done.is_err() {
                assert!(after == bytes, "a refused file was changed");
            }
            Ok(fixed(done?, after))
        }
        Way::Layout => unreachable!("a layout has no archive"),
    }
}

fn fix_layout(directory: &Path, sandbox: &Sandbox) -> Result<Outcome> {
    let out = sandbox.path("out");
    let done = library().run(Input::path(directory), Output::layout(&out));
    let Ok(done) = done else {
        assert!(!out.exists(), "a refused layout has an output");
        return Err(done.unwrap_err());
    };
    let contents = Contents::read(&out);
    fs::remove_dir_all(&out).unwrap();
    Ok(Outcome {
        contents,
        bytes: Vec::new(),
        findings: findings(&done),
    })
}

/// The faults of an output, or what it says. In place, files that belong to no image stay, and the form of the archive is the input's.
fn judged(way: Way, fixed: &Outcome) -> std::result::Result<Facts, Vec<String>> {
    let mut faults = Vec::new();
    if matches!(way, Way::File | Way::Stream) {
        check_form(&fixed.bytes, false, &mut faults);
    }
    // A stream that passes by has another order than one that is kept.
    if way == Way::Stream && !faults.is_empty() {
        faults.clear();
        check_form(&fixed.bytes, true, &mut faults);
    }
    let mut contents = fixed.contents.clone();
    if way == Way::InPlace {
        let roots = ["index.json", "manifest.json", "oci-layout"];
        let is_ours = |name: &str| name.starts_with("blobs/") || roots.contains(&name);
        contents.files.retain(|name, _| is_ours(name));
    }
    judge_contents(&contents, false, faults)
}

/// What an image consists of: its config and its layers, by the digest of its manifest.
fn images(contents: &Contents) -> BTreeMap<String, Vec<String>> {
    let digest = |descriptor: &serde_json::Value| descriptor["digest"].to_string();
    let manifests = contents.manifests().into_iter();
    let parts = manifests.map(|(_, manifest)| {
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let layers = layers.map(digest).collect();
        (digest(&manifest["config"]), layers)
    });
    parts.collect()
}

/// What is wrong with the output of an archive with a flipped bit; `None` if it does not contradict the output of the whole archive.
fn contradiction(way: Way, whole: &Outcome, flipped: &Outcome) -> Option<String> {
    // What no digest protects may say something else, if that is reported: an entry is of an unknown type then, what it names is not
    // there, or manifest.json says what index.json does not.
    if !flipped.findings.is_subset(&whole.findings) {
        return None;
    }
    let facts = match judged(way, flipped) {
        Ok(facts) => facts,
        // Platforms in an index are hints: configs have their own.
        Err(faults)
            if faults
                .iter()
                .all(|fault| fault.contains("missing field `architecture`")) =>
        {
            return None;
        }
        Err(faults) => return Some(faults.join("; ")),
    };
    let before = judged(way, whole).unwrap();
    if facts.missing != before.missing {
        return Some(format!("missing {:?}", facts.missing));
    }
    let (old, new) = (images(&whole.contents), images(&flipped.contents));
    if old != new {
        return Some(format!("images {old:?} became {new:?}"));
    }
    // A name that is another one is a name that goes and one that comes.
    let names = |facts: &Facts| -> BTreeSet<String> { facts.names.keys().cloned().collect() };
    let (old, new) = (names(&before), names(&facts));
    if old.symmetric_difference(&new).count() > 2 {
        return Some(format!("names {old:?} became {new:?}"));
    }
    None
}

fn count(
    way: Way,
    whole: &Outcome,
    place: &str,
    counts: &mut Counts,
    run: impl FnOnce() -> Result<Outcome>,
) {
    match catch_unwind(AssertUnwindSafe(run)) {
        Err(_) => counts.wrong.push(format!("{way:?}: {place}: a panic")),
        Ok(Err(_)) => counts.refused += 1,
        Ok(Ok(fixed)) if fixed.contents == whole.contents => counts.same += 1,
        Ok(Ok(fixed)) => {
            // The judge does not expect everything.
            let judged = catch_unwind(AssertUnwindSafe(|| contradiction(way, whole, &fixed)));
            match judged.unwrap_or_else(|_| Some("the judge cannot read it".to_owned())) {
                None => counts.other += 1,
                Some(what) => counts.wrong.push(format!("{way:?}: {place}: {what}")),
            }
        }
    }
}

/// How many bits are passed over between two that are flipped: of headers and documents, and of everything else.
fn steps() -> (usize, usize) {
    match std::env::var("OCIFY_BIT_FLIPS").as_deref() {
        Ok("full") => (1, 509),
        _ => (1_499, 40_009),
    }
}

fn flip_archive(name: &str, way: Way, counts: &mut Counts) {
    let good = fs::read(fixture(name)).unwrap();
    let sandbox = Sandbox::new();
    // What cannot be fixed in place is refused whatever is flipped.
    let Ok(whole) = fix(way, &good, &sandbox) else {
        assert_eq!(way, Way::InPlace, "{name}");
        return;
    };
    let (step, layer_step) = steps();
    for region in regions(&good) {
        let step = if region.is_layer { layer_step } else { step };
        // Samples begin elsewhere in each region.
        let first = region.start * 7 % step;
        for bit in (first..region.len * 8).step_by(step) {
            let mut bytes = good.clone();
            let at = region.start + bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            let place = format!("{name}: {}, byte {} bit {}", region.name, bit / 8, bit % 8);
            count(way, &whole, &place, counts, || fix(way, &bytes, &sandbox));
        }
    }
}

fn flip_layout(name: &str, counts: &mut Counts) {
    let good = fs::read(fixture(name)).unwrap();
    let sandbox = Sandbox::new();
    let input = sandbox.path("in");
    let mut archive = tar::Archive::new(&good[..]);
    archive.set_preserve_mtime(false);
    archive.unpack(&input).unwrap();
    let whole = fix_layout(&input, &sandbox).unwrap();
    let (step, layer_step) = steps();
    for (number, (file, bytes)) in Contents::read(&input).files.into_iter().enumerate() {
        let path = input.join(&file);
        if fs::symlink_metadata(&path).unwrap().is_symlink() {
            continue;
        }
        // Blobs of archives are read-only.
        fs::remove_file(&path).unwrap();
        let text = bytes.trim_ascii_start();
        let is_document = text.starts_with(b"{") || text.starts_with(b"[");
        let step = if is_document { step } else { layer_step };
        for bit in (number * 101 % step..bytes.len() * 8).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            let place = format!("{name}: {file}, byte {} bit {}", bit / 8, bit % 8);
            count(Way::Layout, &whole, &place, counts, || {
                fix_layout(&input, &sandbox)
            });
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_bit_flip_in_an_archive_is_refused_or_harmless() {
    let work: Vec<(&str, Way)> = ARCHIVES
        .into_iter()
        .flat_map(|name| WAYS.map(|way| (name, way)))
        .collect();
    let queue = Mutex::new(work);
    let all: Mutex<BTreeMap<Way, Counts>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, way)) = { queue.lock().unwrap().pop() } {
                    let mut counts = Counts::default();
                    match way {
                        Way::Layout => flip_layout(name, &mut counts),
                        way => flip_archive(name, way, &mut counts),
                    }
                    let mut all = all.lock().unwrap();
                    let of_way = all.entry(way).or_default();
                    of_way.refused += counts.refused;
                    of_way.same += counts.same;
                    of_way.other += counts.other;
                    of_way.wrong.extend(counts.wrong);
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    for (way, counts) in &all {
        println!(
            "bit flips, {way:?}: {} refused, {} with the same output, {} with another without contradiction, {} wrong",
            counts.refused,
            counts.same,
            counts.other,
            counts.wrong.len()
        );
        assert!(counts.refused > 0 && counts.same > 0, "{way:?}: {counts:?}");
    }
    let wrong: Vec<&String> = all.values().flat_map(|counts| &counts.wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} flips: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(40)]
    );
}
