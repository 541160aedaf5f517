//! Where an input is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{FileStat, HeldPath, READ_FILE, regular};

/// The path of an input.
#[derive(Clone, Debug)]
pub enum InputPath {
    /// A path that the user named, in which links are followed.
    Named(PathBuf),
    /// A name in a directory that is held open, where no link is followed.
    Held(HeldPath),
}

impl InputPath {
    /// The path, for messages.
    pub fn path(&self) -> PathBuf {
        match self {
            InputPath::Named(path) => path.clone(),
            InputPath::Held(place) => place.path(),
        }
    }

    /// What is there. A link that the user named is followed.
    ///
    /// # Errors
    /// Nothing is there, or the system refuses.
    pub fn look_up(&self) -> io::Result<FileStat> {
        match self {
            InputPath::Named(path) => Ok(FileStat::from(&fs::metadata(path)?)),
            InputPath::Held(place) => place.look_up(),
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is not a link, or cannot be read.
    pub fn link_target(&self) -> io::Result<OsString> {
        match self {
            InputPath::Named(path) => Ok(fs::read_link(path)?.into_os_string()),
            InputPath::Held(place) => place.link_target(),
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// It is not a regular file, or cannot be opened.
    pub fn read(&self) -> io::Result<File> {
        match self {
            InputPath::Named(path) => read_named(path),
            InputPath::Held(place) => place.read(),
        }
    }
}

fn read_named(path: &Path) -> io::Result<File> {
    let opened = File::options()
        .read(true)
        .custom_flags(READ_FILE.bits().cast_signed())
        .open(path)?;
    regular(opened)
}
