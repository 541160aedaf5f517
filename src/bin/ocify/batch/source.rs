//! Where the input of a task is, and whether it is still what was found there.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ocify::{
    Code, Directory, Error, Result, command::HeldPath, command::InputPath, command::IoContext,
    command::Links, command::holds_image_entry, command::show_path,
};
use rustix::io::Errno;

use super::fingerprint::Fingerprint;
use super::queue::Task;

/// Opens the directories of the inputs of one worker.
#[derive(Debug)]
pub(super) struct Sources {
    links: Links,
    /// The directory of the last input that was found below one.
    last: Mutex<Option<Directory>>,
}

impl Sources {
    pub(super) fn new(links: Links) -> Self {
        Sources {
            links,
            last: Mutex::default(),
        }
    }

    /// The input of a task. If it was found below a directory, its own directory is held open, and nothing leads out of
    /// the one that was walked.
    ///
    /// # Errors
    /// Its directory cannot be opened any more.
    pub(super) fn input(&self, task: &Task) -> Result<InputPath> {
        let path = &task.path;
        let (Some(root), Some(parent)) = (&task.root, path.parent()) else {
            return Ok(InputPath::Named(path.clone()));
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take().filter(|directory| directory.path() == parent);
        let directory = match known {
            Some(directory) => directory,
            None => {
                let below = parent.strip_prefix(root.path()).unwrap_or(Path::new(""));
                let opened = root.below(below);
                opened.map_err(|error| replaced(parent, error))?
            }
        };
        *last = Some(directory.clone());
        let name = path.file_name().unwrap_or_default();
        let place = HeldPath::new(&directory, name).context("open", path)?;
        Ok(InputPath::Held(place))
    }

    /// What an input is like now.
    ///
    /// # Errors
    /// It cannot be looked up.
    pub(super) fn look(&self, input: &InputPath) -> Result<Fingerprint> {
        let found = Fingerprint::of_input(input, self.links);
        found.map_err(|error| Error::io("look up", &input.path(), error))
    }

    /// Refuses an input that is not what it was before.
    ///
    /// # Errors
    /// It changed, or cannot be looked up.
    pub(super) fn refuse_changed(&self, input: &InputPath, before: Fingerprint) -> Result<()> {
        match self.look(input)? == before {
            true => Ok(()),
            false => Err(changed(&input.path())),
        }
    }

    /// Whether an archive that was found, and not named, is not an image, or a link. What could not be read to its end may
    /// be an image, and a check or a push must not hide that.
    pub(super) fn is_surely_other(&self, error: &Error, task: &Task) -> bool {
        let is_unread = matches!(
            error.code(),
            Code::TruncatedArchive
                | Code::InvalidArchive
                | Code::CompressionRatio
                | Code::SizeLimit
        );
        !is_unread && self.is_other_archive(error, task)
    }

    /// Whether an archive that was found, and not named, contains something other than an image: what makes
    /// an image unreadable may be valid there.
    pub(super) fn is_other_archive(&self, error: &Error, task: &Task) -> bool {
        let may_be = matches!(
            error.code(),
            Code::NotAnImage
                | Code::TruncatedArchive
                | Code::InvalidArchive
                | Code::InvalidDocument
                | Code::DuplicateEntry
                | Code::TrailingArchive
                | Code::CompressionRatio
                | Code::SizeLimit
                | Code::SparseEntry
                | Code::LinkEntry
                | Code::DocumentTooLarge
                | Code::DocumentTooDeep
        );
        // A link that replaced an archive is neither.
        let input = self.input(task).ok().filter(|_| may_be);
        let is_file = |input: &InputPath| input.look_up().is_ok_and(|found| found.kind.is_file());
        input.is_some_and(|input| is_file(&input) && !holds_image_entry(&input))
    }
}

/// The error for an input that is not what it was when it was found.
pub(super) fn changed(path: &Path) -> Error {
    Error::new(
        Code::SourceChanged,
        format!("{} changed while it was being read", show_path(path)),
    )
    .with_path(path)
    .with_hint("run again when nothing else writes to it")
}

/// The error for the directory of an input, which may have been replaced by a link since it was listed.
fn replaced(directory: &Path, error: io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::NOTDIR) => changed(directory),
        _ => Error::io("open", directory, error),
    }
}
