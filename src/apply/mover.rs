//! Moves a blob's bytes in order, and hashes them on the way.

use std::sync::mpsc;
use std::thread;

use crate::error::Result;
use crate::image::{Digest, Hasher};

/// One piece, when the same thread moves and hashes: it stays in the processor's cache.
const PIECE: usize = 128 << 10;
/// One piece on its way to the hashing thread.
const SHARED_PIECE: usize = 256 << 10;
/// How many pieces may be on their way.
const DEPTH: usize = 8;
/// Blobs from this size are worth a thread.
const SHARED_MIN: u64 = 1 << 20;

/// Keeps its buffers from one blob to the next.
#[derive(Debug)]
pub(super) struct Mover {
    /// Whether a second thread may hash.
    is_shared: bool,
    piece: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Mover {
    pub(super) fn new(is_shared: bool) -> Self {
        Mover {
            is_shared,
            piece: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Moves what `read` gives, nothing at the end, to `write`. The digest is that of `hasher`, if
    /// there is one. `len` is about how much there is.
    pub(super) fn run(
        &mut self,
        len: u64,
        hasher: Option<Hasher>,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Digest>> {
        match hasher {
            Some(hasher) if self.is_shared && len >= SHARED_MIN => {
                self.shared(hasher, read, write).map(Some)
            }
            hasher => self.alone(hasher, read, write),
        }
    }

    fn alone(
        &mut self,
        mut hasher: Option<Hasher>,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Digest>> {
        self.piece.resize(PIECE, 0);
        loop {
            let count = read(&mut self.piece)?;
            if count == 0 {
                return Ok(hasher.map(Hasher::finish));
            }
            let bytes = &self.piece[..count];
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            write(bytes)?;
        }
    }

    /// Moves here while another thread hashes.
    fn shared(
        &mut self,
        hasher: Hasher,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Digest> {
        let (full_sender, full) = mpsc::sync_channel::<(Vec<u8>, usize)>(DEPTH);
        let (empty_sender, empty) = mpsc::channel::<Vec<u8>>();
        thread::scope(|scope| {
            let mut hashed = hasher.clone();
            let hashing = thread::Builder::new().spawn_scoped(scope, move || {
                for (buffer, count) in full {
                    hashed.update(&buffer[..count]);
                    // The moving thread may have ended already.
                    let _ = empty_sender.send(buffer);
                }
                hashed.finish()
            });
            let Ok(hashing) = hashing else {
                let digest = self.alone(Some(hasher.clone()), read, write)?;
                return Ok(digest.unwrap_or_else(|| hasher.finish()));
            };
            let mut on_their_way = 0;
            loop {
                while let Ok(buffer) = empty.try_recv() {
                    on_their_way -= 1;
                    self.spare.push(buffer);
                }
                let mut buffer = match self.spare.pop() {
                    Some(buffer) => buffer,
                    None if on_their_way < DEPTH => vec![0; SHARED_PIECE],
                    None => match empty.recv() {
                        Ok(buffer) => {
                            on_their_way -= 1;
                            buffer
                        }
                        // It ends early only by a panic, which joining brings here.
                        Err(_) => break,
                    },
                };
                let count = read(&mut buffer)?;
                if count == 0 {
                    self.spare.push(buffer);
                    break;
                }
                write(&buffer[..count])?;
                if full_sender.send((buffer, count)).is_err() {
                    break;
                }
                on_their_way += 1;
            }
            drop(full_sender);
            let joined = hashing.join();
            self.spare.extend(empty.try_iter());
            match joined {
                Ok(digest) => Ok(digest),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};
    use crate::image::Algorithm;

    /// Bytes that differ from piece to piece.
    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 1000) as u8 ^ at as u8).collect()
    }

    #[test]
    fn bytes_and_digest_do_not_depend_on_the_way() {
        for len in [0, 1, PIECE, 3 * SHARED_PIECE + 7, 5 << 20] {
            let bytes = sample(len);
            for is_shared in [false, true] {
                let mut mover = Mover::new(is_shared);
                for round in 0..2 {
                    let mut left = &bytes[..];
                    let mut out = Vec::new();
                    let digest = mover
                        .run(
                            len as u64,
                            Some(Hasher::new(Algorithm::Sha256)),
                            &mut |buffer| {
                                // Short pieces are fine as well.
                                let count = left.len().min(buffer.len()).min(100_000);
                                buffer[..count].copy_from_slice(&left[..count]);
                                left = &left[count..];
                                Ok(count)
                            },
                            &mut |bytes| {
                                out.extend_from_slice(bytes);
                                Ok(())
                            },
                        )
                        .unwrap();
                    assert!(out == bytes, "{len} {is_shared} {round}");
                    assert_eq!(digest, Some(Digest::of(Algorithm::Sha256, &bytes)));
                }
                assert!(mover.spare.len() <= DEPTH, "{}", mover.spare.len());
            }
        }
    }

    #[test]
    fn an_error_ends_the_move() {
        let failed = || Error::new(Code::Io, "no more");
        for is_shared in [false, true] {
            let hasher = || Some(Hasher::new(Algorithm::Sha256));
            let mut mover = Mover::new(is_shared);
            let mut count = 0;
            let read = mover.run(
                5 << 20,
                hasher(),
                &mut |buffer| {
                    count += 1;
                    if count > 3 {
                        return Err(failed());
                    }
                    Ok(buffer.len())
                },
                &mut |_| Ok(()),
            );
            assert_eq!(read.unwrap_err().to_string(), "no more");
            let write = mover.run(
                5 << 20,
                hasher(),
                &mut |buffer| Ok(buffer.len()),
                &mut |_| Err(failed()),
            );
            assert_eq!(write.unwrap_err().to_string(), "no more");
        }
    }
}
