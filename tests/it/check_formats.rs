//! The reports of `ocify check` for continuous integration: JUnit XML, and commands and summaries of GitHub Actions.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use roxmltree::{Document, Node};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::advice::{are_installed, shell};
use crate::common::batch::{put, put_fixture};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP};
use crate::common::piped::pipe;
use crate::common::runner::{Run, Sandbox, is_ignored, run};
use crate::common::{fixture, fixtures, repository};

const GOOD: &str = "docker26g-save.tar";
const BAD: &str = "buildkit-docker-zstd-ocifalse.tar";
/// A name that would be markup, an entity, a workflow command of both forms, a row and a link, and is not UTF-8 text.
const HOSTILE: &[u8] = b"in/\"><img src=x>&amp;]]>|`$(id)`%0A::error::a,b\n::add-mask::c\r##[add-mask]d \x1b[31m\xff www.x.y.tar";

/// A tree with an archive of each kind, whose names are harmless or hostile.
fn tree() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/good.tar", GOOD);
    put_fixture(&sandbox, "in/bad.tar", BAD);
    put_fixture(&sandbox, "in/cache", "buildkit-cache-list-ocitrue");
    let cut = fs::read(fixture(GOOD)).unwrap();
    put(&sandbox, "in/cut.tar", &cut[..cut.len() / 2]);
    std::os::unix::fs::symlink("good.tar", sandbox.path("in/link.tar")).unwrap();
    sandbox
}

/// The same with hostile names.
fn hostile() -> Sandbox {
    let sandbox = tree();
    let path = sandbox.root().join(OsStr::from_bytes(HOSTILE));
    fs::copy(fixture(BAD), &path).unwrap();
    let cut = fs::read(fixture(BAD)).unwrap();
    let mut cut_path = path.into_os_string();
    cut_path.push(".cut.tar");
    fs::write(cut_path, &cut[..cut.len() / 2]).unwrap();
    let name = "docker.io/library/<b>##[add-mask]:v1";
    let layout = Layout::of(&Image::docker(vec![Layer::gzip(OCI_GZIP, "a")]), name);
    put(&sandbox, "in/name.tar", layout.tar());
    sandbox
}

/// Whether text is JUnit XML, judged by a parser, by its own numbers, and by xmllint with a schema if it is installed. Returns how many
/// cases did not pass.
#[track_caller]
fn judged(text: &str) -> usize {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let mut bad = 0;
    for suite in root.children().filter(Node::is_element) {
        let cases: Vec<Node<'_, '_>> = suite.children().filter(Node::is_element).collect();
        let count = |name: &str| {
            let those = cases.iter().flat_map(|case| case.children());
            those.filter(|child| child.has_tag_name(name)).count()
        };
        let (failures, errors) = (count("failure"), count("error"));
        let stated = |name: &str| suite.attribute(name).unwrap().parse::<usize>().unwrap();
        assert_eq!(stated("tests"), cases.len(), "{text}");
        assert_eq!(stated("failures"), failures, "{text}");
        assert_eq!(stated("errors"), errors, "{text}");
        assert_eq!(stated("skipped"), count("skipped"), "{text}");
        let classes = cases.iter().map(|case| case.attribute("classname"));
        assert!(
            classes.eq(vec![suite.attribute("name"); cases.len()]),
            "{text}"
        );
        bad += failures + errors;
    }
    if are_installed(&["xmllint"]) {
        let sandbox = Sandbox::new();
        sandbox.put("junit.xml", text);
        let schema = repository("tests/golden/junit.xsd");
        let line = format!("xmllint --noout --schema '{}' junit.xml", schema.display());
        shell(&sandbox, &line).exits(0);
    }
    bad
}

fn junit(sandbox: &Sandbox, line: &[&str]) -> Run {
    sandbox.ocify(&[&["check", "--format", "junit"], line].concat())
}

/// The text, with zeros for times.
fn timeless(text: &str) -> String {
    let mut parts = text.split(" time=\"");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (_, rest) = part.split_once('"').unwrap();
        out += &format!(" time=\"0\"{rest}");
    }
    out
}

#[test]
fn a_case_says_what_is_in_the_way_and_the_command_that_helps() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "app.tar", BAD);
    let engines = [
        "--for",
        "containerd@1.6.24",
        "--for",
        "docker@20.10.24/graphdriver",
        "--for",
        "docker@28.5/graphdriver",
    ];
    let run = junit(
        &sandbox,
        &[&["app.tar", "--fail-on", "zstd-layers"], &engines[..]].concat(),
    )
    .exits(3);
    assert_eq!(run.stderr, "");
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="ocify check">
  <testsuite name="app.tar" tests="4" failures="3" errors="0" skipped="0" time="0">
    <testcase classname="app.tar" name="containerd 1.6.24" time="0">
      <failure type="layer-type" message="no: layer-type: The media type of a zstd layer is not in any specification.">no: layer-type: The media type of a zstd layer is not in any specification.
