//! Standard input to standard output: what is buffered, and where.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::common::archive::{Entry, open_tar, tar};
use crate::common::builder::{Image, Layer, OCI_TAR, layer_tar, right_layout, zstd};
use crate::common::contents::Contents;
use crate::common::piped::{by_file, pipe, sample, stream};
use crate::common::runner::Sandbox;
use crate::common::{fixture, sha256};

#[test]
fn files_that_a_late_root_file_names_are_kept() {
    // It starts like an image layout, but is a Docker archive.
    let app = Image::oci(vec![Layer::plain(OCI_TAR, "a")]);
    let config = app.config().to_string();
    let item =
        json!([{"Config": "config.json", "RepoTags": ["app:v1"], "Layers": ["a/layer.tar"]}]);
    let unrelated = layer_tar("unrelated");
    let entries = [
        Entry::file(format!("blobs/sha256/{}", sha256(&unrelated)), &unrelated),
        Entry::file("config.json", config),
        Entry::file("a/layer.tar", &app.layers[0].bytes),
        Entry::file("manifest.json", item.to_string()),
    ];
    let piped = stream(&tar(&entries), &[]).exits(0);
    assert!(piped.json()["spooled"].is_null());
    piped.judged();
    // In another order this is detected immediately.
    let [blob, config, layer, manifest] = entries;
    let bytes = tar(&[manifest, config, layer, blob]);
    assert!(stream(&bytes, &[]).exits(0).json()["spooled"].is_string());
}

/// Runs `ocify fix -` and feeds it piece by piece. Returns its peak memory in KiB before the last piece.
fn peak(pieces: &mut dyn Iterator<Item = Vec<u8>>, options: &[&str]) -> (u64, i32) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.env("TMPDIR", sandbox.root());
    let mut child = command
        .args(["fix", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut last = Vec::new();
    for piece in pieces {
        stdin.write_all(&last).unwrap();
        last = piece;
    }
    // What was written last may still be in the pipe, but only that.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    stdin.write_all(&last).unwrap();
    drop(stdin);
    let code = child.wait().unwrap().code().unwrap();
    assert!(sandbox.names().is_empty());
    (kib, code)
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    const LIMIT: u64 = 48 << 10;
    // A layer of 512 MiB, and 60 MiB of what may be documents.
    let zeros = vec![0; 1 << 20];
    let mut hasher = sha2::Sha256::default();
    let head = layer_tar("zeros");
    sha2::Digest::update(&mut hasher, &head);
    for _ in 0..512 {
        sha2::Digest::update(&mut hasher, &zeros);
    }
    let hash = sha2::Digest::finalize(hasher);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let len = head.len() + (512 << 20);
    let layer = Entry::file(format!("blobs/sha256/{hex}"), b"").size(format!("{len:011o}"));
    let documents = (0..20).map(|number| {
        let mut bytes = format!("{{\"number\":{number}}}").into_bytes();
        bytes.resize(3 << 20, b' ');
        let name = format!("blobs/sha256/{}", sha256(&bytes));
        open_tar(&[Entry::file(name, bytes)])
    });
    let layer = [open_tar(&[layer]), head].concat();
    let mut pieces = std::iter::once(layer)
        .chain((0..512).map(|_| zeros.clone()))
        .chain(documents)
        .chain([right_layout().tar()]);
    let (kib, code) = peak(&mut pieces, &[]);
    assert_eq!(code, 0);
    assert!(kib < LIMIT, "{kib} KiB");
}

#[test]
fn large_documents_go_to_the_spool_directory() {
    let mut layout = sample();
    for number in 0..4 {
        let mut bytes = format!("{{\"number\":{number}}}").into_bytes();
        bytes.resize(3 << 20, b' ');
        layout.blob("application/x-note", bytes);
    }
    let piped = stream(&layout.tar(), &[]).exits(0);
    assert!(piped.json()["spooled"].is_null());
    piped.judged();
    let options = ["--spool-dir", "missing"];
    let piped = stream(&layout.tar(), &options);
    piped.fails("no directory", &["io"]);
    assert!(
        piped.json()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("--spool-dir")
    );
    // A larger blob is not a document and passes through.
    let mut large = b"{\"sbom\":\"".to_vec();
    large.resize(5 << 20, b'x');
    let mut layout = sample();
    layout.blob("application/x-sbom", large);
    let (contents, facts) = stream(&layout.tar(), &options).exits(0).judged();
    assert_eq!((contents.files.len(), facts.unreferenced.len()), (9, 1));
}

#[test]
fn blobs_that_are_read_twice_are_spooled_and_reported() {
    let docker = fs::read(fixture("docker20-save.tar")).unwrap();
    let layout = sample().tar();
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("spool")).unwrap();
    for (input, options, reason) in [
        (
            &docker,
            &[][..],
            "the file 57711ac7316b132f2d210beecbd70cbf04817d24c0e32ba4bdfa4be242f6075a/VERSION comes before the first blob",
        ),
        (
            &layout,
            &["--compression", "gzip"],
            "layers may have to be recompressed",
        ),
        (
            &layout,
            &["--for", "docker@20.10"],
            "layers may have to be recompressed",
        ),
        (&layout, &["--image", "1"], "images may have to be removed"),
        (
            &layout,
            &["--attestations", "drop"],
            "attestations may have to be removed",
        ),
        (
            &layout,
            &["--missing", "prune"],
            "images with missing content may have to be removed",
        ),
    ] {
        let expected = by_file(input, options);
        let mut command = sandbox.command();
        command
            .args(["fix", "-", "--spool-dir", "spool"])
            .args(options);
        let piped = pipe(&mut command, input).exits(0);
        let note = format!("storing standard input in spool to read it twice: {reason}\n");
        assert!(piped.err.starts_with(&note), "{options:?}: {}", piped.err);
        assert_eq!(piped.err.matches("storing standard input").count(), 1);
        assert!(piped.out == expected, "{options:?}");
        // Programs read it in the report, which is alone there.
        let piped = stream(input, options).exits(0);
        assert_eq!(piped.json()["spooled"], reason);
        // A dry run needs the directory too, and a damaged input leaves nothing in it.
        let mut dry = sandbox.command();
        dry.args(["fix", "-", "--spool-dir", "spool", "--dry-run"])
            .args(options);
        let piped = pipe(&mut dry, input).exits(3);
        assert!(piped.err == note && !piped.out.is_empty(), "{}", piped.err);
        let half = &input[..input.len() / 2];
        let mut command = sandbox.command();
        command
            .args(["fix", "-", "--spool-dir", "spool"])
            .args(options);
        pipe(&mut command, half).exits(1);
        let mut command = sandbox.command();
        command
            .args(["fix", "-", "--spool-dir", "none", "--format", "json"])
            .args(options);
        let piped = pipe(&mut command, input);
        piped.fails("no directory", &["io"]);
        assert_eq!(fs::read_dir(sandbox.path("spool")).unwrap().count(), 0);
    }
    // All else needs no directory.
    for options in [
        &[][..],
        &["--name", "app:v2"],
        &["--verify", "documents"],
        &["--dry-run"],
    ] {
        let piped = stream(&layout, &[options, &["--spool-dir", "none"]].concat());
        assert!(piped.code == 0 || options == ["--dry-run"], "{}", piped.err);
    }
}

