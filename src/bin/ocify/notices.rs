//! What happens while an input is fixed, for people.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ocify::{
    Code, Notice, Observer, Progress, Recovery, Result, SpoolReason, Stage, command::InputPath,
    command::Lock, command::recover_locked, command::show_path,
};

use crate::args::{Fix, Format, ProgressMode};
use crate::interrupt::Interrupt;
use crate::progress::Shown;

/// Whether only errors are shown.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Shows no notice from now on.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Shows a line that is not an error. If it cannot be shown, the run goes on.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Watches the fix of a single input.
pub(crate) struct Single<'a> {
    pub(crate) args: &'a Fix,
    pub(crate) interrupt: &'a Interrupt,
}

impl Observer for Single<'_> {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        let mode = match self.args.progress() {
            // One JSON object is all that a program wants to find there.
            ProgressMode::Auto if is_json_on_stderr(self.args) => ProgressMode::Quiet,
            mode => mode,
        };
        Box::new(Shown::new(mode, stage.name(), self.interrupt))
    }

    fn notice(&self, notice: &Notice<'_>) {
        show(notice, self.args);
    }
}

/// Whether a report for programs goes to standard error.
fn is_json_on_stderr(args: &Fix) -> bool {
    args.is_stdout_taken() && args.format == Format::Json
}

/// Shows a notice.
pub(crate) fn show(notice: &Notice<'_>, args: &Fix) {
    match notice {
        Notice::Recovered { path, recovery, .. } => show_recovery(path, *recovery),
        Notice::Unlocked { path, .. } => show_unlocked(path),
        // A report for programs on the same stream says it too.
        Notice::Spooled { .. } if args.is_to_stream() && args.format == Format::Json => {}
        Notice::Spooled {
            name,
            directory,
            reason,
            ..
        } => {
            let what = format!("storing {} in {}", show_path(name), show_path(directory));
            match reason {
                SpoolReason::Check | SpoolReason::Inspect => {
                    tell(format_args!("{what} to read it several times"));
                }
                _ => tell(format_args!("{what} to read it twice: {reason}")),
            }
        }
        _ => {}
    }
}

/// Restores an input after an in-place fix that was interrupted.
pub(crate) fn restore(input: &InputPath) -> Result<Recovery> {
    let (recovery, lock) = recover_locked(input)?;
    if lock == Lock::Unsupported {
        show_unlocked(&input.path());
    }
    Ok(recovery)
}

/// Once for all inputs of a run.
pub(crate) fn show_unlocked(path: &Path) {
    static SHOWN: Once = Once::new();
    SHOWN.call_once(|| {
        tell(format_args!(
            "warning: the filesystem of {} has no locks; make sure that nothing else uses it while ocify writes to it",
            show_path(path)
        ));
    });
}

fn show_recovery(path: &Path, recovery: Recovery) {
    let what = match recovery {
        Recovery::Nothing => return,
        Recovery::Restored => "was restored",
        Recovery::Removed => "had not been changed yet",
    };
    tell(format_args!(
        "note: an in-place fix of {} was interrupted; the file {what}",
        show_path(path)
    ));
}

/// Does something with an input, and restores it first if an in-place fix was interrupted.
pub(crate) fn restoring<T>(input: &InputPath, work: impl Fn() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.code() == Code::UnfinishedFix => {
            show_recovery(&input.path(), restore(input)?);
            work()
        }
        other => other,
    }
}
