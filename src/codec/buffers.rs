//! Buffers that go from thread to thread and come back, because a new one for every piece costs more
//! than hashing it.

use std::sync::{Mutex, PoisonError};

/// Some bytes in a buffer that may be longer.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    len: usize,
}

impl Block {
    /// The bytes.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The buffer, to be filled from its beginning: `len` bytes at least. It is never longer than was
    /// asked for once, because most layers are small, and memory that nobody uses is not free.
    pub(crate) fn space(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        &mut self.bytes
    }

    /// Says how many bytes of the buffer count.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }
}

/// Blocks that are not in use.
#[derive(Debug)]
pub(crate) struct Buffers {
    size: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// None yet, each for up to `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Buffers {
            size,
            free: Mutex::default(),
        }
    }

    /// How many bytes a full block has.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// An empty block.
    pub(crate) fn take(&self) -> Block {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.pop().unwrap_or_default();
        Block { bytes, len: 0 }
    }

    /// Takes a block back.
    pub(crate) fn give(&self, block: Block) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(block.bytes);
    }
}
