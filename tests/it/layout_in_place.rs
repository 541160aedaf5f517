//! `--in-place` with an image layout directory or a BuildKit cache.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::common::batch::{batch, put, put_fixture};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, REF_NAME, annotated,
    digest_of, gzip, named, on, right_layout,
};
use crate::common::checker::{check_kept, check_output};
use crate::common::contents::{Contents, blob_name};
use crate::common::evidence::attestation;
use crate::common::failure::expect;
use crate::common::intact::intact;
use crate::common::judged::{finding, findings, rules};
use crate::common::placed::fix;
use crate::common::runner::{Run, Sandbox, run};
use crate::common::trace::may_trace;
use crate::common::{fixture, fixtures, sha256, sha512, skipped};

const NAME: &str = "docker.io/library/app:v1";
const RULE: &str = "orphaned-blobs";

/// A file below a directory: where it is on the disk, and when it was changed.
type Places = BTreeMap<PathBuf, (u64, SystemTime)>;

fn places(root: &Path) -> Places {
    let names = Contents::read(root).files.into_keys();
    let found = names.map(|name| {
        let found = fs::metadata(root.join(&name)).unwrap();
        (name.into(), (found.ino(), found.modified().unwrap()))
    });
    found.collect()
}

/// What belongs to the layout or the Docker archive.
fn parts(contents: &Contents) -> BTreeMap<&String, &Vec<u8>> {
    let is_part = |name: &str| {
        name.starts_with("blobs/sha256/") && name.len() == 77
            || ["index.json", "manifest.json", "oci-layout"].contains(&name)
    };
    let files = contents.files.iter();
    files.filter(|(name, _)| is_part(name)).collect()
}

/// Fixes the directory `in` in place. The result is that of a new layout, except for files that ocify does not know.
#[track_caller]
fn fixed(sandbox: &Sandbox, options: &[&str]) -> Value {
    let path = sandbox.path("in");
    let before = Contents::read(&path);
    let (before_places, linked) = (places(&path), sandbox.path("linked"));
    // Other names of the files, which must keep their bytes.
    for name in before.files.keys() {
        let other = linked.join(name);
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::hard_link(path.join(name), other).unwrap();
    }
    let expected = sandbox.fix_with("in", "new/", options).exits(0).json();
    let line = ["fix", "--in-place", "in", "--dry-run", "--format", "json"];
    let dry = sandbox.ocify(&[&line, options].concat()).json();
    assert_eq!(places(&path), before_places);
    assert_eq!(Contents::read(&path), before);

    let report = fix(sandbox, "in", options).exits(0).json();
    assert_eq!(
        (&report["input"], &report["output"]),
        (&json!("in"), &json!("in"))
    );
    for key in ["findings", "digests", "images", "dropped"] {
        assert_eq!(expected[key], report[key], "{key}");
    }
    // A dry run does not know what layers become.
    assert_eq!(rules(&dry), rules(&report));
    if !options.contains(&"--compression") {
        for key in ["changes", "findings", "digests", "images", "dropped"] {
            assert_eq!(dry[key], report[key], "{key}");
        }
    }
    let after = Contents::read(&path);
    let new = Contents::read(&sandbox.path("new"));
    assert_eq!(parts(&after), parts(&new));
    assert_eq!(
        Contents::read(&linked),
        before,
        "a file was written in its place"
    );
    // What stays is the same file, and nothing else is new.
    let after_places = places(&path);
    for (name, bytes) in &after.files {
        let place = Path::new(name);
        match before.files.get(name) == Some(bytes) {
            true => assert_eq!(after_places[place], before_places[place], "{name}"),
            false => assert!(new.files.contains_key(name), "{name}"),
        }
    }
    for name in before.files.keys() {
        let is_part = parts(&before).contains_key(name);
        assert!(
            is_part || after.files.contains_key(name),
            "{name} was removed"
        );
    }
    match new.has("manifest.json") {
        _ if options.contains(&"--preserve-digests") => {
            intact(&sandbox.path("new")).map(drop).unwrap()
        }
        true => drop(check_output(&sandbox.path("new"))),
        false => drop(check_kept(&sandbox.path("new"))),
    };
    if !options.contains(&"--preserve-digests") {
        let again = fix(sandbox, "in", &[]).exits(0).json();
        assert_eq!(again["status"], "unchanged", "{:#}", again["changes"]);
        assert_eq!(places(&path), after_places);
    }
    fs::remove_dir_all(linked).unwrap();
    fs::remove_dir_all(sandbox.path("new")).unwrap();
    assert_eq!(sandbox.names(), ["in"]);
    report
}