layer-type (4): index.json, manifests[0], layers[0] and 3 more
  “no processor for media-type” (seen with 1.6.20)
it loads after: ocify fix app.tar -o fixed.tar</failure>
    </testcase>
    <testcase classname="app.tar" name="docker/graphdriver 20.10.24" time="0">
      <failure type="zstd-layers" message="no: zstd-layers: The engine cannot read zstd.">no: zstd-layers: The engine cannot read zstd.
zstd-layers (4): manifest.json[0], Layers[0] blobs/sha256/87f856618375fa4d13e25d84e121af5431910b8ac56ad1e766ba91d3d62a8fa1 and 3 more
  “invalid tar header” or “unexpected EOF” (seen with 20.10.24; moby 23.0 release notes, moby/moby#41759)
it loads after: ocify fix app.tar -o fixed.tar --for docker@20.10.24/graphdriver</failure>
    </testcase>
    <testcase classname="app.tar" name="docker/graphdriver 28.5.0–28.5.2" time="0"/>
    <testcase classname="app.tar" name="fail on zstd-layers" time="0">
      <failure type="zstd-layers" message="rejected because of zstd-layers">rejected because of zstd-layers</failure>
    </testcase>
  </testsuite>
</testsuites>
"#;
    assert_eq!(timeless(&run.stdout), expected);
    assert_eq!(judged(&run.stdout), 3);
}

#[test]
fn junit_reports_are_valid_whatever_names_there_are() {
    let sandbox = hostile();
    let run = junit(&sandbox, &["in"]).exits(1);
    judged(&run.stdout);
    let document = Document::parse(&run.stdout).unwrap();
    let names: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.attribute("name"))
        .collect();
    let shown = r#"in/"><img src=x>&amp;]]>|`$(id)`%0A::error::a,b\u{a}::add-mask::c\u{d}##[add-mask]d \u{1b}[31m\xff www.x.y.tar"#;
    assert!(names.contains(&shown), "{names:?}");
    // Of one input, with the same suites.
    for (input, code) in [("in/good.tar", 0), ("in/cut.tar", 1), ("in/cache", 0)] {
        let alone = timeless(&junit(&sandbox, &[input]).exits(code).stdout);
        judged(&alone);
        let all = timeless(&run.stdout);
        let suite = alone.split_once("<testsuite ").unwrap().1;
        let suite = suite.split_once("</testsuites>").unwrap().0;
        assert!(all.contains(suite), "{suite}: {all}");
    }
    let piped = pipe(
        sandbox.command().args(["check", "-", "--format", "junit"]),
        &fs::read(fixture(GOOD)).unwrap(),
    );
    let text = String::from_utf8(piped.exits(0).out).unwrap();
    judged(&text);
    assert!(
        text.contains("<testsuite name=\"standard input\" "),
        "{text}"
    );
}

/// A failure is there if and only if the exit code says so.
#[test]
fn cases_fail_if_the_check_fails() {
    const OPTIONS: [&[&str]; 3] = [
        &[],
        &["--for", "docker", "--for", "containerd@1.7"],
        &[
            "--for",
            "podman@4.0",
            "--fail-on",
            "untagged",
            "--fail-on",
            "warns",
        ],
    ];
    let mut codes = [0; 2];
    for name in fixtures() {
        let path = fixture(&name);
        for more in OPTIONS {
            let sandbox = Sandbox::new();
            let run = junit(&sandbox, &[&[path.to_str().unwrap()], more].concat());
            assert_eq!(judged(&run.stdout) > 0, run.code != 0, "{name} {more:?}");
            codes[usize::from(run.code != 0)] += 1;
        }
    }
    assert!(codes[0] > 5 && codes[1] > 5, "{codes:?}");
}

