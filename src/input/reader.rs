//! Reads one blob of a source, by position and in order.
//!
//! Everything that copies or verifies a blob reads it here, so that an interrupted system call, a
//! request to stop, and an input that changes during the run are each handled once.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::Source;
use super::extents::{Extent, Extents};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::inventory::DataLocation;
use crate::location::Location;
use crate::progress::Progress;

/// A blob of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlobAt<'a> {
    pub(crate) name: BlobName<'a>,
    pub(crate) data: &'a DataLocation,
    /// Its length in bytes when the source was scanned.
    pub(crate) len: u64,
}

/// What messages call a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BlobName<'a> {
    /// The name of an entry in the output.
    Entry(&'a str),
    /// The location in a document that refers to the blob.
    Document(&'a Location),
}

impl fmt::Display for BlobName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlobName::Entry(name) => f.write_str(name),
            BlobName::Document(location) => location.fmt(f),
        }
    }
}

/// What comes next in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This many bytes, which are in the buffer now; none at the end of the blob.
    Bytes(usize),
    /// This many zeros, which are stored nowhere and were not read.
    Hole(u64),
}

/// Reads a blob, or a range of one, from its first byte to its last.
pub(crate) struct BlobReader<'a> {
    path: &'a Path,
    file: Arc<File>,
    subject: Subject<'a>,
    /// Where the blob begins in the file.
    start: u64,
    /// What is left to read, relative to `start`.
    left: Range<u64>,
    holes: Option<Holes>,
    progress: &'a dyn Progress,
}

/// What messages call an input that ended too early.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Blob(BlobAt<'a>),
    Archive,
}

struct Holes {
    extents: Extents,
    /// The longest hole to report at once.
    max_len: u64,
}

impl Source {
    /// Reads a blob. `progress` counts the bytes as they are read, and can stop the reader.
    ///
    /// # Errors
    /// The blob's file cannot be opened, or has another length than when the source was scanned.
    pub(crate) fn reader<'a>(
        &'a self,
        blob: BlobAt<'a>,
        progress: &'a dyn Progress,
    ) -> Result<BlobReader<'a>> {
        let (file, start) = self.open_whole(blob)?;
        Ok(BlobReader {
            path: self.path(),
            file,
            subject: Subject::Blob(blob),
            start,
            left: 0..blob.len,
            holes: None,
            progress,
        })
    }

    /// Reads the bytes of an archive in `range`, whatever they are.
    pub(crate) fn range_reader<'a>(
        &'a self,
        range: Range<u64>,
        progress: &'a dyn Progress,
    ) -> BlobReader<'a> {
        BlobReader {
            path: self.path(),
            file: Arc::clone(&self.file),
            subject: Subject::Archive,
            start: 0,
            left: range,
            holes: None,
            progress,
        }
    }

    /// The file that contains a blob, and where in it the blob begins.
    ///
    /// # Errors
    /// The blob's file cannot be opened, or has another length than when the source was scanned.
    pub(crate) fn open_whole(&self, blob: BlobAt<'_>) -> Result<(Arc<File>, u64)> {
        let (file, start) = self.open_blob(blob.data)?;
        if blob.data.is_file() {
            let found = file.metadata().context("read", self.path())?.len();
            if found != blob.len {
                return Err(blob.changed(found));
            }
        }
        Ok((file, start))
    }
}

impl BlobName<'_> {
    /// Says in an error what it is about.
    pub(crate) fn place(self, error: Error) -> Error {
        match self {
            BlobName::Entry(name) => error.with_entry(name),
            BlobName::Document(location) => error.with_location(location),
        }
    }
}

impl BlobAt<'_> {
    /// The error for a blob of which the source now has `found` bytes.
    pub(crate) fn changed(&self, found: u64) -> Error {
        let (code, what) = match self.data {
            DataLocation::Offset(_) => (Code::TruncatedArchive, "the archive ends inside it"),
            DataLocation::Input { data, .. } if !data.is_file() => {
                (Code::TruncatedArchive, "the archive ends inside it")
            }
            DataLocation::File(_)
            | DataLocation::Spooled { .. }
            | DataLocation::Input { .. }
            | DataLocation::Buffered(_)
            | DataLocation::Written => (Code::SizeMismatch, "the file has the wrong length"),
        };
        let BlobAt { name, len, .. } = self;
        let error = Error::new(
            code,
            format!("cannot copy {name}, {what}: expected {len} bytes, found {found}"),
        )
        .with_expected(len)
        .with_found(found)
        .with_hint(Hint::RetryAfterChange);
        name.place(error)
    }
}

