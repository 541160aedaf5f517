//! Pushes that fail or are refused: no tag is set, and nothing is left behind.

use std::fs;

use ocify::{Code, Fix, Hint, Input, Push, RegistryOptions, Secret};

use super::credentials::with_password_on_stdin;
use super::{image, run};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, digest_of, named};
use crate::common::registry::Registry;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_push;

#[test]
fn a_damaged_blob_never_gets_to_the_registry() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let layout = Layout::of(&image("app"), "example.com/app:v1");
    let mut bytes = layout.tar();
    let layer = &image("app").layers[1].bytes;
    let at = bytes
        .windows(layer.len())
        .position(|window| window == layer.as_slice())
        .unwrap();
    bytes[at + layer.len() - 1] ^= 1;
    sandbox.put("app.tar", bytes);
    let failed = run(
        &sandbox,
        &["app.tar", &format!("{}/app:v1", registry.host())],
    )
    .exits(1);
    let report = parse_push(&failed.stdout);
    assert_eq!(report["error"]["code"], "digest-mismatch", "{report:#}");
    assert!(registry.tags("app").is_empty());
    assert!(
        !registry
            .stored()
            .blobs
            .values()
            .any(|blob| blob.len() == layer.len() && blob != layer)
    );
}

/// The manifest needs no change, so its bytes are those of the archive, which changes once the first blob is sent.
#[test]
fn a_manifest_that_is_damaged_during_the_push_never_gets_to_the_registry() {
    let sandbox = Sandbox::new();
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "plain")]);
    let mut layout = Layout::new();
    let app = layout.image(&image);
    let name = digest_of(&app).replace(':', "/");
    layout.root(vec![named(app, "example.com/app:v1")]);
    layout.write_to(&sandbox.path("app"));
    let path = sandbox.path("app/blobs").join(name);
    let registry = Registry::strict_with(move |request, _| {
        if request.method == "POST" {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("manifest.v1", "manifest.v9")).unwrap();
        }
        None
    });
    let target = format!("{}/app:v1", registry.host());
    let failed = run(&sandbox, &["app", &target]).exits(1);
    let report = parse_push(&failed.stdout);
    assert_eq!(report["error"]["code"], "digest-mismatch", "{report:#}");
    assert!(registry.stored().manifests.is_empty());
}

#[test]
fn a_refusal_leaves_no_tag_and_the_next_push_finishes() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/app:v1", registry.host());
    registry.stored().fails_after = Some(1);
    let failed = run(&sandbox, &["app.tar", &target, "--jobs", "1"]).exits(1);
    assert_eq!(
        parse_push(&failed.stdout)["error"]["class"],
        "registry",
        "{failed:#?}"
    );
    assert!(registry.tags("app").is_empty());
    assert_eq!(registry.stored().blobs.len(), 1);
    registry.stored().fails_after = None;
    let report = super::push(&sandbox, &["app.tar", &target]);
    assert_eq!(super::totals(&report), [3, 0, 1]);
    registry.check_complete();
}

