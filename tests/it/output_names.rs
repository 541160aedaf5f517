//! What OUTPUT means: `cp`'s rules for names and directories, and the form of the output.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::common::batch::{batch, outputs, put, put_fixture};
use crate::common::builder::gzip;
use crate::common::checker::check_output;
use crate::common::runner::{Sandbox, run};
use crate::common::{fixture, tree};

const ARCHIVE: &str = "buildkit-docker-zstd-ocifalse.tar";
const LAYOUT: &str = "podman-ocidir";
const CACHE: &str = "buildkit-cache-list-ocifalse";

/// A folder with an archive, an image layout, a BuildKit cache and an empty directory.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "app.tar", ARCHIVE);
    put_fixture(&sandbox, "layout", LAYOUT);
    put_fixture(&sandbox, "cache", CACHE);
    fs::create_dir(sandbox.path("there")).unwrap();
    sandbox
}

/// Checks an output in the form that its name implies.
#[track_caller]
fn check(sandbox: &Sandbox, output: &str) {
    let path = sandbox.path(output);
    let magic: &[u8] = match output.rsplit('.').next().unwrap() {
        "tgz" => &[0x1f, 0x8b],
        "zst" => &[0x28, 0xb5, 0x2f, 0xfd],
        _ => return drop(check_output(&path)),
    };
    assert!(fs::read(path).unwrap().starts_with(magic), "{output}");
}

#[test]
fn one_input_goes_where_cp_would_put_it() {
    #[rustfmt::skip]
    let cases: [(&[&str], &str, bool); 17] = [
        (&["app.tar", "-o", "fixed.tar"], "fixed.tar", false),
        (&["app.tar", "-o", "fixed"], "fixed", false),
        (&["app.tar", "-o", "there"], "there/app.tar", false),
        (&["app.tar", "-o", "there/"], "there/app.tar", false),
        (&["app.tar", "-o", "new/"], "new/app.tar", false),
        (&["app.tar", "-o", "new", "--layout"], "new", true),
        (&["app.tar", "-o", "there/", "--layout"], "there/app", true),
        (&["app.tar", "-o", "x.tar", "--layout"], "x.tar", true),
        (&["layout", "-o", "fixed.tar.zst"], "fixed.tar.zst", false),
        (&["layout", "-o", "fixed"], "fixed", true),
        (&["layout/", "-o", "there"], "there/layout", true),
        (&["layout", "-o", "fixed", "--archive"], "fixed", false),
        (&["layout", "-o", "there", "--archive"], "there/layout.tar", false),
        (&["layout/.", "-o", "new/"], "new/layout", true),
        (&["cache/", "-o", "cache-oci"], "cache-oci", true),
        (&["cache", "-o", "there"], "there/cache", true),
        (&["./app.tar", "-o", "there/../there"], "there/../there/app.tar", false),
    ];
    for (line, output, is_layout) in cases {
        let sandbox = sandbox();
        let before = sandbox.names();
        let line = [&["fix"], line, &["--format", "json"]].concat();
        let report = sandbox.ocify(&line).exits(0).json();
        assert_eq!(report["output"], output, "{line:?}");
        assert_eq!(sandbox.path(output).is_dir(), is_layout, "{line:?}");
        check(&sandbox, output);
        // Nothing else was written.
        let first = output.split('/').next().unwrap();
        let mut after = sandbox.names();
        after.retain(|name| name != first || before.contains(name));
        assert_eq!(after, before, "{line:?}");
        let count = fs::read_dir(sandbox.path("there")).unwrap().count();
        assert_eq!(count, usize::from(output.starts_with("there")), "{line:?}");
    }
}

#[test]
fn a_fixed_cache_is_a_cache() {
    let sandbox = sandbox();
    for line in [["cache/", "-o", "cache-oci"], ["cache", "-o", "there/"]] {
        sandbox.ocify(&[&["fix"], &line[..]].concat()).exits(0);
    }
    let cache = tree(&sandbox.path("cache-oci"));
    assert!(cache == tree(&sandbox.path("there/cache")));
    let has = |name: &str| cache.iter().any(|(path, _)| path.ends_with(name));
    assert!(has("index.json") && has("oci-layout") && !has("manifest.json"));
}

