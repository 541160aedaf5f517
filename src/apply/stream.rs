//! Writes an archive to a stream: one that is scanned already, or one that is read as it passes.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::sequence::Sequence;
use super::target::Target;
use super::verified::{Pieces, check_digest};
use super::{ApplyOptions, Outcome, check_entries};
use crate::error::{Code, Error, Hint, Result};
use crate::image::{Content, Digest};
use crate::input::{BlobSink, PassingBlob, Piece, Source};
use crate::inventory::{BlobEntry, BlobSource, DataLocation};
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::threads::Workers;

/// Small writes are buffered, larger ones are not.
const BUFFER: usize = 128 << 10;

/// Writes the entries of a plan in order.
pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    output: Box<dyn Write + Send + '_>,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let output = BufWriter::with_capacity(BUFFER, output);
    Sequence::new(output, target.path(), options).write_all(plan, source, progress)?;
    Ok(())
}

/// Writes an archive while another passes by: blobs as they arrive, and everything else once there is
/// a plan. Its reader has no image before that, because the files at the root come last.
pub(crate) struct StreamSink<'a, W: Write> {
    sequence: Sequence<'a, BufWriter<W>>,
    progress: &'a dyn Progress,
    directories: BTreeSet<String>,
    written: BTreeSet<Digest>,
}

impl<'a, W: Write> StreamSink<'a, W> {
    /// Writes to `output`, which messages call `path`. Progress counts the bytes of blobs that pass.
    pub(crate) fn new(
        output: W,
        path: &'a Path,
        options: &ApplyOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        let output = BufWriter::with_capacity(BUFFER, output);
        StreamSink {
            sequence: Sequence::new(output, path, options),
            progress,
            directories: BTreeSet::new(),
            written: BTreeSet::new(),
        }
    }

    /// Writes what is left of the plan's entries: documents in the order of their names, and last
    /// the files at the root.
    ///
    /// # Errors
    /// A document is damaged, the plan leaves out what was written, or the output cannot be written.
    pub(crate) fn finish(mut self, plan: &Plan, blobs: &dyn BlobSource) -> Result<Outcome> {
        let outcome = self.write_rest(plan, blobs)?;
        self.sequence.finish()?;
        Ok(outcome)
    }

    fn write_rest(&mut self, plan: &Plan, blobs: &dyn BlobSource) -> Result<Outcome> {
        let outcome = check_entries(&plan.entries, Workers::ONE)?;
        // Find everything that can be wrong before writing a document.
        let mut left_out = self.written.clone();
        for entry in &plan.entries {
            let Body::Blob { digest, data } = &entry.body else {
                continue;
            };
            if *data == DataLocation::Written {
                left_out.remove(digest);
            } else {
                let bytes = read(blobs, data, entry.len)?;
                check_digest(&entry.name, digest, &Digest::of(digest.algorithm(), &bytes))?;
            }
        }
        if let Some(digest) = left_out.first() {
            let name = digest.blob_name();
            let what = format!("{name} must be removed but was already written");
            return Err(Error::new(Code::NeedsFile, what)
                .with_entry(name)
                .with_hint(Hint::WriteToFile));
        }
        for entry in &plan.entries {
            match &entry.body {
                Body::Directory => self.directory(&entry.name)?,
                Body::Bytes(bytes) => self.sequence.file(&entry.name, bytes)?,
                Body::Blob {
                    data: DataLocation::Written,
                    ..
                } => {}
                Body::Blob { data, .. } => {
                    let bytes = read(blobs, data, entry.len)?;
                    self.sequence.file(&entry.name, &bytes)?;
                }
            }
        }
        Ok(outcome)
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        if self.directories.insert(name.to_owned()) {
            self.sequence.directory(name)?;
        }
        Ok(())
    }
}

impl<W: Write> BlobSink for StreamSink<'_, W> {
    fn take(&mut self, digest: &Digest, blob: &mut PassingBlob<'_>) -> Result<()> {
        self.directory("blobs/")?;
        self.directory(&format!("blobs/{}/", digest.algorithm().name()))?;
        let (name, len) = (digest.blob_name(), blob.len());
        let mut blob = Counted {
            blob,
            progress: self.progress,
        };
        self.sequence.blob(&name, digest, len, &mut blob)?;
        self.written.insert(digest.clone());
        Ok(())
    }
}

/// A passing blob whose bytes are counted as they are read.
struct Counted<'a, 'b> {
    blob: &'a mut PassingBlob<'b>,
    progress: &'a dyn Progress,
}

impl Pieces for Counted<'_, '_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        let count = self.blob.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(Piece::Bytes(count))
    }
}

impl<W: Write> std::fmt::Debug for StreamSink<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSink")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

fn read(blobs: &dyn BlobSource, data: &DataLocation, len: u64) -> Result<Vec<u8>> {
    let blob = BlobEntry {
        len,
        data: data.clone(),
        content: Content::Other,
    };
    blobs.read_blob(&blob, len)
}
