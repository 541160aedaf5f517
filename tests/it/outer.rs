//! Compressed archives as inputs and outputs.

use std::fs;

use serde_json::json;

use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, bzip2, gzip, layer_tar, right_layout, xz, zstd,
};
use crate::common::checker::check_output;
use crate::common::failure::fails;
use crate::common::fixture;
use crate::common::judged::fixed;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

/// A tar that needs every kind of change.
fn sample() -> Vec<u8> {
    let app = Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::zstd(DOCKER_GZIP, "b"),
    ]);
    Layout::of(&app, "docker.io/library/app:v1").tar()
}

const SKIPPABLE: &[u8] = b"\x53\x2a\x4d\x18\x05\0\0\0hello";

type Compress = fn(&[u8]) -> Vec<u8>;
const FORMS: [(&str, Compress); 4] = [("gzip", gzip), ("zstd", zstd), ("bzip2", bzip2), ("xz", xz)];

#[test]
fn compression_is_detected_from_the_bytes() {
    let plain = sample();
    let expected = fixed(&plain, &[]);
    let (first, second) = plain.split_at(1000);
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, compress) in FORMS {
        cases.push((name.to_owned(), compress(&plain)));
        cases.push((
            format!("{name} in two"),
            [compress(first), compress(second)].concat(),
        ));
        cases.push((
            format!("{name} and an empty one"),
            [compress(&plain), compress(b"")].concat(),
        ));
    }
    cases.push((
        "gzip and zeros".to_owned(),
        [gzip(&plain), vec![0; 5000]].concat(),
    ));
    cases.push((
        "skippable frame first".to_owned(),
        [SKIPPABLE, &zstd(&plain)].concat(),
    ));
    cases.push((
        "skippable frame between".to_owned(),
        [&zstd(first)[..], SKIPPABLE, &zstd(second)].concat(),
    ));
    cases.push((
        "skippable frame last".to_owned(),
        [&zstd(&plain)[..], SKIPPABLE].concat(),
    ));
    cases.push(("xz padding".to_owned(), [xz(&plain), vec![0; 8]].concat()));
    for (name, bytes) in cases {
        let sandbox = Sandbox::new();
        // The suffix says nothing.
        for input in ["in", "in.tar", "in.tar.gz", "in.zst"] {
            sandbox.put(input, &bytes);
            let report = sandbox
                .fix_with(input, "out.tar", &["--force"])
                .exits(0)
                .json();
            assert_eq!(report["digests"], expected.report["digests"], "{name}");
            assert!(sandbox.read("out.tar") == expected.bytes, "{name}");
        }
        let report = sandbox.fix("in", "layout/").exits(0).json();
        assert_eq!(report["status"], "fixed", "{name}");
        check_output(&sandbox.path("layout"));
        assert!(sandbox.read("in") == bytes, "{name}: the input was changed");
    }
}

#[test]
fn docker_archives_may_be_compressed() {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    let expected = fixed(&saved.tar(), &[]).bytes;
    for (name, compress) in FORMS {
        let found = fixed(&compress(&saved.tar()), &[]);
        assert!(found.bytes == expected, "{name}");
        assert_eq!(found.names(), ["app:v1"]);
    }
}

