//! `--preserve-digests`: no document below `index.json` changes, and what stays wrong is a finding.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_MANIFEST, DOCKER_ZSTD, Image, Layer, Layout, OCI_GZIP, OCI_INDEX,
    OCI_MANIFEST, OCI_TAR, OCI_ZSTD, digest_of, index, named, on, right_image, right_layout,
};
use crate::common::checker::{check_kept, judge};
use crate::common::contents::Contents;
use crate::common::evidence::attestation;
use crate::common::piped::stream;
use crate::common::placed::REFUSED;
use crate::common::runner::Sandbox;
use crate::common::saved::Saved;
use crate::common::{fixture, fixtures};

const NAME: &str = "docker.io/library/app:v1";
const OPTION: &str = "--preserve-digests";

/// The manifests and indexes below `index.json`, by digest.
fn documents(contents: &Contents) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![contents.json("index.json")];
    while let Some(document) = open.pop() {
        for child in document["manifests"].as_array().into_iter().flatten() {
            let digest = digest_of(child);
            let bytes = contents.blob(&digest).unwrap_or_default();
            if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
                open.push(document);
            }
            found.insert(digest, bytes.to_vec());
        }
    }
    found
}

/// The findings about changes that were not made: rule and severity.
fn not_made(report: &Value) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["rule"] == "digests-preserved");
    let found = findings.map(|finding| {
        let message = finding["message"].as_str().unwrap();
        let (_, rest) = message.split_once("by the rule ").unwrap();
        let (rule, _) = rest.split_once(':').unwrap();
        assert!(finding["hint"].as_str().unwrap().contains(OPTION));
        (
            rule.to_owned(),
            finding["severity"].as_str().unwrap().to_owned(),
        )
    });
    found.collect()
}

#[test]
fn every_fixture_keeps_its_digests_whatever_the_output() {
    let ways: [(&str, &[&str]); 4] = [
        ("out.tar", &[]),
        ("out.tar", &["--verify", "documents"]),
        ("out/", &[]),
        ("in.tar", &["--in-place"]),
    ];
    let mut with_findings = 0;
    for name in fixtures() {
        let path = fixture(&name);
        let before = Contents::read(&path);
        let has_index = before.has("index.json");
        for (output, options) in ways {
            let is_in_place = output == "in.tar";
            if is_in_place && (path.is_dir() || REFUSED.contains(&&*name)) {
                continue;
            }
            let about = format!("{name} {output} {options:?}");
            let sandbox = Sandbox::new();
            let report = if is_in_place {
                sandbox.put("in.tar", fs::read(&path).unwrap());
                let line = ["fix", "in.tar", "--in-place", OPTION, "--format", "json"];
                sandbox.ocify(&line).exits(0).json()
            } else {
                let options = [options, &[OPTION]].concat();
                sandbox.fix_with(&path, output, &options).exits(0).json()
            };
            assert_eq!(report["digests"], json!([]), "{about}");
            let after = sandbox.path(output);
            let contents = Contents::read(&after);
            if has_index {
                assert_eq!(documents(&contents), documents(&before), "{about}");
            }
            let findings = not_made(&report);
            if is_in_place && findings.is_empty() {
                check_kept(&after);
            } else if options.is_empty() {
                // Only the types of the documents that stay are wrong.
                let faults = judge(&after).err().unwrap_or_default();
                let is_type = |fault: &String| {
                    fault.contains("application/vnd.docker.")
                        // Layers of the nonstandard type are no image to the judge.
                        || fault == "manifest.json: is there for no image"
                        || fault.starts_with("the names: ")
                };
                assert!(faults.iter().all(is_type), "{about}: {faults:#?}");
                assert_eq!(
                    faults.is_empty(),
                    findings.is_empty(),
                    "{about}: {faults:#?}"
                );
                with_findings += usize::from(!findings.is_empty());
            }
            // A second pass has nothing to do, and a gate can turn green.
            let mut line = vec![
                "fix",
                output,
                "--dry-run",
                "--strict",
                OPTION,
                "--format",
                "json",
            ];
            if is_in_place {
                line.push("--in-place");
            } else if output == "out.tar" {
                line.extend([&["-o", "other.tar"][..], options].concat());
            }
            let again = sandbox.ocify(&line).exits(0).json();
            assert_eq!(again["changes"], json!([]), "{about}");
            assert_eq!(not_made(&again), findings, "{about}");
        }
        if path.is_file() && has_index {
            let piped = stream(&fs::read(&path).unwrap(), &[OPTION]).exits(0);
            let contents = Contents::from_tar(&piped.out);
            assert_eq!(documents(&contents), documents(&before), "{name}");
        }
    }
    assert!(with_findings > 5, "{with_findings}");
}

