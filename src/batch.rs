//! Many inputs: what lies below a directory, which share of it belongs to one worker, where each
//! output goes, and what an earlier run has finished.

mod digest_map;
mod identify;
mod others;
mod output;
mod shard;
mod state;
mod walk;

pub use digest_map::DigestMap;
pub use identify::{holds_image, is_layout, may_be_layout};
pub use others::{copy_file, copy_link};
pub use output::{Existing, Published, Workshop, contender, output_name};
pub use shard::{Shard, ShardChoice};
pub use state::{Standing, State, StateOptions};
pub use walk::{Found, FoundKind, Walk};

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one version of a file or a layout from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The length in bytes; of a layout, that of all its files.
    pub len: u64,
    /// The time of the last change in nanoseconds since 1970; of a layout, the latest in it.
    pub modified: i64,
}

impl Fingerprint {
    /// The fingerprint of the file or layout directory at a path; links are followed.
    ///
    /// # Errors
    /// It cannot be looked up, or a directory in it not be listed.
    pub fn of(path: &Path) -> io::Result<Fingerprint> {
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            walk::fingerprint_of_layout(path)
        } else {
            Ok(Self::of_metadata(&metadata))
        }
    }

    fn of_metadata(metadata: &std::fs::Metadata) -> Fingerprint {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Fingerprint {
            len: metadata.len(),
            modified: seconds.saturating_add(metadata.mtime_nsec()),
        }
    }
}