fn with(layout: &Layout) -> Sandbox {
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("in"));
    sandbox
}

/// An image whose documents change.
fn docker_layout() -> Layout {
    let layers = vec![
        Layer::gzip(DOCKER_GZIP, "one"),
        Layer::gzip(DOCKER_GZIP, "two"),
    ];
    Layout::of(&Image::docker(layers), NAME)
}

/// Copies a file or directory.
fn copy(from: &Path, to: &Path) {
    for (name, bytes) in &Contents::read(from).files {
        fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        fs::write(to.join(name), bytes).unwrap();
    }
}

#[test]
fn every_layout_becomes_what_a_new_one_would_be() {
    let mut count = 0;
    for name in fixtures() {
        let path = fixture(&name);
        let contents = Contents::read(&path);
        if !contents.has("index.json") {
            continue;
        }
        count += 1;
        let sandbox = Sandbox::new();
        copy(&path, &sandbox.path("in"));
        fixed(&sandbox, &[]);
    }
    assert!(count > 20, "{count}");
}

#[test]
fn options_give_what_they_give_in_a_new_layout() {
    let mut layout = Layout::new();
    let of = |architecture: &str| {
        let layers = vec![Layer::gzip(DOCKER_GZIP, architecture)];
        Image::docker(layers).architecture(architecture)
    };
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| layout.image(&of(name)));
    let about = attestation(&mut layout, &amd64);
    let list = layout.index_of(
        OCI_INDEX,
        vec![
            on(amd64, "linux", "amd64"),
            on(arm64, "linux", "arm64"),
            about,
        ],
    );
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]);
    let manifest = layout.manifest(&other);
    let other = layout.image(&other);
    layout.root(vec![named(list, NAME), named(other, "example.com/other:1")]);
    layout.docker(&manifest, &["example.com/other:1"]);
    for options in [
        &[][..],
        &["--image", "1"],
        &["--image", "2", "--name", "example.com/new:2"],
        &["--rename", "app:v1=app:v2"],
        &["--platform", "linux/arm64", "--image", "1"],
        &["--image", "1", "--platform", "linux/amd64", "--unwrap"],
        &["--attestations", "drop"],
        &["--compression", "zstd"],
        &["--preserve-digests"],
        &["--verify", "full"],
        &[
            "--compression",
            "uncompressed",
            "--image",
            "1",
            "--jobs",
            "3",
        ],
    ] {
        let sandbox = with(&layout);
        put(&sandbox, "in/notes/README", "stays");
        let report = fixed(&sandbox, options);
        assert_eq!(report["status"], "fixed", "{options:?}");
        assert_eq!(sandbox.read("in/notes/README"), b"stays");
    }
}

/// The files keep the owner and the permissions that they have, because BuildKit opens `index.json` for writing.
#[test]
fn index_json_keeps_its_owner_and_mode() {
    let sandbox = with(&docker_layout());
    let index = sandbox.path("in/index.json");
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&index, Some(1234), Some(2345)).unwrap();
    }
    for mode in [0o644, 0o600] {
        fs::set_permissions(&index, fs::Permissions::from_mode(mode)).unwrap();
        let before = fs::metadata(&index).unwrap();
        let new_name = format!("app:{mode}");
        let options = ["--image", "1", "--name", &new_name];
        fix(&sandbox, "in", &options).exits(0);
        let after = fs::metadata(&index).unwrap();
        let owner = |found: &fs::Metadata| (found.uid(), found.gid(), found.mode());
        assert_eq!(owner(&after), owner(&before));
        assert_ne!(after.ino(), before.ino());
    }
}

