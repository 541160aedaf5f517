//! Images that `manifest.json` lists and `index.json` does not, as `docker save ID ID` writes them.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_TAR, digest_of, docker_item, named,
};
use crate::common::checker::check_output;
use crate::common::contents::blob_name;
use crate::common::failure::fails;
use crate::common::judged::{fixed, fixed_path};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;

fn image(text: &str) -> Image {
    Image::oci(vec![
        Layer::plain(OCI_TAR, "shared"),
        Layer::plain(OCI_TAR, text),
    ])
}

/// An archive of these images, of which `index.json` lists the first.
struct Save {
    layout: Layout,
    /// The images' manifests and their descriptors.
    images: Vec<(Value, Value)>,
}

fn save(texts: &[&str], tags: &[&[&str]]) -> Save {
    let mut layout = Layout::new();
    let images: Vec<(Value, Value)> = texts
        .iter()
        .map(|text| {
            let manifest = layout.manifest(&image(text));
            let descriptor = layout.document(&image(text).manifest_type, &manifest);
            (manifest, descriptor)
        })
        .collect();
    layout.root(vec![match tags[0] {
        [] => images[0].1.clone(),
        [tag, ..] => named(images[0].1.clone(), &format!("docker.io/library/{tag}")),
    }]);
    let items: Vec<Value> = images
        .iter()
        .zip(tags)
        .map(|((manifest, _), tags)| docker_item(manifest, tags))
        .collect();
    layout.docker_manifest = Some(json!(items).to_string().into_bytes());
    Save { layout, images }
}

fn entries(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().unwrap();
    manifests.iter().map(digest_of).collect()
}

#[test]
fn the_missing_entries_are_added() {
    let tags: [&[&str]; 3] = [&[], &[], &["two:1", "two:2"]];
    let save = save(&["a", "b", "c"], &tags);
    let found = fixed(&save.layout.tar(), &[]);
    let index: Value = serde_json::from_slice(found.contents.file("index.json")).unwrap();
    let digests: Vec<String> = save.images.iter().map(|(_, d)| digest_of(d)).collect();
    // The third image has two names, and so two entries.
    assert_eq!(entries(&index)[..3], digests);
    assert_eq!(entries(&index)[3..], digests[2..]);
    assert_eq!(found.names(), ["two:1", "two:2"]);
    let added = found.changes(&["index-entry-added", "manifest-added"]);
    let expected = [1, 2].map(|number| {
        let place = format!("index.json, manifests[{number}]");
        ["index-entry-added", &place, "-", &digests[number]].map(str::to_owned)
    });
    assert_eq!(added, expected);
    assert_eq!(found.report["images"].as_array().unwrap().len(), 3);
    assert!(found.facts.unreferenced.is_empty());
}

#[test]
fn a_manifest_that_is_absent_is_synthesized() {
    let mut save = save(&["a", "b"], &[&[], &[]]);
    let second = digest_of(&save.images[1].1);
    save.layout.blobs.remove(&blob_name(&second)).unwrap();
    let found = fixed(&save.layout.tar(), &[]);
    // The synthesized text is Docker's, which the builder writes too.
    let rules = found.changes(&["index-entry-added", "manifest-added"]);
    let rules: Vec<&str> = rules.iter().map(|change| change[0].as_str()).collect();
    assert_eq!(rules, ["index-entry-added", "manifest-added"]);
    assert!(found.contents.has(&blob_name(&second)));
}

/// Manifests that describe something else, or that are damaged, are not taken for the image's.
#[test]
fn other_documents_of_the_same_config_are_not_used() {
    let mut save = save(&["a", "b"], &[&[], &[]]);
    let (manifest, descriptor) = &save.images[1];
    let name = blob_name(&digest_of(descriptor));
    save.layout.blobs.remove(&name).unwrap();
    let mut other = manifest.clone();
    other["layers"].as_array_mut().unwrap().pop();
    save.layout.document("", &other);
    other["manifests"] = json!([]);
    save.layout.document("", &other);
    let damaged = manifest
        .to_string()
        .replace("schemaVersion", "schemaversion");
    save.layout.blobs.insert(
        format!("blobs/sha256/{}", "1".repeat(64)),
        damaged.into_bytes(),
    );
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", save.layout.tar());
    // The damaged blob is found when it is copied.
    let run = sandbox.fix("in.tar", "out.tar");
    assert_eq!(run.json()["error"]["code"], "digest-mismatch");
    save.layout
        .blobs
        .remove(&format!("blobs/sha256/{}", "1".repeat(64)));
    let found = fixed(&save.layout.tar(), &[]);
    assert_eq!(found.changes(&["manifest-added"]).len(), 1);
    assert!(found.contents.has(&name));
}

