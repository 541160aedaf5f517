//! What a split divides, a merge joins again; and nothing is lost, whatever the input.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, named, on};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, signature};
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::schema::{parse_merge, parse_report, parse_split};
use crate::common::{fixture, fixtures, recent_fixtures};
use crate::split::{images, outputs, split, strings, text};

type Images = BTreeSet<(Vec<String>, String)>;

fn images_of(report: &Value) -> Images {
    let images = report["images"].as_array().unwrap().iter();
    let images = images.map(|image| (strings(&image["names"]), text(&image["digest"])));
    images.collect()
}

/// Each name with its image, and each image without a name.
fn by_name(images: &Images) -> BTreeSet<(Option<String>, String)> {
    let named = images.iter().flat_map(|(names, digest)| {
        let names = names.iter().map(|name| Some(name.clone()));
        names.map(|name| (name, digest.clone()))
    });
    let unnamed = images.iter().filter(|(names, _)| names.is_empty());
    named
        .chain(unnamed.map(|(_, digest)| (None, digest.clone())))
        .collect()
}

fn manifests(contents: &Contents) -> BTreeSet<String> {
    let manifests = contents.manifests().into_iter();
    manifests.map(|(digest, _)| digest).collect()
}

fn blobs(contents: &Contents) -> BTreeSet<String> {
    contents.digests().into_iter().collect()
}

