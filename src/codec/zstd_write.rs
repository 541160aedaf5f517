//! Zstandard in one frame.

use std::io::{self, Write};

use zstd::bulk::Compressor;
use zstd::stream::write::Encoder;

/// What is no longer than this is compressed in one call. zstd knows its length then and takes tables
/// to match: at level 19 those for any length take 40 ms to prepare, whatever there is to compress.
const SMALL: usize = 256 << 10;

/// Compresses with libzstd.
pub(super) struct ZstdWriter<'a, W: Write> {
    level: i32,
    threads: u32,
    state: State<'a, W>,
}

enum State<'a, W: Write> {
    /// All bytes so far, which may be all there are.
    Small(Vec<u8>, W),
    /// There are more.
    Stream(Box<Encoder<'a, W>>),
    /// The encoder could not be made.
    Failed,
}

impl<W: Write> ZstdWriter<'_, W> {
    /// The number of threads changes nothing about the bytes.
    pub(super) fn new(level: i32, threads: usize, output: W) -> Self {
        ZstdWriter {
            level,
            // One worker and more write the same bytes; none writes others.
            threads: u32::try_from(threads).unwrap_or(1).max(1),
            state: State::Small(Vec::new(), output),
        }
    }

    /// Writes what is left, and gives the output back.
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

    /// Goes on in another way with what turns out to be long.
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
        if let State::Small(held, _) = &mut self.state {
            if held.len() + bytes.len() <= SMALL {
                held.extend_from_slice(bytes);
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
        // Flushing inside the stream would change what is written.
        Ok(())
    }
}

fn failed() -> io::Error {
    io::Error::other("the encoder failed before")
}
