//! The source of an archive's bytes: a file with random access, or a forward-only stream.

use std::path::Path;

use crate::error::Result;

/// The bytes of an archive.
pub(crate) trait Input {
    /// The archive's name in messages.
    fn path(&self) -> &Path;

    /// Length in bytes, if it is known in advance.
    fn len(&self) -> Option<u64>;

    /// Reads the bytes at offset `position` into `buffer` and returns how many were read: fewer than the
    /// buffer takes only at the end of the input. A stream skips ahead to `position` and cannot go back.
    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize>;
}
