//! Compressed layers that do not contain a tar: they are reported, and repaired if the diff ID proves what they
//! should contain.

use std::io::Read;

use serde_json::Value;

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_TAR, OCI_ZSTD, gzip, layer_tar, xz, zstd,
};
use crate::common::checker::check_output;
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::fails_with;
use crate::common::judged::{findings, fixed, written};
use crate::common::runner::Sandbox;
use crate::common::saved::Saved;
use crate::common::sha256;

const NAME: &str = "docker.io/library/app:v1";

fn with(layer: Layer) -> Vec<u8> {
    let mut layout = Layout::of(
        &Image::oci(vec![Layer::gzip(OCI_GZIP, "first"), layer]),
        NAME,
    );
    let index: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = serde_json::from_slice(&layout.blobs[&blob_name(digest)]).unwrap();
    layout.docker(&manifest, &["app:v1"]);
    layout.tar()
}

/// The layers of the only image.
fn layers(contents: &Contents) -> Vec<Vec<u8>> {
    let manifest = &contents.manifests()[0].1;
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| {
            let digest = layer["digest"].as_str().unwrap();
            contents.blob(digest).unwrap().to_vec()
        })
        .collect()
}

#[test]
fn layers_that_do_not_contain_a_tar_are_reported() {
    let plain = layer_tar("content");
    let damaged = [&gzip(&plain)[..12], &[0xff; 64]].concat();
    for (name, layer, words) in [
        (
            "gzip twice",
            Layer::new(OCI_GZIP, gzip(&gzip(&plain)), &plain),
            "decompresses to gzip data instead of a tar",
        ),
        (
            "xz in gzip",
            Layer::new(OCI_GZIP, gzip(&xz(&plain)), &xz(&plain)),
            "decompresses to xz data instead of a tar",
        ),
        (
            "gzip in zstd",
            Layer::new(OCI_ZSTD, zstd(&gzip(&plain)), &gzip(&plain)),
            "decompresses to gzip data instead of a tar",
        ),
        (
            "text in gzip",
            Layer::new(OCI_GZIP, gzip(b"text"), b"text"),
            "does not decompress to a tar",
        ),
        (
            "nothing that gzip could be",
            Layer::new(OCI_GZIP, damaged, &plain),
            "does not decompress to a tar",
        ),
    ] {
        let bytes = with(layer.clone());
        let found = written(&bytes, &[]);
        let finding = found.finding("layer-not-tar");
        assert_eq!(finding["severity"], "breaks", "{name}");
        assert_eq!(finding["location"], "index.json, manifests[0], layers[1]");
        let message = finding["message"].as_str().unwrap();
        let digest = format!("sha256:{}", sha256(&layer.bytes));
        assert!(
            message.contains(words) && message.contains(&digest),
            "{name}: {message}"
        );
        let hint = finding["hint"].as_str().unwrap();
        assert!(hint.contains("build or save the image again"), "{name}");
        assert_eq!(
            hint.contains("--compression gzip"),
            words.contains("data"),
            "{name}"
        );
        // A layout, an archive in place, a dry run and a batch find the same.
        let sandbox = Sandbox::new();
        for (path, bytes) in &found.contents.files {
            put(&sandbox, &format!("layout/{path}"), bytes);
        }
        let run = sandbox.fix("layout", "out.tar").exits(0);
        assert!(findings(&run.json()).contains(&"layer-not-tar"), "{name}");
        let sandbox = Sandbox::new();
        put(&sandbox, "in/in.tar", &bytes);
        for more in [&["--dry-run"][..], &["-o", "out"], &["--in-place"]] {
            let end = batch(&sandbox, &[&["in"], more].concat());
            let rules = findings(&end.items["in/in.tar"]);
            assert!(
                rules.contains(&"layer-not-tar"),
                "{name} {more:?}: {rules:?}"
            );
        }
    }
}

