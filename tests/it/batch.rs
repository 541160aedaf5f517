//! Batches: which inputs are found, where outputs are written, and what is reported.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::batch::{batch, outputs, parsed, put, put_all, put_fixture};
use crate::common::builder::{gzip, zstd};
use crate::common::faults::{faults, good, odd_layer};
use crate::common::runner::{Sandbox, run};
use crate::common::{fixture, tree};

const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";
const RIGHT: &str = "buildkit-docker-gzip-ocitrue.tar";

#[test]
fn a_tree_is_mirrored_and_outputs_equal_those_of_single_runs() {
    let sandbox = Sandbox::new();
    let paths = put_all(&sandbox);
    let before = tree(&sandbox.path("in"));
    let found = batch(&sandbox, &["in", "-o", "out", "--jobs", "3"]);
    found.exits(0);
    assert_eq!(found.items.keys().cloned().collect::<Vec<_>>(), paths);
    let mut expected = Vec::new();
    for path in &paths {
        let relative = path.strip_prefix("in/").unwrap();
        let single = format!("single/{relative}");
        fs::create_dir_all(sandbox.path(&single).parent().unwrap()).unwrap();
        let report = sandbox.fix(path, &single).exits(0).json();
        expected.push(relative);
        let item = &found.items[path];
        assert_eq!(item["output"], format!("out/{relative}"));
        for key in [
            "status", "changes", "findings", "digests", "images", "blobs", "error",
        ] {
            assert_eq!(item[key], report[key], "{path}: {key}");
        }
    }
    assert!(outputs(&sandbox.path("out")) == tree(&sandbox.path("single")));
    assert!(
        tree(&sandbox.path("in")) == before,
        "the inputs are as they were"
    );
    let summary = &found.summary;
    assert_eq!(
        summary["items"]["fixed"].as_u64().unwrap()
            + summary["items"]["unchanged"].as_u64().unwrap(),
        paths.len() as u64
    );
    assert_eq!(summary["others"], json!({"left": 2, "copied": 0}));
    assert_eq!(sandbox.names(), ["in", "out", "single"]);

    // The result is the same with one thread, and if all inputs are given by name.
    sandbox
        .ocify(&["fix", "in", "-o", "one", "--jobs", "1"])
        .exits(0);
    assert!(outputs(&sandbox.path("one")) == outputs(&sandbox.path("out")));
    sandbox
        .ocify(&["fix", "in/a", "in/b c", "-o", "named/"])
        .exits(0);
    for part in ["a", "b c"] {
        let of = |root: &str| tree(&sandbox.path(&format!("{root}/{part}")));
        assert!(of("named") == of("out"), "{part}");
    }
}

#[test]
fn other_files_are_ignored_or_copied() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/app", ZSTD);
    put(&sandbox, "in/text/notes", "notes");
    put(&sandbox, "in/log.gz", gzip(&[b'x'; 5000]));
    let sources =
        crate::common::archive::tar(&[crate::common::archive::Entry::file("src/main.c", "int x;")]);
    put(&sandbox, "in/sources.tar", &sources);
    put(&sandbox, "in/sources.tar.zst", zstd(&sources));
    let twice = [&sources[..], &sources[..]].concat();
    put(&sandbox, "in/two.tar", twice);
    put(&sandbox, "in/cut.tar", &sources[..515]);
    put(&sandbox, "in/web/manifest.json", "{}");
    symlink("../app", sandbox.path("in/text/link")).unwrap();
    symlink("/etc", sandbox.path("in/etc")).unwrap();
    symlink("nowhere", sandbox.path("in/dangling")).unwrap();
    drop(UnixListener::bind(sandbox.path("in/socket")).unwrap());
    let fifo = std::process::Command::new("mkfifo")
        .arg(sandbox.path("in/fifo"))
        .status();
    assert!(fifo.unwrap().success());

    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    let ends: BTreeMap<&str, &str> = found.ends();
    let expected = [
        ("in/app", "fixed"),
        ("in/cut.tar", "skipped"),
        ("in/sources.tar", "skipped"),
        ("in/sources.tar.zst", "skipped"),
        ("in/two.tar", "skipped"),
    ];
    assert_eq!(ends, BTreeMap::from(expected));
    let skipped = &found.items["in/sources.tar"];
    assert_eq!(skipped["error"]["code"], "not-an-image");
    assert_eq!(found.summary["others"], json!({"left": 8, "copied": 0}));
    assert_eq!(outputs(&sandbox.path("out")).len(), 1);

    let line = ["in", "-o", "all", "--copy-others"];
    for copied in [6, 6] {
        let found = batch(&sandbox, &line);
        found.exits(0);
        // Damaged archives do not count as other files, and special files are never copied.
        assert_eq!(
            found.summary["others"],
            json!({"left": 2, "copied": copied})
        );
    }
    for name in [
        "text/notes",
        "log.gz",
        "web/manifest.json",
        "text/link",
        "etc",
        "dangling",
    ] {
        let same = |root: &str| {
            let path = sandbox.path(&format!("{root}/{name}"));
            fs::read_link(&path).map_or_else(
                |_| fs::read(&path).unwrap(),
                |link| link.into_os_string().into_encoded_bytes(),
            )
        };
        assert_eq!(same("in"), same("all"), "{name}");
    }
    assert!(!sandbox.path("all/sources.tar").exists());
}

