//! A dry run as a gate: its exit code says whether an engine needs a fix, and after the fix it is 0.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::{batch, put, put_fixture};
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_MANIFEST, DOCKER_ZSTD, IMAGE_NAME, Image, Layer, Layout,
    OCI_GZIP, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, REF_NAME, annotated, docker_item, gzip, named,
    right_image, right_layout, zstd,
};
use crate::common::piped::pipe;
use crate::common::placed::REFUSED;
use crate::common::runner::{Run, Sandbox, run};
use crate::common::{fixture, fixtures, repository};

/// The archives of the engine tests that no fixture has.
#[path = "../engines/shapes.rs"]
pub(crate) mod shapes;

const NAME: &str = "docker.io/library/app:v1";

#[track_caller]
fn dry_run(sandbox: &Sandbox, input: impl AsRef<Path>, more: &[&str]) -> Run {
    let mut command = sandbox.command();
    command.arg("fix").arg(input.as_ref()).arg("--dry-run");
    run(command.args(["--format", "json"]).args(more))
}

/// The exit codes that docs/engines.md implies, by archive: 3 if some engine loads it only after the fix.
fn codes_by_engines() -> BTreeMap<String, i32> {
    let page = fs::read_to_string(repository("docs/engines.md")).unwrap();
    let mut codes = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let name = cells[0].split('`').nth(1).unwrap();
        // One of several names in index.json has to be chosen before and after, and directories are not loaded.
        let is_fixed = |cell: &str| {
            let before = cell.split_once(" → ").map(|(before, _)| before.trim());
            before.is_some_and(|before| !["H", "–"].contains(&before))
        };
        let code = if cells[1..].iter().any(|cell| is_fixed(cell)) {
            3
        } else {
            0
        };
        codes.insert(name.to_owned(), code);
    }
    codes
}

#[test]
fn the_exit_code_says_whether_an_engine_needs_the_fix() {
    let mut codes = codes_by_engines();
    // Directories, which the engines of that page do not load. BuildKit reads its caches as they are.
    let directories = [
        ("buildkit-cache-list-ocifalse", 0),
        ("buildkit-cache-list-ocitrue", 0),
        ("buildkit-cache-manifest-ocitrue", 0),
        ("podman-dockerdir", 3),
        ("podman-ocidir", 3),
    ];
    codes.extend(directories.map(|(name, code)| (name.to_owned(), code)));
    // The engine tests keep the page complete; what is new may not be on it yet.
    let mut count = 0;
    for name in fixtures() {
        let Some(expected) = codes.get(&name) else {
            continue;
        };
        count += 1;
        let sandbox = Sandbox::new();
        let dry = dry_run(&sandbox, fixture(&name), &[]);
        let report = dry.json();
        assert_eq!(dry.code, *expected, "{name}: {:#}", report["changes"]);
        let is_needed = report["severity"] == "breaks";
        assert_eq!(dry.code == 3, is_needed, "{name}");
        let status = if dry.code == 3 {
            "would-fix"
        } else {
            "unchanged"
        };
        assert_eq!(report["status"], status, "{name}");
        // Strictly, every change counts.
        let strict = dry_run(&sandbox, fixture(&name), &["--strict"]);
        let has_changes = report["changes"] != json!([]);
        assert_eq!(strict.code, if has_changes { 3 } else { 0 }, "{name}");
        assert_eq!(strict.json()["changes"], report["changes"], "{name}");
    }
    for shape in shapes::shapes() {
        let Some(expected) = codes.get(shape.name) else {
            continue;
        };
        count += 1;
        let sandbox = Sandbox::new();
        let input = sandbox.put("in.tar", &shape.bytes);
        let dry = dry_run(&sandbox, input, &[]);
        let about = format!(
            "{}: {}: {:#}",
            shape.name,
            shape.what,
            dry.json()["changes"]
        );
        assert_eq!(dry.code, *expected, "{about}");
    }
    assert!(count >= 65, "{count}");
}

/// Docker 26's own saves load everywhere, with either image store.
#[test]
fn what_docker_26_saves_needs_no_fix() {
    let mut names = fixtures();
    names.retain(|name| name.starts_with("docker26"));
    assert_eq!(names.len(), 8);
    for name in names {
        dry_run(&Sandbox::new(), fixture(&name), &[]).exits(0);
    }
}

