//! The files at the root are exchanged under BuildKit's lock.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::Exchange;
use super::blobs::create;
use super::lock::IndexLock;
use super::steps::{RootStep, Steps};
use crate::beneath::{Directory, Links};
use crate::error::{Code, Error, Hint, IoContext, Result};
use crate::input::DOCUMENT_CAP;
use crate::inventory::RootFile;
use crate::location::RootName;
use crate::publish::{PublishOptions, Published, StagedFile, sync_held};

impl Exchange<'_> {
    /// Exchanges the files at the root; `false` if another program changed them first.
    pub(super) fn exchange_roots(&self, steps: &Steps<'_>) -> Result<bool> {
        let index = self.staged(RootName::Index, &steps.index)?;
        let manifest = self.staged(RootName::DockerManifest, &steps.docker_manifest)?;
        let layout = self.staged(RootName::OciLayout, &steps.oci_layout)?;
        // Nothing is removed either if what refers to it may have changed.
        let lock = IndexLock::acquire(self.root)?;
        if !self.is_unchanged(steps)? {
            return Ok(false);
        }
        publish(layout)?;
        if steps.docker_manifest != RootStep::Keep && self.inventory.docker_manifest.is_some() {
            let place = self.place(RootName::DockerManifest.name())?;
            place.remove().context("remove", place.path())?;
            sync_held(self.root)?;
        }
        publish(index)?;
        // From here on the layout is the new one.
        let complete = |error: Error| error.with_hint(Hint::OutputComplete);
        publish(manifest).map_err(complete)?;
        drop(lock);
        Ok(true)
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
        Published::Exists | Published::NotEmpty => Err(Error::new(
            Code::SourceChanged,
            "another program changed the layout while ocify wrote to it",
        )
        .with_hint(Hint::RetryWhenIdle)),
    }
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
