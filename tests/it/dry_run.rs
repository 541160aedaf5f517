//! A dry run reports what the run does, for every kind of output. It does not know digests that depend on layers
//! which would be recompressed, and does not print others in their place.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_ZSTD, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_TAR, OCI_ZSTD,
    REF_NAME, annotated, digest_of, layer_tar, named, on, zstd,
};
use crate::common::evidence::{attestation, evidence};
use crate::common::piped::pipe;
use crate::common::runner::{Sandbox, run};
use crate::common::saved::Saved;
use crate::common::{fixture, fixtures, recent_fixtures, tree};

const NAME: &str = "docker.io/library/app:v1";

const WAYS: [&[&str]; 5] = [
    &["-o", "out.tar"],
    &["-o", "out", "--layout"],
    &["-o", "out.tar", "--verify", "documents"],
    &["-o", "-"],
    &["--in-place"],
];

const COMPRESSED: [&[&str]; 2] = [&["-o", "out.tar.gz"], &["-o", "out.tzst"]];

/// What a dry run and the run itself reported.
struct Both {
    dry: (i32, Value),
    wet: (i32, Value),
}

/// Runs both for one input.
fn both(input: &Path, options: &[&str]) -> Both {
    let sandbox = Sandbox::new();
    let input = match input.is_dir() {
        true => input.to_owned(),
        false => sandbox.put("in.tar", fs::read(input).unwrap()),
    };
    let reported = |more: &[&str]| {
        let mut command = sandbox.command();
        command.arg("fix").arg(&input).args(options).args(more);
        let run = run(command.args(["--format", "json"]));
        (run.code, run.json())
    };
    let dry = reported(&["--dry-run"]);
    Both {
        dry,
        wet: match options.contains(&"-") {
            true => to_stream(&sandbox, &input, options),
            false => reported(&[]),
        },
    }
}

/// A run that writes an archive to standard output, and the report to standard error.
fn to_stream(sandbox: &Sandbox, input: &Path, options: &[&str]) -> (i32, Value) {
    let mut command = Command::new("/bin/sh");
    let script = r#"exec "$0" fix "$@" --format json 3>&1 >out.tar 2>&3"#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_ocify")]);
    command.arg(input).args(options).current_dir(sandbox.root());
    let run = run(&mut command);
    (run.code, run.json())
}

/// Compares a dry run and the run of every fixture, for these kinds of output. Returns how the runs ended, and how many
/// digests were not known.
fn compare_all(ways: &[&[&str]], options: &[&str]) -> (BTreeSet<String>, usize) {
    let mut ends = BTreeSet::new();
    let mut unknown = 0;
    for name in fixtures().into_iter().chain(recent_fixtures()) {
        for way in ways {
            if fixture(&name).is_dir() && **way == ["--in-place"] {
                continue;
            }
            let both = both(&fixture(&name), &[way, options].concat());
            unknown += both.compare(&format!("{name} {way:?} {options:?}"));
            ends.insert(both.wet.1["status"].as_str().unwrap().to_owned());
        }
    }
    (ends, unknown)
}

#[test]
fn a_dry_run_reports_what_the_run_does() {
    let (ends, unknown) = compare_all(&[&WAYS[..], &COMPRESSED].concat(), &[]);
    let ends: Vec<String> = ends.into_iter().collect();
    assert_eq!(ends, ["failed", "fixed", "unchanged"]);
    assert_eq!(unknown, 0);
}

#[test]
fn a_dry_run_without_attestations_reports_what_the_run_does() {
    assert_eq!(compare_all(&WAYS, &["--attestations", "drop"]).1, 0);
}

#[test]
fn a_dry_run_with_docker_types_reports_what_the_run_does() {
    assert_eq!(compare_all(&WAYS, &["--oci-mediatypes=false"]).1, 0);
}

#[test]
fn a_dry_run_that_would_compress_with_gzip_reports_what_the_run_does() {
    assert!(compare_all(&WAYS, &["--compression", "gzip"]).1 > 100);
}

#[test]
fn a_dry_run_that_would_compress_with_zstd_reports_what_the_run_does() {
    assert!(compare_all(&WAYS, &["--compression", "zstd"]).1 > 100);
}

#[test]
fn a_dry_run_for_an_engine_reports_what_the_run_does() {
    assert!(compare_all(&WAYS, &["--for", "docker@20.10"]).1 > 100);
}

