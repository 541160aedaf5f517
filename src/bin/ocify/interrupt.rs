//! Stopping when asked to: the first signal lets the run end cleanly, the second ends it at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether, and by which signal, the run was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    listening: Arc<OnceLock<()>>,
    is_asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Listens from now on. If that is not possible, signals do what they always do.
    pub(crate) fn listen(&self) {
        self.listening.get_or_init(|| self.register());
    }

    fn register(&self) {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let is_asked = || Arc::clone(&self.is_asked);
            let number = usize::try_from(signal).unwrap_or(0);
            // In this order: the second signal finds what the first one left.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, is_asked())
                .and_then(|_| flag::register_usize(signal, Arc::clone(&self.signal), number))
                .and_then(|_| flag::register(signal, is_asked()));
        }
    }

    /// Whether the run was asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// The same, asked while the run waits for another process. It listens if it did not before: in a
    /// container the run is process 1, which signals do not end.
    pub(crate) fn is_asked_in_a_wait(&self) -> bool {
        self.listen();
        self.is_asked()
    }

    /// The exit code by which shells know the signal.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.signal.load(Ordering::Relaxed)).unwrap_or(u8::MAX)
    }
}