#[test]
fn a_valid_compressed_archive_is_written_uncompressed() {
    let right = right_layout().tar();
    for (name, compress) in FORMS {
        let found = fixed(&compress(&right), &[]);
        assert!(found.bytes == right, "{name}");
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", compress(&right));
        let dry = sandbox.ocify(&["fix", "in.tar", "--dry-run", "--format", "json"]);
        assert_eq!(dry.json()["changes"], found.report["changes"], "{name}");
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}

#[test]
fn truncation_is_detected_at_any_byte() {
    let plain = sample();
    for (name, compress) in FORMS {
        let whole = compress(&plain);
        // The last bytes are checksums and end markers, without which the data may be incomplete.
        for cut in [
            whole.len() / 4,
            whole.len() / 2,
            whole.len() * 3 / 4,
            whole.len() - 9,
            whole.len() - 1,
        ] {
            fails(
                &format!("{name} cut at {cut}"),
                &whole[..cut],
                "truncated-archive",
                &["in.tar", "ends inside its", name],
            );
        }
        // A complete compressed stream of a truncated tar.
        fails(
            name,
            &compress(&plain[..plain.len() - 2000]),
            "truncated-archive",
            &["in.tar"],
        );
    }
    let two = [gzip(&plain[..1000]), gzip(&plain[1000..])].concat();
    fails(
        "second member",
        &two[..two.len() - 20],
        "truncated-archive",
        &["gzip"],
    );
}

#[test]
fn damage_is_detected() {
    let plain = sample();
    for (name, compress) in FORMS {
        let mut bytes = compress(&plain);
        let at = bytes.len() - 6;
        bytes[at] ^= 0x55;
        if name != "zstd" {
            // zstd's tool adds a checksum, its library does not unless asked to.
            fails(
                name,
                &bytes,
                "invalid-archive",
                &["in.tar cannot be decompressed as", name],
            );
        }
        let mut bytes = compress(&plain);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 40].fill(0xff);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let class = &run.json()["error"]["class"];
        assert!(
            class == "corrupt" || class == "unsupported",
            "{name}: {run:#?}"
        );
        assert_eq!(sandbox.names(), ["in.tar"], "{name}");
    }
}

#[test]
fn trailing_data_is_refused() {
    let plain = sample();
    for (name, compress) in FORMS {
        for garbage in [&b"garbage"[..], b"\x00\x00garbage", &plain] {
            let bytes = [&compress(&plain), garbage].concat();
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let run = sandbox.fix("in.tar", "out.tar").exits(1);
            let code = run.json()["error"]["code"].as_str().unwrap().to_owned();
            assert!(
                matches!(&code[..], "invalid-archive" | "truncated-archive"),
                "{name}: {run:#?}"
            );
            assert_eq!(sandbox.names(), ["in.tar"], "{name}");
        }
    }
    // After the end of the tar, within the compressed data, only zeros.
    let two = [plain.clone(), plain.clone()].concat();
    fails("two tars", &gzip(&two), "trailing-archive", &["in.tar"]);
    fails(
        "two members of a whole tar each",
        &[gzip(&plain), gzip(&plain)].concat(),
        "trailing-archive",
        &["in.tar"],
    );
}

#[test]
fn the_decompressed_data_must_be_an_archive() {
    for (name, compress) in FORMS {
        fails(
            name,
            &compress(b"text, and no tar"),
            "not-an-image",
            &["in.tar"],
        );
        fails(name, &compress(b""), "not-an-image", &["in.tar"]);
        fails(
            name,
            &compress(&layer_tar("a")),
            "not-an-image",
            &["neither index.json nor manifest.json"],
        );
    }
    let twice = gzip(&gzip(&sample()));
    fails(
        "gzip in gzip",
        &twice,
        "compressed-archive",
        &["in.tar", "gzip"],
    );
}

#[test]
fn compressed_fixtures_give_the_same_output() {
    for name in [
        "docker20-save.tar",
        "podman-oci.tar",
        "buildkit-oci-attest-zstd-ocifalse.tar",
    ] {
        let bytes = fs::read(fixture(name)).unwrap();
        let expected = fixed(&bytes, &[]).bytes;
        for (form, compress) in FORMS {
            assert!(
                fixed(&compress(&bytes), &[]).bytes == expected,
                "{name}, {form}"
            );
        }
    }
}

#[test]
fn a_compressed_archive_counts_as_a_change() {
    // docker 20.10 and `ctr --local` cannot read archives that are compressed with zstd.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", zstd(&right_layout().tar()));
    sandbox.ocify(&["fix", "in.tar", "--dry-run"]).exits(3);
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    assert_eq!(report["status"], "fixed");
}
