//! Reading every form of compression that archives and layers are found in.

use std::io::{self, BufRead, Read};

use super::Limits;
use super::gzip_read::GzipReader;
use crate::image::Content;

/// The window that `Limits` allows when it allows less than any frame asks for.
const MIN_WINDOW_LOG: u32 = 10;
/// The largest window that zstd knows.
const MAX_WINDOW_LOG: u32 = 31;
/// `ZSTD_error_frameParameter_windowTooLarge` as zstd returns it: errors are negative.
const WINDOW_TOO_LARGE: usize = 16_usize.wrapping_neg();
/// What xz needs beyond its dictionary.
const XZ_OVERHEAD: u64 = 1 << 20;

/// Reads what `input` holds in that form, all members, frames or streams of it; a form that is not
/// compressed is read as it is.
///
/// # Errors
/// The decoder cannot be made. Reading fails on damage, on an end inside the data, and on a window
/// larger than the limit.
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

/// The same for a layer whose bytes are verified by their diff ID: what follows the last gzip member
/// is passed over, as docker does.
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

/// Whether reading failed because the data asks for more memory than the limits allow.
pub(crate) fn needs_too_much_memory(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else {
        return false;
    };
    match inner.downcast_ref::<liblzma::stream::Error>() {
        Some(xz) => *xz == liblzma::stream::Error::MemLimit,
        None => inner.to_string() == zstd::zstd_safe::get_error_name(WINDOW_TOO_LARGE),
    }
}
