//! What shows that another program changed a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// The length and the times of a file. Every write changes the times, as finely as the filesystem keeps them;
/// a program can set the time of the last write back, but not that of the last change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// In bytes.
    pub(super) len: u64,
    /// Seconds and nanoseconds.
    pub(super) written: (i64, i64),
    /// Seconds and nanoseconds.
    pub(super) changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(found: &Metadata) -> Self {
        Stamp {
            len: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether nothing was written in between. Other changes, such as those of the owner or the number of links,
    /// do not count.
    pub(crate) fn has_bytes_of(&self, other: &Stamp) -> bool {
        (self.len, self.written) == (other.len, other.written)
    }
}
