//! Text of an archive, and the names of files, in everything that the command writes: invisible characters never reach a terminal, and
//! different names stay different.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::batch::parsed;
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, docker_item, index, on, right_image, right_layout,
};
use crate::common::piped::{pipe, sample};
use crate::common::runner::{Run, Sandbox, run};
use crate::common::{fixture, sha256};

/// One character of each kind: C0 (a colored line, a bell), DEL, C1 (a control sequence in one character), zero width, line separators,
/// the ones that reorder text, tags and a byte order mark.
const EVIL: &str = "evil\u{1b}[31m\u{7}\u{7f}\u{9b}32m\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{e0041}\u{feff}\r\n";

/// Whether a terminal shows the character and does nothing else with it.
fn is_visible(c: char) -> bool {
    let hidden = [
        0..=0x1f,
        0x7f..=0x9f,
        0x200b..=0x200f,
        0x2028..=0x2029,
        0x202a..=0x202e,
        0x2066..=0x2069,
        0xfeff..=0xfeff,
        0xe0000..=0xe007f,
    ];
    !hidden.iter().any(|range| range.contains(&u32::from(c)))
}

#[track_caller]
fn is_clean(what: &str, text: &str) {
    let bad = text.chars().find(|c| *c != '\n' && !is_visible(*c));
    assert!(bad.is_none(), "{what}: {bad:?} in {text:?}");
}

/// The streams of a run are clean, and contain the beginning of the text.
#[track_caller]
fn shows(what: &str, run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        is_clean(what, text);
    }
    let all = format!("{}{}", run.stdout, run.stderr);
    let is_shown = all.contains("evil\\u{1b}[31m\\u{7}") || all.contains("evil\\u001b[31m\\u0007");
    assert!(is_shown, "{what}: {run:#?}");
}

/// A layout with the text in all places where it does not make the archive invalid.
fn everywhere() -> Layout {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let mut other = on(layout.image(&right_image().architecture(EVIL)), EVIL, EVIL);
    other["annotations"] = json!({
        "io.containerd.image.name": EVIL,
        "org.opencontainers.image.ref.name": EVIL,
        EVIL: EVIL,
    });
    let unknown = json!({"mediaType": EVIL, "digest": format!("sha256:{}", sha256(b"x")), "size": 1, EVIL: EVIL});
    let mut attested = on(
        layout.image(&Image::docker(vec![Layer::gzip(OCI_GZIP, "docker")])),
        EVIL,
        "amd64",
    );
    attested["platform"]["variant"] = json!(EVIL);
    layout.root(vec![image, other, unknown, attested]);
    layout.more.push(Entry::file(EVIL, "x"));
    layout
        .more
        .push(Entry::link(format!("link {EVIL}"), b'2', EVIL));
    layout
}

#[test]
fn reports_show_text_of_archives_with_escapes() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", everywhere().tar());
    let files = [
        "--metadata-file",
        "metadata.json",
        "--digest-map",
        "map.jsonl",
        "--report",
        "report.jsonl",
    ];
    for (number, form) in ["text", "json"].into_iter().enumerate() {
        for more in [&[][..], &["-v"], &["--dry-run"], &["--for", "podman"]] {
            let out = format!("out{number}{}.tar", more.join(""));
            let mut line = vec!["fix", "in.tar", "--format", form];
            if !more.contains(&"--dry-run") {
                line.extend(["-o", &out]);
                line.extend(files);
            }
            if form == "text" || !more.contains(&"-v") {
                line.extend(more);
            }
            let run = sandbox.ocify(&line);
            assert!(matches!(run.code, 0 | 3), "{run:#?}");
            shows(&line.join(" "), &run);
        }
        for name in ["metadata.json", "map.jsonl", "report.jsonl"] {
            is_clean(name, &String::from_utf8(sandbox.read(name)).unwrap());
        }
        let map = String::from_utf8(sandbox.read("map.jsonl")).unwrap();
        assert!(map.contains("evil\\u001b[31m"), "{map}");
    }
    // A program gets the text itself.
    let map = String::from_utf8(sandbox.read("map.jsonl")).unwrap();
    let lines = map
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let platforms: BTreeSet<String> = lines
        .map(|line| line["platform"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        platforms.contains(&format!("{EVIL}/amd64/{EVIL}")),
        "{platforms:?}"
    );
}

