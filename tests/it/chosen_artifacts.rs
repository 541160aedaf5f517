//! `--image`, `--name` and `--rename` of what is listed like an image and is not one, in every command that has them.

use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{
    IMAGE_NAME, Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, REF_NAME, digest_of, named,
};
use crate::common::contents::Contents;
use crate::common::evidence::{referrer, signature, tagged};
use crate::common::failure::fails_with;
use crate::common::judged::{Fixed, fixed};
use crate::common::registry::Registry;
use crate::common::runner::Sandbox;
use crate::common::schema::{parse_merge, parse_push, parse_split};
use crate::merge::merge;
use crate::split::{names_in, split};

const IMAGE: &str = "example.com/app:v1";
const CHART: &str = "example.com/charts/app:v1";

/// A Helm chart. Each text gives a different one.
fn chart(layout: &mut Layout, text: &str) -> Value {
    let config = layout.blob(
        "application/vnd.cncf.helm.config.v1+json",
        format!("{{\"name\": \"{text}\"}}"),
    );
    let content = layout.blob(
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        format!("chart {text}"),
    );
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [content],
    });
    layout.document(OCI_MANIFEST, &manifest)
}

/// An image and a chart with one tag, and a signature and a note about each.
struct Both {
    layout: Layout,
    image: Value,
    chart: Value,
    /// What refers to the chart.
    about: [Value; 2],
}

fn both() -> Both {
    let mut layout = Layout::new();
    let image = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "app")]));
    let chart = chart(&mut layout, "app");
    let signed = signature(&mut layout, &image);
    let noted = referrer(&mut layout, "application/x-note", "of the image", &image);
    let about = [
        signature(&mut layout, &chart),
        referrer(&mut layout, "application/x-note", "of the chart", &chart),
    ];
    layout.root(vec![
        named(chart.clone(), CHART),
        named(image.clone(), IMAGE),
        signed,
        noted,
        about[0].clone(),
        about[1].clone(),
    ]);
    let manifest = layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "app")]));
    layout.docker(&manifest, &[IMAGE]);
    Both {
        layout,
        image,
        chart,
        about,
    }
}

