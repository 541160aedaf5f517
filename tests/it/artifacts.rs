//! Artifacts, signatures, attestations and encrypted layers in an image archive are kept, and references to
//! changed images are updated.

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_MANIFEST, Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_MANIFEST,
    OCI_TAR, annotated, digest_of, named, right_image,
};
use crate::common::evidence::with_sha512;
use crate::common::failure::fails;
use crate::common::judged::{fixed, fixed_path, written};
use crate::common::runner::Sandbox;
use crate::common::sha256;

const NAME: &str = "docker.io/library/app:v1";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// An OCI 1.1 manifest that is not an image.
fn artifact(
    layout: &mut Layout,
    artifact_type: &str,
    layer: Value,
    subject: Option<&Value>,
) -> Value {
    let config = layout.blob(EMPTY, "{}");
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
        "config": config, "layers": [layer],
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!({"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]});
    }
    layout.document(OCI_MANIFEST, &manifest)
}

#[test]
fn an_artifact_alone_has_no_manifest_json() {
    let mut layout = Layout::new();
    let layer = layout.blob("application/x-model", "weights");
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", sha256(b"elsewhere")), "size": 9});
    let descriptor = artifact(&mut layout, "application/x-model", layer, Some(&subject));
    layout.root(vec![descriptor.clone()]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.report["status"], "unchanged", "{:#}", found.report);
    assert!(!found.contents.has("manifest.json"));
    assert!(found.contents.blob(&digest_of(&descriptor)).is_some());
    assert_eq!(found.report["images"], json!([]));
    assert_eq!(found.finding("absent-content")["severity"], "cosmetic");
}

/// An image that will change, or one that will not, with a signature of it.
fn signed(is_right: bool, by_tag: bool) -> (Layout, Value, Value) {
    let mut layout = Layout::new();
    let image = layout.image(&if is_right {
        right_image()
    } else {
        Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")])
    });
    let payload = layout.blob(
        SIGNING,
        format!("{{\"docker-manifest-digest\":\"{}\"}}", digest_of(&image)),
    );
    let payload = annotated(payload, &[("dev.cosignproject.cosign/signature", "MEUC")]);
    let signature = if by_tag {
        // cosign's first scheme: an image manifest under a tag that is made of the digest.
        let config = layout.document("application/vnd.oci.image.config.v1+json", &json!({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [payload["digest"]]}}));
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [payload]});
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        annotated(
            descriptor,
            &[(
                "org.opencontainers.image.ref.name",
                &format!("{}.sig", digest_of(&image).replace(':', "-")),
            )],
        )
    } else {
        artifact(
            &mut layout,
            "application/vnd.dev.cosign.artifact.sig.v1+json",
            payload,
            Some(&image),
        )
    };
    layout.root(vec![named(image.clone(), NAME), signature.clone()]);
    (layout, image, signature)
}

#[test]
fn signatures_are_kept_and_reported_if_stale() {
    for by_tag in [true, false] {
        let (layout, _, signature) = signed(true, by_tag);
        let found = fixed(&layout.tar(), &[]);
        assert!(found.contents.blob(&digest_of(&signature)).is_some());
        assert!(
            !found.findings().contains(&"stale-signature"),
            "{:?}",
            found.findings()
        );
        assert_eq!(
            found.names(),
            ["app:v1"],
            "a signature has no place in manifest.json"
        );
        assert_eq!(
            found
                .contents
                .json("manifest.json")
                .as_array()
                .unwrap()
                .len(),
            1
        );

        let (layout, image, signature) = signed(false, by_tag);
        let payload = layout.find(&["docker-manifest-digest"]);
        let found = fixed(&layout.tar(), &[]);
        let finding = found.finding("stale-signature");
        assert_eq!(finding["severity"], "warns");
        assert_eq!(finding["location"], "index.json, manifests[1]");
        assert!(
            finding["message"]
                .as_str()
                .unwrap()
                .contains(&digest_of(&image))
        );
        assert_eq!(
            found.contents.file(&payload),
            layout.blobs[&payload],
            "evidence is not changed"
        );
        let entry = &found.contents.json("index.json")["manifests"][1];
        let new = &found.report["images"][0]["digest"];
        if by_tag {
            assert_eq!(entry["digest"], signature["digest"]);
            let tag = new.as_str().unwrap().replace(':', "-");
            let ref_name = &entry["annotations"]["org.opencontainers.image.ref.name"];
            assert_eq!(*ref_name, format!("{tag}.sig"));
        } else {
            let manifest = found.contents.document(&digest_of(entry));
            assert_eq!(manifest["subject"]["digest"], *new);
        }
    }
}

