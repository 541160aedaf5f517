//! Archives that are compressed as a whole are decompressed to a file without a name, which is gone
//! when it is closed, whatever happens.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::outer::Outer;
use super::{Source, other_format};
use crate::codec::Limits;
use crate::error::{Error, Hint, IoContext, Result};
use crate::image::{Content, sniff_compression};
use crate::inventory::DataLocation;
use crate::progress::Progress;

/// One read and one write.
const PIECE: usize = 128 << 10;

/// How to decompress.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpoolOptions<'a> {
    /// The directory that holds the decompressed bytes while they are needed.
    pub directory: &'a Path,
    /// Limits on decompression.
    pub limits: Limits,
}

impl<'a> SpoolOptions<'a> {
    /// Keeps the bytes in this directory, within the usual limits.
    pub fn new(directory: &'a Path) -> Self {
        SpoolOptions {
            directory,
            limits: Limits::default(),
        }
    }

    /// The same within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl Source {
    /// How the archive is compressed as a whole, by its first bytes; `None` if it is not.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn outer_compression(&self) -> Result<Option<Content>> {
        if self.is_directory() {
            return Ok(None);
        }
        let len = self.file_len()?;
        let head = self.head(&DataLocation::Offset(0), len)?;
        Ok(sniff_compression(&head))
    }

    /// The same archive, decompressed; progress counts the compressed bytes.
    ///
    /// # Errors
    /// The data is damaged, ends early or becomes larger than the limits allow; the directory has
    /// no space.
    pub fn decompress(
        self,
        content: Content,
        options: SpoolOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Source> {
        let len = self.file_len()?;
        progress.start(len);
        let spooled = self.spool(content, len, options, progress);
        progress.finish();
        let spooled =
            spooled.map_err(|error| other_format::explain(error, &self.path, &self.file, None))?;
        Ok(Source {
            file: Arc::new(spooled),
            start: OnceLock::new(),
            outer: Some(content),
            compressed: Some(self.file),
            ..self
        })
    }

    fn file_len(&self) -> Result<u64> {
        Ok(self.file.metadata().context("read", &self.path)?.len())
    }

    fn spool(
        &self,
        content: Content,
        len: u64,
        options: SpoolOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<File> {
        let file = Positioned {
            file: Arc::clone(&self.file),
            at: 0,
        };
        let mut outer = Outer::new(&self.path, content, file, Some(len), options.limits)?;
        spool(options.directory, |buffer| {
            if progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let count = outer.read(buffer)?;
            progress.advance(outer.take_count());
            Ok(count)
        })
    }
}

/// Reads a file from its start at a position of its own, so that others can read the same open file.
struct Positioned {
    file: Arc<File>,
    at: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Writes what `read` gives to a file without a name.
pub(super) fn spool(
    directory: &Path,
    mut read: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<File> {
    let mut spool = tempfile::tempfile_in(directory)
        .map_err(|error| with_hint("create a temporary file in", directory, error))?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            return Ok(spool);
        }
        spool
            .write_all(&buffer[..count])
            .map_err(|error| with_hint("write to", directory, error))?;
    }
}

pub(super) fn with_hint(action: &'static str, directory: &Path, error: io::Error) -> Error {
    Error::io(action, directory, error).with_hint(Hint::ChooseSpoolDirectory)
}
