//! Writes an archive from its first byte to its last, where nothing can be written out of order.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::copy::{changed_len, check_digest};
use super::mover::Mover;
use super::{ApplyOptions, Verify, body_len};
use crate::error::{Error, IoContext, Result};
use crate::image::{Digest, Hasher};
use crate::input::Source;
use crate::inventory::DataLocation;
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;
use crate::tar::{END_LEN, canonical, padding};

/// An archive that is being written to `output`.
pub(super) struct Sequence<'a, W> {
    output: W,
    /// What messages call the output.
    path: &'a Path,
    progress: &'a dyn Progress,
    verify: Verify,
    mover: Mover,
}

impl<'a, W: Write> Sequence<'a, W> {
    pub(super) fn new(
        output: W,
        path: &'a Path,
        options: &ApplyOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        Sequence {
            output,
            path,
            progress,
            verify: options.verify,
            mover: Mover::new(options.jobs > 1),
        }
    }

    /// Writes all entries of a plan, and the end.
    pub(super) fn write_all(mut self, plan: &Plan, source: &Source) -> Result<W> {
        for entry in &plan.entries {
            match &entry.body {
                Body::Directory => self.directory(&entry.name)?,
                Body::Bytes(bytes) => self.file(&entry.name, bytes)?,
                Body::Blob { digest, data } => {
                    self.source_blob(entry, digest, data, source)?;
                }
            }
        }
        self.finish()
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        self.bytes(&canonical(name, true, 0))
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        self.bytes(&canonical(name, false, len))?;
        self.bytes(bytes)?;
        self.zeros(padding(len))
    }

    /// Writes a blob of `len` bytes, which `read` gives until there are none, and verifies it as it
    /// was asked for.
    pub(super) fn blob(
        &mut self,
        name: &str,
        digest: &Digest,
        len: u64,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        self.bytes(&canonical(name, false, len))?;
        let hasher = match self.verify {
            Verify::Full => Some(Hasher::new(digest.algorithm())),
            Verify::Documents => None,
        };
        let Sequence {
            output,
            path,
            progress,
            mover,
            ..
        } = self;
        let mut write = |bytes: &[u8]| {
            output.write_all(bytes).context("write", *path)?;
            progress.advance(bytes.len() as u64);
            Ok(())
        };
        if let Some(found) = mover.run(len, hasher, read, &mut write)? {
            check_digest(name, digest, &found)?;
        }
        self.zeros(padding(len))
    }

    /// Writes the end, and gives the output back.
    pub(super) fn finish(mut self) -> Result<W> {
        self.zeros(END_LEN)?;
        self.output.flush().context("write", self.path)?;
        Ok(self.output)
    }

    fn source_blob(
        &mut self,
        entry: &OutputEntry,
        digest: &Digest,
        data: &DataLocation,
        source: &Source,
    ) -> Result<()> {
        let (input, start) = source.open_blob(data)?;
        let (name, len) = (&entry.name, body_len(entry));
        let progress = self.progress;
        let mut done = 0;
        let mut read = |buffer: &mut [u8]| {
            let left = usize::try_from(len - done).unwrap_or(usize::MAX);
            let wanted = buffer.len().min(left);
            if wanted == 0 {
                return Ok(0);
            }
            if progress.is_stopped() {
                return Err(Error::interrupted());
            }
            loop {
                match input.read_at(&mut buffer[..wanted], start + done) {
                    Ok(0) => return Err(changed_len(name, data, len, done)),
                    Ok(count) => {
                        done += count as u64;
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io("read", source.path(), error)),
                }
            }
        };
        self.blob(name, digest, len, &mut read)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context("write", self.path)
    }

    fn zeros(&mut self, len: u64) -> Result<()> {
        self.bytes(&vec![0; usize::try_from(len).unwrap_or(0)])
    }
}