#[test]
fn bad_inputs_are_reported_and_do_not_stop_the_batch() {
    let sandbox = Sandbox::new();
    let faults = faults();
    for fault in &faults {
        put(
            &sandbox,
            &format!("in/{}/{}.tar", &fault.name[..1], fault.name),
            &fault.bytes,
        );
        put(
            &sandbox,
            &format!("in/{}/{}-good.tar", &fault.name[..1], fault.name),
            good(),
        );
    }
    put(&sandbox, "in/layout/index.json", "{");
    put(&sandbox, "in/layout/oci-layout", "{}");
    put(&sandbox, "in/closed/app.tar", good());
    fs::set_permissions(
        sandbox.path("in/closed"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    let is_root = fs::read_dir(sandbox.path("in/closed")).is_ok();
    let found = batch(
        &sandbox,
        &["in", "-o", "out", "--compression", "gzip", "--jobs", "2"],
    );
    fs::set_permissions(
        sandbox.path("in/closed"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    assert_eq!(found.run.code, 1);
    let ends = found.ends();
    let mut failed = 1;
    for fault in &faults {
        let path = |more: &str| format!("in/{}/{}{more}.tar", &fault.name[..1], fault.name);
        assert_eq!(ends[path("").as_str()], fault.code, "{}", fault.name);
        assert_eq!(ends[path("-good").as_str()], "fixed", "{}", fault.name);
        failed += 1;
        let item = &found.items[&path("")];
        assert_eq!(item["output"], Value::Null);
        // The text report ends with it, including the location and the hint.
        let message = item["error"]["message"].as_str().unwrap();
        let line = found
            .run
            .stderr
            .lines()
            .position(|line| line.starts_with("error: ") && line.ends_with(message));
        let line = line.unwrap_or_else(|| panic!("{message}\n{}", found.run.stderr));
        if let Some(hint) = item["error"]["hint"].as_str() {
            let next = found.run.stderr.lines().nth(line + 1).unwrap();
            assert_eq!(next, format!("hint: {hint}"), "{}", fault.name);
        }
    }
    assert_eq!(ends["in/layout"], "invalid-document");
    if is_root {
        assert_eq!(ends["in/closed/app.tar"], "fixed");
    } else {
        assert_eq!(ends["in/closed"], "io");
        failed += 1;
    }
    assert_eq!(found.count("failed"), failed);
    let reference = fs::read(sandbox.path("out/c/cut-good.tar")).unwrap();
    let mut names = 0;
    for (path, bytes) in outputs(&sandbox.path("out")) {
        if path.extension().is_some() {
            assert!(bytes == reference, "{}", path.display());
            names += 1;
        }
    }
    assert_eq!(
        names,
        faults.len() + usize::from(is_root),
        "nothing else is there"
    );

    let odd = odd_layer();
    put(&sandbox, "odd/a.tar", &odd.bytes);
    put(&sandbox, "odd/b.tar", good());
    let found = batch(&sandbox, &["odd", "-o", "odder"]);
    let expected = [("odd/a.tar", odd.code), ("odd/b.tar", "fixed")];
    assert_eq!(found.ends(), BTreeMap::from(expected));

    // Every code of bad inputs is among them.
    let codes: Vec<&str> = faults
        .iter()
        .chain([&odd])
        .map(|fault| fault.code)
        .collect();
    let text = fs::read_to_string(crate::common::repository("docs/report.md")).unwrap();
    for class in ["corrupt", "ambiguous", "unsupported"] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{class}` ")))
            .unwrap();
        for code in row.split('`').skip(3).step_by(2) {
            // Of options, of streams, of directories and of journals.
            let is_of_others = [
                "platform-not-found",
                "image-not-found",
                "no-docker-type",
                "compressed-archive",
                "needs-file",
                "too-many-entries",
                "damaged-journal",
                "size-limit",
            ]
            .contains(&code);
            assert!(
                is_of_others || codes.contains(&code),
                "no archive for {code}"
            );
        }
    }
}

#[test]
fn named_files_must_be_image_archives() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "a.tar", ZSTD);
    put(&sandbox, "notes.txt", "notes");
    let found = batch(&sandbox, &["a.tar", "notes.txt", "none.tar", "-o", "out/"]);
    found.exits(1);
    let expected = [
        ("a.tar", "fixed"),
        ("none.tar", "io"),
        ("notes.txt", "not-an-image"),
    ];
    assert_eq!(found.ends(), BTreeMap::from(expected));
}

