//! The report of a check: the verdicts of engines, and what a fix would change. `docs/check.schema.json` is the schema of
//! the form for programs.

mod closing;
mod github;
mod html;
mod junit;
mod many;
mod reasons;
mod table;
mod text;
mod wrap;

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::json::{Change, Failure, Finding, changes, findings};
use super::{Blobs, Neutral, Wording};
use crate::check::{Checked, FailOn, Judged, ListedImage};
use crate::engines::{Engine, Evidence, Loads, Obstacle, Reason, Verdict, Version};
use crate::error::Error;
use crate::image::Platform;
use crate::location::Location;
use crate::plan::{self, DocumentPlace, Image, Severity};
use crate::text::json_pretty;
pub use github::{GithubTable, github_annotation, github_error, github_warning};
pub use html::HtmlPage;
pub use junit::{junit_end, junit_start, junit_suite};
pub use many::{CheckItem, CheckSummary, item_json, item_text, summary_json, summary_text};
pub(super) use table::range;
pub use text::{Layout, render};
pub(super) use text::{form, layer_forms, shortened};
pub(super) use wrap::wrapped;

/// The version of the schema.
pub const VERSION: u32 = 1;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CheckStatus {
    /// The archive loads everywhere that counts.
    Passed,
    /// In a batch: an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped,
    /// An engine does not load the archive, or something is true that was to make the check fail.
    Rejected,
    /// The archive could not be checked.
    Failed,
}

impl CheckStatus {
    /// The status as it appears in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            CheckStatus::Passed => "passed",
            CheckStatus::Skipped => "skipped",
            CheckStatus::Rejected => "rejected",
            CheckStatus::Failed => "failed",
        }
    }
}

/// By its name.
impl Serialize for CheckStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One check, ready to be shown. [`CheckData`] is what programs read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CheckReport<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// How the check ended.
    pub status: CheckStatus,
    /// What was found; `None` after a failure.
    pub checked: Option<&'a Checked>,
    /// The blobs that were verified.
    pub blobs: Blobs,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// What went wrong, if something did.
    pub error: Option<&'a Error>,
    /// The command that fixes this input, without further options.
    pub fix: Option<&'a str>,
    /// The wording of what depends on the program that shows it.
    pub wording: &'a dyn Wording,
}

impl<'a> CheckReport<'a> {
    /// A check that came to an end.
    pub fn new(input: &'a str, checked: &'a Checked) -> Self {
        let status = match checked.passes() {
            true => CheckStatus::Passed,
            false => CheckStatus::Rejected,
        };
        CheckReport {
            checked: Some(checked),
            ..Self::without_verdicts(input, status, None)
        }
    }

    /// An archive that contains no image, or a symbolic link that is not followed, as `error` says.
    pub fn skipped(input: &'a str, error: &'a Error) -> Self {
        Self::without_verdicts(input, CheckStatus::Skipped, Some(error))
    }

    /// A check that failed.
    pub fn failed(input: &'a str, error: &'a Error) -> Self {
        Self::without_verdicts(input, CheckStatus::Failed, Some(error))
    }

    /// The same with these words, and this command as the one that fixes the input, if there is one.
    #[must_use]
    pub fn with_words(self, wording: &'a dyn Wording, fix: Option<&'a str>) -> Self {
        CheckReport {
            wording,
            fix,
            ..self
        }
    }

    /// The same check, which verified these blobs.
    #[must_use]
    pub fn with_blobs(self, blobs: Blobs) -> Self {
        CheckReport { blobs, ..self }
    }

    fn without_verdicts(input: &'a str, status: CheckStatus, error: Option<&'a Error>) -> Self {
        CheckReport {
            input,
            status,
            checked: None,
            blobs: Blobs::default(),
            spooled: None,
            error,
            fix: None,
            wording: &Neutral,
        }
    }
}

/// The report as programs read it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CheckData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// How the check ended.
    pub status: CheckStatus,
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The platform of the machine for which engines were judged; `None` after a failure.
    pub platform: Option<&'a Platform>,
    /// What engines do with the archive.
    pub verdicts: Vec<VerdictData<'a>>,
    /// What was named with `--fail-on` and is true of the archive.
    pub failed_on: Vec<&'static str>,
    /// The images of the archive as it is.
    pub contents: &'a [ListedImage],
    /// The highest severity of the changes; `None` if there are none.
    pub severity: Option<Severity>,
    /// What a fix would change.
    pub changes: Vec<Change<'a>>,
    /// What ocify cannot fix, or what a user should know.
    pub findings: Vec<Finding<'a>>,
    /// The images of the fixed archive.
    pub images: &'a [Image],
    /// The blobs that were verified.
    pub blobs: Blobs,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
}

/// What one reader does with an archive.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VerdictData<'a> {
    /// The engine that was asked for, if one was.
    #[serde(serialize_with = "displayed")]
    pub asked: Option<Engine>,
    /// The engine's name.
    pub engine: &'static str,
    /// Its image store or transport, if it has several.
    pub store: Option<&'static str>,
    /// The versions with this verdict; `None` if none is known.
    pub versions: Option<Versions>,
    /// Whether the makers still support one of these versions.
    pub supported: bool,
    /// Whether the archive loads as it is.
    pub loads: Loads,
    /// The names under which images are loaded, as the engine shows them.
    pub names: Vec<&'a str>,
    /// What is in the way, in the order in which the engine meets it.
    pub because: Vec<Because<'a>>,
    /// What becomes of the archive once it is fixed.
    pub after: After<'a>,
}

