//! Standard input to standard output: the output.

use std::fs;

use serde_json::{Value, json};

use crate::common::archive::tar;
use crate::common::builder::{Layout, named};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, one};
use crate::common::fixtures;
use crate::common::piped::{
    NAME, by_file, for_people, packed, pipe, plain_layer, roots_first, sample, stream,
};
use crate::common::runner::{Sandbox, run};
use crate::common::schema::parse_report;

#[test]
fn every_fixture_is_fixed_in_a_stream() {
    let mut spooled = Vec::new();
    let mut identical = Vec::new();
    for name in fixtures() {
        let bytes = packed(&name);
        let file = by_file(&bytes, &[]);
        let piped = stream(&bytes, &[]).exits(0);
        assert!(
            Contents::from_tar(&piped.out) == Contents::from_tar(&file),
            "{name}"
        );
        let report = piped.json();
        assert_eq!(
            (&report["input"], &report["output"]),
            (&json!("-"), &json!("-"))
        );
        if report["spooled"].is_string() {
            assert!(
                piped.out == file,
                "{name}: what was kept is written as a file is"
            );
            spooled.push(name);
            continue;
        }
        piped.judged();
        let again = stream(&piped.out, &[]).exits(0);
        assert!(again.out == piped.out, "{name}: the second pass differs");
        assert_eq!(again.json()["status"], "unchanged", "{name}");
        // Fixing the stream's output to a file gives the same file as fixing the input directly.
        assert!(by_file(&piped.out, &[]) == file, "{name}");
        // The two differ where a document sorts before a layer, and nowhere else.
        let contents = Contents::from_tar(&file);
        let is_document = |name: &String| contents.file(name).starts_with(b"{");
        let blobs = contents
            .files
            .keys()
            .filter(|name| name.starts_with("blobs/"));
        assert_eq!(
            blobs.is_sorted_by_key(is_document),
            piped.out == file,
            "{name}"
        );
        if piped.out == file {
            identical.push(name);
        }
    }
    assert_eq!(
        spooled,
        [
            "docker20-save-byid.tar",
            "docker20-save-names.tar",
            "docker20-save.tar",
            "podman-docker.tar",
            "podman-dockerdir",
            "podman-multi.tar",
            "skopeo19-docker.tar",
        ]
    );
    assert!(
        identical.contains(&"buildkit-docker-zstd-ocifalse.tar".to_owned()),
        "{identical:?}"
    );
}

#[test]
fn documents_and_the_files_at_the_root_come_last() {
    let layout = sample();
    let bytes = tar(&roots_first(&layout));
    let piped = stream(&bytes, &[]).exits(0);
    let (contents, _) = piped.judged();
    let is_layer =
        |name: &String| name.starts_with("blobs/") && !contents.file(name).starts_with(b"{");
    let layers: Vec<String> = contents
        .files
        .keys()
        .filter(|name| is_layer(name))
        .cloned()
        .collect();
    let names = piped.names();
    assert_eq!(names[..2], ["blobs/", "blobs/sha256/"]);
    assert_eq!(layers.len(), 3);
    let passed: Vec<String> = roots_first(&layout)
        .iter()
        .map(|entry| String::from_utf8(entry.name.clone()).unwrap())
        .filter(|name| layers.contains(name))
        .collect();
    assert_eq!(names[2..5], passed, "layers keep their order");
    assert!(names[5..names.len() - 3].is_sorted());
    assert_eq!(
        names[names.len() - 3..],
        ["index.json", "manifest.json", "oci-layout"]
    );
    // The order of the input's documents does not matter.
    assert!(stream(&layout.tar(), &[]).exits(0).out == piped.out);
}

#[test]
fn names_that_readers_normalize_are_accepted() {
    let layout = sample();
    let mut entries = layout.entries();
    for entry in &mut entries {
        entry.name = [b"./", &entry.name[..]].concat();
    }
    let expected = stream(&layout.tar(), &[]).exits(0).out;
    assert!(stream(&tar(&entries), &[]).exits(0).out == expected);
    // A directory around everything shows at the end only, unless it is in the first name.
    for entry in &mut entries {
        entry.name = [b"app/", &entry.name[2..]].concat();
    }
    let piped = stream(&tar(&entries), &[]).exits(0);
    assert!(
        piped.json()["spooled"]
            .as_str()
            .unwrap()
            .contains("app/blobs/sha256/")
    );
    assert!(piped.out == by_file(&layout.tar(), &[]));
}

