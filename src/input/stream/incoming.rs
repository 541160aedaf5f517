//! The bytes of a stream, in order, except for a look ahead at its beginning.

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Hint, Result};
use crate::image::Content;
use crate::input::outer::Outer;
use crate::input::text_copy::TextCopy;
use crate::tar::Input;

/// How many bytes are skipped at a time.
const SKIPPED: usize = 64 << 10;

/// Reads a stream. What is read before [`settle`](Incoming::settle) is read again after it.
#[derive(Debug)]
pub(in crate::input) struct Incoming {
    path: PathBuf,
    outer: Outer,
    /// Where in the archive the next byte is.
    offset: u64,
    /// The first bytes of the archive.
    ahead: Vec<u8>,
    is_settled: bool,
    copy: TextCopy,
}

impl Incoming {
    pub(in crate::input) fn new(path: &Path, outer: Outer) -> Self {
        Incoming {
            path: path.to_owned(),
            outer,
            offset: 0,
            ahead: Vec::new(),
            is_settled: false,
            copy: TextCopy::default(),
        }
    }

    /// Says of an input that was copied as text that it was, instead of what is wrong with it.
    pub(super) fn explain(&self, error: Error) -> Error {
        self.copy
            .explain(error, &self.path, self.outer.compression())
    }

    /// The compression around the archive, if there is one.
    pub(super) fn compression(&self) -> Option<Content> {
        self.outer.compression()
    }

    /// How many bytes were read ahead.
    pub(super) fn ahead_len(&self) -> usize {
        self.ahead.len()
    }

    /// Goes back to the beginning, as long as nothing is settled.
    pub(super) fn rewind(&mut self) {
        if !self.is_settled {
            self.offset = 0;
        }
    }

    /// From here on every byte is read once.
    pub(super) fn settle(&mut self) {
        self.rewind();
        self.is_settled = true;
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that were read before decoding since this was asked last.
    pub(super) fn take_count(&mut self) -> u64 {
        self.outer.take_count()
    }

    /// Reads some of what comes next: nothing only at the end.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let given = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let left = self.ahead.get(given..).unwrap_or_default();
        let count = if left.is_empty() {
            if self.is_settled && !self.ahead.is_empty() {
                self.ahead = Vec::new();
            }
            let count = self.outer.read(buffer)?;
            self.copy.add(&buffer[..count]);
            if !self.is_settled {
                self.ahead.extend_from_slice(&buffer[..count]);
            }
            count
        } else {
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            count
        };
        self.offset += count as u64;
        Ok(count)
    }

    /// Fills the buffer; with fewer bytes only at the end.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.take(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// Skips to `position`.
    fn skip_to(&mut self, position: u64) -> Result<()> {
        if position < self.offset {
            return Err(Error::new(
                Code::NeedsFile,
                format!("byte {position} was already passed"),
            )
            .with_byte(position)
            .with_hint(Hint::WriteToFile));
        }
        let mut buffer = Vec::new();
        while self.offset < position {
            let left = usize::try_from(position - self.offset).unwrap_or(usize::MAX);
            buffer.resize(left.min(SKIPPED), 0);
            if self.take(&mut buffer)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Input for Incoming {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize> {
        self.skip_to(position)?;
        if self.offset < position {
            return Ok(0);
        }
        self.fill(buffer)
    }
}
