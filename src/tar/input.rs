//! What entries are read from: a file by position, or a stream in order.

use std::path::Path;

use crate::error::Result;

/// The bytes of an archive.
pub(crate) trait Input {
    /// What messages call the archive.
    fn path(&self) -> &Path;

    /// How many bytes there are, where that is known beforehand.
    fn len(&self) -> Option<u64>;

    /// Fills the buffer with the bytes from `position` on; with fewer only at the end. A stream
    /// passes over what lies before, and never goes back.
    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize>;
}
