//! Writing each form of compression that OCI names.

use std::io::{self, Write};
use std::sync::Arc;

use super::buffers::{Block, Buffers};
use super::gzip_write::{GzipWriter, MEMBER_LEN};
use super::zstd_write::ZstdWriter;
use crate::image::Compression;
use crate::threads::IdleThreads;

/// One block for encoders that have no size of their own.
const BLOCK_LEN: usize = 256 << 10;

/// The level that each form is written with unless another is asked for.
fn default_level(compression: Compression) -> i32 {
    match compression {
        Compression::Uncompressed => 0,
        Compression::Gzip => 6,
        Compression::Zstd => 3,
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
    pub(crate) idle_threads: Option<&'a IdleThreads>,
}

/// Writes to `output` in a compressed form.
pub(crate) struct Encoder<'a, W: Write> {
    form: Form<'a, W>,
    blocks: Arc<Buffers>,
}

enum Form<'a, W: Write> {
    /// As it is.
    Plain(W),
    /// In members of one size.
    Gzip(Box<GzipWriter<'a, W>>),
    /// In one member.
    SingleGzip(Box<flate2::write::GzEncoder<W>>),
    /// One frame.
    Zstd(ZstdWriter<'a, W>),
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
        let threads = options.threads.max(1);
        let is_multi = compression == Compression::Gzip && options.members == GzipMembers::Multi;
        let blocks = Arc::new(Buffers::new(if is_multi { MEMBER_LEN } else { BLOCK_LEN }));
        let form = match compression {
            Compression::Uncompressed => Form::Plain(output),
            Compression::Gzip if is_multi => {
                let members = Arc::clone(&blocks);
                let writer =
                    GzipWriter::new(level, threads, options.idle_threads, members, output)?;
                Form::Gzip(Box::new(writer))
            }
            Compression::Gzip => {
                // zlib has no levels above 9.
                let level = flate2::Compression::new(level.clamp(0, 9).unsigned_abs());
                Form::SingleGzip(Box::new(flate2::GzBuilder::new().write(output, level)))
            }
            Compression::Zstd => Form::Zstd(ZstdWriter::new(level, threads, output)),
        };
        Ok(Encoder { form, blocks })
    }

    /// Where the blocks for [`push`](Self::push) come from, and go back to.
    pub(crate) fn blocks(&self) -> Arc<Buffers> {
        Arc::clone(&self.blocks)
    }

    /// Takes the next bytes. Full blocks are the fastest.
    ///
    /// # Errors
    /// The output could not be written.
    pub(crate) fn push(&mut self, block: Block) -> io::Result<()> {
        if let Form::Gzip(writer) = &mut self.form {
            return writer.push(block);
        }
        self.write_all(block.filled())?;
        self.blocks.give(block);
        Ok(())
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// The output could not be written.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self.form {
            Form::Plain(output) => Ok(output),
            Form::Gzip(encoder) => encoder.finish(),
            Form::SingleGzip(encoder) => encoder.finish(),
            Form::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.form {
            Form::Plain(output) => output.write(bytes),
            Form::Gzip(encoder) => encoder.write(bytes),
            Form::SingleGzip(encoder) => encoder.write(bytes),
            Form::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing inside the stream would change what is written.
        Ok(())
    }
}
