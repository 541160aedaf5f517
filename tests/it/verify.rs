//! The levels of `--verify`: what each of them verifies, with every kind of output, and what the report says of it.

use std::fs;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_TAR, OCI_ZSTD, gzip, layer_tar, named, zstd,
};
use crate::common::checker::check_output;
use crate::common::contents::Contents;
use crate::common::failure::{expect, fails_with};
use crate::common::judged::{fixed, fixed_path, written};
use crate::common::piped::{pipe, stream};
use crate::common::placed;
use crate::common::runner::{Run, Sandbox};
use crate::common::saved::{Saved, parts};
use crate::common::schema::parse_report;
use crate::common::{fixture, fixtures, sha256};

const NAME: &str = "docker.io/library/app:v1";
const FULL: [&str; 2] = ["--verify", "full"];

/// A layer whose content is another tar than its diff ID says.
fn other_content(media_type: &str, compress: fn(&[u8]) -> Vec<u8>) -> Layer {
    Layer::new(
        media_type,
        compress(&layer_tar("other")),
        &layer_tar("this"),
    )
}

fn layout(layers: Vec<Layer>) -> Layout {
    let mut layout = Layout::of(&Image::oci(layers.clone()), NAME);
    let manifest = layout.manifest(&Image::oci(layers));
    layout.docker(&manifest, &["app:v1"]);
    layout
}

/// The counts of a report: documents, configs, layers, diff IDs, others; configs, layers, others.
pub(crate) fn counts(report: &Value) -> ([u64; 5], [u64; 3]) {
    let blobs = &report["blobs"];
    let count = |what: &str, key: &str| blobs[what][key].as_u64().unwrap();
    let verified =
        ["documents", "configs", "layers", "diff_ids", "others"].map(|key| count("verified", key));
    let unverified = ["configs", "layers", "others"].map(|key| count("unverified", key));
    let all: u64 = verified.iter().chain(&unverified).sum();
    assert_eq!(all - verified[3], blobs["count"].as_u64().unwrap());
    (verified, unverified)
}

