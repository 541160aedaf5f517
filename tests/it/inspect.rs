//! `ocify inspect`: what it lists is what other tools find.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::{put, put_fixture};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, index, named, on, right_layout,
};
use crate::common::faults::{Fault, faults};
use crate::common::piped::pipe;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::{parse_inspect, parse_inspects};
use crate::common::{fixture, fixtures, tree};

fn inspect(sandbox: &Sandbox, line: &[&str]) -> Run {
    let before = tree(sandbox.root());
    let run = sandbox.ocify(&[&["inspect"], line].concat());
    assert!(tree(sandbox.root()) == before, "{line:?}");
    run
}

fn listed(sandbox: &Sandbox, input: &str) -> Value {
    let run = inspect(sandbox, &[input, "--format", "json"]);
    let report = parse_inspect(&run.stdout);
    assert_eq!(report["status"], "listed", "{input}: {report:#}");
    run.exits(0);
    report
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What a program writes to standard output, if it is installed.
#[expect(clippy::print_stdout, reason = "says what is not tested")]
fn output(program: &str, args: &[&str], stdin: Option<&Path>) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stderr(Stdio::null());
    if let Some(path) = stdin {
        command.stdin(fs::File::open(path).unwrap());
    }
    let Ok(done) = command.output() else {
        println!("SKIPPED: asking {program}, which is not installed");
        return None;
    };
    assert!(done.status.success(), "{program} {args:?}");
    Some(String::from_utf8(done.stdout).unwrap())
}

/// Extracts a fixture, or copies it if it is a directory.
pub(crate) fn extracted(name: &str, to: &Path) {
    fs::create_dir(to).unwrap();
    let from = fixture(name);
    let from = from.to_str().unwrap();
    let done = match name.ends_with(".tar") {
        true => Command::new("tar")
            .args(["-xf", from, "-C"])
            .arg(to)
            .status(),
        false => Command::new("cp")
            .args(["-r", &format!("{from}/.")])
            .arg(to)
            .status(),
    };
    assert!(done.unwrap().success(), "{name}");
}

