//! What exists under the name of an output, and whether the output replaces it.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, statx};

use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::is_image_layout_at;
use crate::publish::is_link;

/// What was looked up, if anything is there.
pub(super) fn exists(found: io::Result<FileStat>, path: &Path) -> Result<Option<FileStat>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("look up", path, error)),
    }
}

/// Refuses a directory that is not empty, except an image layout that is to be replaced.
pub(super) fn refuse_filled(directory: &Directory, overwrite: bool) -> Result<()> {
    let path = directory.path();
    if directory.is_empty().context("list", path)? {
        return Ok(());
    }
    match is_image_layout_at(directory).context("list", path)? {
        true if overwrite => Ok(()),
        true => Err(output_exists(path)),
        false => Err(not_empty(path)),
    }
}

/// The output replaces an empty directory, which the system refuses for a mount point.
pub(super) fn refuse_mount(directory: &Directory) -> Result<()> {
    let path = directory.path();
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
    // If the system does not say, it refuses at the end.
    if !found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
        return Ok(());
    }
    Err(Error::new(
        Code::OutputExists,
        format!(
            "the output directory {} is a mount point and cannot be replaced",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_hint(Hint::ChooseDirectoryBelow))
}

/// Refuses what exists, unless an archive replaces a regular file.
pub(super) fn refuse_existing(
    output: &Path,
    is_layout: bool,
    found: FileType,
    overwrite: bool,
) -> Result<()> {
    if !is_layout && found.is_file() {
        return match overwrite {
            true => Ok(()),
            false => Err(output_exists(output)),
        };
    }
    Err(irreplaceable(
        output,
        found,
        if is_layout {
            "directory"
        } else {
            "regular file"
        },
    ))
}

/// Refuses an output under whose name something is that it must not replace, even if it replaces what exists: a file replaces a
/// regular file, a directory an image layout or an empty directory, and a link a link.
///
/// # Errors
/// Something else is there, or it cannot be looked up.
pub fn refuse_irreplaceable(place: &HeldPath, new: FileType) -> Result<()> {
    let path = &place.path();
    let Some(found) = exists(place.look_up(), path)? else {
        return Ok(());
    };
    match new {
        _ if found.kind != new => Err(irreplaceable(
            path,
            found.kind,
            match new {
                FileType::Directory => "directory",
                FileType::Symlink => "symbolic link",
                _ => "regular file",
            },
        )),
        FileType::Directory => refuse_filled(&place.read_directory().context("list", path)?, true),
        _ => Ok(()),
    }
}

/// The error for something that an output of another kind must not replace.
fn irreplaceable(path: &Path, found: FileType, expected: &'static str) -> Error {
    if found.is_symlink() {
        return is_link(path, expected);
    }
    Error::new(
        Code::OutputExists,
        format!(
            "the output {} exists and is not a {expected}",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_expected(expected)
    .with_hint(Hint::ChooseOutput)
}

/// The error for an output that would have to replace what exists.
pub(super) fn output_exists(path: &Path) -> Error {
    Error::new(
        Code::OutputExists,
        format!("the output {} already exists", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::Force)
}

/// The error for an output directory that is not empty.
pub(in crate::apply) fn not_empty(path: &Path) -> Error {
    let shown = show_path(path);
    Error::new(
        Code::OutputNotEmpty,
        format!("the output directory {shown} is not empty"),
    )
    .with_path(path)
    .with_hint(Hint::ChooseEmptyDirectory)
}
