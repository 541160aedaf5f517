//! `ocify split`: one output for each image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{
    IMAGE_NAME, Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, REF_NAME, annotated,
    digest_of, named, on,
};
use crate::common::checker::check_output;
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, referrer, signature, tagged};
use crate::common::runner::{Run, Sandbox};
use crate::common::saved::parts;
use crate::common::schema::{parse_report, parse_split};

pub(crate) fn of(text: &str) -> Image {
    let layers = ["shared", text].map(|text| Layer::gzip(OCI_GZIP, text));
    Image::oci(layers.to_vec()).architecture("amd64")
}

/// Splits into `out/`. Options come before others of the same name.
pub(crate) fn split(sandbox: &Sandbox, input: &str, options: &[&str]) -> Run {
    let line = ["split", input, "-o", "out/", "--format", "json"];
    sandbox.ocify(&[&line, options].concat())
}

/// The names of the outputs by the names of their images, in full and joined by commas.
fn files(report: &Value) -> BTreeMap<String, String> {
    let outputs = report["outputs"].as_array().unwrap().iter();
    let files = outputs.map(|output| {
        let names = output["names"].as_array().unwrap().iter();
        let names: Vec<&str> = names.map(|name| name.as_str().unwrap()).collect();
        let file = output["file"].as_str().unwrap_or("none");
        (names.join(","), file.to_owned())
    });
    files.collect()
}

/// The images of all outputs: their names and digests.
pub(crate) fn images(report: &Value) -> BTreeSet<(Vec<String>, String)> {
    let outputs = report["outputs"].as_array().unwrap().iter();
    let images = outputs.flat_map(|output| output["report"]["images"].as_array().unwrap());
    images
        .map(|image| (strings(&image["names"]), text(&image["digest"])))
        .collect()
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let mut strings: Vec<String> = list.as_array().unwrap().iter().map(text).collect();
    strings.sort();
    strings
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Splits, and checks each output, which a fix must not change.
#[track_caller]
pub(crate) fn outputs(
    sandbox: &Sandbox,
    input: &str,
    options: &[&str],
) -> (Value, BTreeMap<String, Contents>) {
    let report = parse_split(&split(sandbox, input, options).exits(0).stdout);
    let mut contents = BTreeMap::new();
    for output in report["outputs"].as_array().unwrap() {
        let file = text(&output["file"]);
        let path = sandbox.path(&format!("out/{file}"));
        check_output(&path);
        let again = sandbox.fix(format!("out/{file}"), "again").exits(0).json();
        assert_eq!(
            again["status"], "unchanged",
            "{file}: {:#}",
            again["changes"]
        );
        assert_eq!(again["images"], output["report"]["images"], "{file}");
        if path.is_file() {
            assert!(fs::read(&path).unwrap() == sandbox.read("again"), "{file}");
            assert_eq!(output["size"], fs::metadata(&path).unwrap().len());
            fs::remove_file(sandbox.path("again")).unwrap();
        } else {
            fs::remove_dir_all(sandbox.path("again")).unwrap();
        }
        let found = Contents::read(&path);
        let blobs: BTreeSet<String> = found.digests().into_iter().collect();
        assert_eq!(blobs, reached(&found), "{file}");
        contents.insert(file, found);
    }
    let written: Vec<String> = contents.keys().cloned().collect();
    assert_eq!(names_in(sandbox, "out"), written);
    (report, contents)
}

/// The blobs to which an output's index leads: through whatever documents list, and the digests in their annotations.
fn reached(contents: &Contents) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![contents.json("index.json")];
    while let Some(document) = open.pop() {
        let lists = ["manifests", "layers", "blobs"].into_iter();
        let listed = lists.flat_map(|key| document[key].as_array().into_iter().flatten());
        let named = ["config", "subject"].into_iter().map(|key| &document[key]);
        let descriptors = listed.chain(named).chain([&document]);
        for descriptor in descriptors {
            let annotations = descriptor["annotations"].as_object().into_iter().flatten();
            let values = annotations
                .map(|(_, value)| value)
                .chain([&descriptor["digest"]]);
            for value in values.filter_map(Value::as_str) {
                let digest = match value.rfind("sha256-") {
                    Some(start) => value[start..].replacen('-', ":", 1),
                    None => value.to_owned(),
                };
                let digest = digest.get(..71).unwrap_or_default();
                if let Some(bytes) = contents.blob(digest)
                    && found.insert(digest.to_owned())
                {
                    let document = serde_json::from_slice(bytes).ok();
                    open.extend(document.filter(Value::is_object));
                }
            }
        }
    }
    found
}

