//! Blobs that nothing refers to: what counts as referred to, and how they are reported and dropped.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::common::batch::{batch, put};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, annotated, digest_of,
    docker_item, named, on, right_image, right_layout,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::evidence::{attestation, evidence, tagged};
use crate::common::fixture;
use crate::common::judged::{finding, findings, fixed, fixed_path, rules, written};
use crate::common::piped::{for_people, stream};
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_merge;

const RULE: &str = "orphaned-blobs";
const DROP: [&str; 2] = ["--orphans", "drop"];
const NAME: &str = "docker.io/library/app:v1";

/// A valid archive with two blobs that nothing refers to.
fn with_orphans() -> (Layout, [String; 2]) {
    let mut layout = right_layout();
    let orphans = orphans(&mut layout);
    (layout, orphans)
}

fn orphans(layout: &mut Layout) -> [String; 2] {
    let blobs = ["{\"id\":\"of a layer\"}", "ten bytes."];
    blobs.map(|text| digest_of(&layout.blob("x", text)))
}

/// The names of an archive's blobs.
fn blobs(contents: &Contents) -> BTreeSet<String> {
    let names = contents.files.keys();
    let blobs = names.filter(|name| name.starts_with("blobs/"));
    blobs.cloned().collect()
}

#[test]
fn they_are_reported_and_kept() {
    let (layout, orphans) = with_orphans();
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.report["status"], "unchanged");
    assert!(found.bytes == layout.tar());
    let reported = found.finding(RULE);
    assert_eq!(reported["severity"], "cosmetic");
    assert_eq!(reported["message"], "nothing refers to 2 blobs of 29 bytes");
    assert_eq!(reported["hint"], "remove them with --orphans drop");
    assert_eq!(found.report["dropped"], Value::Null);
    for digest in &orphans {
        assert!(found.contents.blob(digest).is_some());
    }
    // Whatever the form of the input, and `keep` is the default.
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("dir"));
    for options in [&[][..], &["--orphans", "keep"]] {
        let of_directory = fixed_path(&sandbox.path("dir"), options);
        assert!(of_directory.bytes == layout.tar());
        assert_eq!(of_directory.finding(RULE), reported);
    }
    assert_eq!(finding(&stream(&layout.tar(), &[]).json(), RULE), reported);
    assert!(fixed(&right_layout().tar(), &[]).findings().is_empty());
}

/// A gate does not fail because of them, unless their removal is requested.
#[test]
fn a_gate_passes_with_them() {
    let (layout, _) = with_orphans();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    sandbox.put("right.tar", right_layout().tar());
    for (file, options, code) in [
        ("in.tar", &[][..], 0),
        ("in.tar", &["--strict"], 0),
        ("in.tar", &DROP, 3),
        ("right.tar", &DROP, 0),
    ] {
        let line = ["fix", file, "--dry-run", "--format", "json"];
        let run = sandbox.ocify(&[&line, options].concat()).exits(code);
        assert_eq!(
            findings(&run.json()).contains(&RULE),
            code == 0 && file == "in.tar"
        );
    }
}

#[test]
fn they_are_dropped_from_every_kind_of_output() {
    let (layout, _) = with_orphans();
    let found = fixed(&layout.tar(), &DROP);
    assert!(found.bytes == right_layout().tar());
    assert_eq!(found.rules(), ["orphan-dropped"]);
    let change = &found.report["changes"][0];
    assert_eq!(
        (&change["before"], &change["after"]),
        (&json!("2 blobs of 29 bytes"), &Value::Null)
    );
    assert_eq!(change["requested"], true);
    assert_eq!(found.report["dropped"], json!({"blobs": 2, "bytes": 29}));
    assert!(found.findings().is_empty());

    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    layout.write_to(&sandbox.path("dir"));
    let expected = Contents::from_tar(&right_layout().tar());
    for (input, output, more) in [
        ("in.tar", "layout/", &[][..]),
        ("dir", "copy/", &[]),
        ("dir", "linked/", &["--link", "hard"]),
        ("dir", "packed.tar", &[]),
        ("in.tar", "out.tar.zst", &[]),
        ("in.tar", "patched.tar", &["--verify", "documents"]),
    ] {
        let options = [&DROP[..], more].concat();
        let report = sandbox.fix_with(input, output, &options).exits(0).json();
        assert_eq!(
            report["dropped"],
            json!({"blobs": 2, "bytes": 29}),
            "{output}"
        );
        if output != "out.tar.zst" {
            let output = output.trim_end_matches('/');
            assert_eq!(Contents::read(&sandbox.path(output)), expected, "{output}");
        }
    }
    let again = sandbox.fix("out.tar.zst", "again.tar").exits(0);
    assert_eq!(again.json()["findings"], json!([]));
}