#[test]
fn paths_are_listed_in_a_file_or_on_standard_input() {
    let sandbox = Sandbox::new();
    for name in ["x/a.tar", "x/new\nline.tar", "y/a.tar"] {
        put_fixture(&sandbox, name, ZSTD);
    }
    put_fixture(&sandbox, "z/layout", "podman-ocidir");
    let absolute = sandbox.path("y/a.tar");
    let list = format!("./x/a.tar\n\n{}\nz\nx/a.tar\n..\n", absolute.display());
    sandbox.put("list", &list);
    let found = batch(&sandbox, &["--files-from", "list", "-o", "out/"]);
    let ends = found.ends();
    let text = absolute.to_str().unwrap();
    assert_eq!(ends[text], "fixed");
    assert_eq!((ends["./x/a.tar"], ends["z/layout"]), ("fixed", "fixed"));
    assert_eq!(
        (ends["x/a.tar"], ends[".."]),
        ("output-exists", "parent-missing")
    );
    assert_eq!(found.run.code, 1);
    for output in [
        "out/x/a.tar",
        "out/z/layout/oci-layout",
        &format!("out{text}"),
    ] {
        assert!(sandbox.path(output).exists(), "{output}");
    }

    let zeros = "x/new\nline.tar\0y/a.tar";
    for (args, text) in [
        (vec!["-0"], zeros),
        (vec!["--null"], "x/new\nline.tar\0y/a.tar\0"),
    ] {
        let line = ["fix", "--files-from", "-", "-o", "zeros/", "--force"];
        let mut child = sandbox
            .command()
            .args(line)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(fs::read_dir(sandbox.path("zeros")).unwrap().count(), 3);
        assert!(sandbox.path("zeros/x/new\nline.tar").exists());
    }
    let found = sandbox
        .ocify(&["fix", "--files-from", "none", "-o", "out2/"])
        .exits(1);
    assert!(
        found.stderr.contains("cannot read none"),
        "{}",
        found.stderr
    );
    sandbox.ocify(&["fix", "x", "-0", "-o", "out2"]).exits(2);
}