#[test]
fn a_fixed_archive_passes() {
    let ways: [(&str, &[&str]); 6] = [
        ("out.tar", &[]),
        ("out.tar", &["--verify", "documents"]),
        ("out.tar.gz", &[]),
        ("out.tar.zst", &[]),
        ("out/", &[]),
        ("", &["--in-place"]),
    ];
    for name in fixtures() {
        for (output, options) in ways {
            let is_in_place = options == ["--in-place"];
            let path = fixture(&name);
            if is_in_place && (path.is_dir() || REFUSED.contains(&&*name)) {
                continue;
            }
            let sandbox = Sandbox::new();
            let about = format!("{name} {output} {options:?}");
            let (fixed, again) = if is_in_place {
                let input = sandbox.put("in.tar", fs::read(&path).unwrap());
                sandbox.ocify(&["fix", "in.tar", "--in-place"]).exits(0);
                (input, vec!["--in-place"])
            } else {
                sandbox.fix_with(&path, output, options).exits(0);
                let other = match output {
                    "out.tar" => "other.tar",
                    "out.tar.gz" => "other.tar.gz",
                    "out.tar.zst" => "other.tar.zst",
                    _ => "other/",
                };
                (sandbox.path(output), [&["-o", other][..], options].concat())
            };
            for strict in [&[][..], &["--strict"]] {
                let dry = dry_run(&sandbox, &fixed, &[&again[..], strict].concat());
                let report = dry.json();
                assert_eq!(dry.code, 0, "{about} {strict:?}: {:#}", report["changes"]);
                let changes = &report["changes"];
                assert!(
                    strict.is_empty() || *changes == json!([]),
                    "{about}: {changes:#}"
                );
            }
            if !output.contains(".tar.") {
                dry_run(&sandbox, &fixed, &[]).exits(0);
            }
        }
        if fixture(&name).is_file() {
            let sandbox = Sandbox::new();
            let bytes = fs::read(fixture(&name)).unwrap();
            let stream = pipe(sandbox.command().args(["fix", "-"]), &bytes).exits(0);
            for more in [&[][..], &["--strict"]] {
                let mut command = sandbox.command();
                command.args(["fix", "-", "--dry-run"]).args(more);
                pipe(&mut command, &stream.out).exits(0);
            }
        }
    }
}

/// Unpacked and packed again by GNU tar: other modes, owners, times, names and orders.
#[test]
fn a_fixed_archive_that_was_repacked_passes() {
    for name in [
        "buildkit-oci-zstd-ocifalse.tar",
        "docker20-save.tar",
        "podman-multi.tar",
    ] {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "fixed.tar").exits(0);
        let script = "mkdir unpacked && tar xf fixed.tar -C unpacked && chmod -R u+w unpacked
            tar cf dots.tar -C unpacked .
            cd unpacked
            tar cf ../pax.tar --format=pax --sort=name --owner=app:1000 --group=app:1000 *
            tar cf ../gnu.tar --format=gnu --numeric-owner oci-layout manifest.json index.json blobs
            tar cf ../files.tar --format=ustar --mode=600 --mtime=2026-01-01 $(find . -type f | sed s,^./,,)";
        let mut command = Command::new("/bin/sh");
        command.args(["-ec", script]).current_dir(sandbox.root());
        run(&mut command).exits(0);
        for packed in ["dots.tar", "pax.tar", "gnu.tar", "files.tar"] {
            let dry = dry_run(&sandbox, packed, &[]).exits(0).json();
            let found = severities(&dry);
            assert!(
                found.iter().all(|(_, severity)| severity == "cosmetic"),
                "{found:?}"
            );
            dry_run(&sandbox, packed, &["--strict"]).exits(3);
            // Fixing it still makes it canonical.
            let wet = sandbox
                .fix_with(packed, "again.tar", &["--force"])
                .exits(0)
                .json();
            assert_eq!(wet["status"], "fixed", "{name}, {packed}");
            assert!(
                sandbox.read("again.tar") == sandbox.read("fixed.tar"),
                "{name}, {packed}"
            );
        }
    }
}

/// The rules of a report's changes with their severities.
fn severities(report: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .map(|change| (text(&change["rule"]), text(&change["severity"])))
        .collect()
}

