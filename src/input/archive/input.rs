//! An archive in a file, read by position.

use std::num::NonZeroUsize;
use std::path::Path;

use super::read_ahead::{ROOM, ReadAhead};
use crate::error::Result;
use crate::input::Source;
use crate::tar::{BLOCK, Input};
use crate::threads::{IdleThreads, Workers};

/// An archive in a file.
pub(in crate::input) struct FileInput<'a> {
    source: &'a Source,
    len: u64,
    /// Bytes that were read beyond the request.
    ahead: Window,
    /// How many reads in a row skipped few bytes.
    dense_reads: usize,
    workers: Workers<'a>,
    thread: Option<ReadAhead<'a>>,
}

/// Some bytes of a file.
#[derive(Default)]
struct Window {
    buffer: Vec<u8>,
    /// Where in the buffer they begin and end.
    from: usize,
    to: usize,
    /// Their offset in the file.
    at: u64,
}

/// What is read when less is requested: the last entry's padding, a header and the data's beginning.
/// A system call for each would take most of a scan's time.
const HEADER: usize = 3 * BLOCK;
/// What is read where many small entries follow each other.
const DENSE: usize = 32 << 10;
/// Another thread reads ahead after so many reads between which fewer bytes were skipped, if so
/// much is left. A scan of small entries spends half of its time reading.
const READS_BEFORE_THREAD: usize = 16;
const PASSED_OVER: usize = 8 << 10;
const LEFT_FOR_THREAD: usize = if cfg!(test) { 64 << 10 } else { 4 << 20 };

impl Window {
    fn end(&self) -> u64 {
        self.at + (self.to - self.from) as u64
    }

    /// The bytes from `position` on.
    fn after(&self, position: u64) -> &[u8] {
        let start = position.checked_sub(self.at);
        let start = start.and_then(|start| usize::try_from(start).ok());
        start
            .and_then(|start| self.buffer.get(self.from..self.to)?.get(start..))
            .unwrap_or_default()
    }
}

impl<'a> FileInput<'a> {
    pub(in crate::input) fn new(source: &'a Source, len: u64) -> Self {
        FileInput {
            source,
            len,
            ahead: Window::default(),
            dense_reads: 0,
            workers: Workers::ONE,
            thread: None,
        }
    }

    /// Lets another thread read ahead if that helps.
    pub(super) fn with_workers(self, workers: Workers<'a>) -> Self {
        FileInput { workers, ..self }
    }

    /// Reads ahead from `position` on, where `left` bytes are, of which `wanted` are needed.
    fn look_ahead(&mut self, position: u64, left: usize, wanted: usize) -> Result<()> {
        if self.take_piece(position) && self.ahead.after(position).len() >= wanted {
            return Ok(());
        }
        self.thread = None;
        let passed_over = position.saturating_sub(self.ahead.end());
        let is_dense = passed_over < DENSE as u64;
        let count = left.min(if is_dense { DENSE } else { HEADER });
        let ahead = &mut self.ahead;
        ahead.to = ahead.from;
        if ahead.buffer.len() < count {
            ahead.buffer.resize(count, 0);
        }
        self.source
            .read_into(&mut ahead.buffer[..count], position)?;
        (ahead.from, ahead.to, ahead.at) = (0, count, position);
        self.dense_reads = match passed_over < PASSED_OVER as u64 {
            true => self.dense_reads + 1,
            false => 0,
        };
        if self.dense_reads > READS_BEFORE_THREAD && left - count >= LEFT_FOR_THREAD {
            self.dense_reads = 0;
            self.start_thread();
        }
        Ok(())
    }

    fn start_thread(&mut self) {
        let borrowed = self.workers.idle_threads.and_then(IdleThreads::borrow);
        if borrowed.is_some() || self.workers.jobs.count() > NonZeroUsize::MIN {
            self.thread = ReadAhead::start(&self.source.file, self.ahead.end(), borrowed);
        }
    }

