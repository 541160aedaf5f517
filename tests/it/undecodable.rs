//! A document with a value that engines cannot decode, since Go's decoder expects another type, is refused or reported as something that breaks. It is
//! never right. A document that Go decodes is refused only for a reason in [`REFUSED`].
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ocify::{Fix, Input, Output, Severity};
use serde_json::{Value, json};

use crate::common::builder::{
    Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, named, on, right_image,
    right_layout,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::{fails, fails_with};
use crate::common::judged::written;
use crate::common::placed;
use crate::common::random::Random;
use crate::common::readers::{go, random_cases, verdicts};
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";

/// Which document of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Index,
    Nested,
    Manifest,
    Config,
    Docker,
    Layout,
}

/// A document, and what engines decode it as.
type Kinded = (&'static str, Vec<u8>);

/// A value in a document, by its path.
type Change = (Part, Vec<String>, Value);

/// This text stands for the number `-0`, which [`Value`] cannot have.
const NEGATIVE_ZERO: &str = "the number -0";

fn text(document: &Value) -> String {
    let text = document.to_string();
    text.replace(&format!("\"{NEGATIVE_ZERO}\""), "-0")
}

/// An archive with an image in an index, whose documents have every field that engines decode.
fn build(changes: &[Change]) -> Layout {
    build_with(changes).0
}

/// That archive, and its documents by kind.
fn build_with(changes: &[Change]) -> (Layout, Vec<Kinded>) {
    let change = |part: Part, document: &mut Value| {
        for (_, path, value) in changes.iter().filter(|(found, _, _)| *found == part) {
            set(document, path, value.clone());
        }
    };
    let mut layout = Layout::new();
    let layer = Layer::gzip(OCI_GZIP, "right");
    let mut config_document = full_config(&layer.diff_id);
    change(Part::Config, &mut config_document);
    let config = layout.blob(OCI_CONFIG, text(&config_document));
    let config_name = blob_name(config["digest"].as_str().unwrap());
    let mut descriptor = layout.blob(OCI_GZIP, &layer.bytes);
    let layer_name = blob_name(descriptor["digest"].as_str().unwrap());
    descriptor["annotations"] = json!({"a": "b"});
    let mut manifest_document = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [descriptor],
        "annotations": {"a": "b"},
    });
    change(Part::Manifest, &mut manifest_document);
    let manifest = on(
        layout.blob(OCI_MANIFEST, text(&manifest_document)),
        "linux",
        "amd64",
    );
    let mut nested_document = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest], "annotations": {"a": "b"},
    });
    change(Part::Nested, &mut nested_document);
    let nested = named(layout.blob(OCI_INDEX, text(&nested_document)), NAME);
    let mut root = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [nested]});
    change(Part::Index, &mut root);
    layout.index = Some(text(&root).into_bytes());
    let mut docker =
        json!([{"Config": config_name, "RepoTags": ["app:v1"], "Layers": [layer_name]}]);
    change(Part::Docker, &mut docker);
    layout.docker_manifest = Some(text(&docker).into_bytes());
    let mut version = json!({"imageLayoutVersion": "1.0.0"});
    change(Part::Layout, &mut version);
    layout.oci_layout = Some(text(&version).into_bytes());
    let documents = [
        ("config", config_document),
        ("manifest", manifest_document),
        ("index", nested_document),
        ("index", root),
        ("docker-archive", docker),
        ("layout", version),
    ];
    let documents = documents.map(|(kind, document)| (kind, text(&document).into_bytes()));
    (layout, documents.to_vec())
}