/// The first blob of an algorithm needs a directory, which this user's builds write to as well.
#[test]
fn new_directories_belong_to_the_owner_of_index_json() {
    if !rustix::process::geteuid().is_root() {
        return skipped("an owner that is kept: needs root");
    }
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "one")]));
    let by_sha512 = |layout: &mut Layout, descriptor: &mut Value| {
        let bytes = layout.blobs.remove(&blob_name(&digest_of(descriptor)));
        let bytes = bytes.unwrap();
        descriptor["digest"] = json!(format!("sha512:{}", sha512(&bytes)));
        layout
            .blobs
            .insert(blob_name(&digest_of(descriptor)), bytes);
    };
    by_sha512(&mut layout, &mut manifest["config"]);
    by_sha512(&mut layout, &mut manifest["layers"][0]);
    let mut image = layout.document(OCI_MANIFEST, &manifest);
    by_sha512(&mut layout, &mut image);
    layout.root(vec![named(image, NAME)]);
    let sandbox = with(&layout);
    let new = sandbox.path("in/blobs/sha256");
    let _ = fs::remove_dir(&new);
    assert!(!new.exists());
    chown(sandbox.path("in/index.json"), Some(1234), Some(2345)).unwrap();
    fix(&sandbox, "in", &["--compression", "zstd"]).exits(0);
    let files = fs::read_dir(&new).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let all: Vec<PathBuf> = files.chain([new]).collect();
    assert!(all.len() > 1);
    for path in all {
        let found = fs::metadata(&path).unwrap();
        assert_eq!(
            (found.uid(), found.gid()),
            (1234, 2345),
            "{}",
            path.display()
        );
    }
}

/// What is verified is said: layers are not, unless that is requested.
#[test]
fn layers_are_read_only_if_they_are_to_be_verified() {
    let layout = docker_layout();
    let layer = layout
        .blobs
        .iter()
        .find(|(_, bytes)| bytes.starts_with(&[0x1f]));
    let name = format!("in/{}", layer.unwrap().0);
    for (options, unverified) in [(&[][..], 2), (&["--verify", "digests"], 0)] {
        let sandbox = with(&layout);
        let report = fix(&sandbox, "in", options).exits(0).json();
        assert_eq!(report["blobs"]["unverified"]["layers"], unverified);
        assert_eq!(report["blobs"]["verified"]["layers"], 2 - unverified);
        // The last byte of a gzip stream is of its length.
        let sandbox = with(&layout);
        let mut bytes = sandbox.read(&name);
        *bytes.last_mut().unwrap() ^= 1;
        sandbox.put(&name, &bytes);
        let before = Contents::read(&sandbox.path("in"));
        let run = fix(&sandbox, "in", options);
        match unverified {
            0 => {
                assert_eq!(run.exits(1).json()["error"]["code"], "digest-mismatch");
                assert_eq!(Contents::read(&sandbox.path("in")), before);
            }
            _ => assert_eq!(run.exits(0).json()["status"], "fixed"),
        }
    }
}

/// A layout with one blob that nothing refers to and has not changed for so long.
fn with_orphan(layout: &Layout, age: Duration) -> (Sandbox, String) {
    let sandbox = with(layout);
    let name = blob_name(&format!("sha256:{}", sha256(b"an orphan")));
    let path = sandbox.put(&format!("in/{name}"), "an orphan");
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    (sandbox, name)
}

const HOUR: Duration = Duration::from_secs(3600);
const DROP: [&str; 2] = ["--orphans", "drop"];

