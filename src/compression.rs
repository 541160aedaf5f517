//! Compression: one decoder for every form that is read, one encoder for each that is written.
//!
//! What an encoder writes depends on its input and level alone, never on the number of threads.

mod gzip_read;
mod gzip_write;

use std::io::{self, BufRead, Read, Write};

use crate::inventory::Content;
use crate::threads::Spare;
use gzip_read::GzipReader;
use gzip_write::GzipWriter;

/// The largest window a zstd frame may ask for, as a power of two: what zstd's own tool accepts.
const ZSTD_WINDOW_LOG: u32 = 27;
/// The most memory that decoding xz may take, in bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// The compression of a layer that OCI has a media type for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A plain tar.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The compression that a blob's first bytes show; `None` where they show none that OCI names.
    pub fn of_content(content: Content) -> Option<Self> {
        match content {
            Content::Tar => Some(Compression::Uncompressed),
            Content::Gzip => Some(Compression::Gzip),
            Content::Zstd => Some(Compression::Zstd),
            Content::Empty | Content::Bzip2 | Content::Xz | Content::Other => None,
        }
    }

    /// What the first bytes of a blob so compressed say.
    pub fn content(self) -> Content {
        match self {
            Compression::Uncompressed => Content::Tar,
            Compression::Gzip => Content::Gzip,
            Compression::Zstd => Content::Zstd,
        }
    }

    /// The word for options and reports.
    pub fn short_name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// The word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "a plain tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// The level that each form is written with unless another is asked for.
fn default_level(compression: Compression) -> i32 {
    match compression {
        Compression::Uncompressed => 0,
        Compression::Gzip => 6,
        Compression::Zstd => 3,
    }
}

/// Reads what `input` holds in that form, all members, frames or streams of it; a form that is not
/// compressed is read as it is.
///
/// # Errors
/// The decoder cannot be made. Reading fails on damage, on an end inside the data, and on a window
/// larger than the cap.
pub(crate) fn decoder<'a, R: BufRead + Send + 'a>(
    content: Content,
    input: R,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match content {
        Content::Gzip => Box::new(GzipReader::new(input)),
        Content::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Content::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Content::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Content::Empty | Content::Tar | Content::Other => Box::new(input),
    })
}

/// The same for a layer whose bytes are verified by their diff ID: what follows the last gzip member
/// is passed over, as docker does.
pub(crate) fn lenient_decoder<'a, R: BufRead + Send + 'a>(
    content: Content,
    input: R,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    match content {
        Content::Gzip => Ok(Box::new(GzipReader::lenient(input))),
        content => decoder(content, input),
    }
}

/// Whether gzip is written in one member or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GzipMembers {
    /// Members of a fixed size, on all threads.
    #[default]
    Multi,
    /// One member, on one thread, for readers that stop after the first.
    Single,
}

/// How to compress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EncoderOptions<'a> {
    /// The level; the form's default if there is none.
    pub(crate) level: Option<i32>,
    pub(crate) members: GzipMembers,
    pub(crate) threads: usize,
    /// Idle threads that may help.
    pub(crate) spare: Option<&'a Spare>,
}

/// Writes to `output` in a compressed form.
pub(crate) enum Encoder<'a, W: Write> {
    /// As it is.
    Plain(W),
    /// In members of one size.
    Gzip(Box<GzipWriter<'a, W>>),
    /// In one member.
    SingleGzip(Box<flate2::write::GzEncoder<W>>),
    /// One frame.
    Zstd(Box<zstd::stream::write::Encoder<'a, W>>),
}

impl<'a, W: Write> Encoder<'a, W> {
    /// An encoder of `compression`.
    ///
    /// # Errors
    /// The level is none of that form, or there is no memory.
    pub(crate) fn new(
        compression: Compression,
        options: EncoderOptions<'a>,
        output: W,
    ) -> io::Result<Self> {
        let level = options.level.unwrap_or_else(|| default_level(compression));
        let threads = options.threads;
        Ok(match compression {
            Compression::Uncompressed => Encoder::Plain(output),
            Compression::Gzip if options.members == GzipMembers::Single => {
                // zlib has no levels above 9.
                let level = flate2::Compression::new(level.clamp(0, 9).unsigned_abs());
                Encoder::SingleGzip(Box::new(flate2::GzBuilder::new().write(output, level)))
            }
            Compression::Gzip => {
                let writer = GzipWriter::new(level, threads, options.spare, output)?;
                Encoder::Gzip(Box::new(writer))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, level)?;
                encoder.include_checksum(true)?;
                // One worker and more write the same bytes; none writes others.
                encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
                Encoder::Zstd(Box::new(encoder))
            }
        })
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// The output could not be written.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Encoder::Plain(output) => Ok(output),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::SingleGzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Plain(output) => output.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::SingleGzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing inside the stream would change what is written.
        Ok(())
    }
}

#[cfg(test)]
mod tests;
