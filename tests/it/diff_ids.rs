//! Diff IDs as proofs: of layers whose digest cannot be verified or is not stated, of the order of layers, and diff
//! IDs that no layer can have.

use serde_json::{Value, json};

use crate::common::archive::Entry;
use crate::common::batch::{batch, put};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, digest_of, gzip, layer_tar,
    named, right_image, zstd,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::{expect, fails_with};
use crate::common::judged::{finding, findings, written};
use crate::common::runner::Sandbox;
use crate::common::sha256;
use crate::verify::{counts, every_stream, every_way, saved, succeeded};

const NAME: &str = "docker.io/library/app:v1";

/// An image whose last layer has a digest of another algorithm, with `manifest.json`.
fn with_other_digest(layers: &[Layer], algorithm: &str) -> Layout {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::oci(layers.to_vec()));
    let last = &mut manifest["layers"][layers.len() - 1];
    let bytes = layout.blobs.remove(&blob_name(&digest_of(last))).unwrap();
    let digest = format!("{algorithm}:{}", "ab".repeat(32));
    layout.blobs.insert(blob_name(&digest), bytes);
    last["digest"] = json!(digest);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    layout.docker(&manifest, &["app:v1"]);
    layout
}

fn layers() -> [(Layer, &'static str); 3] {
    [
        (Layer::gzip(OCI_GZIP, "b"), "decompresses to"),
        (Layer::zstd(OCI_ZSTD, "b"), "decompresses to"),
        (Layer::plain(OCI_TAR, "b"), "has the digest"),
    ]
}

#[test]
fn a_layer_whose_digest_cannot_be_verified_is_verified_against_its_diff_id() {
    for ((layer, _), algorithm) in layers().into_iter().zip(["blake3", "sha1", "blake3"]) {
        let first = Layer::gzip(OCI_GZIP, "a");
        let bytes = with_other_digest(&[first, layer], algorithm).tar();
        for (level, expected) in [
            ("documents", ([1, 1, 0, 0, 0], [0, 2, 0])),
            ("digests", ([1, 1, 2, 1, 0], [0, 0, 0])),
            ("full", ([1, 1, 2, 2, 0], [0, 0, 0])),
        ] {
            let check = |name: &str, report: &Value| {
                let message = finding(report, "unverified-digest")["message"].to_string();
                let what = "verified against their diff IDs instead";
                assert!(message.contains(what), "{message}");
                // A dry run does nothing more at this level.
                if level != "documents" || !name.contains("--dry-run") {
                    assert_eq!(counts(report), expected, "{level}, {name}");
                }
            };
            for (name, run) in every_way(&bytes, level) {
                check(&name, &succeeded(&name, &run));
            }
            for (name, code, report) in every_stream(&bytes, level) {
                assert_eq!(code, 0, "{level}, {name}");
                check(&name, &report);
            }
        }
    }
}

#[test]
fn a_layer_whose_digest_cannot_be_verified_is_refused_if_its_diff_id_is_wrong() {
    for (mut layer, words) in layers() {
        let found = layer.diff_id.clone();
        layer.diff_id = format!("sha256:{}", sha256(&layer_tar("other")));
        let layout = with_other_digest(&[Layer::gzip(OCI_GZIP, "a"), layer.clone()], "blake3");
        let bytes = layout.tar();
        let part = ["layers[1]", words, &found, "diff ID", &layer.diff_id];
        for level in ["digests", "full"] {
            for (name, run) in every_way(&bytes, level) {
                expect(&name, &run, "diff-id-mismatch", &part);
            }
            for (name, code, report) in every_stream(&bytes, level) {
                assert_eq!(code, 1, "{name}");
                assert_eq!(report["error"]["code"], "diff-id-mismatch", "{name}");
            }
        }
        // The default of a new file.
        fails_with("default", &bytes, &[], "diff-id-mismatch", &part);
        for (name, run) in every_way(&bytes, "documents") {
            let report = succeeded(&name, &run);
            if !name.contains("--dry-run") {
                let expected = ([1, 1, 0, 0, 0], [0, 2, 0]);
                assert_eq!(counts(&report), expected, "{name}");
            }
        }
        let sandbox = Sandbox::new();
        put(&sandbox, "in/app.tar", &bytes);
        layout.write_to(&sandbox.path("in/layout"));
        let end = batch(&sandbox, &["in", "-o", "out"]);
        end.exits(1);
        assert!(end.ends().values().all(|end| *end == "diff-id-mismatch"));
        assert!(!sandbox.path("out/app.tar").exists());
    }
}

/// Of these, nothing proves the bytes.
#[test]
fn a_layer_without_any_proof_does_not_count_as_verified() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let mut of_sha512 = Layer::gzip(OCI_GZIP, "a");
    of_sha512.diff_id = format!("sha512:{}", "0".repeat(128));
    for layer in [Layer::gzip(foreign, "a"), of_sha512.clone()] {
        let bytes = with_other_digest(std::slice::from_ref(&layer), "blake3").tar();
        for level in ["digests", "full"] {
            let report = written(&bytes, &["--verify", level]).report;
            let expected = ([1, 1, 0, 0, 0], [0, 1, 0]);
            assert_eq!(counts(&report), expected, "{layer:?}");
            let message = finding(&report, "unverified-digest")["message"].to_string();
            assert!(message.contains("copied as it is"), "{message}");
            assert!(!message.contains("diff ID"), "{message}");
        }
    }
    // One image may prove what another does not.
    let layer = Layer::gzip(OCI_GZIP, "a");
    let other = of_sha512;
    let digest = format!("blake3:{}", "ab".repeat(32));
    for images in [[layer.clone(), other.clone()], [other, layer]] {
        let mut layout = Layout::new();
        let named = images.iter().enumerate().map(|(number, layer)| {
            let mut manifest = layout.manifest(&Image::oci(vec![layer.clone()]));
            manifest["layers"][0]["digest"] = json!(digest);
            let descriptor = layout.document(OCI_MANIFEST, &manifest);
            named(descriptor, &format!("docker.io/library/app:{number}"))
        });
        let named: Vec<Value> = named.collect();
        let sha256 = format!("blobs/sha256/{}", sha256(&images[0].bytes));
        let bytes = layout.blobs.remove(&sha256).unwrap();
        layout.blobs.insert(blob_name(&digest), bytes);
        layout.root(named);
        let report = written(&layout.tar(), &[]).report;
        assert_eq!(counts(&report), ([2, 2, 1, 1, 0], [0, 0, 0]));
    }
}