/// An image with evidence of all kinds, also under other names and in an index.
fn with_evidence(image: &Image) -> Layout {
    let mut layout = Layout::new();
    let app = layout.image(image);
    let about = attestation(&mut layout, &app);
    let other = layout.image(&image.clone().architecture("arm64"));
    let index = vec![
        on(app.clone(), "linux", "amd64"),
        on(other, "linux", "arm64"),
        about,
    ];
    let index = layout.index_of(OCI_INDEX, index);
    let of_app = evidence(&mut layout, &app);
    let of_index = evidence(&mut layout, &index);
    // An image whose tag is made of the digest of another.
    let hex = digest_of(&app).replace("sha256:", "");
    let note = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "note")]));
    let note = named(note, &format!("docker.io/library/app:sha256-{hex}"));
    let digest = digest_of(&app);
    let pinned = annotated(app, &[(REF_NAME, &format!("example.com/app@{digest}"))]);
    let entries = [named(index, NAME), pinned, note].into_iter();
    layout.root(entries.chain(of_app).chain(of_index).collect());
    layout
}

/// Archives in which other things depend on the digests of manifests.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let docker = Image::docker(vec![
        Layer::zstd(DOCKER_ZSTD, "a"),
        Layer::gzip(DOCKER_GZIP, "b"),
    ]);
    let oci = Image::oci(vec![
        Layer::zstd(OCI_ZSTD, "a"),
        Layer::gzip(OCI_GZIP, "b"),
        Layer::plain(OCI_TAR, "c"),
    ]);
    let mut flat = Layout::new();
    let entries = ["amd64", "arm64"].map(|architecture| {
        let image = flat.image(&oci.clone().architecture(architecture));
        named(on(image, "linux", architecture), NAME)
    });
    flat.root(entries.to_vec());
    // Two images that become one: the same layer in one frame and in two.
    let mut twice = Layout::new();
    let plain = layer_tar("same");
    let entries = [0, 512].map(|frame| {
        let (first, second) = plain.split_at(frame);
        let bytes = [zstd(first), zstd(second)].concat();
        let image = Image::oci(vec![Layer::new(OCI_ZSTD, bytes, &plain)]);
        named(
            twice.image(&image),
            &format!("docker.io/library/app:{frame}"),
        )
    });
    twice.root(entries.to_vec());
    let mut saved = Saved::new();
    saved.docker(&docker, json!(["app:v1"]));
    vec![
        ("docker's types and evidence", with_evidence(&docker).tar()),
        ("oci types and evidence", with_evidence(&oci).tar()),
        ("platforms side by side", flat.tar()),
        ("two that become one", twice.tar()),
        ("a docker archive", saved.tar()),
    ]
}

#[test]
fn what_depends_on_recompressed_layers_is_reported() {
    let options: [&[&str]; 6] = [
        &[],
        &["--compression", "gzip"],
        &["--compression=gzip", "--platform=linux/amd64", "--unwrap"],
        &["--compression", "zstd"],
        &["--compression", "uncompressed"],
        &["--for", "docker@20.10"],
    ];
    let mut rules: BTreeSet<String> = BTreeSet::new();
    for (name, bytes) in inputs() {
        let sandbox = Sandbox::new();
        let input = sandbox.put("in.tar", bytes);
        for options in options {
            for way in WAYS {
                let both = both(&input, &[way, options].concat());
                both.compare(&format!("{name} {way:?} {options:?}"));
                let changes = both.dry.1["changes"].as_array().unwrap().iter();
                let pending = changes.filter(|change| change["pending"] == true);
                rules.extend(pending.map(|change| change["rule"].as_str().unwrap().to_owned()));
                if !options.is_empty() {
                    let findings = both.dry.1["findings"].as_array().unwrap().iter();
                    rules.extend(findings.map(|found| found["rule"].as_str().unwrap().to_owned()));
                }
            }
        }
    }
    for rule in [
        "attestation-link",
        "descriptor",
        "recompressed",
        "referrers-tag",
        "subject",
        "unwrapped",
        "moved-referrer",
        "stale-digest-name",
        "stale-signature",
        "stale-statement",
    ] {
        assert!(rules.contains(rule), "{rule}: {rules:?}");
    }
}

#[test]
fn the_text_of_a_dry_run_says_which_digests_are_not_known() {
    let sandbox = Sandbox::new();
    sandbox.put(
        "in.tar",
        with_evidence(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "a")])).tar(),
    );
    let line = ["fix", "in.tar", "--dry-run", "-v", "--compression", "gzip"];
    let text = sandbox.ocify(&line).exits(3).stdout;
    let report = sandbox.ocify(&[&line[..3], &line[4..], &["--format", "json"]].concat());
    for change in report.exits(3).json()["digests"].as_array().unwrap() {
        let before = change["before"].as_str().unwrap();
        assert_eq!(change["after"], Value::Null);
        assert!(text.contains(&format!("    {before} → known after recompression\n")));
    }
    // Also in the map of digests.
    let line = [&line[..3], &line[4..], &["--digest-map", "map.jsonl"]].concat();
    sandbox.ocify(&line).exits(3);
    let map = String::from_utf8(sandbox.read("map.jsonl")).unwrap();
    let lines: Vec<Value> = map
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines.len() >= 3 && lines.iter().all(|line| line["after"].is_null()),
        "{map}"
    );
}

