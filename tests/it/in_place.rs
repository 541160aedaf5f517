//! `--in-place` gives the same images as a new archive with only a few writes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_LIST, Layout, OCI_INDEX, OCI_MANIFEST, digest_of, index, named,
};
use crate::common::checker::{check_kept, check_output};
use crate::common::contents::Contents;
use crate::common::placed::{REFUSED, docker_layout, fix, fixed, meaning, refused};
use crate::common::runner::Sandbox;
use crate::common::{evidence, fixture, fixtures, sha256};

#[test]
fn in_place_fixes_are_equivalent_to_new_archives() {
    let archives = fixtures().into_iter().filter(|name| name.ends_with(".tar"));
    for name in archives.filter(|name| !REFUSED.contains(&name.as_str())) {
        let platform: &[&str] = if name.contains("-multi") {
            &["--docker-platform", "linux/amd64"]
        } else {
            &[]
        };
        let bytes = fs::read(fixture(&name)).unwrap();
        let (sandbox, report) = fixed(&bytes, platform);
        let new = sandbox
            .fix_with(fixture(&name), "new.tar", platform)
            .exits(0)
            .json();
        let in_place = meaning(&sandbox.path("in.tar"), check_kept(&sandbox.path("in.tar")));
        assert_eq!(
            in_place,
            meaning(
                &sandbox.path("new.tar"),
                check_output(&sandbox.path("new.tar"))
            ),
            "{name}"
        );
        // The same changes, except what is left unchanged.
        let changes = |report: &Value| -> Vec<[String; 2]> {
            let changes = report["changes"].as_array().unwrap().iter();
            changes
                .map(|change| {
                    ["rule", "location"].map(|key| change[key].as_str().unwrap().to_owned())
                })
                .filter(|[rule, _]| !["archive-form", "extra-entry"].contains(&rule.as_str()))
                .collect()
        };
        assert_eq!(changes(&report), changes(&new), "{name}");
        let findings = |report: &Value| report["findings"].to_string().len();
        assert_eq!(findings(&report), findings(&new), "{name}");
        // Unchanged blobs have not moved.
        let (old, result) = (Contents::from_tar(&bytes), sandbox.read("in.tar"));
        for digest in Contents::from_tar(&result).digests() {
            let Some(blob) = old.blob(&digest).filter(|blob| !blob.is_empty()) else {
                continue;
            };
            let at = |whole: &[u8]| whole.windows(blob.len()).position(|part| part == blob);
            assert_eq!(at(&result), at(&bytes), "{name}: {digest}");
        }
        // If only documents are verified, a new archive gets the same bytes.
        let options = [platform, &["--verify", "documents"]].concat();
        sandbox
            .fix_with(fixture(&name), "patched.tar", &options)
            .exits(0);
        assert_eq!(sandbox.read("patched.tar"), result, "{name}");
    }
}

/// The entry names of an archive, in order.
fn names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
    };
    entries.map(name).collect()
}

