//! One blob, or a part of one, to a file.

use std::sync::Arc;

use super::link::verify;
use super::{Destination, Job, PIPE_MIN, Shared, Step};
use crate::apply::archive::reserve;
use crate::apply::verified::{Expected, FileSink, Hash, Scratch, copy_verified};
use crate::error::{IoContext, Result};
use crate::progress::Progress;

impl Shared<'_> {
    pub(super) fn copy(
        &self,
        job: &Job<'_>,
        step: &Step,
        progress: &dyn Progress,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let borrowed = match self.options.idle_threads {
            Some(idle_threads) if step.weight >= PIPE_MIN && !step.is_piped => {
                idle_threads.borrow()
            }
            _ => None,
        };
        let expected = Expected {
            name: job.name,
            digest: job.digest,
            proof: job.proof,
        };
        let hash = match job.is_hashed(self.options.verify) {
            false => Hash::None,
            true if step.is_piped || borrowed.is_some() => Hash::Beside(expected),
            true => Hash::Inline(expected),
        };
        let blob = self.source.reader(job.blob(), progress)?;
        let (created, shown);
        let (file, path, at) = match &job.destination {
            Destination::At(file, at) => (*file, self.output, *at),
            Destination::Nowhere => return verify(blob, hash, scratch),
            Destination::New(path) => {
                if self.linked(job, blob.file(), path) {
                    return verify(blob, hash, scratch);
                }
                shown = path.path();
                created = Arc::new(path.create_new().context("create", &shown)?);
                if self.cloned(job, blob.file(), &created)? {
                    let blob = blob.in_file(created, self.output);
                    return verify(blob, hash, scratch);
                }
                (&*created, shown.as_path(), 0)
            }
        };
        let mut blob = blob.only(step.bytes.clone()).with_holes(hash.max_hole());
        if let Destination::New(_) = job.destination {
            // Holes are not written, so the length must be there already.
            let reserved = match blob.may_have_holes() {
                true => file.set_len(job.len),
                false => reserve(file, job.len),
            };
            reserved.context("write", path)?;
        }
        let mut sink = FileSink {
            file,
            path,
            at: at + step.bytes.start,
        };
        copy_verified(&mut blob, &mut sink, hash, scratch)
    }
}