impl<'a> BlobReader<'a> {
    /// The same blob, to be read from another file, which contains nothing else. `path` is what
    /// messages call the file.
    pub(crate) fn in_file(self, file: Arc<File>, path: &'a Path) -> Self {
        BlobReader {
            path,
            file,
            start: 0,
            ..self
        }
    }

    /// Reads only these bytes of the blob.
    pub(crate) fn only(self, range: Range<u64>) -> Self {
        BlobReader {
            left: range,
            ..self
        }
    }

    /// Reports holes instead of reading zeros, at most `max_len` bytes of a hole at once.
    pub(crate) fn with_holes(self, max_len: u64) -> Self {
        let extents = Extents::of(&self.file);
        let holes = extents
            .may_be_sparse()
            .then_some(Holes { extents, max_len });
        BlobReader { holes, ..self }
    }

    /// Whether the file may have holes; only known of a reader that reports them.
    pub(crate) fn may_have_holes(&self) -> bool {
        self.holes.is_some()
    }

    /// The file that contains the blob.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Counts the rest of the blob as read.
    pub(crate) fn skip_rest(&mut self) {
        self.passed(self.left());
    }

    /// How many bytes are left to read.
    pub(crate) fn left(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// Reads some of what comes next into the buffer, or skips a hole.
    ///
    /// # Errors
    /// The input ends inside the blob or cannot be read, or the work was stopped.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        let wanted = self.left().min(buffer.len() as u64);
        let at = self.start + self.left.start;
        let mut end = at + wanted;
        if let Some(holes) = &mut self.holes
            && wanted > 0
        {
            if self.progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let longest = at + holes.max_len.min(self.left.end - self.left.start);
            let extent = holes.extents.at(&self.file, at, longest.max(end));
            match extent.context("read", self.path)? {
                Extent::Data(until) => end = end.min(until),
                Extent::Hole(until) => return Ok(Piece::Hole(self.passed(until - at))),
                Extent::End => return Err(self.ended()),
            }
        }
        let wanted = (end - at) as usize;
        self.read(&mut buffer[..wanted]).map(Piece::Bytes)
    }

    /// Reads some of what comes next, holes as zeros; none only at the end of the blob.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        if self.progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let at = self.start + self.left.start;
        let count = read_some(&*self.file, &mut buffer[..wanted], at);
        match count.context("read", self.path)? {
            0 => Err(self.ended()),
            count => {
                self.passed(count as u64);
                Ok(count)
            }
        }
    }

    fn passed(&mut self, count: u64) -> u64 {
        self.left.start += count;
        self.progress.advance(count);
        count
    }

    /// The error for an input that has become shorter, the same for every range of a blob.
    fn ended(&self) -> Error {
        match self.subject {
            Subject::Blob(blob) => {
                let len = self.file.metadata().map_or(0, |found| found.len());
                blob.changed(len.saturating_sub(self.start).min(blob.len))
            }
            Subject::Archive => archive_ended(self.path, self.left.start),
        }
    }
}

/// The error for an archive that ends where more of it was expected.
pub(crate) fn archive_ended(path: &Path, at: u64) -> Error {
    Error::new(
        Code::TruncatedArchive,
        format!(
            "{} ended at byte {at} while it was being read",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_byte(at)
    .with_hint(Hint::RetryWhenIdle)
}

/// A file that can be read by position.
pub(crate) trait ReadAt {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// Reads some bytes from `offset` on; none only at the end of the file.
pub(crate) fn read_some(file: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    uninterrupted(|| file.read_at(buffer, offset))
}

/// Fills the buffer with the bytes from `offset` on; with fewer only at the end of the file.
pub(crate) fn read_full(file: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read_some(file, &mut buffer[done..], offset + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Repeats a call for as long as a signal interrupts it.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
