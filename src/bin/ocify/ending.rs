//! The end of a run with one report: the run shows it, or the thread that ends a run which waits after a signal.

use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use ocify::{Code, Error, Result};

use crate::interrupt::Interrupt;
use crate::panics::caught;
use crate::run::FAILED;

/// What it takes to report the end of a run.
pub(crate) trait Ending: Send + Sync + 'static {
    /// What the run did.
    type Done;

    /// Shows the report. Returns the exit code that it stands for.
    fn report(&self, result: &Result<Self::Done>, interrupt: &Interrupt) -> u8;
}

/// Does the work, and reports it once, even if it is asked to stop. A panic on this input, or on no particular one, is an
/// error. Returns the exit code.
pub(crate) fn run<E: Ending>(
    ending: E,
    input: Option<&Path>,
    work: impl FnOnce(&E, &Interrupt) -> Result<E::Done>,
) -> u8 {
    let interrupt = Interrupt::default();
    let ending = Arc::new(Once {
        ending,
        once: Mutex::new(()),
    });
    interrupt.watch({
        let (ending, interrupt) = (Arc::clone(&ending), interrupt.clone());
        move |code| {
            let message = "the run was stopped while it waited for its input or output";
            let error = Error::new(Code::Interrupted, message);
            ending.report(&Err(error), &interrupt);
            process::exit(code.into());
        }
    });
    let result = caught(input, || work(&ending.ending, &interrupt));
    match ending.report(&result, &interrupt) {
        FAILED if interrupt.is_asked() => interrupt.exit_code(),
        code => code,
    }
}

/// Reports once.
struct Once<E> {
    ending: E,
    once: Mutex<()>,
}

impl<E: Ending> Once<E> {
    fn report(&self, result: &Result<E::Done>, interrupt: &Interrupt) -> u8 {
        // Whoever comes second waits for the end of the process.
        let once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        let code = self.ending.report(result, interrupt);
        std::mem::forget(once);
        code
    }
}
