//! Constructs that readers interpret differently are refused, and the error names them.

use serde_json::{Value, json};

use crate::common::archive::{Entry, open_tar, tar};
use crate::common::builder::{
    DOCKER_LIST, DOCKER_MANIFEST, Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX,
    OCI_MANIFEST, digest_of, docker_item, named, right_image, right_layout,
};
use crate::common::checker::check_output;
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::{fails, fails_with};
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";

/// An archive whose one manifest has this text, made from the right manifest's.
fn manifest_text(change: impl FnOnce(String) -> String) -> Layout {
    let image = right_image();
    let mut layout = Layout::new();
    let text = change(layout.manifest(&image).to_string());
    let descriptor = layout.blob(OCI_MANIFEST, text);
    layout.root(vec![named(descriptor, NAME)]);
    layout
}

fn config_text(change: impl FnOnce(String) -> String) -> Layout {
    let image = right_image();
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image);
    layout
        .blobs
        .remove(&blob_name(&digest_of(&manifest["config"])));
    manifest["config"] = layout.blob(OCI_CONFIG, change(image.config().to_string()));
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout
}

fn root_text(change: impl FnOnce(String) -> String) -> Layout {
    let mut layout = right_layout();
    let text = String::from_utf8(layout.index.unwrap()).unwrap();
    layout.index = Some(change(text).into_bytes());
    layout
}

fn docker_text(change: impl FnOnce(String) -> String) -> Layout {
    let mut layout = right_layout();
    let text = String::from_utf8(layout.docker_manifest.unwrap()).unwrap();
    layout.docker_manifest = Some(change(text).into_bytes());
    layout
}

/// Puts members at the front of an object's text.
fn front(members: &'static str) -> impl FnOnce(String) -> String {
    move |text| text.replacen('{', &format!("{{{members},"), 1)
}

fn swap(from: &'static str, to: &'static str) -> impl FnOnce(String) -> String {
    move |text| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    }
}

#[test]
fn documents_of_ambiguous_kind_are_refused() {
    let code = "ambiguous-document";
    let at = "index.json, manifests[0]";
    let both = "is both an index (manifests) and a manifest (config, layers)";
    let mut as_index = right_layout();
    as_index.docker_manifest = None;
    as_index.edit_root(|root| root["manifests"][0]["mediaType"] = json!(OCI_INDEX));
    let mut as_manifest = Layout::new();
    let image = as_manifest.image(&right_image());
    let mut index = as_manifest.index_of(DOCKER_LIST, vec![image]);
    index["mediaType"] = json!(DOCKER_MANIFEST);
    as_manifest.root(vec![index]);
    let mut two_types = Layout::new();
    let manifest = two_types.manifest(&right_image());
    let mut manifest = manifest;
    manifest.as_object_mut().unwrap().remove("mediaType");
    let one = two_types.document(OCI_MANIFEST, &manifest);
    let mut other = one.clone();
    other["mediaType"] = json!(OCI_INDEX);
    two_types.root(vec![one, other]);
    #[rustfmt::skip]
    let cases = [
        ("manifest with manifests", manifest_text(front("\"manifests\":[]")), vec![at, both]),
        ("index with layers", root_text(front("\"layers\":[]")), vec!["index.json", both]),
        ("index with config", root_text(front("\"config\":null")), vec!["index.json", both]),
        ("own type", manifest_text(swap(OCI_MANIFEST, OCI_INDEX)), vec![at, "according to its descriptor but has", OCI_INDEX]),
        ("own unknown type", manifest_text(swap(OCI_MANIFEST, "text/plain")), vec![at, "text/plain"]),
        ("root's own type", root_text(swap(OCI_INDEX, OCI_MANIFEST)), vec!["index.json", OCI_MANIFEST]),
        ("manifest called index", as_index, vec![at, "is an index according to its descriptor"]),
        ("index called manifest", as_manifest, vec![at, "is a manifest according to its descriptor"]),
        ("two types for one document", two_types, vec!["index.json, manifests[1]", "different types"]),
    ];
    for (name, layout, parts) in cases {
        fails(name, &layout.tar(), code, &parts);
    }
}