/// What the changes of an archive are expected to be: `rule severity`, in the order of the alphabet.
#[track_caller]
fn check(name: &str, bytes: &[u8], expected: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let report = dry_run(&sandbox, "in.tar", &[]).json();
    let found: Vec<String> = severities(&report)
        .into_iter()
        .map(|(rule, severity)| format!("{rule} {severity}"))
        .collect();
    assert_eq!(found, expected, "{name}: {:#}", report["changes"]);
    let order = ["cosmetic", "warns", "breaks"];
    let highest = found.iter().filter_map(|found| {
        let severity = found.split(' ').nth(1);
        order.iter().position(|known| Some(*known) == severity)
    });
    assert_eq!(report["severity"], order[highest.max().unwrap()], "{name}");
    // The stream says the same.
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["fix", "-", "--dry-run", "--format", "json"]);
    let piped = pipe(&mut command, bytes);
    let streamed: Value = serde_json::from_slice(&piped.out).unwrap();
    assert_eq!(severities(&streamed), severities(&report), "{name}");
}

/// One image in an archive that is otherwise right.
fn dual(image: &Image) -> Layout {
    let mut layout = Layout::of(image, NAME);
    let manifest = layout.manifest(image);
    layout.docker(&manifest, &["app:v1"]);
    layout
}

#[test]
fn types_matter_if_an_engine_goes_by_them() {
    let docker = |layer: Layer| dual(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a"), layer]));
    let oci = |layer: Layer| dual(&Image::oci(vec![layer]));
    let all = |severity: &str| -> Vec<String> {
        let rules = ["config-type", "descriptor", "layer-type", "manifest-type"];
        rules.map(|rule| format!("{rule} {severity}")).to_vec()
    };
    let config = Image {
        config_type: DOCKER_CONFIG.to_owned(),
        ..right_image()
    };
    let layer = |severity: &str| {
        ["descriptor", "layer-type"]
            .map(|rule| format!("{rule} {severity}"))
            .to_vec()
    };
    #[rustfmt::skip]
    let cases = [
        ("docker gzip", docker(Layer::gzip(DOCKER_GZIP, "b")), all("cosmetic")),
        ("docker zstd", docker(Layer::zstd(DOCKER_ZSTD, "b")), all("breaks")),
        ("docker gzip of zstd", docker(Layer::zstd(DOCKER_GZIP, "b")), all("warns")),
        ("docker with an OCI layer", docker(Layer::gzip(OCI_GZIP, "b")), all("breaks")),
        ("oci with a docker layer", oci(Layer::gzip(DOCKER_GZIP, "b")), layer("warns")),
        ("oci with the nonstandard type", oci(Layer::zstd(DOCKER_ZSTD, "b")), layer("breaks")),
        ("oci tar of gzip", oci(Layer::gzip(OCI_TAR, "b")), layer("breaks")),
        ("oci gzip of zstd", oci(Layer::zstd(OCI_GZIP, "b")), layer("warns")),
        ("oci zstd of tar", oci(Layer::plain(OCI_ZSTD, "b")), layer("warns")),
        ("oci with a docker config", dual(&config), ["config-type", "descriptor"].map(|rule| format!("{rule} breaks")).to_vec()),
    ];
    for (name, layout, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(name, &layout.tar(), &expected);
    }
    // What refers to a rewritten document matters as much as the rewriting.
    let mut layout = Layout::new();
    let fine = layout.image(&Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]));
    let bad = layout.image(&Image::docker(vec![Layer::zstd(DOCKER_ZSTD, "b")]));
    layout.root(vec![
        named(fine, NAME),
        named(bad, "docker.io/library/b:v1"),
    ]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = dry_run(&sandbox, "in.tar", &[]).json();
    let changes = report["changes"].as_array().unwrap().iter();
    let descriptors: Vec<&Value> = changes
        .filter(|change| change["rule"] == "descriptor")
        .map(|change| &change["severity"])
        .collect();
    assert_eq!(descriptors, ["cosmetic", "breaks"]);
}

