//! Options that would leave nothing are refused, and a BuildKit cache is pruned layer by layer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::builder::{Layout, OCI_MANIFEST, named, right_image};
use crate::common::contents::{Contents, blob_name};
use crate::common::evidence::attestation;
use crate::common::failure::fails_with;
use crate::common::fixture;
use crate::common::judged::fixed;
use crate::common::runner::Sandbox;

const PRUNE: [&str; 2] = ["--missing", "prune"];

/// An artifact with two layers.
fn artifact() -> (Layout, [String; 2]) {
    let mut layout = Layout::new();
    let layers = ["one", "two"].map(|text| layout.blob("application/x-model", text));
    let names = layers
        .each_ref()
        .map(|layer| blob_name(layer["digest"].as_str().unwrap()));
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-model", "config": config, "layers": layers});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    (layout, names)
}

#[test]
fn the_last_manifest_is_not_pruned() {
    let (mut layout, layers) = artifact();
    layout.blobs.remove(&layers[0]);
    fixed(&layout.tar(), &[]).finding("missing-blob");
    let parts = ["nothing would be left"];
    fails_with("artifact", &layout.tar(), &PRUNE, "nothing-left", &parts);
}

#[test]
fn attestations_alone_are_not_dropped() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let about = attestation(&mut layout, &image);
    layout.root(vec![about]);
    let options = ["--attestations", "drop"];
    fails_with(
        "alone",
        &layout.tar(),
        &options,
        "nothing-left",
        &["nothing would be left"],
    );
    let with_image = layout.image(&right_image());
    layout.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list.push(named(with_image, "docker.io/library/app:v1"));
    });
    assert_eq!(fixed(&layout.tar(), &options).names(), ["app:v1"]);
}

/// The layers that a cache's list or manifest has, without its config.
fn layers(contents: &Contents) -> BTreeSet<String> {
    let root = contents.json("index.json");
    let document = contents.document(root["manifests"][0]["digest"].as_str().unwrap());
    let lists = ["manifests", "layers"].map(|key| document[key].as_array().cloned());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .filter(|layer| layer["mediaType"] != "application/vnd.buildkit.cacheconfig.v0")
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

/// The digest of the cache's config.
fn cache_config(contents: &Contents) -> String {
    let files = contents.files.iter();
    let mut found = files.filter(|(_, text)| text.starts_with(b"{\"layers\":[{\"blob\""));
    let name = found.next().unwrap().0;
    name.trim_start_matches("blobs/").replacen('/', ":", 1)
}

fn write(sandbox: &Sandbox, contents: &Contents, without: &[&String]) {
    let root = sandbox.path("in");
    if root.exists() {
        std::fs::remove_dir_all(&root).unwrap();
    }
    for (name, bytes) in &contents.files {
        if without.iter().all(|digest| blob_name(digest) != *name) {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn a_cache_is_pruned_layer_by_layer() {
    for name in [
        "buildkit-cache-list-ocifalse",
        "buildkit-cache-list-ocitrue",
        "buildkit-cache-manifest-ocitrue",
    ] {
        let cache = Contents::read(&fixture(name));
        let all = layers(&cache);
        assert!(all.len() > 1, "{name}");
        let config = cache_config(&cache);
        let sandbox = Sandbox::new();
        for absent in &all {
            write(&sandbox, &cache, &[absent]);
            let kept = sandbox.fix("in", "kept.tar").exits(0).json();
            let findings = kept["findings"].as_array().unwrap().iter();
            let missing: Vec<&Value> = findings.filter(|f| f["rule"] == "missing-blob").collect();
            assert_eq!(missing.len(), 1, "{name}");
            let message = missing[0]["message"].as_str().unwrap();
            assert!(message.contains("BuildKit"), "{message}");
            std::fs::remove_file(sandbox.path("kept.tar")).unwrap();

            let report = sandbox.fix_with("in", "out.tar", &PRUNE).exits(0).json();
            let contents = Contents::read(&sandbox.path("out.tar"));
            let expected: BTreeSet<String> =
                all.iter().filter(|one| *one != absent).cloned().collect();
            assert_eq!(layers(&contents), expected, "{name}");
            // The config says more than there is, which BuildKit takes as steps to run again.
            assert_eq!(contents.blob(&config), cache.blob(&config), "{name}");
            let changes = report["changes"].as_array().unwrap().iter();
            let pruned: Vec<&Value> = changes.filter(|c| c["rule"] == "absent-pruned").collect();
            assert_eq!(pruned.len(), 1, "{name}");
            assert_eq!(pruned[0]["before"], json!(absent));
            let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
            assert_eq!(again["status"], "unchanged", "{name}");
            for file in ["out.tar", "again.tar"] {
                std::fs::remove_file(sandbox.path(file)).unwrap();
            }
        }
        let all: Vec<&String> = all.iter().collect();
        for without in [&all[..], &[&config]] {
            write(&sandbox, &cache, without);
            let run = sandbox.fix_with("in", "out.tar", &PRUNE).exits(1);
            let code = run.json()["error"]["code"].as_str().unwrap().to_owned();
            assert_eq!(code, "nothing-left", "{name}");
            assert_eq!(sandbox.names(), ["in"], "{name}");
        }
    }
}
