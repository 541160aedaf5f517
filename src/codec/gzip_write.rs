//! Writes gzip as independent members of a fixed size, so that the output is the same for any number of
//! threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

use super::buffers::{Block, Buffers};
use crate::threads::{BorrowedThread, IdleThreads, join};

/// The uncompressed size of a member in bytes. Smaller members compress worse, and larger ones only use
/// more memory.
pub(super) const MEMBER_LEN: usize = 1 << 20;
/// The size of one write to the output in bytes. Much larger writes are slow on ext4.
const WRITE_LEN: usize = 256 << 10;

/// A member to compress, and the channel that receives the result.
type Request = (Block, SyncSender<io::Result<Block>>);

/// Compresses with libdeflate on several threads.
pub(crate) struct GzipWriter<'a, W> {
    output: W,
    /// The member that [`Write`] is filling.
    buffer: Block,
    /// The members that are being compressed, in output order.
    pending: VecDeque<Receiver<io::Result<Block>>>,
    requests: Option<Sender<Request>>,
    /// If there are none, this thread compresses.
    workers: Vec<JoinHandle<()>>,
    compressor: Option<Compressor>,
    idle_threads: Option<&'a IdleThreads>,
    /// The borrowed threads of some of the workers.
    borrowed: Vec<BorrowedThread<'a>>,
    shared: Arc<Shared>,
    has_written: bool,
}

/// State that all threads use.
struct Shared {
    level: CompressionLvl,
    requests: Mutex<Receiver<Request>>,
    /// Buffers for uncompressed members.
    members: Arc<Buffers>,
    /// Buffers for compressed members.
    compressed: Buffers,
}

impl<'a, W: Write> GzipWriter<'a, W> {
    /// Creates a writer that compresses on `threads` threads, and on idle threads that it borrows later. With
    /// one thread it compresses on the caller's. `members` is a pool of buffers of [`MEMBER_LEN`] bytes.
    pub(super) fn new(
        level: i32,
        threads: usize,
        idle_threads: Option<&'a IdleThreads>,
        members: Arc<Buffers>,
        output: W,
    ) -> io::Result<Self> {
        let level = CompressionLvl::new(level).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "gzip supports levels 0 to 12")
        })?;
        let (requests, receiver) = channel::<Request>();
        let shared = Arc::new(Shared {
            level,
            requests: Mutex::new(receiver),
            members,
            compressed: Buffers::new(MEMBER_LEN),
        });
        let mut writer = GzipWriter {
            output,
            buffer: shared.members.take(),
            pending: VecDeque::new(),
            requests: Some(requests),
            workers: Vec::new(),
            compressor: None,
            idle_threads,
            borrowed: Vec::new(),
            shared,
            has_written: false,
        };
        // Failing to start a thread only makes this slower.
        while threads > 1 && writer.workers.len() < threads && writer.start_worker() {}
        Ok(writer)
    }

    fn start_worker(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let worker = std::thread::Builder::new().spawn(move || shared.work());
        let is_started = worker.is_ok();
        self.workers.extend(worker);
        is_started
    }

    /// Compresses the bytes of a block. A block that starts a member is not copied.
    pub(super) fn push(&mut self, mut block: Block) -> io::Result<()> {
        if !self.buffer.filled().is_empty() {
            self.write_all(block.filled())?;
        } else if block.filled().len() == MEMBER_LEN {
            return self.dispatch(block);
        } else {
            std::mem::swap(&mut self.buffer, &mut block);
        }
        self.shared.members.give(block);
        Ok(())
    }

    /// Writes all remaining data and returns the output. Empty input becomes one empty member.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.buffer.filled().is_empty() || !self.has_written {
            self.dispatch_buffer()?;
        }
        while !self.pending.is_empty() {
            self.drain_one()?;
        }
        self.requests = None;
        for worker in self.workers.drain(..) {
            join(worker.join());
        }
        self.borrowed.clear();
        Ok(self.output)
    }

    fn dispatch_buffer(&mut self) -> io::Result<()> {
        let member = std::mem::replace(&mut self.buffer, self.shared.members.take());
        self.dispatch(member)
    }

    fn dispatch(&mut self, member: Block) -> io::Result<()> {
        self.has_written = true;
        let is_full = member.filled().len() == MEMBER_LEN;
        if is_full && let Some(borrowed) = self.idle_threads.and_then(IdleThreads::borrow) {
            self.borrowed.push(borrowed);
            self.start_worker();
        }
        if self.workers.is_empty() {
            let level = self.shared.level;
            let compressor = self
                .compressor
                .get_or_insert_with(|| Compressor::new(level));
            let compressed = self.shared.compress(compressor, member)?;
            return self.write_member(compressed);
        }
        let (sender, receiver) = sync_channel(1);
        let requests = self.requests.as_ref();
        if requests.is_none_or(|requests| requests.send((member, sender)).is_err()) {
            return Err(self.stopped());
        }
        self.pending.push_back(receiver);
        while self.pending.len() > self.workers.len() * 2 {
            self.drain_one()?;
        }
        Ok(())
    }

    fn drain_one(&mut self) -> io::Result<()> {
        if let Some(receiver) = self.pending.pop_front() {
            let Ok(compressed) = receiver.recv() else {
                return Err(self.stopped());
            };
            self.write_member(compressed?)?;
        }
        Ok(())
    }

    /// A worker ends early only by a panic, which joining brings here.
    fn stopped(&mut self) -> io::Error {
        self.requests = None;
        for worker in self.workers.drain(..) {
            join(worker.join());
        }
        io::Error::other("a compression thread stopped")
    }

    fn write_member(&mut self, compressed: Block) -> io::Result<()> {
        for piece in compressed.filled().chunks(WRITE_LEN) {
            self.output.write_all(piece)?;
        }
        self.shared.compressed.give(compressed);
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.buffer.filled().len();
        let count = bytes.len().min(MEMBER_LEN - start);
        self.buffer.space(start + count)[start..start + count].copy_from_slice(&bytes[..count]);
        self.buffer.set_len(start + count);
        if start + count == MEMBER_LEN {
            self.dispatch_buffer()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Compresses members until the writer closes the channel.
    fn work(&self) {
        let mut compressor = Compressor::new(self.level);
        loop {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            let request = requests.recv();
            drop(requests);
            let Ok((member, sender)) = request else {
                return;
            };
            // If the writer has failed, nobody receives the result.
            let _ = sender.send(self.compress(&mut compressor, member));
        }
    }

    fn compress(&self, compressor: &mut Compressor, member: Block) -> io::Result<Block> {
        let mut compressed = self.compressed.take();
        let bound = compressor.gzip_compress_bound(member.filled().len());
        let len = compressor
            .gzip_compress(member.filled(), compressed.space(bound))
            .map_err(io::Error::other)?;
        compressed.set_len(len);
        self.members.give(member);
        Ok(compressed)
    }
}
