//! `--oci-mediatypes=false`: types are replaced with Docker's, and content without a Docker type is refused.

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_TAR, DOCKER_ZSTD, Image,
    Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, annotated, gzip,
    layer_tar, named, on, right_layout, zstd,
};
use crate::common::checker::{check_docker_output, check_output};
use crate::common::contents::Contents;
use crate::common::failure::fails_with;
use crate::common::fixture;
use crate::common::fixtures;
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

const NAME: &str = "docker.io/library/app:v1";
const DOCKER: &str = "--oci-mediatypes=false";

/// Converts to Docker's types twice. The second run must not change anything.
#[track_caller]
fn docker(input: &[u8], more: &[&str]) -> (Contents, Value) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", input);
    let options = [&[DOCKER], more].concat();
    let report = sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    let report = report.json();
    check_docker_output(&sandbox.path("out.tar"));
    let again = sandbox.fix_with("out.tar", "again.tar", &[DOCKER]).exits(0);
    assert_eq!(again.json()["status"], "unchanged");
    assert!(sandbox.read("again.tar") == sandbox.read("out.tar"));
    (Contents::read(&sandbox.path("out.tar")), report)
}

fn types(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item["mediaType"].as_str().unwrap())
        .collect()
}

#[test]
fn every_fixture_converts_to_docker_types_and_back() {
    for name in fixtures() {
        if name.contains("-cache-") {
            continue;
        }
        let sandbox = Sandbox::new();
        let gzip = ["--compression", "gzip", "--attestations", "drop"];
        let options = [&[DOCKER][..], &gzip].concat();
        // The annotations of an estargz layer go with another form only.
        let input = match name.contains("estargz") {
            false => fixture(&name),
            true => {
                let plain = ["--compression", "uncompressed"];
                sandbox
                    .fix_with(fixture(&name), "plain.tar", &plain)
                    .exits(0);
                sandbox.path("plain.tar")
            }
        };
        sandbox.fix_with(&input, "oci.tar", &gzip).exits(0);
        sandbox.fix_with(&input, "docker.tar", &options).exits(0);
        let oci = check_output(&sandbox.path("oci.tar"));
        let docker = check_docker_output(&sandbox.path("docker.tar"));
        assert_eq!(docker.configs, oci.configs, "{name}");
        assert_eq!(docker.tags, oci.tags, "{name}");
        let again = sandbox
            .fix_with("docker.tar", "again.tar", &options)
            .exits(0);
        assert_eq!(again.json()["status"], "unchanged", "{name}");
        assert!(
            sandbox.read("docker.tar") == sandbox.read("again.tar"),
            "{name}"
        );
        // Docker's forms contain everything that OCI's do.
        sandbox.fix("docker.tar", "back.tar").exits(0);
        assert!(
            sandbox.read("back.tar") == sandbox.read("oci.tar"),
            "{name}"
        );
    }
}

#[test]
fn every_type_becomes_its_docker_equivalent() {
    let layers = vec![
        Layer::gzip(OCI_GZIP, "one"),
        Layer::plain(OCI_TAR, "two"),
        // By its bytes, whatever the label says.
        Layer::gzip(DOCKER_ZSTD, "three"),
    ];
    let image = Image::oci(layers);
    let mut layout = Layout::new();
    let amd64 = on(layout.image(&image), "linux", "amd64");
    let arm64 = on(
        layout.image(&image.clone().architecture("arm64")),
        "linux",
        "arm64",
    );
    let index = layout.index_of(OCI_INDEX, vec![amd64, arm64]);
    layout.root(vec![named(index, NAME)]);
    let (contents, report) = docker(&layout.tar(), &[]);
    let root = contents.json("index.json");
    assert_eq!(root["mediaType"], OCI_INDEX);
    assert_eq!(types(&root["manifests"]), [DOCKER_LIST]);
    let list = contents.document(root["manifests"][0]["digest"].as_str().unwrap());
    assert_eq!(list["mediaType"], DOCKER_LIST);
    assert_eq!(types(&list["manifests"]), [DOCKER_MANIFEST; 2]);
    for (_, manifest) in contents.manifests() {
        assert_eq!(manifest["mediaType"], DOCKER_MANIFEST);
        assert_eq!(manifest["config"]["mediaType"], DOCKER_CONFIG);
        assert_eq!(
            types(&manifest["layers"]),
            [DOCKER_GZIP, DOCKER_TAR, DOCKER_GZIP]
        );
    }
    let changes = report["changes"].as_array().unwrap().iter();
    let by_type = changes.filter(|change| change["rule"] == "docker-type");
    // Entry, list and own; of each image entry, own, config and three layers.
    assert_eq!(by_type.count(), 2 + 2 * 6);
    // The digest that moved is the one that manifest.json and the report go by.
    assert_eq!(
        report["images"][0]["digest"],
        root["manifests"][0]["digest"]
    );
}

#[test]
fn metadata_names_the_types_that_were_written() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let options = [DOCKER, "--metadata-file", "metadata.json"];
    sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    let metadata: Value = serde_json::from_slice(&sandbox.read("metadata.json")).unwrap();
    let descriptor = &metadata["containerimage.descriptor"];
    assert_eq!(descriptor["mediaType"], DOCKER_MANIFEST, "{metadata:#}");
}

#[test]
fn a_docker_archive_gets_a_manifest_with_the_types_of_docker() {
    let mut saved = Saved::new();
    saved.docker(&image(&["one", "two"]), json!(["app:v1"]));
    let (contents, _) = docker(&saved.tar(), &[]);
    let (_, manifest) = contents.manifests().remove(0);
    assert_eq!(types(&manifest["layers"]), [DOCKER_TAR; 2]);
}