fn position(names: &[String], name: &str) -> usize {
    let found = names.iter().position(|found| found == name);
    found.unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

#[test]
fn documents_replace_the_old_ones() {
    let layout = docker_layout();
    let bytes = layout.tar();
    let (sandbox, report) = fixed(&bytes, &[]);
    let digests = &report["digests"][0];
    let name = |key: &str| {
        digests[key]
            .as_str()
            .unwrap()
            .replacen("sha256:", "blobs/sha256/", 1)
    };
    let (old, new) = (names(&bytes), names(&sandbox.read("in.tar")));
    assert_eq!(
        position(&old, &name("before")),
        position(&new, &name("after"))
    );
    let contents = Contents::read(&sandbox.path("in.tar"));
    let text = contents.text(&name("after"));
    assert_eq!(text.len(), layout.blobs[&name("before")].len());
    assert!(text.ends_with("}]}   ") || text.ends_with("   ") && !contents.has(&name("before")));
    assert_eq!(
        new[new.len() - 3..],
        ["index.json", "manifest.json", "oci-layout"]
    );
    // The report and the metadata contain the digest in the archive.
    assert_eq!(report["images"][0]["digest"], digests["after"]);
}

#[test]
fn a_document_that_does_not_fit_is_appended() {
    // Its type is missing, and must be added: into the rest of the block, or not.
    for is_full in [false, true] {
        let mut layout = Layout::new();
        let image = layout.image(&crate::common::builder::right_image());
        let mut list = index(OCI_INDEX, vec![image]);
        list.as_object_mut().unwrap().remove("mediaType");
        let mut text = list.to_string();
        let wanted = text.len().next_multiple_of(512) - if is_full { 20 } else { 200 };
        let wanted = if wanted < text.len() + 30 {
            wanted + 512
        } else {
            wanted
        };
        let room = wanted - text.len() - r#","annotations":{"x":""}"#.len();
        text.truncate(text.len() - 1);
        text.push_str(&format!(
            r#","annotations":{{"x":"{}"}}}}"#,
            "x".repeat(room)
        ));
        assert_eq!(text.len(), wanted);
        let descriptor = layout.blob(OCI_INDEX, &text);
        let old = crate::common::contents::blob_name(&digest_of(&descriptor));
        layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
        let bytes = layout.tar();
        let (sandbox, report) = fixed(&bytes, &[]);
        let new = report["digests"][0]["after"].as_str().unwrap();
        let new = crate::common::contents::blob_name(new);
        let names_after = names(&sandbox.read("in.tar"));
        if is_full {
            let at = position(&names_after, &new);
            assert_eq!(
                names_after[at + 1..],
                ["index.json", "manifest.json", "oci-layout"]
            );
            assert!(
                names_after.contains(&old),
                "the old one stays, and nothing refers to it"
            );
        } else {
            assert_eq!(position(&names_after, &new), position(&names(&bytes), &old));
            assert!(!names_after.contains(&old));
        }
    }
}

/// An archive whose root files are before or after the blobs.
fn ordered(layout: &Layout, front: &[&str]) -> Vec<u8> {
    let is_front = |entry: &&Entry| front.contains(&std::str::from_utf8(&entry.name).unwrap());
    let entries = layout.entries();
    let (first, rest): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(is_front);
    let all: Vec<Entry> = first.into_iter().chain(rest).cloned().collect();
    tar(&all)
}

#[test]
fn leading_root_files_are_padded_or_become_blobs() {
    // The new types are shorter, so it fits in the old entry.
    let mut layout = docker_layout();
    layout.edit_root(|root| root["manifests"][0]["annotations"]["x"] = json!("x".repeat(900)));
    let bytes = ordered(&layout, &["index.json", "oci-layout"]);
    let (sandbox, _) = fixed(&bytes, &[]);
    let found = names(&sandbox.read("in.tar"));
    assert_eq!(found[..2], ["index.json", "oci-layout"]);
    assert_eq!(found.last().unwrap(), "manifest.json");
    let index = Contents::read(&sandbox.path("in.tar")).text("index.json");
    assert_eq!(index.len(), layout.index.as_ref().unwrap().len());
    assert!(index.ends_with(' '));

    // Many names make it longer: the old entry becomes a blob, and the new one is appended.
    let bytes = ordered(&layout, &["index.json", "oci-layout"]);
    let many: Vec<String> = (0..9).map(|n| format!("example.com/app:{n}")).collect();
    let options: Vec<&str> = many.iter().flat_map(|name| ["--name", name]).collect();
    let (sandbox, _) = fixed(&bytes, &options);
    let found = names(&sandbox.read("in.tar"));
    let old = format!("blobs/sha256/{}", sha256(layout.index.as_ref().unwrap()));
    assert_eq!(found[..2], [&old[..], "oci-layout"]);
    assert_eq!(found[found.len() - 2..], ["index.json", "manifest.json"]);

    // A blob with its bytes exists already, so the old entry cannot become one.
    let index = layout.index.clone().unwrap();
    layout.blob("application/x", &index);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", ordered(&layout, &["index.json", "oci-layout"]));
    let line = [&options[..], &["--dry-run"]].concat();
    let report = fix(&sandbox, "in.tar", &line).exits(1).json();
    assert_eq!(report["error"]["code"], "in-place-refused");
}

#[test]
fn a_removed_root_file_is_gone() {
    // manifest.json lists no image, as some writers leave it for artifacts.
    for front in [&["manifest.json"][..], &[]] {
        let mut layout = Layout::new();
        let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
        let content = layout.blob("application/x-note", "a note");
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note", "config": config, "layers": [content]});
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![descriptor]);
        layout.docker_manifest = Some(b"[]".to_vec());
        let (sandbox, report) = fixed(&ordered(&layout, front), &[]);
        assert!(!Contents::read(&sandbox.path("in.tar")).has("manifest.json"));
        assert_eq!(report["changes"][0]["rule"], "docker-manifest");
        assert_eq!(report["changes"][0]["before"], "0 images");
    }
}

