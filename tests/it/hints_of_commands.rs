//! Hints of merge, split and check name the options that these commands have, and lead to a request that works.

use std::fs;

use serde_json::Value;

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, named, on, right_layout};
use crate::common::judged::finding;
use crate::common::runner::Sandbox;
use crate::common::schema::{parse_merge, parse_split};
use crate::split::names_in;

fn of(architecture: &str) -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, architecture)]).architecture(architecture)
}

/// An archive of an image for two platforms.
fn multi() -> Vec<u8> {
    let mut layout = Layout::new();
    let images = ["amd64", "arm64"].map(|architecture| {
        let image = layout.image(&of(architecture));
        on(image, "linux", architecture)
    });
    let index = layout.index_of(OCI_INDEX, images.to_vec());
    layout.root(vec![named(index, "example.com/app:1")]);
    layout.tar()
}

fn unnamed() -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&of("amd64"));
    layout.root(vec![image]);
    layout.tar()
}

#[test]
fn an_image_is_named_with_fix() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", unnamed());
    sandbox.put("other.tar", right_layout().tar());
    let json = ["--format", "json"];
    let merged = sandbox.ocify(&[&["merge", "in.tar", "-o", "x.tar"], &json[..]].concat());
    let merged = parse_merge(&merged.exits(0).stdout);
    let checked = sandbox.ocify(&[&["check", "in.tar"], &json[..]].concat());
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    for report in [&merged["inputs"][0], &merged["merged"], &checked] {
        let hint = finding(report, "unnamed-image")["hint"].as_str().unwrap();
        let (_, line) = hint.split_once("such as ocify ").unwrap();
        let line = line.replace("FILE", "in.tar").replace("NEW", "new.tar");
        sandbox.ocify(&line.split(' ').collect::<Vec<_>>()).exits(0);
        fs::remove_file(sandbox.path("new.tar")).unwrap();
    }
    let text = sandbox.ocify(&["merge", "in.tar", "other.tar", "-o", "y.tar"]);
    let text = text.exits(0).stdout;
    assert!(text.contains("ocify fix FILE --name"), "{text}");
}

#[test]
fn platforms_are_split_by_platform_and_joined_with_index() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", multi());
    let line = ["split", "in.tar", "-o", "out/", "--format", "json"];
    let run = sandbox.ocify(&[&line[..], &["--unwrap"]].concat()).exits(1);
    let report = parse_split(&run.stdout);
    let error = match &report["error"] {
        Value::Null => &report["outputs"][0]["report"]["error"],
        error => error,
    };
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("with --by platform"), "{report:#}");
    assert!(run.stderr.contains("with --by platform"), "{run:#?}");
    let by = ["--unwrap", "--by", "platform"];
    sandbox.ocify(&[&line[..], &by].concat()).exits(0);

    let inputs = names_in(&sandbox, "out").into_iter();
    let inputs = inputs.map(|name| format!("out/{name}"));
    let merge = ["merge", "-o", "joined.tar"].map(str::to_owned);
    let line: Vec<String> = merge.into_iter().chain(inputs).collect();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let run = sandbox.ocify(&line).exits(1);
    assert!(
        run.stderr.contains("join them with --index NAME"),
        "{run:#?}"
    );
    let index = ["--index", "example.com/app:1"];
    sandbox.ocify(&[&line[..], &index].concat()).exits(0);
}

#[test]
fn outputs_of_a_split_do_not_go_into_a_layout() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    right_layout().write_to(&sandbox.path("layout"));
    let run = sandbox.ocify(&["split", "in.tar", "-o", "layout"]).exits(1);
    assert!(run.stderr.contains("choose another directory"), "{run:#?}");
    assert!(!run.stderr.contains("trailing"), "{run:#?}");
}

#[test]
fn images_in_a_registry_are_saved_first() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let input = "docker://alpine:3";
    for line in [
        &["merge", "in.tar", input, "-o", "x.tar"][..],
        &["split", input, "-o", "x/"],
        &["check", input],
        &["fix", input, "-o", "x.tar"],
    ] {
        let run = sandbox.ocify(line).exits(1);
        assert!(
            run.stderr.contains("skopeo copy --all docker://alpine:3"),
            "{run:#?}"
        );
    }
}