#[test]
fn patterns_select_paths() {
    let sandbox = Sandbox::new();
    for name in [
        "a.tar",
        "b.oci",
        "cache/a.tar",
        "cache/old/c.tar",
        "x/old/d.tar",
    ] {
        put_fixture(&sandbox, &format!("in/{name}"), RIGHT);
    }
    put_fixture(&sandbox, "in/cache/layout", "podman-ocidir");
    #[rustfmt::skip]
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--include", "*.tar"], &["a.tar", "cache/a.tar", "cache/old/c.tar", "x/old/d.tar"]),
        (&["--include", "*.oci", "--include", "c.*"], &["b.oci", "cache/old/c.tar"]),
        (&["--include", "layout"], &["cache/layout"]),
        (&["--include", "cache/*"], &["cache/a.tar", "cache/layout"]),
        (&["--include", "cache/**"], &["cache/a.tar", "cache/layout", "cache/old/c.tar"]),
        (&["--include", "/*.tar"], &["a.tar"]),
        (&["--exclude", "old"], &["a.tar", "b.oci", "cache/a.tar", "cache/layout"]),
        (&["--exclude", "cache/old", "--exclude", "*.oci"], &["a.tar", "cache/a.tar", "cache/layout", "x/old/d.tar"]),
        (&["--include", "*.tar", "--exclude", "{cache,x}"], &["a.tar"]),
    ];
    for (options, expected) in cases {
        let found = batch(&sandbox, &[&["in", "--dry-run"], options].concat());
        let names: Vec<&str> = found
            .items
            .keys()
            .map(|path| path.strip_prefix("in/").unwrap())
            .collect();
        assert_eq!(names, expected, "{options:?}");
    }
    let wrong = sandbox
        .ocify(&["fix", "in", "-o", "out", "--include", "[a"])
        .exits(2);
    assert!(
        wrong.stderr.contains("unclosed character class"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn compressed_archives_keep_their_names_if_possible() {
    let sandbox = Sandbox::new();
    let plain = fs::read(fixture(ZSTD)).unwrap();
    put(&sandbox, "in/a.tar.gz", gzip(&plain));
    put(&sandbox, "in/b.tzst", zstd(&plain));
    put(&sandbox, "in/c", gzip(&plain));
    let xz = |bytes: &[u8]| {
        let mut out = Vec::new();
        std::io::copy(&mut liblzma::read::XzEncoder::new(bytes, 1), &mut out).unwrap();
        out
    };
    put(&sandbox, "in/d.tar.xz", xz(&plain));
    put(&sandbox, "in/e.txz", xz(&plain));
    put(&sandbox, "in/f.tar.xz", xz(&plain));
    put(&sandbox, "in/f.tar", &plain);
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(1);
    sandbox.fix(fixture(ZSTD), "fixed.tar").exits(0);
    let fixed = sandbox.read("fixed.tar");
    for name in ["c", "d.tar", "e.tar", "f.tar"] {
        assert!(sandbox.read(&format!("out/{name}")) == fixed, "{name}");
    }
    let ends = found.ends();
    assert_eq!(ends["in/f.tar.xz"], "output-exists", "f.tar has that name");
    assert_eq!(ends.values().filter(|end| **end == "fixed").count(), 6);
    for (name, magic) in [("a.tar.gz", &[0x1f, 0x8b][..]), ("b.tzst", &[0x28, 0xb5])] {
        let bytes = sandbox.read(&format!("out/{name}"));
        assert!(bytes.starts_with(magic), "{name}");
        sandbox.fix(format!("out/{name}"), "again.tar").exits(0);
        assert!(sandbox.read("again.tar") == fixed, "{name}");
        fs::remove_file(sandbox.path("again.tar")).unwrap();
    }
}

#[test]
fn impossible_requests_are_refused_before_any_work() {
    let sandbox = Sandbox::new();
    for name in ["in/a.tar", "in/sub/b.tar", "other/a.tar"] {
        put_fixture(&sandbox, name, ZSTD);
    }
    put_fixture(&sandbox, "layout", "podman-ocidir");
    put(&sandbox, "file", "");
    symlink("in", sandbox.path("link")).unwrap();
    let before = tree(sandbox.root());
    #[rustfmt::skip]
    let cases: [(&[&str], i32, &str); 28] = [
        (&["in", "-o", "in"], 1, "the input in is the output"),
        (&["in", "-o", "in/out"], 1, "the input in contains the output"),
        (&["in", "-o", "link/deep/out"], 1, "contains the output"),
        (&["in/sub", "-o", "in"], 1, "the input in/sub is inside the output"),
        (&["in/a.tar", "other/a.tar", "-o", "out/"], 1, "in/a.tar and other/a.tar would have the same output a.tar"),
        (&["in/a.tar", "layout", "-o", "in"], 1, "the input in/a.tar is inside the output"),
        (&["in", "-o", "file"], 1, "the output file exists and is not a directory"),
        (&["in", "-o", "none/out"], 1, "the parent directory of the output none/out does not exist"),
        (&["in", "-o", "out", "--report", "none/report"], 1, "cannot create the report none/report"),
        (&["in"], 2, "no output given"),
        (&["in", "-o", "-"], 2, "not standard output"),
        (&["in", "-o", "out", "--metadata-file", "m"], 2, "--metadata-file supports only a single input"),
        (&["in", "-o", "out", "--name", "app:1"], 2, "--name supports only a single input"),
        (&["in", "-o", "out", "--shard", "3/2"], 2, "shard 3 of 2 does not exist"),
        (&["in", "-o", "out", "--shard", "auto"], 2, "--shard auto found none of"),
        (&["in/a.tar", "-o", "out.tar", "--copy-others"], 2, "--copy-others requires many inputs"),
        (&["layout", "-o", "out.tar", "--shard", "1/2"], 2, "--shard requires many inputs"),
        (&["in/a.tar", "other/a.tar", "-o", "merged.tar"], 2, "several inputs require an OUTPUT that is a directory: merged.tar is not an existing one and does not end in /"),
        (&["in/a.tar", "layout", "-o", "file"], 2, "several inputs require an OUTPUT that is a directory"),
        (&["--files-from", "file", "-o", "new"], 2, "--files-from requires an OUTPUT that is a directory"),
        (&["in", "-o", "out.tar"], 2, "a directory of inputs requires an OUTPUT that is a directory: out.tar is named like an archive"),
        (&["in", "-o", "OUT.TZST", "--layout"], 2, "OUT.TZST is named like an archive"),
        (&["in", "-o", "layout"], 1, "the output directory layout is an image layout"),
        (&["in/a.tar", "-o", "layout/"], 1, "the output directory layout/ is an image layout"),
        (&["in/a.tar", "-", "-o", "out/"], 2, "standard input must be the only INPUT"),
        (&["in/a.tar", "other/a.tar", "-o", "in/", "--copy-others"], 2, "--copy-others has no effect"),
        (&["in/a.tar", "layout", "-o", "in/", "--include", "*.tar", "--exclude", "x"], 1, "is inside the output"),
        (&["-o", "out"], 2, "INPUT"),
    ];
    for (args, code, part) in cases {
        let found = sandbox.ocify(&[&["fix"], args].concat()).exits(code);
        assert!(found.stderr.contains(part), "{args:?}: {}", found.stderr);
        assert_eq!(found.stdout, "", "{args:?}");
        assert!(
            tree(sandbox.root()) == before,
            "{args:?}: {:?}",
            sandbox.names()
        );
    }
}

#[test]
fn a_batch_without_inputs_succeeds_and_writes_nothing() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("in/deep")).unwrap();
    put(&sandbox, "in/notes.txt", "");
    let found = sandbox.ocify(&["fix", "in", "-o", "out"]).exits(0);
    assert_eq!(found.stderr, "warning: no image archives found\n");
    assert!(found.stdout.starts_with("0 inputs in "), "{}", found.stdout);
    assert_eq!(sandbox.names(), ["in"]);
}

