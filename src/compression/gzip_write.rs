//! Gzip in independent members of a fixed size, so that any number of threads writes the same bytes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

use crate::threads::{Lent, Spare};

/// How many bytes one member holds. Smaller ones compress worse, larger ones only take memory.
const MEMBER_LEN: usize = 1 << 20;
/// One write to the output. Much larger ones are slow on ext4.
const WRITE_LEN: usize = 256 << 10;

/// A member to compress, and where to send it.
type Task = (Vec<u8>, SyncSender<io::Result<Vec<u8>>>);

/// Compresses with libdeflate on several threads.
pub(crate) struct GzipWriter<'a, W> {
    output: W,
    level: CompressionLvl,
    buffer: Vec<u8>,
    /// Members in their order, finished or not.
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    tasks: Option<Sender<Task>>,
    receiver: Arc<Mutex<Receiver<Task>>>,
    /// Without any, members are compressed here.
    workers: Vec<JoinHandle<()>>,
    spare: Option<&'a Spare>,
    /// For how many of the workers a thread was borrowed.
    lent: Vec<Lent<'a>>,
    compressor: Option<Compressor>,
    has_written: bool,
}

impl<'a, W: Write> GzipWriter<'a, W> {
    /// With one thread it is this one. Threads that become idle meanwhile join.
    pub(super) fn new(
        level: i32,
        threads: usize,
        spare: Option<&'a Spare>,
        output: W,
    ) -> io::Result<Self> {
        let level = CompressionLvl::new(level).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "gzip has the levels 0 to 12")
        })?;
        let (tasks, receiver) = channel::<Task>();
        let mut writer = GzipWriter {
            output,
            level,
            buffer: Vec::new(),
            pending: VecDeque::new(),
            tasks: Some(tasks),
            receiver: Arc::new(Mutex::new(receiver)),
            workers: Vec::new(),
            spare,
            lent: Vec::new(),
            compressor: None,
            has_written: false,
        };
        // With fewer threads it only takes longer.
        while threads > 1 && writer.workers.len() < threads && writer.start_worker() {}
        Ok(writer)
    }

    fn start_worker(&mut self) -> bool {
        let (receiver, level) = (Arc::clone(&self.receiver), self.level);
        let worker = std::thread::Builder::new().spawn(move || work(&receiver, level));
        let is_started = worker.is_ok();
        self.workers.extend(worker);
        is_started
    }

    /// Writes what is left, and gives the output back. Empty input is one empty member.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.buffer.is_empty() || !self.has_written {
            self.dispatch()?;
        }
        while !self.pending.is_empty() {
            self.drain_one()?;
        }
        self.tasks = None;
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| stopped())?;
        }
        self.lent.clear();
        Ok(self.output)
    }

    fn dispatch(&mut self) -> io::Result<()> {
        self.has_written = true;
        let is_full = self.buffer.len() == MEMBER_LEN;
        if is_full && let Some(lent) = self.spare.and_then(Spare::borrow) {
            self.lent.push(lent);
            self.start_worker();
        }
        if self.workers.is_empty() {
            let level = self.level;
            let compressor = self
                .compressor
                .get_or_insert_with(|| Compressor::new(level));
            let compressed = compress(compressor, &self.buffer)?;
            self.buffer.clear();
            return write_pieces(&mut self.output, &compressed);
        }
        let member = std::mem::replace(&mut self.buffer, Vec::with_capacity(MEMBER_LEN));
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
            write_pieces(&mut self.output, &compressed)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(MEMBER_LEN - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == MEMBER_LEN {
            self.dispatch()?;
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

fn work(tasks: &Mutex<Receiver<Task>>, level: CompressionLvl) {
    let mut compressor = Compressor::new(level);
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((member, sender)) = task else {
            return;
        };
        // The writer may have failed and gone.
        let _ = sender.send(compress(&mut compressor, &member));
    }
}

fn compress(compressor: &mut Compressor, member: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = vec![0; compressor.gzip_compress_bound(member.len())];
    let len = compressor
        .gzip_compress(member, &mut compressed)
        .map_err(io::Error::other)?;
    compressed.truncate(len);
    Ok(compressed)
}

fn write_pieces(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(WRITE_LEN) {
        output.write_all(piece)?;
    }
    Ok(())
}
