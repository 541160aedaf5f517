//! One layer from one compression to another, in bounded memory: reading, decoding, hashing the tar
//! and encoding overlap.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::copy::{changed_len, check_digest};
use super::recompress::RecompressOptions;
use crate::compression::{self, Encoder, EncoderOptions};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Code, Error, IoContext, Result};
use crate::plan::Transcode;
use crate::progress::Progress;
use crate::read::Source;

/// One read of compressed bytes.
const PIECE: usize = 128 << 10;
/// One piece of the tar between the threads.
const BLOCK: usize = 256 << 10;
/// How many pieces of the tar may wait for each thread.
const DEPTH: usize = 8;
/// What any layer may decompress to, in bytes, whatever the ratio.
const FREE_LEN: u64 = 64 << 20;

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
    output: &mut File,
    options: RecompressOptions<'_>,
    threads: usize,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Transcoded> {
    let (file, start) = source.open_blob(&work.location)?;
    let input = Input {
        file,
        position: start,
        left: work.len,
        hasher: Hasher::new(work.digest.algorithm()),
        stop,
        progress,
    };
    let (to_hasher, for_hasher) = sync_channel::<Arc<Vec<u8>>>(DEPTH);
    let (to_encoder, for_encoder) = sync_channel::<Arc<Vec<u8>>>(DEPTH);
    let limit = work.len.saturating_mul(options.max_ratio).max(FREE_LEN);
    if threads == 1 {
        return in_turn(work, input, limit, output, options);
    }
    thread::scope(|scope| {
        let spawn_error = |error| Error::io("start a thread for", source.path(), error);
        let hashing = thread::Builder::new()
            .spawn_scoped(scope, move || hash(&for_hasher))
            .map_err(spawn_error)?;
        let mut send = move |block: Vec<u8>| {
            let block = Arc::new(block);
            let is_sent =
                to_hasher.send(Arc::clone(&block)).is_ok() && to_encoder.send(block).is_ok();
            is_sent.then(Vec::new)
        };
        let decoding = thread::Builder::new()
            .spawn_scoped(scope, move || decode(work, input, limit, &mut send))
            .map_err(spawn_error)?;
        let encoded = encode(work, output, options, threads, for_encoder);
        let decoded = join(decoding.join());
        let diff_id = join(hashing.join());
        // What is wrong with the input explains more than what it made of the output.
        let input = decoded?;
        let transcoded = encoded.context("write a temporary file in", options.directory)?;
        check(work, input, &diff_id)?;
        Ok(transcoded)
    })
}

/// The same on one thread, without the cost of starting others.
fn in_turn(
    work: &Transcode,
    input: Input<'_>,
    limit: u64,
    output: &mut File,
    options: RecompressOptions<'_>,
) -> Result<Transcoded> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut encoder = encoder(work, output, options, 1);
    let input = decode(work, input, limit, &mut |block| {
        hasher.update(&block);
        let written = match &mut encoder {
            Ok(encoder) => encoder.write_all(&block),
            Err(_) => return None,
        };
        match written {
            Ok(()) => Some(block),
            Err(error) => {
                encoder = Err(error);
                None
            }
        }
    })?;
    let transcoded = encoder
        .and_then(finish)
        .context("write a temporary file in", options.directory)?;
    check(work, input, &hasher.finish())?;
    Ok(transcoded)
}

/// Holds what was read to what the manifest and the config say.
fn check(work: &Transcode, input: Input<'_>, diff_id: &Digest) -> Result<()> {
    if input.left > 0 {
        return Err(changed_len(
            &work.place,
            &work.location,
            work.len,
            work.len - input.left,
        ));
    }
    check_digest(&work.place, &work.digest, &input.hasher.finish())?;
    if *diff_id != work.diff_id {
        return Err(Error::new(
            Code::DiffIdMismatch,
            format!(
                "{} holds a tar of digest {diff_id}, but the config's diff ID is {}",
                work.place, work.diff_id
            ),
        )
        .with_hint("every engine refuses this image; build or save it again"));
    }
    Ok(())
}

