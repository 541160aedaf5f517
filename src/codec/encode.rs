//! Encoders for the compression formats that OCI has layer media types for.

use std::io::{self, Write};
use std::sync::Arc;

use super::buffers::{Block, Buffers};
use super::gzip_write::{GzipWriter, MEMBER_LEN};
use super::zstd_write::ZstdWriter;
use crate::image::Compression;
use crate::threads::IdleThreads;

/// The block size for encoders that do not require a particular one.
const BLOCK_LEN: usize = 256 << 10;

/// The default level of each format.
fn default_level(compression: Compression) -> i32 {
    match compression {
        Compression::Uncompressed => 0,
        Compression::Gzip => 6,
        Compression::Zstd => 3,
    }
}

/// Whether gzip output consists of one member or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GzipMembers {
    /// Members of a fixed size, compressed on all threads.
    #[default]
    Multi,
    /// One member, compressed on one thread, for readers that stop after the first member.
    Single,
}

/// Options of an [`Encoder`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EncoderOptions<'a> {
    /// The compression level; `None` for the format's default.
    pub(crate) level: Option<i32>,
    pub(crate) members: GzipMembers,
    pub(crate) threads: usize,
    /// Idle threads that the encoder may borrow.
    pub(crate) idle_threads: Option<&'a IdleThreads>,
}

/// Compresses everything that is written to it into an underlying writer.
pub(crate) struct Encoder<'a, W: Write> {
    inner: Inner<'a, W>,
    blocks: Arc<Buffers>,
}

enum Inner<'a, W: Write> {
    Uncompressed(W),
    Gzip(Box<GzipWriter<'a, W>>),
    SingleGzip(Box<flate2::write::GzEncoder<W>>),
    Zstd(ZstdWriter<'a, W>),
}

impl<'a, W: Write> Encoder<'a, W> {
    /// Creates an encoder that writes to `output`.
    ///
    /// # Errors
    /// The format does not have this level.
    pub(crate) fn new(
        compression: Compression,
        options: EncoderOptions<'a>,
        output: W,
    ) -> io::Result<Self> {
        let level = options.level.unwrap_or_else(|| default_level(compression));
        let threads = options.threads.max(1);
        let is_multi = compression == Compression::Gzip && options.members == GzipMembers::Multi;
        let blocks = Arc::new(Buffers::new(if is_multi { MEMBER_LEN } else { BLOCK_LEN }));
        let inner = match compression {
            Compression::Uncompressed => Inner::Uncompressed(output),
            Compression::Gzip if is_multi => {
                let members = Arc::clone(&blocks);
                let writer =
                    GzipWriter::new(level, threads, options.idle_threads, members, output)?;
                Inner::Gzip(Box::new(writer))
            }
            Compression::Gzip => {
                // zlib's highest level is 9.
                let level = flate2::Compression::new(level.clamp(0, 9).unsigned_abs());
                Inner::SingleGzip(Box::new(flate2::GzBuilder::new().write(output, level)))
            }
            Compression::Zstd => Inner::Zstd(ZstdWriter::new(level, threads, output)),
        };
        Ok(Encoder { inner, blocks })
    }

    /// The pool to take blocks for [`push`](Self::push) from. They return to it.
    pub(crate) fn blocks(&self) -> Arc<Buffers> {
        Arc::clone(&self.blocks)
    }

    /// Compresses the bytes of a block. Full blocks are not copied if the encoder is multithreaded.
    ///
    /// # Errors
    /// Writing to the output failed.
    pub(crate) fn push(&mut self, block: Block) -> io::Result<()> {
        if let Inner::Gzip(writer) = &mut self.inner {
            return writer.push(block);
        }
        self.write_all(block.filled())?;
        self.blocks.give(block);
        Ok(())
    }

    /// Writes all remaining data and returns the output.
    ///
    /// # Errors
    /// Writing to the output failed.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self.inner {
            Inner::Uncompressed(output) => Ok(output),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::SingleGzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Uncompressed(output) => output.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::SingleGzip(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing the encoder would change the compressed bytes.
        Ok(())
    }
}
