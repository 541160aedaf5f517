//! The README and the pages in `docs/` show real help and real output, their examples run, and their links lead somewhere.
//!
//! After a change that is meant to show there:
//!
//! ```sh
//! OCIFY_WRITE_README=1 cargo test --test it readme::
//! ```

mod examples;
mod first_command;
mod folder;
mod second_command;
mod toolchain;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::pages::{anchors, links, pages, text};
use crate::common::repository;

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Whether a message is the one that a phrase describes, in which `…` stands for anything.
fn says(message: &str, phrase: &str) -> bool {
    let mut rest = message;
    phrase.split('…').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The README says which readers fail on two fixtures, and docs/engines.md is what the tests with engines found.
#[test]
fn the_table_of_errors_agrees_with_the_tests_of_engines() {
    let engines = text("docs/engines.md");
    let row = |start: &str| {
        cells(
            engines
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap(),
        )
    };
    let readers = row("| Archive | ");
    let (_, reasons) = engines
        .split_once("\n## Why an archive does not load\n")
        .unwrap();
    let phrase = |letter: &str| {
        let start = format!("| {letter} | `");
        let line = reasons.lines().find(|line| line.starts_with(&start));
        cells(line.unwrap())[1].trim_matches('`').to_owned()
    };
    let readme = text("README.md");
    let (_, table) = readme.split_once("\n| Error | Fails on").unwrap();
    let table = table.split_once("\n\n").unwrap().0;
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(cells).collect();
    assert!(rows.len() >= 6);
    for (column, fixture) in [
        (1, "buildkit-docker-zstd-ocifalse"),
        (2, "buildkit-oci-zstd-ocifalse"),
    ] {
        let results = row(&format!("| `{fixture}.tar` | "));
        let mut found = Vec::new();
        for (reader, result) in readers.iter().zip(&results).skip(1) {
            let before = result.split(" → ").next().unwrap();
            if before == "ok" {
                continue;
            }
            let phrase = phrase(before);
            let message = rows
                .iter()
                .find(|row| says(row[0].trim_matches('`'), &phrase));
            let message = message.unwrap_or_else(|| panic!("the README lacks: {phrase}"));
            found.push((message[0], *reader));
        }
        let mut stated = Vec::new();
        for row in &rows {
            let readers = row.get(column).copied().unwrap_or_default().split("; ");
            stated.extend(
                readers
                    .filter(|reader| !reader.is_empty())
                    .map(|reader| (row[0], reader)),
            );
        }
        found.sort();
        stated.sort();
        assert_eq!(stated, found, "{fixture}");
    }
}

/// A newcomer reads it in minutes. What does not fit belongs to `docs/`.
#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}

/// What the documentation and the scripts say about the oldest toolchain, which `.ci/oldest` tries.
#[test]
fn the_oldest_toolchain_is_the_same_everywhere() {
    let manifest = text("Cargo.toml");
    let (_, oldest) = manifest.split_once("\nrust-version = \"").unwrap();
    let oldest = oldest.split('"').next().unwrap();
    let stated = format!("Rust {oldest} or later");
    for name in ["README.md", "docs/install.md", ".ci/packages"] {
        assert!(text(name).contains(&stated), "{name} lacks: {stated}");
    }
    assert!(text(".ci/packages").contains(&format!("\nreadonly oldest={oldest}\n")));
}

#[test]
fn the_index_of_the_documentation_lists_every_page_and_schema() {
    let found = links(&text("docs/README.md"));
    for entry in fs::read_dir(repository("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_page = [".md", ".json"].iter().any(|suffix| name.ends_with(suffix));
        if is_page && name != "README.md" {
            assert!(found.contains(&name), "docs/README.md lacks {name}");
        }
    }
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut pages = pages();
    pages.extend(["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned));
    let mut followed = 0;
    for page in pages {
        let source = text(&page);
        for link in links(&source).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = repository(&page).parent().unwrap().to_owned();
            assert!(folder.join(path).exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let target = if path.is_empty() {
                    source.clone()
                } else {
                    fs::read_to_string(folder.join(path)).unwrap()
                };
                let is_heading = anchors(&target).iter().any(|found| found == anchor);
                assert!(is_heading, "{page}: {link} leads to no heading");
            }
            followed += 1;
        }
    }
    assert!(followed > 100, "{followed}");
}

#[test]
fn the_example_commands_exist() {
    for name in [".ci/demo", ".ci/test"] {
        let program = repository(name);
        let mode = fs::metadata(&program).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
}

#[test]
fn the_page_on_the_library_is_the_documentation_of_the_crate() {
    let library = text("src/lib.rs");
    let lines = library.lines().map_while(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let documented = lines.join("\n");
    // Only rustdoc knows where the names in brackets lead.
    let documented = documented.replace("[`", "`").replace("`]", "`");
    let (_, expected) = documented.split_once("\n\n").unwrap();
    let page = text("docs/library.md");
    let section = page.strip_prefix("# Library\n\n").unwrap();
    assert!(
        section.starts_with(&format!("{expected}\n\n")),
        "expected:\n{expected}"
    );
    for block in expected.split("```rust,no_run\n").skip(1) {
        let (code, _) = block.split_once("\n```").unwrap();
        assert!(code.lines().count() < 20, "{code}");
    }
}
