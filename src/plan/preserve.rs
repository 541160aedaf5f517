//! Plans that give no document another digest: what the documents below `index.json` would need is
//! reported instead.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::document::Document;
use crate::image::Digest;
use crate::image::media_type::{self, Family, Kind};
use crate::location::Location;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::selection::Unwrapped;
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

/// The media type, if it is a known one.
fn known(media_type: &str) -> Option<&'static str> {
    match media_type::shared(Cow::Borrowed(media_type)) {
        Cow::Borrowed(known) => Some(known),
        Cow::Owned(_) => None,
    }
}

impl<'a> Planner<'a> {
    /// Refuses a part of a divided input with an index that stays and has only some of its entries.
    ///
    /// # Errors
    /// There is such an index, and digests are to be preserved.
    pub(crate) fn refuse_reduced_indexes(&self) -> Result<()> {
        if !self.options.preserve_digests || self.part.is_none() {
            return Ok(());
        }
        let documents = self.documents.iter().map(|input| input.document);
        let mut stated = documents.rev().filter(|document| {
            let digest = &document.digest;
            !self.selection.left_out.contains(digest) && !self.graph.is_created(digest)
        });
        let removed = stated.find_map(Document::first_removed);
        removed.map_or(Ok(()), |location| {
            Err(refused(location, "would have to be removed"))
        })
    }

    /// Takes back what was decided for a document below `index.json`, from this change on, unless its digest is new
    /// in any case. Returns whether its digest is preserved.
    pub(crate) fn preserve(&mut self, input: InputDocument<'a>, first_change: usize) -> bool {
        let digest = &input.document.digest;
        if !self.options.preserve_digests || self.graph.is_created(digest) {
            return false;
        }
        if self.changes.len() > first_change {
            let changes = self.changes.drain(first_change..);
            self.preserved.changes.extend(changes);
            self.preserved.documents.insert(digest);
        }
        true
    }

    /// Gives descriptors in documents that are written the types of what they point at if that keeps its own, instead
    /// of new types. `first_change` is the first of the root's changes.
    pub(crate) fn preserve_types(&mut self, first_change: usize) {
        let graph = self.graph;
        let preserved = &self.preserved.documents;
        let is_free = |document: &Document| {
            let stated = document.media_type.as_deref();
            !preserved.contains(&document.digest)
                && stated.and_then(media_type::family) != Some(Family::Docker)
        };
        let documents = self.documents.iter().map(|input| input.document);
        let written = documents.zip(&mut self.decisions.documents);
        let written =
            written.filter_map(|(document, decision)| Some((document, decision.as_mut()?)));
        let root = (&graph.root, &mut self.decisions.root);
        let mut kept: HashSet<Location> = HashSet::new();
        let mut corrected = Vec::new();
        for (document, of_document) in iter::once(root).chain(written) {
            let decisions = of_document.pointers.iter_mut();
            for (entry, decision) in document.pointers.iter().zip(decisions) {
                let (document, pointer) = match decision.unwrapped {
                    Some(Unwrapped { index, pointer }) => (index, pointer),
                    None => (document, entry),
                };
                let rule = match pointer.kind {
                    Kind::Index => Rule::IndexType,
                    Kind::Manifest => Rule::ManifestType,
                    _ => continue,
                };
                let child = graph.document(&pointer.digest);
                let own = child.and_then(|child| known(child.media_type.as_deref()?));
                let is_own = own.is_some() && decision.media_type == own;
                if decision.is_dropped || is_own || child.is_some_and(is_free) {
                    continue;
                }
                let location = document.location_of(pointer);
                if decision.media_type.take().is_some() {
                    kept.insert(location.clone());
                }
                // What it points at may call itself something else.
                if let Some(own) = own.filter(|own| *own != pointer.media_type) {
                    let severity = match media_type::family(own) {
                        // podman and skopeo take Docker's manifest for an artifact if it is called OCI's.
                        Some(Family::Docker) if rule == Rule::ManifestType => Severity::Breaks,
                        _ => Severity::Warns,
                    };
                    decision.media_type = Some(own);
                    of_document.severity = of_document.severity.max(Some(severity));
                    let before = Some(pointer.media_type.clone());
                    let change = rule.change_of(location, before, Some(Cow::Borrowed(own)));
                    corrected.push(change.with_severity(severity));
                }
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
        self.changes.extend(corrected);
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