#[test]
fn a_dry_run_reports_whether_anything_would_change() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "right/a.tar", RIGHT);
    put_fixture(&sandbox, "wrong/a.tar", ZSTD);
    put_fixture(&sandbox, "wrong/b.tar", RIGHT);
    let found = batch(&sandbox, &["right", "--dry-run"]);
    found.exits(0);
    let found = batch(&sandbox, &["wrong", "-o", "out", "--dry-run"]);
    let expected = [("wrong/a.tar", "would-fix"), ("wrong/b.tar", "unchanged")];
    assert_eq!(found.ends(), BTreeMap::from(expected));
    assert_eq!(found.run.code, 3);
    assert_eq!(sandbox.names(), ["right", "wrong"]);
    put(
        &sandbox,
        "wrong/c.tar",
        &fs::read(fixture(ZSTD)).unwrap()[..3000],
    );
    batch(&sandbox, &["wrong", "--dry-run"]).exits(1);
}

#[test]
fn a_dry_run_reports_what_a_run_does() {
    let sandbox = Sandbox::new();
    let mut paths = put_all(&sandbox);
    for (name, pack) in [("gz", gzip as fn(&[u8]) -> Vec<u8>), ("zst", zstd)] {
        for fixture_name in [ZSTD, RIGHT] {
            let path = format!("in/packed/{fixture_name}.{name}");
            put(
                &sandbox,
                &path,
                pack(&fs::read(fixture(fixture_name)).unwrap()),
            );
            paths.push(path);
        }
    }
    for (output, options) in [("full", &[][..]), ("quick", &["--verify", "documents"])] {
        let line = [&["in", "-o", output][..], options].concat();
        let dry = batch(&sandbox, &[&line[..], &["--dry-run"]].concat());
        dry.exits(3);
        let wet = batch(&sandbox, &line);
        wet.exits(0);
        for path in &paths {
            for key in ["changes", "findings", "digests", "images"] {
                let (dry, wet) = (&dry.items[path][key], &wet.items[path][key]);
                assert_eq!(dry, wet, "{path} {options:?}: {key}");
            }
        }
    }
}

