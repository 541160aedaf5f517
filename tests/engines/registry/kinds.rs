//! Further kinds of what tools left in the field: a push has to fix what is wrong with each, or to refuse it with a way out.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::archive::tar;
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_MANIFEST, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX,
    OCI_MANIFEST, REF_NAME, annotated, gzip, index, named, xz,
};
use crate::common::fixture;
use crate::shapes::{NAME, OCI, Real, saved};

/// The name of an input, and its archive.
type Kind = (&'static str, Vec<u8>);

/// Those that are refused, with the code. They are pushed with the `--image` that the hint has.
pub(super) const REFUSED: [(&str, &str); 3] = [
    // An image and an artifact, in two repositories, have the same tag. Both cannot have it in one repository.
    ("shapes/oci-listed-artifact", "name-taken"),
    ("kinds/two-images-one-name", "name-missing"),
    ("kinds/unknown-digest", "unsupported-digest"),
];

/// Those without an image that these engines run: one without layers, and one of which they take the variant that comes first, because they
/// do not look at `os.features`.
pub(super) const NOT_RUN: [&str; 2] = ["kinds/layers-null", "kinds/erofs-first"];

/// Those whose layers are compressed twice, so that they run only once they are recompressed.
pub(super) const NOT_RUN_AS_THEY_ARE: [&str; 2] = ["kinds/gzip-twice", "kinds/xz-in-gzip"];

/// Those that skopeo does not copy from an archive either without new digests.
pub(super) const NOT_COPIED: [&str; 1] = ["kinds/soci"];

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The first descriptor in `index.json`.
fn listed(layout: &Layout) -> Value {
    let bytes = layout.index.as_ref().expect("an index");
    let root: Value = serde_json::from_slice(bytes).expect("an index");
    root["manifests"][0].clone()
}

fn config_of(real: &Real, change: impl FnOnce(&mut Value)) -> String {
    let mut config = serde_json::from_slice(&real.config).expect("a config");
    change(&mut config);
    config.to_string()
}

/// An image of another platform, with the same layers.
fn for_arm(layout: &mut Layout, real: &Real) -> Value {
    let config = config_of(real, |config| config["architecture"] = json!("arm64"));
    let config = layout.blob(OCI_CONFIG, config);
    let layers = real.layers(OCI_GZIP, gzip);
    let layers: Vec<Value> = layers
        .iter()
        .map(|(media_type, bytes)| layout.blob(media_type, bytes))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
    });
    layout.document(OCI_MANIFEST, &manifest)
}

fn on(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
    descriptor
}

/// `index.json` lists two platforms side by side under one name.
fn flat(real: &Real, is_reversed: bool) -> Vec<u8> {
    let mut layout = real.right();
    let one = on(listed(&layout), "amd64");
    let other = on(named(for_arm(&mut layout, real), NAME), "arm64");
    let mut both = vec![one, other];
    if is_reversed {
        both.reverse();
    }
    layout.root(both);
    layout.docker_manifest = None;
    layout.tar()
}

/// A variant with EROFS layers, whose config has no diff IDs, beside the image.
fn with_erofs(real: &Real, media_type: &str, is_first: bool) -> Vec<u8> {
    let mut layout = real.right();
    let image = layout_image(&layout);
    let config = config_of(real, |config| {
        config["os.features"] = json!(["erofs"]);
        config.as_object_mut().expect("a config").remove("rootfs");
    });
    let config = layout.blob(OCI_CONFIG, config);
    let layers: Vec<Value> = (0..real.layers.len())
        .map(|number| {
            let mut bytes = vec![0; 1024];
            bytes.extend(b"\xe2\xe1\xf5\xe0");
            bytes.push(number as u8);
            layout.blob(media_type, bytes)
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
    });
    let mut variant = on(layout.document(OCI_MANIFEST, &manifest), "amd64");
    variant["platform"]["os.features"] = json!(["erofs"]);
    let mut both = vec![on(image, "amd64"), variant];
    if is_first {
        both.reverse();
    }
    let all = layout.document(OCI_INDEX, &index(OCI_INDEX, both));
    layout.root(vec![named(all, NAME)]);
    layout.docker_manifest = None;
    layout.tar()
}

/// The image of a layout, without its name.
fn layout_image(layout: &Layout) -> Value {
    let mut image = listed(layout);
    let fields = image.as_object_mut().expect("a descriptor");
    fields.remove("annotations");
    image
}

/// A note of a builder that does not say what it is about, beside the image.
fn with_evidence(real: &Real) -> Vec<u8> {
    let mut layout = real.right();
    let config = layout.blob(OCI_CONFIG, "{}");
    let note = layout.blob("text/plain", "a note of a builder");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [note],
    });
    let note = layout.document(OCI_MANIFEST, &manifest);
    let mut note = annotated(note, &[("vnd.docker.reference.type", "builder")]);
    note["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    layout.edit_root(|root| root["manifests"].as_array_mut().expect("a list").push(note));
    layout.tar()
}

/// An image with Docker's types and an index of what is in its layers, version 2, beside it.
fn with_soci(real: &Real) -> Vec<u8> {
    let layers = real.layers(DOCKER_GZIP, gzip);
    let mut layout = real.dual((DOCKER_MANIFEST, DOCKER_CONFIG), &layers, |_| ());
    let image = on(layout_image(&layout), "amd64");
    let config = layout.blob("application/vnd.amazon.soci.index.v2+json", "{}");
    let ztoc = layout.blob("application/octet-stream", "where files are");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [ztoc],
        "artifactType": "application/vnd.amazon.soci.index.v2+json",
    });
    let soci = layout.document(OCI_MANIFEST, &manifest);
    let about = text(&image["digest"]);
    let link = [("com.amazon.soci.image-manifest-digest", about.as_str())];
    let mut soci = annotated(soci, &link);
    soci["artifactType"] = json!("application/vnd.amazon.soci.index.v2+json");
    soci["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    let both = layout.document(OCI_INDEX, &index(OCI_INDEX, vec![image, soci]));
    layout.root(vec![named(both, NAME)]);
    layout.docker_manifest = None;
    layout.tar()
}

