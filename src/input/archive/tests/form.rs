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
