//! Writes an archive to a stream: one that is scanned already, or one that is read as it passes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::Path;

use super::decode::Compressed;
use super::proof::{Proof, check_proof};
use super::sequence::Sequence;
use super::target::Target;
use super::verified::{Expected, Hash, Nowhere, Pieces, Scratch, copy_verified};
use super::{ApplyOptions, Outcome, Verify, check_entries};
use crate::codec::Limits;
use crate::error::{Code, Error, Hint, Result};
use crate::image::{Algorithm, Digest};
use crate::input::{BlobName, BlobSink, KeptFile, PassingBlob, Piece, Source, Stream};
use crate::inventory::DataLocation;
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;

/// Small writes are buffered, larger ones are not.
const BUFFER: usize = 128 << 10;

/// Writes the entries of a plan in order.
pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    output: Box<dyn Write + Send + '_>,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let output = BufWriter::with_capacity(BUFFER, output);
    Sequence::new(output, &target.path(), options).write_all(plan, source, options, progress)?;
    Ok(())
}

/// Writes an archive while another passes by: blobs as they arrive, and everything else once there is
/// a plan. Its reader has no image before that, because the files at the root come last.
pub(crate) struct StreamSink<'a, W: Write + Send> {
    sequence: Sequence<'a, BufWriter<W>>,
    progress: &'a dyn Progress,
    directories: BTreeSet<String>,
    written: BTreeSet<Digest>,
    verify: Verify,
    limits: Limits,
    /// What blobs decompress to, or why they cannot be decompressed; only if that is verified. Which of them
    /// are layers is known once there is a plan.
    decoded: BTreeMap<Digest, Result<Digest>>,
}

impl<'a, W: Write + Send> StreamSink<'a, W> {
    /// Writes to `output`, which messages call `path`. Progress counts the bytes of blobs that pass.
    pub(crate) fn new(
        output: W,
        path: &'a Path,
        options: &ApplyOptions<'_>,
        progress: &'a dyn Progress,
    ) -> Self {
        let output = BufWriter::with_capacity(BUFFER, output);
        StreamSink {
            sequence: Sequence::new(output, path, options),
            progress,
            directories: BTreeSet::new(),
            written: BTreeSet::new(),
            verify: options.verify,
            limits: options.limits,
            decoded: BTreeMap::new(),
        }
    }

    /// Writes what is left of the plan's entries: documents in the order of their names, and last
    /// the files at the root.
    ///
    /// # Errors
    /// A document is damaged, the plan leaves out what was written, or the output cannot be written.
    pub(crate) fn finish(mut self, plan: &Plan, stream: &Stream) -> Result<Outcome> {
        let outcome = self.write_rest(plan, stream)?;
        self.sequence.finish()?;
        Ok(outcome)
    }

    fn write_rest(&mut self, plan: &Plan, stream: &Stream) -> Result<Outcome> {
        let outcome = check_entries(plan, &self.options())?;
        // Find everything that can be wrong before writing a document.
        let mut left_out = self.written.clone();
        let mut scratch = Scratch::default();
        for entry in &plan.entries {
            let Body::Blob { digest, data } = &entry.body else {
                continue;
            };
            if *data == DataLocation::Written {
                left_out.remove(digest);
                self.check_decoded(plan, digest)?;
            } else {
                let expected = Expected {
                    name: &entry.name,
                    digest,
                    proof: Proof::of(plan, entry, &self.options()),
                };
                let mut kept = stream.kept(data)?;
                copy_verified(
                    &mut kept,
                    &mut Nowhere,
                    Hash::Inline(expected),
                    &mut scratch,
                )?;
            }
        }
        if let Some(digest) = left_out.first() {
            let name = digest.blob_name();
            let what = format!("{name} must be removed but was already written");
            return Err(Error::new(Code::NeedsFile, what)
                .with_entry(name)
                .with_hint(Hint::WriteToFile));
        }
        // A layer that was reached through a link is already where a second pass would put it.
        let mut late = BTreeSet::new();
        for entry in &plan.entries {
            if let Body::Blob { digest, data } = &entry.body
                && *data != DataLocation::Written
                && digest.is_verifiable()
                && stream.may_pass(data, entry.len)?
            {
                self.directories_of(digest)?;
                self.kept(entry, digest, &mut stream.kept(data)?)?;
                late.insert(digest);
            }
        }
        for entry in &plan.entries {
            match &entry.body {
                Body::Directory => self.directory(&entry.name)?,
                Body::Bytes(bytes) => self.sequence.file(&entry.name, bytes)?,
                Body::Blob { digest, data } => {
                    if *data != DataLocation::Written && !late.contains(digest) {
                        self.kept(entry, digest, &mut stream.kept(data)?)?;
                    }
                }
            }
        }
        Ok(outcome)
    }

