//! Images that `index.json` lists side by side under one name, for different platforms, become one index of that name.

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_LIST, IMAGE_NAME, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, REF_NAME,
    annotated, digest_of, named, on,
};
use crate::common::checker::check_docker_output;
use crate::common::contents::{Contents, blob_name};
use crate::common::evidence::{attestation, evidence, referrer};
use crate::common::judged::fixed;
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

const NAME: &str = "example.com/app:v1";

fn of(architecture: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]).architecture(architecture)
}

/// Two platforms in this order, each with a name and a platform in its descriptor.
fn flat(architectures: [&str; 2]) -> Layout {
    let mut layout = Layout::new();
    let entries = architectures.map(|architecture| {
        let descriptor = layout.image(&of(architecture));
        let descriptor = annotated(descriptor, &[("org.example.note", architecture)]);
        named(on(descriptor, "linux", architecture), NAME)
    });
    layout.root(entries.to_vec());
    layout
}

/// The entries of `index.json`.
fn entries(contents: &Contents) -> Vec<Value> {
    contents.json("index.json")["manifests"]
        .as_array()
        .unwrap()
        .clone()
}

/// What the only entry's index lists.
fn nested(contents: &Contents) -> Vec<Value> {
    let entries = entries(contents);
    assert_eq!(entries.len(), 1, "{entries:#?}");
    let index = contents.document(&digest_of(&entries[0]));
    index["manifests"].as_array().unwrap().clone()
}

fn architectures(manifests: &[Value]) -> Vec<&str> {
    let platforms = manifests.iter().map(|manifest| &manifest["platform"]);
    platforms
        .filter_map(|platform| platform["architecture"].as_str())
        .collect()
}

#[test]
fn the_order_of_the_platforms_does_not_matter() {
    let found = fixed(&flat(["amd64", "arm64"]).tar(), &[]);
    let entries = entries(&found.contents);
    let annotations = json!({IMAGE_NAME: NAME, REF_NAME: "v1"});
    assert_eq!(entries[0]["annotations"], annotations);
    assert_eq!(entries[0]["mediaType"], OCI_INDEX);
    let manifests = nested(&found.contents);
    assert_eq!(architectures(&manifests), ["amd64", "arm64"]);
    for manifest in &manifests {
        let note = &manifest["platform"]["architecture"];
        assert_eq!(manifest["annotations"], json!({"org.example.note": note}));
    }
    let change = &found.changes(&["platforms-nested"])[0];
    assert_eq!(
        change[1..],
        [
            "index.json, manifests[0]".to_owned(),
            format!("2 entries named {NAME}"),
            "an index of linux/amd64, linux/arm64".to_owned()
        ]
    );
    assert_eq!(found.names(), [NAME]);
    assert_eq!(found.findings(), [""; 0]);
    let reversed = fixed(&flat(["arm64", "amd64"]).tar(), &[]);
    assert!(reversed.bytes == found.bytes);
}

#[test]
fn platforms_are_nested_in_every_kind_of_output() {
    let layout = flat(["arm64", "amd64"]);
    let expected = nested(&fixed(&layout.tar(), &[]).contents);
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("in"));
    for output in ["out.tar", "out/"] {
        sandbox.fix("in", output).exits(0);
        let contents = Contents::read(&sandbox.path(output.trim_end_matches('/')));
        assert_eq!(nested(&contents), expected, "{output}");
    }
    // In place, the new index goes to the end of the file.
    let (place, report) = placed::fixed(&layout.tar(), &[]);
    assert_eq!(nested(&Contents::read(&place.path("in.tar"))), expected);
    assert_eq!(report["images"][0]["names"], json!([NAME]));
}

