//! A layer's bytes, read and hashed while they are decoded.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender};

use crate::codec::{Block, Buffers};
use crate::error::{Error, Result};
use crate::image::{Algorithm, Digest, Hasher};
use crate::input::BlobReader;

/// Reads a blob and passes it on, piece by piece; returns its digest, or `None` if the receiver did not take the
/// rest.
pub(super) fn read_all(
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
pub(super) struct Direct<'a> {
    blob: BlobReader<'a>,
    hasher: Hasher,
    failure: Option<Error>,
}

impl<'a> Direct<'a> {
    pub(super) fn new(blob: BlobReader<'a>, algorithm: Algorithm) -> Self {
        Direct {
            blob,
            hasher: Hasher::new(algorithm),
            failure: None,
        }
    }

    /// Reads the rest, if it is needed, and returns the digest of what was read. An error while
    /// reading is returned here.
    pub(super) fn finish(mut self, has_rest: bool) -> Result<Digest> {
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

/// The pieces as one stream; it ends where they do.
pub(super) struct Input<'a> {
    pieces: Receiver<Block>,
    buffers: &'a Buffers,
    current: Option<Block>,
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(pieces: Receiver<Block>, buffers: &'a Buffers) -> Self {
        Input {
            pieces,
            buffers,
            current: None,
            position: 0,
        }
    }

    fn rest(&self) -> &[u8] {
        let filled = self.current.as_ref().map(Block::filled);
        filled.map_or(&[], |filled| &filled[self.position..])
    }

    /// Reads what is left, which is part of the digest too.
    pub(super) fn drain(self) {
        self.pieces
            .into_iter()
            .for_each(|piece| self.buffers.give(piece));
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() {
            if let Some(used) = self.current.take() {
                self.buffers.give(used);
            }
            self.current = self.pieces.recv().ok();
            self.position = 0;
        }
        Ok(self.rest())
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.fill_buf()?;
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.consume(count);
        Ok(count)
    }
}