/// Splits the input in every way, and compares the outputs with that of a fix.
#[track_caller]
fn check(input: &str, sandbox: &Sandbox) {
    // What nothing refers to belongs to no image.
    let options = ["--orphans", "drop"];
    sandbox.fix_with(input, "fixed.tar", &options).exits(0);
    let fixed = parse_report(&sandbox.fix("fixed.tar", "fixed-2.tar").exits(0).stdout);
    let all = images_of(&fixed);
    let whole = Contents::read(&sandbox.path("fixed.tar"));

    let (report, found) = outputs(sandbox, input, &[]);
    assert_eq!(images(&report), all, "{input}");
    let joined: BTreeSet<String> = found.values().flat_map(blobs).collect();
    assert_eq!(joined, blobs(&whole), "{input}");
    let files: Vec<String> = found.keys().map(|file| format!("out/{file}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let line = [
        &["merge", "-o", "merged.tar", "--format", "json"],
        &files[..],
    ]
    .concat();
    let merged = parse_merge(&sandbox.ocify(&line).exits(0).stdout);
    assert_eq!(images_of(&merged["merged"]), all, "{input}");
    let merged = Contents::read(&sandbox.path("merged.tar"));
    assert_eq!(blobs(&merged), blobs(&whole), "{input}");

    // Twice the same.
    let before: Vec<Vec<u8>> = files.iter().map(|file| sandbox.read(file)).collect();
    split(sandbox, input, &["--force"]).exits(0);
    let after: Vec<Vec<u8>> = files.iter().map(|file| sandbox.read(file)).collect();
    assert!(after == before, "{input}");
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    // The output of a fix has the same images.
    let run = split(sandbox, "fixed.tar", &[]).exits(0);
    assert_eq!(images(&parse_split(&run.stdout)), all, "{input}");
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    let (report, _) = outputs(sandbox, input, &["--by", "name"]);
    assert_eq!(by_name(&images(&report)), by_name(&all), "{input}");
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    let (report, found) = outputs(sandbox, input, &["--by", "platform"]);
    let joined: BTreeSet<String> = found.values().flat_map(manifests).collect();
    assert_eq!(joined, manifests(&whole), "{input}");
    for (names, platforms) in platforms(&report) {
        joined_platforms(sandbox, &names, &platforms, &whole);
    }
    fs::remove_dir_all(sandbox.path("out")).unwrap();
}

/// The outputs of each image that was split by platform, by the names of the image, with the platforms. Those of an
/// image without a name cannot be told from others.
fn platforms(report: &Value) -> BTreeMap<Vec<String>, Vec<(String, String)>> {
    let mut images: BTreeMap<Vec<String>, Vec<(String, String)>> = BTreeMap::new();
    for output in report["outputs"].as_array().unwrap() {
        let names = strings(&output["names"]);
        if let [platform] = strings(&output["platforms"]).as_slice()
            && !names.is_empty()
        {
            let file = format!("out/{}", text(&output["file"]));
            images
                .entry(names)
                .or_default()
                .push((file, platform.clone()));
        }
    }
    images
}

/// Joins the platforms of an image, which is the same image again: with the same manifests for the same platforms, and what
/// refers to them.
#[track_caller]
fn joined_platforms(
    sandbox: &Sandbox,
    names: &[String],
    outputs: &[(String, String)],
    whole: &Contents,
) {
    let files: Vec<&str> = outputs.iter().map(|(file, _)| &**file).collect();
    let line = [
        &["merge", "-o", "joined.tar", "--force", "--format", "json"],
        &["--index", &*names[0]][..],
        &files,
    ]
    .concat();
    let report = parse_merge(&sandbox.ocify(&line).exits(0).stdout);
    let images = report["merged"]["images"].as_array().unwrap();
    let named: Vec<&Value> = images
        .iter()
        .filter(|image| image["names"] != json!([]))
        .collect();
    assert_eq!(named.len(), 1, "{names:?}: {images:#?}");
    assert_eq!(named[0]["names"], json!([names[0]]));
    let joined = Contents::read(&sandbox.path("joined.tar"));
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for file in files {
        expected.extend(manifests(&Contents::read(&sandbox.path(file))));
    }
    assert_eq!(manifests(&joined), expected, "{names:?}");
    // Each of them is one of the input's.
    assert!(expected.is_subset(&manifests(whole)), "{names:?}");
    let found = listed(&joined, &text(&named[0]["digest"]));
    let mut platforms: Vec<String> = outputs
        .iter()
        .map(|(_, platform)| platform.clone())
        .collect();
    platforms.sort();
    assert_eq!(found, platforms, "{names:?}");
}

/// The platforms of the images in the index or manifest with this digest, sorted.
fn listed(contents: &Contents, digest: &str) -> Vec<String> {
    let document = contents.document(digest);
    let Some(list) = document["manifests"].as_array() else {
        let config = contents.document(document["config"]["digest"].as_str().unwrap());
        return vec![platform(&config)];
    };
    let mut platforms: Vec<String> = list
        .iter()
        .filter(|item| item["platform"]["os"] != "unknown")
        .map(|item| platform(&item["platform"]))
        .collect();
    platforms.sort();
    platforms
}

fn platform(stated: &Value) -> String {
    let of = |key: &str| stated[key].as_str().map(str::to_owned);
    let parts = [of("os"), of("architecture"), of("variant")];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

#[test]
fn every_fixture_is_split_and_merged_again() {
    for name in fixtures().into_iter().chain(recent_fixtures()) {
        let sandbox = Sandbox::new();
        let input = fixture(&name);
        let input = input.to_str().unwrap();
        if name.starts_with("buildkit-cache") {
            let run = split(&sandbox, input, &[]).exits(1);
            let report = parse_split(&run.stdout);
            assert_eq!(report["error"]["code"], "not-an-image", "{name}");
            assert_eq!(sandbox.names(), Vec::<String>::new(), "{name}");
            continue;
        }
        check(input, &sandbox);
    }
}

#[test]
fn random_archives_are_split_and_merged_again() {
    for seed in 0..12 {
        let mut random = Random(seed + 1);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", random_layout(&mut random).tar());
        check("in.tar", &sandbox);
    }
}

/// Images and indexes that share layers, with and without names, attestations and signatures.
pub(crate) fn random_layout(random: &mut Random) -> Layout {
    let mut layout = Layout::new();
    let mut root = Vec::new();
    for number in 0..=random.index(5) {
        let mut listed = Vec::new();
        let mut about = Vec::new();
        for architecture in ["amd64", "arm64", "s390x"] {
            if !listed.is_empty() && random.index(2) == 0 {
                continue;
            }
            let texts = [random.index(3), 10 + random.index(9)];
            let layers = texts.map(|text| Layer::gzip(OCI_GZIP, &text.to_string()));
            let image = Image::oci(layers.to_vec()).architecture(architecture);
            let image = layout.image(&image);
            if random.index(2) == 0 {
                about.push(signature(&mut layout, &image));
            }
            let note = (random.index(2) == 0).then(|| attestation(&mut layout, &image));
            listed.push(on(image, "linux", architecture));
            listed.extend(note);
        }
        let entry = match listed.len() {
            1 if random.index(2) == 0 => listed.remove(0),
            _ => layout.index_of(OCI_INDEX, listed),
        };
        for name in 0..random.index(3) {
            root.push(named(
                entry.clone(),
                &format!("example.com/image{number}:{name}"),
            ));
        }
        if root
            .last()
            .is_none_or(|last| last["digest"] != entry["digest"])
        {
            root.push(entry);
        }
        root.extend(about);
    }
    let mut seen = BTreeSet::new();
    root.retain(|entry| seen.insert(entry.to_string()));
    layout.root(root);
    layout
}
