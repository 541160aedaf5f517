//! The new end of an archive: the entries that did not fit before it, and the root files.

use super::place::Fate;
use crate::inventory::{EntryKind, EntryLayout};
use crate::tar::{END_LEN, canonical, padding};

/// Where the tail can begin: at the first entry from which on all are root files or not needed.
pub(super) fn first(places: &[EntryLayout], fates: &[Fate]) -> usize {
    let is_movable = |(place, fate): &(&EntryLayout, &Fate)| {
        matches!(place.kind, EntryKind::Root(_)) || **fate == Fate::Goes
    };
    let count = places
        .iter()
        .zip(fates)
        .rev()
        .take_while(is_movable)
        .count();
    places.len() - count
}

/// Entries of a new tail.
#[derive(Debug, Default)]
pub(super) struct Tail<'a> {
    entries: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Tail<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn add(&mut self, name: &'a str, bytes: &'a [u8]) {
        self.entries.push((name, bytes));
    }

    /// The tail's bytes from `start` on, and where the archive ends then. Old entries end at
    /// `old_end`, and no byte of them may be left behind.
    pub(super) fn bytes(mut self, start: u64, old_end: u64) -> (Vec<u8>, u64) {
        self.entries.sort_unstable();
        let mut out = Vec::new();
        for (name, bytes) in self.entries {
            let len = bytes.len() as u64;
            out.extend(canonical(name, false, len));
            out.extend(bytes);
            out.resize(out.len() + zeros(padding(len)), 0);
        }
        out.resize(out.len() + zeros(END_LEN), 0);
        let end = start + out.len() as u64;
        out.resize(out.len() + zeros(old_end.saturating_sub(end)), 0);
        (out, end)
    }
}

fn zeros(count: u64) -> usize {
    usize::try_from(count).unwrap_or(0)
}
