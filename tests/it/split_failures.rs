//! What cannot be split, what is refused before anything is written, and what is left after a failure.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_ZSTD, digest_of, named};
use crate::common::checker::{check_output, judge};
use crate::common::contents::Contents;
use crate::common::fixture;
use crate::common::piped::pipe;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image, parts};
use crate::common::schema::parse_split;
use crate::split::{archive, names_in, of, outputs, split, text};

/// Three images, of which the second is as `damage` leaves it.
fn with_bad_image(damage: impl FnOnce(&mut Layout, &Value)) -> Layout {
    let mut layout = archive(&[
        ("a", &["example.com/a:1"]),
        ("b", &["example.com/b:1"]),
        ("c", &["example.com/c:1"]),
    ]);
    let bad = layout.image(&of("b"));
    damage(&mut layout, &bad);
    layout
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

#[test]
fn one_bad_image_does_not_block_the_others() {
    let own_layer = || blob(&parts(&of("b"))[2]);
    let cases: [(&str, Layout, &str); 4] = [
        (
            "a layer is missing",
            with_bad_image(|layout, _| drop(layout.blobs.remove(&own_layer()))),
            "missing-blob",
        ),
        (
            "a layer is damaged",
            with_bad_image(|layout, _| layout.blobs.get_mut(&own_layer()).unwrap()[20] ^= 1),
            "digest-mismatch",
        ),
        (
            "the manifest is missing",
            with_bad_image(|layout, image| drop(layout.blobs.remove(&blob(&digest_of(image))))),
            "missing-blob",
        ),
        (
            "the manifest is damaged",
            with_bad_image(|layout, image| {
                layout.blobs.get_mut(&blob(&digest_of(image))).unwrap()[1] = b'!'
            }),
            "",
        ),
    ];
    for (what, layout, code) in cases {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let run = split(&sandbox, "in.tar", &[]).exits(1);
        let report = parse_split(&run.stdout);
        assert_eq!(
            names_in(&sandbox, "out"),
            ["example.com_a_1.tar", "example.com_c_1.tar"],
            "{what}"
        );
        for name in names_in(&sandbox, "out") {
            check_output(&sandbox.path(&format!("out/{name}")));
        }
        assert_eq!(
            (&report["failed"], &report["error"]),
            (&json!(1), &Value::Null),
            "{what}"
        );
        let bad = &report["outputs"][1];
        assert_eq!(
            (&bad["file"], &bad["size"]),
            (&json!("example.com_b_1.tar"), &Value::Null),
            "{what}"
        );
        assert_eq!(bad["report"]["status"], "failed", "{what}");
        if !code.is_empty() {
            assert_eq!(bad["report"]["error"]["code"], code, "{what}: {bad:#}");
        }
        let message = "error: example.com_b_1.tar: example.com/b:1";
        assert!(run.stderr.starts_with(message), "{what}: {}", run.stderr);
        let shown = sandbox
            .ocify(&["split", "in.tar", "-o", "out", "--force"])
            .exits(1)
            .stdout;
        assert!(shown.contains("split into 2 outputs"), "{shown}");
        assert!(
            shown.contains("\nexample.com_b_1.tar: example.com/b:1"),
            "{shown}"
        );
        assert!(shown.contains(": not written\n"), "{shown}");
    }
    // What is to be left out is no failure.
    let layout = with_bad_image(|layout, _| drop(layout.blobs.remove(&own_layer())));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let (report, found) = outputs(&sandbox, "in.tar", &["--missing", "prune"]);
    assert_eq!(found.len(), 2);
    assert_eq!(report["changes"][0]["rule"], "absent-pruned");
    assert_eq!(report["dropped"]["blobs"], 2);
}

#[test]
fn images_that_a_docker_archive_lacks_parts_of_are_failures() {
    let (good, bad) = (image(&["a"]), image(&["b"]));
    let mut saved = Saved::new();
    saved.docker(&good, json!(["good:1"]));
    saved.docker(&bad, json!(["bad:1"]));
    let layer = saved
        .all()
        .into_iter()
        .rfind(|entry| entry.name.ends_with(b"layer.tar"))
        .unwrap();
    let mut entries = saved.all();
    entries.retain(|entry| entry.name != layer.name);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", crate::common::archive::tar(&entries));
    let run = split(&sandbox, "in.tar", &[]).exits(1);
    let report = parse_split(&run.stdout);
    assert_eq!(names_in(&sandbox, "out"), ["good_1.tar"]);
    let missing = &report["outputs"][1];
    assert_eq!(
        (&missing["file"], &missing["names"]),
        (&Value::Null, &json!(["docker.io/library/bad:1"]))
    );
    assert_eq!(missing["report"]["error"]["code"], "missing-blob");
    assert!(run.stderr.starts_with("error: bad:1: "), "{}", run.stderr);
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let (report, _) = outputs(&sandbox, "in.tar", &["--missing", "prune"]);
    assert_eq!(report["findings"][0]["rule"], "missing-blob");
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let (report, _) = outputs(&sandbox, "in.tar", &["--image", "good:1"]);
    assert_eq!(report["outputs"].as_array().unwrap().len(), 1);
}

#[test]
fn outputs_that_exist_are_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    sandbox.put(
        "in.tar",
        archive(&[("a", &["example.com/a:1"]), ("z", &["example.com/z:1"])]).tar(),
    );
    let exists = |code: &str| {
        let run = split(&sandbox, "in.tar", &[]).exits(1);
        let report = parse_split(&run.stdout);
        assert_eq!(
            (&report["error"]["code"], &report["outputs"]),
            (&json!(code), &json!([]))
        );
        run.stderr
    };
    fs::create_dir(sandbox.path("out")).unwrap();
    sandbox.put("out/example.com_z_1.tar", "old");
    let stderr = exists("output-exists");
    assert!(
        stderr.contains("out/example.com_z_1.tar already exists") && stderr.contains("--force"),
        "{stderr}"
    );
    assert_eq!(names_in(&sandbox, "out"), ["example.com_z_1.tar"]);
    assert_eq!(sandbox.read("out/example.com_z_1.tar"), b"old");
    outputs(&sandbox, "in.tar", &["--force"]);
    outputs(&sandbox, "in.tar", &["--force"]);
    // Links are not followed, and what is not a file is not replaced.
    let outside = sandbox.put("outside", "mine");
    for force in [&["--force"][..], &[]] {
        fs::remove_file(sandbox.path("out/example.com_z_1.tar")).unwrap();
        symlink(&outside, sandbox.path("out/example.com_z_1.tar")).unwrap();
        split(&sandbox, "in.tar", force).exits(1);
        assert_eq!(sandbox.read("outside"), b"mine");
    }
    // The input is never an output.
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let input = sandbox.read("in.tar");
    fs::create_dir(sandbox.path("out")).unwrap();
    sandbox.put("out/example.com_a_1.tar", &input);
    split(&sandbox, "out/example.com_a_1.tar", &["--force"]).exits(1);
    assert!(sandbox.read("out/example.com_a_1.tar") == input);
    assert_eq!(names_in(&sandbox, "out"), ["example.com_a_1.tar"]);
}