#[test]
fn an_input_with_an_interrupted_in_place_fix_is_restored_first() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/a.tar", good());
    put(&sandbox, "in/b.tar", good());
    put(
        &sandbox,
        "in/.a.tar.ocify-journal",
        "ocify undo journal 1\n",
    );
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    let is_said = found
        .run
        .stderr
        .contains("an in-place fix of in/a.tar was interrupted");
    assert!(is_said, "{:?}", found.run);
    assert_eq!(sandbox.read("out/a.tar"), sandbox.read("out/b.tar"));
    assert!(!sandbox.path("in/.a.tar.ocify-journal").exists());
}

#[test]
fn a_batch_can_stop_at_the_first_failure() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/0.tar", &good()[..2000]);
    for number in 1..200 {
        put(&sandbox, &format!("in/{number}.tar"), good());
    }
    let found = batch(&sandbox, &["in", "-o", "out", "--fail-fast", "--jobs", "1"]);
    found.exits(1);
    assert_eq!(found.count("failed"), 1);
    assert!(found.count("total") < 10, "{:#}", found.summary);
    let found = batch(&sandbox, &["in", "-o", "out", "--jobs", "1"]);
    assert_eq!((found.count("failed"), found.count("total")), (1, 200));
}

#[test]
fn the_report_and_the_map_do_not_depend_on_threads() {
    let sandbox = Sandbox::new();
    put_all(&sandbox);
    let mut maps = Vec::new();
    for jobs in ["1", "4"] {
        let line = [
            "fix",
            "in",
            "-o",
            "out",
            "--force",
            "--jobs",
            jobs,
            "--report",
            "report.jsonl",
            "--digest-map",
            "map.jsonl",
        ];
        let found = sandbox.ocify(&line).exits(0);
        // People still see their own.
        assert!(
            found
                .stdout
                .lines()
                .any(|line| line.starts_with("fixed     in/"))
        );
        assert!(found.stdout.lines().last().unwrap().contains(" fixed, "));
        let (items, _) = parsed(&String::from_utf8(sandbox.read("report.jsonl")).unwrap());
        let map = String::from_utf8(sandbox.read("map.jsonl")).unwrap();
        let lines: Vec<Value> = map
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut expected = Vec::new();
        for (input, item) in &items {
            for change in item["digests"].as_array().unwrap() {
                let mut change = change.clone();
                change["input"] = json!(input);
                expected.push(change);
            }
        }
        let by = |value: &Value| (value["input"].to_string(), value["before"].to_string());
        let mut sorted = lines.clone();
        sorted.sort_by_key(by);
        expected.sort_by_key(by);
        assert!(lines.len() >= 10, "{}", lines.len());
        assert_eq!(sorted, expected);
        maps.push(map);
    }
    assert_eq!(maps[0], maps[1]);
    // The map includes kept outputs.
    let line = ["fix", "in", "-o", "out", "--digest-map", "again.jsonl"];
    let found = sandbox.ocify(&line).exits(0);
    assert!(
        found.stdout.contains(" finished earlier"),
        "{}",
        found.stdout
    );
    assert_eq!(
        String::from_utf8(sandbox.read("again.jsonl")).unwrap(),
        maps[0]
    );
}

