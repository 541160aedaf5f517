//! Small entries: many at once, because a system call for each costs more than its bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Region, Shared, Verify, changed_len, check_digest};
use crate::apply::body_len;
use crate::error::{Error, IoContext, Result};
use crate::image::Digest;
use crate::inventory::DataLocation;
use crate::plan::{Body, OutputEntry};
use crate::tar::{canonical, padding};

/// Larger blobs are copied one by one.
pub(in crate::apply) const MAX_BLOB: u64 = 64 << 10;
/// One write.
pub(in crate::apply) const MAX_REGION: usize = 256 << 10;

/// A blob of the region, and where its bytes are.
struct Placed<'a> {
    entry: &'a OutputEntry,
    digest: &'a Digest,
    data: &'a DataLocation,
    start: usize,
    end: usize,
}

impl Shared<'_> {
    pub(super) fn write_region(&self, region: &Region<'_>, buffer: &mut Vec<u8>) -> Result<()> {
        if self.progress.is_stopped() {
            return Err(Error::interrupted());
        }
        buffer.clear();
        buffer.resize(region.len, 0);
        let mut blobs = Vec::with_capacity(region.entries.len());
        let mut headers = Vec::with_capacity(region.entries.len());
        let mut at = 0;
        for entry in region.entries {
            let len = body_len(entry);
            let header = canonical(&entry.name, entry.body == Body::Directory, len);
            let start = at + header.len();
            let end = start + len as usize;
            headers.push((at, header, end));
            if let Body::Blob { digest, data } = &entry.body {
                blobs.push(Placed {
                    entry,
                    digest,
                    data,
                    start,
                    end,
                });
            }
            at = end + padding(len) as usize;
        }
        self.read_all(&blobs, buffer)?;
        for ((at, header, end), entry) in headers.into_iter().zip(region.entries) {
            let start = at + header.len();
            buffer[at..start].copy_from_slice(&header);
            if let Body::Bytes(bytes) = &entry.body {
                buffer[start..end].copy_from_slice(bytes);
            }
            // One read may have brought what stood between two blobs of the input.
            let padded = end + padding((end - start) as u64) as usize;
            buffer[end..padded].fill(0);
        }
        if self.verify == Verify::Full {
            for blob in &blobs {
                let bytes = &buffer[blob.start..blob.end];
                let found = Digest::of(blob.digest.algorithm(), bytes);
                check_digest(&blob.entry.name, blob.digest, &found)?;
            }
        }
        let written = region.output.write_all_at(buffer, region.at);
        written.context("write", self.output)?;
        self.progress
            .advance(blobs.iter().map(|blob| blob.entry.len).sum());
        Ok(())
    }

    /// Fills in the blobs. Those that are neighbors in the input too are read at once.
    fn read_all(&self, blobs: &[Placed<'_>], buffer: &mut [u8]) -> Result<()> {
        for run in blobs.chunk_by(|a, b| shift(a).is_some() && shift(a) == shift(b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let (input, input_at) = self.source.open_blob(first.data)?;
            if let DataLocation::File(_) = first.data {
                let found = input.metadata().context("read", self.source.path())?.len();
                if found != first.entry.len {
                    return Err(changed(first, found));
                }
            }
            let count = fill(&input, &mut buffer[first.start..last.end], input_at)
                .context("read", self.source.path())?;
            let end = first.start + count;
            if let Some(blob) = run.iter().find(|blob| blob.end > end) {
                let found = end.saturating_sub(blob.start);
                return Err(changed(blob, found as u64));
            }
        }
        Ok(())
    }
}

/// How far a blob's place in the input is from its place in the region, if it is in the archive.
fn shift(blob: &Placed<'_>) -> Option<i128> {
    match blob.data {
        DataLocation::Offset(offset) => Some(i128::from(*offset) - blob.start as i128),
        _ => None,
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn changed(blob: &Placed<'_>, found: u64) -> Error {
    let entry = blob.entry;
    changed_len(&entry.name, blob.data, entry.len, found)
}
