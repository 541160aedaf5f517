//! `ocify merge`: a blob that is damaged or missing in one input and intact in another.

use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layout, OCI_INDEX, digest_of, named, on};
use crate::common::contents::{Contents, blob_name};
use crate::common::piped::pipe;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image as saved_image, v1_id};
use crate::common::schema::parse_merge;
use crate::merge::{archive, merge, merged, names, of};

const NAME: &str = "docker.io/library/app:1";

/// The blobs of an image, with what they are.
fn blobs(layout: &Layout) -> Vec<(&'static str, String)> {
    let manifest = layout.find(&["\"layers\":["]);
    let document: Value = serde_json::from_slice(&layout.blobs[&manifest]).unwrap();
    vec![
        ("config", blob_name(&digest_of(&document["config"]))),
        ("first layer", blob_name(&digest_of(&document["layers"][0]))),
        ("last layer", blob_name(&digest_of(&document["layers"][1]))),
        ("manifest", manifest),
    ]
}

/// Changes one byte.
fn damage(layout: &Layout, blob: &str) -> Layout {
    let mut layout = layout.clone();
    let bytes = layout.blobs.get_mut(blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    layout
}

fn image(is_docker: bool) -> Image {
    let image = of("amd64");
    match is_docker {
        false => image,
        true => Image::docker(image.layers).architecture("amd64"),
    }
}

/// The findings about damaged blobs, as the input and the message.
fn damaged(report: &Value) -> Vec<(String, String)> {
    let inputs = report["inputs"].as_array().unwrap().iter();
    let found = inputs.flat_map(|input| {
        let findings = input["findings"].as_array().unwrap().iter();
        let findings = findings.filter(|finding| finding["rule"] == "damaged-blob");
        findings.map(|finding| {
            let location = finding["location"].as_str().unwrap();
            let message = finding["message"].as_str().unwrap();
            let input = input["input"].as_str().unwrap();
            (input.to_owned(), format!("{location}: {message}"))
        })
    });
    found.collect()
}

/// Every blob, in every form of input and output, whichever input comes first: the output is what it is without the damage.
#[test]
fn the_intact_copy_of_a_damaged_blob_is_used() {
    for is_docker in [false, true] {
        let layout = Layout::of(&image(is_docker), NAME);
        let sandbox = Sandbox::new();
        sandbox.put("whole.tar", layout.tar());
        sandbox.put("copy.tar", layout.tar());
        for (output, options) in [
            ("expected.tar", &[][..]),
            ("expected.tar.zst", &[]),
            ("expected", &["--layout"]),
        ] {
            merge(&sandbox, &["whole.tar", "copy.tar"], output, options).exits(0);
        }
        for (part, blob) in blobs(&layout) {
            let bad = damage(&layout, &blob);
            sandbox.put("bad.tar", bad.tar());
            let _ = fs::remove_dir_all(sandbox.path("bad"));
            bad.write_to(&sandbox.path("bad"));
            for inputs in [
                ["bad.tar", "whole.tar"],
                ["whole.tar", "bad.tar"],
                ["bad", "whole.tar"],
            ] {
                let what = format!("{part} {is_docker} {inputs:?}");
                let run = merge(&sandbox, &inputs, "out.tar", &["--force"]).exits(0);
                assert!(
                    sandbox.read("out.tar") == sandbox.read("expected.tar"),
                    "{what}"
                );
                let found = damaged(&parse_merge(&run.stdout));
                // The copy of the first input is used, so a later layer is not read.
                let is_read = inputs[0] != "whole.tar" || !part.contains("layer");
                let expected = is_read.then(|| {
                    let bad = inputs.iter().find(|input| input.starts_with("bad"));
                    let message = format!(
                        "{blob}: the blob does not match its digest; ocify used the intact copy in whole.tar"
                    );
                    (bad.unwrap().to_string(), message)
                });
                assert_eq!(found, Vec::from_iter(expected), "{what}");
            }
            let inputs = ["bad.tar", "whole.tar"];
            merge(&sandbox, &inputs, "out.tar.zst", &["--force"]).exits(0);
            assert!(
                sandbox.read("out.tar.zst") == sandbox.read("expected.tar.zst"),
                "{part}"
            );
            merge(&sandbox, &inputs, "out", &["--layout", "--force"]).exits(0);
            let contents = Contents::read(&sandbox.path("out"));
            assert!(
                contents == Contents::read(&sandbox.path("expected")),
                "{part}"
            );
        }
    }
}

#[test]
fn the_intact_copy_is_used_with_every_option_that_reads_it() {
    let layout = Layout::of(&of("amd64"), NAME);
    let sandbox = Sandbox::new();
    sandbox.put("whole.tar", layout.tar());
    sandbox.put("copy.tar", layout.tar());
    sandbox.put(
        "other.tar",
        archive(&of("arm64"), "docker.io/library/other:1"),
    );
    for options in [
        &["--verify", "full"][..],
        &["--compression", "zstd"],
        &["--for", "docker@20.10", "--compression", "uncompressed"],
        &["--index", "joined:1"],
        &["--index", "joined:1", "--platform", "linux/amd64"],
        &["--image", "app:1", "--name", "new:1"],
    ] {
        let options = [options, &["--force"]].concat();
        let inputs = |first| ["other.tar", first, "whole.tar"];
        merge(&sandbox, &inputs("copy.tar"), "expected.tar", &options).exits(0);
        for (part, blob) in blobs(&layout) {
            sandbox.put("bad.tar", damage(&layout, &blob).tar());
            let run = merge(&sandbox, &inputs("bad.tar"), "out.tar", &options).exits(0);
            assert!(
                sandbox.read("out.tar") == sandbox.read("expected.tar"),
                "{part} {options:?}"
            );
            let is_shared = part == "first layer";
            let found = damaged(&parse_merge(&run.stdout));
            let inputs_named: Vec<&str> = found.iter().map(|(input, _)| &**input).collect();
            // The first input has that layer.
            let expected: &[&str] = if is_shared { &[] } else { &["bad.tar"] };
            assert_eq!(inputs_named, expected, "{part} {options:?}");
            let dry = [&options[..], &["--dry-run", "--verify", "digests"]].concat();
            if !dry.contains(&"full") {
                let run = merge(&sandbox, &inputs("bad.tar"), "out.tar", &dry).exits(0);
                assert_eq!(damaged(&parse_merge(&run.stdout)), found, "{part} {dry:?}");
            }
        }
    }
}

/// Many are replaced at once, each from wherever it is intact.
#[test]
fn inputs_that_are_damaged_in_different_places_complete_each_other() {
    let layout = Layout::of(&of("amd64"), NAME);
    let sandbox = Sandbox::new();
    sandbox.put("whole.tar", layout.tar());
    sandbox.put("copy.tar", layout.tar());
    merge(&sandbox, &["whole.tar", "copy.tar"], "expected.tar", &[]).exits(0);
    let all = blobs(&layout);
    for missing in [false, true] {
        let mut inputs = Vec::new();
        for (number, (_, blob)) in all.iter().enumerate() {
            let mut bad = match missing {
                false => damage(&layout, blob),
                true => layout.clone(),
            };
            if missing {
                bad.blobs.remove(blob);
            }
            let name = format!("{number}.tar");
            sandbox.put(&name, bad.tar());
            inputs.push(name);
        }
        let mut inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        for _ in 0..2 {
            merge(&sandbox, &inputs, "out.tar", &["--force"]).exits(0);
            assert!(
                sandbox.read("out.tar") == sandbox.read("expected.tar"),
                "{inputs:?}"
            );
            inputs.reverse();
        }
    }
}

#[test]
fn a_blob_that_is_damaged_in_every_input_is_an_error_that_names_the_first() {
    let layout = Layout::of(&of("amd64"), NAME);
    for (part, blob) in blobs(&layout) {
        let sandbox = Sandbox::new();
        sandbox.put("one.tar", damage(&layout, &blob).tar());
        sandbox.put("two.tar", damage(&layout, &blob).tar());
        let before = sandbox.names();
        for options in [&[][..], &["--index", "joined:1"]] {
            let run = merge(&sandbox, &["one.tar", "two.tar"], "out.tar", options).exits(1);
            let error = &parse_merge(&run.stdout)["merged"]["error"];
            assert_eq!(error["code"], "digest-mismatch", "{part}: {error:#}");
            assert!(run.stderr.contains("one.tar"), "{part}: {}", run.stderr);
            assert!(run.stderr.contains(&blob), "{part}: {}", run.stderr);
            assert_eq!(sandbox.names(), before, "{part}");
        }
    }
}

/// If images are chosen before they are joined, the error still names the input.
#[test]
fn an_error_about_a_chosen_image_names_its_own_input() {
    let sandbox = Sandbox::new();
    let layout = Layout::of(&of("arm64"), "docker.io/library/arm:1");
    let (_, blob) = blobs(&layout).remove(2);
    sandbox.put("first.tar", archive(&of("amd64"), NAME));
    sandbox.put("second.tar", damage(&layout, &blob).tar());
    let options = [
        "--index",
        "joined:1",
        "--platform",
        "linux/amd64,linux/arm64",
    ];
    let inputs = ["first.tar", "second.tar"];
    let run = merge(&sandbox, &inputs, "out.tar", &options).exits(1);
    assert!(run.stderr.contains("error: second.tar: "), "{}", run.stderr);
}

/// A stream may have received part of the blob, so nothing can replace it.
#[test]
fn the_error_of_a_stream_says_where_the_blob_is_intact() {
    let layout = Layout::of(&of("amd64"), NAME);
    let sandbox = Sandbox::new();
    sandbox.put("a whole.tar", layout.tar());
    for (part, blob) in blobs(&layout) {
        sandbox.put("bad.tar", damage(&layout, &blob).tar());
        let line = ["merge", "bad.tar", "a whole.tar", "-o", "-"];
        let run = pipe(sandbox.command().args(line), b"");
        if !part.contains("layer") {
            run.exits(0);
            continue;
        }
        let run = run.exits(1);
        let hint = "hint: 'a whole.tar' contains an intact copy: give that input first, or write to a file with -o FILE";
        assert!(run.err.contains(hint), "{part}: {}", run.err);
        let dry = [
            "merge",
            "bad.tar",
            "a whole.tar",
            "-o",
            "-",
            "--dry-run",
            "--verify",
            "digests",
        ];
        let run = sandbox.ocify(&dry).exits(1);
        assert!(run.stderr.contains(hint), "{part}: {}", run.stderr);
        let line = ["merge", "a whole.tar", "bad.tar", "-o", "-"];
        pipe(sandbox.command().args(line), b"").exits(0);
    }
}

/// A Docker archive names layers by their diff IDs.
#[test]
fn a_layer_of_a_docker_archive_is_taken_from_another_input() {
    let image = saved_image(&["base", "app"]);
    let mut saved = Saved::new();
    saved.docker(&image, json!(["app:1"]));
    let sandbox = Sandbox::new();
    sandbox.put("whole.tar", saved.tar());
    let layer = format!("{}/layer.tar", v1_id(&image, 1));
    let data = &mut saved.entry(&layer).data;
    let middle = data.len() / 2;
    data[middle] ^= 1;
    sandbox.put("bad.tar", saved.tar());
    let good = merged(&sandbox, &["whole.tar"], &[]);
    let run = merge(&sandbox, &["bad.tar", "whole.tar"], "out.tar", &[]).exits(0);
    assert!(sandbox.read("out.tar") == good.bytes);
    assert_eq!(damaged(&parse_merge(&run.stdout)).len(), 1);
}

/// An input whose only image is incomplete does not block the others, and is completed by them.
#[test]
fn what_an_input_lacks_is_taken_from_another() {
    for is_docker in [false, true] {
        let layout = Layout::of(&image(is_docker), NAME);
        let sandbox = Sandbox::new();
        sandbox.put("whole.tar", layout.tar());
        sandbox.put(
            "other.tar",
            archive(&of("arm64"), "docker.io/library/other:1"),
        );
        merge(&sandbox, &["whole.tar", "other.tar"], "expected.tar", &[]).exits(0);
        for (part, blob) in blobs(&layout) {
            let mut thin = layout.clone();
            thin.blobs.remove(&blob);
            sandbox.put("thin.tar", thin.tar());
            for inputs in [
                ["thin.tar", "whole.tar", "other.tar"],
                ["other.tar", "whole.tar", "thin.tar"],
            ] {
                let line = [
                    "merge", inputs[0], inputs[1], inputs[2], "-o", "out.tar", "--force",
                ];
                let run = sandbox.ocify(&line).exits(0);
                assert!(!run.stdout.contains("warning"), "{part}: {}", run.stdout);
                assert!(
                    sandbox.read("out.tar") == sandbox.read("expected.tar"),
                    "{part}"
                );
            }
            if part == "first layer" {
                // The other image has it too.
                continue;
            }
            // Without the other copy, the incomplete image is reported, and manifest.json omits it.
            let run = merge(
                &sandbox,
                &["thin.tar", "other.tar"],
                "out.tar",
                &["--force"],
            );
            let report = parse_merge(&run.exits(0).stdout);
            let findings = report["merged"]["findings"].as_array().unwrap();
            let is_missing = |finding: &Value| {
                let rule = finding["rule"].as_str().unwrap();
                rule == "missing-blob" || rule == "missing-manifest"
            };
            assert!(findings.iter().any(is_missing), "{part}: {findings:#?}");
            let items = Contents::read(&sandbox.path("out.tar")).json("manifest.json");
            let tags: Vec<&Value> = items
                .as_array()
                .unwrap()
                .iter()
                .map(|i| &i["RepoTags"])
                .collect();
            if part != "manifest" {
                assert_eq!(tags, [&json!(["other:1"])], "{part}");
            }
            // If no image is complete, the first input without one is named.
            sandbox.put("again.tar", thin.tar());
            let run = merge(&sandbox, &["thin.tar", "again.tar"], "none.tar", &[]).exits(1);
            let error = &parse_merge(&run.stdout)["merged"]["error"];
            assert_eq!(error["code"], "missing-blob", "{part}: {error:#}");
            assert!(
                run.stderr.contains("error: thin.tar: "),
                "{part}: {}",
                run.stderr
            );
        }
    }
}

/// As `docker save --platform` writes them: the index lists all platforms, and one of them is there.
#[test]
fn archives_of_single_platforms_complete_their_index() {
    for is_docker in [false, true] {
        let mut layout = Layout::new();
        let images = ["amd64", "arm64"].map(|architecture| {
            let image = match is_docker {
                false => of(architecture),
                true => Image::docker(of(architecture).layers).architecture(architecture),
            };
            on(layout.image(&image), "linux", architecture)
        });
        let index = layout.index_of(OCI_INDEX, images.to_vec());
        layout.root(vec![named(index, NAME)]);
        let sandbox = Sandbox::new();
        sandbox.put("whole.tar", layout.tar());
        let expected = merged(&sandbox, &["whole.tar"], &[]);
        for (number, absent) in images.iter().enumerate() {
            let mut thin = layout.clone();
            thin.blobs.remove(&blob_name(&digest_of(absent)));
            sandbox.put(&format!("{number}.tar"), thin.tar());
        }
        let found = merged(&sandbox, &["0.tar", "1.tar"], &[]);
        assert_eq!(names(&found.facts), ["app:1"]);
        assert!(found.bytes == expected.bytes, "{is_docker}");
    }
}