#[test]
fn a_dry_run_reads_everything_and_writes_nothing() {
    for name in [
        "buildkit-docker-zstd-ocifalse.tar",
        "buildkit-docker-gzip-ocitrue.tar",
        "docker20-save.tar",
    ] {
        let bytes = packed(name);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let line = ["--dry-run", "--format", "json"];
        let file = sandbox.ocify(&[&["fix", "in.tar"], &line[..]].concat());
        let mut command = sandbox.command();
        let piped = pipe(command.args(["fix", "-"]).args(line), &bytes);
        assert_eq!(piped.code, file.code, "{name}");
        let mut report = parse_report(std::str::from_utf8(&piped.out).unwrap());
        report["input"] = json!("in.tar");
        report["spooled"] = Value::Null;
        assert_eq!(report, file.json(), "{name}");
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
    let mut damaged = sample();
    let name = plain_layer(&damaged);
    damaged.blobs.get_mut(&name).unwrap()[700] ^= 1;
    // As with a file, only documents are verified unless more is asked for.
    for_people(&damaged.tar(), &["--dry-run"]).exits(3);
    let options = ["--dry-run", "--verify", "digests"];
    let piped = for_people(&damaged.tar(), &options).exits(1);
    assert!(
        piped.out.is_empty() && piped.err.starts_with("error: blobs/sha256/"),
        "{}",
        piped.err
    );
}

#[test]
fn streams_and_files_can_be_combined() {
    let bytes = sample().tar();
    let expected = by_file(&bytes, &[]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let from_stdin = |option: &str, output: &str| {
        let mut command = sandbox.command();
        pipe(command.args(["fix", "-", option, "-o", output]), &bytes).exits(0)
    };
    let piped = from_stdin("--archive", "out.tar");
    assert!(sandbox.read("out.tar") == expected);
    assert!(
        piped.err.contains("the output is not a stream"),
        "{}",
        piped.err
    );
    let shown = String::from_utf8(piped.out).unwrap();
    assert!(
        shown.starts_with("standard input → out.tar: fixed"),
        "{shown}"
    );
    from_stdin("--layout", "out");
    assert!(Contents::read(&sandbox.path("out")) == Contents::from_tar(&expected));
    for input in ["in.tar", "out", "out.tar"] {
        let mut command = sandbox.command();
        let piped = pipe(command.args(["fix", input, "-o", "-"]), b"").exits(0);
        assert!(piped.out == expected, "{input}");
        let line = format!("{input} → standard output: ");
        assert!(piped.err.starts_with(&line), "{}", piped.err);
    }
    // A file of that name is ./-.
    fs::write(sandbox.path("-"), &bytes).unwrap();
    sandbox.fix("./-", "./--").exits(0);
    assert!(sandbox.read("--") == expected);
    // Refused before anything is read.
    let mut command = sandbox.command();
    let piped = pipe(command.args(["fix", "-", "-o", "out.tar"]), b"").exits(1);
    assert!(
        piped
            .err
            .starts_with("error: the output out.tar already exists\n"),
        "{}",
        piped.err
    );
}

#[test]
fn options_work_on_streams() {
    let mut layout = Layout::new();
    let image = layout.image(&one());
    let about = attestation(&mut layout, &image);
    layout.root(vec![named(image, NAME), about]);
    let bytes = layout.tar();
    for options in [
        &["--name", "example.com/app:v2"][..],
        &["--rename", "app:v1=app:v2"],
        &["--docker-platform", "linux/amd64"],
        &["--missing", "error"],
        &["--jobs", "1"],
    ] {
        let piped = stream(&bytes, options).exits(0);
        assert!(piped.json()["spooled"].is_null(), "{options:?}");
        let file = Contents::from_tar(&by_file(&bytes, options));
        assert!(Contents::from_tar(&piped.out) == file, "{options:?}");
    }
    // Layers that are not verified are not hashed, but documents always are.
    let mut damaged = layout.clone();
    let layer = damaged
        .blobs
        .iter()
        .find(|(_, bytes)| bytes.starts_with(b"\x1f\x8b"));
    let name = layer.unwrap().0.clone();
    *damaged.blobs.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    stream(&damaged.tar(), &["--verify", "documents"]).exits(0);
    stream(&damaged.tar(), &[]).fails("layer", &["digest-mismatch"]);
    let mut damaged = layout;
    let name = damaged.find(&["\"rootfs\"", "hello"]);
    *damaged.blobs.get_mut(&name).unwrap().last_mut().unwrap() = b' ';
    stream(&damaged.tar(), &["--verify", "documents"]).fails("config", &["digest-mismatch"]);
}

#[test]
fn reports_go_to_standard_error() {
    let bytes = sample().tar();
    let text = for_people(&bytes, &[]).exits(0);
    let headline = "standard input → standard output: fixed, ";
    assert!(text.err.starts_with(headline), "{}", text.err);
    assert!(text.err.contains("\n  layer-type (2): "), "{}", text.err);
    let failed = for_people(&bytes[..2000], &[]).exits(1);
    assert!(
        failed
            .err
            .starts_with("error: standard input ends inside blobs/sha256/"),
        "{}",
        failed.err
    );
    assert!(
        failed
            .err
            .ends_with("\nhint: copy or download the archive again\n"),
        "{}",
        failed.err
    );
    let empty = for_people(b"", &[]).exits(1);
    assert!(
        empty.err.starts_with("error: standard input is empty\n"),
        "{}",
        empty.err
    );
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args([
        "fix",
        "-",
        "--metadata-file",
        "meta.json",
        "--progress",
        "plain",
    ]);
    let piped = pipe(&mut command, &bytes).exits(0);
    assert!(piped.err.starts_with("streaming "), "{}", piped.err);
    let file = {
        sandbox.put("in.tar", &bytes);
        sandbox
            .fix_with("in.tar", "out.tar", &["--metadata-file", "file.json"])
            .exits(0);
        sandbox.read("file.json")
    };
    assert!(sandbox.read("meta.json") == file);
    let usage = run(sandbox.command().args(["fix", "-", "--sync"])).exits(2);
    assert!(
        usage.stderr.contains("--sync requires an OUTPUT"),
        "{}",
        usage.stderr
    );
}
