//! What `ocify check` says makes engines load an archive does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_ZSTD, index, named, on,
};
use crate::common::runner::Sandbox;
use crate::common::schema::parse_check;
use crate::common::{fixture, fixtures};

const READERS: [&str; 8] = [
    "docker/graphdriver",
    "docker/containerd",
    "containerd",
    "podman",
    "skopeo/oci-archive",
    "skopeo/docker-archive",
    "k3s",
    "kind",
];

/// Two images, of which one has fewer diff IDs than layers, so that no engine loads it.
fn with_unloadable_image() -> Vec<u8> {
    let mut layout = Layout::new();
    let good = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "good")]));
    let bad = Image::oci(vec![Layer::gzip(OCI_GZIP, "1"), Layer::gzip(OCI_GZIP, "2")]);
    let mut manifest = layout.manifest(&bad);
    let mut config = bad.config();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    manifest["config"] = layout.document(OCI_CONFIG, &config);
    let bad = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![
        named(good, "example.com/app:v1"),
        named(bad, "example.com/other:v2"),
    ]);
    layout.tar()
}

/// An image, and an artifact that is listed like one.
fn with_artifact(image: &Image) -> Layout {
    let mut layout = Layout::new();
    let image = layout.image(image);
    let empty = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": empty,
        "layers": [empty],
    });
    let artifact = layout.document(OCI_MANIFEST, &artifact);
    layout.root(vec![
        named(image, "example.com/app:v1"),
        named(artifact, "example.com/other:v2"),
    ]);
    layout
}

/// An image of two platforms, one of which is absent, with a layer that old versions do not read.
fn with_two_faults() -> Vec<u8> {
    let mut layout = Layout::new();
    let here = layout.image(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "here")]));
    let mut other = here.clone();
    other["digest"] = format!("sha256:{}", "1".repeat(64)).into();
    let both = vec![on(here, "linux", "amd64"), on(other, "linux", "arm64")];
    let both = layout.document(OCI_INDEX, &index(OCI_INDEX, both));
    layout.root(vec![named(both, "example.com/app:v1")]);
    layout.tar()
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let gzip = Image::oci(vec![Layer::gzip(OCI_GZIP, "app")]);
    let zstd = Image::oci(vec![Layer::zstd(OCI_ZSTD, "app")]);
    let built = [
        ("unloadable image", with_unloadable_image()),
        ("artifact", with_artifact(&gzip).tar()),
        ("artifact, zstd", with_artifact(&zstd).tar()),
        ("two faults", with_two_faults()),
    ];
    let built = built.map(|(name, bytes)| (name.to_owned(), bytes));
    let archives = fixtures().into_iter().filter(|name| name.ends_with(".tar"));
    let archives = archives.map(|name| {
        let bytes = std::fs::read(fixture(&name)).unwrap();
        (name, bytes)
    });
    archives.chain(built).collect()
}

fn checked(sandbox: &Sandbox, input: &str, asked: &[&str]) -> (i32, Value) {
    let line = [&["check", input, "--format", "json"], asked].concat();
    let run = sandbox.ocify(&line);
    (run.code, parse_check(&run.stdout))
}

fn number(version: &Value) -> Vec<u32> {
    let parts = version.as_str().unwrap().split('.');
    parts.map(|part| part.parse().unwrap()).collect()
}

fn reader(verdict: &Value) -> String {
    let engine = verdict["engine"].as_str().unwrap();
    match verdict["store"].as_str() {
        Some(store) => format!("{engine}/{store}"),
        None => engine.to_owned(),
    }
}

fn is_good(verdict: &Value) -> bool {
    ["yes", "untagged", "choose"].contains(&verdict["loads"].as_str().unwrap())
}

/// Whether all versions of a verdict load the archive of another report.
fn all_load(report: &Value, verdict: &Value) -> bool {
    let of = |verdict: &Value, end: &str| number(&verdict["versions"][end]);
    let mut verdicts = report["verdicts"].as_array().unwrap().iter();
    verdicts.all(|other| {
        let is_other = reader(other) != reader(verdict)
            || of(other, "to") < of(verdict, "from")
            || of(verdict, "to") < of(other, "from");
        is_other || is_good(other)
    })
}

fn shell(sandbox: &Sandbox, command: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_ocify"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(sandbox.root());
    shell.env("PATH", program.parent().unwrap());
    let status = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command}");
}

const QUESTIONS: [&[&str]; 5] = [
    &[],
    &[
        "--for",
        "docker@20.10",
        "--for",
        "kind",
        "--for",
        "containerd@1.4",
    ],
    &[
        "--for",
        "docker",
        "--for",
        "containerd@1",
        "--for",
        "skopeo",
    ],
    &["--for", "podman", "--for", "k3s@1.28"],
    &[
        "--for",
        "docker/graphdriver",
        "--fail-on",
        "unloadable-image",
    ],
];

