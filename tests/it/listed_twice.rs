//! A manifest that is listed for several platforms, and bytes that one descriptor calls a document and another one a layer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, annotated, digest_of, named, on,
};
use crate::common::contents::blob_name;
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::runner::Sandbox;
use crate::common::saved::config_hex;
use crate::split::{outputs, strings};

const APP: &str = "docker.io/library/app:v1";

fn of(text: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, text)])
}

fn arm(mut descriptor: Value, variant: &str) -> Value {
    descriptor["platform"] = json!({"architecture": "arm", "os": "linux", "variant": variant});
    descriptor
}

/// An index of two images, of which one is for two variants of arm.
fn variants() -> (Layout, [Value; 2]) {
    let mut layout = Layout::new();
    let old = layout.image(&of("arm").architecture("arm"));
    let new = layout.image(&of("arm64").architecture("arm64"));
    let index = layout.index_of(
        OCI_INDEX,
        vec![
            arm(old.clone(), "v7"),
            arm(old.clone(), "v6"),
            on(new.clone(), "linux", "arm64"),
        ],
    );
    layout.root(vec![named(index, APP)]);
    (layout, [old, new])
}

/// The platforms that the index of the only entry of the root lists.
fn listed(found: &Fixed) -> Vec<String> {
    let root = found.contents.json("index.json");
    let index = found.contents.document(&digest_of(&root["manifests"][0]));
    let list = index["manifests"].as_array().unwrap().iter();
    let platforms = list.map(|entry| {
        let platform = &entry["platform"];
        let variant = platform["variant"].as_str().unwrap_or_default();
        format!("{}{variant}", platform["architecture"].as_str().unwrap())
    });
    platforms.collect()
}

#[test]
fn each_platform_of_a_manifest_can_be_chosen() {
    let (layout, [old, new]) = variants();
    let bytes = layout.tar();
    for (platform, kept, image) in [
        ("linux/arm/v6", vec!["armv6"], &old),
        ("linux/arm/v7", vec!["armv7"], &old),
        ("linux/arm/v7,linux/arm/v6", vec!["armv7", "armv6"], &old),
        ("linux/arm64", vec!["arm64"], &new),
        ("linux/arm/v6,linux/arm64", vec!["armv6", "arm64"], &new),
    ] {
        let found = fixed(&bytes, &["--platform", platform]);
        assert_eq!(listed(&found), kept, "{platform}");
        assert!(
            found.contents.blob(&digest_of(image)).is_some(),
            "{platform}"
        );
        let mut requested: Vec<&str> = platform.split(',').collect();
        requested.sort_unstable();
        let stated = strings(&found.report["images"][0]["platforms"]);
        let stated: Vec<&str> = stated
            .iter()
            .map(|text| text.trim_end_matches("/v8"))
            .collect();
        assert_eq!(stated, requested);
        // The images of one index can be the same manifest, but not several.
        if kept != ["armv6", "arm64"] {
            let plain = fixed(&bytes, &["--platform", platform, "--unwrap"]);
            assert_eq!(plain.names(), ["app:v1"], "{platform}");
        }
    }
    let parts = ["available: linux/arm/v6, linux/arm/v7, linux/arm64"];
    let options = ["--platform", "linux/arm/v5"];
    fails_with("v5", &bytes, &options, "platform-not-found", &parts);
}

#[test]
fn manifest_json_describes_a_manifest_by_any_of_its_platforms() {
    let (layout, _) = variants();
    let config = blob_name(&format!(
        "sha256:{}",
        config_hex(&of("arm").architecture("arm"))
    ));
    for platform in ["linux/arm/v6", "linux/arm/v7"] {
        let found = fixed(&layout.tar(), &["--docker-platform", platform]);
        let described = found.contents.json("manifest.json");
        assert_eq!(described[0]["Config"], *config, "{platform}");
        assert_eq!(listed(&found), ["armv7", "armv6", "arm64"]);
    }
}

#[test]
fn a_manifest_with_several_platforms_is_one_output_of_a_split() {
    let (layout, [old, new]) = variants();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let (report, contents) = outputs(&sandbox, "in.tar", &["--by", "platform"]);
    let platforms = report["outputs"].as_array().unwrap().iter();
    let platforms = platforms.map(|output| strings(&output["platforms"]).join(","));
    let platforms: BTreeSet<String> = platforms.collect();
    let expected = ["linux/arm/v6,linux/arm/v7", "linux/arm64"];
    assert_eq!(platforms, BTreeSet::from(expected.map(str::to_owned)));
    let holds = |image: &Value| {
        let mut outputs = contents.values();
        outputs.any(|output| output.blob(&digest_of(image)).is_some())
    };
    assert!(contents.len() == 2 && holds(&old) && holds(&new));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let (report, _) = outputs(
        &sandbox,
        "in.tar",
        &["--by", "platform", "--platform", "linux/arm/v6"],
    );
    assert_eq!(report["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(
        strings(&report["outputs"][0]["platforms"]),
        ["linux/arm/v6"]
    );
}

#[test]
fn names_state_the_platform_of_a_manifest_too() {
    let mut layout = Layout::new();
    let image = layout.image(&of("arm").architecture("arm"));
    layout.root(vec![
        named(arm(image.clone(), "v6"), "docker.io/library/app:v6"),
        named(arm(image, "v7"), "docker.io/library/app:v7"),
    ]);
    for variant in ["v6", "v7"] {
        let platform = format!("linux/arm/{variant}");
        let found = fixed(&layout.tar(), &["--platform", &platform]);
        assert_eq!(found.names(), [format!("app:{variant}")]);
    }
}

/// An image whose layer is listed as a manifest as well.
fn layer_as_manifest(list: impl Fn(Value, &Value) -> Value) -> (Layout, Value) {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&of("arm64").architecture("arm64"));
    let image = layout.document(OCI_MANIFEST, &manifest);
    let mut other = manifest["layers"][0].clone();
    other["mediaType"] = OCI_MANIFEST.into();
    let other = list(other, &image);
    let image = on(image, "linux", "arm64");
    let index = layout.index_of(OCI_INDEX, vec![other.clone(), image]);
    layout.root(vec![named(index, APP)]);
    (layout, other)
}

