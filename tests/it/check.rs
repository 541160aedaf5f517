//! `ocify check`: verdicts, exit codes and JSON. What the text shows is in `check_text`.

use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, named, right_layout};
use crate::common::faults::faults;
use crate::common::piped::pipe;
use crate::common::runner::{Run, Sandbox};
use crate::common::schema::parse_check;
use crate::common::{fixture, fixtures, tree};

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";
const UNNAMED: &str = "buildkit-docker-noname-zstd-ocitrue.tar";

fn check(sandbox: &Sandbox, input: &str, more: &[&str]) -> (Run, Value) {
    let line = [&["check", input, "--format", "json"], more].concat();
    let run = sandbox.ocify(&line);
    let report = parse_check(&run.stdout);
    (run, report)
}

fn check_fixture(name: &str, more: &[&str]) -> (Run, Value) {
    check(&Sandbox::new(), fixture(name).to_str().unwrap(), more)
}

fn loads(report: &Value) -> Vec<&str> {
    let verdicts = report["verdicts"].as_array().unwrap().iter();
    verdicts
        .map(|verdict| verdict["loads"].as_str().unwrap())
        .collect()
}

#[test]
fn the_exit_code_says_whether_the_archive_loads_where_it_is_asked() {
    for (name, engines, code) in [
        (ZSTD, &["docker@28.0/graphdriver"][..], 0),
        (ZSTD, &["containerd@1.7"], 3),
        (ZSTD, &["docker@28.0/graphdriver", "containerd@1.7"], 3),
        // The containerd store of this version does not load it.
        (ZSTD, &["docker@26.1"], 3),
        (ZSTD, &["docker@26.1/graphdriver"], 0),
        // Nobody knows this version.
        (ZSTD, &["containerd@99.1"], 3),
        ("buildkit-docker-gzip-ocitrue.tar", &["containerd@1.7"], 0),
        ("docker26g-save.tar", &[], 0),
        ("buildkit-oci-zstd-ocitrue.tar", &[], 3),
    ] {
        let options: Vec<&str> = engines
            .iter()
            .flat_map(|engine| ["--for", engine])
            .collect();
        let (run, report) = check_fixture(name, &options);
        assert_eq!(run.code, code, "{name} {engines:?}: {report:#}");
        let status = if code == 0 { "passed" } else { "rejected" };
        assert_eq!(report["status"], status);
        assert_eq!(run.stderr, "");
    }
}

/// The makers of Docker 20.10 no longer support it, so without `--for` its verdict does not count.
#[test]
fn versions_without_support_count_only_if_they_are_named() {
    let name = "buildkit-docker-zstd-ocitrue.tar";
    let (run, report) = check_fixture(name, &[]);
    run.exits(0);
    let mut verdicts = report["verdicts"].as_array().unwrap().iter();
    let is_bad = |verdict: &&Value| verdict["loads"] == "no";
    let bad = verdicts.find(is_bad).unwrap();
    assert_eq!(bad["supported"], false);
    assert_eq!(bad["because"][0]["rule"], "zstd-layers");
    let asked = "docker@20.10.24/graphdriver";
    let (run, report) = check_fixture(name, &["--for", asked]);
    run.exits(3);
    assert_eq!(report["verdicts"][0]["asked"], asked);
}