#[test]
fn a_full_spool_directory_is_reported_by_name() {
    // What /dev/full is to a file, a limit on the size of files is to a directory.
    let docker = fs::read(fixture("docker20-save.tar")).unwrap();
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("/bin/sh");
    command.current_dir(sandbox.root()).env_clear();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" fix - --spool-dir . --format json";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ocify")]);
    let piped = pipe(&mut command, &docker);
    piped.fails("full", &["io", "no-space"]);
    let report = piped.json();
    assert!(
        report["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("cannot write to .")
    );
    assert!(
        report["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("--spool-dir")
    );
    assert!(sandbox.names().is_empty());
}

#[test]
fn a_compressed_stream_needs_no_file() {
    let layout = sample().tar();
    let expected = stream(&layout, &[]).exits(0).out;
    type Compress = fn(&[u8]) -> Vec<u8>;
    let forms: [(&str, Compress); 4] = [
        ("gzip", crate::common::builder::gzip),
        ("zstd", zstd),
        ("bzip2", |bytes| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }),
        ("xz", |bytes| {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }),
    ];
    for (name, compress) in forms {
        let bytes = compress(&layout);
        let piped = stream(&bytes, &["--spool-dir", "missing"]).exits(0);
        assert!(piped.out == expected, "{name}");
        assert!(piped.json()["spooled"].is_null());
        for cut in [10, bytes.len() / 2, bytes.len() - 9] {
            let piped = stream(&bytes[..cut], &[]);
            let codes = ["truncated-archive", "invalid-archive", "not-an-image"];
            piped.fails(&format!("{name} cut at {cut}"), &codes);
        }
        stream(&compress(&bytes), &[]).fails(name, &["compressed-archive"]);
        // What has to be kept is kept as it is decompressed.
        let docker = fs::read(fixture("docker20-save.tar")).unwrap();
        let piped = stream(&compress(&docker), &[]).exits(0);
        assert!(Contents::from_tar(&piped.out) == Contents::from_tar(&by_file(&docker, &[])));
    }
    // Zeros may follow an archive, so only the ratio is at fault.
    let zeros = vec![0; 1 << 20];
    let bomb = [zstd(&layout), zstd(&zeros).repeat(70)].concat();
    stream(&bomb, &["--max-ratio", "2"]).fails("ratio", &["compression-ratio"]);
    stream(&bomb, &["--max-ratio", "1000000"]).exits(0);
}
