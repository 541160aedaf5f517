//! Properties that documents must have, or have where they do not belong: lists that are `null`, platforms of configs and layers.

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, Layout, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST,
    digest_of, named, on, right_image, right_layout, with_manifest,
};
use crate::common::contents::Contents;
use crate::common::judged::{Fixed, finding, fixed, fixed_path, rules, written};
use crate::common::placed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";

/// Fixes an archive as an archive, a stream, a directory and in place: each output has a manifest for which `is_right` holds.
#[track_caller]
fn everywhere(layout: &Layout, is_right: impl Fn(&Value) -> bool) -> Fixed {
    let found = fixed(&layout.tar(), &[]);
    let check = |contents: &Contents| {
        let manifests = contents.manifests();
        // In place, an old document may stay as a blob that nothing refers to.
        let root = contents.json("index.json").to_string();
        let mut reached = manifests
            .iter()
            .filter(|(digest, _)| root.contains(digest) || manifests.len() == 1);
        assert!(
            reached.any(|(_, manifest)| is_right(manifest)),
            "{manifests:#?}"
        );
    };
    check(&found.contents);
    let (sandbox, report) = placed::fixed(&layout.tar(), &[]);
    assert_ne!(report["changes"], json!([]));
    check(&Contents::read(&sandbox.path("in.tar")));
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("in"));
    check(&fixed_path(&sandbox.path("in"), &[]).contents);
    sandbox.fix("in", "out/").exits(0);
    check(&Contents::read(&sandbox.path("out")));
    found
}

/// An image without layers. `null` is what BuildKit writes for them, and for diff IDs and history.
fn without_layers(layers: Option<Value>) -> (Layout, Value) {
    let mut layout = Layout::new();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]}, "history": null,
        "rootfs": {"type": "layers", "diff_ids": null},
    });
    let config = layout.document(DOCKER_CONFIG, &config);
    let mut manifest = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config});
    if let Some(layers) = layers {
        manifest["layers"] = layers;
    }
    let descriptor = layout.document(DOCKER_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    (layout, config)
}

#[test]
fn a_list_of_layers_that_is_null_or_absent_becomes_an_empty_one() {
    for layers in [Some(Value::Null), None] {
        let (layout, config) = without_layers(layers);
        let found = everywhere(&layout, |manifest| manifest["layers"] == json!([]));
        let expected = [["empty-list", "index.json, manifests[0], layers", "-", "[]"]];
        assert_eq!(found.changes(&["empty-list"]), expected);
        assert_eq!(found.contents.json("manifest.json")[0]["Layers"], json!([]));
        // The config, and with it the image ID, keeps its null.
        let config = found.contents.document(&digest_of(&config));
        assert_eq!(config["rootfs"]["diff_ids"], Value::Null);
    }
    let (layout, _) = without_layers(Some(json!([])));
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.changes(&["empty-list"]), [] as [[&str; 4]; 0]);
}

#[test]
fn an_index_whose_list_is_null_gets_an_empty_one() {
    let mut layout = Layout::new();
    let image = named(layout.image(&right_image()), NAME);
    let empty = layout.document(
        DOCKER_LIST,
        &json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": null}),
    );
    layout.root(vec![image, empty]);
    let found = fixed(&layout.tar(), &[]);
    let expected = [[
        "empty-list",
        "index.json, manifests[1], manifests",
        "-",
        "[]",
    ]];
    assert_eq!(found.changes(&["empty-list"]), expected);
    let root = found.contents.json("index.json");
    let index = found.contents.document(&digest_of(&root["manifests"][1]));
    assert_eq!(
        index,
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    );
}

#[test]
fn layers_of_manifest_json_that_are_null_become_an_empty_list() {
    let (mut layout, config) = without_layers(Some(json!([])));
    let config = format!("blobs/{}", digest_of(&config).replace(':', "/"));
    for item in [
        json!({"Config": config, "RepoTags": ["app:v1"], "Layers": null}),
        json!({"Config": config, "RepoTags": ["app:v1"]}),
    ] {
        layout.docker_manifest = Some(json!([item]).to_string().into_bytes());
        let found = fixed(&layout.tar(), &[]);
        let item = json!([{"Config": config, "RepoTags": ["app:v1"], "Layers": []}]);
        assert_eq!(found.contents.json("manifest.json"), item);
        let after = &found.changes(&["docker-manifest"])[0][3];
        assert_eq!(after, "1 image, with an empty list of layers");
        let (sandbox, _) = placed::fixed(&layout.tar(), &[]);
        let contents = Contents::read(&sandbox.path("in.tar"));
        assert_eq!(contents.json("manifest.json"), item);
    }
}

