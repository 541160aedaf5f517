//! Fixes an input, checks the result, and fixes it again, which must not change anything.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::checker::{Facts, check_output};
use super::contents::Contents;
use super::piped::stream;
use super::runner::Sandbox;

/// The output and the report.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) report: Value,
    pub(crate) contents: Contents,
    pub(crate) facts: Facts,
    pub(crate) bytes: Vec<u8>,
}

/// Fixes these bytes.
#[track_caller]
pub(crate) fn fixed(bytes: &[u8], options: &[&str]) -> Fixed {
    let sandbox = Sandbox::new();
    let input = sandbox.put("in.tar", bytes);
    fixed_path(&input, options)
}

/// Fixes an archive or a directory.
#[track_caller]
pub(crate) fn fixed_path(input: &Path, options: &[&str]) -> Fixed {
    let sandbox = Sandbox::new();
    let run = sandbox.fix_with(input, "out.tar", options).exits(0);
    let report = run.json();
    let facts = check_output(&sandbox.path("out.tar"));
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged", "{:#}", again["changes"]);
    assert_eq!(sandbox.names(), ["again.tar", "out.tar"]);
    let contents = Contents::read(&sandbox.path("out.tar"));
    if input.is_file() {
        passes(&fs::read(input).unwrap(), options, &contents, true);
    }
    Fixed {
        report,
        contents,
        facts,
        bytes: sandbox.read("out.tar"),
    }
}

/// An output that engines may not load, and the report.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) report: Value,
    pub(crate) contents: Contents,
    pub(crate) bytes: Vec<u8>,
}

/// Fixes an input whose output is not valid for every engine, because ocify cannot cure it. Fixing the output
/// again changes nothing.
#[track_caller]
pub(crate) fn written(bytes: &[u8], options: &[&str]) -> Written {
    let sandbox = Sandbox::new();
    let input = sandbox.put("in.tar", bytes);
    let run = sandbox.fix_with(&input, "out.tar", options).exits(0);
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged", "{:#}", again["changes"]);
    assert!(sandbox.read("again.tar") == sandbox.read("out.tar"));
    let contents = Contents::read(&sandbox.path("out.tar"));
    passes(bytes, options, &contents, false);
    Written {
        report: run.json(),
        contents,
        bytes: sandbox.read("out.tar"),
    }
}

impl Written {
    /// The rules of the findings, in order.
    pub(crate) fn findings(&self) -> Vec<&str> {
        findings(&self.report)
    }

    /// The only finding of this rule.
    #[track_caller]
    pub(crate) fn finding(&self, rule: &str) -> &Value {
        finding(&self.report, rule)
    }
}

/// The rules of a report's changes, in order.
pub(crate) fn rules(report: &Value) -> Vec<&str> {
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .map(|change| change["rule"].as_str().unwrap())
        .collect()
}

/// The rules of a report's findings, in order.
pub(crate) fn findings(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|f| f["rule"].as_str().unwrap()).collect()
}

/// The only finding of this rule in a report.
#[track_caller]
pub(crate) fn finding<'a>(report: &'a Value, rule: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap().iter();
    let found: Vec<&Value> = findings.filter(|f| f["rule"] == rule).collect();
    assert_eq!(found.len(), 1, "{rule}: {:#}", report["findings"]);
    found[0]
}

/// Checks that a stream gives the same files, and that a second pass does not change a byte.
#[track_caller]
fn passes(input: &[u8], options: &[&str], expected: &Contents, is_judged: bool) {
    let piped = stream(input, options).exits(0);
    if piped.json()["spooled"].is_null() {
        let again = stream(&piped.out, &[]).exits(0);
        assert!(again.out == piped.out, "the second pass differs");
        assert_eq!(again.json()["status"], "unchanged");
        if is_judged {
            piped.judged();
        }
    }
    let found = Contents::from_tar(&piped.out);
    assert!(found == *expected, "the stream holds other files");
}

impl Fixed {
    /// The rules of the changes, in order.
    pub(crate) fn rules(&self) -> Vec<&str> {
        rules(&self.report)
    }

    /// The changes by these rules, in order: rule, location, before and after.
    pub(crate) fn changes(&self, rules: &[&str]) -> Vec<[String; 4]> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let changes = self.report["changes"].as_array().unwrap().iter();
        changes
            .filter(|change| rules.contains(&change["rule"].as_str().unwrap()))
            .map(|change| ["rule", "location", "before", "after"].map(|key| text(&change[key])))
            .collect()
    }

    /// The rules of the findings, in order.
    pub(crate) fn findings(&self) -> Vec<&str> {
        findings(&self.report)
    }

    /// The only finding of this rule.
    #[track_caller]
    pub(crate) fn finding(&self, rule: &str) -> &Value {
        finding(&self.report, rule)
    }

    /// All names in Docker's short form, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.facts.tags.values().flatten().cloned().collect();
        names.sort();
        names
    }
}
