//! `ocify merge`: equal names of different content, whatever the content is.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, REF_NAME, annotated, digest_of, named,
};
use crate::common::contents::Contents;
use crate::common::runner::Sandbox;
use crate::merge::{merge, merged, names};

fn app() -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, "app")])
}

/// An artifact with this text.
fn artifact(layout: &mut Layout, text: &str) -> Value {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let blob = layout.blob("application/x.chart", text);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x.chart", "config": config, "layers": [blob]});
    layout.document(OCI_MANIFEST, &manifest)
}

/// What is listed beside an image: the entry with this text, under a name that does not depend on it.
type Entry = fn(&mut Layout, &Value, &str) -> Value;

fn tag_of(image: &Value, suffix: &str) -> String {
    format!("{}{suffix}", digest_of(image).replace(':', "-"))
}

/// Entries with the name that the report shows, and with the one that the second gets.
#[rustfmt::skip]
const ENTRIES: [(&str, Entry, &str, &str); 7] = [
    ("an artifact", |layout, _, text| {
        let artifact = artifact(layout, text);
        named(artifact, "example.com/chart:1")
    }, "example.com/chart:1", "example.com/chart:1-2"),
    ("an index of artifacts", |layout, _, text| {
        let artifact = artifact(layout, text);
        let index = layout.index_of(OCI_INDEX, vec![artifact]);
        named(index, "example.com/charts:1")
    }, "example.com/charts:1", "example.com/charts:1-2"),
    ("a signature under a tag", |layout, image, text| {
        let signature = artifact(layout, text);
        annotated(signature, &[(REF_NAME, &tag_of(image, ".sig"))])
    }, "TAG.sig", "TAG.sig.2"),
    ("an attestation under a full name", |layout, image, text| {
        let attestation = artifact(layout, text);
        named(attestation, &format!("example.com/app:{}", tag_of(image, ".att")))
    }, "example.com/app:TAG.att", "example.com/app:TAG.att.2"),
    ("a referrers index", |layout, image, text| {
        let note = artifact(layout, text);
        let index = layout.index_of(OCI_INDEX, vec![note]);
        named(index, &format!("example.com/app:{}", tag_of(image, "")))
    }, "example.com/app:TAG", "example.com/app:TAG.2"),
    ("an artifact with a tag alone", |layout, _, text| {
        let artifact = artifact(layout, text);
        annotated(artifact, &[(REF_NAME, "latest")])
    }, "latest", "latest-2"),
    ("an image with a tag alone", |layout, _, text| {
        let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, text)]));
        annotated(image, &[(REF_NAME, "v1")])
    }, "v1", "v1-2"),
];

/// The entries of `index.json`, without those of the image: the stated name and the digest.
fn entries(contents: &Contents) -> Vec<(String, String)> {
    let root = contents.json("index.json");
    let list = root["manifests"].as_array().unwrap().iter();
    let mut entries: Vec<(String, String)> = list
        .map(|entry| {
            let annotations = &entry["annotations"];
            let full = annotations["io.containerd.image.name"].as_str();
            let name = full.or(annotations[REF_NAME].as_str()).unwrap_or_default();
            (name.to_owned(), digest_of(entry))
        })
        .filter(|(name, _)| name != "example.com/app:1")
        .collect();
    entries.sort();
    entries
}

