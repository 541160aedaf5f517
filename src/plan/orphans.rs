//! Blobs that nothing refers to: reported, or left out if that is requested.

use std::collections::BTreeSet;

use crate::error::{Hint, count};
use crate::graph::HeldBecause;
use crate::image::Digest;
use crate::location::Location;
use crate::plan::planner::Planner;
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{Dropped, Finding};

impl<'a> Planner<'a> {
    /// Leaves out what nothing refers to, if that is requested. What documents became has to be known: one of them may
    /// be among these blobs, if an earlier run was interrupted.
    pub(crate) fn drop_orphans(&mut self) {
        if !self.options.drop_orphans {
            return;
        }
        let orphans = self.orphans();
        if orphans.is_empty() {
            return;
        }
        let before = Some(amount(self.lengths(&orphans)));
        let change = Rule::OrphanDropped.change(Location::Archive, before, None);
        self.changes.push(change);
        self.selection.left_out.extend(orphans);
    }

    /// The blobs that nothing refers to in the output either.
    fn orphans(&self) -> Vec<&'a Digest> {
        let orphans = &self.graph.orphans.digests;
        if orphans.is_empty() {
            return Vec::new();
        }
        let documents = self.rewritten.documents.values();
        let layers = self.decisions.replaced.values();
        let layers = layers.filter(|layer| !layer.is_pending);
        let written = documents.map(|document| &document.digest);
        let written = written.chain(layers.map(|layer| &layer.digest));
        let written: BTreeSet<&Digest> = written.collect();
        let orphans = orphans.iter();
        orphans
            .filter(|digest| !written.contains(*digest))
            .collect()
    }

    fn lengths(&self, digests: &[&Digest]) -> Dropped {
        let mut sum = Dropped::default();
        let blobs = digests.iter();
        for blob in blobs.filter_map(|digest| self.graph.inventory.blobs.get(*digest)) {
            sum.blobs += 1;
            sum.bytes = sum.bytes.saturating_add(blob.len);
        }
        sum
    }

    /// The blobs that no part of a divided input contains because nothing refers to them.
    pub(crate) fn about_orphans_of_no_part(&self, findings: &mut Vec<Finding>) {
        if let Some(digest) = &self.graph.orphans.unreadable {
            let message = format!(
                "nothing that can be read refers to some blobs, so no output contains them: {} cannot be read",
                digest.blob_name()
            );
            findings.push(FindingRule::OrphanedBlobs.finding(None, message, None));
        }
        let orphans = self.orphans();
        if !orphans.is_empty() && !self.options.drop_orphans {
            let amount = amount(self.lengths(&orphans));
            let message = format!("nothing refers to {amount}, so no output contains them");
            findings.push(FindingRule::OrphanedBlobs.finding(None, message, None));
        }
    }

    /// The blobs that stay although nothing refers to them.
    pub(crate) fn about_orphans(&self, findings: &mut Vec<Finding>) {
        if let Some(digest) = &self.graph.orphans.unreadable {
            let message = format!(
                "whether nothing refers to other blobs is not known, and they stay: {} cannot be read",
                digest.blob_name()
            );
            findings.push(FindingRule::OrphanedBlobs.finding(None, message, None));
        }
        self.held_orphans(findings);
        if self.options.drop_orphans {
            return;
        }
        let orphans = self.orphans();
        if !orphans.is_empty() {
            let message = format!("nothing refers to {}", amount(self.lengths(&orphans)));
            let hint = Some(Hint::DropOrphans);
            findings.push(FindingRule::OrphanedBlobs.finding(None, message, hint));
        }
    }

    /// What stays in a layout that is fixed where it is, although the run would remove it.
    fn held_orphans(&self, findings: &mut Vec<Finding>) {
        let orphans = &self.graph.orphans;
        let held: Vec<&Digest> = orphans.held.iter().collect();
        let amount = amount(self.lengths(&held));
        let (message, hint) = match orphans.held_because {
            None => return,
            Some(HeldBecause::YoungerThan(age)) => (
                format!(
                    "nothing refers to {amount}, which are younger than {} and stay",
                    span(age)
                ),
                Hint::DropYoungOrphans,
            ),
            Some(HeldBecause::Building) if !held.is_empty() => (
                format!(
                    "nothing refers to {amount}, which stay because a build may be running: ingest/ is not empty"
                ),
                Hint::FixAfterBuild,
            ),
            Some(HeldBecause::Building) => {
                let is_removed = |digest: &Digest| self.graph.inventory.blobs.contains_key(digest);
                let mut rewritten = self.rewritten.documents.keys();
                let mut left_out = self.selection.left_out.iter();
                if !rewritten.any(|digest| is_removed(digest))
                    && !left_out.any(|digest| is_removed(digest))
                {
                    return;
                }
                let message = "what is replaced or left out stays until the next run, because a build may be running: ingest/ is not empty";
                (message.to_owned(), Hint::FixAfterBuild)
            }
        };
        findings.push(FindingRule::OrphanedBlobs.finding(None, message, Some(hint)));
    }
}

/// A span of time for people.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0 => (seconds, "second"),
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn amount(of: Dropped) -> String {
    format!("{} of {} bytes", count(of.blobs, "blob", "blobs"), of.bytes)
}
