//! Where an output goes, before anything is checked.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::beneath::Directory;
use crate::error::{IoContext, Result};
use crate::image::{ArchiveSuffix, Compression};
use crate::plan::Form;

/// Where an output goes, and in which form.
///
/// ```
/// use ocify::{Compression, Form, Output};
///
/// assert_eq!(Output::archive("app.tar.gz").form(), Form::Archive(Compression::Gzip));
/// assert_eq!(Output::layout("app").form(), Form::Layout);
/// ```
pub struct Output<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) compression: Option<Compression>,
    pub(super) overwrite: bool,
    /// What the path is relative to, if nothing below that is followed.
    pub(super) directory: Option<Directory>,
}

pub(super) enum Kind<'a> {
    Archive(PathBuf),
    Layout(PathBuf),
    Stream(Stream<'a>),
    InPlace,
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
            directory: None,
        }
    }

    /// A new archive with this path. It is compressed as a whole if the suffix says so: `.tar.gz`, `.tgz`,
    /// `.gz`, `.tar.zst`, `.tzst` or `.zst`, in upper or lower case. A suffix of a format that ocify does not
    /// write, such as `.tar.xz`, is refused when the operation begins, unless
    /// [`compression`](Self::compression) is called.
    pub fn archive(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Archive(path.into()))
    }

    /// A new image layout directory with this path, whatever its name. An empty directory may be there.
    pub fn layout(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Layout(path.into()))
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

    /// Whether an archive replaces a regular file that exists, and a layout an image layout directory.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Writes below a directory: the path is relative to it, and no symbolic link below it is followed, whatever
    /// others do there in the meantime. It has no effect on a stream and in place.
    #[must_use]
    pub fn beneath(mut self, directory: &Directory) -> Self {
        self.directory = Some(directory.clone());
        self
    }

    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.kind, Kind::InPlace)
    }

    /// The form that the output is to have.
    pub fn form(&self) -> Form {
        match &self.kind {
            Kind::InPlace => Form::Patch,
            Kind::Stream(_) => Form::Stream,
            Kind::Layout(_) => Form::Layout,
            Kind::Archive(path) => {
                let by_name = || suffix(path).and_then(|suffix| suffix.compression.ok());
                let compression = self.compression.or_else(by_name);
                Form::Archive(compression.unwrap_or(Compression::Uncompressed))
            }
        }
    }

    /// The name of the format that an archive's suffix implies, if ocify does not write it.
    pub(super) fn unwritten_format(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Archive(path) if self.compression.is_none() => suffix(path)?.compression.err(),
            _ => None,
        }
    }
}

fn suffix(path: &Path) -> Option<ArchiveSuffix> {
    ArchiveSuffix::of(path.file_name().unwrap_or_default())
}

pub(super) fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Output");
        match &self.kind {
            Kind::Archive(path) => shown.field("archive", path),
            Kind::Layout(path) => shown.field("layout", path),
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
    fn the_form_is_that_of_the_call_and_of_the_suffix() {
        let gzip = Form::Archive(Compression::Gzip);
        let zstd = Form::Archive(Compression::Zstd);
        let plain = Form::Archive(Compression::Uncompressed);
        for (output, expected) in [
            (Output::archive("a.tar"), plain),
            (Output::archive("a"), plain),
            (Output::archive("a.tgz"), gzip),
            (Output::archive("A.TAR.ZST"), zstd),
            (Output::archive("a").compression(Compression::Gzip), gzip),
            (
                Output::archive("a.gz").compression(Compression::Uncompressed),
                plain,
            ),
            (Output::layout("a.tar"), Form::Layout),
            (Output::layout("a"), Form::Layout),
            (Output::stream(Vec::new()), Form::Stream),
            (Output::in_place(), Form::Patch),
        ] {
            assert_eq!(output.form(), expected, "{output:?}");
            assert_eq!(output.unwritten_format(), None, "{output:?}");
        }
        let xz = || Output::archive("a.TXZ");
        assert_eq!(xz().unwritten_format(), Some("xz"));
        let plain = xz().compression(Compression::Uncompressed);
        assert_eq!(plain.unwritten_format(), None);
        assert_eq!(Output::layout("a.txz").unwritten_format(), None);
    }
}
