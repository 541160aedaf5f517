//! Recompression keeps the tar in each layer, the diff IDs and the image ID.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::Value;

use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_TAR, OCI_ZSTD, gzip, layer_tar, named,
    right_layout, zstd,
};
use crate::common::checker::check_output;
use crate::common::contents::Contents;
use crate::common::failure::fails_with;
use crate::common::judged::rules;
use crate::common::runner::{Sandbox, run};
use crate::common::{fixture, layouts};

const NAME: &str = "docker.io/library/app:v1";

/// The media types of all layers below `index.json`, attestations left out.
fn layer_types(contents: &Contents) -> BTreeSet<String> {
    let manifests = contents.manifests();
    let layers = manifests
        .iter()
        .flat_map(|(_, manifest)| manifest["layers"].as_array().unwrap());
    layers
        .map(|layer| layer["mediaType"].as_str().unwrap().to_owned())
        .filter(|media_type| media_type.contains("layer"))
        .collect()
}

fn fixed(layout: &Layout, options: &[&str]) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix_with("in.tar", "out.tar", options).exits(0);
    check_output(&sandbox.path("out.tar"));
    let report = report.json();
    (sandbox, report)
}

#[test]
fn every_fixture_recompresses_to_every_format() {
    let forms = [
        ("gzip", OCI_GZIP),
        ("zstd", OCI_ZSTD),
        ("uncompressed", OCI_TAR),
    ];
    for name in layouts() {
        if name.contains("-cache-") {
            continue;
        }
        let sandbox = Sandbox::new();
        let input = fixture(&name);
        sandbox.fix(&input, "kept.tar").exits(0);
        let kept = check_output(&sandbox.path("kept.tar"));
        for (form, media_type) in forms {
            let options = ["--compression", form, "--force"];
            sandbox.fix_with(&input, "out.tar", &options).exits(0);
            let facts = check_output(&sandbox.path("out.tar"));
            assert_eq!(facts.configs, kept.configs, "{name} {form}");
            assert_eq!(facts.tags, kept.tags, "{name} {form}");
            let contents = Contents::read(&sandbox.path("out.tar"));
            let types = layer_types(&contents);
            assert_eq!(
                types,
                BTreeSet::from([media_type.to_owned()]),
                "{name} {form}"
            );
            // A second run has nothing left to do.
            let again = sandbox.fix_with("out.tar", "again.tar", &options).exits(0);
            assert_eq!(again.json()["status"], "unchanged", "{name} {form}");
            assert!(sandbox.read("again.tar") == sandbox.read("out.tar"));
        }
    }
}

/// Bytes of which some compress and some do not.
fn mixed(len: u32, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len)
        .map(|n| {
            if n / 5000 % 3 == 0 {
                noise()
            } else {
                (n / 7 % 251) as u8
            }
        })
        .collect()
}

#[test]
fn the_output_does_not_depend_on_threads() {
    let tar = |len, seed| {
        let entry = crate::common::archive::Entry::file("big", mixed(len, seed));
        crate::common::archive::tar(&[entry])
    };
    // More than one job of zstd, more than one member of gzip, and many small ones.
    let big = tar(9_000_000, 1);
    let middle = tar(3_000_000, 2);
    let mut layers = vec![
        Layer::new(OCI_ZSTD, zstd(&big), &big),
        Layer::new(OCI_GZIP, gzip(&middle), &middle),
    ];
    for number in 0..6 {
        layers.push(Layer::zstd(OCI_ZSTD, &format!("zstd {number}")));
        layers.push(Layer::gzip(OCI_GZIP, &format!("gzip {number}")));
    }
    let layout = Layout::of(&Image::oci(layers), NAME);
    for options in [
        &["--compression", "gzip"][..],
        &["--compression", "gzip", "--gzip-members", "single"],
        &["--compression", "zstd"],
        &["--compression", "uncompressed"],
    ] {
        let outputs = ["1", "2", "4"].map(|jobs| {
            let (sandbox, _) = fixed(&layout, &[options, &["--jobs", jobs]].concat());
            sandbox.read("out.tar")
        });
        assert!(outputs[0] == outputs[1], "{options:?}, 2 jobs");
        assert!(outputs[0] == outputs[2], "{options:?}, 4 jobs");
    }
}

