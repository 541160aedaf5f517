//! `ocify merge`: one bad image of one input does not block the good ones.

use serde_json::{Value, json};

use crate::bad_images::{REFUSED, UNLOADABLE, beside};
use crate::common::builder::{Layout, digest_of, named};
use crate::common::contents::blob_name;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};
use crate::common::schema::parse_merge;
use crate::merge::{archive, merge, of};

const BAD: &str = "docker.io/library/bad:v1";

fn rules(list: &Value) -> Vec<&str> {
    let rules = list.as_array().unwrap().iter();
    rules.map(|item| item["rule"].as_str().unwrap()).collect()
}

#[test]
fn an_input_with_nothing_but_a_bad_image_does_not_block_the_others() {
    for (name, bad, code) in UNLOADABLE {
        let sandbox = Sandbox::new();
        let mut layout = Layout::new();
        let bad = named(bad(&mut layout), BAD);
        let digest = digest_of(&bad);
        layout.root(vec![bad]);
        sandbox.put("bad.tar", layout.tar());
        sandbox.put(
            "good.tar",
            archive(&of("amd64"), "docker.io/library/good:v1"),
        );
        let run = merge(&sandbox, &["bad.tar", "good.tar"], "out.tar", &[]).exits(0);
        let report = parse_merge(&run.stdout);
        let found = rules(&report["merged"]["findings"]);
        assert!(found.contains(&"unloadable-image"), "{name}: {found:?}");
        let contents = crate::common::contents::Contents::read(&sandbox.path("out.tar"));
        assert!(contents.blob(&digest).is_some(), "{name}");
        let items = contents.json("manifest.json");
        assert_eq!(items.as_array().unwrap().len(), 1, "{name}");
        assert_eq!(items[0]["RepoTags"], json!(["good:v1"]), "{name}");
        let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
        assert_eq!(again["status"], "unchanged", "{name}: {again:#}");
        // Nothing good is left beside it.
        let run = merge(&sandbox, &["bad.tar", "bad.tar"], "none.tar", &[]).exits(1);
        let error = &parse_merge(&run.stdout)["merged"]["error"];
        assert_eq!(error["code"], code, "{name}: {error:#}");
        assert!(run.stderr.contains("bad.tar"), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_damaged_image_matters_only_if_the_output_contains_it() {
    for (name, bad, code) in REFUSED {
        let sandbox = Sandbox::new();
        sandbox.put("a.tar", beside(bad, true).0.tar());
        sandbox.put("b.tar", archive(&of("arm64"), "docker.io/library/b:1"));
        let inputs = ["b.tar", "a.tar"];
        let run = merge(&sandbox, &inputs, "out.tar", &[]).exits(1);
        let error = &parse_merge(&run.stdout)["merged"]["error"];
        assert_eq!(error["code"], code, "{name}: {error:#}");
        assert!(run.stderr.contains("a.tar"), "{name}: {}", run.stderr);
        assert_eq!(sandbox.names(), ["a.tar", "b.tar"], "{name}");
        let options = ["--image", "good:v1", "--image", "b:1", "--orphans", "drop"];
        merge(&sandbox, &inputs, "out.tar", &options).exits(0);
        sandbox.fix("out.tar", "again.tar").exits(0);
        assert!(
            sandbox.read("out.tar") == sandbox.read("again.tar"),
            "{name}"
        );
    }
}

#[test]
fn what_a_docker_archive_lacks_is_judged_by_the_options_of_the_output() {
    let sandbox = Sandbox::new();
    let mut saved = Saved::new();
    saved.docker(&image(&["good"]), json!(["good:1"]));
    saved.item("none.json", &["none/layer.tar"], json!(["bad:1"]));
    sandbox.put("a.tar", saved.tar());
    sandbox.put("b.tar", archive(&of("arm64"), "docker.io/library/b:1"));
    let inputs = ["b.tar", "a.tar"];
    let run = merge(&sandbox, &inputs, "out.tar", &["--missing", "error"]).exits(1);
    let error = &parse_merge(&run.stdout)["merged"]["error"];
    assert_eq!(error["code"], "missing-blob", "{error:#}");
    assert!(run.stderr.contains("a.tar"), "{}", run.stderr);
    for options in [
        &["--missing", "error", "--image", "good:1"][..],
        &["--missing", "prune"],
        &[],
    ] {
        let line = [options, &["--force"]].concat();
        let run = merge(&sandbox, &inputs, "out.tar", &line).exits(0);
        let report = parse_merge(&run.stdout);
        let found = rules(&report["inputs"][1]["findings"]);
        assert!(found.contains(&"missing-blob"), "{options:?}: {found:?}");
    }
}

/// Of two blobs with one digest and different lengths, one is damaged. The other counts, whichever input is first.
#[test]
fn a_blob_of_another_length_is_taken_from_the_input_in_which_it_is_intact() {
    let image = of("amd64");
    let whole = archive(&image, "docker.io/library/app:1");
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.push(0),
        Vec::clear,
    ];
    for part in ["config", "layer", "manifest"] {
        for damage in damages {
            let mut layout = Layout::of(&image, "docker.io/library/copy:1");
            let manifest = layout.find(&["\"layers\":["]);
            let document: Value = serde_json::from_slice(&layout.blobs[&manifest]).unwrap();
            let name = match part {
                "config" => blob_name(&digest_of(&document["config"])),
                "layer" => blob_name(&digest_of(&document["layers"][0])),
                _ => manifest,
            };
            let intact = layout.tar();
            damage(layout.blobs.get_mut(&name).unwrap());
            let sandbox = Sandbox::new();
            sandbox.put("whole.tar", &whole);
            sandbox.put("intact.tar", intact);
            sandbox.put("damaged.tar", layout.tar());
            layout.write_to(&sandbox.path("damaged"));
            merge(&sandbox, &["whole.tar", "intact.tar"], "expected.tar", &[]).exits(0);
            for inputs in [
                ["whole.tar", "damaged.tar"],
                ["damaged.tar", "whole.tar"],
                ["damaged", "whole.tar"],
            ] {
                let options = ["--force"];
                merge(&sandbox, &inputs, "out.tar", &options).exits(0);
                assert!(
                    sandbox.read("out.tar") == sandbox.read("expected.tar"),
                    "{part} {inputs:?}"
                );
                let dry = [&["--force", "--dry-run"][..]].concat();
                merge(&sandbox, &inputs, "out.tar", &dry).exits(0);
            }
        }
    }
}

/// If no input has it intact, what needs it is bad, and nothing else.
#[test]
fn a_blob_that_is_damaged_in_every_input_matters_only_to_what_contains_it() {
    let sandbox = Sandbox::new();
    for (input, kept) in [("one.tar", 9), ("other.tar", 11)] {
        let mut layout = Layout::of(&of("amd64"), "docker.io/library/bad:1");
        let manifest = layout.find(&["\"layers\":["]);
        let document: Value = serde_json::from_slice(&layout.blobs[&manifest]).unwrap();
        let layer = blob_name(&digest_of(&document["layers"][1]));
        layout.blobs.get_mut(&layer).unwrap().truncate(kept);
        sandbox.put(input, layout.tar());
    }
    sandbox.put(
        "good.tar",
        archive(&of("arm64"), "docker.io/library/good:1"),
    );
    let inputs = ["one.tar", "other.tar", "good.tar"];
    let run = merge(&sandbox, &inputs, "out.tar", &[]).exits(1);
    let error = &parse_merge(&run.stdout)["merged"]["error"];
    assert_eq!(error["code"], "size-mismatch", "{error:#}");
    assert!(run.stderr.contains("one.tar"), "{}", run.stderr);
    let options = ["--image", "good:1"];
    merge(&sandbox, &inputs, "out.tar", &options).exits(0);
    sandbox.fix("out.tar", "again.tar").exits(0);
}

/// A Docker archive whose only image lacks its config or a layer, or has a config that is not what its name says.
fn only_bad(what: &str) -> Vec<u8> {
    let mut saved = Saved::new();
    saved.docker(&image(&["bad"]), json!(["bad:1"]));
    let config = saved.items[0]["Config"].as_str().unwrap().to_owned();
    let layer = saved.items[0]["Layers"][0].as_str().unwrap().to_owned();
    let gone = match what {
        "config" => config,
        "layer" => layer,
        _ => {
            let bytes = &mut saved.entry(&config).data;
            bytes.push(b' ');
            return saved.tar();
        }
    };
    saved.entries.retain(|entry| entry.name != gone.as_bytes());
    saved.tar()
}

/// An input whose only image is incomplete adds nothing, and does not block the others.
#[test]
fn an_incomplete_docker_archive_does_not_block_the_others() {
    for what in ["config", "layer"] {
        let sandbox = Sandbox::new();
        sandbox.put("bad.tar", only_bad(what));
        let good = archive(&of("amd64"), "docker.io/library/good:1");
        sandbox.put("good.tar", good);
        let inputs = ["bad.tar", "good.tar"];
        merge(&sandbox, &["good.tar", "good.tar"], "expected.tar", &[]).exits(0);
        for options in [&[][..], &["--missing", "prune"], &["--image", "good:1"]] {
            let line = [options, &["--force", "--orphans", "drop"]].concat();
            let run = merge(&sandbox, &inputs, "out.tar", &line).exits(0);
            let report = parse_merge(&run.stdout);
            let findings = report["inputs"][0]["findings"].as_array().unwrap();
            let mut missing = findings.iter();
            let missing = missing.find(|finding| finding["rule"] == "missing-blob");
            let message = missing.unwrap()["message"].as_str().unwrap();
            assert!(message.ends_with("; bad:1 was left out"), "{message}");
            assert!(
                sandbox.read("out.tar") == sandbox.read("expected.tar"),
                "{what} {options:?}"
            );
        }
        let options = ["--force", "--missing", "error"];
        let run = merge(&sandbox, &inputs, "out.tar", &options).exits(1);
        for part in ["bad.tar: ", "; bad:1 needs it\n", "--missing prune"] {
            assert!(run.stderr.contains(part), "{what}: {}", run.stderr);
        }
        // Nothing good is left beside it.
        let run = merge(&sandbox, &["bad.tar", "bad.tar"], "none.tar", &[]).exits(1);
        let error = &parse_merge(&run.stdout)["merged"]["error"];
        assert_eq!(error["code"], "missing-blob", "{error:#}");
        assert!(run.stderr.contains("bad.tar: "), "{}", run.stderr);
        assert!(
            run.stderr.contains("save the image again"),
            "{}",
            run.stderr
        );
    }
}

/// A damaged one is refused, and the error says how to go on without it.
#[test]
fn a_damaged_docker_archive_is_refused_unless_other_images_are_chosen() {
    let sandbox = Sandbox::new();
    sandbox.put("bad.tar", only_bad("damaged"));
    let good = archive(&of("amd64"), "docker.io/library/good:1");
    sandbox.put("good.tar", good);
    let inputs = ["good.tar", "bad.tar"];
    for options in [&[][..], &["--missing", "prune"]] {
        let run = merge(&sandbox, &inputs, "out.tar", options).exits(1);
        let error = &parse_merge(&run.stdout)["merged"]["error"];
        assert_eq!(error["code"], "digest-mismatch", "{error:#}");
        for part in ["bad.tar: ", "; bad:1 needs it\n", "with --image"] {
            assert!(run.stderr.contains(part), "{}", run.stderr);
        }
    }
    let options = ["--image", "good:1", "--orphans", "drop"];
    merge(&sandbox, &inputs, "out.tar", &options).exits(0);
    merge(&sandbox, &["good.tar", "good.tar"], "expected.tar", &[]).exits(0);
    assert!(sandbox.read("out.tar") == sandbox.read("expected.tar"));
    let run = merge(&sandbox, &["bad.tar", "bad.tar"], "none.tar", &[]).exits(1);
    assert!(!run.stderr.contains("--image"), "{}", run.stderr);
    // It is the same beside an image in the same archive.
    let mut saved = Saved::new();
    saved.docker(&image(&["bad"]), json!(["bad:1"]));
    let config = saved.items[0]["Config"].as_str().unwrap().to_owned();
    saved.entry(&config).data.push(b' ');
    saved.docker(&image(&["good"]), json!(["good:1"]));
    sandbox.put("both.tar", saved.tar());
    let run = sandbox.fix("both.tar", "both-out.tar").exits(1);
    for part in ["; bad:1 needs it\n", "with --image"] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

/// An output that must be complete names what is missing in the words of the input.
#[test]
fn what_is_missing_is_named_in_the_words_of_its_input() {
    for part in ["config", "layer", "manifest"] {
        let mut layout = Layout::of(&of("arm64"), "docker.io/library/bad:1");
        let manifest = layout.find(&["\"layers\":["]);
        let document: Value = serde_json::from_slice(&layout.blobs[&manifest]).unwrap();
        let (name, place) = match part {
            "config" => (blob_name(&digest_of(&document["config"])), ", config is "),
            "layer" => (
                blob_name(&digest_of(&document["layers"][1])),
                ", layers[1] is ",
            ),
            _ => (manifest, " is "),
        };
        layout.blobs.remove(&name);
        let sandbox = Sandbox::new();
        sandbox.put("bad.tar", layout.tar());
        sandbox.put(
            "good.tar",
            archive(&of("amd64"), "docker.io/library/good:1"),
        );
        for inputs in [["good.tar", "bad.tar"], ["bad.tar", "good.tar"]] {
            let run = merge(&sandbox, &inputs, "out.tar", &["--missing", "error"]).exits(1);
            let expected = format!(
                "error: bad.tar: index.json, manifests[0]{place}{name}, which is not in the archive; bad:1 needs it\n"
            );
            assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
            assert!(run.stderr.contains("--missing prune"), "{}", run.stderr);
        }
    }
}
