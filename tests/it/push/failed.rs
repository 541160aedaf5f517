//! Pushes that fail half-way: the report says what is in the registry, and the next push sends the rest.

use serde_json::{Value, json};

use super::{image, push, run, totals};
use crate::common::builder::{Layout, named};
use crate::common::registry::{Answer, Registry, Request, Stored};
use crate::common::runner::Sandbox;
use crate::common::schema::parse_push;

/// The states of blobs, of which the first are the largest, and then of manifests.
pub(super) fn states(report: &Value) -> Vec<&str> {
    let blobs = report["blobs"].as_array().unwrap().iter();
    blobs.map(|blob| blob["state"].as_str().unwrap()).collect()
}

pub(super) fn counts(report: &Value) -> [u64; 5] {
    ["sent", "mounted", "exists", "failed", "pending"]
        .map(|key| report["totals"][key]["count"].as_u64().unwrap())
}

/// The sandbox with an archive of one image.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let layout = Layout::of(&image("app"), "example.com/app:v1");
    sandbox.put("app.tar", layout.tar());
    sandbox
}

/// Refuses what `is_refused` says.
fn refusing(is_refused: impl Fn(&Request, &Stored) -> bool + Send + Sync + 'static) -> Registry {
    Registry::strict_with(move |request, stored| {
        let denied = Answer::error(403, "DENIED", "no more");
        is_refused(request, stored).then_some(denied)
    })
}

#[test]
fn the_report_says_what_is_in_the_registry() {
    let (sandbox, registry) = (sandbox(), Registry::strict());
    registry.stored().fails_after = Some(1);
    let target = format!("{}/app:v1", registry.host());
    let line = ["app.tar", &target, "--jobs", "1"];
    let report = parse_push(&run(&sandbox, &line).exits(1).stdout);
    assert_eq!(states(&report), ["sent", "failed", "pending", "pending"]);
    assert_eq!(counts(&report), [1, 0, 0, 1, 2]);
    assert_eq!(report["images"], json!([]));
    assert_eq!(report["error"]["code"], "registry-denied");
    // With several at a time, all that began has ended.
    let other = format!("{}/other:v1", registry.host());
    registry.stored().fails_after = Some(0);
    let report = parse_push(&run(&sandbox, &["app.tar", &other]).exits(1).stdout);
    assert!(counts(&report)[3] >= 1, "{report:#}");
    assert_eq!(counts(&report).iter().sum::<u64>(), 4);
    assert_eq!(counts(&report)[0], 0);

    // People read it too.
    registry.stored().fails_after = Some(0);
    let text = sandbox.ocify(&[&["push"], &line[..]].concat()).exits(1);
    let failed = report["blobs"][1]["digest"].as_str().unwrap();
    let mut lines = text.stdout.lines();
    let first = lines.next().unwrap();
    let start = format!("app.tar → {target}: not completed, 1 of 4 blobs is in the registry: ");
    assert!(first.starts_with(&start), "{first}");
    for part in ["1 already there (", "1 failed (", "2 not sent ("] {
        assert!(first.contains(part), "{first}");
    }
    let repository = target.trim_end_matches(":v1");
    let start = format!("  failed: {repository}@{failed} (");
    assert!(lines.next().unwrap().starts_with(&start), "{}", text.stdout);
    assert_eq!(lines.next(), Some("  The next push continues from there."));
    assert_eq!(lines.next(), None);
    registry.stored().fails_after = Some(0);
    let full = sandbox
        .ocify(&[&["push"], &line[..], &["-v"]].concat())
        .exits(1);
    for (state, expected) in [("already there", 1), ("failed", 1), ("not sent", 2)] {
        let start = format!("  {state}: {repository}@sha256:");
        let found = full.stdout.lines().filter(|line| line.starts_with(&start));
        assert_eq!(found.count(), expected, "{}", full.stdout);
    }

    registry.stored().fails_after = None;
    let report = push(&sandbox, &line);
    assert_eq!(totals(&report), [3, 0, 1]);
    assert_eq!(counts(&report)[3..], [0, 0]);
    registry.check_complete();
}

