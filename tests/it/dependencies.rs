//! Every dependency in Cargo.toml is used, by the kind of code that it is listed for.

use std::collections::BTreeMap;
use std::fs;

use crate::architecture::{Source, code, sources};
use crate::common::{repository, tree};

/// The lines of a section of Cargo.toml, by the name of the dependency.
fn section(name: &str) -> BTreeMap<String, String> {
    let manifest = fs::read_to_string(repository("Cargo.toml")).unwrap();
    let lines = manifest
        .lines()
        .skip_while(|line| *line != format!("[{name}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let dependencies: BTreeMap<String, String> = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(dependencies.len() > 2, "{name}: {dependencies:?}");
    dependencies
}

/// Whether code names a crate: `name::`, and not as a part of another path or name.
fn uses(code: &str, dependency: &str) -> bool {
    let path = format!("{}::", dependency.replace('-', "_"));
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn every_dependency_is_used() {
    let (command, library): (Vec<Source>, Vec<Source>) = sources()
        .into_iter()
        .partition(|source| source.name.starts_with("bin/"));
    let is_used =
        |sources: &[Source], name: &str| sources.iter().any(|source| uses(&source.code, name));
    let (pushing, library): (Vec<Source>, Vec<Source>) = library
        .into_iter()
        .partition(|source| source.name.starts_with("registry"));
    for (name, value) in section("dependencies") {
        if section("features")["push"].contains(&format!("\"dep:{name}\"")) {
            assert!(is_used(&pushing, &name), "pushing does not use {name}");
            assert!(
                !is_used(&library, &name) && !is_used(&command, &name),
                "{name} is only for pushing"
            );
        } else if value.contains("optional = true") {
            assert!(is_used(&command, &name), "the command does not use {name}");
            assert!(
                !is_used(&library, &name),
                "{name} is optional, and the library uses it"
            );
        } else {
            assert!(is_used(&library, &name), "the library does not use {name}");
        }
    }
}

#[test]
fn every_test_dependency_is_used() {
    let mut tests = String::new();
    for directory in ["tests", "benches", "examples"] {
        for (path, bytes) in tree(&repository(directory)) {
            if path.extension().is_some_and(|extension| extension == "rs") {
                tests.push_str(&code(&String::from_utf8(bytes).unwrap()));
            }
        }
    }
    // The tests at the foot of the sources, and the code above them, which cannot use what only tests have.
    for source in sources() {
        for line in source.whole.lines() {
            if !line.trim_start().starts_with("//") {
                tests.push_str(line);
                tests.push('\n');
            }
        }
    }
    let dependencies = section("dependencies");
    for (name, value) in section("dev-dependencies") {
        assert!(uses(&tests, &name), "no test uses {name}");
        let has_features = value.contains("features = [");
        assert!(
            has_features || !dependencies.contains_key(&name),
            "{name} is a dependency already"
        );
    }
}

#[test]
fn a_use_is_a_path_that_starts_with_the_crate_name() {
    for (code, expected) in [
        ("use tar::Archive;", true),
        ("let a = tar::Archive::new(b);", true),
        ("::tar::Header", true),
        ("use crate::tar::Entry;", false),
        ("star::x", false),
        ("let tar = 1;", false),
    ] {
        assert_eq!(uses(code, "tar"), expected, "{code}");
    }
    assert!(uses("signal_hook::flag", "signal-hook"));
}
