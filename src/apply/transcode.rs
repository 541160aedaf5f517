//! One layer from one compression to another, in bounded memory: reading, decoding, hashing the tar,
//! encoding and writing overlap.
//!
//! ```text
//! reader ──▶ decoder ──▶ hasher ──▶ encoder and writer
//! (digest)              (diff ID)  (new digest)
//! ```

mod input;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::recompress::RecompressOptions;
use super::verified::wrong_digest;
use crate::codec::{
    Block, Buffers, Encoder, EncoderOptions, Limits, layer_decoder, needs_too_much_memory,
};
use crate::error::{Code, Error, Hint, Result};
use crate::image::{Algorithm, Compression, Digest, Hasher};
use crate::input::{BlobAt, BlobName, Source, uninterrupted};
use crate::plan::Transcode;
use crate::progress::Progress;
use input::{Direct, Input, read_all};

/// One read of compressed bytes.
const PIECE: usize = 128 << 10;
/// Space for the first bytes of a layer's tar, which may be all.
const FIRST: usize = 16 << 10;
/// How many pieces or blocks may wait for each thread.
const DEPTH: usize = 4;

/// What was written.
#[derive(Debug)]
pub(super) struct Transcoded {
    pub(super) digest: Digest,
    pub(super) len: u64,
}

