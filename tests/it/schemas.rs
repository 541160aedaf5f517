//! The schemas in `docs/` require what reports contain, no more and no less. That every report follows its schema is checked where
//! reports are parsed.

use std::fs;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::common::fixture;
use crate::common::runner::Sandbox;
use crate::common::schema::{BATCH, CHECK, INSPECT, REPORT, schema};

#[test]
fn schemas_are_valid() {
    for name in [
        "report",
        "batch",
        "merge",
        "split",
        "check",
        "check-batch",
        "inspect",
        "inspect-batch",
        "engines",
        "push",
        "push-batch",
    ] {
        let schema = schema(name);
        let draft = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], draft, "{name}");
        // It is not an address: a schema is part of a version, wherever that is published.
        assert_eq!(schema["$id"], format!("urn:ocify:{name}:1"));
        if let Err(fault) = jsonschema::meta::validate(&schema) {
            panic!(
                "docs/{name}.schema.json: {}: {fault}",
                fault.instance_path()
            );
        }
    }
}

#[test]
fn the_batch_schema_extends_the_schema_of_a_single_input() {
    let (one, many) = (schema("report"), schema("batch"));
    let (one, many) = (&one["properties"], &many["anyOf"][0]["properties"]);
    for key in ["changes", "findings", "digests", "images", "blobs"] {
        assert_eq!(one[key], many[key], "{key}");
    }
    assert_eq!(one["error"]["anyOf"], many["error"]["anyOf"]);
    let summary = &schema("batch")["anyOf"][1]["properties"];
    assert_eq!(
        summary["error"]["anyOf"][1]["$ref"],
        "#/anyOf/0/properties/error/anyOf/1"
    );
    let keys = one.as_object().unwrap().keys();
    for key in keys.filter(|key| *key != "spooled") {
        assert!(many.get(key).is_some(), "{key}");
    }
}

/// What a check and a fix both report has the same form.
#[test]
fn the_schema_of_a_check_extends_the_schema_of_a_fix() {
    let (fix, check) = (schema("report"), schema("check"));
    for key in ["changes", "images", "findings"] {
        let items = |schema: &Value| schema["properties"][key]["items"].clone();
        assert_eq!(items(&fix), items(&check), "{key}");
    }
    for key in ["blobs", "error", "spooled", "severity"] {
        let mut both = [&fix, &check].map(|schema| schema["properties"][key].clone());
        both.iter_mut()
            .for_each(|value| value["description"] = Value::Null);
        assert_eq!(both[0], both[1], "{key}");
    }
}

/// A pointer to each value in a value.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Array(items) => (0..items.len())
            .for_each(|number| pointers(&items[number], &format!("{at}/{number}"), out)),
        Value::Object(object) => object
            .iter()
            .for_each(|(key, item)| pointers(item, &format!("{at}/{key}"), out)),
        _ => {}
    }
}

/// A reader that validates reports accepts those of a later version, which has more keys, rules and codes.
#[test]
fn schemas_allow_additions() {
    let sandbox = Sandbox::new();
    let report = sandbox.fix("none.tar", "out.tar").json();
    let validator = jsonschema::validator_for(&schema("report")).unwrap();
    assert!(validator.is_valid(&report));
    let mut later = report.clone();
    later["new"] = json!({"key": 1});
    later["error"]["new"] = json!(1);
    later["blobs"]["new"] = json!("value");
    later["error"]["code"] = json!("new-code");
    assert!(validator.is_valid(&later), "{later:#}");
    assert!(!REPORT.is_valid(&later));
    // What is there keeps its type.
    later["error"]["code"] = json!(1);
    assert!(!validator.is_valid(&later));
    let mut without = report;
    without.as_object_mut().unwrap().shift_remove("error");
    assert!(!validator.is_valid(&without));

    fs::create_dir(sandbox.path("in")).unwrap();
    let run = sandbox.ocify(&["fix", "in", "--dry-run", "--format", "json"]);
    let validator = jsonschema::validator_for(&schema("batch")).unwrap();
    let mut later: Value = serde_json::from_str(&run.stdout).unwrap();
    later["new"] = json!(1);
    later["items"]["new"] = json!(1);
    assert!(validator.is_valid(&later), "{later:#}");
    later["type"] = json!("item");
    assert!(!validator.is_valid(&later), "{later:#}");
}

/// Nothing in a report can change its type or be absent, and this version adds nothing to what the schema describes.
fn check_strict(validator: &Validator, report: &Value) {
    assert!(validator.is_valid(report), "{report:#}");
    let mut all = Vec::new();
    pointers(report, "", &mut all);
    for at in &all {
        let refused = |what: &str, edit: fn(&mut Value)| {
            let mut changed = report.clone();
            edit(changed.pointer_mut(at).unwrap());
            assert!(!validator.is_valid(&changed), "{what} at {at}: {changed:#}");
        };
        refused("another type", |value| *value = json!([[]]));
        let Some(object) = report.pointer(at).unwrap().as_object() else {
            continue;
        };
        refused("an unknown key", |value| value["unknown"] = Value::Null);
        for key in object.keys() {
            let mut changed = report.clone();
            let object = changed.pointer_mut(at).unwrap().as_object_mut().unwrap();
            object.shift_remove(key).unwrap();
            assert!(!validator.is_valid(&changed), "{at} without {key}");
        }
    }
}

#[test]
fn schemas_are_strict() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    for name in ["docker20-save.tar", "buildkit-docker-zstd-ocifalse.tar"] {
        let bytes = fs::read(fixture(name)).unwrap();
        sandbox.put(&format!("in/cut-{name}"), &bytes[..bytes.len() / 2]);
        sandbox.put(&format!("in/{name}"), bytes);
        for input in [format!("in/{name}"), format!("in/cut-{name}")] {
            let report = sandbox.fix_with(input, "out.tar", &["--force"]).json();
            check_strict(&REPORT, &report);
        }
    }
    for name in ["docker20-save.tar", "cut-docker20-save.tar"] {
        let input = format!("in/{name}");
        let run = sandbox.ocify(&["check", &input, "--format", "json"]);
        check_strict(&CHECK, &serde_json::from_str(&run.stdout).unwrap());
        let run = sandbox.ocify(&["inspect", &input, "--format", "json"]);
        check_strict(&INSPECT, &serde_json::from_str(&run.stdout).unwrap());
    }
    let report = sandbox.ocify(&["fix", "in", "-o", "out", "--format", "json"]);
    let lines: Vec<&str> = report.stdout.lines().collect();
    assert_eq!(lines.len(), 5);
    for line in lines {
        check_strict(&BATCH, &serde_json::from_str(line).unwrap());
    }
}
