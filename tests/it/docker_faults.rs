//! Docker archives and skopeo directories that are incomplete, damaged or not images are refused.

use std::fs;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{Image, Layer, OCI_GZIP, gzip, layer_tar};
use crate::common::contents::Contents;
use crate::common::failure::{expect, fails, fails_with};
use crate::common::judged::{fixed, fixed_path};
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, config_hex, holds, image, v1_id};
use crate::common::{fixture, sha256};

/// The archive of one image of two layers, with a change.
fn changed(change: impl FnOnce(&mut Saved, &Image)) -> Vec<u8> {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    change(&mut saved, &app);
    saved.tar()
}

fn layer(app: &Image, number: usize) -> String {
    format!("{}/layer.tar", v1_id(app, number))
}

fn without(saved: &mut Saved, name: &str) {
    saved.entries.retain(|entry| entry.name != name.as_bytes());
}

#[test]
fn missing_files_are_named() {
    let app = image(&["a", "b"]);
    let (first, second) = (layer(&app, 0), layer(&app, 1));
    let config = format!("{}.json", config_hex(&app));
    let at = ["manifest.json[0], Layers[0]", "manifest.json[0], Layers[1]"];
    let link = |flag: u8, target: &'static str| {
        changed(|saved, app| {
            *saved.entry(&layer(app, 1)) = Entry::link(layer(app, 1), flag, target)
        })
    };
    let loops = |targets: [String; 2]| {
        changed(|saved, app| {
            *saved.entry(&layer(app, 0)) = Entry::link(layer(app, 0), b'2', &targets[0]);
            *saved.entry(&layer(app, 1)) = Entry::link(layer(app, 1), b'2', &targets[1]);
        })
    };
    let long = changed(|saved, app| {
        *saved.entry(&layer(app, 1)) = Entry::link(layer(app, 1), b'2', "/link0");
        saved.entries.extend(
            (0..1000).map(|n| Entry::link(format!("link{n}"), b'2', &format!("link{}", n + 1))),
        );
        saved.file("link1000", layer_tar("b"));
    });
    let hex = sha256(b"nothing");
    #[rustfmt::skip]
    let cases = [
        ("config", changed(|saved, _| without(saved, &config)), vec!["manifest.json[0], Config", &config[..]]),
        ("config elsewhere", changed(|saved, _| saved.items[0]["Config"] = json!("x/../y.json")), vec!["Config", "x/../y.json"]),
        ("layer", changed(|saved, _| without(saved, &second)), vec![at[1], &second]),
        ("layer by digest", changed(|saved, _| saved.items[0]["Layers"][1] = json!(format!("blobs/sha256/{hex}"))), vec![at[1], &hex]),
        ("layer is a directory", changed(|saved, app| saved.items[0]["Layers"][1] = json!(v1_id(app, 0))), vec![at[1]]),
        ("layer is manifest.json", changed(|saved, _| saved.items[0]["Layers"][1] = json!("manifest.json")), vec![at[1]]),
        ("link to nothing", link(b'2', "nowhere"), vec![at[1]]),
        ("hard link to nothing", link(b'1', "nowhere"), vec![at[1]]),
        ("link outside", link(b'2', "../../../../etc/passwd"), vec![at[1]]),
        ("absolute link", link(b'2', "/etc/passwd"), vec![at[1]]),
        ("hard link outside", link(b'1', "../../etc/passwd"), vec![at[1]]),
        ("device", changed(|saved, app| saved.entry(&layer(app, 1)).flag = b'3'), vec![]),
        ("link to itself", link(b'2', "layer.tar"), vec![at[1]]),
        ("loop", loops([format!("../{second}"), format!("../{first}")]), vec![at[0]]),
        ("long chain", long, vec![at[1]]),
    ];
    for (name, bytes, parts) in cases {
        // A device has no data, so a header with a size is invalid.
        let code = if name == "device" {
            "invalid-archive"
        } else {
            "missing-blob"
        };
        fails(name, &bytes, code, &parts);
        fails_with(name, &bytes, &["--lenient"], code, &parts);
    }
}

