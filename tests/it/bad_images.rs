//! One bad image does not block the good ones beside it.

use std::io::Write;

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, digest_of,
    layer_tar, named, on, right_image,
};
use crate::common::checker::{Facts, judge_contents};
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::fails_with;
use crate::common::judged::fixed;
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, config_hex, image, v1_id};

const GOOD: &str = "docker.io/library/good:v1";
const BAD: &str = "docker.io/library/bad:v1";

/// A way in which an image is bad: adds it, and returns its descriptor.
pub(crate) type Bad = fn(&mut Layout) -> Value;

fn bad_image() -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, "bad")])
}

/// An image with another manifest, which is not parsed before it is changed.
fn changed(layout: &mut Layout, change: impl FnOnce(&mut Value)) -> Value {
    let mut manifest = layout.manifest(&bad_image());
    change(&mut manifest);
    layout.document(OCI_MANIFEST, &manifest)
}

fn with_config(layout: &mut Layout, config: &str) -> Value {
    let config = layout.blob(OCI_CONFIG, config);
    changed(layout, |manifest| manifest["config"] = config)
}

fn nested(layout: &mut Layout, depth: usize) -> Value {
    let mut descriptor = layout.image(&bad_image());
    for _ in 0..depth {
        descriptor = layout.index_of(OCI_INDEX, vec![descriptor]);
    }
    descriptor
}

