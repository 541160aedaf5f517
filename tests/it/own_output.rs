//! ocify accepts what it wrote and leaves it unchanged: fixtures, built archives, and random changes of them, with every kind of
//! output and every option that changes documents.
//!
//! `OCIFY_MUTATIONS=COUNT` runs more mutations, and `OCIFY_SEED=N` begins with that one.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ocify::{
    Compression, Fix, Fixed, ImageChoice, Input, MediaTypes, MissingPolicy, Output, Result, Verify,
};
use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on, right_image, right_layout,
};
use crate::common::checker::repeated_names;
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, evidence, one, signature, tagged, two};
use crate::common::mutations::Mutant;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};
use crate::common::{fixture, fixtures, tree};

/// Where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Archive,
    Layout,
    Stream,
    InPlace,
    /// A new archive that is a copy with few bytes changed.
    Patched,
}

const WAYS: [Way; 5] = [
    Way::Archive,
    Way::Layout,
    Way::Stream,
    Way::InPlace,
    Way::Patched,
];

impl Way {
    fn run(self, fix: &Fix, input: &Path, output: &Path) -> Result<Fixed> {
        let archive = || Output::archive(output).overwrite(true);
        match self {
            Way::Archive => fix.run(Input::open(input)?, archive()),
            Way::Layout => fix.run(Input::open(input)?, Output::layout(output)),
            Way::Patched => {
                let fix = fix.clone().verify(Verify::Documents);
                fix.run(Input::open(input)?, archive())
            }
            Way::InPlace => {
                fs::copy(input, output).unwrap();
                fix.run(Input::path(output), Output::in_place())
            }
            Way::Stream => {
                let bytes = Cursor::new(fs::read(input).unwrap());
                let mut out = Vec::new();
                let fixed = fix.run(Input::stream(bytes), Output::stream(&mut out))?;
                fs::write(output, out).unwrap();
                Ok(fixed)
            }
        }
    }
}

/// Options, by what they are.
const OPTIONS: [&str; 12] = [
    "none",
    "attestations",
    "image 1",
    "image 2",
    "image by digest",
    "prune",
    "gzip",
    "zstd",
    "uncompressed",
    "docker types",
    "name",
    "rename",
];

/// The first run's options, and the second one's.
fn options(option: &str, contents: &Contents) -> [Fix; 2] {
    let fix = Fix::new().host_architecture("amd64");
    let again = fix.clone();
    let name = |text: &str| text.parse().unwrap();
    // The last manifest, if the documents are those of a valid image.
    let last = || {
        let manifests = catch_unwind(AssertUnwindSafe(|| contents.manifests()));
        manifests.ok()?.pop().map(|(digest, _)| digest)
    };
    let first = match option {
        "attestations" => fix.drop_attestations(true),
        "image 1" => fix.image(ImageChoice::Number(1)),
        "image 2" => fix.image(ImageChoice::Number(2)),
        "image by digest" => match last() {
            Some(digest) => fix.image(digest.parse().unwrap()),
            None => fix,
        },
        "prune" => fix.missing(MissingPolicy::Prune),
        "gzip" => fix.compression(Compression::Gzip),
        "zstd" => fix.compression(Compression::Zstd),
        "uncompressed" => fix.compression(Compression::Uncompressed),
        "name" => fix.name(name("example.com/new:1")).name(name("app:new")),
        "rename" => fix.rename(name("example.com/app:v1"), name("app:v1")),
        "docker types" => {
            let docker = |fix: Fix| fix.media_types(MediaTypes::Docker);
            return [docker(fix), docker(again)];
        }
        _ => fix,
    };
    [first, again]
}

/// Everything in an output.
fn bytes_of(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    match path.is_dir() {
        true => tree(path),
        false => vec![(PathBuf::new(), fs::read(path).unwrap())],
    }
}

