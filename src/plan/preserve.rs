//! Plans that give no document another digest: what the documents below `index.json` would need is
//! reported instead.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::error::{Code, Error, Hint, Result};
use crate::image::Digest;
use crate::image::media_type::{self, Family, Kind};
use crate::location::Location;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{Change, Finding, PlanOptions, Severity};

/// The changes that are not made because they would give a document another digest.
#[derive(Debug, Default)]
pub(crate) struct Preserved<'a> {
    changes: Vec<Change>,
    /// The documents that need changes of their own.
    documents: BTreeSet<&'a Digest>,
}

/// The error for a request that digests cannot survive.
pub(crate) fn refused(location: Location, what: &str) -> Error {
    Error::new(
        Code::DigestsPreserved,
        format!("{location} {what}, which would change the digest of a manifest or index"),
    )
    .with_location(location)
    .with_hint(Hint::AllowNewDigests)
}

/// Refuses options that no archive could satisfy.
///
/// # Errors
/// Docker's media types were requested, and digests are to be preserved.
pub(crate) fn check(options: &PlanOptions) -> Result<()> {
    if !options.preserve_digests || options.family == Family::Oci {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestsPreserved,
        "Docker media types change the digests of manifests, which are to be preserved",
    )
    .with_hint(Hint::AllowNewDigests))
}

impl<'a> Planner<'a> {
    /// Takes back what was decided for a document below `index.json`, from this change on. Returns
    /// whether digests are preserved.
    pub(crate) fn preserve(&mut self, input: InputDocument<'a>, first_change: usize) -> bool {
        if !self.options.preserve_digests {
            return false;
        }
        if self.changes.len() > first_change {
            let changes = self.changes.drain(first_change..);
            self.preserved.changes.extend(changes);
            self.preserved.documents.insert(&input.document.digest);
        }
        true
    }

    /// Takes back the new types of descriptors in `index.json` whose documents keep theirs. `first_change`
    /// is the first of the root's changes.
    pub(crate) fn preserve_root_types(&mut self, first_change: usize) {
        let graph = self.graph;
        let root = &graph.root;
        let mut kept: HashSet<Location> = HashSet::new();
        let decisions = self.decisions.root.pointers.iter_mut();
        for (entry, decision) in root.pointers.iter().zip(decisions) {
            let pointer = decision
                .unwrapped
                .map_or(entry, |unwrapped| unwrapped.pointer);
            let is_document = matches!(pointer.kind, Kind::Index | Kind::Manifest);
            let is_free = graph.document(&pointer.digest).is_some_and(|document| {
                let stated = document.media_type.as_deref();
                !self.preserved.documents.contains(&document.digest)
                    && stated.and_then(media_type::family) != Some(Family::Docker)
            });
            if is_document && !is_free && decision.media_type.take().is_some() {
                let document = decision.unwrapped.map_or(root, |unwrapped| unwrapped.index);
                kept.insert(document.location_of(pointer));
            }
        }
        let changes = self.changes.split_off(first_change);
        for change in changes {
            let is_type = matches!(change.rule, Rule::IndexType | Rule::ManifestType);
            let changes = match is_type && kept.contains(&change.location) {
                true => &mut self.preserved.changes,
                false => &mut self.changes,
            };
            changes.push(change);
        }
    }

    /// One finding for each rule whose changes were not made.
    pub(crate) fn preserved_findings(&self) -> impl Iterator<Item = Finding> {
        let mut by_rule: BTreeMap<Rule, Vec<&Change>> = BTreeMap::new();
        for change in &self.preserved.changes {
            by_rule.entry(change.rule).or_default().push(change);
        }
        by_rule.into_iter().filter_map(|(rule, changes)| {
            let first = changes.first()?;
            let severity = changes.iter().map(|change| change.severity).max();
            let (count, name, reason) = (changes.len(), rule.name(), rule.reason());
            let what = match count {
                1 => "1 change".to_owned(),
                count => format!("{count} changes"),
            };
            let message = format!(
                "to preserve digests, ocify did not make {what} by the rule {name}: {reason}"
            );
            let finding = FindingRule::DigestsPreserved.finding(
                Some(first.location.clone()),
                message,
                Some(Hint::AllowNewDigests),
            );
            Some(finding.with_severity(severity.unwrap_or(Severity::Breaks)))
        })
    }
}