#[test]
fn the_command_that_fixes_it_makes_the_whole_check_pass() {
    let (mut commands, mut none) = (0, 0);
    for (name, bytes) in inputs() {
        for asked in QUESTIONS {
            let about = format!("{name} {asked:?}");
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let run = sandbox.ocify(&[&["check", "in.tar"], asked].concat());
            assert!([0, 3].contains(&run.code), "{about}: {run:#?}");
            let mut lines = run.stdout.lines();
            let command = lines.find_map(|line| line.strip_prefix("fix it: "));
            let number = run.stdout.matches("fix it").count();
            assert_eq!(number, usize::from(command.is_some()), "{about}");
            let Some(command) = command else {
                none += usize::from(run.code == 3);
                continue;
            };
            commands += 1;
            shell(&sandbox, command);
            let (code, report) = checked(&sandbox, "fixed.tar", asked);
            assert_eq!(code, 0, "{about}: {command}: {report:#}");
        }
    }
    assert!(commands > 50 && none > 5, "{commands} {none}");
}

#[test]
fn the_options_that_make_an_engine_load_it_do() {
    let mut kinds = BTreeSet::new();
    for (number, (name, bytes)) in inputs().into_iter().rev().enumerate() {
        let mut tried = BTreeSet::new();
        for asked in QUESTIONS {
            // Without a question there are many verdicts.
            if asked.is_empty() && number >= 6 {
                continue;
            }
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let (_, report) = checked(&sandbox, "in.tar", asked);
            for verdict in report["verdicts"].as_array().unwrap() {
                let options = verdict["after"]["options"].as_array().unwrap().iter();
                let options: Vec<&str> = options.map(|option| option.as_str().unwrap()).collect();
                let is_new = tried.insert((verdict["asked"].to_string(), options.join(" ")));
                if options.is_empty() || !is_new {
                    continue;
                }
                let about = format!("{name}: {verdict:#}");
                assert!(!is_good(&verdict["after"]), "{about}");
                let kind = options
                    .iter()
                    .copied()
                    .filter(|option| option.starts_with("--"));
                kinds.insert(kind.collect::<Vec<_>>().join(" "));
                let options: Vec<&str> = options
                    .iter()
                    .map(|option| {
                        option
                            .strip_prefix("NAME")
                            .map_or(*option, |_| "x.org/app:v1")
                    })
                    .collect();
                let options = [&options[..], &["--force"]].concat();
                sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
                let (code, after) = match verdict["asked"].as_str() {
                    Some(asked) => checked(&sandbox, "out.tar", &["--for", asked]),
                    None => (0, checked(&sandbox, "out.tar", &[]).1),
                };
                assert_eq!(code, 0, "{about}: {after:#}");
                assert!(all_load(&after, verdict), "{about}: {after:#}");
            }
        }
    }
    for kind in [
        "--for",
        "--name",
        "--name --for",
        "--image",
        "--image --for",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

/// Each of two engines needs something else, and one command is for both.
#[test]
fn one_command_names_all_engines_that_need_it() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", with_two_faults());
    let line = ["check", "in.tar", "--for", "docker@20.10", "--for", "kind"];
    let text = sandbox.ocify(&line).exits(3).stdout;
    let end = "\nfix it: ocify fix in.tar -o fixed.tar --for docker@20.10 --for kind\n";
    assert!(text.ends_with(end), "{text}");
}

/// An image without a name needs one that only the user knows.
#[test]
fn a_command_with_a_placeholder_is_not_one_that_fixes_it() {
    let sandbox = Sandbox::new();
    let bytes = std::fs::read(fixture("docker20-save-byid.tar")).unwrap();
    sandbox.put("in.tar", bytes);
    let line = ["check", "in.tar", "--for", "containerd"];
    let text = sandbox.ocify(&line).exits(3).stdout;
    let (_, last) = text.trim_end().rsplit_once('\n').unwrap();
    let (what, command) = last.split_once(" after: ").unwrap();
    assert!(what.starts_with("it loads in containerd "), "{text}");
    assert_eq!(command, "ocify fix in.tar -o fixed.tar --name NAME");
    assert!(!text.contains("fix it"), "{text}");
    shell(&sandbox, &command.replace("NAME", "example.com/app:v1"));
    let line = ["check", "fixed.tar", "--for", "containerd"];
    sandbox.ocify(&line).exits(0);
}

/// Versions are stated in ranges, none of which has a version that loads the archive before and after a fix.
#[test]
fn no_range_of_versions_has_one_of_which_something_else_is_true() {
    let mut ranges = 0;
    for (name, bytes) in inputs() {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let text = sandbox.ocify(&["check", "in.tar"]).stdout;
        let (_, report) = checked(&sandbox, "in.tar", &[]);
        // After the headline and the table.
        let rest: Vec<&str> = text.split("\n\n").skip(2).collect();
        let rest = rest.join(" ");
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.windows(2) {
            let Some((from, to)) = pair[1].split_once('–') else {
                continue;
            };
            assert!(READERS.contains(&pair[0]), "{name}: {pair:?}");
            let to = to.trim_end_matches([',', ':']);
            let (from, to) = (number(&json!(from)), number(&json!(to)));
            let verdicts = report["verdicts"].as_array().unwrap().iter();
            for verdict in verdicts.filter(|verdict| reader(verdict) == pair[0]) {
                let is_within = from <= number(&verdict["versions"]["from"])
                    && number(&verdict["versions"]["to"]) <= to;
                let is_plain = verdict["loads"] == "yes" && verdict["after"]["loads"] == "yes";
                assert!(!(is_within && is_plain), "{name}: {pair:?}: {text}");
            }
            ranges += 1;
        }
    }
    assert!(ranges > 100, "{ranges}");
}