fn join<T>(result: thread::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn hash(blocks: &Receiver<Arc<Vec<u8>>>) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for block in blocks {
        hasher.update(&block);
    }
    hasher.finish()
}

/// Decodes and hands on every block, for another vector to fill or for none, which ends the work;
/// then reads what the decoder left over, which belongs to the digest all the same.
fn decode<'a>(
    work: &Transcode,
    input: Input<'a>,
    limit: u64,
    next: &mut dyn FnMut(Vec<u8>) -> Option<Vec<u8>>,
) -> Result<Input<'a>> {
    let damaged = |error: &io::Error| damaged(work, error);
    let mut input = BufReader::with_capacity(PIECE, input);
    let mut total = 0_u64;
    {
        let mut decoder =
            compression::lenient_decoder(work.content, &mut input).map_err(|e| damaged(&e))?;
        let mut block = vec![0; BLOCK];
        loop {
            let count = fill(&mut decoder, &mut block).map_err(|error| damaged(&error))?;
            if count == 0 {
                break;
            }
            block.truncate(count);
            total += count as u64;
            if total > limit {
                return Err(Error::new(
                    Code::CompressionRatio,
                    format!(
                        "{} has {} compressed bytes and becomes larger than {limit}",
                        work.place, work.len
                    ),
                )
                .with_hint("if the image is to be trusted, allow more with --max-ratio"));
            }
            let Some(another) = next(block) else {
                break;
            };
            block = another;
            block.resize(BLOCK, 0);
        }
    }
    io::copy(&mut input, &mut io::sink()).map_err(|error| damaged(&error))?;
    Ok(input.into_inner())
}

fn fill(decoder: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < block.len() {
        match decoder.read(&mut block[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn damaged(work: &Transcode, error: &io::Error) -> Error {
    Error::new(
        Code::DamagedLayer,
        format!(
            "{} cannot be decompressed as {}: {error}",
            work.place,
            work.content.name()
        ),
    )
    .with_hint("the input is damaged; build, save or download it again")
}

fn encode(
    work: &Transcode,
    output: &mut File,
    options: RecompressOptions<'_>,
    threads: usize,
    blocks: Receiver<Arc<Vec<u8>>>,
) -> io::Result<Transcoded> {
    let mut encoder = encoder(work, output, options, threads)?;
    for block in blocks {
        encoder.write_all(&block)?;
    }
    finish(encoder)
}

type LayerEncoder<'a, 'b> = Encoder<'a, Hashed<'b>>;

fn encoder<'a, 'b>(
    work: &Transcode,
    output: &'b mut File,
    options: RecompressOptions<'a>,
    threads: usize,
) -> io::Result<LayerEncoder<'a, 'b>> {
    let hashed = Hashed {
        output,
        hasher: Hasher::new(Algorithm::Sha256),
        len: 0,
    };
    let encoder_options = EncoderOptions {
        level: options.level,
        members: options.members,
        threads,
        spare: options.spare,
    };
    Encoder::new(work.to, encoder_options, hashed)
}

fn finish(encoder: LayerEncoder<'_, '_>) -> io::Result<Transcoded> {
    let hashed = encoder.finish()?;
    Ok(Transcoded {
        digest: hashed.hasher.finish(),
        len: hashed.len,
    })
}

/// Hashes what is written.
struct Hashed<'a> {
    output: &'a mut File,
    hasher: Hasher,
    len: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Reads and hashes the bytes of one blob.
struct Input<'a> {
    file: Arc<File>,
    position: u64,
    left: u64,
    hasher: Hasher,
    stop: &'a AtomicBool,
    progress: &'a dyn Progress,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) || self.progress.is_stopped() {
            return Err(io::Error::other("another layer failed"));
        }
        let piece = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..piece], self.position)?;
        self.hasher.update(&buffer[..count]);
        self.position += count as u64;
        self.left -= count as u64;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
