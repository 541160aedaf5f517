//! The report of a push: what can be pulled now, what was sent, and what was changed.

mod failed;
mod many;
mod totals;

use std::io::{self, Write};

use serde::{Serialize, Serializer};

pub use self::many::{PushItem, PushSummary, item_json, item_text, summary_json, summary_text};
pub use self::totals::{Total, Totals};
use super::json::{self, Change, Failure, Finding, VERSION};
use super::text::{self, BOLD, DIM, Detail, bytes, count};
use super::{Neutral, Status, Wording};
use crate::error::{Error, escape};
use crate::image::Digest;
use crate::location::Location;
use crate::plan::{self, DigestChange, Dropped, Severity, Unverified, Verified};
use crate::push::{AbsentBlob, PushState, Pushed, PushedBlob, PushedImage};

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushStatus {
    /// Everything is in the registry.
    Pushed,
    /// A dry run found nothing that prevents a push.
    WouldPush,
    /// Of many inputs: an archive, but not an image archive, or a symbolic link that is not followed.
    Skipped,
    /// Some of the tags were not set.
    Failed,
}

impl PushStatus {
    /// The status as it appears in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            PushStatus::Pushed => "pushed",
            PushStatus::WouldPush => "would-push",
            PushStatus::Skipped => "skipped",
            PushStatus::Failed => "failed",
        }
    }
}

/// By its name.
impl Serialize for PushStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One push, ready to be shown. [`PushData`] is what programs read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PushReport<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// Where everything goes as the user wrote it; `None` for the names that the images have.
    pub target: Option<&'a str>,
    /// How the push ended.
    pub status: PushStatus,
    /// What was done; `None` after a failure.
    pub pushed: Option<&'a Pushed>,
    /// What was done with each blob and manifest before a failure.
    pub blobs: &'a [PushedBlob],
    /// What went wrong, if something did.
    pub error: Option<&'a Error>,
    /// The wording of what depends on the program that shows it.
    pub wording: &'a dyn Wording,
}

/// The report of a push as programs read it. `docs/push.schema.json` is its schema.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PushData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// How the push ended.
    pub status: PushStatus,
    /// The input as the user wrote it.
    pub input: &'a str,
    /// Where everything goes as the user wrote it; `None` for the names that the images have.
    pub target: Option<&'a str>,
    /// What can be pulled; nothing after a failure.
    pub images: Vec<ImageData<'a>>,
    /// Every blob and manifest of each repository.
    pub blobs: Vec<BlobData<'a>>,
    /// How many of these were sent, and so on; `None` on a dry run and if a push failed before it could send anything.
    pub totals: Option<Totals>,
    /// What the input lacks.
    pub absent: Vec<AbsentData<'a>>,
    /// The highest severity of the changes; `None` if there are none.
    pub severity: Option<Severity>,
    /// What was changed in what was pushed.
    pub changes: Vec<Change<'a>>,
    /// What ocify cannot fix, or what a user should know.
    pub findings: Vec<Finding<'a>>,
    /// The digests of manifests and indexes that change.
    pub digests: &'a [DigestChange],
    /// What was verified.
    pub verified: Verified,
    /// What was not verified, because it was not read.
    pub unverified: Unverified,
    /// What an option left out; `None` if that is nothing.
    pub dropped: Option<Dropped>,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<String>,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
}

/// Something that can be pulled.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ImageData<'a> {
    /// The registry and the repository.
    pub repository: &'a str,
    /// The tags.
    pub tags: &'a [String],
    /// The digest; `None` if it is known only once layers have been recompressed.
    pub digest: Option<&'a Digest>,
    /// The repository with the digest.
    pub pinned: Option<String>,
    /// The media type.
    pub media_type: &'a str,
    /// The length in bytes of the manifest or index.
    pub size: u64,
    /// What it refers to, if it is a referrer.
    pub subject: Option<&'a Digest>,
}

/// A blob or a manifest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BlobData<'a> {
    /// The registry and the repository.
    pub repository: &'a str,
    /// The digest.
    pub digest: &'a Digest,
    /// The media type of a manifest or index.
    pub media_type: Option<&'a str>,
    /// The length in bytes.
    pub size: u64,
    /// `sent`, `mounted` or `exists`, and after a failure also `failed` or `pending`; `None` on a dry run.
    pub state: Option<&'static str>,
}

/// Something that the input lacks.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AbsentData<'a> {
    /// The repository that it has to be in.
    pub repository: &'a str,
    /// The digest.
    pub digest: &'a Digest,
    /// Where it is named.
    pub location: &'a Location,
}

