//! `--in-place` refuses what it cannot do, and then writes nothing.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::batch::batch;
use crate::common::builder::{
    Image, Layer, Layout, OCI_INDEX, OCI_ZSTD, digest_of, gzip, named, right_layout,
};
use crate::common::checker::{check_kept, check_output};
use crate::common::contents::Contents;
use crate::common::placed::{REFUSED, docker_layout, fix, fixed, refused};
use crate::common::runner::{Sandbox, run};
use crate::common::{evidence, fixture, saved};

#[test]
fn impossible_in_place_fixes_are_refused_before_the_first_write() {
    for name in REFUSED {
        let bytes = fs::read(fixture(name)).unwrap();
        refused(&bytes, &[], "in-place-refused", "under another name");
    }
    let layout = right_layout();
    let mut entries = layout.entries();
    let with = |entry: Entry| tar(&[&entries[..], &[entry]].concat());
    let link = with(Entry::link("note", b'2', "/etc/passwd"));
    refused(&link, &[], "in-place-refused", "note is a link");
    refused(
        &with(Entry::new("pipe", b'6', "")),
        &[],
        "in-place-refused",
        "pipe is a link or a special file",
    );
    refused(
        &gzip(&layout.tar()),
        &[],
        "in-place-refused",
        "compressed with gzip",
    );
    let wrapped: Vec<Entry> = entries
        .iter()
        .map(|entry| Entry {
            name: [b"image/", &entry.name[..]].concat(),
            ..entry.clone()
        })
        .collect();
    refused(
        &tar(&wrapped),
        &[],
        "in-place-refused",
        "under another name",
    );
    for name in ["/", ".//", "./blobs/../"] {
        let written = |entry: &mut Entry| entry.name = [name.as_bytes(), &entry.name].concat();
        let mut entries = entries.clone();
        entries.iter_mut().for_each(written);
        let code = if name.contains("..") {
            "invalid-archive"
        } else {
            "in-place-refused"
        };
        if code == "in-place-refused" {
            refused(
                &tar(&entries),
                &[],
                code,
                "in a form that some readers do not find",
            );
        }
    }
    // Two of one name: the last would count, but only for some.
    let mut other = entries[2].clone();
    other.data.push(b' ');
    entries.insert(2, other);
    refused(
        &tar(&entries),
        &["--lenient"],
        "in-place-refused",
        "more than once",
    );
}

#[test]
fn in_place_fixes_that_would_remove_entries_are_refused() {
    let mut layout = Layout::new();
    let image = layout.image(&evidence::one());
    let attestation = evidence::attestation(&mut layout, &image);
    let index = layout.index_of(OCI_INDEX, vec![image, attestation]);
    layout.root(vec![named(index, "docker.io/library/app:v1")]);
    let part = "would have to be removed";
    refused(
        &layout.tar(),
        &["--attestations", "drop"],
        "in-place-refused",
        part,
    );

    let mut layout = Layout::new();
    let descriptors = [evidence::one(), evidence::two()].map(|image| layout.image(&image));
    let [one, two] = descriptors;
    layout.root(vec![
        named(one, "docker.io/library/one:v1"),
        named(two, "docker.io/library/two:v1"),
    ]);
    refused(&layout.tar(), &["--image", "1"], "in-place-refused", part);
    // If there is nothing to remove, it succeeds.
    fixed(&layout.tar(), &["--attestations", "drop"]);

    let zstd = Layout::of(
        &Image::oci(vec![Layer::zstd(OCI_ZSTD, "z")]),
        "docker.io/library/app:v1",
    );
    let part = "must be recompressed";
    refused(
        &zstd.tar(),
        &["--for", "docker@20.10"],
        "in-place-refused",
        part,
    );
    refused(
        &zstd.tar(),
        &["--compression", "gzip"],
        "in-place-refused",
        part,
    );
    fixed(&zstd.tar(), &["--compression", "zstd"]);
    fixed(&right_layout().tar(), &["--for", "docker@20.10"]);
}

/// Checks that no file is written in place where a directory is, and that a new archive leaves its
/// entries out, whether or not it could be a patched copy.
#[track_caller]
fn in_the_way(entries: &[Entry], file: &str) {
    let below = format!("{file}/note");
    let note = Entry::file(&below, "note");
    for at in [0, entries.len()] {
        let mut entries = entries.to_vec();
        entries.insert(at, note.clone());
        let bytes = tar(&entries);
        let part = format!("{below} would have to be removed from it");
        refused(&bytes, &[], "in-place-refused", &part);
        refused(&bytes, &["--dry-run"], "in-place-refused", &part);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        for level in ["documents", "full"] {
            let output = format!("{level}.tar");
            let options = ["--verify", level];
            sandbox.fix_with("in.tar", &output, &options).exits(0);
            check_output(&sandbox.path(&output));
            assert!(!Contents::read(&sandbox.path(&output)).has(&below));
            let again = fix(&sandbox, &output, &[]).exits(0).json();
            assert_eq!(again["status"], "unchanged", "{file}");
        }
        assert_eq!(sandbox.read("documents.tar"), sandbox.read("full.tar"));
    }
}

