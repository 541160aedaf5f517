//! Gzip in independent members of a fixed size, so that any number of threads writes the same bytes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

use super::buffers::{Block, Buffers};
use crate::threads::{BorrowedThread, IdleThreads};

/// How many bytes one member holds. Smaller ones compress worse, larger ones only take memory.
pub(super) const MEMBER_LEN: usize = 1 << 20;
/// One write to the output. Much larger ones are slow on ext4.
const WRITE_LEN: usize = 256 << 10;

/// A member to compress, and where to send it.
type Task = (Block, SyncSender<io::Result<Block>>);

/// Compresses with libdeflate on several threads.
pub(crate) struct GzipWriter<'a, W> {
    output: W,
    /// The member that is being filled by [`Write`].
    buffer: Block,
    /// Members in their order, finished or not.
    pending: VecDeque<Receiver<io::Result<Block>>>,
    tasks: Option<Sender<Task>>,
    /// Without any, members are compressed here.
    workers: Vec<JoinHandle<()>>,
    compressor: Option<Compressor>,
    idle_threads: Option<&'a IdleThreads>,
    /// For the workers whose threads were lent.
    borrowed: Vec<BorrowedThread<'a>>,
    shared: Arc<Shared>,
    has_written: bool,
}

/// What the threads have in common.
struct Shared {
    level: CompressionLvl,
    tasks: Mutex<Receiver<Task>>,
    /// For members before they are compressed.
    members: Arc<Buffers>,
    /// For members when they are.
    compressed: Buffers,
}

impl<'a, W: Write> GzipWriter<'a, W> {
    /// `members` are buffers of [`MEMBER_LEN`] bytes. One thread is this one; those that become idle
    /// meanwhile join.
    pub(super) fn new(
        level: i32,
        threads: usize,
        idle_threads: Option<&'a IdleThreads>,
        members: Arc<Buffers>,
        output: W,
    ) -> io::Result<Self> {
        let level = CompressionLvl::new(level).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "gzip has the levels 0 to 12")
        })?;
        let (tasks, receiver) = channel::<Task>();
        let shared = Arc::new(Shared {
            level,
            tasks: Mutex::new(receiver),
            members,
            compressed: Buffers::new(MEMBER_LEN),
        });
        let mut writer = GzipWriter {
            output,
            buffer: shared.members.take(),
            pending: VecDeque::new(),
            tasks: Some(tasks),
            workers: Vec::new(),
            compressor: None,
            idle_threads,
            borrowed: Vec::new(),
            shared,
            has_written: false,
        };
        // With fewer threads it only takes longer.
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

    /// Takes the next bytes; a block at a member's beginning is not copied.
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

    /// Writes what is left, and gives the output back. Empty input is one empty member.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.buffer.filled().is_empty() || !self.has_written {
            self.dispatch_buffer()?;
        }
        while !self.pending.is_empty() {
            self.drain_one()?;
        }
        self.tasks = None;
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| stopped())?;
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
        let tasks = self.tasks.as_ref().ok_or_else(stopped)?;
        tasks.send((member, sender)).map_err(|_| stopped())?;
        self.pending.push_back(receiver);
        while self.pending.len() > self.workers.len() * 2 {
            self.drain_one()?;
        }
        Ok(())
    }

    fn drain_one(&mut self) -> io::Result<()> {
        if let Some(receiver) = self.pending.pop_front() {
            let compressed = receiver.recv().map_err(|_| stopped())??;
            self.write_member(compressed)?;
        }
        Ok(())
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

fn stopped() -> io::Error {
    io::Error::other("a compression thread stopped")
}

impl Shared {
    /// Compresses members until there are no more.
    fn work(&self) {
        let mut compressor = Compressor::new(self.level);
        loop {
            let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            let task = tasks.recv();
            drop(tasks);
            let Ok((member, sender)) = task else {
                return;
            };
            // The writer may have failed and gone.
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
