//! A pool of reusable buffers that are passed between threads. Allocating a new buffer for each block
//! takes longer than hashing the block.

use std::sync::{Mutex, PoisonError};

/// A buffer, and how many bytes at its start are in use.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    len: usize,
}

impl Block {
    /// The bytes in use.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The complete buffer, at least `len` bytes long, to be filled from its start. It grows only as needed:
    /// most layers are small, and unused memory is not free.
    pub(crate) fn space(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        &mut self.bytes
    }

    /// Sets how many bytes are in use.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }
}

/// A pool of free blocks.
#[derive(Debug)]
pub(crate) struct Buffers {
    size: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty pool for blocks of up to `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Buffers {
            size,
            free: Mutex::default(),
        }
    }

    /// The size of a full block in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Takes a free block, or creates one. It has no bytes in use.
    pub(crate) fn take(&self) -> Block {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.pop().unwrap_or_default();
        Block { bytes, len: 0 }
    }

    /// Returns a block to the pool.
    pub(crate) fn give(&self, block: Block) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(block.bytes);
    }
}
