//! The command's output: golden texts, JSON that follows its schema, progress and colors.
//!
//! The golden texts are in `tests/golden/`. `OCIFY_WRITE_GOLDEN=1` regenerates them.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::common::builder::{DOCKER_ZSTD, Image, Layer, Layout, right_layout};
use crate::common::failure::expect;
use crate::common::runner::{Run, Sandbox, run};
use crate::common::{fixture, fixtures, repository};

/// Compares with a golden text, or writes it.
#[track_caller]
fn golden(name: &str, found: &str) {
    let path = repository("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("OCIFY_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

/// Everything that a run shows.
fn shown(line: &str, run: &Run) -> String {
    format!(
        "$ ocify {line}\n{}{}[exit code {}]\n",
        run.stdout, run.stderr, run.code
    )
}

/// Runs a line in a folder that has the fixture under its own name.
fn of_fixture(name: &str, options: &str) -> (String, Run) {
    let sandbox = Sandbox::new();
    if fixture(name).is_dir() {
        std::os::unix::fs::symlink(fixture(name), sandbox.path(name)).unwrap();
    } else {
        sandbox.put(name, fs::read(fixture(name)).unwrap());
    }
    let line = format!("fix {name} {options}");
    let run = sandbox.ocify(&line.split_whitespace().collect::<Vec<_>>());
    (line, run)
}

#[test]
fn the_report_of_an_image_with_one_layer_has_fewer_than_ten_lines() {
    let sandbox = Sandbox::new();
    let image = Image::docker(vec![Layer::zstd(DOCKER_ZSTD, "x")]);
    sandbox.put("in.tar", Layout::of(&image, "app:v1").tar());
    let run = sandbox.ocify(&["fix", "in.tar", "-o", "out.tar"]).exits(0);
    assert!(run.stdout.contains("layer-type (1): "), "{run:#?}");
    assert!(run.stdout.lines().count() < 10, "{run:#?}");
}

#[test]
fn text_reports_match_the_golden_files() {
    for (name, options) in [
        ("buildkit-docker-zstd-ocifalse.tar", "-o fixed.tar"),
        ("buildkit-docker-zstd-ocifalse.tar", "-o fixed.tar -v"),
        ("buildkit-docker-zstd-ocifalse.tar", "--dry-run"),
        ("buildkit-docker-zstd-ocitrue.tar", "-o fixed.tar"),
        ("buildkit-docker-zstd-ocitrue.tar", "--dry-run"),
        ("buildkit-docker-names-zstd-ocifalse.tar", "-o fixed.tar"),
        ("buildkit-docker-noname-zstd-ocifalse.tar", "-o fixed.tar"),
        ("buildkit-oci-attest-zstd-ocifalse.tar", "-o fixed.tar"),
        (
            "buildkit-oci-multi-attest-zstd-ocifalse.tar",
            "-o fixed.tar --docker-platform linux/arm64",
        ),
        (
            "buildkit-oci-attest-zstd-ocifalse.tar",
            "-o fixed.tar --attestations drop",
        ),
        ("buildkit-cache-list-ocifalse", "-o fixed"),
        ("containerd17-export-multi.tar", "-o fixed.tar"),
        ("docker26g-save-names.tar", "-o fixed.tar"),
        ("podman-ocidir", "-o fixed.tar"),
        ("skopeo19-oci.tar", "-o fixed.tar"),
    ] {
        let (line, run) = of_fixture(name, options);
        let stem = name.trim_end_matches(".tar");
        let more = options
            .trim_start_matches("-o fixed.tar")
            .replace(['/', ' '], "")
            .replace("--", "-");
        golden(
            &format!("{stem}{}", more.replace("-ofixed", "")),
            &shown(&line, &run),
        );
    }
}

#[test]
fn error_messages_match_the_golden_files() {
    let sandbox = Sandbox::new();
    let right = right_layout().tar();
    sandbox.put("app.tar", &right);
    sandbox.put("cut.tar", &right[..2600]);
    sandbox.put("empty.tar", "");
    sandbox.put("twice.tar", [&right[..], &right[..]].concat());
    let mut damaged = right_layout();
    let config = damaged.find(&["\"rootfs\""]);
    damaged.blobs.get_mut(&config).unwrap()[3] ^= 1;
    sandbox.put("damaged.tar", damaged.tar());
    let platforms = fixture("buildkit-oci-multi-zstd-ocitrue.tar");
    sandbox.put("platforms.tar", fs::read(platforms).unwrap());
    let mut text = String::new();
    for line in [
        "fix none.tar -o fixed.tar",
        "fix empty.tar -o fixed.tar",
        "fix cut.tar -o fixed.tar",
        "fix twice.tar -o fixed.tar",
        "fix damaged.tar -o fixed.tar",
        "fix app.tar -o app.tar",
        "fix app.tar -o cut.tar",
        "fix app.tar -o none/fixed.tar",
        "fix platforms.tar -o fixed.tar --docker-platform linux/s390x",
        "fix app.tar",
    ] {
        let run = sandbox.ocify(&line.split_whitespace().collect::<Vec<_>>());
        assert!(run.stdout.is_empty(), "{line}: {run:#?}");
        text.push_str(&shown(line, &run));
    }
    golden("errors", &text);
}

#[test]
fn help_matches_the_golden_files() {
    let sandbox = Sandbox::new();
    for (name, line) in [
        ("help", "--help"),
        ("help-fix", "fix --help"),
        ("help-fix-short", "fix -h"),
        ("help-check", "check --help"),
        ("help-inspect", "inspect --help"),
        ("help-push", "push --help"),
        ("version", "-V"),
    ] {
        let run = sandbox
            .ocify(&line.split_whitespace().collect::<Vec<_>>())
            .exits(0);
        assert_eq!(run.stderr, "", "{line}");
        golden(
            name,
            &shown(line, &run).replace(env!("CARGO_PKG_VERSION"), "VERSION"),
        );
    }
}

/// What a bug report needs; nothing in it depends on when the program was built.
#[test]
fn the_version_names_what_the_program_is_made_of() {
    let shown = Sandbox::new().ocify(&["--version"]).exits(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    let [version, commit, features, sha2, zlib] = lines[..] else {
        panic!("{shown}");
    };
    assert_eq!(version, concat!("ocify ", env!("CARGO_PKG_VERSION")));
    let commit = commit.strip_prefix("commit: ").unwrap();
    let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_commit || commit == "not recorded", "{commit}");
    assert_eq!(features, "features: cli, push");
    assert_eq!(zlib, "zlib: zlib-rs decompresses, libdeflate compresses");
    let sha2 = sha2.strip_prefix("SHA-2: ").unwrap();
    // An emulator of another processor has its own file.
    if cfg!(target_arch = "x86_64") && std::env::var_os("OCIFY_RUNNER").is_none() {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap();
        let expected = match processor.contains(" sha_ni") {
            true => "SHA extensions of x86",
            false => "portable code",
        };
        assert_eq!(sha2, expected);
    }
}

#[test]
fn json_reports_follow_the_schema() {
    for name in fixtures() {
        let sandbox = Sandbox::new();
        let path = fixture(&name);
        let dry = [
            "fix",
            path.to_str().unwrap(),
            "--dry-run",
            "--format",
            "json",
        ];
        for run in [
            sandbox.fix(&path, "out.tar"),
            sandbox.fix(&path, "out.tar"),
            sandbox.ocify(&dry),
        ] {
            let report = run.json();
            assert_eq!(report["version"], 1, "{name}");
            assert_eq!(report["input"], path.to_str().unwrap(), "{name}");
            let by_status = match report["status"].as_str().unwrap() {
                "fixed" | "unchanged" => 0,
                "would-fix" => 3,
                _ => 1,
            };
            assert_eq!(run.code, by_status, "{name}");
            // One object and a newline, nothing else.
            assert!(run.stdout.ends_with("}\n"), "{name}");
        }
    }
}

/// The rules and codes that the documentation lists.
#[test]
fn every_rule_that_appears_is_documented() {
    let text = fs::read_to_string(repository("docs/report.md")).unwrap();
    for name in fixtures() {
        let report = Sandbox::new().fix(fixture(&name), "out.tar").json();
        let all = ["changes", "findings"]
            .map(|key| report[key].as_array().unwrap().clone())
            .concat();
        for item in all {
            let rule = item["rule"].as_str().unwrap();
            assert!(
                text.contains(&format!("`{rule}`")),
                "{name}: docs/report.md has no {rule}"
            );
        }
    }
}

#[test]
fn every_finding_of_the_source_is_documented() {
    let text = fs::read_to_string(repository("docs/report.md")).unwrap();
    let section = text
        .split("## Rules in `findings`")
        .nth(1)
        .unwrap()
        .split("##")
        .next()
        .unwrap();
    let rules = ocify::FindingRule::ALL;
    assert!(rules.len() >= 8);
    for rule in rules {
        let rule = rule.name();
        assert!(
            section.contains(&format!("`{rule}`")),
            "docs/report.md has no {rule}"
        );
    }
}

#[test]
fn the_metadata_file_has_the_keys_of_buildx() {
    for (name, names) in [
        ("buildkit-docker-names-zstd-ocifalse.tar", 3),
        ("buildkit-docker-noname-zstd-ocifalse.tar", 0),
        ("buildkit-oci-multi-attest-zstd-ocifalse.tar", 1),
    ] {
        let sandbox = Sandbox::new();
        let options = ["--metadata-file", "metadata.json"];
        let report = sandbox
            .fix_with(fixture(name), "out.tar", &options)
            .exits(0)
            .json();
        assert_eq!(sandbox.names(), ["metadata.json", "out.tar"], "{name}");
        let metadata: Value = serde_json::from_slice(&sandbox.read("metadata.json")).unwrap();
        let image = &report["images"][0];
        assert_eq!(metadata["containerimage.digest"], image["digest"], "{name}");
        assert_eq!(
            metadata["containerimage.config.digest"], image["config_digest"],
            "{name}"
        );
        let descriptor = &metadata["containerimage.descriptor"];
        let root =
            crate::common::contents::Contents::read(&sandbox.path("out.tar")).json("index.json");
        for key in ["mediaType", "digest", "size"] {
            assert_eq!(descriptor[key], root["manifests"][0][key], "{name}: {key}");
        }
        let found = metadata["image.name"]
            .as_str()
            .map_or(0, |text| text.split(',').count());
        assert_eq!(found, names, "{name}: {metadata:#}");
    }
    // A run that fails writes none, and a dry run has none to write.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let run = sandbox.ocify(&["fix", "in.tar", "--dry-run", "--metadata-file", "m.json"]);
    assert_eq!(run.code, 2, "{run:#?}");
    sandbox
        .ocify(&["fix", "in.tar", "-o", "in.tar", "--metadata-file", "m.json"])
        .exits(1);
    assert_eq!(sandbox.names(), ["in.tar"]);
    let run = sandbox.fix_with("in.tar", "out.tar", &["--metadata-file", "none/m.json"]);
    expect(
        "parent of the metadata file",
        &run,
        "io",
        &["cannot write metadata file none/m.json"],
    );
}

#[test]
fn pipes_get_neither_colors_nor_progress() {
    let sandbox = Sandbox::new();
    sandbox.put(
        "in.tar",
        fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap(),
    );
    let line = ["fix", "in.tar", "-o", "out.tar", "--force"];
    let plain = sandbox.ocify(&line).exits(0);
    assert_eq!(plain.stderr, "");
    for (key, value) in [
        ("NO_COLOR", "1"),
        ("TERM", "xterm-256color"),
        ("CLICOLOR_FORCE", "1"),
    ] {
        let again = run(sandbox.command().args(line).env(key, value)).exits(0);
        assert_eq!(again.stdout, plain.stdout, "{key}");
        assert_eq!(again.stderr, "", "{key}");
    }
    assert!(!plain.stdout.contains('\u{1b}'));
    let quiet = sandbox
        .ocify(&[&line[..], &["--progress", "quiet"]].concat())
        .exits(0);
    assert_eq!((quiet.stdout, quiet.stderr), (plain.stdout, String::new()));
}

#[test]
fn progress_is_printed_in_lines() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let progress = |mode: &str| {
        let line = [
            "fix",
            "in.tar",
            "-o",
            "out.tar",
            "--force",
            "--format",
            "json",
            "--progress",
            mode,
        ];
        let run = sandbox.ocify(&line).exits(0);
        run.json();
        run
    };
    let raw = progress("rawjson");
    let total = &raw.json()["blobs"]["bytes"];
    let events: Vec<Value> = raw
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let start =
        serde_json::json!({"event": "start", "phase": "writing", "done": 0, "total": total});
    let finish =
        serde_json::json!({"event": "finish", "phase": "writing", "done": total, "total": total});
    assert_eq!(events.first(), Some(&start));
    assert_eq!(events.last(), Some(&finish));
    let plain = progress("plain");
    let bytes = total.as_u64().unwrap();
    assert_eq!(plain.stderr, format!("writing {bytes} B of {bytes} B\n"));
}

/// Runs a fix in a pipe that has nothing to read for more than ten seconds.
fn slow(line: &[&str]) -> (String, i32) {
    let mut command = Sandbox::new().command();
    command.current_dir("/").args(line);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let archive = fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap();
    let (start, rest) = archive.split_at(archive.len() / 2);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(start).unwrap();
    thread::sleep(Duration::from_millis(10_300));
    stdin.write_all(rest).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (text, output.status.code().unwrap())
}

#[test]
fn a_long_run_shows_lines_in_a_pipe() {
    thread::scope(|scope| {
        let text = scope.spawn(|| slow(&["fix", "-"]));
        let json = scope.spawn(|| slow(&["fix", "-", "--format", "json"]));
        let quiet = scope.spawn(|| slow(&["fix", "-", "--progress", "quiet"]));
        let is_progress = |line: &&str| line.starts_with("streaming ") && line.contains(" B/s");
        let (text, code) = text.join().unwrap();
        assert_eq!(code, 0, "{text}");
        assert_eq!(text.lines().filter(is_progress).count(), 1, "{text}");
        let (text, code) = quiet.join().unwrap();
        assert_eq!(
            (code, text.lines().filter(is_progress).count()),
            (0, 0),
            "{text}"
        );
        // The report is on standard error, and nothing else.
        let (text, code) = json.join().unwrap();
        assert_eq!(code, 0, "{text}");
        crate::common::schema::parse_report(&text);
    });
}
