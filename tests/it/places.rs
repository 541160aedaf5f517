//! Where changes, findings and reasons are, for programs: a JSON pointer into a document of the input.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_ZSTD, named, on, right_layout,
};
use crate::common::runner::Sandbox;
use crate::common::schema::{parse_check, parse_report};
use crate::common::{fixture, fixtures, sha256};
use crate::inspect::extracted;

/// The places of a report's changes, findings and reasons, each with its rule, location and the value that it states.
fn places(report: &Value) -> Vec<(&Value, &Value)> {
    let list = |value: &'_ Value, key: &str| value[key].as_array().map_or(0, Vec::len);
    let mut all = Vec::new();
    for key in ["changes", "findings"] {
        all.extend((0..list(report, key)).map(|number| &report[key][number]));
    }
    for number in 0..list(report, "verdicts") {
        let verdict = &report["verdicts"][number];
        all.extend((0..list(verdict, "because")).map(|number| &verdict["because"][number]));
        for number in 0..list(&verdict["after"], "because") {
            assert_eq!(verdict["after"]["because"][number]["place"], Value::Null);
        }
    }
    all.into_iter().map(|item| (item, &item["place"])).collect()
}

/// Resolves each place in the files of the input, and returns how many values of changes were what the report states, and
/// how many places there were.
fn resolved(report: &Value, root: &Path) -> (usize, usize) {
    let (mut values, mut count) = (0, 0);
    for (item, place) in places(report) {
        if place.is_null() {
            continue;
        }
        count += 1;
        let text = |key: &str| place[key].as_str().unwrap();
        let bytes = fs::read(root.join(text("path"))).unwrap_or_else(|error| {
            panic!("{error}: {item:#}");
        });
        assert_eq!(
            text("document"),
            format!("sha256:{}", sha256(&bytes)),
            "{item:#}"
        );
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let value = document.pointer(text("pointer"));
        let Some(before) = item["before"].as_str() else {
            // What is added is not there, but what it is added to is.
            let parent = text("pointer")
                .rsplit_once('/')
                .map_or("", |(parent, _)| parent);
            let parent = parent.strip_suffix("/annotations").unwrap_or(parent);
            assert!(document.pointer(parent).is_some(), "{item:#}");
            continue;
        };
        let value = value.unwrap_or_else(|| panic!("{item:#}\n{document:#}"));
        let platform = |value: &Value| {
            let part = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", part("os"), part("architecture"))
        };
        let is_stated = match value {
            Value::String(value) if item["rule"] == "recompressed" => before.contains(value),
            Value::String(value) => value == before,
            Value::Number(value) => value.to_string() == before,
            value if item["rule"] == "descriptor-platform" => platform(value) == before,
            // The place is a descriptor, an item or a document.
            _ => continue,
        };
        assert!(is_stated, "{item:#}\n{value:#}");
        values += 1;
    }
    (values, count)
}

/// Those of a dry run, a fix that recompresses, and a check.
fn reports(sandbox: &Sandbox, input: &str) -> Vec<Value> {
    let run = |line: &[&str]| {
        sandbox
            .ocify(&[line, &["--format", "json"]].concat())
            .stdout
    };
    vec![
        parse_report(&run(&["fix", input, "--dry-run"])),
        parse_report(&run(&[
            "fix",
            input,
            "--dry-run",
            "--compression",
            "gzip",
            "--unwrap",
        ])),
        parse_report(&run(&["fix", input, "--dry-run", "--oci-mediatypes=false"])),
        parse_check(&run(&["check", input])),
    ]
}

