//! What `Check` says of engines. `tests/engines/predicted.rs` compares it with what engines did.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use ocify::{
    Check, Checked, Code, Engine, Fix, Form, Input, Judged, Loads, Obstacle, Output, Version,
};

use serde_json::Value;

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, named};
use crate::common::fixture;
use crate::common::runner::Sandbox;

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";

fn engine(text: &str) -> Engine {
    text.parse().unwrap()
}

fn check(name: &str, engines: &[&str]) -> Checked {
    let check = engines.iter().copied().map(engine);
    let check = check.fold(Check::new(Fix::new()), Check::engine);
    check.run(Input::open(fixture(name)).unwrap()).unwrap()
}

fn obstacles(judged: &Judged) -> Vec<Obstacle> {
    let because = judged.as_it_is.because.iter();
    because.map(|reason| reason.obstacle).collect()
}

#[test]
fn a_verdict_has_its_reason_and_evidence() {
    let checked = check(ZSTD, &["containerd@1.6"]);
    let [judged] = &checked.verdicts[..] else {
        panic!("{checked:?}");
    };
    assert_eq!(judged.as_it_is.loads, Loads::No);
    assert!(judged.is_bad());
    let [reason] = &judged.as_it_is.because[..] else {
        panic!("{judged:?}");
    };
    assert_eq!(reason.obstacle, Obstacle::LayerType);
    assert_eq!(
        reason.location.to_string(),
        "index.json, manifests[0], layers[0]"
    );
    assert_eq!(reason.says, ["no processor for media-type"]);
    assert_eq!(reason.evidence.to_string(), "seen with 1.6.20");
    assert_eq!(judged.fixed.loads, Loads::Yes);
    assert!(judged.fixed.because.is_empty());
}

#[test]
fn an_engine_without_a_store_has_a_verdict_for_each() {
    let checked = check(ZSTD, &["docker@26.1"]);
    let found: Vec<_> = checked
        .verdicts
        .iter()
        .map(|judged| (judged.reader.store(), judged.as_it_is.loads))
        .collect();
    let expected = [
        (Some("graphdriver"), Loads::Yes),
        (Some("containerd"), Loads::No),
    ];
    assert_eq!(found, expected);
    let asked = checked.verdicts.iter().map(|judged| judged.asked);
    assert!(
        asked
            .into_iter()
            .all(|asked| asked == Some(engine("docker@26.1")))
    );
    assert_eq!(check(ZSTD, &["docker@26.1/containerd"]).verdicts.len(), 1);
}

#[test]
fn a_version_that_nobody_knows_has_no_verdict() {
    let checked = check("docker26g-save.tar", &["docker@99.1", "docker"]);
    let [first, second, third, fourth] = &checked.verdicts[..] else {
        panic!("{checked:?}");
    };
    for judged in [first, second] {
        assert_eq!(judged.as_it_is.loads, Loads::Unknown);
        assert!(judged.is_bad());
    }
    // Without a version, the newest one that is known is meant.
    for judged in [third, fourth] {
        assert_eq!(judged.as_it_is.loads, Loads::Yes);
        assert!(!judged.is_bad());
    }
}

#[test]
fn without_a_question_every_known_version_is_in_one_row() {
    let checked = check(ZSTD, &[]);
    for pair in checked.verdicts.windows(2) {
        let [one, other] = pair else { panic!() };
        let is_same = one.reader == other.reader
            && one.is_supported == other.is_supported
            && one.as_it_is == other.as_it_is
            && one.fixed == other.fixed;
        assert!(!is_same, "{one:?}");
        assert!(one.reader < other.reader || one.to < other.from, "{pair:?}");
    }
    let graph = checked.verdicts.iter();
    let graph: Vec<_> = graph
        .filter(|judged| judged.reader.store() == Some("graphdriver"))
        .collect();
    assert_eq!(obstacles(graph[0]), [Obstacle::ZstdLayer]);
    assert_eq!(graph[0].fixed.loads, Loads::No);
    assert!(
        graph[1..]
            .iter()
            .all(|judged| judged.as_it_is.loads == Loads::Yes)
    );
}