/// Only the end of a stream shows what nothing refers to.
#[test]
fn a_stream_is_kept_first_and_that_is_said() {
    let (layout, _) = with_orphans();
    let run = for_people(&layout.tar(), &DROP);
    let reason = "blobs that nothing refers to may have to be removed";
    assert!(run.err.contains(reason), "{}", run.err);
    assert!(run.out == right_layout().tar());
    let kept = for_people(&layout.tar(), &["--orphans", "keep"]);
    assert!(!kept.err.contains("temporary file"), "{}", kept.err);
}

/// Everything that leads from `index.json` or `manifest.json` to a blob, in an archive that has blobs which nothing
/// leads to.
#[test]
fn what_annotations_and_documents_name_is_kept() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    // SOCI's index is named by an annotation of the image, and nothing lists it.
    let empty = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let ztoc = layout.blob("application/octet-stream", "table of contents");
    let soci = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.amazon.soci.index.v2+json", "config": empty, "layers": [ztoc]});
    let soci = layout.document(OCI_MANIFEST, &soci);
    let soci_link = [("com.amazon.soci.index-digest", &*digest_of(&soci))];
    // A signature by tag is of an image that is here and that nothing lists.
    let unlisted = Image::oci(vec![Layer::gzip(OCI_GZIP, "unlisted")]);
    let unlisted = layout.image(&unlisted);
    let payload = layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", "signed");
    let signature = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [payload]});
    let signature = layout.document(OCI_MANIFEST, &signature);
    let mut root = vec![
        annotated(named(image.clone(), NAME), &soci_link),
        tagged(signature, &unlisted, ".sig"),
    ];
    root.extend(evidence(&mut layout, &image));
    root.push(attestation(&mut layout, &image));
    layout.root(root);
    let all = blobs(&Contents::from_tar(&layout.tar()));
    let kept = written(&layout.tar(), &DROP);
    assert_eq!(kept.report["dropped"], Value::Null, "{:#}", kept.report);
    assert!(blobs(&kept.contents).is_superset(&all));
    let none = orphans(&mut layout);
    let dropped = written(&layout.tar(), &DROP);
    assert_eq!(dropped.report["dropped"]["blobs"], 2);
    assert_eq!(dropped.bytes, kept.bytes);
    assert!(
        none.iter()
            .all(|digest| dropped.contents.blob(digest).is_none())
    );
}

/// A manifest that nothing lists refers to others, but nothing leads to it.
#[test]
fn a_referrer_that_nothing_lists_is_dropped() {
    let mut layout = right_layout();
    let index: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let [signature, referrer] = evidence(&mut layout, &index["manifests"][0]);
    let found = fixed(&layout.tar(), &DROP);
    // Two manifests, the config that they share, and the content of each.
    assert_eq!(found.report["dropped"]["blobs"], 5);
    for gone in [signature, referrer] {
        assert!(found.contents.blob(&digest_of(&gone)).is_none());
    }
}

/// What an item of `manifest.json` names is referred to, even if the item cannot be used.
#[test]
fn what_manifest_json_names_is_kept() {
    let mut layout = right_layout();
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "only in manifest.json")]);
    let other = layout.manifest(&other);
    layout.edit_docker(|items| {
        let item = docker_item(&other, &["app:v2"]);
        items.as_array_mut().unwrap().push(item);
    });
    let found = fixed(&layout.tar(), &DROP);
    assert_eq!(found.report["dropped"], Value::Null);
    assert_eq!(found.names(), ["app:v1", "app:v2"]);
}

/// A cache of one layer that the index lists, and of one that only the cache's config names.
fn cache(config: &str, more: &str) -> (Layout, String) {
    let mut layout = Layout::new();
    let listed = layout.blob(OCI_GZIP, b"\x1f\x8b listed");
    let only = digest_of(&layout.blob(OCI_GZIP, b"\x1f\x8b only in the config"));
    let config = config.replace("LISTED", &digest_of(&listed));
    let config = config.replace("ONLY", &only);
    let config = layout.blob("application/vnd.buildkit.cacheconfig.v0", config);
    let cache = layout.index_of(OCI_INDEX, vec![listed, config]);
    layout.root(vec![annotated(
        cache,
        &[("org.opencontainers.image.ref.name", more)],
    )]);
    (layout, only)
}