#[test]
fn what_needs_no_new_digest_is_fixed() {
    // Right below index.json, and wrong everywhere else.
    let mut layout = right_layout();
    (layout.docker_manifest, layout.oci_layout) = (None, None);
    layout.edit_root(|root| {
        root.as_object_mut().unwrap().remove("mediaType");
        let entry = root["manifests"][0].as_object_mut().unwrap();
        entry.insert(
            "annotations".to_owned(),
            json!({"org.opencontainers.image.ref.name": NAME}),
        );
    });
    let sandbox = Sandbox::new();
    let mut entries = layout.entries();
    entries.reverse();
    sandbox.put("in.tar", crate::common::archive::tar(&entries));
    let report = sandbox
        .fix_with("in.tar", "out.tar", &[OPTION])
        .exits(0)
        .json();
    assert!(not_made(&report).is_empty(), "{report:#}");
    assert!(judge(&sandbox.path("out.tar")).is_ok());
    // It is what fixing without the option gives.
    sandbox.fix("in.tar", "free.tar").exits(0);
    assert!(sandbox.read("out.tar") == sandbox.read("free.tar"));
}

#[test]
fn what_would_need_a_new_digest_is_a_finding() {
    let pair = |rule: &str, severity: &str| (rule.to_owned(), severity.to_owned());
    let types = |severity| {
        ["manifest-type", "config-type", "layer-type"]
            .map(|rule| pair(rule, severity))
            .to_vec()
    };
    let docker = |layer: Layer| Layout::of(&Image::docker(vec![layer]), NAME);
    let oci = |layer: Layer| Layout::of(&Image::oci(vec![layer]), NAME);
    let mut untyped = Layout::new();
    let image = untyped.image(&right_image());
    let mut list = index(OCI_INDEX, vec![on(image, "linux", "amd64")]);
    list.as_object_mut().unwrap().remove("mediaType");
    let list = untyped.document(OCI_INDEX, &list);
    untyped.root(vec![named(list, NAME)]);
    for (name, layout, expected) in [
        (
            "docker gzip",
            docker(Layer::gzip(DOCKER_GZIP, "a")),
            types("cosmetic"),
        ),
        (
            "docker zstd",
            docker(Layer::zstd(DOCKER_ZSTD, "a")),
            types("breaks"),
        ),
        (
            "oci tar of gzip",
            oci(Layer::gzip(OCI_TAR, "a")),
            vec![pair("layer-type", "breaks")],
        ),
        (
            "oci gzip of zstd",
            oci(Layer::zstd(OCI_GZIP, "a")),
            vec![pair("layer-type", "warns")],
        ),
        (
            "an index without mediaType",
            untyped,
            vec![pair("media-type-field", "warns")],
        ),
        ("right", oci(Layer::zstd(OCI_ZSTD, "a")), vec![]),
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", layout.tar());
        let before = Contents::read(&sandbox.path("in.tar"));
        let options = [OPTION, "--metadata-file", "meta.json"];
        let report = sandbox
            .fix_with("in.tar", "out.tar", &options)
            .exits(0)
            .json();
        assert_eq!(not_made(&report), expected, "{name}");
        let after = Contents::read(&sandbox.path("out.tar"));
        assert_eq!(documents(&after), documents(&before), "{name}");
        // The descriptor in index.json agrees with the document, and so does the metadata.
        let (old, new) = (before.json("index.json"), after.json("index.json"));
        let (old, new) = (&old["manifests"][0], &new["manifests"][0]);
        for key in ["mediaType", "digest", "size"] {
            assert_eq!(old[key], new[key], "{name}: {key}");
        }
        let metadata: Value = serde_json::from_slice(&sandbox.read("meta.json")).unwrap();
        assert_eq!(
            metadata["containerimage.descriptor"]["mediaType"], new["mediaType"],
            "{name}"
        );
        // docker finds the image in any case.
        assert_eq!(
            after.json("manifest.json")[0]["RepoTags"],
            json!(["app:v1"]),
            "{name}"
        );
    }
}

