//! Every fixture with an `index.json` is fixed correctly and keeps every config, layer and name of the input.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::checker::{check_output, familiar};
use crate::common::contents::Contents;
use crate::common::runner::{Run, Sandbox};
use crate::common::{fixture, layouts, sha256, tree};

/// The properties of the input that must not change: the hash and the time of every file.
fn state(path: &Path) -> (Vec<(std::path::PathBuf, Vec<u8>)>, std::time::SystemTime) {
    let files = if path.is_dir() {
        tree(path)
    } else {
        vec![(
            path.to_owned(),
            sha256(&fs::read(path).unwrap()).into_bytes(),
        )]
    };
    (files, fs::metadata(path).unwrap().modified().unwrap())
}

fn strings<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item[key].as_str().unwrap()).collect()
}

/// The familiar names in an input, from either root. A tag alone is not a name.
fn names(contents: &Contents) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in contents.json("index.json")["manifests"].as_array().unwrap() {
        let annotation = |key: &str| entry["annotations"][key].as_str();
        let full = annotation("org.opencontainers.image.ref.name");
        let full = full.filter(|name| name.contains(['/', ':']));
        let name = annotation("io.containerd.image.name").or(full);
        names.extend(name.map(familiar));
    }
    if contents.has("manifest.json") {
        for item in contents.json("manifest.json").as_array().unwrap() {
            let tags = item["RepoTags"].as_array().into_iter().flatten();
            names.extend(tags.map(|tag| familiar(tag.as_str().unwrap())));
        }
    }
    names
}

#[test]
fn every_fixture_is_fixed_completely() {
    for name in layouts() {
        let sandbox = Sandbox::new();
        let input = fixture(&name);
        let before = state(&input);
        let report = sandbox.fix(&input, "out.tar").exits(0).json();
        assert_eq!(state(&input), before, "{name}: the input was touched");
        assert_eq!(sandbox.names(), ["out.tar"], "{name}");

        let facts = check_output(&sandbox.path("out.tar"));
        let (old, new) = (
            Contents::read(&input),
            Contents::read(&sandbox.path("out.tar")),
        );
        assert_eq!(old.parts(), new.parts(), "{name}: configs and layers");
        for digest in old.parts().concat() {
            assert_eq!(old.blob(&digest), new.blob(&digest), "{name}: {digest}");
        }
        let tags: BTreeSet<String> = facts.tags.into_values().flatten().collect();
        assert_eq!(tags, names(&old), "{name}: names");
        let in_index: BTreeSet<String> = facts.names.keys().map(|name| familiar(name)).collect();
        assert_eq!(in_index, names(&old), "{name}: names in index.json");

        let rewritten: BTreeSet<&str> = strings(&report["digests"], "before").into_iter().collect();
        let expected = old.digests().into_iter();
        let mut expected: BTreeSet<String> = expected
            .filter(|digest| !rewritten.contains(digest.as_str()))
            .collect();
        expected.extend(
            strings(&report["digests"], "after")
                .iter()
                .map(|s| (*s).to_owned()),
        );
        let found: BTreeSet<String> = new.digests().into_iter().collect();
        assert_eq!(found, expected, "{name}: only rewritten documents differ");
        assert_eq!(report["blobs"]["count"], found.len(), "{name}");
    }
}

#[test]
fn fixing_a_fixed_archive_changes_nothing() {
    for name in layouts() {
        let sandbox = Sandbox::new();
        let first = sandbox.fix(fixture(&name), "first.tar").exits(0).json();
        let second = sandbox.fix("first.tar", "second.tar").exits(0).json();
        assert_eq!(
            second["status"], "unchanged",
            "{name}: {:#}",
            second["changes"]
        );
        assert_eq!(second["changes"], serde_json::json!([]), "{name}");
        assert_eq!(second["digests"], serde_json::json!([]), "{name}");
        assert_eq!(second["images"], first["images"], "{name}");
        assert!(
            sandbox.read("first.tar") == sandbox.read("second.tar"),
            "{name}"
        );
    }
}