/// Manifests and tags come after blobs.
#[test]
fn a_failure_of_a_manifest_or_tag_leaves_the_blobs() {
    let is_put =
        |request: &Request| request.method == "PUT" && request.path.contains("/manifests/");
    let manifests = refusing(move |request, _| is_put(request));
    let tags = refusing(move |request, _| is_put(request) && request.path.ends_with("/v2"));
    for (registry, expected, shown) in [
        (
            manifests,
            ["sent", "sent", "sent", "failed"],
            "3 of 4 blobs are in the registry: 3 sent (",
        ),
        (
            tags,
            ["sent", "sent", "sent", "sent"],
            "4 of 4 blobs are in the registry, but not all tags are set: 4 sent (",
        ),
    ] {
        let sandbox = sandbox();
        let target = format!("{}/app:v2", registry.host());
        let report = parse_push(&run(&sandbox, &["app.tar", &target]).exits(1).stdout);
        assert_eq!(states(&report), expected);
        // Blobs that were there or were mounted are told apart.
        let other = format!("{}/other:v2", registry.host());
        let from = format!("{}/app", registry.host());
        let line = ["app.tar", &other, "--mount-from", &from];
        let report = parse_push(&run(&sandbox, &line).exits(1).stdout);
        assert_eq!(states(&report)[..3], ["mounted"; 3]);
        let report = parse_push(&run(&sandbox, &["app.tar", &target]).exits(1).stdout);
        assert_eq!(states(&report)[..3], ["exists"; 3]);
        let fresh = format!("{}/fresh:v2", registry.host());
        let text = sandbox.ocify(&["push", "app.tar", &fresh]).exits(1);
        assert!(text.stdout.contains(shown), "{}", text.stdout);
    }
}

/// The other one waits for the registry, and stops.
#[test]
fn what_stops_because_something_else_failed_is_not_called_failed() {
    let sandbox = sandbox();
    let registry = Registry::strict_with(|request, stored| {
        let is_put = request.method == "PUT" && request.is_of_upload();
        is_put.then(|| match stored.count("PUT") {
            1 => Answer::new(429).with("Retry-After", "250"),
            _ => Answer::error(403, "DENIED", "no more"),
        })
    });
    let target = format!("{}/app:v1", registry.host());
    let line = ["app.tar", &target, "--jobs", "2"];
    let report = parse_push(&run(&sandbox, &line).exits(1).stdout);
    assert_eq!(counts(&report), [0, 0, 0, 1, 3], "{report:#}");
    assert_eq!(report["error"]["code"], "registry-denied");
}

/// Tags come after everything else, whatever repository that is in.
#[test]
fn a_failure_in_one_repository_leaves_no_tag_in_another() {
    let sandbox = Sandbox::new();
    let registry = refusing(|request, _| {
        request.method == "PUT" && request.path.starts_with("/v2/b/manifests/")
    });
    let mut layout = Layout::new();
    let listed = ["a", "b"].map(|name| {
        let image = layout.image(&image(name));
        named(image, &format!("{}/{name}:v1", registry.host()))
    });
    layout.root(listed.to_vec());
    sandbox.put("both.tar", layout.tar());
    run(&sandbox, &["both.tar"]).exits(1);
    assert_eq!(registry.stored().manifests.len(), 1);
    assert!(registry.tags("a").is_empty() && registry.tags("b").is_empty());
}

#[test]
fn nothing_is_listed_if_nothing_could_be_sent() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::of(&image("app"), "example.com/app:v1");
    let shared = image("app").layers[0].bytes.clone();
    layout.blobs.retain(|_, bytes| *bytes != shared);
    sandbox.put("app.tar", layout.tar());
    let target = format!("{}/app:v1", registry.host());
    let report = parse_push(&run(&sandbox, &["app.tar", &target]).exits(1).stdout);
    assert_eq!(report["error"]["code"], "missing-blob");
    assert_eq!(
        (&report["blobs"], &report["totals"]),
        (&json!([]), &json!(null))
    );
    let text = sandbox.ocify(&["push", "app.tar", &target]).exits(1);
    assert_eq!(text.stdout, "");
}

/// One of many inputs.
#[test]
fn a_failure_among_many_says_what_was_sent() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    for name in ["a", "b"] {
        let layout = Layout::of(&image(name), &format!("example.com/app:{name}"));
        std::fs::create_dir_all(sandbox.path("in")).unwrap();
        sandbox.put(&format!("in/{name}.tar"), layout.tar());
    }
    registry.stored().fails_after = Some(4);
    let target = format!("{}/app", registry.host());
    let line = ["in", &target, "--jobs", "1"];
    let lines = run(&sandbox, &line).exits(1).stdout;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed = lines
        .iter()
        .find(|line| line["status"] == "failed")
        .unwrap();
    // The first image has three blobs, and the second shares one of them.
    let mut found = states(failed);
    found.sort_unstable();
    assert_eq!(found, ["exists", "failed", "pending", "sent"], "{failed:#}");
    let summary = lines.last().unwrap();
    assert_eq!(counts(summary), [5, 0, 1, 1, 1], "{summary:#}");
    registry.stored().fails_after = Some(0);
    let text = sandbox.ocify(&[&["push"], &line[..]].concat()).exits(1);
    let shown = "; not completed, 2 of 4 blobs are in the registry: 2 already there (";
    assert!(text.stdout.contains(shown), "{}", text.stdout);
    registry.stored().fails_after = None;
    run(&sandbox, &line).exits(0);
    registry.check_complete();
}
