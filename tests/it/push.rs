//! `ocify push` to a registry in this process: what is sent, where, and in which order.

mod batch;
mod blobs;
mod bounded;
mod credentials;
mod cut_off;
mod failed;
mod interrupted;
mod listed_referrers;
mod options;
mod proxied;
mod published;
mod refused;
mod traced;

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, annotated, digest_of, named, on,
};
use crate::common::evidence::{referrer, signature, tagged};
use crate::common::fixture;
use crate::common::registry::Registry;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::parse_push;

fn image(text: &str) -> Image {
    let layers = vec![
        Layer::gzip(DOCKER_GZIP, "shared"),
        Layer::gzip(DOCKER_GZIP, text),
    ];
    Image::docker(layers)
}

/// Pushes, and parses the report.
#[track_caller]
fn push(sandbox: &Sandbox, args: &[&str]) -> Value {
    let run = run(sandbox, args).exits(0);
    assert_eq!(run.stderr, "", "{run:#?}");
    parse_push(&run.stdout)
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Run {
    sandbox.ocify(&[&["push"], args, &["--format", "json"]].concat())
}

/// How many blobs and manifests were sent, were mounted, and were there.
fn totals(report: &Value) -> [u64; 3] {
    ["sent", "mounted", "exists"].map(|key| report["totals"][key]["count"].as_u64().unwrap())
}

/// An image for each of two platforms.
fn two_platforms(layout: &mut Layout) -> [Value; 2] {
    let images = [("one", "amd64"), ("two", "arm64")];
    images.map(|(text, architecture)| on(layout.image(&image(text)), "linux", architecture))
}

/// Those of the images that have a tag.
fn pinned(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap().iter();
    images
        .map(|image| image["pinned"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_image_is_pushed_under_its_target_with_oci_types() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/team/app:v2", registry.host());
    let report = push(&sandbox, &["app.tar", &target]);
    assert_eq!(
        (&report["status"], &report["target"]),
        (&json!("pushed"), &json!(target))
    );
    // A config, two layers and the manifest.
    assert_eq!(totals(&report), [4, 0, 0]);
    assert_eq!(
        report["verified"],
        json!({"documents": 1, "configs": 1, "layers": 2, "diff_ids": 0, "others": 0})
    );
    let tags = registry.tags("team/app");
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["v2"]);
    let digest = &tags["v2"];
    assert_eq!(
        pinned(&report),
        [format!("{}/team/app@{digest}", registry.host())]
    );
    assert_eq!(report["digests"][0]["after"], json!(digest));
    let manifest = registry.manifest("team/app", "v2");
    assert!(!manifest.to_string().contains("docker"), "{manifest}");
    registry.check_complete();

    // The same again sends nothing.
    registry.changes();
    let report = push(&sandbox, &["app.tar", &target]);
    assert_eq!(totals(&report), [0, 0, 4]);
    assert_eq!(registry.changes(), [""; 0]);

    // Another image sends what is new.
    sandbox.put(
        "new.tar",
        Layout::of(&image("new"), "example.com/app:v3").tar(),
    );
    let report = push(
        &sandbox,
        &["new.tar", &format!("{}/team/app", registry.host())],
    );
    assert_eq!(totals(&report), [3, 0, 1]);
    assert_eq!(registry.tags("team/app").len(), 2);

    // Another repository of the registry gets the blobs without them being sent, and no upload is left open that the
    // registry opened because the first one does not have them.
    let again = format!("{}/other:v1", registry.host());
    let [none, from] = ["none", "team/app"].map(|name| format!("{}/{name}", registry.host()));
    let args = [
        "new.tar",
        &again,
        "--mount-from",
        &none,
        "--mount-from",
        &from,
    ];
    let report = push(&sandbox, &args);
    assert_eq!(totals(&report), [1, 3, 0]);
    registry.check_complete();
}

/// Everything that a tag leads to comes before it, subjects before what refers to them, children before parents.
#[test]
fn tags_come_last() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let [one, two] = two_platforms(&mut layout);
    let index = layout.index_of(OCI_INDEX, vec![one, two]);
    let note = referrer(&mut layout, "application/x-note", "note", &index);
    let of_note = referrer(&mut layout, "application/x-note", "about the note", &note);
    let index = named(index, "example.com/app:v1");
    layout.root(vec![of_note, note, index]);
    sandbox.put("app.tar", layout.tar());
    let host = &registry.host();
    let report = push(&sandbox, &["app.tar", &format!("{host}/app")]);
    let log = registry.changes();
    // The registry lists no referrers, so tags of digests do; they are written with the referrers.
    let is_tag = |line: &&String| line.ends_with(" v1");
    assert_eq!(
        log.iter().position(|line| is_tag(&line)),
        Some(log.len() - 1),
        "{log:#?}"
    );
    let manifests = log
        .iter()
        .filter(|line| line.starts_with("PUT app sha256:"));
    assert_eq!(manifests.count(), 5, "{log:#?}");
    let blobs = log.iter().rposition(|line| line.starts_with("BLOB"));
    let first = log.iter().position(|line| line.starts_with("PUT"));
    assert!(blobs < first, "{log:#?}");
    registry.check_complete();

    // What refers to an image is found by its tag, under the digest that it has there.
    let root = registry.tags("app")["v1"].clone();
    let listed = registry.manifest("app", &root.replace(':', "-"));
    let of_root = listed["manifests"][0].clone();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(of_root["artifactType"], "application/x-note");
    let subjects: Vec<&Value> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| &image["subject"])
        .collect();
    assert_eq!(
        subjects
            .iter()
            .filter(|subject| subject.is_string())
            .count(),
        2
    );
    let listed = registry.manifest("app", &digest_of(&of_root).replace(':', "-"));
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);

    // A registry that lists referrers gets no such tags.
    let registry = Registry::strict();
    registry.stored().has_referrers = true;
    push(&sandbox, &["app.tar", &format!("{}/app", registry.host())]);
    assert_eq!(registry.tags("app").keys().collect::<Vec<_>>(), ["v1"]);
    // Its replies say so, and nobody has to ask.
    let asked = registry.stored().log();
    assert!(!asked.iter().any(|line| line.contains("/referrers/")));
}