#[test]
fn a_verdict_says_what_is_in_the_way_where_and_how_that_is_known() {
    let (_, report) = check_fixture(ZSTD, &["--for", "containerd@1.6.20"]);
    let expected = json!([{
        "asked": "containerd@1.6.20",
        "engine": "containerd",
        "store": null,
        "versions": {"from": "1.6.20", "to": "1.6.20"},
        "supported": false,
        "loads": "no",
        "names": [],
        "because": [{
            "rule": "layer-type",
            "location": "index.json, manifests[0], layers[0]",
            "place": {
                "document": "sha256:9aa53bb9d90f0b7c4f3583506598b2ab6cc685fc30f29b9a6793afb2af584e59",
                "path": "blobs/sha256/9aa53bb9d90f0b7c4f3583506598b2ab6cc685fc30f29b9a6793afb2af584e59",
                "pointer": "/layers/0/mediaType",
            },
            "count": 4,
            "message": "The media type of a zstd layer is not in any specification.",
            "says": ["no processor for media-type"],
            "evidence": "seen with 1.6.20",
        }],
        "after": {
            "loads": "yes",
            "names": ["example.com/app:v1"],
            "because": [],
            "options": [],
            "versions": {"from": "1.6.20", "to": "1.6.20"},
        },
    }]);
    assert_eq!(report["verdicts"], expected);
    let contents = &report["contents"][0];
    assert_eq!(contents["platform"], "linux/amd64");
    let layers = contents["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 4);
    for layer in layers {
        assert_eq!(layer["content"], "zstd");
        assert_eq!(
            layer["media_type"],
            "application/vnd.docker.image.rootfs.diff.tar.zstd"
        );
    }
    assert!(!report["changes"].as_array().unwrap().is_empty());
}

#[test]
fn other_things_fail_a_check_only_if_they_are_named() {
    let engine = ["--for", "docker@28.0/graphdriver"];
    let (run, report) = check_fixture(UNNAMED, &engine);
    run.exits(0);
    assert_eq!(loads(&report), ["untagged"]);
    for (fail_on, code) in [
        ("untagged", 3),
        ("choose", 0),
        // A finding of the dry run, and its severity.
        ("unnamed-image", 3),
        ("breaks", 3),
        ("warns", 0),
        ("missing-content", 0),
    ] {
        let (run, report) =
            check_fixture(UNNAMED, &[&engine[..], &["--fail-on", fail_on]].concat());
        assert_eq!(run.code, code, "{fail_on}: {report:#}");
        let expected: &[&str] = if code == 0 { &[] } else { &[fail_on] };
        assert_eq!(report["failed_on"], json!(expected), "{fail_on}");
    }
    // An obstacle counts where it is in the way, and a change wherever it would be made.
    let zstd = [
        "--for",
        "docker@28.0/graphdriver",
        "--fail-on",
        "layer-type",
    ];
    check_fixture(ZSTD, &zstd).0.exits(3);
    let both = ["--fail-on", "layer-type", "--fail-on", "choose"];
    let (run, report) = check_fixture(ZSTD, &both);
    run.exits(3);
    assert_eq!(report["failed_on"], json!(["layer-type"]));
}

#[test]
fn caches_have_no_verdict() {
    for name in [
        "buildkit-cache-list-ocifalse",
        "buildkit-cache-list-ocitrue",
        "buildkit-cache-manifest-ocitrue",
    ] {
        let (run, report) = check_fixture(name, &["--for", "docker"]);
        let run = run.exits(0);
        assert_eq!(report["verdicts"], json!([]), "{name}");
        assert_eq!(run.stderr, "");
        let path = fixture(name);
        let text = Sandbox::new().ocify(&["check", path.to_str().unwrap()]);
        let text = text.exits(0).stdout;
        assert!(text.contains("a BuildKit cache\n"), "{text}");
        assert!(text.contains("\nno verdict: "), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_with_a_report() {
    let sandbox = Sandbox::new();
    let mut failed = 0;
    for fault in faults() {
        sandbox.put("in.tar", &fault.bytes);
        let before = tree(sandbox.root());
        let verify = ["--verify", "full"];
        let (run, report) = check(&sandbox, "in.tar", &verify);
        let line = ["fix", "in.tar", "--dry-run", "--format", "json"];
        let dry_run = sandbox.ocify(&[&line[..], &verify].concat());
        assert_eq!(dry_run.code == 1, run.code == 1, "{}: {run:#?}", fault.name);
        assert!(tree(sandbox.root()) == before);
        assert_eq!(dry_run.json()["error"], report["error"], "{}", fault.name);
        if run.code == 1 {
            failed += 1;
            assert_eq!(report["status"], "failed", "{}", fault.name);
            assert_eq!(report["verdicts"], json!([]));
            assert!(run.stderr.starts_with("error: "), "{run:#?}");
        }
    }
    assert!(failed > 5, "{failed}");
    let (run, report) = check(&sandbox, "none.tar", &[]);
    run.exits(1);
    assert_eq!(report["error"]["class"], "io");
    let run = sandbox.ocify(&["check", "none.tar"]).exits(1);
    assert_eq!(run.stdout, "");
}

/// Layers are read only if that is asked for.
#[test]
fn damaged_layers_are_found_with_verify() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "content")]));
    layout.root(vec![named(image, "docker.io/library/app:v1")]);
    let layer = layout
        .blobs
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b]));
    let (_, bytes) = layer.unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    sandbox.put("app.tar", layout.tar());
    let engine = ["--for", "containerd@1.7"];
    check(&sandbox, "app.tar", &engine).0.exits(0);
    let documents = [&engine[..], &["--verify", "documents"]].concat();
    check(&sandbox, "app.tar", &documents).0.exits(0);
    for level in ["digests", "full"] {
        let line = [&engine[..], &["--verify", level]].concat();
        let (run, report) = check(&sandbox, "app.tar", &line);
        run.exits(1);
        assert_eq!(report["error"]["code"], "digest-mismatch");
    }
    sandbox.put("app.tar", right_layout().tar());
    let (run, report) = check(&sandbox, "app.tar", &["--verify", "digests"]);
    run.exits(0);
    assert!(report["blobs"]["verified"]["layers"].as_u64() > Some(0));
}

#[test]
fn standard_input_is_kept_in_a_temporary_file_and_that_is_said() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["check", "-", "--format", "json"]);
    let bytes = fs::read(fixture(ZSTD)).unwrap();
    let piped = pipe(&mut command, &bytes).exits(0);
    let report = parse_check(&String::from_utf8(piped.out).unwrap());
    let (_, expected) = check_fixture(ZSTD, &[]);
    assert_eq!(report["verdicts"], expected["verdicts"]);
    assert!(report["spooled"].is_string(), "{report:#}");
    let err = piped.err;
    assert!(err.starts_with("storing standard input in "), "{err}");
    assert!(sandbox.names().is_empty());
}