/// The report is complete, and says so.
/// Reports do not depend on which of several checks ends first: the largest, which is begun first otherwise, is the last.
#[test]
fn reports_are_in_the_order_of_the_inputs_for_any_number_of_jobs() {
    let sandbox = Sandbox::new();
    for number in 0..30 {
        let name = if number % 3 == 0 { BAD } else { GOOD };
        put_fixture(&sandbox, &format!("in/{number:02}.tar"), name);
    }
    put_fixture(&sandbox, "in/cache", "buildkit-cache-list-ocitrue");
    let noise = (0u32..5 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let noise: Vec<u8> = noise.collect();
    let large = Layer::new(OCI_GZIP, noise.clone(), &noise);
    let large = Layout::of(&Image::oci(vec![large]), "example.com/large:v1");
    put(&sandbox, "in/zz-large.tar", large.tar());
    put_fixture(&sandbox, "in/zzz.tar", GOOD);

    // The summary has a time, too.
    let masked = |text: &str| -> String {
        let text = timeless(text);
        let mut parts = text.split(" in ");
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(" s")
                .filter(|end| part[..*end].parse::<f64>().is_ok());
            masked += " in ";
            masked += &part[end.unwrap_or(0)..];
        }
        masked
    };
    let report = |format: &str, jobs: &str| {
        let summary = sandbox.path("summary");
        let _ = fs::remove_file(&summary);
        let mut command = sandbox.command();
        command.env("GITHUB_STEP_SUMMARY", &summary);
        command.args(["check", "in", "--format", format, "--jobs", jobs]);
        let shown = run(&mut command).exits(3).stdout;
        let table = fs::read_to_string(&summary).unwrap_or_default();
        [masked(&shown), masked(&table)]
    };
    for format in ["junit", "github", "html"] {
        let expected = report(format, "1");
        for jobs in ["2", "7"] {
            assert!(report(format, jobs) == expected, "{format} {jobs}");
        }
    }
    let junit = junit(&sandbox, &["in"]).exits(3).stdout;
    let document = Document::parse(&junit).unwrap();
    let suites = document.root_element().children().filter(Node::is_element);
    let names: Vec<&str> = suites.filter_map(|suite| suite.attribute("name")).collect();
    assert_eq!(names.len(), 33);
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn a_stopped_check_has_valid_reports() {
    if is_ignored(Signal::TERM) {
        return;
    }
    for format in ["junit", "github"] {
        let sandbox = tree();
        let mut command = sandbox.command();
        command.args(["check", "--files-from", "-", "--format", format]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("GITHUB_STEP_SUMMARY", "summary.md");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // The second path is never complete.
        let mut list = child.stdin.take().unwrap();
        list.write_all(b"in/good.tar\nin/b").unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("in/good.tar") {
            stdout.read_line(&mut said).unwrap();
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        stdout.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{said}");
        let message = "the run was stopped before all inputs were done";
        if format == "junit" {
            assert_eq!(judged(&said), 1);
            assert!(
                said.contains(&format!(
                    "<error type=\"interrupted\" message=\"{message}\">"
                )),
                "{said}"
            );
        } else {
            let last = said.lines().last().unwrap();
            assert_eq!(last, format!("::error title=ocify check::{message}"));
            let summary = String::from_utf8(sandbox.read("summary.md")).unwrap();
            assert!(summary.contains("stopped after 1 input in "), "{summary}");
            assert!(summary.contains(&format!("❌ {message}\n")), "{summary}");
        }
    }
}

fn github(sandbox: &Sandbox, line: &[&str]) -> Run {
    let mut command = sandbox.command();
    command.args(["check", "--format", "github"]).args(line);
    run(command.env("GITHUB_STEP_SUMMARY", "summary.md"))
}

#[test]
fn github_gets_annotations_and_a_table() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "a%,b.tar", BAD);
    sandbox.put("summary.md", "of another step\n");
    let run = github(&sandbox, &["a%,b.tar", "--for", "containerd@1.6.24"]).exits(3);
    assert_eq!(run.stderr, "");
    assert_eq!(
        run.stdout,
        "::error file=a%25%2Cb.tar,title=ocify check::a%25,b.tar: no (layer-type), loads after ocify fix%0A\
         layer-type: The media type of a zstd layer is not in any specification.%0A  \
         index.json, manifests[0], layers[0] and 3 more%0A  \
         containerd 1.6.24: “no processor for media-type” (seen with 1.6.20)%0A\
         fix it: ocify fix a%25,b.tar -o fixed.tar\n"
    );
    let summary = String::from_utf8(sandbox.read("summary.md")).unwrap();
    assert_eq!(
        summary,
        "of another step\n### ocify check\n\n| | Input | Result | Fix |\n|---|---|---|---|\n\
         | ❌ rejected | a&#37;,b.tar | no &#40;layer-type&#41;, loads after ocify fix | \
         <code>ocify fix a&#37;,b.tar -o fixed.tar</code> |\n"
    );
    // One that loads, and one that loads without a name.
    let sandbox = tree();
    let run = github(&sandbox, &["in/good.tar", "--for", "docker@28.5"]).exits(0);
    assert_eq!(
        run.stdout,
        "::notice file=in/good.tar,title=ocify check::in/good.tar: loads\n"
    );
    let mut layout = Layout::new();
    let manifest = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]));
    layout.root(vec![manifest]);
    sandbox.put("unnamed.tar", layout.tar());
    let run = github(&sandbox, &["unnamed.tar", "--for", "podman@5.4.2"]).exits(0);
    assert!(
        run.stdout
            .starts_with("::warning file=unnamed.tar,title=ocify check::unnamed.tar: untagged"),
        "{}",
        run.stdout
    );
    // No summary is requested.
    let run = sandbox
        .ocify(&["check", "in/good.tar", "--format", "github"])
        .exits(0);
    assert_eq!(run.stdout.lines().count(), 1);
    let mut command = sandbox.command();
    command.args(["check", "-", "--format", "github", "--for", "docker@28.5"]);
    let piped = pipe(&mut command, &fs::read(fixture(GOOD)).unwrap()).exits(0);
    assert_eq!(
        String::from_utf8(piped.out).unwrap(),
        "::notice title=ocify check::standard input: loads\n"
    );
}