/// Fixes an input twice; returns whether it was accepted. What is wrong is an error.
fn fixed_twice(sandbox: &Sandbox, input: &Path, option: &str, way: Way) -> Result<bool, String> {
    let (output, again) = (sandbox.path("out"), sandbox.path("again"));
    for path in [&output, &again] {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    if input.is_dir() && matches!(way, Way::Stream | Way::InPlace) {
        return Ok(false);
    }
    let contents = catch_unwind(|| Contents::read(input));
    let contents = contents.unwrap_or_else(|_| Contents::from_tar(&[]));
    let [first, second] = options(option, &contents);
    let Ok(written) = way.run(&first, input, &output) else {
        return Ok(false);
    };
    let repeated = repeated_names(&Contents::read(&output));
    if !repeated.is_empty() {
        return Err(format!("names appear twice: {repeated:?}"));
    }
    let fixed = way
        .run(&second, &output, &again)
        .map_err(|error| format!("ocify refuses its own output: {error}"))?;
    let summary = &fixed.plan.summary;
    if !summary.changes.is_empty() || !summary.digests.is_empty() {
        return Err(format!("it changes its own output: {:#?}", summary.changes));
    }
    // A stream that was kept in a file is in canonical order.
    let has_other_order = written.spooled.is_some() && way == Way::Stream;
    let is_same = match has_other_order {
        true => Contents::read(&output) == Contents::read(&again),
        false => bytes_of(&output) == bytes_of(&again),
    };
    match is_same {
        true => Ok(true),
        false => Err("it writes other bytes without a change".to_owned()),
    }
}

/// Two platforms and what refers to them, side by side under one name.
fn flat_platforms() -> Layout {
    let mut layout = Layout::new();
    let amd64 = layout.image(&one());
    let arm64 = layout.image(&two().architecture("arm64"));
    let about = attestation(&mut layout, &arm64);
    let [signature, note] = evidence(&mut layout, &amd64);
    let name = |descriptor: Value, architecture: &str| {
        named(on(descriptor, "linux", architecture), "example.com/app:v1")
    };
    layout.root(vec![
        name(arm64, "arm64"),
        name(amd64, "amd64"),
        about,
        signature,
        note,
    ]);
    layout
}

/// Images in an index, with a referrer of each kind, and a second name.
fn nested_platforms() -> Layout {
    let mut layout = Layout::new();
    let amd64 = layout.image(&one());
    let arm64 = layout.image(&two().architecture("arm64"));
    let about = attestation(&mut layout, &amd64);
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            on(amd64.clone(), "linux", "amd64"),
            on(arm64, "linux", "arm64"),
            about,
        ],
    );
    let [signature, note] = evidence(&mut layout, &index);
    let other = layout.image(&right_image());
    layout.root(vec![
        named(index.clone(), "example.com/app:v1"),
        named(index, "docker.io/library/app:latest"),
        named(other, "docker.io/library/other:1"),
        signature,
        note,
    ]);
    layout
}

/// Evidence, and what looks like an image, under one tag made of a digest.
fn evidence_under_one_tag() -> Layout {
    let mut layout = Layout::new();
    let [first, second] = [one(), two()].map(|image| layout.image(&image));
    let looks_like_image = layout.image(&right_image());
    let signatures = [&first, &second].map(|image| signature(&mut layout, image));
    let [of_first, of_second] = signatures;
    layout.root(vec![
        named(first.clone(), "example.com/app:v1"),
        named(second.clone(), "example.com/app:v2"),
        tagged(looks_like_image.clone(), &first, ".sig"),
        of_first,
        of_second,
        tagged(looks_like_image, &second, ".sig"),
    ]);
    layout
}

/// Docker archives of two images: under names of their own, and under one name.
fn saved_pairs() -> [Vec<u8>; 3] {
    let pair = |second: &Image, tags: [&[&str]; 2]| {
        let mut saved = Saved::new();
        saved.docker(&image(&["a", "b"]), json!(tags[0]));
        saved.docker(second, json!(tags[1]));
        saved.tar()
    };
    let other = image(&["a", "c"]);
    let arm64 = other.clone().architecture("arm64");
    [
        pair(&other, [&["one:1", "one:2"], &["two:1"]]),
        pair(&other, [&["app:v1", "one:1"], &["app:v1"]]),
        pair(&arm64, [&["app:v1", "one:1"], &["app:v1"]]),
    ]
}

