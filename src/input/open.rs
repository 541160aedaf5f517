//! Opens inputs below directories that are held open.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::Source;
use crate::beneath::{HeldPath, InputPath, Links};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::journal;

impl Source {
    /// Whether symbolic links in a layout are followed wherever they lead. Otherwise only blobs and root files may be
    /// links, and only to files in the layout.
    #[must_use]
    pub fn follow_links(mut self, follow: bool) -> Source {
        self.links = match follow {
            true => Links::Follow,
            false => Links::Refuse,
        };
        self
    }

    /// The path, whose directory is held open if it was opened by that.
    pub(crate) fn input_path(&self) -> InputPath {
        match &self.place {
            Some(place) => InputPath::Held(place.clone()),
            None => InputPath::Named(self.path.clone()),
        }
    }

    /// Refuses a file that was opened by its path if it is not the one in the directory that is held open.
    pub(crate) fn refuse_other_than(&self, path: &InputPath) -> Result<()> {
        let InputPath::Held(place) = path else {
            return Ok(());
        };
        let found = place.look_up().context("open", place.path())?;
        match found.identity() == self.identity() {
            true => Ok(()),
            false => Err(replaced_by_link(&place.path())),
        }
    }

    /// Opens an input.
    pub(crate) fn open_at(path: &InputPath) -> Result<Source> {
        match path {
            InputPath::Named(path) => Self::open(path),
            InputPath::Held(place) => Self::open_held(place),
        }
    }

    /// The same for a name in a directory that is held open. A link of this name is not followed.
    fn open_held(place: &HeldPath) -> Result<Source> {
        let path = &place.path();
        // Opening a device may do something.
        let found = place.look_up().context("open", path)?;
        if found.kind.is_symlink() {
            return Err(replaced_by_link(path));
        }
        if !found.kind.is_file() && !found.kind.is_dir() {
            return Err(not_opened(path, found.kind.is_fifo()));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = place.open(flags, Mode::empty()).context("open", path)?;
        let source = Source {
            place: Some(place.clone()),
            ..Self::of(file, path)?
        };
        if source.metadata.is_dir() {
            return Ok(source);
        }
        if !source.metadata.is_file() {
            return Err(not_opened(path, source.metadata.file_type().is_fifo()));
        }
        journal::shared(&source.file, path)?;
        source.refuse_unfinished(false)?;
        Ok(source)
    }
}

/// The error for something that is neither a file nor a directory.
pub(super) fn not_opened(path: &Path, is_fifo: bool) -> Error {
    Error::new(
        Code::NotAnImage,
        format!("{} is neither a file nor a directory", show_path(path)),
    )
    .with_path(path)
    .with_hint(match is_fifo {
        true => Hint::ReadAsStream,
        false => Hint::GiveFile,
    })
}

/// The error for a link where a file was found before, or that the caller does not want to follow.
fn replaced_by_link(path: &Path) -> Error {
    Error::new(
        Code::LinkEntry,
        format!(
            "{} is a symbolic link, expected a file or directory",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_expected("a file or directory")
    .with_found("a symbolic link")
    .with_hint(Hint::AllowLinks)
}
