//! Names that say that something is evidence: tags made of a digest, and cosign's marks. What has such a name may be
//! an image, evidence of several images, or a sigstore bundle.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, REF_NAME, annotated,
    digest_of, docker_item, named, on, right_image,
};
use crate::common::evidence::{attestation, one, referrer, signature, tagged, two};
use crate::common::judged::{Fixed, fixed, fixed_path};
use crate::common::placed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

const NAME: &str = "docker.io/library/app:v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SUFFIXES: [&str; 4] = ["", ".sig", ".att", ".sbom"];

fn tag(hex: &str, suffix: &str) -> String {
    format!("app:sha256-{hex}{suffix}")
}

/// The `digest` of each entry of the output's `index.json`.
fn listed(found: &Fixed) -> Vec<String> {
    let root = found.contents.json("index.json");
    let entries = root["manifests"].as_array().unwrap().iter();
    entries.map(digest_of).collect()
}

fn locations(found: &Fixed, rule: &str) -> Vec<String> {
    let changes = found.changes(&[rule]).into_iter();
    let locations = changes.map(|change| change[1].replace("index.json, manifests", ""));
    let mut locations: Vec<String> = locations.collect();
    locations.sort();
    locations
}

/// The tag is a name like every other: it does not make a signature of an image.
#[test]
fn an_image_stays_one_under_a_tag_of_evidence() {
    let absent = "ab".repeat(32);
    for image in [one(), two(), right_image()] {
        for suffix in SUFFIXES {
            let name = tag(&absent, suffix);
            let full = format!("docker.io/library/{name}");
            let check = |found: &Fixed| {
                assert_eq!(found.names(), [name.as_str()]);
                let images = found.report["images"].as_array().unwrap();
                assert_eq!(images.len(), 1, "{name}");
                assert_eq!(images[0]["names"], json!([full]));
            };
            // On request.
            let bytes = Layout::of(&image, NAME).tar();
            check(&fixed(&bytes, &["--name", &name]));
            check(&fixed(&bytes, &["--rename", &format!("app:v1={name}")]));
            // In the input.
            let mut layout = Layout::of(&image, &full);
            check(&fixed(&layout.tar(), &[]));
            let (_, report) = placed::fixed(&layout.tar(), &[]);
            assert_eq!(report["images"][0]["names"], json!([full]));
            let sandbox = Sandbox::new();
            layout.write_to(&sandbox.path("in"));
            check(&fixed_path(&sandbox.path("in"), &[]));
            let manifest = layout.manifest(&image);
            layout.docker(&manifest, &[&name]);
            check(&fixed(&layout.tar(), &[]));
            check(&fixed(&layout.tar(), &["--image", &name]));
            check(&fixed(&layout.tar(), &["--attestations", "drop"]));
        }
    }
}

#[test]
fn an_image_of_a_docker_archive_stays_one_under_a_tag_of_evidence() {
    for suffix in SUFFIXES {
        let name = tag(&"ab".repeat(32), suffix);
        let mut saved = Saved::new();
        saved.docker(&image(&["a"]), json!([name, "app:v1"]));
        saved.docker(&image(&["b"]), json!(["other:v1"]));
        let found = fixed(&saved.tar(), &[]);
        assert_eq!(found.names(), [&name, "app:v1", "other:v1"]);
        assert_eq!(found.report["images"].as_array().unwrap().len(), 2);
    }
}

/// Beside the image that the tag is made of, too.
#[test]
fn images_under_tags_made_of_the_digest_of_another_image_stay() {
    let mut layout = Layout::new();
    let first = layout.image(&right_image());
    let hex = digest_of(&first).replace("sha256:", "");
    let mut root = vec![named(first, NAME)];
    for suffix in &SUFFIXES[1..] {
        let other = Image::oci(vec![Layer::gzip(OCI_GZIP, suffix)]);
        let other = layout.image(&other);
        root.push(named(
            other,
            &format!("docker.io/library/{}", tag(&hex, suffix)),
        ));
    }
    layout.root(root);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.names().len(), SUFFIXES.len());
    assert_eq!(
        found.report["images"].as_array().unwrap().len(),
        SUFFIXES.len()
    );
    let found = fixed(&layout.tar(), &["--attestations", "drop"]);
    assert_eq!(found.names().len(), SUFFIXES.len());
}

