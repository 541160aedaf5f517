//! `--docker-platform` chooses among the platforms of an image. An image with one platform leaves no choice.

use serde_json::{Value, json};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on, right_layout,
};
use crate::common::failure::fails_with;
use crate::common::judged::{finding, findings, fixed};
use crate::common::runner::Sandbox;
use crate::common::saved::Saved;
use crate::common::{fixture, fixtures};

const OPTION: &str = "--docker-platform";

fn of(architecture: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]).architecture(architecture)
}

/// An image of these platforms under this name.
fn image(layout: &mut Layout, platforms: &[&str], name: &str) -> Value {
    let mut manifests: Vec<Value> = platforms
        .iter()
        .map(|architecture| on(layout.image(&of(architecture)), "linux", architecture))
        .collect();
    let descriptor = match manifests.len() {
        1 => manifests.remove(0),
        _ => layout.index_of(OCI_INDEX, manifests),
    };
    named(descriptor, name)
}

fn archive(images: &[(&[&str], &str)]) -> Vec<u8> {
    let mut layout = Layout::new();
    let entries = images.iter();
    let entries = entries.map(|(platforms, name)| image(&mut layout, platforms, name));
    let entries = entries.collect();
    layout.root(entries);
    layout.tar()
}

/// The platforms that `manifest.json` describes, by image.
fn described(report: &Value) -> Vec<&str> {
    let images = report["images"].as_array().unwrap().iter();
    images
        .map(|image| image["platform"].as_str().unwrap())
        .collect()
}

const APP: &str = "docker.io/library/app:v1";
const TOOL: &str = "docker.io/library/tool:v1";

#[test]
fn an_image_with_one_platform_leaves_no_choice() {
    let mut saved = Saved::new();
    saved.docker(&of("amd64"), json!(["app:v1"]));
    let mut one_in_index = Layout::new();
    let only = on(one_in_index.image(&of("amd64")), "linux", "amd64");
    let index = one_in_index.index_of(OCI_INDEX, vec![only]);
    one_in_index.root(vec![named(index, APP)]);
    for (name, bytes) in [
        ("an image", right_layout().tar()),
        ("a docker archive", saved.tar()),
        ("an index of one", one_in_index.tar()),
        (
            "two images",
            archive(&[(&["amd64"], APP), (&["arm64"], TOOL)]),
        ),
    ] {
        let found = fixed(&bytes, &[OPTION, "linux/s390x"]);
        let free = fixed(&bytes, &[]);
        assert!(found.bytes == free.bytes, "{name}");
        assert!(
            !findings(&found.report).contains(&"other-platform"),
            "{name}"
        );
    }
}

/// Whatever has no image with several platforms is fixed as without the option.
#[test]
fn fixtures_with_one_platform_are_accepted() {
    let mut refused = Vec::new();
    for name in fixtures() {
        let sandbox = Sandbox::new();
        let options = [OPTION, "linux/s390x"];
        let found = sandbox.fix_with(fixture(&name), "out", &options);
        let free = sandbox.fix_with(fixture(&name), "free", &[]);
        if found.code == free.code {
            continue;
        }
        assert_eq!(
            found.json()["error"]["code"],
            "platform-not-found",
            "{name}"
        );
        refused.push(name);
    }
    assert!(!refused.is_empty());
    assert!(
        refused.iter().all(|name| name.contains("multi")),
        "{refused:?}"
    );
}

#[test]
fn a_platform_that_no_image_with_several_has_is_an_error() {
    let several: (&[&str], &str) = (&["amd64", "arm64"], APP);
    for (name, images) in [
        ("several", vec![several]),
        ("several and one", vec![several, (&["s390x"], TOOL)]),
    ] {
        let message = "no image with several platforms has the platform linux/s390x; available: linux/amd64, linux/arm64";
        let options = [OPTION, "linux/s390x"];
        fails_with(
            name,
            &archive(&images),
            &options,
            "platform-not-found",
            &[message],
        );
    }
    // If the image is left out, there is no choice.
    let images = archive(&[several, (&["s390x"], TOOL)]);
    let found = fixed(&images, &[OPTION, "linux/s390x", "--image", "tool:v1"]);
    assert_eq!(described(&found.report), ["linux/s390x"]);
}

/// The image of one platform is in both indexes.
#[test]
fn images_that_share_a_platform_keep_their_choices() {
    let bytes = archive(&[(&["amd64", "arm64"], APP), (&["amd64", "riscv64"], TOOL)]);
    for (platform, number) in [("linux/arm64", 0), ("linux/riscv64", 1)] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let first = sandbox.fix_with("in.tar", "once.tar", &[OPTION, platform]);
        let first = first.exits(0).json();
        assert_eq!(described(&first)[number], platform);
        let again = sandbox.fix("once.tar", "again.tar").exits(0).json();
        assert_eq!(described(&again), described(&first));
        assert!(sandbox.read("once.tar") == sandbox.read("again.tar"));
    }
}

#[test]
fn an_image_without_the_platform_is_a_finding_if_another_has_it() {
    let bytes = archive(&[
        (&["amd64", "arm64"], APP),
        (&["amd64", "riscv64"], TOOL),
        (&["s390x"], "docker.io/library/one:v1"),
    ]);
    let found = fixed(&bytes, &[OPTION, "linux/riscv64"]);
    let platforms = described(&found.report);
    assert_eq!(platforms[1..], ["linux/riscv64", "linux/s390x"]);
    let other = finding(&found.report, "other-platform");
    assert_eq!(other["location"], "index.json, manifests[0]");
    assert_eq!(other["severity"], "warns");
    let message = format!(
        "the image does not have the platform linux/riscv64; manifest.json describes {} instead",
        platforms[0]
    );
    assert_eq!(other["message"], message.as_str());
    // Both have this one.
    let found = fixed(&bytes, &[OPTION, "linux/amd64"]);
    assert_eq!(
        described(&found.report),
        ["linux/amd64", "linux/amd64", "linux/s390x"]
    );
    assert!(!findings(&found.report).contains(&"other-platform"));
    let root = found.contents.json("index.json");
    assert_eq!(
        digest_of(&root["manifests"][0]),
        found.report["images"][0]["digest"]
    );
}