/// sha256sum computes the digests that are listed, `stat` the lengths, and the programs for each format read the layers.
#[test]
fn digests_lengths_and_compression_are_what_other_tools_find() {
    let sandbox = Sandbox::new();
    let (mut blobs, mut compressed) = (0, BTreeSet::new());
    for (number, name) in fixtures().iter().enumerate() {
        let report = listed(&sandbox, fixture(name).to_str().unwrap());
        let root = sandbox.path(&format!("{number}"));
        extracted(name, &root);
        let mut all: Vec<(&Value, bool)> = list(&report, "indexes")
            .iter()
            .map(|index| (index, false))
            .collect();
        for manifest in list(&report, "manifests") {
            all.push((manifest, false));
            all.push((&manifest["config"], false));
            all.extend(list(manifest, "layers").iter().map(|layer| (layer, true)));
        }
        for (blob, is_layer) in all {
            let Some(digest) = blob["digest"].as_str() else {
                continue;
            };
            let hex = digest.strip_prefix("sha256:").unwrap();
            let path = root.join("blobs/sha256").join(hex);
            // A Docker archive and skopeo's directory have other names.
            if !path.exists() {
                continue;
            }
            let sum = output("sha256sum", &["-b"], Some(&path)).unwrap();
            assert_eq!(&sum[..64], hex, "{name}");
            assert_eq!(
                blob["len"],
                fs::metadata(&path).unwrap().len(),
                "{name} {digest}"
            );
            blobs += 1;
            let program = match blob["content"].as_str() {
                Some("gzip") => "gzip",
                Some("zstd") => "zstd",
                Some("tar") if is_layer => "tar",
                _ => continue,
            };
            compressed.insert(program);
            match program {
                "tar" => {
                    output("tar", &["-t"], Some(&path));
                    assert_eq!(blob["uncompressed_len"], blob["len"], "{name} {digest}");
                }
                program => {
                    output(program, &["-tq"], Some(&path));
                    assert_eq!(blob["uncompressed_len"], Value::Null);
                }
            }
        }
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(blobs > 200, "{blobs}");
    assert_eq!(compressed.len(), 3);
}

/// skopeo's view of archives with one image: the digest of its manifest, that of its config, its layers and its platform.
#[test]
fn images_are_those_that_skopeo_finds() {
    let sandbox = Sandbox::new();
    let mut asked = 0;
    for name in fixtures() {
        let report = listed(&sandbox, fixture(&name).to_str().unwrap());
        let [image] = list(&report, "manifests") else {
            continue;
        };
        // Of several names, skopeo has to be told which one is meant.
        if list(&report["entries"][0], "names").len() > 1 {
            continue;
        }
        let transport = match (image["digest"].is_null(), name.ends_with(".tar")) {
            _ if image["kind"] != "image" => continue,
            (true, true) => "docker-archive",
            (true, false) => continue,
            (false, true) => "oci-archive",
            (false, false) if list(&report, "files").contains(&json!("index.json")) => "oci",
            (false, false) => "dir",
        };
        // This version of skopeo refuses manifests whose types belong to different families.
        if name.contains("ocifalse") || name.contains("zstd") && name.contains("docker") {
            continue;
        }
        let source = format!("{transport}:{}", fixture(&name).to_str().unwrap());
        let Some(found) = output("skopeo", &["inspect", &source], None) else {
            return;
        };
        let found: Value = serde_json::from_str(&found).unwrap();
        let platform = format!("{}/{}", text(&found["Os"]), text(&found["Architecture"]));
        assert!(text(&image["platform"]).starts_with(&platform), "{name}");
        let layers = list(image, "layers").iter();
        let layers: Vec<&Value> = layers.map(|layer| &layer["digest"]).collect();
        let expected: Vec<&Value> = list(&found, "Layers").iter().collect();
        assert_eq!(layers, expected, "{name}");
        if transport != "docker-archive" {
            assert_eq!(found["Digest"], report["entries"][0]["digest"], "{name}");
        }
        let raw = ["inspect", "--config", "--raw", &source];
        let config = output("skopeo", &raw, None).unwrap();
        sandbox.put("config", config.as_bytes());
        let sum = output("sha256sum", &["-b"], Some(&sandbox.path("config"))).unwrap();
        let id = text(&image["config"]["digest"]);
        assert_eq!(id, format!("sha256:{}", &sum[..64]), "{name}");
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}

/// Each entry of the index is listed with its names, and leads to the document of its digest.
#[test]
fn names_lead_to_the_digests_that_the_index_states() {
    let sandbox = Sandbox::new();
    for name in fixtures() {
        let report = listed(&sandbox, fixture(&name).to_str().unwrap());
        let root = sandbox.path("root");
        extracted(&name, &root);
        let Ok(index) = fs::read(root.join("index.json")) else {
            fs::remove_dir_all(&root).unwrap();
            continue;
        };
        let index: Value = serde_json::from_slice(&index).unwrap();
        for descriptor in list(&index, "manifests") {
            let mut entries = list(&report, "entries").iter();
            let entry = entries.find(|entry| entry["digest"] == descriptor["digest"]);
            let entry = entry.unwrap_or_else(|| panic!("{name}: {descriptor}"));
            let target = match (entry["index"].as_u64(), entry["manifest"].as_u64()) {
                (Some(position), None) => &report["indexes"][position as usize],
                (None, Some(position)) => &report["manifests"][position as usize],
                _ => panic!("{name}: {entry}"),
            };
            assert_eq!(target["digest"], descriptor["digest"], "{name}");
            let stated = &descriptor["annotations"]["io.containerd.image.name"];
            let names = list(entry, "names");
            assert!(
                stated.is_null() || names.contains(stated),
                "{name}: {entry}"
            );
        }
        fs::remove_dir_all(&root).unwrap();
    }
    // Only manifest.json has these.
    let report = listed(
        &sandbox,
        fixture("docker20-save-names.tar").to_str().unwrap(),
    );
    let entry = &report["entries"][0];
    assert_eq!(entry["digest"], Value::Null);
    assert!(list(entry, "names").len() > 1, "{entry}");
    assert_eq!(report["manifests"][0]["digest"], Value::Null);
    assert_eq!(
        report["manifests"][0]["layers"][0]["media_type"],
        Value::Null
    );
}

#[test]
fn attestations_are_listed_with_what_they_are_about() {
    let sandbox = Sandbox::new();
    let name = "buildkit-oci-multi-attest-zstd-ocitrue.tar";
    let report = listed(&sandbox, fixture(name).to_str().unwrap());
    let of_kind = |kind: &str| -> Vec<&Value> {
        let manifests = list(&report, "manifests").iter();
        manifests
            .filter(|manifest| manifest["kind"] == kind)
            .collect()
    };
    let images: BTreeSet<&str> = of_kind("image")
        .into_iter()
        .map(|image| text(&image["digest"]))
        .collect();
    let about: BTreeSet<&str> = of_kind("attestation")
        .into_iter()
        .map(|attestation| text(&attestation["about"][0]))
        .collect();
    assert_eq!(images.len(), 2);
    assert_eq!(about, images);
    for attestation in of_kind("attestation") {
        assert_eq!(attestation["platform"], Value::Null);
    }
}

#[test]
fn what_is_missing_and_what_nothing_refers_to_is_counted() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let here = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "here")]));
    let mut absent = here.clone();
    absent["digest"] = format!("sha256:{}", "1".repeat(64)).into();
    let both = vec![on(here, "linux", "amd64"), on(absent, "linux", "arm64")];
    let both = layout.document(OCI_INDEX, &index(OCI_INDEX, both));
    layout.root(vec![named(both, "example.com/app:v1")]);
    layout.blob("application/octet-stream", "nothing refers to it");
    sandbox.put("in.tar", layout.tar());
    let report = listed(&sandbox, "in.tar");
    assert_eq!(report["orphans"], json!({"count": 1, "bytes": 20}));
    let missing = &report["missing"][0];
    assert_eq!(
        missing["location"],
        "index.json, manifests[0], manifests[1]"
    );
    assert_eq!(missing["digest"], format!("sha256:{}", "1".repeat(64)));
    let children = list(&report["indexes"][0], "manifests");
    assert_eq!(children[0]["present"], true);
    assert_eq!(children[1]["present"], false);
    assert_eq!(children[1]["manifest"], Value::Null);
    let shown = inspect(&sandbox, &["in.tar"]).exits(0).stdout;
    for expected in [
        "\n  linux/arm64: ",
        ", not in the archive\n",
        "\nmissing: 1 blob not in the archive\n  index.json, manifests[0], manifests[1]\n",
        "\norphans: 1 blob (20 B) that nothing refers to\n",
    ] {
        assert!(shown.contains(expected), "{expected:?}: {shown}");
    }
}