#[test]
fn zstd_becomes_gzip_if_requested() {
    let image = Image::docker(vec![Layer::zstd(DOCKER_ZSTD, "x")]);
    let input = Layout::of(&image, NAME).tar();
    for options in [&["--compression", "gzip"][..], &["--for", "docker@20.10"]] {
        let (contents, _) = docker(&input, options);
        let (_, manifest) = contents.manifests().remove(0);
        assert_eq!(types(&manifest["layers"]), [DOCKER_GZIP]);
    }
    let (contents, _) = docker(&input, &["--compression", "uncompressed"]);
    let (_, manifest) = contents.manifests().remove(0);
    assert_eq!(types(&manifest["layers"]), [DOCKER_TAR]);
}

#[test]
fn a_cache_with_docker_types_matches_buildkit() {
    let sandbox = Sandbox::new();
    let options = [DOCKER];
    let name = "buildkit-cache-list-ocitrue";
    // Its layers are zstd, which no option changes.
    let run = sandbox
        .fix_with(fixture(name), "out.tar", &options)
        .exits(1);
    assert_eq!(run.json()["error"]["code"], "no-docker-type");

    let mut layout = Layout::new();
    let layer = layout.blob(OCI_GZIP, gzip(&layer_tar("x")));
    let config = layout.blob("application/vnd.buildkit.cacheconfig.v0", "{}");
    let cache = layout.index_of(OCI_INDEX, vec![layer, config]);
    layout.root(vec![annotated(
        cache,
        &[(crate::common::builder::REF_NAME, "latest")],
    )]);
    sandbox.put("cache.tar", layout.tar());
    sandbox
        .fix_with("cache.tar", "docker.tar", &options)
        .exits(0);
    let contents = Contents::read(&sandbox.path("docker.tar"));
    let entry = contents.json("index.json")["manifests"][0].clone();
    assert_eq!(entry["mediaType"], DOCKER_LIST);
    let list = contents.document(entry["digest"].as_str().unwrap());
    assert_eq!(
        types(&list["manifests"]),
        [DOCKER_GZIP, "application/vnd.buildkit.cacheconfig.v0"]
    );
}

#[test]
fn content_without_a_docker_type_is_refused() {
    let with_layer = |layer: Value| {
        let mut layout = Layout::new();
        let mut manifest = layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]));
        let plain = layout.blob(OCI_GZIP, gzip(&layer_tar("x")));
        let mut merged = plain;
        for (key, value) in layer.as_object().unwrap() {
            merged[key] = value.clone();
        }
        manifest["layers"][0] = merged;
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, NAME)]);
        layout.tar()
    };
    let with_manifest = |edit: &dyn Fn(&mut Layout, &mut Value)| {
        let mut layout = Layout::of(&Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]), NAME);
        let mut manifest = layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "y")]));
        edit(&mut layout, &mut manifest);
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.edit_root(|root| root["manifests"].as_array_mut().unwrap().push(descriptor));
        layout.tar()
    };
    let zstd_layout = Layout::of(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "x")]), NAME);
    let place = "manifests[0], layers[0]";
    for (name, input, part) in [
        ("zstd", zstd_layout.tar(), place),
        (
            "zstd that is labelled gzip",
            Layout::of(
                &Image::docker(vec![Layer::new(
                    DOCKER_GZIP,
                    zstd(&layer_tar("x")),
                    &layer_tar("x"),
                )]),
                NAME,
            )
            .tar(),
            place,
        ),
        (
            "estargz",
            with_layer(json!({"annotations": {"containerd.io/snapshot/stargz/toc.digest": "x"}})),
            "toc.digest",
        ),
        (
            "encrypted",
            with_layer(json!({"mediaType": format!("{OCI_GZIP}+encrypted")})),
            place,
        ),
        (
            "unknown layer",
            with_layer(json!({"mediaType": "application/x-layer"})),
            "application/x-layer",
        ),
        (
            "artifact",
            with_manifest(&|_, manifest| manifest["artifactType"] = json!("text/plain")),
            "an artifact",
        ),
        (
            "attestation",
            with_manifest(&|layout, manifest| {
                let statement = layout.blob("application/vnd.in-toto+json", "{}");
                manifest["layers"] = json!([statement]);
            }),
            "an attestation",
        ),
        (
            "subject",
            with_manifest(&|layout, manifest| {
                manifest["subject"] = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]));
            }),
            "a subject",
        ),
    ] {
        fails_with(name, &input, &[DOCKER], "no-docker-type", &[part]);
        // As OCI's they are fine.
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", input);
        let options = ["--oci-mediatypes"];
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    }
}

#[test]
fn attestations_can_be_left_out() {
    let name = "buildkit-oci-attest-zstd-ocitrue.tar";
    let sandbox = Sandbox::new();
    let options = [DOCKER, "--compression", "gzip"];
    let run = sandbox
        .fix_with(fixture(name), "out.tar", &options)
        .exits(1);
    let report = run.json();
    assert_eq!(report["error"]["code"], "no-docker-type");
    let hint = report["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("--attestations drop"), "{hint}");
    let options = [&options[..], &["--attestations", "drop"]].concat();
    sandbox
        .fix_with(fixture(name), "out.tar", &options)
        .exits(0);
    check_docker_output(&sandbox.path("out.tar"));
}

#[test]
fn zstd_and_docker_types_conflict() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let line = [
        "fix",
        "in.tar",
        "-o",
        "out.tar",
        DOCKER,
        "--compression",
        "zstd",
    ];
    let run = sandbox.ocify(&line).exits(2);
    assert!(
        run.stderr.contains("no media type for zstd"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.names(), ["in.tar"]);
}