/// Archives that are refused because of what contains the text.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let key = serde_json::to_string(EVIL).unwrap();
    let mut twice = right_layout();
    let text = String::from_utf8(twice.index.unwrap()).unwrap();
    twice.index = Some(text.replacen('{', &format!("{{{key}:1,{key}:2,"), 1).into());
    let mut digest = right_layout();
    digest.edit_root(|root| root["manifests"][0]["digest"] = json!(format!("sha256:{EVIL}")));
    let mut size = right_layout();
    size.edit_root(|root| root["manifests"][0]["size"] = json!(EVIL));
    let mut media_type = right_layout();
    media_type.edit_root(|root| root["mediaType"] = json!(EVIL));
    let mut manifest = right_layout().manifest(&right_image());
    manifest["mediaType"] = json!(EVIL);
    let mut inner = Layout::new();
    let descriptor = inner.document("application/vnd.oci.image.manifest.v1+json", &manifest);
    inner.root(vec![descriptor]);
    let mut blob = right_layout();
    blob.more.push(Entry::link(
        format!("blobs/sha256/{}", "3".repeat(64)),
        b'2',
        EVIL,
    ));
    let mut nested = right_layout();
    nested.more.push(Entry::file(EVIL, "x"));
    nested.more.push(Entry::file(format!("{EVIL}/below"), "x"));
    let mut again = right_layout();
    again.more.push(Entry::file(EVIL, "x"));
    again.more.push(Entry::file(EVIL, "y"));
    let mut cut = tar(&[Entry::file(EVIL, vec![b'x'; 4096])]);
    cut.truncate(1024);
    let mut saved = Layout::new();
    saved.oci_layout = None;
    let config = json!({"Config": EVIL, "RepoTags": [EVIL], "Layers": [EVIL]});
    saved.docker_manifest = Some(json!([config]).to_string().into_bytes());
    let mut other_roots = right_layout();
    let mut item = docker_item(&right_layout().manifest(&right_image()), &["app:v1"]);
    item["Config"] = json!(EVIL);
    other_roots.docker_manifest = Some(json!([item]).to_string().into_bytes());
    vec![
        ("a key twice", twice.tar()),
        ("a digest", digest.tar()),
        ("a size", size.tar()),
        ("a media type of the index", media_type.tar()),
        ("a media type of a manifest", inner.tar()),
        ("a link in place of a blob", blob.tar()),
        ("an entry below a file", nested.tar()),
        ("an entry twice", again.tar()),
        ("an entry that is cut", cut),
        (
            "a name outside",
            tar(&[Entry::file(format!("../{EVIL}"), "x")]),
        ),
        (
            "a sparse entry",
            tar(&[Entry::new(format!("s{EVIL}"), b'S', "x")]),
        ),
        ("files that are absent", saved.tar()),
        ("another config", other_roots.tar()),
    ]
}

#[test]
fn errors_show_text_of_archives_with_escapes() {
    for (what, bytes) in refused() {
        for form in ["text", "json"] {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let line = ["fix", "in.tar", "-o", "out.tar", "--format", form];
            let run = sandbox.ocify(&line);
            assert_eq!(run.code, 1, "{what}: {run:#?}");
            shows(what, &run);
            let mut command = sandbox.command();
            command.args(["fix", "-", "--format", form]);
            let piped = pipe(&mut command, &bytes);
            assert_eq!(piped.code, 1, "{what}");
            is_clean(what, &piped.err);
        }
    }
}

#[test]
fn names_of_files_are_shown_with_escapes() {
    let sandbox = Sandbox::new();
    let name = format!("{EVIL}.tar");
    sandbox.put(&name, everywhere().tar());
    let out = format!("out {EVIL}.tar");
    let there = format!("there {EVIL}.tar");
    sandbox.put(&there, "x");
    let absent = format!("absent {EVIL}.tar");
    for form in ["text", "json"] {
        let lines: [(&str, Vec<&str>, i32); 6] = [
            ("an output", vec![&name, "-o", &out, "--force"], 0),
            ("a dry run", vec![&name, "--dry-run"], 3),
            ("an output that exists", vec![&name, "-o", &there], 1),
            ("an absent input", vec![&absent, "-o", "x.tar"], 1),
            ("no image", vec![&there, "-o", "x.tar"], 1),
            (
                "an unfinished fix",
                vec!["--recover", &there],
                // There is none.
                0,
            ),
        ];
        for (what, line, code) in lines {
            let line = [&["fix"][..], &line, &["--format", form]].concat();
            let run = sandbox.ocify(&line);
            assert_eq!(run.code, code, "{what}: {run:#?}");
            shows(what, &run);
        }
    }
}