#[test]
fn contradictions_are_refused() {
    let app = image(&["a", "b"]);
    let name = format!("{}.json", config_hex(&app));
    let spaced = format!("{}\n", app.config());
    let edited = changed(|saved, _| saved.entry(&name).data = spaced.clone().into_bytes());
    fails(
        "config of another digest",
        &edited,
        "digest-mismatch",
        &[&name, &sha256(spaced.as_bytes())],
    );
    let taken = fixed(&edited, &["--lenient"]);
    let digest = format!("sha256:{}", sha256(spaced.as_bytes()));
    assert_eq!(taken.report["images"][0]["config_digest"], digest);
    assert_eq!(taken.names(), ["app:v1"]);

    let crane = format!("sha256:{}", config_hex(&app));
    let mut saved = Saved::new();
    saved.named(&app, &crane, &["a", "b"], Value::Null);
    saved.entry(&crane).data.push(b'\n');
    fails("crane", &saved.tar(), "digest-mismatch", &[&crane]);

    let (a, b) = (sha256(&layer_tar("a")), sha256(&layer_tar("b")));
    let fewer = changed(|saved, _| drop(saved.items[0]["Layers"].as_array_mut().unwrap().pop()));
    let more = changed(|saved, _| {
        saved.items[0]["Layers"]
            .as_array_mut()
            .unwrap()
            .push(json!(layer(&app, 0)))
    });
    let none = changed(|saved, _| saved.items[0]["Layers"] = Value::Null);
    let swapped = changed(|saved, _| saved.items[0]["Layers"].as_array_mut().unwrap().reverse());
    let other = changed(|saved, app| saved.entry(&layer(app, 1)).data = layer_tar("c"));
    let cut = changed(|saved, app| saved.entry(&layer(app, 1)).data.truncate(512));
    let config = |text: &str| {
        changed(|saved, _| {
            saved.file("config.json", text);
            saved.items[0]["Config"] = json!("config.json");
        })
    };
    #[rustfmt::skip]
    let cases = [
        ("fewer", fewer, "layer-count-mismatch", vec!["1 layer,", "2 diff IDs"]),
        ("more", more, "layer-count-mismatch", vec!["3 layers", "2 diff IDs"]),
        ("none", none, "layer-count-mismatch", vec!["0 layers", "2 diff IDs"]),
        ("swapped", swapped, "diff-id-mismatch", vec![&a[..], &b]),
        ("another layer", other, "digest-mismatch", vec![&b]),
        ("cut layer", cut, "digest-mismatch", vec![&b]),
        ("config is no JSON", config("{"), "invalid-document", vec!["config.json"]),
        ("config is a list", config("[]"), "invalid-document", vec!["config.json"]),
        ("config with a key twice", config(r#"{"os":"a","os":"b"}"#), "duplicate-key", vec!["config.json", "os"]),
        ("config is empty", config(""), "invalid-document", vec!["config.json"]),
    ];
    for (name, bytes, code, parts) in cases {
        fails(name, &bytes, code, &parts);
    }
}

#[test]
fn a_file_for_two_diff_ids_is_wrong_for_one() {
    let bytes =
        changed(|saved, _| saved.items[0]["Layers"][1] = saved.items[0]["Layers"][0].clone());
    fails(
        "one file",
        &bytes,
        "diff-id-mismatch",
        &[&sha256(&layer_tar("b"))],
    );
}

#[test]
fn a_layer_that_is_not_a_tar_must_match_its_diff_id() {
    let expected = sha256(&layer_tar("b"));
    for damaged in [Vec::new(), b"noise ".repeat(400)] {
        let bytes = changed(|saved, app| saved.entry(&layer(app, 1)).data = damaged.clone());
        fails(
            "no tar",
            &bytes,
            "diff-id-mismatch",
            &["manifest.json[0], Layers[1]", &expected],
        );
    }
}

#[test]
fn lists_without_images_and_other_documents_are_refused() {
    let alone = |text: &str| tar(&[Entry::file("manifest.json", text)]);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    #[rustfmt::skip]
    let cases = [
        ("empty list", "[]", "not-an-image", "manifest.json does not list any image"),
        ("null", "null", "not-an-image", "manifest.json does not list any image"),
        ("empty object", "{}", "not-an-image", "manifest.json does not list any image"),
        ("object", "{\"a\":1}", "invalid-document", "manifest.json is not a list of images"),
        ("text", "\"x\"", "invalid-document", "manifest.json is not a list of images"),
        ("nothing", "", "invalid-document", "manifest.json is not valid JSON"),
        ("number", "[1]", "invalid-document", "[0] is not an object"),
        ("no config", "[{}]", "invalid-document", "[0] lacks Config"),
        ("null config", r#"[{"Config":null}]"#, "invalid-document", "[0] lacks Config"),
        ("layers", r#"[{"Config":"x","Layers":"y"}]"#, "invalid-document", "[0] has Layers"),
        ("tags", r#"[{"Config":"x","RepoTags":"y"}]"#, "invalid-document", "[0] has RepoTags"),
        ("two spellings", r#"[{"config":"x","Config":"y"}]"#, "duplicate-key", "config"),
        ("schema 1", r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#, "schema1", "schema 1"),
        ("schema 1 by type", r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#, "schema1", "schema 1"),
        ("another type", r#"{"schemaVersion":2,"mediaType":"text/plain"}"#, "invalid-document", "text/plain"),
        ("no config at all", &format!(r#"{{"schemaVersion":2,"mediaType":"{oci}"}}"#), "invalid-document", "lacks a config"),
        ("no version", &format!(r#"{{"mediaType":"{oci}"}}"#), "invalid-document", "manifest.json is not a list of images"),
    ];
    for (name, text, code, part) in cases {
        fails(name, &alone(text), code, &[part]);
    }
    let plugin = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.plugin.v1+json","digest":"sha256:x","size":1},"layers":[]}"#;
    let plugin = plugin.replace("sha256:x", &format!("sha256:{}", sha256(b"x")));
    let bytes = tar(&[
        Entry::file("manifest.json", plugin),
        Entry::file(sha256(b"x"), "x"),
    ]);
    fails("plugin", &bytes, "plugin", &["Docker plugin"]);
}

/// skopeo's directory with a change.
fn directory(change: impl FnOnce(&mut Contents)) -> Sandbox {
    let mut contents = Contents::read(&fixture("podman-dockerdir"));
    change(&mut contents);
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    for (name, bytes) in &contents.files {
        fs::write(sandbox.path("in").join(name), bytes).unwrap();
    }
    sandbox
}

#[test]
fn a_skopeo_directory_is_verified() {
    let right = directory(|_| ());
    let expected = fixed_path(&right.path("in"), &["--name", "app:v1"]);
    assert_eq!(expected.names(), ["app:v1"]);
    let layer = "45be61edf0b1f9774e0fd6b585a074e21566712ed9bb6443355f2141a81dfba0";
    let config = "f2608f80c53b0b0484a95d4a66dbffc9c9a656172f84a725dd243b21b29e9bfe";
    let damage = |name: &'static str| {
        directory(move |contents| contents.files.get_mut(name).unwrap()[100] ^= 1)
    };
    let remove = |name: &'static str| directory(move |contents| drop(contents.files.remove(name)));
    let shorten = directory(|contents| contents.files.get_mut(layer).unwrap().truncate(7679));
    for (name, sandbox, code, part) in [
        ("layer", damage(layer), "digest-mismatch", layer),
        ("config", damage(config), "digest-mismatch", config),
        ("no layer", remove(layer), "missing-blob", layer),
        ("no config", remove(config), "missing-blob", config),
        ("short layer", shorten, "size-mismatch", layer),
    ] {
        for output in ["out.tar", "out/"] {
            expect(name, &sandbox.fix("in", output), code, &[part]);
            assert_eq!(sandbox.names(), ["in"], "{name}");
        }
    }
}

#[test]
fn a_skopeo_directory_may_contain_an_index() {
    let mut files: Vec<Entry> = vec![Entry::file("version", "Directory Transport Version: 1.1\n")];
    let mut children = Vec::new();
    for (text, architecture) in [("a", "amd64"), ("b", "arm64")] {
        let one = Image::oci(vec![Layer::gzip(OCI_GZIP, text)]).architecture(architecture);
        let mut layout = crate::common::builder::Layout::new();
        let manifest = layout.image(&one);
        for (name, bytes) in &layout.blobs {
            let hex = name.rsplit('/').next().unwrap();
            let is_manifest = manifest["digest"] == format!("sha256:{hex}");
            let end = if is_manifest { ".manifest.json" } else { "" };
            files.push(Entry::file(format!("{hex}{end}"), bytes));
        }
        children.push(crate::common::builder::on(manifest, "linux", architecture));
    }
    let index =
        crate::common::builder::index(crate::common::builder::OCI_INDEX, children).to_string();
    files.push(Entry::file("manifest.json", &index));
    let fixed = fixed(
        &tar(&files),
        &["--name", "app:v1", "--docker-platform", "linux/arm64"],
    );
    assert_eq!(
        fixed.report["images"][0]["digest"],
        format!("sha256:{}", sha256(index.as_bytes()))
    );
    assert_eq!(fixed.report["images"][0]["platform"], "linux/arm64");
    assert_eq!(fixed.contents.manifests().len(), 2);
    assert!(fixed.facts.unreferenced.is_empty());
}

#[test]
fn a_compressed_layer_whose_name_states_another_digest_is_damaged() {
    let app = Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]);
    let name = format!("{}.tar.gz", sha256(&app.layers[0].bytes));
    let mut saved = Saved::new();
    saved.named(&app, "config.json", &[&name], json!(["app:v1"]));
    holds(&saved.tar(), &[&app]);
    saved.entry(&name).data = gzip(&layer_tar("other"));
    fails("other bytes", &saved.tar(), "digest-mismatch", &[&name]);
}
