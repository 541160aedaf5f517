//! Known keys in another case are read as every engine reads them, and written as the specification spells them.

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_MANIFEST, Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, named,
    on, right_image, right_layout,
};
use crate::common::contents::Contents;
use crate::common::judged::{Fixed, fixed};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, config_hex, holds, image};
use crate::common::sha256;

const NAME: &str = "docker.io/library/app:v1";

/// The text with these keys spelled otherwise.
fn spelled(text: &str, keys: &[(&str, &str)]) -> String {
    keys.iter().fold(text.to_owned(), |text, (usual, other)| {
        let (usual, other) = (format!("\"{usual}\":"), format!("\"{other}\":"));
        assert!(text.contains(&usual), "{usual} is not in {text}");
        text.replace(&usual, &other)
    })
}

fn respelled(found: &Fixed) -> Vec<(String, String, String)> {
    let changes = found.changes(&["key-case"]).into_iter();
    changes
        .map(|[_, place, before, after]| (place, before, after))
        .collect()
}

/// Jib before 2.3.
#[test]
fn a_docker_archive_with_lower_case_keys_is_read() {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    let right = saved.tar();
    let keys = [
        ("Config", "config"),
        ("RepoTags", "repoTags"),
        ("Layers", "layers"),
    ];
    let text = spelled(&json!(saved.items).to_string(), &keys);
    let mut entries = saved.entries.clone();
    entries.push(Entry::file("manifest.json", text));
    let found = holds(&tar(&entries), &[&app]);
    assert_eq!(found.names(), ["app:v1"]);
    assert!(found.bytes == fixed(&right, &[]).bytes);
}

#[test]
fn manifest_json_of_an_image_layout_is_rewritten() {
    let right = right_layout();
    let text = String::from_utf8(right.docker_manifest.clone().unwrap()).unwrap();
    for (usual, other) in [
        ("Config", "CONFIG"),
        ("Layers", "layers"),
        ("RepoTags", "repotags"),
    ] {
        let mut layout = right.clone();
        layout.docker_manifest = Some(spelled(&text, &[(usual, other)]).into_bytes());
        let found = fixed(&layout.tar(), &[]);
        assert!(found.bytes == right.tar(), "{other}");
        let after = "1 image, with Docker's spelling of the keys";
        let change = ["docker-manifest", "manifest.json", "1 image", after];
        assert_eq!(
            found.changes(&["docker-manifest"]),
            [change.map(str::to_owned)]
        );
        placed::fixed(&layout.tar(), &[]);
    }
}

#[test]
fn the_index_is_rewritten_and_nothing_else() {
    let right = right_layout();
    let mut layout = right.clone();
    let text = String::from_utf8(right.index.clone().unwrap()).unwrap();
    let keys = [
        ("manifests", "Manifests"),
        ("digest", "DIGEST"),
        ("annotations", "Annotations"),
    ];
    layout.index = Some(spelled(&text, &keys).into_bytes());
    let found = fixed(&layout.tar(), &[]);
    assert!(found.bytes == right.tar());
    let expected = [
        ("Annotations", "annotations"),
        ("DIGEST", "digest"),
        ("Manifests", "manifests"),
    ];
    let expected = expected
        .map(|(before, after)| ("index.json".to_owned(), before.to_owned(), after.to_owned()));
    assert_eq!(respelled(&found), expected);
    // In one pass and in place.
    let piped = stream(&layout.tar(), &[]).exits(0);
    assert!(piped.json()["spooled"].is_null());
    placed::fixed(&layout.tar(), &[]);
}

