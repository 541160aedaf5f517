//! Reads an archive on another thread, in order, while the scan examines what was read.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use crate::input::read_full;
use crate::tar::BLOCK;
use crate::threads::BorrowedThread;

/// One read.
const PIECE: usize = 128 << 10;
/// How many pieces may wait for the scan.
const DEPTH: usize = 3;
/// Space before each piece for the end of the one before it.
pub(super) const ROOM: usize = BLOCK;

/// A thread that reads.
pub(super) struct ReadAhead<'a> {
    /// `None` only while this is dropped.
    running: Option<Running>,
    /// The offset of the next piece.
    next_at: u64,
    _borrowed: Option<BorrowedThread<'a>>,
}

struct Running {
    pieces: Receiver<Piece>,
    used: Sender<Vec<u8>>,
    thread: JoinHandle<()>,
}

/// Bytes of the archive, after [`ROOM`].
pub(super) struct Piece {
    pub(super) buffer: Vec<u8>,
    pub(super) len: usize,
}

impl<'a> ReadAhead<'a> {
    /// Reads from `at` to the end of the file; `None` if no thread can be started.
    pub(super) fn start(
        file: &Arc<File>,
        at: u64,
        borrowed: Option<BorrowedThread<'a>>,
    ) -> Option<Self> {
        let (to_scan, pieces) = sync_channel(DEPTH);
        let (used, buffers) = channel();
        let file = Arc::clone(file);
        let thread = thread::Builder::new()
            .spawn(move || read_all(&file, at, &to_scan, &buffers))
            .ok()?;
        Some(ReadAhead {
            running: Some(Running {
                pieces,
                used,
                thread,
            }),
            next_at: at,
            _borrowed: borrowed,
        })
    }

    /// Whether the byte at `position` is in the next piece or soon after it.
    pub(super) fn is_near(&self, position: u64) -> bool {
        position >= self.next_at && position < self.next_at + 2 * PIECE as u64
    }

    /// The next piece and its offset; `None` at the end of the file, or if it cannot be read.
    /// `used` is a buffer for a later piece.
    pub(super) fn next(&mut self, used: Vec<u8>) -> Option<(Piece, u64)> {
        let running = self.running.as_ref()?;
        // Sending fails after everything was read, because the thread has ended.
        let _ = running.used.send(used);
        let piece = running.pieces.recv().ok()?;
        let at = self.next_at;
        self.next_at += piece.len as u64;
        Some((piece, at))
    }
}

impl Drop for ReadAhead<'_> {
    fn drop(&mut self) {
        if let Some(Running { pieces, thread, .. }) = self.running.take() {
            // It ends when the scan takes no more pieces.
            drop(pieces);
            let _ = thread.join();
        }
    }
}

fn read_all(file: &File, mut at: u64, to_scan: &SyncSender<Piece>, used: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = used.try_recv().unwrap_or_default();
        buffer.resize(ROOM + PIECE, 0);
        // The scan reads again what cannot be read here, and says why.
        let Ok(len) = read_full(file, &mut buffer[ROOM..], at) else {
            return;
        };
        at += len as u64;
        if to_scan.send(Piece { buffer, len }).is_err() || len < PIECE {
            return;
        }
    }
}
