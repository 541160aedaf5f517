//! How many blobs and manifests a push sent, found and could not send.

use serde::Serialize;

use crate::push::{PushState, PushedBlob};
use crate::report::text::bytes;

/// How many blobs and manifests were sent, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Those that were sent.
    pub sent: Total,
    /// Those that the registry took from another repository.
    pub mounted: Total,
    /// Those that the repository had.
    pub exists: Total,
    /// Those that could not be sent.
    pub failed: Total,
    /// Those that were not sent yet, or not completely, when a push failed.
    pub pending: Total,
}

/// A number of blobs and manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Total {
    /// How many there are.
    pub count: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Total {
    fn add(&mut self, len: u64) {
        self.count += 1;
        self.bytes += len;
    }

    fn join(&mut self, other: Total) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl Totals {
    /// Counts blobs and manifests; on a dry run, none of them.
    pub fn of(blobs: &[PushedBlob]) -> Self {
        let mut totals = Totals::default();
        for blob in blobs {
            match blob.state {
                Some(PushState::Sent) => totals.sent.add(blob.len),
                Some(PushState::Mounted) => totals.mounted.add(blob.len),
                Some(PushState::Exists) => totals.exists.add(blob.len),
                Some(PushState::Failed) => totals.failed.add(blob.len),
                Some(PushState::Pending) => totals.pending.add(blob.len),
                None => {}
            }
        }
        totals
    }

    /// Adds those of another push.
    pub fn join(&mut self, other: Totals) {
        self.sent.join(other.sent);
        self.mounted.join(other.mounted);
        self.exists.join(other.exists);
        self.failed.join(other.failed);
        self.pending.join(other.pending);
    }

    /// How many are in the registry.
    pub(super) fn present(self) -> u64 {
        self.sent.count + self.mounted.count + self.exists.count
    }

    /// What was done, in words: `3 sent (1.0 MB), 2 already there (7 B)`.
    pub(super) fn shown(self) -> String {
        let named = [
            (self.sent, "sent"),
            (self.mounted, "mounted"),
            (self.exists, "already there"),
            (self.failed, "failed"),
            (self.pending, "not sent"),
        ];
        let parts = named.iter().filter(|(total, _)| total.count > 0);
        let parts = parts.map(|(total, what)| {
            let Total { count, bytes: len } = *total;
            format!("{count} {what} ({})", bytes(len))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}
