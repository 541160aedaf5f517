//! A layer's bytes, read and hashed while they are decoded.

use std::io::{self, Read};
use std::sync::mpsc::SyncSender;

use crate::codec::{Block, Buffers};
use crate::error::{Error, Result};
use crate::image::{Algorithm, Digest, Hasher};
use crate::input::BlobReader;

/// Reads a blob and passes it on, piece by piece; returns its digest, or `None` if the receiver did not take the
/// rest.
pub(in crate::apply) fn read_all(
    mut blob: BlobReader<'_>,
    algorithm: Algorithm,
    pieces: &Buffers,
    to: &SyncSender<Block>,
) -> Result<Option<Digest>> {
    let mut hasher = Hasher::new(algorithm);
    while blob.left() > 0 {
        let mut piece = pieces.take();
        let wanted = usize::try_from(blob.left()).unwrap_or(usize::MAX);
        let wanted = wanted.min(pieces.size());
        let count = blob.read(&mut piece.space(wanted)[..wanted])?;
        piece.set_len(count);
        hasher.update(piece.filled());
        if to.send(piece).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(hasher.finish()))
}

/// A blob's bytes, read and hashed by the thread that decodes them.
pub(in crate::apply) struct Direct<'a> {
    blob: BlobReader<'a>,
    hasher: Hasher,
    failure: Option<Error>,
}

impl<'a> Direct<'a> {
    pub(in crate::apply) fn new(blob: BlobReader<'a>, algorithm: Algorithm) -> Self {
        Direct {
            blob,
            hasher: Hasher::new(algorithm),
            failure: None,
        }
    }

    /// Reads the rest, if it is needed, and returns the digest of what was read. An error while
    /// reading is returned here.
    pub(in crate::apply) fn finish(mut self, has_rest: bool) -> Result<Digest> {
        if has_rest {
            // The error is kept.
            let _ = io::copy(&mut self, &mut io::sink());
        }
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.hasher.finish()),
        }
    }
}

impl Read for Direct<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the blob cannot be read"));
        }
        match self.blob.read(buffer) {
            Ok(count) => {
                self.hasher.update(&buffer[..count]);
                Ok(count)
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the blob cannot be read"))
            }
        }
    }
}