#[test]
fn pointers_lead_to_the_values_that_reports_state() {
    let sandbox = Sandbox::new();
    let (mut values, mut count) = (0, 0);
    for name in fixtures() {
        let root = sandbox.path("root");
        extracted(&name, &root);
        for report in reports(&sandbox, fixture(&name).to_str().unwrap()) {
            let (of_values, of_all) = resolved(&report, &root);
            values += of_values;
            count += of_all;
        }
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(values > 400 && count > 700, "{values} {count}");
}

/// One image with a layer under another type, a wrong size, a platform where none belongs and an invalid name.
fn wrong() -> Layout {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::oci(vec![Layer::zstd(DOCKER_GZIP, "x")]));
    manifest["layers"][0]["size"] = json!(1);
    manifest["config"]["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let manifest = layout.document(crate::common::builder::OCI_MANIFEST, &manifest);
    layout.root(vec![named(manifest, "Not/Valid:v1")]);
    layout
}

fn at(report: &Value, rule: &str) -> Value {
    let all = places(report).into_iter();
    let mut of_rule = all.filter(|(item, _)| item["rule"] == rule);
    let (_, place) = of_rule
        .next()
        .unwrap_or_else(|| panic!("{rule}: {report:#}"));
    place.clone()
}

#[test]
fn each_kind_of_place_has_its_pointer() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", wrong().tar());
    wrong().write_to(&sandbox.path("root"));
    let report = &reports(&sandbox, "in.tar")[0];
    let (values, _) = resolved(report, &sandbox.path("root"));
    assert!(values > 3, "{report:#}");
    for (rule, pointer) in [
        ("layer-type", "/layers/0/mediaType"),
        ("size", "/layers/0/size"),
        ("descriptor-platform", "/config/platform"),
        ("descriptor", "/manifests/0/digest"),
        (
            "bad-name",
            "/manifests/0/annotations/io.containerd.image.name",
        ),
    ] {
        assert_eq!(at(report, rule)["pointer"], pointer, "{rule}");
    }
    assert_eq!(at(report, "bad-name")["path"], "index.json");
    let check = &reports(&sandbox, "in.tar")[3];
    let place = at(check, "layer-type");
    assert_eq!(place["pointer"], "/layers/0/mediaType");
    assert!(place["path"].as_str().unwrap().starts_with("blobs/sha256/"));
}

/// What is not in a document of the input, or not where ocify read it, has no pointer to a value.
#[test]
fn places_are_those_of_the_input() {
    let sandbox = Sandbox::new();
    // The archive was packed in a directory.
    let mut entries = wrong().entries();
    for entry in &mut entries {
        entry.name.splice(0..0, *b"app/");
    }
    entries.insert(0, Entry::dir("app/"));
    sandbox.put("in.tar", tar(&entries));
    fs::create_dir(sandbox.path("root")).unwrap();
    wrong().write_to(&sandbox.path("root/app"));
    let report = &reports(&sandbox, "in.tar")[0];
    resolved(report, &sandbox.path("root"));
    assert_eq!(at(report, "bad-name")["path"], "app/index.json");

    // index.json lists two images under one name, and ocify's own index is not in the archive.
    let mut layout = Layout::new();
    let one = layout.image(&Image::oci(vec![Layer::gzip(OCI_ZSTD, "1")]));
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "2")]).architecture("arm64");
    let other = layout.image(&other);
    layout.root(vec![
        named(on(one, "linux", "amd64"), "example.com/app:v1"),
        named(on(other, "linux", "arm64"), "example.com/app:v1"),
    ]);
    sandbox.put("in.tar", layout.tar());
    fs::remove_dir_all(sandbox.path("root")).unwrap();
    layout.write_to(&sandbox.path("root"));
    for report in reports(&sandbox, "in.tar") {
        for (item, place) in places(&report) {
            let root = sandbox.path("root");
            if let Some(path) = place["path"].as_str() {
                let bytes = fs::read(root.join(path)).unwrap();
                assert_eq!(
                    place["document"],
                    format!("sha256:{}", sha256(&bytes)),
                    "{item:#}"
                );
            }
        }
    }
    let report = &reports(&sandbox, "in.tar")[0];
    assert_eq!(at(report, "layer-type")["pointer"], "/layers/0/mediaType");
    assert_eq!(at(report, "platforms-nested")["pointer"], "");
    // A missing file, and the archive as a whole.
    let mut layout = right_layout();
    layout.docker_manifest = None;
    sandbox.put("in.tar", layout.tar());
    let report = &reports(&sandbox, "in.tar")[0];
    assert_eq!(at(report, "docker-manifest"), Value::Null);
}

#[test]
fn the_images_of_a_report_have_all_their_platforms() {
    let sandbox = Sandbox::new();
    let input = fixture("buildkit-oci-multi-attest-zstd-ocifalse.tar");
    let input = input.to_str().unwrap();
    let platforms = |line: &[&str]| {
        let line = [&["fix", input, "--dry-run", "--format", "json"], line].concat();
        parse_report(&sandbox.ocify(&line).stdout)["images"][0]["platforms"].clone()
    };
    assert_eq!(platforms(&[]), json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(
        platforms(&["--platform", "linux/arm64"]),
        json!(["linux/arm64"])
    );
}
