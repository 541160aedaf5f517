//! Descriptors with the wrong size: corrected if the digest proves the content, refused if it does not.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_MANIFEST, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST,
    digest_of, named, on, right_image, right_layout,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const SIZES: [u64; 4] = [0, 1, 1 << 40, i64::MAX as u64];

/// The right image with the size of one descriptor changed: of the config or the layer in the manifest, or of the
/// manifest in the index.
fn with_size(part: &str, size: u64) -> Layout {
    let image = right_image();
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&image);
    match part {
        "config" => manifest["config"]["size"] = json!(size),
        "layer" => manifest["layers"][0]["size"] = json!(size),
        _ => {}
    }
    let mut descriptor = layout.document(&image.manifest_type, &manifest);
    if part == "manifest" {
        descriptor["size"] = json!(size);
    }
    layout.root(vec![named(descriptor, NAME)]);
    layout.docker(&manifest, &["app:v1"]);
    layout
}

fn sizes(found: &Fixed) -> Vec<[String; 3]> {
    let changes = found.changes(&["size"]).into_iter();
    changes
        .map(|[_, place, before, after]| [place, before, after])
        .collect()
}

#[test]
fn a_size_is_corrected_in_every_kind_of_output() {
    let right = right_layout();
    let right_manifest = right.find(&["\"layers\":["]);
    for (part, place) in [
        ("config", "index.json, manifests[0], config"),
        ("layer", "index.json, manifests[0], layers[0]"),
        ("manifest", "index.json, manifests[0]"),
    ] {
        for size in SIZES {
            let layout = with_size(part, size);
            let bytes = layout.tar();
            let found = fixed(&bytes, &[]);
            let found_sizes = sizes(&found);
            let [[found_place, before, _]] = &found_sizes[..] else {
                panic!("{part} {size}: {found_sizes:?}");
            };
            assert_eq!((found_place.as_str(), before), (place, &size.to_string()));
            // The result is the archive that was right from the beginning.
            assert!(found.contents.has(&right_manifest), "{part} {size}");
            // In one pass, in place, without verification, and as a directory.
            let piped = stream(&bytes, &[]).exits(0);
            assert!(piped.json()["spooled"].is_null());
            placed::fixed(&bytes, &[]);
            fixed_unverified(&bytes);
            let sandbox = Sandbox::new();
            layout.write_to(&sandbox.path("in"));
            sandbox.fix("in", "out/").exits(0);
            assert!(Contents::read(&sandbox.path("out")) == found.contents);
        }
    }
}

/// A new archive whose blobs are not verified, and a dry run.
#[track_caller]
fn fixed_unverified(bytes: &[u8]) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let options = ["--verify", "documents"];
    let report = sandbox
        .fix_with("in.tar", "out.tar", &options)
        .exits(0)
        .json();
    let preview = sandbox
        .ocify(&["fix", "in.tar", "--dry-run", "--format", "json"])
        .exits(3);
    for report in [report, preview.json()] {
        let changes = report["changes"].to_string();
        assert!(changes.contains("\"rule\":\"size\""), "{changes}");
    }
}

/// Changes a blob without another length, and makes it shorter or longer.
const DAMAGES: [fn(&mut Vec<u8>); 3] = [
    |bytes| *bytes.last_mut().unwrap() ^= 1,
    |bytes| bytes.truncate(bytes.len() - 1),
    |bytes| bytes.push(b' '),
];

/// The digest decides: a truncated blob is damaged, whatever its descriptor states.
#[test]
fn damaged_content_is_refused_whatever_its_size_states() {
    for part in ["config", "layer", "manifest"] {
        for damage in DAMAGES {
            let layout = with_size("none", 0);
            let image = right_image();
            let (config, layer) = {
                let manifest = Layout::new().manifest(&image);
                (
                    blob_name(&digest_of(&manifest["config"])),
                    blob_name(&digest_of(&manifest["layers"][0])),
                )
            };
            let name = match part {
                "config" => config,
                "layer" => layer,
                _ => layout.find(&["\"layers\":["]),
            };
            // The size is that of the damaged blob, that of the right one, and another.
            let mut damaged = layout.blobs[&name].clone();
            damage(&mut damaged);
            let lens = [damaged.len() as u64, layout.blobs[&name].len() as u64, 7];
            for size in lens {
                let mut layout = with_size(part, size);
                // The manifest's own digest follows from the sizes in it.
                let name = match part {
                    "manifest" => layout.find(&["\"layers\":["]),
                    _ => name.clone(),
                };
                layout.blobs.insert(name.clone(), damaged.clone());
                let code = match size == damaged.len() as u64 {
                    true => "digest-mismatch",
                    false => "size-mismatch",
                };
                for options in [&[][..], &["--compression", "zstd"]] {
                    let bytes = layout.tar();
                    if code == "digest-mismatch" && part == "layer" && !options.is_empty() {
                        continue;
                    }
                    fails_with(part, &bytes, options, code, &[&name[13..]]);
                }
                let sandbox = Sandbox::new();
                sandbox.put("in.tar", layout.tar());
                // A layer with the stated length is not read in place.
                if part != "layer" || code == "size-mismatch" {
                    placed::fix(&sandbox, "in.tar", &[]).exits(1);
                }
            }
        }
    }
}

/// Without verification a stream cannot prove a layer that has passed.
#[test]
fn a_stream_without_verification_refuses_a_wrong_layer_size() {
    let bytes = with_size("layer", 7).tar();
    let piped = stream(&bytes, &["--verify", "documents"]);
    piped.fails("layer", &["needs-file"]);
    let bytes = with_size("config", 7).tar();
    stream(&bytes, &["--verify", "documents"]).exits(0);
}