#[test]
fn repeated_recompression_keeps_configs_and_names() {
    for name in [
        "buildkit-oci-multi-attest-zstd-ocitrue.tar",
        "buildkit-docker-names-zstd-ocifalse.tar",
        "containerd17-export-multi.tar",
        "docker20-save-names.tar",
        "buildkit-oci-estargz-ocitrue.tar",
    ] {
        let sandbox = Sandbox::new();
        sandbox.fix(fixture(name), "kept.tar").exits(0);
        let kept = check_output(&sandbox.path("kept.tar"));
        let mut from = fixture(name);
        for (step, form) in ["uncompressed", "gzip", "zstd", "gzip"].iter().enumerate() {
            let output = format!("{step}-{form}.tar");
            let options = ["--compression", form];
            sandbox.fix_with(&from, &output, &options).exits(0);
            from = sandbox.path(&output);
            let facts = check_output(&from);
            assert_eq!(facts.configs, kept.configs, "{name} {output}");
            assert_eq!(facts.tags, kept.tags, "{name} {output}");
            let names = |names: &std::collections::BTreeMap<String, String>| {
                names.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(&facts.names), names(&kept.names), "{name} {output}");
            assert_eq!(facts.missing.len(), kept.missing.len(), "{name} {output}");
        }
        let (first, second) = (sandbox.read("1-gzip.tar"), sandbox.read("3-gzip.tar"));
        assert!(first == second, "{name}");
    }
}

#[test]
fn platforms_and_attestations_keep_their_links() {
    let name = "buildkit-oci-multi-attest-zstd-ocitrue.tar";
    let sandbox = Sandbox::new();
    let options = ["--compression", "gzip"];
    sandbox
        .fix_with(fixture(name), "out.tar", &options)
        .exits(0);
    let links = |path: &std::path::Path| {
        let contents = Contents::read(path);
        let root = contents.json("index.json");
        let index = contents.document(root["manifests"][0]["digest"].as_str().unwrap());
        let entries = index["manifests"].as_array().unwrap().clone();
        let place = |digest: &Value| entries.iter().position(|entry| entry["digest"] == *digest);
        entries
            .iter()
            .map(|entry| {
                let link = &entry["annotations"]["vnd.docker.reference.digest"];
                (entry["platform"].to_string(), place(link))
            })
            .collect::<Vec<_>>()
    };
    let found = links(&sandbox.path("out.tar"));
    assert_eq!(found, links(&fixture(name)));
    let linked: Vec<Option<usize>> = found.into_iter().map(|(_, place)| place).collect();
    assert_eq!(linked, [None, None, Some(0), Some(1)]);
}

