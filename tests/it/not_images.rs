//! Files that are not image archives: the message says what they are, and the hint what to do.

use std::fs;
use std::io::Write;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put};
use crate::common::builder::{Layout, OCI_GZIP, gzip, right_layout, zstd};
use crate::common::failure::expect;
use crate::common::piped::stream;
use crate::common::runner::{Run, Sandbox};
use crate::common::saved::{Saved, image};

/// Fixes the bytes as a file, compressed, as a stream and as a dry run, which must all fail with these words.
#[track_caller]
fn is_told(name: &str, bytes: &[u8], code: &str, what: &str, hint: &str) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let check = |run: &Run| {
        expect(name, run, code, &[what]);
        let error = run.json()["error"].clone();
        let found = error["hint"].as_str().unwrap_or_default().to_owned();
        assert!(found.contains(hint), "{name}: {found}");
    };
    check(&sandbox.fix("in.tar", "out.tar"));
    check(&sandbox.ocify(&["fix", "in.tar", "--dry-run", "--format", "json"]));
    sandbox.put("in.tar", zstd(bytes));
    check(&sandbox.fix("in.tar", "out.tar"));
    let report = stream(bytes, &[]).exits(1).json();
    let error = &report["error"];
    assert_eq!(error["code"], code, "{name}: {error:#}");
    assert!(
        error["message"].as_str().unwrap().contains(what),
        "{name}: {error:#}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains(hint),
        "{name}: {error:#}"
    );
}

/// What PowerShell's `>` makes of bytes.
fn utf16(bytes: &[u8], mark: bool, big: bool) -> Vec<u8> {
    let mut units: Vec<u16> = bytes.iter().map(|byte| u16::from(*byte)).collect();
    if mark {
        units.insert(0, 0xfeff);
    }
    let pair = |unit: u16| {
        if big {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        }
    };
    units.into_iter().flat_map(pair).collect()
}

/// The `docker save` of a small image, whose layers are binary and whose documents have lines.
fn save() -> Vec<u8> {
    let mut saved = Saved::new();
    saved.docker(&image(&["a\nb\nc\nd\n", "e\nf\ng\nh\n"]), json!(["app:v1"]));
    saved.tar()
}