/// The digests that `index.json` lists, with both names of each.
fn listed(contents: &Contents) -> Vec<[String; 3]> {
    let root = contents.json("index.json");
    let entries = root["manifests"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    entries
        .map(|entry| {
            let annotations = &entry["annotations"];
            [
                digest_of(entry),
                text(&annotations[IMAGE_NAME]),
                text(&annotations[REF_NAME]),
            ]
        })
        .collect()
}

fn digests(contents: &Contents) -> Vec<String> {
    let listed = listed(contents).into_iter();
    listed.map(|[digest, ..]| digest).collect()
}

fn name_of(found: &Fixed, descriptor: &Value) -> [String; 2] {
    let mut all = listed(&found.contents).into_iter();
    let [_, full, tag] = all
        .find(|[digest, ..]| *digest == digest_of(descriptor))
        .unwrap();
    [full, tag]
}

#[test]
fn an_artifact_is_chosen_with_what_refers_to_it() {
    let Both {
        layout,
        image,
        chart,
        about,
    } = both();
    let bytes = layout.tar();
    let expected: Vec<String> = [&chart, &about[0], &about[1]].map(digest_of).to_vec();
    let hex = digest_of(&chart).replace("sha256:", "");
    let by_name = fixed(&bytes, &["--image", CHART]);
    assert_eq!(digests(&by_name.contents), expected);
    assert_eq!(by_name.report["images"], json!([]));
    assert!(!by_name.contents.has("manifest.json"));
    assert!(by_name.contents.blob(&digest_of(&image)).is_none());
    assert!(by_name.facts.unreferenced.is_empty());
    assert_eq!(by_name.changes(&["image-choice"]).len(), 3);
    for choice in [&digest_of(&chart), &hex] {
        let found = fixed(&bytes, &["--image", choice]);
        assert!(found.bytes == by_name.bytes, "{choice}");
    }
    // What was chosen is complete: the choice of the rest leaves the rest, and that of both leaves everything.
    let rest = fixed(&bytes, &["--image", "1"]);
    assert!(rest.bytes == fixed(&bytes, &["--image", IMAGE]).bytes);
    assert!(!digests(&rest.contents).contains(&digest_of(&chart)));
    let all = fixed(&bytes, &["--image", CHART, "--image", IMAGE]);
    assert!(all.bytes == fixed(&bytes, &[]).bytes);
    // Evidence alone, too.
    let signature = fixed(&bytes, &["--image", &digest_of(&about[0])]);
    assert_eq!(digests(&signature.contents), [digest_of(&about[0])]);
    // With other options. An artifact is not for a platform.
    let options = ["--image", CHART, "--platform", "linux/s390x"];
    assert!(fixed(&bytes, &options).bytes == by_name.bytes);
    let options = ["--image", CHART, "--compression", "zstd", "--unwrap"];
    assert!(fixed(&bytes, &options).bytes == by_name.bytes);
}

#[test]
fn what_is_not_there_is_answered_with_images_and_artifacts() {
    let bytes = both().layout.tar();
    let chart = "example.com/charts/app:v1 (artifact)";
    for choice in ["example.com/charts/app:v2", "2", "charts"] {
        let parts = [
            "no image or artifact in the archive is",
            "1: example.com/app:v1, ",
            chart,
        ];
        let options = ["--image", choice];
        fails_with(choice, &bytes, &options, "image-not-found", &parts);
    }
    // Evidence is not offered.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let run = sandbox
        .fix_with("in.tar", "out.tar", &["--image", "9"])
        .exits(1);
    assert!(!run.stderr.contains("sha256"), "{}", run.stderr);
    // In an archive without images, artifacts have no numbers either.
    let mut layout = Layout::new();
    let unnamed = self::chart(&mut layout, "unnamed");
    layout.root(vec![unnamed.clone()]);
    let shown = format!("available: {} (artifact)", digest_of(&unnamed));
    let options = ["--image", "1"];
    fails_with(
        "1",
        &layout.tar(),
        &options,
        "image-not-found",
        &["number 1", &shown],
    );
}

#[test]
fn an_artifact_is_renamed() {
    let Both {
        layout,
        image,
        chart,
        ..
    } = both();
    let bytes = layout.tar();
    let rename = format!("{CHART}=example.com/app:chart");
    let found = fixed(&bytes, &["--rename", &rename]);
    assert_eq!(
        name_of(&found, &chart),
        ["example.com/app:chart", "chart"].map(str::to_owned)
    );
    assert_eq!(
        name_of(&found, &image),
        ["example.com/app:v1", "v1"].map(str::to_owned)
    );
    // Nothing else changed, and the change was requested.
    let plain = fixed(&bytes, &[]);
    let but_root = |found: &Fixed| {
        let mut files = found.contents.files.clone();
        files.remove("index.json");
        files
    };
    assert!(but_root(&found) == but_root(&plain));
    let changes = found.changes(&["image-name", "ref-name"]);
    assert!(
        changes
            .iter()
            .any(|change| change[2..] == [CHART, "example.com/app:chart"]),
        "{changes:?}"
    );
    // Nor is it renamed again.
    assert!(fixed(&found.bytes, &[]).bytes == found.bytes);
    let same = format!("{CHART}={CHART}");
    let same = fixed(&bytes, &["--rename", &same]);
    let expected = [CHART, "v1"].map(str::to_owned);
    assert_eq!(name_of(&same, &chart), expected);
    // Names can go round between images and artifacts, one after the other.
    let [away, over, back] = [
        format!("{CHART}=tmp:1"),
        format!("{IMAGE}={CHART}"),
        format!("tmp:1={IMAGE}"),
    ];
    let round = fixed(
        &bytes,
        &["--rename", &away, "--rename", &over, "--rename", &back],
    );
    assert_eq!(name_of(&round, &chart)[0], IMAGE);
    assert_eq!(name_of(&round, &image)[0], CHART);
    assert_eq!(round.names(), [CHART]);
    let chosen = fixed(&bytes, &["--image", CHART, "--rename", &rename]);
    assert_eq!(name_of(&chosen, &chart)[0], "example.com/app:chart");
    // In place.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    sandbox
        .ocify(&["fix", "in.tar", "--in-place", "--rename", &rename])
        .exits(0);
    let in_place = Contents::from_tar(&sandbox.read("in.tar"));
    assert_eq!(listed(&in_place), listed(&found.contents));

    for (rename, code, what) in [
        (
            format!("{CHART}={IMAGE}"),
            "name-taken",
            "an image in the archive has that name",
        ),
        (
            format!("{IMAGE}={CHART}"),
            "name-taken",
            "an artifact in the archive has that name",
        ),
        (
            "example.com/charts/app:v2=x".to_owned(),
            "image-not-found",
            "available: example.com/app:v1, example.com/charts/app:v1",
        ),
    ] {
        fails_with(&rename, &bytes, &["--rename", &rename], code, &[what]);
    }
}

/// Of two artifacts, and of one with several names.
#[test]
fn several_names_of_artifacts_are_renamed() {
    let mut layout = Layout::new();
    let [one, two] = ["one", "two"].map(|text| chart(&mut layout, text));
    layout.root(vec![
        named(one.clone(), "example.com/one:1"),
        named(one.clone(), "example.com/one:latest"),
        named(two.clone(), "example.com/two:1"),
    ]);
    let bytes = layout.tar();
    let taken = ["--rename", "example.com/one:1=example.com/two:1"];
    let what = "another artifact in the archive has that name";
    fails_with("taken", &bytes, &taken, "name-taken", &[what]);
    let found = fixed(&bytes, &["--rename", "example.com/one:1=example.com/a:1"]);
    let names = |found: &Fixed| -> Vec<String> {
        let listed = listed(&found.contents).into_iter();
        listed.map(|[_, full, _]| full).collect()
    };
    assert_eq!(
        names(&found),
        [
            "example.com/a:1",
            "example.com/one:latest",
            "example.com/two:1"
        ]
    );
    // An entry that says nothing more is left out.
    let merged = [
        "--rename",
        "example.com/one:1=example.com/one:latest",
        "--rename",
        "example.com/two:1=example.com/one:1",
    ];
    assert_eq!(
        names(&fixed(&bytes, &merged)),
        ["example.com/one:latest", "example.com/one:1"]
    );
    let several = ["--name", "x"];
    let what = [
        "a single artifact",
        "example.com/one:1",
        "example.com/two:1",
    ];
    let shown: Vec<&str> = what.to_vec();
    fails_with("several", &bytes, &several, "several-images", &shown);
    let options = [
        "--image",
        "example.com/one:1",
        "--name",
        "x:1",
        "--name",
        "y:1",
    ];
    assert_eq!(
        names(&fixed(&bytes, &options)),
        ["docker.io/library/x:1", "docker.io/library/y:1"]
    );
}

#[test]
fn a_name_goes_to_the_only_artifact_unless_there_is_an_image() {
    let Both {
        layout,
        image,
        chart,
        about,
    } = both();
    let bytes = layout.tar();
    let named = fixed(&bytes, &["--name", "x:1"]);
    assert_eq!(name_of(&named, &image)[0], "docker.io/library/x:1");
    assert_eq!(name_of(&named, &chart)[0], CHART);
    // Evidence about it keeps its tag.
    let chosen = fixed(&bytes, &["--image", CHART, "--name", "x:1"]);
    let tag = format!("{}.sig", digest_of(&chart).replace(':', "-"));
    assert_eq!(
        listed(&chosen.contents)[..2],
        [
            [
                digest_of(&chart),
                "docker.io/library/x:1".to_owned(),
                "1".to_owned()
            ],
            [digest_of(&about[0]), "-".to_owned(), tag]
        ]
    );
    let taken = ["--name", CHART];
    let what = "cannot give the name example.com/charts/app:v1";
    fails_with("taken", &bytes, &taken, "name-taken", &[what]);
    // Without a name, or with only a tag.
    for annotations in [None, Some("v3")] {
        let mut layout = Layout::new();
        let mut unnamed = self::chart(&mut layout, "unnamed");
        if let Some(tag) = annotations {
            unnamed["annotations"] = json!({REF_NAME: tag});
        }
        layout.root(vec![unnamed.clone()]);
        let found = fixed(&layout.tar(), &["--name", "example.com/x:1"]);
        assert_eq!(name_of(&found, &unnamed)[0], "example.com/x:1");
    }
}

/// The name of an image is not that of the evidence beside it, and a tag made of a digest follows the digest.
#[test]
fn evidence_is_not_renamed() {
    let Both { layout, image, .. } = both();
    let tag = format!(
        "example.com/app:{}.sig",
        digest_of(&image).replace(':', "-")
    );
    let mut layout = layout;
    let note = chart(&mut layout, "signs");
    let note = tagged(note, &image, ".sig");
    layout.root(vec![named(image, IMAGE), named(note, &tag)]);
    layout.docker_manifest = None;
    let rename = format!("{tag}=example.com/app:v9");
    fails_with(
        "evidence",
        &layout.tar(),
        &["--rename", &rename],
        "image-not-found",
        &["no image or artifact in the archive has the name"],
    );
    let onto = format!("{IMAGE}={tag}");
    let what = "cannot give the name";
    fails_with(
        "onto evidence",
        &layout.tar(),
        &["--rename", &onto],
        "name-taken",
        &[what],
    );
}

/// Options do in a split and in a merge what they do in a fix before or after it.
#[test]
fn splits_and_merges_choose_and_name_artifacts() {
    let Both { layout, chart, .. } = both();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let rename = format!("{CHART}=example.com/charts/app:v2");
    for (options, expected) in [
        (
            &["--image", CHART][..],
            &["example.com-charts-app-v1.tar"][..],
        ),
        (
            &["--rename", &rename],
            &["example.com-app-v1.tar", "example.com-charts-app-v2.tar"],
        ),
        (&["--image", CHART, "--name", "x:1"], &["x-1.tar"]),
    ] {
        for by in ["image", "name", "platform"] {
            let options = [options, &["--by", by]].concat();
            let report = parse_split(&split(&sandbox, "in.tar", &options).exits(0).stdout);
            let names: Vec<String> = names_in(&sandbox, "out");
            assert_eq!(
                names.len(),
                expected.len(),
                "{options:?}: {names:?} {report:#}"
            );
            let fixed = [&options[..options.len() - 2], &["--force"]].concat();
            sandbox.fix_with("in.tar", "fixed.tar", &fixed).exits(0);
            // Together, they are what a fix gives.
            let mut all: Vec<[String; 3]> = Vec::new();
            for name in &names {
                all.extend(listed(&Contents::from_tar(
                    &sandbox.read(&format!("out/{name}")),
                )));
            }
            all.sort();
            let mut whole = listed(&Contents::from_tar(&sandbox.read("fixed.tar")));
            whole.sort();
            assert_eq!(all, whole, "{options:?}");
            fs::remove_dir_all(sandbox.path("out")).unwrap();
        }
    }

    let mut other = Layout::new();
    let second = self::chart(&mut other, "other");
    other.root(vec![named(second.clone(), "example.com/charts/other:v1")]);
    sandbox.put("other.tar", other.tar());
    let inputs = ["in.tar", "other.tar"];
    merge(&sandbox, &inputs, "plain.tar", &[]).exits(0);
    for options in [
        &["--image", CHART, "--rename", &rename][..],
        &["--rename", &rename],
        &["--image", "example.com/charts/other:v1", "--name", "y:1"],
        &[
            "--image",
            &digest_of(&chart),
            "--image",
            &digest_of(&second),
        ],
    ] {
        let run = merge(&sandbox, &inputs, "out.tar", options).exits(0);
        parse_merge(&run.stdout);
        sandbox
            .fix_with("plain.tar", "fixed.tar", &[options, &["--force"]].concat())
            .exits(0);
        assert!(
            sandbox.read("out.tar") == sandbox.read("fixed.tar"),
            "{options:?}"
        );
        fs::remove_file(sandbox.path("out.tar")).unwrap();
    }
}

/// An image and an artifact with one tag go to one repository, once they have different ones.
#[test]
fn an_image_and_an_artifact_of_one_tag_are_pushed_to_one_repository() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let Both {
        layout,
        image,
        chart,
        ..
    } = both();
    sandbox.put("in.tar", layout.tar());
    let target = format!("{}/team/app", registry.host());
    let push = |options: &[&str]| {
        let line = [&["push", "in.tar"], options, &["--format", "json"]].concat();
        sandbox.ocify(&line)
    };
    let report = parse_push(&push(&[&target]).exits(1).stdout);
    assert_eq!(report["error"]["code"], "name-taken");
    let message = report["error"]["message"].as_str().unwrap();
    for descriptor in [&image, &chart] {
        assert!(message.contains(&digest_of(descriptor)), "{message}");
    }
    assert!(message.contains(CHART), "{message}");
    let hint = report["error"]["hint"].as_str().unwrap();
    let command = format!("ocify push FILE {target}:TAG --image {IMAGE}");
    assert!(hint.contains(&command), "{hint}");
    assert_eq!(registry.changes(), [""; 0]);

    let rename = format!("{CHART}=example.com/charts/app:chart-v1");
    push(&[&target, "--rename", &rename]).exits(0);
    let tags = registry.tags("team/app");
    assert_eq!(tags["v1"], digest_of(&image));
    assert_eq!(tags["chart-v1"], digest_of(&chart));
    // Or one after the other, each under a tag of its own.
    for (choice, tag, descriptor) in [
        (CHART, "chart", &chart),
        (IMAGE, "image", &image),
        (&digest_of(&chart), "pinned", &chart),
    ] {
        push(&[&format!("{target}:{tag}"), "--image", choice]).exits(0);
        assert_eq!(registry.tags("team/app")[tag], digest_of(descriptor));
    }
    let report = parse_push(&push(&[&format!("{target}:all")]).exits(1).stdout);
    assert_eq!(report["error"]["code"], "several-images");
    let name = format!("{}/named:v7", registry.host());
    push(&["--image", CHART, "--name", &name]).exits(0);
    assert_eq!(registry.tags("named")["v7"], digest_of(&chart));
    registry.check_complete();
}
