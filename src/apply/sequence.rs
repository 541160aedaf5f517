//! Writes an archive from its first byte to its last, for outputs that cannot be written out of order.

use std::io::Write;
use std::path::Path;

use super::decode::Compressed;
use super::proof::Proof;
use super::verified::{Expected, Hash, Pieces, Scratch, Sink, copy_decoded, copy_verified};
use super::{ApplyOptions, Verify};
use crate::error::{IoContext, Result};
use crate::image::Digest;
use crate::input::{BlobAt, BlobName, Source};
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::tar::{END_LEN, canonical, padding};

/// Blobs from this size are worth a thread that hashes.
const BESIDE_MIN: u64 = 1 << 20;

/// An archive that is being written to `output`.
pub(super) struct Sequence<'a, W> {
    output: Output<'a, W>,
    verify: Verify,
    /// Whether another thread may hash.
    may_hash_beside: bool,
    scratch: Scratch,
}

/// What is written to.
struct Output<'a, W> {
    output: W,
    /// What messages call the output.
    path: &'a Path,
}

impl<W: Write + Send> Sink for Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context("write", self.path)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut left = len;
        while left > 0 {
            let count = left.min(ZEROS.len() as u64);
            self.write(&ZEROS[..count as usize])?;
            left -= count;
        }
        Ok(())
    }
}

impl<'a, W: Write + Send> Sequence<'a, W> {
    pub(super) fn new(output: W, path: &'a Path, options: &ApplyOptions) -> Self {
        Sequence {
            output: Output { output, path },
            verify: options.verify,
            may_hash_beside: options.jobs.get() > 1,
            scratch: Scratch::default(),
        }
    }

    /// Writes all entries of a plan, and the end.
    pub(super) fn write_all(
        mut self,
        plan: &Plan,
        source: &Source,
        options: &ApplyOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<W> {
        for entry in &plan.entries {
            match &entry.body {
                Body::Directory => self.directory(&entry.name)?,
                Body::Bytes(bytes) => self.file(&entry.name, bytes)?,
                Body::Blob { digest, data } => {
                    let blob = BlobAt {
                        name: BlobName::Entry(&entry.name),
                        data,
                        len: entry.len,
                    };
                    let mut reader = source.reader(blob, progress)?;
                    let expected = Expected {
                        name: &entry.name,
                        digest,
                        proof: Proof::of(plan, entry, options),
                    };
                    self.blob(expected, entry.len, &mut reader)?;
                }
            }
        }
        self.finish()
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        self.output.write(&canonical(name, true, 0))
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        self.output.write(&canonical(name, false, len))?;
        self.output.write(bytes)?;
        self.output.skip(padding(len))
    }

    /// Writes a blob of `len` bytes, and verifies it if requested.
    pub(super) fn blob(
        &mut self,
        expected: Expected<'_>,
        len: u64,
        blob: &mut dyn Pieces,
    ) -> Result<()> {
        self.output.write(&canonical(expected.name, false, len))?;
        let hash = match self.verify {
            Verify::Documents => Hash::None,
            Verify::Digests | Verify::Full if self.is_beside(len) => Hash::Beside(expected),
            Verify::Digests | Verify::Full => Hash::Inline(expected),
        };
        copy_verified(blob, &mut self.output, hash, &mut self.scratch)?;
        self.output.skip(padding(len))
    }

    /// Writes a blob and verifies its digest. Returns the digest of what it decompresses to, or why it cannot
    /// be decompressed.
    pub(super) fn blob_decoded(
        &mut self,
        expected: Expected<'_>,
        layer: Compressed<'_>,
        blob: &mut dyn Pieces,
    ) -> Result<Result<Digest>> {
        let len = layer.len;
        self.output.write(&canonical(expected.name, false, len))?;
        let is_beside = self.is_beside(len);
        let (output, scratch) = (&mut self.output, &mut self.scratch);
        let decoded = copy_decoded(blob, output, expected, layer, is_beside, scratch)?;
        self.output.skip(padding(len))?;
        Ok(decoded)
    }

    /// Whether other threads hash and decompress a blob of that length.
    fn is_beside(&self, len: u64) -> bool {
        self.may_hash_beside && len >= BESIDE_MIN
    }

    /// Writes the end, and returns the output.
    pub(super) fn finish(mut self) -> Result<W> {
        self.output.skip(END_LEN)?;
        let Output { mut output, path } = self.output;
        output.flush().context("write", path)?;
        Ok(output)
    }
}