fn full_config(diff_id: &str) -> Value {
    let time = "2020-01-01T00:00:00.5Z";
    let container = json!({
        "User": "u", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"], "Entrypoint": ["e"], "Cmd": ["c"], "Volumes": {"/v": {}},
        "WorkingDir": "/", "Labels": {"a": "b"}, "StopSignal": "SIGTERM", "ArgsEscaped": true, "Hostname": "h", "Domainname": "d",
        "AttachStdin": false, "AttachStdout": false, "AttachStderr": false, "Tty": false, "OpenStdin": false,
        "StdinOnce": false, "Image": "i", "NetworkDisabled": false, "MacAddress": "m", "OnBuild": ["o"], "StopTimeout": 5,
        "Shell": ["s"],
        "Healthcheck": {
            "Test": ["CMD", "x"], "Interval": 5, "Timeout": 5, "StartPeriod": 5, "StartInterval": 5, "Retries": 5,
        },
    });
    json!({
        "architecture": "amd64", "os": "linux", "os.version": "1", "os.features": [], "variant": "v1", "created": time,
        "author": "a", "config": container, "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": time, "created_by": "x", "author": "a", "comment": "c", "empty_layer": false}],
        "id": "i", "parent": "p", "comment": "c", "container": "c", "container_config": {"Cmd": ["c"]},
        "docker_version": "1", "size": 5,
    })
}

/// Sets a value, and makes the objects on the way to it.
fn set(document: &mut Value, path: &[String], value: Value) {
    let mut place = document;
    for part in path {
        place = match part.parse::<usize>() {
            Ok(number) => &mut place[number],
            Err(_) => &mut place[part.as_str()],
        };
    }
    *place = value;
}

