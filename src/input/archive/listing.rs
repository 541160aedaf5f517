//! The entries that were found, and what they amount to.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::directories::Directories;
use super::{duplicates, has_bytes, is_directory, is_well_named, links, names};
use crate::error::{Code, Error, Hint, Result, entry_text, escape, show_path};
use crate::image::{Content, Digest};
use crate::input::Source;
use crate::input::classify::{self, Item};
use crate::input::form::{FormCheck, Order, Raw};
use crate::inventory::{
    BlobSource, DataLocation, EntryLayout, EntryXattr, ExtraKind, Inventory, Strictness,
};
use crate::location::RootName;
use crate::tar::{BLOCK, Entry, invalid};

/// What the entries of an archive contain.
pub(in crate::input) trait Contents: BlobSource {
    /// What messages call the archive.
    fn path(&self) -> &Path;

    /// Whether two entries of one name are the same, bytes and all.
    fn is_equal(&self, a: &Item, b: &Item) -> Result<bool>;

    /// Whether entries that were seen may still get other names.
    fn may_rename(&self) -> bool;
}

/// Collects entries in the order of the archive.
pub(in crate::input) struct Listing {
    inventory: Inventory,
    form: FormCheck,
    items: Vec<Listed>,
    directories: Directories,
    /// How many entries and extended attributes there are, and the length of all names and targets of links.
    records: usize,
    names_len: usize,
}

/// How many entries and extended attributes of entries an archive may have, because each takes memory.
const MAX_RECORDS: usize = 1 << 20;
/// How many bytes the names and targets of all entries may have: those of 800,000 blobs.
const MAX_NAMES_LEN: usize = 64 << 20;

/// An entry that was found.
pub(super) struct Listed {
    /// The cleaned name's own bytes, if they are not text.
    pub(super) raw_name: Option<Vec<u8>>,
    pub(super) item: Item,
}

impl Listed {
    /// What distinguishes entries.
    pub(super) fn key(&self) -> Key<'_> {
        match &self.item.digest {
            Some(digest) => Key::Blob(digest),
            None => Key::Name(self.name_bytes()),
        }
    }

    /// The cleaned name's own bytes.
    pub(super) fn name_bytes(&self) -> &[u8] {
        self.raw_name
            .as_deref()
            .unwrap_or(self.item.name.as_bytes())
    }
}

/// What distinguishes entries. The digest of a blob is shorter than its name.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Blob(&'a Digest),
    Name(&'a [u8]),
}

/// An entry's cleaned name: as text, and as bytes if it is not text.
pub(in crate::input) struct CleanName {
    raw: Option<Vec<u8>>,
    pub(in crate::input) text: String,
    /// The digest, if this is the name of a blob.
    pub(in crate::input) digest: Option<Digest>,
}

impl CleanName {
    pub(super) fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }
}

impl Listing {
    pub(in crate::input) fn new(order: Order) -> Self {
        Listing {
            inventory: Inventory::default(),
            form: FormCheck::new(order),
            items: Vec::new(),
            directories: Directories::default(),
            records: 0,
            names_len: 0,
        }
    }

    /// Whether everything up to here has the form that ocify writes.
    pub(in crate::input) fn is_canonical(&self) -> bool {
        self.form.is_same()
    }

