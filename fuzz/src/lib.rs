//! What the fuzz targets do with their inputs, so that tests can do it too.

mod documents;
mod edits;
mod reference;
mod ways;
mod whole;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use documents::archive_of;
pub use edits::edited;
use ocify::{Fix, Limits, Strictness};
pub use reference::reference;
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
