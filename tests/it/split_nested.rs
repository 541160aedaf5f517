//! `ocify split --by platform` of an index that lists images in other indexes: what each output contains is what
//! `ocify fix --platform` keeps.

use serde_json::{Value, json};

use crate::common::builder::{Layout, OCI_INDEX, digest_of, named, on};
use crate::common::contents::{Contents, blob_name};
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

/// What no output contains is in the report of the split, once, and not in those of the outputs.
#[test]
fn what_no_output_contains_is_reported_once() {
    let mut layout = Layout::new();
    let listed = ["amd64", "arm64", "s390x", "riscv64"]
        .map(|architecture| platform(&mut layout, architecture));
    let absent = digest_of(&listed[3][0]);
    let index = layout.index_of(OCI_INDEX, listed.concat());
    layout.blobs.remove(&blob_name(&absent));
    let other = digest_of(&listed[2][0]);
    layout.root(vec![
        named(index.clone(), NAME),
        named(index, "example.com/app:v2"),
    ]);
    let divided = [(&absent, "platform-choice")];
    for by in ["image", "name", "platform"] {
        for (options, rules) in [
            (
                &["--platform", "linux/amd64,linux/arm64"][..],
                &[(&other, "platform-choice"), (&absent, "platform-choice")][..],
            ),
            (&["--missing", "prune"], &[(&absent, "absent-pruned")]),
            (
                &[
                    "--missing",
                    "prune",
                    "--platform",
                    "linux/amd64,linux/arm64",
                ],
                &[(&other, "platform-choice"), (&absent, "platform-choice")],
            ),
            (&[], if by == "platform" { &divided } else { &[] }),
        ] {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", layout.tar());
            let line = [&["--by", by], options].concat();
            let (report, _) = outputs(&sandbox, "in.tar", &line);
            let of = |report: &Value, digest: &str| {
                let changes = report["changes"].as_array().unwrap().iter();
                let found = changes.filter(|change| change["before"] == json!(digest));
                let found = found.map(|change| change["rule"].as_str().unwrap().to_owned());
                found.collect::<Vec<_>>()
            };
            for (digest, rule) in rules {
                assert_eq!(of(&report, digest), [*rule], "{by} {options:?}");
            }
            assert_eq!(
                report["dropped"].is_null(),
                options.is_empty(),
                "{by} {options:?}"
            );
            for output in report["outputs"].as_array().unwrap() {
                for digest in [&other, &absent] {
                    let found = of(&output["report"], digest);
                    assert!(found.is_empty(), "{by} {options:?}: {found:?}");
                }
            }
        }
    }
}
