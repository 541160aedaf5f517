//! What entries are read from: a file by position, or a stream in order.

use std::path::Path;

use crate::error::Result;
use crate::header::BLOCK;
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
    /// Bytes that were read beyond what was asked for: a header is asked for first, then the bytes
    /// that follow it, and a system call for each would take most of a scan's time.
    ahead: [u8; AHEAD],
    ahead_at: u64,
    ahead_len: usize,
}

/// What is read when less is asked for: the last entry's padding, a header and the data's beginning.
const AHEAD: usize = 3 * BLOCK;

impl<'a> FileInput<'a> {
    pub(super) fn new(source: &'a Source, len: u64) -> Self {
        FileInput {
            source,
            len,
            ahead: [0; AHEAD],
            ahead_at: 0,
            ahead_len: 0,
        }
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
        let buffer = &mut buffer[..count];
        if count > BLOCK {
            self.source.read_into(buffer, position)?;
            return Ok(count);
        }
        let is_there = position >= self.ahead_at
            && position + count as u64 <= self.ahead_at + self.ahead_len as u64;
        if !is_there {
            let ahead = left.min(AHEAD);
            self.ahead_len = 0;
            self.source.read_into(&mut self.ahead[..ahead], position)?;
            (self.ahead_at, self.ahead_len) = (position, ahead);
        }
        let start = (position - self.ahead_at) as usize;
        buffer.copy_from_slice(&self.ahead[start..start + count]);
        Ok(count)
    }
}
