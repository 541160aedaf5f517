//! What a run did, in the forms that people and programs read. Nothing here decides anything.

pub mod batch;
pub mod check;
pub mod engines;
pub mod inspect;
pub mod json;
mod kept;
pub mod merge;
pub mod metadata;
#[cfg(feature = "push")]
pub mod push;
mod run_end;
mod skipped;
pub mod split;
pub mod text;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::apply::Outcome;
use crate::engines::Remedy;
use crate::error::{Error, Hint};
use crate::plan::rules::Rule;
use crate::plan::{Summary, Unverified, Verified};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The output was written, with changes.
    Fixed,
    /// Nothing needed to change.
    Unchanged,
    /// A dry run found something to fix: changes that are [needed](crate::plan::Change::is_needed), or
    /// any changes if all of them count.
    WouldFix,
    /// The input is again what it was before an in-place fix that was interrupted.
    Restored,
    /// There is no output.
    Failed,
    /// In a batch: an earlier run finished the output, and it stayed.
    Kept,
    /// In a batch: an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped,
}

impl Status {
    /// The status as it appears in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            Status::Fixed => "fixed",
            Status::Unchanged => "unchanged",
            Status::WouldFix => "would-fix",
            Status::Restored => "restored",
            Status::Failed => "failed",
            Status::Kept => "kept",
            Status::Skipped => "skipped",
        }
    }
}

/// By its name.
impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The blobs of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Blobs {
    /// How many there are.
    pub count: u64,
    /// Their total length in bytes.
    pub bytes: u64,
    /// What was verified of them.
    pub verified: Verified,
    /// What was not verified of them.
    pub unverified: Unverified,
}

impl From<Outcome> for Blobs {
    fn from(outcome: Outcome) -> Self {
        Blobs::new(
            outcome.blob_count,
            outcome.blob_bytes,
            outcome.verified,
            outcome.unverified,
        )
    }
}

impl Blobs {
    /// That many blobs of that length in bytes.
    pub fn new(count: u64, bytes: u64, verified: Verified, unverified: Unverified) -> Self {
        Blobs {
            count,
            bytes,
            verified,
            unverified,
        }
    }
}

/// One run, ready to be shown. [`json::Data`] is what programs read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The output as the user wrote it, if it was written.
    pub output: Option<&'a str>,
    /// What was planned; `None` after a failure.
    pub plan: Option<&'a Summary>,
    /// The blobs of the output; on a dry run, and of what an earlier run finished, those that were verified. Nothing
    /// after a failure.
    pub blobs: Blobs,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<&'a str>,
    /// How the run ended.
    pub status: Status,
    /// What went wrong, if something did.
    pub error: Option<&'a Error>,
    /// The wording of what depends on the program that shows it.
    pub wording: &'a dyn Wording,
}

/// The words for what a program that shows reports may want to say in its own terms: a command
/// names its options where the library says what is to be done.
pub trait Wording: fmt::Debug {
    /// The next step after an error or a finding.
    fn hint(&self, hint: &Hint) -> String {
        hint.to_string()
    }

    /// The options of a fix that are a remedy; none for a program without options.
    fn remedy(&self, _remedy: &Remedy) -> Vec<String> {
        Vec::new()
    }

    /// Why a rule changed something.
    fn reason(&self, rule: Rule) -> &'static str {
        rule.reason()
    }

    /// How to see each change where a report shows their kinds; `None` for a program without such a way.
    fn full_report(&self) -> Option<&'static str> {
        None
    }

    /// An error with its causes, in one line.
    fn error(&self, error: &Error) -> String {
        error.message_with_causes()
    }
}

/// The library's own words.
#[derive(Clone, Copy, Debug)]
pub struct Neutral;

impl Wording for Neutral {}

impl<'a> Report<'a> {
    /// A run that wrote `output`.
    pub fn written(input: &'a str, output: &'a str, plan: &'a Summary, blobs: Blobs) -> Self {
        let status = if plan.changes.is_empty() {
            Status::Unchanged
        } else {
            Status::Fixed
        };
        Report {
            input,
            output: Some(output),
            plan: Some(plan),
            blobs,
            spooled: None,
            status,
            error: None,
            wording: &Neutral,
        }
    }

    /// A dry run, whose status tells whether a change is [needed](crate::plan::Change::is_needed).
    pub fn dry_run(input: &'a str, plan: &'a Summary) -> Self {
        Self::planned(input, plan, plan.needs_fix())
    }

    /// A dry run, whose status tells whether there is any change.
    pub fn strict_dry_run(input: &'a str, plan: &'a Summary) -> Self {
        Self::planned(input, plan, !plan.changes.is_empty())
    }

    fn planned(input: &'a str, plan: &'a Summary, would_fix: bool) -> Self {
        let status = match would_fix {
            true => Status::WouldFix,
            false => Status::Unchanged,
        };
        Report {
            plan: Some(plan),
            ..Self::without_plan(input, status, None)
        }
    }

    /// A run that only restored the input, if that was necessary.
    pub fn recovered(input: &'a str, is_restored: bool) -> Self {
        let status = match is_restored {
            true => Status::Restored,
            false => Status::Unchanged,
        };
        Self::without_plan(input, status, None)
    }

    /// What an earlier run finished.
    pub fn kept(input: &'a str, output: &'a str) -> Self {
        Report {
            output: Some(output),
            ..Self::without_plan(input, Status::Kept, None)
        }
    }

    /// An archive that contains no image, or a symbolic link that is not followed, as `error` says.
    pub fn skipped(input: &'a str, error: &'a Error) -> Self {
        Self::without_plan(input, Status::Skipped, Some(error))
    }