#[test]
fn wrong_usage_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", archive(&[("a", &["example.com/a:1"])]).tar());
    sandbox.put("file", "mine");
    Layout::of(&of("a"), "example.com/a:1").write_to(&sandbox.path("layout"));
    let before = sandbox.names();
    for (line, code, part) in [
        (&["in.tar"][..], 2, "-o DIR/"),
        (&["in.tar", "-o", "-"], 2, "standard output"),
        (&["-"], 2, "-o DIR/"),
        (&["in.tar", "layout", "-o", "out/"], 2, "ocify merge"),
        (&["in.tar", "-o", "out.tar"], 2, "out.tar/"),
        (&["in.tar", "-o", "file"], 1, "not a directory"),
        (&["in.tar", "-o", "none/out"], 1, "does not exist"),
        (&["in.tar", "-o", "layout"], 1, "is an image layout"),
        (&["layout", "-o", "layout/out"], 1, "inside the input"),
        (&["none.tar", "-o", "out/"], 1, "none.tar"),
        (&["file", "-o", "out/"], 1, "is not a tar archive"),
        (&["in.tar", "-o", "out/", "--link", "hard"], 2, "--link"),
        (&["in.tar", "-o", "out/", "--archive"], 2, "--archive"),
        (&["in.tar", "-o", "out/", "--shard", "1/2"], 2, "--shard"),
        (&["in.tar", "-o", "out/", "--in-place"], 2, "--in-place"),
        (&["in.tar", "-o", "out/", "--by", "layer"], 2, "--by"),
        (
            &["in.tar", "-o", "out/", "--image", "example.com/x:1"],
            1,
            "example.com/a:1",
        ),
        (
            &["in.tar", "-o", "out/", "--platform", "linux/arm64"],
            1,
            "linux/amd64",
        ),
    ] {
        let run = sandbox.ocify(&[&["split"], line].concat()).exits(code);
        assert!(run.stderr.contains(part), "{line:?}: {}", run.stderr);
        assert_eq!(sandbox.names(), before, "{line:?}");
    }
    let help = sandbox.ocify(&["split", "--help"]).exits(0).stdout;
    for part in ["--by <WHAT>", "Examples:", "--compression"] {
        assert!(help.contains(part), "{help}");
    }
    for hidden in [
        "      --in-place",
        "--on-conflict",
        "      --shard",
        "      --digest-map",
    ] {
        assert!(!help.contains(hidden), "{hidden}: {help}");
    }
}

