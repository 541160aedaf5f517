//! Archives that are refused.

use super::*;

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
            "a size after a NUL",
            image().header("x", b'0', 1, size(b"\0")).body(b"x"),
            Code::InvalidArchive,
        ),
        (
            "a prefix of 131 or of 155 bytes",
            Tar::new()
                .header("index.json", b'0', 2, |header| {
                    header[345..476].copy_from_slice(format!("{}.", "./".repeat(65)).as_bytes());
                    header[476..500].copy_from_slice(&b"00000000000 ".repeat(2));
                    header[508..].copy_from_slice(b"tar\0");
                })
                .body(b"{}"),
            Code::InvalidArchive,
        ),
        (
            "a prefix in a GNU header",
            image().header("x", b'0', 0, |header| {
                header[257..265].copy_from_slice(b"ustar  \0");
                header[345] = b'p';
            }),
            Code::InvalidArchive,
        ),
        (
            "a prefix in a V7 header",
            image().header("x", 0, 0, |header| {
                header[257..265].fill(0);
                header[345] = b'p';
            }),
            Code::InvalidArchive,
        ),
        (
            "an empty long name",
            image().typed(b'L', "l", b"\0").file("x", b""),
            Code::InvalidArchive,
        ),
        (
            "an empty long link",
            image().typed(b'K', "l", b"").link(b'2', "x", "y"),
            Code::InvalidArchive,
        ),
        (
            "Solaris' extended header",
            image().typed(b'X', "x", b"9 path=a\n").file("x", b""),
            Code::InvalidArchive,
        ),
        (
            "star's sparse file",
            image().pax("21 SCHILY.realsize=9\n").file("x", b"bytes"),
            Code::SparseEntry,
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
            "an index that is a contiguous file",
            Tar::new().typed(b'7', "index.json", b"{}"),
            Code::LinkEntry,
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
