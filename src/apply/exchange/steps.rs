//! What has to change in a layout, by comparing it with the plan.

use std::collections::BTreeSet;

use super::Exchange;
use crate::error::Result;
use crate::image::Digest;
use crate::input::DOCUMENT_CAP;
use crate::inventory::{BlobSource as _, DataLocation, RootFile};
use crate::location::RootName;
use crate::plan::{Body, OutputEntry};

/// What happens to a file at the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootStep<'a> {
    Keep,
    Write(&'a [u8]),
    Remove,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    /// The entries that the layout lacks.
    pub(super) blobs: Vec<&'a OutputEntry>,
    /// The directories that they are in.
    pub(super) algorithms: BTreeSet<&'a str>,
    pub(super) index: RootStep<'a>,
    pub(super) docker_manifest: RootStep<'a>,
    pub(super) oci_layout: RootStep<'a>,
    /// What the layout has and the output does not.
    pub(super) removed: Vec<Digest>,
}

impl<'a> Steps<'a> {
    pub(super) fn of(exchange: &Exchange<'a>) -> Result<Self> {
        let (inventory, entries) = (exchange.inventory, &exchange.plan.entries);
        let mut steps = Steps {
            blobs: Vec::new(),
            algorithms: BTreeSet::new(),
            index: RootStep::Keep,
            docker_manifest: match &inventory.docker_manifest {
                Some(_) => RootStep::Remove,
                None => RootStep::Keep,
            },
            oci_layout: RootStep::Keep,
            removed: Vec::new(),
        };
        // Both are sorted by the names of the blobs.
        let mut old = inventory.blobs.keys().peekable();
        for entry in entries {
            if let Some(name) = RootName::of(&entry.name) {
                steps.root(name, entry, exchange);
                continue;
            }
            let Some(digest) = Digest::from_any_blob_name(&entry.name) else {
                continue;
            };
            while let Some(gone) = old.next_if(|old| **old < digest) {
                steps.removed.push(gone.clone());
            }
            let is_there = old.next_if(|old| **old == digest).is_some();
            if !(is_there && steps.is_right(&digest, entry, exchange)?) {
                steps.blobs.push(entry);
                let parent = entry.name.rsplit_once('/').map(|(parent, _)| parent);
                steps.algorithms.extend(parent);
            }
        }
        steps.removed.extend(old.cloned());
        let is_kept = |digest: &Digest| {
            let name = digest.blob_name();
            entries
                .binary_search_by(|entry| entry.name.cmp(&name))
                .is_ok()
        };
        let leftovers = exchange.leftovers.iter();
        let leftovers = leftovers.filter(|digest| !is_kept(digest));
        steps.removed.extend(leftovers.cloned());
        Ok(steps)
    }

    fn root(&mut self, name: RootName, entry: &'a OutputEntry, exchange: &Exchange<'a>) {
        let inventory = exchange.inventory;
        let step = |old: &Option<RootFile>| match &entry.body {
            Body::Bytes(bytes) if old.as_ref().is_none_or(|old| old.bytes != *bytes) => {
                RootStep::Write(bytes)
            }
            _ => RootStep::Keep,
        };
        match name {
            RootName::Index => self.index = step(&inventory.root_index),
            RootName::DockerManifest => self.docker_manifest = step(&inventory.docker_manifest),
            RootName::OciLayout => self.oci_layout = step(&inventory.oci_layout),
        }
    }

    /// Whether the blob that the layout has is the one of the output. A document that an interrupted run wrote may be
    /// damaged, because nothing has read it.
    fn is_right(
        &self,
        digest: &Digest,
        entry: &OutputEntry,
        exchange: &Exchange<'_>,
    ) -> Result<bool> {
        match (&entry.body, exchange.inventory.blobs.get(digest)) {
            (Body::Bytes(bytes), Some(blob)) => {
                if blob.len != bytes.len() as u64 {
                    return Ok(false);
                }
                let found = exchange.source.read_blob(blob, DOCUMENT_CAP)?;
                Ok(found == *bytes)
            }
            (Body::Blob { data, .. }, _) => Ok(!matches!(data, DataLocation::Spooled { .. })),
            _ => Ok(true),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let roots = [self.index, self.docker_manifest, self.oci_layout];
        self.blobs.is_empty()
            && self.removed.is_empty()
            && roots.iter().all(|step| *step == RootStep::Keep)
    }

    /// The blobs that an interrupted run may leave, and that the next one removes. Orphans of the layout are not among
    /// them: whether these are removed is up to the options of each run.
    pub(super) fn recorded(&self, orphans: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let added = self.blobs.iter();
        let added = added.filter_map(|entry| Digest::from_any_blob_name(&entry.name));
        let removed = self.removed.iter();
        let removed = removed.filter(|digest| !orphans.contains(digest));
        added.chain(removed.cloned()).collect()
    }
}
