//! What a push that failed has done.

use std::io::{self, Write};

use super::{PushReport, subject};
use crate::push::{PushState, PushedBlob};
use crate::report::text::{BOLD, DIM, Detail, bytes, count};

/// Writes what is in the registry; nothing if nothing could be sent.
///
/// # Errors
/// Those of the writer.
pub(super) fn render(
    report: &PushReport<'_>,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !report.has_begun() {
        return Ok(());
    }
    let subject = subject(report);
    writeln!(out, "{BOLD}{subject}: {}{BOLD:#}", in_short(report))?;
    blobs(report, detail, out)
}

/// Writes the blobs and manifests that failed, or all of them, if anything could be sent.
///
/// # Errors
/// Those of the writer.
pub(super) fn blobs(
    report: &PushReport<'_>,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let is_shown = |blob: &&PushedBlob| match detail {
        Detail::Full => true,
        Detail::Short => blob.state == Some(PushState::Failed),
    };
    for blob in report.blobs.iter().filter(is_shown) {
        let state = match blob.state {
            Some(PushState::Exists) => "already there",
            Some(PushState::Pending) | None => "not sent",
            Some(state) => state.name(),
        };
        let (repository, digest, len) = (&blob.repository, &blob.digest, bytes(blob.len));
        writeln!(out, "  {state}: {repository}@{digest} {DIM}({len}){DIM:#}")?;
    }
    writeln!(out, "  The next push continues from there.")
}

/// How much is in the registry: `not completed, 2 of 6 blobs are in the registry: 2 sent (7 B), 4 not sent (9 B)`.
pub(super) fn in_short(report: &PushReport<'_>) -> String {
    let totals = report.totals();
    let all = report.blobs.len() as u64;
    let blobs = count(all, "blob", "blobs");
    let tags = match totals.present() == all {
        true => ", but not all tags are set",
        false => "",
    };
    let present = totals.present();
    let is = if present == 1 { "is" } else { "are" };
    format!(
        "not completed, {present} of {blobs} {is} in the registry{tags}: {}",
        totals.shown()
    )
}
