//! Reads a blob to send it. Its last bytes are handed out only once its digest is verified, so that no registry gets all
//! bytes of a blob that is damaged.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::apply::wrong_digest;
use crate::error::{Error, IoContext, Result};
use crate::image::{Digest, Hasher};
use crate::input::{BlobAt, BlobName, Source};
use crate::inventory::DataLocation;

/// What is hashed at once of bytes that the registry has already.
const PIECE: usize = 128 << 10;

/// A blob of a source.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) source: &'a Source,
    pub(super) digest: &'a Digest,
    pub(super) data: &'a DataLocation,
    pub(super) len: u64,
}

/// What went wrong with the bytes, as opposed to sending them.
#[derive(Clone, Default)]
pub(super) struct Damage(Arc<Mutex<Option<Error>>>);

impl Damage {
    /// The error, if there is one.
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) -> io::Error {
        let message = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(message)
    }
}

impl Sent<'_> {
    /// Reads the blob from an offset on.
    ///
    /// # Errors
    /// The blob's file cannot be read, or changed; `is_stopped` says so while the bytes before the offset are hashed.
    pub(super) fn open(
        &self,
        offset: u64,
        damage: &Damage,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Read + Send>> {
        let name = self.digest.blob_name();
        let (file, start) = self.source.open_whole(self.at(&name))?;
        let algorithm = self.digest.algorithm();
        let mut bytes = Bytes {
            file,
            start,
            done: 0,
            len: self.len,
            hasher: algorithm.map(Hasher::new),
            digest: self.digest.clone(),
            damage: damage.clone(),
        };
        let mut piece = vec![0; PIECE.min(usize::try_from(offset).unwrap_or(PIECE))];
        while bytes.done < offset {
            if is_stopped() {
                return Err(Error::interrupted());
            }
            let left = usize::try_from(offset - bytes.done).unwrap_or(usize::MAX);
            let wanted = left.min(PIECE);
            let count = bytes.next(&mut piece[..wanted]);
            if count.context("read", self.source.path())? == 0 {
                break;
            }
        }
        if bytes.done == self.len {
            bytes.verify().map_err(|_| self.failure(damage))?;
        }
        Ok(Box::new(bytes))
    }

    fn at<'b>(&'b self, name: &'b str) -> BlobAt<'b> {
        BlobAt {
            name: BlobName::Entry(name),
            data: self.data,
            len: self.len,
        }
    }

    fn failure(&self, damage: &Damage) -> Error {
        damage.take().unwrap_or_else(|| {
            let name = self.digest.blob_name();
            self.at(&name).changed(0)
        })
    }
}

/// The bytes of a blob from some offset on.
struct Bytes {
    file: Arc<File>,
    /// Where the blob begins in the file.
    start: u64,
    /// How many bytes were read.
    done: u64,
    len: u64,
    /// `None` once the digest is verified, and if it cannot be.
    hasher: Option<Hasher>,
    digest: Digest,
    damage: Damage,
}

impl Bytes {
    /// Reads and hashes some bytes.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.done).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let at = self.start + self.done;
        let count = self.file.read_at(&mut buffer[..wanted], at)?;
        if count == 0 {
            let data = DataLocation::Offset(self.start);
            let name = self.digest.blob_name();
            let blob = BlobAt {
                name: BlobName::Entry(&name),
                data: &data,
                len: self.len,
            };
            return Err(self.damage.set(blob.changed(self.done)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.done += count as u64;
        Ok(count)
    }

    fn verify(&mut self) -> io::Result<()> {
        let Some(found) = self.hasher.take().map(Hasher::finish) else {
            return Ok(());
        };
        if found == self.digest {
            return Ok(());
        }
        let name = self.digest.blob_name();
        let error = wrong_digest(&name, &self.digest, &found).with_entry(&name);
        Err(self.damage.set(error))
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.next(buffer)?;
        if count > 0 && self.done == self.len {
            self.verify()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::error::Code;
    use crate::image::Algorithm;

    /// Reads everything from an offset on in small pieces; the bytes until the first error.
    fn read(bytes: &[u8], digest: &Digest, len: u64, offset: u64) -> (Vec<u8>, Option<Code>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(bytes).unwrap();
        let source = Source::of(file, Path::new("app.tar")).unwrap();
        let sent = Sent {
            source: &source,
            digest,
            data: &DataLocation::Offset(6),
            len,
        };
        let damage = Damage::default();
        let mut read = Vec::new();
        let mut reader = match sent.open(offset, &damage, &|| false) {
            Ok(reader) => reader,
            Err(error) => return (read, Some(error.code())),
        };
        let mut piece = [0; 7];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return (read, None),
                Ok(count) => read.extend_from_slice(&piece[..count]),
                Err(_) => return (read, damage.take().map(|error| error.code())),
            }
        }
    }

    #[test]
    fn intact_blobs_are_read_from_any_offset() {
        let bytes: Vec<u8> = (0..100).collect();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        for offset in [0, 1, 7, 99, 100] {
            let (read, error) = read(&bytes, &digest, 100, offset);
            assert_eq!((read.as_slice(), error), (&bytes[offset as usize..], None));
        }
        let empty = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(read(b"", &empty, 0, 0), (Vec::new(), None));
    }

    #[test]
    fn the_last_bytes_of_a_damaged_blob_are_never_read() {
        let bytes: Vec<u8> = (0..100).collect();
        let other = Digest::of(Algorithm::Sha256, b"other");
        for offset in [0, 50, 99] {
            let (read, error) = read(&bytes, &other, 100, offset);
            assert!(read.len() < 100 - offset as usize, "{offset}");
            assert_eq!(error, Some(Code::DigestMismatch), "{offset}");
        }
        assert_eq!(read(&bytes, &other, 100, 100).1, Some(Code::DigestMismatch));
        assert_eq!(read(b"", &other, 0, 0).1, Some(Code::DigestMismatch));
    }

    #[test]
    fn a_blob_that_became_shorter_is_an_error() {
        let bytes: Vec<u8> = (0..50).collect();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let (_, error) = read(&bytes, &digest, 100, 0);
        assert_eq!(error, Some(Code::TruncatedArchive));
    }
}
