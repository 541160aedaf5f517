//! The report for programs, version 1. `docs/report.schema.json` is its schema.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

pub use super::kept::Findings;
use super::{Blobs, Report, Status, Wording};
use crate::error::{Class, Code, Error};
use crate::location::Location;
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{self, DigestChange, DocumentPlace, Dropped, Image, Places, Severity};
use crate::text::json_pretty;

/// The version of the report's schema.
pub const VERSION: u32 = 1;

/// The report as programs read it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Data<'a> {
    /// The version of the schema.
    pub version: u32,
    /// What happened.
    #[serde(flatten)]
    pub run: Run<'a>,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
}

/// What happened to one input.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Run<'a> {
    /// How the run ended.
    pub status: Status,
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The output as the user wrote it, if it was written.
    pub output: Option<&'a str>,
    /// The highest severity of the changes; `None` if there are none.
    pub severity: Option<Severity>,
    /// What is changed.
    pub changes: Vec<Change<'a>>,
    /// What ocify cannot fix, or what a user should know.
    pub findings: Findings<'a>,
    /// The digests of manifests and indexes that change.
    pub digests: Digests<'a>,
    /// The images of the output.
    pub images: &'a [Image],
    /// The blobs of the output.
    pub blobs: Blobs,
    /// What an option left out; `None` if that is nothing.
    pub dropped: Option<Dropped>,
}

/// One change, with the rule that requires it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Change<'a> {
    /// The rule.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// Whether an option requested it.
    #[serde(rename = "requested")]
    pub is_requested: bool,
    /// Where.
    pub location: &'a Location,
    /// Where in a document of the input, if it is in one.
    pub place: Option<DocumentPlace>,
    /// The value before, if there was one.
    pub before: Option<&'a str>,
    /// The value after, if there is one.
    pub after: Option<&'a str>,
    /// Whether the value after contains a digest that is known only once layers have been recompressed.
    #[serde(rename = "pending")]
    pub is_pending: bool,
    /// Why.
    pub reason: &'static str,
}

/// Something that ocify cannot fix, or that a user should know.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding<'a> {
    /// The rule.
    pub rule: FindingRule,
    /// How much it matters.
    pub severity: Severity,
    /// Where, if it is about one place.
    pub location: Option<&'a Location>,
    /// Where in a document of the input, if it is in one.
    pub place: Option<DocumentPlace>,
    /// What was found.
    pub message: &'a str,
    /// The next step, if there is one.
    pub hint: Option<String>,
}

/// Digests that changed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Digests<'a> {
    /// Those of a plan.
    Planned(&'a [DigestChange]),
    /// In a batch: those that an earlier run reported of the output that it finished.
    Kept(&'a serde_json::Value),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of thing has to change before a retry can succeed.
    pub class: Class,
    /// The stable code.
    pub code: Code,
    /// What happened, with its causes.
    pub message: String,
    /// The next step, if there is one.
    pub hint: Option<String>,
}

impl<'a> From<&Report<'a>> for Data<'a> {
    fn from(report: &Report<'a>) -> Self {
        Data {
            version: VERSION,
            run: Run::from(report),
            spooled: report.spooled,
            error: Failure::of(report),
        }
    }
}

impl<'a> From<&Report<'a>> for Run<'a> {
    fn from(report: &Report<'a>) -> Self {
        let wording = report.wording;
        let changes = report.plan.map_or(&[][..], |plan| &plan.changes);
        let findings = report.plan.map_or(&[][..], |plan| &plan.findings);
        let places = report.plan.map(|plan| &plan.places);
        Run {
            status: report.status,
            input: report.input,
            output: report.output,
            severity: report.plan.and_then(plan::Summary::severity),
            changes: self::changes(changes, places, wording),
            findings: Findings::Planned(self::findings(findings, places, wording)),
            digests: Digests::Planned(report.plan.map_or(&[], |plan| &plan.digests)),
            images: report.plan.map_or(&[], |plan| &plan.images),
            blobs: report.blobs,
            dropped: report.plan.and_then(dropped),
        }
    }
}

fn dropped(plan: &plan::Summary) -> Option<Dropped> {
    Some(plan.dropped).filter(|dropped| dropped.blobs > 0)
}

/// Changes, and where they are according to these places.
pub(super) fn changes<'a>(
    all: &'a [plan::Change],
    places: Option<&Places>,
    wording: &dyn Wording,
) -> Vec<Change<'a>> {
    let changes = all.iter().map(|change| Change {
        rule: change.rule,
        severity: change.severity,
        is_requested: change.is_requested,
        location: &change.location,
        place: places.and_then(|places| places.of_change(change)),
        before: change.before.as_deref(),
        after: change.after.as_deref(),
        is_pending: change.is_pending,
        reason: wording.reason(change.rule),
    });
    changes.collect()
}

/// The same of findings.
pub(super) fn findings<'a>(
    all: &'a [plan::Finding],
    places: Option<&Places>,
    wording: &dyn Wording,
) -> Vec<Finding<'a>> {
    let findings = all.iter().map(|finding| Finding {
        rule: finding.rule,
        severity: finding.severity,
        location: finding.location.as_ref(),
        place: places.and_then(|places| places.of_finding(finding)),
        message: &finding.message,
        hint: finding.hint.as_ref().map(|hint| wording.hint(hint)),
    });
    findings.collect()
}

