//! The files at the root are exchanged under BuildKit's lock.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::Exchange;
use super::blobs::create;
use super::lock::IndexLock;
use super::removal::Removal;
use super::steps::{RootStep, Steps};
use crate::beneath::{Directory, Links};
use crate::error::{Code, Error, Hint, IoContext, Result};
use crate::input::DOCUMENT_CAP;
use crate::inventory::RootFile;
use crate::location::RootName;
use crate::publish::{PublishOptions, Published, StagedFile, sync_held};

impl Exchange<'_> {
    /// Exchanges the files at the root, and returns what is to be removed. `None` if another program changed them first, or
    /// something that decides about the removal; the plan is then out of date.
    ///
    /// `lock` is held when this returns. What another program adds to `index.json` may be among what is removed, so nobody
    /// else may write to it until that is gone.
    ///
    /// # Errors
    /// A file cannot be written. [`is_exchanged`](Self::is_exchanged) says whether all have their names anyway.
    pub(super) fn exchange_roots(
        &self,
        steps: &Steps<'_>,
        lock: &mut Option<IndexLock>,
    ) -> Result<Option<Removal>> {
        let index = self.staged(RootName::Index, &steps.index)?;
        let manifest = self.staged(RootName::DockerManifest, &steps.docker_manifest)?;
        let layout = self.staged(RootName::OciLayout, &steps.oci_layout)?;
        *lock = Some(IndexLock::acquire(self.root)?);
        if !self.is_unchanged(steps)? {
            return Ok(None);
        }
        let Some(removal) = Removal::of(self, steps)? else {
            return Ok(None);
        };
        publish(layout)?;
        if steps.docker_manifest != RootStep::Keep && self.inventory.docker_manifest.is_some() {
            let place = self.place(RootName::DockerManifest.name())?;
            place.remove().context("remove", place.path())?;
            sync_held(self.root)?;
        }
        let exchanged = publish(index);
        if exchanged.is_err() && !self.is_done(RootName::Index, steps.index) {
            return exchanged.map(|()| None);
        }
        // From here on the layout is the new one, even if syncing its name failed.
        let described = publish(manifest);
        exchanged.and(described)?;
        Ok(Some(removal))
    }

    /// Whether files at the root were to be exchanged, and all of them are the new ones.
    pub(super) fn is_exchanged(&self, steps: &Steps<'_>) -> bool {
        let roots = [
            (RootName::Index, steps.index),
            (RootName::DockerManifest, steps.docker_manifest),
            (RootName::OciLayout, steps.oci_layout),
        ];
        roots.iter().any(|(_, step)| *step != RootStep::Keep)
            && roots.iter().all(|(name, step)| self.is_done(*name, *step))
    }

    fn is_done(&self, name: RootName, step: RootStep<'_>) -> bool {
        let found = || bytes_of(self.root, name);
        match step {
            RootStep::Keep => true,
            RootStep::Write(bytes) => {
                found().is_ok_and(|found| found.is_some_and(|found| found == bytes))
            }
            RootStep::Remove => found().is_ok_and(|found| found.is_none()),
        }
    }

    /// A file at the root that is complete and on disk, but has no name yet.
    pub(super) fn staged(&self, name: RootName, step: &RootStep<'_>) -> Result<Option<StagedFile>> {
        let RootStep::Write(bytes) = step else {
            return Ok(None);
        };
        let place = self.place(name.name())?;
        let file = create(&place)?;
        let path = place.path();
        let mut open = file.file();
        open.write_all(bytes).context("write", &path)?;
        self.keep_owner(open);
        open.sync_all().context("sync", &path)?;
        Ok(Some(file))
    }

    /// Whether the files at the root are still those that were read.
    fn is_unchanged(&self, steps: &Steps<'_>) -> Result<bool> {
        let is_same = |name: RootName, known: &Option<RootFile>| -> Result<bool> {
            let known = known.as_ref().map(|file| file.bytes.as_slice());
            Ok(bytes_of(self.root, name)?.as_deref() == known)
        };
        let inventory = self.inventory;
        Ok(is_same(RootName::Index, &inventory.root_index)?
            && (steps.docker_manifest == RootStep::Keep
                || is_same(RootName::DockerManifest, &inventory.docker_manifest)?))
    }
}

pub(super) fn publish(file: Option<StagedFile>) -> Result<()> {
    let options = PublishOptions {
        replace: true,
        sync: true,
    };
    let Some(file) = file else { return Ok(()) };
    match file.publish(options)? {
        Published::Done => Ok(()),
        Published::Exists | Published::NotEmpty => Err(changed()),
    }
}

/// The error if another program changed the layout while it was exchanged.
pub(super) fn changed() -> Error {
    Error::new(
        Code::SourceChanged,
        "another program changed the layout while ocify wrote to it",
    )
    .with_hint(Hint::RetryWhenIdle)
}

/// The bytes of a file at the root; `None` if it does not exist.
pub(super) fn bytes_of(root: &Directory, name: RootName) -> Result<Option<Vec<u8>>> {
    let path = Path::new(name.name());
    let read = root.read(path, Links::Refuse).and_then(|file| {
        let mut bytes = Vec::new();
        // One that is longer than any that was read is another one.
        file.take(DOCUMENT_CAP + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &root.join(path), error)),
    }
}
