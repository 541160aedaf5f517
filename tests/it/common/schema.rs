//! Parses reports, and checks them against the schemas in `docs/`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::repository;

pub(crate) static REPORT: LazyLock<Validator> = LazyLock::new(|| validator("report"));
pub(crate) static BATCH: LazyLock<Validator> = LazyLock::new(|| validator("batch"));

pub(crate) static MERGE: LazyLock<Validator> = LazyLock::new(|| validator("merge"));
pub(crate) static ENGINES: LazyLock<Validator> = LazyLock::new(|| validator("engines"));
pub(crate) static CHECK_BATCH: LazyLock<Validator> = LazyLock::new(|| validator("check-batch"));
pub(crate) static CHECK: LazyLock<Validator> = LazyLock::new(|| validator("check"));
pub(crate) static INSPECT: LazyLock<Validator> = LazyLock::new(|| validator("inspect"));
pub(crate) static INSPECT_BATCH: LazyLock<Validator> = LazyLock::new(|| validator("inspect-batch"));

pub(crate) static SPLIT: LazyLock<Validator> = LazyLock::new(|| validator("split"));

pub(crate) static PUSH: LazyLock<Validator> = LazyLock::new(|| validator("push"));
pub(crate) static PUSH_BATCH: LazyLock<Validator> = LazyLock::new(|| validator("push-batch"));

/// A schema in `docs/`.
pub(crate) fn schema(name: &str) -> Value {
    let text = fs::read(repository(&format!("docs/{name}.schema.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The schema as this version fills it: without the keys and values that a later version may add. It shows what the documentation lacks.
fn validator(name: &str) -> Validator {
    let mut schema = schema(name);
    close(&mut schema);
    jsonschema::validator_for(&schema).unwrap()
}

fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            if let Some(known) = object.remove("examples") {
                object.insert("enum".to_owned(), known);
            }
        }
        _ => {}
    }
}

/// The report of one input, which must follow its schema.
#[track_caller]
pub(crate) fn parse_report(text: &str) -> Value {
    parse(&REPORT, text)
}

/// The report of a merge, which must follow its schema, and that of its output.
#[track_caller]
pub(crate) fn parse_merge(text: &str) -> Value {
    let report = parse(&MERGE, text);
    parse(&REPORT, &report["merged"].to_string());
    report
}

/// The report of a split, which must follow its schema, and those of its outputs.
#[track_caller]
pub(crate) fn parse_split(text: &str) -> Value {
    let report = parse(&SPLIT, text);
    for output in report["outputs"].as_array().into_iter().flatten() {
        parse(&REPORT, &output["report"].to_string());
    }
    report
}

/// The report of a check, which must follow its schema.
#[track_caller]
pub(crate) fn parse_check(text: &str) -> Value {
    parse(&CHECK, text)
}

/// The lines of checks of many inputs, which must follow their schema: each input's by its name, and the summary.
#[track_caller]
pub(crate) fn parse_checks(text: &str) -> (BTreeMap<String, Value>, Value) {
    named_lines(&CHECK_BATCH, text)
}

/// The report of an inspection, which must follow its schema.
#[track_caller]
pub(crate) fn parse_inspect(text: &str) -> Value {
    parse(&INSPECT, text)
}

/// The lines of inspections of many inputs, which must follow their schema: each input's by its name, and the summary.
#[track_caller]
pub(crate) fn parse_inspects(text: &str) -> (BTreeMap<String, Value>, Value) {
    named_lines(&INSPECT_BATCH, text)
}

#[track_caller]
fn named_lines(validator: &Validator, text: &str) -> (BTreeMap<String, Value>, Value) {
    let mut lines: Vec<Value> = text.lines().map(|line| parse(validator, line)).collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary", "{text}");
    let items = lines.into_iter().map(|item| {
        assert_eq!(item["type"], "item", "{item:#}");
        (item["input"].as_str().unwrap().to_owned(), item)
    });
    (items.collect(), summary)
}

/// The report of a push, which must follow its schema.
#[track_caller]
pub(crate) fn parse_push(text: &str) -> Value {
    parse(&PUSH, text)
}

/// The lines of pushes of many inputs, which must follow their schema: each input's by its name, and the summary.
#[track_caller]
pub(crate) fn parse_pushes(text: &str) -> (BTreeMap<String, Value>, Value) {
    named_lines(&PUSH_BATCH, text)
}

/// The table of engines, which must follow its schema.
#[track_caller]
pub(crate) fn parse_engines(text: &str) -> Value {
    parse(&ENGINES, text)
}

/// One line of the report of a batch, which must follow its schema.
#[track_caller]
pub(crate) fn parse_line(text: &str) -> Value {
    parse(&BATCH, text)
}

#[track_caller]
fn parse(validator: &Validator, text: &str) -> Value {
    let value = serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("no JSON report: {error}\n{text}"));
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}\n{value:#}", faults.join("\n"));
    value
}