#[test]
fn every_kind_of_output_has_the_added_entries() {
    let save = save(&["a", "b"], &[&["one:1"], &["two:1"]]);
    let bytes = save.layout.tar();
    // In one pass.
    let piped = stream(&bytes, &[]).exits(0);
    assert!(piped.json()["spooled"].is_null());
    assert_eq!(piped.judged().1.names.len(), 2);
    // In place index.json grows, and is written at the end.
    let (sandbox, report) = placed::fixed(&bytes, &[]);
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    sandbox.fix("in.tar", "copy.tar").exits(0);
    assert_eq!(check_output(&sandbox.path("copy.tar")).names.len(), 2);
    // From and to a directory.
    let sandbox = Sandbox::new();
    save.layout.write_to(&sandbox.path("in"));
    let found = fixed_path(&sandbox.path("in"), &[]);
    assert!(found.bytes == fixed(&bytes, &[]).bytes);
    // One image of the two.
    let found = fixed(&bytes, &["--image", "two:1"]);
    assert_eq!(found.names(), ["two:1"]);
    let found = fixed(&bytes, &["--image", "one:1"]);
    assert_eq!(found.names(), ["one:1"]);
}

/// What Docker 29 adds: `LayerSources`, `Parent`, and JSON documents of the old form that nothing refers to.
#[test]
fn archives_of_docker_29_are_completed() {
    let mut save = save(&["a", "b"], &[&["app:v1"], &[]]);
    for text in ["a", "b"] {
        save.layout
            .document("", &json!({"id": text, "os": "linux", "config": {}}));
    }
    let items: Vec<Value> = save
        .images
        .iter()
        .map(|(manifest, _)| {
            let mut item = docker_item(manifest, &[]);
            let layers = manifest["layers"].as_array().unwrap().iter();
            let sources = layers.map(|layer| (digest_of(layer), layer.clone()));
            item["LayerSources"] = Value::Object(sources.collect());
            item["Parent"] = save.images[0].0["config"]["digest"].clone();
            item
        })
        .collect();
    save.layout.docker_manifest = Some(json!(items).to_string().into_bytes());
    let bytes = save.layout.tar();
    let found = fixed(&bytes, &[]);
    assert_eq!(found.report["images"].as_array().unwrap().len(), 2);
    assert_eq!(
        found
            .changes(&["index-entry-added", "manifest-added"])
            .len(),
        1
    );
    placed::fixed(&bytes, &[]);
}

/// Two roots without a common image describe different archives.
#[test]
fn roots_without_a_common_image_are_refused() {
    let mut save = save(&["a", "b"], &[&[], &[]]);
    let items = json!([docker_item(&save.images[1].0, &["app:v1"])]);
    save.layout.docker_manifest = Some(items.to_string().into_bytes());
    let parts = ["manifest.json[0] has the config"];
    fails(
        "other image",
        &save.layout.tar(),
        "root-disagreement",
        &parts,
    );
}

#[test]
fn one_name_for_a_listed_and_an_unlisted_image_is_refused() {
    let save = save(&["a", "b"], &[&["app:v1"], &["app:v1"]]);
    let parts = ["the name app:v1 to different images"];
    fails("one name", &save.layout.tar(), "root-disagreement", &parts);
}

#[test]
fn an_absent_config_or_layer_is_an_error() {
    let remove = |part: &dyn Fn(&Value) -> String| {
        let mut save = save(&["a", "b"], &[&[], &[]]);
        let name = blob_name(&part(&save.images[1].0));
        save.layout.blobs.remove(&name).unwrap();
        (save.layout.tar(), name)
    };
    let (bytes, name) = remove(&|manifest| digest_of(&manifest["config"]));
    fails(
        "config",
        &bytes,
        "root-disagreement",
        &["manifest.json[1]", &name],
    );
    // The manifest is there, and its image is one of several.
    let (bytes, name) = remove(&|manifest| digest_of(&manifest["layers"][1]));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let findings = report["findings"].to_string();
    assert!(findings.contains("missing-blob"), "{findings}");
    assert!(findings.contains(&name[13..]), "{findings}");
}

/// A compressed layer gets its media type when its manifest is synthesized.
#[test]
fn synthesized_manifests_describe_compressed_layers() {
    let mut save = save(&["a"], &[&[]]);
    let second = Image::oci(vec![Layer::gzip(OCI_GZIP, "z")]);
    let manifest = save.layout.manifest(&second);
    let items = json!([
        docker_item(&save.images[0].0, &[]),
        docker_item(&manifest, &["z:1"])
    ]);
    save.layout.docker_manifest = Some(items.to_string().into_bytes());
    let found = fixed(&save.layout.tar(), &[]);
    assert_eq!(found.names(), ["z:1"]);
    assert_eq!(found.changes(&["manifest-added"]).len(), 1);
}