#[test]
fn images_go_to_their_own_names() {
    let (sandbox, one, other) = (Sandbox::new(), Registry::strict(), Registry::strict());
    let mut layout = Layout::new();
    let (first, second) = (layout.image(&image("one")), layout.image(&image("two")));
    let listed = [
        named(first.clone(), &format!("{}/a:v1", one.host())),
        named(first.clone(), &format!("{}/b/c:v2", other.host())),
        named(first, &format!("{}/d:v3", one.host())),
        named(second, &format!("{}/a:v4", one.host())),
    ];
    layout.root(listed.to_vec());
    sandbox.put("all.tar", layout.tar());
    let report = push(&sandbox, &["all.tar"]);
    assert_eq!(report["target"], Value::Null);
    let tags =
        |registry: &Registry, name: &str| registry.tags(name).into_keys().collect::<Vec<_>>();
    assert_eq!(tags(&one, "a"), ["v1", "v4"]);
    assert_eq!(tags(&one, "d"), ["v3"]);
    assert_eq!(tags(&other, "b/c"), ["v2"]);
    // What both repositories of one registry have is sent once: config and layers of the first image.
    assert_eq!(totals(&report)[1], 3);
    one.check_complete();
    other.check_complete();

    // One of them.
    let only = Registry::strict();
    let target = format!("{}/x:v9", only.host());
    push(&sandbox, &["all.tar", &target, "--image", "2"]);
    assert_eq!(tags(&only, "x"), ["v9"]);
    let name = format!("{}/y:v8", only.host());
    push(&sandbox, &["all.tar", "--image", "1", "--name", &name]);
    assert_eq!(tags(&only, "y"), ["v8"]);
}

