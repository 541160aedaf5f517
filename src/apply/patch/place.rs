//! The entries of an archive, and what a patch does with each.

use std::collections::BTreeMap;
use std::ops::Range;

use super::tail::{self, Tail};
use super::{Patch, refused};
use crate::apply::Outcome;
use crate::error::{Result, escape};
use crate::image::{Algorithm, Digest};
use crate::input::{DOCUMENT_CAP, Source};
use crate::inventory::{BlobSource as _, DataLocation, EntryKind, EntryLayout, Inventory};
use crate::journal::Write;
use crate::location::RootName;
use crate::plan::{OutputEntry, Plan};
use crate::tar::{self, padding};

/// What a patch does with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is left unchanged; whether the output needs it.
    Stays { is_needed: bool },
    /// Another entry replaces it.
    Taken(Write),
    /// Nothing needs it: what replaces it, if anything does, is in the tail.
    Goes,
}

/// All entries of an archive with their fates, and the entries that go into a new tail.
pub(super) struct Places<'a> {
    inventory: &'a Inventory,
    source: &'a Source,
    fates: Vec<Fate>,
    /// The root files of the output: their bytes, and whether the archive has these already.
    roots: BTreeMap<RootName, (&'a [u8], bool)>,
    tail: Tail<'a>,
}

impl<'a> Places<'a> {
    pub(super) fn new(inventory: &'a Inventory, source: &'a Source) -> Self {
        let stays = Fate::Stays { is_needed: false };
        Places {
            inventory,
            source,
            fates: vec![stays; inventory.archive.entries.len()],
            roots: BTreeMap::new(),
            tail: Tail::default(),
        }
    }