/// A manifest is called Docker's only by its descriptor, which is in index.json.
#[test]
fn a_descriptor_in_the_index_gets_its_document_s_type() {
    let mut layout = right_layout();
    layout.edit_root(|root| {
        root["manifests"][0]["mediaType"] =
            json!("application/vnd.docker.distribution.manifest.v2+json");
    });
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox
        .fix_with("in.tar", "out.tar", &[OPTION])
        .exits(0)
        .json();
    assert!(not_made(&report).is_empty(), "{report:#}");
    assert!(sandbox.read("out.tar") == right_layout().tar());
}

#[test]
fn manifests_that_contradict_manifest_json_stay() {
    let mut layout = right_layout();
    let image = Image::oci(vec![Layer::plain(OCI_TAR, "a")]);
    let mut manifest = layout.manifest(&image);
    layout.docker(&manifest, &["app:v1"]);
    manifest["layers"] = json!([]);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor.clone(), NAME)]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox
        .fix_with("in.tar", "out.tar", &[OPTION])
        .exits(0)
        .json();
    assert_eq!(
        not_made(&report),
        [("layers-restored".to_owned(), "breaks".to_owned())]
    );
    let after = Contents::read(&sandbox.path("out.tar"));
    assert_eq!(after.document(&digest_of(&descriptor)), manifest);
    assert_eq!(
        after.json("index.json")["manifests"][0]["size"],
        descriptor["size"]
    );
    assert_eq!(report["images"][0]["digest"], digest_of(&descriptor));
}

#[test]
fn options_that_change_digests_are_refused() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let image = layout.image(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "a")]));
    let evidence = attestation(&mut layout, &image);
    let mut absent = image.clone();
    absent["digest"] = json!(format!("sha256:{}", "1".repeat(64)));
    let list = vec![
        on(image, "linux", "amd64"),
        on(absent, "linux", "arm64"),
        evidence,
    ];
    let list = layout.index_of(OCI_INDEX, list);
    layout.root(vec![named(list, NAME)]);
    sandbox.put("in.tar", layout.tar());
    for (options, code, part) in [
        (&["--compression", "gzip"][..], 2, "--compression gzip"),
        (&["--oci-mediatypes=false"], 2, "--oci-mediatypes=false"),
        (&["--for", "docker@20.10"], 1, "must be recompressed"),
        (&["--attestations", "drop"], 1, "would have to be removed"),
        (&["--missing", "prune"], 1, "would have to be removed"),
    ] {
        for way in [&["-o", "out.tar"][..], &["--dry-run"]] {
            let line = [&["fix", "in.tar", OPTION], options, way].concat();
            let run = sandbox.ocify(&line).exits(code);
            assert!(run.stderr.contains(part), "{options:?}: {run:#?}");
            assert!(run.stderr.contains(OPTION), "{options:?}: {run:#?}");
        }
    }
    assert_eq!(sandbox.names(), ["in.tar"]);
    let line = [
        "fix",
        "in.tar",
        OPTION,
        "--dry-run",
        "--missing",
        "prune",
        "--format",
        "json",
    ];
    let report = sandbox.ocify(&line).exits(1).json();
    assert_eq!(report["error"]["code"], "digests-preserved");
    // What takes entries of index.json away or names them is fine.
    let mut flat = right_layout();
    let image = flat.image(&right_image());
    let evidence = attestation(&mut flat, &image);
    flat.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(evidence));
    sandbox.put("flat.tar", flat.tar());
    for options in [
        &["--attestations", "drop"][..],
        &["--name", "app:v2"],
        &["--image", "1"],
        &["--for", "docker@20.10"],
    ] {
        let options = [options, &[OPTION, "--force"]].concat();
        let report = sandbox
            .fix_with("flat.tar", "out.tar", &options)
            .exits(0)
            .json();
        assert_eq!(
            report["images"][0]["digest"],
            digest_of(&image),
            "{options:?}"
        );
    }
}

