mod form;
mod refused;

use std::fs;
use std::num::NonZeroUsize;

use super::*;
use crate::image::{Algorithm, Digest};
use crate::input;
use crate::tar::{BLOCK, END_LEN, canonical, padding};

/// An archive in memory, written block by block so that it can be wrong in any way.
#[derive(Clone)]
struct Tar(Vec<u8>);

impl Tar {
    fn new() -> Tar {
        Tar(Vec::new())
    }

    /// A file as ocify writes it.
    fn file(self, name: &str, body: &[u8]) -> Tar {
        let header = canonical(name, false, body.len() as u64);
        self.bytes(&header).body(body)
    }

    fn dir(self, name: &str) -> Tar {
        let header = canonical(name, true, 0);
        self.bytes(&header)
    }

    /// A header of any type, changed by `change` before it gets its checksum.
    fn header(self, name: &str, flag: u8, len: u64, change: impl Fn(&mut [u8])) -> Tar {
        let mut header = canonical("", false, len);
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[156] = flag;
        change(&mut header);
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes(&header)
    }

    /// An entry of any type with a body.
    fn typed(self, flag: u8, name: &str, body: &[u8]) -> Tar {
        self.header(name, flag, body.len() as u64, |_| {})
            .body(body)
    }

    fn link(self, flag: u8, name: &str, target: &str) -> Tar {
        self.header(name, flag, 0, |header| {
            header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        })
    }

    fn pax(self, records: &str) -> Tar {
        self.typed(b'x', "PaxHeaders.0/x", records.as_bytes())
    }

    fn body(self, body: &[u8]) -> Tar {
        let zeros = vec![0; padding(body.len() as u64) as usize];
        self.bytes(body).bytes(&zeros)
    }

    fn bytes(mut self, bytes: &[u8]) -> Tar {
        self.0.extend(bytes);
        self
    }

    fn end(self) -> Tar {
        self.bytes(&[0; END_LEN as usize])
    }
}

/// The smallest valid archive.
fn image() -> Tar {
    Tar::new().file("index.json", b"{}")
}

fn blob_name(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).blob_name()
}

fn scan_with(bytes: &[u8], strictness: Strictness) -> Result<Inventory> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.tar");
    fs::write(&path, bytes).unwrap();
    let source = Source::open(&path).unwrap();
    let workers = Workers {
        jobs: NonZeroUsize::new(2).into(),
        idle_threads: None,
    };
    let found = input::scan_with(&source, strictness, Workers::ONE);
    let several = input::scan_with(&source, strictness, workers);
    assert!(
        format!("{found:?}") == format!("{several:?}"),
        "it depends on the number of threads"
    );
    found
}

fn scanned(tar: &Tar) -> Inventory {
    scan_with(&tar.0, Strictness::Strict).unwrap()
}

fn root(inventory: &Inventory) -> &[u8] {
    &inventory.root_index.as_ref().unwrap().bytes
}

#[test]
fn thousands_of_small_entries_are_read() {
    let mut tar = image();
    let mut bodies = Vec::new();
    for number in 0..3000_usize {
        let len = number % 700 + number % 1000 / 999 * 200_000;
        let mut body = number.to_string().into_bytes();
        body.resize(len.max(body.len()), b'.');
        bodies.push(body);
    }
    for body in &bodies {
        tar = tar.file(&blob_name(body), body);
    }
    let inventory = scanned(&tar.clone().end());
    assert_eq!(inventory.blobs.len(), bodies.len());
    for body in &bodies {
        let blob = &inventory.blobs[&Digest::of(Algorithm::Sha256, body)];
        let DataLocation::Offset(at) = blob.data else {
            panic!("an archive has offsets");
        };
        assert!(tar.0[at as usize..].starts_with(body));
        assert_eq!(blob.len, body.len() as u64);
    }
    let cut = &tar.0[..tar.0.len() - 600];
    let error = scan_with(cut, Strictness::Strict).unwrap_err();
    assert_eq!(error.code(), Code::TruncatedArchive);
}