/// A Docker archive of two layers in the wrong order, whose files have these names.
fn swapped(names: [&str; 2], links: bool) -> Vec<u8> {
    let [first, second] = [
        Layer::gzip(OCI_GZIP, "first"),
        Layer::zstd(OCI_ZSTD, "second"),
    ];
    let (mut one, mut two) = (second.clone(), first.clone());
    one.diff_id = first.diff_id;
    two.diff_id = second.diff_id;
    let mut saved = saved(&[one, two], &names);
    if links {
        let entries = saved.entries.clone();
        for (number, entry) in entries.iter().enumerate().skip(1) {
            let name = String::from_utf8(entry.name.clone()).unwrap();
            saved.entries[number].name = format!("files/{number}").into_bytes();
            saved
                .entries
                .push(Entry::link(name, b'2', &format!("../files/{number}")));
        }
    }
    saved.tar()
}

#[test]
fn the_order_of_layers_without_a_digest_is_verified() {
    let [first, second] = [
        Layer::gzip(OCI_GZIP, "first"),
        Layer::zstd(OCI_ZSTD, "second"),
    ];
    let hex = |text: &str| text.strip_prefix("sha256:").unwrap().to_owned();
    let diff_ids = [hex(&first.diff_id), hex(&second.diff_id)];
    for (names, links) in [
        (["a.tar.gz".to_owned(), "b.tar.gz".to_owned()], false),
        (["a/layer.tar".to_owned(), "b/layer.tar".to_owned()], false),
        (["a/layer.tar".to_owned(), "b/layer.tar".to_owned()], true),
        // Other writers than Jib put the diff ID there.
        (diff_ids.clone().map(|hex| format!("{hex}.tar.gz")), false),
        (diff_ids.map(|hex| format!("{hex}.tar")), false),
        (
            [&second, &first].map(|layer| format!("sha256:{}", sha256(&layer.bytes))),
            false,
        ),
    ] {
        let bytes = swapped([&names[0], &names[1]], links);
        let parts = [
            "Layers[0]",
            "which is the diff ID of manifest.json[0], Layers[1]",
        ];
        for options in [
            &[][..],
            &["--verify", "full"],
            &["--lenient"],
            &["--compression", "gzip"],
        ] {
            let parts = match options.contains(&"--compression") {
                true => &parts[..1],
                false => &parts[..],
            };
            fails_with(&names[0], &bytes, options, "diff-id-mismatch", parts);
        }
        let sandbox = Sandbox::new();
        put(&sandbox, "in/app.tar", &bytes);
        put(&sandbox, "in/app.tar.gz", gzip(&bytes));
        for more in [&["-o", "out"][..], &["--dry-run", "--verify", "digests"]] {
            let end = batch(&sandbox, &[&["in"], more].concat());
            end.exits(1);
            assert!(end.ends().values().all(|end| *end == "diff-id-mismatch"));
        }
        assert!(!sandbox.path("out/app.tar").exists());
    }
}

