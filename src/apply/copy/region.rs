//! Small entries: many at once, because a system call for each costs more than its bytes.

use std::os::unix::fs::FileExt;

use super::{Region, Shared, Verify};
use crate::apply::body_len;
use crate::apply::proof::Proof;
use crate::apply::verified::{Expected, Scratch};
use crate::error::{Error, IoContext, Result};
use crate::input::{BlobAt, BlobName, read_full};
use crate::inventory::DataLocation;
use crate::plan::Body;
use crate::progress::Progress;
use crate::tar::{canonical, canonical_len, padding};

/// Larger blobs are copied one by one.
pub(in crate::apply) const MAX_BLOB: u64 = 64 << 10;
/// One write.
pub(in crate::apply) const MAX_REGION: usize = 256 << 10;

/// A blob of the region, and where its bytes are.
struct Placed<'a> {
    blob: BlobAt<'a>,
    expected: Expected<'a>,
    start: usize,
    end: usize,
}

impl Shared<'_> {
    pub(super) fn write_region(
        &self,
        region: &Region<'_>,
        progress: &dyn Progress,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (buffer, blocks) = scratch.buffer_and_blocks(region.len);
        if progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let mut blobs = Vec::with_capacity(region.entries.len());
        let mut at = 0;
        for entry in region.entries {
            let len = body_len(entry);
            let is_dir = entry.body == Body::Directory;
            let start = at + canonical_len(&entry.name, is_dir, len) as usize;
            let end = start + len as usize;
            if let Body::Blob { digest, data } = &entry.body {
                let blob = BlobAt {
                    name: BlobName::Entry(&entry.name),
                    data,
                    len: entry.len,
                };
                blobs.push(Placed {
                    blob,
                    expected: Expected {
                        name: &entry.name,
                        digest,
                        proof: Proof::of(self.plan, entry, self.options),
                    },
                    start,
                    end,
                });
            }
            at = end + padding(len) as usize;
        }
        self.read_all(&blobs, buffer)?;
        // One read may have included the bytes between two blobs of the input.
        let mut at = 0;
        for entry in region.entries {
            let len = body_len(entry);
            let header = canonical(&entry.name, entry.body == Body::Directory, len);
            let start = at + header.len();
            let end = start + len as usize;
            buffer[at..start].copy_from_slice(&header);
            if let Body::Bytes(bytes) = &entry.body {
                buffer[start..end].copy_from_slice(bytes);
            }
            at = end + padding(len) as usize;
            buffer[end..at].fill(0);
        }
        if self.options.verify != Verify::Documents {
            for placed in &blobs {
                let bytes = &buffer[placed.start..placed.end];
                placed.expected.check_bytes(bytes, blocks)?;
            }
        }
        let written = region.output.write_all_at(buffer, region.at);
        written.context("write", self.output)?;
        progress.advance(blobs.iter().map(|placed| placed.blob.len).sum());
        Ok(())
    }

    /// Fills in the blobs. Those that are neighbors in the input too are read at once.
    fn read_all(&self, blobs: &[Placed<'_>], buffer: &mut [u8]) -> Result<()> {
        for run in blobs.chunk_by(|a, b| shift(a).is_some() && shift(a) == shift(b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let (input, input_at) = self.source.open_whole(first.blob)?;
            let run_buffer = &mut buffer[first.start..last.end];
            let count = read_full(&*input, run_buffer, input_at);
            let end = first.start + count.context("read", self.source.path())?;
            if let Some(short) = run.iter().find(|placed| placed.end > end) {
                let found = end.saturating_sub(short.start);
                return Err(short.blob.changed(found as u64));
            }
        }
        Ok(())
    }
}

/// How far a blob's offset in the input is from its offset in the region, if it is in the archive.
fn shift(placed: &Placed<'_>) -> Option<i128> {
    match placed.blob.data {
        DataLocation::Offset(offset) => Some(i128::from(*offset) - placed.start as i128),
        _ => None,
    }
}