fn path(text: &str) -> Vec<String> {
    text.split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn one(part: Part, text: &str, value: Value) -> Layout {
    build(&[(part, path(text), value)])
}

#[test]
fn an_archive_with_every_field_is_right() {
    let layout = build(&[]);
    let found = written(&layout.tar(), &[]);
    assert_eq!(found.report["findings"], json!([]));
    let nulls = [
        (Part::Manifest, "annotations"),
        (Part::Manifest, "layers/0/annotations"),
        (Part::Nested, "manifests/0/platform"),
        (Part::Config, "history"),
        (Part::Config, "created"),
        (Part::Config, "config/Labels/a"),
        (Part::Config, "config/Volumes/w"),
        (Part::Config, "config/Cmd"),
        (Part::Config, "config/Healthcheck"),
    ];
    // Go ignores null, and fields that it does not know.
    let nulls = nulls.map(|(part, text)| (part, path(text), Value::Null));
    let unknown = [
        (Part::Manifest, path("layers/0/org.example"), json!([5])),
        (Part::Config, path("config/Other"), json!({"Cmd": 5})),
        (Part::Index, path("other"), json!({"manifests": 5})),
    ];
    let found = written(&build(&[&nulls[..], &unknown].concat()).tar(), &[]);
    assert_eq!(found.report["findings"], json!([]));
}

#[test]
fn values_that_no_engine_decodes_are_refused() {
    let at = "index.json, manifests[0], manifests[0]";
    let int = "expected an integer of at most 64 bits";
    #[rustfmt::skip]
    let cases = [
        (Part::Index, "schemaVersion", json!("2"), vec![format!("index.json, schemaVersion is a string, {int}")]),
        (Part::Index, "schemaVersion", json!(2.5), vec!["index.json, schemaVersion is a number".to_owned()]),
        (Part::Index, "mediaType", json!(5), vec!["index.json, mediaType is a number, expected a string".to_owned()]),
        (Part::Index, "annotations", json!(["a"]), vec!["index.json, annotations is a list, expected an object".to_owned()]),
        (Part::Index, "manifests/0/urls", json!("u"), vec!["index.json, manifests[0], urls is a string, expected a list".to_owned()]),
        (Part::Index, "manifests/0/artifactType", json!({}), vec!["index.json, manifests[0], artifactType is an object".to_owned()]),
        (Part::Nested, "schemaVersion", json!(true), vec!["index.json, manifests[0], schemaVersion is a boolean".to_owned()]),
        (Part::Nested, "manifests/0/platform", json!("linux/amd64"), vec!["manifests[0], platform is a string, expected an object".to_owned()]),
        (Part::Nested, "manifests/0/platform/os", json!(["linux"]), vec!["manifests[0], platform, os is a list".to_owned()]),
        (Part::Nested, "manifests/0/platform/os.features", json!("win32k"), vec!["platform, os.features is a string".to_owned()]),
        (Part::Nested, "subject", json!([]), vec!["index.json, manifests[0]".to_owned(), "subject".to_owned()]),
        (Part::Manifest, "artifactType", json!(5), vec![format!("{at}, artifactType is a number, expected a string")]),
        (Part::Manifest, "annotations/a", json!({}), vec![format!("{at}, annotations, a is an object, expected a string")]),
        (Part::Manifest, "layers/0/platform/variant", json!(8), vec![format!("{at}, layers[0], platform, variant is a number")]),
        (Part::Config, "os", json!(5), vec![format!("{at}, config, os is a number, expected a string")]),
        (Part::Config, "created", json!("2020-01-01"), vec![format!("{at}, config, created is a string in another format, expected a time such as")]),
        (Part::Config, "history/0/empty_layer", json!("true"), vec![format!("{at}, config, history[0], empty_layer is a string, expected true or false")]),
        (Part::Config, "history", json!({}), vec![format!("{at}, config, history is an object, expected a list")]),
        (Part::Config, "config/Env/0", json!(5), vec![format!("{at}, config, config, Env[0] is a number")]),
        (Part::Config, "config/Labels/a", json!(5), vec![format!("{at}, config, config, Labels, a is a number, expected a string")]),
        (Part::Config, "config/Volumes", json!(["/v"]), vec![format!("{at}, config, config, Volumes is a list, expected an object")]),
        (Part::Config, "config/Cmd", json!(5), vec![format!("{at}, config, config, Cmd is a number, expected a list of strings")]),
        (Part::Config, "rootfs/type", json!(["layers"]), vec![format!("{at}, config, rootfs, type is a list")]),
    ];
    for (part, text, value, parts) in cases {
        let name = format!("{part:?} {text} {value}");
        let bytes = one(part, text, value).tar();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        fails(&name, &bytes, "invalid-document", &parts);
        fails_with(&name, &bytes, &["--lenient"], "invalid-document", &parts);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let report = placed::fix(&sandbox, "in.tar", &[]).exits(1).json();
        assert_eq!(report["error"]["code"], "invalid-document", "{name}");
        assert_eq!(sandbox.read("in.tar"), bytes, "{name}");
    }
}

#[test]
fn a_key_in_another_case_is_decoded_too() {
    let layout = one(Part::Config, "config/LABELS", json!({"a": 5}));
    let text = "in two spellings";
    // Beside the usual spelling it is ambiguous.
    fails(text, &layout.tar(), "duplicate-key", &["LABELS"]);
    let mut config = full_config(&right_image().layers[0].diff_id);
    config["config"] = json!({"LABELS": {"a": 5}});
    let layout = build(&[(Part::Config, Vec::new(), config)]);
    let parts = ["config, config, LABELS, a is a number"];
    fails("alone", &layout.tar(), "invalid-document", &parts);
}

#[test]
fn diff_ids_that_are_not_digests_are_refused() {
    for text in ["x", "", "sha256:00", "sha256"] {
        let layout = one(Part::Config, "rootfs/diff_ids/0", json!(text));
        let parts = ["config, rootfs, diff_ids[0]: invalid digest"];
        fails(text, &layout.tar(), "invalid-digest", &parts);
    }
}

#[test]
fn another_schema_version_is_reported() {
    for (part, at) in [
        (Part::Index, "index.json"),
        (Part::Nested, "index.json, manifests[0]"),
        (Part::Manifest, "index.json, manifests[0], manifests[0]"),
    ] {
        for value in [
            json!(1),
            json!(-2),
            json!(0),
            json!(NEGATIVE_ZERO),
            Value::Null,
        ] {
            let found = written(&one(part, "schemaVersion", value.clone()).tar(), &[]);
            assert_eq!(found.findings(), ["schema-version"], "{at} {value}");
            let finding = found.finding("schema-version");
            assert_eq!(finding["location"], at, "{value}");
            assert_eq!(finding["severity"], "warns");
            let message = "schemaVersion is not 2, and registries refuse such a document";
            assert_eq!(finding["message"], message);
        }
    }
    let path = path("schemaVersion");
    let layout = build(&[Part::Nested, Part::Manifest].map(|part| (part, path.clone(), json!(1))));
    let found = written(&layout.tar(), &[]);
    let message = found.finding("schema-version")["message"].as_str().unwrap();
    assert!(
        message.starts_with("schemaVersion is not 2 (2 times),"),
        "{message}"
    );
}

#[test]
fn a_layout_version_that_is_not_a_string_is_replaced() {
    for value in [json!(1), json!(null), json!(["1.0.0"])] {
        let found = written(&one(Part::Layout, "imageLayoutVersion", value).tar(), &[]);
        assert_eq!(found.report["changes"][0]["rule"], "oci-layout");
        assert_eq!(found.report["changes"][0]["severity"], "breaks");
        assert_eq!(
            found.contents.json("oci-layout"),
            json!({"imageLayoutVersion": "1.0.0"})
        );
    }
}

#[test]
fn an_index_without_its_list_is_not_an_image() {
    let lost = |part: Part| {
        let mut layout = build(&[(part, path("manifestr"), json!([]))]);
        layout.docker_manifest = None;
        layout
    };
    let without =
        |document: &mut Value| drop(document.as_object_mut().unwrap().remove("manifests"));
    // One flipped bit makes another key of it.
    let mut root = lost(Part::Index);
    root.edit_root(without);
    fails(
        "index.json",
        &root.tar(),
        "not-an-image",
        &["index.json does not list any image"],
    );

    let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifestr": []});
    let mut layout = Layout::new();
    let nested = named(layout.document(OCI_INDEX, &empty), NAME);
    layout.root(vec![nested.clone()]);
    let parts = ["index.json, manifests[0] lacks manifests"];
    fails("nested", &layout.tar(), "invalid-document", &parts);

    // Beside an image it is one that no engine loads.
    let other = named(layout.image(&right_image()), "docker.io/library/other:v1");
    layout.root(vec![nested, other]);
    let found = written(&layout.tar(), &[]);
    let finding = found.finding("unloadable-image");
    assert_eq!(finding["severity"], "breaks");

    // manifest.json says what the index should list.
    let mut layout = right_layout();
    layout.edit_root(without);
    let found = written(&layout.tar(), &[]);
    let rules: Vec<&Value> = found.report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["rule"])
        .collect();
    assert!(rules.contains(&&json!("index-added")), "{rules:?}");
}

