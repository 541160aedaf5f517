//! Detects whether a file or a layout changed, without reading it.

use std::io;
use std::path::Path;

use ocify::{Directory, command::FileStat, command::InputPath, command::Links};

/// Levels of a layout below its root that belong to it: `blobs`, the algorithm, the blob.
const LAYOUT_DEPTH: usize = 3;

/// What distinguishes one version of a file or a layout from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The length in bytes; of a layout, that of all its files.
    pub(crate) len: u64,
    /// The time of the last change in nanoseconds since 1970; of a layout, the latest in it.
    pub(crate) modified: i64,
}

impl Fingerprint {
    /// The fingerprint of the file or layout directory at a path that the user named. A link to it is followed.
    ///
    /// # Errors
    /// It cannot be looked up, or a directory in it cannot be listed.
    pub(crate) fn of(path: &Path) -> io::Result<Fingerprint> {
        Self::of_input(&InputPath::Named(path.to_owned()), Links::Refuse)
    }

    /// The fingerprint of an input. Of links in a layout, what they lead to counts only if they are followed.
    ///
    /// # Errors
    /// It cannot be looked up, or a directory in it cannot be listed.
    pub(crate) fn of_input(input: &InputPath, links: Links) -> io::Result<Fingerprint> {
        let found = input.look_up()?;
        if !found.kind.is_dir() {
            return Ok(Self::of_stat(&found));
        }
        let directory = match input {
            InputPath::Named(path) => Directory::open(path)?,
            InputPath::Held(place) => place.read_directory()?,
        };
        Self::of_layout(&directory, links)
    }

    /// The fingerprint of what the system says about a file.
    pub(crate) fn of_stat(found: &FileStat) -> Fingerprint {
        Fingerprint {
            len: found.len,
            modified: found.modified,
        }
    }

    /// All bytes of a layout, and the time of the latest change in it.
    ///
    /// # Errors
    /// A directory in it cannot be listed.
    pub(crate) fn of_layout(directory: &Directory, links: Links) -> io::Result<Fingerprint> {
        let mut total = Fingerprint {
            len: 0,
            modified: i64::MIN,
        };
        total.add_directory(directory, links, 0)?;
        Ok(total)
    }

    fn add_directory(
        &mut self,
        directory: &Directory,
        links: Links,
        depth: usize,
    ) -> io::Result<()> {
        self.modified = self.modified.max(directory.stat()?.modified);
        if depth == LAYOUT_DEPTH {
            return Ok(());
        }
        for (name, _) in directory.entries()? {
            let name = Path::new(&name);
            let mut found = directory.look_up(name)?;
            if links == Links::Follow && found.kind.is_symlink() {
                // One that leads nowhere is an error only if it is needed.
                found = directory.look_up_followed(name).unwrap_or(found);
            }
            if found.kind.is_dir() {
                let below = directory.below_with(name, links)?;
                self.add_directory(&below, links, depth + 1)?;
                continue;
            }
            self.modified = self.modified.max(found.modified);
            if found.kind.is_file() {
                self.len = self.len.saturating_add(found.len);
            }
        }
        Ok(())
    }
}
