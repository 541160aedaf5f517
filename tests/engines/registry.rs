//! `ocify push` to real registries, Debian's docker-registry and crane on the loopback interface: what was pushed is pulled back by
//! skopeo, containerd and Docker, and a killed push leaves no tag on anything incomplete.

mod http;
mod killed;
mod kinds;
mod proxied;
mod pulled;
pub(crate) mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::common::builder::{Layout, OCI_MANIFEST, named};
use crate::common::fixture;
use crate::shapes::shapes;
use kinds::{NOT_COPIED, REFUSED, kinds, signed_directory};
use server::{Registry, needs, with_each};

/// What `ocify push` reports.
struct Pushed {
    report: Value,
    code: Option<i32>,
    stderr: String,
}

impl Pushed {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        Pushed {
            report: serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{error}: {output:?}")),
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn succeeded(self) -> Value {
        assert_eq!(self.code, Some(0), "{}\n{:#}", self.stderr, self.report);
        self.report
    }

    /// The digests with their media types, of what has a tag and what has none.
    fn images(report: &Value) -> Vec<(String, String, bool)> {
        let images = report["images"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        // Also lists of referrers, under the tags of their subjects' digests.
        let is_artifact = |image: &Value| {
            let mut tags = image["tags"].as_array().unwrap().iter().map(text);
            image["subject"].is_string() || tags.all(|tag| tag.starts_with("sha256-"))
        };
        images
            .map(|image| {
                (
                    text(&image["pinned"]),
                    text(&image["digest"]),
                    is_artifact(image),
                )
            })
            .collect()
    }
}

/// The command, in an environment without credentials.
fn ocify(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocify"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin");
    command
}

fn push(home: &Path, input: &Path, target: &str, more: &[&str]) -> Pushed {
    let mut command = ocify(home);
    command
        .arg("push")
        .arg(input)
        .arg(target)
        .args(["--format", "json"])
        .args(more);
    Pushed::of(&command.output().unwrap())
}

/// Every fixture, every shape and every further kind, by a name that a repository can have.
fn inputs(directory: &Path) -> Vec<(String, PathBuf)> {
    let mut inputs = Vec::new();
    for folder in ["", "2026"] {
        for entry in fs::read_dir(fixture(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !["README.md", "2026"].contains(&name.as_str()) {
                inputs.push((repository_name(folder, &name), fixture(folder).join(&name)));
            }
        }
    }
    for shape in shapes() {
        let path = directory.join(shape.name);
        fs::write(&path, &shape.bytes).unwrap();
        inputs.push((repository_name("shapes", shape.name), path));
    }
    for (name, bytes) in kinds() {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        inputs.push((repository_name("kinds", name), path));
    }
    let signed = directory.join("signed-directory");
    signed_directory(&signed);
    inputs.push(("kinds/signed-directory".to_owned(), signed));
    inputs.sort();
    inputs
}

fn repository_name(folder: &str, name: &str) -> String {
    let name = name
        .to_lowercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = name.trim_matches('-').to_owned();
    match folder {
        "" => name,
        folder => format!("{folder}/{name}"),
    }
}

#[test]
fn everything_that_is_pushed_can_be_pulled_back() {
    let crane = crate::crane().display().to_string();
    with_each(&["skopeo", &crane], push_and_pull_everything);
}

fn push_and_pull_everything(home: &Path, registry: &Registry) {
    let inputs = inputs(home);
    assert!(inputs.len() > 90, "{}", inputs.len());
    let faults = Mutex::new(Vec::new());
    let next = Mutex::new(inputs.iter());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((name, path)) = next.lock().unwrap().next() else {
                        return;
                    };
                    if let Err(fault) = pushed_and_pulled(home, registry, name, path) {
                        faults.lock().unwrap().push(format!("{name}: {fault}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    let types = registry.document_types();
    assert!(types.len() > 3, "{types:?}");
    let docker: Vec<&String> = types
        .iter()
        .filter(|found| found.contains("vnd.docker"))
        .collect();
    assert!(docker.is_empty(), "{docker:?}");
}

/// Pushes an input to a repository of its own, and copies everything from there.
fn pushed_and_pulled(
    home: &Path,
    registry: &Registry,
    name: &str,
    input: &Path,
) -> Result<(), String> {
    let target = format!("{}/{name}", registry.host);
    let mut pushed = push(home, input, &target, &[]);
    if pushed.report["error"]["code"] == "missing-blob" {
        // The registry refuses an index of what is not there, and so does ocify.
        pushed = push(home, input, &target, &["--missing", "prune"]);
    }
    if let Some((_, code)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        if pushed.report["error"]["code"] != *code {
            let found = &pushed.report["error"];
            return Err(format!("not refused with {code}: {found:#}"));
        }
        let hint = pushed.report["error"]["hint"].as_str();
        let chosen = hint.and_then(|hint| hint.split("--image ").nth(1)?.split(';').next());
        let Some(chosen) = chosen else {
            return Err(format!("the hint does not have an image: {hint:?}"));
        };
        let args = ["--image", chosen];
        let one = push(home, input, &format!("{target}:v1"), &args);
        if one.code != Some(0) {
            return Err(one.stderr);
        }
        registry.check_complete(name, &registry.manifest(name, "v1")?)?;
        return Ok(());
    }
    if pushed.code != Some(0) {
        return Err(format!("{}{:#}", pushed.stderr, pushed.report["error"]));
    }
    for (pinned, digest, is_artifact) in Pushed::images(&pushed.report) {
        let stored = registry.manifest(name, &digest)?;
        registry.check_complete(name, &stored)?;
        crane_pulls(home, name, &pinned, &digest)?;
        // skopeo copies images: no caches, and no artifacts before 1.10.
        let is_image = stored["config"]["mediaType"] != "application/vnd.buildkit.cacheconfig.v0";
        let is_copied = !name.contains("cache") && !NOT_COPIED.contains(&name);
        if is_artifact || !is_image || !is_copied {
            continue;
        }
        let copy = home.join(format!("copy-{}", name.replace('/', "-")));
        let mut skopeo = Command::new("skopeo");
        skopeo.args([
            "--insecure-policy",
            "copy",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
        ]);
        skopeo
            .arg(format!("docker://{pinned}"))
            .arg(format!("oci:{}:v1", copy.display()));
        let output = skopeo
            .env("HOME", home)
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            // What skopeo does not read from an archive either.
            if stderr.contains("unsupported image-specific operation on artifact") {
                continue;
            }
            return Err(format!("{pinned}: {stderr}"));
        }
        has_copied("skopeo", &copy, &digest)?;
    }
    // Again, nothing is sent.
    let again = push(home, input, &target, &["--missing", "prune"]);
    match &again.report["totals"]["sent"]["count"] {
        Value::Number(count) if count.as_u64() == Some(0) => Ok(()),
        sent => Err(format!("the second push sent {sent}")),
    }
}

/// Pulls everything that a digest leads to with crane, which verifies it.
fn crane_pulls(home: &Path, name: &str, pinned: &str, digest: &str) -> Result<(), String> {
    let copy = home.join(format!("crane-{}", name.replace('/', "-")));
    let output = Command::new(crate::crane())
        .args(["pull", "--insecure", "--format=oci", pinned])
        .arg(&copy)
        .env("HOME", home)
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => has_copied("crane", &copy, digest),
        false => Err(format!(
            "{pinned}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Checks the digest of a copy in a layout, and removes the copy.
fn has_copied(program: &str, copy: &Path, digest: &str) -> Result<(), String> {
    let index = fs::read(copy.join("index.json")).map_err(|error| error.to_string())?;
    let index: Value = serde_json::from_slice(&index).map_err(|error| error.to_string())?;
    let found = &index["manifests"][0]["digest"];
    if found != digest {
        return Err(format!("{program} copied {found}, reported is {digest}"));
    }
    fs::remove_dir_all(copy).map_err(|error| error.to_string())
}

#[test]
fn passwords_are_used_and_never_shown() {
    let Some(directory) = needs(&["htpasswd"]) else {
        return;
    };
    let home = directory.path();
    let registry = Registry::start(home, Some(("user", "right-password")));
    let input = fixture("docker26g-save.tar");
    let target = format!("{}/app:v1", registry.host);
    let with_password = |password: &str| {
        let mut command = ocify(home);
        command
            .arg("push")
            .arg(&input)
            .args([&target, "--format", "json"]);
        command.args(["--username", "user", "--password-stdin"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write;
        child
            .stdin
            .take()
            .unwrap()
            .write_all(password.as_bytes())
            .unwrap();
        Pushed::of(&child.wait_with_output().unwrap())
    };
    let anonymous = push(home, &input, &target, &[]);
    let wrong = with_password("wrong-password\n");
    for refused in [anonymous, wrong] {
        assert_eq!(refused.code, Some(1), "{:#}", refused.report);
        assert_eq!(
            refused.report["error"]["code"], "registry-unauthorized",
            "{:#}",
            refused.report
        );
        let shown = format!("{}{}", refused.report, refused.stderr);
        assert!(
            !shown.contains("-password\"") && !shown.contains("wrong-password"),
            "{shown}"
        );
    }
    let report = with_password("right-password\n").succeeded();
    assert_eq!(report["status"], "pushed");
    assert!(!report.to_string().contains("right-password"));

    // The file of docker login.
    let auth = r#"{"auths": {"HOST": {"auth": "dXNlcjpyaWdodC1wYXNzd29yZA=="}}}"#;
    fs::create_dir(home.join(".docker")).unwrap();
    fs::write(
        home.join(".docker/config.json"),
        auth.replace("HOST", &registry.host),
    )
    .unwrap();
    let report = push(home, &input, &format!("{}/app:v2", registry.host), &[]).succeeded();
    assert_eq!(report["totals"]["sent"]["count"], 0, "{report:#}");
}

#[test]
fn two_pushes_at_once_do_not_disturb_each_other() {
    with_each(&[], push_two_at_once);
}

fn push_two_at_once(home: &Path, registry: &Registry) {
    let same = [("docker26g-save.tar", "v1"), ("docker26g-save.tar", "v2")];
    let different = [
        ("docker26g-save.tar", "v3"),
        ("buildkit-oci-multi-attest-zstd-ocitrue.tar", "v4"),
    ];
    for pair in [same, different] {
        let reports: Vec<Value> = thread::scope(|scope| {
            let threads = pair.map(|(name, tag)| {
                let target = format!("{}/app:{tag}", registry.host);
                scope.spawn(move || push(home, &fixture(name), &target, &[]).succeeded())
            });
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for ((_, tag), report) in pair.into_iter().zip(reports) {
            let stored = registry.manifest("app", tag).unwrap();
            registry.check_complete("app", &stored).unwrap();
            let digest = registry.digest("app", tag).unwrap();
            assert_eq!(report["images"][0]["digest"], digest.as_str());
        }
    }
}

/// Neither registry has an API for referrers: they are found by tag.
#[test]
fn attestations_and_referrers_are_found() {
    with_each(&[], push_attestations_and_referrers);
}

fn push_attestations_and_referrers(home: &Path, registry: &Registry) {
    let input = fixture("buildkit-oci-multi-attest-zstd-ocitrue.tar");
    push(home, &input, &format!("{}/app:v1", registry.host), &[]).succeeded();
    let index = registry.manifest("app", "v1").unwrap();
    let listed = index["manifests"].as_array().unwrap();
    let attestations = listed.iter().filter(|entry| {
        entry["annotations"]["vnd.docker.reference.type"] == "attestation-manifest"
    });
    assert_eq!(attestations.count(), 2);

    let shape = shapes()
        .into_iter()
        .find(|shape| shape.name.contains("referrer"));
    let shape = shape.expect("a shape with a referrer");
    let path = home.join(shape.name);
    fs::write(&path, shape.bytes).unwrap();
    let report = push(home, &path, &format!("{}/signed:v1", registry.host), &[]).succeeded();
    let images = report["images"].as_array().unwrap();
    let with_subject: Vec<&Value> = images
        .iter()
        .filter(|image| image["subject"].is_string())
        .collect();
    assert!(!with_subject.is_empty(), "{report:#}");
    for referrer in with_subject {
        let tag = referrer["subject"].as_str().unwrap().replace(':', "-");
        let index = registry.manifest("signed", &tag).unwrap();
        let listed = index["manifests"].as_array().unwrap().iter();
        let listed: BTreeSet<&str> = listed
            .map(|entry| entry["digest"].as_str().unwrap())
            .collect();
        assert!(
            listed.contains(referrer["digest"].as_str().unwrap()),
            "{index:#}"
        );
    }
}

/// The first one creates the list on the condition that nothing is there, and the second one extends it.
#[test]
fn referrers_of_several_archives_are_listed_together() {
    with_each(&[], |home, registry| {
        let target = format!("{}/noted:v1", registry.host);
        let mut notes = BTreeSet::new();
        let mut subject = String::new();
        for text in ["one", "two"] {
            let path = home.join(text);
            fs::write(&path, with_note(text)).unwrap();
            let report = push(home, &path, &target, &[]).succeeded();
            let images = report["images"].as_array().unwrap().iter();
            for note in images.filter(|image| image["subject"].is_string()) {
                notes.insert(note["digest"].as_str().unwrap().to_owned());
                note["subject"].as_str().unwrap().clone_into(&mut subject);
            }
        }
        let list = registry.manifest("noted", &subject.replace(':', "-"));
        let list = list.unwrap();
        let listed = list["manifests"].as_array().unwrap().iter();
        let listed = listed.map(|entry| entry["digest"].as_str().unwrap().to_owned());
        assert_eq!((notes.len(), listed.collect()), (2, notes));
    });
}

/// An artifact with a note about it, which is the only difference between two of these.
fn with_note(text: &str) -> Vec<u8> {
    let mut layout = Layout::new();
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let mut artifact = |media_type: &str, text: &str, subject: Option<&Value>| {
        let blob = layout.blob(media_type, text);
        let mut manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": media_type,
            "config": config, "layers": [blob],
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        layout.document(OCI_MANIFEST, &manifest)
    };
    let app = artifact("application/x-app", "app", None);
    let note = artifact("application/x-note", text, Some(&app));
    layout.root(vec![named(app, "example.com/app:v1"), note]);
    layout.tar()
}
