//! `ocify engines`, and `docs/engines.json`, which has the same table. After a change of the facts:
//!
//! ```sh
//! OCIFY_WRITE_DOCS=1 cargo test --test it engines_table::
//! ```

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::common::repository;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_engines;

const FILE: &str = "docs/engines.json";

fn table() -> (String, Value) {
    let text = Sandbox::new()
        .ocify(&["engines", "--format", "json"])
        .exits(0);
    assert_eq!(text.stderr, "");
    let table = parse_engines(&text.stdout);
    (text.stdout, table)
}

#[test]
fn the_file_has_the_table() {
    let (text, _) = table();
    if std::env::var_os("OCIFY_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(repository(FILE), &text).unwrap();
    }
    let file = fs::read_to_string(repository(FILE)).unwrap_or_default();
    assert!(
        file == text,
        "{FILE} is not what the code says; regenerate it with OCIFY_WRITE_DOCS=1 cargo test --test it engines_table::"
    );
}

/// Every problem is about a known version and has evidence, and every rule is explained.
#[test]
fn the_table_is_complete() {
    let (_, table) = table();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list =
        |value: &Value| -> Vec<String> { value.as_array().unwrap().iter().map(text).collect() };
    let rules = table["rules"].as_array().unwrap().iter();
    let rules: BTreeSet<String> = rules.map(|rule| text(&rule["rule"])).collect();
    let engines = table["engines"].as_array().unwrap();
    assert!(engines.len() >= 8);
    for engine in engines {
        let versions = list(&engine["versions"]);
        assert!(!versions.is_empty(), "{engine:#}");
        for version in list(&engine["supported"]) {
            assert!(versions.contains(&version), "{version}: {engine:#}");
        }
        for problem in engine["problems"].as_array().unwrap() {
            assert!(rules.contains(&text(&problem["rule"])), "{problem:#}");
            assert!(!text(&problem["evidence"]).is_empty(), "{problem:#}");
            for key in ["from", "to"] {
                assert!(versions.contains(&text(&problem[key])), "{problem:#}");
            }
        }
    }
}

/// What the table says is what a check predicts: every supported version is in a verdict that counts.
#[test]
fn checks_know_the_versions_of_the_table() {
    let (_, table) = table();
    let path = crate::common::fixture("docker26g-save.tar");
    let sandbox = Sandbox::new();
    for engine in table["engines"].as_array().unwrap() {
        let name = engine["engine"].as_str().unwrap();
        let store = engine["store"].as_str().map(|store| format!("/{store}"));
        let newest = engine["versions"].as_array().unwrap().last().unwrap();
        let asked = format!(
            "{name}@{}{}",
            newest.as_str().unwrap(),
            store.unwrap_or_default()
        );
        let line = [
            "check",
            path.to_str().unwrap(),
            "--for",
            &asked,
            "--format",
            "json",
        ];
        let run = sandbox.ocify(&line);
        let report = crate::common::schema::parse_check(&run.stdout);
        assert_eq!(
            report["verdicts"][0]["versions"]["from"], *newest,
            "{asked}"
        );
        assert_ne!(report["verdicts"][0]["loads"], "unknown", "{asked}");
    }
}

#[test]
fn the_text_lists_every_engine_and_rule() {
    let (_, table) = table();
    let text = Sandbox::new().ocify(&["engines"]).exits(0).stdout;
    for engine in table["engines"].as_array().unwrap() {
        let name = engine["engine"].as_str().unwrap();
        let name = match engine["store"].as_str() {
            Some(store) => format!("{name}/{store}"),
            None => name.to_owned(),
        };
        assert!(text.lines().any(|line| line == name), "{name}: {text}");
    }
    for rule in table["rules"].as_array().unwrap() {
        let name = rule["rule"].as_str().unwrap();
        assert!(text.contains(&format!("\n  {name}: ")), "{name}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(
        widest <= 80
            || text
                .lines()
                .all(|line| line.chars().count() <= 80 || !line.trim().contains(' ')),
        "{widest}"
    );
}
