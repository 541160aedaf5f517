//! Blobs and root files that are links within an archive or a layout directory.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::archive::{Entry, tar};
use crate::common::builder::right_layout;
use crate::common::failure::{expect, fails};
use crate::common::judged::{fixed, fixed_path};
use crate::common::piped::stream;
use crate::common::placed;
use crate::common::runner::Sandbox;

/// How a link's target is written for a link of this name.
fn target(flag: u8, link: &str, file: &str) -> String {
    match flag {
        b'1' => file.to_owned(),
        _ => format!("{}{file}", "../".repeat(link.matches('/').count())),
    }
}

/// The right archive with one of its files moved elsewhere, and links to it in its place: at the end, or at the
/// beginning.
fn linked(entry: &str, flags: &[u8], link_first: bool) -> Vec<u8> {
    let mut entries = right_layout().entries();
    let position = entries
        .iter()
        .position(|other| other.name == entry.as_bytes())
        .unwrap();
    let data = entries.remove(position).data;
    let mut more = vec![Entry::file("real/file", data)];
    let mut file = "real/file".to_owned();
    for (number, flag) in flags.iter().enumerate() {
        let is_last = number + 1 == flags.len();
        let name = match is_last {
            true => entry.to_owned(),
            false => format!("chain/{number}"),
        };
        more.push(Entry::link(&name, *flag, &target(*flag, &name, &file)));
        file = name;
    }
    if link_first {
        more.reverse();
        return tar(&[more, entries].concat());
    }
    tar(&[entries, more].concat())
}

/// Files of every kind: a layer, a config, a manifest and those at the root.
fn names() -> Vec<String> {
    let right = right_layout();
    let mut names: Vec<String> = right.blobs.keys().cloned().collect();
    assert_eq!(names.len(), 3);
    names.extend(["index.json", "manifest.json", "oci-layout"].map(str::to_owned));
    names
}

#[test]
fn links_are_followed_wherever_their_target_is() {
    let right = right_layout().tar();
    for name in names() {
        for flags in [&b"1"[..], b"2", b"22", b"11", b"212"] {
            for link_first in [false, true] {
                let what = format!("{name} {flags:?} {link_first}");
                let found = fixed(&linked(&name, flags, link_first), &[]);
                assert!(found.bytes == right, "{what}");
                let changes = found.changes(&["link"]);
                let place = ["link", &name, "a link to real/file", "a regular file"];
                assert_eq!(changes, [place.map(str::to_owned)], "{what}");
            }
        }
    }
}

/// The target of a link passes before anybody knows that it is needed.
#[test]
fn a_stream_keeps_what_a_link_may_lead_to() {
    let layer = right_layout();
    let layer = layer
        .blobs
        .iter()
        .find(|(_, bytes)| bytes[0] == 0x1f)
        .unwrap()
        .0
        .clone();
    for flag in [b'1', b'2'] {
        let bytes = linked(&layer, &[flag], false);
        let piped = stream(&bytes, &[]).exits(0);
        assert!(piped.json()["spooled"].is_null());
        piped.judged();
        // A damaged target is found before anything that makes an image is written.
        let mut entries = right_layout().entries();
        entries.retain(|other| other.name != layer.as_bytes());
        entries.push(Entry::file("real/file", "other"));
        entries.push(Entry::link(
            &layer,
            flag,
            &target(flag, &layer, "real/file"),
        ));
        let bytes = tar(&entries);
        stream(&bytes, &[]).fails("damaged", &["digest-mismatch", "size-mismatch"]);
    }
}

/// More than memory keeps.
#[test]
fn a_stream_keeps_large_targets_in_a_temporary_file() {
    use crate::common::builder::{Image, Layer, Layout, OCI_TAR};
    let plain = tar(&[Entry::file("large", vec![7; 9 << 20])]);
    let image = Image::oci(vec![
        Layer::plain(OCI_TAR, "first"),
        Layer::new(OCI_TAR, plain.clone(), &plain),
    ]);
    let layout = Layout::of(&image, "docker.io/library/app:v1");
    let name = layout
        .blobs
        .iter()
        .find(|(_, bytes)| **bytes == plain)
        .unwrap()
        .0
        .clone();
    let mut entries = layout.entries();
    entries.retain(|other| other.name != name.as_bytes());
    entries.push(Entry::file("real/file", &plain));
    entries.push(Entry::link(&name, b'1', "real/file"));
    let piped = stream(&tar(&entries), &[]).exits(0);
    assert!(piped.json()["spooled"].is_null());
    assert!(piped.judged().0.file(&name) == plain);
}

