//! Names that several images have: each stays with the last one, as in docker and containerd.

use serde_json::{Value, json};

use crate::common::builder::{
    IMAGE_NAME, Image, Layer, Layout, OCI_GZIP, REF_NAME, annotated, digest_of, docker_item, named,
};
use crate::common::contents::Contents;
use crate::common::evidence::{signature, tagged};
use crate::common::failure::fails;
use crate::common::judged::{Fixed, fixed};
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, config_hex, image};

const NAME: &str = "docker.io/library/app:v1";

fn of(text: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, text)])
}

/// Two images for one platform with one name, and the descriptors of both.
fn pair() -> (Layout, [Value; 2]) {
    let mut layout = Layout::new();
    let images = ["one", "two"].map(|text| layout.image(&of(text)));
    layout.root(images.clone().map(|image| named(image, NAME)).to_vec());
    (layout, images)
}

fn annotations(contents: &Contents) -> Vec<(String, Value)> {
    let root = contents.json("index.json");
    let entries = root["manifests"].as_array().unwrap().iter();
    let entries = entries.map(|entry| (digest_of(entry), entry["annotations"].clone()));
    entries.collect()
}

fn config(image: &Image) -> String {
    format!("sha256:{}", config_hex(image))
}

fn names_of<'a>(found: &'a Fixed, image: &Image) -> Vec<&'a str> {
    let tags = &found.facts.tags[&config(image)];
    tags.iter().map(String::as_str).collect()
}

#[test]
fn the_last_image_keeps_the_name() {
    let (layout, [first, last]) = pair();
    let found = fixed(&layout.tar(), &[]);
    let name = json!({IMAGE_NAME: NAME, REF_NAME: "v1"});
    assert_eq!(
        annotations(&found.contents),
        [(digest_of(&first), Value::Null), (digest_of(&last), name)]
    );
    assert!(names_of(&found, &of("one")).is_empty());
    assert_eq!(names_of(&found, &of("two")), ["app:v1"]);
    let finding = found.finding("shared-name");
    assert_eq!(finding["severity"], "warns");
    assert_eq!(finding["location"], "index.json, manifests[1]");
    let message = finding["message"].as_str().unwrap();
    let expected = ["2 images have the name app:v1", &digest_of(&last)];
    assert!(
        expected.iter().all(|part| message.contains(part)),
        "{message}"
    );
    assert_eq!(
        found.finding("unnamed-image")["location"],
        "index.json, manifests[0]"
    );
    let removed = found.changes(&["name-removed"]);
    let removed: Vec<[&str; 2]> = removed
        .iter()
        .map(|change| [&*change[1], &change[2]])
        .collect();
    let at = "index.json, manifests[0]";
    assert_eq!(
        removed,
        [
            [&*format!("{at}, {IMAGE_NAME}"), NAME],
            [&*format!("{at}, {REF_NAME}"), "v1"]
        ]
    );
    // In place too.
    let (place, _) = placed::fixed(&layout.tar(), &[]);
    let expected = annotations(&found.contents);
    assert_eq!(
        annotations(&Contents::read(&place.path("in.tar"))),
        expected
    );
}

#[test]
fn an_image_that_is_chosen_keeps_its_names() {
    let (layout, images) = pair();
    for (image, number) in images.iter().zip(["1", "2"]) {
        for choice in [number, &digest_of(image)] {
            let found = fixed(&layout.tar(), &["--image", choice]);
            assert_eq!(found.names(), ["app:v1"], "{choice}");
            assert!(!found.findings().contains(&"shared-name"), "{choice}");
            assert!(found.contents.blob(&digest_of(image)).is_some(), "{choice}");
        }
    }
    // The name chooses the image that has it in the output.
    let found = fixed(&layout.tar(), &["--image", "app:v1"]);
    assert_eq!(annotations(&found.contents)[0].0, digest_of(&images[1]));
    let renamed = fixed(&layout.tar(), &["--rename", "app:v1=app:v2"]);
    assert_eq!(names_of(&renamed, &of("two")), ["app:v2"]);
    assert!(names_of(&renamed, &of("one")).is_empty());
}

