//! One blob, or a part of one, in pieces.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::extents::{Extent, Extents};
use super::{Destination, Job, PIPE_MIN, Shared, Step, changed_len, check_digest};
use crate::apply::archive::reserve;
use crate::error::{Error, IoContext, Result};
use crate::image::{Digest, Hasher};
use crate::inventory::DataLocation;

/// One piece, when the same thread copies and hashes: it stays in the processor's cache. Larger
/// writes cost the system more, see docs/performance.md.
const PIECE: usize = 128 << 10;
/// One piece on its way to a hashing thread.
const PIPE_PIECE: usize = 256 << 10;
/// How many pieces may be on their way.
const PIPE_DEPTH: usize = 8;

impl Shared<'_> {
    pub(super) fn copy(&self, job: &Job<'_>, step: &Step, buffer: &mut Vec<u8>) -> Result<()> {
        let (input, input_at) = self.source.open_blob(job.data)?;
        if let DataLocation::File(_) = job.data {
            let found = input.metadata().context("read", self.source.path())?.len();
            if found != job.len {
                return Err(changed_len(job.name, job.data, job.len, found));
            }
        }
        let created;
        let (output, output_at, path) = match &job.destination {
            Destination::At(file, at) => (*file, *at, self.output),
            Destination::New(path) => {
                if self.linked(job, &input, path) {
                    return self.verify(job, step, &input, buffer);
                }
                let mut options = File::options();
                let options = options.read(true).write(true).create_new(true);
                created = options.open(path).context("create", path)?;
                if self.cloned(job, &input, &created)? {
                    return self.verify(job, step, &created, buffer);
                }
                (&created, 0, path.as_path())
            }
        };
        let extents = Extents::of(&input);
        if let Destination::New(_) = job.destination {
            // Holes are not written, so the length must be there already.
            let reserved = match extents.may_be_sparse() {
                true => output.set_len(job.len),
                false => reserve(output, job.len),
            };
            reserved.context("write", path)?;
        }
        let copy = Copy {
            shared: self,
            job,
            step,
            input: &input,
            input_at,
            extents,
            output,
            output_at,
            path,
        };
        let lent = match self.spare {
            Some(spare) if job.len >= PIPE_MIN && !step.is_piped => spare.borrow(),
            _ => None,
        };
        let is_piped = step.is_piped || lent.is_some();
        let found = match (job.is_hashed(self.verify), is_piped) {
            (false, _) => copy.plain(None, buffer)?,
            (true, true) => copy.piped(buffer)?,
            (true, false) => copy.plain(Some(copy.hasher()), buffer)?,
        };
        match found {
            Some(found) => check_digest(job.name, job.digest, &found),
            None => Ok(()),
        }
    }
}

/// One blob being copied.
struct Copy<'a> {
    shared: &'a Shared<'a>,
    job: &'a Job<'a>,
    step: &'a Step,
    input: &'a File,
    input_at: u64,
    extents: Extents<'a>,
    output: &'a File,
    output_at: u64,
    path: &'a Path,
}