impl<'a> PushReport<'a> {
    /// A push, or a dry run of one.
    pub fn new(input: &'a str, pushed: &'a Pushed, is_dry_run: bool) -> Self {
        PushReport {
            status: match is_dry_run {
                true => PushStatus::WouldPush,
                false => PushStatus::Pushed,
            },
            pushed: Some(pushed),
            ..Self::without_push(input, PushStatus::Pushed, None)
        }
    }

    /// A push that failed.
    pub fn failed(input: &'a str, error: &'a Error) -> Self {
        Self::without_push(input, PushStatus::Failed, Some(error))
    }

    /// An archive that contains no image, or a symbolic link that is not followed, as `error` says.
    pub fn skipped(input: &'a str, error: &'a Error) -> Self {
        Self::without_push(input, PushStatus::Skipped, Some(error))
    }

    fn without_push(input: &'a str, status: PushStatus, error: Option<&'a Error>) -> Self {
        PushReport {
            input,
            target: None,
            status,
            pushed: None,
            blobs: &[],
            error,
            wording: &Neutral,
        }
    }

    /// The same push, which has done this with each blob and manifest although it failed.
    #[must_use]
    pub fn with_blobs(self, blobs: &'a [PushedBlob]) -> Self {
        PushReport { blobs, ..self }
    }

    /// The same push, to this target.
    #[must_use]
    pub fn with_target(self, target: Option<&'a str>) -> Self {
        PushReport { target, ..self }
    }

    /// The same push in other words.
    #[must_use]
    pub fn with_wording(self, wording: &'a dyn Wording) -> Self {
        PushReport { wording, ..self }
    }

    /// How many blobs and manifests were sent, and so on.
    pub fn totals(&self) -> Totals {
        Totals::of(self.all_blobs())
    }

    fn all_blobs(&self) -> &'a [PushedBlob] {
        self.pushed.map_or(self.blobs, |pushed| &pushed.blobs)
    }

    /// Whether something could be sent.
    fn has_begun(&self) -> bool {
        match self.status {
            PushStatus::Pushed => true,
            PushStatus::Failed => !self.blobs.is_empty(),
            PushStatus::WouldPush | PushStatus::Skipped => false,
        }
    }
}

impl<'a> From<&PushReport<'a>> for PushData<'a> {
    fn from(report: &PushReport<'a>) -> Self {
        let wording = report.wording;
        let pushed = report.pushed;
        let summary = pushed.map(|pushed| &pushed.summary);
        let changes = summary.map_or(&[][..], |summary| &summary.changes);
        let findings = summary.map_or(&[][..], |summary| &summary.findings);
        let images = pushed.map_or(&[][..], |pushed| &pushed.images);
        let blobs = report.all_blobs();
        let absent = pushed.map_or(&[][..], |pushed| &pushed.absent);
        let outcome = pushed.and_then(|pushed| pushed.outcome);
        let spooled = pushed.and_then(|pushed| pushed.spooled.as_ref());
        let dropped = summary.map(|summary| summary.dropped);
        let places = summary.map(|summary| &summary.places);
        PushData {
            version: VERSION,
            status: report.status,
            input: report.input,
            target: report.target,
            images: images.iter().map(image_data).collect(),
            blobs: blobs.iter().map(blob_data).collect(),
            totals: report.has_begun().then(|| report.totals()),
            absent: absent.iter().map(absent_data).collect(),
            severity: summary.and_then(plan::Summary::severity),
            changes: json::changes(changes, places, wording),
            findings: json::findings(findings, places, wording),
            digests: summary.map_or(&[], |summary| &summary.digests),
            verified: outcome.map(|outcome| outcome.verified).unwrap_or_default(),
            unverified: outcome
                .map(|outcome| outcome.unverified)
                .unwrap_or_default(),
            dropped: dropped.filter(|dropped| dropped.blobs > 0),
            spooled: spooled.map(ToString::to_string),
            error: report.error.map(|error| Failure::new(error, wording)),
        }
    }
}

fn image_data(image: &PushedImage) -> ImageData<'_> {
    ImageData {
        repository: &image.repository,
        tags: &image.tags,
        digest: image.digest.as_ref(),
        pinned: image.pinned(),
        media_type: &image.media_type,
        size: image.len,
        subject: image.subject.as_ref(),
    }
}

fn blob_data(blob: &PushedBlob) -> BlobData<'_> {
    BlobData {
        repository: &blob.repository,
        digest: &blob.digest,
        media_type: blob.media_type.as_deref(),
        size: blob.len,
        state: blob.state.map(PushState::name),
    }
}