/// Engines give the name to one of them, but the archive has both, and ocify's own index is not in it.
#[test]
fn platforms_side_by_side_are_listed_as_they_are() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let one = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "1")]));
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "2")]).architecture("arm64");
    let other = layout.image(&other);
    layout.root(vec![
        named(on(one.clone(), "linux", "amd64"), "example.com/app:v1"),
        named(on(other.clone(), "linux", "arm64"), "example.com/app:v1"),
    ]);
    sandbox.put("in.tar", layout.tar());
    let report = listed(&sandbox, "in.tar");
    assert_eq!(report["indexes"], json!([]));
    let entries = list(&report, "entries").iter();
    let digests: Vec<&Value> = entries.map(|entry| &entry["digest"]).collect();
    assert_eq!(digests, [&one["digest"], &other["digest"]]);
    for entry in list(&report, "entries") {
        assert_eq!(entry["names"], json!(["example.com/app:v1"]));
    }
}

/// What a check refuses is refused, and what it does not is listed.
#[test]
fn the_exit_code_is_that_of_a_check() {
    let sandbox = Sandbox::new();
    let mut codes = BTreeSet::new();
    for Fault { name, bytes, .. } in faults() {
        sandbox.put("in.tar", &bytes);
        let check = sandbox.ocify(&["check", "in.tar", "--format", "json"]);
        let run = inspect(&sandbox, &["in.tar", "--format", "json"]);
        let report = parse_inspect(&run.stdout);
        let expected = i32::from(check.code == 1);
        assert_eq!(run.code, expected, "{name}: {}", run.stderr);
        let status = if run.code == 0 { "listed" } else { "failed" };
        assert_eq!(report["status"], status, "{name}");
        let check: Value = serde_json::from_str(&check.stdout).unwrap();
        assert_eq!(report["error"]["code"], check["error"]["code"], "{name}");
        codes.insert(run.code);
    }
    assert_eq!(codes.len(), 2);
    let cut = right_layout().tar();
    sandbox.put("cut.tar", &cut[..cut.len() / 2]);
    inspect(&sandbox, &["cut.tar"]).exits(1);
    inspect(&sandbox, &["none.tar"]).exits(1);
    inspect(&sandbox, &[]).exits(2);
    for option in ["--for", "--force", "-o", "--fail-on", "--in-place"] {
        inspect(&sandbox, &["cut.tar", option]).exits(2);
    }
}