#[test]
fn a_layer_stays_that_goes_as_a_document() {
    let about = |other: Value, image: &Value| {
        let digest = digest_of(image);
        let annotations = [
            ("vnd.docker.reference.type", "attestation-manifest"),
            ("vnd.docker.reference.digest", &digest),
        ];
        annotated(on(other, "unknown", "unknown"), &annotations)
    };
    let for_amd64 = |other: Value, _: &Value| on(other, "linux", "amd64");
    for ((layout, other), options) in [
        (
            layer_as_manifest(for_amd64),
            &["--platform", "linux/arm64"][..],
        ),
        (
            layer_as_manifest(for_amd64),
            &["--platform", "linux/arm64", "--unwrap"],
        ),
        (layer_as_manifest(about), &["--attestations", "drop"]),
    ] {
        let found = fixed(&layout.tar(), options);
        assert!(
            found.contents.blob(&digest_of(&other)).is_some(),
            "{options:?}"
        );
    }
}

#[test]
fn what_only_an_entry_that_goes_states_does_not_count() {
    let mut layout = Layout::new();
    let [app, tool] = ["app", "tool"].map(|text| layout.image(&of(text)));
    let mut other = on(tool.clone(), "linux", "amd64");
    other["platform"]["os.features"] = json!(["sgx"]);
    let index = layout.index_of(OCI_INDEX, vec![other]);
    layout.root(vec![
        named(app, APP),
        named(tool, "docker.io/library/tool:v1"),
        named(index, "docker.io/library/tool:sgx"),
    ]);
    let bytes = layout.tar();
    let tags = |found: &Fixed| {
        let items = found.contents.json("manifest.json");
        let items = items.as_array().unwrap().iter();
        let tags = items.map(|item| strings(&item["RepoTags"]).join(","));
        tags.collect::<Vec<String>>()
    };
    let options = ["--image", "app:v1", "--image", "tool:v1"];
    assert_eq!(tags(&fixed(&bytes, &options)), ["app:v1", "tool:v1"]);
}

/// An index of one name keeps what each entry says an image is for.
#[test]
fn entries_of_one_image_are_nested_for_each_platform() {
    let mut layout = Layout::new();
    let old = layout.image(&of("arm").architecture("arm"));
    let new = layout.image(&of("arm64").architecture("arm64"));
    let entry = |image: &Value, variant| named(arm(image.clone(), variant), APP);
    layout.root(vec![
        entry(&old, "v7"),
        named(on(new, "linux", "arm64"), APP),
        entry(&old, "v6"),
        entry(&old, "v7"),
    ]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(listed(&found), ["armv6", "armv7", "arm64"]);
    let stated = strings(&found.report["images"][0]["platforms"]);
    assert_eq!(stated, ["linux/arm/v6", "linux/arm/v7", "linux/arm64"]);
    assert_eq!(found.names(), ["app:v1"]);
}

#[test]
fn the_only_entry_that_stays_says_what_an_unwrapped_image_is_for() {
    let mut layout = Layout::new();
    let image = layout.image(&of("arm").architecture("arm"));
    let manifests = vec![arm(image.clone(), "v7"), arm(image, "v6")];
    let index = layout.index_of(OCI_INDEX, manifests);
    layout.root(vec![named(index, APP)]);
    let found = fixed(&layout.tar(), &["--unwrap"]);
    let entry = &found.contents.json("index.json")["manifests"][0];
    assert_eq!(entry["platform"]["variant"], "v7");
    assert_eq!(found.report["images"][0]["platform"], "linux/arm/v7");
    assert_eq!(
        strings(&found.report["images"][0]["platforms"]),
        ["linux/arm/v7"]
    );
}

/// The good image goes, and only its manifest stays, as what the other one calls its config.
#[test]
fn an_image_that_no_engine_loads_is_not_written_alone() {
    let mut layout = Layout::new();
    let good = layout.image(&of("good"));
    let mut manifest = layout.manifest(&of("bad"));
    manifest["config"]["digest"] = good["digest"].clone();
    manifest["config"]["size"] = good["size"].clone();
    let bad = layout.document(OCI_MANIFEST, &manifest);
    let manifests = vec![on(good, "linux", "amd64"), on(bad, "linux", "arm64")];
    let index = layout.index_of(OCI_INDEX, manifests);
    layout.root(vec![named(index, APP)]);
    let options = ["--platform", "linux/arm64"];
    let parts = ["but its config has 0 diff IDs; app:v1 needs it"];
    fails_with(
        "bad",
        &layout.tar(),
        &options,
        "layer-count-mismatch",
        &parts,
    );
}
