//! A blob's bytes, read and hashed by one thread while another one decodes them.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::apply::recompress::Stop;
use crate::codec::{Block, Buffers};
use crate::error::{Error, Result};
use crate::image::{Digest, Hasher};
use crate::input::{BlobAt, BlobName, Source};
use crate::plan::Transcode;
use crate::progress::Progress;

/// Reads the blob and hands it on, piece by piece; returns its digest.
pub(super) struct Reader<'a> {
    pub(super) work: &'a Transcode,
    pub(super) source: &'a Source,
    pub(super) stop: &'a Stop<'a>,
    pub(super) progress: &'a dyn Progress,
    pub(super) pieces: &'a Buffers,
}

impl Reader<'_> {
    /// `None` if nobody wanted the rest.
    pub(super) fn run(
        self,
        file: &Arc<File>,
        start: u64,
        to: &SyncSender<Block>,
    ) -> Result<Option<Digest>> {
        let work = self.work;
        let mut hasher = Hasher::new(work.digest.algorithm());
        let mut done = 0;
        while done < work.len {
            if self.stop.is_set() {
                return Ok(None);
            }
            if self.progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let mut piece = self.pieces.take();
            let left = usize::try_from(work.len - done).unwrap_or(usize::MAX);
            let wanted = self.pieces.size().min(left);
            let space = &mut piece.space(wanted)[..wanted];
            let count = match file.read_at(space, start + done) {
                Ok(0) => return Err(shorter(work, done)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.source.path(), error)),
            };
            piece.set_len(count);
            hasher.update(piece.filled());
            done += count as u64;
            self.progress.advance(count as u64);
            if to.send(piece).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(hasher.finish()))
    }
}

/// A blob's bytes, read and hashed by the thread that decodes them.
pub(super) struct Direct<'a> {
    work: &'a Transcode,
    source: &'a Source,
    file: Arc<File>,
    start: u64,
    done: u64,
    hasher: Hasher,
    stop: &'a Stop<'a>,
    progress: &'a dyn Progress,
    failure: Option<Error>,
}

impl<'a> Direct<'a> {
    pub(super) fn new(
        work: &'a Transcode,
        source: &'a Source,
        file: Arc<File>,
        start: u64,
        stop: &'a Stop<'a>,
        progress: &'a dyn Progress,
    ) -> Self {
        Direct {
            work,
            source,
            file,
            start,
            done: 0,
            hasher: Hasher::new(work.digest.algorithm()),
            stop,
            progress,
            failure: None,
        }
    }

    /// Reads the rest, if it is wanted, and returns the digest of what was read; nothing if the work
    /// was stopped. What went wrong while reading is told here.
    pub(super) fn finish(mut self, has_rest: bool) -> Result<Option<Digest>> {
        if has_rest {
            // What fails is kept.
            let _ = io::copy(&mut self, &mut io::sink());
        }
        if self.stop.is_set() {
            return Ok(None);
        }
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Some(self.hasher.finish())),
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let work = self.work;
        let left = usize::try_from(work.len - self.done).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        if self.progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let at = self.start + self.done;
        let count = loop {
            match self.file.read_at(&mut buffer[..wanted], at) {
                Ok(0) => return Err(shorter(work, self.done)),
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.source.path(), error)),
            }
        };
        self.hasher.update(&buffer[..count]);
        self.done += count as u64;
        self.progress.advance(count as u64);
        Ok(count)
    }
}

fn shorter(work: &Transcode, found: u64) -> Error {
    let blob = BlobAt {
        name: BlobName::Document(&work.place),
        data: &work.data,
        len: work.len,
    };
    blob.changed(found)
}

impl Read for Direct<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() || self.stop.is_set() {
            return Err(io::Error::other("the work was stopped"));
        }
        self.next(buffer).map_err(|error| {
            self.failure = Some(error);
            io::Error::other("the blob cannot be read")
        })
    }
}

/// The pieces as one stream; it ends where they do.
pub(super) struct Input<'a> {
    pieces: Receiver<Block>,
    buffers: &'a Buffers,
    current: Option<Block>,
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(pieces: Receiver<Block>, buffers: &'a Buffers) -> Self {
        Input {
            pieces,
            buffers,
            current: None,
            position: 0,
        }
    }

    fn rest(&self) -> &[u8] {
        let filled = self.current.as_ref().map(Block::filled);
        filled.map_or(&[], |filled| &filled[self.position..])
    }

    /// Passes over what is left, which belongs to the digest all the same.
    pub(super) fn drain(self) {
        self.pieces
            .into_iter()
            .for_each(|piece| self.buffers.give(piece));
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() {
            if let Some(used) = self.current.take() {
                self.buffers.give(used);
            }
            self.current = self.pieces.recv().ok();
            self.position = 0;
        }
        Ok(self.rest())
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.fill_buf()?;
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.consume(count);
        Ok(count)
    }
}
