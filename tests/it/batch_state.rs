//! The state file of a batch: versions of its format, what it is worth on a later run, and what is not one.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use serde_json::Value;

use crate::common::batch::{batch, outputs, put, put_all, put_fixture};
use crate::common::runner::{Sandbox, run};
use crate::common::trace::failing;
use crate::common::{sha256, skipped};

const STATE: &str = "out/.ocify-state";

/// A finished batch of one archive.
fn finished() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a.tar", "buildkit-docker-zstd-ocifalse.tar");
    let first = batch(&sandbox, &["in", "-o", "out"]);
    first.exits(0);
    assert_eq!(first.count("fixed"), 1);
    let again = batch(&sandbox, &["in", "-o", "out"]);
    again.exits(0);
    assert_eq!(again.count("kept"), 1);
    assert_eq!(again.run.stderr, "");
    sandbox
}

/// The state as format 1 or 2 has it: without digests of the content, and in format 1 without a first line for the format
/// and with shorter keys for the options.
fn downgraded(text: &str, format: u64) -> String {
    let lines = text.lines().skip(1).map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("sum");
        object.remove("content").unwrap();
        object["note"] = object["note"]["digests"].take();
        if format == 1 {
            value["options"] = "0123456789abcdef".into();
        }
        let text = value.to_string();
        let rest = &text[1..];
        let sum = &sha256(rest.as_bytes())[..16];
        format!("{{\"sum\":\"{sum}\",{rest}\n")
    });
    let first_line = match format {
        1 => String::new(),
        _ => format!("{{\"format\":{format}}}\n"),
    };
    first_line + &lines.collect::<String>()
}

#[test]
fn outputs_recorded_by_an_older_version_are_written_again_with_a_note() {
    for format in [1, 2] {
        let sandbox = finished();
        let text = fs::read_to_string(sandbox.path(STATE)).unwrap();
        assert!(text.starts_with("{\"format\":4}\n"), "{text}");
        fs::write(sandbox.path(STATE), downgraded(&text, format)).unwrap();
        let expected = fs::read(sandbox.path("out/a.tar")).unwrap();
        // A power failure can have damaged an output that was recorded before it was on disk.
        let zeros = vec![0; expected.len()];
        let damaged = File::options().write(true).open(sandbox.path("out/a.tar"));
        let mut damaged = damaged.unwrap();
        let modified = damaged.metadata().unwrap().modified().unwrap();
        damaged.write_all(&zeros).unwrap();
        damaged.set_modified(modified).unwrap();
        let upgraded = batch(&sandbox, &["in", "-o", "out"]);
        upgraded.exits(0);
        assert_eq!(upgraded.count("fixed"), 1);
        assert_eq!(
            upgraded.run.stderr,
            "note: out/.ocify-state was written by an older version of ocify; ocify will rewrite the outputs that it lists\n"
        );
        assert!(fs::read(sandbox.path("out/a.tar")).unwrap() == expected);
        let again = batch(&sandbox, &["in", "-o", "out"]);
        again.exits(0);
        assert_eq!((again.count("kept"), again.run.stderr.as_str()), (1, ""));
    }
}

#[test]
fn a_state_of_a_newer_version_is_refused_and_nothing_is_touched() {
    let sandbox = finished();
    let newer = b"{\"format\":5}\nwhatever it holds";
    fs::write(sandbox.path(STATE), newer).unwrap();
    let expected = fs::read(sandbox.path("out/a.tar")).unwrap();
    for force in [&[][..], &["--force"]] {
        let args = [&["fix", "in", "-o", "out"], force].concat();
        let run = sandbox.ocify(&args).exits(1);
        assert!(
            run.stderr.contains(
                "out/.ocify-state has format 5, and this version of ocify knows formats up to 4"
            ),
            "{}",
            run.stderr
        );
    }
    assert_eq!(fs::read(sandbox.path(STATE)).unwrap(), newer);
    assert!(fs::read(sandbox.path("out/a.tar")).unwrap() == expected);
}

/// Changes a byte in the middle of a file, which keeps its time.
fn damage(path: &Path) {
    damage_at(path, fs::metadata(path).unwrap().len() / 2);
}

