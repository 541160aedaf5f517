//! Extended attributes of the archive's own entries, which do not go out.

use std::collections::BTreeSet;

use crate::inventory::{ArchiveMap, EntryXattr};
use crate::location::Location;
use crate::plan::rules::Rule;
use crate::plan::{Change, Severity};

/// What is removed: the attributes of single entries, and those of global headers.
pub(super) fn changes(archive: &ArchiveMap) -> impl Iterator<Item = Change> {
    let (global, own): (Vec<&EntryXattr>, Vec<&EntryXattr>) =
        archive.xattrs.iter().partition(|xattr| xattr.is_global);
    let entries: BTreeSet<&str> = own.iter().map(|xattr| &*xattr.entry).collect();
    let of_entries = match entries.len() {
        1 => "extended attributes of 1 entry".to_owned(),
        count => format!("extended attributes of {count} entries"),
    };
    let change = |first: &EntryXattr, before: String| {
        Rule::EntryXattrs.change(Location::entry(&first.entry), Some(before), None)
    };
    let own = own.first().map(|first| change(first, of_entries));
    let global = global.first().map(|first| {
        let before = "extended attributes of all entries, in a global header".to_owned();
        // Docker and other readers in Go ignore global headers.
        change(first, before).with_severity(Severity::Warns)
    });
    own.into_iter().chain(global)
}
