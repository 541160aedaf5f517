//! `--image` and `--missing`: what goes out, and what goes with it.
#![allow(clippy::unwrap_used)]

mod common;

use common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, annotated, digest_of,
    named, on,
};
use common::contents::blob_name;
use common::failure::{fails, fails_with};
use common::fixture;
use common::judged::{Fixed, fixed, fixed_path};
use common::runner::Sandbox;
use common::saved::{Saved, config_hex, image, parts};
use serde_json::{Value, json};

const AT: &str = "index.json, manifests[0]";

fn one() -> Image {
    Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "shared"),
        Layer::gzip(DOCKER_GZIP, "one"),
    ])
}

fn two() -> Image {
    Image::oci(vec![
        Layer::gzip(DOCKER_GZIP, "shared"),
        Layer::gzip(OCI_GZIP, "two"),
    ])
}

/// An attestation of an image, as BuildKit writes it.
fn attestation(layout: &mut Layout, image: &Value) -> Value {
    let statement = layout.blob(
        "application/vnd.in-toto+json",
        format!("about {}", digest_of(image)),
    );
    let config = layout.document(
        "application/vnd.oci.image.config.v1+json",
        &json!({"architecture": "unknown", "os": "unknown", "note": digest_of(image)}),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [statement]});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    let links = [
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", &digest_of(image)),
    ];
    on(annotated(descriptor, &links), "unknown", "unknown")
}

/// cosign's signature by tag, and a referrer.
fn evidence(layout: &mut Layout, image: &Value) -> [Value; 2] {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let payload = layout.blob(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        format!("signs {}", digest_of(image)),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [payload]});
    let tag = format!("{}.sig", digest_of(image).replace(':', "-"));
    let signature = annotated(
        layout.document(OCI_MANIFEST, &manifest),
        &[("org.opencontainers.image.ref.name", &tag)],
    );
    let note = layout.blob("application/x-note", format!("notes {}", digest_of(image)));
    let subject =
        json!({"mediaType": image["mediaType"], "digest": image["digest"], "size": image["size"]});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note", "config": config, "layers": [note], "subject": subject});
    [signature, layout.document(OCI_MANIFEST, &manifest)]
}

/// Two images with all that can refer to an image; the second one lies in an index.
struct Crowd {
    layout: Layout,
    first: Value,
    inner: Value,
    index: Value,
}

fn crowd() -> Crowd {
    let mut layout = Layout::new();
    let first = layout.image(&one());
    let inner = layout.image(&two());
    let first_attestation = attestation(&mut layout, &first);
    let inner_attestation = attestation(&mut layout, &inner);
    let index = layout.index_of(
        OCI_INDEX,
        vec![on(inner.clone(), "linux", "amd64"), inner_attestation],
    );
    let [first_signature, first_note] = evidence(&mut layout, &first);
    let [second_signature, second_note] = evidence(&mut layout, &index);
    layout.root(vec![
        first_signature,
        named(first.clone(), "docker.io/library/one:1"),
        named(first.clone(), "example.com/alias:2"),
        first_attestation,
        first_note,
        named(index.clone(), "docker.io/library/two:1"),
        second_signature,
        second_note,
    ]);
    layout.blob("application/octet-stream", "nobody names this");
    Crowd {
        layout,
        first,
        inner,
        index,
    }
}

fn positions(found: &Fixed, rule: &str) -> Vec<String> {
    let changes = found.changes(&[rule]);
    changes
        .into_iter()
        .map(|change| change[1].replace("index.json, manifests", ""))
        .collect()
}

