//! Progress reporting. The library only counts bytes; displaying them is up to the caller.

/// Receives the progress of an operation, in bytes. Its methods are called from several threads.
pub trait Progress: Sync {
    /// The operation starts and will process `total_len` bytes.
    fn start(&self, total_len: u64) {
        let _ = total_len;
    }
    /// Another `len` bytes were processed.
    fn advance(&self, len: u64);
    /// The operation has finished or failed.
    fn finish(&self) {}
    /// Whether the operation should stop with an error. This is checked before each block of data.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Ignores all progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hidden;

impl Progress for Hidden {
    fn advance(&self, _len: u64) {}
}
