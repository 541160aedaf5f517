//! Names with a digest: true as long as the image keeps its digest, and then not repeated.

use serde_json::{Value, json};

use crate::common::builder::{
    IMAGE_NAME, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, REF_NAME, annotated, digest_of, named,
    on, right_image,
};
use crate::common::contents::Contents;
use crate::common::evidence::{one, referrer, referrers_tag, tagged, with_sha512};
use crate::common::judged::{Fixed, fixed};
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

/// The image under these annotations, in which `$` is the digest of its manifest.
fn called(image: &Image, annotations: &[(&str, &str)]) -> Layout {
    let mut layout = Layout::new();
    let descriptor = layout.image(image);
    let digest = digest_of(&descriptor);
    let annotations: Vec<(&str, String)> = annotations
        .iter()
        .map(|(key, value)| (*key, value.replace('$', &digest)))
        .collect();
    let annotations: Vec<(&str, &str)> = annotations
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    layout.root(vec![annotated(descriptor, &annotations)]);
    layout
}

fn annotations(contents: &Contents) -> Value {
    contents.json("index.json")["manifests"][0]["annotations"].clone()
}

fn tags(found: &Fixed) -> Value {
    found.contents.json("manifest.json")[0]["RepoTags"].clone()
}

#[test]
fn a_name_with_an_old_digest_is_not_repeated() {
    for name in ["example.com/app@$", "example.com/app:v1@$"] {
        let layout = called(&one(), &[(REF_NAME, name)]);
        let found = fixed(&layout.tar(), &[]);
        let stated = annotations(&found.contents);
        assert!(stated.get(IMAGE_NAME).is_none(), "{stated}");
        // What was there stays, so that nothing is lost without a word.
        let index: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
        let before = &index["manifests"][0]["annotations"][REF_NAME];
        assert_eq!(stated[REF_NAME], *before);
        assert_eq!(tags(&found), Value::Null);
        assert_eq!(found.report["images"][0]["names"], json!([]));
        let finding = found.finding("stale-digest-name");
        assert_eq!(
            (&finding["severity"], &finding["location"]),
            (
                &json!("warns"),
                &json!(format!("index.json, manifests[0], {REF_NAME}"))
            )
        );
        assert!(finding["hint"].as_str().unwrap().contains("--name"));
        assert!(!found.findings().contains(&"unnamed-image"));
        // The second time, the name still has another digest than the image.
        let again = fixed(&found.bytes, &[]);
        assert!(again.bytes == found.bytes);
        assert_eq!(again.findings(), found.findings());
        let (place, _) = placed::fixed(&layout.tar(), &[]);
        let stated = annotations(&Contents::read(&place.path("in.tar")));
        assert!(stated.get(IMAGE_NAME).is_none(), "{stated}");
    }
}

#[test]
fn name_replaces_it() {
    let layout = called(
        &one(),
        &[
            (REF_NAME, "example.com/app@$"),
            (IMAGE_NAME, "example.com/app@$"),
        ],
    );
    let found = fixed(&layout.tar(), &["--name", "example.com/app:v2"]);
    assert_eq!(
        annotations(&found.contents),
        json!({REF_NAME: "v2", IMAGE_NAME: "example.com/app:v2"})
    );
    assert_eq!(found.findings(), [""; 0]);
}

#[test]
fn a_name_with_the_right_digest_stays() {
    let layout = called(&right_image(), &[(REF_NAME, "example.com/app@$")]);
    let found = fixed(&layout.tar(), &[]);
    let stated = annotations(&found.contents);
    assert_eq!(stated[IMAGE_NAME], stated[REF_NAME]);
    // Docker refuses a tag with a digest.
    assert_eq!(tags(&found), Value::Null);
    assert_eq!(found.findings(), [""; 0]);
    let tagged = called(&right_image(), &[(IMAGE_NAME, "app:v1@$")]);
    let found = fixed(&tagged.tar(), &[]);
    assert_eq!(tags(&found), Value::Null);
    let stated = annotations(&found.contents);
    assert!(
        stated[IMAGE_NAME]
            .as_str()
            .unwrap()
            .starts_with("docker.io/library/app:v1@sha256:")
    );
    // It follows from the input alone: recompressed layers change the manifest.
    let found = fixed(&layout.tar(), &["--compression", "uncompressed"]);
    found.finding("stale-digest-name");
    assert!(annotations(&found.contents).get(IMAGE_NAME).is_none());
}

