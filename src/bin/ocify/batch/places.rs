//! The places of a batch's outputs, below a directory that is held open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ocify::{
    Code, Directory, Error, Result, command::HeldPath, command::IoContext, command::show_path,
};
use rustix::io::Errno;

/// The output directory. No link below it is followed.
#[derive(Debug)]
pub(crate) struct Places {
    root: Directory,
    /// The directory of the last output, and its path below the root.
    last: Mutex<Option<(PathBuf, Directory)>>,
}

impl Places {
    /// Opens the output directory.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn open(output: &Path) -> Result<Places> {
        Ok(Places {
            root: Directory::open(output).context("open", output)?,
            last: Mutex::default(),
        })
    }

    /// The output directory.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    /// A directory of outputs.
    ///
    /// # Errors
    /// It is another directory now, or the system refuses.
    pub(crate) fn directory(&self, relative: &Path) -> Result<Directory> {
        let directory = self.root.below(relative);
        directory.map_err(|error| self.not_below(relative, error))
    }

    /// The final path of the output for this path, for messages.
    pub(crate) fn path(&self, relative: &Path) -> PathBuf {
        self.root.path().join(relative)
    }

    /// The final place of the output for this path; `None` if its directory does not exist.
    ///
    /// # Errors
    /// Something else, such as a link, is where its directory would be.
    pub(crate) fn place(&self, relative: &Path) -> Result<Option<HeldPath>> {
        self.place_in(relative, |parent| match self.root.below(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        })
    }

    /// The same, but its directory is created.
    ///
    /// # Errors
    /// Those of [`place`](Self::place), or the system refuses.
    pub(crate) fn created(&self, relative: &Path) -> Result<HeldPath> {
        let created = |parent: &Path| self.root.create_below(parent).map(Some);
        let place = self.place_in(relative, created)?;
        place.ok_or_else(|| self.not_below(relative, Errno::NOENT.into()))
    }

    fn place_in(
        &self,
        relative: &Path,
        open: impl Fn(&Path) -> io::Result<Option<Directory>>,
    ) -> Result<Option<HeldPath>> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        let name = relative.file_name().unwrap_or_default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(path, _)| path == parent);
        let directory = match known {
            Some((_, directory)) => directory.clone(),
            None => match open(parent).map_err(|error| self.not_below(parent, error))? {
                Some(directory) => {
                    *last = Some((parent.to_owned(), directory.clone()));
                    directory
                }
                None => return Ok(None),
            },
        };
        let place = HeldPath::new(&directory, name);
        place.context("create", self.path(relative)).map(Some)
    }

    /// The error for a directory of outputs that cannot be opened.
    fn not_below(&self, directory: &Path, error: io::Error) -> Error {
        let is_other = matches!(
            Errno::from_io_error(&error),
            Some(Errno::LOOP | Errno::NOTDIR | Errno::EXIST)
        );
        if !is_other {
            return Error::io("create", &self.path(directory), error);
        }
        // The first part of it that is not a directory.
        let mut parts: Vec<&Path> = directory.ancestors().collect();
        parts.reverse();
        let part = parts.into_iter().skip(1).find(|part| {
            let found = self.root.look_up(part);
            !found.is_ok_and(|found| found.kind.is_dir())
        });
        let path = self.path(part.unwrap_or(directory));
        let found = HeldPath::of(&path).and_then(|path| path.look_up());
        let what = match found {
            Ok(found) if found.kind.is_symlink() => "a symbolic link",
            _ => "not a directory",
        };
        Error::new(
            Code::OutputExists,
            format!(
                "outputs go into the directory {}, which is {what}",
                show_path(&path)
            ),
        )
        .with_path(&path)
        .with_expected("a directory")
        .with_found(what)
        .with_hint("remove it or choose another OUTPUT")
    }
}
