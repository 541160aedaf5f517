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
        ("contiguous", Tar::new().typed(b'7', "index.json", b"{}")),
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
fn refused_archives() {
    let size = |field: &'static [u8]| {
        move |header: &mut [u8]| header[124..124 + field.len()].copy_from_slice(field)
    };
    let path = |len: usize| {
        let name = format!("{}index.json", "./".repeat(len / 2));
        Tar::new()
            .typed(b'L', "././@LongLink", name.as_bytes())
            .file("short", b"{}")
    };
    let with = |body: &[u8]| {
        Tar::new()
            .typed(b'x', "p", body)
            .file("index.json", b"{}")
            .end()
    };
    let mut broken = image().end();
    broken.0[0] = b'I';
    let mut cut = image().file("x", &[1; 600]).end();
    cut.0.truncate(4 * BLOCK);
    let mut cut_header = image();
    cut_header.0.truncate(2 * BLOCK);
    let cut_header = cut_header.bytes(&[b'a'; 100]);
    let mut cut_extension = image().pax(&format!("610 comment={}\n", "c".repeat(597)));
    cut_extension.0.truncate(4 * BLOCK - 1);
    let trailing = image().end().file("index.json", b"[]").end();
    let cases: Vec<(&str, Tar, Code)> = vec![
        ("nothing", Tar::new(), Code::NotAnImage),
        ("a short text", Tar::new().bytes(b"hello"), Code::NotAnImage),
        (
            "a long text",
            Tar::new().bytes(&[b'a'; 2048]),
            Code::NotAnImage,
        ),
        ("zeros", Tar::new().end(), Code::NotAnImage),
        (
            "no root file",
            Tar::new().file("x", b"").end(),
            Code::NotAnImage,
        ),
        (
            "gzip",
            Tar::new().bytes(b"\x1f\x8b\x08\0"),
            Code::CompressedArchive,
        ),
        (
            "zstd",
            Tar::new().bytes(b"\x28\xb5\x2f\xfd"),
            Code::CompressedArchive,
        ),
        (
            "xz",
            Tar::new().bytes(b"\xfd7zXZ\0"),
            Code::CompressedArchive,
        ),
        ("bzip2", Tar::new().bytes(b"BZh9"), Code::CompressedArchive),
        ("ends in a file", cut, Code::TruncatedArchive),
        ("ends in a header", cut_header, Code::TruncatedArchive),
        (
            "ends in a PAX header",
            cut_extension,
            Code::TruncatedArchive,
        ),
        (
            "a size no file can have",
            image().header(
                "x",
                b'0',
                0,
                size(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            ),
            Code::TruncatedArchive,
        ),
        (
            "the largest size",
            image().header(
                "x",
                b'0',
                0,
                size(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
            ),
            Code::TruncatedArchive,
        ),
        (
            "a PAX size no file can have",
            image().pax("29 size=18446744073709551615\n").file("x", b""),
            Code::TruncatedArchive,
        ),
        (
            "a first header with a bad checksum",
            broken,
            Code::InvalidArchive,
        ),
        (
            "junk after an entry",
            image().bytes(&[b'a'; BLOCK]),
            Code::InvalidArchive,
        ),
        (
            "a negative size",
            image().header("x", b'0', 0, size(&[0xff; 12])),
            Code::InvalidArchive,
        ),
        (
            "a size over 64 bits",
            image().header("x", b'0', 0, size(b"\x80\0\0\x01\0\0\0\0\0\0\0\0")),
            Code::InvalidArchive,
        ),
        (
            "a size that is text",
            image().header("x", b'0', 0, size(b"abc")),
            Code::InvalidArchive,
        ),
        (
            "a malformed PAX record",
            with(b"7 path\n"),
            Code::InvalidArchive,
        ),
        (
            "two PAX paths",
            with(b"9 path=a\n9 path=b\n"),
            Code::InvalidArchive,
        ),
        (
            "a PAX path with a NUL",
            with(b"11 path=a\0b\n"),
            Code::InvalidArchive,
        ),
        (
            "two PAX headers",
            Tar::new()
                .pax("9 path=a\n")
                .pax("9 path=b\n")
                .file("index.json", b"{}"),
            Code::InvalidArchive,
        ),
        (
            "two long names",
            Tar::new()
                .typed(b'L', "l", b"a\0")
                .typed(b'L', "l", b"b\0")
                .file("x", b""),
            Code::InvalidArchive,
        ),
        (
            "a long name and another PAX path",
            Tar::new()
                .typed(b'L', "l", b"a\0")
                .pax("9 path=b\n")
                .file("x", b""),
            Code::InvalidArchive,
        ),
        (
            "a global path",
            Tar::new()
                .typed(b'g', "g", b"9 path=b\n")
                .file("index.json", b"{}"),
            Code::InvalidArchive,
        ),
        (
            "a global size",
            Tar::new()
                .typed(b'g', "g", b"10 size=0\n")
                .file("index.json", b"{}"),
            Code::InvalidArchive,
        ),
        (
            "a global header between",
            Tar::new()
                .pax("9 path=a\n")
                .typed(b'g', "g", b"")
                .file("x", b""),
            Code::InvalidArchive,
        ),
        (
            "a PAX header for nothing",
            image().pax("9 path=a\n"),
            Code::InvalidArchive,
        ),
        (
            "a long name for nothing",
            image().typed(b'L', "l", b"a\0").end(),
            Code::InvalidArchive,
        ),
        ("a long name of 2 MiB", path(2 << 20), Code::InvalidArchive),
        ("a name of 5000 bytes", path(5000), Code::InvalidArchive),
        (
            "a name that leads out",
            image().file("../x", b""),
            Code::InvalidArchive,
        ),
        (
            "a blob's name that leads out",
            image().file("blobs/sha256/../../index.json", b""),
            Code::InvalidArchive,
        ),
        (
            "a directory with bytes",
            image().typed(b'5', "d/", b"bytes"),
            Code::InvalidArchive,
        ),
        (
            "a link with bytes",
            image().typed(b'1', "l", b"bytes"),
            Code::InvalidArchive,
        ),
        (
            "a fifo with bytes",
            image().typed(b'6', "f", b"bytes"),
            Code::InvalidArchive,
        ),
        (
            "a file below a link",
            image().link(b'2', "d", ".").file("d/manifest.json", b"[]"),
            Code::InvalidArchive,
        ),
        (
            "a file far below a file",
            image().file("d/e/f/g", b"").file("d/e", b""),
            Code::InvalidArchive,
        ),
        ("a second archive", trailing, Code::TrailingArchive),
        (
            "text after the end",
            image().end().bytes(b"text"),
            Code::TrailingArchive,
        ),
        (
            "an old sparse file",
            image().typed(b'S', "x", b"bytes"),
            Code::SparseEntry,
        ),
        (
            "a PAX sparse file",
            image().pax("22 GNU.sparse.major=1\n").file("x", b"bytes"),
            Code::SparseEntry,
        ),
        (
            "an index that is a link",
            Tar::new()
                .link(b'2', "index.json", "x")
                .file("manifest.json", b"[]"),
            Code::LinkEntry,
        ),
        (
            "a blob that is a symbolic link",
            image().link(b'2', &blob_name(b"b"), "../../x"),
            Code::LinkEntry,
        ),
        (
            "a blob that is a hard link",
            image().link(b'1', &blob_name(b"b"), "x"),
            Code::LinkEntry,
        ),
        (
            "a blob that is a fifo",
            image().link(b'6', &blob_name(b"b"), ""),
            Code::LinkEntry,
        ),
        (
            "a blob that is a directory",
            image().dir(&blob_name(b"b")),
            Code::LinkEntry,
        ),
        (
            "blobs that are a link",
            image().link(b'2', "blobs/sha256", "/etc"),
            Code::LinkEntry,
        ),
        (
            "an index of more than 4 MiB",
            Tar::new().file("index.json", &vec![b' '; (4 << 20) + 1]),
            Code::DocumentTooLarge,
        ),
    ];
    for (name, tar, code) in cases {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let found = scan_with(&tar.0, strictness).unwrap_err();
            assert_eq!(found.code(), code, "{name}: {found}");
        }
    }
}