/// Nothing of another part is in an output, and nothing is missing: each kind of content that images do not share.
#[test]
fn an_output_contains_what_its_index_leads_to_and_nothing_else() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let mut listed = Vec::new();
    let mut about = Vec::new();
    let mut digests = Vec::new();
    for architecture in ["amd64", "arm64", "s390x"] {
        let image = layout.image(&of(architecture).architecture(architecture));
        let note = attestation(&mut layout, &image);
        let signed = signature(&mut layout, &image);
        let text = format!("about {architecture}");
        about.extend([
            signed,
            referrer(&mut layout, "application/x.note", &text, &image),
        ]);
        digests.push((digest_of(&image), digest_of(&note)));
        listed.extend([on(image, "linux", architecture), note]);
    }
    let index = layout.index_of(OCI_INDEX, listed);
    about.push(referrer(
        &mut layout,
        "application/x.note",
        "about all",
        &index,
    ));
    let other = layout.image(&of("other"));
    layout.blob("text/plain", "nothing refers to this");
    let mut root = vec![
        named(index.clone(), "example.com/multi:1"),
        named(index, "example.com/multi:2"),
        named(other, "example.com/other:1"),
    ];
    root.extend(about);
    layout.root(root);
    sandbox.put("in.tar", layout.tar());
    for (by, count) in [("image", 2), ("name", 3), ("platform", 4)] {
        let (report, found) = outputs(&sandbox, "in.tar", &["--by", by]);
        assert_eq!(found.len(), count, "{by}");
        for (file, contents) in &found {
            let platforms = digests.iter().filter(|(image, note)| {
                let [image, note] = [image, note].map(|digest| contents.blob(digest).is_some());
                assert_eq!(image, note, "{by}: {file}");
                image
            });
            let expected = match (file.contains("other"), by) {
                (true, _) => 0,
                (_, "platform") => 1,
                _ => 3,
            };
            assert_eq!(platforms.count(), expected, "{by}: {file}");
            assert_eq!(
                contents.text_names("about all"),
                expected > 0,
                "{by}: {file}"
            );
        }
        for output in report["outputs"].as_array().unwrap() {
            assert_eq!(output["report"]["dropped"], Value::Null, "{by}");
        }
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
    // What no output contains is reported once.
    let len = |digest: &str| layout.blobs[&format!("blobs/{}", digest.replace(':', "/"))].len();
    let gone: Vec<String> = {
        let contents = Contents::from_tar(&layout.tar());
        let (image, note) = &digests[2];
        let mut gone: Vec<String> = [image, note].into_iter().cloned().collect();
        for digest in [image, note] {
            let manifest = contents.document(digest);
            gone.push(digest_of(&manifest["config"]));
            let own = manifest["layers"].as_array().unwrap().iter().map(digest_of);
            gone.extend(own);
        }
        // Another image has this layer too.
        let shared = &contents.document(&digests[0].0)["layers"];
        let shared: Vec<String> = shared.as_array().unwrap().iter().map(digest_of).collect();
        gone.retain(|digest| !shared.contains(digest));
        gone
    };
    let options = [
        "--by",
        "platform",
        "--platform",
        "linux/amd64,linux/arm64",
        "--image",
        "example.com/multi:1",
    ];
    let (report, found) = outputs(&sandbox, "in.tar", &options);
    assert_eq!(found.len(), 2);
    let chosen = |report: &Value| {
        let changes = report["changes"].as_array().unwrap().iter();
        let chosen = changes.filter(|change| {
            let rule = change["rule"].as_str().unwrap();
            matches!(rule, "platform-choice" | "image-choice")
        });
        chosen.cloned().collect::<Vec<Value>>()
    };
    let dropped = &report["dropped"];
    assert!(
        dropped["blobs"].as_u64() >= Some(gone.len() as u64),
        "{dropped}"
    );
    let bytes: usize = gone.iter().map(|digest| len(digest)).sum();
    assert!(dropped["bytes"].as_u64() >= Some(bytes as u64), "{dropped}");
    let of_platform: Vec<Value> = chosen(&report)
        .into_iter()
        .filter(|change| change["before"] == json!(digests[2].0))
        .collect();
    assert_eq!(of_platform.len(), 1, "{report:#}");
    assert_eq!(
        of_platform[0]["place"]["pointer"], "/manifests/4",
        "{of_platform:#?}"
    );
    for output in report["outputs"].as_array().unwrap() {
        assert_eq!(output["report"]["dropped"], Value::Null);
        assert!(chosen(&output["report"]).is_empty(), "{output:#}");
    }
}