    /// Notes an entry whose bytes are still to come, and cleans its name.
    pub(in crate::input) fn header(&mut self, path: &Path, entry: &Entry) -> Result<CleanName> {
        self.inventory.entry_count += 1;
        let text = || entry_text(&entry.name);
        // The name of a blob is clean, and nearly all entries are blobs.
        let name = str::from_utf8(&entry.name).ok();
        let mut digest = name.and_then(Digest::from_blob_name);
        let bytes = match digest {
            Some(_) => Cow::Borrowed(&*entry.name),
            None => names::clean(&entry.name).map_err(|what| {
                let what = format!("the entry name \"{}\" {what}", escape(&text()));
                invalid(path, &what).with_entry(text())
            })?,
        };
        // Some readers skip these bytes and others parse them as headers.
        if entry.len > 0 && !has_bytes(entry) {
            let what = format!(
                "{} has {} bytes but is not a file",
                escape(&text()),
                entry.len
            );
            return Err(invalid(path, &what)
                .with_entry(text())
                .with_found(entry.len));
        }
        let (text, raw) = match String::from_utf8(bytes.into_owned()) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.into_bytes();
                (entry_text(&bytes).into_owned(), Some(bytes))
            }
        };
        if digest.is_none() {
            if entry.name.starts_with(b"/") {
                self.inventory.names.absolute.insert(text.clone());
            } else if entry.name != text.as_bytes() && !is_directory(entry) {
                self.inventory.names.renamed.insert(text.clone());
            }
            digest = Digest::from_blob_name(&text);
            let is_found = is_well_named(entry, text.as_bytes());
            if !is_found && (digest.is_some() || RootName::of(&text).is_some()) {
                self.form.hides_entry();
            }
        }
        if let Some(what) = entry.misread {
            self.form.misread(&text, what);
            let is_needed = digest.is_some() || RootName::of(&text).is_some();
            if !is_needed && !matches!(entry.entry_type.as_byte(), b'\0' | b'0'..=b'6') {
                let names = &mut self.inventory.names;
                names.other_type.get_or_insert_with(|| text.clone());
            }
        }
        self.directories
            .note(entry, &text, &mut self.inventory.names);
        if entry.has_foreign_xattr {
            let names = &mut self.inventory.names;
            names.foreign_xattrs.get_or_insert_with(|| text.clone());
        }
        self.count(path, entry, &text)?;
        for (records, is_global) in [(&entry.global_xattrs, true), (&entry.xattrs, false)] {
            if records.is_empty() {
                continue;
            }
            let name: Arc<str> = text.as_str().into();
            let xattrs = records.iter().map(|record| EntryXattr {
                entry: Arc::clone(&name),
                is_global,
                record: record.clone(),
            });
            self.inventory.archive.xattrs.extend(xattrs);
        }
        if self.form.is_same() {
            let mut clean = text.clone();
            if is_directory(entry) {
                clean.push('/');
            }
            self.form.entry(&Raw {
                name: &entry.name,
                clean,
                len: entry.len,
                data_position: entry.data_at,
                headers: &entry.headers,
            });
        }
        Ok(CleanName { raw, text, digest })
    }

    /// Counts what is kept in memory about an entry, whatever the length of its bytes.
    fn count(&mut self, path: &Path, entry: &Entry, name: &str) -> Result<()> {
        self.records += 1 + entry.xattrs.len() + entry.global_xattrs.len();
        self.names_len += name.len() + entry.link.len();
        if self.records > MAX_RECORDS {
            let what = format!("more than {MAX_RECORDS} entries and extended attributes");
            return Err(too_many(path, &what, MAX_RECORDS));
        }
        if self.names_len > MAX_NAMES_LEN {
            let what = format!("names of entries with more than {MAX_NAMES_LEN} bytes");
            return Err(too_many(path, &what, MAX_NAMES_LEN));
        }
        Ok(())
    }

    /// Records where the entry is in the file.
    pub(in crate::input) fn place(&mut self, place: EntryLayout) {
        self.inventory.archive.entries.push(place);
    }

    /// Notes the bytes that follow an entry's data, of which there should be `expected`.
    pub(in crate::input) fn padding(&mut self, padding: &[u8], expected: usize) {
        self.form.padding(padding, expected);
    }

    /// Adds the entry, once its bytes are known to be there.
    pub(in crate::input) fn add(
        &mut self,
        name: CleanName,
        kind: ExtraKind,
        len: u64,
        content: Option<Content>,
    ) {
        let item = Item {
            name: name.text,
            digest: name.digest,
            kind,
            len,
            content,
        };
        let raw_name = name.raw;
        self.items.push(Listed { raw_name, item });
    }

    /// The inventory of an archive of `archive_len` bytes whose last entry ends at `end`, once all
    /// entries were added.
    pub(in crate::input) fn finish(
        self,
        contents: &dyn Contents,
        strictness: Strictness,
        end: u64,
        archive_len: u64,
    ) -> Result<Inventory> {
        let Listing {
            mut inventory,
            mut form,
            mut items,
            ..
        } = self;
        // Engines read whole blocks, so they fail after one block of zeros and a part of the second.
        if (BLOCK as u64 + 1..2 * BLOCK as u64).contains(&archive_len.saturating_sub(end)) {
            let last = items.last().map_or("", |listed| &listed.item.name);
            form.misread(
                last,
                "is the last entry, and the archive stops within its end-of-archive marker",
            );
        }
        // Readers that unpack the archive look for a link's target by the name that the link states.
        let early_link = links::early(items.iter().map(|listed| &listed.item));
        if let Some(wrapper) = names::wrapper(&items) {
            if !contents.may_rename() {
                return Err(wrapped(contents.path(), &wrapper));
            }
            names::unwrap_directory(&wrapper, &mut items, &mut form);
            inventory.names.wrapper = Some(wrapper);
        }
        names::distinguish(&mut items);
        let early_link = early_link.and_then(|position| items.get(position));
        inventory.names.early_link = early_link.map(|listed| listed.item.name.clone());
        let mut items =
            duplicates::without_duplicates(contents, items, strictness, &mut inventory, &mut form)?;
        names::refuse_nested(contents.path(), &items)?;
        inventory.names.links = links::all(&items);
        inventory.names.dangling_link = links::dangling(&items);
        links::follow(contents.path(), &mut items, &mut inventory, &mut form)?;
        for item in items {
            classify::add(&mut inventory, contents, contents.path(), item)?;
        }
        inventory.form = form.finish(archive_len, &inventory.blobs);
        inventory.archive.end = end;
        inventory.archive.len = archive_len;
        Ok(inventory)
    }
}

fn too_many(path: &Path, what: &str, max: usize) -> Error {
    let message = format!("{} has {what}", show_path(path));
    Error::new(Code::TooManyEntries, message)
        .with_path(path)
        .with_expected(max)
        .with_hint(Hint::SaveFewer)
}

fn wrapped(path: &Path, wrapper: &str) -> Error {
    Error::new(
        Code::NeedsFile,
        format!(
            "{} has its image in the directory {}, which is known only at the end",
            show_path(path),
            escape(wrapper)
        ),
    )
    .with_path(path)
    .with_entry(wrapper)
    .with_hint(Hint::WriteToFile)
}

impl Contents for Source {
    fn path(&self) -> &Path {
        self.path()
    }

    fn is_equal(&self, a: &Item, b: &Item) -> Result<bool> {
        let (
            ExtraKind::File(DataLocation::Offset(a_at)),
            ExtraKind::File(DataLocation::Offset(b_at)),
        ) = (&a.kind, &b.kind)
        else {
            return Ok(a.kind == b.kind);
        };
        if a.len != b.len {
            return Ok(false);
        }
        const PIECE: u64 = 128 << 10;
        let mut done = 0;
        while done < a.len {
            let count = PIECE.min(a.len - done);
            let left = self.read_range(&DataLocation::Offset(a_at + done), count)?;
            if left != self.read_range(&DataLocation::Offset(b_at + done), count)? {
                return Ok(false);
            }
            done += count;
        }
        Ok(true)
    }

    fn may_rename(&self) -> bool {
        true
    }
}