/// Names such as Jib's and crane's state the digests, so the bytes are verified without decompressing them. Their
/// order is then as little verified as that of a manifest.
#[test]
fn the_order_of_layers_named_by_digest_is_verified_at_the_level_full() {
    let [first, second] = [
        Layer::gzip(OCI_GZIP, "first"),
        Layer::zstd(OCI_ZSTD, "second"),
    ];
    let names = [&second, &first].map(|layer| format!("{}.tar.gz", sha256(&layer.bytes)));
    let bytes = swapped([&names[0], &names[1]], false);
    let report = written(&bytes, &[]).report;
    assert_eq!(counts(&report), ([1, 1, 2, 0, 0], [0, 0, 0]));
    let parts = ["which is the diff ID of manifest.json[0], Layers[1]"];
    let full = ["--verify", "full"];
    fails_with("full", &bytes, &full, "diff-id-mismatch", &parts);
}

fn with_digest_as_diff_id(mut layer: Layer) -> Layer {
    layer.diff_id = format!("sha256:{}", sha256(&layer.bytes));
    layer
}

#[test]
fn a_diff_id_that_is_the_digest_of_compressed_bytes_is_reported() {
    let plain = layer_tar("b");
    for layer in [
        Layer::gzip(OCI_GZIP, "b"),
        Layer::zstd(OCI_ZSTD, "b"),
        // Whatever the type says.
        Layer::new(OCI_TAR, gzip(&plain), &plain),
        Layer::new(OCI_ZSTD, gzip(&plain), &plain),
    ] {
        let image = Image::oci(vec![
            Layer::gzip(OCI_GZIP, "a"),
            with_digest_as_diff_id(layer.clone()),
        ]);
        let mut layout = Layout::of(&image, NAME);
        let manifest = layout.manifest(&image);
        layout.docker(&manifest, &["app:v1"]);
        let bytes = layout.tar();
        let check = |name: &str, report: &Value| {
            let found = finding(report, "compressed-diff-id");
            assert_eq!(found["severity"], "breaks", "{name}");
            assert_eq!(found["location"], "index.json, manifests[0], layers[1]");
            let message = found["message"].as_str().unwrap();
            assert!(message.starts_with("1 layer has a diff ID"), "{message}");
            assert!(found["hint"].as_str().unwrap().contains("build"), "{found}");
        };
        for level in ["documents", "digests"] {
            for (name, run) in every_way(&bytes, level) {
                check(&name, &succeeded(&name, &run));
            }
            for (name, code, report) in every_stream(&bytes, level) {
                assert!(code == 0 || code == 3, "{name}");
                check(&name, &report);
            }
        }
        let sandbox = Sandbox::new();
        put(&sandbox, "in/app.tar", &bytes);
        for more in [&["--dry-run"][..], &["-o", "out"], &["--in-place"]] {
            let end = batch(&sandbox, &[&["in"], more].concat());
            end.exits(if end.run.code == 3 { 3 } else { 0 });
            check("batch", &end.items["in/app.tar"]);
        }
        // It is not to be had with another compression either.
        for to in ["gzip", "zstd", "uncompressed"] {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let run = sandbox.fix_with("in.tar", "out.tar", &["--compression", to]);
            let is_kept = run.code == 0;
            if !is_kept {
                expect(to, &run, "diff-id-mismatch", &["layers[1]"]);
            }
        }
    }
    // A plain layer has its digest as its diff ID.
    let image = Image::oci(vec![Layer::plain(OCI_TAR, "a"), Layer::gzip(OCI_GZIP, "b")]);
    let report = written(&Layout::of(&image, NAME).tar(), &[]).report;
    assert!(!findings(&report).contains(&"compressed-diff-id"));
}