#[test]
fn other_referrers_follow_their_subject() {
    let mut layout = Layout::new();
    let image = layout.image(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]));
    let sbom = layout.blob("application/spdx+json", "{\"spdx\":1}");
    let first = artifact(
        &mut layout,
        "application/spdx+json",
        sbom.clone(),
        Some(&image),
    );
    let second = artifact(&mut layout, "application/x-note", sbom, Some(&first));
    let linked = annotated(
        second,
        &[(
            "io.containerd.manifest.subject",
            first["digest"].as_str().unwrap(),
        )],
    );
    layout.root(vec![linked, first, named(image.clone(), NAME)]);
    let found = fixed(&layout.tar(), &[]);
    let root = found.contents.json("index.json");
    let document = |number: usize| {
        found
            .contents
            .document(&digest_of(&root["manifests"][number]))
    };
    assert_eq!(
        document(1)["subject"]["digest"],
        root["manifests"][2]["digest"]
    );
    assert_eq!(
        document(0)["subject"]["digest"],
        root["manifests"][1]["digest"]
    );
    assert_eq!(
        root["manifests"][0]["annotations"]["io.containerd.manifest.subject"],
        root["manifests"][1]["digest"]
    );
    assert_eq!(found.changes(&["subject"]).len(), 2);
    assert_eq!(
        found
            .findings()
            .iter()
            .filter(|rule| **rule == "moved-referrer")
            .count(),
        2
    );
    assert!(found.contents.text_names(&digest_of(&image)) || found.facts.missing.is_empty());
}

#[test]
fn encrypted_and_filesystem_layers_are_left_unchanged() {
    for base in [OCI_TAR, OCI_GZIP] {
        let mut sealed = Layer::plain(&format!("{base}+encrypted"), "secret");
        sealed.bytes = b"\x1f\x8b\x08 looks like gzip and is not".to_vec();
        let app = Image::docker(vec![sealed.clone(), Layer::gzip(DOCKER_GZIP, "a")]);
        let found = fixed(&Layout::of(&app, NAME).tar(), &[]);
        let layer = &found.contents.manifests()[0].1["layers"][0];
        assert_eq!(layer["mediaType"], sealed.media_type);
        assert_eq!(
            found.contents.blob(&digest_of(layer)).unwrap(),
            sealed.bytes
        );
    }
}

#[test]
fn sha512_descriptors_keep_their_algorithm() {
    let app = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]);
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&app);
    manifest["layers"][0] = with_sha512(&mut layout, &manifest["layers"][0]);
    manifest["config"] = with_sha512(&mut layout, &manifest["config"]);
    let descriptor = layout.document(DOCKER_MANIFEST, &manifest);
    let descriptor = with_sha512(&mut layout, &descriptor);
    layout.root(vec![named(descriptor, NAME)]);
    let sandbox = Sandbox::new();
    layout.write_to(sandbox.root());
    let found = fixed_path(sandbox.root(), &[]);
    let new = found.report["images"][0]["digest"].as_str().unwrap();
    assert!(new.starts_with("sha512:"), "{new}");
    let item = &found.contents.json("manifest.json")[0];
    assert!(
        item["Config"]
            .as_str()
            .unwrap()
            .starts_with("blobs/sha512/")
    );
    assert_eq!(
        found.contents.document(new)["layers"][0]["digest"],
        manifest["layers"][0]["digest"]
    );
}