#[test]
fn what_the_config_of_a_cache_names_is_kept() {
    let layers = r#"{"layers":[{"blob":"LISTED"},{"blob":"ONLY","parent":-1}],"records":[]}"#;
    let (mut layout, only) = cache(layers, "latest");
    let found = written(&layout.tar(), &DROP);
    assert_eq!(found.report["dropped"], Value::Null);
    assert!(found.contents.blob(&only).is_some());
    orphans(&mut layout);
    let found = written(&layout.tar(), &DROP);
    assert_eq!(found.report["dropped"]["blobs"], 2);
    assert!(found.contents.blob(&only).is_some());
    // A config without layers, as of an empty cache, names nothing.
    for config in [
        r#"{"records":[]}"#,
        r#"{"layers":null}"#,
        r#"{"layers":[]}"#,
    ] {
        let (layout, only) = cache(config, "latest");
        let found = written(&layout.tar(), &DROP);
        assert_eq!(found.report["dropped"]["blobs"], 1, "{config}");
        assert!(found.contents.blob(&only).is_none());
    }
}

#[test]
fn nothing_is_dropped_if_the_config_of_a_cache_cannot_be_read() {
    for config in [
        "not JSON",
        "[]",
        r#"{"layers":7}"#,
        r#"{"layers":[{}]}"#,
        r#"{"layers":[{"blob":"ONLY"},{"blob":"no digest"}]}"#,
    ] {
        let (layout, only) = cache(config, "latest");
        let found = written(&layout.tar(), &DROP);
        assert_eq!(found.report["dropped"], Value::Null, "{config}");
        assert!(found.contents.blob(&only).is_some(), "{config}");
        let finding = found.finding(RULE);
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains("cannot be read"), "{message}");
        assert_eq!(rules(&found.report), Vec::<&str>::new(), "{config}");
    }
}

#[test]
fn caches_of_buildkit_have_none_until_one_is_added() {
    for name in [
        "buildkit-cache-list-ocifalse",
        "buildkit-cache-list-ocitrue",
        "buildkit-cache-manifest-ocitrue",
    ] {
        let sandbox = Sandbox::new();
        let input = fixture(name);
        let kept = sandbox.fix_with(&input, "kept/", &DROP).exits(0).json();
        assert_eq!(kept["dropped"], Value::Null, "{name}");
        assert!(!findings(&kept).contains(&RULE), "{name}");
        let orphan = blob_name(&format!("sha256:{}", crate::common::sha256(b"old")));
        fs::write(sandbox.path("kept").join(&orphan), "old").unwrap();
        let dropped = sandbox.fix_with("kept", "out/", &DROP).exits(0).json();
        assert_eq!(
            dropped["dropped"],
            json!({"blobs": 1, "bytes": 3}),
            "{name}"
        );
        fs::remove_file(sandbox.path("kept").join(&orphan)).unwrap();
        let [kept, out] = ["kept", "out"].map(|name| Contents::read(&sandbox.path(name)));
        assert_eq!(kept, out, "{name}");
    }
}

/// What this run replaces or drops is not an orphan of the input, and each blob is counted once.
#[test]
fn they_compose_with_other_options() {
    let mut layout = Layout::new();
    let of = |architecture: &str| {
        let layers = vec![Layer::gzip(DOCKER_GZIP, architecture)];
        Image::docker(layers).architecture(architecture)
    };
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| layout.image(&of(name)));
    let about = attestation(&mut layout, &amd64);
    let list = layout.index_of(
        OCI_INDEX,
        vec![
            on(amd64.clone(), "linux", "amd64"),
            on(arm64, "linux", "arm64"),
            about,
        ],
    );
    let other = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
    layout.root(vec![named(list, NAME), named(other, "example.com/other:1")]);
    let none = orphans(&mut layout);
    let count = layout.blobs.len();
    for options in [
        &[][..],
        &["--image", "1"],
        &["--platform", "linux/amd64"],
        &["--image", "1", "--platform", "linux/amd64", "--unwrap"],
        &["--attestations", "drop"],
        &["--missing", "prune"],
        &["--name", "example.com/new:1", "--image", "2"],
        &["--compression", "zstd"],
        &["--preserve-digests", "--image", "2"],
    ] {
        let kept = written(&layout.tar(), options);
        let dropped = written(&layout.tar(), &[&DROP[..], options].concat());
        let also = written(&layout.tar(), &[options, &DROP].concat());
        assert!(dropped.bytes == also.bytes, "{options:?}");
        let mut expected = kept.contents;
        for digest in &none {
            assert!(
                expected.files.remove(&blob_name(digest)).is_some(),
                "{options:?}"
            );
        }
        assert_eq!(dropped.contents, expected, "{options:?}");
        assert!(
            kept.report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .any(|found| found["rule"] == RULE)
        );
        let number = |report: &Value| report["dropped"]["blobs"].as_u64().unwrap_or(0);
        assert_eq!(
            number(&dropped.report),
            number(&kept.report) + 2,
            "{options:?}"
        );
        if options == ["--preserve-digests", "--image", "2"] {
            let left = blobs(&dropped.contents).len() as u64;
            assert_eq!(
                left + number(&dropped.report),
                count as u64,
                "kept and dropped are all"
            );
        }
    }
}