#[test]
fn files_are_not_written_in_place_where_a_directory_is() {
    let entries = right_layout().entries();
    let without = |names: &[&str]| -> Vec<Entry> {
        let stays = |entry: &&Entry| !names.iter().any(|name| entry.name == name.as_bytes());
        entries.iter().filter(stays).cloned().collect()
    };
    in_the_way(&without(&["oci-layout"]), "oci-layout");
    in_the_way(&without(&["manifest.json"]), "manifest.json");
    in_the_way(&without(&["index.json", "oci-layout"]), "index.json");
    // A rewritten document, whose name is known only from the result.
    let layout = docker_layout();
    let (sandbox, _) = fixed(&layout.tar(), &[]);
    let result = Contents::read(&sandbox.path("in.tar"));
    let digest = digest_of(&result.json("index.json")["manifests"][0]);
    let document = format!("blobs/{}", digest.replace(':', "/"));
    assert!(!Contents::from_tar(&layout.tar()).has(&document));
    in_the_way(&layout.entries(), &document);
    // Entries below other names stay.
    let note = Entry::file("oci-layout.d/note", "note");
    let bytes = tar(&[&without(&["oci-layout"])[..], &[note]].concat());
    let (sandbox, _) = fixed(&bytes, &[]);
    assert!(Contents::read(&sandbox.path("in.tar")).has("oci-layout.d/note"));
}

#[test]
fn only_regular_files_are_fixed_in_place() {
    let sandbox = Sandbox::new();
    let code = |file: &str| fix(&sandbox, file, &[]).exits(1).json()["error"]["code"].clone();
    assert_eq!(code("/dev/null"), "in-place-refused");
    assert_eq!(code("absent.tar"), "io");
    // Nobody can write to a running program.
    let copy = ["/bin/sleep", "busy.tar"];
    run(Command::new("cp").args(copy).current_dir(sandbox.root())).exits(0);
    let mut running = Command::new(sandbox.path("busy.tar"))
        .arg("60")
        .spawn()
        .unwrap();
    let found = code("busy.tar");
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(found, "not-writable");
    sandbox.put("text.tar", "text");
    assert_eq!(code("text.tar"), "not-an-image");
    // Nothing is written through a link.
    sandbox.put(
        "in.tar",
        fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap(),
    );
    symlink("in.tar", sandbox.path("link.tar")).unwrap();
    let before = sandbox.read("in.tar");
    let report = fix(&sandbox, "link.tar", &[]).exits(1).json();
    assert_eq!(report["error"]["code"], "link-entry");
    assert_eq!(report["error"]["message"], "link.tar is a symbolic link");
    assert_eq!(report["error"]["hint"], "give the file's own name");
    assert!(sandbox.read("in.tar") == before);
    assert!(sandbox.path("link.tar").is_symlink());
    fix(&sandbox, "in.tar", &[]).exits(0);
    check_kept(&sandbox.path("in.tar"));
}

#[test]
fn a_file_without_a_name_is_read_and_not_written() {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", docker_layout().tar());
    sandbox.fix("in.tar", "named.tar").exits(0);
    let file = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let nameless = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    sandbox.fix(&nameless, "out.tar").exits(0);
    assert_eq!(sandbox.read("out.tar"), sandbox.read("named.tar"));
    let run = fix(&sandbox, &nameless, &[]).exits(2);
    assert!(run.stderr.contains("is not the name of a file"), "{run:?}");
    // In a list, it is the failure of one input.
    sandbox.put("list", &nameless);
    let listed = batch(&sandbox, &["--in-place", "--files-from", "list"]);
    listed.exits(1);
    assert_eq!(listed.ends()[&*nameless], "in-place-refused");
    assert_eq!(sandbox.names(), ["list", "named.tar", "out.tar"]);
}

#[test]
fn invalid_option_combinations_are_refused() {
    let sandbox = Sandbox::new();
    for line in [
        &["fix", "in.tar"][..],
        &["fix", "in.tar", "--in-place", "-o", "out.tar"],
        &["fix", "in.tar", "--in-place", "--force"],
        &["fix", "in.tar", "--in-place", "--recover"],
        &["fix", "in.tar", "--recover", "--dry-run"],
    ] {
        sandbox.ocify(line).exits(2);
    }
    let run = sandbox.ocify(&["fix", "in.tar"]);
    assert!(run.stderr.contains("-o OUTPUT") && run.stderr.contains("--in-place"));
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let bytes = fs::read(fixture("docker26g-save.tar")).unwrap();
    sandbox.put("in.tar", &bytes);
    let line = ["--dry-run", "--strict"];
    let dry = fix(&sandbox, "in.tar", &line).exits(3).json();
    assert_eq!(sandbox.read("in.tar"), bytes);
    let wet = fix(&sandbox, "in.tar", &[]).exits(0).json();
    assert_eq!(dry["changes"], wet["changes"]);
    assert_eq!(dry["digests"], wet["digests"]);
    fix(&sandbox, "in.tar", &line).exits(0);
    // A dry run refuses the same inputs.
    let bytes = fs::read(fixture("docker20-save.tar")).unwrap();
    refused(
        &bytes,
        &["--dry-run"],
        "in-place-refused",
        "under another name",
    );
}

