//! Docker archives without `index.json`: every form that a tool writes becomes an image layout with
//! the same configs and layers.

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{Image, Layer, OCI_GZIP, OCI_TAR, OCI_ZSTD, layer_tar};
use crate::common::saved::{
    Saved, config_hex, holds, image, linked, manifest_digest, parts, v1_id,
};
use crate::common::sha256;

#[test]
fn archives_of_docker_before_25_are_fixed() {
    let mut saved = Saved::new();
    let app = image(&["a", "b"]);
    saved.docker(&app, json!(["app:v1", "example.com/other:2"]));
    let fixed = holds(&saved.tar(), &[&app]);
    assert_eq!(fixed.names(), ["app:v1", "example.com/other:2"]);
    let digest = manifest_digest(&app);
    let (first, second) = (
        format!("{}/layer.tar", v1_id(&app, 0)),
        format!("{}/layer.tar", v1_id(&app, 1)),
    );
    let config = format!("{}.json", config_hex(&app));
    let entry = |part: usize| format!("blobs/{}", parts(&app)[part].replace(':', "/"));
    let mut expected = vec![
        [
            "index-added".to_owned(),
            "index.json".to_owned(),
            "-".to_owned(),
            "1 image".to_owned(),
        ],
        [
            "manifest-added".to_owned(),
            "index.json, manifests[0]".to_owned(),
            "-".to_owned(),
            digest.clone(),
        ],
        ["blob-name".to_owned(), config.clone(), config, entry(0)],
        ["blob-name".to_owned(), first.clone(), first, entry(1)],
        ["blob-name".to_owned(), second.clone(), second, entry(2)],
    ];
    let mut found = fixed.changes(&["index-added", "manifest-added", "blob-name"]);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(
        fixed.report["digests"],
        json!([]),
        "nothing had a digest before"
    );
    let reported = &fixed.report["images"][0];
    assert_eq!(reported["config_digest"], parts(&app)[0]);
    assert_eq!(reported["digest"], digest);
    assert_eq!(
        reported["names"],
        json!(["docker.io/library/app:v1", "example.com/other:2"])
    );
}

#[test]
fn images_with_and_without_names_are_fixed() {
    let app = image(&["a"]);
    for (tags, names) in [
        (json!(["app"]), vec!["app:latest"]),
        (
            json!(["docker.io/library/app:v1", "app:v1"]),
            vec!["app:v1"],
        ),
        (
            json!(["localhost/app:v1", "a.example:5000/x/y:z"]),
            vec!["a.example:5000/x/y:z", "localhost/app:v1"],
        ),
        (json!([]), vec![]),
        (Value::Null, vec![]),
    ] {
        let mut saved = Saved::new();
        saved.docker(&app, tags.clone());
        let fixed = holds(&saved.tar(), &[&app]);
        assert_eq!(fixed.names(), names, "{tags}");
        let unnamed = fixed.findings().contains(&"unnamed-image");
        assert_eq!(unnamed, names.is_empty(), "{tags}");
    }
    let mut absent = Saved::new();
    absent.docker(&app, Value::Null);
    absent.items[0].as_object_mut().unwrap().remove("RepoTags");
    let fixed = holds(&absent.tar(), &[&app]);
    assert_eq!(
        fixed.contents.json("manifest.json")[0]["RepoTags"],
        Value::Null
    );
}

#[test]
fn several_images_in_one_archive_are_fixed() {
    let (one, two) = (image(&["a", "b"]), image(&["a", "c"]));
    let mut saved = Saved::new();
    saved.docker(&one, json!(["one:1"]));
    saved.docker(&two, json!(["two:1", "two:2"]));
    let fixed = holds(&saved.tar(), &[&one, &two]);
    assert_eq!(fixed.names(), ["one:1", "two:1", "two:2"]);
    let config = |image: &Image| format!("sha256:{}", config_hex(image));
    assert_eq!(fixed.facts.tags[&config(&one)].len(), 1);
    assert_eq!(fixed.facts.tags[&config(&two)].len(), 2);
    // Two items for one image become one image with the names of both.
    let mut twice = Saved::new();
    twice.docker(&one, json!(["one:1"]));
    let mut again = twice.items[0].clone();
    again["RepoTags"] = json!(["one:2"]);
    twice.items.push(again);
    assert_eq!(holds(&twice.tar(), &[&one]).names(), ["one:1", "one:2"]);
}

#[test]
fn repeated_layers_may_be_links() {
    for flag in [b'2', b'1'] {
        let (saved, one, two) = linked(flag);
        let after = holds(&saved.tar(), &[&one, &two]);
        let mut reversed = saved.all();
        reversed.reverse();
        let before = holds(&tar(&reversed), &[&one, &two]);
        assert!(after.bytes == before.bytes);
    }
    // Once more in the same image, as docker writes it for a layer that comes twice.
    let twice = image(&["a", "b", "a"]);
    let mut saved = Saved::new();
    saved.docker(&twice, json!(["app:v1"]));
    let (first, third) = (v1_id(&twice, 0), v1_id(&twice, 2));
    *saved.entry(&format!("{third}/layer.tar")) = Entry::link(
        format!("{third}/layer.tar"),
        b'2',
        &format!("../{first}/layer.tar"),
    );
    holds(&saved.tar(), &[&twice]);
    saved.items[0]["Layers"][2] = saved.items[0]["Layers"][0].clone();
    holds(&saved.tar(), &[&twice]);
}

