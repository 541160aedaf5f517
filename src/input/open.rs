//! Opens inputs below directories that are held open.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::io::Errno;

use super::Source;
use crate::beneath::{Directory, HeldPath, InputPath, Links};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::journal::{self, Locked};

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

    /// The directory, if the source is one. It is held open.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
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

    /// Its place in a directory that is held open.
    ///
    /// # Errors
    /// It was opened by its path, and the directory cannot be opened.
    pub(crate) fn held_path(&self) -> Result<HeldPath> {
        match &self.place {
            Some(place) => Ok(place.clone()),
            None => HeldPath::of(&self.path).context("open", &self.path),
        }
    }

    /// Opens an archive that is to be fixed in place, and locks it against use by others. Its directory is held open,
    /// so that its journal is in the same one. A symbolic link is refused.
    ///
    /// # Errors
    /// It is not a regular file, cannot be written, or is in use.
    pub fn open_in_place(path: &Path) -> Result<Source> {
        Self::open_in_place_at(&journal::place(path)?)
    }

    /// The same for a name in a directory that is held open.
    pub(crate) fn open_in_place_at(place: &HeldPath) -> Result<Source> {
        let path = &place.path();
        let file = journal::open_writable(place, path)?;
        let mut source = Source {
            place: Some(place.clone()),
            ..Self::of(file, path)?
        };
        source.lock = Some(Locked::exclusive(&source.file, path)?);
        source.refuse_unfinished(false)?;
        Ok(source)
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
        let mut source = Source {
            place: Some(place.clone()),
            ..Self::of(file, path)?
        };
        if source.metadata.is_dir() {
            return Ok(source);
        }
        if !source.metadata.is_file() {
            return Err(not_opened(path, source.metadata.file_type().is_fifo()));
        }
        source.lock = Some(Locked::shared(&source.file, path)?);
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_in_a_directory_that_was_exchanged_is_fixed_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("app.tar"), name).unwrap();
        }
        let place = HeldPath::of(&at("a/app.tar")).unwrap();
        fs::rename(at("a"), at("moved")).unwrap();
        symlink("b", at("a")).unwrap();
        let source = Source::open_in_place_at(&place).unwrap();
        assert_eq!(std::io::read_to_string(source.file()).unwrap(), "a");
        drop(source);
        fs::remove_file(at("moved/app.tar")).unwrap();
        symlink(at("b/app.tar"), at("moved/app.tar")).unwrap();
        let error = Source::open_in_place_at(&place).unwrap_err();
        assert_eq!(error.code(), Code::LinkEntry);
        assert_eq!(error.hint(), Some(&Hint::GiveOwnName));
        let error = Source::open_in_place(&at("moved/app.tar")).unwrap_err();
        assert_eq!(error.code(), Code::LinkEntry);
        // A link to its directory is not one to the file.
        Source::open_in_place(&at("a/app.tar")).unwrap();
    }
}