/// An interrupted run may have written a document that this run writes too.
#[test]
fn a_blob_that_the_output_needs_is_not_counted() {
    let input = Layout::of(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "one")]), NAME);
    let new = fixed(&input.tar(), &[]);
    let mut both = input;
    for (name, bytes) in &new.contents.files {
        if name.starts_with("blobs/") {
            both.blobs.insert(name.clone(), bytes.clone());
        }
    }
    for options in [&[][..], &DROP] {
        let found = fixed(&both.tar(), options);
        assert!(found.bytes == new.bytes);
        assert_eq!(found.report["dropped"], Value::Null);
        assert!(!found.findings().contains(&RULE));
        assert!(!found.rules().contains(&"orphan-dropped"));
    }
}

#[test]
fn an_archive_in_place_keeps_them_or_is_refused() {
    let (layout, _) = with_orphans();
    let (_, report) = placed::fixed(&layout.tar(), &[]);
    assert!(findings(&report).contains(&RULE));
    placed::refused(
        &layout.tar(),
        &DROP,
        "in-place-refused",
        "would have to be removed",
    );
    let (_, report) = placed::fixed(&right_layout().tar(), &DROP);
    assert_eq!(report["status"], "unchanged");
}

#[test]
fn a_batch_and_a_merge_drop_them() {
    let (layout, _) = with_orphans();
    let sandbox = Sandbox::new();
    put(&sandbox, "in/a.tar", layout.tar());
    layout.write_to(&sandbox.path("in/b"));
    let found = batch(&sandbox, &["in", "-o", "out", "--orphans", "drop"]);
    found.exits(0);
    let expected = Contents::from_tar(&right_layout().tar());
    for output in ["out/a.tar", "out/b"] {
        assert_eq!(Contents::read(&sandbox.path(output)), expected, "{output}");
    }
    for item in found.items.values() {
        assert_eq!(item["dropped"]["blobs"], 2, "{item:#}");
    }
    let other = Layout::of(
        &Image::oci(vec![Layer::gzip(OCI_GZIP, "b")]),
        "example.com/b:1",
    );
    put(&sandbox, "b.tar", other.tar());
    let line = ["merge", "in/a.tar", "b.tar", "--format", "json", "-o"];
    let merged = |output: &str, options: &[&str]| {
        let run = sandbox.ocify(&[&line[..], &[output], options].concat());
        parse_merge(&run.exits(0).stdout)["merged"].take()
    };
    assert!(findings(&merged("kept.tar", &[])).contains(&RULE));
    assert_eq!(merged("dropped.tar", &DROP)["dropped"]["blobs"], 2);
    let [kept, dropped] =
        ["kept.tar", "dropped.tar"].map(|name| blobs(&Contents::read(&sandbox.path(name))));
    assert_eq!(kept.difference(&dropped).count(), 2);
}

/// Docker since 25.0 stores a config of each layer, which nothing refers to.
#[test]
fn archives_of_docker_have_some() {
    let found = fixed_path(&fixture("docker26g-save.tar"), &[]);
    let message = found.finding(RULE)["message"].as_str().unwrap();
    assert!(
        message.starts_with("nothing refers to 4 blobs"),
        "{message}"
    );
    let dropped = fixed_path(&fixture("docker26g-save.tar"), &DROP);
    assert_eq!(dropped.report["dropped"]["blobs"], 4);
    assert_eq!(dropped.facts.names, found.facts.names);
    let kept = blobs(&dropped.contents);
    assert_eq!(blobs(&found.contents).difference(&kept).count(), 4);
}
