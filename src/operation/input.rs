//! Where an archive or image layout comes from.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::beneath::{Directory, HeldPath, InputPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::Source;

/// An archive or image layout directory to work on. Archives may be compressed as a whole with gzip,
/// zstd, bzip2 or xz.
#[derive(Debug)]
pub struct Input {
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A file or directory that is opened when the operation begins.
    Path(InputPath),
    /// A file or directory that is open already.
    Source(Source),
    /// Something that can be read once.
    Stream(Stream),
}

/// Something that can be read once.
pub(crate) struct Stream {
    pub(crate) reader: Box<dyn Read + Send>,
    /// What messages call it.
    pub(crate) name: PathBuf,
    /// The file, if it is one, by which an output that leads to it is recognized.
    pub(crate) file: Option<Source>,
}

impl Input {
    /// Opens an archive or an image layout directory.
    ///
    /// A file whose in-place fix was interrupted is opened when the operation begins, which restores it
    /// first.
    ///
    /// # Errors
    /// There is nothing at the path, it is neither a file nor a directory, or it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Input> {
        let path = path.as_ref();
        match Source::open(path) {
            Ok(source) => Ok(Input {
                kind: Kind::Source(source),
            }),
            Err(error) if error.code() == Code::UnfinishedFix => Ok(Self::path(path)),
            Err(error) => Err(error),
        }
    }

    /// An archive or image layout directory that is opened when the operation begins.
    pub fn path(path: impl Into<PathBuf>) -> Input {
        Input {
            kind: Kind::Path(InputPath::Named(path.into())),
        }
    }

    /// An archive or image layout directory below a directory that is held open. It is opened when the operation begins.
    /// No symbolic link below the directory is followed, whatever others do there in the meantime.
    ///
    /// # Errors
    /// The path leads out of the directory, or the directory that it ends in cannot be opened.
    pub fn beneath(directory: &Directory, path: impl AsRef<Path>) -> Result<Input> {
        let path = path.as_ref();
        let place = HeldPath::below(directory, path).context("open", directory.join(path))?;
        Ok(Self::at(InputPath::Held(place)))
    }

    /// An archive or image layout directory that is opened when the operation begins.
    #[doc(hidden)]
    pub fn at(path: InputPath) -> Input {
        Input {
            kind: Kind::Path(path),
        }
    }

    /// An archive that can be read once, from its first byte to its last. It is processed in one pass
    /// if that is possible; otherwise it is kept in a temporary file first.
    pub fn stream(reader: impl Read + Send + 'static) -> Input {
        Input {
            kind: Kind::Stream(Stream {
                reader: Box::new(reader),
                name: PathBuf::from("the input"),
                file: None,
            }),
        }
    }

    /// The same for a file that is open already, such as standard input. `name` is what messages call
    /// it. An output that leads to the same file is refused.
    ///
    /// # Errors
    /// The file's metadata cannot be read.
    pub fn from_file(file: File, name: impl Into<PathBuf>) -> Result<Input> {
        let name = name.into();
        let own = file.try_clone().context("use", &name)?;
        Ok(Input {
            kind: Kind::Stream(Stream {
                file: Some(Source::of(own, &name)?),
                reader: Box::new(file),
                name,
            }),
        })
    }

    /// The path of a file that is to be fixed in place. It is opened again, to be written.
    ///
    /// # Errors
    /// It is a stream.
    pub(crate) fn into_place(self) -> Result<InputPath> {
        match self.kind {
            Kind::Path(path) => Ok(path),
            Kind::Source(source) => Ok(source.input_path()),
            Kind::Stream(stream) => Err(Error::new(
                Code::InPlaceRefused,
                format!(
                    "{} cannot be fixed in place: it is a stream",
                    show_path(&stream.name)
                ),
            )
            .with_path(&stream.name)
            .with_hint(Hint::WriteElsewhere)),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