/// A bill of materials, say, that is the same for two images.
#[test]
fn content_under_several_tags_keeps_those_of_the_chosen_images() {
    for suffix in SUFFIXES {
        let mut layout = Layout::new();
        let images = [right_image(), two()].map(|image| layout.image(&image));
        let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
        let sbom = layout.blob("text/spdx+json", "{\"spdx\":1}");
        let sbom = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [sbom]});
        let sbom = layout.document(OCI_MANIFEST, &sbom);
        let absent = json!({"digest": format!("sha256:{}", "ab".repeat(32))});
        layout.root(vec![
            named(images[0].clone(), "docker.io/library/app:1"),
            named(images[1].clone(), "docker.io/library/app:2"),
            tagged(sbom.clone(), &images[0], suffix),
            tagged(sbom.clone(), &images[1], suffix),
            tagged(sbom.clone(), &absent, suffix),
        ]);
        let bytes = layout.tar();
        let all = fixed(&bytes, &[]);
        assert_eq!(listed(&all).len(), 5);
        for (number, gone) in [(1, ["[1]", "[3]", "[4]"]), (2, ["[0]", "[2]", "[4]"])] {
            let name = format!("app:{number}");
            let found = fixed(&bytes, &["--image", &name]);
            assert_eq!(locations(&found, "image-choice"), gone, "{suffix}");
            assert_eq!(listed(&found).len(), 2);
            assert_eq!(listed(&found)[1], digest_of(&sbom));
        }
        let found = fixed(&bytes, &["--image", "app:1", "--image", "app:2"]);
        assert_eq!(locations(&found, "image-choice"), ["[4]"], "{suffix}");
    }
}

/// What `cosign save` writes for an image of several platforms: everything has the image's name.
#[test]
fn the_marks_of_cosign_tell_an_index_from_its_evidence() {
    for prefix in ["dev.cosignproject.cosign", "dev.hauler"] {
        let mut layout = Layout::new();
        let amd64 = on(layout.image(&one()), "linux", "amd64");
        let arm64 = on(layout.image(&two().architecture("arm64")), "linux", "arm64");
        let index = layout.index_of(OCI_INDEX, vec![amd64, arm64]);
        let digest = digest_of(&index);
        let mut part = |layer_type: &str| {
            let layer = layout.blob(layer_type, format!("{layer_type} of {digest}"));
            let config = layout.document(OCI_CONFIG, &json!({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}));
            let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
            layout.document(OCI_MANIFEST, &manifest)
        };
        let signature = part("application/vnd.dev.cosign.simplesigning.v1+json");
        let attestation = part("application/vnd.dsse.envelope.v1+json");
        let marked = |descriptor: Value, kind: &str| {
            let kind = format!("{prefix}/{kind}");
            named(annotated(descriptor, &[("kind", &kind)]), NAME)
        };
        layout.root(vec![
            marked(index, "imageIndex"),
            marked(signature, "sigs"),
            marked(attestation, "atts"),
        ]);
        let found = fixed(&layout.tar(), &[]);
        assert_eq!(found.names(), ["app:v1"]);
        let images = found.report["images"].as_array().unwrap();
        assert_eq!(images.len(), 1, "{images:#?}");
        // containerd would give the name to the last of them.
        let name = "io.containerd.image.name";
        let removed = ["[1]", "[2]"].map(|entry| format!("{entry}, {name}"));
        assert_eq!(locations(&found, "name-removed"), removed);
        let root = found.contents.json("index.json");
        for entry in &root["manifests"].as_array().unwrap()[1..] {
            let annotations = &entry["annotations"];
            assert!(annotations[name].is_null(), "{annotations}");
            assert_eq!(annotations[REF_NAME], NAME);
            assert!(annotations["kind"].is_string(), "{annotations}");
        }
        assert_eq!(
            found.finding("stale-signature")["location"],
            "index.json, manifests[1]"
        );
        assert_eq!(
            found.finding("stale-statement")["location"],
            "index.json, manifests[2]"
        );
        let chosen = fixed(&layout.tar(), &["--image", "app:v1"]);
        assert_eq!(listed(&chosen).len(), 3);
        let dropped = fixed(&layout.tar(), &["--attestations", "drop"]);
        assert_eq!(locations(&dropped, "attestation-dropped"), ["[2]"]);
        let (_, report) = placed::fixed(&layout.tar(), &[]);
        assert_eq!(report["images"].as_array().unwrap().len(), 1);
    }
}

