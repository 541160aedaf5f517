//! What a plan says about what is pushed.

use crate::location::Location;
use crate::plan::rules::FindingRule;
use crate::plan::{Change, Finding, Summary};

/// The summary without what is about the files of an archive, which a registry does not get: `index.json`, `manifest.json`,
/// `oci-layout`, and the form of the archive. A target replaces the names.
pub(super) fn of_push(mut summary: Summary, has_target: bool) -> Summary {
    summary.changes.retain(is_pushed);
    summary.findings.retain(|finding| {
        let is_of_name = finding.rule == FindingRule::StaleDigestName;
        concerns_registries(finding) && !(has_target && is_of_name)
    });
    summary
}

fn is_pushed(change: &Change) -> bool {
    change.is_requested || is_below_root(&change.location)
}

/// Whether a location is in a document that a registry gets.
fn is_below_root(location: &Location) -> bool {
    location
        .document()
        .is_some_and(|document| document.parent().is_some())
}

/// Names are reported by the push itself, and so is what the input lacks. Orphaned blobs are not pushed.
fn concerns_registries(finding: &Finding) -> bool {
    !matches!(
        finding.rule,
        FindingRule::NoEndMarker
            | FindingRule::OtherPlatform
            | FindingRule::UnnamedImage
            | FindingRule::BadName
            | FindingRule::SharedName
            | FindingRule::MissingManifest
            | FindingRule::MissingBlob
            | FindingRule::OrphanedBlobs
            | FindingRule::FlatReferrer
    )
}
