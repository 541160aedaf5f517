//! Decompresses a layer, in bounded memory and within limits.

mod input;

use std::io::{self, BufRead, BufReader, Read};

use crate::codec::{Block, Buffers, Limits, layer_decoder, needs_too_much_memory};
use crate::error::{Code, Error, Hint, Result};
use crate::image::Content;
use crate::input::{BlobName, uninterrupted};
pub(super) use input::Input;

/// Space for the first bytes of a layer's tar, which may be all.
const FIRST: usize = 16 << 10;

/// A layer to decompress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compressed<'a> {
    /// What messages call it.
    pub(super) name: BlobName<'a>,
    /// What its first bytes indicate.
    pub(super) content: Content,
    /// What it decompresses to, if that is to be decompressed too.
    pub(super) inside: Option<Content>,
    /// Its length in bytes.
    pub(super) len: u64,
    pub(super) limits: Limits,
}

impl Compressed<'_> {
    /// Decompresses into blocks, all of them full except the last, until `send` returns false. Bytes that the
    /// decoder does not need are left in the input.
    ///
    /// # Errors
    /// The bytes cannot be decompressed, or exceed the limits.
    pub(super) fn decode(
        self,
        input: impl BufRead + Send,
        blocks: &Buffers,
        send: &mut dyn FnMut(Block) -> bool,
    ) -> Result<()> {
        let damaged = |error: io::Error| self.damaged(error);
        let max_len = self.limits.max_len(self.len);
        let outer = layer_decoder(self.content, input, self.limits).map_err(damaged)?;
        let mut decoder = match self.inside {
            None => outer,
            Some(inside) => {
                let between = BufReader::new(Limited {
                    input: outer,
                    left: max_len,
                });
                layer_decoder(inside, between, self.limits).map_err(damaged)?
            }
        };
        let mut total = 0_u64;
        loop {
            let mut block = blocks.take();
            let count = fill(&mut decoder, &mut block, blocks.size()).map_err(damaged)?;
            if count == 0 {
                blocks.give(block);
                return Ok(());
            }
            total += count as u64;
            if total > max_len {
                return Err(self.too_large());
            }
            if !send(block) {
                return Ok(());
            }
        }
    }

    fn too_large(self) -> Error {
        let error = self.limits.len_error(self.name, self.len, "image");
        self.name.place(error)
    }

    fn damaged(self, error: io::Error) -> Error {
        if needs_too_much_memory(&error) {
            return self.name.place(self.limits.window_error(self.name));
        }
        if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) {
            return self.too_large();
        }
        let error = Error::new(
            Code::DamagedLayer,
            format!(
                "{} cannot be decompressed as {}",
                self.name,
                self.content.name()
            ),
        )
        .with_source(error)
        .with_hint(Hint::ReplaceDamaged);
        self.name.place(error)
    }
}

/// Fills a block with `size` bytes, or with all that are left; it grows as they arrive.
fn fill(decoder: &mut impl Read, block: &mut Block, size: usize) -> io::Result<usize> {
    let mut count = 0;
    while count < size {
        let space = block.space((count * 2).clamp(FIRST, size));
        match uninterrupted(|| decoder.read(&mut space[count..]))? {
            0 => break,
            more => count += more,
        }
    }
    block.set_len(count);
    Ok(count)
}

/// What comes out of the first of two decoders. It fails after so many bytes.
struct Limited<R> {
    input: R,
    left: u64,
}

/// There was more.
#[derive(Debug)]
struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many bytes")
    }
}

impl std::error::Error for TooLarge {}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(TooLarge))?;
        Ok(count)
    }
}