#[test]
fn batches_show_names_of_files_with_escapes() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put(&format!("in/{EVIL}.tar"), sample().tar());
    let mut bad = right_layout();
    bad.edit_root(|root| root["manifests"][0]["size"] = json!(EVIL));
    sandbox.put(&format!("in/bad {EVIL}.tar"), bad.tar());
    for form in ["text", "json"] {
        for mode in ["plain", "rawjson", "tty"] {
            let line = [
                "fix",
                "in",
                "-o",
                "out/",
                "--format",
                form,
                "--progress",
                mode,
                "--report",
                "report.jsonl",
                "--digest-map",
                "map.jsonl",
            ];
            let run = sandbox.ocify(&line);
            assert_eq!(run.code, 1, "{run:#?}");
            // A terminal's own sequences are those of the bar.
            if mode != "tty" {
                shows(mode, &run);
            }
            for name in ["report.jsonl", "map.jsonl"] {
                is_clean(name, &String::from_utf8(sandbox.read(name)).unwrap());
            }
            let out = sandbox.path("out");
            let state = fs::read_dir(&out).unwrap().flatten().find(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().starts_with(".ocify-state")
            });
            assert!(state.is_some());
            fs::remove_dir_all(out).unwrap();
        }
    }
    let (items, _) = parsed(&String::from_utf8(sandbox.read("report.jsonl")).unwrap());
    let inputs: Vec<&String> = items.keys().collect();
    assert_eq!(
        inputs,
        [&format!("in/bad {EVIL}.tar"), &format!("in/{EVIL}.tar")]
    );
}

#[test]
fn a_stream_that_is_kept_says_why_with_escapes() {
    let sandbox = Sandbox::new();
    let mut layout = sample();
    let mut entries = vec![Entry::file(EVIL, "x")];
    entries.append(&mut layout.entries());
    layout.more.clear();
    let mut command = sandbox.command();
    command.env("TMPDIR", sandbox.root()).args(["fix", "-"]);
    let piped = pipe(&mut command, &tar(&entries));
    assert_eq!(piped.code, 0, "{}", piped.err);
    is_clean("kept", &piped.err);
    assert!(
        piped.err.contains("the file evil\\u{1b}[31m"),
        "{}",
        piped.err
    );
}

/// Names that are not UTF-8, and one that looks like one of them.
const RAW: [&[u8]; 6] = [
    b"a\xff",
    b"a\xfe",
    b"a\\xff",
    b"a\xef\xbf\xbd",
    b"a\xc3",
    b"a\xe2\x80",
];

#[test]
fn different_names_of_files_are_different_in_reports() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    for name in RAW {
        let name = [name, b".tar"].concat();
        let path = sandbox.path("in").join(OsStr::from_bytes(&name));
        fs::write(path, sample().tar()).unwrap();
    }
    for form in ["text", "json"] {
        let line = [
            "fix",
            "in",
            "-o",
            "out/",
            "--format",
            form,
            "--force",
            "--report",
            "report.jsonl",
            "--digest-map",
            "map.jsonl",
        ];
        let run = sandbox.ocify(&line).exits(0);
        let report = String::from_utf8(sandbox.read("report.jsonl")).unwrap();
        let (items, _) = parsed(&report);
        assert_eq!(items.len(), RAW.len());
        let outputs: BTreeSet<&str> = items
            .values()
            .map(|item| item["output"].as_str().unwrap())
            .collect();
        assert_eq!(outputs.len(), RAW.len());
        assert_eq!(items["in/a\\xff.tar"]["output"], "out/a\\xff.tar");
        assert!(items.contains_key("in/a\\\\xff.tar"));
        assert!(items.contains_key("in/a\u{fffd}.tar"));
        let map = String::from_utf8(sandbox.read("map.jsonl")).unwrap();
        let inputs: BTreeSet<String> = map
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["input"].to_string())
            .collect();
        assert_eq!(inputs.len(), RAW.len());
        let shown: BTreeSet<&str> = run
            .stdout
            .lines()
            .filter(|line| line.contains("in/a"))
            .collect();
        assert_eq!(shown.len(), RAW.len(), "{}", run.stdout);
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

