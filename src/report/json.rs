//! The report for programs, version 1. `docs/report.schema.json` is its schema.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Report, Wording};
use crate::error::Error;
use crate::plan::{Change, DigestChange, Finding, Image, Summary};

/// The version of the report's schema.
pub const VERSION: u32 = 1;

/// Writes the report, pretty-printed and with a final newline.
pub fn render(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &value(report)).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// The report as a JSON value.
pub fn value(report: &Report<'_>) -> Value {
    fn list<T>(
        plan: Option<&Summary>,
        items: fn(&Summary) -> &[T],
        item: fn(&T) -> Value,
    ) -> Value {
        plan.map_or(&[][..], items).iter().map(item).collect()
    }
    let plan = report.plan;
    json!({
        "version": VERSION,
        "status": report.status.name(),
        "input": report.input,
        "output": report.output,
        "changes": plan.map_or_else(|| json!([]), |plan| changes(plan, report.wording)),
        "findings": plan.map_or_else(|| json!([]), |plan| findings(plan, report.wording)),
        "digests": list(plan, |plan| &plan.digests, digest_change),
        "images": list(plan, |plan| &plan.images, image),
        "blobs": {
            "count": report.blobs.count,
            "bytes": report.blobs.bytes,
            "verified": if report.blobs.are_all_verified { "full" } else { "documents" },
        },
        "spooled": report.spooled,
        "error": report.error.map(|found| error(found, report.wording)),
    })
}

fn changes(plan: &Summary, wording: &dyn Wording) -> Value {
    plan.changes
        .iter()
        .map(|done| change(done, wording))
        .collect()
}

fn change(change: &Change, wording: &dyn Wording) -> Value {
    json!({
        "rule": change.rule.name(),
        "location": change.location,
        "before": change.before,
        "after": change.after,
        "reason": wording.reason(change.rule),
    })
}

fn findings(plan: &Summary, wording: &dyn Wording) -> Value {
    plan.findings
        .iter()
        .map(|found| finding(found, wording))
        .collect()
}

fn finding(finding: &Finding, wording: &dyn Wording) -> Value {
    json!({
        "rule": finding.rule.name(),
        "severity": finding.rule.severity().name(),
        "location": finding.location,
        "message": finding.message,
        "hint": finding.hint.as_ref().map(|hint| wording.hint(hint)),
    })
}

/// An old and a new digest.
pub(super) fn digest_change(change: &DigestChange) -> Value {
    json!({
        "kind": if change.is_index { "index" } else { "manifest" },
        "before": change.before.to_string(),
        "after": change.after.to_string(),
        "names": change.names,
        "platform": change.platform,
    })
}

fn image(image: &Image) -> Value {
    json!({
        "names": image.names,
        "digest": image.digest.to_string(),
        "config_digest": image.config_digest.as_ref().map(|digest| digest.to_string()),
        "platform": image.platform,
    })
}

fn error(error: &Error, wording: &dyn Wording) -> Value {
    json!({
        "class": error.class().name(),
        "code": error.code().name(),
        "message": wording.error(error),
        "hint": error.hint().map(|hint| wording.hint(hint)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Blobs, samples};
    use super::*;
    use crate::error::{Class, Code};

    const SCHEMA: &str = include_str!("../../docs/report.schema.json");

    #[test]
    fn reports_follow_the_schema() {
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let (full, empty) = (samples::full(), samples::empty());
        let error = Error::new(Code::MissingBlob, "a blob is missing").with_hint("export again");
        let blobs = Blobs {
            count: 6,
            bytes: 4000,
            are_all_verified: true,
        };
        for (report, status) in [
            (Report::written("a.tar", "b.tar", &full, blobs), "fixed"),
            (
                Report::written("a.tar", "b.tar", &empty, blobs),
                "unchanged",
            ),
            (Report::dry_run("a.tar", &full), "would-fix"),
            (Report::dry_run("a.tar", &empty), "unchanged"),
            (Report::failed("a.tar", &error), "failed"),
        ] {
            let value = value(&report);
            let fault = validator.validate(&value).err();
            assert!(fault.is_none(), "{fault:?}");
            assert_eq!(value["status"], status);
            assert_eq!(value["error"].is_null(), status != "failed");
        }
    }

    #[test]
    fn schema_lists_every_code_and_class() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let error = &schema["properties"]["error"]["anyOf"][1]["properties"];
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(error["code"]["enum"], json!(codes));
        let mut classes: Vec<Class> = Code::ALL.iter().map(|code| code.class()).collect();
        classes.sort_unstable();
        classes.dedup();
        let classes: Vec<&str> = classes.iter().map(|class| class.name()).collect();
        assert_eq!(error["class"]["enum"], json!(classes));
    }

    #[test]
    fn values_stand_where_they_belong() {
        let plan = samples::full();
        let blobs = Blobs {
            count: 6,
            bytes: 4000,
            are_all_verified: true,
        };
        let mut out = Vec::new();
        render(&Report::written("a.tar", "b.tar", &plan, blobs), &mut out).unwrap();
        assert_eq!(out.last(), Some(&b'\n'));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["output"], "b.tar");
        assert_eq!(value["changes"][5]["before"], Value::Null);
        assert_eq!(
            value["digests"][0]["before"],
            samples::digest("before").to_string()
        );
        assert_eq!(value["digests"][0]["kind"], "manifest");
        assert_eq!(
            value["images"][0]["config_digest"],
            samples::digest("config").to_string()
        );
        assert_eq!(
            value["blobs"],
            json!({"count": 6, "bytes": 4000, "verified": "full"})
        );
    }
}