/// Nothing but the first bytes of layers is decompressed.
#[test]
fn a_dry_run_decompresses_no_layers() {
    let plain = layer_tar("a");
    let mut layer = Layer::zstd(OCI_ZSTD, "a");
    // The frame is complete, and then there is something else.
    layer.bytes.extend(b"damaged");
    layer.diff_id = Layer::new(OCI_ZSTD, Vec::new(), &plain).diff_id;
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", Layout::of(&Image::oci(vec![layer]), NAME).tar());
    let line = ["fix", "in.tar", "-o", "out.tar", "--compression", "gzip"];
    sandbox
        .ocify(&[&line[..], &["--dry-run"]].concat())
        .exits(3);
    let with_layers = [&line[..], &["--dry-run", "--verify", "full"]].concat();
    sandbox.ocify(&with_layers).exits(1);
    sandbox.ocify(&line).exits(1);
}

#[test]
fn a_dry_run_of_a_stream_reports_what_the_run_does() {
    for name in fixtures() {
        if fixture(&name).is_dir() {
            continue;
        }
        let sandbox = Sandbox::new();
        let reported = |line: &str| {
            let script = format!("exec \"$0\" fix - {line} --format json < \"$1\"");
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_ocify")]);
            command.arg(fixture(&name)).current_dir(sandbox.root());
            let run = run(&mut command);
            (run.code, run.json())
        };
        for options in ["", "--for docker@20.10"] {
            let both = Both {
                dry: reported(&format!("-o - --dry-run {options}")),
                wet: reported(&format!("-o - {options} 3>&1 >out.tar 2>&3")),
            };
            both.compare(&format!("{name} {options}"));
        }
    }
}

/// The SHA-256 digests in a text, in hexadecimal.
fn digests_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit());
    words.filter(|word| word.len() == 64).collect()
}

/// The items of a list in a report.
fn list<'r>(report: &'r Value, key: &str) -> &'r Vec<Value> {
    report[key].as_array().unwrap()
}

impl Both {
    /// Compares the reports and exit codes. Returns how many values were not known before.
    fn compare(&self, what: &str) -> usize {
        let (dry, wet) = (&self.dry.1, &self.wet.1);
        for key in ["findings", "error", "severity", "spooled", "dropped"] {
            assert_eq!(dry[key], wet[key], "{what}: {key}");
        }
        let mut unknown = 0;
        for key in ["changes", "digests", "images"] {
            let (dry, wet) = (list(dry, key), list(wet, key));
            let rules = |list: &Vec<Value>| -> Vec<String> {
                let shown = list.iter();
                shown
                    .map(|item| format!("{} {}", item["rule"], item["location"]))
                    .collect()
            };
            assert_eq!(rules(dry), rules(wet), "{what}: {key}");
            for (dry, wet) in dry.iter().zip(wet) {
                unknown += compare_item(dry, wet, &format!("{what}: {key}"));
            }
        }
        // No digest is printed that the output will not have.
        let texts = [dry, wet].map(Value::to_string);
        let [printed, known] = texts.each_ref().map(|text| digests_in(text));
        assert!(printed.is_subset(&known), "{what}: {dry:#}");
        let changes = list(wet, "changes");
        let is_needed =
            |change: &Value| change["severity"] == "breaks" || change["requested"] == true;
        let expected = match (self.wet.0, changes.iter().any(is_needed)) {
            (0, true) => 3,
            (code, _) => code,
        };
        assert_eq!(self.dry.0, expected, "{what}");
        unknown
    }
}