#[test]
fn wrong_usage_is_refused_before_anything_is_read() {
    let sandbox = Sandbox::new();
    let archive = Layout::of(&image("app"), "example.com/app:v1").tar();
    sandbox.put("app.tar", &archive);
    sandbox.put("plain", &archive);
    for (args, expected) in [
        (&["app.tar", "example.com/App:v1"][..], "must be lower case"),
        (
            &["app.tar", "plain"],
            "write ./plain for the file or directory, or docker.io/library/plain for the image",
        ),
        (
            &["app.tar", "example.com/app", "-o", "x"],
            "push does not have the option --output",
        ),
        (
            &["app.tar", "example.com/app", "--in-place"],
            "push does not have the option --in-place",
        ),
        (
            &["app.tar", "example.com/app", "--verify", "documents"],
            "--verify documents has no effect",
        ),
        (
            &["app.tar", "example.com/app", "--username", "me"],
            "--password-stdin",
        ),
        (
            &["app.tar", "--username", "me", "--password-stdin"],
            "--username requires REF",
        ),
        (
            &[
                "app.tar",
                "other.tar",
                "--username",
                "me",
                "--password-stdin",
                "--dry-run",
            ],
            "--username requires REF",
        ),
        (
            &[
                "-",
                "example.com/app",
                "--username",
                "me",
                "--password-stdin",
            ],
            "both an archive and the password",
        ),
        (
            &[
                "app.tar",
                "x.tar",
                "example.com/app",
                "--metadata-file",
                "m",
            ],
            "--metadata-file supports only a single input",
        ),
        (
            &["app.tar", "example.com/app", "--shard", "1/2"],
            "requires many inputs",
        ),
    ] {
        let run = sandbox.ocify(&[&["push"], args].concat()).exits(2);
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
    // A misspelled archive is not a name on Docker Hub.
    let run = sandbox.ocify(&["push", "app.tar", "othre.tar"]).exits(1);
    assert!(
        run.stderr.contains("othre.tar") && run.stderr.contains("No such file"),
        "{}",
        run.stderr
    );
}

#[test]
fn names_that_do_not_say_where_to_push_are_refused() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let (one, two) = (layout.image(&image("one")), layout.image(&image("two")));
    layout.root(vec![
        named(one, "example.com/a:v1"),
        named(two, "example.com/b:v1"),
    ]);
    sandbox.put("two.tar", layout.tar());
    let mut layout = Layout::new();
    let unnamed = layout.image(&image("one"));
    layout.root(vec![unnamed]);
    sandbox.put("unnamed.tar", layout.tar());
    for (args, code, hint) in [
        (
            &["two.tar", "localhost:1/app:v1"][..],
            "several-images",
            "--image",
        ),
        (&["two.tar", "localhost:1/app"], "name-taken", "--image"),
        (&["unnamed.tar"], "name-missing", "as the last argument"),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let report = parse_push(&run(&sandbox, &[args, more].concat()).exits(1).stdout);
            assert_eq!(report["error"]["code"], code, "{report:#}");
            assert!(
                report["error"]["hint"].as_str().unwrap().contains(hint),
                "{report:#}"
            );
        }
    }
}

/// The commands in the hint of a refusal.
fn commands_in(hint: &str) -> Vec<Vec<String>> {
    let parts = hint.split("ocify push FILE ").skip(1);
    let command = |part: &str| {
        let part = part.split(';').next().unwrap().replace(":TAG", ":chosen");
        part.split(' ').map(str::to_owned).collect()
    };
    parts.map(command).collect()
}

#[test]
fn hints_of_refusals_are_pushes_that_work() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let layout = |images: &[(&Image, Option<&str>)]| {
        let mut layout = Layout::new();
        let root = images.iter().map(|(image, name)| match name {
            Some(name) => named(layout.image(image), name),
            None => layout.image(image),
        });
        let root = root.collect();
        layout.root(root);
        layout.tar()
    };
    // Those with Docker's types get other digests, which the input does not have.
    let (one, two) = (image("one"), image("two"));
    sandbox.put(
        "same.tar",
        layout(&[
            (&one, Some("example.com/a:v1")),
            (&two, Some("example.com/b:v1")),
        ]),
    );
    sandbox.put(
        "other.tar",
        layout(&[
            (&one, Some("example.com/a:v1")),
            (&two, Some("example.com/b:v2")),
        ]),
    );
    sandbox.put(
        "unnamed.tar",
        layout(&[(&one, Some("example.com/a:v1")), (&two, None)]),
    );
    sandbox.put("nameless.tar", layout(&[(&one, None), (&two, None)]));
    let host = registry.host();
    let renamed = ["--rename", "example.com/b:v1=example.com/c:v1"];
    let first_renamed = ["--rename", "example.com/a:v1=example.com/c:v3"];
    for (input, target, more, code, expected) in [
        ("same.tar", "same", &[][..], "name-taken", 1),
        ("same.tar", "same:v9", &[], "several-images", 1),
        ("other.tar", "other:v9", &[], "several-images", 2),
        ("unnamed.tar", "unnamed", &[], "name-missing", 1),
        ("unnamed.tar", "unnamed:v9", &[], "several-images", 1),
        ("nameless.tar", "nameless", &[], "name-missing", 1),
        // FILE has neither the new names nor each image under a tag of its own.
        ("same.tar", "renamed", &renamed, "name-taken", 1),
        (
            "same.tar",
            "renamed:v9",
            &first_renamed,
            "several-images",
            1,
        ),
    ] {
        let target = format!("{host}/{target}");
        let args = [&[input, &target], more].concat();
        let report = parse_push(&run(&sandbox, &args).exits(1).stdout);
        assert_eq!(report["error"]["code"], code, "{report:#}");
        let hint = report["error"]["hint"].as_str().unwrap();
        let commands = commands_in(hint);
        assert_eq!(commands.len(), expected, "{hint}");
        for command in commands {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            super::push(&sandbox, &[&[input], &command[..]].concat());
        }
    }
    let tags = |name: &str| registry.tags(name).into_keys().collect::<Vec<_>>();
    assert_eq!(tags("same"), ["chosen", "v9"]);
    assert_eq!(tags("other"), ["v1", "v2", "v9"]);
    assert_eq!(tags("unnamed"), ["chosen", "v9"]);
    assert_eq!(tags("renamed"), ["chosen", "v9"]);
    registry.check_complete();

    // If layers are recompressed, the digests of the output are not known yet.
    let target = format!("{host}/unnamed");
    let args = ["unnamed.tar", &target, "--compression", "zstd"];
    let report = parse_push(&run(&sandbox, &args).exits(1).stdout);
    let hint = report["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("with --image if FILE has several"), "{hint}");
}

