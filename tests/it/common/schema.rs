//! Checks a JSON value against the part of JSON Schema that the schemas in `docs/` use.

use std::fs;

use serde_json::Value;

use super::repository;

/// Words that only describe.
const WORDS: [&str; 3] = ["$schema", "title", "description"];

/// Checks a report; panics with the place of the first fault.
#[track_caller]
pub(crate) fn check_report(report: &Value) {
    check_by("docs/report.schema.json", report);
}

/// Checks one line of the report of a batch.
#[track_caller]
pub(crate) fn check_line(line: &Value) {
    check_by("docs/batch.schema.json", line);
}

#[track_caller]
fn check_by(schema: &str, value: &Value) {
    let text = fs::read(repository(schema)).unwrap();
    let schema: Value = serde_json::from_slice(&text).unwrap();
    if let Err(fault) = check(&schema, value, "report") {
        panic!("{fault}\n{value:#}");
    }
}

/// Checks a value against a schema; the error is the place and the fault.
pub(crate) fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{at}: {what}: {value}"));
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            word if WORDS.contains(&word) => {}
            "type" => {
                let is_right = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "null" => value.is_null(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    other => panic!("the checker does not know the type {other}"),
                };
                if !is_right {
                    return fault(&format!("is no {rule}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => {
                return fault("is none of the choices");
            }
            "enum" => {}
            "anyOf" => {
                let choices = rule.as_array().unwrap();
                let faults: Vec<String> = choices
                    .iter()
                    .filter_map(|choice| check(choice, value, at).err())
                    .collect();
                if faults.len() == choices.len() {
                    return Err(faults.join("; "));
                }
            }
            "required" => {
                for key in rule.as_array().unwrap() {
                    if value.get(key.as_str().unwrap()).is_none() {
                        return fault(&format!("has no {key}"));
                    }
                }
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(schema, value, &format!("{at}.{key}"))?;
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(rule, false);
                for key in value.as_object().into_iter().flat_map(|value| value.keys()) {
                    if schema["properties"].get(key).is_none() {
                        return fault(&format!("has the unknown property {key}"));
                    }
                }
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{at}[{number}]"))?;
                }
            }
            other => panic!("the checker does not know the word {other}"),
        }
    }
    Ok(())
}