/// Every way to use an archive at a level. The first of each pair says whether the way writes something.
pub(crate) fn every_way(bytes: &[u8], level: &str) -> Vec<(String, Run)> {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    sandbox.put("in.tar.gz", gzip(bytes));
    fs::create_dir(sandbox.path("in")).unwrap();
    for (name, bytes) in &Contents::from_tar(bytes).files {
        let path = sandbox.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut runs = Vec::new();
    for jobs in ["1", "4"] {
        for input in ["in.tar", "in.tar.gz", "in"] {
            for output in ["out.tar", "out.tar.gz", "out.tar.zst", "out/"] {
                for more in [&[][..], &["--dry-run"], &["--link", "hard"]] {
                    let are_layouts = input == "in" && output == "out/";
                    if more == ["--link", "hard"] && !are_layouts {
                        continue;
                    }
                    let options = [&["--verify", level, "--jobs", jobs], more].concat();
                    let run = sandbox.fix_with(input, output, &options);
                    let name = format!("{input} to {output} with {options:?}");
                    let _ = fs::remove_dir_all(sandbox.path("out"));
                    for output in ["out.tar", "out.tar.gz", "out.tar.zst"] {
                        let _ = fs::remove_file(sandbox.path(output));
                    }
                    assert_eq!(sandbox.names(), ["in", "in.tar", "in.tar.gz"], "{name}");
                    runs.push((name, run));
                }
            }
        }
        for more in [&[][..], &["--dry-run"]] {
            let options = [&["--verify", level, "--jobs", jobs], more].concat();
            let run = placed::fix(&sandbox, "in.tar", &options);
            runs.push((format!("in place with {options:?}"), run));
            sandbox.put("in.tar", bytes);
        }
    }
    runs
}

/// The same for streams: exit code and report.
pub(crate) fn every_stream(bytes: &[u8], level: &str) -> Vec<(String, i32, Value)> {
    let mut runs = Vec::new();
    for jobs in ["1", "4"] {
        for more in [&[][..], &["--dry-run"], &["--attestations", "drop"]] {
            let options = [&["--verify", level, "--jobs", jobs], more].concat();
            let sandbox = Sandbox::new();
            let mut command = sandbox.command();
            command
                .args(["fix", "-", "--format", "json"])
                .args(&options);
            let piped = pipe(&mut command, bytes);
            let report = match more.contains(&"--dry-run") {
                true => parse_report(std::str::from_utf8(&piped.out).unwrap()),
                false => piped.json(),
            };
            runs.push((format!("a stream with {options:?}"), piped.code, report));
        }
    }
    runs
}

/// The report of a run that found no damage; a dry run may have something to fix.
#[track_caller]
pub(crate) fn succeeded(name: &str, run: &Run) -> Value {
    let codes: &[i32] = match name.contains("--dry-run") {
        true => &[0, 3],
        false => &[0],
    };
    assert!(codes.contains(&run.code), "{name}: {run:#?}");
    run.json()
}

#[test]
fn a_diff_id_that_is_wrong_is_found_at_the_level_full() {
    let right = [
        Layer::plain(OCI_TAR, "plain"),
        Layer::gzip(OCI_GZIP, "gzip"),
        Layer::zstd(OCI_ZSTD, "zstd"),
    ];
    for wrong in [other_content(OCI_GZIP, gzip), other_content(OCI_ZSTD, zstd)] {
        let mut layers = right.to_vec();
        layers.push(wrong.clone());
        let bytes = layout(layers).tar();
        let found = format!("sha256:{}", sha256(&layer_tar("other")));
        let part = [
            "layers[3] decompresses to",
            &found,
            "but the config's diff ID is",
            &wrong.diff_id,
        ];
        for (name, run) in every_way(&bytes, "full") {
            expect(&name, &run, "diff-id-mismatch", &part);
        }
        for (name, code, report) in every_stream(&bytes, "full") {
            assert_eq!(code, 1, "{name}");
            assert_eq!(report["error"]["code"], "diff-id-mismatch", "{name}");
            let message = report["error"]["message"].as_str().unwrap();
            assert!(part.iter().all(|part| message.contains(part)), "{message}");
        }
        fails_with("full", &bytes, &FULL, "diff-id-mismatch", &part);
        // Every digest is right.
        for (name, run) in every_way(&bytes, "digests") {
            let expected = ([1, 1, 4, 1, 0], [0, 0, 0]);
            assert_eq!(counts(&succeeded(&name, &run)), expected, "{name}");
        }
        for (name, code, report) in every_stream(&bytes, "digests") {
            assert_eq!(
                (code, counts(&report)),
                (0, ([1, 1, 4, 1, 0], [0, 0, 0])),
                "{name}"
            );
        }
    }
    let bytes = layout(right.to_vec()).tar();
    for (name, run) in every_way(&bytes, "full") {
        let expected = ([1, 1, 3, 3, 0], [0, 0, 0]);
        assert_eq!(counts(&succeeded(&name, &run)), expected, "{name}");
    }
    for (name, code, report) in every_stream(&bytes, "full") {
        assert_eq!(
            (code, counts(&report)),
            (0, ([1, 1, 3, 3, 0], [0, 0, 0])),
            "{name}"
        );
    }
}

/// Some tools write the digest of the compressed layer where its diff ID belongs.
#[test]
fn the_digest_of_a_compressed_layer_does_not_prove_its_diff_id() {
    for mut layer in [Layer::gzip(OCI_GZIP, "a"), Layer::zstd(OCI_ZSTD, "a")] {
        layer.diff_id = format!("sha256:{}", sha256(&layer.bytes));
        let found = format!("sha256:{}", sha256(&layer_tar("a")));
        let part = ["decompresses to", &found];
        let bytes = layout(vec![layer.clone()]).tar();
        for (name, run) in every_way(&bytes, "full") {
            expect(&name, &run, "diff-id-mismatch", &part);
        }
        for (name, code, report) in every_stream(&bytes, "full") {
            assert_eq!(code, 1, "{name}");
            assert_eq!(report["error"]["code"], "diff-id-mismatch", "{name}");
        }
        fails_with("full", &bytes, &FULL, "diff-id-mismatch", &part);
        for (name, run) in every_way(&bytes, "digests") {
            let expected = ([1, 1, 1, 0, 0], [0, 0, 0]);
            assert_eq!(counts(&succeeded(&name, &run)), expected, "{name}");
        }
        // Nothing else proves the layer of a Docker archive.
        let bytes = saved(&[layer], &["layer.tar"]).tar();
        fails_with("Docker archive", &bytes, &[], "diff-id-mismatch", &part);
    }
}

#[test]
fn layers_in_the_wrong_order_are_found_at_the_level_full() {
    let layers = [
        Layer::gzip(OCI_GZIP, "first"),
        Layer::zstd(OCI_ZSTD, "second"),
    ];
    let mut swapped = layers.to_vec();
    swapped[0].diff_id.clone_from(&layers[1].diff_id);
    swapped[1].diff_id.clone_from(&layers[0].diff_id);
    let bytes = layout(swapped).tar();
    written(&bytes, &[]);
    let parts = ["which is the diff ID of index.json, manifests[0], layers["];
    fails_with("order", &bytes, &FULL, "diff-id-mismatch", &parts);
    let piped = stream(&bytes, &FULL).json();
    let message = piped["error"]["message"].as_str().unwrap();
    assert!(message.contains(parts[0]), "{message}");
}

#[test]
fn images_that_disagree_about_a_layer_are_found_at_the_level_full() {
    let layer = Layer::gzip(OCI_GZIP, "shared");
    let mut other = layer.clone();
    other.diff_id = format!("sha256:{}", sha256(b"other"));
    for layers in [[layer.clone(), other.clone()], [other, layer]] {
        let mut layout = Layout::new();
        let images = layers.map(|layer| layout.image(&Image::oci(vec![layer])));
        let [first, second] = images;
        layout.root(vec![named(first, "one:1"), named(second, "two:1")]);
        fails_with("two", &layout.tar(), &FULL, "diff-id-mismatch", &[]);
    }
}

#[test]
fn damage_is_found_at_the_level_digests_and_on_a_dry_run() {
    let layers = vec![Layer::gzip(OCI_GZIP, "a"), Layer::plain(OCI_TAR, "b")];
    for (number, layer) in layers.iter().enumerate() {
        let mut layout = layout(layers.clone());
        let name = format!("blobs/sha256/{}", sha256(&layer.bytes));
        let blob = layout.blobs.get_mut(&name).unwrap();
        let last = blob.len() - 1;
        blob[last] ^= 1;
        let bytes = layout.tar();
        for level in ["digests", "full"] {
            for (way, run) in every_way(&bytes, level) {
                expect(&way, &run, "digest-mismatch", &[&name]);
            }
            for (way, code, report) in every_stream(&bytes, level) {
                assert_eq!(code, 1, "{way}");
                assert_eq!(report["error"]["code"], "digest-mismatch", "{way}");
            }
        }
        for (way, run) in every_way(&bytes, "documents") {
            let report = succeeded(&format!("{number}, {way}"), &run);
            let expected = match way.contains("--dry-run") {
                // Nothing was asked for that a dry run does not do anyway.
                true => ([0; 5], [0; 3]),
                false => ([1, 1, 0, 0, 0], [0, 2, 0]),
            };
            assert_eq!(counts(&report), expected, "{way}");
        }
        // A dry run verifies documents unless it is asked for more.
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        sandbox.ocify(&["fix", "in.tar", "--dry-run"]).exits(0);
        stream(&bytes, &["--dry-run"]).exits(0);
        let run = sandbox.ocify(&["fix", "in.tar", "--dry-run", "--verify", "full"]);
        assert!(run.exits(1).stderr.contains(&name));
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}

#[test]
fn a_batch_verifies_at_the_same_levels() {
    let right = layout(vec![Layer::gzip(OCI_GZIP, "a")]).tar();
    let wrong = layout(vec![other_content(OCI_GZIP, gzip)]).tar();
    for more in [&["--dry-run"][..], &["-o", "out"], &["--in-place"]] {
        let sandbox = Sandbox::new();
        put(&sandbox, "in/right.tar", &right);
        put(&sandbox, "in/wrong.tar", &wrong);
        let end = batch(&sandbox, &[&["in", "--verify", "full"], more].concat());
        end.exits(1);
        let ends = end.ends();
        assert_eq!(ends["in/wrong.tar"], "diff-id-mismatch", "{more:?}");
        assert_eq!(ends["in/right.tar"], "unchanged", "{more:?}");
        let report = &end.items["in/right.tar"];
        assert_eq!(counts(report), ([1, 1, 1, 1, 0], [0, 0, 0]), "{more:?}");
        assert!(!sandbox.path("out/wrong.tar").exists());
        assert_eq!(sandbox.read("in/wrong.tar"), wrong);
    }
}

/// A Docker archive whose compressed layers have names without a digest, so that the diff ID is the only proof
/// of their bytes.
pub(crate) fn saved(layers: &[Layer], names: &[&str]) -> Saved {
    let mut saved = Saved::new();
    let image = Image::oci(layers.to_vec());
    let config = format!("{}.json", sha256(image.config().to_string().as_bytes()));
    saved.named(&image, &config, names, json!(["app:v1"]));
    saved
}

#[test]
fn a_layer_without_a_digest_is_verified_against_its_diff_id() {
    let right = Layer::gzip(OCI_GZIP, "right");
    for (wrong, name) in [
        (other_content(OCI_GZIP, gzip), "b/layer.tar"),
        (other_content(OCI_ZSTD, zstd), "second"),
        (other_content(OCI_GZIP, gzip), "other.tar.gz"),
    ] {
        let saved = saved(&[right.clone(), wrong], &["a/layer.tar", name]);
        let bytes = saved.tar();
        let parts = ["Layers[1] decompresses to"];
        for options in [
            &[][..],
            &FULL,
            &["--verify", "digests"],
            &["--jobs", "1"],
            &["--compression", "zstd"],
            &["--lenient"],
        ] {
            fails_with(name, &bytes, options, "diff-id-mismatch", &parts);
        }
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        for level in ["digests", "full"] {
            let options = ["--dry-run", "--verify", level];
            let run = sandbox.fix_with("in.tar", "out.tar", &options);
            expect(name, &run, "diff-id-mismatch", &parts);
        }
        sandbox
            .fix_with("in.tar", "out.tar", &["--dry-run"])
            .exits(3);
        // Only then is it not looked at, and not called verified.
        let run = sandbox.fix_with("in.tar", "out.tar", &["--verify", "documents"]);
        let report = run.exits(0).json();
        assert_eq!(counts(&report), ([1, 1, 0, 0, 0], [0, 2, 0]));
    }
}

#[test]
fn a_damaged_layer_without_a_digest_is_refused() {
    let right = Layer::gzip(OCI_GZIP, "right");
    let half = right.bytes.len() / 2;
    for (name, at) in [("middle", half), ("checksum", right.bytes.len() - 6)] {
        let mut damaged = right.clone();
        damaged.bytes[at] ^= 0x55;
        let bytes = saved(&[damaged], &["layer.tar"]).tar();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let code = run.json()["error"]["code"].clone();
        let codes = ["damaged-layer", "diff-id-mismatch"];
        assert!(codes.contains(&code.as_str().unwrap()), "{name}: {code}");
        assert_eq!(sandbox.names(), ["in.tar"], "{name}");
    }
    let mut cut = right;
    cut.bytes.truncate(half);
    let bytes = saved(&[cut], &["layer.tar"]).tar();
    fails_with("cut", &bytes, &[], "damaged-layer", &["Layers[0]"]);
}

#[test]
fn exactly_the_layers_without_a_digest_are_decompressed() {
    let layers = [
        Layer::plain(OCI_TAR, "plain"),
        Layer::gzip(OCI_GZIP, "gzip"),
        Layer::zstd(OCI_ZSTD, "zstd"),
    ];
    let hex = |layer: &Layer| sha256(&layer.bytes);
    // Names that say nothing.
    let names = ["a/layer.tar", "b/layer.tar", "c/layer.tar"];
    let report = fixed(&saved(&layers, &names).tar(), &[]).report;
    assert_eq!(counts(&report), ([1, 1, 3, 3, 0], [0, 0, 0]));
    // The name of a compressed layer states its digest, as crane writes it.
    let crane = format!("{}.tar.gz", hex(&layers[1]));
    let names = ["a/layer.tar", crane.as_str(), "c/layer.tar"];
    let report = fixed(&saved(&layers, &names).tar(), &[]).report;
    assert_eq!(counts(&report), ([1, 1, 3, 2, 0], [0, 0, 0]));
    let report = fixed(&saved(&layers, &names).tar(), &FULL).report;
    assert_eq!(counts(&report), ([1, 1, 3, 3, 0], [0, 0, 0]));
    // So does the name of a blob.
    let blob = format!("blobs/sha256/{}", hex(&layers[1]));
    let names = ["a/layer.tar", blob.as_str(), "c/layer.tar"];
    let report = fixed(&saved(&layers, &names).tar(), &[]).report;
    assert_eq!(counts(&report), ([1, 1, 3, 2, 0], [0, 0, 0]));
    // The same file for two images, and one file under two names.
    let mut twice = saved(&layers, &["a", "b", "c"]);
    let other = Image::oci(vec![layers[1].clone(), layers[2].clone()]);
    twice.file("other.json", other.config().to_string());
    twice.entries.push(Entry::link("d", b'2', "c"));
    twice.item("other.json", &["b", "d"], json!(["other:v1"]));
    let report = fixed(&twice.tar(), &[]).report;
    // Nothing states the digest of the second config.
    assert_eq!(counts(&report), ([2, 1, 3, 3, 0], [1, 0, 0]));
}

#[test]
fn a_digest_that_another_document_states_is_enough() {
    // A manifest in index.json refers to the layer, whose file has another name.
    let layer = Layer::gzip(OCI_GZIP, "a");
    let mut layout = layout(vec![layer.clone()]);
    let name = format!("blobs/sha256/{}", sha256(&layer.bytes));
    layout.blobs.remove(&name);
    let mut items: Value =
        serde_json::from_slice(layout.docker_manifest.as_ref().unwrap()).unwrap();
    items[0]["Layers"][0] = json!("layer.tar");
    layout.docker_manifest = Some(items.to_string().into_bytes());
    layout.more.push(Entry::file("layer.tar", &layer.bytes));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    assert_eq!(counts(&report), ([1, 1, 1, 0, 0], [0, 0, 0]));
    check_output(&sandbox.path("out.tar"));
}

#[test]
fn every_class_of_blob_is_counted() {
    let mut layout = Layout::new();
    let plain = layer_tar("plain");
    let layers = vec![
        Layer::plain(OCI_TAR, "plain"),
        Layer::gzip(OCI_GZIP, "gzip"),
        Layer::new("application/vnd.erofs.layer.v1", b"erofs".to_vec(), b"x"),
        Layer::new(
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            b"encrypted".to_vec(),
            b"y",
        ),
        Layer::new("application/x.unknown", gzip(&plain), b"z"),
        Layer::new(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            gzip(&layer_tar("foreign")),
            b"not its diff ID",
        ),
    ];
    let image = layout.image(&Image::oci(layers));
    let index = layout.index_of(OCI_INDEX, vec![image]);
    layout.blob("", "nothing refers to this");
    layout.root(vec![named(index, NAME)]);
    let bytes = layout.tar();
    for (level, expected) in [
        ("documents", ([2, 1, 0, 0, 0], [0, 6, 1])),
        ("digests", ([2, 1, 6, 1, 1], [0, 0, 0])),
        ("full", ([2, 1, 6, 2, 1], [0, 0, 0])),
    ] {
        let report = written(&bytes, &["--verify", level]).report;
        assert_eq!(counts(&report), expected, "{level}");
    }
}

#[test]
fn recompressed_layers_are_verified_at_every_level() {
    let layers = vec![Layer::plain(OCI_TAR, "a"), Layer::gzip(OCI_GZIP, "b")];
    let bytes = layout(layers).tar();
    for (level, expected) in [
        ("documents", ([1, 1, 1, 1, 0], [0, 1, 0])),
        ("digests", ([1, 1, 2, 1, 0], [0, 0, 0])),
        ("full", ([1, 1, 2, 2, 0], [0, 0, 0])),
    ] {
        let options = ["--compression", "gzip", "--verify", level];
        let report = fixed(&bytes, &options).report;
        assert_eq!(counts(&report), expected, "{level}");
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    for (to, expected) in [
        ("gzip", ([1, 1, 2, 1, 0], [0, 0, 0])),
        ("zstd", ([1, 1, 2, 2, 0], [0, 0, 0])),
    ] {
        let options = ["--compression", to, "--dry-run", "--verify", "digests"];
        let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(3);
        assert_eq!(counts(&run.json()), expected, "{to}");
    }
    // A dry run finds what recompressing would find.
    let wrong = layout(vec![other_content(OCI_GZIP, gzip)]).tar();
    sandbox.put("in.tar", wrong);
    let options = ["--compression", "zstd", "--dry-run", "--verify", "digests"];
    let run = sandbox.fix_with("in.tar", "out.tar", &options);
    expect("dry run", &run, "diff-id-mismatch", &["layers[0]"]);
}

#[test]
fn damage_in_what_is_left_out_does_not_matter() {
    let mut layout = Layout::new();
    let right = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "right")]));
    let wrong = layout.image(&Image::oci(vec![other_content(OCI_GZIP, gzip)]));
    let damaged = Layer::gzip(OCI_GZIP, "damaged");
    let image = layout.image(&Image::oci(vec![damaged.clone()]));
    layout.root(vec![
        named(right, "docker.io/library/right:1"),
        named(wrong, "docker.io/library/wrong:1"),
        named(image, "docker.io/library/damaged:1"),
    ]);
    let name = format!("blobs/sha256/{}", sha256(&damaged.bytes));
    layout.blobs.get_mut(&name).unwrap()[20] ^= 1;
    let bytes = layout.tar();
    for (image, code) in [
        ("right:1", None),
        ("wrong:1", Some("diff-id-mismatch")),
        ("damaged:1", Some("digest-mismatch")),
    ] {
        let options = ["--image", image, "--verify", "full"];
        match code {
            Some(code) => fails_with(image, &bytes, &options, code, &[]),
            None => {
                let report = fixed(&bytes, &options).report;
                assert_eq!(counts(&report), ([1, 1, 1, 1, 0], [0, 0, 0]));
            }
        }
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let options = [&options[..], &["--dry-run"]].concat();
        let run = sandbox.fix_with("in.tar", "out.tar", &options);
        let report = run.json();
        match code {
            Some(code) => assert_eq!(report["error"]["code"], code, "{image}"),
            None => assert_eq!(run.code, 3, "{report:#}"),
        }
    }
}

