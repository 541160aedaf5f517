//! The report of an inspection: what an input contains. `docs/inspect.schema.json` is the schema of the form for programs.

mod many;
mod text;

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::json::Failure;
use super::{Blobs, Neutral, Wording};
use crate::error::{Code, Error};
use crate::inspect::{
    BlobCount, Inspected, InspectedEntry, InspectedIndex, InspectedManifest, InspectedMissing,
};
use crate::location::RootName;
use crate::text::json_pretty;
pub use many::{InspectItem, InspectSummary, item_json, item_text, summary_json, summary_text};
pub use text::render;

/// The version of the schema.
pub const VERSION: u32 = 1;

/// How an inspection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InspectStatus {
    /// The contents were listed.
    Listed,
    /// In a batch: an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped,
    /// Something is wrong with the input. What could be read of it was listed.
    Failed,
}

impl InspectStatus {
    /// The status as it appears in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            InspectStatus::Listed => "listed",
            InspectStatus::Skipped => "skipped",
            InspectStatus::Failed => "failed",
        }
    }
}

/// By its name.
impl Serialize for InspectStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One inspection, ready to be shown. [`InspectData`] is what programs read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InspectReport<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// How it ended.
    pub status: InspectStatus,
    /// What was found; `None` if nothing could be read.
    pub inspected: Option<&'a Inspected>,
    /// The blobs that were verified.
    pub blobs: Blobs,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// What went wrong, if something did.
    pub error: Option<&'a Error>,
    /// The wording of what depends on the program that shows it.
    pub wording: &'a dyn Wording,
}

impl<'a> InspectReport<'a> {
    /// The contents of an input.
    pub fn new(input: &'a str, inspected: &'a Inspected) -> Self {
        let error = inspected.refused.as_ref();
        let status = match error {
            None => InspectStatus::Listed,
            Some(_) => InspectStatus::Failed,
        };
        InspectReport {
            inspected: Some(inspected),
            blobs: inspected.outcome.map(Blobs::from).unwrap_or_default(),
            ..Self::without_contents(input, status, error)
        }
    }

    /// An archive that contains no image, or a symbolic link that is not followed, as `error` says.
    pub fn skipped(input: &'a str, error: &'a Error) -> Self {
        Self::without_contents(input, InspectStatus::Skipped, Some(error))
    }

    /// An input that cannot be read.
    pub fn failed(input: &'a str, error: &'a Error) -> Self {
        Self::without_contents(input, InspectStatus::Failed, Some(error))
    }

    /// The same in these words.
    #[must_use]
    pub fn with_wording(self, wording: &'a dyn Wording) -> Self {
        InspectReport { wording, ..self }
    }

    fn without_contents(input: &'a str, status: InspectStatus, error: Option<&'a Error>) -> Self {
        InspectReport {
            input,
            status,
            inspected: None,
            blobs: Blobs::default(),
            spooled: None,
            error,
            wording: &Neutral,
        }
    }
}

/// The report as programs read it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InspectData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// How it ended.
    pub status: InspectStatus,
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The files at the root that it has.
    pub files: Vec<&'static str>,
    /// The compression of the complete archive.
    pub compression: Option<&'static str>,
    /// Whether it is a build cache.
    pub cache: bool,
    /// What `index.json` lists, or else `manifest.json`.
    pub entries: &'a [InspectedEntry],
    /// The indexes.
    pub indexes: &'a [InspectedIndex],
    /// The manifests.
    pub manifests: &'a [InspectedManifest],
    /// Content that documents name and the input lacks.
    pub missing: &'a [InspectedMissing],
    /// What is wrong with single documents.
    pub faults: Vec<Fault>,
    /// Blobs that nothing refers to, if that is known.
    pub orphans: Option<BlobCount>,
    /// All blobs.
    pub total: BlobCount,
    /// The blobs that were verified.
    pub blobs: Blobs,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
}

/// What is wrong with one document.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
}

impl<'a> From<&InspectReport<'a>> for InspectData<'a> {
    fn from(report: &InspectReport<'a>) -> Self {
        let wording = report.wording;
        let found = report.inspected;
        let files = found.map_or(&[][..], |found| &found.files);
        let faults = found.map_or(&[][..], |found| &found.faults);
        let compression = found.and_then(|found| found.compression);
        InspectData {
            version: VERSION,
            status: report.status,
            input: report.input,
            files: files.iter().copied().map(RootName::name).collect(),
            compression: compression.map(|content| content.name()),
            cache: found.is_some_and(|found| found.is_cache),
            entries: found.map_or(&[], |found| &found.entries),
            indexes: found.map_or(&[], |found| &found.indexes),
            manifests: found.map_or(&[], |found| &found.manifests),
            missing: found.map_or(&[], |found| &found.missing),
            faults: faults
                .iter()
                .map(|error| Fault {
                    code: error.code(),
                    message: wording.error(error),
                })
                .collect(),
            orphans: found.and_then(|found| found.orphans),
            total: found.map(|found| found.blobs).unwrap_or_default(),
            blobs: report.blobs,
            spooled: report.spooled,
            error: report.error.map(|error| Failure::new(error, wording)),
        }
    }
}

/// As [`InspectData`].
impl Serialize for InspectReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        InspectData::from(self).serialize(serializer)
    }
}

/// Writes the report as JSON, pretty-printed and with a final newline.
pub fn json(report: &InspectReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    json_pretty(report, out)
}
