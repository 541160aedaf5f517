//! The entries that were found, and what they amount to.

use std::path::Path;

use super::{Entry, duplicates, has_bytes, invalid, is_directory, names};
use crate::error::{Code, Error, Result, escape, show_path};
use crate::inventory::{Content, ExtraKind, Inventory, Location, Place};
use crate::read::classify::{self, Item};
use crate::read::form::{FormCheck, Order, Raw};
use crate::read::{BlobSource, ScanOptions, Source};

/// What the entries of an archive hold.
pub(in crate::read) trait Contents: BlobSource {
    /// What messages call the archive.
    fn path(&self) -> &Path;

    /// Whether two entries of one name are the same, bytes and all.
    fn is_equal(&self, a: &Item, b: &Item) -> Result<bool>;

    /// Whether entries that were seen may still get other names.
    fn may_rename(&self) -> bool;
}

/// Collects entries in the order of the archive.
pub(in crate::read) struct Listing {
    inventory: Inventory,
    form: FormCheck,
    items: Vec<(Vec<u8>, Item)>,
}

/// An entry's cleaned name: as bytes, and as text.
pub(in crate::read) struct CleanName {
    pub(in crate::read) bytes: Vec<u8>,
    pub(in crate::read) text: String,
}

impl Listing {
    pub(in crate::read) fn new(order: Order) -> Self {
        Listing {
            inventory: Inventory::default(),
            form: FormCheck::new(order),
            items: Vec::new(),
        }
    }

    /// Whether everything up to here has the form that ocify writes.
    pub(in crate::read) fn is_canonical(&self) -> bool {
        self.form.is_same()
    }

    /// Notes an entry whose bytes are still to come, and cleans its name.
    pub(in crate::read) fn header(&mut self, path: &Path, entry: &Entry) -> Result<CleanName> {
        self.inventory.entry_count += 1;
        let shown = || escape(&String::from_utf8_lossy(&entry.name));
        let bytes = names::clean(&entry.name)
            .map_err(|what| invalid(path, &format!("the entry name \"{}\" {what}", shown())))?;
        // Some readers skip these bytes and others take them for headers.
        if entry.len > 0 && !has_bytes(entry) {
            let what = format!("{} has {} bytes but is no file", shown(), entry.len);
            return Err(invalid(path, &what));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
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
        Ok(CleanName { bytes, text })
    }

    /// Notes where the entry stands in a file.
    pub(in crate::read) fn place(&mut self, place: Place) {
        self.inventory.archive.places.push(place);
    }

    /// Notes the bytes that follow an entry's data, of which there should be `expected`.
    pub(in crate::read) fn padding(&mut self, padding: &[u8], expected: usize) {
        self.form.padding(padding, expected);
    }

    /// Adds the entry, once its bytes are known to be there.
    pub(in crate::read) fn add(
        &mut self,
        name: CleanName,
        kind: ExtraKind,
        len: u64,
        content: Option<Content>,
    ) {
        let item = Item {
            name: name.text,
            kind,
            len,
            content,
        };
        self.items.push((name.bytes, item));
    }

    /// The inventory of an archive of `archive_len` bytes whose last entry ends at `end`, once all
    /// entries were added.
    pub(in crate::read) fn finish(
        self,
        contents: &dyn Contents,
        options: ScanOptions,
        end: u64,
        archive_len: u64,
    ) -> Result<Inventory> {
        let Listing {
            mut inventory,
            mut form,
            mut items,
        } = self;
        if let Some(wrapper) = names::wrapper(&items) {
            if !contents.may_rename() {
                return Err(wrapped(contents.path(), &wrapper));
            }
            names::unwrap_directory(&wrapper, &mut items, &mut form);
        }
        let items =
            duplicates::without_duplicates(contents, items, options, &mut inventory, &mut form)?;
        names::refuse_nested(contents.path(), &items)?;
        for item in items {
            classify::add(&mut inventory, contents, contents.path(), item)?;
        }
        inventory.form = form.finish(archive_len, &inventory.blobs);
        inventory.archive.end = end;
        inventory.archive.len = archive_len;
        Ok(inventory)
    }
}

fn wrapped(path: &Path, wrapper: &str) -> Error {
    Error::new(
        Code::NeedsFile,
        format!(
            "{} has its image in the directory {}, which shows only at its end",
            show_path(path),
            escape(wrapper)
        ),
    )
    .with_hint("write the archive to a file first")
}

impl Contents for Source {
    fn path(&self) -> &Path {
        self.path()
    }

    fn is_equal(&self, a: &Item, b: &Item) -> Result<bool> {
        let (ExtraKind::File(Location::Offset(a_at)), ExtraKind::File(Location::Offset(b_at))) =
            (&a.kind, &b.kind)
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
            let left = self.read_range(&Location::Offset(a_at + done), count)?;
            if left != self.read_range(&Location::Offset(b_at + done), count)? {
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