/// A value of every type, and some that Go treats in a special way.
fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(5),
        json!(-1),
        json!(1.5),
        json!(-0.0),
        json!(NEGATIVE_ZERO),
        json!(u64::MAX),
        json!("x"),
        json!("2020-01-01T00:00:00Z"),
        json!([]),
        json!([null]),
        json!(["x"]),
        json!([5]),
        json!([[]]),
        json!({}),
        json!({"a": "x"}),
        json!({"a": 5}),
        json!({"a": {}}),
    ]
}

/// The path of every value in a document.
fn paths(value: &Value, at: &[String], out: &mut Vec<Vec<String>>) {
    out.push(at.to_vec());
    let child = |part: String| [at, &[part]].concat();
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                paths(value, &child(key.clone()), out);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                paths(value, &child(number.to_string()), out);
            }
        }
        _ => {}
    }
}

/// Every field of every document, also of those that the archive has not.
fn fields() -> Vec<(Part, Vec<String>)> {
    let layout = build(&[]);
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let blob = |part: &str| json(&layout.blobs[&layout.find(&[part])]);
    let documents = [
        (Part::Index, json(layout.index.as_ref().unwrap())),
        (Part::Nested, blob("\"manifests\"")),
        (Part::Manifest, blob("\"layers\":[{")),
        (Part::Config, blob("\"rootfs\"")),
        (Part::Docker, json(layout.docker_manifest.as_ref().unwrap())),
        (Part::Layout, json(layout.oci_layout.as_ref().unwrap())),
    ];
    let mut fields = Vec::new();
    for (part, document) in documents {
        let mut found = Vec::new();
        paths(&document, &[], &mut found);
        fields.extend(found.into_iter().map(|path| (part, path)));
    }
    let more: [(Part, &[&str]); 5] = [
        (
            Part::Index,
            &[
                "subject",
                "artifactType",
                "manifests/0/urls",
                "manifests/0/data",
                "manifests/0/platform/os.version",
            ],
        ),
        (
            Part::Nested,
            &[
                "subject",
                "artifactType",
                "manifests/0/platform/os.features",
                "manifests/0/platform/variant",
                "manifests/0/artifactType",
                "layers",
                "config",
            ],
        ),
        (
            Part::Manifest,
            &[
                "subject",
                "artifactType",
                "config/urls",
                "config/data",
                "config/annotations",
                "config/platform",
                "layers/0/urls",
                "layers/0/data",
                "layers/0/platform/os",
                "manifests",
                "fsLayers",
            ],
        ),
        (
            Part::Config,
            &[
                "OS",
                "CONFIG",
                "config/cmd",
                "rootfs/DIFF_IDS",
                "history/0/Created",
            ],
        ),
        (
            Part::Docker,
            &["0/Parent", "0/LayerSources", "0/LayerSources/a/size"],
        ),
    ];
    for (part, texts) in more {
        fields.extend(texts.iter().map(|text| (part, path(text))));
    }
    fields
}