#[test]
fn a_platform_of_a_config_or_a_layer_is_removed() {
    let platform = json!({"architecture": "amd64", "os": "linux"});
    let layout = with_manifest(|manifest| {
        manifest["config"]["platform"] = platform.clone();
        manifest["layers"][0]["platform"] = json!({});
        manifest["layers"][0]["annotations"] = json!({"kept": "yes"});
    });
    let found = everywhere(&layout, |manifest| {
        let config = manifest["config"].get("platform").is_none();
        config && manifest["layers"][0].get("platform").is_none()
    });
    let expected = [
        [
            "descriptor-platform",
            "index.json, manifests[0], config",
            "linux/amd64",
            "-",
        ],
        [
            "descriptor-platform",
            "index.json, manifests[0], layers[0]",
            "-",
            "-",
        ],
    ];
    assert_eq!(found.changes(&["descriptor-platform"]), expected);
    let layer = &found.contents.manifests()[0].1["layers"][0];
    assert_eq!(layer["annotations"], json!({"kept": "yes"}));

    let recompressed = fixed(&layout.tar(), &["--compression", "zstd"]);
    let layer = &recompressed.contents.manifests()[0].1["layers"][0];
    assert_eq!(layer.get("platform"), None);
    assert_eq!(layer["annotations"], json!({"kept": "yes"}));
}

#[test]
fn a_platform_of_a_subject_is_removed_and_that_of_an_index_stays() {
    let mut layout = Layout::new();
    let image = on(layout.image(&right_image()), "linux", "amd64");
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let referrer = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note",
        "config": config, "layers": [config], "subject": image,
    });
    let referrer = layout.document(OCI_MANIFEST, &referrer);
    layout.root(vec![named(image.clone(), NAME), referrer]);
    let found = fixed(&layout.tar(), &[]);
    let expected = [[
        "descriptor-platform",
        "index.json, manifests[1], subject",
        "linux/amd64",
        "-",
    ]];
    assert_eq!(found.changes(&["descriptor-platform"]), expected);
    let root = found.contents.json("index.json");
    assert_eq!(root["manifests"][0]["platform"], image["platform"]);
    let referrer = found.contents.document(&digest_of(&root["manifests"][1]));
    assert_eq!(referrer["subject"].get("platform"), None);
    assert_eq!(referrer["subject"]["digest"], image["digest"]);
}

/// What an index states of a platform is completed from the config, wherever the entry is and ends up.
#[test]
fn a_platform_without_its_system_or_architecture_is_completed() {
    for (platform, before) in [
        (json!({"architecture": "amd64", "xs": "linux"}), "amd64"),
        (json!({"os": "linux", "architecture": ""}), "linux"),
        (json!({}), "-"),
    ] {
        let mut layout = Layout::new();
        let mut image = layout.image(&right_image());
        image["platform"] = platform.clone();
        let other = layout.image(&right_image().architecture("arm64"));
        let other = on(other, "linux", "arm64");
        let nested = layout.index_of(OCI_INDEX, vec![image.clone(), other]);
        layout.root(vec![
            named(nested, NAME),
            named(image, "docker.io/library/one:v1"),
        ]);
        let found = fixed(&layout.tar(), &[]);
        let nested = "index.json, manifests[0], manifests[0]";
        let expected = ["index.json, manifests[1]", nested]
            .map(|place| ["incomplete-platform", place, before, "linux/amd64"]);
        assert_eq!(found.changes(&["incomplete-platform"]), expected);
        let root = found.contents.json("index.json");
        let nested = found.contents.document(&digest_of(&root["manifests"][0]));
        for entry in [&root["manifests"][1], &nested["manifests"][0]] {
            assert_eq!(entry["platform"]["os"], "linux");
            assert_eq!(entry["platform"]["architecture"], "amd64");
            assert_eq!(entry["platform"]["xs"], platform["xs"]);
        }
        for options in [
            &["--platform", "linux/amd64"][..],
            &["--platform", "linux/amd64", "--unwrap"],
            &["--name", "example.com/a:1", "--image", "one:v1"],
        ] {
            let found = fixed(&layout.tar(), options);
            let root = found.contents.json("index.json");
            let entry = &root["manifests"][0];
            let entry = match entry["mediaType"] == OCI_INDEX {
                true => found.contents.document(&digest_of(entry))["manifests"][0].clone(),
                false => entry.clone(),
            };
            assert_eq!(entry["platform"]["os"], "linux", "{options:?}");
        }
    }
    // The digest of the index is kept, and what is wrong is said.
    let mut layout = Layout::new();
    let mut image = layout.image(&right_image());
    image["platform"] = json!({"os": "linux"});
    let nested = layout.index_of(OCI_INDEX, vec![image.clone()]);
    layout.root(vec![named(nested.clone(), NAME)]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let run = sandbox.fix_with("in.tar", "out.tar", &["--preserve-digests"]);
    let report = run.exits(0).json();
    assert!(!rules(&report).contains(&"incomplete-platform"));
    let found = &finding(&report, "digests-preserved")["message"];
    assert!(found.to_string().contains("incomplete-platform"), "{found}");
    let root = Contents::read(&sandbox.path("out.tar")).json("index.json");
    assert_eq!(root["manifests"][0]["digest"], nested["digest"]);
    // A platform that contradicts the config stays as it is.
    image["platform"] = json!({"os": "windows"});
    layout.root(vec![named(image, NAME)]);
    let other = written(&layout.tar(), &[]);
    assert!(!rules(&other.report).contains(&"incomplete-platform"));
}

#[test]
fn an_archive_without_these_faults_is_unchanged() {
    let found = fixed(&right_layout().tar(), &[]);
    assert_eq!(found.report["status"], "unchanged");
    assert!(found.contents.text("index.json").contains(OCI_MANIFEST));
    assert!(
        found.contents.manifests()[0]
            .1
            .to_string()
            .contains(OCI_CONFIG)
    );
}