#[test]
fn shards_process_each_input_once_and_never_write_the_same_file() {
    let sandbox = Sandbox::new();
    put_all(&sandbox);
    sandbox
        .ocify(&["fix", "in", "-o", "whole", "--digest-map", "whole.jsonl"])
        .exits(0);
    let mut inputs = Vec::new();
    let mut maps = String::new();
    for number in 1..=3 {
        let shard = format!("{number}/3");
        let found = batch(
            &sandbox,
            &[
                "in",
                "-o",
                "out",
                "--shard",
                &shard,
                "--report",
                "r.jsonl",
                "--digest-map",
                "m.jsonl",
                "--copy-others",
            ],
        );
        found.exits(0);
        assert_eq!(found.summary["shard"], shard);
        inputs.extend(found.items.keys().cloned());
        let report = sandbox.read(&format!("r-{number}-of-3.jsonl"));
        assert_eq!(parsed(&String::from_utf8(report).unwrap()).0, found.items);
        maps.push_str(&String::from_utf8(sandbox.read(&format!("m-{number}-of-3.jsonl"))).unwrap());
        assert!(
            sandbox
                .path(&format!("out/.ocify-state-{number}-of-3"))
                .exists()
        );
    }
    let count = inputs.len();
    inputs.sort();
    inputs.dedup();
    assert_eq!(inputs.len(), count, "no input twice");
    assert!(!sandbox.path("r.jsonl").exists() && !sandbox.path("m.jsonl").exists());
    let whole = outputs(&sandbox.path("whole"));
    let mut shared = outputs(&sandbox.path("out"));
    shared.retain(|(path, _)| !path.ends_with("notes.txt") && !path.ends_with("empty"));
    assert!(shared == whole);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let map = String::from_utf8(sandbox.read("whole.jsonl")).unwrap();
    assert_eq!(sorted(&maps), sorted(&map));
    // A run with another number of shards continues from what these have finished.
    let found = batch(&sandbox, &["in", "-o", "out"]);
    assert_eq!(found.count("kept"), count as u64);
}

#[test]
fn the_environment_selects_a_shard() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a.tar", RIGHT);
    for (shard, environment, expected) in [
        ("auto/4", "JOB_COMPLETION_INDEX=2", "3/4"),
        ("auto", "CI_NODE_INDEX=2 CI_NODE_TOTAL=5", "2/5"),
        ("auto", "CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=5", "1/5"),
        (
            "auto",
            "BUILDKITE_PARALLEL_JOB=4 BUILDKITE_PARALLEL_JOB_COUNT=5",
            "5/5",
        ),
        (
            "auto",
            "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_MAX=8 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_STEP=1",
            "3/4",
        ),
    ] {
        let mut command = sandbox.command();
        command.args([
            "fix", "in", "-o", "out", "--format", "json", "--shard", shard,
        ]);
        command.envs(
            environment
                .split(' ')
                .map(|pair| pair.split_once('=').unwrap()),
        );
        let found = run(&mut command).exits(0);
        assert_eq!(parsed(&found.stdout).1["shard"], expected, "{environment}");
    }
}