#[test]
fn platforms_come_from_configs_if_descriptors_lack_them() {
    let mut layout = flat(["arm64", "amd64"]);
    layout.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list[0].as_object_mut().unwrap().remove("platform");
        list[1]["platform"] = json!({"os": "linux", "os.features": ["x"]});
    });
    let found = fixed(&layout.tar(), &[]);
    let manifests = nested(&found.contents);
    assert_eq!(
        [&manifests[0]["platform"], &manifests[1]["platform"]],
        [
            &json!({"os": "linux", "os.features": ["x"], "architecture": "amd64"}),
            &json!({"architecture": "arm64", "os": "linux"}),
        ]
    );
}

#[test]
fn evidence_moves_with_its_image() {
    let mut layout = Layout::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| {
        let descriptor = layout.image(&of(architecture));
        on(descriptor, "linux", architecture)
    });
    let about = attestation(&mut layout, &arm64);
    let [signature, note] = evidence(&mut layout, &amd64);
    let other = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
    let about_other = attestation(&mut layout, &other);
    layout.root(vec![
        about.clone(),
        named(arm64.clone(), NAME),
        about_other.clone(),
        note.clone(),
        named(other.clone(), "example.com/other:1"),
        named(amd64.clone(), NAME),
        signature.clone(),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let entries = entries(&found.contents);
    let digests: Vec<String> = entries.iter().map(digest_of).collect();
    // cosign finds its signature by the tag in index.json.
    assert_eq!(
        digests[1..],
        [
            digest_of(&about_other),
            digest_of(&other),
            digest_of(&signature)
        ]
    );
    let index = found.contents.document(&digests[0]);
    let nested = index["manifests"].as_array().unwrap().iter();
    let nested: Vec<String> = nested.map(digest_of).collect();
    assert_eq!(nested, [&amd64, &arm64, &about, &note].map(digest_of));
    assert_eq!(found.names(), ["example.com/app:v1", "example.com/other:1"]);
}

#[test]
fn an_attestation_with_the_name_of_its_image_is_nested() {
    let mut layout = Layout::new();
    let image = layout.image(&of("amd64"));
    let about = attestation(&mut layout, &image);
    layout.root(vec![named(about.clone(), NAME), named(image.clone(), NAME)]);
    let found = fixed(&layout.tar(), &[]);
    let nested: Vec<String> = nested(&found.contents).iter().map(digest_of).collect();
    assert_eq!(nested, [&image, &about].map(digest_of));
}

#[test]
fn an_artifact_of_the_same_name_loses_it_and_stays() {
    for position in 0..3 {
        let mut layout = flat(["arm64", "amd64"]);
        let elsewhere = json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 2});
        let artifact = referrer(&mut layout, "application/x-note", "note", &elsewhere);
        layout.edit_root(|root| {
            let list = root["manifests"].as_array_mut().unwrap();
            list.insert(position, named(artifact.clone(), NAME));
        });
        let found = fixed(&layout.tar(), &[]);
        let entries = entries(&found.contents);
        let is_index = |entry: &&Value| entry["mediaType"] == OCI_INDEX;
        let (indexes, others): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(is_index);
        assert_eq!([indexes.len(), others.len()], [1, 1], "{entries:#?}");
        assert_eq!(
            indexes[0]["annotations"],
            json!({IMAGE_NAME: NAME, REF_NAME: "v1"})
        );
        let index = found.contents.document(&digest_of(indexes[0]));
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(architectures(manifests), ["amd64", "arm64"]);
        assert_eq!(digest_of(others[0]), digest_of(&artifact));
        assert_eq!(others[0]["annotations"], Value::Null);
        assert_eq!(found.names(), [NAME]);
    }
}