/// The position of the last byte of a layer, which is compressed with zstd.
fn end_of_layer(archive: &Path) -> u64 {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let ends = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut first = [0; 4];
        let is_layer = entry.read_exact(&mut first).is_ok() && first == *b"\x28\xb5\x2f\xfd";
        is_layer.then(|| entry.raw_file_position() + entry.size() - 1)
    });
    ends.flatten().next().unwrap()
}

fn damage_at(path: &Path, at: u64) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let at = SeekFrom::Start(at);
    let mut byte = [0];
    file.seek(at).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(at).unwrap();
    file.write_all(&[byte[0] ^ 0x55]).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn intact_outputs_are_kept_when_they_are_verified_again() {
    let sandbox = Sandbox::new();
    let paths = put_all(&sandbox);
    for options in [
        &[][..],
        &[
            "--oci-mediatypes=false",
            "--attestations",
            "drop",
            "--compression",
            "gzip",
        ],
        &["--layout"],
        &["--verify", "documents"],
    ] {
        let _ = fs::remove_dir_all(sandbox.path("out"));
        let line = [&["in", "-o", "out", "--copy-others"], options].concat();
        let first = batch(&sandbox, &line);
        // Artifacts have no media types of Docker's.
        let finished = first.count("fixed") + first.count("unchanged");
        assert!(finished >= paths.len() as u64 / 2, "{options:?}");
        let before = outputs(&sandbox.path("out"));
        let levels: &[&str] = match options {
            ["--verify", ..] => &["documents"],
            _ => &["digests", "full"],
        };
        for level in levels {
            let line: Vec<&str> = line
                .iter()
                .copied()
                .filter(|arg| *arg != "documents")
                .collect();
            let line: Vec<&str> = line.into_iter().filter(|arg| *arg != "--verify").collect();
            let again = batch(&sandbox, &[&line[..], &["--verify", level]].concat());
            assert_eq!(again.count("kept"), finished, "{options:?} {level}");
            for item in again.items.values().filter(|item| item["status"] == "kept") {
                assert_eq!(item["verified_again"], *level);
            }
            assert_eq!(again.run.code, first.run.code);
            assert!(!again.run.stderr.contains("note:"), "{}", again.run.stderr);
            assert!(outputs(&sandbox.path("out")) == before);
        }
    }
}