#[test]
fn layers_that_contain_a_tar_or_cannot_are_not_reported() {
    let plain = layer_tar("content");
    let long = tar(&[Entry::file(
        "BZh9-looks-like-a-magic-number",
        vec![7; 300_000],
    )]);
    for (name, layer) in [
        ("plain", Layer::plain(OCI_TAR, "a")),
        (
            "a large first block",
            Layer::new(OCI_ZSTD, zstd(&long), &long),
        ),
        (
            "a name like a magic number",
            Layer::new(OCI_GZIP, gzip(&long), &long),
        ),
        (
            "an empty tar",
            Layer::new(OCI_GZIP, gzip(&[0; 1024]), &[0; 1024]),
        ),
        ("nothing", Layer::new(OCI_GZIP, gzip(b""), b"")),
        (
            "unknown",
            Layer::new("application/x.unknown", gzip(b"text"), &plain),
        ),
        (
            "encrypted",
            Layer::new(
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                gzip(b"x"),
                &plain,
            ),
        ),
    ] {
        let found = written(&with(layer), &[]);
        assert!(!found.findings().contains(&"layer-not-tar"), "{name}");
    }
}

#[test]
fn a_layer_that_is_compressed_twice_is_repaired_if_its_diff_id_is_that_of_the_tar() {
    let plain = layer_tar("content");
    for (name, layer) in [
        (
            "gzip twice",
            Layer::new(OCI_GZIP, gzip(&gzip(&plain)), &plain),
        ),
        (
            "xz in gzip",
            Layer::new(OCI_GZIP, gzip(&xz(&plain)), &plain),
        ),
        (
            "zstd in gzip",
            Layer::new(OCI_GZIP, gzip(&zstd(&plain)), &plain),
        ),
        (
            "gzip in zstd",
            Layer::new(OCI_ZSTD, zstd(&gzip(&plain)), &plain),
        ),
        (
            "zstd twice",
            Layer::new(OCI_ZSTD, zstd(&zstd(&plain)), &plain),
        ),
    ] {
        let bytes = with(layer);
        fails_with(
            name,
            &bytes,
            &["--verify", "full"],
            "diff-id-mismatch",
            &["layers[1]"],
        );
        for to in ["gzip", "zstd", "uncompressed"] {
            let mut outputs = Vec::new();
            for jobs in ["1", "4"] {
                let found = fixed(&bytes, &["--compression", to, "--jobs", jobs]);
                assert!(
                    !found.findings().contains(&"layer-not-tar"),
                    "{name} to {to}"
                );
                let layer = layers(&found.contents).pop().unwrap();
                let content = match to {
                    "gzip" => {
                        let mut content = Vec::new();
                        let mut decoder = flate2::read::MultiGzDecoder::new(&layer[..]);
                        decoder.read_to_end(&mut content).unwrap();
                        content
                    }
                    "zstd" => zstd::decode_all(&layer[..]).unwrap(),
                    _ => layer,
                };
                assert!(content == plain, "{name} to {to}");
                fixed(&found.bytes, &["--verify", "full"]);
                outputs.push(found.bytes);
            }
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let options = ["--compression", to, "--dry-run"];
            let dry = sandbox.fix_with("in.tar", "out.tar", &options).exits(3);
            assert!(
                !findings(&dry.json()).contains(&"layer-not-tar"),
                "{name} to {to}"
            );
            assert!(outputs[0] == outputs[1], "{name} to {to}");
        }
    }
    // An engine that cannot read something gets a layer that it can read.
    let bytes = with(Layer::new(OCI_GZIP, gzip(&xz(&plain)), &plain));
    let found = fixed(&bytes, &["--for", "docker@20.10"]);
    assert!(!found.findings().contains(&"layer-not-tar"));
}

