//! Finds and opens files that are rewritten or restored, in directories that are held open.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::name::journal_name;
use super::refused;
use crate::beneath::{FileStat, HeldPath, InputPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::publish::is_open_file;

/// Whether the path names a symbolic link.
fn is_link(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_symlink())
}

/// The place of the journal of a file.
pub(super) fn journal_of(place: &HeldPath) -> io::Result<HeldPath> {
    place.beside(&journal_name(place.name()))
}

/// The place of a file that the user named. A symbolic link is followed. `None` for a file without a name, and for a directory
/// such as `.`.
///
/// # Errors
/// The file does not exist, or its directory cannot be opened.
pub(super) fn locate(path: &Path) -> io::Result<Option<HeldPath>> {
    if !is_link(path)? {
        return path.file_name().map(|_| HeldPath::of(path)).transpose();
    }
    match fs::canonicalize(path) {
        Ok(real) => locate(&real),
        // The link resolves to a file, but its target is not a valid path, so the file has no name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(path).map(|_| None),
        Err(error) => Err(error),
    }
}

/// Whether a file that is opened to be read has a journal. `is_link` says whether the path may be a symbolic link.
///
/// # Errors
/// The file does not exist, or its journal cannot be looked up.
pub(crate) fn is_pending(path: &InputPath, is_link: bool) -> io::Result<bool> {
    match path {
        InputPath::Held(place) => is_there(journal_of(place)?.look_up()),
        InputPath::Named(path) if is_link => match locate(path)? {
            Some(place) => is_there(journal_of(&place)?.look_up()),
            None => Ok(false),
        },
        // Nothing is written, so no directory has to be held.
        InputPath::Named(path) => {
            let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
            is_there(fs::symlink_metadata(
                path.with_file_name(journal_name(name)),
            ))
        }
    }
}

fn is_there<T>(found: io::Result<T>) -> io::Result<bool> {
    match found.map_err(|error| (error.kind(), error)) {
        Ok(_) => Ok(true),
        // Files in a directory that may not be searched can be inputs, if they are open already.
        Err((
            io::ErrorKind::NotFound
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::PermissionDenied,
            _,
        )) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

/// The place of a file that the user named, to be rewritten there. It is not a symbolic link.
///
/// # Errors
/// The file does not exist, is not a regular file, or has no name of its own; the path is a link.
pub(crate) fn place(path: &Path) -> Result<HeldPath> {
    let found = fs::metadata(path).context("open", path)?;
    refuse_kind(FileStat::from(&found).kind, path)?;
    if is_link(path).context("open", path)? {
        return Err(refused_link(path)?);
    }
    HeldPath::of(path).context("open", path)
}

/// The error for a link to a regular file that is to be fixed in place.
fn refused_link(path: &Path) -> Result<Error> {
    if locate(path).context("open", path)?.is_none() {
        let error = Error::new(
            Code::InPlaceRefused,
            format!("{} refers to a file without a name", show_path(path)),
        )
        .with_path(path);
        return Ok(error.with_hint(Hint::GiveNamedFile));
    }
    if is_open_file(path).context("open", path)? {
        let error = Error::new(
            Code::InPlaceRefused,
            format!(
                "{} is not the name of a file: it leads to whatever a process has open",
                show_path(path)
            ),
        )
        .with_path(path);
        return Ok(error.with_hint(Hint::GiveOwnName));
    }
    Ok(refused::link(path))
}

/// Refuses what is not a regular file.
fn refuse_kind(kind: FileType, path: &Path) -> Result<()> {
    let (what, hint) = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => return Err(refused::link(path)),
        FileType::Directory => (
            "a directory without an index.json, and only archives and image layouts can be fixed in place",
            Hint::WriteNewDirectory,
        ),
        _ => ("not a regular file", Hint::GiveRegularFile),
    };
    let message = format!("{} is {what}", show_path(path));
    let error = Error::new(Code::InPlaceRefused, message).with_path(path);
    Err(error.with_hint(hint))
}

/// Opens a regular file for reading and writing. `path` is what messages call it.
///
/// # Errors
/// The file does not exist, is not a regular file, or is not writable.
pub(crate) fn open_writable(place: &HeldPath, path: &Path) -> Result<File> {
    // Opening a device may do something.
    let found = place.look_up().context("open", path)?;
    refuse_kind(found.kind, path)?;
    // Something else may have replaced it.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = place.open(flags, Mode::empty());
    let file = opened.map_err(|error| match (error.kind(), Errno::from_io_error(&error)) {
        (_, Some(Errno::LOOP)) => refused::link(path),
        (
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::ExecutableFileBusy,
            _,
        ) => Error::new(
            Code::NotWritable,
            format!("{} cannot be written", show_path(path)),
        )
        .with_path(path)
        .with_source(error)
        .with_hint(Hint::WriteNewFile),
        _ => Error::io("open", path, error),
    })?;
    let found = file.metadata().context("read", path)?;
    refuse_kind(FileStat::from(&found).kind, path)?;
    Ok(file)
}
