//! The form that ocify writes.

use super::*;

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
fn what_engines_misread_is_noted() {
    let header = |flag: u8, name: &str, at: usize, bytes: &'static [u8]| {
        image().header(name, flag, 0, move |header| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
        })
    };
    let cut = |len: usize| {
        let mut tar = image();
        tar.0.resize(tar.0.len() + len, 0);
        tar
    };
    let type_of = "has a type that docker refuses and containerd ignores";
    let group = "has a group that is not a number";
    let cases = [
        ("nothing", image().end(), None),
        (
            "a binary mode",
            header(b'0', "x", 100, &[0x80, 0, 0, 0, 0, 0, 1, 0xa4]).end(),
            None,
        ),
        (
            "mode",
            header(b'0', "x", 100, b"rw-").end(),
            Some(("x", "has a mode that is not a number")),
        ),
        (
            "device",
            header(b'5', "d/", 329, b"?").end(),
            Some(("d", "has a device number that is not a number")),
        ),
        (
            "the header of a long name",
            image()
                .header("l", b'L', 2, |header| {
                    header[116..119].copy_from_slice(b"gid")
                })
                .body(b"n\0")
                .file("x", b"")
                .end(),
            Some(("n", group)),
        ),
        (
            "unknown type",
            header(b'Q', "x", 0, b"x").end(),
            Some(("x", type_of)),
        ),
        (
            "contiguous",
            header(b'7', "x", 0, b"x").end(),
            Some((
                "x",
                "is a contiguous file, which docker refuses and containerd ignores",
            )),
        ),
        (
            "a directory as a file",
            header(b'0', "d/", 0, b"d").end(),
            Some(("d", "is a directory with the type of a file")),
        ),
        ("a directory as in V7", header(0, "d/", 0, b"d").end(), None),
        (
            "a PAX group",
            image().pax("9 gid=1x\n").file("x", b"").end(),
            Some(("x", group)),
        ),
        ("no end", cut(0), None),
        ("a block of zeros", cut(BLOCK), None),
        (
            "less than two blocks",
            cut(2 * BLOCK - 1),
            Some((
                "index.json",
                "is the last entry, and the archive stops within its end-of-archive marker",
            )),
        ),
        ("more than two blocks", cut(2 * BLOCK + 1), None),
    ];
    for (name, tar, expected) in cases {
        let inventory = scanned(&tar);
        let misread = inventory.misread();
        let found = misread.map(|form| (form.entry.as_str(), form.what.as_str()));
        assert_eq!(found, expected, "{name}");
        assert_eq!(
            inventory.form.is_some_and(|form| form.hides_entries),
            expected.is_some(),
            "{name}"
        );
    }
}
