//! Copies one blob from a reader to a sink, and verifies its digest during the copy; also its diff ID, if
//! that is asked for.

mod decoded;

use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::proof::{self, Proof};
use crate::codec::{Block, Buffers};
use crate::error::{Code, Error, Hint, IoContext, Result};
use crate::image::{Algorithm, Digest, Hasher};
use crate::input::{BlobReader, Piece};
use crate::threads::join;
pub(super) use decoded::copy as copy_decoded;

/// One piece, when the same thread copies and hashes: it stays in the processor's cache. Larger
/// writes cost the system more, see docs/performance.md.
pub(super) const PIECE: usize = 128 << 10;
/// One piece on its way to a hashing thread.
const BESIDE_PIECE: usize = 256 << 10;
/// How many pieces may wait for a hashing thread. Two more are being read and hashed.
const BESIDE_DEPTH: usize = 6;

/// Whether and where the bytes of a blob are hashed. The copy fails if the digest is another one. A digest that cannot
/// be verified is not compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hash<'a> {
    /// They are not hashed.
    None,
    /// By the thread that copies.
    Inline(Expected<'a>),
    /// By another thread at the same time.
    Beside(Expected<'a>),
}

/// The digest that a blob should have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// What messages call the blob.
    pub(super) name: &'a str,
    pub(super) digest: &'a Digest,
    /// What it must decompress to, if that is verified.
    pub(super) proof: Option<Proof<'a>>,
}

impl Expected<'_> {
    /// Verifies a blob that is in memory.
    pub(super) fn check_bytes(self, bytes: &[u8], blocks: &Buffers) -> Result<()> {
        if let Some(found) = self.digest.recompute(bytes) {
            check_digest(self.name, self.digest, &found)?;
        }
        self.proof
            .map_or(Ok(()), |proof| proof.check_bytes(bytes, blocks))
    }
}

impl<'a> Hash<'a> {
    /// The longest piece of a hole that is skipped at once: hashing its zeros takes time.
    pub(super) fn max_hole(self) -> u64 {
        match self {
            Hash::None => u64::MAX,
            Hash::Inline(_) => PIECE as u64,
            Hash::Beside(_) => BESIDE_PIECE as u64,
        }
    }
}

/// Where the bytes of a blob come from, in order.
pub(super) trait Pieces: Send {
    /// Reads some of what comes next into the buffer, or skips a hole; an empty piece is the
    /// end of the blob.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece>;
}

impl Pieces for BlobReader<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        BlobReader::next(self, buffer)
    }
}

/// Where the bytes of a blob go, in order.
pub(super) trait Sink: Send {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Takes `len` zeros.
    fn skip(&mut self, len: u64) -> Result<()>;

    /// How many bytes to write next, of `len` at most.
    fn fit(&self, len: usize) -> usize {
        len
    }
}

/// Takes bytes that are only verified.
#[derive(Debug)]
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    fn skip(&mut self, _len: u64) -> Result<()> {
        Ok(())
    }
}

/// Writes to a file that is all zeros, from an offset on.
#[derive(Debug)]
pub(super) struct FileSink<'a> {
    pub(super) file: &'a File,
    /// What messages call the file.
    pub(super) path: &'a Path,
    pub(super) at: u64,
}

impl Sink for FileSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(bytes, self.at);
        written.context("write", self.path)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        self.at += len;
        Ok(())
    }

    /// Writes end where pages of the file do.
    fn fit(&self, len: usize) -> usize {
        len - (self.at % len as u64) as usize
    }
}

/// The buffers of one thread, which it keeps from one blob to the next: new ones for every small
/// blob cost more than the blob.
#[derive(Debug)]
pub(super) struct Scratch {
    piece: Vec<u8>,
    beside: Buffers,
    /// What layers decompress to.
    decoded: Buffers,
}

impl Scratch {
    /// A buffer of that length, with any bytes in it.
    pub(super) fn buffer(&mut self, len: usize) -> &mut [u8] {
        self.buffer_and_blocks(len).0
    }

    /// The same, and blocks for what layers decompress to.
    pub(super) fn buffer_and_blocks(&mut self, len: usize) -> (&mut [u8], &Buffers) {
        if self.piece.len() < len {
            self.piece.resize(len, 0);
        }
        (&mut self.piece[..len], &self.decoded)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            piece: Vec::new(),
            beside: Buffers::new(BESIDE_PIECE),
            decoded: Buffers::new(proof::BLOCK),
        }
    }
}

