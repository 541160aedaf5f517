//! Compression: one decoder for every form that is read, one encoder for each that is written.
//!
//! What an encoder writes depends on its input and level alone, never on the number of threads.

mod buffers;
mod decode;
mod encode;
mod gzip_read;
mod gzip_write;
mod zstd_write;

use std::fmt::Display;

use crate::error::{Code, Error, Hint};

pub(crate) use buffers::{Block, Buffers};
pub(crate) use decode::{decoder, layer_decoder, needs_too_much_memory};
pub use encode::GzipMembers;
pub(crate) use encode::{Encoder, EncoderOptions};

/// What any compressed data may become, in bytes, whatever the ratio.
const FREE_LEN: u64 = 64 << 20;

/// What compressed data may ask for: small data can become very large, and a small part of it can ask
/// for much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many times larger than its compressed form something may become.
    pub max_ratio: u64,
    /// The most memory that a decoder may be asked to keep, in bytes: the window of zstd, the
    /// dictionary of xz.
    pub max_window: u64,
}

impl Limits {
    /// How large something of that compressed length may become.
    pub(crate) fn max_len(self, compressed_len: u64) -> u64 {
        compressed_len.saturating_mul(self.max_ratio).max(FREE_LEN)
    }

    /// The error for something whose decoder asks for more memory than is allowed.
    pub(crate) fn window_error(self, what: impl Display) -> Error {
        Error::new(
            Code::WindowTooLarge,
            format!(
                "{what} asks for a window of more than {} bytes to be decompressed",
                self.max_window
            ),
        )
        .with_expected(self.max_window)
        .with_hint(Hint::RaiseMaxWindow)
    }
}

impl Default for Limits {
    /// Gzip cannot exceed the ratio, and zstd's own tool accepts windows up to that size.
    fn default() -> Self {
        Limits {
            max_ratio: 1100,
            max_window: 128 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
