//! Compressed outputs, which are selected by the file name.

use std::io::Read;

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout, OCI_TAR, gzip, zstd};
use crate::common::checker::check_output;
use crate::common::contents::blob_name;
use crate::common::failure::expect;
use crate::common::runner::Sandbox;
use crate::common::saved::parts;

/// A tar that needs every kind of change.
fn sample() -> Vec<u8> {
    let app = Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::zstd(DOCKER_GZIP, "b"),
    ]);
    Layout::of(&app, "docker.io/library/app:v1").tar()
}

fn unpacked(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if name.ends_with("gz") {
        flate2::read::MultiGzDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap();
    } else {
        plain = zstd::decode_all(bytes).unwrap();
    }
    plain
}

#[test]
fn the_output_name_selects_the_compression() {
    let sandbox = Sandbox::new();
    sandbox.put("small.tar", sample());
    // Several pieces for the encoders to share, of bytes that compress a little.
    let noise: String = (0..3_000_000u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8))
        .collect();
    let large = Layout::of(
        &Image::oci(vec![Layer::plain(OCI_TAR, &noise)]),
        "docker.io/library/app:v1",
    );
    sandbox.put("large.tar", large.tar());
    for input in ["small.tar", "large.tar"] {
        sandbox.fix_with(input, "plain.tar", &["--force"]).exits(0);
        let plain = sandbox.read("plain.tar");
        for (output, magic) in [
            ("o.tar.gz", &b"\x1f\x8b"[..]),
            ("o.tgz", b"\x1f\x8b"),
            ("o.tar.zst", b"\x28\xb5\x2f\xfd"),
            ("o.tzst", b"\x28\xb5\x2f\xfd"),
        ] {
            let mut seen: Option<Vec<u8>> = None;
            for jobs in ["1", "2", "8"] {
                let report = sandbox
                    .fix_with(input, output, &["--force", "--jobs", jobs])
                    .exits(0)
                    .json();
                assert_eq!(report["output"], output);
                let bytes = sandbox.read(output);
                assert!(bytes.starts_with(magic), "{output}");
                assert!(unpacked(output, &bytes) == plain, "{output}");
                assert!(
                    seen.is_none_or(|seen| seen == bytes),
                    "{output}: --jobs {jobs}"
                );
                seen = Some(bytes);
            }
            let again = sandbox
                .fix_with(output, "again.tar", &["--force"])
                .exits(0)
                .json();
            let rules: Vec<_> = again["changes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| &c["rule"])
                .collect();
            assert_eq!(rules, ["outer-compression"], "{output}");
            // An output in the same form as the input is not a change.
            let same = format!("same-{output}");
            let report = sandbox
                .fix_with(output, &same, &["--force"])
                .exits(0)
                .json();
            assert_eq!(report["status"], "unchanged", "{output}");
            assert!(sandbox.read(&same) == sandbox.read(output), "{output}");
            assert!(sandbox.read("again.tar") == plain, "{output}");
        }
    }
    // Case does not matter, other suffixes have no meaning, and directories are never compressed.
    for (output, magic) in [("O.TAR.GZ", &[0x1f, 0x8b][..]), ("o.Zst", &[0x28, 0xb5])] {
        sandbox.fix("small.tar", output).exits(0);
        assert!(sandbox.read(output).starts_with(magic), "{output}");
    }
    for output in ["o.gzip", "gz"] {
        sandbox.fix("small.tar", output).exits(0);
        check_output(&sandbox.path(output));
    }
    sandbox.fix("small.tar", "layout.tar.gz/").exits(0);
    check_output(&sandbox.path("layout.tar.gz"));
}

#[test]
fn formats_that_are_not_written_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", sample());
    for (output, format) in [
        ("o.tar.xz", "xz"),
        ("O.TXZ", "xz"),
        ("o.tar.bz2", "bzip2"),
        ("o.tbz2", "bzip2"),
        ("o.tar.lz4", "lz4"),
        ("o.tar.Z", "compress"),
        ("o.tar.lzma", "lzma"),
        ("o.zip", "zip"),
    ] {
        for more in [&[][..], &["--archive"], &["--dry-run"]] {
            let line = [&["fix", "in.tar", "-o", output], more].concat();
            let run = sandbox.ocify(&line).exits(2);
            let expected = format!(
                "cannot write {output}: ocify does not write {format}; use .tar, .tar.gz or .tar.zst"
            );
            assert!(run.stderr.contains(&expected), "{line:?}: {run:#?}");
        }
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn a_damaged_blob_leaves_no_output() {
    let app = Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::gzip(DOCKER_GZIP, "b"),
    ]);
    let mut layout = Layout::of(&app, "docker.io/library/app:v1");
    let digest = parts(&app)[2].clone();
    let name = blob_name(&digest);
    *layout.blobs.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    let tars = [layout.tar(), gzip(&layout.tar()), zstd(&layout.tar())];
    for bytes in tars {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        for output in [
            "out.tar",
            "out/",
            "out.tar.gz",
            "out.tgz",
            "out.tar.zst",
            "out.tzst",
        ] {
            expect(
                output,
                &sandbox.fix("in.tar", output),
                "digest-mismatch",
                &[&name],
            );
            assert_eq!(sandbox.names(), ["in.tar"], "{output}");
        }
    }
}

#[test]
fn a_compressed_output_never_overwrites_the_input() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar.gz", gzip(&sample()));
    let run = sandbox.fix_with("in.tar.gz", "in.tar.gz", &["--force"]);
    expect("same", &run, "output-is-input", &["in.tar.gz"]);
    assert!(sandbox.read("in.tar.gz") == gzip(&sample()));
    sandbox.put("there.tar.zst", "x");
    let run = sandbox.fix("in.tar.gz", "there.tar.zst");
    expect("there", &run, "output-exists", &["there.tar.zst"]);
}