#[test]
fn standard_input_needs_a_name() {
    let sandbox = sandbox();
    for (line, output) in [
        (&["-o", "fixed"][..], "fixed"),
        (&["-o", "x.tar"], "x.tar"),
        (&["-o", "out", "--layout"], "out"),
    ] {
        let mut command = sandbox.command();
        command.args(["fix", "-"]).args(line);
        let input = fs::File::open(sandbox.path("app.tar")).unwrap();
        let status = command
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(status.status().unwrap().success(), "{line:?}");
        assert_eq!(sandbox.path(output).is_dir(), line.contains(&"--layout"));
        check_output(&sandbox.path(output));
    }
    let before = tree(sandbox.root());
    for output in ["there", "there/", "new/"] {
        for more in [&[][..], &["--layout"], &["--dry-run"]] {
            let line = [&["fix", "-", "-o", output], more].concat();
            let run = sandbox.ocify(&line).exits(2);
            let expected =
                format!("standard input has no name for an output in the directory {output}");
            assert!(run.stderr.contains(&expected), "{line:?}: {run:#?}");
        }
    }
    assert!(tree(sandbox.root()) == before);
}

#[test]
fn an_existing_output_requires_force() {
    let sandbox = sandbox();
    put(&sandbox, "there/app.tar", "old");
    put(&sandbox, "there/data/file", "not a layout");
    let code = |line: &[&str]| {
        let line = [&["fix"], line, &["--format", "json"]].concat();
        let run = sandbox.ocify(&line);
        let report = run.json();
        report["error"]["code"].as_str().map(str::to_owned)
    };
    let exists = Some("output-exists".to_owned());
    assert_eq!(code(&["app.tar", "-o", "there"]), exists);
    assert_eq!(sandbox.read("there/app.tar"), b"old");
    assert_eq!(code(&["app.tar", "-o", "there", "--force"]), None);
    check_output(&sandbox.path("there/app.tar"));

    // A layout replaces a layout, with everything in it, and nothing else.
    assert_eq!(code(&["layout", "-o", "fixed"]), None);
    let fixed = tree(&sandbox.path("fixed"));
    put(&sandbox, "fixed/blobs/sha256/stale", "stale");
    assert_eq!(code(&["layout", "-o", "fixed"]), exists);
    assert!(sandbox.path("fixed/blobs/sha256/stale").exists());
    assert_eq!(code(&["layout", "-o", "fixed", "--force"]), None);
    assert!(tree(&sandbox.path("fixed")) == fixed);
    for line in [["layout", "-o", "there/"], ["cache", "-o", "there/"]] {
        assert_eq!(code(&line), None);
        assert_eq!(code(&line), exists);
        assert_eq!(code(&[&line[..], &["--force"]].concat()), None);
    }
    let not_empty = Some("output-not-empty".to_owned());
    put_fixture(&sandbox, "data", LAYOUT);
    assert_eq!(code(&["data", "-o", "there", "--force"]), not_empty);
    // Outputs do not go into a layout.
    for line in [
        &["app.tar", "-o", "fixed"][..],
        &["app.tar", "-o", "fixed/"],
        &["cache", "-o", "fixed/"],
    ] {
        assert_eq!(code(&[line, &["--force"]].concat()), exists, "{line:?}");
    }
    assert!(tree(&sandbox.path("fixed")) == fixed);
    let mut names = sandbox.names();
    names.retain(|name| name.starts_with('.'));
    assert_eq!(names, [""; 0]);
}

#[test]
fn a_failed_run_leaves_no_directory_that_it_created() {
    let sandbox = sandbox();
    let bytes = sandbox.read("app.tar");
    sandbox.put("cut.tar", &bytes[..3000]);
    sandbox.ocify(&["fix", "cut.tar", "-o", "new/"]).exits(1);
    sandbox.ocify(&["fix", "none.tar", "-o", "new/"]).exits(1);
    sandbox
        .ocify(&["fix", "app.tar", "-o", "none/new/"])
        .exits(1);
    sandbox
        .ocify(&["fix", "app.tar", "-o", "new/", "--dry-run"])
        .exits(3);
    assert_eq!(
        sandbox.names(),
        ["app.tar", "cache", "cut.tar", "layout", "there"]
    );
}

