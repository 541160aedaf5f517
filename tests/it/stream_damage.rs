//! Standard input to standard output: truncated, damaged and ambiguous archives do not produce an image.

use crate::common::archive::{Entry, tar};
use crate::common::builder::right_layout;
use crate::common::contents::Contents;
use crate::common::piped::{is_no_image, pipe, plain_layer, roots_first, sample, stream};
use crate::common::runner::Sandbox;
use crate::common::sha256;

#[test]
fn a_truncated_stream_produces_no_image() {
    let layout = sample();
    for entries in [layout.entries(), roots_first(&layout)] {
        let bytes = tar(&entries);
        let cuts = (0..bytes.len())
            .step_by(512)
            .flat_map(|at| [at, at + 1, at + 200, at + 511]);
        for cut in cuts {
            let name = format!("{cut} of {} bytes", bytes.len());
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes[..cut]);
            let file = sandbox.fix("in.tar", "out.tar");
            let piped = stream(&bytes[..cut], &[]);
            assert_eq!(piped.code, file.code, "{name}: {}", piped.err);
            if piped.code == 0 {
                // Writers leave the end marker out, and oci-layout may be missing.
                let out = Contents::from_tar(&sandbox.read("out.tar"));
                assert!(piped.judged().0 == out, "{name}");
            } else {
                is_no_image(&name, &piped, &layout);
            }
        }
    }
}

#[test]
fn a_damaged_blob_produces_no_image() {
    let layout = sample();
    for (name, bytes) in &layout.blobs {
        for at in [0, 600.min(bytes.len() / 2), bytes.len() - 1] {
            let mut damaged = layout.clone();
            damaged.blobs.get_mut(name).unwrap()[at] ^= 1;
            for entries in [damaged.entries(), roots_first(&damaged)] {
                let place = format!("{name}, byte {at}");
                let piped = stream(&tar(&entries), &[]);
                is_no_image(&place, &piped, &damaged);
                let code = piped.json()["error"]["code"].clone();
                let codes = ["digest-mismatch", "invalid-document"];
                assert!(codes.contains(&code.as_str().unwrap()), "{place}: {code}");
            }
        }
    }
}

/// Faults that cannot be detected before the end are detected there, and no document is written.
#[test]
fn a_fault_at_the_end_produces_no_image() {
    let layout = sample();
    let with = |entries: Vec<Entry>| tar(&[layout.entries(), entries].concat());
    let layer = layout
        .blobs
        .iter()
        .find(|(_, bytes)| !bytes.starts_with(b"{"));
    let (layer, layer_bytes) = layer.unwrap();
    let mut config = layout.index.clone().unwrap();
    config.push(b' ');
    let trailing = [layout.tar(), layout.tar()].concat();
    for (name, bytes, code) in [
        (
            "another index.json",
            with(vec![Entry::file("index.json", config)]),
            "duplicate-entry",
        ),
        ("bytes after the end", trailing, "trailing-archive"),
        (
            "another layer",
            with(vec![Entry::file(layer, b"\0 other")]),
            "duplicate-entry",
        ),
        (
            "a link",
            with(vec![Entry::link(
                format!("blobs/sha256/{}", sha256(b"x")),
                b'2',
                "y",
            )]),
            "link-entry",
        ),
        (
            "a file above others",
            with(vec![Entry::file("x", "x"), Entry::file("x/y", "y")]),
            "invalid-archive",
        ),
        (
            "a name that leads outside",
            with(vec![Entry::file("../x", "x")]),
            "invalid-archive",
        ),
        (
            "no root",
            tar(&[Entry::file(layer, layer_bytes)]),
            "not-an-image",
        ),
    ] {
        let piped = stream(&bytes, &[]);
        is_no_image(name, &piped, &layout);
        assert_eq!(piped.json()["error"]["code"], code, "{name}");
    }
}

#[test]
fn duplicate_blobs_are_written_once() {
    let layout = sample();
    let twice = |with: &dyn Fn(&Entry) -> bool| {
        let entries = layout.entries();
        let more: Vec<Entry> = entries
            .iter()
            .filter(|entry| with(entry))
            .cloned()
            .collect();
        tar(&[entries, more].concat())
    };
    let expected = stream(&layout.tar(), &[]).exits(0);
    for bytes in [
        twice(&|entry| entry.name.starts_with(b"blobs/sha256/")),
        twice(&|entry| !entry.name.starts_with(b"blobs/")),
        twice(&|_| true),
    ] {
        let piped = stream(&bytes, &[]).exits(0);
        assert!(piped.out == expected.out);
        let changes = piped.json()["changes"].to_string();
        assert!(changes.contains("archive-form"), "{changes}");
    }
    // --lenient uses the last of different entries, but the first has already been written.
    let lenient = |entries: &[Entry]| stream(&tar(entries), &["--lenient"]);
    let mut index = layout.entries();
    index.insert(0, Entry::file("index.json", "{}"));
    assert!(lenient(&index).exits(0).out == expected.out);
    let mut layer = layout.entries();
    let name = plain_layer(&layout);
    layer.push(Entry::file(&name, b"\0 other"));
    let piped = lenient(&layer);
    assert_eq!(piped.json()["error"]["code"], "digest-mismatch");
    is_no_image("the last layer", &piped, &layout);
}

#[test]
fn claimed_sizes_do_not_allocate_memory() {
    let layout = right_layout();
    for (what, field) in [
        ("8 GiB", &b"77777777777\0"[..]),
        ("2^63 bytes", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (
            "more than that",
            b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ] {
        for name in ["index.json", "extra", &layout.find(&["\"rootfs\""])] {
            for data in [&b"{}"[..], b"\x1f\x8b\x08"] {
                let mut entries = layout.entries();
                entries.retain(|entry| entry.name != name.as_bytes());
                entries.push(Entry::file(name, data).size(field));
                let sandbox = Sandbox::new();
                let mut command = sandbox.limited("-v", 200 << 10);
                let piped = pipe(
                    command.args(["fix", "-", "--format", "json"]),
                    &tar(&entries),
                );
                let codes = [
                    "truncated-archive",
                    "invalid-archive",
                    "document-too-large",
                    "size-limit",
                ];
                piped.fails(&format!("{what} in {name}"), &codes);
            }
        }
    }
}