#[test]
fn orphans_are_removed_if_they_are_old_enough() {
    for (age, options, is_removed) in [
        (25, &[][..], false),
        (25, &DROP, true),
        (23, &DROP, false),
        (0, &["--orphans", "drop", "--orphans-older-than", "0"], true),
        (
            2,
            &["--orphans", "drop", "--orphans-older-than", "1h"],
            true,
        ),
        (
            2,
            &["--orphans", "drop", "--orphans-older-than", "1d"],
            false,
        ),
        (
            25,
            &["--orphans", "drop", "--orphans-older-than", "2d"],
            false,
        ),
    ] {
        for layout in [docker_layout(), right_layout()] {
            let (sandbox, orphan) = with_orphan(&layout, HOUR * age);
            let what = format!("{age} {options:?}");
            let line = ["fix", "--in-place", "in", "--dry-run", "--format", "json"];
            let dry = sandbox.ocify(&[&line, options].concat()).json();
            let report = fix(&sandbox, "in", options).exits(0).json();
            for report in [&dry, &report] {
                let dropped = match is_removed {
                    true => json!({"blobs": 1, "bytes": 9}),
                    false => Value::Null,
                };
                assert_eq!(report["dropped"], dropped, "{what}");
                assert_eq!(rules(report).contains(&"orphan-dropped"), is_removed);
                assert_eq!(findings(report).contains(&RULE), !is_removed);
            }
            if !is_removed && !options.is_empty() {
                let message = finding(&report, RULE)["message"].as_str().unwrap();
                assert!(message.contains("which are younger than"), "{message}");
            }
            assert_eq!(
                sandbox.path("in").join(&orphan).exists(),
                !is_removed,
                "{what}"
            );
            check_output(&sandbox.path("in"));
            assert!(!sandbox.path("in/index.json.lock").exists());
        }
    }
}

/// BuildKit has begun to write blobs: nothing is removed, and the next run ends the work.
#[test]
fn nothing_is_removed_during_a_build() {
    let (sandbox, orphan) = with_orphan(&docker_layout(), HOUR * 48);
    let expected = {
        let (other, _) = with_orphan(&docker_layout(), HOUR * 48);
        fix(&other, "in", &DROP).exits(0);
        Contents::read(&other.path("in"))
    };
    let old: Vec<String> = Contents::read(&sandbox.path("in"))
        .files
        .into_keys()
        .collect();
    put(&sandbox, "in/ingest/0123/data", "half a blob");
    let report = fix(&sandbox, "in", &DROP).exits(0).json();
    assert_eq!(report["dropped"], Value::Null);
    let found = finding(&report, RULE);
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("ingest/ is not empty"), "{message}");
    assert!(sandbox.path("in").join(&orphan).exists());
    let after = Contents::read(&sandbox.path("in"));
    assert!(old.iter().all(|name| after.has(name)));
    intact(&sandbox.path("in")).unwrap();
    // As long as it runs, the same is true.
    fix(&sandbox, "in", &DROP).exits(0);
    assert!(
        old.iter()
            .all(|name| sandbox.path("in").join(name).exists())
    );
    fs::remove_dir_all(sandbox.path("in/ingest/0123")).unwrap();
    let report = fix(&sandbox, "in", &DROP).exits(0).json();
    assert_eq!(report["dropped"], json!({"blobs": 1, "bytes": 9}));
    assert_eq!(Contents::read(&sandbox.path("in")), expected);
}

/// Without orphans, what this run replaces stays too.
#[test]
fn what_is_replaced_during_a_build_stays_and_that_is_said() {
    let sandbox = with(&docker_layout());
    put(&sandbox, "in/ingest/0123/data", "half a blob");
    let report = fix(&sandbox, "in", &[]).exits(0).json();
    let message = finding(&report, RULE)["message"].as_str().unwrap();
    assert!(
        message.starts_with("what is replaced or left out stays"),
        "{message}"
    );
    let again = fix(&sandbox, "in", &[]).exits(0).json();
    assert_eq!(
        (&again["status"], &again["findings"]),
        (&json!("unchanged"), &json!([]))
    );
    fs::remove_dir_all(sandbox.path("in/ingest")).unwrap();
    let again = fix(&sandbox, "in", &[]).exits(0).json();
    assert_eq!(
        (&again["status"], &again["findings"]),
        (&json!("unchanged"), &json!([]))
    );
    let expected = with(&docker_layout());
    fix(&expected, "in", &[]).exits(0);
    assert_eq!(
        Contents::read(&sandbox.path("in")),
        Contents::read(&expected.path("in"))
    );
}