/// What registries accept would not be what its digest says, as far as anyone knows.
#[test]
fn content_that_cannot_be_verified_is_not_pushed() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let hash = "ab".repeat(32);
    let blake3 = |media_type: &str| {
        serde_json::json!({
            "mediaType": media_type, "digest": format!("blake3:{hash}"), "size": 4,
            "annotations": {"org.opencontainers.image.ref.name": "other"},
        })
    };
    for kind in ["manifest", "layer"] {
        let mut layout = Layout::new();
        let app = named(layout.image(&image("app")), "example.com/app:v1");
        let other = match kind {
            "layer" => {
                let mut manifest = layout.manifest(&image("app"));
                manifest["layers"][0] = blake3(OCI_GZIP);
                named(
                    layout.document(OCI_MANIFEST, &manifest),
                    "example.com/other:v2",
                )
            }
            _ => blake3(OCI_MANIFEST),
        };
        layout
            .blobs
            .insert(format!("blobs/blake3/{hash}"), b"text".to_vec());
        layout.root(vec![app, other]);
        sandbox.put("app.tar", layout.tar());
        let target = format!("{}/{kind}", registry.host());
        let mut commands = Vec::new();
        for more in [&[][..], &["--dry-run"]] {
            let args = [&["app.tar", &target], more].concat();
            let report = parse_push(&run(&sandbox, &args).exits(1).stdout);
            assert_eq!(report["error"]["code"], "unsupported-digest", "{report:#}");
            let hint = report["error"]["hint"].as_str().unwrap();
            commands = commands_in(hint);
        }
        assert!(registry.stored().requests.is_empty());
        let [command] = commands.as_slice() else {
            panic!("{commands:?}");
        };
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        super::push(&sandbox, &[&["app.tar"], &command[..]].concat());
        registry.check_complete();
        registry.stored().requests.clear();
    }
}

/// Otherwise an archive could name the registry that gets them.
#[test]
fn the_library_sends_a_password_only_to_a_target() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let name = format!("{}/app:v1", registry.host());
    sandbox.put("app.tar", Layout::of(&image("app"), &name).tar());
    let options = RegistryOptions::new().login("me", Secret::new("hunter2"));
    let push = Push::new(Fix::new()).registry(options);
    let input = || Input::open(sandbox.path("app.tar")).unwrap();
    let error = push.run(input()).unwrap_err();
    assert_eq!(error.code(), Code::Credentials, "{error}");
    assert_eq!(error.hint(), Some(&Hint::GiveRepository));
    assert!(registry.stored().requests.is_empty());
    push.to(name.parse().unwrap()).run(input()).unwrap();
    registry.check_complete();
}

#[test]
fn a_password_that_cannot_be_right_is_refused() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    for (password, expected) in [
        (String::new(), "it is empty"),
        ("\n".to_owned(), "it is empty"),
        ("x".repeat(70_000), "it has more than 64 KiB"),
    ] {
        let output = with_password_on_stdin(&sandbox, &registry, &password);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(expected) && stderr.contains("hint: "),
            "{stderr}"
        );
    }
    assert!(registry.stored().requests.is_empty());
}
