//! Watches the work on one of many inputs.

use ocify::{IdleThreads, Notice, Observer, Progress, Stage};

use crate::args::Fix;
use crate::notices;
use crate::progress::Running;

/// Shows the progress of one task, and lends it the threads that have none.
pub(super) struct Watcher<'a> {
    pub(super) args: &'a Fix,
    pub(super) idle_threads: &'a IdleThreads,
    pub(super) running: &'a Running<'a>,
}

impl Observer for Watcher<'_> {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(self.running.stage(stage.name()))
    }

    fn notice(&self, notice: &Notice<'_>) {
        notices::show(notice, self.args);
    }

    fn idle_threads(&self) -> Option<&IdleThreads> {
        Some(self.idle_threads)
    }
}