#[test]
fn sizes_of_nested_indexes_subjects_and_cache_layers_are_corrected() {
    let mut layout = Layout::new();
    let mut image = layout.image(&right_image());
    image["size"] = json!(5);
    let subject = image.clone();
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let referrer = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": config,
        "layers": [],
        "subject": subject,
    });
    let referrer = layout.document(OCI_MANIFEST, &referrer);
    let mut index = layout.index_of(OCI_INDEX, vec![on(image, "linux", "amd64")]);
    index["size"] = json!(6);
    layout.root(vec![named(index, NAME), referrer]);
    let found = fixed(&layout.tar(), &[]);
    let mut places: Vec<String> = sizes(&found).into_iter().map(|[place, ..]| place).collect();
    places.sort();
    assert_eq!(
        places,
        [
            "index.json, manifests[0]",
            "index.json, manifests[0], manifests[0]",
            "index.json, manifests[1], subject",
        ]
    );

    let mut cache = Layout::new();
    let mut layer = cache.blob(OCI_GZIP, &right_image().layers[0].bytes);
    layer["size"] = json!(9);
    let config = cache.blob("application/vnd.buildkit.cacheconfig.v0", "{}");
    let entry = cache.index_of(OCI_INDEX, vec![layer, config]);
    cache.root(vec![entry]);
    let found = fixed(&cache.tar(), &[]);
    assert_eq!(sizes(&found).len(), 1);
}

/// A document that is rewritten for another reason gets its new size.
#[test]
fn a_rewritten_document_gets_its_new_size() {
    let mut layout = Layout::new();
    let docker = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "x")]);
    let mut descriptor = layout.image(&docker);
    assert_eq!(descriptor["mediaType"], DOCKER_MANIFEST);
    descriptor["size"] = json!(3);
    layout.root(vec![named(descriptor, NAME)]);
    let found = fixed(&layout.tar(), &["--name", "a:1", "--name", "b:1"]);
    let root = found.contents.json("index.json");
    let entries = root["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let blob = found.contents.blob(&digest_of(entry)).unwrap();
        assert_eq!(entry["size"], blob.len());
    }
}

/// A name that is added to an entry copies its descriptor.
#[test]
fn copies_of_an_entry_have_the_right_size() {
    let found = fixed(
        &with_size("manifest", 7).tar(),
        &["--name", "a:1", "--name", "b:1"],
    );
    let root = found.contents.json("index.json");
    for entry in root["manifests"].as_array().unwrap() {
        let blob = found.contents.blob(&digest_of(entry)).unwrap();
        assert_eq!(entry["size"], blob.len());
    }
}

#[test]
fn the_size_of_embedded_data_is_corrected() {
    let data = |absent: bool, size: u64| {
        let image = right_image();
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&image);
        let text = layout
            .blobs
            .get(&blob_name(&digest_of(&manifest["config"])))
            .unwrap();
        manifest["config"]["data"] = json!(base64::engine::general_purpose::STANDARD.encode(text));
        manifest["config"]["size"] = json!(size);
        let config = manifest["config"].clone();
        if absent {
            // A config that is only embedded counts as absent, so another image has to be there.
            layout
                .blobs
                .remove(&blob_name(&digest_of(&config)))
                .unwrap();
        }
        let descriptor = layout.document(&image.manifest_type, &manifest);
        let other = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
        let first = match absent {
            true => descriptor,
            false => named(descriptor, NAME),
        };
        layout.root(vec![first, named(other, "docker.io/library/other:v1")]);
        layout
    };
    for absent in [false, true] {
        let found = fixed(&data(absent, 7).tar(), &[]);
        let [[place, before, _]] = &sizes(&found)[..] else {
            panic!("{:?}", sizes(&found));
        };
        assert_eq!(
            (place.as_str(), before.as_str()),
            ("index.json, manifests[0], config", "7")
        );
    }
    let mut wrong = data(false, 7);
    let text: Value = serde_json::from_slice(wrong.index.as_ref().unwrap()).unwrap();
    assert!(text["manifests"][0]["data"].is_null());
    wrong.edit_root(|root| root["manifests"][0]["data"] = json!("e30="));
    fails_with(
        "data",
        &wrong.tar(),
        &[],
        "digest-mismatch",
        &["embedded data"],
    );
}

/// Many descriptors of one blob do not read it again and again.
#[test]
fn a_blob_is_proven_once() {
    let mut layout = Layout::new();
    let mut image = layout.image(&Image::oci(vec![Layer::new(
        OCI_GZIP,
        vec![b'x'; 1 << 20],
        b"x",
    )]));
    image["size"] = json!(1);
    let manifest = layout.find(&["\"layers\":["]);
    let mut manifest: Value = serde_json::from_slice(&layout.blobs[&manifest]).unwrap();
    manifest["layers"][0]["size"] = json!(1);
    let layer = manifest["layers"][0].clone();
    let cache: Vec<Value> = (0..3000).map(|_| layer.clone()).collect();
    let config = layout.blob("application/vnd.buildkit.cacheconfig.v0", "{}");
    let entry = layout.index_of(OCI_INDEX, [cache, vec![config]].concat());
    layout.root(vec![entry]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let run = sandbox.fix("in.tar", "out.tar").exits(0);
    assert!(run.time.as_secs() < 30, "{:?}", run.time);
}