/// docker would stop at the first image that it cannot load.
#[test]
fn an_image_that_docker_cannot_unpack_is_not_described_beside_others() {
    let plain = layer_tar("b");
    for (rule, layer) in [
        (
            "compressed-diff-id",
            with_digest_as_diff_id(Layer::gzip(OCI_GZIP, "b")),
        ),
        (
            "layer-not-tar",
            Layer::new(OCI_GZIP, gzip(&gzip(&plain)), &gzip(&plain)),
        ),
        (
            "layer-not-tar",
            Layer::new(OCI_ZSTD, zstd(b"text"), b"text"),
        ),
    ] {
        for has_docker in [true, false] {
            let mut layout = Layout::new();
            let wrong = Image::oci(vec![layer.clone()]);
            let (wrong, right) = (layout.manifest(&wrong), layout.manifest(&right_image()));
            let items = json!([
                crate::common::builder::docker_item(&wrong, &["wrong:1"]),
                crate::common::builder::docker_item(&right, &["right:1"]),
            ]);
            layout.docker_manifest = has_docker.then(|| items.to_string().into_bytes());
            let entries = [(wrong, "wrong"), (right, "right")].map(|(manifest, name)| {
                let descriptor = layout.document(OCI_MANIFEST, &manifest);
                named(descriptor, &format!("docker.io/library/{name}:1"))
            });
            layout.root(entries.to_vec());
            let found = written(&layout.tar(), &[]);
            assert!(findings(&found.report).contains(&rule));
            assert_eq!(tags(&found.contents), ["right:1"]);
            assert_eq!(found.report["images"].as_array().unwrap().len(), 2);
            assert!(found.report["images"][0]["config_digest"].is_string());
            let changes = found.report["changes"].as_array().unwrap();
            let change = changes
                .iter()
                .find(|change| change["rule"] == "docker-manifest");
            let change = change.unwrap();
            let after = match has_docker {
                true => "1 image, without what docker cannot load",
                false => "1 image",
            };
            assert_eq!(
                (&change["after"], &change["severity"]),
                (&json!(after), &json!("breaks"))
            );
            // Alone, it is described: another reader may need it.
            let found = written(&layout.tar(), &["--image", "wrong:1"]);
            assert_eq!(tags(&found.contents), ["wrong:1"]);
        }
    }
}

/// All names in `manifest.json`.
fn tags(contents: &Contents) -> Vec<String> {
    let items = contents.json("manifest.json");
    let items = items.as_array().unwrap().iter();
    let tags = items.flat_map(|item| item["RepoTags"].as_array().unwrap().clone());
    tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
}