    /// Writes a blob that the stream has kept, and that was verified.
    fn kept(
        &mut self,
        entry: &OutputEntry,
        digest: &Digest,
        kept: &mut KeptFile<'_>,
    ) -> Result<()> {
        let expected = Expected {
            name: &entry.name,
            digest,
            proof: None,
        };
        self.sequence.blob(expected, entry.len, kept)
    }

    fn directories_of(&mut self, digest: &Digest) -> Result<()> {
        self.directory("blobs/")?;
        self.directory(&format!("blobs/{}/", digest.algorithm_name()))
    }

    fn options(&self) -> ApplyOptions<'static> {
        ApplyOptions::default()
            .with_verify(self.verify)
            .with_limits(self.limits)
    }

    /// Compares what a blob decompressed to with its diff IDs, if it is a layer.
    fn check_decoded(&mut self, plan: &Plan, digest: &Digest) -> Result<()> {
        let (Verify::Full, proofs) = (self.verify, plan.proofs_of(digest)) else {
            return Ok(());
        };
        if proofs.is_empty() {
            return Ok(());
        }
        // What is not compressed was only hashed.
        let decoded = self.decoded.remove(digest);
        let found = decoded.unwrap_or_else(|| Ok(digest.clone()))?;
        let mut proofs = proofs.iter();
        proofs.try_for_each(|proof| check_proof(proof, &found, &plan.proofs))
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        if self.directories.insert(name.to_owned()) {
            self.sequence.directory(name)?;
        }
        Ok(())
    }
}

impl<W: Write + Send> BlobSink for StreamSink<'_, W> {
    fn take(&mut self, digest: &Digest, blob: &mut PassingBlob<'_>) -> Result<()> {
        self.directories_of(digest)?;
        let (name, len, content) = (digest.blob_name(), blob.len(), blob.content());
        let mut blob = Counted {
            blob,
            progress: self.progress,
        };
        let expected = Expected {
            name: &name,
            digest,
            proof: None,
        };
        // Of what is not compressed, the digest is the diff ID.
        if self.verify == Verify::Full
            && (content.is_compressed() || digest.algorithm() != Some(Algorithm::Sha256))
        {
            let layer = Compressed {
                name: BlobName::Entry(&name),
                content,
                inside: None,
                len,
                limits: self.limits,
            };
            let decoded = self.sequence.blob_decoded(expected, layer, &mut blob)?;
            self.decoded.insert(digest.clone(), decoded);
        } else {
            self.sequence.blob(expected, len, &mut blob)?;
        }
        self.written.insert(digest.clone());
        Ok(())
    }

    fn verifies(&self) -> bool {
        self.verify != Verify::Documents
    }
}

/// A passing blob whose bytes are counted as they are read.
struct Counted<'a, 'b> {
    blob: &'a mut PassingBlob<'b>,
    progress: &'a dyn Progress,
}

impl Pieces for Counted<'_, '_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        if self.progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let count = self.blob.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(Piece::Bytes(count))
    }
}

impl<W: Write + Send> std::fmt::Debug for StreamSink<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSink")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Pieces for KeptFile<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        self.read(buffer).map(Piece::Bytes)
    }
}