#[test]
fn an_archive_without_images_has_no_verdict() {
    let checked = check("buildkit-cache-manifest-ocitrue", &["docker@26.1"]);
    assert!(checked.verdicts.is_empty());
    assert!(!checked.summary.changes.is_empty() || checked.summary.images.is_empty());
}

#[test]
fn what_fix_refuses_is_an_error() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]));
    layout.root(vec![named(image.clone(), "example.com/app:v1")]);
    layout.blobs.clear();
    sandbox.put("bad.tar", layout.tar());
    let input = Input::open(sandbox.path("bad.tar")).unwrap();
    let error = Check::new(Fix::new()).run(input).unwrap_err();
    assert_eq!(error.code(), Code::MissingBlob);
}

/// The fixtures that are archives or layouts of images, and the inputs that real reports were about.
fn inputs() -> Vec<PathBuf> {
    let folders = [fixture(""), fixture("2026")];
    let all = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = all.map(|entry| entry.unwrap().path());
    let is_image = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        !name.starts_with("buildkit-cache") && name != "2026" && !name.ends_with(".md")
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_image).collect();
    paths.sort();
    paths
}

/// Engines and versions of each kind of reader.
pub(crate) const ENGINES: [&str; 30] = [
    "docker@20.10",
    "docker@24.0",
    "docker@26.1",
    "docker",
    "containerd@1.6",
    "containerd@1.7.24",
    "containerd",
    "podman@3.4",
    "podman@4.3",
    "podman",
    "skopeo@1.18",
    "skopeo",
    "k3s",
    "kind@0.16",
    "kind",
    "nerdctl",
    "k3d",
    "buildah@1.28",
    "buildah",
    "apptainer@1.3",
    "apptainer@1.4",
    "apptainer",
    "crane@0.12",
    "crane",
    "trivy",
    "umoci@0.4",
    "umoci",
    "oras",
    "regctl@0.4",
    "regctl",
];

/// What is fixed for an engine loads there, or the fix says why it cannot.
#[test]
fn what_is_fixed_for_an_engine_loads_there() {
    let (mut fixed, mut refused) = (0, BTreeMap::<String, u32>::new());
    for path in inputs() {
        if Fix::new()
            .plan_only(Input::open(&path).unwrap(), Form::default())
            .is_err()
        {
            continue;
        }
        for text in ENGINES {
            let mut output = Vec::new();
            let fix = Fix::new().engine(engine(text));
            let input = Input::open(&path).unwrap();
            let result = fix.run(input, Output::stream(&mut output)).map(drop);
            match result {
                Ok(_) => {
                    let check = Check::new(Fix::new()).engine(engine(text));
                    let checked = check.run(Input::stream(Cursor::new(output))).unwrap();
                    let bad = checked.verdicts.iter().find(|judged| judged.is_bad());
                    assert!(bad.is_none(), "{} for {text}: {bad:?}", path.display());
                    fixed += 1;
                }
                Err(error) => {
                    assert_eq!(
                        error.code(),
                        Code::EngineRefuses,
                        "{} for {text}: {error}",
                        path.display()
                    );
                    assert!(error.hint().is_some());
                    *refused
                        .entry(error.hint().unwrap().to_string())
                        .or_insert(0) += 1;
                }
            }
        }
    }
    assert!(fixed > 500, "{fixed}");
    // Nobody but the user can give a name, leave out an artifact, or choose a platform.
    let for_user = ["give it a name", "choose the other images", "platform"];
    let is_for_user = |hint: &String| for_user.iter().any(|text| hint.contains(text));
    assert!(
        refused.len() == 3 && refused.keys().all(is_for_user),
        "{refused:?}"
    );
}

