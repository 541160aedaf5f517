//! What cannot be changed in a layout that is fixed where it is.

use std::io;
use std::path::Path;

use crate::beneath::Directory;
use crate::error::{Code, Error, Hint, Result, escape, show_path};
use crate::inventory::{DataLocation, Inventory};
use crate::plan::{Body, OutputEntry, Plan};

/// Refuses what cannot be changed where it is.
///
/// # Errors
/// A blob or a file at the root is a link, or a blob has another name.
pub(crate) fn refuse_exchange(root: &Directory, inventory: &Inventory, plan: &Plan) -> Result<()> {
    let refused = |name: &str, why: &str| {
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
    };
    if let Some((name, _)) = inventory.links.first_key_value() {
        return Err(refused(name, "is a link, which some readers do not follow"));
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
            Err(refused(&entry.name, why))
        }
    }
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