    /// A run that failed.
    pub fn failed(input: &'a str, error: &'a Error) -> Self {
        Self::without_plan(input, Status::Failed, Some(error))
    }

    /// The same dry run, or the same output of an earlier run, of which these blobs were verified.
    #[must_use]
    pub fn with_blobs(self, blobs: Blobs) -> Self {
        Report { blobs, ..self }
    }

    /// The same run in other words.
    #[must_use]
    pub fn with_wording(self, wording: &'a dyn Wording) -> Self {
        Report { wording, ..self }
    }

    fn without_plan(input: &'a str, status: Status, error: Option<&'a Error>) -> Self {
        Report {
            input,
            output: None,
            plan: None,
            blobs: Blobs::default(),
            status,
            spooled: None,
            error,
            wording: &Neutral,
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! One plan with something of everything, for the tests of the forms.

    use crate::image::media_type::OCI_MANIFEST;
    use crate::image::{Algorithm, Digest, Reference};
    use crate::location::{DocumentPath, Location, Role, RootName, Step};
    use crate::plan::rules::{FindingRule, Rule};
    use crate::plan::{
        Change, DigestChange, Dropped, Finding, Image, Places, Severity, Summary, Unverified,
        Verified,
    };
    use crate::report::Blobs;
    use crate::report::text::{BOLD, DIM, RED, YELLOW};

    /// Six blobs, all verified.
    pub(crate) const BLOBS: Blobs = Blobs {
        count: 6,
        bytes: 4000,
        verified: Verified {
            documents: 1,
            configs: 1,
            layers: 3,
            diff_ids: 0,
            others: 1,
        },
        unverified: Unverified {
            configs: 0,
            layers: 0,
            others: 0,
        },
    };

    /// What a stream that shows no styles makes of an output.
    pub(crate) fn without_styles(out: Vec<u8>) -> String {
        let mut text = String::from_utf8(out).unwrap();
        for style in [RED, YELLOW, BOLD, DIM] {
            text = text.replace(&style.to_string(), "");
            text = text.replace(&format!("{style:#}"), "");
        }
        text
    }

    pub(crate) fn digest(text: &str) -> Digest {
        Digest::of(Algorithm::Sha256, text.as_bytes())
    }

    pub(crate) fn layer_change(layer: usize) -> Change {
        Change {
            rule: Rule::LayerType,
            severity: Severity::Breaks,
            is_requested: false,
            location: Location::Descriptor {
                document: DocumentPath::from(RootName::Index).child(Step {
                    role: Role::Manifests,
                    position: 0,
                }),
                step: Step {
                    role: Role::Layers,
                    position: layer,
                },
                annotation: None,
            },
            before: Some("old-type".into()),
            after: Some("new-type".into()),
            is_pending: false,
        }
    }

    fn reference(name: &str) -> Reference {
        Reference::parse(name).unwrap()
    }

    pub(crate) fn image(name: &str) -> Image {
        Image {
            names: vec![reference(name), reference("example.com/app:v1")],
            digest: Some(digest("manifest")),
            len: 7,
            media_type: OCI_MANIFEST,
            config_digest: Some(digest("config")),
            platform: Some("linux/amd64".parse().unwrap()),
            platforms: vec!["linux/amd64".parse().unwrap()],
        }
    }

    pub(crate) fn empty() -> Summary {
        Summary {
            changes: Vec::new(),
            findings: Vec::new(),
            digests: Vec::new(),
            images: vec![image("docker.io/library/app:latest")],
            dropped: Dropped::default(),
            places: Places::default(),
        }
    }

    /// A change that no engine needs.
    pub(crate) fn cosmetic_change(rule: Rule) -> Change {
        Change {
            rule,
            severity: Severity::Cosmetic,
            is_requested: false,
            location: Location::Entry("index.json".to_owned()),
            before: Some("is out of order".into()),
            after: None,
            is_pending: false,
        }
    }

    pub(crate) fn full() -> Summary {
        let mut changes: Vec<Change> = (0..5).map(layer_change).collect();
        changes.push(Change {
            rule: Rule::OciLayout,
            severity: Severity::Warns,
            is_requested: false,
            location: RootName::OciLayout.into(),
            before: None,
            after: Some("1.0.0".into()),
            is_pending: false,
        });
        Summary {
            changes,
            findings: vec![Finding {
                rule: FindingRule::UnnamedImage,
                severity: Severity::Breaks,
                location: Some(Location::Entry("a\u{1b}[31m".to_owned())),
                message: "an image has no name".to_owned(),
                hint: Some("name it after loading".into()),
            }],
            digests: vec![DigestChange {
                is_index: false,
                before: digest("before"),
                after: Some(digest("after")),
                names: vec![reference("app")],
                platform: Some("linux/amd64".parse().unwrap()),
            }],
            ..empty()
        }
    }

    /// What a dry run knows about layers that have to be recompressed.
    pub(crate) fn pending() -> Summary {
        let recompressed = Change {
            rule: Rule::Recompressed,
            before: Some("zstd sha256:old".into()),
            after: Some("gzip".into()),
            is_pending: true,
            ..layer_change(0)
        };
        let descriptor = Change {
            rule: Rule::Descriptor,
            before: Some(digest("before").to_string().into()),
            after: None,
            is_pending: true,
            ..layer_change(0)
        };
        let mut plan = full();
        plan.changes = vec![recompressed, descriptor];
        plan.findings.clear();
        for change in &mut plan.digests {
            change.after = None;
        }
        for image in &mut plan.images {
            image.digest = None;
        }
        plan
    }
}