/// A damaged layer is found if it is to be read, and what the archive lists is shown nevertheless.
#[test]
fn layers_are_verified_on_request() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "layer")]));
    layout.root(vec![named(image, "example.com/app:v1")]);
    let mut entries = layout.entries();
    let longest = entries
        .iter_mut()
        .filter(|entry| entry.data.starts_with(b"\x1f\x8b"));
    longest.for_each(|entry| *entry.data.last_mut().unwrap() ^= 1);
    sandbox.put("in.tar", tar(&entries));
    inspect(&sandbox, &["in.tar"]).exits(0);
    let run = inspect(&sandbox, &["in.tar", "--verify", "digests"]).exits(1);
    assert!(
        run.stdout.starts_with("in.tar: example.com/app:v1"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    sandbox.put("in.tar", layout.tar());
    let run = inspect(&sandbox, &["in.tar", "--verify", "digests"]).exits(0);
    assert!(run.stdout.contains("3 blobs"), "{}", run.stdout);
    assert!(run.stdout.contains(" verified\n"), "{}", run.stdout);
}

#[test]
fn lines_fit_80_columns_and_names_are_escaped() {
    let sandbox = Sandbox::new();
    for name in fixtures() {
        let shown = inspect(&sandbox, &[fixture(&name).to_str().unwrap()]);
        let shown = shown.exits(0).stdout;
        // The first line has the path, and may have many names.
        for line in shown.lines().skip(1) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
    let mut layout = Layout::new();
    let mut image = layout.image(&Image::oci(vec![Layer::new(
        "a\u{1b}[31m/\u{202e}",
        b"x".to_vec(),
        b"x",
    )]));
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "v1\u{1b}]0;x\u{7}\n"});
    layout.root(vec![image]);
    sandbox.put("a\n.tar", layout.tar());
    let run = inspect(&sandbox, &["a\n.tar"]);
    let plain = |text: &str| {
        text.chars()
            .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
    };
    assert!(plain(&run.stdout), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("tag v1\\u{1b}]0;x\\u{7}\\u{a}, without a name\n"),
        "{}",
        run.stdout
    );
    let json = inspect(&sandbox, &["a\n.tar", "--format", "json"]).stdout;
    assert!(plain(&json), "{json}");
}

#[test]
fn all_shows_the_digests_of_layers() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let layers = (0..40).map(|number| Layer::gzip(OCI_GZIP, &number.to_string()));
    let image = layout.image(&Image::oci(layers.collect()));
    layout.root(vec![named(image, "example.com/app:v1")]);
    sandbox.put("in.tar", layout.tar());
    let report = listed(&sandbox, "in.tar");
    let layers = list(&report["manifests"][0], "layers");
    let short = inspect(&sandbox, &["in.tar"]).exits(0).stdout;
    assert!(short.contains("    and 8 more\n"), "{short}");
    for option in ["--all", "-v"] {
        let full = inspect(&sandbox, &["in.tar", option]).exits(0).stdout;
        for layer in layers {
            for line in [
                format!("  digest {}\n", text(&layer["digest"])),
                format!("  diffID {}\n", text(&layer["diff_id"])),
            ] {
                assert!(full.contains(&line), "{line}");
                assert!(!short.contains(&line), "{line}");
            }
        }
    }
}