#[test]
fn a_record_removes_what_an_interrupted_run_left_and_nothing_else() {
    let sandbox = with(&right_layout());
    let expected = Contents::read(&sandbox.path("in"));
    let left = format!("sha256:{}", sha256(b"left"));
    let young = format!("sha256:{}", sha256(b"another"));
    for (digest, text) in [(&left, "left"), (&young, "another")] {
        sandbox.put(&format!("in/{}", blob_name(digest)), text);
    }
    let mut blobs: Vec<String> = expected.digests();
    blobs.push(left.clone());
    let record = json!({"version": 1, "blobs": blobs});
    sandbox.put("in/.ocify-in-place", record.to_string());
    // Other commands report what is left like anything else that nothing refers to.
    let copied = sandbox.fix("in", "copied.tar").exits(0).json();
    let message = &finding(&copied, RULE)["message"];
    assert_eq!(*message, "nothing refers to 2 blobs of 11 bytes");
    let report = fix(&sandbox, "in", &[]).exits(0).json();
    assert_eq!(report["status"], "unchanged");
    let message = &finding(&report, RULE)["message"];
    assert_eq!(*message, "nothing refers to 1 blob of 7 bytes");
    let mut after = Contents::read(&sandbox.path("in"));
    assert!(after.files.remove(&blob_name(&young)).is_some());
    assert_eq!(after, expected);
}

/// A document that an interrupted run wrote may be damaged, and nothing has read it.
#[test]
fn a_damaged_document_of_an_interrupted_run_is_replaced() {
    let expected = with(&docker_layout());
    fix(&expected, "in", &[]).exits(0);
    let expected = Contents::read(&expected.path("in"));
    let old = docker_layout();
    let is_new = |name: &&String| name.starts_with("blobs/") && !old.blobs.contains_key(*name);
    let new = expected.files.keys().find(is_new).unwrap();
    let len = expected.file(new).len();
    for bytes in [Vec::new(), vec![0; len], expected.file(new).to_vec()] {
        for record in [
            None,
            Some(json!({"version": 1, "blobs": [format!("sha256:{}", &new[13..])]})),
        ] {
            let sandbox = with(&old);
            sandbox.put(&format!("in/{new}"), &bytes);
            if let Some(record) = &record {
                sandbox.put("in/.ocify-in-place", record.to_string());
            }
            fix(&sandbox, "in", &[]).exits(0);
            assert_eq!(
                Contents::read(&sandbox.path("in")),
                expected,
                "{} {record:?}",
                bytes.len()
            );
        }
    }
}

#[test]
fn directories_that_are_no_image_layouts_are_refused() {
    let links = with(&docker_layout());
    let index = links.path("in/index.json");
    fs::rename(&index, links.path("in/real.json")).unwrap();
    symlink("real.json", &index).unwrap();
    let saved = Sandbox::new();
    let archive = Contents::read(&fixture("docker20-save.tar"));
    for (name, bytes) in &archive.files {
        put(&saved, &format!("in/{name}"), bytes);
    }
    let directory = Sandbox::new();
    copy(&fixture("podman-dockerdir"), &directory.path("in"));
    for (sandbox, part) in [
        (
            links,
            "index.json is a link, which some readers do not follow",
        ),
        (saved, "in is a directory without an index.json"),
        (directory, "in is a directory without an index.json"),
    ] {
        let before = Contents::read(&sandbox.path("in"));
        for more in [&[][..], &["--dry-run"]] {
            let line = ["fix", "--in-place", "in", "--format", "json"];
            let run = sandbox.ocify(&[&line[..], more].concat());
            expect(part, &run, "in-place-refused", &[part]);
            let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
            assert!(hint.contains("-o NEW/ instead of --in-place"), "{hint}");
        }
        assert_eq!(Contents::read(&sandbox.path("in")), before);
        sandbox.ocify(&["fix", "in", "-o", "NEW/"]).exits(0);
    }
}

/// Links that lead elsewhere are followed only to read a layout (`--follow`), which is not possible in place.
#[test]
fn links_in_place_of_directories_and_of_the_lock_are_refused() {
    for name in ["blobs", "blobs/sha256", "ingest", "index.json.lock"] {
        let sandbox = with(&docker_layout());
        let (path, away) = (sandbox.path("in").join(name), sandbox.path("away"));
        match name.starts_with("blobs") {
            true => fs::rename(&path, &away).unwrap(),
            false => fs::create_dir(&away).unwrap(),
        }
        symlink(&away, &path).unwrap();
        let before = (Contents::read(&away), places(&sandbox.path("in")));
        let part = format!("in cannot be fixed in place: {name} is a link");
        for more in [&[][..], &["--dry-run"], &DROP] {
            let run = fix(&sandbox, "in", more);
            expect(name, &run, "in-place-refused", &[&part]);
            let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
            assert!(hint.contains("-o NEW/ instead of --in-place"), "{hint}");
        }
        assert_eq!((Contents::read(&away), places(&sandbox.path("in"))), before);
        let line = ["fix", "in", "-o", "NEW/", "--follow"];
        sandbox.ocify(&line).exits(0);
    }
}