/// Two platforms side by side, whose descriptors state something else than is there.
fn flat(edit: impl Fn(&mut Value), of: impl Fn(&str) -> Image) -> Layout {
    let mut layout = Layout::new();
    let entries = ["amd64", "arm64"].map(|architecture| {
        let mut entry = layout.image(&of(architecture));
        edit(&mut entry);
        named(on(entry, "linux", architecture), NAME)
    });
    layout.root(entries.to_vec());
    layout
}

/// The only entry of `index.json` and what it lists must state the sizes and types of what is there.
fn check_stated(contents: &Contents, about: &str) {
    let mut open = vec![contents.json("index.json")];
    let mut count = 0;
    while let Some(document) = open.pop() {
        for child in document["manifests"].as_array().into_iter().flatten() {
            let bytes = contents.blob(&digest_of(child)).unwrap();
            assert_eq!(child["size"], bytes.len(), "{about}: {child}");
            let own: Value = serde_json::from_slice(bytes).unwrap();
            assert_eq!(child["mediaType"], own["mediaType"], "{about}: {child}");
            open.push(own);
            count += 1;
        }
    }
    assert!(count >= 2, "{about}: {count}");
}

#[test]
fn documents_that_ocify_creates_state_what_is_there() {
    let oci = |architecture: &str| {
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]);
        image.architecture(architecture)
    };
    let docker = |architecture: &str| {
        let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, architecture)]);
        image.architecture(architecture)
    };
    // Its own type is OCI's, and it stays because of its layer.
    let kept = |architecture: &str| {
        let image = Image::oci(vec![Layer::gzip(DOCKER_GZIP, architecture)]);
        image.architecture(architecture)
    };
    let size = |entry: &mut Value| entry["size"] = json!(7);
    let called =
        |media_type: &'static str| move |entry: &mut Value| entry["mediaType"] = json!(media_type);
    for (name, layout, is_changed) in [
        ("right", flat(|_| (), oci), false),
        ("wrong sizes", flat(size, oci), true),
        ("wrong sizes, docker's types", flat(size, docker), true),
        ("called docker's", flat(called(DOCKER_MANIFEST), oci), true),
        ("called oci's", flat(called(OCI_MANIFEST), docker), true),
        (
            "called docker's, kept",
            flat(called(DOCKER_MANIFEST), kept),
            true,
        ),
        ("docker's types", flat(|_| (), docker), false),
    ] {
        let bytes = layout.tar();
        let before = Contents::from_tar(&bytes);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let places: [(&str, &[&str]); 4] = [
            ("out.tar", &[]),
            ("layout/", &[]),
            ("clone.tar", &["--verify", "documents"]),
            ("other.tar", &["--for", "podman"]),
        ];
        for (output, options) in places {
            let about = format!("{name} {output}");
            let options = [options, &[OPTION]].concat();
            let report = sandbox.fix_with("in.tar", output, &options).exits(0).json();
            let after = Contents::read(&sandbox.path(output));
            check_stated(&after, &about);
            for (digest, text) in documents(&before) {
                assert_eq!(documents(&after).get(&digest), Some(&text), "{about}");
            }
            assert_eq!(report["digests"], json!([]), "{about}");
            let changes = report["changes"].as_array().unwrap().iter();
            let corrected = changes.filter(|change| {
                let location = change["location"].as_str().unwrap();
                location.starts_with("index.json, manifests[0], manifests[")
            });
            assert_eq!(
                corrected.count(),
                if is_changed { 2 } else { 0 },
                "{about}: {report:#}"
            );
            // Nothing is left to do.
            let again = sandbox.fix_with(output, "again.tar", &[OPTION, "--force"]);
            assert_eq!(not_made(&again.json()), not_made(&report), "{about}");
            let again = Contents::read(&sandbox.path("again.tar"));
            assert_eq!(
                again.json("index.json"),
                after.json("index.json"),
                "{about}"
            );
        }
        // Without the nested index, index.json has the descriptors.
        let options = [OPTION, "--image", "1", "--force"];
        sandbox.put("one.tar", single(&layout));
        sandbox.fix_with("one.tar", "out.tar", &options).exits(0);
        let after = Contents::read(&sandbox.path("out.tar"));
        let entry = &after.json("index.json")["manifests"][0];
        let bytes = after.blob(&digest_of(entry)).unwrap();
        let own: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(entry["size"], bytes.len(), "{name}");
        assert_eq!(entry["mediaType"], own["mediaType"], "{name}");
    }
}