/// Compares a change, a digest or an image. What is not known is null, and the run knows it.
fn compare_item(dry: &Value, wet: &Value, what: &str) -> usize {
    let mut dry = dry.clone();
    let is_change = dry.get("rule").is_some();
    let key = match dry.get("before") {
        Some(_) => "after",
        None => "digest",
    };
    let is_unknown = match is_change {
        true => dry["pending"] == true,
        false => dry[key].is_null(),
    };
    if is_unknown {
        let value = wet[key]
            .as_str()
            .unwrap_or_else(|| panic!("{what}: {wet:#}"));
        assert_eq!(digests_in(value).len(), 1, "{what}: {wet:#}");
        match dry["rule"].as_str() {
            Some("recompressed") => {
                let known = dry["after"].as_str().unwrap();
                assert!(
                    value.starts_with(&format!("{known} sha256:")),
                    "{what}: {value}"
                );
            }
            _ => assert_eq!(dry[key], Value::Null, "{what}"),
        }
        dry[key] = wet[key].clone();
        if is_change {
            dry["pending"] = json!(false);
        }
    }
    if let (Some(names), Some(all)) = (dry.get("names"), wet["names"].as_array()) {
        // A name that contains an unknown digest is absent.
        let names = names.as_array().unwrap();
        assert!(
            names.iter().all(|name| all.contains(name)),
            "{what}: {dry:#}"
        );
        let absent = all.iter().filter(|name| !names.contains(name));
        let mut absent = absent.map(|name| name.as_str().unwrap());
        assert!(
            absent.all(|name| name.contains(":sha256-")),
            "{what}: {wet:#}"
        );
        dry["names"] = wet["names"].clone();
    }
    assert_eq!(dry, *wet, "{what}");
    usize::from(is_unknown)
}

/// Outputs that exist, that are the input or inside it, and those whose directory does not exist or is not a directory.
#[test]
fn outputs_that_the_run_refuses_are_refused() {
    let sandbox = Sandbox::new();
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]);
    let layout = Layout::of(&image, "docker.io/library/a:1");
    let bytes = layout.tar();
    sandbox.put("in.tar", &bytes);
    sandbox.put("old.tar", "old");
    layout.write_to(&sandbox.path("layout"));
    layout.write_to(&sandbox.path("out/a_1"));
    sandbox.put("out/in.tar", "old");
    sandbox.put("out/a_1.tar", "old");
    let cases: [(&[&str], &str); 22] = [
        (&["fix", "in.tar", "-o", "old.tar"], "output-exists"),
        (&["fix", "in.tar", "-o", "out"], "output-exists"),
        (&["fix", "in.tar", "-o", "out", "--layout", "--force"], ""),
        (
            &["fix", "in.tar", "-o", "old.tar", "--layout"],
            "output-exists",
        ),
        (&["fix", "layout", "-o", "out/a_1"], "output-exists"),
        (
            &["fix", "in.tar", "-o", "in.tar", "--force"],
            "output-is-input",
        ),
        (
            &["fix", "layout", "-o", "layout/new.tar"],
            "output-in-input",
        ),
        (&["fix", "in.tar", "-o", "none/new.tar"], "parent-missing"),
        (&["fix", "in.tar", "-o", "none/new/"], "parent-missing"),
        (&["fix", "in.tar", "-o", "old.tar/"], "output-exists"),
        (&["fix", "in.tar", "-o", "old.tar/new/"], "io"),
        (&["fix", "in.tar", "-o", "layout/"], "output-exists"),
        (&["fix", "-", "-o", "old.tar"], "output-exists"),
        (&["fix", "in.tar", "-o", "old.tar", "--force"], ""),
        (
            &["merge", "in.tar", "layout", "-o", "old.tar"],
            "output-exists",
        ),
        (
            &["merge", "in.tar", "layout", "-o", "in.tar", "--force"],
            "output-is-input",
        ),
        (
            &["merge", "in.tar", "layout", "-o", "layout/x.tar"],
            "output-in-input",
        ),
        (
            &["merge", "in.tar", "layout", "-o", "none/x.tar"],
            "parent-missing",
        ),
        (&["split", "in.tar", "-o", "out"], "output-exists"),
        (
            &["split", "in.tar", "-o", "out", "--layout"],
            "output-exists",
        ),
        (&["split", "in.tar", "-o", "layout"], "output-exists"),
        (&["split", "in.tar", "-o", "out", "--force"], ""),
    ];
    let before = tree(sandbox.root());
    for (line, code) in cases {
        let reported = |more: &[&str]| {
            let mut command = sandbox.command();
            command.args(line).args(more).args(["--format", "json"]);
            let run = pipe(&mut command, &bytes);
            let report: Value = serde_json::from_slice(&run.out).unwrap();
            let report = match report.get("merged") {
                Some(merged) => merged.clone(),
                None => report,
            };
            (run.code, report["error"].clone(), run.err)
        };
        let dry = reported(&["--dry-run"]);
        assert!(tree(sandbox.root()) == before, "{line:?}");
        if code.is_empty() {
            assert!(dry.0 != 1 && dry.1.is_null(), "{line:?}: {dry:?}");
            continue;
        }
        assert_eq!(
            (dry.0, &dry.1["code"]),
            (1, &json!(code)),
            "{line:?}: {dry:?}"
        );
        assert_eq!(dry, reported(&[]), "{line:?}");
        assert!(tree(sandbox.root()) == before, "{line:?}");
    }
}
