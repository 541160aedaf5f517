//! Copies a layer and decompresses it during the copy.
//!
//! ```text
//! reader, digest, sink ──▶ decoder ──▶ hasher
//!                                     (diff ID)
//! ```

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{BESIDE_DEPTH, Expected, PIECE, Pieces, Scratch, Sink, check_digest};
use crate::apply::decode::{Compressed, Input};
use crate::codec::{Block, Buffers};
use crate::error::{Error, Result};
use crate::image::{Algorithm, Digest, Hasher};
use crate::input::Piece;
use crate::threads::join;

/// Copies a layer to its end and verifies its digest. Returns the SHA-256 digest of what it decompresses to,
/// or why it cannot be decompressed. If `is_beside`, other threads decompress and hash.
///
/// # Errors
/// Those of the reader and of the sink; the bytes do not have the digest.
pub(in crate::apply) fn copy(
    blob: &mut dyn Pieces,
    sink: &mut dyn Sink,
    expected: Expected<'_>,
    layer: Compressed<'_>,
    is_beside: bool,
    scratch: &mut Scratch,
) -> Result<Result<Digest>> {
    let mut tee = Tee {
        blob,
        sink,
        // A digest that cannot be verified is not compared; the diff ID is.
        hasher: Hasher::new(expected.digest.algorithm().unwrap_or(Algorithm::Sha256)),
    };
    let threads_and_digest = match is_beside {
        true => copy_beside(&mut tee, layer, scratch),
        false => None,
    };
    let decoded = match threads_and_digest {
        Some(copied) => copied?,
        None => copy_inline(&mut tee, layer, scratch)?,
    };
    // That the bytes are damaged explains more than what they decompress to.
    if expected.digest.is_verifiable() {
        check_digest(expected.name, expected.digest, &tee.hasher.finish())?;
    }
    Ok(decoded)
}

/// Hashes and writes what it reads.
struct Tee<'a> {
    blob: &'a mut dyn Pieces,
    sink: &'a mut dyn Sink,
    hasher: Hasher,
}

impl Tee<'_> {
    /// The next bytes, or the length of a hole; no bytes at the end.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        let space = self.sink.fit(buffer.len());
        let piece = self.blob.next(&mut buffer[..space])?;
        match piece {
            Piece::Bytes(count) => {
                self.hasher.update(&buffer[..count]);
                self.sink.write(&buffer[..count])?;
            }
            Piece::Hole(len) => {
                self.hasher.update_zeros(len);
                self.sink.skip(len)?;
            }
        }
        Ok(piece)
    }
}

/// Copies, decompresses and hashes in turn.
fn copy_inline(
    tee: &mut Tee<'_>,
    layer: Compressed<'_>,
    scratch: &mut Scratch,
) -> Result<Result<Digest>> {
    let (buffer, blocks) = scratch.buffer_and_blocks(PIECE);
    let mut input = Inline {
        tee,
        buffer,
        start: 0,
        end: 0,
        zeros: 0,
        failure: None,
    };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let decoded = layer.decode(&mut input, blocks, &mut |block| {
        hasher.update(block.filled());
        blocks.give(block);
        true
    });
    // What the decoder left belongs to the blob all the same. An error is kept.
    loop {
        match input.fill_buf().map(<[u8]>::len) {
            Ok(0) | Err(_) => break,
            Ok(len) => input.consume(len),
        }
    }
    match input.failure {
        Some(error) => Err(error),
        None => Ok(decoded.map(|()| hasher.finish())),
    }
}

/// The bytes of a blob for a decoder on the same thread.
struct Inline<'a, 'b> {
    tee: &'a mut Tee<'b>,
    buffer: &'a mut [u8],
    /// Where in the buffer the bytes begin and end that the decoder has not taken.
    start: usize,
    end: usize,
    /// How many zeros of a hole follow.
    zeros: u64,
    /// The error that ended the copy.
    failure: Option<Error>,
}

static ZEROS: [u8; 4096] = [0; 4096];

fn zeros(len: u64) -> &'static [u8] {
    &ZEROS[..len.min(ZEROS.len() as u64) as usize]
}

impl BufRead for Inline<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && self.zeros == 0 && self.failure.is_none() {
            (self.start, self.end) = (0, 0);
            match self.tee.next(self.buffer) {
                Ok(Piece::Bytes(count)) => self.end = count,
                Ok(Piece::Hole(len)) => self.zeros = len,
                Err(error) => self.failure = Some(error),
            }
        }
        if self.failure.is_some() {
            return Err(io::Error::other("the blob cannot be copied"));
        }
        Ok(match self.zeros {
            0 => &self.buffer[self.start..self.end],
            len => zeros(len),
        })
    }

    fn consume(&mut self, count: usize) {
        match self.zeros {
            0 => self.start += count,
            _ => self.zeros -= count as u64,
        }
    }
}

impl Read for Inline<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.fill_buf()?;
        let count = filled.len().min(buffer.len());
        buffer[..count].copy_from_slice(&filled[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Copies here while other threads decompress and hash; `None` if no thread could be started.
fn copy_beside(
    tee: &mut Tee<'_>,
    layer: Compressed<'_>,
    scratch: &Scratch,
) -> Option<Result<Result<Digest>>> {
    let (pieces, blocks) = (&scratch.beside, &scratch.decoded);
    let (to_decoder, for_decoder) = sync_channel(BESIDE_DEPTH);
    let (to_hasher, for_hasher) = sync_channel(BESIDE_DEPTH);
    thread::scope(|scope| {
        let hashing = thread::Builder::new().spawn_scoped(scope, move || hash(for_hasher, blocks));
        let hashing = hashing.ok()?;
        let decoding = thread::Builder::new().spawn_scoped(scope, move || {
            let mut input = Input::new(for_decoder, pieces);
            let decoded = layer.decode(&mut input, blocks, &mut |block| {
                to_hasher.send(block).is_ok()
            });
            input.drain();
            decoded
        });
        let decoding = decoding.ok()?;
        let copied = send_all(tee, pieces, &to_decoder);
        drop(to_decoder);
        let decoded = join(decoding.join());
        let digest = join(hashing.join());
        Some(copied.map(|()| decoded.map(|()| digest)))
    })
}

/// Copies a blob to its end, and sends its bytes to the decoder, which takes all of them.
fn send_all(tee: &mut Tee<'_>, pieces: &Buffers, to: &SyncSender<Block>) -> Result<()> {
    loop {
        let mut block = pieces.take();
        let space = block.space(pieces.size());
        match tee.next(&mut space[..pieces.size()])? {
            Piece::Bytes(0) => {
                pieces.give(block);
                return Ok(());
            }
            Piece::Bytes(count) => {
                block.set_len(count);
                send(block, to);
            }
            Piece::Hole(len) => {
                pieces.give(block);
                let mut left = len;
                while left > 0 {
                    let mut block = pieces.take();
                    let count = left.min(pieces.size() as u64) as usize;
                    block.space(count)[..count].fill(0);
                    block.set_len(count);
                    send(block, to);
                    left -= count as u64;
                }
            }
        }
    }
}

/// The thread ends early only by a panic, which joining brings here.
fn send(block: Block, to: &SyncSender<Block>) {
    let _ = to.send(block);
}

fn hash(blocks: Receiver<Block>, pool: &Buffers) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for block in blocks {
        hasher.update(block.filled());
        pool.give(block);
    }
    hasher.finish()
}