/// The same of the other kinds of output. Each engine gets an archive of every third input, a layout of another third, and a fix
/// in place of the rest.
#[test]
fn every_kind_of_output_loads_in_the_engine_that_it_is_fixed_for() {
    let mut done = [0; 3];
    for (position, path) in inputs().into_iter().enumerate() {
        let preview = Fix::new().plan_only(Input::open(&path).unwrap(), Form::default());
        if preview.is_err() {
            continue;
        }
        for (number, text) in ENGINES.into_iter().enumerate() {
            let sandbox = Sandbox::new();
            let kind = match (position + number) % 3 {
                2 if path.is_dir() => 0,
                kind => kind,
            };
            let output = sandbox.path("output.tar");
            let fix = Fix::new().engine(engine(text));
            let result = match kind {
                0 => fix.run(Input::open(&path).unwrap(), Output::archive(&output)),
                1 => fix.run(Input::open(&path).unwrap(), Output::layout(&output)),
                _ => {
                    fs::copy(&path, &output).unwrap();
                    fix.run(Input::path(&output), Output::in_place())
                }
            };
            let about = format!("{} for {text}, kind {kind}", path.display());
            match result.map(drop) {
                Ok(_) => {
                    let check = Check::new(Fix::new()).engine(engine(text));
                    let checked = check.run(Input::open(&output).unwrap()).unwrap();
                    let bad = checked.verdicts.iter().find(|judged| judged.is_bad());
                    assert!(bad.is_none(), "{about}: {bad:?}");
                    done[kind] += 1;
                }
                Err(error) => {
                    let expected = [Code::EngineRefuses, Code::InPlaceRefused];
                    assert!(expected.contains(&error.code()), "{about}: {error}");
                    assert!(
                        kind == 2 || error.code() == Code::EngineRefuses,
                        "{about}: {error}"
                    );
                    assert!(error.hint().is_some(), "{about}: {error}");
                }
            }
        }
    }
    assert!(done.iter().all(|count| *count > 100), "{done:?}");
}

#[test]
fn an_engine_that_nobody_knows_is_refused() {
    let sandbox = Sandbox::new();
    let fix = Fix::new().engine(engine("docker@99"));
    let output = sandbox.path("out.tar");
    let error = fix
        .run(
            Input::open(fixture(ZSTD)).unwrap(),
            Output::archive(&output),
        )
        .unwrap_err();
    assert_eq!(error.code(), Code::EngineRefuses);
    let expected = "it is not known what docker@99 reads; the newest version of docker that is known is 29.7.2";
    assert_eq!(error.to_string(), expected);
    assert!(!output.exists());
}

#[test]
fn absent_platforms_are_left_out_for_an_engine_that_needs_all() {
    let name = "docker26c-save-pulledmulti.tar";
    for (text, is_needed) in [
        ("kind@0.16", false),
        ("kind", true),
        ("skopeo/oci-archive", true),
        ("podman", false),
    ] {
        let fix = Fix::new().engine(engine(text));
        let preview = fix
            .plan_only(Input::open(fixture(name)).unwrap(), Form::default())
            .unwrap();
        let mut rules = preview
            .summary
            .changes
            .iter()
            .map(|change| change.rule.name());
        assert_eq!(
            rules.any(|rule| rule == "absent-pruned"),
            is_needed,
            "{text}"
        );
    }
}

#[test]
fn a_remedy_makes_the_engine_load_the_archive() {
    let remedy = |name: &str, text: &str| {
        let checked = check(name, &[text]);
        let mut verdicts = checked.verdicts.into_iter();
        let bad = verdicts.find(|judged| !judged.fixed.loads.is_good());
        let bad = bad.unwrap_or_else(|| panic!("{name} loads in {text}"));
        (bad.remedy, checked.remedy)
    };
    let unnamed_zstd = "buildkit-docker-noname-zstd-ocitrue.tar";
    for (name, text, needs_name, has_engine) in [
        (ZSTD, "docker@20.10", false, true),
        ("docker26c-save-pulledmulti.tar", "kind", false, true),
        ("docker20-save-byid.tar", "containerd", true, false),
        (unnamed_zstd, "containerd@1.4", true, true),
    ] {
        let (of_one, of_all) = remedy(name, text);
        let found = of_one.clone().unwrap_or_else(|| panic!("{name} {text}"));
        assert_eq!(found.needs_name, needs_name, "{name} {text}");
        let engines = [engine(text)];
        let expected = if has_engine { &engines[..] } else { &[] };
        assert_eq!(found.engines, expected, "{name} {text}");
        assert_eq!(found.images, [], "{name} {text}");
        assert_eq!(of_all, of_one);
    }
    // Without a question it is the newest of the versions that fail.
    let checked = check(ZSTD, &[]);
    let first = checked.verdicts[0].remedy.as_ref().unwrap();
    assert_eq!(first.engines, [engine("docker@20.10.27/graphdriver")]);
    assert!(!first.is_empty());
    let mut verdicts = checked.verdicts.iter();
    assert!(verdicts.all(|judged| !judged.fixed.loads.is_good() || judged.remedy.is_none()));
    // A fix without options is enough for what counts.
    assert!(checked.remedy.unwrap().is_empty());
}