#[test]
fn an_image_is_chosen_in_every_way() {
    let Crowd {
        layout,
        first,
        inner,
        index,
    } = crowd();
    let bytes = layout.tar();
    let config = |image: &Image| format!("sha256:{}", config_hex(image));
    let bare = |digest: &str| digest.replace("sha256:", "");
    let ways = [
        vec![
            "docker.io/library/one:1".to_owned(),
            "one:1".to_owned(),
            "example.com/alias:2".to_owned(),
            digest_of(&first),
            bare(&digest_of(&first)),
            config(&one()),
            bare(&config(&one())),
            "1".to_owned(),
        ],
        vec![
            "docker.io/library/two:1".to_owned(),
            "two:1".to_owned(),
            digest_of(&index),
            bare(&digest_of(&index)),
            config(&two()),
            "2".to_owned(),
        ],
    ];
    let names: [&[&str]; 2] = [&["example.com/alias:2", "one:1"], &["two:1"]];
    let left_out: [&[&str]; 2] = [&["[5]", "[6]", "[7]"], &["[0]", "[1]", "[2]", "[3]", "[4]"]];
    for (number, ways) in ways.iter().enumerate() {
        let expected = fixed(&bytes, &["--image", &ways[0]]);
        assert_eq!(expected.names(), names[number]);
        assert_eq!(positions(&expected, "image-choice"), left_out[number]);
        for way in &ways[1..] {
            assert!(
                fixed(&bytes, &["--image", way]).bytes == expected.bytes,
                "{way}"
            );
        }
        // The other one's blobs are gone, the shared one is not, and what nobody names stays.
        let found = |text: &str| {
            expected
                .contents
                .files
                .values()
                .any(|bytes| String::from_utf8_lossy(bytes).contains(text))
        };
        let [(kept, image), (gone, other)] = if number == 0 {
            [(&first, one()), (&index, two())]
        } else {
            [(&index, two()), (&first, one())]
        };
        assert!(
            found(&format!("signs {}", digest_of(kept)))
                && found(&format!("notes {}", digest_of(kept)))
        );
        assert!(
            !found(&format!("signs {}", digest_of(gone)))
                && !found(&format!("notes {}", digest_of(gone)))
        );
        let attested = if number == 0 {
            [&first, &inner]
        } else {
            [&inner, &first]
        };
        assert!(
            found(&format!("about {}", digest_of(attested[0])))
                && !found(&format!("about {}", digest_of(attested[1])))
        );
        assert!(found("nobody names this"));
        let has = |digest: &str| expected.contents.blob(digest).is_some();
        assert!(parts(&image).iter().all(|part| has(part)));
        assert!(has(&parts(&other)[1]) && !has(&parts(&other)[0]) && !has(&parts(&other)[2]));
        assert_eq!(expected.facts.unreferenced.len(), 1);
    }
    let both = fixed(&bytes, &["--image", "two:1", "--image", "1"]);
    assert!(both.bytes == fixed(&bytes, &[]).bytes);
    // An image inside an index is no entry; the message lists what is there.
    for choice in [
        digest_of(&inner),
        "one".to_owned(),
        "3".to_owned(),
        "other:1".to_owned(),
        format!("sha256:{}", "0".repeat(64)),
    ] {
        let shown = if choice == "one" {
            "one:latest"
        } else {
            &choice
        };
        let parts = [
            "no image in the archive is",
            shown,
            "1: one:1 = example.com/alias:2",
            "2: two:1",
        ];
        let expected = if choice == digest_of(&inner) {
            continue;
        } else {
            "image-not-found"
        };
        fails_with(&choice, &bytes, &["--image", &choice], expected, &parts);
    }
    fails_with(
        "one of two",
        &bytes,
        &["--image", "1", "--image", "7"],
        "image-not-found",
        &["number 7"],
    );
}

#[test]
fn unnamed_images_are_listed_by_digest() {
    let mut layout = Layout::new();
    let (first, second) = (layout.image(&one()), layout.image(&two()));
    layout.root(vec![first.clone(), second.clone()]);
    let listed = [
        format!("1: {}", digest_of(&first)),
        format!("2: {}", digest_of(&second)),
    ];
    fails_with(
        "name",
        &layout.tar(),
        &["--image", "app"],
        "image-not-found",
        &[&listed[0], &listed[1]],
    );
    let found = fixed(&layout.tar(), &["--image", "2", "--name", "app"]);
    assert_eq!(found.names(), ["app:latest"]);
    assert_eq!(found.report["images"].as_array().unwrap().len(), 1);
}