/// The verdict of a version, by engine and store.
fn verdict_of<'a>(report: &'a Value, like: &Value) -> &'a Value {
    let number = |version: &Value| {
        let parts = version.as_str().unwrap().split('.');
        parts
            .map(|part| part.parse().unwrap())
            .collect::<Vec<u32>>()
    };
    let wanted = number(&like["versions"]["from"]);
    let mut verdicts = report["verdicts"].as_array().unwrap().iter();
    let found = verdicts.find(|verdict| {
        let (from, to) = (&verdict["versions"]["from"], &verdict["versions"]["to"]);
        verdict["engine"] == like["engine"]
            && verdict["store"] == like["store"]
            && number(from) <= wanted
            && wanted <= number(to)
    });
    found.unwrap()
}

/// What a check says of the fixed archive is what it says of the archive that fix writes.
#[test]
fn the_verdict_after_a_fix_is_that_of_the_fixed_archive() {
    for name in fixtures() {
        let sandbox = Sandbox::new();
        let input = fixture(&name);
        let (before, report) = check(&sandbox, input.to_str().unwrap(), &[]);
        sandbox.fix(&input, "fixed.tar").exits(0);
        let (after, fixed) = check(&sandbox, "fixed.tar", &[]);
        assert_eq!(fixed["changes"], json!([]), "{name}");
        let mut all_good = true;
        for verdict in report["verdicts"].as_array().unwrap() {
            let found = verdict_of(&fixed, verdict);
            let promised = &verdict["after"];
            assert_eq!(promised["loads"], found["loads"], "{name}: {verdict:#}");
            assert_eq!(promised["names"], found["names"], "{name}: {verdict:#}");
            let rules = |verdict: &Value| -> Vec<(Value, Value)> {
                let because = verdict["because"].as_array().unwrap().iter();
                let rules = because.map(|reason| (reason["rule"].clone(), reason["count"].clone()));
                rules.collect()
            };
            assert_eq!(rules(promised), rules(found), "{name}: {verdict:#}");
            let is_bad = ["no", "partly"].contains(&promised["loads"].as_str().unwrap());
            all_good &= verdict["supported"] == json!(false) || !is_bad;
        }
        assert_eq!(after.code, if all_good { 0 } else { 3 }, "{name}");
        assert!([0, 3].contains(&before.code), "{name}");
        // The command of the last line is there if and only if it makes the difference.
        let text = Sandbox::new();
        let shown = text.ocify(&["check", input.to_str().unwrap()]).stdout;
        if before.code == 3 && after.code == 0 {
            let last = shown.lines().last().unwrap();
            let command = format!("fix it: ocify fix {} -o fixed.tar", input.display());
            assert_eq!(last, command, "{name}");
        } else if before.code == 3 {
            let last = format!("fix it: ocify fix {} -o fixed.tar\n", input.display());
            assert!(!shown.contains(&last), "{name}: {shown}");
        } else {
            assert!(
                shown.contains("\nloads as it is ") || shown.contains("\nno verdict: "),
                "{shown}"
            );
        }
    }
}

/// A directory is judged as the archive that it would be.
#[test]
fn a_layout_directory_has_the_verdicts_of_its_archive() {
    let sandbox = Sandbox::new();
    right_layout().write_to(&sandbox.path("layout"));
    sandbox.put("layout.tar", right_layout().tar());
    let (_, directory) = check(&sandbox, "layout", &[]);
    let (_, archive) = check(&sandbox, "layout.tar", &[]);
    assert_eq!(directory["verdicts"], archive["verdicts"]);
    assert_ne!(directory["verdicts"], json!([]));
}

#[test]
fn options_about_outputs_and_changes_are_refused() {
    let sandbox = Sandbox::new();
    let help = sandbox.ocify(&["check", "--help"]).exits(0).stdout;
    for option in [
        "--output=x",
        "--in-place",
        "--dry-run",
        "--strict",
        "--force",
        "--name=app",
        "--compression=gzip",
        "--metadata-file=m",
        "--missing=prune",
        "--report=r",
        "--oci-mediatypes",
    ] {
        let run = sandbox.ocify(&["check", "none.tar", option]);
        let run = run.exits(2);
        assert_eq!(run.stdout, "");
        let name = option.split('=').next().unwrap();
        assert!(run.stderr.contains(name), "{option}: {}", run.stderr);
        assert!(
            !help.contains(&format!(" {name} ")),
            "{name} is in the help"
        );
    }
    for wrong in [
        &["check"][..],
        &["check", "none.tar", "--for", "lxc"],
        &["check", "none.tar", "--for", "docker@28.0/overlay2"],
        &["check", "none.tar", "--fail-on", "anything"],
        &["check", "none.tar", "--follow"],
        &["check", "none.tar", "--shard", "1/2"],
    ] {
        let run = sandbox.ocify(wrong).exits(2);
        assert_eq!(run.stdout, "", "{wrong:?}");
    }
}
