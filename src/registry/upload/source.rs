//! The bytes of a blob on their way to a registry.

use std::io::{self, Read};

use super::Blob;
use crate::error::{Code, Error, Result};
use crate::image::{Digest, Hasher};

/// The bytes of a blob that were hashed so far: those before an offset.
#[derive(Debug)]
pub(super) struct Hashed {
    offset: u64,
    hasher: Hasher,
}

/// Reads a part of a blob, and verifies the digest before it returns the blob's last bytes.
pub(super) struct Source<'a> {
    blob: &'a Blob<'a>,
    reader: Box<dyn Read + Send>,
    /// The bytes before `offset` have been hashed too; `None` if the digest cannot be verified.
    hasher: Option<Hasher>,
    offset: u64,
    /// Where this part ends.
    end: u64,
    /// How many bytes have been reported as sent, before and now.
    reported: u64,
    /// Why reading ended too early.
    error: Option<Error>,
}

impl<'a> Source<'a> {
    /// `len` bytes from `offset`, of which those before `reported` are not reported again. Those that were hashed before
    /// are not read again.
    pub(super) fn new(
        blob: &'a Blob<'a>,
        offset: u64,
        len: u64,
        reported: u64,
        hashed: Option<Hashed>,
    ) -> Result<Self> {
        let mut source = Source {
            blob,
            reader: Box::new(io::empty()),
            hasher: blob.digest.algorithm().map(Hasher::new),
            offset: 0,
            end: offset + len,
            reported,
            error: None,
        };
        // What the registry has by now is hashed again, unless nobody could verify it.
        match source.hasher.is_some() {
            true => {
                if let Some(hashed) = hashed.filter(|hashed| hashed.offset <= offset) {
                    source.offset = hashed.offset;
                    source.hasher = Some(hashed.hasher);
                }
                source.reader = (blob.open)(source.offset)?;
                source.skip(offset)?;
            }
            false => {
                source.reader = (blob.open)(offset)?;
                source.offset = offset;
            }
        }
        if len == 0 {
            source.verify()?;
        }
        Ok(source)
    }

    fn skip(&mut self, until: u64) -> Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        while self.offset < until {
            let left = (until - self.offset).min(buffer.len() as u64) as usize;
            self.next(&mut buffer[..left])?;
        }
        Ok(())
    }

    /// Reads and hashes at least one byte.
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if (self.blob.stop)() {
            return Err(Error::interrupted());
        }
        let count = loop {
            match self.reader.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        };
        if count == 0 {
            let blob = self.blob;
            let message = format!(
                "blob {} was truncated while it was being read: expected {} bytes, found {}",
                blob.digest, blob.len, self.offset
            );
            let error = Error::new(Code::SourceChanged, message);
            return Err(error.with_expected(blob.len).with_found(self.offset));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.offset += count as u64;
        if self.offset == self.blob.len {
            self.verify()?;
        }
        Ok(count)
    }

    /// Compares the digest, at the end of the blob.
    fn verify(&mut self) -> Result<()> {
        if self.offset != self.blob.len {
            return Ok(());
        }
        let found = self.hasher.clone().map(Hasher::finish);
        match found.filter(|found| found != self.blob.digest) {
            Some(found) => Err(mismatch(self.blob.digest, &found)),
            None => Ok(()),
        }
    }

    fn unreadable(&self, error: io::Error) -> Error {
        // A reader of the library wraps its own errors.
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => {
                let message = format!("cannot read blob {}", self.blob.digest);
                Error::new(Code::Io, message).with_source(error)
            }
        }
    }

    /// How many bytes have been reported, what was hashed, and why reading ended too early.
    pub(super) fn finish(self) -> (u64, Option<Hashed>, Option<Error>) {
        let offset = self.offset;
        let hashed = self.hasher.map(|hasher| Hashed { offset, hasher });
        (self.reported, hashed, self.error)
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = (self.end - self.offset).min(buffer.len() as u64) as usize;
        if left == 0 || self.error.is_some() {
            return Ok(0);
        }
        match self.next(&mut buffer[..left]) {
            Ok(count) => {
                if let Some(more) = self.offset.checked_sub(self.reported) {
                    (self.blob.sent)(more);
                    self.reported = self.offset;
                }
                Ok(count)
            }
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

fn mismatch(expected: &Digest, found: &Digest) -> Error {
    let message = format!("blob {expected} has another digest: {found}");
    Error::new(Code::DigestMismatch, message)
        .with_expected(expected)
        .with_found(found)
}
