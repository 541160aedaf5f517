//! The memory of a push, whatever is sent and whatever the registry replies.

use std::fs;
use std::process::Stdio;

use crate::common::archive::{Entry, tar};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, OCI_TAR, index, named};
use crate::common::evidence::referrer;
use crate::common::measured::{Measured, measured};
use crate::common::registry::{Answer, Registry};
use crate::common::runner::Sandbox;

/// What docs/registries.md promises.
const LIMIT_KIB: u64 = 64 << 10;

#[track_caller]
fn is_within(run: &Measured, what: &str) {
    assert_eq!(run.code, 0, "{what}: {}", run.stderr);
    assert!(run.peak_kib < LIMIT_KIB, "{what}: {} KiB", run.peak_kib);
}

#[test]
fn large_layers_do_not_take_memory() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let layers = (0..4).map(|number| {
        let content = vec![number; 18 << 20];
        let plain = tar(&[Entry::file("file", content)]);
        Layer::new(OCI_TAR, plain.clone(), &plain)
    });
    let image = Image::oci(layers.collect());
    let archive = Layout::of(&image, "example.com/app:v1").tar();
    assert!(archive.len() as u64 > LIMIT_KIB << 10);
    sandbox.put("app.tar", archive);
    let target = format!("{}/app:v1", registry.host());
    let push = |name: &str, input: &str, more: &[&str]| {
        let mut command = sandbox.command();
        command.args(["push", input, &format!("{}/{name}", registry.host())]);
        let run = measured(command.args(more).env("TMPDIR", sandbox.root()));
        is_within(&run, name);
    };
    push("archive", "app.tar", &[]);
    push("jobs", "app.tar", &["--jobs", "16"]);
    push("recompressed", "app.tar", &["--compression", "gzip"]);
    // A pipe, which is kept in a temporary file.
    let mut command = sandbox.command();
    command.args(["push", "-", &target]);
    command.env("TMPDIR", sandbox.root());
    command.stdin(Stdio::from(
        fs::File::open(sandbox.path("app.tar")).unwrap(),
    ));
    assert!(command.output().unwrap().status.success());
    registry.check_complete();
}

/// A registry that lists referrers without an end, and says that it stores none.
#[test]
fn lists_of_referrers_do_not_take_memory() {
    const PAGE: usize = 4_000_000;
    let start = r#"{"schemaVersion":2,"manifests":["#;
    for (item, is_fallback) in [("[]", false), ("{}", false), ("\"\"", false), ("{}", true)] {
        let sandbox = Sandbox::new();
        let count = PAGE / (item.len() + 1);
        let page = format!("{start}{}]}}", vec![item; count].join(","));
        let registry = Registry::strict_with(move |request, stored| {
            let mut written = stored.manifests.keys();
            let is_written = written.any(|(_, reference)| reference.starts_with("sha256-"));
            let is_page = request.method == "GET"
                && match is_fallback {
                    true => request.path.contains("/manifests/sha256-") && !is_written,
                    false => request.path.contains("/referrers/"),
                };
            let number = stored.requests.len();
            is_page.then(|| {
                let answer = Answer::new(200).body(page.clone());
                // One of them has no last page.
                match item == "[]" {
                    true => answer.with("Link", format!("<?page={number}>; rel=\"next\"")),
                    false => answer,
                }
            })
        });
        let mut layout = Layout::new();
        let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "text")]));
        let note = referrer(&mut layout, "application/x-note", "note", &image);
        layout.root(vec![named(image, "example.com/app:v1"), note]);
        sandbox.put("app.tar", layout.tar());
        let mut command = sandbox.command();
        command.args(["push", "app.tar", &format!("{}/app:v1", registry.host())]);
        is_within(&measured(&mut command), item);
    }
}

/// Blobs that many manifests share are known by their digests only.
#[test]
fn many_manifests_do_not_take_memory() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let mut listed = Vec::new();
    for number in 0..300 {
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, &number.to_string())]);
        let mut manifest = layout.manifest(&image);
        manifest["annotations"] = serde_json::json!({"long": "x".repeat(20_000)});
        let mut image = layout.document(OCI_MANIFEST, &manifest);
        image["platform"] =
            serde_json::json!({"os": "linux", "architecture": format!("arch{number}")});
        listed.push(image);
    }
    let both = crate::common::builder::OCI_INDEX;
    let list = layout.document(both, &index(both, listed));
    layout.root(vec![named(list, "example.com/app:v1")]);
    sandbox.put("app.tar", layout.tar());
    let mut command = sandbox.command();
    command.args(["push", "app.tar", &format!("{}/app:v1", registry.host())]);
    is_within(&measured(&mut command), "manifests");
    registry.check_complete();
}