#[test]
fn other_formats_are_named() {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    let s3 = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>";
    let base64 = "H4sIAAAAAAAAA+zTMQ6DMAwF0Byl3KBxEpLzIDVSl0pV0vsXVamYWBhaEf+32IMX/2\nH4sIAAAAAAAAA+zTMQ6DMAwF0Byl3KBxEpLzIDVSl0pV0vsXVamYWBhaEf+32IMX/2\n".repeat(4);
    let mut iso = vec![0; 0x8001];
    iso.extend(b"CD001\x01");
    iso.resize(40_000, 0);
    let mut ext = vec![0; 4096];
    ext[0x438..0x43a].copy_from_slice(b"\x53\xef");
    let mut disk = vec![0; 4096];
    disk[510..512].copy_from_slice(b"\x55\xaa");
    let padded = |front: &[u8]| [front, &[b'.'; 600]].concat();
    #[rustfmt::skip]
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("UTF-16", utf16(&save(), true, false), "is UTF-16 text, not a tar archive", "docker save -o FILE"),
        ("UTF-16, other order", utf16(&save(), true, true), "is UTF-16 text", "docker save -o FILE"),
        ("UTF-16 without mark", utf16(b"0123456789012345678901234567890123456789", false, false), "is UTF-16 text", "docker save -o FILE"),
        ("zip", padded(b"PK\x03\x04"), "is a zip file", "unzip"),
        ("empty zip", b"PK\x05\x06\0\0\0\0".to_vec(), "is an empty zip file", "nothing was written"),
        ("7z", padded(b"7z\xbc\xaf\x27\x1c"), "is a 7z file", "7z x"),
        ("page", b"\n<!doctype HTML><html>".to_vec(), "is an HTML page", "check the address"),
        ("page with a mark", b"\xef\xbb\xbf<html>".to_vec(), "is an HTML page", "check the address"),
        ("error of S3", s3.into(), "is an XML document", "check the address"),
        ("error of a registry", br#"{"errors":[{"code":"UNAUTHORIZED"}]}"#.to_vec(), "is an error message in JSON", "check the address"),
        ("index.json", right_layout().index.unwrap(), "is a JSON document", "the directory that contains it"),
        ("manifest.json", right_layout().docker_manifest.unwrap(), "is a JSON document", "the directory that contains it"),
        ("Git LFS", lfs.into(), "is a Git LFS pointer", "git lfs pull"),
        ("base64", base64.into_bytes(), "is base64 text", "base64 -d"),
        ("age", padded(b"age-encryption.org/v1\n"), "is encrypted with age", "age -d"),
        ("PGP", padded(b"-----BEGIN PGP MESSAGE-----\n"), "is a PGP message", "gpg -d"),
        ("lz4", padded(b"\x04\x22\x4d\x18"), "is compressed with lz4", "lz4 -d"),
        ("Debian package", padded(b"!<arch>\ndebian-binary   "), "is a Debian package", "docker save"),
        ("RPM", padded(b"\xed\xab\xee\xdb\x03\0"), "is an RPM package", "docker save"),
        ("squashfs", padded(b"hsqs"), "is a squashfs filesystem", "docker save"),
        ("SIF", padded(b"#!/usr/bin/env run-singularity\n"), "is a Singularity image", "docker save"),
        ("qcow2", padded(b"QFI\xfb"), "is a qcow2 disk image", "docker save"),
        ("ELF", padded(b"\x7fELF\x02"), "is an executable", "docker save"),
        ("script", b"#!/bin/sh\n".to_vec(), "is a script", "docker save"),
        ("empty", Vec::new(), "is empty", "nothing was written"),
        ("noise", padded(b"....."), "is not a tar archive", "give a tar archive"),
    ];
    for (name, bytes, what, hint) in cases {
        is_told(name, &bytes, "not-an-image", what, hint);
    }
    for (name, bytes, what) in [
        ("ISO", iso, "is an ISO image"),
        ("ext", ext, "is an ext filesystem"),
        ("disk", disk, "is a disk image"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", bytes);
        expect(
            name,
            &sandbox.fix("in.tar", "out.tar"),
            "not-an-image",
            &[what],
        );
    }
}

#[test]
fn a_copy_in_text_mode_is_recognized() {
    let text_mode = |bytes: &[u8]| {
        let mut copied = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                copied.push(b'\r');
            }
            copied.push(*byte);
        }
        copied
    };
    let hint = "binary mode";
    for (name, bytes) in [
        ("docker save", save()),
        ("layout", {
            let mut layout = right_layout();
            layout.blob(OCI_GZIP, "lines\n".repeat(50));
            layout.tar()
        }),
    ] {
        let copied = text_mode(&bytes);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &copied);
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let error = run.json()["error"].clone();
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("was copied in text mode"),
            "{name}: {error:#}"
        );
        assert!(error["hint"].as_str().unwrap().contains(hint), "{name}");
        let report = stream(&copied, &[]).exits(1).json();
        assert!(
            report["error"]["hint"].as_str().unwrap().contains(hint),
            "{name}: {report:#}"
        );
    }
    // Other damage is not.
    let mut damaged = save();
    let at = damaged.len() / 2;
    damaged.insert(at, b'x');
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &damaged);
    let run = sandbox.fix("in.tar", "out.tar").exits(1);
    assert!(!run.stderr.contains("text mode"), "{}", run.stderr);
}

fn root_filesystem() -> Vec<u8> {
    tar(&[
        Entry::file("bin/sh", "#!"),
        Entry::file("etc/passwd", "root"),
        Entry::file("usr/bin/env", "x"),
    ])
}