#[test]
fn caches_and_artifacts_are_listed() {
    let sandbox = Sandbox::new();
    for name in [
        "buildkit-cache-manifest-ocitrue",
        "buildkit-cache-list-ocifalse",
    ] {
        let input = fixture(name);
        let report = listed(&sandbox, input.to_str().unwrap());
        assert_eq!(report["cache"], true);
        let shown = inspect(&sandbox, &[input.to_str().unwrap()])
            .exits(0)
            .stdout;
        assert!(shown.contains(": a BuildKit cache, 6 blobs ("), "{shown}");
        assert!(shown.contains("\n  cache: "), "{shown}");
    }
    let mut layout = Layout::new();
    let empty = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let artifact = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note", "config": empty, "layers": [empty]});
    let artifact = layout.document(OCI_MANIFEST, &artifact);
    layout.root(vec![artifact]);
    sandbox.put("in.tar", layout.tar());
    let report = listed(&sandbox, "in.tar");
    assert_eq!(report["manifests"][0]["kind"], "artifact");
    assert_eq!(
        report["manifests"][0]["artifact_type"],
        "application/x-note"
    );
    let shown = inspect(&sandbox, &["in.tar"]).exits(0).stdout;
    assert!(
        shown.starts_with("in.tar: no image, 1 artifact\n"),
        "{shown}"
    );
}

#[test]
fn compressed_archives_and_standard_input_are_listed_alike() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in.tar", "docker20-save.tar");
    let plain = listed(&sandbox, "in.tar");
    let bytes = fs::read(sandbox.path("in.tar")).unwrap();
    sandbox.put("in.tar.gz", crate::common::builder::gzip(&bytes));
    let mut compressed = listed(&sandbox, "in.tar.gz");
    assert_eq!(compressed["compression"], "gzip");
    let mut command = sandbox.command();
    command.args(["inspect", "-", "--format", "json"]);
    let run = pipe(&mut command, &bytes);
    let mut piped = parse_inspect(std::str::from_utf8(&run.out).unwrap());
    assert!(piped["spooled"].is_string());
    for report in [&mut compressed, &mut piped] {
        for key in ["input", "compression", "spooled"] {
            report[key] = plain[key].clone();
        }
        assert_eq!(*report, plain);
    }
}

#[test]
fn each_input_of_a_tree_has_a_line() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a.tar", "docker20-save.tar");
    put_fixture(&sandbox, "in/deep/b.tar", "buildkit-oci-zstd-ocitrue.tar");
    right_layout().write_to(&sandbox.path("in/layout"));
    put(&sandbox, "in/other.tar", tar(&[Entry::file("a", "b")]));
    put(&sandbox, "in/note.txt", "text");
    let json = ["in", "--format", "json"];
    let (items, summary) = parse_inspects(&inspect(&sandbox, &json).exits(0).stdout);
    assert_eq!(
        summary["items"],
        json!({"total": 4, "listed": 3, "skipped": 1, "failed": 0, "unfinished": 0})
    );
    assert_eq!(summary["others"], 1);
    for input in ["in/a.tar", "in/deep/b.tar", "in/layout"] {
        let mut line = items[input].clone();
        for key in ["type", "bytes", "seconds"] {
            line.as_object_mut().unwrap().shift_remove(key).unwrap();
        }
        assert_eq!(line, listed(&sandbox, input), "{input}");
    }
    let shown = inspect(&sandbox, &["in"]).exits(0).stdout;
    let line = "listed    in/deep/b.tar: example.com/app:v1, linux/amd64, 4 layers (zstd), ";
    assert!(shown.contains(line), "{shown}");
    let cut = right_layout().tar();
    put(&sandbox, "in/cut.tar", &cut[..cut.len() / 2]);
    let run = inspect(&sandbox, &["in"]).exits(1);
    assert!(
        run.stdout.contains("failed    in/cut.tar: "),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("cut.tar"), "{}", run.stderr);
}
