//! `ocify merge`: several archives and layouts as one.

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

pub(crate) fn of(architecture: &str) -> Image {
    let layers = vec![
        Layer::gzip(OCI_GZIP, "shared"),
        Layer::gzip(OCI_GZIP, architecture),
    ];
    Image::oci(layers).architecture(architecture)
}

/// An archive of one image of that name.
pub(crate) fn archive(image: &Image, name: &str) -> Vec<u8> {
    Layout::of(image, name).tar()
}

pub(crate) fn merge(sandbox: &Sandbox, inputs: &[&str], output: &str, options: &[&str]) -> Run {
    let line = [
        &["merge"],
        inputs,
        &["-o", output, "--format", "json"],
        options,
    ]
    .concat();
    sandbox.ocify(&line)
}

pub(crate) struct Merged {
    pub(crate) report: Value,
    pub(crate) facts: Facts,
    pub(crate) contents: Contents,
    pub(crate) bytes: Vec<u8>,
}

/// Merges, checks the output, and fixes it, which must not change anything.
#[track_caller]
pub(crate) fn merged(sandbox: &Sandbox, inputs: &[&str], options: &[&str]) -> Merged {
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

pub(crate) fn names(facts: &Facts) -> Vec<String> {
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

/// The same document with every list sorted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, sorted(value)))
            .collect(),
        other => other,
    }
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
        let mut expected = Contents::read(&sandbox.path("fixed.tar"));
        let mut found = merged(&sandbox, &["in.tar"], &[]).contents;
        // `fix` keeps the order of the names, and `merge` sorts them.
        for contents in [&mut expected, &mut found] {
            for document in ["index.json", "manifest.json"] {
                let bytes = contents.files.get_mut(document).unwrap();
                *bytes = sorted(serde_json::from_slice(bytes).unwrap())
                    .to_string()
                    .into();
            }
        }
        assert!(found == expected, "{name}");
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
        assert!(run.stderr.contains(bad), "{}", run.stderr);
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
        &["--digest-map", "map"],
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

/// One image with two digests, because its types differ, is one image of the output with all its names.
#[test]
fn only_images_without_a_name_are_left_out() {
    let sandbox = Sandbox::new();
    let oci = of("amd64");
    let docker = Image::docker(oci.layers.clone()).architecture("amd64");
    let [x, y] = ["x", "y"].map(|text| Image::oci(vec![Layer::gzip(OCI_GZIP, text)]));
    let mut layout = Layout::new();
    let root = [(&oci, "p:1"), (&docker, "q:1"), (&x, "x:1"), (&y, "y:1")]
        .map(|(image, name)| named(layout.image(image), &format!("docker.io/library/{name}")));
    layout.root(root.to_vec());
    sandbox.put("a.tar", layout.tar());
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]);
    sandbox.put("b.tar", archive(&other, "docker.io/library/x:1"));
    for (choice, is_kept) in [("first", true), ("last", false)] {
        let found = merged(&sandbox, &["a.tar", "b.tar"], &["--on-conflict", choice]);
        assert_eq!(
            names(&found.facts),
            ["p:1", "q:1", "x:1", "y:1"],
            "{choice}"
        );
        for image in [&oci, &y] {
            assert!(found.contents.blob(&parts(image)[0]).is_some(), "{choice}");
        }
        assert_eq!(
            found.contents.blob(&parts(&x)[0]).is_some(),
            is_kept,
            "{choice}"
        );
        assert_eq!(found.contents.blob(&parts(&other)[0]).is_some(), !is_kept);
        assert!(found.facts.unreferenced.is_empty());
        let changes = found.report["merged"]["changes"].as_array().unwrap();
        let left_out = changes
            .iter()
            .filter(|change| change["rule"] == "superseded");
        assert_eq!(left_out.count(), 1, "{changes:#?}");
    }
}

#[test]
fn what_no_input_proves_does_not_count_as_verified() {
    let sandbox = Sandbox::new();
    let image = image(&["one", "two"]);
    let mut saved = Saved::new();
    saved.named(
        &image,
        "config.json",
        &["1.tar", "2.tar"],
        json!(["app:v1"]),
    );
    sandbox.put("a.tar", saved.tar());
    sandbox.put("b.tar", archive(&of("arm64"), "example.com/arm:1"));
    let alone = sandbox.fix("a.tar", "x.tar").exits(0).json();
    assert_eq!(alone["blobs"]["unverified"]["configs"], 1);
    fs::remove_file(sandbox.path("x.tar")).unwrap();
    let found = merged(&sandbox, &["a.tar", "b.tar"], &[]);
    assert_eq!(found.report["merged"]["blobs"]["unverified"]["configs"], 1);
    assert_eq!(found.report["merged"]["blobs"]["verified"]["configs"], 1);
    // Another input that states the digest proves it.
    let mut stated = Layout::new();
    let proven = stated.image(&image);
    stated.root(vec![named(proven, "example.com/stated:1")]);
    sandbox.put("c.tar", stated.tar());
    let found = merged(&sandbox, &["a.tar", "c.tar"], &[]);
    assert_eq!(found.report["merged"]["blobs"]["unverified"]["configs"], 0);
}

