//! A bit flip anywhere in a layer is detected, whatever the layer's compression before and after, and nothing
//! is written.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use ocify::{Compression, Fix, Input, Output};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_TAR, OCI_ZSTD, layer_tar};
use crate::common::contents::blob_name;
use crate::common::runner::Sandbox;
use crate::common::sha256;

const NAME: &str = "docker.io/library/app:v1";

fn forms() -> [(&'static str, Layer); 4] {
    let plain = layer_tar("x");
    let skippable = [
        b"\x53\x2a\x4d\x18\x05\0\0\0hello",
        &crate::common::builder::zstd(&plain)[..],
    ];
    [
        ("uncompressed", Layer::plain(OCI_TAR, "x")),
        ("gzip", Layer::gzip(OCI_GZIP, "x")),
        ("zstd", Layer::zstd(OCI_ZSTD, "x")),
        (
            "skippable",
            Layer::new(OCI_ZSTD, skippable.concat(), &plain),
        ),
    ]
}

/// The archive, and where the layer's bytes are in it.
fn archive(layer: &Layer) -> (Vec<u8>, usize) {
    let layout = Layout::of(&Image::oci(vec![layer.clone()]), NAME);
    let bytes = layout.tar();
    let name = blob_name(&format!("sha256:{}", sha256(&layer.bytes)));
    assert!(layout.blobs.contains_key(&name));
    let header = bytes
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .unwrap();
    (bytes, header + 512)
}

/// Every byte, by the library; the command at some places shows that it says so.
#[test]
fn a_bit_flip_in_any_byte_of_a_layer_is_detected() {
    thread::scope(|scope| {
        for (form, layer) in forms() {
            scope.spawn(move || every_byte(form, &layer));
        }
    });
}

fn every_byte(form: &str, layer: &Layer) {
    let targets = ["gzip", "zstd", "uncompressed"];
    let (good, start) = archive(layer);
    for to in targets.into_iter().filter(|to| *to != form) {
        let sandbox = Sandbox::new();
        for place in 0..layer.bytes.len() {
            let mut bytes = good.clone();
            bytes[start + place] ^= 1 << (place % 8);
            let path = sandbox.put("in.tar", bytes);
            let error = by_library(&path, to, sandbox.root());
            let expected = [
                "digest-mismatch",
                "unsupported-compression",
                "diff-id-mismatch",
            ];
            let error = error.unwrap_or_else(|| panic!("{form} to {to}: {place} was not seen"));
            assert!(
                expected.contains(&error.as_str()),
                "{form} {place}: {error}"
            );
            if place % 97 == 0 {
                let options = ["--compression", to];
                let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(1);
                assert_eq!(
                    run.json()["error"]["code"],
                    error,
                    "{form} to {to}: {place}"
                );
            }
            assert_eq!(sandbox.names(), ["in.tar"], "{form} to {to}: {place}");
        }
    }
}

/// The code of the error; a flipped magic number makes a layer that is only copied, and copying sees it.
fn by_library(path: &Path, to: &str, directory: &Path) -> Option<String> {
    let compression = match to {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::Uncompressed,
    };
    let fix = Fix::new().compression(compression).jobs(NonZeroUsize::MIN);
    let output = Output::archive(directory.join("out.tar"));
    let result = fix.run(Input::path(path), output);
    result.err().map(|error| error.code().name().to_owned())
}
