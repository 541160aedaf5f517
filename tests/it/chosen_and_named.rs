//! Options that choose and name images, with `merge` and `split`: they do what they do in a fix before or after.

use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{Layout, OCI_INDEX, digest_of, named, on};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, signature};
use crate::common::piped::pipe;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::{parse_merge, parse_split};
use crate::merge::{archive, merge, of};
use crate::split::{names_in, split};

/// An index of images for these platforms, each with an attestation and a signature.
fn multi(architectures: &[&str], name: &str) -> Layout {
    let mut layout = Layout::new();
    let (mut listed, mut about) = (Vec::new(), Vec::new());
    for architecture in architectures {
        let image = layout.image(&of(&format!("{name} {architecture}")).architecture(architecture));
        about.push(signature(&mut layout, &image));
        let note = attestation(&mut layout, &image);
        listed.extend([on(image, "linux", architecture), note]);
    }
    let index = layout.index_of(OCI_INDEX, listed);
    layout.root([vec![named(index, name)], about].concat());
    layout
}

fn names(report: &Value) -> Vec<Value> {
    let images = report["images"].as_array().unwrap().iter();
    images.map(|image| image["names"].clone()).collect()
}

fn error(run: &Run) -> Value {
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    match report.get("merged") {
        Some(merged) => merged["error"]["code"].clone(),
        None => report["error"]["code"].clone(),
    }
}

#[test]
fn a_merge_names_images_as_a_fix_of_its_output_does() {
    let sandbox = Sandbox::new();
    sandbox.put("a.tar", archive(&of("amd64"), "example.com/a:1"));
    sandbox.put("b.tar", archive(&of("arm64"), "example.com/b:1"));
    let inputs = ["a.tar", "b.tar"];
    for (options, expected) in [
        (
            &["--rename", "example.com/a:1=example.com/c:1"][..],
            json!([["example.com/b:1"], ["example.com/c:1"]]),
        ),
        (
            &["--image", "example.com/a:1", "--name", "example.com/x:1"],
            json!([["example.com/x:1"]]),
        ),
        (
            &["--platform", "linux/arm64", "--name", "x", "--name", "y"],
            json!([["docker.io/library/x:latest", "docker.io/library/y:latest"]]),
        ),
    ] {
        let run = merge(&sandbox, &inputs, "out.tar", options).exits(0);
        let mut found = names(&parse_merge(&run.stdout)["merged"]);
        found.sort_by_key(Value::to_string);
        assert_eq!(json!(found), expected, "{options:?}");
        merge(&sandbox, &inputs, "plain.tar", &[]).exits(0);
        sandbox.fix_with("plain.tar", "fixed.tar", options).exits(0);
        assert!(
            sandbox.read("out.tar") == sandbox.read("fixed.tar"),
            "{options:?}"
        );
        // As a stream, in both directions.
        let mut command = sandbox.command();
        command
            .args(["merge", "-", "b.tar", "-o", "-"])
            .args(options);
        let run = pipe(&mut command, &sandbox.read("a.tar"));
        assert_eq!(run.code, 0, "{}", run.err);
        sandbox.put("piped.tar", run.out);
        sandbox.fix("piped.tar", "again.tar").exits(0);
        assert!(
            sandbox.read("again.tar") == sandbox.read("out.tar"),
            "{options:?}"
        );
        for name in ["out.tar", "plain.tar", "fixed.tar", "again.tar"] {
            fs::remove_file(sandbox.path(name)).unwrap();
        }
    }
    for (options, code) in [
        (&["--name", "x"][..], "several-images"),
        (&["--rename", "none=x"], "image-not-found"),
        (
            &["--rename", "example.com/a:1=example.com/b:1"],
            "name-taken",
        ),
    ] {
        let run = merge(&sandbox, &inputs, "out.tar", options).exits(1);
        assert_eq!(error(&run), code, "{options:?}");
    }
}