pub(crate) fn names_in(sandbox: &Sandbox, directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(sandbox.path(directory)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An archive of images under these names, each with a layer of its own.
pub(crate) fn archive(images: &[(&str, &[&str])]) -> Layout {
    let mut layout = Layout::new();
    let mut root = Vec::new();
    for (content, names) in images {
        let image = layout.image(&of(content));
        match names.is_empty() {
            true => root.push(image),
            false => root.extend(names.iter().map(|name| named(image.clone(), name))),
        }
    }
    layout.root(root);
    layout
}

#[test]
fn each_image_gets_an_archive_with_all_its_names() {
    let sandbox = Sandbox::new();
    let layout = archive(&[
        (
            "a",
            &["docker.io/library/app:v1", "example.com/team/app:1.0"],
        ),
        ("b", &["example.com/b:2"]),
        ("c", &[]),
    ]);
    sandbox.put("in.tar", layout.tar());
    let (report, found) = outputs(&sandbox, "in.tar", &[]);
    let nameless = digest_of(&Layout::new().image(&of("c"))).replace(':', "-");
    let expected = [
        "app_v1.tar".to_owned(),
        "example.com_b_2.tar".to_owned(),
        format!("{nameless}.tar"),
    ];
    assert_eq!(names_in(&sandbox, "out"), expected);
    for (file, content) in expected.iter().zip(["a", "b", "c"]) {
        let contents = &found[file];
        for part in parts(&of(content)) {
            assert!(contents.blob(&part).is_some(), "{file}: {part}");
        }
        // The manifest, the config and two layers.
        let blobs = contents
            .files
            .keys()
            .filter(|name| name.starts_with("blobs/"));
        assert_eq!(blobs.count(), 4, "{file}");
    }
    let first = &report["outputs"][0];
    let names = json!(["docker.io/library/app:v1", "example.com/team/app:1.0"]);
    assert_eq!(first["names"], names);
    assert_eq!(first["platforms"], json!(["linux/amd64"]));
    assert_eq!(first["report"]["output"], "out/app_v1.tar");
    assert_eq!(first["report"]["dropped"], Value::Null);
    assert_eq!(
        (&report["failed"], &report["dropped"]),
        (&json!(0), &Value::Null)
    );
    // What other images have is not a change of this one.
    let rules = first["report"]["changes"].as_array().unwrap().iter();
    let rules: BTreeSet<&str> = rules
        .map(|change| change["rule"].as_str().unwrap())
        .collect();
    assert!(!rules.contains("image-choice"), "{rules:?}");
}

#[test]
fn an_image_has_an_archive_for_each_name_or_platform() {
    let sandbox = Sandbox::new();
    let mut layout = archive(&[
        (
            "a",
            &["docker.io/library/app:v1", "docker.io/library/app:latest"],
        ),
        ("b", &[]),
    ]);
    let [one, two] = ["amd64", "arm64"].map(|architecture| {
        let image = layout.image(&of(architecture).architecture(architecture));
        let note = attestation(&mut layout, &image);
        let signed = signature(&mut layout, &image);
        (on(image, "linux", architecture), note, signed)
    });
    let index = layout.index_of(OCI_INDEX, vec![one.0.clone(), one.1, two.0.clone(), two.1]);
    let about_index = referrer(&mut layout, "application/x.about", "index", &index);
    layout.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list.extend([
            named(index, "example.com/multi:1"),
            one.2,
            two.2,
            about_index,
        ]);
    });
    sandbox.put("in.tar", layout.tar());

    let (report, found) = outputs(&sandbox, "in.tar", &["--by", "name"]);
    let nameless = digest_of(&Layout::new().image(&of("b"))).replace(':', "-");
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "app_latest.tar",
            "app_v1.tar",
            "example.com_multi_1.tar",
            &format!("{nameless}.tar")
        ]
    );
    let list = &report["outputs"];
    assert_eq!(
        list[0]["report"]["images"][0]["names"],
        json!(["docker.io/library/app:latest"])
    );
    assert_eq!(
        list[1]["report"]["images"][0]["names"],
        json!(["docker.io/library/app:v1"])
    );
    assert_eq!(
        list[0]["report"]["images"][0]["digest"],
        list[1]["report"]["images"][0]["digest"]
    );
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    let (report, found) = outputs(&sandbox, "in.tar", &["--by", "platform"]);
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "app_latest__linux_amd64.tar",
            "example.com_multi_1__linux_amd64.tar",
            "example.com_multi_1__linux_arm64.tar",
            &format!("{nameless}__linux_amd64.tar"),
        ]
    );
    let signs = |contents: &Contents, image: &Value| {
        contents.text_names(&format!("signs {}", digest_of(image)))
    };
    let [amd64, arm64] =
        ["amd64", "arm64"].map(|name| &found[&format!("example.com_multi_1__linux_{name}.tar")]);
    for (contents, own, other) in [(amd64, &one.0, &two.0), (arm64, &two.0, &one.0)] {
        assert!(contents.blob(&digest_of(own)).is_some());
        assert!(contents.blob(&digest_of(other)).is_none());
        assert!(signs(contents, own) && !signs(contents, other));
        // What is about the index stays with each of its images, and attestations with theirs.
        assert!(contents.text_names("application/x.about"));
        let image = contents.json("index.json")["manifests"][0].clone();
        let index: Value =
            serde_json::from_slice(contents.blob(&digest_of(&image)).unwrap()).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    }
    // What is in another output is not lost.
    for output in report["outputs"].as_array().unwrap() {
        assert_eq!(output["report"]["dropped"], Value::Null, "{output:#}");
    }
    fs::remove_dir_all(sandbox.path("out")).unwrap();

    // As plain manifests, without what only the index lists and what is about the index.
    let (report, found) = outputs(&sandbox, "in.tar", &["--by", "platform", "--unwrap"]);
    let amd64 = &found["example.com_multi_1__linux_amd64.tar"];
    assert_eq!(
        digest_of(&amd64.json("index.json")["manifests"][0]),
        digest_of(&one.0)
    );
    assert!(signs(amd64, &one.0) && !amd64.text_names("application/x.about"));
    assert!(report["outputs"][1]["report"]["dropped"]["blobs"].as_u64() > Some(0));
    let options = ["--by", "platform", "--unwrap", "--attestations", "keep"];
    split(&sandbox, "in.tar", &options).exits(2);
}