impl Failure {
    /// What went wrong in a run, if something did.
    pub(super) fn of(report: &Report<'_>) -> Option<Self> {
        let error: &Error = report.error?;
        Some(Failure::new(error, report.wording))
    }

    /// An error in these words.
    pub fn new(error: &Error, wording: &dyn Wording) -> Self {
        Failure {
            class: error.class(),
            code: error.code(),
            message: wording.error(error),
            hint: error.hint().map(|hint| wording.hint(hint)),
        }
    }
}

/// As [`Data`].
impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Data::from(self).serialize(serializer)
    }
}

/// Writes the report, pretty-printed and with a final newline.
pub fn render(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    json_pretty(report, out)
}

/// Writes anything as JSON, pretty-printed and with a final newline.
pub fn pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    json_pretty(value, out)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use serde_json::{Value, json};

    const SCHEMA: &str = include_str!("../../docs/report.schema.json");

    #[test]
    fn reports_follow_the_schema() {
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let (full, empty) = (samples::full(), samples::empty());
        let pending = samples::pending();
        let cosmetic = plan::Summary {
            changes: vec![samples::cosmetic_change(Rule::ArchiveForm)],
            ..samples::empty()
        };
        let error = Error::new(Code::MissingBlob, "a blob is missing").with_hint("export again");
        for (report, status) in [
            (
                Report::written("a.tar", "b.tar", &full, samples::BLOBS),
                "fixed",
            ),
            (
                Report::written("a.tar", "b.tar", &empty, samples::BLOBS),
                "unchanged",
            ),
            (Report::dry_run("a.tar", &full), "would-fix"),
            (Report::dry_run("a.tar", &pending), "would-fix"),
            (Report::dry_run("a.tar", &cosmetic), "unchanged"),
            (Report::strict_dry_run("a.tar", &cosmetic), "would-fix"),
            (Report::dry_run("a.tar", &empty), "unchanged"),
            (Report::failed("a.tar", &error), "failed"),
        ] {
            let value = serde_json::to_value(report).unwrap();
            let fault = validator.validate(&value).err();
            assert!(fault.is_none(), "{fault:?}");
            assert_eq!(value["status"], status);
            assert_eq!(value["error"].is_null(), status != "failed");
        }
    }

    #[test]
    fn keys_keep_their_order() {
        let plan = samples::full();
        let report = serde_json::to_value(Report::dry_run("a.tar", &plan)).unwrap();
        let keys = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (value, expected) in [
            (
                &report,
                "version status input output severity changes findings digests images blobs dropped spooled error",
            ),
            (
                &report["changes"][0],
                "rule severity requested location place before after pending reason",
            ),
            (
                &report["findings"][0],
                "rule severity location place message hint",
            ),
            (&report["digests"][0], "kind before after names platform"),
            (
                &report["images"][0],
                "names digest config_digest platform platforms",
            ),
            (&report["blobs"], "count bytes verified unverified"),
            (
                &report["blobs"]["verified"],
                "documents configs layers diff_ids others",
            ),
            (&report["blobs"]["unverified"], "configs layers others"),
        ] {
            assert_eq!(keys(value), expected);
        }
    }

    #[test]
    fn unknown_digests_are_null() {
        let plan = samples::pending();
        let report = serde_json::to_value(Report::dry_run("a.tar", &plan)).unwrap();
        let (recompressed, descriptor) = (&report["changes"][0], &report["changes"][1]);
        assert_eq!(recompressed["after"], "gzip");
        assert_eq!(descriptor["after"], Value::Null);
        for change in [recompressed, descriptor] {
            assert_eq!(change["pending"], true);
        }
        assert_eq!(report["digests"][0]["after"], Value::Null);
        assert_eq!(report["images"][0]["digest"], Value::Null);
    }

    #[test]
    fn schema_lists_every_code_and_class() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let error = &schema["properties"]["error"]["anyOf"][1]["properties"];
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(error["code"]["examples"], json!(codes));
        let mut classes: Vec<Class> = Code::ALL.iter().map(|code| code.class()).collect();
        classes.sort_unstable();
        classes.dedup();
        let classes: Vec<&str> = classes.iter().map(|class| class.name()).collect();
        assert_eq!(error["class"]["enum"], json!(classes));
    }

    #[test]
    fn values_stand_where_they_belong() {
        let plan = samples::full();
        let mut out = Vec::new();
        render(
            &Report::written("a.tar", "b.tar", &plan, samples::BLOBS),
            &mut out,
        )
        .unwrap();
        assert_eq!(out.last(), Some(&b'\n'));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["output"], "b.tar");
        assert_eq!(value["severity"], "breaks");
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
            json!({
                "count": 6,
                "bytes": 4000,
                "verified": {"documents": 1, "configs": 1, "layers": 3, "diff_ids": 0, "others": 1},
                "unverified": {"configs": 0, "layers": 0, "others": 0},
            })
        );
    }
}