#[test]
fn verify_documents_is_recorded_and_the_report_says_what_was_verified() {
    let sandbox = finished();
    let written = sandbox.read("out/a.tar");
    let run = |options: &[&str]| {
        let line = [&["in", "-o", "out"], options].concat();
        let found = batch(&sandbox, &line);
        found.exits(0);
        assert_eq!(found.run.stderr, "");
        let item = &found.items["in/a.tar"];
        let (level, blobs) = (&item["verified_again"], &item["blobs"]);
        let of_kept = (item["status"] == "kept").then(|| {
            let verified = &blobs["verified"];
            let layers = (&verified["layers"], &verified["diff_ids"]);
            assert_eq!(found.count("kept"), 1);
            (
                level.as_str().map(str::to_owned),
                blobs["count"].as_u64().unwrap(),
                layers.0.as_u64().unwrap(),
                layers.1.as_u64().unwrap(),
            )
        });
        assert!(of_kept.is_some() || level.is_null());
        of_kept
    };
    let level = |name: &str| Some(name.to_owned());
    assert_eq!(run(&[]), Some((None, 0, 0, 0)));
    let expected = Some((level("digests"), 6, 4, 0));
    assert_eq!(run(&["--verify", "digests"]), expected);
    let expected = Some((level("full"), 6, 4, 4));
    assert_eq!(run(&["--verify", "full"]), expected);
    // With documents, the output is another one, and so it is without them.
    let documents = ["--verify", "documents"];
    for others in [&[][..], &["--verify", "digests"], &["--verify", "full"]] {
        assert_eq!(run(&documents), None, "it is written again");
        assert!(sandbox.read("out/a.tar") != written);
        // Damage in a layer is not found.
        let output = sandbox.path("out/a.tar");
        damage_at(&output, end_of_layer(&output));
        assert_eq!(run(&documents), Some((level("documents"), 0, 0, 0)));
        assert_eq!(run(others), None, "it is written again");
        assert!(sandbox.read("out/a.tar") == written);
    }
    for (options, expected) in [
        (&[][..], ": 1 finished earlier; 1 finding (-v shows each)\n"),
        (
            &["--verify", "full"],
            ": 1 finished earlier and verified again; 1 finding (-v shows each)\n",
        ),
    ] {
        let line = [&["fix", "in", "-o", "out"], options].concat();
        let text = sandbox.ocify(&line).exits(0).stdout;
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn damaged_outputs_are_written_again_only_if_they_are_verified() {
    let sandbox = Sandbox::new();
    for name in ["a.tar", "b.tar", "c.tar.gz"] {
        put_fixture(
            &sandbox,
            &format!("in/{name}"),
            "buildkit-docker-zstd-ocifalse.tar",
        );
    }
    put_fixture(
        &sandbox,
        "in/layout.tar",
        "buildkit-docker-gzip-ocifalse.tar",
    );
    sandbox
        .ocify(&["fix", "in/layout.tar", "--layout", "-o", "in/layout"])
        .exits(0);
    fs::remove_file(sandbox.path("in/layout.tar")).unwrap();
    put(&sandbox, "in/notes", "notes");
    let line = ["in", "-o", "out", "--copy-others"];
    batch(&sandbox, &line).exits(0);
    let expected = outputs(&sandbox.path("out"));
    let blobs = sandbox.path("out/layout/blobs/sha256");
    let mut blobs: Vec<_> = fs::read_dir(blobs)
        .unwrap()
        .map(|blob| blob.unwrap().path())
        .collect();
    blobs.sort_by_key(|blob| fs::metadata(blob).unwrap().len());
    for path in ["out/a.tar", "out/c.tar.gz", "out/notes"] {
        damage(&sandbox.path(path));
    }
    damage(blobs.last().unwrap());
    let kept = batch(&sandbox, &line);
    kept.exits(0);
    assert_eq!((kept.count("kept"), kept.run.stderr.as_str()), (4, ""));
    let found = batch(&sandbox, &[&line[..], &["--verify", "digests"]].concat());
    found.exits(0);
    assert_eq!(
        (found.count("kept"), found.count("fixed")),
        (1, 2),
        "{:#?}",
        found.ends()
    );
    for name in ["a.tar", "c.tar.gz", "layout"] {
        let note = format!("note: out/{name} is not what an earlier run wrote");
        assert!(found.run.stderr.contains(&note), "{}", found.run.stderr);
    }
    assert!(outputs(&sandbox.path("out")) == expected);
    let again = batch(&sandbox, &[&line[..], &["--verify", "digests"]].concat());
    assert_eq!((again.count("kept"), again.run.stderr.as_str()), (4, ""));
}

#[test]
fn an_output_with_other_images_is_not_what_was_recorded() {
    let sandbox = Sandbox::new();
    for name in ["in/a.tar", "other.tar"] {
        put_fixture(&sandbox, name, "buildkit-docker-zstd-ocifalse.tar");
    }
    batch(&sandbox, &["in", "-o", "out"]).exits(0);
    let renamed = ["--rename", "example.com/app:v1=example.com/app:v2"];
    let line = [&["fix", "other.tar", "-o", "other"][..], &renamed].concat();
    sandbox.ocify(&line).exits(0);
    // As long, and as old.
    let (out, expected) = (sandbox.path("out/a.tar"), sandbox.read("out/a.tar"));
    let modified = fs::metadata(&out).unwrap().modified().unwrap();
    let other = sandbox.read("other");
    assert!(other.len() == expected.len() && other != expected);
    fs::write(&out, other).unwrap();
    let file = File::options().write(true).open(&out).unwrap();
    file.set_modified(modified).unwrap();
    let found = batch(&sandbox, &["in", "-o", "out", "--verify", "full"]);
    assert_eq!(found.count("fixed"), 1);
    assert!(
        found.run.stderr.contains("it contains other images"),
        "{}",
        found.run.stderr
    );
    assert!(fs::read(&out).unwrap() == expected);
}

#[test]
fn outputs_without_a_record_are_kept_if_they_are_the_same_and_refused_otherwise() {
    let sandbox = finished();
    put_fixture(&sandbox, "in/b.tar", "docker20-save.tar");
    batch(&sandbox, &["in", "-o", "out"]).exits(0);
    let expected = outputs(&sandbox.path("out"));
    fs::remove_file(sandbox.path(STATE)).unwrap();
    damage(&sandbox.path("out/b.tar"));
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(1);
    assert_eq!(found.ends()["in/a.tar"], "fixed");
    assert_eq!(found.ends()["in/b.tar"], "output-exists");
    // Now the first one has a record.
    let found = batch(&sandbox, &["in", "-o", "out"]);
    assert_eq!((found.count("kept"), found.count("failed")), (1, 1));
    batch(&sandbox, &["in", "-o", "out", "--force"]).exits(0);
    assert!(outputs(&sandbox.path("out")) == expected);
}

#[test]
fn an_empty_file_from_1970_has_a_record_like_any_other() {
    let sandbox = finished();
    put(&sandbox, "in/notes", "");
    let file = File::options().write(true).open(sandbox.path("in/notes"));
    file.unwrap().set_modified(UNIX_EPOCH).unwrap();
    let line = ["in", "-o", "out", "--copy-others"];
    batch(&sandbox, &line).exits(0);
    assert_eq!(sandbox.read("out/notes"), b"");
    // Without a record, its output would not be replaced.
    put(&sandbox, "in/notes", "notes");
    batch(&sandbox, &line).exits(0);
    assert_eq!(sandbox.read("out/notes"), b"notes");
}

#[test]
fn the_first_error_of_a_run_is_the_one_that_is_reported() {
    let sandbox = finished();
    let unremovable = ["-e", "inject=unlinkat:error=EIO"];
    let failing = |line: &[&str]| failing(&sandbox, &unremovable, line);
    let Some(mut closing) = failing(&["fix", "in", "-o", "out"]) else {
        return;
    };
    let closing = run(&mut closing).exits(1);
    assert!(closing.stderr.contains("cannot remove"), "{closing:#?}");
    let line = ["fix", "--files-from", "missing", "-o", "out"];
    let both = run(&mut failing(&line).unwrap()).exits(1);
    assert!(both.stderr.contains("cannot read missing"), "{both:#?}");
}

#[test]
fn a_link_or_a_fifo_is_not_a_state_file() {
    let sandbox = finished();
    let victim = sandbox.put("victim", "precious\n");
    fs::remove_file(sandbox.path(STATE)).unwrap();
    symlink(&victim, sandbox.path(STATE)).unwrap();
    let run = sandbox.ocify(&["fix", "in", "-o", "out"]).exits(1);
    let expected =
        "ocify keeps its record of finished outputs in out/.ocify-state, which is a symbolic link";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert!(run.stderr.contains("hint: remove it"), "{}", run.stderr);
    assert_eq!(fs::read(&victim).unwrap(), b"precious\n");
    // Those of other shards are left alone, and nothing is waited for.
    fs::remove_file(sandbox.path(STATE)).unwrap();
    let made = Command::new("mkfifo")
        .arg(sandbox.path("out/.ocify-state-9-of-9"))
        .status();
    assert!(made.unwrap().success());
    symlink("/dev/zero", sandbox.path("out/.ocify-state-1-of-2")).unwrap();
    fs::create_dir(sandbox.path("out/.ocify-work-9-of-9.00000000-abcdefgh.ocify-tmp")).unwrap();
    sandbox.ocify(&["fix", "in", "-o", "out"]).exits(0);
    assert!(sandbox.path("out/.ocify-state-1-of-2").is_symlink());
}

#[test]
fn outputs_can_be_on_a_filesystem_that_is_mounted_in_the_output_directory() {
    let sandbox = Sandbox::new();
    put_fixture(
        &sandbox,
        "in/sub/a.tar",
        "buildkit-docker-zstd-ocifalse.tar",
    );
    batch(&sandbox, &["in", "-o", "expected"]).exits(0);
    fs::create_dir_all(sandbox.path("out/sub")).unwrap();
    let script = "mount -t tmpfs none out/sub || exit 9
        \"$0\" fix in -o out && \"$0\" fix in -o out && cp out/sub/a.tar copy";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_ocify")]);
    command.current_dir(sandbox.root());
    let may = Command::new("unshare")
        .args(["-m", "true"])
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        return skipped("filesystems mounted in outputs: need root and unshare");
    }
    let run = run(&mut command).exits(0);
    assert!(run.stdout.contains("1 finished earlier"), "{run:#?}");
    assert!(sandbox.read("copy") == sandbox.read("expected/sub/a.tar"));
}