/// Intact images that no engine loads, and the code of the error if they are alone.
#[rustfmt::skip]
pub(crate) const UNLOADABLE: [(&str, Bad, &str); 12] = [
    ("a layer too many", |layout| changed(layout, |manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!([layer, layer]);
    }), "layer-count-mismatch"),
    ("a diff ID too many", |layout| with_config(layout, &json!({"os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": ["sha256:00", "sha256:01"]}}).to_string()), "layer-count-mismatch"),
    ("a config that is not JSON", |layout| with_config(layout, "{"), "invalid-document"),
    ("a config that is a list", |layout| with_config(layout, "[]"), "invalid-document"),
    ("a manifest that is not JSON", |layout| layout.blob(OCI_MANIFEST, "{"), "invalid-document"),
    ("a manifest that is not UTF-8", |layout| layout.blob(OCI_MANIFEST, b"\xff"), "invalid-document"),
    ("a manifest without a config", |layout| layout.blob(OCI_MANIFEST, r#"{"layers":[]}"#), "invalid-document"),
    ("a digest that is none", |layout| changed(layout, |manifest| manifest["layers"][0]["digest"] = json!("sha256:x")), "invalid-digest"),
    ("schema 1 by its type", |layout| layout.blob("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"), "schema1"),
    ("schema 1 by its content", |layout| layout.blob(OCI_MANIFEST, r#"{"fsLayers":[]}"#), "schema1"),
    ("a plugin", |layout| {
        let config = layout.blob("application/vnd.docker.plugin.v1+json", "{}");
        changed(layout, |manifest| manifest["config"] = config)
    }, "plugin"),
    ("too deep", |layout| nested(layout, 40), "document-too-deep"),
];

/// Damaged and ambiguous images, with the code of the error.
#[rustfmt::skip]
pub(crate) const REFUSED: [(&str, Bad, &str); 7] = [
    ("another size and digest", |layout| {
        let mut descriptor = layout.image(&bad_image());
        damage(layout, &descriptor);
        descriptor["size"] = json!(1);
        descriptor
    }, "size-mismatch"),
    ("damaged manifest", |layout| {
        let descriptor = layout.image(&bad_image());
        damage(layout, &descriptor);
        descriptor
    }, "digest-mismatch"),
    ("damaged config", |layout| {
        let manifest = layout.manifest(&bad_image());
        damage(layout, &manifest["config"]);
        layout.document(OCI_MANIFEST, &manifest)
    }, "digest-mismatch"),
    ("damaged layer", |layout| {
        let manifest = layout.manifest(&bad_image());
        damage(layout, &manifest["layers"][0]);
        layout.document(OCI_MANIFEST, &manifest)
    }, "digest-mismatch"),
    ("another diff ID", |layout| {
        let image = Image::oci(vec![Layer::new(OCI_TAR, layer_tar("bad"), &layer_tar("other"))]);
        layout.image(&image)
    }, "diff-id-mismatch"),
    ("both index and manifest", |layout| changed(layout, |manifest| manifest["manifests"] = json!([])), "ambiguous-document"),
    ("duplicate key", |layout| {
        let text = layout.manifest(&bad_image()).to_string().replacen('{', r#"{"x":1,"x":2,"#, 1);
        layout.blob(OCI_MANIFEST, text)
    }, "duplicate-key"),
];

/// Changes the last byte of a blob.
fn damage(layout: &mut Layout, descriptor: &Value) {
    let blob = layout.blobs.get_mut(&blob_name(&digest_of(descriptor)));
    *blob.unwrap().last_mut().unwrap() ^= 1;
}

/// A good image and a bad one, under names of their own.
pub(crate) fn beside(bad: Bad, is_bad_first: bool) -> (Layout, Value) {
    let mut layout = Layout::new();
    let good = named(layout.image(&right_image()), GOOD);
    let bad = bad(&mut layout);
    let mut manifests = vec![good, named(bad.clone(), BAD)];
    if is_bad_first {
        manifests.reverse();
    }
    layout.root(manifests);
    (layout, bad)
}

/// Judges an output without the entries of `index.json` that point at this blob.
#[track_caller]
fn judged_without(contents: &Contents, bad: &Value) -> Facts {
    let mut contents = contents.clone();
    let mut root = contents.json("index.json");
    let manifests = root["manifests"].as_array_mut().unwrap();
    let count = manifests.len();
    manifests.retain(|entry| entry["digest"] != bad["digest"]);
    assert!(manifests.len() < count, "the bad image has gone");
    let is_ours = |name: &str| {
        name.starts_with("blobs/") || ["index.json", "manifest.json", "oci-layout"].contains(&name)
    };
    contents.files.retain(|name, _| is_ours(name));
    contents
        .files
        .insert("index.json".to_owned(), root.to_string().into_bytes());
    match judge_contents(&contents, false, Vec::new()) {
        Ok(facts) => facts,
        Err(faults) => panic!("{}", faults.join("\n")),
    }
}

/// Fixes a layout in every way: the bad image stays, the good one is right, and there is this finding.
#[track_caller]
fn kept_everywhere(name: &str, layout: &Layout, bad: &Value, rule: &str) {
    let check = |contents: &Contents, report: &Value| {
        let facts = judged_without(contents, bad);
        let tags: Vec<&String> = facts.tags.values().flatten().collect();
        assert_eq!(tags, ["good:v1"], "{name}");
        let bytes = contents.blob(&digest_of(bad));
        assert_eq!(bytes.unwrap(), layout.blobs[&blob_name(&digest_of(bad))]);
        let findings = report["findings"].as_array().unwrap();
        let rules: Vec<&Value> = findings.iter().map(|finding| &finding["rule"]).collect();
        assert_eq!(
            rules.iter().filter(|found| ***found == *rule).count(),
            1,
            "{name}: {findings:#?}"
        );
    };
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let mut findings = report["findings"].as_array().unwrap().iter();
    let finding = findings.find(|finding| finding["rule"] == rule).unwrap();
    let location = finding["location"].as_str().unwrap();
    assert!(location.starts_with("index.json, manifests["), "{finding}");
    assert!(
        finding["hint"].as_str().unwrap().contains("--image"),
        "{finding}"
    );
    check(&Contents::read(&sandbox.path("out.tar")), &report);
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged", "{name}: {again:#}");

    let report = sandbox.fix("in.tar", "out/").exits(0).json();
    check(&Contents::read(&sandbox.path("out")), &report);
    let piped = stream(&layout.tar(), &[]).exits(0);
    check(&Contents::from_tar(&piped.out), &piped.json());
    let cloned = ["--verify", "documents"];
    let report = sandbox.fix_with("in.tar", "cloned.tar", &cloned);
    check(
        &Contents::read(&sandbox.path("cloned.tar")),
        &report.exits(0).json(),
    );
    sandbox.put("placed.tar", layout.tar());
    let report = placed::fix(&sandbox, "placed.tar", &[]).exits(0).json();
    check(&Contents::read(&sandbox.path("placed.tar")), &report);
}

#[test]
fn an_image_that_no_engine_loads_is_a_finding_beside_others() {
    for (name, bad, _) in UNLOADABLE {
        for is_bad_first in [true, false] {
            let (layout, bad) = beside(bad, is_bad_first);
            kept_everywhere(name, &layout, &bad, "unloadable-image");
        }
    }
}

#[test]
fn options_apply_to_the_good_image_beside_a_bad_one() {
    for (name, bad, _) in UNLOADABLE {
        let (layout, bad) = beside(bad, true);
        for options in [
            &["--compression", "zstd"][..],
            &["--for", "docker@20.10", "--compression", "uncompressed"],
            &["--missing", "prune"],
            &["--missing", "error"],
            &["--attestations", "drop"],
            &["--rename", "good:v1=good:v1"],
        ] {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", layout.tar());
            let run = sandbox.fix_with("in.tar", "out.tar", options).exits(0);
            let findings = run.json()["findings"].clone();
            assert_eq!(
                findings[0]["rule"], "unloadable-image",
                "{name}: {options:?}"
            );
            judged_without(&Contents::read(&sandbox.path("out.tar")), &bad);
            let again = sandbox.fix_with("out.tar", "again.tar", options);
            let again = again.exits(0).json();
            assert_eq!(again["status"], "unchanged", "{name}: {options:?}");
        }
    }
}

#[test]
fn an_image_that_no_engine_loads_is_refused_alone() {
    for (name, bad, code) in UNLOADABLE {
        let mut layout = Layout::new();
        let bad = named(bad(&mut layout), BAD);
        layout.root(vec![bad]);
        fails_with(name, &layout.tar(), &[], code, &[]);
        // Another one does not help, and neither does leaving out the good one.
        let bad = bad_twice(&mut layout);
        layout.root(bad);
        fails_with(name, &layout.tar(), &[], code, &[]);
    }
    let (layout, _) = beside(UNLOADABLE[0].1, false);
    let options = ["--image", "bad:v1"];
    fails_with("chosen", &layout.tar(), &options, UNLOADABLE[0].2, &[]);
}

/// The entries of the layout, and a schema 1 manifest.
fn bad_twice(layout: &mut Layout) -> Vec<Value> {
    let root: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let mut entries = root["manifests"].as_array().unwrap().clone();
    entries.push(layout.blob("application/vnd.docker.distribution.manifest.v1+json", "{}"));
    entries
}

#[test]
fn a_damaged_or_ambiguous_image_is_refused_beside_others() {
    for (name, bad, code) in REFUSED {
        for is_bad_first in [true, false] {
            let (layout, _) = beside(bad, is_bad_first);
            fails_with(name, &layout.tar(), &[], code, &[]);
        }
    }
}

#[test]
fn a_bad_image_that_is_left_out_does_not_matter() {
    let unloadable = UNLOADABLE.iter().chain(&REFUSED);
    for (name, bad, _) in unloadable {
        let (layout, _) = beside(*bad, true);
        for choice in ["good:v1", &digest_of(&good(&layout))] {
            let found = fixed(&layout.tar(), &["--image", choice]);
            assert_eq!(found.names(), ["good:v1"], "{name}");
            assert_eq!(without_orphans(&found.findings()), [""; 0], "{name}");
            let root = found.contents.json("index.json");
            assert_eq!(root["manifests"].as_array().unwrap().len(), 1, "{name}");
        }
    }
}

/// The error about damage in one image of several names it, and the hint says how to keep the others.
#[test]
fn the_error_about_a_damaged_image_names_it() {
    for (name, bad, code) in &REFUSED[..4] {
        let (layout, _) = beside(*bad, true);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        sandbox.put("placed.tar", layout.tar());
        layout.write_to(&sandbox.path("layout"));
        let hint = "keep only the other images with --image or --platform";
        for line in [
            &["fix", "in.tar", "-o", "out.tar"][..],
            &["fix", "layout", "-o", "out"],
            &["fix", "in.tar", "--dry-run", "--verify", "digests"],
            &["fix", "--in-place", "placed.tar", "--verify", "digests"],
            &["fix", "in.tar", "-o", "out.tar", "--compression", "zstd"],
            &["merge", "in.tar", "-o", "out.tar"],
        ] {
            let run = sandbox.ocify(line).exits(1);
            assert!(
                run.stderr.contains("; bad:v1 needs it"),
                "{name} {line:?}: {}",
                run.stderr
            );
            assert!(run.stderr.contains(hint), "{name} {line:?}: {}", run.stderr);
        }
        // There is nothing to keep if it is alone.
        let mut layout = Layout::new();
        let bad = named(bad(&mut layout), BAD);
        layout.root(vec![bad]);
        sandbox.put("alone.tar", layout.tar());
        let run = sandbox.fix("alone.tar", "out.tar");
        assert_eq!(run.json()["error"]["code"], *code, "{name}");
        assert!(!run.exits(1).stderr.contains("--image"), "{name}");
    }
}

/// Of an image for several platforms, the others can be kept.
#[test]
fn the_error_about_a_damaged_platform_names_its_image() {
    let mut layout = Layout::new();
    let bad = on(REFUSED[3].1(&mut layout), "linux", "amd64");
    let image = layout.image(&right_image().architecture("arm64"));
    let index = layout.index_of(OCI_INDEX, vec![bad, on(image, "linux", "arm64")]);
    layout.root(vec![named(index, GOOD)]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let run = sandbox.fix("in.tar", "out.tar").exits(1);
    assert!(run.stderr.contains("; good:v1 needs it"), "{}", run.stderr);
    assert!(run.stderr.contains("--platform"), "{}", run.stderr);
    let options = ["--platform", "linux/arm64"];
    sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
}

/// Some of the images are changed after their blobs were written.
fn without_orphans<'a>(rules: &[&'a str]) -> Vec<&'a str> {
    let rules = rules.iter().copied();
    rules.filter(|rule| *rule != "orphaned-blobs").collect()
}

/// A document that cannot be read may still be the only one that names a blob.
#[test]
fn blobs_of_bad_images_are_no_orphans() {
    let mut named = 0;
    for (name, bad, _) in UNLOADABLE {
        let (layout, bad) = beside(bad, true);
        let text = layout.blobs.get(&blob_name(&digest_of(&bad))).unwrap();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let options = ["--orphans", "drop"];
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
        let contents = Contents::read(&sandbox.path("out.tar"));
        let manifest: Value = serde_json::from_slice(text).unwrap_or_default();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for descriptor in layers.chain([&manifest["config"]]) {
            let Some(digest) = descriptor["digest"].as_str() else {
                continue;
            };
            let blob = blob_name(digest);
            if layout.blobs.contains_key(&blob) {
                assert!(contents.files.contains_key(&blob), "{name}: {blob}");
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named}");
}

fn good(layout: &Layout) -> Value {
    let root: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let entries = root["manifests"].as_array().unwrap();
    let is_good = |entry: &&Value| entry["annotations"]["io.containerd.image.name"] == GOOD;
    entries.iter().find(is_good).unwrap().clone()
}

#[test]
fn a_bad_platform_is_not_the_one_that_manifest_json_describes() {
    for (name, bad, _) in UNLOADABLE {
        let mut layout = Layout::new();
        let bad = on(bad(&mut layout), "linux", "amd64");
        let good = on(
            layout.image(&right_image().architecture("arm64")),
            "linux",
            "arm64",
        );
        let index = layout.index_of(OCI_INDEX, vec![bad, good.clone()]);
        layout.root(vec![named(index, GOOD)]);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
        assert_eq!(report["findings"][0]["rule"], "unloadable-image", "{name}");
        let contents = Contents::read(&sandbox.path("out.tar"));
        let items = contents.json("manifest.json");
        let config = &contents.document(&digest_of(&good))["config"];
        let expected = json!([{"Config": blob_name(&digest_of(config)), "RepoTags": ["good:v1"], "Layers": items[0]["Layers"]}]);
        assert_eq!(items, expected, "{name}");
    }
}

#[test]
fn a_layer_that_oci_has_no_type_for_keeps_its_own_beside_others() {
    let mut layout = Layout::new();
    let good = named(layout.image(&right_image()), GOOD);
    let plain = layer_tar("xz");
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(&plain).unwrap();
    let xz = Layer::new(OCI_GZIP, encoder.finish().unwrap(), &plain);
    let bad = named(layout.image(&Image::oci(vec![xz])), BAD);
    layout.root(vec![good, bad.clone()]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let finding = &report["findings"][0];
    assert_eq!(finding["rule"], "unsupported-compression");
    assert_eq!(finding["location"], "index.json, manifests[1], layers[0]");
    assert!(
        finding["hint"]
            .as_str()
            .unwrap()
            .contains("--compression gzip")
    );
    // Docker before 29 reads it.
    let contents = Contents::read(&sandbox.path("out.tar"));
    let items = contents.json("manifest.json");
    let tags: Vec<&Value> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["RepoTags"][0])
        .collect();
    assert_eq!(tags, ["good:v1", "bad:v1"]);
    assert_eq!(contents.json("index.json")["manifests"][1], bad);
    let piped = stream(&layout.tar(), &[]).exits(0);
    assert_eq!(piped.json()["findings"], report["findings"]);

    layout.root(vec![bad]);
    fails_with(
        "alone",
        &layout.tar(),
        &[],
        "unsupported-compression",
        &["xz"],
    );
}

/// What BuildKit and others list beside images: not an image, though its config has an image's type.
#[test]
fn evidence_is_not_an_image() {
    let evidence: [(&str, Bad); 3] = [
        ("a note", |layout| {
            let config = layout.blob(OCI_CONFIG, "{}");
            let layer = layout.blob("text/plain", "evidence\n");
            changed(layout, |manifest| {
                manifest["config"] = config;
                manifest["layers"] = json!([layer]);
            })
        }),
        ("layers without diff IDs", |layout| {
            with_config(layout, "{}")
        }),
        ("a config that is not JSON", |layout| {
            with_config(layout, "note")
        }),
    ];
    for (name, evidence) in evidence {
        let mut layout = Layout::new();
        let good = layout.image(&right_image());
        let manifest = layout.manifest(&right_image());
        layout.docker(&manifest, &["good:v1"]);
        let evidence = on(evidence(&mut layout), "unknown", "unknown");
        layout.root(vec![named(good, GOOD), evidence.clone()]);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
        assert_eq!(report["status"], "unchanged", "{name}: {report:#}");
        judged_without(&Contents::read(&sandbox.path("out.tar")), &evidence);
        assert_eq!(report["images"].as_array().unwrap().len(), 1, "{name}");
        let rules = report["findings"].as_array().unwrap().iter();
        assert!(
            rules
                .into_iter()
                .all(|f| f["rule"] == "unknown-media-type" || f["rule"] == "orphaned-blobs"),
            "{name}"
        );
    }
    // An image whose index has the wrong platform is still an image.
    let mut layout = Layout::new();
    let image = on(layout.image(&right_image()), "unknown", "unknown");
    layout.root(vec![named(image, GOOD)]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.names(), ["good:v1"]);
}

#[test]
fn artifacts_that_manifest_json_lists_are_left_out_of_it() {
    let artifacts: [(&str, Bad); 3] = [
        ("wasm", |layout| {
            let config = layout.blob("application/vnd.wasm.config.v0+json", "{}");
            let layer = layout.blob("application/wasm", b"\0asm\x01\0\0\0");
            changed(layout, |manifest| {
                manifest["config"] = config;
                manifest["layers"] = json!([layer]);
            })
        }),
        ("a signature", |layout| {
            let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
            let layer = layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", "signs");
            changed(layout, |manifest| {
                manifest["config"] = config;
                manifest["layers"] = json!([layer]);
            })
        }),
        ("an attestation", |layout| {
            let config = layout.document(
                OCI_CONFIG,
                &json!({"os": "unknown", "architecture": "unknown"}),
            );
            let layer = layout.blob("application/vnd.in-toto+json", "states");
            changed(layout, |manifest| {
                manifest["config"] = config;
                manifest["layers"] = json!([layer]);
            })
        }),
    ];
    for (name, artifact) in artifacts {
        let mut layout = Layout::new();
        let good = named(layout.image(&right_image()), GOOD);
        let artifact = named(artifact(&mut layout), BAD);
        layout.root(vec![good, artifact.clone()]);
        let document: Value =
            serde_json::from_slice(&layout.blobs[&blob_name(&digest_of(&artifact))]).unwrap();
        let image = layout.manifest(&right_image());
        layout.docker_manifest = Some(
            json!([
                crate::common::builder::docker_item(&image, &["good:v1"]),
                crate::common::builder::docker_item(&document, &["bad:v1"]),
            ])
            .to_string()
            .into_bytes(),
        );
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
        let change = &report["changes"][0];
        assert_eq!(change["rule"], "docker-manifest", "{name}: {report:#}");
        assert_eq!(change["before"], "2 images");
        assert_eq!(change["after"], "1 image, without what is not an image");
        let contents = Contents::read(&sandbox.path("out.tar"));
        judged_without(&contents, &artifact);
        assert_eq!(contents.json("index.json")["manifests"][1], artifact);
        let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
        assert_eq!(again["status"], "unchanged", "{name}");
        let piped = stream(&layout.tar(), &[]).exits(0);
        assert!(Contents::from_tar(&piped.out) == contents, "{name}");
    }
}

/// A way in which an image of a Docker archive is bad: it changes the archive, which has that image second.
type BadItem = fn(&mut Saved, &Image);

#[rustfmt::skip]
const ITEMS: [(&str, BadItem, &str, &str); 5] = [
    ("a missing layer", |saved, bad| without(saved, &format!("{}/layer.tar", v1_id(bad, 0))), "missing-blob", "missing-blob"),
    ("a missing config", |saved, bad| without(saved, &format!("{}.json", config_hex(bad))), "missing-blob", "missing-blob"),
    ("a config of another digest", |saved, bad| {
        saved.entry(&format!("{}.json", config_hex(bad))).data.push(b' ');
    }, "digest-mismatch", ""),
    ("a config that is not JSON", |saved, bad| {
        without(saved, &format!("{}.json", config_hex(bad)));
        saved.file("config", "{");
        saved.items[1]["Config"] = json!("config");
    }, "invalid-document", "unloadable-image"),
    ("a layer too few", |saved, _| saved.items[1]["Layers"] = json!([]), "layer-count-mismatch", "unloadable-image"),
];

fn without(saved: &mut Saved, name: &str) {
    let count = saved.entries.len();
    saved.entries.retain(|entry| entry.name != name.as_bytes());
    assert_eq!(saved.entries.len(), count - 1, "{name}");
}

#[test]
fn a_bad_item_of_a_docker_archive_does_not_block_the_others() {
    let (good, bad) = (image(&["good"]), image(&["bad"]));
    for (name, change, code, finding) in ITEMS {
        let mut saved = Saved::new();
        saved.docker(&good, json!(["good:v1"]));
        saved.docker(&bad, json!(["bad:v1"]));
        change(&mut saved, &bad);
        let chosen = fixed(&saved.tar(), &["--image", "good:v1"]);
        assert_eq!(chosen.names(), ["good:v1"], "{name}");
        assert_eq!(chosen.findings(), [""; 0], "{name}");
        if finding.is_empty() {
            fails_with(name, &saved.tar(), &[], code, &[]);
        } else {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", saved.tar());
            let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
            let rules: Vec<&Value> = report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|finding| &finding["rule"])
                .collect();
            assert!(rules.contains(&&json!(finding)), "{name}: {rules:?}");
            let items = Contents::read(&sandbox.path("out.tar")).json("manifest.json");
            assert_eq!(items.as_array().unwrap().len(), 1, "{name}: {items:#}");
            assert_eq!(items[0]["RepoTags"], json!(["good:v1"]), "{name}");
            let piped = stream(&saved.tar(), &[]).exits(0);
            assert_eq!(piped.json()["findings"], report["findings"], "{name}");
            if code == "missing-blob" {
                let options = ["--missing", "error"];
                fails_with(name, &saved.tar(), &options, code, &[]);
                let run = sandbox.fix_with("in.tar", "none.tar", &options).exits(1);
                for part in ["; bad:v1 needs it\n", "--missing prune"] {
                    assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
                }
            }
        }
        saved.items.remove(0);
        fails_with(name, &saved.tar(), &[], code, &[]);
    }
}
