//! `--in-place`: the same images as in a new archive, by a few writes; or a refusal, and no write at all.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::archive::{Entry, tar};
use common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_INDEX, OCI_MANIFEST, OCI_ZSTD, digest_of, gzip, named,
    right_layout,
};
use common::checker::{Facts, check_kept, check_output};
use common::contents::Contents;
use common::runner::{Run, Sandbox};
use common::schema::check_report;
use common::{evidence, fixture, fixtures, saved, sha256};
use serde_json::{Value, json};

/// Fixtures whose files are not named by their digests.
const REFUSED: [&str; 6] = [
    "docker20-save-byid.tar",
    "docker20-save-names.tar",
    "docker20-save.tar",
    "podman-docker.tar",
    "podman-multi.tar",
    "skopeo19-docker.tar",
];

fn fix(sandbox: &Sandbox, file: &str, more: &[&str]) -> Run {
    let line = ["fix", "--in-place", file, "--format", "json"];
    sandbox.ocify(&[&line, more].concat())
}

/// Fixes an archive in place and checks all that must hold then.
#[track_caller]
fn fixed(bytes: &[u8], more: &[&str]) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(&path, sandbox.path("other.tar")).unwrap();
    let before = fs::metadata(&path).unwrap();
    let report = fix(&sandbox, "in.tar", more).exits(0).json();
    check_report(&report);
    assert_eq!(
        (&report["input"], &report["output"]),
        (&json!("in.tar"), &json!("in.tar"))
    );
    let after = fs::metadata(&path).unwrap();
    let identity = |found: &fs::Metadata| (found.ino(), found.nlink(), found.mode(), found.uid());
    assert_eq!(identity(&after), identity(&before));
    let result = sandbox.read("in.tar");
    assert_eq!(report["status"] == "unchanged", result == bytes);
    check_kept(&path);

    // Once more changes nothing, not even the times.
    let again = fix(&sandbox, "in.tar", &[]).exits(0).json();
    assert_eq!(
        (&again["status"], &again["changes"]),
        (&json!("unchanged"), &json!([]))
    );
    assert_eq!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        after.modified().unwrap()
    );
    assert_eq!(sandbox.read("in.tar"), result);
    // A new archive of it changes nothing that any reader needs.
    let copied = sandbox.fix("in.tar", "copied.tar").exits(0).json();
    for change in copied["changes"].as_array().unwrap() {
        assert!(["archive-form", "extra-entry"].contains(&change["rule"].as_str().unwrap()));
    }
    check_output(&sandbox.path("copied.tar"));
    fs::remove_file(sandbox.path("copied.tar")).unwrap();
    assert_eq!(sandbox.names(), ["in.tar", "other.tar"]);
    (sandbox, report)
}

/// What an archive means: its images by what they are made of, with the types of all parts.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    names: Vec<String>,
    tags: Vec<(String, Vec<String>)>,
    configs: Vec<String>,
    /// Each manifest without its digest, which padding changes.
    manifests: Vec<String>,
}

fn meaning(path: &Path, facts: Facts) -> Meaning {
    let contents = Contents::read(path);
    let manifests = contents.manifests().into_iter();
    let mut manifests: Vec<String> = manifests
        .map(|(_, mut manifest)| {
            if let Some(subject) = manifest.get_mut("subject") {
                subject["digest"] = json!("moved");
            }
            manifest.to_string()
        })
        .collect();
    manifests.sort();
    Meaning {
        names: facts.names.into_keys().collect(),
        tags: facts
            .tags
            .into_iter()
            .map(|(config, tags)| (config, tags.into_iter().collect()))
            .collect(),
        configs: facts.configs.into_iter().collect(),
        manifests,
    }
}

