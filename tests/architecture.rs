//! The rules of the house (DESIGN.md 3), read off the sources.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{repository, tree};

/// A source file without its tests and comments.
struct Source {
    /// Relative to `src/`.
    name: String,
    code: String,
    whole: String,
}

/// The code before the tests at the foot of a file, without comments.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut test_depth = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed == "#[cfg(test)]" {
            test_depth = Some(indent);
        }
        if test_depth.is_none() && !trimmed.starts_with("//") {
            lines.push(line);
        }
        // A test module ends with the bracket at its own depth, or is in another file.
        let ends = trimmed == "}" || trimmed.starts_with("mod ") && trimmed.ends_with(';');
        if test_depth == Some(indent) && ends {
            test_depth = None;
        }
    }
    lines.join("\n")
}

fn sources() -> Vec<Source> {
    let root = repository("src");
    let files: Vec<(PathBuf, Vec<u8>)> = tree(&root);
    let sources: Vec<Source> = files
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .map(|(path, bytes)| {
            let whole = String::from_utf8(bytes).unwrap();
            Source {
                name: path.to_str().unwrap().to_owned(),
                code: code(&whole),
                whole,
            }
        })
        .collect();
    assert!(sources.len() > 30, "the sources are not all there");
    sources
}

/// The files of a room: `room.rs` and everything in `room/`.
fn room(name: &str) -> Vec<Source> {
    let mut files = sources();
    files.retain(|file| {
        file.name == format!("{name}.rs") || file.name.starts_with(&format!("{name}/"))
    });
    assert!(!files.is_empty(), "no room {name}");
    files
}

/// Every line of a room that has one of these words.
fn lines_with(room_name: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in room(room_name) {
        for line in file.code.lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", file.name, line.trim()));
            }
        }
    }
    found
}

const NONE: [&str; 0] = [];

#[test]
fn plan_touches_nothing_outside() {
    let words = [
        "std::fs",
        "std::io",
        "std::env",
        "std::time",
        "std::process",
        "std::thread",
        "std::net",
        "File",
        "Instant",
        "SystemTime",
    ];
    assert_eq!(lines_with("plan", &words), NONE);
    assert_eq!(
        lines_with("plan", &["crate::read", "crate::apply", "crate::report"]),
        NONE
    );
}

#[test]
fn graph_knows_nothing_of_what_comes_after_it() {
    let words = [
        "crate::plan",
        "crate::apply",
        "crate::report",
        "std::fs",
        "std::env",
        "std::process",
    ];
    assert_eq!(lines_with("graph", &words), NONE);
}

#[test]
fn read_knows_nothing_of_what_comes_after_it() {
    let words = [
        "crate::graph",
        "crate::plan",
        "crate::apply",
        "crate::report",
        "media_type",
    ];
    assert_eq!(lines_with("read", &words), NONE);
}

#[test]
fn apply_decides_nothing() {
    let words = [
        "plan::rules",
        "crate::graph",
        "media_type",
        "crate::json",
        "crate::report",
    ];
    assert_eq!(lines_with("apply", &words), NONE);
}

#[test]
fn shapes_decide_and_no_producer_does() {
    let producers = [
        "buildkit",
        "buildx",
        "kaniko",
        "crane",
        "hauler",
        "jib",
        "podman",
        "buildah",
        "skopeo",
        "moby",
        "nerdctl",
        "bazel",
        "umoci",
        "regclient",
        "ggcr",
    ];
    for name in ["graph", "plan", "apply"] {
        for file in room(name) {
            // Rules say whose bug they mend, and findings who reads what; these names decide nothing.
            if file.name == "plan/rules.rs" || file.name.starts_with("plan/findings/") {
                continue;
            }
            let code = file.code.to_lowercase();
            for producer in producers {
                assert!(!code.contains(producer), "{} knows {producer}", file.name);
            }
        }
    }
}

#[test]
fn report_decides_nothing_and_reads_nothing() {
    let words = [
        "crate::apply",
        "crate::read",
        "crate::graph",
        "crate::json",
        "std::fs",
        "std::env",
    ];
    assert_eq!(lines_with("report", &words), NONE);
}

#[test]
fn the_pure_rooms_do_no_io() {
    for name in [
        "media_type",
        "digest",
        "reference",
        "platform",
        "header",
        "json",
        "inventory",
    ] {
        let words = [
            "std::fs",
            "std::env",
            "std::process",
            "std::time",
            "crate::read",
            "crate::plan",
            "crate::apply",
        ];
        assert_eq!(lines_with(name, &words), NONE, "{name}");
    }
}

#[test]
fn each_helper_of_the_command_is_known_in_one_room() {
    for (words, file) in [
        ("clap", "bin/ocify/args"),
        ("indicatif", "bin/ocify/progress"),
        ("walkdir", "read/layout.rs batch/walk.rs"),
    ] {
        for source in sources() {
            let may = file.split(' ').any(|room| source.name.starts_with(room))
                || (words == "clap" && source.name == "bin/ocify/run.rs");
            let uses = source.code.contains(&format!("{words}::"));
            assert!(may || !uses, "{} uses {words}", source.name);
        }
    }
}

#[test]
fn media_types_are_written_in_one_file() {
    for source in sources()
        .iter()
        .filter(|source| source.name != "media_type.rs")
    {
        for line in source.code.lines() {
            assert!(!line.contains("application/"), "{}: {line}", source.name);
        }
    }
}

#[test]
fn nothing_is_unsafe_spawned_or_connected() {
    for source in sources() {
        for word in [
            "unsafe ",
            "process::Command",
            "std::net",
            "panic!(",
            ".unwrap()",
            ".expect(",
        ] {
            assert!(!source.code.contains(word), "{} has {word}", source.name);
        }
    }
}

#[test]
fn files_stay_small() {
    for source in sources() {
        let lines = code(&source.whole).lines().count();
        assert!(lines <= 400, "{} has {lines} lines of code", source.name);
    }
    let main = fs::read_to_string(repository("src/bin/ocify/main.rs")).unwrap();
    assert!(main.lines().count() < 40);
}

#[test]
fn modules_stand_beside_their_folders() {
    for source in sources() {
        assert!(!source.name.ends_with("mod.rs"), "{}", source.name);
        let is_glob = |line: &str| line.starts_with("use ") && line.contains("::*");
        assert!(
            !source.code.lines().any(is_glob),
            "{} has a glob import",
            source.name
        );
    }
}

#[test]
fn the_reader_of_sources_leaves_tests_and_comments_out() {
    let text = "//! doc\nuse a;\n#[cfg(test)]\nmod tests {\n    use b;\n}\n#[cfg(test)]\nmod other;\nuse c;";
    assert_eq!(code(text), "use a;\nuse c;");
}
