//! Fixes archives in place and checks the results.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::{Value, json};

use super::builder::{DOCKER_GZIP, Image, Layer, Layout};
use super::checker::{Facts, check_kept, check_output};
use super::contents::Contents;
use super::runner::{Run, Sandbox};

/// Fixtures whose files are not named by their digests.
pub(crate) const REFUSED: [&str; 6] = [
    "docker20-save-byid.tar",
    "docker20-save-names.tar",
    "docker20-save.tar",
    "podman-docker.tar",
    "podman-multi.tar",
    "skopeo19-docker.tar",
];

pub(crate) fn fix(sandbox: &Sandbox, file: &str, more: &[&str]) -> Run {
    let line = ["fix", "--in-place", file, "--format", "json"];
    sandbox.ocify(&[&line, more].concat())
}

/// Fixes an archive in place and checks the result.
#[track_caller]
pub(crate) fn fixed(bytes: &[u8], more: &[&str]) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(&path, sandbox.path("other.tar")).unwrap();
    let before = fs::metadata(&path).unwrap();
    let report = fix(&sandbox, "in.tar", more).exits(0).json();
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

    // A second fix changes nothing, not even times.
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
    // Copying it to a new archive changes nothing that readers need.
    let copied = sandbox.fix("in.tar", "copied.tar").exits(0).json();
    for change in copied["changes"].as_array().unwrap() {
        assert!(["archive-form", "extra-entry"].contains(&change["rule"].as_str().unwrap()));
    }
    // An archive without images keeps its form.
    let copied = sandbox.path("copied.tar");
    match Contents::read(&copied).has("manifest.json") {
        true => check_output(&copied),
        false => check_kept(&copied),
    };
    fs::remove_file(sandbox.path("copied.tar")).unwrap();
    assert_eq!(sandbox.names(), ["in.tar", "other.tar"]);
    (sandbox, report)
}

/// The meaning of an archive: the parts of each image, with their media types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) names: Vec<String>,
    pub(crate) tags: Vec<(String, Vec<String>)>,
    pub(crate) configs: Vec<String>,
    /// Each manifest without its digest, which padding changes.
    pub(crate) manifests: Vec<String>,
}

pub(crate) fn meaning(path: &Path, facts: Facts) -> Meaning {
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

/// An image whose manifest becomes shorter.
pub(crate) fn docker_layout() -> Layout {
    Layout::of(
        &Image::docker(vec![
            Layer::gzip(DOCKER_GZIP, "one"),
            Layer::gzip(DOCKER_GZIP, "two"),
        ]),
        "docker.io/library/app:v1",
    )
}

/// Checks that the file is refused and not changed.
#[track_caller]
pub(crate) fn refused(bytes: &[u8], more: &[&str], code: &str, part: &str) {
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", bytes);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let report = fix(&sandbox, "in.tar", more).exits(1).json();
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
