//! Hints about what was requested: choices, names, paths and the values of options. Each leads to a request that works.

use std::fs;

use serde_json::{Value, json};

use crate::common::advice::{command_after, hint, hint_with, writes};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, annotated, digest_of, named, right_image,
    right_layout,
};
use crate::common::judged::{finding, fixed};
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, image};

/// An artifact, and no image.
fn artifact() -> Layout {
    let mut layout = Layout::new();
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let layer = layout.blob("application/x-model", "weights");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-model",
        "config": config, "layers": [layer],
    });
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    layout
}

/// Of an archive of artifacts, those can be chosen and named.
#[test]
fn choices_say_what_there_is_to_choose() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", artifact().tar());
    sandbox.fix("in.tar", "all.tar").exits(0);
    for (options, code, what, expected) in [
        (
            ["--image", "app:v1"],
            "image-not-found",
            "no image or artifact in the archive is app:v1; available: sha256:",
            "--image takes a name, the digest",
        ),
        (
            ["--image", "3"],
            "image-not-found",
            "no image or artifact in the archive is number 3; available: sha256:",
            "the number of an image",
        ),
        (
            ["--rename", "a:1=b:1"],
            "image-not-found",
            "cannot rename a:1: no image or artifact in the archive has a name",
            "--rename OLD=NEW replaces a name that an image or artifact has",
        ),
    ] {
        let hint = hint_with(&sandbox, "in.tar", &options, code, &[what]);
        assert!(hint.contains(expected), "{options:?}: {hint}");
    }
    let named = ["--name", "app:v1"];
    sandbox.fix_with("in.tar", "named.tar", &named).exits(0);

    // What refers to an image that is elsewhere has nothing to choose beside it.
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
    });
    let evidence = layout.document(OCI_MANIFEST, &manifest);
    let marks = [
        ("kind", "dev.cosignproject.cosign/sigs"),
        ("io.containerd.image.name", "docker.io/library/app:v1"),
    ];
    layout.root(vec![annotated(evidence, &marks)]);
    let name = digest_of(&image).replace(':', "/");
    layout.blobs.retain(|blob, _| !blob.ends_with(&name));
    sandbox.put("evidence.tar", layout.tar());
    for (options, what, expected) in [
        (
            ["--image", "app:v1"],
            "cannot choose app:v1: the archive does not contain an image",
            "omit --image",
        ),
        (
            ["--name", "app:v1"],
            "the archive does not contain an image or artifact for --name",
            "omit --name",
        ),
    ] {
        let code = "image-not-found";
        let hint = hint_with(&sandbox, "evidence.tar", &options, code, &[what]);
        assert!(hint.contains(expected), "{options:?}: {hint}");
    }
}

/// Two images, of which the second has no name, and a descriptor of both.
fn one_unnamed() -> (Layout, [Value; 2]) {
    let mut layout = Layout::new();
    let first = layout.image(&right_image());
    let second = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]));
    let both = [first.clone(), second.clone()];
    layout.root(vec![named(first, "docker.io/library/one:1"), second]);
    (layout, both)
}

#[test]
fn one_of_several_images_is_named_in_an_archive_of_its_own() {
    let (layout, [_, second]) = one_unnamed();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let hint = finding(&report, "unnamed-image")["hint"].as_str().unwrap();
    let options = command_after(hint, "keep only this image: ");
    let digest = digest_of(&second);
    assert_eq!(
        options,
        format!("--image {digest} --name example.com/app:1.0")
    );
    let options: Vec<&str> = options.split(' ').collect();
    let report = sandbox.fix_with("in.tar", "named.tar", &options).exits(0);
    let report = report.json();
    assert_eq!(report["images"][0]["names"], json!(["example.com/app:1.0"]));
    assert_eq!(report["findings"], json!([]), "{report:#}");
    // A single one is named directly.
    let mut layout = Layout::new();
    let only = layout.image(&right_image());
    layout.root(vec![only]);
    sandbox.put("single.tar", layout.tar());
    let report = sandbox.fix("single.tar", "two.tar").exits(0).json();
    let hint = finding(&report, "unnamed-image")["hint"].as_str().unwrap();
    let options: Vec<&str> = command_after(hint, "such as ").split(' ').collect();
    let report = sandbox.fix_with("single.tar", "three.tar", &options);
    assert_eq!(report.exits(0).json()["findings"], json!([]));
}

/// `--name` names only a single image.
#[test]
fn an_invalid_name_among_several_is_corrected_when_the_image_is_saved() {
    let mut saved = Saved::new();
    saved.docker(&image(&["a"]), json!(["App:v1"]));
    let hint = |saved: &Saved| {
        let found = fixed(&saved.tar(), &[]);
        let hint = found.finding("bad-name")["hint"].clone();
        hint.as_str().unwrap().to_owned()
    };
    let single = hint(&saved);
    assert_eq!(
        single,
        "app:v1 is valid: give it with --name or when you save the image"
    );
    fixed(&saved.tar(), &["--name", "app:v1"]);
    saved.docker(&image(&["b"]), json!(["two:1"]));
    assert_eq!(
        hint(&saved),
        "app:v1 is valid: use it when you save the image"
    );
}