#[test]
fn each_name_gets_an_index_of_its_platforms() {
    let mut layout = Layout::new();
    let [amd64, arm64, riscv] = ["amd64", "arm64", "riscv64"].map(|architecture| {
        let descriptor = layout.image(&of(architecture));
        on(descriptor, "linux", architecture)
    });
    layout.root(vec![
        named(amd64.clone(), NAME),
        named(arm64.clone(), NAME),
        named(amd64.clone(), "example.com/app:latest"),
        named(arm64, "example.com/app:latest"),
        named(amd64.clone(), "example.com/app:amd64"),
        named(riscv.clone(), "example.com/app:riscv64"),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let entries = entries(&found.contents);
    let digests: Vec<String> = entries.iter().map(digest_of).collect();
    assert_eq!(digests.len(), 4);
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[2..], [digest_of(&amd64), digest_of(&riscv)]);
    assert_eq!(found.report["images"].as_array().unwrap().len(), 3);
}

#[test]
fn indexes_of_one_name_become_one() {
    let mut layout = Layout::new();
    let indexes = ["arm64", "amd64"].map(|architecture| {
        let image = layout.image(&of(architecture));
        let about = attestation(&mut layout, &image);
        let index = vec![on(image, "linux", architecture), about];
        named(layout.index_of(OCI_INDEX, index), NAME)
    });
    layout.root(indexes.to_vec());
    let found = fixed(&layout.tar(), &[]);
    let manifests = nested(&found.contents);
    assert_eq!(
        architectures(&manifests),
        ["amd64", "arm64", "unknown", "unknown"]
    );
}

#[test]
fn platforms_of_a_docker_archive_are_nested() {
    let mut saved = Saved::new();
    let arm64 = image(&["b"]).architecture("arm64");
    saved.docker(&arm64, json!(["app:v1", "app:arm64"]));
    saved.docker(&image(&["a"]), json!(["app:v1"]));
    let found = fixed(&saved.tar(), &[]);
    assert_eq!(found.names(), ["app:arm64", "app:v1"]);
    let entries = entries(&found.contents);
    let names: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["annotations"][IMAGE_NAME])
        .collect();
    assert_eq!(
        names,
        ["docker.io/library/app:arm64", "docker.io/library/app:v1"]
    );
    let index = found.contents.document(&digest_of(&entries[1]));
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(architectures(manifests), ["amd64", "arm64"]);
    assert_eq!(digest_of(&manifests[1]), digest_of(&entries[0]));
    assert!(found.rules().contains(&"platforms-nested"));
}

#[test]
fn an_absent_platform_is_nested_too() {
    let mut layout = flat(["amd64", "arm64"]);
    let root: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let absent = blob_name(&digest_of(&root["manifests"][1]));
    layout.blobs.remove(&absent).unwrap();
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(architectures(&nested(&found.contents)), ["amd64", "arm64"]);
    assert!(found.findings().contains(&"missing-manifest"));
    let pruned = fixed(&layout.tar(), &["--missing", "prune"]);
    assert_eq!(architectures(&nested(&pruned.contents)), ["amd64"]);
}

#[test]
fn docker_types_are_possible() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", flat(["amd64", "arm64"]).tar());
    sandbox
        .fix_with("in.tar", "out.tar", &["--oci-mediatypes=false"])
        .exits(0);
    check_docker_output(&sandbox.path("out.tar"));
    let contents = Contents::read(&sandbox.path("out.tar"));
    assert_eq!(entries(&contents)[0]["mediaType"], DOCKER_LIST);
    assert_eq!(architectures(&nested(&contents)), ["amd64", "arm64"]);
}

#[test]
fn platforms_with_only_a_tag_are_nested_under_it() {
    let mut layout = flat(["amd64", "arm64"]);
    layout.edit_root(|root| {
        for entry in root["manifests"].as_array_mut().unwrap() {
            entry["annotations"] = json!({REF_NAME: "v1"});
        }
    });
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(architectures(&nested(&found.contents)), ["amd64", "arm64"]);
    let annotations = &entries(&found.contents)[0]["annotations"];
    assert_eq!(*annotations, json!({REF_NAME: "v1"}));
    let named = fixed(&layout.tar(), &["--name", "app:v1"]);
    assert_eq!(named.names(), ["app:v1"]);
}