#[test]
fn embedded_data_of_configs_and_layers_is_kept() {
    let mut layout = Layout::new();
    let text = "{}";
    let mut config = layout.blob(EMPTY, text);
    config["data"] = json!("e30=");
    let mut layer = layout.blob("application/x-note", "hello");
    layer["data"] = json!("aGVsbG8=");
    // Its type changes, and so does the manifest.
    let docker = layout.blob(DOCKER_GZIP, "anything");
    let manifest = json!({"schemaVersion": 2, "artifactType": "application/x-note", "config": config, "layers": [layer, docker]});
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.changes(&["media-type-field"]).len(), 1);
    let manifest = &found.contents.manifests()[0].1;
    assert_eq!(
        (&manifest["config"]["data"], &manifest["layers"][0]["data"]),
        (&json!("e30="), &json!("aGVsbG8="))
    );
}

#[test]
fn known_artifacts_are_not_reported_as_unknown() {
    for (config_type, layer_type) in [
        (
            "application/vnd.cncf.model.config.v1+json",
            "application/vnd.cncf.model.weight.v1.tar",
        ),
        (
            "application/vnd.docker.ai.model.config.v0.1+json",
            "application/vnd.docker.ai.gguf.v3",
        ),
        (
            "application/vnd.docker.compose.config.empty.v1+json",
            "application/vnd.docker.compose.file+yaml",
        ),
        (
            "application/vnd.amazon.soci.index.v1+json",
            "application/octet-stream",
        ),
        (
            "application/vnd.buildkit.historyrecord.v0",
            "application/vnd.buildkit.status.v0",
        ),
        (EMPTY, "application/vnd.containerd.container.rw.tar"),
        (EMPTY, "application/x-own-format"),
    ] {
        let mut layout = Layout::new();
        let config = layout.blob(config_type, "{}");
        let layer = layout.blob(layer_type, crate::common::builder::layer_tar("weights"));
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![descriptor.clone()]);
        let found = fixed(&layout.tar(), &["--compression", "zstd"]);
        assert_eq!(found.report["status"], "unchanged", "{layer_type}");
        assert!(!found.contents.has("manifest.json"), "{layer_type}");
        let is_unknown = layer_type == "application/x-own-format";
        let findings = found.findings();
        assert_eq!(findings.contains(&"unknown-media-type"), is_unknown);
        assert!(findings.contains(&"layers-left-alone"), "{layer_type}");
        assert!(found.contents.blob(&digest_of(&descriptor)).is_some());
    }
}

/// Docker loads what `manifest.json` lists, and containerd looks at the type of the config.
#[test]
fn an_image_with_an_artifact_type_is_one_if_manifest_json_lists_it() {
    let archive = |variant: Value| {
        let mut layout = Layout::new();
        let mut config = right_image().config();
        config["variant"] = variant;
        let mut manifest = layout.manifest(&right_image());
        manifest["artifactType"] = "application/vnd.example".into();
        manifest["config"] = layout.document(OCI_CONFIG, &config);
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
        layout.docker(&manifest, &["app:v1"]);
        layout
    };
    let right = archive(json!("v1"));
    let found = fixed(&right.tar(), &[]);
    assert_eq!(found.report["status"], "unchanged");
    assert_eq!(found.names(), ["app:v1"]);
    let parts = ["variant is a number, expected a string"];
    fails(
        "number",
        &archive(json!(1)).tar(),
        "invalid-document",
        &parts,
    );
    let alone = Layout {
        docker_manifest: None,
        ..right
    };
    let found = written(&alone.tar(), &[]);
    assert_eq!(found.report["images"], json!([]));
}
