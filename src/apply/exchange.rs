//! An image layout directory that is fixed where it is.
//!
//! What `index.json` leads to is valid at any moment, the old layout or the new one:
//!
//! 1. A record names the blobs that an interrupted run may leave: those that it adds, and those that it removes at the
//!    end.
//! 2. New documents and layers are written and synced. Nothing refers to them yet.
//! 3. `index.json` is exchanged by rename, under BuildKit's lock and only if it is still the one that was read. A
//!    `manifest.json` that changes is removed before and written after that, so that it never describes what the other file
//!    does not.
//! 4. What nothing refers to any more is removed under the same lock, and then the record.
//!
//! A file is never written in its place: blobs may have hard links, and readers may have them open.

mod blobs;
mod lock;
mod record;
mod refused;
mod removal;
mod roots;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{ApplyOptions, Outcome, Verify, check_entries, verify};
use crate::beneath::{Directory, HeldPath};
use crate::error::{Error, Hint, IoContext, Result};
use crate::image::Digest;
use crate::input::Source;
use crate::inventory::Inventory;
use crate::journal::{Lock, Locked};
use crate::location::RootName;
use crate::plan::Plan;
use crate::progress::Progress;
use record::Record;
pub(crate) use refused::{refuse_exchange, refused_link};
pub(crate) use removal::{is_building, is_older};
use roots::{bytes_of, publish};
use steps::{RootStep, Steps};

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// The layout is what the plan says.
    Done(Outcome),
    /// Another program changed `index.json` or `manifest.json` since they were read, began a build or wrote what was to be
    /// removed. Nothing was exchanged, and these blobs are new.
    Changed(BTreeSet<Digest>),
}

/// A layout in place, and what is to become of it.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) root: &'a Directory,
    pub(crate) source: &'a Source,
    /// What the layout contains.
    pub(crate) inventory: &'a Inventory,
    pub(crate) plan: &'a Plan,
    /// What an interrupted run left, and nothing refers to.
    pub(crate) leftovers: &'a [Digest],
    /// What nothing refers to, and is to be removed if it is old enough.
    pub(crate) orphans: BTreeSet<Digest>,
    pub(crate) older_than: Duration,
    /// Whether a build may be running, so that nothing is removed.
    pub(crate) is_building: bool,
}

/// The blobs that the record of an interrupted run names.
pub(crate) fn recorded(root: &Directory) -> BTreeSet<Digest> {
    Record::read(root).blobs
}

/// The lock of a layout, until this is dropped.
#[derive(Debug)]
pub(crate) struct LayoutLock {
    _locked: Option<Locked>,
    /// Whether the filesystem has locks.
    pub(crate) is_supported: bool,
}

/// Locks a layout against other runs of ocify.
///
/// # Errors
/// Another run has the lock; the directory cannot be read.
pub(crate) fn lock_layout(source: &Source) -> Result<LayoutLock> {
    let Some(root) = source.directory() else {
        return Ok(LayoutLock {
            _locked: None,
            is_supported: true,
        });
    };
    let file = root.readable().context("open", root.path())?;
    let locked = Locked::exclusive(&Arc::new(file), root.path())?;
    Ok(LayoutLock {
        is_supported: locked.lock() == Lock::Held,
        _locked: Some(locked),
    })
}

impl Exchange<'_> {
    /// Carries the plan out.
    ///
    /// # Errors
    /// Something would have to change that cannot be changed in place; a blob is damaged, if that is verified; the
    /// directory cannot be written. Until `index.json` is exchanged, the layout is then what it was.
    pub(crate) fn run(
        &self,
        options: &ApplyOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Exchanged> {
        let outcome = match options.verify {
            Verify::Documents => check_entries(self.plan, options)?,
            Verify::Digests | Verify::Full => {
                verify::verify(self.plan, self.source, options, progress)?
            }
        };
        let steps = Steps::of(self)?;
        let mut record = Record::read(self.root);
        if steps.is_empty() && !record.exists {
            return Ok(Exchanged::Done(outcome));
        }
        if let Some(confirm) = options.confirm {
            (confirm.0)()?;
        }
        let mut created = BTreeMap::new();
        let mut lock = None;
        let exchanged = record
            .add(self.root, steps.recorded(&self.orphans))
            .and_then(|()| self.write_blobs(&steps, options, progress, &mut created))
            .and_then(|()| self.exchange_roots(&steps, &mut lock));
        let complete = |error: Error| error.with_hint(Hint::OutputComplete);
        let removal = match exchanged {
            Ok(Some(removal)) => removal,
            // The next attempt needs the new blobs, or removes them.
            Ok(None) => return Ok(Exchanged::Changed(created.into_keys().collect())),
            Err(failed) if self.is_exchanged(&steps) => return Err(complete(failed)),
            Err(failed) => return Err(self.undo(failed, &steps, &created, &record)),
        };
        self.remove(&removal, &steps, lock)?;
        if removal.is_all {
            record.remove(self.root).map_err(complete)?;
        }
        Ok(Exchanged::Done(outcome))
    }

    /// Removes what was written, after an error before the exchange.
    fn undo(
        &self,
        failed: Error,
        steps: &Steps<'_>,
        created: &BTreeMap<Digest, HeldPath>,
        record: &Record,
    ) -> Error {
        // If it is the new index, or one that another program wrote, it may refer to the new blobs.
        let known = self.inventory.root_index.as_ref().map(|file| &file.bytes);
        let found = bytes_of(self.root, RootName::Index);
        if !found.is_ok_and(|found| found.as_ref() == known) {
            return failed.with_hint(Hint::CompleteLayout(self.root.path().to_owned()));
        }
        if let Some(manifest) = &self.inventory.docker_manifest
            && steps.docker_manifest != RootStep::Keep
            && let Ok(None) = bytes_of(self.root, RootName::DockerManifest)
        {
            let old = self.staged(RootName::DockerManifest, &RootStep::Write(&manifest.bytes));
            if let Err(error) = old.and_then(publish) {
                return error.with_hint(Hint::RunAgain);
            }
        }
        let removed: Vec<_> = created.values().map(HeldPath::remove).collect();
        if removed.iter().all(Result::is_ok) && self.leftovers.is_empty() {
            // One that stays is read again.
            let _ = record.remove(self.root);
        }
        // A file that got its name is the record, or a blob that is removed.
        match failed.hint() {
            Some(Hint::OutputComplete) => failed.with_hint(Hint::RunAgain),
            _ => failed,
        }
    }
}
