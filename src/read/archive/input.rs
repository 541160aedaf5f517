//! What entries are read from: a file by position, or a stream in order.

use std::path::Path;

use crate::error::Result;
use crate::read::Source;

/// The bytes of an archive.
pub(in crate::read) trait Input {
    /// What messages call the archive.
    fn path(&self) -> &Path;

    /// How many bytes there are, where that is known beforehand.
    fn len(&self) -> Option<u64>;

    /// Fills the buffer with the bytes from `position` on; with fewer only at the end. A stream
    /// passes over what lies before, and never goes back.
    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize>;
}

/// An archive in a file.
pub(super) struct FileInput<'a> {
    source: &'a Source,
    len: u64,
}

impl<'a> FileInput<'a> {
    pub(super) fn new(source: &'a Source, len: u64) -> Self {
        FileInput { source, len }
    }
}

impl Input for FileInput<'_> {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.source.read_into(&mut buffer[..count], position)?;
        Ok(count)
    }
}
