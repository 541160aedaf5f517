//! Compression: decoders for every format that ocify reads, and encoders for those that it writes.
//!
//! An encoder's output depends only on its input, format and level, never on the number of threads.

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
pub(crate) use gzip_read::is_trailing;

/// Data may always decompress to this many bytes, whatever the ratio.
const MIN_MAX_LEN: u64 = 64 << 20;

/// Limits on decompression, because a small input can decompress to a huge output or make the decoder
/// allocate a lot of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest allowed ratio of decompressed to compressed size.
    pub max_ratio: u64,
    /// The largest allowed size, in bytes, of decompressed data, and of a stream that is kept in temporary files.
    pub max_size: u64,
    /// The largest window (zstd) or dictionary (xz) that a decoder may allocate, in bytes. For zstd this is rounded down to a power
    /// of two, and at least 1 KiB.
    pub max_window: u64,
}

impl Limits {
    /// The same with this `max_ratio`.
    #[must_use]
    pub fn with_max_ratio(mut self, max_ratio: u64) -> Self {
        self.max_ratio = max_ratio;
        self
    }

    /// The same with this `max_size`.
    #[must_use]
    pub fn with_max_size(mut self, max_size: u64) -> Self {
        self.max_size = max_size;
        self
    }

    /// The same with this `max_window`.
    #[must_use]
    pub fn with_max_window(mut self, max_window: u64) -> Self {
        self.max_window = max_window;
        self
    }

    /// The largest allowed decompressed size, in bytes, of `compressed_len` bytes.
    pub(crate) fn max_len(self, compressed_len: u64) -> u64 {
        self.max_len_by_ratio(compressed_len).min(self.max_size)
    }

    fn max_len_by_ratio(self, compressed_len: u64) -> u64 {
        compressed_len
            .saturating_mul(self.max_ratio)
            .max(MIN_MAX_LEN)
    }

    /// The error for data, described by `what`, of which `compressed_len` bytes decompress to more than is allowed.
    /// `whole` is what hints call the input: `archive` or `image`.
    pub(crate) fn len_error(
        self,
        what: impl Display,
        compressed_len: u64,
        whole: &'static str,
    ) -> Error {
        let max_len = self.max_len(compressed_len);
        let is_size = max_len < self.max_len_by_ratio(compressed_len);
        let (code, hint) = match is_size {
            true => (Code::SizeLimit, Hint::RaiseMaxSize(whole)),
            false => (Code::CompressionRatio, Hint::RaiseMaxRatio(whole)),
        };
        let ratio = match is_size || max_len == MIN_MAX_LEN {
            true => String::new(),
            false => format!(", {} times as many", self.max_ratio),
        };
        let message = format!(
            "{what} decompresses from {compressed_len} bytes to more than {max_len}{ratio}"
        );
        Error::new(code, message)
            .with_expected(max_len)
            .with_hint(hint)
    }

    /// The error for a stream, described by `what`, that is too large to be kept.
    pub(crate) fn kept_error(self, what: impl Display) -> Error {
        let message = format!(
            "{what} has to be kept in a temporary file and has more than {} bytes",
            self.max_size
        );
        Error::new(Code::SizeLimit, message)
            .with_expected(self.max_size)
            .with_hint(Hint::RaiseMaxSize("archive"))
    }

    /// The error for data, described by `what`, that requires a larger window than allowed.
    pub(crate) fn window_error(self, what: impl Display) -> Error {
        Error::new(
            Code::WindowTooLarge,
            format!(
                "{what} requires a window of more than {} bytes for decompression",
                self.max_window
            ),
        )
        .with_expected(self.max_window)
        .with_hint(Hint::RaiseMaxWindow)
    }
}

impl Default for Limits {
    /// No gzip stream exceeds this ratio. Layers are rarely larger than a few GiB. The `zstd` command accepts windows up to this size
    /// by default.
    fn default() -> Self {
        Limits {
            max_ratio: 1100,
            max_size: 128 << 30,
            max_window: 128 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