/// In another compression, no engine could unpack it either.
#[test]
fn a_layer_whose_diff_id_is_that_of_other_data_than_a_tar_stays() {
    let plain = layer_tar("content");
    for (name, media_type, compress, inner) in [
        (
            "gzip twice",
            OCI_GZIP,
            gzip as fn(&[u8]) -> Vec<u8>,
            gzip(&plain),
        ),
        ("xz in gzip", OCI_GZIP, gzip, xz(&plain)),
        ("gzip in zstd", OCI_ZSTD, zstd, gzip(&plain)),
        ("text in gzip", OCI_GZIP, gzip, b"text".to_vec()),
        ("text in zstd", OCI_ZSTD, zstd, b"text".to_vec()),
    ] {
        let layer = Layer::new(media_type, compress(&inner), &inner);
        let bytes = with(layer.clone());
        let is_zstd = media_type == OCI_ZSTD;
        for (options, is_left) in [
            (&["--compression", "gzip"][..], is_zstd),
            (&["--compression", "gzip", "--verify", "full"], is_zstd),
            (&["--compression", "zstd"], !is_zstd),
            (&["--compression", "uncompressed"], true),
        ] {
            let name = format!("{name}, {options:?}");
            let found = written(&bytes, options);
            let finding = found.finding("layer-not-tar");
            assert_eq!(finding["severity"], "breaks", "{name}");
            assert_eq!(finding["location"], "index.json, manifests[0], layers[1]");
            let hint = finding["hint"].as_str().unwrap();
            assert!(hint.starts_with("build or save the image again"), "{name}");
            let left = found.findings().contains(&"layers-left-alone");
            assert_eq!(left, is_left, "{name}");
            assert_eq!(layers(&found.contents)[1], layer.bytes, "{name}");
            let manifest = &found.contents.manifests()[0].1;
            assert_eq!(manifest["layers"][1]["mediaType"], media_type, "{name}");
            // Once written, nothing is left to do.
            let again = written(&found.bytes, options);
            assert!(again.bytes == found.bytes, "{name}");
            assert!(again.finding("layer-not-tar").is_object(), "{name}");
            // A dry run announces what the run does.
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let dry = [options, &["--dry-run"]].concat();
            let dry = sandbox.fix_with("in.tar", "other.tar", &dry).json();
            let run = sandbox.fix_with("in.tar", "other.tar", options).exits(0);
            let run = run.json();
            assert_eq!(findings(&dry), findings(&run), "{name}");
            let rules = |report: &Value| -> Vec<String> {
                let changes = report["changes"].as_array().unwrap().iter();
                let locations = changes.filter(|change| change["rule"] == "recompressed");
                let locations = locations.map(|change| change["location"].to_string());
                locations.collect()
            };
            assert_eq!(rules(&dry), rules(&run), "{name}");
            assert!(
                !rules(&run).iter().any(|at| at.contains("layers[1]")),
                "{name}"
            );
            // The output is no reason to fix it again.
            let dry = [options, &["--dry-run"]].concat();
            sandbox.fix_with("other.tar", "third.tar", &dry).exits(0);
        }
        // These engines unpack layers, and no fix makes this one a tar.
        for engine in ["docker@20.10", "docker@26.1", "containerd@1.7"] {
            let options = ["--for", engine];
            let name = format!("{name}, {engine}");
            let part = ["would not load the output"];
            fails_with(&name, &bytes, &options, "engine-refuses", &part);
        }
    }
}

#[test]
fn a_layer_that_is_compressed_twice_for_no_diff_id_is_refused() {
    let plain = layer_tar("content");
    let layer = Layer::new(OCI_GZIP, gzip(&gzip(&plain)), b"neither");
    let bytes = with(layer.clone());
    for to in ["gzip", "zstd"] {
        let options = ["--compression", to];
        fails_with(to, &bytes, &options, "diff-id-mismatch", &["layers[1]"]);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let options = [&options[..], &["--dry-run", "--verify", "digests"]].concat();
        let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(1);
        assert_eq!(run.json()["error"]["code"], "diff-id-mismatch");
    }
    // In a Docker archive the diff ID is the only proof.
    let mut saved = Saved::new();
    let image = Image::oci(vec![Layer::new(OCI_GZIP, gzip(&gzip(&plain)), &plain)]);
    saved.named(
        &image,
        "config.json",
        &["layer.tar"],
        serde_json::json!(["app:v1"]),
    );
    fails_with("docker", &saved.tar(), &[], "diff-id-mismatch", &[]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", saved.tar());
    let options = ["--compression", "gzip"];
    sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    check_output(&sandbox.path("out.tar"));
    let contents = Contents::read(&sandbox.path("out.tar"));
    assert_eq!(contents.manifests().len(), 1);
}

/// What is inside has limits of its own.
#[test]
fn a_layer_that_is_compressed_twice_is_decompressed_within_limits() {
    let large = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    for (name, inner) in [("gzip", gzip(&large)), ("zstd", zstd(&large))] {
        let layer = Layer::new(OCI_ZSTD, zstd(&inner), &large);
        let bytes = with(layer);
        let options = ["--compression", "gzip"];
        fails_with(name, &bytes, &options, "diff-id-mismatch", &[]);
        let options = [&options[..], &["--max-ratio", "1000000"]].concat();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    }
}