#[test]
fn artifacts_of_no_image_have_archives_of_their_own() {
    let sandbox = Sandbox::new();
    let mut layout = archive(&[("a", &["example.com/a:1"])]);
    let image = layout.image(&of("a"));
    let signed = signature(&mut layout, &image);
    let note = referrer(
        &mut layout,
        "application/x.note",
        "about a signature",
        &signed,
    );
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let chart = layout.blob("application/x.chart", "chart");
    let chart = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x.chart", "config": config, "layers": [chart]});
    let chart = layout.document(OCI_MANIFEST, &chart);
    layout.edit_root(|root| {
        let list = root["manifests"].as_array_mut().unwrap();
        list.extend([signed, note, named(chart, "example.com/chart:1")]);
    });
    sandbox.put("in.tar", layout.tar());
    for by in ["image", "name", "platform"] {
        let (report, found) = outputs(&sandbox, "in.tar", &["--by", by]);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let platform = if by == "platform" {
            "__linux_amd64"
        } else {
            ""
        };
        assert_eq!(
            names,
            [
                &format!("example.com_a_1{platform}.tar"),
                "example.com_chart_1.tar"
            ]
        );
        let image = found.values().next().unwrap();
        assert!(image.text_names("about a signature") && image.text_names("signs sha256:"));
        assert!(!image.text_names("application/x.chart"));
        let chart = &found["example.com_chart_1.tar"];
        assert!(chart.text_names("application/x.chart") && !chart.text_names("signs"));
        assert_eq!(report["outputs"][1]["platforms"], json!([]));
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

/// Tags can say of each of two images that it is about the other. Neither is lost.
#[test]
fn images_that_are_about_each_other_are_in_one_archive() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let [one, two] = ["a", "b"].map(|text| layout.image(&of(text)));
    layout.root(vec![
        tagged(one.clone(), &two, ""),
        tagged(two.clone(), &one, ""),
    ]);
    sandbox.put("in.tar", layout.tar());
    let (_, found) = outputs(&sandbox, "in.tar", &[]);
    for digest in [digest_of(&one), digest_of(&two)] {
        assert!(
            found
                .values()
                .any(|contents| contents.blob(&digest).is_some()),
            "{digest}"
        );
    }
}

#[test]
fn file_names_are_safe_and_distinct() {
    let long = format!(
        "example.com/{}app:{}",
        "long-path/".repeat(20),
        "t".repeat(128)
    );
    let names = [
        "docker.io/library/app:v1",
        "docker.io/library/app:V1",
        "docker.io/app/v1:x",
        "docker.io/app/v1_x:y",
        "docker.io/library/app_v1:x",
        "docker.io/library/app__v1:x",
        "docker.io/library/con:v1",
        "docker.io/library/con.x:v1",
        "docker.io/library/lpt1.x:v1",
        "docker.io/library/app:v1.",
        "docker.io/library/app:_",
        "docker.io/library/app:v1-0123456789ab",
        "example.com:5000/app:v1",
        "example.com/5000/app:v1",
        "EXAMPLE.com/app:v1",
        "example.com/app:v1",
        "[2001:db8::1]:80/app:v1",
        &long,
    ];
    let images: Vec<(&str, [&str; 1])> = names.iter().map(|name| (*name, [*name])).collect();
    let images: Vec<(&str, &[&str])> = images
        .iter()
        .map(|(text, names)| (*text, &names[..]))
        .collect();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", archive(&images).tar());
    let (report, _) = outputs(&sandbox, "in.tar", &[]);
    let found = files(&report);
    assert_eq!(found.len(), names.len());
    let plain = [
        ("docker.io/library/app:v1", "app_v1.tar"),
        ("docker.io/app/v1:x", "app_v1_x.tar"),
        ("docker.io/library/con:v1", "con_v1.tar"),
        ("example.com/5000/app:v1", "example.com_5000_app_v1.tar"),
        ("example.com/app:v1", "example.com_app_v1.tar"),
    ];
    for (name, file) in plain {
        assert_eq!(found[name], file, "{name}");
    }
    let stems: BTreeMap<&str, &str> = found
        .iter()
        .map(|(name, file)| (name.as_str(), file.strip_suffix(".tar").unwrap()))
        .collect();
    for (name, stem) in &stems {
        let is_safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        assert!(
            stem.bytes().all(is_safe) && stem.len() <= 120,
            "{name}: {stem}"
        );
        let device = stem.split('.').next().unwrap();
        assert!(!["con", "lpt1"].contains(&device), "{name}: {stem}");
        let is_plain = plain.iter().any(|(known, _)| known == name);
        let (_, last) = stem.rsplit_once('-').unwrap_or_default();
        let is_unique = last.len() == 12 && last.bytes().all(|b| b.is_ascii_hexdigit());
        assert_eq!(is_unique, !is_plain, "{name}: {stem}");
        assert!(
            stem.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'),
            "{name}: {stem}"
        );
    }
    let distinct: BTreeSet<&&str> = stems.values().collect();
    assert_eq!(distinct.len(), names.len());

    // They depend neither on the order of the index nor on the other images.
    let mut reversed = images.clone();
    reversed.reverse();
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    sandbox.put("in.tar", archive(&reversed).tar());
    assert_eq!(
        files(&parse_split(
            &split(&sandbox, "in.tar", &[]).exits(0).stdout
        )),
        found
    );
    for image in &images {
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        sandbox.put("in.tar", archive(&[*image]).tar());
        let alone = parse_split(&split(&sandbox, "in.tar", &[]).exits(0).stdout);
        let alone = files(&alone);
        assert_eq!(
            alone.values().next(),
            alone.keys().next().map(|name| &found[name])
        );
    }
}

/// Names that are not references name nothing: such images are called by their digests.
#[test]
fn hostile_names_never_become_paths() {
    let hostile = [
        "../../evil",
        "/etc/evil",
        "a/../../b:c",
        "..",
        "a\0b",
        "ä:ö",
        "con",
        "a\\b:c",
        "",
        "a:b:c",
        "-rf",
        "$(evil)",
    ];
    let mut layout = Layout::new();
    let root = hostile.iter().enumerate().map(|(number, name)| {
        let image = layout.image(&of(&number.to_string()));
        annotated(image, &[(IMAGE_NAME, name), (REF_NAME, name)])
    });
    let root = root.collect();
    layout.root(root);
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put("in/in.tar", layout.tar());
    let run = split(&sandbox, "in/in.tar", &[]).exits(0);
    let report = parse_split(&run.stdout);
    assert_eq!(names_in(&sandbox, "out").len(), hostile.len());
    assert_eq!(sandbox.names(), ["in", "out"]);
    for output in report["outputs"].as_array().unwrap() {
        let file = text(&output["file"]);
        let again = sandbox.fix(format!("out/{file}"), "again").exits(0).json();
        assert_eq!(again["status"], "unchanged", "{file}");
        fs::remove_file(sandbox.path("again")).unwrap();
        let is_of_digest = file == format!("{}.tar", text(&output["digest"]).replace(':', "-"));
        // `con` is a name: docker.io/library/con:latest.
        assert!(is_of_digest || file == "con_latest.tar", "{file}");
    }
}

/// Of several images for one platform in an index, each has its archive.
#[test]
fn images_for_one_platform_are_distinguished() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let listed = ["a", "b"].map(|text| on(layout.image(&of(text)), "linux", "amd64"));
    let windows = ["10.0.1", "10.0.2"].map(|version| {
        let mut image = on(layout.image(&of(version)), "windows", "amd64");
        image["platform"]["os.version"] = json!(version);
        image
    });
    let unknown = layout.image(&Image { ..of("c") });
    let all = [&listed[..], &windows[..], &[unknown]].concat();
    let index = layout.index_of(OCI_INDEX, all);
    layout.root(vec![named(index, "example.com/a:1")]);
    sandbox.put("in.tar", layout.tar());
    let report = parse_split(
        &split(&sandbox, "in.tar", &["--by", "platform"])
            .exits(0)
            .stdout,
    );
    let names = names_in(&sandbox, "out");
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("example.com_a_1__")),
        "{names:?}"
    );
    let images = images(&report);
    assert_eq!(images.len(), 5, "{images:#?}");
}

