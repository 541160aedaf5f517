//! The directories that entries are in. Readers that unpack an archive create those that have no entry of their own, but not all do.

use std::collections::HashSet;

use super::is_directory;
use crate::inventory::EntryNames;
use crate::tar::Entry;

/// The directories that have had an entry.
#[derive(Debug, Default)]
pub(super) struct Directories {
    seen: HashSet<String>,
}

impl Directories {
    /// Notes an entry with this cleaned name.
    pub(super) fn note(&mut self, entry: &Entry, name: &str, names: &mut EntryNames) {
        if name == "." {
            names.has_root = true;
            return;
        }
        // The first file without a directory is enough.
        if names.before_directory.is_some() {
            return;
        }
        if is_directory(entry) {
            let mut rest = Some(name);
            while let Some(directory) = rest
                && !self.seen.contains(directory)
            {
                self.seen.insert(directory.to_owned());
                rest = directory.rsplit_once('/').map(|(parent, _)| parent);
            }
        } else if entry.entry_type.is_file()
            && let Some((directory, _)) = name.rsplit_once('/')
            && !self.seen.contains(directory)
        {
            names.before_directory = Some(name.to_owned());
        }
    }
}
