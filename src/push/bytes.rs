//! Reads a blob to send it. The client of registries verifies its digest before it takes the last bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::Result;
use crate::image::Digest;
use crate::input::{BlobAt, BlobName, Source};
use crate::inventory::DataLocation;

/// A blob of a source.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) source: &'a Source,
    pub(super) digest: &'a Digest,
    pub(super) data: &'a DataLocation,
    pub(super) len: u64,
}

impl Sent<'_> {
    /// Reads the blob from an offset on.
    ///
    /// # Errors
    /// The blob's file cannot be read, or changed.
    pub(super) fn open(&self, offset: u64) -> Result<Box<dyn Read + Send>> {
        let name = self.digest.blob_name();
        let blob = BlobAt {
            name: BlobName::Entry(&name),
            data: self.data,
            len: self.len,
        };
        let (file, start) = self.source.open_whole(blob)?;
        Ok(Box::new(Bytes {
            file,
            start,
            done: offset,
            len: self.len,
            data: self.data.clone(),
            name,
        }))
    }
}

/// The bytes of a blob from some offset on.
struct Bytes {
    file: Arc<File>,
    /// Where the blob begins in the file.
    start: u64,
    /// Where the next read begins in the blob.
    done: u64,
    len: u64,
    data: DataLocation,
    name: String,
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.done)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let count = self
            .file
            .read_at(&mut buffer[..wanted], self.start + self.done)?;
        if count == 0 {
            let blob = BlobAt {
                name: BlobName::Entry(&self.name),
                data: &self.data,
                len: self.len,
            };
            return Err(io::Error::other(blob.changed(self.done)));
        }
        self.done += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::error::{Code, Error};
    use crate::image::Algorithm;

    /// Reads everything from an offset on in small pieces; the bytes until the first error.
    fn read(bytes: &[u8], len: u64, offset: u64) -> (Vec<u8>, Option<Code>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(bytes).unwrap();
        let source = Source::of(file, Path::new("app.tar")).unwrap();
        let sent = Sent {
            source: &source,
            digest: &Digest::of(Algorithm::Sha256, bytes),
            data: &DataLocation::Offset(6),
            len,
        };
        let mut read = Vec::new();
        let mut reader = sent.open(offset).unwrap();
        let mut piece = [0; 7];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return (read, None),
                Ok(count) => read.extend_from_slice(&piece[..count]),
                Err(error) => {
                    let error = error.downcast::<Error>().unwrap();
                    return (read, Some(error.code()));
                }
            }
        }
    }

    #[test]
    fn blobs_are_read_from_any_offset_to_their_end() {
        let bytes: Vec<u8> = (0..100).collect();
        for offset in [0, 1, 7, 99, 100] {
            // What comes after the blob is not read.
            let (read, error) = read(&bytes, 90, offset);
            let expected = &bytes[offset.min(90) as usize..90];
            assert_eq!((read.as_slice(), error), (expected, None), "{offset}");
        }
        assert_eq!(read(b"", 0, 0), (Vec::new(), None));
    }

    #[test]
    fn a_blob_that_became_shorter_is_an_error() {
        let bytes: Vec<u8> = (0..50).collect();
        let (found, error) = read(&bytes, 100, 0);
        assert_eq!((found, error), (bytes, Some(Code::TruncatedArchive)));
    }
}