/// The versions are those of the verdict that is stated, which is the worst.
#[test]
fn the_versions_of_an_engine_are_those_with_the_worst_verdict() {
    let checked = check(ZSTD, &["containerd@1"]);
    let [judged] = &checked.verdicts[..] else {
        panic!("{checked:?}");
    };
    // Version 1.4 has no zstd, and those after it do not know the media type.
    assert_eq!(judged.fixed.because[0].obstacle, Obstacle::ZstdLayer);
    let versions = |range: Option<(Version, Version)>| {
        let (from, to) = range.unwrap();
        (from.to_string(), to.to_string())
    };
    let expected = ("1.4.0".to_owned(), "1.4.13".to_owned());
    assert_eq!(versions(judged.fixed_versions), expected);
    let alone = check(ZSTD, &["containerd@1.4.13", "containerd@1.5.0"]);
    let loads = |judged: &Judged| judged.fixed.loads;
    let alone: Vec<Loads> = alone.verdicts.iter().map(loads).collect();
    assert_eq!(alone, [Loads::No, Loads::Yes]);
    for version in [judged.from, judged.to] {
        let text = format!("containerd@{}", version.unwrap());
        let alone = check(ZSTD, &[&text]);
        let alone = &alone.verdicts[0];
        assert_eq!(obstacles(alone), obstacles(judged), "{text}");
        assert_eq!(alone.as_it_is.loads, judged.as_it_is.loads, "{text}");
    }
}

/// A row of the table is about every version in it.
#[test]
fn every_version_of_a_row_does_what_the_row_says() {
    let table: Value = serde_json::from_str(include_str!("../../docs/engines.json")).unwrap();
    let readers = table["engines"].as_array().unwrap();
    let mut compared = 0;
    for name in [
        "buildkit-docker-names-zstd-ocifalse.tar",
        "buildkit-oci-multi-zstd-ocifalse.tar",
        "docker20-save-names.tar",
        "docker26c-save-pulledmulti.tar",
    ] {
        let rows = check(name, &[]).verdicts;
        let is_judged = |known: &&Value| {
            let (engine, store) = (known["engine"].as_str(), known["store"].as_str());
            let mut rows = rows.iter();
            rows.any(|row| Some(row.reader.engine()) == engine && row.reader.store() == store)
        };
        for known in readers.iter().filter(is_judged) {
            let text = |key: &str| known[key].as_str().unwrap_or_default().to_owned();
            for version in known["versions"].as_array().unwrap() {
                let version = version.as_str().unwrap();
                let store = known["store"].as_str().map(|store| format!("/{store}"));
                let asked = format!("{}@{version}{}", text("engine"), store.unwrap_or_default());
                let checked = check(name, &[&asked]);
                let [alone] = &checked.verdicts[..] else {
                    panic!("{asked}: {:?}", checked.verdicts);
                };
                let row = rows.iter().find(|row| {
                    row.reader == alone.reader && row.from <= alone.from && alone.to <= row.to
                });
                let row = row.unwrap_or_else(|| panic!("no row for {asked}"));
                let found = (row.as_it_is.loads, row.fixed.loads, obstacles(row));
                let expected = (alone.as_it_is.loads, alone.fixed.loads, obstacles(alone));
                assert_eq!(found, expected, "{name} in {asked}");
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}