fn absent_data(absent: &AbsentBlob) -> AbsentData<'_> {
    AbsentData {
        repository: &absent.repository,
        digest: &absent.digest,
        location: &absent.location,
    }
}

/// As [`PushData`].
impl Serialize for PushReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PushData::from(self).serialize(serializer)
    }
}

/// The images that were pushed, under the names that they were pushed to: what a metadata file says. What refers to an image
/// is not among them unless there is nothing else.
pub fn images(pushed: &Pushed) -> plan::Summary {
    let is_image = |image: &&PushedImage| image.subject.is_none();
    let mut shown: Vec<&PushedImage> = pushed.images.iter().filter(is_image).collect();
    if shown.is_empty() {
        shown = pushed.images.iter().collect();
    }
    let mut images: Vec<plan::Image> = Vec::new();
    for image in shown {
        let names = image.references();
        if let Some(known) = images.iter_mut().find(|known| known.digest == image.digest) {
            known.names.extend(names);
            continue;
        }
        let planned = pushed.summary.images.iter();
        let mut planned = planned.filter(|planned| planned.digest == image.digest);
        images.extend(planned.next().map(|planned| plan::Image {
            names,
            ..planned.clone()
        }));
    }
    plan::Summary {
        images,
        ..plan::Summary::default()
    }
}

/// Writes the report for people, with escape sequences for styles; after a failure, what is in the registry, if anything could be
/// sent.
///
/// # Errors
/// Those of the writer.
pub fn render(report: &PushReport<'_>, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let Some(pushed) = report.pushed else {
        return failed::render(report, detail, out);
    };
    writeln!(out, "{BOLD}{}{BOLD:#}\n", headline(report, pushed, detail))?;
    body(report, pushed, detail, out)
}

/// Writes what was pushed and changed.
fn body(
    report: &PushReport<'_>,
    pushed: &Pushed,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    for image in &pushed.images {
        render_image(image, out)?;
    }
    absent(report, pushed, out)?;
    text::planned(&pushed.summary, report.wording, detail, out)
}

fn headline(report: &PushReport<'_>, pushed: &Pushed, detail: Detail) -> String {
    let subject = subject(report);
    let kinds = text::kinds_of_changes(Status::Fixed, &pushed.summary, report.wording, detail);
    let blobs = count(pushed.blobs.len() as u64, "blob", "blobs");
    match report.status {
        PushStatus::WouldPush => {
            let len: u64 = pushed.blobs.iter().map(|blob| blob.len).sum();
            format!(
                "{subject}: would be pushed, {kinds}, {blobs} ({})",
                bytes(len)
            )
        }
        _ => format!(
            "{subject}: pushed, {kinds}, {blobs}: {}",
            report.totals().shown()
        ),
    }
}

/// What is pushed where.
fn subject(report: &PushReport<'_>) -> String {
    let input = escape(report.input);
    match report.target {
        Some(target) => format!("{input} → {}", escape(target)),
        None => input,
    }
}

fn render_image(image: &PushedImage, out: &mut dyn Write) -> io::Result<()> {
    for name in image.names() {
        writeln!(out, "  {}", escape(&name))?;
    }
    let pinned = match (&image.digest, image.tags.is_empty()) {
        (Some(_), true) => image.pinned().unwrap_or_default(),
        (Some(digest), false) => digest.to_string(),
        (None, _) => "known after recompression".to_owned(),
    };
    let about = match (&image.subject, image.tags.is_empty()) {
        (Some(subject), _) => format!(", refers to {subject}"),
        (None, true) => ", without a tag".to_owned(),
        (None, false) => String::new(),
    };
    let indent = if image.tags.is_empty() { "  " } else { "    " };
    writeln!(out, "{indent}{DIM}{}{about}{DIM:#}", escape(&pinned))
}

/// What a dry run cannot know: whether a registry has what the input lacks.
fn absent(report: &PushReport<'_>, pushed: &Pushed, out: &mut dyn Write) -> io::Result<()> {
    const SHOWN: usize = 3;
    if report.status != PushStatus::WouldPush || pushed.absent.is_empty() {
        return Ok(());
    }
    let all = pushed.absent.len();
    let blobs = count(all as u64, "blob", "blobs");
    let (are, them) = match all {
        1 => ("is", "it"),
        _ => ("are", "them"),
    };
    writeln!(
        out,
        "\n{blobs} {are} not in the input, so the registry must have {them}:"
    )?;
    for absent in pushed.absent.iter().take(SHOWN) {
        let location = escape(&absent.location.to_string());
        writeln!(out, "  {location}: {}", absent.digest)?;
    }
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}