/// A way to write entries, and its name.
type Form = (&'static str, fn(&Entry) -> Vec<Entry>);

#[test]
fn the_form_of_an_archive_is_kept() {
    let layout = docker_layout();
    let entries = layout.entries();
    let flag = |entry: &Entry| entry.flag == b'5';
    // PAX headers with times, as bsdtar writes them; names in PAX and GNU headers; a leading `./`; no
    // directories; old headers; other modes and times.
    let forms: [Form; 6] = [
        ("times", |entry| {
            vec![Entry::pax(&[("mtime", "1.5")]), entry.clone()]
        }),
        ("PAX names", |entry| {
            let name = std::str::from_utf8(&entry.name).unwrap();
            vec![Entry::pax(&[("path", name)]), entry.clone()]
        }),
        ("GNU names", |entry| {
            vec![Entry::gnu_name(&entry.name), entry.clone()]
        }),
        ("dots", |entry| {
            let name = [b"./", &entry.name[..]].concat();
            vec![Entry {
                name,
                ..entry.clone()
            }]
        }),
        ("old", |entry| {
            let flag = if entry.flag == b'0' { 0 } else { entry.flag };
            vec![Entry {
                flag,
                ..entry.clone()
            }]
        }),
        ("modes", |entry| {
            vec![Entry {
                mode: 0o600,
                mtime: 77,
                ..entry.clone()
            }]
        }),
    ];
    for (_, change) in forms {
        let changed: Vec<Entry> = entries.iter().flat_map(change).collect();
        fixed(&tar(&changed), &[]);
        let no_directories: Vec<Entry> = entries
            .iter()
            .filter(|e| !flag(e))
            .flat_map(change)
            .collect();
        fixed(&tar(&no_directories), &[]);
    }
    // A renamed document keeps its mode and time.
    let changed: Vec<Entry> = entries
        .iter()
        .map(|entry| Entry {
            mode: 0o600,
            mtime: 77,
            ..entry.clone()
        })
        .collect();
    let (sandbox, report) = fixed(&tar(&changed), &[]);
    let new = report["digests"][0]["after"].as_str().unwrap();
    let new = crate::common::contents::blob_name(new);
    let bytes = sandbox.read("in.tar");
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries_after = archive.entries().unwrap().map(Result::unwrap);
    for entry in entries_after.filter(|entry| *entry.path_bytes() == *new.as_bytes()) {
        assert_eq!(
            (
                entry.header().mode().unwrap(),
                entry.header().mtime().unwrap()
            ),
            (0o600, 77)
        );
    }
}

#[test]
fn the_length_of_the_end_marker_does_not_matter() {
    let layout = docker_layout();
    let bytes = layout.tar();
    let whole = bytes.len();
    let cut = |len: usize| {
        let mut bytes = bytes.clone();
        bytes.resize(len, 0);
        bytes
    };
    let (sandbox, _) = fixed(&bytes, &[]);
    let expected = sandbox.read("in.tar");
    // No end-of-archive marker, half of one, the blocks of tar, and a long end.
    for len in [whole - 1024, whole - 512, whole + 9216, whole + (3 << 20)] {
        let (sandbox, _) = fixed(&cut(len), &[]);
        assert_eq!(sandbox.read("in.tar"), expected, "{len}");
    }
}

#[test]
fn duplicate_documents_are_fixed_or_refused() {
    // The new manifest already exists in addition to the old one, and has the same length.
    let mut layout = docker_layout();
    let (sandbox, report) = fixed(&layout.tar(), &[]);
    let new = report["digests"][0]["after"].as_str().unwrap().to_owned();
    let text = Contents::read(&sandbox.path("in.tar"))
        .blob(&new)
        .unwrap()
        .to_vec();
    layout.blob(OCI_MANIFEST, &text);
    let (sandbox, report) = fixed(&layout.tar(), &[]);
    assert_eq!(report["digests"][0]["after"], new);
    let names = names(&sandbox.read("in.tar"));
    let name = crate::common::contents::blob_name(&new);
    assert_eq!(names.iter().filter(|found| **found == name).count(), 1);

    // Duplicate entries with the same bytes mean the same to every reader. They are allowed for a blob, but not
    // for a root file that changes.
    let mut entries = layout.entries();
    entries.insert(2, entries[2].clone());
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", tar(&entries));
    fix(&sandbox, "in.tar", &[]).exits(0);
    let mut entries = layout.entries();
    let index = entries
        .iter()
        .find(|entry| entry.name == b"index.json")
        .unwrap()
        .clone();
    entries.insert(0, index);
    refused(
        &tar(&entries),
        &[],
        "in-place-refused",
        "index.json appears in it more than once",
    );
}

#[test]
fn attestations_signatures_and_nested_indexes_follow() {
    let mut layout = Layout::new();
    let image = layout.image(&evidence::one());
    let attestation = evidence::attestation(&mut layout, &image);
    let more = evidence::evidence(&mut layout, &image);
    let index = layout.index_of(DOCKER_LIST, vec![image, attestation]);
    let mut root = vec![named(index, "docker.io/library/app:v1")];
    root.extend(more);
    layout.root(root);
    let (sandbox, report) = fixed(&layout.tar(), &[]);
    let new = sandbox
        .fix_with(sandbox.put("original.tar", layout.tar()), "new.tar", &[])
        .exits(0);
    let rules = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| finding["rule"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&report), rules(&new.json()));
    assert_eq!(
        meaning(&sandbox.path("in.tar"), check_kept(&sandbox.path("in.tar"))).names,
        ["docker.io/library/app:v1"]
    );
}