/// A name with the digest of a manifest that changes.
fn digest_name() -> Layout {
    let mut layout = Layout::new();
    let descriptor = layout.image(&one());
    let name = format!("example.com/app@{}", digest_of(&descriptor));
    layout.root(vec![crate::common::builder::annotated(
        descriptor,
        &[("org.opencontainers.image.ref.name", &name)],
    )]);
    layout
}

/// Archives that differ from the fixtures in what they contain.
fn built() -> Vec<(&'static str, Vec<u8>)> {
    let mut two_names = right_layout();
    let second = two_names.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]));
    two_names.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list.push(named(second, "docker.io/library/app:v1"));
    });
    let [saved, shared, platforms] = saved_pairs();
    vec![
        ("right", right_layout().tar()),
        ("one name twice", two_names.tar()),
        ("flat platforms", flat_platforms().tar()),
        ("nested platforms", nested_platforms().tar()),
        ("digest name", digest_name().tar()),
        ("evidence under one tag", evidence_under_one_tag().tar()),
        ("saved", saved),
        ("saved under one name", shared),
        ("saved platforms", platforms),
    ]
}

#[test]
fn fixtures_are_unchanged_by_a_second_fix() {
    let sandbox = Sandbox::new();
    let mut inputs: Vec<(String, PathBuf)> = fixtures()
        .into_iter()
        .map(|name| (name.clone(), fixture(&name)))
        .collect();
    for (number, (name, bytes)) in built().into_iter().enumerate() {
        inputs.push((
            name.to_owned(),
            sandbox.put(&format!("{number}.tar"), bytes),
        ));
    }
    let (mut count, mut all) = (0, 0);
    for (number, (name, path)) in inputs.iter().enumerate() {
        // All built archives go every way. Of the fixtures, each goes one way with one option.
        let is_built = path.starts_with(sandbox.root());
        let ways = WAYS.iter().map(|way| ("none", *way));
        let ways = ways.filter(|_| is_built);
        let options = OPTIONS.iter().enumerate();
        let options = options.filter(|(at, _)| is_built || number % OPTIONS.len() == *at);
        let options = options.map(|(at, option)| (*option, WAYS[(at + number) % WAYS.len()]));
        for (option, way) in ways.chain(options) {
            all += 1;
            match fixed_twice(&sandbox, path, option, way) {
                Ok(is_accepted) => count += usize::from(is_accepted),
                Err(what) => panic!("{name}, {option}, {way:?}: {what}"),
            }
        }
    }
    assert!(count * 2 > all, "{count} of {all} were accepted");
}

/// What mutations begin with: fixtures and built archives.
pub(crate) fn sources() -> Vec<Mutant> {
    let mut sources: Vec<Mutant> = fixtures()
        .iter()
        .map(|name| Contents::read(&fixture(name)))
        .filter(|contents| contents.has("index.json"))
        .map(|contents| Mutant::of(&contents))
        .collect();
    let built = built().into_iter();
    sources.extend(built.map(|(_, bytes)| Mutant::of(&Contents::from_tar(&bytes))));
    sources
}

pub(crate) fn variable(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn mutants_are_unchanged_by_a_second_fix() {
    let sandbox = Sandbox::new();
    let sources = sources();
    let first = variable("OCIFY_SEED", 0);
    let count = variable("OCIFY_MUTATIONS", 250);
    let mut accepted = 0;
    let mut failures = Vec::new();
    for seed in first..first + count {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut mutant = random.pick(&sources).unwrap().clone();
        let changes: Vec<&str> = (0..1 + random.index(3))
            .map(|_| mutant.mutate(&mut random))
            .collect();
        let input = sandbox.put("in.tar", mutant.tar(random.index(4) == 0));
        let option = OPTIONS[random
            .index(2 * OPTIONS.len())
            .saturating_sub(OPTIONS.len())];
        let way = WAYS[random.index(WAYS.len())];
        let run = || fixed_twice(&sandbox, &input, option, way);
        let what = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(is_accepted)) => {
                accepted += u64::from(is_accepted);
                continue;
            }
            Ok(Err(what)) => what,
            Err(_) => "a panic".to_owned(),
        };
        failures.push(format!(
            "seed {seed} ({changes:?}, {option}, {way:?}): {what}"
        ));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        accepted * 5 > count * 2,
        "{accepted} of {count} were accepted"
    );
}