#[test]
fn a_true_name_beside_it_replaces_the_reference_name() {
    let names = [
        (REF_NAME, "example.com/app@$"),
        (IMAGE_NAME, "example.com/app:v1"),
    ];
    let found = fixed(&called(&one(), &names).tar(), &[]);
    let expected = json!({REF_NAME: "v1", IMAGE_NAME: "example.com/app:v1"});
    assert_eq!(annotations(&found.contents), expected);
    let kept = fixed(&called(&right_image(), &names).tar(), &[]);
    assert!(
        annotations(&kept.contents)[REF_NAME]
            .as_str()
            .unwrap()
            .contains('@')
    );
}

#[test]
fn the_name_of_an_index_follows_its_children() {
    let mut layout = Layout::new();
    let images = [
        one(),
        Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]).architecture("arm64"),
    ];
    let images = images.map(|image| on(layout.image(&image), "linux", &image.architecture));
    let index = layout.index_of(OCI_INDEX, images.to_vec());
    let name = format!("example.com/app@{}", digest_of(&index));
    layout.root(vec![annotated(index, &[(REF_NAME, &name)])]);
    let found = fixed(&layout.tar(), &[]);
    found.finding("stale-digest-name");
    assert!(annotations(&found.contents).get(IMAGE_NAME).is_none());
}

#[test]
fn tags_with_a_digest_leave_manifest_json() {
    let hex = "0".repeat(64);
    let mut saved = Saved::new();
    let tags = [format!("app@sha256:{hex}"), "app:v1".to_owned()];
    saved.docker(&image(&["a"]), json!(tags));
    let found = fixed(&saved.tar(), &[]);
    assert_eq!(found.names(), ["app:v1"]);
    assert_eq!(
        found.finding("stale-digest-name")["location"],
        "manifest.json"
    );
}

/// Such a tag has only half of the hash. The image may be listed, or be in an index.
#[test]
fn tags_made_of_sha512_digests_follow_them() {
    for is_in_index in [false, true] {
        let mut layout = Layout::new();
        let image = layout.image(&one());
        let image = with_sha512(&mut layout, &image);
        let about = referrer(&mut layout, "application/x-note", "note", &image);
        let list = layout.index_of(OCI_INDEX, vec![about.clone()]);
        let list = tagged(list, &image, "");
        let materials = layout.blob("text/spdx+json", "{}");
        let materials = tagged(materials, &image, ".sbom");
        let root = match is_in_index {
            true => layout.index_of(OCI_INDEX, vec![on(image.clone(), "linux", "amd64")]),
            false => image.clone(),
        };
        layout.root(vec![
            named(root, "example.com/app:v1"),
            about,
            list,
            materials,
        ]);
        let sandbox = Sandbox::new();
        layout.write_to(&sandbox.path("in"));
        for (output, options) in [
            ("out.tar", &[][..]),
            ("out/", &[]),
            ("one.tar", &["--image", "example.com/app:v1"]),
        ] {
            sandbox.fix_with("in", output, options).exits(0);
            let contents = Contents::read(&sandbox.path(output.trim_end_matches('/')));
            let entries = contents.json("index.json")["manifests"].clone();
            let mut new = digest_of(&entries[0]);
            if is_in_index {
                new = digest_of(&contents.document(&new)["manifests"][0]);
            }
            assert!(
                new.starts_with("sha512:") && new != digest_of(&image),
                "{new}"
            );
            let tag = referrers_tag(&new);
            let tags = [2, 3].map(|number: usize| entries[number]["annotations"][REF_NAME].clone());
            assert_eq!(tags, [json!(tag), json!(format!("{tag}.sbom"))], "{output}");
        }
        let dry = sandbox.ocify(&["fix", "out.tar", "--dry-run"]).exits(0);
        assert!(!dry.stdout.contains("referrers-tag"), "{}", dry.stdout);
    }
}