#[test]
fn every_fixture_becomes_what_a_new_archive_of_it_is() {
    let archives = fixtures().into_iter().filter(|name| name.ends_with(".tar"));
    for name in archives.filter(|name| !REFUSED.contains(&name.as_str())) {
        println!("{name}");
        let platform: &[&str] = if name.contains("-multi") {
            &["--platform", "linux/amd64"]
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
        // The same changes, but for what is left as it is.
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
        // Blobs that stay have not moved.
        let (old, result) = (Contents::from_tar(&bytes), sandbox.read("in.tar"));
        for digest in Contents::from_tar(&result).digests() {
            let Some(blob) = old.blob(&digest).filter(|blob| !blob.is_empty()) else {
                continue;
            };
            let at = |whole: &[u8]| whole.windows(blob.len()).position(|part| part == blob);
            assert_eq!(at(&result), at(&bytes), "{name}: {digest}");
        }
        // The documents alone verified, a new archive is made of the same bytes.
        let options = [platform, &["--verify", "documents"]].concat();
        sandbox
            .fix_with(fixture(&name), "patched.tar", &options)
            .exits(0);
        assert_eq!(sandbox.read("patched.tar"), result, "{name}");
    }
}

/// Nothing but a refusal happens to the file.
#[track_caller]
fn refused(bytes: &[u8], more: &[&str], code: &str, part: &str) {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", bytes);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let report = fix(&sandbox, "in.tar", more).exits(1).json();
    check_report(&report);
    let error = &report["error"];
    assert_eq!(error["code"], code, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains(part),
        "{part}: {error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("-o OUTPUT"),
        "{error}"
    );
    assert_eq!(sandbox.read("in.tar"), bytes);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn what_cannot_be_done_in_place_is_refused_before_the_first_write() {
    for name in REFUSED {
        let bytes = fs::read(fixture(name)).unwrap();
        refused(&bytes, &[], "in-place-refused", "under another name");
    }
    let layout = right_layout();
    let mut entries = layout.entries();
    let with = |entry: Entry| tar(&[&entries[..], &[entry]].concat());
    let link = with(Entry::link("note", b'2', "/etc/passwd"));
    refused(&link, &[], "in-place-refused", "note is a link");
    refused(
        &with(Entry::new("pipe", b'6', "")),
        &[],
        "in-place-refused",
        "pipe is a link or a special file",
    );
    refused(
        &gzip(&layout.tar()),
        &[],
        "in-place-refused",
        "compressed with gzip",
    );
    let wrapped: Vec<Entry> = entries
        .iter()
        .map(|entry| Entry {
            name: [b"image/", &entry.name[..]].concat(),
            ..entry.clone()
        })
        .collect();
    refused(
        &tar(&wrapped),
        &[],
        "in-place-refused",
        "under another name",
    );
    for name in ["/", ".//", "./blobs/../"] {
        let written = |entry: &mut Entry| entry.name = [name.as_bytes(), &entry.name].concat();
        let mut entries = entries.clone();
        entries.iter_mut().for_each(written);
        let code = if name.contains("..") {
            "invalid-archive"
        } else {
            "in-place-refused"
        };
        if code == "in-place-refused" {
            refused(
                &tar(&entries),
                &[],
                code,
                "written such that some readers do not find it",
            );
        }
    }
    // Two of one name: the last would count, but only for some.
    let mut other = entries[2].clone();
    other.data.push(b' ');
    entries.insert(2, other);
    refused(
        &tar(&entries),
        &["--lenient"],
        "in-place-refused",
        "more than once",
    );
}

#[test]
fn what_would_have_to_go_is_refused() {
    let mut layout = Layout::new();
    let image = layout.image(&evidence::one());
    let attestation = evidence::attestation(&mut layout, &image);
    let index = layout.index_of(OCI_INDEX, vec![image, attestation]);
    layout.root(vec![named(index, "docker.io/library/app:v1")]);
    let part = "would have to be removed";
    refused(
        &layout.tar(),
        &["--attestations", "drop"],
        "in-place-refused",
        part,
    );

    let mut layout = Layout::new();
    let descriptors = [evidence::one(), evidence::two()].map(|image| layout.image(&image));
    let [one, two] = descriptors;
    layout.root(vec![
        named(one, "docker.io/library/one:v1"),
        named(two, "docker.io/library/two:v1"),
    ]);
    refused(&layout.tar(), &["--image", "1"], "in-place-refused", part);
    // Nothing to drop is no reason to refuse.
    fixed(&layout.tar(), &["--attestations", "drop"]);

    let zstd = Layout::of(
        &Image::oci(vec![Layer::zstd(OCI_ZSTD, "z")]),
        "docker.io/library/app:v1",
    );
    let part = "has to be compressed anew";
    refused(
        &zstd.tar(),
        &["--for", "docker@20.10"],
        "in-place-refused",
        part,
    );
    refused(
        &zstd.tar(),
        &["--compression", "gzip"],
        "in-place-refused",
        part,
    );
    fixed(&zstd.tar(), &["--compression", "zstd"]);
    fixed(&right_layout().tar(), &["--for", "docker@20.10"]);
}

#[test]
fn files_that_are_none() {
    let sandbox = Sandbox::new();
    right_layout().write_to(&sandbox.path("layout"));
    let code = |file: &str| fix(&sandbox, file, &[]).exits(1).json()["error"]["code"].clone();
    assert_eq!(code("layout"), "in-place-refused");
    assert_eq!(code("/dev/null"), "in-place-refused");
    assert_eq!(code("absent.tar"), "io");
    // A program that runs cannot be written by anyone.
    fs::copy("/bin/sleep", sandbox.path("busy.tar")).unwrap();
    let mut running = Command::new(sandbox.path("busy.tar"))
        .arg("60")
        .spawn()
        .unwrap();
    let found = code("busy.tar");
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(found, "not-writable");
    sandbox.put("text.tar", "text");
    assert_eq!(code("text.tar"), "not-an-image");
    // Of a link, the file that it leads to is rewritten, and the link stays.
    sandbox.put(
        "in.tar",
        fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap(),
    );
    symlink("in.tar", sandbox.path("link.tar")).unwrap();
    fix(&sandbox, "link.tar", &[]).exits(0);
    assert!(sandbox.path("link.tar").is_symlink());
    check_kept(&sandbox.path("in.tar"));
}

#[test]
fn usage() {
    let sandbox = Sandbox::new();
    for line in [
        &["fix", "in.tar"][..],
        &["fix", "in.tar", "--in-place", "-o", "out.tar"],
        &["fix", "in.tar", "--in-place", "--force"],
        &["fix", "in.tar", "--in-place", "--recover"],
        &["fix", "in.tar", "--recover", "--dry-run"],
    ] {
        sandbox.ocify(line).exits(2);
    }
    let run = sandbox.ocify(&["fix", "in.tar"]);
    assert!(run.stderr.contains("-o OUTPUT") && run.stderr.contains("--in-place"));
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let bytes = fs::read(fixture("docker26g-save.tar")).unwrap();
    sandbox.put("in.tar", &bytes);
    let dry = fix(&sandbox, "in.tar", &["--dry-run"]).exits(3).json();
    assert_eq!(sandbox.read("in.tar"), bytes);
    let wet = fix(&sandbox, "in.tar", &[]).exits(0).json();
    assert_eq!(dry["changes"], wet["changes"]);
    assert_eq!(dry["digests"], wet["digests"]);
    fix(&sandbox, "in.tar", &["--dry-run"]).exits(0);
    // It refuses what would be refused.
    let bytes = fs::read(fixture("docker20-save.tar")).unwrap();
    refused(
        &bytes,
        &["--dry-run"],
        "in-place-refused",
        "under another name",
    );
}

#[test]
fn a_damaged_layer_is_seen_with_full_verification_only() {
    let bytes = fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap();
    let contents = Contents::from_tar(&bytes);
    let layer = contents.manifests()[0].1["layers"][0].clone();
    let blob = contents.blob(&digest_of(&layer)).unwrap();
    let at = bytes
        .windows(blob.len())
        .position(|part| part == blob)
        .unwrap();
    let mut damaged = bytes.clone();
    damaged[at + blob.len() - 1] ^= 1;
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &damaged);
    let report = fix(&sandbox, "in.tar", &["--verify", "full"])
        .exits(1)
        .json();
    assert_eq!(report["error"]["code"], "digest-mismatch");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains(&digest_of(&layer)), "{message}");
    assert_eq!(sandbox.read("in.tar"), damaged);
    assert_eq!(sandbox.names(), ["in.tar"]);
    let report = fix(&sandbox, "in.tar", &[]).exits(0).json();
    assert_eq!(report["blobs"]["verified"], "documents");
    let (_, report) = fixed(&bytes, &["--verify", "full"]);
    assert_eq!(report["blobs"]["verified"], "full");
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

/// An image whose manifest becomes shorter.
fn docker_layout() -> Layout {
    Layout::of(
        &Image::docker(vec![
            Layer::gzip(DOCKER_GZIP, "one"),
            Layer::gzip(DOCKER_GZIP, "two"),
        ]),
        "docker.io/library/app:v1",
    )
}

fn position(names: &[String], name: &str) -> usize {
    let found = names.iter().position(|found| found == name);
    found.unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

#[test]
fn documents_take_the_places_of_the_old_ones() {
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
    // The report and the metadata tell of the digest that is there.
    assert_eq!(report["images"][0]["digest"], digests["after"]);
}

#[test]
fn a_document_without_room_goes_into_the_tail() {
    // Its type is missing, and must be added: into the rest of the block, or not.
    for is_full in [false, true] {
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&common::builder::right_image());
        manifest.as_object_mut().unwrap().remove("mediaType");
        let mut text = manifest.to_string();
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
        let descriptor = layout.blob(OCI_MANIFEST, &text);
        let old = common::contents::blob_name(&digest_of(&descriptor));
        layout.root(vec![named(descriptor, "docker.io/library/app:v1")]);
        let bytes = layout.tar();
        let (sandbox, report) = fixed(&bytes, &[]);
        let new = report["digests"][0]["after"].as_str().unwrap();
        let new = common::contents::blob_name(new);
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

/// An archive whose root files stand at these places: in front, or behind the blobs.
fn ordered(layout: &Layout, front: &[&str]) -> Vec<u8> {
    let is_front = |entry: &&Entry| front.contains(&std::str::from_utf8(&entry.name).unwrap());
    let entries = layout.entries();
    let (first, rest): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(is_front);
    let all: Vec<Entry> = first.into_iter().chain(rest).cloned().collect();
    tar(&all)
}

#[test]
fn root_files_in_front_are_padded_or_become_blobs() {
    // Shorter by the types: it fits where it was.
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

    // Longer by many names: the old one becomes a blob, and the new one stands at the end.
    let bytes = ordered(&layout, &["index.json", "oci-layout"]);
    let many: Vec<String> = (0..9).map(|n| format!("example.com/app:{n}")).collect();
    let options: Vec<&str> = many.iter().flat_map(|name| ["--name", name]).collect();
    let (sandbox, _) = fixed(&bytes, &options);
    let found = names(&sandbox.read("in.tar"));
    let old = format!("blobs/sha256/{}", sha256(layout.index.as_ref().unwrap()));
    assert_eq!(found[..2], [&old[..], "oci-layout"]);
    assert_eq!(found[found.len() - 2..], ["index.json", "manifest.json"]);

    // Its bytes are there as a blob already: nothing can become of the old one.
    let index = layout.index.clone().unwrap();
    layout.blob("application/x", &index);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", ordered(&layout, &["index.json", "oci-layout"]));
    let line = [&options[..], &["--dry-run"]].concat();
    let report = fix(&sandbox, "in.tar", &line).exits(1).json();
    assert_eq!(report["error"]["code"], "in-place-refused");
}

#[test]
fn a_root_file_that_goes_is_no_longer_there() {
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

#[test]
fn forms_of_archives_are_kept() {
    let layout = docker_layout();
    let entries = layout.entries();
    let flag = |entry: &Entry| entry.flag == b'5';
    // PAX headers with times, as bsdtar writes them; names in PAX and GNU headers; a leading `./`; no
    // directories; old headers; other modes and times.
    let forms: [(&str, fn(&Entry) -> Vec<Entry>); 6] = [
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
    for (form, change) in forms {
        println!("{form}");
        let changed: Vec<Entry> = entries.iter().flat_map(change).collect();
        fixed(&tar(&changed), &[]);
        let no_directories: Vec<Entry> = entries
            .iter()
            .filter(|e| !flag(e))
            .flat_map(change)
            .collect();
        fixed(&tar(&no_directories), &[]);
    }
    // What stays, stays: mode and time of a document that was renamed.
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
    let new = common::contents::blob_name(new);
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
fn ends_of_archives() {
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
    // No end marker, half of one, the blocks of tar, and a long end.
    for len in [whole - 1024, whole - 512, whole + 9216, whole + (3 << 20)] {
        let (sandbox, _) = fixed(&cut(len), &[]);
        assert_eq!(sandbox.read("in.tar"), expected, "{len}");
    }
}

#[test]
fn a_document_that_is_there_twice() {
    // The new manifest is there already, with the old one's length, beside the old one.
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
    let name = common::contents::blob_name(&new);
    assert_eq!(names.iter().filter(|found| **found == name).count(), 1);

    // An entry that stands twice with the same bytes is one to every reader: a blob may, a root file
    // that changes may not.
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
        "index.json stands in it more than once",
    );
}

#[test]
fn attestations_signatures_and_nested_indexes_follow() {
    let mut layout = Layout::new();
    let image = layout.image(&evidence::one());
    let attestation = evidence::attestation(&mut layout, &image);
    let more = evidence::evidence(&mut layout, &image);
    let index = layout.index_of(common::builder::DOCKER_LIST, vec![image, attestation]);
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
fn only_what_differs_is_written() {
    // A layer of a gibibyte, all of it a hole.
    let layout = docker_layout();
    let entries = layout.entries();
    let sandbox = Sandbox::new();
    let mut bytes = Vec::new();
    let len: u64 = 1 << 30;
    let hole =
        Entry::file(format!("blobs/sha256/{}", "f".repeat(64)), "").size(format!("{len:011o}"));
    bytes.extend(common::archive::open_tar(&entries[..2]));
    bytes.extend(common::archive::open_tar(&[hole]));
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

#[test]
fn what_cannot_be_patched_is_written_anew() {
    // Whatever the way, the same input and options give the same bytes.
    for name in REFUSED {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "full.tar").exits(0);
        sandbox
            .fix_with(fixture(name), "documents.tar", &["--verify", "documents"])
            .exits(0);
        assert_eq!(
            sandbox.read("full.tar"),
            sandbox.read("documents.tar"),
            "{name}"
        );
    }
    let sandbox = Sandbox::new();
    let mut saved = saved::Saved::new();
    saved.docker(&saved::image(&["a", "b"]), json!(["app:v1"]));
    let path = sandbox.put("in.tar", saved.tar());
    let dry = [
        "fix",
        "in.tar",
        "--dry-run",
        "--verify",
        "documents",
        "--format",
        "json",
    ];
    let dry = sandbox.ocify(&dry).exits(3).json();
    let wet = sandbox
        .fix_with(path, "out.tar", &["--verify", "documents"])
        .exits(0)
        .json();
    assert_eq!(dry["changes"], wet["changes"]);
}

#[test]
fn a_file_in_use_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", docker_layout().tar());
    let held = fs::File::open(&path).unwrap();
    for (lock, in_place, reading) in [
        (rustix::fs::FlockOperation::LockExclusive, 1, 1),
        (rustix::fs::FlockOperation::LockShared, 1, 3),
    ] {
        rustix::fs::flock(&held, lock).unwrap();
        let run = fix(&sandbox, "in.tar", &[]).exits(in_place);
        assert_eq!(run.json()["error"]["code"], "file-busy");
        sandbox
            .ocify(&["fix", "in.tar", "--dry-run"])
            .exits(reading);
    }
    drop(held);
    fix(&sandbox, "in.tar", &[]).exits(0);
}

#[test]
fn nothing_to_recover() {
    let sandbox = Sandbox::new();
    let bytes = docker_layout().tar();
    sandbox.put("in.tar", &bytes);
    let run = sandbox.ocify(&["fix", "--recover", "in.tar"]).exits(0);
    assert!(run.stdout.contains("nothing to bring back"), "{run:?}");
    let report = sandbox
        .ocify(&["fix", "--recover", "in.tar", "--format", "json"])
        .exits(0)
        .json();
    check_report(&report);
    assert_eq!(report["status"], "unchanged");
    assert_eq!(sandbox.read("in.tar"), bytes);
    // A journal that is not whole means that nothing was written.
    sandbox.put(".in.tar.ocify-journal", "ocify undo journal 1\n");
    let run = sandbox.ocify(&["fix", "in.tar", "--dry-run"]).exits(3);
    assert!(run.stderr.contains("had not been changed yet"), "{run:?}");
    assert_eq!(sandbox.names(), ["in.tar"]);
    let mut child = sandbox.command();
    child
        .args(["fix", "--recover", "absent.tar"])
        .stdout(Stdio::null());
    child.stderr(Stdio::null());
    assert_eq!(child.status().unwrap().code(), Some(0));
}
