//! The same for paths whose directories are not held open: what a user named.

use std::io;
use std::path::Path;

use super::{rename, sync};
use crate::beneath::HeldPath;
use crate::error::{IoContext, Result};

/// Renames a file, a directory or a link to where nothing is.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there; the system refuses.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    rename::rename_new(&HeldPath::of(from)?, &HeldPath::of(to)?)
}

/// Renames a file, a directory or a link over something else, which is removed.
///
/// # Errors
/// The system refuses; then what was there stays.
pub fn replace(from: &Path, to: &Path, syncs: bool) -> Result<()> {
    let new = HeldPath::of(from).context("look up", from)?;
    let old = HeldPath::of(to).context("look up", to)?;
    rename::replace(&new, &old, syncs)
}

/// Removes a file, a link or a directory with everything below it, if there is one.
///
/// # Errors
/// The system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    match HeldPath::of(path) {
        Ok(path) => path.remove(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a file, or a directory with everything below it, survive a power failure, except for its own name.
///
/// # Errors
/// Something cannot be opened or synced.
pub fn sync_tree(path: &Path) -> Result<()> {
    sync::sync_tree(&HeldPath::of(path).context("sync", path)?)
}
