//! Files of the output that share their bytes with the input's.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::ioctl_ficlone;

use super::{Job, Shared, Step, changed_len, check_digest};
use crate::apply::Link;
use crate::error::{IoContext, Result};
use crate::image::Hasher;
use crate::inventory::DataLocation;
use crate::temporary::link_open;

/// One read.
const PIECE: usize = 128 << 10;

impl Shared<'_> {
    /// Gives the input's own file another name; whether that could be done.
    pub(super) fn linked(&self, job: &Job<'_>, input: &File, path: &Path) -> bool {
        // A temporary file of ours is nothing to link to.
        let is_file = matches!(job.data, DataLocation::File(_));
        self.link == Link::Hard && is_file && link_open(input, path).is_ok()
    }

    /// Lets a new file share its blocks with all of the input; whether that could be done.
    pub(super) fn cloned(&self, job: &Job<'_>, input: &File, output: &File) -> Result<bool> {
        // Of a part, the system shares what it can while it copies.
        let is_whole = matches!(job.data, DataLocation::File(_));
        if self.link == Link::Never || !is_whole || ioctl_ficlone(output, input).is_err() {
            return Ok(false);
        }
        // It may have grown since it was looked at.
        let found = output.metadata().context("read", self.output)?.len();
        if found != job.len {
            return Err(changed_len(job.name, job.data, job.len, found));
        }
        Ok(true)
    }

    /// Verifies a file of the output that was not written here.
    pub(super) fn verify(
        &self,
        job: &Job<'_>,
        step: &Step,
        file: &File,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        if !job.is_hashed(self.verify) {
            self.progress.advance(job.len);
            return Ok(());
        }
        let mut hasher = Hasher::new(job.digest.algorithm());
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < job.len {
            if self.is_pointless(step.place) {
                return Ok(());
            }
            let left = usize::try_from(job.len - done).unwrap_or(usize::MAX);
            let piece = left.min(PIECE);
            let read = file.read_exact_at(&mut buffer[..piece], done);
            read.context("read", self.output)?;
            hasher.update(&buffer[..piece]);
            self.progress.advance(piece as u64);
            done += piece as u64;
        }
        check_digest(job.name, job.digest, &hasher.finish())
    }
}