#[test]
fn skippable_frames_are_removed_only_for_engines_that_cannot_read_them() {
    let plain = layer_tar("x");
    let bytes = [b"\x50\x2a\x4d\x18\x02\0\0\0hi", &zstd(&plain)[..]].concat();
    let layout = Layout::of(
        &Image::oci(vec![Layer::new(OCI_ZSTD, bytes.clone(), &plain)]),
        NAME,
    );
    let (_, report) = fixed(&layout, &[]);
    let warned = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|f| f["rule"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(warned(&report), ["zstd-layers", "skippable-frame"]);
    for (options, form) in [
        (&["--for", "docker", "--for", "containerd@1.7"][..], None),
        (&["--for", "containerd@1.5"], Some(OCI_GZIP)),
        (&["--for", "podman"], Some(OCI_GZIP)),
        (&["--compression", "zstd"], None),
        (
            &["--compression", "zstd", "--for", "skopeo"],
            Some(OCI_ZSTD),
        ),
    ] {
        let (sandbox, report) = fixed(&layout, options);
        let is_changed = rules(&report).contains(&"recompressed");
        assert_eq!(is_changed, form.is_some(), "{options:?}");
        let contents = Contents::read(&sandbox.path("out.tar"));
        let expected = form.unwrap_or(OCI_ZSTD).to_owned();
        assert_eq!(
            layer_types(&contents),
            BTreeSet::from([expected]),
            "{options:?}"
        );
        // Engines that were asked for read it, and the others do not matter.
        let is_warned = warned(&report).contains(&"skippable-frame".to_owned());
        let is_asked = options.contains(&"--for");
        assert_eq!(is_warned, form.is_none() && !is_asked, "{options:?}");
    }
}

#[test]
fn only_what_the_engine_cannot_read_is_recompressed() {
    let layers = vec![
        Layer::gzip(OCI_GZIP, "kept"),
        Layer::zstd(OCI_ZSTD, "changed"),
        Layer::plain(OCI_TAR, "kept too"),
    ];
    let layout = Layout::of(&Image::oci(layers.clone()), NAME);
    let (sandbox, report) = fixed(&layout, &["--for", "docker@20.10"]);
    let changed = rules(&report)
        .iter()
        .filter(|rule| **rule == "recompressed")
        .count();
    assert_eq!(changed, 1);
    let contents = Contents::read(&sandbox.path("out.tar"));
    let blobs: Vec<&[u8]> = contents.files.values().map(Vec::as_slice).collect();
    assert!(blobs.contains(&layers[0].bytes.as_slice()));
    assert!(blobs.contains(&layers[2].bytes.as_slice()));
    assert!(
        !blobs.contains(&layers[1].bytes.as_slice()),
        "the old layer stayed"
    );
    assert_eq!(
        report["findings"].as_array().unwrap().len(),
        0,
        "{report:#}"
    );

    let (_, report) = fixed(&layout, &["--for", "docker@23.0", "--for", "podman"]);
    assert!(!rules(&report).contains(&"recompressed"));
    let (_, report) = fixed(&layout, &["--for", "podman", "--for", "docker@20.10.24"]);
    assert!(rules(&report).contains(&"recompressed"));
}

#[test]
fn a_dry_run_reports_what_would_be_recompressed() {
    let layout = Layout::of(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "x")]), NAME);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let line = [
        "fix",
        "in.tar",
        "--dry-run",
        "--format",
        "json",
        "--for",
        "docker@20.10",
    ];
    let report = sandbox.ocify(&line).exits(3).json();
    let changes = report["changes"].as_array().unwrap();
    let change = changes
        .iter()
        .find(|change| change["rule"] == "recompressed");
    assert_eq!(change.unwrap()["after"], "gzip");
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn bzip2_and_xz_layers_become_readable() {
    let plain = layer_tar("old");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    for (name, bytes) in [
        ("bzip2", bzip2.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
    ] {
        let layer = Layer::new(DOCKER_GZIP, bytes, &plain);
        let layout = Layout::of(&Image::docker(vec![layer]), NAME);
        fails_with(
            name,
            &layout.tar(),
            &[],
            "unsupported-compression",
            &["manifests[0], layers[0]", name],
        );
        for form in ["gzip", "zstd", "uncompressed"] {
            fixed(&layout, &["--compression", form]);
        }
        // No engine is known to read them, because they have no media type.
        fixed(&layout, &["--for", "docker@20.10"]);
    }
}

#[test]
fn a_layer_shared_by_two_images_is_recompressed_once() {
    let shared = Layer::zstd(OCI_ZSTD, "shared");
    let one = Image::oci(vec![shared.clone()]);
    let two = Image::oci(vec![shared, Layer::zstd(OCI_ZSTD, "own")]).architecture("arm64");
    let mut layout = Layout::new();
    let entries = vec![
        named(layout.image(&one), "docker.io/library/one:v1"),
        named(layout.image(&two), "docker.io/library/two:v1"),
    ];
    layout.root(entries);
    let (sandbox, report) = fixed(&layout, &["--compression", "gzip"]);
    assert_eq!(
        report["blobs"]["count"], 6,
        "two manifests, two configs, two layers"
    );
    let contents = Contents::read(&sandbox.path("out.tar"));
    let parts = contents.parts();
    assert!(parts[0].iter().any(|digest| parts[1].contains(digest)));
}

/// An archive can have more layers than a process can have open files.
#[test]
fn many_layers_need_few_temporary_files() {
    let layer = |number| Layer::zstd(OCI_ZSTD, &format!("layer {number}"));
    let layers = (0..200).map(layer).collect();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", Layout::of(&Image::oci(layers), NAME).tar());
    for (option, output) in [("--archive", "out.tar"), ("--layout", "layout")] {
        let mut command = sandbox.limited("-n", 40);
        let line = ["fix", "in.tar", option, "-o", output];
        run(command.args(line).args(["--compression", "gzip"])).exits(0);
        check_output(&sandbox.path(output));
    }
}

#[test]
fn single_member_gzip_has_one_member() {
    let tar = layer_tar(&"0123456789".repeat(300_000));
    let layout = Layout::of(
        &Image::oci(vec![Layer::new(OCI_TAR, tar.clone(), &tar)]),
        NAME,
    );
    let members = |options: &[&str]| {
        let (sandbox, _) = fixed(&layout, options);
        let contents = Contents::read(&sandbox.path("out.tar"));
        let (_, manifest) = contents.manifests().remove(0);
        let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        let bytes = contents.blob(&digest).unwrap().to_vec();
        // Reads the first member and nothing after it.
        let mut first = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut first).unwrap();
        first.len()
    };
    assert_eq!(
        members(&["--compression", "gzip", "--gzip-members", "single"]),
        tar.len()
    );
    assert_eq!(members(&["--compression", "gzip"]), 1 << 20);
}