/// A bundle with this annotation of its predicate.
fn bundle(layout: &mut Layout, subject: &Value, predicate: Option<&str>) -> Value {
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let text = json!({"mediaType": BUNDLE, "predicate": predicate}).to_string();
    let blob = layout.blob(BUNDLE, text);
    let subject = json!({"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]});
    let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [blob], "subject": subject});
    if let Some(predicate) = predicate {
        manifest["annotations"] = json!({
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": predicate,
        });
    }
    layout.document(OCI_MANIFEST, &manifest)
}

/// cosign 3 stores signatures and attestations in one form, and annotates which predicate it is.
#[test]
fn a_bundle_is_an_attestation_unless_its_predicate_is_that_of_a_signature() {
    for (predicate, is_attestation) in [
        (Some("https://slsa.dev/provenance/v1"), true),
        (Some("https://spdx.dev/Document"), true),
        (Some("https://sigstore.dev/cosign/sign/v1"), false),
        (None, false),
    ] {
        for image in [one(), right_image()] {
            let mut layout = Layout::new();
            let is_rewritten = image.manifest_type != OCI_MANIFEST;
            let image = layout.image(&image);
            let bundle = bundle(&mut layout, &image, predicate);
            // In the index of the referrers tag schema, and flat.
            let fallback = layout.index_of(OCI_INDEX, vec![bundle.clone()]);
            let fallback = tagged(fallback, &image, "");
            // What refers to a bundle goes with it.
            let note = referrer(&mut layout, "application/x-note", "note", &bundle);
            layout.root(vec![named(image, NAME), bundle, fallback, note]);
            let kept = fixed(&layout.tar(), &[]);
            assert_eq!(listed(&kept).len(), 4);
            let rules = kept.findings();
            for (rule, is_there) in [
                ("stale-statement", is_rewritten && is_attestation),
                ("stale-signature", is_rewritten && !is_attestation),
            ] {
                assert_eq!(rules.contains(&rule), is_there, "{predicate:?}: {rules:?}");
            }
            let dropped = fixed(&layout.tar(), &["--attestations", "drop"]);
            let gone = locations(&dropped, "attestation-dropped");
            match is_attestation {
                true => assert_eq!(gone, ["[1]", "[2]", "[3]"]),
                false => assert!(gone.is_empty(), "{gone:?}"),
            }
            let sandbox = Sandbox::new();
            layout.write_to(&sandbox.path("in"));
            let options = ["--attestations", "drop"];
            let found = fixed_path(&sandbox.path("in"), &options);
            assert!(found.bytes == dropped.bytes);
        }
    }
}

/// Signatures of an attestation go with it, and those of the image stay.
#[test]
fn a_signature_stays_if_attestations_are_dropped() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let attested = attestation(&mut layout, &image);
    let of_image = bundle(
        &mut layout,
        &image,
        Some("https://sigstore.dev/cosign/sign/v1"),
    );
    let of_attestation = bundle(&mut layout, &attested, None);
    let by_tag = signature(&mut layout, &image);
    let manifest = layout.manifest(&right_image());
    let item = docker_item(&manifest, &["app:v1"]);
    layout.docker_manifest = Some(json!([item]).to_string().into_bytes());
    layout.root(vec![
        named(image, NAME),
        annotated(attested, &[(REF_NAME, "note")]),
        of_image,
        of_attestation,
        by_tag,
    ]);
    let found = fixed(&layout.tar(), &["--attestations", "drop"]);
    assert_eq!(locations(&found, "attestation-dropped"), ["[1]", "[3]"]);
}
