//! Compressed data that nobody compressed, as a layer and as a complete archive.

use std::fs;
use std::path::Path;

use ocify::{Algorithm, Compression, Digest, Fix, Input, Output, Result, Strictness, Verify};

use crate::documents::archive;
use crate::{fix_of, folder};

/// The first bytes of compressed data: gzip, zstd, a skippable frame of zstd, bzip2, xz.
const MAGIC: [&[u8]; 5] = [
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18",
    b"BZh",
    b"\xfd7zXZ\0",
];

/// Gives data to every decoder and encoder. The first byte says what it is: a layer, an archive, or what is in a layer that is compressed and
/// decompressed again.
///
/// # Panics
/// Data that no digest proves is accepted, or data that was compressed is not the same again.
pub fn codec(input: &[u8]) {
    let (kind, bytes) = input.split_first().unwrap_or((&0, &[]));
    match kind % 4 {
        0 | 1 => as_layer(bytes),
        2 => crate::fix(bytes),
        _ => and_back(bytes),
    }
}

fn fix(verify: Verify) -> Fix {
    fix_of(Strictness::Strict).verify(verify)
}

/// Its diff ID is that of other content, so that it is decompressed to its end and never right.
fn as_layer(bytes: &[u8]) {
    let path = write(&image(bytes, &Digest::of(Algorithm::Sha256, b"other")));
    let is_compressed = MAGIC.iter().any(|magic| bytes.starts_with(magic));
    let forms = [
        Compression::Gzip,
        Compression::Zstd,
        Compression::Uncompressed,
    ];
    let full = written(&fix(Verify::Full), &path, "full.tar");
    assert!(full.is_err() || !is_compressed, "a wrong diff ID is right");
    for form in forms {
        // Nothing is recompressed if it has that form already.
        let _ = written(&fix(Verify::Full).compression(form), &path, "form.tar");
    }
}

/// The layer is a tar of one file, and ends as it began.
fn and_back(bytes: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, "file", bytes)
        .expect("memory takes everything");
    let layer = tar.into_inner().expect("memory takes everything");
    let digest = Digest::of(Algorithm::Sha256, &layer);
    let mut path = write(&image(&layer, &digest));
    let forms = [
        (Compression::Gzip, "gzip.tar"),
        (Compression::Zstd, "zstd.tar"),
        (Compression::Uncompressed, "back.tar"),
    ];
    for (form, name) in forms {
        let fix = fix(Verify::Full).compression(form);
        let done = written(&fix, &path, name);
        assert!(done.is_ok(), "{form:?}: {}", done.unwrap_err());
        path = folder().join(name);
    }
    let back = fs::read(&path).expect("it was written");
    let name = digest.blob_name();
    let is_there = back
        .windows(name.len())
        .any(|found| found == name.as_bytes());
    assert!(is_there, "a layer is another one after it was compressed");
}

/// An archive with an image of one layer.
fn image(layer: &[u8], diff_id: &Digest) -> Vec<u8> {
    let blob = |bytes: &[u8]| (bytes.to_owned(), Digest::of(Algorithm::Sha256, bytes));
    let layer = blob(layer);
    let config = blob(
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
        )
        .as_bytes(),
    );
    let descriptor = |kind: &str, (bytes, digest): &(Vec<u8>, Digest)| {
        let kind = format!("application/vnd.oci.image.{kind}");
        format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#,
            bytes.len()
        )
    };
    let manifest = blob(
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("config.v1+json", &config),
            descriptor("layer.v1.tar", &layer)
        )
        .as_bytes(),
    );
    let index = blob(
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor("manifest.v1+json", &manifest)
        )
        .as_bytes(),
    );
    archive(vec![layer, config, manifest, index], false)
}

fn write(bytes: &[u8]) -> std::path::PathBuf {
    let path = folder().join("codec.tar");
    fs::write(&path, bytes).expect("memory takes everything");
    path
}

fn written(fix: &Fix, input: &Path, name: &str) -> Result<()> {
    let output = Output::archive(folder().join(name)).overwrite(true);
    fix.run(Input::open(input)?, output).map(drop)
}