#[test]
fn links_in_a_wrapped_archive_are_followed() {
    for name in names() {
        for flag in [b'1', b'2'] {
            let mut entries = right_layout().entries();
            let position = entries
                .iter()
                .position(|other| other.name == name.as_bytes());
            let data = entries.remove(position.unwrap()).data;
            entries.push(Entry::file("real/file", data));
            let file = if flag == b'1' {
                "app/real/file"
            } else {
                "real/file"
            };
            entries.push(Entry::link(&name, flag, &target(flag, &name, file)));
            for entry in &mut entries {
                entry.name = [b"app/", &entry.name[..]].concat();
            }
            // The directory is one only with one of these two in it.
            entries.push(Entry::dir("app/"));
            let found = fixed(&tar(&entries), &[]);
            assert!(found.bytes == right_layout().tar(), "{name} {flag}");
        }
    }
}

#[test]
fn links_that_lead_to_no_file_are_refused() {
    let right = right_layout();
    for name in names() {
        let up = "../".repeat(name.matches('/').count());
        let others: Vec<&String> = right.blobs.keys().filter(|other| **other != name).collect();
        let mut cases = vec![
            ("a loop", b'2', format!("{up}loop")),
            ("nothing", b'2', format!("{up}nowhere")),
            ("nothing", b'1', "nowhere".to_owned()),
            ("a directory", b'2', format!("{up}real")),
            ("a directory", b'1', "real".to_owned()),
            ("a device", b'2', format!("{up}device")),
            (
                "out and in again",
                b'2',
                format!("{up}../in.tar/oci-layout"),
            ),
            ("through a link", b'2', format!("{up}folder/file")),
            ("an absolute path", b'2', "/real/file".to_owned()),
            ("too many links", b'2', format!("{up}chain/0")),
        ];
        if name.starts_with("blobs/") {
            cases.push(("another blob", b'1', others[0].clone()));
        }
        for (what, flag, target) in cases {
            let mut entries = right.entries();
            entries.retain(|other| other.name != name.as_bytes());
            entries.push(Entry::dir("real/"));
            entries.push(Entry::file("real/file", "x"));
            entries.push(Entry::link("folder", b'2', "real"));
            entries.push(Entry::link("device", b'3', ""));
            entries.push(Entry::link("loop", b'2', &name));
            for number in 0..20 {
                let next = format!("{}", number + 1);
                entries.push(Entry::link(format!("chain/{number}"), b'2', &next));
            }
            entries.push(Entry::file("chain/20", "x"));
            entries.push(Entry::link(&name, flag, &target));
            let parts = [name.as_str(), target.as_str(), "expected a regular file"];
            fails(
                &format!("{name}: {what}"),
                &tar(&entries),
                "link-entry",
                &parts,
            );
        }
    }
}

#[test]
fn an_archive_with_links_is_not_fixed_in_place() {
    for name in names() {
        for flag in [b'1', b'2'] {
            let bytes = linked(&name, &[flag], false);
            let part = format!("{name} is a link");
            placed::refused(&bytes, &[], "in-place-refused", &part);
        }
    }
}

#[test]
fn links_in_a_layout_directory_are_followed_within_it() {
    let right = right_layout();
    for name in names() {
        let sandbox = Sandbox::new();
        right.write_to(&sandbox.path("in"));
        let at = |name: &str| sandbox.path(&format!("in/{name}"));
        fs::create_dir(at("real")).unwrap();
        fs::rename(at(&name), at("real/file")).unwrap();
        symlink("file", at("real/link")).unwrap();
        symlink(target(b'2', &name, "real/link"), at(&name)).unwrap();
        let found = fixed_path(&sandbox.path("in"), &[]);
        assert!(found.bytes == right.tar(), "{name}");
        assert_eq!(found.changes(&["link"]).len(), 1, "{name}");
        for link in ["auto", "hard", "never"] {
            let output = format!("{link}/");
            sandbox.fix_with("in", &output, &["--link", link]).exits(0);
            let file = sandbox.path(&format!("{link}/{name}"));
            assert!(
                fs::symlink_metadata(file).unwrap().is_file(),
                "{name} {link}"
            );
        }
        // A link on the way is not followed, and neither is one that leads out.
        fs::rename(at("real"), sandbox.path("outside")).unwrap();
        for way in ["../outside", "outside"] {
            symlink(sandbox.path("outside"), at("outside")).unwrap();
            fs::remove_file(at(&name)).unwrap();
            symlink(target(b'2', &name, &format!("{way}/file")), at(&name)).unwrap();
            let run = sandbox.fix("in", "out.tar");
            expect(&name, &run, "link-entry", &[&name]);
            fs::remove_file(at("outside")).unwrap();
        }
    }
}