    /// Takes pieces from the other thread up to the one that `position` is in; false if there is no
    /// thread, or if none is near.
    fn take_piece(&mut self, position: u64) -> bool {
        let Some(thread) = &mut self.thread else {
            return false;
        };
        let mut tail = [0; ROOM];
        let rest = self.ahead.after(position);
        let tail_len = rest.len();
        if tail_len > ROOM || tail_len == 0 && !thread.is_near(position) {
            return false;
        }
        tail[..tail_len].copy_from_slice(rest);
        loop {
            let used = std::mem::take(&mut self.ahead.buffer);
            let Some((piece, at)) = thread.next(used) else {
                self.ahead = Window::default();
                return false;
            };
            self.ahead = Window {
                buffer: piece.buffer,
                from: ROOM,
                to: ROOM + piece.len,
                at,
            };
            if position < self.ahead.end() {
                break;
            }
        }
        let ahead = &mut self.ahead;
        ahead.from -= tail_len;
        ahead.at -= tail_len as u64;
        ahead.buffer[ahead.from..ROOM].copy_from_slice(&tail[..tail_len]);
        true
    }
}

impl Input for FileInput<'_> {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn read(&mut self, buffer: &mut [u8], position: u64) -> Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let buffer = &mut buffer[..count];
        if self.ahead.after(position).len() < count {
            if count > BLOCK {
                self.source.read_into(buffer, position)?;
                return Ok(count);
            }
            self.look_ahead(position, left, count)?;
        }
        buffer.copy_from_slice(&self.ahead.after(position)[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::num::NonZeroUsize;

    use super::*;
    use crate::error::Code;

    /// A file of `len` bytes that differ from place to place.
    fn source(len: usize) -> (tempfile::TempDir, Source, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.tar");
        let bytes: Vec<u8> = (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let source = Source::open(&path).unwrap();
        (dir, source, bytes)
    }

    fn several<'a>() -> Workers<'a> {
        Workers {
            jobs: NonZeroUsize::new(2).into(),
            idle_threads: None,
        }
    }

    #[test]
    fn another_thread_brings_the_same_bytes() {
        let (_dir, source, bytes) = source((8 << 20) + 77);
        let len = bytes.len() as u64;
        // Sometimes bytes are skipped: part of a piece, a complete one, several.
        let jump = |step: usize| match step % 1500 {
            0 => [40 << 10, 150 << 10, 300 << 10, 700 << 10][step / 1500 % 4],
            _ => 0,
        };
        for (count, stride) in [(512, 4608), (1, 700), (512, 512), (300, 50_000)] {
            let mut input = FileInput::new(&source, len).with_workers(several());
            let mut had_thread = false;
            let mut position = 0;
            for step in 0.. {
                let mut buffer = vec![0; count];
                let found = input.read(&mut buffer, position).unwrap();
                let rest = bytes.get(position as usize..).unwrap_or_default();
                assert_eq!(found, rest.len().min(count), "{position}");
                assert!(buffer[..found] == rest[..found], "{position}");
                had_thread |= input.thread.is_some();
                if found < count {
                    break;
                }
                position += (stride + jump(step)) as u64;
            }
            assert_eq!(had_thread, stride < 10_000, "{stride}");
        }
    }

    #[test]
    fn a_thread_is_borrowed_and_returned() {
        let (_dir, source, bytes) = source(2 << 20);
        let idle_threads = IdleThreads::default();
        for is_idle in [false, true] {
            if is_idle {
                idle_threads.add();
            }
            let workers = Workers {
                jobs: NonZeroUsize::MIN.into(),
                idle_threads: Some(&idle_threads),
            };
            let mut input = FileInput::new(&source, bytes.len() as u64).with_workers(workers);
            let mut block = [0; BLOCK];
            for step in 0..1500 {
                input.read(&mut block, step * 700).unwrap();
            }
            assert_eq!(input.thread.is_some(), is_idle);
            assert!(idle_threads.borrow().is_none());
        }
        assert!(idle_threads.borrow().is_some());
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let (_dir, source, bytes) = source(4 << 20);
        let mut input = FileInput::new(&source, bytes.len() as u64).with_workers(several());
        let mut block = [0; BLOCK];
        let mut result = Ok(0);
        for step in 0..8000 {
            if step == 2000 {
                assert!(input.thread.is_some());
                let file = File::options().write(true).open(source.path());
                file.unwrap().set_len(2 << 20).unwrap();
            }
            result = input.read(&mut block, step * 512);
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result.unwrap_err().code(), Code::TruncatedArchive);
    }
}