#[test]
fn a_name_that_is_taken_can_be_freed_first() {
    let (mut layout, [first, second]) = one_unnamed();
    layout.root(vec![
        named(first, "docker.io/library/one:1"),
        named(second, "docker.io/library/two:1"),
    ]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let options = ["--rename", "one:1=two:1"];
    let parts = ["cannot rename one:1 to two:1"];
    let hint = hint_with(&sandbox, "in.tar", &options, "name-taken", &parts);
    assert!(hint.contains("with a --rename before this one"), "{hint}");
    let options = ["--rename", "two:1=three:1", "--rename", "one:1=two:1"];
    let report = sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
    let report = report.json();
    let names = |number: usize| report["images"][number]["names"].clone();
    assert_eq!(
        (names(0), names(1)),
        (
            json!(["docker.io/library/two:1"]),
            json!(["docker.io/library/three:1"])
        )
    );
}

/// What skopeo calls an archive or a layout is not its path.
#[test]
fn names_of_transports_lead_to_paths() {
    let sandbox = Sandbox::new();
    right_layout().write_to(&sandbox.path("layout"));
    sandbox.put("my app.tar", right_layout().tar());
    for input in [
        "oci-archive:my app.tar",
        "docker-archive:my app.tar:app:v1",
        "oci:layout",
        "oci:layout:docker.io/library/app:v1",
        "oci-layout://layout",
        "dir:layout",
    ] {
        let parts = [&*format!("cannot open {input}")];
        let hint = hint(&sandbox, input, "io", &parts);
        let line = command_after(&hint, "without the transport: ");
        let line = format!("ocify fix {line} -o -");
        writes(&sandbox, &line, &right_layout().tar());
        fs::remove_file(sandbox.path("piped.tar")).unwrap();
        // In place, and as one of many.
        let run = sandbox.ocify(&["fix", input, "--in-place"]).exits(1);
        assert!(run.stderr.contains("without the transport: "), "{run:#?}");
        let run = sandbox
            .ocify(&["fix", input, "my app.tar", "-o", "out/"])
            .exits(1);
        assert!(run.stderr.contains("without the transport: "), "{run:#?}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
    for (input, expected) in [
        (
            "docker://alpine:3",
            "skopeo copy --all docker://alpine:3 oci-archive:app.tar",
        ),
        ("docker:20.10", "docker save -o app.tar docker:20.10"),
        (
            "containers-storage:app",
            "podman save --format oci-archive -o app.tar app",
        ),
    ] {
        let hint = hint(&sandbox, input, "io", &["cannot open"]);
        assert!(hint.ends_with(expected), "{hint}");
    }
    // A file that does not exist is only that.
    let run = sandbox.fix("none.tar", "out.tar").exits(1);
    assert!(run.json()["error"]["hint"].is_null(), "{run:#?}");
}

#[test]
fn an_output_of_a_transport_is_not_taken_for_a_file() {
    let sandbox = Sandbox::new();
    sandbox.put("app.tar", right_layout().tar());
    for (output, expected) in [
        ("oci-archive:x.tar", "use -o x.tar;"),
        ("oci:x:app:v2", "use --layout -o x --name app:v2;"),
        (
            "docker://registry.example.com/app:v1",
            "publish images with ocify push INPUT registry.example.com/app:v1;",
        ),
        ("docker:20.10", "--for docker@20.10 "),
    ] {
        for inputs in [&["app.tar"][..], &["app.tar", "app.tar"]] {
            let line = [&["fix"], inputs, &["-o", output]].concat();
            let run = sandbox.ocify(&line).exits(2);
            assert!(run.stderr.contains(expected), "{run:#?}");
            assert_eq!(sandbox.names(), ["app.tar"]);
        }
    }
    sandbox.ocify(&["fix", "app.tar", "-o", "./oci:x"]).exits(0);
    sandbox
        .ocify(&["fix", "app.tar", "--layout", "-o", "x", "--name", "app:v2"])
        .exits(0);
    assert_eq!(sandbox.names(), ["app.tar", "oci:x", "x"]);
}

/// Values that cannot be used say which can.
#[test]
fn wrong_values_of_options_teach() {
    let sandbox = Sandbox::new();
    sandbox.put("app.tar", right_layout().tar());
    for (options, expected) in [
        (
            &["--jobs", "0"][..],
            "expected a number of threads from 1 on",
        ),
        (
            &["--jobs", "many"],
            "expected a number of threads from 1 on",
        ),
        (
            &["--max-ratio", "0"],
            "expected a number from 1 on, such as 1100",
        ),
        (
            &["--max-ratio", "x"],
            "expected a number from 1 on, such as 1100",
        ),
        (&["--max-window", "0"], "expected 1 to 4096 (MiB)"),
        (&["--max-window", "4097"], "expected 1 to 4096 (MiB)"),
        (
            &["--for", "docker@"],
            "expected a version after @, such as 20.10",
        ),
        (&["--for", "docker@x"], "x is not a version such as 20.10"),
    ] {
        let run = sandbox.ocify(&[&["fix", "app.tar", "-o", "out.tar"], options].concat());
        assert!(run.stderr.contains(expected), "{run:#?}");
        assert_eq!((run.code, sandbox.names()), (2, vec!["app.tar".to_owned()]));
    }
    let run = sandbox.ocify(&["fix", "-", "--recover"]).exits(2);
    assert!(run.stderr.contains("--recover needs the file"), "{run:#?}");
}