#[test]
fn only_differences_are_written() {
    // A layer of a gibibyte, all of it a hole.
    let layout = docker_layout();
    let entries = layout.entries();
    let sandbox = Sandbox::new();
    let mut bytes = Vec::new();
    let len: u64 = 1 << 30;
    let hole =
        Entry::file(format!("blobs/sha256/{}", "f".repeat(64)), "").size(format!("{len:011o}"));
    bytes.extend(crate::common::archive::open_tar(&entries[..2]));
    bytes.extend(crate::common::archive::open_tar(&[hole]));
    let path = sandbox.put("in.tar", &bytes);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let at = bytes.len() as u64 + len;
    std::os::unix::fs::FileExt::write_all_at(&file, &tar(&entries[2..]), at).unwrap();
    drop(file);
    let blocks = fs::metadata(&path).unwrap().blocks();
    let run = fix(&sandbox, "in.tar", &[]).exits(0);
    assert_eq!(run.json()["status"], "fixed");
    let grown = fs::metadata(&path).unwrap().blocks().saturating_sub(blocks);
    assert!(grown * 512 < 100 << 10, "{grown} blocks more");
    // So it is when it is copied: the hole stays one.
    let report = sandbox
        .fix_with("in.tar", "out.tar", &["--verify", "documents"])
        .exits(0)
        .json();
    assert_eq!(report["status"], "unchanged");
    let copied = fs::metadata(sandbox.path("out.tar")).unwrap();
    assert_eq!(copied.len(), fs::metadata(&path).unwrap().len());
    assert!(
        copied.blocks() * 512 < 1 << 20,
        "{} blocks",
        copied.blocks()
    );
}
