//! The compression around an entire archive: decoded as it is read, and never to more than the limits allow.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reader::uninterrupted;
use crate::codec::{self, Limits, is_trailing, needs_too_much_memory};
use crate::error::{Code, Error, Hint, Pipeline, Result, show_path};
use crate::image::Content;

/// One read.
const PIECE: usize = 256 << 10;

/// Reads an archive without the compression around it.
pub(super) struct Outer {
    path: PathBuf,
    content: Content,
    decoder: Box<dyn Read + Send>,
    /// The length before decoding, if it is known.
    len: Option<u64>,
    limits: Limits,
    /// How many bytes were read, and how many of them were counted.
    read: Arc<AtomicU64>,
    counted: u64,
    decoded: u64,
}

impl Outer {
    /// Decodes `input`, which is compressed as `content` says, or not compressed. `len` is its length, if
    /// that is known.
    pub(super) fn new(
        path: &Path,
        content: Content,
        input: impl Read + Send + 'static,
        len: Option<u64>,
        limits: Limits,
    ) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            input,
            read: Arc::clone(&read),
        };
        let input = BufReader::with_capacity(PIECE, counted);
        let decoder = codec::decoder(content, input, limits)
            .map_err(|error| damaged(path, content, limits, error))?;
        Ok(Outer {
            path: path.to_owned(),
            content,
            decoder,
            len,
            limits,
            read,
            counted: 0,
            decoded: 0,
        })
    }

    /// How the archive is compressed, if it is.
    pub(super) fn compression(&self) -> Option<Content> {
        self.content.is_compressed().then_some(self.content)
    }

    /// Reads some of what comes next: nothing only at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = uninterrupted(|| self.decoder.read(buffer))
            .map_err(|error| damaged(&self.path, self.content, self.limits, error))?;
        self.decoded += count as u64;
        if self.content.is_compressed() {
            let len = self
                .len
                .unwrap_or_else(|| self.read.load(Ordering::Relaxed));
            if self.decoded > self.limits.max_len(len) {
                let error = (self.limits).len_error(show_path(&self.path), len, "archive");
                return Err(error.with_path(&self.path));
            }
        }
        Ok(count)
    }

    /// How many bytes were read before decoding since this was asked last.
    pub(super) fn take_count(&mut self) -> u64 {
        let read = self.read.load(Ordering::Relaxed);
        read - std::mem::replace(&mut self.counted, read)
    }
}

impl std::fmt::Debug for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outer")
            .field("path", &self.path)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// The commands that decompress an archive, if it is compressed as a whole, and then decode what is inside.
pub(super) fn decoding(path: &Path, outer: Option<Content>, more: Option<&str>) -> Pipeline {
    let outer = outer.and_then(Content::decompressor);
    let commands = outer.into_iter().chain(more);
    Pipeline::new(path, commands.map(str::to_owned))
}

fn damaged(path: &Path, content: Content, limits: Limits, error: io::Error) -> Error {
    if !content.is_compressed() {
        return Error::io("read", path, error);
    }
    let shown = show_path(path);
    if needs_too_much_memory(&error) {
        return limits.window_error(&shown).with_path(path);
    }
    let name = content.name();
    let hint = match is_trailing(&error) {
        // gzip ignores what follows, with a warning.
        true => Hint::CutOff(decoding(path, Some(content), None)),
        false => Hint::DownloadAgain,
    };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::new(
            Code::TruncatedArchive,
            format!("{shown} ends inside its {name} data"),
        )
        .with_path(path)
        .with_hint(hint);
    }
    Error::new(
        Code::InvalidArchive,
        format!("{shown} cannot be decompressed as {name}"),
    )
    .with_path(path)
    .with_source(error)
    .with_hint(hint)
}

struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