#[test]
fn signatures_go_with_their_image() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let app = layout.image(&image("app"));
    let signed = signature(&mut layout, &app);
    let note = referrer(&mut layout, "application/x-note", "note", &app);
    layout.root(vec![named(app, "example.com/app:v1"), signed, note]);
    sandbox.put("app.tar", layout.tar());
    let target = format!("{}/app:v2", registry.host());
    let report = push(&sandbox, &["app.tar", &target]);
    let tags = registry.tags("app");
    let digest = tags["v2"].replace(':', "-");
    let expected = [digest.clone(), format!("{digest}.sig"), "v2".to_owned()];
    assert_eq!(tags.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(report["images"].as_array().unwrap().len(), 3);
    // Signatures are of the old digest, and the report says so.
    let rules: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| &found["rule"])
        .collect();
    assert!(rules.contains(&&json!("stale-signature")), "{rules:?}");
}

#[test]
fn every_kind_of_input_is_pushed() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let layout = Layout::of(&image("app"), "example.com/app:v1");
    sandbox.put("app.tar", layout.tar());
    layout.write_to(&sandbox.path("layout"));
    sandbox
        .ocify(&["fix", "app.tar", "-o", "app.tar.zst"])
        .exits(0);
    let target = |name: &str| format!("{}/{name}:v1", registry.host());
    let mut digests = Vec::new();
    for (number, input) in ["app.tar", "layout", "app.tar.zst"].into_iter().enumerate() {
        push(&sandbox, &[input, &target(&format!("kind{number}"))]);
        digests.push(registry.tags(&format!("kind{number}"))["v1"].clone());
    }
    let mut command = sandbox.command();
    command.args(["push", "-", &target("stream"), "--format", "json"]);
    command.stdin(Stdio::from(
        fs::File::open(sandbox.path("app.tar")).unwrap(),
    ));
    let output = command.output().unwrap();
    let report = parse_push(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(report["status"], "pushed", "{report:#}");
    assert_eq!(report["spooled"], "it is pushed to a registry");
    digests.push(registry.tags("stream")["v1"].clone());
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
    registry.check_complete();
}

#[test]
fn caches_and_artifacts_are_pushed() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    for name in [
        "buildkit-cache-list-ocifalse",
        "buildkit-cache-manifest-ocitrue",
    ] {
        let input = fixture(name);
        let target = format!("{}/{name}:cache", registry.host());
        let report = push(&sandbox, &[input.to_str().unwrap(), &target]);
        assert_eq!(report["images"].as_array().unwrap().len(), 1);
        let manifest = registry.manifest(name, "cache");
        assert!(!manifest.to_string().contains("vnd.docker"), "{manifest}");
    }
    registry.check_complete();
}

#[test]
fn the_metadata_has_what_can_be_pulled() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/app:v2", registry.host());
    push(
        &sandbox,
        &["app.tar", &target, "--metadata-file", "pushed.json"],
    );
    let metadata: Value = serde_json::from_slice(&sandbox.read("pushed.json")).unwrap();
    assert_eq!(
        metadata["containerimage.digest"],
        json!(registry.tags("app")["v2"])
    );
    assert_eq!(metadata["image.name"], json!(target));
    assert_eq!(
        metadata["containerimage.descriptor"]["mediaType"],
        crate::common::builder::OCI_MANIFEST
    );
}

