//! What a plan changes and what it found: plain data for reports.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::error::Hint;
use crate::image::{Digest, Platform, Reference};
use crate::location::Location;
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
}

/// One change, with the rule that requires it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The rule, whose [`reason`](Rule::reason) says why.
    pub rule: Rule,
    /// Where.
    pub location: Location,
    /// The value before, if there was one.
    pub before: Option<Cow<'static, str>>,
    /// The value after, if there is one.
    pub after: Option<Cow<'static, str>>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Some reader will refuse or misread the output.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// By its name.
impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that ocify cannot fix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule, which says how much the finding matters: [`severity`](FindingRule::severity).
    pub rule: FindingRule,
    /// Where, if it is about one place.
    pub location: Option<Location>,
    /// What was found.
    pub message: String,
    /// The next step, if there is one.
    pub hint: Option<Hint>,
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
    /// The digest in the output.
    pub after: Digest,
    /// The names that lead to the document.
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
    /// The names, of which the report shows the full form, such as `docker.io/library/app:latest`.
    pub names: Vec<Reference>,
    /// Digest of the manifest, or of the index when there are several platforms.
    pub digest: Digest,
    /// Length of that document in bytes.
    #[serde(skip)]
    pub len: u64,
    /// Media type of that document.
    #[serde(skip)]
    pub media_type: &'static str,
    /// Digest of the config of the image that manifest.json describes: Docker's image ID.
    pub config_digest: Option<Digest>,
    /// Platform of the image that manifest.json describes.
    pub platform: Option<Platform>,
}