#[test]
fn other_names_stay() {
    let (mut layout, [first, last]) = pair();
    layout.root(vec![
        named(first.clone(), NAME),
        named(first.clone(), "example.com/one:1"),
        named(last.clone(), NAME),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let digests: Vec<String> = annotations(&found.contents)
        .into_iter()
        .map(|(digest, _)| digest)
        .collect();
    assert_eq!(digests, [digest_of(&first), digest_of(&last)]);
    assert_eq!(names_of(&found, &of("one")), ["example.com/one:1"]);
    assert!(!found.findings().contains(&"unnamed-image"));
}

#[test]
fn a_repeated_entry_is_removed() {
    let (mut layout, [first, _]) = pair();
    let entry = named(first.clone(), NAME);
    layout.root(vec![entry.clone(), entry.clone(), entry]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(annotations(&found.contents).len(), 1);
    // Nothing lists the other image.
    assert_eq!(found.findings(), ["orphaned-blobs"]);
    let removed = found.changes(&["name-entry"]);
    let removed: Vec<&str> = removed.iter().map(|change| &*change[1]).collect();
    assert_eq!(
        removed,
        ["index.json, manifests[1]", "index.json, manifests[2]"]
    );
}

#[test]
fn images_without_a_platform_are_not_nested() {
    let mut layout = Layout::new();
    let images = ["one", "two"].map(|text| {
        let image = of(text);
        let mut manifest = layout.manifest(&image);
        let mut config = image.config();
        config.as_object_mut().unwrap().remove("architecture");
        manifest["config"] = layout.document(&image.config_type, &config);
        let descriptor = layout.document(&image.manifest_type, &manifest);
        named(descriptor, NAME)
    });
    layout.root(images.to_vec());
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let findings = report["findings"].as_array().unwrap().iter();
    let rules: Vec<&Value> = findings.map(|finding| &finding["rule"]).collect();
    assert!(rules.contains(&&json!("shared-name")), "{rules:?}");
}

#[test]
fn tags_and_invalid_names_stay_with_the_last_image_too() {
    let sandbox = Sandbox::new();
    let stated = [
        json!({REF_NAME: "v1"}),
        json!({IMAGE_NAME: "App:v1", REF_NAME: "v1"}),
    ];
    for (number, names) in stated.into_iter().enumerate() {
        let (mut layout, [first, last]) = pair();
        layout.edit_root(|root| {
            for entry in root["manifests"].as_array_mut().unwrap() {
                entry["annotations"] = names.clone();
            }
        });
        sandbox.put("in.tar", layout.tar());
        let output = format!("{number}.tar");
        let report = sandbox.fix("in.tar", &output).exits(0).json();
        assert_eq!(
            annotations(&Contents::read(&sandbox.path(&output))),
            [(digest_of(&first), Value::Null), (digest_of(&last), names)]
        );
        let mut findings = report["findings"].as_array().unwrap().iter();
        assert!(findings.any(|finding| finding["rule"] == "shared-name"));
    }
}

#[test]
fn an_artifact_does_not_take_the_name_of_an_image() {
    let mut layout = Layout::new();
    let image = layout.image(&of("one"));
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/x-a", "config": config, "layers": []});
    let artifact = layout.document("application/vnd.oci.image.manifest.v1+json", &manifest);
    layout.root(vec![
        named(image.clone(), NAME),
        annotated(named(artifact.clone(), NAME), &[("a", "b")]),
    ]);
    let found = fixed(&layout.tar(), &[]);
    let name = json!({IMAGE_NAME: NAME, REF_NAME: "v1"});
    assert_eq!(
        annotations(&found.contents),
        [
            (digest_of(&image), name),
            (digest_of(&artifact), json!({"a": "b"}))
        ]
    );
    let expected = format!(
        "2 manifests have the name app:v1, 1 of them images; ocify gives it to the image, {}",
        digest_of(&image)
    );
    assert_eq!(found.finding("shared-name")["message"], expected);
}

#[test]
fn a_tag_made_of_a_digest_stays_with_the_last_evidence() {
    let mut layout = Layout::new();
    let signed = layout.image(&of("one"));
    // Nothing but the tag says that this is a signature, so it is an image, and loses the tag.
    let other = tagged(layout.image(&of("two")), &signed, ".sig");
    let signature = signature(&mut layout, &signed);
    let root = vec![
        named(signed.clone(), NAME),
        other.clone(),
        signature.clone(),
    ];
    layout.root(root);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(
        annotations(&found.contents)[1..],
        [
            (digest_of(&other), Value::Null),
            (digest_of(&signature), signature["annotations"].clone())
        ]
    );
    assert_eq!(names_of(&found, &of("one")), ["app:v1"]);
    assert!(names_of(&found, &of("two")).is_empty());

    // The order does not matter: the other one is an image by its config and layers, and no evidence.
    let tags = signature["annotations"].clone();
    let expected = [
        (digest_of(&signature), tags),
        (digest_of(&other), Value::Null),
    ];
    layout.root(vec![named(signed, NAME), signature, other]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(annotations(&found.contents)[1..], expected);
    assert_eq!(names_of(&found, &of("one")), ["app:v1"]);
    assert!(names_of(&found, &of("two")).is_empty());
}

#[test]
fn both_roots_must_agree_on_the_last_image() {
    let (mut layout, _) = pair();
    let items = ["one", "two"].map(|text| {
        let manifest = layout.manifest(&of(text));
        docker_item(&manifest, &["app:v1"])
    });
    let with = |items: &[Value]| {
        let mut layout = layout.clone();
        layout.docker_manifest = Some(json!(items).to_string().into_bytes());
        layout.tar()
    };
    let [one, two] = &items;
    let found = fixed(&with(&[one.clone(), two.clone()]), &[]);
    assert_eq!(names_of(&found, &of("two")), ["app:v1"]);
    let expected = ["the name app:v1 to different images"];
    for items in [&[two.clone(), one.clone()][..], std::slice::from_ref(one)] {
        fails("order", &with(items), "root-disagreement", &expected);
    }
}

#[test]
fn the_last_image_of_a_docker_archive_keeps_the_name() {
    let (one, two) = (image(&["a"]), image(&["b"]));
    let mut saved = Saved::new();
    saved.docker(&one, json!(["app:v1", "one:1"]));
    saved.docker(&two, json!(["app:v1"]));
    let found = fixed(&saved.tar(), &[]);
    assert_eq!(names_of(&found, &one), ["one:1"]);
    assert_eq!(names_of(&found, &two), ["app:v1"]);
    found.finding("shared-name");
}