/// What ocify does with an archive, and the documents of its output.
enum Verdict {
    Refused(ocify::Error),
    /// It says that an engine does not load the output.
    Broken,
    Right(Vec<Kinded>),
}

fn verdict(sandbox: &Sandbox, layout: &Layout) -> Verdict {
    let input = sandbox.put("in.tar", layout.tar());
    let output = sandbox.path("out.tar");
    let result = Fix::new().run(Input::path(input), Output::archive(&output).overwrite(true));
    let fixed = match result {
        Ok(fixed) => fixed,
        Err(error) => return Verdict::Refused(error),
    };
    let mut findings = fixed.plan.summary.findings.iter();
    if findings.any(|finding| finding.severity == Severity::Breaks) {
        return Verdict::Broken;
    }
    Verdict::Right(documents(&Contents::from_tar(&fs::read(output).unwrap())))
}

/// The documents that engines decode, by kind: those that the roots lead to.
fn documents(contents: &Contents) -> Vec<Kinded> {
    let index = contents.file("index.json");
    let mut found = vec![
        ("index", index.to_vec()),
        ("layout", contents.file("oci-layout").to_vec()),
    ];
    let mut configs = Vec::new();
    if contents.has("manifest.json") {
        found.push(("docker-archive", contents.file("manifest.json").to_vec()));
        let items = contents.json("manifest.json");
        let items = items.as_array().into_iter().flatten();
        let names = items.filter_map(|item| item["Config"].as_str());
        configs.extend(names.map(|name| contents.file(name).to_vec()));
    }
    let mut open = vec![contents.json("index.json")];
    while let Some(index) = open.pop() {
        let listed = index["manifests"].as_array().into_iter().flatten();
        for bytes in listed.filter_map(|entry| contents.blob(entry["digest"].as_str()?)) {
            let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
                continue;
            };
            if document.get("manifests").is_some() {
                found.push(("index", bytes.to_vec()));
                open.push(document);
            } else if document.get("layers").is_some() {
                found.push(("manifest", bytes.to_vec()));
                let config = &document["config"];
                let is_of_image = config["mediaType"] == OCI_CONFIG;
                let digest = config["digest"].as_str().filter(|_| is_of_image);
                let config = digest.and_then(|digest| contents.blob(digest));
                configs.extend(config.map(<[u8]>::to_vec));
            }
        }
    }
    found.extend(configs.into_iter().map(|bytes| ("config", bytes)));
    found
}

