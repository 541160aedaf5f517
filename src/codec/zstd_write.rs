//! Writes Zstandard as a single frame.

use std::io::{self, Write};

use zstd::bulk::Compressor;
use zstd::stream::write::Encoder;

/// Input up to this size in bytes is compressed in one call. zstd then knows the length and chooses tables
/// to match. At level 19, preparing tables for an unknown length takes 40 ms even for tiny inputs.
const SMALL: usize = 256 << 10;

/// Compresses with libzstd.
pub(super) struct ZstdWriter<'a, W: Write> {
    level: i32,
    threads: u32,
    state: State<'a, W>,
}

enum State<'a, W: Write> {
    /// The input so far, up to [`SMALL`] bytes.
    Small(Vec<u8>, W),
    /// The input is longer than that.
    Stream(Box<Encoder<'a, W>>),
    /// Creating the encoder failed.
    Failed,
}

impl<W: Write> ZstdWriter<'_, W> {
    /// Creates a writer. The output does not depend on the number of threads.
    pub(super) fn new(level: i32, threads: usize, output: W) -> Self {
        ZstdWriter {
            level,
            // Any number of workers writes the same bytes, but 0, which disables multithreading, does not.
            threads: u32::try_from(threads).unwrap_or(1).max(1),
            state: State::Small(Vec::new(), output),
        }
    }

    /// Writes all remaining data and returns the output.
    pub(super) fn finish(self) -> io::Result<W> {
        match self.state {
            State::Small(bytes, mut output) => {
                let mut compressor = Compressor::new(self.level)?;
                compressor.include_checksum(true)?;
                output.write_all(&compressor.compress(&bytes)?)?;
                Ok(output)
            }
            State::Stream(encoder) => encoder.finish(),
            State::Failed => Err(failed()),
        }
    }

    /// Switches to the streaming encoder because the input is longer than [`SMALL`].
    fn begin_stream(&mut self) -> io::Result<()> {
        let State::Small(bytes, output) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(failed());
        };
        let mut encoder = Encoder::new(output, self.level)?;
        encoder.include_checksum(true)?;
        encoder.multithread(self.threads)?;
        encoder.write_all(&bytes)?;
        self.state = State::Stream(Box::new(encoder));
        Ok(())
    }
}

impl<W: Write> Write for ZstdWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let State::Small(buffered, _) = &mut self.state {
            if buffered.len() + bytes.len() <= SMALL {
                buffered.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            self.begin_stream()?;
        }
        match &mut self.state {
            State::Stream(encoder) => encoder.write(bytes),
            _ => Err(failed()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing the encoder would change the compressed bytes.
        Ok(())
    }
}

fn failed() -> io::Error {
    io::Error::other("the encoder failed earlier")
}