/// Images that go need not be for other platforms than those that stay.
#[test]
fn what_is_joined_into_an_index_is_chosen_first() {
    let sandbox = Sandbox::new();
    multi(&["amd64", "arm64"], "example.com/a:1").write_to(&sandbox.path("a"));
    sandbox.put("b.tar", multi(&["s390x", "arm64"], "example.com/b:1").tar());
    let index = ["--index", "example.com/all:1"];
    let run = merge(&sandbox, &["a", "b.tar"], "out.tar", &index).exits(1);
    assert_eq!(error(&run), "name-taken");
    assert!(run.stderr.contains("--platform"), "{}", run.stderr);
    sandbox
        .fix_with("a", "a.tar", &["--archive", "--platform", "linux/amd64"])
        .exits(0);
    sandbox
        .fix_with("b.tar", "b1.tar", &["--platform", "linux/s390x"])
        .exits(0);
    merge(&sandbox, &["a.tar", "b1.tar"], "expected.tar", &index).exits(0);
    let digest = |input: &str, architecture: &str| {
        let line = [
            "split",
            input,
            "--by",
            "platform",
            "--dry-run",
            "--format",
            "json",
        ];
        let report = parse_split(&sandbox.ocify(&line).exits(0).stdout);
        let outputs = report["outputs"].as_array().unwrap().clone();
        let platform = json!([format!("linux/{architecture}")]);
        let output = outputs
            .into_iter()
            .find(|output| output["platforms"] == platform);
        digest_of(&json!({"digest": output.unwrap()["report"]["images"][0]["config_digest"]}))
    };
    let images = [digest("a", "amd64"), digest("b.tar", "s390x")];
    for options in [
        &["--platform", "linux/amd64,linux/s390x"][..],
        &["--image", &images[0], "--image", &images[1]],
        &[
            "--platform",
            "linux/amd64",
            "--platform",
            "linux/s390x",
            "--image",
            "2",
            "--image",
            "1",
        ],
    ] {
        for inputs in [["a", "b.tar"], ["b.tar", "a"]] {
            let line = [&index[..], options, &["--force"]].concat();
            let run = merge(&sandbox, &inputs, "out.tar", &line).exits(0);
            assert!(
                sandbox.read("out.tar") == sandbox.read("expected.tar"),
                "{options:?}"
            );
            let report = &parse_merge(&run.stdout)["merged"];
            assert_eq!(names(report), [json!(["example.com/all:1"])]);
            // The other images, their attestations, signatures and indexes.
            assert!(report["dropped"]["blobs"].as_u64() > Some(6), "{report:#}");
            let changes = report["changes"].as_array().unwrap().iter();
            let chosen = changes.filter(|change| {
                let rule = change["rule"].as_str().unwrap();
                rule == "platform-choice" || rule == "image-choice"
            });
            assert!(chosen.count() >= 2, "{report:#}");
            let dry = [&line[..], &["--dry-run"]].concat();
            let dry = merge(&sandbox, &inputs, "out.tar", &dry).exits(0);
            let dry = parse_merge(&dry.stdout);
            assert_eq!(dry["merged"]["dropped"], report["dropped"]);
            assert_eq!(dry["merged"]["changes"], report["changes"]);
        }
    }
    let line = [&index[..], &["--platform", "linux/arm64"]].concat();
    let run = merge(&sandbox, &["a", "b.tar"], "none.tar", &line).exits(1);
    assert_eq!(error(&run), "name-taken");
    let line = [&index[..], &["--platform", "linux/riscv64"]].concat();
    let run = merge(&sandbox, &["a", "b.tar"], "none.tar", &line).exits(1);
    assert_eq!(error(&run), "platform-not-found");
}

#[test]
fn a_split_names_images_as_a_fix_of_its_input_does() {
    let mut layout = multi(&["amd64", "arm64"], "example.com/a:1");
    let other = layout.image(&of("other"));
    layout.edit_root(|root| {
        let entries = root["manifests"].as_array_mut().unwrap();
        let names = ["example.com/b:1", "example.com/b:2"];
        entries.extend(names.map(|name| named(other.clone(), name)));
    });
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    for options in [
        &["--rename", "example.com/a:1=example.com/c:1"][..],
        &["--rename", "example.com/b:2=example.com/b:1"],
        &[
            "--rename",
            "example.com/b:1=example.com/d:1",
            "--rename",
            "example.com/a:1=example.com/b:1",
        ],
        &[
            "--image",
            "1",
            "--name",
            "example.com/x:1",
            "--name",
            "example.com/y:1",
        ],
    ] {
        sandbox.fix_with("in.tar", "renamed.tar", options).exits(0);
        for by in ["image", "name", "platform"] {
            let of_options = [options, &["--by", by]].concat();
            split(&sandbox, "in.tar", &of_options).exits(0);
            fs::rename(sandbox.path("out"), sandbox.path("found")).unwrap();
            split(&sandbox, "renamed.tar", &["--by", by]).exits(0);
            let files = names_in(&sandbox, "out");
            assert_eq!(names_in(&sandbox, "found"), files, "{options:?} {by}");
            for file in files {
                let [mut found, mut expected] = ["found", "out"]
                    .map(|directory| Contents::read(&sandbox.path(directory).join(&file)));
                // The order of entries and annotations may differ.
                let indexes = [&mut found, &mut expected].map(|contents| {
                    let index = contents.json("index.json");
                    contents.files.remove("index.json");
                    let mut entries = index["manifests"].as_array().unwrap().clone();
                    entries.sort_by_key(|entry| entry["digest"].to_string());
                    entries
                });
                assert_eq!(indexes[0], indexes[1], "{options:?} {by} {file}");
                assert!(found == expected, "{options:?} {by} {file}");
            }
            for directory in ["out", "found"] {
                fs::remove_dir_all(sandbox.path(directory)).unwrap();
            }
        }
        fs::remove_file(sandbox.path("renamed.tar")).unwrap();
    }
    for (options, code) in [
        (&["--name", "x"][..], "several-images"),
        (&["--rename", "none=x"], "image-not-found"),
        (
            &["--rename", "example.com/a:1=example.com/b:1"],
            "name-taken",
        ),
    ] {
        let run = split(&sandbox, "in.tar", options).exits(1);
        assert_eq!(error(&run), code, "{options:?}");
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

/// The failures that a batch repeats at its end are those of its inputs, in the same words.
#[test]
fn a_batch_says_which_name_an_input_lacks() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put("in/a.tar", archive(&of("amd64"), "example.com/a:1"));
    sandbox.put("in/b.tar", archive(&of("arm64"), "example.com/b:1"));
    for output in [&["-o", "out"][..], &["--in-place"], &["--dry-run"]] {
        let line = [&["fix", "in", "--rename", "example.com/a:1=c"], output].concat();
        let run = sandbox.ocify(&line).exits(1);
        let expected = "error: in/b.tar: no image or artifact in the archive has the name example.com/a:1; available: example.com/b:1\n";
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        // Failures that follow each other share it.
        let hints = run.stderr.matches("\nhint: --rename").count();
        assert_eq!(hints, 1, "{}", run.stderr);
        assert!(!run.stderr.contains("image for --name"), "{}", run.stderr);
    }
}