fn before_1_10() -> Vec<u8> {
    let id = "a".repeat(64);
    tar(&[
        Entry::dir(format!("{id}/")),
        Entry::file(format!("{id}/VERSION"), "1.0"),
        Entry::file(format!("{id}/json"), json!({"id": id}).to_string()),
        Entry::file(format!("{id}/layer.tar"), root_filesystem()),
        Entry::file("repositories", json!({"app": {"v1": id}}).to_string()),
    ])
}

#[test]
fn other_archives_are_named() {
    let code = "not-an-image";
    let inner = tar(&[Entry::file("app.tar", save())]);
    let hint = "extract app.tar and give that";
    is_told(
        "tar in a tar",
        &inner,
        code,
        "contains the archive app.tar",
        hint,
    );
    let inner = tar(&[
        Entry::dir("x/"),
        Entry::file("x/app.tar.gz", gzip(&save())),
        Entry::file("x/README", "x"),
    ]);
    is_told(
        "in a directory",
        &inner,
        code,
        "contains the archive x/app.tar.gz",
        "extract x/app.tar.gz",
    );
    is_told(
        "root filesystem",
        &root_filesystem(),
        code,
        "is a root filesystem",
        "docker import",
    );
    is_told(
        "docker export",
        &tar(&[
            Entry::dir("etc/"),
            Entry::dir("usr/"),
            Entry::link("bin", b'2', "usr/bin"),
        ]),
        code,
        "is a root filesystem",
        "docker import",
    );
    let old = "was written by docker save before Docker 1.10";
    is_told(
        "Docker 1.9",
        &before_1_10(),
        code,
        old,
        "Docker 28 or older",
    );
    let sources = tar(&[
        Entry::file("src/main.c", "int x;"),
        Entry::file("notes.tar.txt", "x"),
    ]);
    is_told(
        "sources",
        &sources,
        code,
        "contains neither index.json nor manifest.json",
        "docker save",
    );
    let compressed = tar(&[Entry::file("man/tar.1.gz", gzip(b"x"))]);
    is_told(
        "manual",
        &compressed,
        code,
        "contains neither",
        "docker save",
    );
}

#[test]
fn a_walk_says_what_it_skips() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/app.tar", right_layout().tar());
    put(&sandbox, "in/rootfs.tar", root_filesystem());
    put(
        &sandbox,
        "in/nested.tar",
        tar(&[Entry::file("app.tar", save())]),
    );
    put(&sandbox, "in/powershell.tar", utf16(&save(), true, false));
    put(&sandbox, "in/old.tar", before_1_10());
    put(&sandbox, "in/page.html", "<html>");
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(1);
    let ends = found.ends();
    assert_eq!(ends["in/app.tar"], "unchanged");
    for skipped in ["in/rootfs.tar", "in/nested.tar", "in/powershell.tar"] {
        assert_eq!(ends[skipped], "skipped", "{skipped}");
        assert!(
            found.items[skipped]["error"]["hint"].is_string(),
            "{skipped}"
        );
    }
    // It is an image archive, and nothing can read it.
    assert_eq!(ends["in/old.tar"], "not-an-image");
    assert!(!ends.contains_key("in/page.html"));
}