/// GitHub's runner takes lines of both outputs for commands that begin with `::`, or contain `##[`.
#[test]
fn names_do_not_forge_commands() {
    let sandbox = hostile();
    let hostile = OsStr::from_bytes(HOSTILE).to_owned();
    for inputs in [vec![OsStr::new("in").to_owned()], vec![hostile]] {
        let mut command = sandbox.command();
        command.args(["check", "--format", "github", "--for", "containerd@1.6.24"]);
        command.args(&inputs);
        let run = run(command.env("GITHUB_STEP_SUMMARY", "summary.md"));
        assert!([1, 3].contains(&run.code), "{run:?}");
        assert_eq!(run.stderr, "");
        for line in run.stdout.lines() {
            let levels = [
                "::error file=in/",
                "::warning file=in/",
                "::notice file=in/",
            ];
            assert!(levels.iter().any(|level| line.starts_with(level)), "{line}");
            let (properties, _) = line[2..].split_once("::").unwrap();
            assert!(properties.ends_with(",title=ocify check"), "{line}");
        }
        assert!(!run.stdout.contains(['\r', '\x1b']));
        let summary = String::from_utf8(sandbox.read("summary.md")).unwrap();
        for row in summary.lines().filter(|line| line.starts_with("| ")) {
            assert_eq!(row.matches('|').count(), 5, "{row}");
        }
        for raw in ["<img", "`", "www.", "](", "&amp;"] {
            assert!(!summary.contains(raw), "{raw}: {summary}");
        }
        fs::remove_file(sandbox.path("summary.md")).unwrap();
    }
    // Progress names files, too.
    let progress = ["in", "--progress", "plain"];
    assert!(
        github(&sandbox, &progress)
            .exits(2)
            .stderr
            .contains("--format github shows no progress")
    );
}

#[test]
fn a_summary_that_cannot_be_written_is_an_error() {
    let sandbox = tree();
    fs::create_dir(sandbox.path("summary.md")).unwrap();
    for input in ["in/good.tar", "in"] {
        let run = github(&sandbox, &[input]).exits(1);
        assert!(
            run.stderr
                .contains("cannot write the summary of the step to summary.md"),
            "{run:?}"
        );
    }
    for format in ["junit", "github"] {
        let run = sandbox
            .ocify(&["check", "in/good.tar", "--all", "--format", format])
            .exits(2);
        assert!(run.stderr.contains("--all has no effect"), "{run:?}");
        let run = sandbox
            .ocify(&["fix", "in/good.tar", "-o", "out", "--format", format])
            .exits(2);
        assert!(
            run.stderr.contains("[possible values: text, json]"),
            "{run:?}"
        );
    }
}

/// The command of each row can be run, also for inputs that are in directories.
#[test]
fn commands_in_reports_of_many_can_be_run() {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/my app.tar", BAD);
    put_fixture(&sandbox, "in/deep/b.tar", BAD);
    put(&sandbox, "fixed", "a file");
    put(&sandbox, "fixed-2/b.tar", "another file");
    let run = junit(&sandbox, &["in", "--for", "containerd@1.6.24"]).exits(3);
    let commands = run.stdout.split("it loads after: ").skip(1);
    let mut commands: Vec<&str> = commands
        .map(|rest| rest.split_once('<').unwrap().0)
        .collect();
    commands.sort_unstable();
    assert_eq!(
        commands,
        [
            "ocify fix 'in/my app.tar' -o fixed-2/",
            "ocify fix in/deep/b.tar -o fixed-3/",
        ]
    );
    for command in commands {
        shell(&sandbox, command).exits(0);
    }
    for output in ["fixed-2/my app.tar", "fixed-3/b.tar"] {
        sandbox
            .ocify(&["check", output, "--for", "containerd@1.6.24"])
            .exits(0);
    }
}
