//! Where an output goes, before anything is checked.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::image::Compression;
use crate::plan::Form;

/// Where an output goes, and in which form.
///
/// ```
/// use ocify::{Compression, Form, Output};
///
/// assert_eq!(Output::path("app.tar.gz").form(), Form::Archive(Compression::Gzip));
/// assert_eq!(Output::path("layout/").form(), Form::Layout);
/// ```
pub struct Output<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) compression: Option<Compression>,
    pub(super) overwrite: bool,
}

pub(super) enum Kind<'a> {
    Path(PathBuf, PathKind),
    Stream(Stream<'a>),
    InPlace,
}

/// What is created at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathKind {
    /// What the path says.
    ByName,
    Archive,
    Layout,
}

/// Something that is open already.
pub(super) struct Stream<'a> {
    pub(super) writer: Box<dyn Write + Send + 'a>,
    /// What messages call it.
    pub(super) name: PathBuf,
    /// For a file, so that the input can be recognized.
    pub(super) metadata: Option<Metadata>,
}

impl<'a> Output<'a> {
    fn new(kind: Kind<'a>) -> Self {
        Output {
            kind,
            compression: None,
            overwrite: false,
        }
    }

    /// What the path says, like `cp`: an image layout directory if it ends in `/` or is a directory that
    /// exists, which must be empty then; otherwise an archive.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Path(path.into(), PathKind::ByName))
    }

    /// A new archive. It is compressed as a whole if the name says so: `.tar.gz`, `.tgz`, `.tar.zst`.
    pub fn archive(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Path(path.into(), PathKind::Archive))
    }

    /// A new image layout directory.
    pub fn layout(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Path(path.into(), PathKind::Layout))
    }

    /// An archive, written from its first byte to its last. After an error the writer has
    /// received a part of it, but never the files at the root without which it is not an image.
    pub fn stream(writer: impl Write + Send + 'a) -> Self {
        Self::new(Kind::Stream(Stream {
            writer: Box::new(writer),
            name: PathBuf::from("the output"),
            metadata: None,
        }))
    }

    /// An archive, written to a file that is open already, such as standard output. `name` is what
    /// messages call it. The input is recognized and refused.
    ///
    /// # Errors
    /// The file's metadata cannot be read.
    pub fn from_file(file: File, name: impl Into<PathBuf>) -> Result<Self> {
        let name = name.into();
        let metadata = file.metadata().context("use", &name)?;
        Ok(Self::new(Kind::Stream(Stream {
            writer: Box::new(file),
            name,
            metadata: Some(metadata),
        })))
    }

    /// The input, of which only what differs is rewritten.
    pub fn in_place() -> Self {
        Self::new(Kind::InPlace)
    }

    /// What an archive is compressed with as a whole, instead of what its name says.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Whether an archive replaces a file that exists.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.kind, Kind::InPlace)
    }

    /// The form that the output is to have. Whether a path leads to a directory is looked up.
    pub fn form(&self) -> Form {
        match &self.kind {
            Kind::InPlace => Form::Patch,
            Kind::Stream(_) => Form::Stream,
            Kind::Path(path, PathKind::ByName) if ends_in_slash(path) || path.is_dir() => {
                Form::Layout
            }
            Kind::Path(_, PathKind::Layout) => Form::Layout,
            Kind::Path(path, _) => self.archive_form(path),
        }
    }

    /// The form of an archive of that name.
    pub(super) fn archive_form(&self, path: &Path) -> Form {
        let by_name = || Compression::of_name(path.file_name().unwrap_or_default());
        Form::Archive(self.compression.unwrap_or_else(by_name))
    }
}

pub(super) fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Output");
        match &self.kind {
            Kind::Path(path, kind) => shown.field("path", path).field("kind", kind),
            Kind::Stream(stream) => shown.field("stream", &stream.name),
            Kind::InPlace => shown.field("kind", &"InPlace"),
        };
        shown
            .field("compression", &self.compression)
            .field("overwrite", &self.overwrite)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_name_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let gzip = Form::Archive(Compression::Gzip);
        let plain = Form::Archive(Compression::Uncompressed);
        std::fs::create_dir(dir.path().join("x.tar.gz")).unwrap();
        let existing = dir.path().join("x.tar.gz");
        for (output, expected) in [
            (Output::path("a.tar"), plain),
            (Output::path("a.tgz"), gzip),
            (Output::path("a.tgz/"), Form::Layout),
            (Output::path(&existing), Form::Layout),
            (Output::archive(&existing), gzip),
            (Output::archive("a").compression(Compression::Gzip), gzip),
            (
                Output::path("a.gz").compression(Compression::Uncompressed),
                plain,
            ),
            (Output::layout("a.tar"), Form::Layout),
            (Output::stream(Vec::new()), Form::Stream),
            (Output::in_place(), Form::Patch),
        ] {
            assert_eq!(output.form(), expected, "{output:?}");
        }
    }
}
