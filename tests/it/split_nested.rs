//! `ocify split --by platform` of an index that lists images in other indexes: what each output contains is what
//! `ocify fix --platform` keeps.

use serde_json::{Value, json};

use crate::common::builder::{Layout, OCI_INDEX, digest_of, named, on};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, evidence, referrer};
use crate::common::failure::fails_with;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_split;
use crate::split::{of, outputs, split};

const NAME: &str = "example.com/app:1";

/// An image for an architecture, and what is about it, as an index lists them.
fn platform(layout: &mut Layout, architecture: &str) -> Vec<Value> {
    let image = layout.image(&of(architecture).architecture(architecture));
    let note = attestation(layout, &image);
    vec![on(image, "linux", architecture), note]
}

/// An index of an index of one image, and of one of an image and a third index, with artifacts about images and indexes at every
/// depth, and one about nothing.
fn nested() -> Layout {
    let mut layout = Layout::new();
    let [amd64, arm64, s390x] =
        ["amd64", "arm64", "s390x"].map(|architecture| platform(&mut layout, architecture));
    let images = [&amd64, &arm64, &s390x].map(|listed| listed[0].clone());
    let lowest = layout.index_of(OCI_INDEX, s390x);
    let about_lowest = referrer(&mut layout, "application/x-note", "lowest", &lowest);
    let mut listed = arm64;
    listed.extend([lowest, about_lowest]);
    let lower = layout.index_of(OCI_INDEX, listed);
    let other = layout.index_of(OCI_INDEX, amd64);
    let about_lower = evidence(&mut layout, &lower);
    let notes = images.each_ref().map(|image| {
        let text = format!("in an index {}", digest_of(image));
        referrer(&mut layout, "application/x-note", &text, image)
    });
    let notes = layout.index_of(OCI_INDEX, notes.to_vec());
    let about_nothing = layout.blob("text/plain", "about nothing");
    let top = layout.index_of(OCI_INDEX, vec![other, lower, notes, about_nothing]);
    let mut root = vec![named(top.clone(), NAME)];
    for image in images.iter().chain([&top]) {
        root.extend(evidence(&mut layout, image));
    }
    root.extend(about_lower);
    layout.root(root);
    layout
}

/// Indexes in indexes, each of a few images.
pub(crate) fn random_nested(random: &mut Random) -> Layout {
    let mut layout = Layout::new();
    let mut open: Vec<Value> = Vec::new();
    let mut about = Vec::new();
    for number in 0..2 + random.index(6) {
        let listed = platform(&mut layout, &format!("a{number}"));
        if random.index(3) == 0 {
            about.extend(evidence(&mut layout, &listed[0]));
        }
        open.extend(listed);
        if random.index(2) == 0 {
            let count = 1 + random.index(open.len());
            let inner = layout.index_of(OCI_INDEX, open.split_off(open.len() - count));
            if random.index(3) == 0 {
                about.extend(evidence(&mut layout, &inner));
            }
            open.push(inner);
        }
    }
    let top = layout.index_of(OCI_INDEX, open);
    about.extend(evidence(&mut layout, &top));
    layout.root([vec![named(top, NAME)], about].concat());
    layout
}

/// Compares each output with what a fix keeps for its platform. Returns how many there are.
#[track_caller]
fn check(layout: &Layout, options: &[&str]) -> usize {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let line = [&["--by", "platform"], options].concat();
    let (report, found) = outputs(&sandbox, "in.tar", &line);
    for output in report["outputs"].as_array().unwrap() {
        let platform = output["platforms"][0].as_str().unwrap();
        let line = [&["--platform", platform], options].concat();
        let file = output["file"].as_str().unwrap();
        let fixed = sandbox.fix_with("in.tar", "fixed.tar", &line).exits(0);
        let expected = Contents::read(&sandbox.path("fixed.tar"));
        assert_eq!(found[file].digests(), expected.digests(), "{file}");
        let written = sandbox.read(&format!("out/{file}"));
        assert!(written == sandbox.read("fixed.tar"), "{file}");
        let images = &output["report"]["images"];
        assert_eq!(*images, fixed.json()["images"], "{file}");
        std::fs::remove_file(sandbox.path("fixed.tar")).unwrap();
    }
    found.len()
}

#[test]
fn each_output_is_what_a_fix_keeps_for_its_platform() {
    let layout = nested();
    for options in [
        &[][..],
        &["--unwrap"],
        &["--unwrap", "--preserve-digests"],
        &["--attestations", "drop"],
        &["--orphans", "drop"],
    ] {
        assert_eq!(check(&layout, options), 3, "{options:?}");
    }
    for seed in 0..12 {
        let layout = random_nested(&mut Random(seed + 1));
        assert!(check(&layout, &[]) > 1, "{seed}");
    }
}

/// Without its other entries an index has another digest.
#[test]
fn an_index_that_keeps_its_digest_is_not_divided() {
    let mut layout = Layout::new();
    let listed = ["amd64", "arm64"].map(|architecture| platform(&mut layout, architecture));
    let flat = layout.index_of(OCI_INDEX, listed.concat());
    layout.root(vec![named(flat, NAME)]);
    for (layout, place) in [
        (&layout, "index.json, manifests[0], manifests["),
        (&nested(), "index.json, manifests[0]"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let options = ["--by", "platform", "--preserve-digests"];
        let report = parse_split(&split(&sandbox, "in.tar", &options).exits(1).stdout);
        for output in report["outputs"].as_array().unwrap() {
            let error = &output["report"]["error"];
            assert_eq!(error["code"], json!("digests-preserved"), "{error:#}");
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with(place), "{message}");
            assert!(message.contains("would have to be removed"), "{message}");
        }
        assert_eq!(sandbox.names(), ["in.tar"]);
        let options = ["--platform", "linux/amd64", "--preserve-digests"];
        fails_with("fix", &layout.tar(), &options, "digests-preserved", &[]);
    }
}