#[test]
fn a_manifest_json_that_docker_would_refuse_has_a_hint() {
    let hint = "as docker save writes it";
    for (text, what) in [
        (
            r#"[{"Config":"c.json","RepoTags":"app:v1","Layers":[]}]"#,
            "manifest.json[0] has RepoTags that is not a list",
        ),
        (
            r#"[{"Config":"c.json","Layers":[""]}]"#,
            "manifest.json[0] names a config or layer with an empty text",
        ),
        (
            r#"[{"Config":"","Layers":[]}]"#,
            "manifest.json[0] names a config or layer with an empty text",
        ),
        (r#"[{"Layers":[]}]"#, "manifest.json[0] lacks Config"),
        ("[1]", "manifest.json[0] is not an object"),
        (r#"{"images":1}"#, "manifest.json is not a list of images"),
    ] {
        let bytes = tar(&[
            Entry::file("manifest.json", text),
            Entry::file("c.json", "{}"),
        ]);
        is_told(text, &bytes, "invalid-document", what, hint);
    }
}

/// Names of `index.json` and of blobs mean nothing to who has neither.
#[test]
fn damaged_docker_archives_are_reported_in_their_own_names() {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.named(
        &app,
        "config.json",
        &["one.tar", "two.tar"],
        json!(["app:v1"]),
    );
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut saved = saved.clone();
        change(&mut saved.entry(name).data);
        saved.tar()
    };
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 1100;
        bytes[at] ^= 1;
    };
    let fewer = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut config = config;
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
        *bytes = config.to_string().into_bytes();
    };
    let mut bzip2 = saved.clone();
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(&app.layers[1].bytes).unwrap();
    bzip2.entry("two.tar").data = encoder.finish().unwrap();
    let cases: [(&str, Vec<u8>, &str); 3] = [
        ("layer", changed("two.tar", &flip), "two.tar"),
        ("config", changed("config.json", &fewer), "manifest.json[0]"),
        ("compression", bzip2.tar(), "manifest.json[0], Layers[1]"),
    ];
    for (name, bytes, part) in cases {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let message = run.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{name}: {message}");
        for word in ["index.json", "blobs/", "manifests["] {
            assert!(!run.stderr.contains(word), "{name}: {}", run.stderr);
        }
    }
}

#[test]
fn damaged_skopeo_directories_are_reported_in_their_own_names() {
    let fixture = crate::common::fixture("podman-dockerdir");
    let files: Vec<(String, Vec<u8>)> = crate::common::contents::Contents::read(&fixture)
        .files
        .into_iter()
        .collect();
    let blobs: Vec<&(String, Vec<u8>)> =
        files.iter().filter(|(name, _)| name.len() == 64).collect();
    assert!(blobs.len() > 2);
    for (damaged, bytes) in blobs {
        for how in ["flipped", "shorter", "absent"] {
            let sandbox = Sandbox::new();
            for (name, bytes) in &files {
                put(&sandbox, &format!("in/{name}"), bytes);
            }
            let path = sandbox.path(&format!("in/{damaged}"));
            match how {
                "absent" => fs::remove_file(path).unwrap(),
                how => {
                    let mut bytes = bytes.clone();
                    match how {
                        "shorter" => bytes.truncate(bytes.len() - 1),
                        _ => *bytes.last_mut().unwrap() ^= 1,
                    }
                    fs::write(path, bytes).unwrap();
                }
            }
            let run = sandbox.fix("in", "out.tar").exits(1);
            let message = run.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(damaged.as_str()), "{how}: {message}");
            for word in ["index.json", "blobs/", "manifests["] {
                assert!(!run.stderr.contains(word), "{how}: {}", run.stderr);
            }
        }
    }
}

/// A layer of which the config states the digest of its compressed bytes: nothing but a new build helps.
#[test]
fn an_xz_layer_with_the_diff_id_of_its_bytes_is_built_again() {
    let plain = crate::common::builder::layer_tar("x");
    let xz = {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    use crate::common::builder::{Image, Layer};
    for (diff_id_of, hint) in [
        (&xz, "build or save it again"),
        (&plain, "--compression gzip"),
    ] {
        let layer = Layer::new(OCI_GZIP, xz.clone(), diff_id_of);
        let layout = Layout::of(&Image::oci(vec![layer]), "docker.io/library/app:v1");
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let error = run.json()["error"].clone();
        assert_eq!(error["code"], "unsupported-compression");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error:#}");
        // The hint leads to a command that works.
        if hint.starts_with("--") {
            sandbox
                .fix_with("in.tar", "out.tar", &["--compression", "gzip"])
                .exits(0);
        }
    }
}