/// The same with the first entry only.
fn single(layout: &Layout) -> Vec<u8> {
    let mut layout = layout.clone();
    layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().truncate(1));
    layout.tar()
}

/// No tool has seen the digests of documents that ocify creates.
#[test]
fn new_digests_of_documents_that_ocify_creates_are_allowed() {
    let image = Image::oci(vec![Layer::zstd(OCI_ZSTD, "a")]);
    let mut saved = Saved::new();
    saved.docker(&image, json!(["app:v1"]));
    let sandbox = Sandbox::new();
    sandbox.put("saved.tar", saved.tar());
    let options = ["--for", "docker@20.10"];
    sandbox.fix_with("saved.tar", "free.tar", &options).exits(0);
    let with_option = [&options[..], &[OPTION]].concat();
    let report = sandbox.fix_with("saved.tar", "out.tar", &with_option);
    assert_eq!(report.exits(0).json()["digests"], json!([]));
    assert!(sandbox.read("out.tar") == sandbox.read("free.tar"));

    let mut layout = Layout::new();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]);
        let image = layout.image(&image.architecture(architecture));
        entries.push(attestation(&mut layout, &image));
        entries.push(named(on(image, "linux", architecture), NAME));
    }
    layout.root(entries);
    sandbox.put("flat.tar", layout.tar());
    let options = ["--attestations", "drop", "--force"];
    sandbox.fix_with("flat.tar", "free.tar", &options).exits(0);
    let with_option = [&options[..], &[OPTION]].concat();
    sandbox
        .fix_with("flat.tar", "out.tar", &with_option)
        .exits(0);
    assert!(sandbox.read("out.tar") == sandbox.read("free.tar"));
}

#[test]
fn a_dry_run_does_not_say_that_nothing_is_to_fix_if_something_is() {
    let sandbox = Sandbox::new();
    let image = |layer: Layer| Layout::of(&Image::docker(vec![layer]), NAME).tar();
    sandbox.put("broken.tar", image(Layer::zstd(DOCKER_ZSTD, "a")));
    sandbox.put("cosmetic.tar", image(Layer::gzip(DOCKER_GZIP, "a")));
    sandbox.put("right.tar", right_layout().tar());
    for (name, code, nothing, not_made) in [
        (
            "broken",
            3,
            "nothing to fix without new digests",
            ", 3 kinds of changes not made to preserve digests",
        ),
        (
            "cosmetic",
            0,
            "nothing to fix",
            ", 3 kinds of changes not made to preserve digests",
        ),
        ("right", 0, "nothing to fix", ""),
    ] {
        let (input, output) = (format!("{name}.tar"), format!("{name}-out.tar"));
        let first = sandbox
            .ocify(&["fix", &input, "-o", &output, OPTION])
            .exits(0);
        let headline = first.stdout.lines().next().unwrap().to_owned();
        assert!(headline.contains(not_made), "{headline}");
        // What the option allows is done, so a gate with it is green. Without it, the gate is about the engines.
        let again = sandbox
            .ocify(&["fix", &output, "--dry-run", OPTION])
            .exits(0);
        let headline = again.stdout.lines().next().unwrap();
        assert_eq!(headline, format!("{output}: {nothing}{not_made}"));
        sandbox.ocify(&["fix", &output, "--dry-run"]).exits(code);
        // A batch says the same.
        let line = ["fix", &output, "right.tar", "--dry-run", OPTION];
        let batch = sandbox.ocify(&line).exits(0).stdout;
        let line = batch.lines().find(|line| line.contains(&output)).unwrap();
        assert!(
            line.contains(&format!("{output}: {nothing}{not_made}")),
            "{batch}"
        );
    }
}