#[test]
fn highly_compressed_layers_are_refused_when_they_are_decompressed() {
    let large = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    let bomb = Layer::new(OCI_ZSTD, zstd(&large), &large);
    let bytes = layout(vec![bomb.clone()]).tar();
    let parts = ["layers[0] decompresses from", "to more than 67108864"];
    fails_with("layout", &bytes, &FULL, "compression-ratio", &parts);
    fixed(&bytes, &[]);
    let bytes = saved(&[bomb], &["layer.tar"]).tar();
    let parts = ["Layers[0] decompresses from", parts[1]];
    fails_with("docker", &bytes, &[], "compression-ratio", &parts);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let options = ["--max-ratio", "100000"];
    sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
}

/// What real tools write is right.
#[test]
fn every_fixture_is_verified_at_the_level_full() {
    let mut verified = 0;
    for name in fixtures() {
        let sandbox = Sandbox::new();
        let expected = sandbox.fix(fixture(&name), "out.tar");
        if expected.code != 0 {
            continue;
        }
        let report = fixed_path(&fixture(&name), &FULL).report;
        let (classes, unverified) = counts(&report);
        assert_eq!(unverified, [0; 3], "{name}");
        verified += classes[3];
        let bytes = sandbox.read("out.tar");
        let options = [&FULL[..], &["--force"]].concat();
        sandbox
            .fix_with(fixture(&name), "out.tar", &options)
            .exits(0);
        assert!(sandbox.read("out.tar") == bytes, "{name}");
    }
    assert!(verified > 50, "{verified}");
}

/// Which parts an image has does not depend on the level.
#[test]
fn the_level_does_not_change_the_output() {
    let layers = vec![Layer::gzip(OCI_GZIP, "a"), Layer::zstd(OCI_ZSTD, "b")];
    let image = Image::oci(layers.clone());
    let saved = saved(&layers, &["a", "b"]).tar();
    let digests = fixed(&saved, &[]);
    assert_eq!(
        digests.contents.parts(),
        [{
            let mut parts = parts(&image);
            parts.sort();
            parts
        }]
    );
    for level in ["documents", "full"] {
        let other = fixed(&saved, &["--verify", level]);
        assert!(other.bytes == digests.bytes, "{level}");
    }
}