#[test]
fn links_may_lead_to_links_and_to_blobs() {
    let app = image(&["a"]);
    let hex = sha256(&layer_tar("a"));
    let blob = format!("blobs/sha256/{hex}");
    let chain = |links: &[(&str, u8, &str)]| {
        let mut saved = Saved::new();
        saved.file("config.json", app.config().to_string());
        saved.item("config.json", &["l1/layer.tar"], json!(["app:v1"]));
        for (name, flag, target) in links {
            saved.entries.push(Entry::link(name, *flag, target));
        }
        saved
    };
    let mut files = chain(&[
        ("l1/layer.tar", b'2', "../l2/layer.tar"),
        ("l2/layer.tar", b'1', "l3"),
        ("l3", b'2', "./x/../l4.tar"),
    ]);
    files.file("l4.tar", layer_tar("a"));
    holds(&files.tar(), &[&app]);
    // As in the root that docker unpacks in, a link cannot lead above the top.
    let mut above = chain(&[("l1/layer.tar", b'2', "../../../l4.tar")]);
    above.file("l4.tar", layer_tar("a"));
    holds(&above.tar(), &[&app]);
    let mut absolute = chain(&[("l1/layer.tar", b'2', "/l4.tar")]);
    absolute.file("l4.tar", layer_tar("a"));
    holds(&absolute.tar(), &[&app]);
    let mut blobs = chain(&[("l1/layer.tar", b'2', &format!("../{blob}"))]);
    blobs.file(&blob, layer_tar("a"));
    holds(&blobs.tar(), &[&app]);
}

#[test]
fn archives_of_other_tools_are_fixed() {
    let plain = image(&["a", "b"]);
    let hexes: Vec<String> = parts(&plain)
        .iter()
        .map(|part| part.replace("sha256:", ""))
        .collect();
    let mut podman = Saved::new();
    podman.named(
        &plain,
        &format!("{}.json", hexes[0]),
        &[&format!("{}.tar", hexes[1]), &format!("{}.tar", hexes[2])],
        json!(["app:v1"]),
    );
    for hex in &hexes[1..] {
        let id = sha256(hex.as_bytes());
        podman.entries.push(Entry::link(
            format!("{id}/layer.tar"),
            b'2',
            &format!("../{hex}.tar"),
        ));
        podman.file(&format!("{id}/VERSION"), "1.0");
    }
    holds(&podman.tar(), &[&plain]);

    for (media_type, make) in [
        (OCI_GZIP, Layer::gzip as fn(&str, &str) -> Layer),
        (OCI_ZSTD, Layer::zstd),
    ] {
        let squeezed = Image::oci(vec![make(media_type, "a"), make(media_type, "b")]);
        let hexes: Vec<String> = parts(&squeezed)
            .iter()
            .map(|part| part.replace("sha256:", ""))
            .collect();
        // crane, ko and kaniko name the config by its digest, with a colon, and call every layer gzip.
        let mut crane = Saved::new();
        crane.named(
            &squeezed,
            &format!("sha256:{}", hexes[0]),
            &[
                &format!("{}.tar.gz", hexes[1]),
                &format!("{}.tar.gz", hexes[2]),
            ],
            json!(["app:v1"]),
        );
        let fixed = holds(&crane.tar(), &[&squeezed]);
        let manifest = &fixed.contents.manifests()[0].1;
        assert_eq!(manifest["layers"][0]["mediaType"], media_type);
        // Names without any digest, as jib and others have them.
        let mut plainly = Saved::new();
        plainly.named(
            &squeezed,
            "config.json",
            &["first", "layers/second.tar"],
            json!(["app:v1"]),
        );
        assert!(holds(&plainly.tar(), &[&squeezed]).bytes == fixed.bytes);
    }
    // crane's other form: docker's names without entries for directories, and plain layers.
    let mut legacy = Saved::new();
    legacy.docker(&plain, json!(["app:v1"]));
    legacy.entries.retain(|entry| entry.flag != b'5');
    let config = legacy.entries.pop().unwrap();
    legacy.entries.insert(0, config);
    holds(&legacy.tar(), &[&plain]);
    // Bazel's file names, with layers of every kind in one image.
    let mixed = Image::oci(vec![
        Layer::plain(OCI_TAR, "a"),
        Layer::gzip(OCI_GZIP, "b"),
        Layer::zstd(OCI_ZSTD, "c"),
    ]);
    let mut bazel = Saved::new();
    bazel.named(
        &mixed,
        "config",
        &["a.tar", "b.tar.gz", "c"],
        json!(["bazel/app:image"]),
    );
    holds(&bazel.tar(), &[&mixed]);
}

#[test]
fn an_image_without_layers_is_fixed() {
    let empty = image(&[]);
    let mut saved = Saved::new();
    saved.docker(&empty, json!(["app:v1"]));
    let expected = holds(&saved.tar(), &[&empty]);
    assert_eq!(
        expected.contents.json("manifest.json")[0]["Layers"],
        json!([])
    );
    saved.items[0]["Layers"] = Value::Null;
    assert!(holds(&saved.tar(), &[&empty]).bytes == expected.bytes);
    saved.items[0].as_object_mut().unwrap().remove("Layers");
    assert!(holds(&saved.tar(), &[&empty]).bytes == expected.bytes);
}
