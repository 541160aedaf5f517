//! The form of an output, as far as a plan depends on it.

use crate::image::Compression;

/// The form that an output is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A new archive that is compressed as a whole with this.
    Archive(Compression),
    /// A new archive that is written from its first byte to its last.
    Stream,
    /// A new image layout directory.
    Layout,
    /// The input's archive with as little of it rewritten as possible, in its own file or in a copy:
    /// entries that ocify does not know stay, and a rewritten document gets the length of the old
    /// one, so that it can replace it.
    Patch,
    /// The input's own image layout directory: only documents, recompressed layers and the files at the root are written.
    /// Files that ocify does not know stay.
    LayoutInPlace,
}

impl Form {
    /// What the output is compressed with as a whole; `None` if it is not.
    pub fn compression(self) -> Option<Compression> {
        match self {
            Form::Archive(compression) => {
                Some(compression).filter(|found| *found != Compression::Uncompressed)
            }
            Form::Stream | Form::Layout | Form::Patch | Form::LayoutInPlace => None,
        }
    }
}

impl Default for Form {
    fn default() -> Self {
        Form::Archive(Compression::Uncompressed)
    }
}