#[test]
fn a_damaged_layer_is_detected_only_with_full_verification() {
    let bytes = fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap();
    let contents = Contents::from_tar(&bytes);
    let layer = contents.manifests()[0].1["layers"][0].clone();
    let blob = contents.blob(&digest_of(&layer)).unwrap();
    let at = bytes
        .windows(blob.len())
        .position(|part| part == blob)
        .unwrap();
    let mut damaged = bytes.clone();
    damaged[at + blob.len() - 1] ^= 1;
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &damaged);
    let report = fix(&sandbox, "in.tar", &["--verify", "full"])
        .exits(1)
        .json();
    assert_eq!(report["error"]["code"], "digest-mismatch");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains(&digest_of(&layer)), "{message}");
    assert_eq!(sandbox.read("in.tar"), damaged);
    assert_eq!(sandbox.names(), ["in.tar"]);
    let report = fix(&sandbox, "in.tar", &[]).exits(0).json();
    let verified = |report: &serde_json::Value| {
        ["documents", "configs", "layers", "diff_ids"]
            .map(|key| report["blobs"]["verified"][key].as_u64().unwrap())
    };
    assert_eq!(verified(&report), [1, 1, 0, 0]);
    assert_eq!(report["blobs"]["unverified"]["layers"], 4);
    for (level, expected) in [("digests", [1, 1, 4, 0]), ("full", [1, 1, 4, 4])] {
        let (_, report) = fixed(&bytes, &["--verify", level]);
        assert_eq!(verified(&report), expected, "{level}");
    }
}

#[test]
fn archives_that_cannot_be_patched_are_copied() {
    // The same input and options always give the same bytes, whether patched or copied.
    for name in REFUSED {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "full.tar").exits(0);
        sandbox
            .fix_with(fixture(name), "documents.tar", &["--verify", "documents"])
            .exits(0);
        assert_eq!(
            sandbox.read("full.tar"),
            sandbox.read("documents.tar"),
            "{name}"
        );
    }
    let sandbox = Sandbox::new();
    let mut saved = saved::Saved::new();
    saved.docker(&saved::image(&["a", "b"]), json!(["app:v1"]));
    let path = sandbox.put("in.tar", saved.tar());
    let dry = [
        "fix",
        "in.tar",
        "--dry-run",
        "--verify",
        "documents",
        "--format",
        "json",
    ];
    let dry = sandbox.ocify(&dry).exits(3).json();
    let wet = sandbox
        .fix_with(path, "out.tar", &["--verify", "documents"])
        .exits(0)
        .json();
    assert_eq!(dry["changes"], wet["changes"]);
}

#[test]
fn a_file_in_use_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", docker_layout().tar());
    let held = fs::File::open(&path).unwrap();
    for (lock, in_place, reading) in [
        (fs::File::try_lock as fn(&fs::File) -> _, 1, 1),
        (fs::File::try_lock_shared, 1, 3),
    ] {
        lock(&held).unwrap();
        let run = fix(&sandbox, "in.tar", &[]).exits(in_place);
        assert_eq!(run.json()["error"]["code"], "file-busy");
        sandbox
            .ocify(&["fix", "in.tar", "--dry-run"])
            .exits(reading);
    }
    // Not by closing it: a child that another test starts at this moment has it open too.
    held.unlock().unwrap();
    fix(&sandbox, "in.tar", &[]).exits(0);
}

#[test]
fn recovery_without_a_journal_does_nothing() {
    let sandbox = Sandbox::new();
    let bytes = docker_layout().tar();
    sandbox.put("in.tar", &bytes);
    let run = sandbox.ocify(&["fix", "--recover", "in.tar"]).exits(0);
    assert!(run.stdout.contains("nothing to restore"), "{run:?}");
    let report = sandbox
        .ocify(&["fix", "--recover", "in.tar", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(report["status"], "unchanged");
    assert_eq!(sandbox.read("in.tar"), bytes);
    // An incomplete journal means that nothing was written.
    sandbox.put(".in.tar.ocify-journal", "ocify undo journal 1\n");
    let run = sandbox.ocify(&["fix", "in.tar", "--dry-run"]).exits(3);
    assert!(run.stderr.contains("had not been changed yet"), "{run:?}");
    assert_eq!(sandbox.names(), ["in.tar"]);
    sandbox.ocify(&["fix", "--recover", "absent.tar"]).exits(1);
}
