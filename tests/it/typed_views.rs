//! Typed views match the documents of real archives.

use ocify::{
    Code, Digest, Document, Graph, ManifestRole, Platform, Shape, Source, Strictness,
    oci_spec::image::Descriptor, oci_spec::image::ImageConfiguration, resolve, scan,
};
use serde_json::Value;

use crate::common::builder::{DOCKER_CONFIG, Image, Layer, Layout, OCI_GZIP, right_layout};
use crate::common::runner::Sandbox;
use crate::common::{fixture, layouts};

struct Opened {
    source: Source,
    graph: Graph,
}

fn open(path: &std::path::Path) -> Opened {
    let source = Source::open(path).unwrap();
    let inventory = scan(&source, Strictness::Strict).unwrap();
    let graph = resolve(inventory, &source, Strictness::Strict).unwrap();
    Opened { source, graph }
}

impl Opened {
    fn config(&self, manifest: &Digest) -> ocify::Result<ImageConfiguration> {
        self.graph.config(manifest, &self.source)
    }
}

/// Media type, digest and size of each descriptor.
fn stated<'a>(descriptors: impl IntoIterator<Item = &'a Descriptor>) -> Vec<(String, Digest, u64)> {
    let descriptors = descriptors.into_iter();
    descriptors
        .map(|descriptor| {
            let digest = Digest::try_from(descriptor.digest()).unwrap();
            (
                descriptor.media_type().to_string(),
                digest,
                descriptor.size(),
            )
        })
        .collect()
}

fn pointers(document: &Document) -> Vec<(String, Digest, u64)> {
    let pointers = document.pointers.iter();
    pointers
        .map(|pointer| {
            (
                pointer.media_type.to_string(),
                pointer.digest.clone(),
                pointer.size,
            )
        })
        .collect()
}

#[test]
fn views_of_real_archives_match_the_documents() {
    let (mut manifests, mut indexes, mut configs) = (0, 0, 0);
    for name in layouts() {
        let opened = open(&fixture(&name));
        let root = opened.graph.root.index().unwrap();
        assert_eq!(
            stated(root.manifests()),
            pointers(&opened.graph.root),
            "{name}"
        );
        for (digest, document) in &opened.graph.documents {
            match document.shape {
                Shape::Index => {
                    let view = document.index().unwrap();
                    assert_eq!(stated(view.manifests()), pointers(document), "{name}");
                    indexes += 1;
                }
                Shape::Manifest => {
                    let view = document.manifest().unwrap();
                    let parts = [view.config()].into_iter().chain(view.layers());
                    assert_eq!(stated(parts), pointers(document), "{name}");
                    manifests += 1;
                }
            }
            let Some(facts) = opened.graph.manifests.get(digest) else {
                continue;
            };
            let config = opened.config(digest);
            if facts.role != ManifestRole::Image
                || !opened.graph.inventory.blobs.contains_key(&facts.config)
            {
                assert!(config.is_err(), "{name}");
                continue;
            }
            let config = config.unwrap();
            let diff_ids: Vec<String> = facts.diff_ids.iter().map(ToString::to_string).collect();
            assert_eq!(config.rootfs().diff_ids(), &diff_ids, "{name}");
            let platform = facts.platform.as_ref().unwrap();
            assert_eq!(config.os().to_string(), platform.os);
            assert_eq!(config.architecture().to_string(), platform.architecture);
            configs += 1;
        }
    }
    // Enough of each that the comparison means something.
    assert!(
        manifests > 40 && indexes > 5 && configs > 40,
        "{manifests} {indexes} {configs}"
    );
}

#[test]
fn a_config_view_omits_unknown_fields() {
    let mut layout = Layout::new();
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]);
    let mut config = image.config();
    config["config"]["Healthcheck"] = serde_json::json!({"Test": ["NONE"]});
    config["os.version"] = "10.0".into();
    let mut manifest = layout.manifest(&image);
    manifest["config"] = layout.document(DOCKER_CONFIG, &config);
    let descriptor = layout.document(image.manifest_type.as_str(), &manifest);
    layout.root(vec![descriptor.clone()]);
    let sandbox = Sandbox::new();
    let opened = open(&sandbox.put("app.tar", layout.tar()));
    let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    let view = opened.config(&digest).unwrap();
    assert_eq!(view.os_version().as_deref(), Some("10.0"));
    assert_eq!(
        view.config().as_ref().unwrap().cmd().as_deref(),
        Some(&["/hello".to_owned()][..])
    );
    let written: Value = serde_json::from_str(&view.to_string().unwrap()).unwrap();
    assert_eq!(written["config"]["Healthcheck"], Value::Null);
}

#[test]
fn invalid_configs_have_no_view() {
    let sandbox = Sandbox::new();
    let mut opened = open(&sandbox.put("app.tar", right_layout().tar()));
    let (manifest, facts) = opened.graph.manifests.first_key_value().unwrap();
    let error = opened.config(&facts.config).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the source has no manifest {}", facts.config)
    );
    // The config is replaced with other bytes, or missing.
    let manifest = manifest.clone();
    let config = facts.config.clone();
    let mut blobs = opened.graph.inventory.blobs.iter();
    let (_, other) = blobs.find(|(digest, _)| **digest != config).unwrap();
    let other = other.clone();
    opened.graph.inventory.blobs.insert(config.clone(), other);
    let error = opened.config(&manifest).unwrap_err();
    assert_eq!(error.code(), Code::DigestMismatch, "{error}");
    opened.graph.inventory.blobs.remove(&config);
    let error = opened.config(&manifest).unwrap_err();
    assert_eq!(error.code(), Code::MissingBlob, "{error}");

    let cache = open(&fixture("buildkit-cache-manifest-ocitrue"));
    let (manifest, _) = cache.graph.manifests.first_key_value().unwrap();
    let error = cache.config(manifest).unwrap_err();
    assert_eq!(
        error.to_string(),
        "index.json, manifests[0] is not the manifest of an image, so its config is not that of an image"
    );
}

#[test]
fn platforms_of_views_convert() {
    let opened = open(&fixture("buildkit-oci-multi-zstd-ocitrue.tar"));
    let (_, index) = opened
        .graph
        .documents
        .iter()
        .find(|(_, document)| document.shape == Shape::Index)
        .unwrap();
    let view = index.index().unwrap();
    let platforms = view
        .manifests()
        .iter()
        .map(|child| Platform::try_from(child.platform().as_ref().unwrap()).unwrap());
    let expected = index
        .pointers
        .iter()
        .map(|pointer| *pointer.platform.clone().unwrap());
    assert!(platforms.eq(expected));
}