    fn entry(&self, number: usize) -> &'a EntryLayout {
        &self.inventory.archive.entries[number]
    }

    /// The number of the entry whose data is at this location.
    fn find(&self, data: &DataLocation) -> Option<usize> {
        let DataLocation::Offset(at) = data else {
            return None;
        };
        let entries = &self.inventory.archive.entries;
        entries.binary_search_by_key(at, |entry| entry.data).ok()
    }

    /// A blob that the output contains unchanged.
    pub(super) fn keep(&mut self, name: &str, data: &DataLocation) -> Result<()> {
        let found = self.find(data);
        let found = found.filter(|number| self.entry(*number).kind == EntryKind::Blob);
        let Some(number) = found else {
            let what = format!(
                "{} is stored under another name, as docker save does",
                escape(name)
            );
            return Err(refused(self.source, &what).with_entry(name));
        };
        self.check_name(number, name)?;
        self.settle(number, Fate::Stays { is_needed: true })
    }

    /// Sets the fate of an entry, which must not get two different ones.
    fn settle(&mut self, number: usize, fate: Fate) -> Result<()> {
        let old = std::mem::replace(&mut self.fates[number], fate);
        if old == (Fate::Stays { is_needed: false }) || old == self.fates[number] {
            return Ok(());
        }
        let at = self.entry(number).start;
        let what = format!("the entry at byte {at} would have to be kept and changed");
        Err(refused(self.source, &what).with_byte(at))
    }

    /// A document or root file whose bytes are known.
    pub(super) fn put(&mut self, entry: &'a OutputEntry, bytes: &'a [u8]) -> Result<()> {
        self.check_file(&entry.name)?;
        let old = entry.replaces.as_ref().and_then(|old| self.find(old));
        match RootName::of(&entry.name) {
            Some(name) => self.root(name, old, bytes),
            None => self.document(entry, old, bytes),
        }
    }

    fn document(
        &mut self,
        entry: &'a OutputEntry,
        old: Option<usize>,
        bytes: &'a [u8],
    ) -> Result<()> {
        let digest = Digest::from_blob_name(&entry.name);
        let twin = digest.and_then(|digest| self.inventory.blobs.get(&digest));
        if let Some(twin) = twin {
            // The archive has the new document already, beside the old one.
            if self.source.read_blob(twin, DOCUMENT_CAP)? != bytes {
                let what = format!("{} is damaged", escape(&entry.name));
                return Err(refused(self.source, &what).with_entry(&entry.name));
            }
            self.keep(&entry.name, &twin.data)?;
            if let Some(old) = old {
                self.settle(old, Fate::Stays { is_needed: true })?;
            }
            return Ok(());
        }
        let Some(old) = old else {
            self.tail.add(&entry.name, bytes);
            return Ok(());
        };
        // A document cannot be padded to fill a longer entry any more, because its digest is known.
        let taken = match bytes.len() as u64 >= self.entry(old).len {
            true => self.taken(old, &entry.name, bytes)?,
            false => None,
        };
        let fate = match taken {
            Some(write) => Fate::Taken(write),
            None => {
                self.tail.add(&entry.name, bytes);
                Fate::Goes
            }
        };
        self.settle(old, fate)
    }

    fn root(&mut self, name: RootName, old: Option<usize>, bytes: &'a [u8]) -> Result<()> {
        let stated = match name {
            RootName::Index => &self.inventory.root_index,
            RootName::DockerManifest => &self.inventory.docker_manifest,
            RootName::OciLayout => &self.inventory.oci_layout,
        };
        let is_same = stated.as_ref().is_some_and(|file| file.bytes == bytes);
        self.roots.insert(name, (bytes, is_same));
        let Some(old) = old else {
            return Ok(());
        };
        self.check_name(old, name.name())?;
        if is_same {
            return self.settle(old, Fate::Stays { is_needed: true });
        }
        let taken = self.taken(old, name.name(), bytes)?;
        self.settle(old, taken.map_or(Fate::Goes, Fate::Taken))
    }

    fn check_name(&self, number: usize, name: &str) -> Result<()> {
        if self.entry(number).is_well_named {
            return Ok(());
        }
        let what = format!(
            "the name of {} is in a form that some readers do not find",
            escape(name)
        );
        Err(refused(self.source, &what).with_entry(name))
    }

    /// Refuses to write a file whose name is that of a directory: entries that a patch keeps are below it.
    fn check_file(&self, name: &str) -> Result<()> {
        let directory = format!("{name}/");
        let mut kept = self.inventory.extra.range(directory.clone()..);
        let Some((below, _)) = kept.next().filter(|(kept, _)| kept.starts_with(&directory)) else {
            return Ok(());
        };
        let what = format!(
            "{} would have to be removed from it, because it is below {}, which must be a file",
            escape(below),
            escape(name)
        );
        Err(refused(self.source, &what).with_entry(below))
    }

    /// The entry that replaces another; `None` if it does not fit. Shorter bytes are
    /// followed by spaces, and longer ones may fill the last block.
    fn taken(&self, number: usize, name: &str, bytes: &[u8]) -> Result<Option<Write>> {
        let entry = self.entry(number);
        let capacity = entry.len + padding(entry.len);
        let len = entry.len.max(bytes.len() as u64);
        if len > capacity {
            return Ok(None);
        }
        let headers = DataLocation::Offset(entry.start);
        let mut headers = self.source.read_range(&headers, entry.data - entry.start)?;
        for record in self.xattrs(&(entry.start..entry.data)) {
            let at = |offset: u64| usize::try_from(offset - entry.start).unwrap_or(0);
            headers[at(record.start)..at(record.end)].copy_from_slice(&comment(record));
        }
        let Some(mut new) = tar::replaced(&headers, entry.is_simple, name, len) else {
            return Ok(None);
        };
        let data = new.len();
        let at = |len: u64| data + usize::try_from(len).unwrap_or(0);
        new.extend(bytes);
        new.resize(at(len), b' ');
        new.resize(at(capacity), 0);
        Ok(Some(Write {
            at: entry.start,
            bytes: new,
        }))
    }

    /// The records of extended attributes in a part of the file.
    fn xattrs(&self, part: &Range<u64>) -> impl Iterator<Item = &'a Range<u64>> {
        let xattrs = &self.inventory.archive.xattrs;
        let first = xattrs.partition_point(|xattr| xattr.record.start < part.start);
        let end = part.end;
        let records = xattrs[first..].iter().map(|xattr| &xattr.record);
        records.take_while(move |record| record.start < end)
    }

    /// Adds the writes that turn the extended attributes of all other entries before `end` into comments.
    fn drop_xattrs(&self, writes: &mut Vec<Write>, end: u64) {
        let others: Vec<Write> = self
            .xattrs(&(0..end))
            .filter(|record| {
                // The write that begins before it, if there is one.
                let after = writes.partition_point(|write| write.at <= record.start);
                let before = after.checked_sub(1).map(|before| &writes[before]);
                before.is_none_or(|write| write.end() <= record.start)
            })
            .map(|record| Write {
                at: record.start,
                bytes: comment(record),
            })
            .collect();
        writes.extend(others);
        writes.sort_by_key(|write| write.at);
    }

    /// The patch, once every entry of the output was seen.
    pub(super) fn finish(mut self, plan: &Plan, outcome: Outcome) -> Result<Patch> {
        self.refuse_removal()?;
        let map = &self.inventory.archive;
        for (number, entry) in map.entries.iter().enumerate() {
            if let EntryKind::Root(name) = entry.kind
                && !self.roots.contains_key(&name)
            {
                self.fates[number] = Fate::Goes;
            }
        }
        let first = tail::first(&map.entries, &self.fates);
        let is_in_tail = |name: RootName| {
            let mut trailing = map.entries[first..].iter();
            trailing.any(|entry| entry.kind == EntryKind::Root(name))
        };
        let is_placed = |name: RootName| {
            let mut fates = map.entries.iter().zip(&self.fates);
            fates.any(|(entry, fate)| entry.kind == EntryKind::Root(name) && *fate != Fate::Goes)
        };
        let is_right = |name: &RootName| self.roots.get(name).is_some_and(|(_, is_same)| *is_same);
        let trailing = map.entries[first..].iter();
        let needs_tail = !self.tail.is_empty()
            || self.roots.keys().any(|name| !is_placed(*name))
            || trailing
                .filter_map(|entry| match entry.kind {
                    EntryKind::Root(name) => Some(name),
                    _ => None,
                })
                .any(|name| !is_right(&name));
        let mut tail = std::mem::take(&mut self.tail);
        if needs_tail {
            for (name, (bytes, _)) in &self.roots {
                if is_in_tail(*name) || !is_placed(*name) {
                    tail.add(name.name(), bytes);
                }
            }
        }
        let kept = if needs_tail { first } else { map.entries.len() };
        let mut writes = self.writes(kept, plan)?;
        let start = map.entries.get(first).map_or(map.end, |entry| entry.start);
        let mut new_len = writes
            .last()
            .map_or(map.len, |last| last.end().max(map.len));
        let mut kept_len = map.len;
        if needs_tail {
            kept_len = start.min(map.len);
            let (bytes, len) = tail.bytes(start, map.end);
            new_len = len;
            writes.push(Write { at: start, bytes });
        }
        if !writes.is_empty() {
            self.refuse_repeated_roots()?;
        }
        self.drop_xattrs(&mut writes, kept_len);
        Ok(Patch {
            writes,
            kept_len,
            old_len: map.len,
            new_len,
            outcome,
        })
    }

    /// Refuses if blobs that must not be in the output would stay in the file.
    fn refuse_removal(&self) -> Result<()> {
        for (digest, blob) in &self.inventory.blobs {
            let fate = self.find(&blob.data).map(|number| &self.fates[number]);
            if fate.is_none_or(|fate| *fate == Fate::Stays { is_needed: false }) {
                let name = digest.blob_name();
                let what = format!("{name} would have to be removed from it");
                return Err(refused(self.source, &what).with_entry(name));
            }
        }
        Ok(())
    }

    /// Refuses duplicate root files, because one would change and the other stay.
    fn refuse_repeated_roots(&self) -> Result<()> {
        let mut seen = Vec::new();
        for entry in &self.inventory.archive.entries {
            if let EntryKind::Root(name) = entry.kind {
                if seen.contains(&name) {
                    let what = format!("{} appears in it more than once", name.name());
                    return Err(refused(self.source, &what).with_entry(name.name()));
                }
                seen.push(name);
            }
        }
        Ok(())
    }

    /// The writes to the first `count` entries.
    fn writes(&self, count: usize, plan: &Plan) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        let mut retired = Vec::new();
        for (number, fate) in self.fates.iter().enumerate().take(count) {
            match (fate, self.entry(number).kind) {
                (Fate::Taken(write), _) => writes.push(write.clone()),
                (Fate::Goes, EntryKind::Root(name)) => {
                    let (digest, write) = self.retired(number, name)?;
                    let name = digest.blob_name();
                    let mut entries = plan.entries.iter();
                    if self.inventory.blobs.contains_key(&digest)
                        || retired.contains(&digest)
                        || entries.any(|entry| entry.name == name)
                    {
                        let what = format!("it contains the bytes of an old root file as {name}");
                        return Err(refused(self.source, &what).with_entry(name));
                    }
                    retired.push(digest);
                    writes.push(write);
                }
                // An old document that stays is a blob that nothing refers to.
                (Fate::Goes | Fate::Stays { .. }, _) => {}
            }
        }
        Ok(writes)
    }

    /// A root file that does not fit in its position between other entries becomes a blob that nothing
    /// refers to, which every reader accepts.
    fn retired(&self, number: usize, name: RootName) -> Result<(Digest, Write)> {
        let entry = self.entry(number);
        let bytes = self
            .source
            .read_range(&DataLocation::Offset(entry.data), entry.len)?;
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        self.check_file(&digest.blob_name())?;
        match self.taken(number, &digest.blob_name(), &bytes)? {
            Some(write) => Ok((digest, write)),
            None => {
                let what = format!("{} cannot be renamed in it", name.name());
                Err(refused(self.source, &what).with_entry(name.name()))
            }
        }
    }
}

/// A comment as long as the record in that part of the file.
fn comment(record: &Range<u64>) -> Vec<u8> {
    let len = usize::try_from(record.end - record.start).unwrap_or(0);
    tar::comment(len)
}