/// What is unknown to the specification keeps its spelling, and so do values.
#[test]
fn manifests_and_indexes_are_rewritten_losslessly() {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&right_image());
    let text = manifest.to_string();
    let more = r#"{"org.example": {"Size":1, "size": 1.50},"SIZE":7,"#;
    let text = text.replacen('{', more, 1);
    let text = spelled(&text, &[("layers", "Layers"), ("mediaType", "MediaType")]);
    let child = on(
        layout.blob(crate::common::builder::OCI_MANIFEST, &text),
        "linux",
        "amd64",
    );
    let index = crate::common::builder::index(OCI_INDEX, vec![child]).to_string();
    let keys = [
        ("platform", "Platform"),
        ("architecture", "Architecture"),
        ("os", "OS"),
    ];
    let index = layout.blob(OCI_INDEX, spelled(&index, &keys));
    layout.root(vec![named(index, NAME)]);
    let found = fixed(&layout.tar(), &[]);
    let expected = text
        .replace("\"Layers\"", "\"layers\"")
        .replace("\"MediaType\"", "\"mediaType\"");
    let manifests = found.contents.files.values();
    let written: Vec<&Vec<u8>> = manifests
        .filter(|bytes| bytes.starts_with(b"{\"org.example\""))
        .collect();
    assert_eq!(written, [expected.as_bytes()]);
    assert_eq!(found.report["images"][0]["platform"], "linux/amd64");
    let places: Vec<String> = respelled(&found)
        .into_iter()
        .map(|(place, ..)| place)
        .collect();
    assert_eq!(places.len(), 5);
    assert!(places.contains(&"index.json, manifests[0], manifests[0]".to_owned()));
    // Every manifest and index on the way got another digest.
    assert_eq!(found.report["digests"].as_array().unwrap().len(), 2);
    placed::fixed(&layout.tar(), &[]);
}

/// A config never changes: its digest is the image ID.
#[test]
fn a_config_is_read_and_kept() {
    let image = right_image();
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image);
    let config = image.config().to_string();
    let keys = [
        ("architecture", "Architecture"),
        ("rootfs", "RootFS"),
        ("diff_ids", "Diff_IDs"),
    ];
    let config = spelled(&config, &keys);
    manifest["config"] = layout.blob(OCI_CONFIG, &config);
    let descriptor = layout.document(&image.manifest_type, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout.docker(&manifest, &["app:v1"]);
    let bytes = layout.tar();
    // The judge matches keys exactly, as some readers do.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    assert!(sandbox.read("out.tar") == bytes);
    let findings = report["findings"].as_array().unwrap();
    // The config in the usual spelling is there, too.
    let (orphan, findings) = findings.split_last().unwrap();
    assert_eq!(orphan["rule"], "orphaned-blobs");
    assert_eq!(findings.len(), 3);
    for finding in findings {
        assert_eq!(finding["rule"], "config-key-case");
        assert_eq!(finding["location"], "index.json, manifests[0], config");
    }
    assert_eq!(report["images"][0]["platform"], "linux/amd64");
    // The diff IDs are those that recompression verifies.
    sandbox
        .fix_with("in.tar", "zstd.tar", &["--compression", "zstd"])
        .exits(0);
}

#[test]
fn a_docker_archive_keeps_its_config() {
    let app = image(&["a"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    let config = spelled(
        &app.config().to_string(),
        &[("rootfs", "RootFS"), ("os", "OS")],
    );
    let name = format!("{}.json", config_hex(&app));
    *saved.entry(&name) = Entry::file("config.json", &config);
    saved.items[0]["Config"] = json!("config.json");
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", saved.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let id = format!("sha256:{}", sha256(config.as_bytes()));
    assert_eq!(report["images"][0]["config_digest"], id.as_str());
    let contents = Contents::read(&sandbox.path("out.tar"));
    assert_eq!(contents.blob(&id), Some(config.as_bytes()));
    assert_eq!(report["findings"].as_array().unwrap().len(), 2);
}

#[test]
fn docker_types_are_found_under_any_spelling() {
    let mut layout = Layout::new();
    let docker = Image::docker(vec![Layer::gzip(OCI_GZIP, "x")]);
    let text = spelled(
        &layout.manifest(&docker).to_string(),
        &[("mediaType", "MEDIATYPE")],
    );
    let descriptor = layout.blob(DOCKER_MANIFEST, &text);
    layout.root(vec![named(descriptor, NAME)]);
    let found = fixed(&layout.tar(), &[]);
    let written: Vec<Value> = found
        .contents
        .manifests()
        .into_iter()
        .map(|(_, m)| m)
        .collect();
    assert_eq!(written[0]["config"]["mediaType"], OCI_CONFIG);
    assert!(!found.contents.text_names(DOCKER_CONFIG));
    assert!(!found.contents.text_names("MEDIATYPE"));
}