#[test]
fn files_and_names_matter_if_an_engine_reads_them() {
    let changed = |change: &dyn Fn(&mut Layout)| {
        let mut layout = right_layout();
        change(&mut layout);
        layout.tar()
    };
    let item = |edit: &dyn Fn(&mut Value)| {
        changed(&|layout: &mut Layout| {
            let text = layout.docker_manifest.as_ref().unwrap();
            let mut items: Value = serde_json::from_slice(text).unwrap();
            edit(&mut items);
            layout.docker_manifest = Some(items.to_string().into_bytes());
        })
    };
    let entry = |annotations: &[(&str, &str)]| {
        changed(&|layout: &mut Layout| {
            layout.edit_root(|root| {
                let mut bare = root["manifests"][0].clone();
                bare.as_object_mut().unwrap().remove("annotations");
                root["manifests"][0] = annotated(bare, annotations);
            });
        })
    };
    let entries = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = right_layout().entries();
        change(&mut entries);
        tar(&entries)
    };
    let rename = |prefix: &str| {
        entries(&|entries: &mut Vec<Entry>| {
            for entry in entries {
                entry.name = [prefix.as_bytes(), &entry.name].concat();
            }
        })
    };
    let other = "example.com/other:v1";
    let two_names = changed(&|layout: &mut Layout| {
        layout.edit_root(|root| {
            let entry = root["manifests"][0].clone();
            let entries = root["manifests"].as_array_mut().unwrap();
            entries.push(annotated(entry, &[(IMAGE_NAME, other), (REF_NAME, "v1")]));
        });
    });
    let docker_archive =
        changed(&|layout: &mut Layout| (layout.index, layout.oci_layout) = (None, None));
    #[rustfmt::skip]
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("no manifest.json", changed(&|layout| layout.docker_manifest = None), &["docker-manifest breaks"]),
        ("a name only in index.json", two_names, &["docker-manifest breaks"]),
        ("another key", item(&|items| items[0]["LayerSources"] = json!({})), &["docker-manifest cosmetic"]),
        ("an item for each tag", item(&|items| *items = json!([items[0], items[0]])), &["docker-manifest cosmetic"]),
        ("a bad tag", item(&|items| items[0]["RepoTags"] = json!(["app:v1", "App:v2"])), &["docker-manifest breaks"]),
        ("a name only in manifest.json", item(&|items| items[0]["RepoTags"] = json!(["app:v1", other])), &["name-entry breaks"]),
        ("no oci-layout", changed(&|layout| layout.oci_layout = None), &["oci-layout warns"]),
        ("neither", changed(&|layout| (layout.docker_manifest, layout.oci_layout) = (None, None)), &["docker-manifest breaks", "oci-layout breaks"]),
        ("another version", changed(&|layout| layout.oci_layout = Some(br#"{"imageLayoutVersion":"1.1.0"}"#.to_vec())), &["oci-layout breaks"]),
        ("a docker archive", docker_archive, &["image-name breaks", "index-added breaks", "manifest-added breaks", "oci-layout warns", "ref-name warns"]),
        ("no mediaType", changed(&|layout| layout.edit_root(|root| drop(root.as_object_mut().unwrap().remove("mediaType")))), &["media-type-field warns"]),
        ("the full name as ref.name", entry(&[(REF_NAME, NAME)]), &["image-name cosmetic"]),
        ("a short name as ref.name", entry(&[(REF_NAME, "app:v1")]), &["image-name breaks"]),
        ("no ref.name", entry(&[(IMAGE_NAME, NAME)]), &["ref-name warns"]),
        ("no annotations", entry(&[]), &["image-name breaks", "ref-name warns"]),
        ("another file", changed(&|layout| layout.more.push(Entry::file("version", "1"))), &["extra-entry cosmetic"]),
        ("a device", changed(&|layout| layout.more.push(Entry::new("tty", b'3', b""))), &["archive-form cosmetic", "extra-entry warns"]),
        ("times", entries(&|entries| entries[0].mtime = 1), &["archive-form cosmetic"]),
        ("dots", rename("./"), &["archive-form cosmetic"]),
        ("absolute names", rename("/"), &["archive-form breaks"]),
        ("outer gzip", gzip(&right_layout().tar()), &["outer-compression breaks"]),
    ];
    for (name, bytes, expected) in cases {
        check(name, &bytes, expected);
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", rename("app/"));
    let report = dry_run(&sandbox, "in.tar", &[]).exits(3).json();
    let wrapped = ("archive-form".to_owned(), "breaks".to_owned());
    assert!(severities(&report).contains(&wrapped), "{report:#}");
}

#[test]
fn what_was_requested_counts_until_it_is_done() {
    let mut two = right_layout();
    let other = two.image(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "b")]));
    two.edit_root(|root| {
        let entries = root["manifests"].as_array_mut().unwrap();
        entries.push(named(other, "docker.io/library/b:v1"));
    });
    let manifest = two.manifest(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "b")]));
    let mut items: Value = serde_json::from_slice(two.docker_manifest.as_ref().unwrap()).unwrap();
    items
        .as_array_mut()
        .unwrap()
        .push(docker_item(&manifest, &["b:v1"]));
    two.docker_manifest = Some(items.to_string().into_bytes());
    let right = right_layout();
    // Options, the rule that carries them out, and its severity.
    let cases: [(&Layout, &[&str], &str, &str); 6] = [
        (&right, &["--compression", "zstd"], "recompressed", "warns"),
        (&two, &["--for", "docker@20.10"], "recompressed", "breaks"),
        (&right, &["--oci-mediatypes=false"], "docker-type", "warns"),
        (
            &right,
            &["--name", "example.com/x:1"],
            "image-name",
            "warns",
        ),
        (
            &right,
            &["--rename", "app:v1=app:v2"],
            "image-name",
            "warns",
        ),
        (&two, &["--image", "app:v1"], "image-choice", "warns"),
    ];
    for (layout, options, rule, severity) in cases {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        dry_run(&sandbox, "in.tar", &[]).exits(0);
        let report = dry_run(&sandbox, "in.tar", options).exits(3).json();
        let changes = report["changes"].as_array().unwrap();
        let change = changes.iter().find(|change| change["rule"] == rule);
        let change = change.unwrap_or_else(|| panic!("{options:?}: {changes:#?}"));
        let found = (&change["severity"], &change["requested"]);
        assert_eq!(found, (&json!(severity), &json!(true)), "{options:?}");
        sandbox.fix_with("in.tar", "out.tar", options).exits(0);
        // A name that was replaced cannot be replaced again.
        let again = if options[0] == "--rename" {
            &[][..]
        } else {
            options
        };
        dry_run(&sandbox, "out.tar", &[again, &["--strict"]].concat()).exits(0);
    }
    // Another compression of the whole is requested by the output's name.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar.zst", zstd::encode_all(&right.tar()[..], 3).unwrap());
    let report = dry_run(&sandbox, "in.tar.zst", &["-o", "out.tar.gz"])
        .exits(3)
        .json();
    assert_eq!(report["changes"][0]["requested"], true);
}

