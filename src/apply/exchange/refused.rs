//! What cannot be changed in a layout that is fixed where it is.

use std::io;
use std::path::Path;

use super::lock;
use crate::beneath::Directory;
use crate::error::{Code, Error, Hint, Place, Result, escape, show_path};
use crate::inventory::{DataLocation, Inventory};
use crate::plan::{Body, OutputEntry, Plan};

/// Refuses what cannot be changed where it is.
///
/// # Errors
/// A blob, a file at the root or BuildKit's lock is a link, or a blob has another name.
pub(crate) fn refuse_exchange(root: &Directory, inventory: &Inventory, plan: &Plan) -> Result<()> {
    if let Some((name, _)) = inventory.links.first_key_value() {
        return Err(is_link(root, name));
    }
    let lock = root.look_up(Path::new(lock::NAME));
    if lock.is_ok_and(|found| found.kind.is_symlink()) {
        return Err(is_link(root, lock::NAME));
    }
    let is_elsewhere = |entry: &&OutputEntry| match &entry.body {
        Body::Blob { data, .. } => {
            data.is_file() && *data != DataLocation::File(entry.name.clone())
        }
        _ => false,
    };
    match plan.entries.iter().find(is_elsewhere) {
        None => Ok(()),
        Some(entry) => {
            let why = "is stored under another name, as docker save does";
            Err(refused(root, &entry.name, why))
        }
    }
}

/// The error of a scan, which refuses links that lead out of the directory. They may be followed only to read it.
pub(crate) fn refused_link(root: &Directory, error: Error) -> Error {
    let entry = error.place().and_then(Place::entry);
    match entry.filter(|_| error.code() == Code::LinkEntry) {
        Some(name)
            if root
                .look_up(Path::new(name))
                .is_ok_and(|found| found.kind.is_symlink()) =>
        {
            is_link(root, name)
        }
        _ => error,
    }
}

/// The error for a link.
pub(super) fn is_link(root: &Directory, name: &str) -> Error {
    refused(root, name, "is a link, which some readers do not follow")
}

fn refused(root: &Directory, name: &str, why: &str) -> Error {
    let path = root.path();
    let what = format!(
        "{} cannot be fixed in place: {} {why}",
        show_path(path),
        escape(name)
    );
    Error::new(Code::InPlaceRefused, what)
        .with_path(path)
        .with_entry(name)
        .with_hint(Hint::WriteNewDirectory)
}

/// The error for a directory or file that cannot be created.
pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::new(
            Code::NotWritable,
            format!("{} cannot be written", show_path(path)),
        )
        .with_path(path)
        .with_source(error)
        .with_hint(Hint::WriteNewDirectory),
        _ => Error::io("create", path, error),
    }
}