/// Copies a blob to its end.
///
/// # Errors
/// Those of the reader and of the sink; the bytes do not have the digest.
pub(super) fn copy_verified(
    blob: &mut dyn Pieces,
    sink: &mut dyn Sink,
    hash: Hash<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    if let Hash::Inline(expected) | Hash::Beside(expected) = hash
        && let Some(proof) = expected.proof
    {
        let is_beside = matches!(hash, Hash::Beside(_));
        let decoded = copy_decoded(blob, sink, expected, proof.compressed(), is_beside, scratch)?;
        return proof.check(&decoded?);
    }
    let (expected, is_beside) = match hash {
        Hash::None => return copy(blob, sink, None, scratch),
        Hash::Inline(expected) => (expected, false),
        Hash::Beside(expected) => (expected, true),
    };
    let Some(algorithm) = expected.digest.algorithm() else {
        return copy(blob, sink, None, scratch);
    };
    let found = if is_beside {
        copy_beside(blob, sink, algorithm, scratch)?
    } else {
        let mut hasher = Hasher::new(algorithm);
        copy(blob, sink, Some(&mut hasher), scratch)?;
        hasher.finish()
    };
    check_digest(expected.name, expected.digest, &found)
}

/// Copies and hashes in turn.
fn copy(
    blob: &mut dyn Pieces,
    sink: &mut dyn Sink,
    mut hasher: Option<&mut Hasher>,
    scratch: &mut Scratch,
) -> Result<()> {
    let buffer = scratch.buffer(PIECE);
    loop {
        let space = sink.fit(buffer.len());
        match blob.next(&mut buffer[..space])? {
            Piece::Bytes(0) => return Ok(()),
            Piece::Bytes(count) => {
                let bytes = &buffer[..count];
                if let Some(hasher) = &mut hasher {
                    hasher.update(bytes);
                }
                sink.write(bytes)?;
            }
            Piece::Hole(len) => {
                if let Some(hasher) = &mut hasher {
                    hasher.update_zeros(len);
                }
                sink.skip(len)?;
            }
        }
    }
}

/// What a hashing thread gets.
enum Hashed {
    Bytes(Block),
    Zeros(u64),
}

/// Copies here while another thread hashes. Returns the digest of what was copied.
fn copy_beside(
    blob: &mut dyn Pieces,
    sink: &mut dyn Sink,
    algorithm: Algorithm,
    scratch: &mut Scratch,
) -> Result<Digest> {
    let (to_hasher, for_hasher) = mpsc::sync_channel(BESIDE_DEPTH);
    let beside = &scratch.beside;
    let copied = thread::scope(|scope| {
        let mut hasher = Hasher::new(algorithm);
        let hashing = thread::Builder::new().spawn_scoped(scope, move || {
            for piece in for_hasher {
                match piece {
                    Hashed::Bytes(block) => {
                        hasher.update(block.filled());
                        beside.give(block);
                    }
                    Hashed::Zeros(len) => hasher.update_zeros(len),
                }
            }
            hasher.finish()
        });
        let Ok(hashing) = hashing else {
            return Ok(None);
        };
        loop {
            let mut block = beside.take();
            let size = sink.fit(beside.size());
            let space = block.space(beside.size());
            let piece = match blob.next(&mut space[..size])? {
                Piece::Bytes(0) => {
                    beside.give(block);
                    break;
                }
                Piece::Bytes(count) => {
                    block.set_len(count);
                    sink.write(block.filled())?;
                    Hashed::Bytes(block)
                }
                Piece::Hole(len) => {
                    beside.give(block);
                    sink.skip(len)?;
                    Hashed::Zeros(len)
                }
            };
            // The thread ends early only by a panic, which joining brings here.
            if to_hasher.send(piece).is_err() {
                break;
            }
        }
        drop(to_hasher);
        Ok(Some(join(hashing.join())))
    });
    if let Some(digest) = copied? {
        return Ok(digest);
    }
    // No thread could be started.
    let mut hasher = Hasher::new(algorithm);
    copy(blob, sink, Some(&mut hasher), scratch)?;
    Ok(hasher.finish())
}

/// Checks that a blob, which messages call `name`, has the digest that it should have.
pub(super) fn check_digest(name: &str, expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(wrong_digest(name, expected, found).with_entry(name))
}

/// The error for a blob, which messages call `name`, that does not match its digest.
pub(crate) fn wrong_digest(name: impl Display, expected: &Digest, found: impl Display) -> Error {
    Error::new(
        Code::DigestMismatch,
        format!("{name} does not match its digest: expected {expected}, found {found}"),
    )
    .with_expected(expected)
    .with_found(found)
    .with_hint(Hint::ReplaceDamaged)
}

#[cfg(test)]
mod tests;
