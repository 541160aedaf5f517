//! The options of `fix` that decide what is pushed, and how much at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{push, run, two_platforms};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, named};
use crate::common::fixture;
use crate::common::registry::{Answer, Gate, Manner, Registry};
use crate::common::runner::Sandbox;
use crate::common::schema::parse_push;

#[test]
fn one_platform_is_pushed_as_an_index_or_as_a_manifest() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let both = two_platforms(&mut layout);
    let index = layout.index_of(OCI_INDEX, both.to_vec());
    layout.root(vec![named(index, "example.com/app:v1")]);
    sandbox.put("app.tar", layout.tar());
    let platform = ["--platform", "linux/arm64"];
    for (tag, more, expected) in [
        ("index", &[][..], OCI_INDEX),
        ("manifest", &["--unwrap"], OCI_MANIFEST),
    ] {
        let target = format!("{}/app:{tag}", registry.host());
        let report = push(
            &sandbox,
            &[&["app.tar", &target], &platform[..], more].concat(),
        );
        assert_eq!(report["images"][0]["media_type"], expected);
        let stored = registry.manifest("app", tag);
        assert_eq!(stored["mediaType"], expected);
        if let Some(listed) = stored["manifests"].as_array() {
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0]["platform"]["architecture"], "arm64");
        }
    }
    registry.check_complete();
}

#[test]
fn attestations_can_be_dropped() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let input = fixture("buildkit-oci-multi-attest-zstd-ocitrue.tar");
    let count = |tag: &str, more: &[&str]| {
        let target = format!("{}/app:{tag}", registry.host());
        push(
            &sandbox,
            &[&[input.to_str().unwrap(), &target], more].concat(),
        );
        let index = registry.manifest("app", tag);
        index["manifests"].as_array().unwrap().len()
    };
    assert_eq!(count("all", &[]), 4);
    assert_eq!(count("images", &["--attestations", "drop"]), 2);
    registry.check_complete();
}

#[test]
fn layers_are_recompressed_for_an_engine() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let input = fixture("buildkit-docker-zstd-ocifalse.tar");
    let target = format!("{}/app:v1", registry.host());
    push(
        &sandbox,
        &[input.to_str().unwrap(), &target, "--for", "docker@20.10"],
    );
    let manifest = registry.manifest("app", "v1");
    let layers = manifest["layers"].as_array().unwrap();
    assert!(
        layers.iter().all(|layer| layer["mediaType"] == OCI_GZIP),
        "{manifest:#}"
    );
}

/// Only `--verify full` decompresses layers, which is done before anything is sent.
#[test]
fn layers_can_be_verified_against_their_diff_ids() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layer = Layer::gzip(OCI_GZIP, "app");
    layer.diff_id = format!("sha256:{}", "0".repeat(64));
    let image = Image::oci(vec![layer]);
    sandbox.put("app.tar", Layout::of(&image, "example.com/app:v1").tar());
    let target = format!("{}/app:v1", registry.host());
    for more in [&[][..], &["--dry-run"]] {
        let args = [&["app.tar", &target, "--verify", "full"], more].concat();
        let report = parse_push(&run(&sandbox, &args).exits(1).stdout);
        assert_eq!(report["error"]["code"], "diff-id-mismatch", "{report:#}");
        assert!(registry.stored().requests.is_empty());
    }
    push(&sandbox, &["app.tar", &target]);
}