/// An image that is under a name of several keeps it only in one archive, as in the output of a fix.
#[test]
fn a_name_of_several_images_stays_with_the_last() {
    let sandbox = Sandbox::new();
    let name: &[&str] = &["docker.io/library/app:v1"];
    sandbox.put("in.tar", archive(&[("a", name), ("b", name)]).tar());
    let fixed = parse_report(&sandbox.fix("in.tar", "fixed.tar").exits(0).stdout);
    for by in ["image", "name"] {
        let (report, found) = outputs(&sandbox, "in.tar", &["--by", by]);
        assert_eq!(found.len(), 2);
        let list = fixed["images"].as_array().unwrap();
        let expected = list
            .iter()
            .map(|image| (strings(&image["names"]), text(&image["digest"])));
        assert_eq!(images(&report), expected.collect());
        assert_eq!(report["findings"][0]["rule"], "shared-name");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

/// What nothing refers to belongs to no image.
#[test]
fn orphaned_blobs_are_in_no_output() {
    let sandbox = Sandbox::new();
    let mut layout = archive(&[("a", &["example.com/a:1"]), ("b", &["example.com/b:1"])]);
    let orphan = layout.blob("application/x", "an orphan");
    sandbox.put("in.tar", layout.tar());
    let (report, found) = outputs(&sandbox, "in.tar", &[]);
    assert_eq!(report["findings"][0]["rule"], "orphaned-blobs");
    let message = text(&report["findings"][0]["message"]);
    assert!(message.ends_with("so no output contains them"), "{message}");
    for (file, contents) in &found {
        assert!(contents.blob(&digest_of(&orphan)).is_none(), "{file}");
    }
    for output in report["outputs"].as_array().unwrap() {
        assert_eq!(output["report"]["dropped"], Value::Null);
        let findings = output["report"]["findings"].as_array().unwrap();
        assert!(
            findings
                .iter()
                .all(|found| found["rule"] != "orphaned-blobs")
        );
    }
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let (report, _) = outputs(&sandbox, "in.tar", &["--orphans", "drop"]);
    assert_eq!(report["changes"][0]["rule"], "orphan-dropped");
    assert_eq!(report["findings"], json!([]));
}
