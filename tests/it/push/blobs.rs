//! Blobs that are mounted, are not sent, or are sent once.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{image, push, totals};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, digest_of, named};
use crate::common::registry::{Answer, Manner, Registry, Request, sha256};
use crate::common::runner::Sandbox;

const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// A mount saves time, and nothing depends on it. After a failure, nothing else is mounted from there: each one would take its time.
#[test]
fn a_mount_that_fails_is_replaced_by_an_upload() {
    let broken = |manner| Answer::new(0).sent(manner);
    let mut rows = vec![
        ("garbage", broken(Manner::Raw(b"garbage".to_vec()))),
        ("silence", broken(Manner::Silence(Duration::ZERO))),
        (
            "elsewhere",
            Answer::new(307).with("Location", "ftp://example.com"),
        ),
        (
            "a lie",
            Answer::new(201).with("Docker-Content-Digest", sha256(b"other")),
        ),
    ];
    for status in [400, 401, 403, 404, 429, 500, 501, 503] {
        rows.push(("an error", Answer::error(status, "UNKNOWN", "no")));
    }
    for (shown, answer) in rows {
        let shown = format!("{shown}, {}", answer.status);
        let is_refusal = (400..500).contains(&answer.status);
        let sandbox = Sandbox::new();
        let registry = Registry::strict_with(move |request, _| {
            request.parameter("mount").is_some().then(|| answer.clone())
        });
        // From another repository of this run, and from one that the user names.
        let mut layout = Layout::new();
        let app = layout.image(&image("app"));
        let names = ["a", "b"].map(|name| format!("{}/{name}:v1", registry.host()));
        layout.root(names.iter().map(|name| named(app.clone(), name)).collect());
        sandbox.put("app.tar", layout.tar());
        let report = push(&sandbox, &["app.tar", "--retries", "0", "--jobs", "1"]);
        assert_eq!(totals(&report), [8, 0, 0], "{shown}");
        let [target, from] = ["c:v1", "a"].map(|name| format!("{}/{name}", registry.host()));
        let args = ["app.tar", &target, "--mount-from", &from];
        let args = [&args[..], &["--retries", "0", "--jobs", "1"]].concat();
        assert_eq!(totals(&push(&sandbox, &args)), [4, 0, 0], "{shown}");
        let is_mount = |request: &&Request| request.parameter("mount").is_some();
        let mounts = registry.stored().requests.iter().filter(is_mount).count();
        assert_eq!(mounts, if is_refusal { 6 } else { 2 }, "{shown}");
        registry.check_complete();
    }
}

/// An archive of an image with one plain layer and one that must not be distributed: whether it has addresses, and is there.
fn with_foreign(has_urls: bool, is_there: bool) -> (Layout, Layer) {
    let foreign = Layer::gzip(FOREIGN, "foreign");
    let layers = vec![Layer::gzip(OCI_GZIP, "plain"), foreign.clone()];
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::oci(layers));
    if has_urls {
        manifest["layers"][1]["urls"] = json!(["https://example.com/layer"]);
    }
    let app = layout.document(crate::common::builder::OCI_MANIFEST, &manifest);
    layout.root(vec![named(app, "example.com/app:v1")]);
    if !is_there {
        layout.blobs.retain(|_, bytes| *bytes != foreign.bytes);
    }
    (layout, foreign)
}

/// Their owners do not allow it, and registries do not ask for them.
#[test]
fn layers_that_must_not_be_distributed_are_not_sent() {
    for (has_urls, is_there, expected) in [
        (true, true, false),
        (true, false, false),
        // Nobody could get it elsewhere.
        (false, true, true),
    ] {
        let shown = format!("addresses: {has_urls}, there: {is_there}");
        let (sandbox, registry) = (Sandbox::new(), Registry::strict());
        let (layout, foreign) = with_foreign(has_urls, is_there);
        layout.write_to(&sandbox.path("app"));
        let target = format!("{}/app:v1", registry.host());
        let report = push(&sandbox, &["app", &target]);
        let digest = sha256(&foreign.bytes);
        let is_digest = |blob: &Value| digest_of(blob) == digest;
        let blobs = report["blobs"].as_array().unwrap();
        assert_eq!(blobs.iter().any(is_digest), expected, "{shown}");
        let asked = registry.stored().log();
        let is_asked = asked.iter().any(|line| line.ends_with(&digest));
        assert_eq!(is_asked, expected, "{shown}");
        let key = ("app".to_owned(), digest.clone());
        assert_eq!(
            registry.stored().blobs.contains_key(&key),
            expected,
            "{shown}"
        );
        let layer = &registry.manifest("app", "v1")["layers"][1];
        assert_eq!(digest_of(layer), digest, "{shown}");
        assert_eq!(layer["urls"].is_array(), has_urls, "{shown}");
    }
}

/// The registry is so slow to say what it lacks that all inputs would ask before one of them has sent it. Two of them are the same image.
#[test]
fn what_several_inputs_have_is_sent_once() {
    let registry = Registry::strict_with(|request, stored| {
        let answer = (request.method == "HEAD").then(|| stored.answer(request))?;
        let slow = Manner::Drip(Duration::from_millis(5));
        Some(match answer.status {
            404 => answer.sent(slow),
            _ => answer,
        })
    });
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    for (name, text) in [("one", "one"), ("again", "one"), ("two", "two")] {
        let layout = Layout::of(&image(text), &format!("example.com/app:{text}"));
        sandbox.put(&format!("in/{name}.tar"), layout.tar());
    }
    let target = format!("{}/app", registry.host());
    sandbox
        .ocify(&["push", "in", &target, "--jobs", "8"])
        .exits(0);
    let mut changes = registry.changes();
    changes.sort_unstable();
    let all = changes.len();
    changes.dedup();
    // For each image a config, a layer, a manifest and a tag, and a layer of both.
    assert_eq!((all, changes.len()), (9, 9), "{changes:#?}");
    // Nor is it asked for again.
    let shared = sha256(&image("").layers[0].bytes);
    let asked = registry.stored().log();
    let asked = asked.iter().filter(|line| line.ends_with(&shared));
    assert_eq!(asked.count(), 1);
    registry.check_complete();
}