#[test]
fn strict_is_an_option_of_a_dry_run() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let run = sandbox
        .ocify(&["fix", "in.tar", "-o", "out.tar", "--strict"])
        .exits(2);
    assert!(run.stderr.contains("--dry-run"), "{run:#?}");
}

#[test]
fn cosmetic_changes_take_one_line_unless_all_are_asked_for() {
    let sandbox = Sandbox::new();
    let name = "buildkit-docker-gzip-ocifalse.tar";
    let line = "7 cosmetic changes: manifest-type, config-type, layer-type (every engine loads the archive without them)\n";
    let path = fixture(name);
    let input = path.to_str().unwrap();
    let short = sandbox.ocify(&["fix", input, "--dry-run"]).exits(0).stdout;
    assert!(
        short.contains("nothing to fix, 3 kinds of optional changes (-v shows each)\n"),
        "{short}"
    );
    assert!(short.contains(line), "{short}");
    assert!(!short.contains(DOCKER_GZIP), "{short}");
    for verbose in ["-v", "--verbose"] {
        let long = sandbox
            .ocify(&["fix", input, "--dry-run", verbose])
            .exits(0)
            .stdout;
        assert_eq!(
            long.matches(&format!("{DOCKER_GZIP} → {OCI_GZIP}\n"))
                .count(),
            4,
            "{long}"
        );
        assert!(
            long.contains(DOCKER_MANIFEST) && long.contains(OCI_MANIFEST),
            "{long}"
        );
        assert!(!long.contains("cosmetic changes"), "{long}");
    }
    let fixed = sandbox
        .ocify(&["fix", input, "-o", "out.tar"])
        .exits(0)
        .stdout;
    assert!(
        fixed.contains("fixed, 3 kinds of changes (-v shows each), ") && fixed.contains(line),
        "{fixed}"
    );
}