/// A document that ocify refuses although Go decodes it: the error's code, a part of its message, and the reason.
type Refusal = (&'static str, &'static str, &'static str);

/// All of them.
#[rustfmt::skip]
const REFUSED: [Refusal; 20] = [
    ("invalid-document", " is not a JSON object", "engines need what it should contain"),
    ("invalid-document", "lacks mediaType", "containerd decides by media type what a blob is, and registries refuse a subject without one"),
    ("invalid-document", "lacks digest", "no engine finds a blob without a digest"),
    ("invalid-document", "lacks size", "the specification requires a size, and registries refuse a manifest without one"),
    ("invalid-document", "lacks a config", "no engine loads an image without a config"),
    ("invalid-document", "lacks manifests", "engines and registries cannot tell that it is an index"),
    ("invalid-document", "lacks Config", "docker does not find the config"),
    ("invalid-document", "has the size -1, expected a length in bytes", "nothing has this length"),
    ("invalid-document", "has a data that is not a string", "Go decodes bytes from a list of numbers, other decoders do not"),
    ("invalid-document", " is not a descriptor", "Go reads null as a descriptor without a digest, and no engine finds its blob"),
    ("invalid-document", "has annotations that are not strings", "Go reads null as an empty string, other decoders refuse it"),
    ("invalid-document", "not a list of strings", "Go reads null as an empty string, which is not a digest, a file or a name"),
    ("invalid-digest", "invalid digest", "no engine finds its blob"),
    ("missing-blob", "which is not in the archive", "docker does not find the layer"),
    ("layer-count-mismatch", "", "docker refuses the image, and containerd cannot unpack it"),
    ("root-disagreement", "", "docker reads manifest.json, containerd reads index.json"),
    ("duplicate-key", "another spelling of", "other decoders distinguish the case of keys, and use the other value"),
    ("ambiguous-document", "according to its descriptor but has", "engines trust one of the two media types"),
    ("not-an-image", "does not list any image", "there is nothing to load"),
    ("not-an-image", "neither index.json nor manifest.json lists an image", "there is nothing to load"),
];

/// The refusal that an error is, if it is one of those.
fn refusal(error: &ocify::Error) -> Option<usize> {
    let (code, text) = (error.code().name(), error.to_string());
    REFUSED
        .iter()
        .position(|(known, part, _)| *known == code && text.contains(part))
}

/// Those of the refused archives whose documents Go decodes all.
fn refused_alone<'a>(
    go: &Path,
    refused: &'a [(&'a Vec<Change>, ocify::Error)],
) -> impl Iterator<Item = &'a (&'a Vec<Change>, ocify::Error)> {
    let all: Vec<Vec<Kinded>> = refused
        .iter()
        .map(|(changes, _)| build_with(changes).1)
        .collect();
    let texts: BTreeSet<&Kinded> = all.iter().flatten().collect();
    let texts: Vec<Kinded> = texts.into_iter().cloned().collect();
    let verdicts = verdicts(go, &texts);
    let right: BTreeSet<Kinded> = texts
        .into_iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| *verdict == "ok")
        .map(|(text, _)| text)
        .collect();
    refused.iter().zip(all).filter_map(move |(refused, texts)| {
        let is_right = texts.iter().all(|text| right.contains(text));
        is_right.then_some(refused)
    })
}

