//! `--image`: which images are written, and what is written with them.

use serde_json::{Value, json};

use crate::common::builder::{Image, Layout, OCI_INDEX, digest_of, named, on};
use crate::common::evidence::{attestation, evidence, one, two};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, config_hex, image, parts};

/// Two images with everything that can refer to an image. The second one is in an index.
struct Crowd {
    layout: Layout,
    first: Value,
    inner: Value,
    index: Value,
}

fn crowd() -> Crowd {
    let mut layout = Layout::new();
    let first = layout.image(&one());
    let inner = layout.image(&two());
    let first_attestation = attestation(&mut layout, &first);
    let inner_attestation = attestation(&mut layout, &inner);
    let index = layout.index_of(
        OCI_INDEX,
        vec![on(inner.clone(), "linux", "amd64"), inner_attestation],
    );
    let [first_signature, first_note] = evidence(&mut layout, &first);
    let [second_signature, second_note] = evidence(&mut layout, &index);
    layout.root(vec![
        first_signature,
        named(first.clone(), "docker.io/library/one:1"),
        named(first.clone(), "example.com/alias:2"),
        first_attestation,
        first_note,
        named(index.clone(), "docker.io/library/two:1"),
        second_signature,
        second_note,
    ]);
    layout.blob("application/octet-stream", "nobody names this");
    Crowd {
        layout,
        first,
        inner,
        index,
    }
}

fn positions(found: &Fixed, rule: &str) -> Vec<String> {
    let changes = found.changes(&[rule]);
    changes
        .into_iter()
        .map(|change| change[1].replace("index.json, manifests", ""))
        .collect()
}

#[test]
fn an_image_can_be_selected_in_every_way() {
    let Crowd {
        layout,
        first,
        inner,
        index,
    } = crowd();
    let bytes = layout.tar();
    let config = |image: &Image| format!("sha256:{}", config_hex(image));
    let bare = |digest: &str| digest.replace("sha256:", "");
    let ways = [
        vec![
            "docker.io/library/one:1".to_owned(),
            "one:1".to_owned(),
            "example.com/alias:2".to_owned(),
            digest_of(&first),
            bare(&digest_of(&first)),
            config(&one()),
            bare(&config(&one())),
            "1".to_owned(),
        ],
        vec![
            "docker.io/library/two:1".to_owned(),
            "two:1".to_owned(),
            digest_of(&index),
            bare(&digest_of(&index)),
            config(&two()),
            "2".to_owned(),
        ],
    ];
    let names: [&[&str]; 2] = [&["example.com/alias:2", "one:1"], &["two:1"]];
    let left_out: [&[&str]; 2] = [&["[5]", "[6]", "[7]"], &["[0]", "[1]", "[2]", "[3]", "[4]"]];
    for (number, ways) in ways.iter().enumerate() {
        let expected = fixed(&bytes, &["--image", &ways[0]]);
        assert_eq!(expected.names(), names[number]);
        assert_eq!(positions(&expected, "image-choice"), left_out[number]);
        for way in &ways[1..] {
            assert!(
                fixed(&bytes, &["--image", way]).bytes == expected.bytes,
                "{way}"
            );
        }
        // The other image's blobs are removed, except a shared one. Unreferenced blobs are kept.
        let found = |text: &str| {
            expected
                .contents
                .files
                .values()
                .any(|bytes| String::from_utf8_lossy(bytes).contains(text))
        };
        let [(kept, image), (gone, other)] = if number == 0 {
            [(&first, one()), (&index, two())]
        } else {
            [(&index, two()), (&first, one())]
        };
        assert!(
            found(&format!("signs {}", digest_of(kept)))
                && found(&format!("notes {}", digest_of(kept)))
        );
        assert!(
            !found(&format!("signs {}", digest_of(gone)))
                && !found(&format!("notes {}", digest_of(gone)))
        );
        let attested = if number == 0 {
            [&first, &inner]
        } else {
            [&inner, &first]
        };
        assert!(
            found(&format!("about {}", digest_of(attested[0])))
                && !found(&format!("about {}", digest_of(attested[1])))
        );
        assert!(found("nobody names this"));
        let has = |digest: &str| expected.contents.blob(digest).is_some();
        assert!(parts(&image).iter().all(|part| has(part)));
        assert!(has(&parts(&other)[1]) && !has(&parts(&other)[0]) && !has(&parts(&other)[2]));
        assert_eq!(expected.facts.unreferenced.len(), 1);
    }
    let both = fixed(&bytes, &["--image", "two:1", "--image", "1"]);
    assert!(both.bytes == fixed(&bytes, &[]).bytes);
    // The message lists what is there.
    for choice in [
        "one".to_owned(),
        "3".to_owned(),
        "other:1".to_owned(),
        format!("sha256:{}", "0".repeat(64)),
    ] {
        let shown = if choice == "one" {
            "one:latest"
        } else {
            &choice
        };
        let parts = [
            "no image in the archive is",
            shown,
            "1: one:1 = example.com/alias:2",
            "2: two:1",
        ];
        fails_with(
            &choice,
            &bytes,
            &["--image", &choice],
            "image-not-found",
            &parts,
        );
    }
    fails_with(
        "one of two",
        &bytes,
        &["--image", "1", "--image", "7"],
        "image-not-found",
        &["number 7"],
    );
}

