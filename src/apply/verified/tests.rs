use super::*;
use crate::apply::decode::Compressed;
use crate::codec::Limits;
use crate::image::Content;
use crate::input::BlobName;

/// Gives bytes in short pieces, then an error if there is one; a byte of 0 is a hole of 70,000.
struct Given<'a> {
    left: &'a [u8],
    max: usize,
    error: Option<Error>,
}

const HOLE: u64 = 70_000;

impl Pieces for Given<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        if self.left.first() == Some(&0) {
            self.left = &self.left[1..];
            return Ok(Piece::Hole(HOLE));
        }
        let run = self.left.iter().position(|&byte| byte == 0);
        let run = run.unwrap_or(self.left.len());
        let count = run.min(buffer.len()).min(self.max);
        if count == 0
            && let Some(error) = self.error.take()
        {
            return Err(error);
        }
        buffer[..count].copy_from_slice(&self.left[..count]);
        self.left = &self.left[count..];
        Ok(Piece::Bytes(count))
    }
}

/// Keeps what it takes, up to a limit.
struct Kept {
    bytes: Vec<u8>,
    max: usize,
}

impl Sink for Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        match self.bytes.len() > self.max {
            true => Err(Error::new(Code::Io, "no room")),
            false => Ok(()),
        }
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        self.bytes.resize(self.bytes.len() + len as usize, 0);
        Ok(())
    }

    fn fit(&self, len: usize) -> usize {
        len - self.bytes.len() % len
    }
}

/// Bytes that differ from piece to piece, none of them 0.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 1000 + at) as u8 | 1).collect()
}

fn kept(max: usize) -> Kept {
    Kept {
        bytes: Vec::new(),
        max,
    }
}

fn expected(digest: &Digest) -> Expected<'_> {
    Expected {
        name: "b",
        digest,
        proof: None,
    }
}

fn given(left: &[u8], max: usize) -> Given<'_> {
    Given {
        left,
        max,
        error: None,
    }
}

/// A blob, and how `Given` is told to give it.
struct Blob {
    script: Vec<u8>,
    bytes: Vec<u8>,
}

/// Blobs of several lengths, some with a hole.
fn blobs() -> impl Iterator<Item = Blob> {
    let lengths = [
        (0, None),
        (1, None),
        (PIECE, Some(77)),
        (5 << 20, Some(3 << 20)),
    ];
    lengths.into_iter().map(|(len, hole)| {
        let mut script = sample(len);
        let mut bytes = script.clone();
        if let Some(at) = hole {
            script.insert(at, 0);
            bytes.splice(at..at, vec![0; HOLE as usize]);
        }
        Blob { script, bytes }
    })
}

#[test]
fn every_way_copies_and_verifies_the_same_bytes() {
    let mut scratch = Scratch::default();
    for Blob { script, bytes } in blobs() {
        let len = bytes.len();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let right = expected(&digest);
        let wrong = Digest::of(Algorithm::Sha256, b"other");
        let wrong = expected(&wrong);
        for max in [100_000, usize::MAX] {
            for hash in [Hash::None, Hash::Inline(right), Hash::Beside(right)] {
                let mut sink = kept(usize::MAX);
                let blob = &mut given(&script, max);
                copy_verified(blob, &mut sink, hash, &mut scratch).unwrap();
                assert!(sink.bytes == bytes, "{len} {max} {hash:?}");
            }
            for hash in [Hash::Inline(wrong), Hash::Beside(wrong)] {
                let blob = &mut given(&script, max);
                let copied = copy_verified(blob, &mut Nowhere, hash, &mut scratch);
                assert_eq!(copied.unwrap_err().code(), Code::DigestMismatch);
            }
        }
    }
}

#[test]
fn the_first_error_ends_the_copy() {
    let bytes = sample(5 << 20);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let right = expected(&digest);
    let mut scratch = Scratch::default();
    for hash in [Hash::None, Hash::Inline(right), Hash::Beside(right)] {
        let mut blob = Given {
            error: Some(Error::new(Code::Io, "no more")),
            ..given(&bytes[..3 << 20], usize::MAX)
        };
        let copied = copy_verified(&mut blob, &mut Nowhere, hash, &mut scratch);
        assert_eq!(copied.unwrap_err().to_string(), "no more", "{hash:?}");
        let blob = &mut given(&bytes, usize::MAX);
        let copied = copy_verified(blob, &mut kept(1 << 20), hash, &mut scratch);
        assert_eq!(copied.unwrap_err().to_string(), "no room", "{hash:?}");
    }
}

/// What is not compressed is its own content, so every way of decompressing it can be compared.
#[test]
fn every_way_decodes_the_same_bytes() {
    let mut scratch = Scratch::default();
    for Blob { script, bytes } in blobs() {
        let len = bytes.len();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let layer = Compressed {
            name: BlobName::Entry("b"),
            content: Content::Tar,
            inside: None,
            len: bytes.len() as u64,
            limits: Limits::default(),
        };
        for max in [100_000, usize::MAX] {
            for is_beside in [false, true] {
                let mut sink = kept(usize::MAX);
                let blob = &mut given(&script, max);
                let right = expected(&digest);
                let found = copy_decoded(blob, &mut sink, right, layer, is_beside, &mut scratch);
                assert_eq!(found.unwrap().unwrap(), digest, "{len} {max} {is_beside}");
                assert!(sink.bytes == bytes, "{len} {max} {is_beside}");
            }
        }
        if len == 0 {
            continue;
        }
        for is_beside in [false, true] {
            let other = Digest::of(Algorithm::Sha256, b"other");
            let blob = &mut given(&script, usize::MAX);
            let wrong = expected(&other);
            let found = copy_decoded(blob, &mut Nowhere, wrong, layer, is_beside, &mut scratch);
            assert_eq!(found.unwrap_err().code(), Code::DigestMismatch);
            let mut blob = given(&script, usize::MAX);
            blob.error = Some(Error::new(Code::Io, "broken"));
            let right = expected(&digest);
            let found = copy_decoded(
                &mut blob,
                &mut Nowhere,
                right,
                layer,
                is_beside,
                &mut scratch,
            );
            assert_eq!(found.unwrap_err().code(), Code::Io);
            let blob = &mut given(&script, usize::MAX);
            let found = copy_decoded(blob, &mut kept(0), right, layer, is_beside, &mut scratch);
            assert_eq!(found.unwrap_err().to_string(), "no room");
        }
    }
}