/// Compares ocify's verdict on archives with Go's on their documents: what Go refuses is not right, and what Go decodes is not refused, except for a
/// reason in [`REFUSED`]. Returns the positions of the reasons that were needed.
fn compare(cases: &[(String, Vec<Change>)]) -> BTreeSet<usize> {
    let Some(go) = go() else {
        return (0..REFUSED.len()).collect();
    };
    let sandbox = Sandbox::new();
    let (mut refused, mut broken, mut right) = (Vec::new(), 0, 0);
    let mut names = Vec::new();
    let mut texts = Vec::new();
    // Most archives share most documents.
    let mut known = BTreeSet::new();
    for (name, changes) in cases {
        match verdict(&sandbox, &build(changes)) {
            Verdict::Refused(error) => refused.push((changes, error)),
            Verdict::Broken => broken += 1,
            Verdict::Right(documents) => {
                right += 1;
                for document in documents {
                    if known.insert(document.clone()) {
                        names.push(name);
                        texts.push(document);
                    }
                }
            }
        }
    }
    let verdicts = verdicts(go, &texts);
    let wrong: Vec<String> = verdicts
        .iter()
        .zip(&names)
        .filter(|(verdict, _)| *verdict != "ok")
        .map(|(verdict, name)| format!("{name}: {verdict}"))
        .collect();
    println!(
        "{} archives: {} refused, {broken} reported, {right} right",
        cases.len(),
        refused.len()
    );
    let mut needed = BTreeSet::new();
    let mut needless = Vec::new();
    for (changes, error) in refused_alone(go, &refused) {
        match refusal(error) {
            Some(position) => drop(needed.insert(position)),
            None => needless.push(format!("{changes:?}: {}, {error}", error.code().name())),
        }
    }
    assert!(right > cases.len() / 10, "{right}");
    assert!(
        wrong.is_empty(),
        "{} that Go refuses:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        needless.is_empty(),
        "{} refused that Go decodes:\n{}",
        needless.len(),
        needless.join("\n")
    );
    needed
}

#[test]
fn what_go_refuses_is_not_right_and_what_it_decodes_is_not_refused() {
    let mut cases = Vec::new();
    for (part, path) in fields() {
        for value in values() {
            let name = format!("{part:?} {} {value}", path.join("/"));
            let change = (part, path.clone(), value);
            if part == Part::Docker {
                // Then manifest.json alone says what the image is.
                let no_index = (Part::Index, Vec::new(), json!({}));
                cases.push((format!("{name} alone"), vec![change.clone(), no_index]));
            }
            cases.push((name, vec![change]));
        }
    }
    assert!(cases.len() > 2000, "{}", cases.len());
    let needed = compare(&cases);
    let unused = (0..REFUSED.len()).find(|position| !needed.contains(position));
    let unused = unused.map(|position| REFUSED[position]);
    assert_eq!(unused, None, "nothing needs this reason");
}

#[test]
fn what_go_refuses_is_not_right_after_random_changes_and_what_it_decodes_is_not_refused() {
    let mut random = Random(5);
    let (fields, values) = (fields(), values());
    let mut left = random_cases(200);
    while left > 0 {
        let mut cases = Vec::new();
        for _ in 0..left.min(20_000) {
            let mut changes = Vec::new();
            let mut parts = Vec::new();
            for _ in 0..1 + random.index(2) {
                let (part, mut path) = random.pick(&fields).unwrap().clone();
                if parts.contains(&part) {
                    continue;
                }
                parts.push(part);
                // In another case, or beside the known one.
                if random.index(8) == 0
                    && let Some(last) = path.last_mut().filter(|last| last.parse::<u8>().is_err())
                {
                    *last = match random.index(2) {
                        0 => last.to_uppercase(),
                        _ => format!("{last}x"),
                    };
                }
                changes.push((part, path, random.pick(&values).unwrap().clone()));
            }
            let name = format!("{changes:?}");
            cases.push((name, changes));
        }
        left -= cases.len();
        compare(&cases);
    }
}
