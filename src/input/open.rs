//! Opens inputs below directories that are held open.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::io::Errno;

use super::Source;
use crate::beneath::{Directory, HeldPath, InputPath, Links};
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

    /// A directory that the input is in, or is; `None` if the path leads to nothing.
    pub(crate) fn directory_above(&self) -> Option<Directory> {
        if let Some(directory) = &self.directory {
            return Some(directory.clone());
        }
        if let Some(place) = &self.place {
            return Some(place.directory().clone());
        }
        let path = fs::canonicalize(&self.path).ok()?;
        Directory::open(path.parent()?).ok()
    }

    /// Refuses a link in a directory that is held open.
    pub(crate) fn refuse_link(path: &InputPath) -> Result<()> {
        match path {
            InputPath::Held(place) if place.look_up().is_ok_and(|it| it.kind.is_symlink()) => {
                Err(link(&place.path()).with_hint(Hint::ReplaceLink))
            }
            InputPath::Held(_) | InputPath::Named(_) => Ok(()),
        }
    }

    /// Refuses a file that was opened by its path, to be fixed in place, if it is not the one in the directory that is
    /// held open.
    pub(crate) fn refuse_other_than(&self, path: &InputPath) -> Result<()> {
        let InputPath::Held(place) = path else {
            return Ok(());
        };
        let path = &place.path();
        let found = place.look_up().context("open", path)?;
        if found.identity() == self.identity() {
            return Ok(());
        }
        Err(match found.kind.is_symlink() {
            // Links are never followed in place.
            true => link(path).with_hint(Hint::ReplaceLink),
            false => replaced(path),
        })
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
            return Err(link(path).with_hint(Hint::AllowLinks));
        }
        if !found.kind.is_file() && !found.kind.is_dir() {
            return Err(not_opened(path, found.kind.is_fifo()));
        }
        let name = Path::new(place.name());
        let opened = place.directory().open_file(name, Links::Refuse);
        let file = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => link(path).with_hint(Hint::AllowLinks),
            _ => Error::io("open", path, error),
        })?;
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
fn link(path: &Path) -> Error {
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
}

/// The error for a file that another one has replaced since it was found.
fn replaced(path: &Path) -> Error {
    let message = format!("{} was replaced while it was being opened", show_path(path));
    Error::new(Code::SourceChanged, message)
        .with_path(path)
        .with_hint(Hint::RetryWhenIdle)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_is_not_the_one_in_the_directory_is_not_fixed_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("app.tar"), "old").unwrap();
        let place = InputPath::Held(HeldPath::of(&at("app.tar")).unwrap());
        let source = Source::open_in_place(&at("app.tar")).unwrap();
        let refused = || source.refuse_other_than(&place).unwrap_err();
        source.refuse_other_than(&place).unwrap();
        fs::rename(at("app.tar"), at("moved.tar")).unwrap();
        assert_eq!(refused().code(), Code::Io);
        fs::write(at("app.tar"), "new").unwrap();
        let error = refused();
        assert_eq!(error.code(), Code::SourceChanged);
        assert!(error.to_string().contains("was replaced"), "{error}");
        fs::remove_file(at("app.tar")).unwrap();
        // Also if it leads to the same file.
        symlink("moved.tar", at("app.tar")).unwrap();
        let error = refused();
        assert_eq!(error.code(), Code::LinkEntry);
        assert!(error.to_string().contains("a symbolic link"), "{error}");
        assert_eq!(error.hint(), Some(&Hint::ReplaceLink));
        // A path that the user named may be a link.
        let named = InputPath::Named(at("app.tar"));
        source.refuse_other_than(&named).unwrap();
    }
}
