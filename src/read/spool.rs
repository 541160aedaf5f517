//! Archives that are compressed as a whole are decompressed to a file without a name, which is gone
//! when it is closed, whatever happens.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::{Source, content};
use crate::compression;
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::inventory::{Content, Location};
use crate::progress::Progress;
use crate::temporary::unnamed;

/// One read and one write.
const PIECE: usize = 128 << 10;
/// What any archive may decompress to, in bytes, whatever the ratio.
const FREE_LEN: u64 = 64 << 20;

/// How to decompress.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOptions<'a> {
    /// The directory that holds the decompressed bytes while they are needed.
    pub directory: &'a Path,
    /// How many times larger than its compressed form an archive may become.
    pub max_ratio: u64,
}

impl Source {
    /// How the archive is compressed as a whole, by its first bytes; `None` if it is not.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn outer_compression(&self) -> Result<Option<Content>> {
        if self.is_layout() {
            return Ok(None);
        }
        let len = self.file_len()?;
        let head = self.head(&Location::Offset(0), len)?;
        Ok(content::compression(&head))
    }

    /// The same archive, decompressed; progress counts the compressed bytes.
    ///
    /// # Errors
    /// The data is damaged, ends early or becomes larger than the ratio allows; the directory has
    /// no room.
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
        Ok(Source {
            file: Arc::new(spooled?),
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
        let mut spool = unnamed(options.directory)
            .map_err(|error| with_hint("create a temporary file in", options.directory, error))?;
        // The position of the open file is its own, so that the source can be read by others.
        let file = File::open(&self.path).context("open", &self.path)?;
        let counted = Counted { file, progress };
        let damaged = |error: io::Error| self.damaged(content, &error);
        let input = BufReader::with_capacity(PIECE, counted);
        let mut decoder = compression::decoder(content, input).map_err(damaged)?;
        let limit = len.saturating_mul(options.max_ratio).max(FREE_LEN);
        let mut buffer = vec![0; PIECE];
        let mut total = 0_u64;
        loop {
            if progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let count = match decoder.read(&mut buffer) {
                Ok(0) => return Ok(spool),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(error)),
            };
            total += count as u64;
            if total > limit {
                return Err(too_large(&self.path, len, options.max_ratio));
            }
            spool
                .write_all(&buffer[..count])
                .map_err(|error| with_hint("write to", options.directory, error))?;
        }
    }

    fn damaged(&self, content: Content, error: &io::Error) -> Error {
        let shown = show_path(&self.path);
        let name = content.name();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::new(
                Code::TruncatedArchive,
                format!("{shown} ends inside its {name} data"),
            )
            .with_hint("copy or download the archive again");
        }
        Error::new(
            Code::InvalidArchive,
            format!("{shown} cannot be decompressed as {name}: {error}"),
        )
        .with_hint("copy or download the archive again")
    }
}

fn too_large(path: &Path, len: u64, max_ratio: u64) -> Error {
    Error::new(
        Code::CompressionRatio,
        format!(
            "{} has {len} compressed bytes and becomes more than {max_ratio} times larger",
            show_path(path)
        ),
    )
    .with_hint("if the archive is to be trusted, allow more with --max-ratio")
}

fn with_hint(action: &'static str, directory: &Path, error: io::Error) -> Error {
    Error::io(action, directory, error).with_hint(
        "choose another directory with --spool-dir or TMPDIR, or decompress the archive first",
    )
}

struct Counted<'a> {
    file: File,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
