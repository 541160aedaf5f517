//! An archive in a file, read by position.

use std::path::Path;

use crate::error::Result;
use crate::input::Source;
use crate::tar::{BLOCK, Input};

/// An archive in a file.
pub(in crate::input) struct FileInput<'a> {
    source: &'a Source,
    len: u64,
    /// Bytes that were read beyond what was asked for: where they begin, and how many they are.
    ahead: Vec<u8>,
    ahead_at: u64,
    ahead_len: usize,
}

/// What is read when less is asked for: the last entry's padding, a header and the data's beginning.
/// A system call for each would take most of a scan's time.
const HEADER: usize = 3 * BLOCK;
/// What is read where many small entries follow each other.
const DENSE: usize = 32 << 10;

impl<'a> FileInput<'a> {
    pub(in crate::input) fn new(source: &'a Source, len: u64) -> Self {
        FileInput {
            source,
            len,
            ahead: vec![0; usize::try_from(len).unwrap_or(DENSE).min(DENSE)],
            ahead_at: 0,
            ahead_len: 0,
        }
    }

    /// The bytes from `position` on that were read already.
    fn known(&self, position: u64) -> &[u8] {
        let start = position.checked_sub(self.ahead_at);
        let start = start.and_then(|start| usize::try_from(start).ok());
        start
            .and_then(|start| self.ahead.get(start..self.ahead_len))
            .unwrap_or_default()
    }

    /// Reads ahead from `position` on, where `left` bytes are.
    fn look_ahead(&mut self, position: u64, left: usize) -> Result<()> {
        let end = self.ahead_at + self.ahead_len as u64;
        let is_dense = position < end + DENSE as u64;
        let count = left.min(if is_dense { DENSE } else { HEADER });
        self.ahead_len = 0;
        let ahead = &mut self.ahead[..count];
        self.source.read_into(ahead, position)?;
        (self.ahead_at, self.ahead_len) = (position, count);
        Ok(())
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
        if self.known(position).len() < count {
            if count > BLOCK {
                self.source.read_into(buffer, position)?;
                return Ok(count);
            }
            self.look_ahead(position, left)?;
        }
        buffer.copy_from_slice(&self.known(position)[..count]);
        Ok(count)
    }
}