/// A manifest by an algorithm that nobody here verifies, beside the image.
fn with_unknown_digest(real: &Real) -> Vec<u8> {
    let mut layout = real.right();
    let hash = "ab".repeat(32);
    layout
        .blobs
        .insert(format!("blobs/blake3/{hash}"), b"a manifest".to_vec());
    let other = json!({
        "mediaType": OCI_MANIFEST, "digest": format!("blake3:{hash}"), "size": 10,
        "annotations": {REF_NAME: "b3"},
    });
    layout.edit_root(|root| {
        root["manifests"]
            .as_array_mut()
            .expect("a list")
            .push(other)
    });
    layout.tar()
}

/// A manifest with Docker's types under a name that has its digest.
fn with_digest_name(real: &Real) -> Vec<u8> {
    let layers = real.layers(DOCKER_GZIP, gzip);
    let mut layout = real.dual((DOCKER_MANIFEST, DOCKER_CONFIG), &layers, |_| ());
    let image = layout_image(&layout);
    let name = format!("example.com/app@{}", text(&image["digest"]));
    layout.root(vec![annotated(image, &[(REF_NAME, &name)])]);
    layout.docker_manifest = None;
    layout.tar()
}

/// An image without layers, as BuildKit writes it.
fn with_null_layers(real: &Real) -> Vec<u8> {
    let config = config_of(real, |config| {
        config["rootfs"]["diff_ids"] = Value::Null;
        config["history"] = json!([]);
    });
    let mut layout = Layout::new();
    let config = layout.blob(DOCKER_CONFIG, config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": null,
    });
    let image = layout.document(DOCKER_MANIFEST, &manifest);
    layout.root(vec![named(image, NAME)]);
    layout.tar()
}

/// What `docker save ID ID` writes: `index.json` lists the first image only, and the second has no name.
fn two_images_one_name(real: &Real) -> Vec<u8> {
    let mut layout = real.with_unlisted_image();
    layout.edit_docker(|items| items[1]["RepoTags"] = Value::Null);
    layout.tar()
}

/// Jib before 2.3 wrote keys in lower case.
fn with_small_keys(real: &Real) -> Vec<u8> {
    let (entries, item) = real.docker20(NAME, None);
    let item = json!({
        "config": item["Config"], "repoTags": item["RepoTags"], "layers": item["Layers"],
    });
    tar(&saved(vec![(entries, item)]))
}

/// What BuildKit exports of a build: a record that is not an image and has no name.
fn build_record() -> Vec<u8> {
    let mut layout = Layout::new();
    let config = layout.blob(
        "application/vnd.buildkit.historyrecord.v0",
        "{\"record\":1}",
    );
    let log = layout.blob("application/vnd.buildkit.solvestatus.v0", "log");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [log],
        "artifactType": "application/vnd.buildkit.historyrecord.v0",
    });
    let record = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![record]);
    gzip(&layout.tar())
}

/// All kinds.
pub(super) fn kinds() -> Vec<Kind> {
    let real = Real::read();
    let changed = |change: &dyn Fn(&mut Value)| {
        let layers = real.layers(OCI_GZIP, gzip);
        let layout = real.dual(OCI, &layers, change);
        layout.tar()
    };
    let longer = |size: &mut Value| *size = json!(size.as_u64().expect("a size") + 7);
    let within = |form: &dyn Fn(&[u8]) -> Vec<u8>| {
        let layers = real.layers(OCI_GZIP, form);
        real.dual(OCI, &layers, |_| ()).tar()
    };
    vec![
        (
            "config-descriptor-platform",
            changed(&|manifest| {
                manifest["config"]["platform"] = json!({"architecture": "amd64", "os": "linux"});
            }),
        ),
        (
            "config-size-wrong",
            changed(&|manifest| longer(&mut manifest["config"]["size"])),
        ),
        (
            "layer-size-wrong",
            changed(&|manifest| longer(&mut manifest["layers"][0]["size"])),
        ),
        ("layers-null", with_null_layers(&real)),
        ("gzip-twice", within(&|plain| gzip(&gzip(plain)))),
        ("xz-in-gzip", within(&|plain| gzip(&xz(plain)))),
        (
            "erofs-beside",
            with_erofs(&real, "application/vnd.erofs+zstd", false),
        ),
        (
            "erofs-first",
            with_erofs(&real, "application/vnd.erofs.layer.v1", true),
        ),
        ("evidence-beside", with_evidence(&real)),
        ("flat-platforms", flat(&real, false)),
        ("flat-platforms-reversed", flat(&real, true)),
        ("small-keys", with_small_keys(&real)),
        ("two-images-one-name", two_images_one_name(&real)),
        ("soci", with_soci(&real)),
        ("digest-name", with_digest_name(&real)),
        ("unknown-digest", with_unknown_digest(&real)),
        ("build-record", build_record()),
    ]
}

/// A directory that skopeo wrote, with a signature.
pub(super) fn signed_directory(path: &Path) {
    fs::create_dir(path).expect("a directory");
    for entry in fs::read_dir(fixture("podman-dockerdir")).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), path.join(entry.file_name())).expect("a copy");
    }
    fs::write(path.join("signature-1"), "signature").expect("a file");
}
