//! Files of the output that share their bytes with the input's.

use std::fs::File;

use rustix::fs::ioctl_ficlone;

use super::{Job, Shared};
use crate::apply::Link;
use crate::apply::verified::{Hash, Nowhere, Scratch, copy_verified};
use crate::beneath::HeldPath;
use crate::error::{IoContext, Result};
use crate::input::BlobReader;
use crate::inventory::DataLocation;
use crate::publish::link_open;

impl Shared<'_> {
    /// Gives the input's own file another name; whether that could be done.
    pub(super) fn linked(&self, job: &Job<'_>, input: &File, path: &HeldPath) -> bool {
        // ocify's temporary files cannot be linked to.
        let is_file = matches!(job.data, DataLocation::File(_));
        self.options.link == Link::Hard && is_file && link_open(input, path).is_ok()
    }

    /// Lets a new file share its blocks with all of the input; whether that could be done.
    pub(super) fn cloned(&self, job: &Job<'_>, input: &File, output: &File) -> Result<bool> {
        // For a part of the input, the system shares what it can while it copies.
        let is_whole = matches!(job.data, DataLocation::File(_));
        if self.options.link == Link::Never || !is_whole || ioctl_ficlone(output, input).is_err() {
            return Ok(false);
        }
        // It may have grown since it was scanned.
        let found = output.metadata().context("read", self.output)?.len();
        if found != job.len {
            return Err(job.blob().changed(found));
        }
        Ok(true)
    }
}

/// Verifies a file of the output that was not written here.
pub(super) fn verify(
    mut blob: BlobReader<'_>,
    hash: Hash<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    if let Hash::None = hash {
        blob.skip_rest();
        return Ok(());
    }
    copy_verified(&mut blob, &mut Nowhere, hash, scratch)
}
