//! A layer's bytes on their way to another thread, which decompresses them.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::Receiver;

use crate::codec::{Block, Buffers};

/// The pieces as one stream; it ends where they do.
pub(in crate::apply) struct Input<'a> {
    pieces: Receiver<Block>,
    buffers: &'a Buffers,
    current: Option<Block>,
    position: usize,
}

impl<'a> Input<'a> {
    pub(in crate::apply) fn new(pieces: Receiver<Block>, buffers: &'a Buffers) -> Self {
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
    pub(in crate::apply) fn drain(self) {
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