#[test]
fn unchanged_is_reported_only_if_no_byte_changes() {
    let mut unchanged = Vec::new();
    for name in layouts().into_iter().filter(|name| name.ends_with(".tar")) {
        let sandbox = Sandbox::new();
        let report = sandbox.fix(fixture(&name), "out.tar").exits(0).json();
        let is_same = fs::read(fixture(&name)).unwrap() == sandbox.read("out.tar");
        assert_eq!(report["status"] == "unchanged", is_same, "{name}");
        assert_eq!(
            report["changes"] == serde_json::json!([]),
            is_same,
            "{name}"
        );
        if is_same {
            unchanged.push(name);
        }
    }
    let right = [
        "buildkit-docker-estargz-ocitrue.tar",
        "buildkit-docker-gzip-ocitrue.tar",
        "buildkit-docker-names-zstd-ocitrue.tar",
        "buildkit-docker-noname-zstd-ocitrue.tar",
        "buildkit-docker-uncompressed-ocitrue.tar",
        "buildkit-docker-zstd-ocitrue.tar",
        "containerd17-export-multi.tar",
    ];
    for name in right {
        assert!(
            unchanged.iter().any(|found| found == name),
            "{name}: {unchanged:?}"
        );
    }
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    for name in layouts() {
        let sandbox = Sandbox::new();
        for jobs in ["1", "2", "8"] {
            let output = format!("{jobs}.tar");
            sandbox
                .fix_with(fixture(&name), &output, &["--jobs", jobs])
                .exits(0);
        }
        let one = sandbox.read("1.tar");
        assert!(
            one == sandbox.read("2.tar") && one == sandbox.read("8.tar"),
            "{name}"
        );
    }
}

#[test]
fn a_directory_and_an_archive_have_the_same_contents() {
    for name in layouts() {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(&name), "out.tar").exits(0);
        sandbox.fix(fixture(&name), "layout/").exits(0);
        let archive = Contents::read(&sandbox.path("out.tar"));
        let directory = Contents::read(&sandbox.path("layout"));
        assert!(archive == directory, "{name}");
        check_output(&sandbox.path("layout"));
        // An empty directory with the name of the output is filled in the same way.
        fs::create_dir_all(sandbox.path("into/layout")).unwrap();
        sandbox.fix("layout", "into").exits(0);
        let filled = Contents::read(&sandbox.path("into/layout"));
        assert!(filled == directory, "{name}");
        // And back: the layout packs to the same archive.
        sandbox.fix("layout", "back.tar").exits(0);
        assert!(
            sandbox.read("back.tar") == sandbox.read("out.tar"),
            "{name}"
        );
    }
}