#[test]
fn a_layout_that_is_in_use_is_not_changed() {
    let sandbox = with(&docker_layout());
    let before = places(&sandbox.path("in"));
    let directory = File::open(sandbox.path("in")).unwrap();
    directory.lock().unwrap();
    let run = fix(&sandbox, "in", &[]);
    expect(
        "another run",
        &run,
        "file-busy",
        &["another ocify process is using in"],
    );
    directory.unlock().unwrap();
    let lock = File::create(sandbox.path("in/index.json.lock")).unwrap();
    lock.lock().unwrap();
    let run = fix(&sandbox, "in", &[]);
    expect("a build", &run, "file-busy", &["index.json.lock"]);
    fs::remove_file(sandbox.path("in/index.json.lock")).unwrap();
    assert_eq!(places(&sandbox.path("in")), before);
    fixed(&sandbox, &[]);
}

/// Fixes a layout whose documents change, and does something while it waits for the lock.
#[track_caller]
fn fixed_after(sandbox: &Sandbox, options: &[&str], change: impl FnOnce()) -> Value {
    let path = sandbox.path("in/index.json.lock");
    let lock = File::create(&path).unwrap();
    lock.lock().unwrap();
    let run: Run = thread::scope(|scope| {
        let run = scope.spawn(|| fix(sandbox, "in", options));
        // The new documents are there when it waits.
        let start = Instant::now();
        while !sandbox.path("in/.ocify-in-place").exists() {
            assert!(start.elapsed() < Duration::from_secs(30));
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(100));
        change();
        lock.unlock().unwrap();
        fs::remove_file(&path).unwrap();
        run.join().unwrap()
    });
    run.exits(0).json()
}

/// Another program adds an image while ocify waits for the lock.
#[test]
fn a_change_of_index_json_is_not_lost() {
    let mut layout = docker_layout();
    let sandbox = with(&layout);
    let report = fixed_after(&sandbox, &[], || {
        let added = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "added")]);
        let added = layout.image(&added);
        layout.edit_root(|root| {
            let manifests = root["manifests"].as_array_mut().unwrap();
            manifests.push(named(added, "example.com/added:1"));
        });
        for (name, bytes) in &layout.blobs {
            fs::write(sandbox.path("in").join(name), bytes).unwrap();
        }
        let index = layout.index.as_ref().unwrap();
        fs::write(sandbox.path("in/index.json"), index).unwrap();
    });
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    let input = with(&layout);
    fix(&input, "in", &[]).exits(0);
    assert_eq!(
        Contents::read(&sandbox.path("in")),
        Contents::read(&input.path("in"))
    );
}