#[test]
fn images_of_docker_archives_are_chosen_too() {
    let (one, two) = (image(&["a", "b"]), image(&["a", "c"]));
    let mut saved = Saved::new();
    saved.docker(&one, json!(["one:1", "one:2"]));
    saved.docker(&two, Value::Null);
    for choice in ["one:2", "1", &config_hex(&one)] {
        let found = fixed(&saved.tar(), &["--image", choice]);
        assert_eq!(found.names(), ["one:1", "one:2"], "{choice}");
        assert_eq!(found.contents.parts(), [parts(&one)], "{choice}");
        assert!(found.contents.blob(&parts(&two)[2]).is_none(), "{choice}");
        assert!(found.facts.unreferenced.is_empty(), "{choice}");
    }
    assert_eq!(
        fixed(&saved.tar(), &["--image", &config_hex(&two)])
            .contents
            .parts(),
        [parts(&two)]
    );
}

#[test]
fn a_wrong_choice_is_wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", crowd().layout.tar());
    for (choice, told) in [
        ("0", "counted from 1"),
        ("App", "expected a name, a digest or a number"),
        ("", "expected a name"),
        ("-1", ""),
    ] {
        let run = sandbox
            .fix_with("in.tar", "out.tar", &["--image", choice])
            .exits(2);
        assert!(run.stderr.contains(told), "{choice}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{choice}");
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

/// An index of two platforms with an attestation each; `gone` are blobs that the archive lacks.
fn platforms(gone: &dyn Fn(&[Value; 4]) -> Vec<Value>, nested: bool) -> Vec<u8> {
    let mut layout = Layout::new();
    let amd64 = layout.image(&one());
    let arm64 = layout.image(&two().architecture("arm64"));
    let about = [
        attestation(&mut layout, &amd64),
        attestation(&mut layout, &arm64),
    ];
    let parts = [
        on(amd64, "linux", "amd64"),
        on(arm64, "linux", "arm64"),
        about[0].clone(),
        about[1].clone(),
    ];
    let index = if nested {
        let [amd64, arm64, first, second] = parts.clone();
        let inner = layout.index_of(OCI_INDEX, vec![second, arm64]);
        layout.index_of(OCI_INDEX, vec![first, amd64, inner])
    } else {
        layout.index_of(OCI_INDEX, parts.to_vec())
    };
    for descriptor in gone(&parts) {
        layout
            .blobs
            .remove(&blob_name(&digest_of(&descriptor)))
            .unwrap();
    }
    layout.root(vec![named(index, "docker.io/library/app:v1")]);
    layout.tar()
}

#[test]
fn absent_platforms_are_pruned_with_their_attestations() {
    let absent = |parts: &[Value; 4]| vec![parts[1].clone()];
    let bytes = platforms(&absent, false);
    let kept = fixed(&bytes, &[]);
    assert_eq!(
        kept.finding("missing-manifest")["location"],
        format!("{AT}, manifests[1]")
    );
    fails_with(
        "error",
        &bytes,
        &["--missing", "error"],
        "missing-blob",
        &[AT, "manifests[1]"],
    );
    let found = fixed(&bytes, &["--missing", "prune"]);
    assert_eq!(
        positions(&found, "absent-pruned"),
        ["[0], manifests[1]", "[0], manifests[3]"]
    );
    assert!(
        !found.findings().contains(&"missing-manifest"),
        "{:?}",
        found.findings()
    );
    assert!(found.facts.missing.is_empty());
    assert_eq!(found.contents.manifests().len(), 2);
    assert_eq!(found.report["images"][0]["platform"], "linux/amd64");

    // A layer of the platform is enough, and what only that platform needed goes.
    let arm = two().architecture("arm64");
    let layer = json!({"digest": parts(&arm)[2]});
    let config = json!({"digest": parts(&arm)[0]});
    for part in [layer, config] {
        let bytes = platforms(&|_| vec![part.clone()], false);
        let pruned = fixed(&bytes, &["--missing", "prune"]);
        assert_eq!(pruned.contents.parts(), found.contents.parts());
        assert!(pruned.facts.missing.is_empty() && pruned.facts.unreferenced.is_empty());
        fails_with(
            "error",
            &bytes,
            &["--missing", "error"],
            "missing-blob",
            &[AT, "manifests[1]", &digest_of(&part).replace("sha256:", "")],
        );
    }
    // Nothing absent: nothing pruned, and nothing to refuse.
    let whole = platforms(&|_| vec![], false);
    for policy in ["prune", "error", "keep"] {
        assert!(fixed(&whole, &["--missing", policy]).bytes == fixed(&whole, &[]).bytes);
    }
}

#[test]
fn an_index_that_is_left_empty_goes() {
    let absent = |parts: &[Value; 4]| vec![parts[1].clone()];
    let found = fixed(&platforms(&absent, true), &["--missing", "prune"]);
    assert_eq!(
        positions(&found, "absent-pruned"),
        ["[0], manifests[2]"],
        "nothing is told of what is inside"
    );
    assert_eq!(found.contents.manifests().len(), 2);
    assert!(found.facts.unreferenced.is_empty() && found.facts.missing.is_empty());
}

#[test]
fn an_absent_attestation_goes_alone() {
    let found = fixed(
        &platforms(&|parts| vec![parts[3].clone()], false),
        &["--missing", "prune"],
    );
    assert_eq!(positions(&found, "absent-pruned"), ["[0], manifests[3]"]);
    assert_eq!(found.contents.manifests().len(), 3);
}

#[test]
fn an_archive_in_which_nothing_is_whole_is_refused() {
    let all = platforms(&|parts| parts[..2].to_vec(), false);
    for policy in ["keep", "prune", "error"] {
        fails_with(policy, &all, &["--missing", policy], "missing-blob", &[AT]);
    }
    let shared = json!({"digest": parts(&one())[1]});
    let bytes = platforms(&|_| vec![shared.clone()], false);
    fails(
        "no image is whole",
        &bytes,
        "missing-blob",
        &["no image is whole"],
    );
}

#[test]
fn an_image_of_several_goes_with_its_name() {
    let Crowd {
        mut layout, first, ..
    } = crowd();
    layout.blobs.remove(&blob_name(&digest_of(&first)));
    let found = fixed(&layout.tar(), &["--missing", "prune"]);
    assert_eq!(found.names(), ["two:1"]);
    assert!(
        found
            .contents
            .manifests()
            .iter()
            .all(|(digest, _)| *digest != digest_of(&first))
    );
}

#[test]
fn what_may_be_fetched_elsewhere_is_never_missing() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for (media_type, urls) in [
        (foreign, json!([])),
        (OCI_GZIP, json!(["https://example.com/a"])),
    ] {
        let app = Image::oci(vec![
            Layer::gzip(media_type, "base"),
            Layer::gzip(OCI_GZIP, "app"),
        ]);
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&app);
        manifest["layers"][0]["urls"] = urls;
        layout
            .blobs
            .remove(&blob_name(&digest_of(&manifest["layers"][0])));
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
        for policy in ["keep", "prune", "error"] {
            let found = fixed(&layout.tar(), &["--missing", policy]);
            assert_eq!(found.findings(), ["absent-content"], "{policy}");
            assert!(found.changes(&["absent-pruned"]).is_empty());
        }
    }
}

#[test]
fn exports_of_one_platform_become_whole() {
    for name in [
        "containerd17-export-multi.tar",
        "docker26c-save-pulledmulti.tar",
    ] {
        let path = fixture(name);
        let kept = fixed_path(&path, &[]);
        assert!(kept.findings().contains(&"missing-manifest"), "{name}");
        let found = fixed_path(&path, &["--missing", "prune"]);
        assert!(!found.findings().contains(&"missing-manifest"), "{name}");
        assert!(found.facts.missing.is_empty(), "{name}");
        assert_eq!(found.names(), kept.names(), "{name}");
        assert_eq!(
            found.contents.manifests(),
            kept.contents.manifests(),
            "{name}"
        );
        let sandbox = Sandbox::new();
        let run = sandbox
            .fix_with(&path, "out.tar", &["--missing", "error"])
            .exits(1);
        assert_eq!(run.json()["error"]["code"], "missing-blob", "{name}");
    }
}
