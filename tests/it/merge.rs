//! `ocify merge`: several archives and layouts as one.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on};
use crate::common::checker::{Facts, check_output};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, signature};
use crate::common::fixture;
use crate::common::runner::{Run, Sandbox};
use crate::common::saved::{Saved, image, parts};
use crate::common::schema::parse_merge;

fn of(architecture: &str) -> Image {
    let layers = vec![
        Layer::gzip(OCI_GZIP, "shared"),
        Layer::gzip(OCI_GZIP, architecture),
    ];
    Image::oci(layers).architecture(architecture)
}

/// An archive of one image of that name.
fn archive(image: &Image, name: &str) -> Vec<u8> {
    Layout::of(image, name).tar()
}

fn merge(sandbox: &Sandbox, inputs: &[&str], output: &str, options: &[&str]) -> Run {
    let line = [
        &["merge"],
        inputs,
        &["-o", output, "--format", "json"],
        options,
    ]
    .concat();
    sandbox.ocify(&line)
}

struct Merged {
    report: Value,
    facts: Facts,
    contents: Contents,
    bytes: Vec<u8>,
}

/// Merges, checks the output, and fixes it, which must not change anything.
#[track_caller]
fn merged(sandbox: &Sandbox, inputs: &[&str], options: &[&str]) -> Merged {
    let run = merge(sandbox, inputs, "out.tar", options).exits(0);
    let report = parse_merge(&run.stdout);
    let facts = check_output(&sandbox.path("out.tar"));
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged", "{:#}", again["changes"]);
    let bytes = sandbox.read("out.tar");
    assert!(sandbox.read("again.tar") == bytes);
    for name in ["out.tar", "again.tar"] {
        fs::remove_file(sandbox.path(name)).unwrap();
    }
    Merged {
        report,
        facts,
        contents: Contents::from_tar(&bytes),
        bytes,
    }
}

fn names(facts: &Facts) -> Vec<String> {
    let mut names: Vec<String> = facts.tags.values().flatten().cloned().collect();
    names.sort();
    names
}

#[test]
fn all_images_of_all_inputs_are_in_the_output() {
    let sandbox = Sandbox::new();
    sandbox.put("oci.tar", archive(&of("amd64"), "example.com/oci:1"));
    let saved = image(&["shared", "docker"]);
    let mut old = Saved::new();
    old.docker(&saved, json!(["docker:1", "docker:2"]));
    sandbox.put("docker.tar", old.tar());
    Layout::of(&of("arm64"), "example.com/layout:1").write_to(&sandbox.path("layout"));
    let found = merged(&sandbox, &["oci.tar", "docker.tar", "layout"], &[]);
    let expected = [
        "docker:1",
        "docker:2",
        "example.com/layout:1",
        "example.com/oci:1",
    ];
    assert_eq!(names(&found.facts), expected);
    assert!(found.facts.unreferenced.is_empty());
    for image in [&of("amd64"), &saved, &of("arm64")] {
        for part in parts(image) {
            assert!(found.contents.blob(&part).is_some(), "{part}");
        }
    }
    assert_eq!(found.report["inputs"].as_array().unwrap().len(), 3);
    assert_eq!(found.report["inputs"][1]["input"], "docker.tar");
    assert_eq!(
        found.report["inputs"][1]["images"][0]["names"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        found.report["merged"]["blobs"]["count"],
        found.report["merged"]["blobs"]["verified"]["documents"]
            .as_u64()
            .unwrap()
            + found.report["merged"]["blobs"]["verified"]["configs"]
                .as_u64()
                .unwrap()
            + found.report["merged"]["blobs"]["verified"]["layers"]
                .as_u64()
                .unwrap()
    );
    // The order of the inputs does not matter.
    let other = merged(&sandbox, &["layout", "oci.tar", "docker.tar"], &[]);
    assert!(other.bytes == found.bytes);
    // Nor does it matter how the archives are compressed.
    let line = ["fix", "oci.tar", "-o", "oci.tar.zst"];
    sandbox.ocify(&line).exits(0);
    let other = merged(&sandbox, &["oci.tar.zst", "docker.tar", "layout"], &[]);
    assert!(other.bytes == found.bytes);
}

#[test]
fn one_input_is_what_fix_makes_of_it() {
    let sandbox = Sandbox::new();
    for name in [
        "buildkit-oci-multi-attest-zstd-ocifalse.tar",
        "docker26c-save-multi.tar",
        "docker20-save-names.tar",
    ] {
        sandbox.put("in.tar", fs::read(fixture(name)).unwrap());
        sandbox.fix("in.tar", "fixed.tar").exits(0);
        let expected = Contents::read(&sandbox.path("fixed.tar"));
        let found = merged(&sandbox, &["in.tar"], &[]);
        let blobs = |contents: &Contents| -> BTreeSet<String> {
            let files = contents.files.keys();
            files
                .filter(|name| name.starts_with("blobs/"))
                .cloned()
                .collect()
        };
        assert_eq!(blobs(&found.contents), blobs(&expected), "{name}");
        fs::remove_file(sandbox.path("fixed.tar")).unwrap();
    }
}

#[test]
fn the_same_image_of_the_same_name_is_there_once() {
    let sandbox = Sandbox::new();
    let bytes = archive(&of("amd64"), "example.com/app:1");
    sandbox.put("a.tar", &bytes);
    sandbox.put("b.tar", &bytes);
    let found = merged(&sandbox, &["a.tar", "b.tar"], &[]);
    assert_eq!(names(&found.facts), ["example.com/app:1"]);
    let root: Value = serde_json::from_slice(&found.contents.files["index.json"]).unwrap();
    assert_eq!(root["manifests"].as_array().unwrap().len(), 1);
    // The same image with Docker's media types is the same image.
    let docker = Image::docker(of("amd64").layers).architecture("amd64");
    sandbox.put("b.tar", archive(&docker, "example.com/app:1"));
    let other = merged(&sandbox, &["a.tar", "b.tar"], &[]);
    assert!(other.bytes == found.bytes);
}

#[test]
fn different_images_of_one_name_need_a_decision() {
    let sandbox = Sandbox::new();
    let mut one = Layout::new();
    let first = one.image(&of("amd64"));
    let signed = signature(&mut one, &first);
    one.root(vec![named(first.clone(), "example.com/app:v1"), signed]);
    sandbox.put("a.tar", one.tar());
    let mut two = Layout::new();
    let second = two.image(&of("arm64"));
    two.root(vec![
        named(second.clone(), "example.com/app:v1"),
        named(second.clone(), "example.com/other:1"),
    ]);
    sandbox.put("b.tar", two.tar());
    let run = merge(&sandbox, &["a.tar", "b.tar"], "out.tar", &[]).exits(1);
    for part in [
        "a.tar and b.tar contain different images named example.com/app:v1",
        "--on-conflict",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert_eq!(sandbox.names(), ["a.tar", "b.tar"]);

    let first_has_it = merged(&sandbox, &["a.tar", "b.tar"], &["--on-conflict", "first"]);
    assert_eq!(
        names(&first_has_it.facts),
        ["example.com/app:v1", "example.com/other:1"]
    );
    assert!(first_has_it.contents.blob(&digest_of(&second)).is_some());
    let has_signature = |found: &Merged| {
        let mut files = found.contents.files.values();
        let text = format!("signs {}", digest_of(&first));
        files.any(|bytes| String::from_utf8_lossy(bytes).contains(&text))
    };
    assert!(has_signature(&first_has_it));

    let last_has_it = merged(&sandbox, &["a.tar", "b.tar"], &["--on-conflict", "last"]);
    assert_eq!(
        names(&last_has_it.facts),
        ["example.com/app:v1", "example.com/other:1"]
    );
    assert!(last_has_it.contents.blob(&digest_of(&first)).is_none());
    assert!(!has_signature(&last_has_it));
    assert!(last_has_it.facts.unreferenced.is_empty());
    let conflict = &last_has_it.report["inputs"][0]["conflicts"][0];
    assert_eq!(conflict["name"], "example.com/app:v1");
    assert_eq!(conflict["renamed"], Value::Null);

    let both = merged(&sandbox, &["a.tar", "b.tar"], &["--on-conflict", "rename"]);
    assert_eq!(
        names(&both.facts),
        [
            "example.com/app:v1",
            "example.com/app:v1-2",
            "example.com/other:1"
        ]
    );
    let conflict = &both.report["inputs"][1]["conflicts"][0];
    assert_eq!(conflict["renamed"], "example.com/app:v1-2");
    assert!(has_signature(&both));
}

#[test]
fn images_for_several_platforms_become_one_index() {
    let sandbox = Sandbox::new();
    let mut digests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let mut layout = Layout::new();
        let image = layout.image(&of(architecture));
        let note = attestation(&mut layout, &image);
        let index = layout.index_of(
            OCI_INDEX,
            vec![on(image.clone(), "linux", architecture), note],
        );
        let signed = signature(&mut layout, &image);
        layout.root(vec![named(index, "example.com/build:1"), signed]);
        sandbox.put(&format!("{architecture}.tar"), layout.tar());
        digests.push(digest_of(&image));
    }
    sandbox.put("s390x.tar", archive(&of("s390x"), "example.com/plain:1"));
    let inputs = ["amd64.tar", "arm64.tar", "s390x.tar"];
    let found = merged(&sandbox, &inputs, &["--index", "example.com/app:v1"]);
    assert_eq!(names(&found.facts), ["example.com/app:v1"]);
    let image = &found.report["merged"]["images"][0];
    let index = found
        .contents
        .blob(image["digest"].as_str().unwrap())
        .unwrap();
    let index: Value = serde_json::from_slice(index).unwrap();
    let listed = index["manifests"].as_array().unwrap();
    let of = |kind: &str| {
        listed
            .iter()
            .filter(|item| item["platform"]["architecture"] == kind)
            .count()
    };
    assert_eq!(
        [of("amd64"), of("arm64"), of("s390x"), of("unknown")],
        [1, 1, 1, 2]
    );
    let mut files = found
        .contents
        .files
        .values()
        .map(|bytes| String::from_utf8_lossy(bytes));
    assert!(files.any(|text| text.contains(&format!("signs {}", digests[1]))));
    // The same platform twice cannot be in one index.
    sandbox.put("other.tar", archive(&self::of("arm64"), "example.com/x:1"));
    let mut other = self::of("arm64");
    other.layers.pop();
    sandbox.put("again.tar", archive(&other, "example.com/y:1"));
    let run = merge(
        &sandbox,
        &["other.tar", "again.tar"],
        "out.tar",
        &["--index", "a:1"],
    )
    .exits(1);
    assert!(
        run.stderr
            .contains("cannot join images into the index a:1: two of them are for linux/arm64"),
        "{}",
        run.stderr
    );
    assert!(!sandbox.path("out.tar").exists());
}

#[test]
fn options_of_the_output_apply() {
    let sandbox = Sandbox::new();
    sandbox.put(
        "a.tar",
        fs::read(fixture("buildkit-oci-multi-attest-zstd-ocifalse.tar")).unwrap(),
    );
    sandbox.put("b.tar", archive(&of("arm64"), "example.com/arm:1"));
    let all = merged(&sandbox, &["a.tar", "b.tar"], &[]);
    let one = merged(
        &sandbox,
        &["a.tar", "b.tar"],
        &["--platform", "linux/arm64"],
    );
    assert!(one.contents.files.len() < all.contents.files.len());
    assert!(one.report["merged"]["dropped"]["blobs"].as_u64() > Some(0));
    let gzip = merged(&sandbox, &["a.tar", "b.tar"], &["--compression", "gzip"]);
    let changes = gzip.report["merged"]["changes"].as_array().unwrap();
    assert!(
        changes
            .iter()
            .any(|change| change["rule"] == "recompressed")
    );
    let plain = merged(
        &sandbox,
        &["a.tar", "b.tar"],
        &["--attestations", "drop", "--verify", "full"],
    );
    assert!(plain.contents.files.len() < all.contents.files.len());
    // A directory, and a stream.
    merge(&sandbox, &["a.tar", "b.tar"], "layout", &["--layout"]).exits(0);
    check_output(&sandbox.path("layout"));
    assert!(sandbox.read("layout/index.json") == all.contents.files["index.json"]);
    let line = ["merge", "a.tar", "b.tar", "--dry-run", "--format", "json"];
    let preview = parse_merge(&sandbox.ocify(&line).exits(0).stdout);
    assert_eq!(preview["merged"]["images"], all.report["merged"]["images"]);
    assert_eq!(sandbox.names(), ["a.tar", "b.tar", "layout"]);
}

#[test]
fn what_is_wrong_with_an_input_is_said_of_it() {
    let sandbox = Sandbox::new();
    let good = archive(&of("amd64"), "example.com/app:1");
    sandbox.put("good.tar", &good);
    let header = good.windows(10).position(|part| part == b"index.json");
    sandbox.put("cut.tar", &good[..header.unwrap() + 100]);
    sandbox.put("text.tar", "not an archive");
    let mut damaged = Layout::of(&of("arm64"), "example.com/arm:1");
    let layer = parts(&of("arm64")).pop().unwrap();
    let name = format!("blobs/sha256/{}", &layer[7..]);
    damaged.blobs.get_mut(&name).unwrap()[20] ^= 1;
    sandbox.put("damaged.tar", damaged.tar());
    let before = sandbox.names();
    for (bad, code) in [
        ("cut.tar", "truncated-archive"),
        ("text.tar", "not-an-image"),
        ("none.tar", "io"),
        ("damaged.tar", "digest-mismatch"),
    ] {
        let run = merge(&sandbox, &["good.tar", bad], "out.tar", &[]).exits(1);
        let report = parse_merge(&run.stdout);
        let error = &report["merged"]["error"];
        assert_eq!(error["code"], code, "{bad}: {error:#}");
        if bad != "damaged.tar" {
            assert!(run.stderr.contains(bad), "{}", run.stderr);
        }
        assert_eq!(sandbox.names(), before, "{bad}");
    }
}

#[test]
fn outputs_that_would_destroy_an_input_are_refused() {
    let sandbox = Sandbox::new();
    let bytes = archive(&of("amd64"), "example.com/app:1");
    sandbox.put("a.tar", &bytes);
    sandbox.put("b.tar", archive(&of("arm64"), "example.com/arm:1"));
    Layout::of(&of("s390x"), "example.com/z:1").write_to(&sandbox.path("layout"));
    for (output, options, code) in [
        ("a.tar", &["--force"][..], 1),
        ("b.tar", &["--force"], 1),
        ("b.tar", &[], 1),
        ("layout/new.tar", &[], 1),
        ("new/", &[], 2),
        (".", &[], 2),
        ("x.tar.xz", &[], 2),
    ] {
        let run = merge(&sandbox, &["a.tar", "b.tar", "layout"], output, options);
        assert_eq!(run.code, code, "{output}: {}", run.stderr);
        assert!(sandbox.read("a.tar") == bytes);
    }
    for option in [
        &["--in-place"][..],
        &["--shard", "1/2"],
        &["--rename", "a=b"],
        &["--preserve-digests"],
        &["--name", "x"],
    ] {
        let run = merge(&sandbox, &["a.tar", "b.tar"], "new.tar", option).exits(2);
        assert!(run.stderr.contains(option[0]), "{}", run.stderr);
    }
    assert_eq!(sandbox.names(), ["a.tar", "b.tar", "layout"]);
    let help = sandbox.ocify(&["merge", "--help"]).exits(0).stdout;
    assert!(
        help.contains("--on-conflict") && !help.contains("      --in-place\n"),
        "{help}"
    );
}

#[test]
fn people_see_what_was_merged() {
    let sandbox = Sandbox::new();
    sandbox.put("a.tar", archive(&of("amd64"), "example.com/app:1"));
    sandbox.put("b.tar", archive(&of("arm64"), "example.com/arm:1"));
    let line = ["merge", "a.tar", "b.tar", "-o", "out.tar"];
    let shown = sandbox.ocify(&line).exits(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[0].starts_with("2 inputs → out.tar: merged, 2 images, "),
        "{shown}"
    );
    assert_eq!(lines[2], "a.tar: 1 image, 1 kind of change", "{shown}");
    assert_eq!(lines[5], "images", "{shown}");
    assert!(
        lines[6].starts_with("  example.com/app:1 sha256:"),
        "{shown}"
    );
}
