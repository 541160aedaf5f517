//! One layer from one compression to another, in bounded memory: reading, decoding, hashing the tar,
//! encoding and writing overlap.
//!
//! ```text
//! reader ──▶ decoder ──▶ hasher ──▶ encoder and writer
//! (digest)              (diff ID)  (new digest)
//! ```

mod input;

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::decode::{Compressed, Input};
use super::proof;
use super::recompress::RecompressOptions;
use super::verified::wrong_digest;
use crate::codec::{Block, Buffers, Encoder, EncoderOptions};
use crate::error::{Code, Error, Result};
use crate::image::{Algorithm, Compression, Content, Digest, Hasher};
use crate::input::{BlobAt, BlobName, BlobReader, Source};
use crate::plan::Transcode;
use crate::progress::Progress;
use crate::threads::join;
pub(super) use input::Direct;
use input::read_all;

/// One read of compressed bytes.
const PIECE: usize = 128 << 10;
/// How many pieces or blocks may wait for each thread.
const DEPTH: usize = 4;

/// What was written.
#[derive(Debug)]
pub(super) struct Transcoded {
    pub(super) digest: Digest,
    pub(super) len: u64,
}

/// Writes the layer in its new form. `inside` is what it decompresses to, if that has to be decompressed
/// too.
pub(super) fn transcode(
    work: &Transcode,
    inside: Option<Content>,
    source: &Source,
    output: &File,
    options: RecompressOptions<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Transcoded> {
    let blob = || {
        let blob = BlobAt {
            name: BlobName::Document(&work.location),
            data: &work.data,
            len: work.len,
        };
        source.reader(blob, progress)
    };
    let in_directory =
        |error| Error::io("write a temporary file in", options.directory.path(), error);
    let encoder = |threads: usize| {
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
        Encoder::new(work.to, encoder_options, output).map_err(in_directory)
    };
    let layer = compressed(work, inside, options);
    if threads > 1 {
        let mut file = output;
        let start = file.stream_position().map_err(in_directory)?;
        if let Some(done) = side_by_side(work, layer, blob()?, encoder(threads)?, options) {
            return done;
        }
        // Nothing was read yet, but an encoder may write when it is dropped.
        file.seek(SeekFrom::Start(start)).map_err(in_directory)?;
    }
    let encoder = encoder(1)?;
    let blocks = encoder.blocks();
    let input = Direct::new(blob()?, algorithm_of(work));
    in_turn(
        work,
        layer,
        input,
        options.directory.path(),
        &blocks,
        encoder,
    )
}

/// A digest that cannot be verified is not compared; the diff ID is.
fn algorithm_of(work: &Transcode) -> Algorithm {
    work.digest.algorithm().unwrap_or(Algorithm::Sha256)
}

/// Everything at the same time; `None` if the threads could not be started.
fn side_by_side(
    work: &Transcode,
    layer: Compressed<'_>,
    blob: BlobReader<'_>,
    encoder: Encoder<'_, Output<'_>>,
    options: RecompressOptions<'_>,
) -> Option<Result<Transcoded>> {
    let in_directory =
        |error| Error::io("write a temporary file in", options.directory.path(), error);
    let algorithm = algorithm_of(work);
    let pieces = Buffers::new(PIECE);
    let blocks = encoder.blocks();
    let (pieces, blocks) = (&pieces, blocks.as_ref());
    let (to_decoder, for_decoder) = sync_channel(DEPTH);
    let (to_hasher, for_hasher) = sync_channel(DEPTH);
    let (to_encoder, for_encoder) = sync_channel(DEPTH);
    thread::scope(|scope| {
        let hashing = thread::Builder::new()
            .spawn_scoped(scope, move || hash(for_hasher, &to_encoder))
            .ok()?;
        let decoding = thread::Builder::new()
            .spawn_scoped(scope, move || {
                let input = Input::new(for_decoder, pieces);
                decode(layer, input, blocks, &mut |block| {
                    to_hasher.send(block).is_ok()
                })
            })
            .ok()?;
        let reading = thread::Builder::new()
            .spawn_scoped(scope, move || {
                read_all(blob, algorithm, pieces, &to_decoder)
            })
            .ok()?;
        let encoded = encode(encoder, for_encoder);
        let decoded = join(decoding.join());
        let diff_id = join(hashing.join());
        let read = join(reading.join());
        let check = || {
            // That the bytes are damaged explains more than the errors that follow from it.
            if let Some(found) = read? {
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
        };
        Some(check())
    })
}

/// The same on one thread, without the cost of starting others.
fn in_turn(
    work: &Transcode,
    layer: Compressed<'_>,
    input: Direct<'_>,
    directory: &Path,
    blocks: &Buffers,
    encoder: Encoder<'_, Output<'_>>,
) -> Result<Transcoded> {
    let in_directory = |error| Error::io("write a temporary file in", directory, error);
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
    let decoded = layer.decode(&mut input, blocks, &mut push);
    let is_bomb = is_bomb(&decoded);
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

fn check_layer(work: &Transcode, found: &Digest) -> Result<()> {
    if *found == work.digest || !work.digest.is_verifiable() {
        return Ok(());
    }
    Err(wrong_digest(&work.location, &work.digest, found).with_location(&work.location))
}

fn check_diff_id(work: &Transcode, found: &Digest) -> Result<()> {
    let name = BlobName::Document(&work.location);
    proof::check_diff_id(name, work.content, &work.diff_id, found, None)
}

/// The layer; `inside` is what it decompresses to, if that has to be decompressed too.
fn compressed<'a>(
    work: &'a Transcode,
    inside: Option<Content>,
    options: RecompressOptions<'_>,
) -> Compressed<'a> {
    Compressed {
        name: BlobName::Document(&work.location),
        content: work.content,
        inside,
        len: work.len,
        limits: options.limits,
    }
}

/// Whether a layer was not decoded to its end because it is too large.
fn is_bomb(decoded: &Result<()>) -> bool {
    matches!(decoded, Err(error) if matches!(error.code(), Code::CompressionRatio | Code::SizeLimit))
}

/// Decodes into blocks, then skips what the decoder left.
fn decode(
    layer: Compressed<'_>,
    mut input: Input<'_>,
    blocks: &Buffers,
    send: &mut dyn FnMut(Block) -> bool,
) -> Result<()> {
    let decoded = layer.decode(&mut input, blocks, send);
    // After a decompression bomb, nothing needs the rest.
    if !is_bomb(&decoded) {
        input.drain();
    }
    decoded
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
