//! Decoders for every compression format that archives and layers use.

use std::io::{self, BufRead, Read};

use super::Limits;
use super::gzip_read::GzipReader;
use crate::image::Content;

/// `ZSTD_WINDOWLOG_ABSOLUTEMIN`. zstd rejects a smaller limit.
const MIN_WINDOW_LOG: u32 = 10;
/// `ZSTD_WINDOWLOG_MAX_32` or `ZSTD_WINDOWLOG_MAX_64`, the largest window that zstd supports. It rejects a larger limit.
const MAX_WINDOW_LOG: u32 = if cfg!(target_pointer_width = "32") {
    30
} else {
    31
};
/// `ZSTD_error_frameParameter_windowTooLarge`. zstd returns error codes as negative numbers.
const WINDOW_TOO_LARGE: usize = 16_usize.wrapping_neg();
/// Memory that the xz decoder needs in addition to its dictionary, in bytes.
const XZ_OVERHEAD: u64 = 1 << 20;

/// Returns a reader that decompresses all gzip members, zstd frames, or bzip2 or xz streams of `input`. For
/// content that is not compressed it returns the input unchanged.
///
/// # Errors
/// The decoder cannot be created. Reading fails if the data is corrupt or truncated, or if it requires a
/// larger window than `limits` allows.
pub(crate) fn decoder<'a, R: BufRead + Send + 'a>(
    content: Content,
    input: R,
    limits: Limits,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match content {
        Content::Gzip => Box::new(GzipReader::new(input)),
        Content::Zstd | Content::ZstdAfterSkippable => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            let log = limits.max_window.checked_ilog2().unwrap_or(0);
            decoder.window_log_max(log.clamp(MIN_WINDOW_LOG, MAX_WINDOW_LOG))?;
            Box::new(decoder)
        }
        Content::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Content::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let memory = limits.max_window.saturating_add(XZ_OVERHEAD);
            let stream = liblzma::stream::Stream::new_stream_decoder(memory, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Content::Empty | Content::Tar | Content::Other => Box::new(input),
    })
}

/// Like [`decoder`], but ignores trailing data after the last gzip member, as docker does. Only for layers
/// whose decompressed bytes are verified against a diff ID.
pub(crate) fn layer_decoder<'a, R: BufRead + Send + 'a>(
    content: Content,
    input: R,
    limits: Limits,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    match content {
        Content::Gzip => Ok(Box::new(GzipReader::lenient(input))),
        content => decoder(content, input, limits),
    }
}

/// Whether a decoder failed because the data requires more memory than the limits allow.
pub(crate) fn needs_too_much_memory(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else {
        return false;
    };
    match inner.downcast_ref::<liblzma::stream::Error>() {
        Some(xz) => *xz == liblzma::stream::Error::MemLimit,
        None => inner.to_string() == zstd::zstd_safe::get_error_name(WINDOW_TOO_LARGE),
    }
}