#[test]
fn a_duplicate_is_refused_unless_equal_or_lenient() {
    let blob = blob_name(b"b");
    let cases = [
        ("equal", image().file("index.json", b"{}"), None, "{}"),
        (
            "other bytes",
            image().file("index.json", b"[]"),
            Some("index.json"),
            "[]",
        ),
        (
            "other length",
            image().file("./index.json", b"{ }"),
            Some("index.json"),
            "{ }",
        ),
        (
            "a third one",
            image().file("index.json", b"[]").file("index.json", b"{}"),
            Some("index.json"),
            "{}",
        ),
        (
            "in a blob",
            image().file(&blob, b"b").file(&blob, b"c"),
            Some(blob.as_str()),
            "{}",
        ),
        ("of directories", image().dir("d/").dir("d"), None, "{}"),
        (
            "of links",
            image().link(b'2', "l", "a").link(b'2', "l", "b"),
            Some("l"),
            "{}",
        ),
        (
            "of different kinds",
            image().link(b'2', "l", "a").file("l", b"a"),
            Some("l"),
            "{}",
        ),
    ];
    for (name, tar, passed_over, index) in cases {
        let tar = tar.end();
        let strict = scan_with(&tar.0, Strictness::Strict)
            .map(|_| ())
            .map_err(|error| error.code());
        let expected = passed_over.map_or(Ok(()), |_| Err(Code::DuplicateEntry));
        assert_eq!(strict, expected, "{name}");
        let inventory = scan_with(&tar.0, Strictness::Lenient).unwrap();
        assert_eq!(inventory.skipped, Vec::from_iter(passed_over), "{name}");
        assert_eq!(root(&inventory), index.as_bytes(), "{name}");
        assert!(inventory.form.is_some(), "{name}");
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
fn the_form_that_ocify_writes_is_known() {
    let blob = blob_name(b"b");
    let long = Digest::of(Algorithm::Sha512, b"b").blob_name();
    let dirs = || Tar::new().dir("blobs/").dir("blobs/sha256/");
    let good = |start: Tar| start.file(&blob, b"b").file("index.json", b"{}").end();
    let mut padded = good(dirs());
    padded.0[3 * BLOCK + 1] = 1;
    let cases = [
        ("the form", good(dirs()), None),
        (
            "with sha512",
            dirs()
                .file(&blob, b"b")
                .dir("blobs/sha512/")
                .file(&long, b"b")
                .file("index.json", b"{}")
                .end(),
            None,
        ),
        ("a record too many", good(dirs()).end(), Some("index.json")),
        (
            "no end",
            dirs().file(&blob, b"b").file("index.json", b"{}"),
            Some("index.json"),
        ),
        ("no directories", good(Tar::new()), Some(blob.as_str())),
        (
            "out of order",
            Tar::new().file("index.json", b"{}").file("a", b"").end(),
            Some("a"),
        ),
        (
            "a name written in another way",
            good(Tar::new().dir("blobs/").dir("./blobs/sha256")),
            Some("blobs/sha256/"),
        ),
        (
            "an entry for the root",
            good(Tar::new().dir("./").dir("blobs/").dir("blobs/sha256/")),
            Some("./"),
        ),
        (
            "a directory without blobs",
            dirs()
                .file(&blob, b"b")
                .dir("blobs/sha512/")
                .file("index.json", b"{}")
                .end(),
            Some("blobs/sha512/"),
        ),
        (
            "another mode",
            dirs()
                .file(&blob, b"b")
                .header("index.json", b'0', 2, |header| header[106] = b'0')
                .body(b"{}")
                .end(),
            Some("index.json"),
        ),
        (
            "another kind of header",
            dirs()
                .file(&blob, b"b")
                .pax("")
                .file("index.json", b"{}")
                .end(),
            Some("index.json"),
        ),
        (
            "a global header",
            dirs()
                .file(&blob, b"b")
                .typed(b'g', "g", b"")
                .file("index.json", b"{}")
                .end(),
            Some("index.json"),
        ),
        ("padding", padded, Some(blob.as_str())),
    ];
    for (name, tar, expected) in cases {
        let form = scanned(&tar).form;
        let entry = form.as_ref().map(|form| form.entry.as_str());
        assert_eq!(entry, expected, "{name}: {form:?}");
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