#[test]
fn different_names_of_entries_are_different_in_reports() {
    let mut layout = right_layout();
    for (number, name) in RAW.iter().enumerate() {
        layout.more.push(Entry::file(name, vec![b'x'; number]));
    }
    // A link leads to the file of its name, and to no other.
    layout.more.push(Entry::file("a\\xff\\", "x"));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    layout.more.clear();
    layout.write_to(&sandbox.path("in"));
    for (number, name) in RAW.iter().chain([&&b"a\\xff\\"[..]]).enumerate() {
        let path = sandbox.path("in").join(OsStr::from_bytes(name));
        fs::write(path, vec![b'x'; number]).unwrap();
    }
    for (input, output) in [("in.tar", "out.tar"), ("in", "out2.tar")] {
        let report = sandbox.fix(input, output).exits(0).json();
        let changes = report["changes"].as_array().unwrap().iter();
        let extra: BTreeSet<(String, String)> = changes
            .filter(|change| change["rule"] == "extra-entry")
            .map(|change| (change["location"].to_string(), change["before"].to_string()))
            .collect();
        let locations: BTreeSet<&String> = extra.iter().map(|(location, _)| location).collect();
        assert_eq!(locations.len(), RAW.len() + 1, "{extra:?}");
        assert_eq!(extra.len(), RAW.len() + 1, "{extra:?}");
    }
}

#[test]
fn a_document_with_hidden_text_stays_what_it_is() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let mut text = index("application/vnd.oci.image.index.v1+json", vec![image]);
    text[EVIL] = json!(EVIL);
    layout.index = Some(text.to_string().into_bytes());
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    sandbox.fix("in.tar", "out.tar").exits(0);
    let contents = crate::common::contents::Contents::read(&sandbox.path("out.tar"));
    let written = String::from_utf8(contents.file("index.json").to_vec()).unwrap();
    let value = serde_json::to_string(EVIL).unwrap();
    assert!(written.contains(&format!("{value}:{value}")), "{written}");
}

#[test]
fn usage_errors_show_arguments_with_escapes() {
    let sandbox = Sandbox::new();
    let option = format!("--{EVIL}");
    let mut command = sandbox.command();
    let usage = run(command.args(["fix", "in.tar", &option])).exits(2);
    is_clean("an option", &usage.stderr);
    assert!(usage.stderr.contains("\\u{9b}32m\\u{200b}"), "{usage:#?}");
    let not_text = OsStr::from_bytes(b"--image=\xff\x1b");
    let mut command = sandbox.command();
    let usage = run(command.args([OsStr::new("fix"), OsStr::new("in.tar"), not_text])).exits(2);
    is_clean("not text", &usage.stderr);
}

/// Reports depend on no locale, also about names that are not text in it.
#[test]
fn reports_are_the_same_in_every_locale() {
    let mut all = Vec::new();
    for locale in [
        "",
        "C",
        "C.UTF-8",
        "POSIX",
        "de_DE.ISO-8859-1",
        "tr_TR.UTF-8",
    ] {
        let sandbox = Sandbox::new();
        for name in [&b"in-\xe4.tar"[..], "in-ä.tar".as_bytes()] {
            let path = sandbox.root().join(OsStr::from_bytes(name));
            fs::copy(fixture("buildkit-docker-names-zstd-ocifalse.tar"), path).unwrap();
        }
        let mut command = sandbox.command();
        for variable in ["LC_ALL", "LANG", "LC_CTYPE"] {
            command.env(variable, locale);
        }
        let run = run(command.args(["fix", ".", "--dry-run", "--format", "json"])).exits(3);
        let items = run.stdout.lines().filter(|line| line.contains("\"item\""));
        let mut items: Vec<String> = items
            .map(|line| line.split("\"seconds\"").next().unwrap().to_owned())
            .collect();
        items.sort();
        assert_eq!(items.len(), 2, "{run:?}");
        all.push(items);
    }
    assert!(all.iter().all(|items| *items == all[0]), "{all:?}");
}