#[test]
fn an_archive_and_its_unpacked_form_give_the_same_output() {
    for name in layouts().into_iter().filter(|name| name.ends_with(".tar")) {
        let sandbox = Sandbox::new();
        for (file, bytes) in Contents::read(&fixture(&name)).files {
            let path = sandbox.path("unpacked").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        sandbox.fix(fixture(&name), "a.tar").exits(0);
        sandbox.fix("unpacked", "b.tar").exits(0);
        assert!(sandbox.read("a.tar") == sandbox.read("b.tar"), "{name}");
    }
}

#[test]
fn a_dry_run_writes_nothing_and_its_exit_code_shows_the_result() {
    for name in layouts() {
        let sandbox = Sandbox::new();
        let line = ["fix", "--dry-run", "--format", "json"];
        let path = fixture(&name);
        let dry = |more: &[&str]| -> Run {
            let mut line = line.to_vec();
            line.push(path.to_str().unwrap());
            line.extend(more);
            sandbox.ocify(&line)
        };
        let run = dry(&[]);
        let with_output = dry(&["-o", "out.tar"]);
        assert_eq!(sandbox.names(), [""; 0], "{name}");
        assert_eq!(run.stdout, with_output.stdout, "{name}");
        let report = run.json();
        let expected = if run.code == 0 {
            "unchanged"
        } else {
            "would-fix"
        };
        assert_eq!(report["status"], expected, "{name}");
        assert!(matches!(run.code, 0 | 3), "{name}: {run:#?}");
        assert_eq!(report["output"], Value::Null, "{name}");

        // It is the same plan that a real run carries out.
        let real = sandbox.fix(&path, "out.tar").exits(0).json();
        let status = if report["changes"] == Value::Array(vec![]) {
            "unchanged"
        } else {
            "fixed"
        };
        assert_eq!(real["status"], status, "{name}");
        for key in ["changes", "findings", "digests", "images"] {
            assert_eq!(report[key], real[key], "{name}: {key}");
        }
    }
}

#[test]
fn attestations_are_dropped_on_request() {
    for name in [
        "buildkit-oci-attest-zstd-ocifalse.tar",
        "buildkit-oci-multi-attest-zstd-ocitrue.tar",
    ] {
        let sandbox = Sandbox::new();
        let input = fixture(name);
        let is_attestation = |manifest: &Value| {
            let layers = manifest["layers"].as_array().unwrap();
            layers
                .iter()
                .any(|layer| layer["mediaType"] == "application/vnd.in-toto+json")
        };
        let count = |path: &Path| -> usize {
            let manifests = Contents::read(path).manifests();
            manifests
                .iter()
                .filter(|(_, manifest)| is_attestation(manifest))
                .count()
        };
        let attestations = count(&input);
        assert!(attestations > 0, "{name}");
        sandbox.fix(&input, "kept.tar").exits(0);
        let drop = ["--attestations", "drop"];
        let report = sandbox
            .fix_with(&input, "dropped.tar", &drop)
            .exits(0)
            .json();
        assert_eq!(count(&sandbox.path("kept.tar")), attestations, "{name}");
        assert_eq!(count(&sandbox.path("dropped.tar")), 0, "{name}");
        let rules = strings(&report["changes"], "rule");
        let dropped = rules
            .iter()
            .filter(|rule| **rule == "attestation-dropped")
            .count();
        assert_eq!(dropped, attestations, "{name}");
        let facts = check_output(&sandbox.path("dropped.tar"));
        assert!(facts.unreferenced.is_empty(), "{name}: {facts:?}");
        let again = sandbox
            .fix_with("dropped.tar", "again.tar", &drop)
            .exits(0)
            .json();
        assert_eq!(again["status"], "unchanged", "{name}");
    }
}

#[test]
fn the_platform_option_selects_the_image_in_manifest_json() {
    for name in [
        "buildkit-oci-multi-zstd-ocifalse.tar",
        "buildkit-oci-multi-attest-zstd-ocifalse.tar",
    ] {
        let sandbox = Sandbox::new();
        let mut configs = BTreeSet::new();
        for architecture in ["amd64", "arm64"] {
            let output = format!("{architecture}.tar");
            let platform = format!("linux/{architecture}");
            let run = sandbox.fix_with(fixture(name), &output, &["--docker-platform", &platform]);
            let report = run.exits(0).json();
            let facts = check_output(&sandbox.path(&output));
            assert_eq!(facts.tags.len(), 1, "{name}");
            let config = facts.tags.keys().next().unwrap();
            assert_eq!(
                report["images"][0]["config_digest"],
                config.as_str(),
                "{name}"
            );
            let contents = Contents::read(&sandbox.path(&output));
            assert_eq!(
                contents.document(config)["architecture"],
                architecture,
                "{name}"
            );
            configs.insert(config.clone());
            // The next run follows the existing manifest.json, so nothing changes.
            let again = format!("again-{architecture}.tar");
            sandbox.fix(&output, &again).exits(0);
            assert!(sandbox.read(&output) == sandbox.read(&again), "{name}");
        }
        assert_eq!(configs.len(), 2, "{name}");
        let run = sandbox.fix_with(
            fixture(name),
            "none.tar",
            &["--docker-platform", "linux/s390x"],
        );
        let report = run.exits(1).json();
        assert_eq!(report["error"]["code"], "platform-not-found");
        let message = report["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("linux/s390x; available: linux/amd64, linux/arm64"),
            "{message}"
        );
    }
}

#[test]
fn caches_remain_caches() {
    for name in [
        "buildkit-cache-list-ocifalse",
        "buildkit-cache-list-ocitrue",
        "buildkit-cache-manifest-ocitrue",
    ] {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "cache/").exits(0);
        check_output(&sandbox.path("cache"));
        let contents = Contents::read(&sandbox.path("cache"));
        assert!(!contents.has("manifest.json"), "{name}");
        let old = Contents::read(&fixture(name));
        let tag = &old.json("index.json")["manifests"][0]["annotations"];
        assert_eq!(
            contents.json("index.json")["manifests"][0]["annotations"],
            *tag,
            "{name}"
        );
        let cacheconfig = |contents: &Contents| {
            let texts = contents.files.values();
            let found = texts.filter(|text| text.starts_with(b"{\"layers\":[{\"blob\""));
            found.cloned().collect::<Vec<_>>()
        };
        assert_eq!(cacheconfig(&contents), cacheconfig(&old), "{name}");
        assert_eq!(cacheconfig(&old).len(), 1, "{name}");
    }
}
