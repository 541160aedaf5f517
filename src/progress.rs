//! How long work reports that it goes on. The library only counts; what a person sees is the caller's.

/// Receives the progress of one job, in bytes. Called from several threads.
pub trait Progress: Sync {
    /// Work begins, and this many bytes have to pass.
    fn start(&self, total_len: u64);
    /// This many more bytes have passed.
    fn advance(&self, len: u64);
    /// The work has ended, well or badly.
    fn finish(&self);
    /// Whether the work is to stop where it is, with an error. Asked before every piece.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hidden;

impl Progress for Hidden {
    fn start(&self, _total_len: u64) {}
    fn advance(&self, _len: u64) {}
    fn finish(&self) {}
}