impl Copy<'_> {
    fn hasher(&self) -> Hasher {
        Hasher::new(self.job.digest.algorithm())
    }

    /// Copies and hashes in turn; `None` when an earlier task failed or nothing is hashed. The
    /// buffer is that of the thread, because a new one for every small blob costs more than the blob.
    fn plain(&self, mut hasher: Option<Hasher>, buffer: &mut Vec<u8>) -> Result<Option<Digest>> {
        buffer.resize(PIECE, 0);
        let mut done = self.step.bytes.start;
        while done < self.step.bytes.end {
            if self.shared.is_pointless(self.step.place) {
                return Ok(None);
            }
            match &mut hasher {
                Some(hasher) => {
                    let count = self.piece(buffer, done)?;
                    hasher.update(&buffer[..count]);
                    done += count as u64;
                }
                None => {
                    done += self.hole(done)?;
                    if done < self.step.bytes.end {
                        done += self.piece(buffer, done)? as u64;
                    }
                }
            }
        }
        Ok(hasher.map(Hasher::finish))
    }

    /// Copies here while another thread hashes.
    fn piped(&self, spare: &mut Vec<u8>) -> Result<Option<Digest>> {
        let (full_sender, full) = mpsc::sync_channel::<(Vec<u8>, usize)>(PIPE_DEPTH);
        let (empty_sender, empty) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH);
        let mut hasher = self.hasher();
        thread::scope(|scope| {
            let hashing = thread::Builder::new().spawn_scoped(scope, move || {
                for (buffer, count) in full {
                    hasher.update(&buffer[..count]);
                    // The copying thread may have ended already.
                    let _ = empty_sender.try_send(buffer);
                }
                hasher.finish()
            });
            let Ok(hashing) = hashing else {
                return self.plain(Some(self.hasher()), spare);
            };
            let mut done = self.step.bytes.start;
            let mut made = 0;
            while done < self.step.bytes.end {
                if self.shared.is_pointless(self.step.place) {
                    return Ok(None);
                }
                let recycled = if made < PIPE_DEPTH {
                    empty.try_recv().ok()
                } else {
                    empty.recv().ok()
                };
                let mut buffer = recycled.unwrap_or_else(|| {
                    made += 1;
                    vec![0; PIPE_PIECE]
                });
                let count = self.piece(&mut buffer, done)?;
                done += count as u64;
                if full_sender.send((buffer, count)).is_err() {
                    break;
                }
            }
            drop(full_sender);
            match hashing.join() {
                Ok(digest) => Ok(Some(digest)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Copies the next piece, at least one byte, and leaves it in the buffer. Of a hole it writes
    /// nothing, for the output is zeros there already.
    fn piece(&self, buffer: &mut [u8], done: u64) -> Result<usize> {
        // Pieces end where pages of the output do.
        let within = (self.output_at + done) % buffer.len() as u64;
        let left = (self.step.bytes.end - done).min(buffer.len() as u64 - within);
        let start = self.input_at + done;
        let extent = self.extents.at(start, start + left);
        let extent = extent.context("read", self.shared.source.path())?;
        let count = match extent {
            Extent::Data(end) => {
                let piece = (end - start) as usize;
                let count = self.read(&mut buffer[..piece], start)?;
                let at = self.output_at + done;
                let written = self.output.write_all_at(&buffer[..count], at);
                written.context("write", self.path)?;
                count
            }
            Extent::Hole(end) => {
                let piece = (end - start) as usize;
                buffer[..piece].fill(0);
                piece
            }
            Extent::End => return Err(self.changed()),
        };
        self.shared.progress.advance(count as u64);
        Ok(count)
    }

    /// How many bytes of a hole come next.
    fn hole(&self, done: u64) -> Result<u64> {
        let start = self.input_at + done;
        let end = self.input_at + self.step.bytes.end;
        match self
            .extents
            .at(start, end)
            .context("read", self.shared.source.path())?
        {
            Extent::Hole(end) => {
                self.shared.progress.advance(end - start);
                Ok(end - start)
            }
            Extent::Data(_) | Extent::End => Ok(0),
        }
    }

    fn read(&self, buffer: &mut [u8], start: u64) -> Result<usize> {
        if self.shared.progress.is_stopped() {
            return Err(Error::interrupted());
        }
        loop {
            match self.input.read_at(buffer, start) {
                Ok(0) => return Err(self.changed()),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.shared.source.path(), error)),
            }
        }
    }

    /// The error for a file that has become shorter, the same for whichever part comes upon it.
    fn changed(&self) -> Error {
        let len = self.input.metadata().map_or(0, |found| found.len());
        let found = len.saturating_sub(self.input_at).min(self.job.len);
        changed_len(self.job.name, self.job.data, self.job.len, found)
    }
}
