//! Images with several platforms: what engines load depends on the machine, which `ocify check --platform` names.

use std::io::Cursor;

use ocify::{Check, Checked, Engine, Fix, Input, Loads, Output, Platform};
use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_TAR, digest_of, gzip, index,
    layer_tar, named, on,
};
use crate::common::contents::blob_name;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_check;

const NAME: &str = "example.com/app:v1";
const AMD64: &str = "linux/amd64";
const ARM64: &str = "linux/arm64";

/// A reader, what it does on Linux on amd64 and on arm64, and the rule of the reason where it does not load.
type Expected = (&'static str, Loads, Loads, &'static str);

fn image(architecture: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]).architecture(architecture)
}

/// An index of two platforms, whose manifests are returned, too.
fn both(layout: &mut Layout) -> [Value; 2] {
    let manifests = ["amd64", "arm64"].map(|architecture| {
        let manifest = layout.image(&image(architecture));
        on(manifest, "linux", architecture)
    });
    list(layout, manifests.to_vec());
    manifests
}

fn list(layout: &mut Layout, manifests: Vec<Value>) {
    let list = layout.document(OCI_INDEX, &index(OCI_INDEX, manifests));
    layout.root(vec![named(list, NAME)]);
}

fn remove(layout: &mut Layout, descriptor: &Value) {
    let name = blob_name(&digest_of(descriptor));
    assert!(layout.blobs.remove(&name).is_some());
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn judged(archive: &[u8], engine: &str, on: Option<&str>) -> Checked {
    let check = Check::new(Fix::new()).engine(engine.parse::<Engine>().unwrap());
    let check = on.map(platform).into_iter().fold(check, Check::platform);
    let input = Input::stream(Cursor::new(archive.to_vec()));
    check.run(input).unwrap()
}

fn check(what: &str, archive: &[u8], expected: &[Expected]) {
    for (engine, amd64, arm64, rule) in expected {
        for (on, loads) in [(AMD64, amd64), (ARM64, arm64)] {
            let checked = judged(archive, engine, Some(on));
            assert_eq!(checked.platform, platform(on));
            let verdict = &checked.verdicts[0].as_it_is;
            let because = &verdict.because;
            assert_eq!(
                verdict.loads, *loads,
                "{what} in {engine} on {on}: {because:#?}"
            );
            let rules: Vec<&str> = because
                .iter()
                .map(|reason| reason.obstacle.name())
                .collect();
            let is_good = verdict.loads.is_good();
            assert_eq!(
                rules.contains(rule),
                !is_good,
                "{what} in {engine} on {on}: {rules:?}"
            );
        }
    }
}

#[test]
fn only_the_machines_platform_has_to_be_there() {
    let mut layout = Layout::new();
    let [_, arm64] = both(&mut layout);
    remove(&mut layout, &arm64);
    check(
        "an absent manifest",
        &layout.tar(),
        &[
            (
                "containerd@1.6.20",
                Loads::Yes,
                Loads::No,
                "missing-content",
            ),
            ("containerd", Loads::Yes, Loads::No, "missing-content"),
            ("nerdctl", Loads::Yes, Loads::No, "missing-content"),
            ("kind@0.16", Loads::Yes, Loads::No, "missing-content"),
            ("podman@5.4.2", Loads::Yes, Loads::No, "missing-content"),
            (
                "buildah@1.39.3/oci-archive",
                Loads::Yes,
                Loads::No,
                "missing-content",
            ),
            // It chooses among what the index lists, and since 28 among what is there.
            (
                "docker@26.1.5/containerd",
                Loads::Yes,
                Loads::No,
                "missing-content",
            ),
            ("docker@28.0.0/containerd", Loads::Yes, Loads::Yes, ""),
            // These read all platforms.
            ("kind", Loads::No, Loads::No, "absent-platform"),
            ("k3d", Loads::No, Loads::No, "absent-platform"),
            (
                "docker@24.0.9/containerd",
                Loads::No,
                Loads::No,
                "absent-platform",
            ),
            (
                "skopeo@1.18.0/oci-archive",
                Loads::No,
                Loads::No,
                "absent-platform",
            ),
        ],
    );
}

/// Whoever imports all platforms reads their manifests, and not their layers.
#[test]
fn absent_layers_of_another_platform() {
    let mut layout = Layout::new();
    both(&mut layout);
    let layer = gzip(&layer_tar("arm64"));
    let digest = format!("sha256:{}", crate::common::sha256(&layer));
    assert!(layout.blobs.remove(&blob_name(&digest)).is_some());
    check(
        "an absent layer",
        &layout.tar(),
        &[
            (
                "containerd@1.7.24",
                Loads::Yes,
                Loads::No,
                "missing-content",
            ),
            ("kind@0.20", Loads::Yes, Loads::No, "missing-content"),
            // It unpacks all platforms.
            ("kind", Loads::No, Loads::No, "missing-content"),
            (
                "docker@26.1.5/containerd",
                Loads::No,
                Loads::No,
                "missing-content",
            ),
            (
                "docker@27.2.0/containerd",
                Loads::Yes,
                Loads::No,
                "missing-content",
            ),
            ("podman@4.3.1", Loads::Yes, Loads::No, "missing-content"),
        ],
    );
}

#[test]
fn an_index_without_the_machines_platform() {
    let mut layout = Layout::new();
    let arm64 = layout.image(&image("arm64"));
    list(&mut layout, vec![on(arm64, "linux", "arm64")]);
    let archive = layout.tar();
    check(
        "an index for arm64",
        &archive,
        &[
            ("containerd@1.7.24", Loads::No, Loads::Yes, "no-platform"),
            ("k3s", Loads::No, Loads::Yes, "no-platform"),
            ("kind", Loads::No, Loads::Yes, "no-platform"),
            ("podman@5.4.2", Loads::No, Loads::Yes, "no-platform"),
            (
                "buildah@1.39.3/oci-archive",
                Loads::No,
                Loads::Yes,
                "no-platform",
            ),
            (
                "apptainer/oci-archive",
                Loads::No,
                Loads::Yes,
                "no-platform",
            ),
            // These take what is there.
            ("docker@26.1.5/containerd", Loads::Yes, Loads::Yes, ""),
            ("skopeo@1.18.0/oci-archive", Loads::Yes, Loads::Yes, ""),
        ],
    );
    // Whatever machine this is, an archive for another one is judged for that.
    let checked = judged(&archive, "containerd@1.7.24", None);
    assert_eq!(checked.platform, platform(ARM64));
    assert_eq!(checked.verdicts[0].as_it_is.loads, Loads::Yes);
}

/// Without an index, no engine looks at the platform.
#[test]
fn an_image_for_another_machine_alone() {
    let layout = Layout::of(&image("arm64"), NAME);
    check(
        "a manifest for arm64",
        &layout.tar(),
        &[
            ("containerd@1.7.24", Loads::Yes, Loads::Yes, ""),
            ("docker@26.1.5/containerd", Loads::Yes, Loads::Yes, ""),
            ("podman@5.4.2", Loads::Yes, Loads::Yes, ""),
        ],
    );
    // If the entry has a platform, containerd filters by it.
    let mut layout = Layout::new();
    let arm64 = layout.image(&image("arm64"));
    layout.root(vec![named(on(arm64, "linux", "arm64"), NAME)]);
    check(
        "an entry for arm64",
        &layout.tar(),
        &[
            ("containerd@1.7.24", Loads::No, Loads::Yes, "no-platform"),
            ("containerd@1.5.18", Loads::No, Loads::Yes, "no-platform"),
            ("docker@26.1.5/containerd", Loads::Yes, Loads::Yes, ""),
            ("podman@5.4.2", Loads::Yes, Loads::Yes, ""),
        ],
    );
}

/// A manifest that an index lists without its platform is for that of its config, or for every machine.
#[test]
fn an_index_that_does_not_state_platforms() {
    let mut layout = Layout::new();
    let arm64 = layout.image(&image("arm64"));
    list(&mut layout, vec![arm64]);
    check(
        "no platform",
        &layout.tar(),
        &[
            ("containerd@1.7.24", Loads::No, Loads::Yes, "no-platform"),
            ("podman@5.4.2", Loads::Yes, Loads::Yes, ""),
        ],
    );
}

/// containerd 1.6.20 and skopeo 1.9.3 were asked.
#[test]
fn an_index_that_states_platforms_in_part() {
    let without = |key: &str| {
        let mut layout = Layout::new();
        let mut manifests = both(&mut layout);
        for manifest in &mut manifests {
            let platform = manifest["platform"].as_object_mut().unwrap();
            platform.remove(key);
        }
        list(&mut layout, manifests.to_vec());
        layout.tar()
    };
    let (yes, no) = (Loads::Yes, Loads::No);
    let rule = "no-platform";
    let podman: Expected = ("podman@5.4.2", no, no, rule);
    let systems = [("containerd@1.6.20", yes, yes, ""), podman];
    check("no system", &without("os"), &systems);
    let architectures = [("containerd@1.6.20", no, no, rule), podman];
    check("no architecture", &without("architecture"), &architectures);
}

#[test]
fn a_fault_in_the_image_for_another_machine() {
    let mut layout = Layout::new();
    let amd64 = on(layout.image(&image("amd64")), "linux", "amd64");
    let plain = layer_tar("arm64");
    // The engine takes it for a plain tar.
    let layer = Layer::new(OCI_TAR, gzip(&plain), &plain);
    let arm64 = layout.image(&Image::oci(vec![layer]).architecture("arm64"));
    list(&mut layout, vec![amd64, on(arm64, "linux", "arm64")]);
    check(
        "a wrong label for arm64",
        &layout.tar(),
        &[
            ("containerd@1.7.24", Loads::Yes, Loads::No, "layer-label"),
            ("kind@0.20", Loads::Yes, Loads::No, "layer-label"),
            ("kind", Loads::No, Loads::No, "layer-label"),
            (
                "docker@26.1.5/containerd",
                Loads::No,
                Loads::No,
                "layer-label",
            ),
            (
                "docker@28.0.0/containerd",
                Loads::Yes,
                Loads::No,
                "layer-label",
            ),
        ],
    );
}

/// containerd on amd64 also runs images for 386, and podman does not.
#[test]
fn a_machine_that_runs_older_images() {
    let mut layout = Layout::new();
    let old = layout.image(&image("386"));
    list(&mut layout, vec![on(old, "linux", "386")]);
    check(
        "an index for 386",
        &layout.tar(),
        &[
            ("containerd@1.7.24", Loads::Yes, Loads::No, "no-platform"),
            ("podman@5.4.2", Loads::No, Loads::No, "no-platform"),
        ],
    );
}

/// The output of a fix for an engine is judged for the platform that is kept or that manifest.json describes.
#[test]
fn a_fix_for_an_engine_on_another_machine() {
    let mut layout = Layout::new();
    both(&mut layout);
    let archive = layout.tar();
    for kept in [AMD64, ARM64, "linux/s390x"] {
        let mut output = Vec::new();
        let fix = Fix::new().platform(platform(kept));
        let fix = fix.engine("containerd@1.7.24".parse().unwrap());
        let input = Input::stream(Cursor::new(archive.clone()));
        let result = fix.run(input, Output::stream(&mut output));
        assert_eq!(result.is_ok(), kept != "linux/s390x", "{kept}");
        if result.is_ok() {
            let checked = judged(&output, "containerd@1.7.24", Some(kept));
            assert_eq!(checked.verdicts[0].as_it_is.loads, Loads::Yes, "{kept}");
        }
    }
}

#[test]
fn other_systems_than_linux_are_unknown() {
    let mut layout = Layout::new();
    both(&mut layout);
    let checked = judged(&layout.tar(), "containerd@1.7.24", Some("windows/amd64"));
    assert_eq!(checked.verdicts[0].as_it_is.loads, Loads::Unknown);
}

#[test]
fn the_command_asks_about_a_platform() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let arm64 = layout.image(&image("arm64"));
    list(&mut layout, vec![on(arm64, "linux", "arm64")]);
    sandbox.put("app.tar", layout.tar());
    let line = ["check", "app.tar", "--for", "containerd@1.7"];
    let asked = |platform: &str, format: &str| {
        sandbox.ocify(&[&line[..], &["--platform", platform, "--format", format]].concat())
    };
    for (platform, code) in [(AMD64, 3), (ARM64, 0), ("linux/aarch64", 0)] {
        let run = asked(platform, "json").exits(code);
        let report = parse_check(&run.stdout);
        let expected = platform.replace("aarch64", "arm64");
        assert_eq!(report["platform"], json!(expected));
    }
    let text = asked(AMD64, "text").exits(3).stdout;
    assert!(text.contains("engine on linux/amd64"), "{text}");
    assert!(text.contains("no-platform"), "{text}");
    let text = asked(ARM64, "text").exits(0).stdout;
    assert!(!text.contains("engine on"), "{text}");
    for platform in ["windows/amd64", "amd64", "linux/amd64,linux/arm64"] {
        asked(platform, "text").exits(2);
    }
    let twice = [&line[..], &["--platform", AMD64, "--platform", ARM64]].concat();
    sandbox.ocify(&twice).exits(2);
}

/// Many inputs are asked about the same platform.
#[test]
fn many_inputs_on_one_platform() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let arm64 = layout.image(&image("arm64"));
    list(&mut layout, vec![on(arm64, "linux", "arm64")]);
    std::fs::create_dir(sandbox.path("images")).unwrap();
    sandbox.put("images/one.tar", layout.tar());
    let mut config = image("arm64").config();
    config["created"] = json!("2026-01-01T00:00:00Z");
    layout.document(OCI_CONFIG, &config);
    sandbox.put("images/other.tar", layout.tar());
    for (platform, code) in [(AMD64, 3), (ARM64, 0)] {
        let line = [
            "check",
            "images/",
            "--for",
            "containerd@1.7",
            "--platform",
            platform,
        ];
        sandbox.ocify(&line).exits(code);
    }
}