#[test]
fn many_inputs_have_the_requested_form_and_no_output_twice() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/app.tar", ARCHIVE);
    put(
        &sandbox,
        "in/app.tgz",
        gzip(&fs::read(fixture(ARCHIVE)).unwrap()),
    );
    put_fixture(&sandbox, "in/deep/x.tar.zst", ARCHIVE);
    put_fixture(&sandbox, "in/deep.tar", ARCHIVE);
    put_fixture(&sandbox, "in/layout", LAYOUT);
    put_fixture(&sandbox, "in/layout.tar", ARCHIVE);
    let list = "in/layout.tar\nin/layout\nin/app.tgz\nin/app.tar\n";
    sandbox.put("list", list);
    let written = |line: &[&str], output: &str| {
        let found = batch(&sandbox, line);
        let mut failed: Vec<String> = found
            .ends()
            .into_iter()
            .filter(|(_, end)| *end != "fixed" && *end != "unchanged")
            .map(|(input, end)| format!("{input}: {end}"))
            .collect();
        failed.sort();
        let mut outputs: Vec<String> = found
            .items
            .values()
            .filter_map(|item| Some(item["output"].as_str()?.to_owned()))
            .collect();
        outputs.sort();
        for path in &outputs {
            check(&sandbox, path);
        }
        assert!(outputs.iter().all(|path| path.starts_with(output)));
        (outputs, failed)
    };
    let conflict = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name}: output-exists"))
            .collect()
    };
    let (found, failed) = written(&["in", "-o", "layouts", "--layout"], "layouts/");
    assert_eq!(found, ["layouts/app", "layouts/deep/x", "layouts/layout"]);
    assert_eq!(
        failed,
        conflict(&["in/app.tgz", "in/deep.tar", "in/layout.tar"])
    );
    let (found, failed) = written(&["in", "-o", "archives", "--archive"], "archives/");
    assert_eq!(
        found,
        [
            "archives/app.tar",
            "archives/app.tgz",
            "archives/deep.tar",
            "archives/deep/x.tar.zst",
            "archives/layout.tar"
        ]
    );
    assert_eq!(failed, conflict(&["in/layout.tar"]));
    let (found, failed) = written(
        &["--files-from", "list", "-o", "listed/", "--layout"],
        "listed/",
    );
    assert_eq!(found, ["listed/in/app", "listed/in/layout"]);
    assert_eq!(failed, conflict(&["in/app.tar", "in/layout"]));

    // A dry run finds the same conflicts, and shards find them whatever they contain.
    let dry = batch(&sandbox, &["in", "-o", "layouts", "--layout", "--dry-run"]);
    assert_eq!(
        dry.ends()
            .values()
            .filter(|end| **end == "output-exists")
            .count(),
        3
    );
    let mut failed = 0;
    for shard in ["1/2", "2/2"] {
        let part = batch(
            &sandbox,
            &["in", "-o", "shared", "--layout", "--shard", shard],
        );
        failed += part.count("failed");
    }
    assert_eq!(failed, 3);
    assert!(outputs(&sandbox.path("shared")) == outputs(&sandbox.path("layouts")));
    // The same command continues where it was: the directory is not nested in itself.
    let again = batch(&sandbox, &["in", "-o", "archives", "--archive"]);
    assert_eq!(again.count("kept"), 5);
}

#[test]
fn a_dry_run_plans_the_form_that_the_run_writes() {
    for (input, options) in [
        ("layout", &[][..]),
        ("cache", &[]),
        ("app.tar", &["--layout"]),
        ("layout", &["--archive"]),
    ] {
        let sandbox = sandbox();
        let report = |more: &[&str]| -> Value {
            let line = [&["fix", input], options, more, &["--format", "json"]].concat();
            sandbox.ocify(&line).json()
        };
        let (alone, dry) = (report(&["--dry-run"]), report(&["--dry-run", "-o", "out"]));
        let wet = report(&["-o", "out"]);
        for key in ["changes", "findings", "digests", "images", "error"] {
            assert_eq!(alone[key], wet[key], "{input} {options:?}: {key}");
            assert_eq!(dry[key], wet[key], "{input} {options:?}: {key}");
        }
    }
}

#[test]
fn a_value_that_must_follow_an_equals_sign_is_no_input() {
    let sandbox = sandbox();
    sandbox.put("false", "");
    for value in ["false", "true"] {
        for line in [
            &["fix", "app.tar", "--oci-mediatypes", value, "-o", "x.tar"][..],
            &["fix", "--oci-mediatypes", value, "-o", "x.tar"],
        ] {
            let run = sandbox.ocify(line).exits(2);
            let expected = format!("--oci-mediatypes={value}\n");
            assert!(run.stderr.contains(&expected), "{line:?}: {run:#?}");
        }
    }
    let mut command = sandbox.command();
    let line = ["fix", "-o", "x.tar", "--oci-mediatypes", "--", "false"];
    let found = run(command.args(line)).exits(1);
    assert!(found.stderr.contains("false"), "{found:#?}");
}
