//! Writes Zstandard as a single frame.

use std::io::{self, Write};

use zstd::bulk::Compressor;
use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};
use zstd::stream::write::Encoder;

/// Input up to this size in bytes is compressed in one call. zstd then knows the length and chooses tables
/// to match. At level 19, preparing tables for an unknown length takes 40 ms even for tiny inputs.
const SMALL: usize = 256 << 10;
/// How many compressed bytes zstd returns at a time at the beginning.
const FIRST: usize = 32 << 10;

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
    fn begin_stream(&mut self, more: &[u8]) -> io::Result<()> {
        let State::Small(mut bytes, mut output) = std::mem::replace(&mut self.state, State::Failed)
        else {
            return Err(failed());
        };
        bytes.extend_from_slice(more);
        let mut threads = self.threads;
        let (encoder, compressed) = loop {
            match self.begin(threads, &bytes) {
                Ok(begun) => break begun,
                // Fewer threads only take longer.
                Err(_) if threads > 1 => threads /= 2,
                Err(error) => return Err(error),
            }
        };
        output.write_all(&compressed)?;
        self.state = State::Stream(Box::new(Encoder::with_encoder(output, encoder)));
        Ok(())
    }

    /// An encoder that has compressed the first bytes, and what it returned of them. It starts its threads with
    /// the first bytes, and fails if it cannot.
    fn begin(&self, threads: u32, bytes: &[u8]) -> io::Result<(raw::Encoder<'static>, Vec<u8>)> {
        let mut encoder = raw::Encoder::new(self.level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        encoder.set_parameter(CParameter::NbWorkers(threads))?;
        let mut input = InBuffer::around(bytes);
        let mut compressed = Vec::new();
        let mut buffer = vec![0; FIRST];
        while input.pos() < bytes.len() {
            let mut output = OutBuffer::around(&mut buffer[..]);
            encoder.run(&mut input, &mut output).map_err(no_thread)?;
            compressed.extend_from_slice(output.as_slice());
        }
        Ok((encoder, compressed))
    }
}

impl<W: Write> Write for ZstdWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let State::Small(buffered, _) = &mut self.state {
            if buffered.len() + bytes.len() <= SMALL {
                buffered.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            self.begin_stream(bytes)?;
            return Ok(bytes.len());
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

/// zstd says only that it could not allocate something, and threads are what it may lack.
fn no_thread(error: io::Error) -> io::Error {
    io::Error::other(format!("cannot start a thread to compress: {error}"))
}

fn failed() -> io::Error {
    io::Error::other("the encoder failed earlier")
}