/// What decides about a removal may change until ocify has the lock. What the report says is what happened.
#[test]
fn a_build_that_begins_meanwhile_and_an_orphan_that_it_writes_are_respected() {
    for (begins, part) in [
        (true, "ingest/ is not empty"),
        (false, "which are younger than 1 day"),
    ] {
        let (sandbox, orphan) = with_orphan(&docker_layout(), HOUR * 48);
        let orphan = sandbox.path("in").join(orphan);
        let old: Vec<String> = docker_layout().blobs.into_keys().collect();
        let report = fixed_after(&sandbox, &DROP, || match begins {
            true => put(&sandbox, "in/ingest/0123/data", "half a blob"),
            false => fs::write(&orphan, "an orphan").unwrap(),
        });
        let message = finding(&report, RULE)["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        assert_eq!(report["dropped"], Value::Null);
        assert!(!rules(&report).contains(&"orphan-dropped"));
        assert_eq!(report["status"], "fixed");
        assert!(orphan.exists());
        let after = Contents::read(&sandbox.path("in"));
        assert_eq!(old.iter().all(|name| after.has(name)), begins);
        intact(&sandbox.path("in")).unwrap();
    }
}

/// What another program adds to `index.json` may be among what is removed.
#[test]
fn nobody_gets_the_lock_while_blobs_are_removed() {
    if !may_trace() {
        return;
    }
    let (sandbox, _) = with_orphan(&right_layout(), HOUR * 48);
    let names =
        ["one", "two"].map(|text| blob_name(&format!("sha256:{}", sha256(text.as_bytes()))));
    for (name, text) in names.iter().zip(["one", "two"]) {
        let path = sandbox.put(&format!("in/{name}"), text);
        let file = File::open(path).unwrap();
        file.set_modified(SystemTime::now() - HOUR * 48).unwrap();
    }
    let blobs = sandbox.path("in/blobs/sha256");
    let count = || fs::read_dir(&blobs).unwrap().count();
    let all = count();
    // It waits before it removes the second blob.
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat"]);
    command.args(["-e", "inject=unlinkat:delay_enter=2000000:when=2"]);
    command
        .arg(env!("CARGO_BIN_EXE_ocify"))
        .current_dir(sandbox.root());
    command.args(["fix", "--in-place", "in"]).args(DROP);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while count() == all {
        assert!(start.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(1));
    }
    let lock = File::open(sandbox.path("in/index.json.lock")).unwrap();
    let locked = lock.try_lock();
    let left = count();
    assert!(
        matches!(locked, Err(TryLockError::WouldBlock)),
        "{locked:?}"
    );
    assert_eq!(left, all - 1);
    assert!(child.wait().unwrap().success());
    assert_eq!(count(), all - 3);
    assert!(!sandbox.path("in/index.json.lock").exists());
}

#[test]
fn a_batch_fixes_layouts_and_archives() {
    let sandbox = Sandbox::new();
    docker_layout().write_to(&sandbox.path("tree/app"));
    right_layout().write_to(&sandbox.path("tree/right"));
    copy(
        &fixture("buildkit-cache-list-ocifalse"),
        &sandbox.path("tree/cache"),
    );
    put_fixture(
        &sandbox,
        "tree/app.tar",
        "buildkit-docker-gzip-ocifalse.tar",
    );
    let orphan = blob_name(&format!("sha256:{}", sha256(b"old")));
    put(&sandbox, &format!("tree/cache/{orphan}"), "old");
    let more = ["--orphans", "drop", "--orphans-older-than", "0"];
    let line = [&["--in-place", "tree"], &more[..]].concat();
    let found = batch(&sandbox, &line);
    found.exits(0);
    let ends: Vec<(&str, &str)> = found.ends().into_iter().collect();
    let expected = [
        ("tree/app", "fixed"),
        ("tree/app.tar", "fixed"),
        ("tree/cache", "fixed"),
        ("tree/right", "unchanged"),
    ];
    assert_eq!(ends, expected);
    assert_eq!(found.items["tree/cache"]["dropped"]["blobs"], 1);
    let alone = with(&docker_layout());
    fix(&alone, "in", &[]).exits(0);
    let [alone, app] =
        [alone.path("in"), sandbox.path("tree/app")].map(|path| Contents::read(&path));
    assert_eq!(alone, app);
    let again = batch(&sandbox, &line);
    again.exits(0);
    assert!(again.ends().values().all(|end| *end == "unchanged"));
}

/// Layers of terabytes are neither hashed nor read: only their first bytes, and the holes cost nothing.
#[test]
fn the_size_of_layers_does_not_matter() {
    const LEN: u64 = 1 << 40;
    let mut layout = Layout::new();
    let config = layout.blob(
        "application/vnd.buildkit.cacheconfig.v0",
        r#"{"layers":[]}"#,
    );
    let digest = |number: usize| format!("sha256:{}", sha256(&number.to_le_bytes()));
    let mut listed: Vec<Value> = (0..4)
        .map(|number| json!({"mediaType": DOCKER_GZIP, "digest": digest(number), "size": LEN}))
        .collect();
    listed.push(config);
    let cache = layout.index_of(OCI_INDEX, listed);
    layout.root(vec![annotated(cache, &[(REF_NAME, "latest")])]);
    let sandbox = with(&layout);
    let path = |number: usize| sandbox.path("in").join(blob_name(&digest(number)));
    // The last one is an orphan.
    for number in 0..5 {
        fs::write(path(number), gzip(b"head")).unwrap();
        let file = File::options().write(true).open(path(number)).unwrap();
        if file.set_len(LEN).is_err() {
            return skipped("layers of terabytes: need a filesystem with sparse files");
        }
    }
    let more = ["--orphans", "drop", "--orphans-older-than", "0"];
    let report = fix(&sandbox, "in", &more).exits(0).json();
    assert_eq!(report["status"], "fixed");
    assert_eq!(report["dropped"], json!({"blobs": 1, "bytes": LEN}));
    assert_eq!(report["blobs"]["unverified"]["others"], 5);
    assert!(!path(4).exists() && path(3).exists());
    assert_eq!(fs::metadata(path(3)).unwrap().len(), LEN);
}

#[test]
fn a_layout_that_cannot_be_written_stays_as_it_is() {
    let sandbox = with(&docker_layout());
    let (path, blobs) = (sandbox.path("in"), sandbox.path("in/blobs/sha256"));
    let before = Contents::read(&path);
    let program = sandbox.path("ocify");
    fs::copy(env!("CARGO_BIN_EXE_ocify"), &program).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut line = vec![program.to_str().unwrap()];
    if rustix::process::geteuid().is_root() {
        // Permissions do not apply to root.
        let switch = [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
        ];
        line.splice(0..0, switch);
        mode(sandbox.root(), 0o755);
    }
    line.extend(["fix", "--in-place", "in", "--format", "json"]);
    for (closed, modes) in [(&path, (0o555, 0o777)), (&blobs, (0o777, 0o555))] {
        mode(&path, modes.0);
        mode(&blobs, modes.1);
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).current_dir(sandbox.root());
        if !command
            .output()
            .is_ok_and(|output| !output.stdout.is_empty())
        {
            return skipped("a layout of another user: needs setpriv as root");
        }
        let run = run(&mut command);
        expect("not writable", &run, "not-writable", &["cannot be written"]);
        assert_eq!(Contents::read(&path), before, "{}", closed.display());
    }
    mode(&path, 0o755);
    mode(&blobs, 0o755);
}