#[test]
fn layers_are_recompressed_and_types_kept_on_request() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/app:zstd", registry.host());
    let dry = push(
        &sandbox,
        &["app.tar", &target, "--compression", "zstd", "--dry-run"],
    );
    assert_eq!(
        (&dry["images"][0]["digest"], &dry["totals"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(dry["absent"], json!([]));
    push(&sandbox, &["app.tar", &target, "--compression", "zstd"]);
    let manifest = registry.manifest("app", "zstd");
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
    let target = format!("{}/app:docker", registry.host());
    push(&sandbox, &["app.tar", &target, "--oci-mediatypes=false"]);
    let manifest = registry.manifest("app", "docker");
    assert_eq!(manifest["layers"][0]["mediaType"], DOCKER_GZIP);
    registry.check_complete();
}

#[test]
fn the_report_for_people_says_where_images_are() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let right = Image::oci(vec![Layer::gzip(OCI_GZIP, "right")]);
    sandbox.put("app.tar", Layout::of(&right, "example.com/app:v1").tar());
    let host = &registry.host();
    let target = format!("{host}/app:v2");
    let dry = sandbox
        .ocify(&["push", "app.tar", &target, "--dry-run"])
        .exits(0);
    let bytes = dry
        .stdout
        .lines()
        .next()
        .unwrap()
        .rsplit_once('(')
        .unwrap()
        .1
        .to_owned();
    let digest = format!(
        "sha256:{}",
        dry.stdout.split("sha256:").nth(1).unwrap().trim()
    );
    let expected = format!(
        "app.tar → {target}: would be pushed, nothing to fix, 3 blobs ({bytes}\n\n  {target}\n    {digest}\n"
    );
    assert_eq!(dry.stdout, expected);
    assert_eq!(registry.stored().requests.len(), 0);
    let run = sandbox.ocify(&["push", "app.tar", &target]).exits(0);
    let expected = expected
        .replace("would be pushed", "pushed")
        .replace("3 blobs (", "3 blobs: 3 sent (");
    assert_eq!(run.stdout, expected);
    assert_eq!(registry.tags("app")["v2"], digest);
}

#[test]
fn what_the_input_lacks_may_be_in_the_registry() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let whole = layout.image(&image("app"));
    layout.root(vec![named(whole, "example.com/app:v1")]);
    sandbox.put("whole.tar", layout.tar());
    let shared = image("app").layers[0].bytes.clone();
    layout.blobs.retain(|_, bytes| *bytes != shared);
    sandbox.put("part.tar", layout.tar());
    let target = format!("{}/app:v2", registry.host());
    let failed = run(&sandbox, &["part.tar", &target]).exits(1);
    let report = parse_push(&failed.stdout);
    assert_eq!(report["error"]["code"], "missing-blob");
    assert!(
        report["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("--missing prune")
    );
    assert_eq!(registry.changes(), [""; 0], "nothing is sent");
    // Nor is an upload left open that a registry opened instead of a mount.
    let from = |name: &str| format!("{}/{name}", registry.host());
    let (one, two) = (from("one"), from("two"));
    let tried = [
        "part.tar",
        &target,
        "--mount-from",
        &one,
        "--mount-from",
        &two,
    ];
    run(&sandbox, &tried).exits(1);
    assert!(registry.stored().count("POST") >= 2);
    registry.check_complete();
    let dry = push(&sandbox, &["part.tar", &target, "--dry-run"]);
    assert_eq!(dry["absent"].as_array().unwrap().len(), 1);

    push(
        &sandbox,
        &["whole.tar", &format!("{}/app:v1", registry.host())],
    );
    push(&sandbox, &["part.tar", &target]);
    assert_eq!(registry.tags("app")["v1"], registry.tags("app")["v2"]);
    // Another repository gets it from this one.
    let other = format!("{}/other:v1", registry.host());
    let from = format!("{}/app", registry.host());
    let report = push(&sandbox, &["part.tar", &other, "--mount-from", &from]);
    assert_eq!(report["absent"].as_array().unwrap().len(), 1);
    registry.check_complete();
}

/// A registry answers 400 to an index whose children are missing.
#[test]
fn a_missing_manifest_is_refused_before_anything_is_sent() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let [one, two] = two_platforms(&mut layout);
    let list = layout.index_of(OCI_INDEX, vec![one, two.clone()]);
    layout.root(vec![named(list, "example.com/app:v1")]);
    let absent = digest_of(&two).replace(':', "/");
    layout.blobs.retain(|name, _| !name.ends_with(&absent));
    sandbox.put("part.tar", layout.tar());
    let target = format!("{}/app:v1", registry.host());
    let failed = run(&sandbox, &["part.tar", &target]).exits(1);
    let report = parse_push(&failed.stdout);
    assert_eq!(report["error"]["code"], "missing-blob", "{report:#}");
    assert_eq!(registry.changes(), [""; 0], "nothing is sent");
    assert_eq!(registry.stored().count("POST"), 0);
    let report = push(&sandbox, &["part.tar", &target, "--missing", "prune"]);
    assert_eq!(totals(&report)[0], 5, "{report:#}");
    registry.check_complete();
}

