//! What a push has done so far, whatever its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::schedule::Schedule;
use super::{PushState, PushedBlob};

/// What a push has done with each blob and manifest, also if it fails. Clones share it.
///
/// It is empty until something can be sent: the input was read, and the registry has what the input lacks.
#[derive(Clone, Debug, Default)]
pub struct PushLog(Arc<Mutex<Vec<PushedBlob>>>);

impl PushLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every blob and manifest of each repository, in the order in which they are pushed.
    pub fn blobs(&self) -> Vec<PushedBlob> {
        self.lock().clone()
    }

    /// Lists everything that is to be pushed.
    pub(super) fn begin(&self, schedule: &Schedule) {
        let mut blobs = schedule.contents();
        for blob in &mut blobs {
            blob.state = Some(PushState::Pending);
        }
        *self.lock() = blobs;
    }

    /// Notes what was done with a blob or manifest, by its position.
    pub(super) fn set(&self, number: usize, state: PushState) {
        if let Some(blob) = self.lock().get_mut(number) {
            blob.state = Some(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PushedBlob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