#[test]
fn unnamed_images_are_listed_by_digest() {
    let mut layout = Layout::new();
    let (first, second) = (layout.image(&one()), layout.image(&two()));
    layout.root(vec![first.clone(), second.clone()]);
    let listed = [
        format!("1: {}", digest_of(&first)),
        format!("2: {}", digest_of(&second)),
    ];
    fails_with(
        "name",
        &layout.tar(),
        &["--image", "app"],
        "image-not-found",
        &[&listed[0], &listed[1]],
    );
    let found = fixed(&layout.tar(), &["--image", "2", "--name", "app"]);
    assert_eq!(found.names(), ["app:latest"]);
    assert_eq!(found.report["images"].as_array().unwrap().len(), 1);
}

#[test]
fn images_of_docker_archives_can_be_selected() {
    let (one, two) = (image(&["a", "b"]), image(&["a", "c"]));
    let mut saved = Saved::new();
    saved.docker(&one, json!(["one:1", "one:2"]));
    saved.docker(&two, Value::Null);
    for choice in ["one:2", "1", &config_hex(&one)] {
        let found = fixed(&saved.tar(), &["--image", choice]);
        assert_eq!(found.names(), ["one:1", "one:2"], "{choice}");
        assert_eq!(found.contents.parts(), [parts(&one)], "{choice}");
        assert!(found.contents.blob(&parts(&two)[2]).is_none(), "{choice}");
        assert!(found.facts.unreferenced.is_empty(), "{choice}");
    }
    assert_eq!(
        fixed(&saved.tar(), &["--image", &config_hex(&two)])
            .contents
            .parts(),
        [parts(&two)]
    );
}

#[test]
fn an_invalid_selection_is_a_usage_error() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", crowd().layout.tar());
    for (choice, expected) in [
        ("0", "image numbers start at 1"),
        ("App", "expected a name, a digest, an image ID or a number"),
        ("", "expected a name"),
        ("-1", ""),
    ] {
        let run = sandbox
            .fix_with("in.tar", "out.tar", &["--image", choice])
            .exits(2);
        assert!(run.stderr.contains(expected), "{choice}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{choice}");
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn an_image_in_an_index_is_selected_by_its_manifest() {
    let Crowd { layout, inner, .. } = crowd();
    let found = fixed(&layout.tar(), &["--image", &digest_of(&inner)]);
    assert_eq!(found.names(), ["two:1"]);
}