#[test]
fn equal_names_of_different_content_need_a_decision() {
    for (what, entry, name, second_name) in ENTRIES {
        let sandbox = Sandbox::new();
        let mut digests = Vec::new();
        let mut tag = String::new();
        for input in ["a", "b"] {
            let mut layout = Layout::new();
            let image = layout.image(&app());
            tag = tag_of(&image, "");
            let other = entry(&mut layout, &image, input);
            digests.push(digest_of(&other));
            layout.root(vec![named(image, "example.com/app:1"), other]);
            sandbox.put(&format!("{input}.tar"), layout.tar());
        }
        let [name, second_name] = [name, second_name].map(|name| name.replace("TAG", &tag));
        let inputs = ["a.tar", "b.tar"];
        let index = ["--index", "example.com/joined:1"];
        // With --index, images get its name, and the others keep theirs.
        let is_image = what == "an image with a tag alone";
        for more in [&[][..], &index]
            .into_iter()
            .take(1 + usize::from(!is_image))
        {
            let run = merge(&sandbox, &inputs, "out.tar", more).exits(1);
            let kind = if is_image { "images" } else { "manifests" };
            let expected = format!("a.tar and b.tar contain different {kind} named {name}");
            assert!(run.stderr.contains(&expected), "{what}: {}", run.stderr);
            assert!(
                run.stderr.contains("--on-conflict"),
                "{what}: {}",
                run.stderr
            );
            assert_eq!(sandbox.names(), inputs, "{what}");
        }
        for (choice, kept, loser) in [("first", 0, 1), ("last", 1, 0)] {
            let found = merged(&sandbox, &inputs, &["--on-conflict", choice]);
            let expected = [(name.clone(), digests[kept].clone())];
            assert_eq!(entries(&found.contents), expected, "{what}, {choice}");
            assert!(found.contents.blob(&digests[loser]).is_none(), "{what}");
            assert!(found.facts.unreferenced.is_empty(), "{what}");
            let conflicts = &found.report["inputs"][loser]["conflicts"];
            assert_eq!(
                *conflicts,
                json!([{"name": name, "renamed": null}]),
                "{what}"
            );
            assert_eq!(
                found.report["inputs"][kept]["conflicts"],
                json!([]),
                "{what}"
            );
            let changes = found.report["merged"]["changes"].as_array().unwrap();
            let left_out = changes
                .iter()
                .filter(|change| change["rule"] == "superseded");
            assert_eq!(left_out.count(), 1, "{what}: {changes:#?}");
        }
        let both = merged(&sandbox, &inputs, &["--on-conflict", "rename"]);
        let mut expected = vec![
            (name.clone(), digests[0].clone()),
            (second_name.clone(), digests[1].clone()),
        ];
        expected.sort();
        assert_eq!(entries(&both.contents), expected, "{what}");
        let conflicts = &both.report["inputs"][1]["conflicts"];
        assert_eq!(
            *conflicts,
            json!([{"name": name, "renamed": second_name}]),
            "{what}"
        );
        // What both inputs have is no conflict.
        let same = merged(&sandbox, &["a.tar", "a.tar"], &[]);
        assert_eq!(
            entries(&same.contents),
            [(name, digests[0].clone())],
            "{what}"
        );
    }
}

/// An image that lost its only name stays in an index that lists it.
#[test]
fn an_index_that_stays_keeps_an_image_that_lost_its_name() {
    let sandbox = Sandbox::new();
    let mut one = Layout::new();
    let winner = one.image(&app());
    one.root(vec![named(winner.clone(), "example.com/app:1")]);
    sandbox.put("a.tar", one.tar());
    let mut two = Layout::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| {
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]);
        let image = two.image(&image.architecture(architecture));
        crate::common::builder::on(image, "linux", architecture)
    });
    let mut alone = amd64.clone();
    alone.as_object_mut().unwrap().remove("platform");
    let index = two.index_of(OCI_INDEX, vec![amd64.clone(), arm64]);
    two.root(vec![
        named(index.clone(), "example.com/multi:1"),
        named(alone, "example.com/app:1"),
    ]);
    sandbox.put("b.tar", two.tar());
    let found = merged(&sandbox, &["a.tar", "b.tar"], &["--on-conflict", "first"]);
    assert_eq!(
        names(&found.facts),
        ["example.com/app:1", "example.com/multi:1"]
    );
    let images = found.report["merged"]["images"].as_array().unwrap().iter();
    let images: Vec<&Value> = images.map(|image| &image["digest"]).collect();
    assert!(images.contains(&&index["digest"]), "{images:?}");
    assert!(images.contains(&&winner["digest"]), "{images:?}");
    assert!(found.contents.blob(&digest_of(&amd64)).is_some());
}