#[test]
fn bad_layers_are_reported_and_leave_no_output() {
    let plain = layer_tar("x");
    let wrong = Layer::new(OCI_ZSTD, zstd(&plain), &layer_tar("y"));
    let other_tar = Layout::of(&Image::oci(vec![wrong]), NAME).tar();
    let place = "manifests[0], layers[0]";
    let to_gzip = ["--compression", "gzip"];
    fails_with(
        "diff ID",
        &other_tar,
        &to_gzip,
        "diff-id-mismatch",
        &[place],
    );

    let mut half = zstd(&plain);
    half.truncate(half.len() - 3);
    let cut = Layout::of(&Image::oci(vec![Layer::new(OCI_ZSTD, half, &plain)]), NAME).tar();
    fails_with("cut", &cut, &to_gzip, "damaged-layer", &[place, "zstd"]);

    let mut layout = Layout::of(&Image::oci(vec![Layer::zstd(OCI_ZSTD, "x")]), NAME);
    let name = layout
        .blobs
        .iter()
        .find(|(_, bytes)| bytes.starts_with(&[0x28, 0xb5]))
        .map(|(name, _)| name.clone())
        .unwrap();
    let bytes = layout.blobs.get_mut(&name).unwrap();
    *bytes = zstd(&layer_tar("z"));
    let flipped = layout.tar();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", flipped);
    let run = sandbox.fix_with("in.tar", "out.tar", &to_gzip).exits(1);
    let code = run.json()["error"]["code"].as_str().unwrap().to_owned();
    assert!(
        ["digest-mismatch", "size-mismatch"].contains(&code.as_str()),
        "{code}"
    );
    assert_eq!(sandbox.names(), ["in.tar"]);
}

#[test]
fn trailing_data_after_a_gzip_layer_is_dropped() {
    let plain = layer_tar("x");
    for tail in [&[0; 700][..], b"trailing"] {
        let bytes = [gzip(&plain), tail.to_vec()].concat();
        let layer = Layer::new(OCI_GZIP, bytes, &plain);
        let layout = Layout::of(&Image::oci(vec![layer]), NAME);
        fixed(&layout, &["--compression", "zstd"]);
        fixed(&layout, &["--compression", "uncompressed"]);
    }
}

#[test]
fn conflicting_options_are_wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    for (options, part) in [
        (
            &["--for", "docker@20.10", "--compression", "zstd"][..],
            "conflict",
        ),
        (&["--compression-level", "13"], "expected 0 to 12"),
        (
            &["--compression", "zstd", "--compression-level", "0"],
            "expected 1 to 22",
        ),
        (
            &["--compression", "uncompressed", "--compression-level", "1"],
            "does not have levels",
        ),
        (&["--for", "lxc"], "expected one of docker"),
        (&["--for", "docker@1.9"], "use 1.10 or later"),
    ] {
        let line = [&["fix", "in.tar", "-o", "out.tar"], options].concat();
        let run = sandbox.ocify(&line).exits(2);
        assert!(run.stderr.contains(part), "{options:?}: {}", run.stderr);
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}
