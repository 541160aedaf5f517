//! `--image` with the digest of one platform of an index: the index stays, with that platform and what refers to it.

use serde_json::Value;

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on, right_image,
};
use crate::common::evidence::{attestation, evidence};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::saved::config_hex;

fn of(architecture: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]).architecture(architecture)
}

/// An index of three platforms, one of them in an index of its own, with evidence of everything, and another image.
struct Platforms {
    layout: Layout,
    images: [Value; 3],
    about: [Value; 3],
    index: Value,
    signature_of_index: Value,
    signature_of_arm64: Value,
}

fn platforms() -> Platforms {
    let mut layout = Layout::new();
    let images = ["amd64", "arm64", "riscv64"].map(|architecture| {
        let descriptor = layout.image(&of(architecture));
        on(descriptor, "linux", architecture)
    });
    let about = images
        .each_ref()
        .map(|image| attestation(&mut layout, image));
    let inner = vec![images[2].clone(), about[2].clone()];
    let inner = layout.index_of(OCI_INDEX, inner);
    let [one, two] = [0, 1].map(|number: usize| [images[number].clone(), about[number].clone()]);
    let index = layout.index_of(OCI_INDEX, [&one[..], &two[..], &[inner]].concat());
    let [signature_of_index, note_of_index] = evidence(&mut layout, &index);
    let [signature_of_arm64, note_of_arm64] = evidence(&mut layout, &images[1]);
    let other = layout.image(&right_image());
    layout.root(vec![
        named(index.clone(), "docker.io/library/app:v1"),
        named(index.clone(), "docker.io/library/app:latest"),
        signature_of_index.clone(),
        signature_of_arm64.clone(),
        note_of_index,
        note_of_arm64,
        named(other, "docker.io/library/other:1"),
    ]);
    Platforms {
        layout,
        images,
        about,
        index,
        signature_of_index,
        signature_of_arm64,
    }
}

fn has(found: &Fixed, descriptor: &Value) -> bool {
    found.contents.blob(&digest_of(descriptor)).is_some()
}

/// The digests that the index of the first entry lists.
fn listed(found: &Fixed) -> Vec<String> {
    let root = found.contents.json("index.json");
    let index = found.contents.document(&digest_of(&root["manifests"][0]));
    let list = index["manifests"].as_array().unwrap();
    list.iter().map(digest_of).collect()
}

#[test]
fn a_platform_is_chosen_by_its_manifest_or_config() {
    let Platforms {
        layout,
        images,
        about,
        signature_of_arm64,
        ..
    } = platforms();
    let bytes = layout.tar();
    for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let config = config_hex(&of(architecture));
        let digest = digest_of(&images[number]);
        let found = fixed(&bytes, &["--image", &digest]);
        assert_eq!(found.names(), ["app:latest", "app:v1"], "{architecture}");
        let expected = [&images[number], &about[number]].map(digest_of);
        assert_eq!(listed(&found), expected);
        assert_eq!(
            found.report["images"][0]["platform"],
            format!("linux/{architecture}")
        );
        for other in images.iter().filter(|other| **other != images[number]) {
            assert!(!has(&found, other), "{architecture}");
        }
        assert_eq!(has(&found, &signature_of_arm64), architecture == "arm64");
        assert!(found.facts.unreferenced.is_empty(), "{:?}", found.facts);
        for choice in [config.clone(), format!("sha256:{config}")] {
            let by_config = fixed(&bytes, &["--image", &choice]);
            assert!(by_config.bytes == found.bytes, "{choice}");
        }
    }
}

#[test]
fn a_platform_in_an_inner_index_is_chosen_too() {
    let Platforms {
        layout,
        images,
        about,
        ..
    } = platforms();
    let found = fixed(&layout.tar(), &["--image", &digest_of(&images[2])]);
    let inner = listed(&found);
    assert_eq!(inner.len(), 1);
    let inner = found.contents.document(&inner[0]);
    let inner: Vec<String> = inner["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(digest_of)
        .collect();
    assert_eq!(inner, [&images[2], &about[2]].map(digest_of));
}

#[test]
fn several_platforms_stay_together() {
    let Platforms {
        layout,
        images,
        about,
        index,
        signature_of_index,
        ..
    } = platforms();
    let bytes = layout.tar();
    let [one, two] = [&images[0], &images[1]].map(digest_of);
    let found = fixed(&bytes, &["--image", &two, "--image", &one]);
    let expected = [&images[0], &about[0], &images[1], &about[1]].map(digest_of);
    assert_eq!(listed(&found), expected);
    // The whole index, even if one of its platforms is chosen too.
    let whole = fixed(&bytes, &["--image", &two, "--image", "app:v1"]);
    assert!(has(&whole, &index) && has(&whole, &signature_of_index));
    assert!(images.iter().all(|image| has(&whole, image)));
    // With another image.
    let both = fixed(&bytes, &["--image", &two, "--image", "other:1"]);
    assert_eq!(both.names(), ["app:latest", "app:v1", "other:1"]);
    assert!(!has(&both, &images[0]));
    let unknown = format!("sha256:{}", "0".repeat(64));
    let parts = ["no image in the archive is"];
    fails_with(
        "unknown",
        &bytes,
        &["--image", &unknown],
        "image-not-found",
        &parts,
    );
}

#[test]
fn one_of_the_platforms_side_by_side_is_chosen() {
    let mut layout = Layout::new();
    let images = ["amd64", "arm64"].map(|architecture| {
        let descriptor = layout.image(&of(architecture));
        named(on(descriptor, "linux", architecture), "example.com/app:v1")
    });
    layout.root(images.to_vec());
    for image in &images {
        let found = fixed(&layout.tar(), &["--image", &digest_of(image)]);
        assert_eq!(found.names(), ["example.com/app:v1"]);
        assert_eq!(listed(&found), [digest_of(image)]);
    }
}
