//! What the fuzz targets do with their inputs, so that tests can do it too.

/// The state of batches. It is a module of the command, which is not part of the library.
#[allow(dead_code, private_interfaces, unreachable_pub, unused_imports)]
#[path = "../../src/bin/ocify/batch"]
mod batch {
    mod fingerprint;
    mod shard;
    mod state;

    pub(crate) use self::fingerprint::Fingerprint;
    pub(crate) use self::state::{OutputState, State, StateOptions};

    /// Records an output, from a source without a fingerprint.
    pub(crate) fn finish(
        state: &State,
        path: &std::path::Path,
        output: Fingerprint,
        note: &serde_json::Value,
    ) {
        let finished = state::Finished {
            relative: path,
            source: Fingerprint::default(),
            output,
            content: Some("content"),
            note,
        };
        state.finish(&[finished]).expect("memory takes everything");
    }
}

/// What the parsers of replies use of the library.
mod error {
    pub(crate) use ocify::command::escape;
}

mod codec;
mod documents;
mod edits;
mod headers;
mod journal;
mod merged;
mod reference;
mod replies;
mod state;
mod ways;
mod whole;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use codec::codec;
pub use documents::archive_of;
pub use edits::edited;
pub use headers::headers;
pub use journal::journal;
pub use merged::merged;
use ocify::{Fix, Limits, Strictness};
pub use reference::reference;
pub use replies::replies;
pub use state::state;
use tempfile::TempDir;
pub use ways::ways;
pub use whole::fix;

/// Holds an archive to everything that must hold for any.
///
/// # Panics
/// It does not hold.
pub fn hold(archive: &[u8]) {
    fix(archive);
    ways(archive);
}

/// A fix that depends on nothing outside, and does not decompress much.
fn fix_of(strictness: Strictness) -> Fix {
    Fix::new()
        .strictness(strictness)
        .host_architecture("amd64")
        .jobs(NonZeroUsize::MIN)
        .spool_directory(folder())
        .limits(Limits::default().with_max_ratio(100))
}

/// A folder of this thread, in memory where the system has such a folder.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: TempDir = {
            let memory = Path::new("/dev/shm");
            let made = match memory.is_dir() {
                true => tempfile::tempdir_in(memory),
                false => tempfile::tempdir(),
            };
            made.expect("a temporary folder")
        };
    }
    FOLDER.with(|folder| folder.path().to_owned())
}