#[test]
fn every_flavour_of_header_is_read() {
    let long = format!("{}index.json", "./".repeat(60));
    let base256 = |header: &mut [u8]| {
        header[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    };
    let old = |header: &mut [u8]| header[257..345].fill(0);
    let gnu = |header: &mut [u8]| header[257..265].copy_from_slice(b"ustar  \0");
    let prefixed = |header: &mut [u8]| header[345..347].copy_from_slice(b"./");
    let cases = [
        ("ustar", Tar::new().file("index.json", b"{}")),
        (
            "ustar prefix",
            Tar::new()
                .header("index.json", b'0', 2, prefixed)
                .body(b"{}"),
        ),
        ("v7", Tar::new().header("index.json", 0, 2, old).body(b"{}")),
        (
            "gnu",
            Tar::new().header("index.json", b'0', 2, gnu).body(b"{}"),
        ),
        (
            "gnu long name",
            Tar::new()
                .typed(b'L', "././@LongLink", format!("{long}\0").as_bytes())
                .typed(b'0', "short", b"{}"),
        ),
        (
            "gnu long name and PAX size",
            Tar::new()
                .pax("10 size=2\n")
                .typed(b'L', "././@LongLink", b"index.json\0")
                .header("short", b'0', 1 << 20, |_| {})
                .body(b"{}"),
        ),
        (
            "PAX path",
            Tar::new()
                .pax("19 path=index.json\n")
                .typed(b'0', "short", b"{}"),
        ),
        (
            "PAX size over the header's",
            Tar::new()
                .pax("10 size=2\n")
                .header("index.json", b'0', 0, |_| {})
                .body(b"{}"),
        ),
        (
            "PAX attributes",
            Tar::new()
                .pax("21 SCHILY.xattr.a=\n\n\n")
                .file("index.json", b"{}"),
        ),
        (
            "global PAX comment",
            Tar::new()
                .typed(b'g', "pax_global_header", b"13 comment=a\n")
                .file("index.json", b"{}"),
        ),
        (
            "base-256 size",
            Tar::new()
                .header("index.json", b'0', 0, base256)
                .body(b"{}"),
        ),
        ("before a directory of another form", image().dir("other/")),
        (
            "before a directory as in v7",
            image().header("other/", 0, 0, old),
        ),
    ];
    for (name, tar) in cases {
        for (end, tar) in [("end", tar.clone().end()), ("no end", tar)] {
            let inventory = scanned(&tar);
            assert_eq!(root(&inventory), b"{}", "{name}, {end}");
        }
    }
}

#[test]
fn an_archive_that_stops_between_the_last_byte_and_its_padding_is_whole() {
    let mut tar = image();
    tar.0.truncate(BLOCK + 2);
    let inventory = scanned(&tar);
    assert_eq!(root(&inventory), b"{}");
    assert!(inventory.form.is_some());
}

#[test]
fn names_are_cleaned() {
    for name in [
        "index.json",
        "./index.json",
        "/index.json",
        ".//./index.json",
        "w/index.json",
    ] {
        let blob = name.replace("index.json", &blob_name(b"b"));
        let tar = Tar::new().file(name, b"{}").file(&blob, b"b").end();
        let inventory = scanned(&tar);
        assert_eq!(root(&inventory), b"{}", "{name}");
        assert_eq!(inventory.blobs.len(), 1, "{name}");
        assert_eq!(inventory.entry_count, 2, "{name}");
        assert!(inventory.extra.is_empty(), "{name}");
    }
}

#[test]
fn one_directory_around_everything_is_stripped() {
    let cases = [
        (
            "with its entry",
            Tar::new().dir("w/").file("w/index.json", b"{}"),
            true,
        ),
        (
            "with a root entry",
            Tar::new().dir("./").file("w/manifest.json", b"[]"),
            true,
        ),
        (
            "beside a file",
            Tar::new().file("w/index.json", b"{}").file("x", b""),
            false,
        ),
        (
            "beside a longer name",
            Tar::new().file("w/index.json", b"{}").file("wx", b""),
            false,
        ),
        (
            "two of them",
            Tar::new().file("w/w/index.json", b"{}"),
            false,
        ),
        (
            "no root file",
            Tar::new().file("w/oci-layout", b"{}"),
            false,
        ),
    ];
    for (name, tar, is_stripped) in cases {
        let found = scan_with(&tar.end().0, Strictness::Strict);
        assert_eq!(found.is_ok(), is_stripped, "{name}: {found:?}");
        if let Ok(inventory) = found {
            assert!(inventory.form.is_some(), "{name}");
        }
    }
}

#[test]
fn links_outside_the_image_are_listed() {
    let tar = image()
        .link(b'2', "soft", "../../etc/passwd")
        .link(b'1', "hard", "index.json")
        .typed(b'K', "././@LongLink", b"far\0")
        .link(b'2', "long", "near")
        .pax("16 linkpath=pax\n")
        .link(b'2', "pax", "near")
        .link(b'3', "device", "");
    let inventory = scanned(&tar.end());
    let kind = |name: &str| &inventory.extra[name].kind;
    assert_eq!(*kind("soft"), ExtraKind::Symlink("../../etc/passwd".into()));
    assert_eq!(*kind("hard"), ExtraKind::Hardlink("index.json".into()));
    assert_eq!(*kind("long"), ExtraKind::Symlink("far".into()));
    assert_eq!(*kind("pax"), ExtraKind::Symlink("pax".into()));
    assert_eq!(*kind("device"), ExtraKind::Other);
}

#[test]
fn blobs_have_their_place_and_content() {
    let mut v7 = canonical("x", false, 0);
    v7[257..345].fill(0);
    v7[148..156].copy_from_slice(b"        ");
    let sum: u32 = v7.iter().map(|&byte| u32::from(byte)).sum();
    v7[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let cases: [(&[u8], Content); 9] = [
        (b"", Content::Empty),
        (b"\x1f\x8b\x08\0", Content::Gzip),
        (b"\x28\xb5\x2f\xfd", Content::Zstd),
        (b"\x53\x2a\x4d\x18", Content::ZstdAfterSkippable),
        (b"BZh9", Content::Bzip2),
        (b"\xfd7zXZ\0", Content::Xz),
        (&canonical("x", false, 0), Content::Tar),
        (&v7, Content::Tar),
        (b"{}", Content::Other),
    ];
    for (bytes, content) in cases {
        let tar = Tar::new()
            .file(&blob_name(bytes), bytes)
            .file("index.json", b"{}")
            .end();
        let blob = &scanned(&tar).blobs[&Digest::of(Algorithm::Sha256, bytes)];
        assert_eq!(blob.content, content);
        assert_eq!(blob.len, bytes.len() as u64);
        assert_eq!(blob.data, DataLocation::Offset(BLOCK as u64));
    }
}

#[test]
fn a_source_can_be_scanned_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.tar");
    fs::write(&path, image().end().0).unwrap();
    let source = Source::open(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(
            root(&input::scan(&source, Strictness::Strict).unwrap()),
            b"{}"
        );
    }
}

#[test]
fn what_is_no_file_is_not_opened() {
    let code = |path: &str| Source::open(std::path::Path::new(path)).unwrap_err().code();
    assert_eq!(code("/dev/null"), Code::NotAnImage);
    assert_eq!(code("/nowhere/in.tar"), Code::Io);
}