#[test]
fn duplicate_keys_are_refused_everywhere() {
    let code = "duplicate-key";
    let at = "index.json, manifests[0]";
    #[rustfmt::skip]
    let cases = [
        ("root", root_text(front("\"manifests\":[]")), "manifests", vec!["index.json has"]),
        ("descriptor", root_text(swap("\"size\"", "\"size\":1,\"size\"")), "size", vec!["index.json has"]),
        ("escaped", root_text(front("\"\\u006danifests\":[]")), "manifests", vec!["index.json has"]),
        ("annotations", root_text(swap("\"annotations\":{", "\"annotations\":{\"a\":\"1\",\"a\":\"2\",")), "a", vec!["index.json has"]),
        ("manifest", manifest_text(front("\"layers\":[]")), "layers", vec![at]),
        ("unknown", manifest_text(front("\"x\":1,\"x\":2")), "x", vec![at]),
        ("config", config_text(front("\"os\":\"windows\"")), "os", vec![at, "config"]),
        ("deep in the config", config_text(swap("\"Cmd\"", "\"Cmd\":[],\"Cmd\"")), "Cmd", vec![at, "config"]),
        ("manifest.json", docker_text(swap("\"Config\"", "\"Config\":\"x\",\"Config\"")), "Config", vec!["manifest.json has"]),
    ];
    for (name, layout, key, mut parts) in cases {
        let twice = format!("the duplicate key \"{key}\"");
        parts.push(&twice);
        fails(name, &layout.tar(), code, &parts);
    }
}

#[test]
fn keys_in_two_spellings_are_refused_everywhere() {
    let at = "index.json, manifests[0]";
    #[rustfmt::skip]
    let cases = [
        ("root", root_text(front("\"Manifests\":[]")), "Manifests", "manifests", "index.json has"),
        ("descriptor", root_text(swap("\"digest\"", "\"Digest\":\"x\",\"digest\"")), "Digest", "digest", "index.json has"),
        ("manifest", manifest_text(front("\"LAYERS\":[]")), "LAYERS", "layers", at),
        ("folded", manifest_text(front("\"layer\u{17f}\":[]")), "layer\u{17f}", "layers", at),
        ("config", config_text(front("\"OS\":\"x\"")), "OS", "os", at),
        ("diff IDs", config_text(swap("\"diff_ids\"", "\"Diff_IDs\":[],\"diff_ids\"")), "Diff_IDs", "diff_ids", at),
        ("manifest.json", docker_text(swap("\"Layers\"", "\"layers\":[],\"Layers\"")), "layers", "Layers", "manifest.json has"),
    ];
    for (name, layout, found, known, place) in cases {
        let expected = format!("the key \"{found}\" beside another spelling of \"{known}\"");
        fails(name, &layout.tar(), "duplicate-key", &[place, &expected]);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let run = sandbox
            .fix_with("in.tar", "out.tar", &["--lenient"])
            .exits(1);
        assert_eq!(run.json()["error"]["code"], "duplicate-key", "{name}");
    }
}

/// A document that readers which ignore case take for both.
#[test]
fn another_spelling_does_not_hide_an_ambiguous_document() {
    let both = "is both an index (manifests) and a manifest (config, layers)";
    let manifest = manifest_text(front("\"Manifests\":[]"));
    fails("manifest", &manifest.tar(), "ambiguous-document", &[both]);
    let root = root_text(front("\"LAYERS\":[]"));
    fails("root", &root.tar(), "ambiguous-document", &[both]);
}

/// Keys of user-defined maps and of unknown objects are not checked.
#[test]
fn keys_of_maps_may_differ_in_case_only() {
    let layout = root_text(swap(
        "\"annotations\":{",
        "\"annotations\":{\"Size\":\"1\",\"size\":\"2\",",
    ));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    sandbox.fix("in.tar", "out.tar").exits(0);
}

#[test]
fn different_entries_with_one_name_are_refused() {
    let right = right_layout();
    let mut other = right_layout();
    other.edit_root(|root| root["manifests"][0]["annotations"]["note"] = json!("second"));
    let second = |name: &str| {
        let mut entries = right.entries();
        entries.push(Entry::file(name, other.index.as_ref().unwrap()));
        tar(&entries)
    };
    let blob = right.find(&["\"rootfs\""]);
    let mut damaged = right.entries();
    damaged.insert(2, Entry::file(&blob, "other"));
    let mut link = right.entries();
    link.push(Entry::link("index.json", b'2', "oci-layout"));
    #[rustfmt::skip]
    let cases = [
        ("root", second("index.json"), "index.json"),
        ("dot", second("./index.json"), "index.json"),
        ("slashes", second(".//index.json"), "index.json"),
        ("absolute", second("/index.json"), "index.json"),
        ("blob", tar(&damaged), blob.as_str()),
        ("link", tar(&link), "index.json"),
    ];
    for (name, bytes, entry) in cases {
        let expected = format!("{entry} is duplicated in in.tar with different content");
        fails(name, &bytes, "duplicate-entry", &[&expected]);
    }
    // Identical duplicates mean the same to every reader.
    let sandbox = Sandbox::new();
    let twice: Vec<Entry> = right.entries().into_iter().chain(right.entries()).collect();
    sandbox.put("twice.tar", tar(&twice));
    sandbox.put("once.tar", right.tar());
    sandbox.fix("once.tar", "a.tar").exits(0);
    let report = sandbox.fix("twice.tar", "b.tar").exits(0).json();
    assert_eq!(
        report["changes"].as_array().unwrap().last().unwrap()["rule"],
        "archive-form"
    );
    assert!(sandbox.read("a.tar") == sandbox.read("b.tar"));
}