/// Writes the layer in its new form.
pub(super) fn transcode(
    work: &Transcode,
    source: &Source,
    output: &File,
    options: RecompressOptions<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Transcoded> {
    let blob = BlobAt {
        name: BlobName::Document(&work.location),
        data: &work.data,
        len: work.len,
    };
    let blob = source.reader(blob, progress)?;
    let algorithm = work.digest.algorithm();
    let in_directory = |error| Error::io("write a temporary file in", options.directory, error);
    let encoder_options = EncoderOptions {
        level: options.level,
        members: options.members,
        threads,
        idle_threads: options.idle_threads,
    };
    // An uncompressed layer's digest is the diff ID, which is computed anyway.
    let is_hashed = work.to != Compression::Uncompressed;
    let output = Output {
        file: output,
        hasher: is_hashed.then(|| Hasher::new(Algorithm::Sha256)),
        len: 0,
    };
    let encoder = Encoder::new(work.to, encoder_options, output).map_err(in_directory)?;
    let pieces = Buffers::new(PIECE);
    let blocks = encoder.blocks();
    let (pieces, blocks) = (&pieces, blocks.as_ref());
    if threads == 1 {
        let input = Direct::new(blob, algorithm);
        return in_turn(work, input, options, blocks, encoder);
    }
    let (to_decoder, for_decoder) = sync_channel(DEPTH);
    let (to_hasher, for_hasher) = sync_channel(DEPTH);
    let (to_encoder, for_encoder) = sync_channel(DEPTH);
    let limits = options.limits;
    thread::scope(|scope| {
        let no_thread = |error| Error::io("start a thread for", source.path(), error);
        let hashing = thread::Builder::new()
            .spawn_scoped(scope, move || hash(for_hasher, &to_encoder))
            .map_err(no_thread)?;
        let decoding = thread::Builder::new()
            .spawn_scoped(scope, move || {
                let input = Input::new(for_decoder, pieces);
                decode(work, input, limits, blocks, &mut |block| {
                    to_hasher.send(block).is_ok()
                })
            })
            .map_err(no_thread)?;
        let reading = thread::Builder::new()
            .spawn_scoped(scope, move || {
                read_all(blob, algorithm, pieces, &to_decoder)
            })
            .map_err(no_thread)?;
        let encoded = encode(encoder, for_encoder);
        let decoded = join(decoding.join());
        let diff_id = join(hashing.join());
        let read = join(reading.join())?;
        // That the bytes are damaged explains more than the errors that follow from it.
        if let Some(found) = read {
            check_layer(work, &found)?;
        }
        decoded?;
        let output = encoded.map_err(in_directory)?;
        check_diff_id(work, &diff_id)?;
        let digest = output.hasher.map_or(diff_id, Hasher::finish);
        Ok(Transcoded {
            digest,
            len: output.len,
        })
    })
}

/// The same on one thread, without the cost of starting others.
fn in_turn(
    work: &Transcode,
    input: Direct<'_>,
    options: RecompressOptions<'_>,
    blocks: &Buffers,
    encoder: Encoder<'_, Output<'_>>,
) -> Result<Transcoded> {
    let in_directory = |error| Error::io("write a temporary file in", options.directory, error);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut encoder = Ok(encoder);
    let piece = usize::try_from(work.len).unwrap_or(PIECE).min(PIECE);
    let mut input = BufReader::with_capacity(piece, input);
    let mut push = |block: Block| {
        hasher.update(block.filled());
        let pushed = match &mut encoder {
            Ok(encoder) => encoder.push(block),
            Err(_) => return false,
        };
        match pushed {
            Ok(()) => true,
            Err(error) => {
                encoder = Err(error);
                false
            }
        }
    };
    let decoded = decode_all(work, &mut input, options.limits, blocks, &mut push);
    let is_bomb = matches!(&decoded, Err(error) if error.code() == Code::CompressionRatio);
    let found = input.into_inner().finish(!is_bomb)?;
    // That the bytes are damaged explains more than the errors that follow from it.
    if !is_bomb {
        check_layer(work, &found)?;
    }
    decoded?;
    let output = encoder.and_then(Encoder::finish).map_err(in_directory)?;
    let diff_id = hasher.finish();
    check_diff_id(work, &diff_id)?;
    let digest = output.hasher.map_or(diff_id, Hasher::finish);
    Ok(Transcoded {
        digest,
        len: output.len,
    })
}

fn join<T>(result: thread::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn check_layer(work: &Transcode, found: &Digest) -> Result<()> {
    if *found == work.digest {
        return Ok(());
    }
    Err(wrong_digest(&work.location, &work.digest, found).with_location(&work.location))
}

fn check_diff_id(work: &Transcode, found: &Digest) -> Result<()> {
    if *found == work.diff_id.0 {
        return Ok(());
    }
    Err(Error::new(
        Code::DiffIdMismatch,
        format!(
            "{} contains a tar with the digest {found}, but the config's diff ID is {}",
            work.location, work.diff_id
        ),
    )
    .with_location(&work.location)
    .with_expected(&work.diff_id)
    .with_found(found)
    .with_hint(Hint::BuildRefusedAgain))
}

/// Decodes into blocks, all of them full but the last; then skips what the decoder left.
fn decode(
    work: &Transcode,
    mut input: Input<'_>,
    limits: Limits,
    blocks: &Buffers,
    send: &mut dyn FnMut(Block) -> bool,
) -> Result<()> {
    let decoded = decode_all(work, &mut input, limits, blocks, send);
    // After a decompression bomb, nothing needs the rest.
    if !matches!(&decoded, Err(error) if error.code() == Code::CompressionRatio) {
        input.drain();
    }
    decoded
}

fn decode_all(
    work: &Transcode,
    input: impl BufRead + Send,
    limits: Limits,
    blocks: &Buffers,
    send: &mut dyn FnMut(Block) -> bool,
) -> Result<()> {
    let damaged = |error: io::Error| damaged(work, limits, error);
    let max_len = limits.max_len(work.len);
    let mut decoder = layer_decoder(work.content, input, limits).map_err(damaged)?;
    let mut total = 0_u64;
    loop {
        let mut block = blocks.take();
        let count = fill(&mut decoder, &mut block, blocks.size()).map_err(damaged)?;
        if count == 0 {
            return Ok(());
        }
        total += count as u64;
        if total > max_len {
            return Err(Error::new(
                Code::CompressionRatio,
                format!(
                    "{} decompresses from {} bytes to more than {max_len}",
                    work.location, work.len
                ),
            )
            .with_location(&work.location)
            .with_expected(max_len)
            .with_hint(Hint::RaiseMaxRatio("image")));
        }
        if !send(block) {
            return Ok(());
        }
    }
}

/// Fills a block with `size` bytes, or with all that are left; it grows as they arrive.
fn fill(decoder: &mut impl Read, block: &mut Block, size: usize) -> io::Result<usize> {
    let mut count = 0;
    while count < size {
        let space = block.space((count * 2).clamp(FIRST, size));
        match uninterrupted(|| decoder.read(&mut space[count..]))? {
            0 => break,
            more => count += more,
        }
    }
    block.set_len(count);
    Ok(count)
}

fn damaged(work: &Transcode, limits: Limits, error: io::Error) -> Error {
    if needs_too_much_memory(&error) {
        return limits
            .window_error(&work.location)
            .with_location(&work.location);
    }
    Error::new(
        Code::DamagedLayer,
        format!(
            "{} cannot be decompressed as {}",
            work.location,
            work.content.name()
        ),
    )
    .with_location(&work.location)
    .with_source(error)
    .with_hint(Hint::ReplaceDamaged)
}

/// Hashes the tar as it passes.
fn hash(blocks: Receiver<Block>, to: &SyncSender<Block>) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for block in blocks {
        hasher.update(block.filled());
        if to.send(block).is_err() {
            break;
        }
    }
    hasher.finish()
}

fn encode<'a>(
    mut encoder: Encoder<'_, Output<'a>>,
    blocks: Receiver<Block>,
) -> io::Result<Output<'a>> {
    for block in blocks {
        encoder.push(block)?;
    }
    encoder.finish()
}

/// The new bytes, hashed while they are written unless their digest is known without.
struct Output<'a> {
    file: &'a File,
    hasher: Option<Hasher>,
    len: u64,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..count]);
        }
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