#[test]
fn platforms_that_are_written_differently_are_the_same() {
    let sandbox = Sandbox::new();
    for (name, variant) in [("a.tar", None), ("b.tar", Some("v8"))] {
        let mut layout = Layout::new();
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, name)]).architecture("arm64");
        let mut image = on(layout.image(&image), "linux", "arm64");
        if let Some(variant) = variant {
            image["platform"]["variant"] = json!(variant);
        }
        let index = layout.index_of(OCI_INDEX, vec![image]);
        layout.root(vec![named(index, &format!("example.com/{}:1", &name[..1]))]);
        sandbox.put(name, layout.tar());
    }
    let run = merge(
        &sandbox,
        &["a.tar", "b.tar"],
        "out.tar",
        &["--index", "app:1"],
    )
    .exits(1);
    let expected = "into the index app:1: one is for linux/arm64 and another for linux/arm64/v8";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
}

#[test]
fn digests_can_be_preserved() {
    let sandbox = Sandbox::new();
    let mut digests = Vec::new();
    for (name, text) in [("a.tar", "a"), ("b.tar", "b")] {
        let mut layout = Layout::new();
        let image = layout.image(&Image::docker(vec![Layer::gzip(OCI_GZIP, text)]));
        digests.push(digest_of(&image));
        layout.root(vec![named(image, &format!("example.com/{text}:1"))]);
        sandbox.put(name, layout.tar());
    }
    let run = merge(
        &sandbox,
        &["a.tar", "b.tar"],
        "out.tar",
        &["--preserve-digests"],
    )
    .exits(0);
    let report = parse_merge(&run.stdout);
    let images = report["merged"]["images"].as_array().unwrap();
    let found: Vec<&str> = images
        .iter()
        .map(|image| image["digest"].as_str().unwrap())
        .collect();
    assert_eq!(found, digests);
    let rewritten = merge(&sandbox, &["a.tar", "b.tar"], "new.tar", &[]).exits(0);
    let images = parse_merge(&rewritten.stdout)["merged"]["images"].clone();
    assert_ne!(images[0]["digest"], digests[0]);
}

#[test]
fn annotations_on_which_the_inputs_agree_are_kept() {
    let sandbox = Sandbox::new();
    for (name, other) in [("a.tar", "1"), ("b.tar", "2")] {
        let mut layout = Layout::of(&of("amd64"), &format!("example.com/{}:1", &name[..1]));
        let mut index: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
        index["annotations"] = json!({"same": "x", "other": other});
        layout.index = Some(index.to_string().into_bytes());
        sandbox.put(name, layout.tar());
    }
    let found = merged(&sandbox, &["a.tar", "b.tar"], &[]);
    let root: Value = serde_json::from_slice(&found.contents.files["index.json"]).unwrap();
    assert_eq!(root["annotations"], json!({"same": "x"}));
    assert!(merged(&sandbox, &["b.tar", "a.tar"], &[]).bytes == found.bytes);
}

#[test]
fn people_see_what_was_found_in_each_input() {
    let sandbox = Sandbox::new();
    let mut saved = Saved::new();
    saved.docker(&image(&["one"]), json!(["one:1"]));
    saved.item("none.json", &["none/layer.tar"], json!(["lost:1"]));
    sandbox.put("incomplete.tar", saved.tar());
    let mut layout = Layout::new();
    let [first, second] = ["a", "b"].map(|architecture| {
        let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]));
        named(image, "docker.io/library/twice:1")
    });
    layout.root(vec![first, second]);
    sandbox.put("shared.tar", layout.tar());
    let mut layout = Layout::new();
    let unnamed = layout.image(&of("arm64"));
    layout.root(vec![unnamed.clone()]);
    sandbox.put("unnamed.tar", layout.tar());
    let inputs = ["incomplete.tar", "shared.tar", "unnamed.tar"];
    let rules = |input: &Value| -> Vec<String> {
        let findings = input["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| finding["rule"].as_str().unwrap().to_owned())
            .collect()
    };
    let found = merged(&sandbox, &inputs, &[]);
    let found: Vec<_> = found.report["inputs"].as_array().unwrap().iter().collect();
    assert_eq!(rules(found[0]), ["missing-blob"]);
    assert!(rules(found[1]).contains(&"shared-name".to_owned()));
    assert_eq!(rules(found[2]), ["unnamed-image"]);

    for more in [&["-o", "out.tar"][..], &["--dry-run"]] {
        let shown = sandbox.ocify(&[&["merge"], &inputs[..], more].concat());
        let shown = shown.exits(0).stdout;
        let warnings: Vec<&str> = shown
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .collect();
        for (input, parts) in [
            ("incomplete.tar", [" was left out", "[missing-blob]"]),
            ("shared.tar", ["have the name twice:1", "[shared-name]"]),
            ("unnamed.tar", [&digest_of(&unnamed), "[unnamed-image]"]),
        ] {
            let start = format!("warning: {input}: ");
            let is_it = |line: &&&str| {
                line.starts_with(&start) && parts.iter().all(|part| line.contains(part))
            };
            assert_eq!(warnings.iter().filter(is_it).count(), 1, "{input}: {shown}");
        }
        // What the output repeats is said once: the second image of the shared name has none.
        let about = |line: &&&str| line.contains(&digest_of(&unnamed));
        assert_eq!(warnings.iter().filter(about).count(), 1, "{shown}");
    }
    // An image that the merge names has a name.
    let line = ["merge", "unnamed.tar", "-o", "new.tar", "--index", "app:1"];
    let shown = sandbox.ocify(&line).exits(0).stdout;
    assert!(!shown.contains("[unnamed-image]"), "{shown}");
}