#[test]
fn lenient_uses_and_reports_the_last_of_several_entries() {
    let mut entries = right_layout().entries();
    let mut other = right_layout();
    other.edit_root(|root| root["manifests"][0]["annotations"]["note"] = json!("second"));
    entries.push(Entry::file("index.json", other.index.as_ref().unwrap()));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", tar(&entries));
    let report = sandbox
        .fix_with("in.tar", "out.tar", &["--lenient"])
        .exits(0)
        .json();
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"]),
        (&json!("duplicate-entry"), &json!("warns"))
    );
    assert_eq!(finding["location"], "index.json");
    check_output(&sandbox.path("out.tar"));
    let root = Contents::read(&sandbox.path("out.tar")).json("index.json");
    assert_eq!(root["manifests"][0]["annotations"]["note"], "second");

    // Blobs are verified nevertheless: the last one is used, and it is damaged.
    let mut damaged = right_layout().entries();
    let blob = right_layout().find(&["\"rootfs\""]);
    let mut data = right_layout().blobs[&blob].clone();
    data[0] = b' ';
    damaged.push(Entry::file(&blob, data));
    fails_with(
        "damaged",
        &tar(&damaged),
        &["--lenient"],
        "digest-mismatch",
        &[&blob],
    );
}

#[test]
fn lenient_reports_duplicate_keys() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", root_text(front("\"x\":1,\"x\":2")).tar());
    let report = sandbox
        .fix_with("in.tar", "out.tar", &["--lenient"])
        .exits(0)
        .json();
    assert_ne!(report["findings"], json!([]));
}

#[test]
fn a_second_archive_after_the_end_is_refused() {
    let right = right_layout().tar();
    let twice = [right.clone(), right.clone()].concat();
    let after = format!("found other bytes at {}", right.len());
    fails(
        "two archives",
        &twice,
        "trailing-archive",
        &["in.tar continues after the end", &after],
    );
    let mut byte = right.clone();
    byte.extend([0; 2048]);
    byte.push(1);
    fails(
        "one byte",
        &byte,
        "trailing-archive",
        &[&format!("found other bytes at {}", byte.len() - 1)],
    );
    let gap = [open_tar(&right_layout().entries()), vec![0; 512], right].concat();
    fails("one block of zeros", &gap, "trailing-archive", &["in.tar"]);
}

/// Two images with a `manifest.json` that a test modifies.
fn two_images(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<u8> {
    let mut layout = Layout::new();
    let (one, two) = (
        right_image(),
        Image::oci(vec![
            Layer::gzip(OCI_GZIP, "two"),
            Layer::gzip(OCI_GZIP, "three"),
        ]),
    );
    let (first, second) = (layout.image(&one), layout.image(&two));
    layout.root(vec![
        named(first, NAME),
        named(second, "docker.io/library/other:v1"),
    ]);
    let mut first = docker_item(&layout.manifest(&one), &["app:v1"]);
    let mut second = docker_item(&layout.manifest(&two), &["other:v1"]);
    change(&mut first, &mut second);
    layout.docker_manifest = Some(json!([first, second]).to_string().into_bytes());
    layout.tar()
}

#[test]
fn roots_that_disagree_are_refused() {
    let code = "root-disagreement";
    let both = "index.json and manifest.json disagree: ";
    let hex = "1".repeat(64);
    let unknown = format!("blobs/sha256/{hex}");
    #[rustfmt::skip]
    let cases = [
        ("config", two_images(|first, _| first["Config"] = json!(unknown)), vec![both, "manifest.json[0] has the config", &hex]),
        ("config is no digest", two_images(|first, _| first["Config"] = json!("config.json")), vec![both, "config.json"]),
        ("fewer layers", two_images(|_, second| drop(second["Layers"].as_array_mut().unwrap().pop())), vec![both, "manifest.json[1] has 1 layer,", "has 2"]),
        ("other layer", two_images(|_, second| second["Layers"][1] = json!(unknown)), vec![both, "manifest.json[1], Layers[1] is", &hex]),
        ("order of layers", two_images(|_, second| second["Layers"].as_array_mut().unwrap().reverse()), vec![both, "Layers[0]"]),
        ("tags", two_images(|first, second| { std::mem::swap(&mut first["RepoTags"], &mut second["RepoTags"]) }), vec![both, "they give the name other:v1 to different images"]),
    ];
    for (name, bytes, parts) in cases {
        fails(name, &bytes, code, &parts);
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", two_images(|_, _| ()));
    sandbox.fix("in.tar", "out.tar").exits(0);
}
