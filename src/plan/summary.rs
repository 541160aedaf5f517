//! What a plan changes and what it found: plain data for reports.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::error::Hint;
use crate::image::{Digest, Platform, Reference};
use crate::location::Location;
use crate::plan::places::Places;
use crate::plan::rules::{FindingRule, Rule};

/// What a plan changes, and what it found: data for reports.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// What is changed, in the order of the documents.
    pub changes: Vec<Change>,
    /// What ocify cannot fix, or what a user should know.
    pub findings: Vec<Finding>,
    /// The digests of manifests and indexes that change.
    pub digests: Vec<DigestChange>,
    /// The images of the output.
    pub images: Vec<Image>,
    /// What an option left out.
    pub dropped: Dropped,
    /// The documents that the changes and findings are about.
    pub places: Places,
}

impl Summary {
    /// The highest severity of the changes; `None` if there are none.
    pub fn severity(&self) -> Option<Severity> {
        self.changes.iter().map(|change| change.severity).max()
    }

    /// Whether a change is [needed](Change::is_needed).
    pub fn needs_fix(&self) -> bool {
        self.changes.iter().any(Change::is_needed)
    }
}

/// The blobs of the input that only what was left out needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// How many there are.
    pub blobs: u64,
    /// Their total length in bytes.
    pub bytes: u64,
}

/// One change, with the rule that requires it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The rule, whose [`reason`](Rule::reason) says why.
    pub rule: Rule,
    /// How much it matters here, which may differ from the [rule's](Rule::severity).
    pub severity: Severity,
    /// Whether an option requested it.
    pub is_requested: bool,
    /// Where.
    pub location: Location,
    /// The value before, if there was one.
    pub before: Option<Cow<'static, str>>,
    /// The value after, if there is one.
    pub after: Option<Cow<'static, str>>,
    /// Whether the value after contains a digest that is known only once layers have been recompressed.
    /// `after` is then the rest of it, if there is any.
    pub is_pending: bool,
}

impl Change {
    /// Whether an engine needs it, or an option requested it.
    pub fn is_needed(&self) -> bool {
        self.severity == Severity::Breaks || self.is_requested
    }

    /// The same with this severity.
    pub(crate) fn with_severity(self, severity: Severity) -> Self {
        Change { severity, ..self }
    }

    /// The same, without the new value if that is not known yet.
    pub(crate) fn pending_if(mut self, is_pending: bool) -> Self {
        if is_pending {
            self.after = None;
        }
        self.is_pending = is_pending;
        self
    }

    /// The same, requested by an option.
    pub(crate) fn requested(self) -> Self {
        Change {
            is_requested: true,
            ..self
        }
    }
}

/// How much a change or a finding matters. The engines are those that `docs/engines.md` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Every engine loads the archive, whether the change is made or not. Of a finding: worth knowing.
    Cosmetic,
    /// Other readers may refuse or misread the archive without the change, or an option requested it.
    /// Of a finding: something may not work as expected.
    Warns,
    /// An engine does not load the archive without the change. Of a finding: an engine does not load
    /// the output.
    Breaks,
}

impl Severity {
    /// The word in reports for programs.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Cosmetic => "cosmetic",
            Severity::Warns => "warns",
            Severity::Breaks => "breaks",
        }
    }
}

/// By its name.
impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that ocify cannot fix, or that a user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: FindingRule,
    /// How much it matters here, which may differ from the [rule's](FindingRule::severity).
    pub severity: Severity,
    /// Where, if it is about one place.
    pub location: Option<Location>,
    /// What was found.
    pub message: String,
    /// The next step, if there is one.
    pub hint: Option<Hint>,
}

impl Finding {
    /// The same with this severity.
    pub(crate) fn with_severity(self, severity: Severity) -> Self {
        Finding { severity, ..self }
    }
}

/// A manifest or index whose digest changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DigestChange {
    /// Whether the document is an index; otherwise it is a manifest.
    #[serde(rename = "kind", serialize_with = "kind")]
    pub is_index: bool,
    /// The digest in the input.
    pub before: Digest,
    /// The digest in the output; `None` if it is known only once layers have been recompressed.
    pub after: Option<Digest>,
    /// The names that lead to the document, except those that contain a digest which is not known yet.
    pub names: Vec<Reference>,
    /// The platform, if one is stated.
    pub platform: Option<Platform>,
}

fn kind<S: Serializer>(is_index: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_index { "index" } else { "manifest" })
}

/// An image of the output: what one name, or one unnamed entry of the index, stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Image {
    /// The names, of which the report shows the full form, such as `docker.io/library/app:latest`; without those
    /// that contain a digest which is not known yet.
    pub names: Vec<Reference>,
    /// Digest of the manifest, or of the index when there are several platforms; `None` if it is known only once
    /// layers have been recompressed.
    pub digest: Option<Digest>,
    /// Length of that document in bytes, if its digest is known.
    #[serde(skip)]
    pub len: u64,
    /// Media type of that document.
    #[serde(skip)]
    pub media_type: &'static str,
    /// Digest of the config of the image that manifest.json describes: Docker's image ID.
    pub config_digest: Option<Digest>,
    /// Platform of the image that manifest.json describes.
    pub platform: Option<Platform>,
    /// The platforms of all images, each once, in their order.
    pub platforms: Vec<Platform>,
}