/// Versions with the same verdict.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Versions {
    /// The first one.
    pub from: Version,
    /// The last one that is known.
    pub to: Version,
}

impl From<(Version, Version)> for Versions {
    fn from((from, to): (Version, Version)) -> Self {
        Versions { from, to }
    }
}

/// Something that is in the way of an engine.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Because<'a> {
    /// What it is.
    pub rule: Obstacle,
    /// Where it is met first.
    pub location: &'a Location,
    /// Where in a document of the input, if it is in one.
    pub place: Option<DocumentPlace>,
    /// How often it is met.
    pub count: usize,
    /// What it means.
    pub message: &'static str,
    /// What the engine's message contains: one of these phrases, with `…` for anything in between.
    pub says: &'static [&'static str],
    /// How this is known.
    pub evidence: Evidence,
}

/// The verdict on the fixed archive.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct After<'a> {
    /// The versions with this verdict; `None` if none is known.
    pub versions: Option<Versions>,
    /// Whether it loads.
    pub loads: Loads,
    /// The names under which images are loaded, as the engine shows them.
    pub names: Vec<&'a str>,
    /// What is in the way.
    pub because: Vec<Because<'a>>,
    /// The options with which a fix makes it load, if it does not without options, and these are known.
    pub options: Vec<String>,
}

fn displayed<S: Serializer>(engine: &Option<Engine>, serializer: S) -> Result<S::Ok, S::Error> {
    engine
        .map(|engine| engine.to_string())
        .serialize(serializer)
}

impl<'a> From<&CheckReport<'a>> for CheckData<'a> {
    fn from(report: &CheckReport<'a>) -> Self {
        let wording = report.wording;
        let summary = report.checked.map(|checked| &checked.summary);
        let made = summary.map_or(&[][..], |plan| &plan.changes);
        let found = summary.map_or(&[][..], |plan| &plan.findings);
        let places = summary.map(|plan| &plan.places);
        let failed_on = report.checked.map_or(&[][..], |checked| &checked.failed_on);
        CheckData {
            version: VERSION,
            status: report.status,
            input: report.input,
            platform: report.checked.map(|checked| &checked.platform),
            verdicts: verdicts(report.checked, wording),
            failed_on: failed_on.iter().copied().map(FailOn::name).collect(),
            contents: report.checked.map_or(&[], |checked| &checked.images),
            severity: summary.and_then(plan::Summary::severity),
            changes: changes(made, places, wording),
            findings: findings(found, places, wording),
            images: summary.map_or(&[], |plan| &plan.images),
            blobs: report.blobs,
            spooled: report.spooled,
            error: report.error.map(|error| Failure::new(error, wording)),
        }
    }
}

fn verdicts<'a>(checked: Option<&'a Checked>, wording: &dyn Wording) -> Vec<VerdictData<'a>> {
    let all = checked.into_iter().flat_map(|checked| {
        let verdicts = checked.verdicts.iter();
        verdicts.map(move |judged| verdict(checked, judged, wording))
    });
    all.collect()
}

fn verdict<'a>(checked: &'a Checked, judged: &'a Judged, wording: &dyn Wording) -> VerdictData<'a> {
    let place = |reason: &Reason| checked.place_of(reason);
    VerdictData {
        asked: judged.asked,
        engine: judged.reader.engine(),
        store: judged.reader.store(),
        versions: judged.from.zip(judged.to).map(Versions::from),
        supported: judged.is_supported,
        loads: judged.as_it_is.loads,
        names: names(&judged.as_it_is),
        because: because(&judged.as_it_is, &place),
        after: After {
            loads: judged.fixed.loads,
            names: names(&judged.fixed),
            because: because(&judged.fixed, &|_| None),
            versions: judged.fixed_versions.map(Versions::from),
            options: judged
                .remedy
                .as_ref()
                .map_or_else(Vec::new, |remedy| wording.remedy(remedy)),
        },
    }
}

fn names(verdict: &Verdict) -> Vec<&str> {
    verdict.names.iter().map(String::as_str).collect()
}

fn because<'v>(
    verdict: &'v Verdict,
    place: &dyn Fn(&Reason) -> Option<DocumentPlace>,
) -> Vec<Because<'v>> {
    let reasons = verdict.because.iter();
    let because = reasons.map(|reason: &Reason| Because {
        rule: reason.obstacle,
        location: &reason.location,
        place: place(reason),
        count: reason.count,
        message: reason.obstacle.meaning(),
        says: reason.says,
        evidence: reason.evidence,
    });
    because.collect()
}

/// As [`CheckData`].
impl Serialize for CheckReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CheckData::from(self).serialize(serializer)
    }
}

/// Writes the report as JSON, pretty-printed and with a final newline.
pub fn json(report: &CheckReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    json_pretty(report, out)
}