#[test]
fn progress_is_of_the_bytes_that_are_sent() {
    let sandbox = Sandbox::new();
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "app")]);
    sandbox.put("app.tar", Layout::of(&image, "example.com/app:v1").tar());
    let registry = Registry::strict();
    let target = format!("{}/app:v1", registry.host());
    // The second time, everything is there.
    for _ in 0..2 {
        let line = [
            "push",
            "app.tar",
            &target,
            "--format",
            "json",
            "--progress",
            "rawjson",
        ];
        let run = sandbox.ocify(&line).exits(0);
        let report = parse_push(&run.stdout);
        let blobs = report["blobs"].as_array().unwrap().iter();
        let blobs = blobs.filter(|blob| blob["media_type"].is_null());
        let total: u64 = blobs.map(|blob| blob["size"].as_u64().unwrap()).sum();
        let events = run.stderr.lines();
        let events: Vec<Value> = events
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let event = |event: &str, done: u64| serde_json::json!({"event": event, "phase": "sending", "done": done, "total": total});
        assert_eq!(events.first(), Some(&event("start", 0)));
        assert_eq!(events.last(), Some(&event("finish", total)));
    }
    let plain = sandbox.ocify(&["push", "app.tar", &target, "--progress", "plain"]);
    assert!(plain.exits(0).stderr.starts_with("sending "));
}

/// A registry that is busy for the first requests with a blob, and says when to come back or does not.
#[test]
fn requests_are_repeated_as_often_as_was_chosen() {
    for (status, wait) in [(503, None), (429, Some("0")), (502, None)] {
        let refusals = Arc::new(AtomicUsize::new(2));
        let left = Arc::clone(&refusals);
        let registry = Registry::strict_with(move |request, _| {
            let is_refused = request.method == "PUT" && request.path.contains("/blobs/");
            let take = |left: usize| left.checked_sub(1);
            if !is_refused || left.fetch_update(Relaxed, Relaxed, take).is_err() {
                return None;
            }
            let busy = Answer::new(status);
            Some(match wait {
                Some(wait) => busy.with("Retry-After", wait),
                None => busy,
            })
        });
        let sandbox = Sandbox::new();
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "app")]);
        sandbox.put("app.tar", Layout::of(&image, "example.com/app:v1").tar());
        let target = format!("{}/app:v1", registry.host());
        let args = ["app.tar", &target, "--jobs", "1", "--retries"];
        for (retries, is_enough) in [("0", false), ("1", true)] {
            refusals.store(2 - usize::from(is_enough), Relaxed);
            let args = [&args[..], &[retries]].concat();
            if is_enough {
                push(&sandbox, &args);
                registry.check_complete();
                continue;
            }
            let report = parse_push(&run(&sandbox, &args).exits(1).stdout);
            assert_eq!(report["error"]["code"], "registry-busy", "{report:#}");
            assert!(registry.tags("app").is_empty());
            assert_eq!(refusals.load(Relaxed), 1, "it was asked once");
            assert!(registry.stored().uploads.is_empty());
        }
    }
}

/// How many uploads are open at once, of a registry that opens none before as many are wanted, and then takes some time.
#[test]
fn so_many_blobs_are_sent_at_a_time() {
    let layers = (0..12).map(|number| Layer::gzip(OCI_GZIP, &number.to_string()));
    let image = Image::oci(layers.collect());
    for (more, limit) in [(&["--jobs", "1"][..], 1), (&["--jobs", "2"], 2), (&[], 4)] {
        let most = Arc::new(AtomicUsize::new(0));
        let (own, gate) = (Arc::clone(&most), Gate::default());
        let registry = Registry::strict_with(move |request, stored| {
            let answer = stored.answer(request);
            let open = stored.uploads.len();
            let before = own.fetch_max(open, Relaxed);
            if before < limit && open >= limit {
                let gate = gate.clone();
                thread::spawn(move || {
                    // One too many would come now.
                    thread::sleep(Duration::from_millis(200));
                    gate.open();
                });
            }
            let is_opening = request.method == "POST";
            Some(match is_opening {
                true => answer.sent(Manner::After(gate.clone())),
                false => answer,
            })
        });
        let sandbox = Sandbox::new();
        sandbox.put("app.tar", Layout::of(&image, "example.com/app:v1").tar());
        let target = format!("{}/app:v1", registry.host());
        run(&sandbox, &[&["app.tar", &target], more].concat()).exits(0);
        assert_eq!(most.load(Relaxed), limit, "{more:?}");
        registry.check_complete();
    }
}