/// What nothing refers to stays in the archive, and is not worth a finding.
#[test]
fn orphaned_blobs_are_neither_pushed_nor_reported() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::of(&image("app"), "example.com/app:v1");
    layout.blob(OCI_GZIP, "orphan");
    sandbox.put("app.tar", layout.tar());
    let check = sandbox.ocify(&["fix", "app.tar", "--dry-run"]).exits(3);
    assert!(check.stdout.contains("orphan"), "{}", check.stdout);
    let target = format!("{}/app", registry.host());
    for more in [&["--dry-run"][..], &[]] {
        let report = push(&sandbox, &[&["app.tar", &target], more].concat());
        assert_eq!(report["findings"], json!([]));
        assert_eq!(report["blobs"].as_array().unwrap().len(), 4);
    }
}

/// containerd notes where a blob came from.
#[test]
fn blobs_are_mounted_from_where_annotations_say() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "base.tar",
        Layout::of(&image("base"), "example.com/base:v1").tar(),
    );
    push(
        &sandbox,
        &["base.tar", &format!("{}/library/base:v1", registry.host())],
    );
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image("app"));
    let key = format!("containerd.io/distribution.source.{}", registry.host());
    manifest["layers"][0] = annotated(
        manifest["layers"][0].clone(),
        &[(&key, "no/such,library/base")],
    );
    let app = layout.document(&image("app").manifest_type, &manifest);
    layout.root(vec![named(app, "example.com/app:v1")]);
    sandbox.put("app.tar", layout.tar());
    let report = push(&sandbox, &["app.tar", &format!("{}/app", registry.host())]);
    assert_eq!(totals(&report), [3, 1, 0]);
}

/// The tag of a signature follows the image's new digest, whatever its repository is called.
#[test]
fn a_tag_of_a_digest_follows_the_digest() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let app = layout.image(&image("app"));
    let note = layout.image(&image("note"));
    let about = tagged(note, &app, ".att");
    layout.root(vec![
        named(app, &format!("{}/a:v1", registry.host())),
        about,
    ]);
    sandbox.put("app.tar", layout.tar());
    push(&sandbox, &["app.tar"]);
    let tags = registry.tags("a");
    let expected = format!("{}.att", tags["v1"].replace(':', "-"));
    assert!(tags.contains_key(&expected), "{tags:#?}");
}

/// Others may have listed referrers of the same image there.
#[test]
fn a_list_of_referrers_is_extended_and_not_replaced() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let plain = || Image::oci(vec![Layer::gzip(OCI_GZIP, "plain")]);
    let target = format!("{}/app", registry.host());
    // Each archive has one referrer, and a list of it under the tag of the digest, as registries without an API have it.
    for text in ["one", "other"] {
        let mut layout = Layout::new();
        let app = layout.image(&plain());
        let note = referrer(&mut layout, "application/x-note", text, &app);
        let list = layout.index_of(OCI_INDEX, vec![note.clone()]);
        let list = tagged(list, &app, "");
        layout.root(vec![named(app, "example.com/app:v1"), note, list]);
        sandbox.put(&format!("{text}.tar"), layout.tar());
        push(&sandbox, &[&format!("{text}.tar"), &target]);
    }
    let digest = registry.tags("app")["v1"].replace(':', "-");
    let listed = registry.manifest("app", &digest);
    assert_eq!(
        listed["manifests"].as_array().unwrap().len(),
        2,
        "{listed:#}"
    );
    registry.check_complete();
}
