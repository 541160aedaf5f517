//! Reads gzip files with any number of members, possibly followed by zeros.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

const MAGIC: u8 = 0x1f;

/// Decompresses all members of a gzip file. Zeros may follow the last member, as padding on tapes does. Any
/// other trailing data is an error, because readers treat it differently.
pub(super) struct GzipReader<R> {
    state: State<R>,
    /// Whether any trailing data is allowed.
    is_lenient: bool,
}

enum State<R> {
    Member(Box<GzDecoder<R>>),
    End,
}

impl<R: BufRead> GzipReader<R> {
    pub(super) fn new(input: R) -> Self {
        GzipReader {
            state: State::Member(Box::new(GzDecoder::new(input))),
            is_lenient: false,
        }
    }

    /// A reader that ignores all trailing data.
    pub(super) fn lenient(input: R) -> Self {
        GzipReader {
            is_lenient: true,
            ..GzipReader::new(input)
        }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let State::Member(member) = &mut self.state else {
                return Ok(0);
            };
            let count = member.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let State::Member(member) = std::mem::replace(&mut self.state, State::End) else {
                return Ok(0);
            };
            let mut input = member.into_inner();
            let is_member = if self.is_lenient {
                starts_member(&mut input)?
            } else {
                next_is_member(&mut input)?
            };
            if is_member {
                self.state = State::Member(Box::new(GzDecoder::new(input)));
            }
        }
    }
}

const TRAILING: &str = "trailing data after the last gzip member";

/// Whether an error of decompression says that all gzip data was intact, and that something else follows it.
pub(crate) fn is_trailing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        && error
            .get_ref()
            .is_some_and(|cause| cause.to_string() == TRAILING)
}

/// Whether the next byte can start a member.
fn starts_member<R: BufRead>(input: &mut R) -> io::Result<bool> {
    Ok(input.fill_buf()?.first() == Some(&MAGIC))
}

/// Whether another member follows. If not, consumes zeros up to the end of the input, and fails on anything
/// else.
fn next_is_member<R: BufRead>(input: &mut R) -> io::Result<bool> {
    let mut has_zeros = false;
    loop {
        let buffer = input.fill_buf()?;
        let Some(first) = buffer.first() else {
            return Ok(false);
        };
        if *first == MAGIC && !has_zeros {
            return Ok(true);
        }
        if buffer.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TRAILING));
        }
        has_zeros = true;
        let len = buffer.len();
        input.consume(len);
    }
}
