//! What is done after an error about a damaged blob that another input has intact.

use std::mem;

use super::MergedInput;
use super::copies::{input_of, is_intact};
use super::joined::Joined;
use super::repaired::finding;
use crate::error::{Error, Hint, Result};
use crate::fix::Run;
use crate::graph::needed_by::blob_of;
use crate::image::Digest;
use crate::inventory::{BlobSource, DataLocation};
use crate::operation::Stage;
use crate::plan::Finding;
use crate::progress::Progress;

/// After an error, does the work again if that was about a damaged blob of which another input has an intact copy.
pub(super) fn rescue<T>(
    error: Error,
    inputs: &mut [MergedInput],
    joined: &mut Joined,
    run: &Run<'_>,
    work: impl FnOnce(&mut Joined) -> Result<T>,
) -> Result<T> {
    let replaced = joined.replace_damaged(&error, run)?;
    if replaced.is_empty() {
        return Err(error);
    }
    for (number, finding) in replaced {
        if let Some(input) = inputs.get_mut(number) {
            input.summary.findings.push(finding);
        }
    }
    work(joined)
}

impl Joined {
    /// After an error about a blob that several inputs have, replaces all such blobs that are damaged with copies that are
    /// intact. Returns what was replaced, with the number of the input in which it is damaged; nothing if that of the
    /// error has no such copy.
    ///
    /// # Errors
    /// The work was stopped.
    fn replace_damaged(&mut self, error: &Error, run: &Run<'_>) -> Result<Vec<(usize, Finding)>> {
        let digest = blob_of(error).filter(|digest| self.copies.has(digest));
        let Some(digest) = digest else {
            return Ok(Vec::new());
        };
        let progress = run.stage(Stage::Verifying);
        let Some(first) = self.intact(&digest, &*progress)? else {
            return Ok(Vec::new());
        };
        let mut found = vec![(digest.clone(), first)];
        for other in self.copies.digests().filter(|other| **other != digest) {
            if let Some(data) = self.intact(other, &*progress)? {
                found.push((other.clone(), data));
            }
        }
        progress.finish();
        let mut inventory = mem::take(&mut self.graph.inventory);
        let mut replaced = Vec::new();
        for (digest, data) in found {
            let Some(blob) = inventory.blobs.get_mut(&digest) else {
                continue;
            };
            let inputs = [&blob.data, &data].map(input_of);
            *blob = self.source.identify(&data, blob.len)?;
            if let [Some(damaged), Some(intact)] = inputs
                && let Some(path) = self.inputs.get(intact)
            {
                replaced.push((damaged, finding(&digest, path)));
            }
        }
        let computed = mem::take(&mut self.graph.computed);
        self.graph = run.meaning(inventory, &self.source)?;
        self.graph.computed = computed;
        Ok(replaced)
    }

    /// The same error, which says where the damaged blob that it is about is intact. A stream may have received part of the
    /// damaged one.
    ///
    /// # Errors
    /// The work was stopped.
    pub(super) fn with_intact_copy(&self, error: Error, run: &Run<'_>) -> Result<Error> {
        let digest = blob_of(&error).filter(|digest| self.copies.has(digest));
        let Some(digest) = digest else {
            return Ok(error);
        };
        let intact = self.intact(&digest, &*run.stage(Stage::Verifying))?;
        let path = intact.and_then(|data| self.inputs.get(input_of(&data)?));
        Ok(match path {
            Some(path) => error.with_hint(Hint::UseIntactCopy(path.clone())),
            None => error,
        })
    }

    /// Where a blob is intact, if the copy that is used is not.
    fn intact(&self, digest: &Digest, progress: &dyn Progress) -> Result<Option<DataLocation>> {
        let Some(blob) = self.graph.inventory.blobs.get(digest) else {
            return Ok(None);
        };
        let is_intact = |data| is_intact(&self.source, digest, data, blob.len, progress);
        if is_intact(&blob.data)? {
            return Ok(None);
        }
        for data in self.copies.of(digest) {
            if is_intact(data)? {
                return Ok(Some(data.clone()));
            }
        }
        Ok(None)
    }
}