/// The other files that a run writes are the same as with a new output.
#[test]
fn metadata_and_reports_are_written() {
    let sandbox = with(&docker_layout());
    let more = [
        "--metadata-file",
        "m.json",
        "--report",
        "r.jsonl",
        "--digest-map",
        "d.jsonl",
    ];
    let report = fix(&sandbox, "in", &more).exits(0).json();
    let metadata: Value = serde_json::from_slice(&sandbox.read("m.json")).unwrap();
    assert_eq!(
        metadata["containerimage.digest"],
        report["images"][0]["digest"]
    );
    let digest = digest_of(&json!({"digest": report["digests"][0]["after"]}));
    let map = String::from_utf8(sandbox.read("d.jsonl")).unwrap();
    assert!(map.contains(&digest), "{map}");
    assert!(Contents::read(&sandbox.path("in")).blob(&digest).is_some());
}

/// Giving back the space of layers takes long, and a build fails if somebody has the lock.
#[test]
fn the_space_of_what_is_removed_is_given_back_after_the_lock() {
    if !may_trace() {
        return;
    }
    let (sandbox, _) = with_orphan(&right_layout(), HOUR * 48);
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-y",
        "-o",
        "trace",
        "-e",
        "trace=unlinkat,close",
    ]);
    command
        .arg(env!("CARGO_BIN_EXE_ocify"))
        .current_dir(sandbox.root());
    command.args(["fix", "--in-place", "in"]).args(DROP);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let trace = fs::read_to_string(sandbox.path("trace")).unwrap();
    let (under_lock, after) = trace.split_once("\"index.json.lock\", 0) ").unwrap();
    let closed = |text: &str| {
        let lines = text.lines().filter(|line| line.contains("close("));
        let of_blobs = lines.filter(|line| line.contains("/blobs/") && line.contains("(deleted)"));
        of_blobs.count()
    };
    assert_eq!((closed(under_lock), closed(after)), (0, 1), "{trace}");
}