/// In the same form: archives that are compressed as a whole stay so, and directories stay directories.
#[test]
fn a_tree_that_was_fixed_passes() {
    let sandbox = Sandbox::new();
    let tar = |name: &str| fs::read(fixture(name)).unwrap();
    let broken = tar("buildkit-docker-zstd-ocifalse.tar");
    put(&sandbox, "in/plain.tar", &broken);
    put(&sandbox, "in/plain", &broken);
    put(&sandbox, "in/a.tar.gz", gzip(&broken));
    put(&sandbox, "in/a.tgz", gzip(&tar("docker20-save.tar")));
    put(&sandbox, "in/b.tar.zst", zstd(&broken));
    put(&sandbox, "in/b.tzst", zstd(&tar("podman-multi.tar")));
    put(&sandbox, "in/named-otherwise.tar", gzip(&broken));
    put(&sandbox, "in/right.tar.gz", gzip(&right_layout().tar()));
    put(&sandbox, "in/not-compressed.tar.gz", right_layout().tar());
    for name in fixtures() {
        if fixture(&name).is_dir() {
            put_fixture(&sandbox, &format!("in/{name}"), &name);
        }
    }
    let before = batch(&sandbox, &["in", "--dry-run"]);
    before.exits(3);
    let status = |name: &str| before.items[&format!("in/{name}")]["status"].clone();
    for (name, expected) in [
        ("a.tar.gz", "would-fix"),
        ("named-otherwise.tar", "would-fix"),
        ("right.tar.gz", "unchanged"),
    ] {
        assert_eq!(status(name), expected, "{name}");
    }
    let wet = batch(&sandbox, &["in", "-o", "out"]);
    wet.exits(0);
    assert_eq!(wet.count("total"), 14);
    for more in [&[][..], &["-o", "other/"]] {
        let dry = batch(
            &sandbox,
            &[&["out", "--dry-run", "--strict"], more].concat(),
        );
        dry.exits(0);
        assert_eq!(dry.count("unchanged"), 14);
    }
    // The dry run reported what the run did, with and without an output directory.
    let with_output = batch(&sandbox, &["in", "-o", "other/", "--dry-run"]);
    for (input, item) in &wet.items {
        for key in ["changes", "findings"] {
            assert_eq!(before.items[input][key], item[key], "{input}");
            assert_eq!(with_output.items[input][key], item[key], "{input}");
        }
    }
    // Another form is another output.
    batch(&sandbox, &["out", "--dry-run", "--layout"]).exits(3);
    // In place, an archive that is compressed as a whole cannot be fixed.
    batch(&sandbox, &["out", "--dry-run", "--in-place"]).exits(1);
}

#[test]
fn a_batch_counts_inputs_by_the_same_rule() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/right.tar", right_layout().tar());
    put_fixture(&sandbox, "in/cosmetic.tar", "docker26g-save.tar");
    let found = batch(&sandbox, &["in", "--dry-run"]);
    found.exits(0);
    assert_eq!((found.count("unchanged"), found.count("would_fix")), (2, 0));
    let item = &found.items["in/cosmetic.tar"];
    assert_eq!(
        (&item["status"], &item["severity"]),
        (&json!("unchanged"), &json!("cosmetic"))
    );
    let found = batch(&sandbox, &["in", "--dry-run", "--strict"]);
    found.exits(3);
    assert_eq!((found.count("unchanged"), found.count("would_fix")), (1, 1));
    put_fixture(
        &sandbox,
        "in/broken.tar",
        "buildkit-docker-zstd-ocifalse.tar",
    );
    let found = batch(&sandbox, &["in", "--dry-run"]);
    found.exits(3);
    assert_eq!((found.count("unchanged"), found.count("would_fix")), (2, 1));
    batch(&sandbox, &["in", "-o", "out"]).exits(0);
    batch(&sandbox, &["out", "--dry-run", "--strict"]).exits(0);
}
