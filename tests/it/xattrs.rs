//! Extended attributes of the archive's own entries, which tar on macOS stores, do not reach an output.

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_TAR, gzip, named, right_layout};
use crate::common::judged::fixed;
use crate::common::piped::stream;
use crate::common::placed::{self, docker_layout};
use crate::common::runner::Sandbox;

/// The attributes as bsdtar stores them, before every entry.
fn with_xattrs(entries: &[Entry]) -> Vec<Entry> {
    let xattrs = Entry::pax(&[
        ("mtime", "1700000000.5"),
        ("LIBARCHIVE.xattr.com.apple.provenance", "AQAB"),
        ("SCHILY.xattr.com.apple.provenance", "x\0=\u{1}"),
        ("SCHILY.xattr.com.apple.lastuseddate#PS", &"9".repeat(700)),
    ]);
    let pairs = entries.iter().map(|entry| [xattrs.clone(), entry.clone()]);
    pairs.flatten().collect()
}

fn changes(report: &Value) -> Vec<&Value> {
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .filter(|change| change["rule"] == "entry-xattrs")
        .collect()
}

fn has_xattrs(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|part| part == b"xattr.")
}

#[test]
fn a_new_archive_has_none_and_the_report_says_so() {
    for layout in [right_layout(), docker_layout()] {
        let entries = layout.entries();
        let found = fixed(&tar(&with_xattrs(&entries)), &[]);
        assert!(!has_xattrs(&found.bytes));
        assert!(found.bytes == fixed(&layout.tar(), &[]).bytes);
        let changes = changes(&found.report);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0]["location"], "blobs");
        let count = format!("extended attributes of {} entries", entries.len());
        assert_eq!(changes[0]["before"], count.as_str());
    }
    let found = fixed(&right_layout().tar(), &[]);
    assert_eq!(changes(&found.report), [] as [&Value; 0]);
}

#[test]
fn in_place_comments_of_the_same_length_take_their_places() {
    for layout in [right_layout(), docker_layout()] {
        let bytes = tar(&with_xattrs(&layout.entries()));
        let (sandbox, report) = placed::fixed(&bytes, &[]);
        assert_eq!(changes(&report).len(), 1);
        let result = sandbox.read("in.tar");
        assert!(!has_xattrs(&result));
        // The same in a copy.
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let cloned = sandbox.fix_with("in.tar", "out.tar", &["--verify", "documents"]);
        assert_eq!(changes(&cloned.exits(0).json()).len(), 1);
        assert!(sandbox.read("out.tar") == result);
    }
    // Of an archive that is right but for them, nothing else changes.
    let bytes = tar(&with_xattrs(&right_layout().entries()));
    let (sandbox, _) = placed::fixed(&bytes, &[]);
    let result = sandbox.read("in.tar");
    let is_same = |at: usize| result[at] == bytes[at];
    let blocks =
        (0..bytes.len() / 512).filter(|block| (block * 512..block * 512 + 512).all(is_same));
    let count = right_layout().entries().len();
    assert_eq!(blocks.count() + 2 * count, bytes.len() / 512);
    assert_eq!(result.len(), bytes.len());
}

/// Docker ignores global headers, and other readers apply them to all entries that follow.
#[test]
fn attributes_in_global_headers_are_removed_too() {
    let mut global = Entry::pax(&[
        ("comment", "0123456789"),
        ("SCHILY.xattr.com.apple.provenance", "x"),
    ]);
    global.flag = b'g';
    let of_all = "extended attributes of all entries, in a global header";
    for layout in [right_layout(), docker_layout()] {
        for (at, location) in [(0, "blobs"), (1, "blobs/sha256")] {
            let mut entries = layout.entries();
            entries.insert(at, global.clone());
            let bytes = tar(&entries);
            let check = |report: &Value| {
                let changes = changes(report);
                assert_eq!(changes.len(), 1, "{report:#}");
                assert_eq!(changes[0]["before"], of_all);
                assert_eq!(changes[0]["severity"], "warns");
                assert_eq!(changes[0]["location"], location);
            };
            let found = fixed(&bytes, &[]);
            assert!(found.bytes == fixed(&layout.tar(), &[]).bytes);
            check(&found.report);
            let (sandbox, report) = placed::fixed(&bytes, &[]);
            check(&report);
            let result = sandbox.read("in.tar");
            assert!(!has_xattrs(&result));
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let options = ["--verify", "documents"];
            let cloned = sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
            check(&cloned.json());
            assert!(sandbox.read("out.tar") == result);
            let run = sandbox.fix("in.tar", "out/").exits(0);
            check(&run.json());
            check(&stream(&bytes, &[]).exits(0).json());
            sandbox.put("in.tar.gz", gzip(&bytes));
            check(&sandbox.fix("in.tar.gz", "gz.tar").exits(0).json());
        }
    }
    // Both kinds.
    let mut entries = with_xattrs(&right_layout().entries());
    entries.insert(2, global);
    let (sandbox, report) = placed::fixed(&tar(&entries), &[]);
    assert!(!has_xattrs(&sandbox.read("in.tar")));
    let severities: Vec<&Value> = changes(&report).iter().map(|c| &c["severity"]).collect();
    assert_eq!(severities, ["breaks", "warns"]);
}

#[test]
fn attributes_of_files_in_layers_are_not_touched() {
    let plain = tar(&with_xattrs(&[Entry::file("etc/text", "text")]));
    let layers = vec![
        Layer::new(OCI_TAR, plain.clone(), &plain),
        Layer::gzip(OCI_GZIP, "a"),
    ];
    let mut layout = Layout::new();
    let image = Image::oci(layers);
    let descriptor = named(layout.image(&image), "docker.io/library/app:v1");
    layout.root(vec![descriptor]);
    let manifest = layout.manifest(&image);
    layout.docker(&manifest, &["app:v1"]);
    let found = fixed(&layout.tar(), &[]);
    assert_eq!(found.report["status"], "unchanged");
    let (_, report) = placed::fixed(&layout.tar(), &[]);
    assert_eq!(report["changes"], json!([]));
    let (sandbox, _) = placed::fixed(&tar(&with_xattrs(&layout.entries())), &[]);
    assert!(has_xattrs(&sandbox.read("in.tar")));
}

#[test]
fn files_with_the_attributes_of_others_are_kept_in_place() {
    let mut entries = with_xattrs(&right_layout().entries());
    entries.insert(0, Entry::file("._index.json", b"\0\x05\x16\x07"));
    entries.push(Entry::file("._manifest.json", b"\0\x05\x16\x07"));
    let (sandbox, _) = placed::fixed(&tar(&entries), &[]);
    assert!(!has_xattrs(&sandbox.read("in.tar")));
    let found = fixed(&tar(&entries), &[]);
    assert_eq!(found.changes(&["extra-entry"]).len(), 2);
    assert!(found.bytes == right_layout().tar());
}