#[test]
fn a_dry_run_shows_the_same_outputs() {
    let sandbox = Sandbox::new();
    let layout =
        with_bad_image(|layout, image| drop(layout.blobs.remove(&blob(&digest_of(image)))));
    sandbox.put("in.tar", layout.tar());
    let preview = ["split", "in.tar", "-o", "out/", "--dry-run"];
    let shown = sandbox.ocify(&preview).exits(1).stdout;
    assert!(shown.starts_with("in.tar: would be split into 2 outputs\n\nexample.com_a_1.tar: example.com/a:1, linux/amd64, "), "{shown}");
    let planned = parse_split(
        &sandbox
            .ocify(&[&preview[..], &["--format", "json"]].concat())
            .exits(1)
            .stdout,
    );
    assert_eq!(sandbox.names(), ["in.tar"]);
    let written = parse_split(&split(&sandbox, "in.tar", &[]).exits(1).stdout);
    assert_eq!(planned["output"], Value::Null);
    let pairs = planned["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .zip(written["outputs"].as_array().unwrap());
    for (planned, written) in pairs {
        for key in ["file", "names", "digest", "platforms"] {
            assert_eq!(planned[key], written[key]);
        }
        for key in ["changes", "findings", "images", "digests"] {
            assert_eq!(planned["report"][key], written["report"][key], "{key}");
        }
        assert_eq!(planned["size"], Value::Null);
    }
    sandbox.put("good.tar", archive(&[("a", &["example.com/a:1"])]).tar());
    sandbox.ocify(&["split", "good.tar", "--dry-run"]).exits(0);
}

#[test]
fn every_form_of_the_input_gives_the_same_outputs() {
    let sandbox = Sandbox::new();
    let layout = archive(&[("a", &["example.com/a:1"]), ("b", &[])]);
    sandbox.put("in.tar", layout.tar());
    layout.write_to(&sandbox.path("layout"));
    sandbox
        .ocify(&["fix", "in.tar", "-o", "in.tar.zst"])
        .exits(0);
    let (_, expected) = outputs(&sandbox, "in.tar", &[]);
    for input in ["layout", "in.tar.zst", "-"] {
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        let mut command = sandbox.command();
        command.args(["split", input, "-o", "out", "--format", "json"]);
        let run = pipe(&mut command, &sandbox.read("in.tar"));
        assert_eq!(run.code, 0, "{}", run.err);
        let report = parse_split(std::str::from_utf8(&run.out).unwrap());
        let is_stream = input == "-";
        assert_eq!(report["spooled"].is_string(), is_stream, "{input}");
        assert_eq!(
            run.err.contains("it is split into several outputs"),
            is_stream,
            "{}",
            run.err
        );
        for (name, contents) in &expected {
            let found = Contents::read(&sandbox.path(&format!("out/{name}")));
            assert!(found.files == contents.files, "{input}: {name}");
        }
    }
}

#[test]
fn options_of_the_outputs_apply() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let root = ["a", "b"].map(|text| {
        let layers = ["shared", text].map(|text| Layer::zstd(OCI_ZSTD, text));
        named(
            layout.image(&Image::oci(layers.to_vec())),
            &format!("example.com/{text}:1"),
        )
    });
    layout.root(root.to_vec());
    sandbox.put("in.tar", layout.tar());
    let (report, found) = outputs(
        &sandbox,
        "in.tar",
        &["--for", "docker@20.10", "--verify", "full"],
    );
    for (file, contents) in &found {
        let (_, manifest) = contents.manifests().remove(0);
        for layer in manifest["layers"].as_array().unwrap() {
            assert_eq!(layer["mediaType"], OCI_GZIP, "{file}");
        }
    }
    let rules = report["outputs"][1]["report"]["changes"]
        .as_array()
        .unwrap()
        .iter();
    assert_eq!(
        rules
            .filter(|change| change["rule"] == "recompressed")
            .count(),
        2
    );
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let (_, layouts) = outputs(&sandbox, "in.tar", &["--layout", "--compression", "gzip"]);
    let names: Vec<&str> = layouts.keys().map(String::as_str).collect();
    assert_eq!(names, ["example.com_a_1", "example.com_b_1"]);
    for (name, layout) in &layouts {
        assert!(
            layout.files == found[&format!("{name}.tar")].files,
            "{name}"
        );
    }
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    // What is left out of all outputs is reported once.
    let (report, found) = outputs(&sandbox, "in.tar", &["--image", "example.com/b:1"]);
    assert_eq!(found.len(), 1);
    assert_eq!(report["changes"][0]["rule"], "image-choice");
    assert_eq!(report["dropped"]["blobs"], 3);
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    sandbox.put(
        "multi.tar",
        fs::read(fixture("buildkit-oci-multi-attest-zstd-ocifalse.tar")).unwrap(),
    );
    for by in ["image", "platform"] {
        let options = [
            "--by",
            by,
            "--platform",
            "linux/arm64",
            "--attestations",
            "drop",
        ];
        let (report, found) = outputs(&sandbox, "multi.tar", &options);
        assert_eq!(found.len(), 1, "{by}");
        assert_eq!(
            report["outputs"][0]["platforms"],
            json!(["linux/arm64"]),
            "{by}"
        );
        let contents = found.values().next().unwrap();
        assert_eq!(contents.manifests().len(), 1, "{by}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
    // An index whose images stay can have one left out by its digest.
    let multi = Contents::read(&sandbox.path("multi.tar"));
    let index = multi.json("index.json")["manifests"][0]["digest"].clone();
    let listed = multi.document(index.as_str().unwrap());
    let amd64 = text(&listed["manifests"][0]["digest"]);
    for by in ["image", "name", "platform"] {
        let (_, found) = outputs(&sandbox, "multi.tar", &["--by", by, "--image", &amd64]);
        let platforms = found.values().flat_map(|contents| contents.manifests());
        let images = platforms.filter(|(_, manifest)| {
            manifest["layers"][0]["mediaType"]
                .as_str()
                .unwrap()
                .contains("layer")
        });
        assert_eq!(images.count(), 1, "{by}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

/// An archive of images with a large layer each.
fn large() -> Layout {
    let mut random = Random(1);
    let mut layout = Layout::new();
    let mut root = Vec::new();
    for number in 0..6 {
        let plain: Vec<u8> = (0..600_000).map(|_| random.byte()).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&plain).unwrap();
        let layer = Layer::new(OCI_GZIP, encoder.finish().unwrap(), &plain);
        root.push(named(
            layout.image(&Image::oci(vec![layer])),
            &format!("example.com/{number}:1"),
        ));
    }
    layout.root(root);
    layout
}

#[test]
fn a_killed_run_leaves_complete_outputs_and_is_finished_by_the_next() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", large().tar());
    let time = split(&sandbox, "in.tar", &[]).exits(0).time;
    let read = || -> Vec<(String, Vec<u8>)> {
        let names = names_in(&sandbox, "out").into_iter();
        let names = names.filter(|name| !name.starts_with('.'));
        names
            .map(|name| (name.clone(), sandbox.read(&format!("out/{name}"))))
            .collect()
    };
    let expected = read();
    let mut random = Random(1);
    let (mut killed, mut partial) = (0, 0);
    for _ in 0..200 {
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        let mut command = sandbox.command();
        command.args(["split", "in.tar", "-o", "out/"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(random.below(time));
        child.kill().unwrap();
        if child.wait().unwrap().signal() != Some(9) {
            fs::create_dir_all(sandbox.path("out")).unwrap();
            continue;
        }
        killed += 1;
        let found = match sandbox.path("out").exists() {
            true => read(),
            false => Vec::new(),
        };
        for (name, bytes) in &found {
            assert!(expected.contains(&(name.clone(), bytes.clone())), "{name}");
        }
        partial += usize::from(!found.is_empty() && found.len() < expected.len());
        split(&sandbox, "in.tar", &["--force"]).exits(0);
        assert!(read() == expected);
        assert_eq!(names_in(&sandbox, "out").len(), expected.len());
        if killed >= 20 && partial >= 3 {
            break;
        }
    }
    assert!(
        killed >= 20 && partial >= 3,
        "{killed} killed, {partial} of them between two outputs"
    );
    judge(&sandbox.path("out/example.com_0_1.tar")).unwrap();
}
