//! Scans a tar archive: headers only, every file's bytes are skipped.

mod directories;
mod duplicates;
mod input;
pub(super) mod links;
mod listing;
mod names;
mod read_ahead;

use std::path::Path;

use ::tar::EntryType;

pub(super) use self::duplicates::stands_twice;
pub(super) use self::input::FileInput;
pub(super) use self::listing::{CleanName, Contents, Listing};
use super::Source;
use super::form::Order;
use super::other_format::refuse_other_formats;
use super::outer::decoding;
use crate::error::{Code, Error, Hint, IoContext, Result, entry_text, show_path};
use crate::image::{Content, Digest, SNIFF_LEN, sniff, sniff_compression};
use crate::inventory::{DataLocation, EntryKind, EntryLayout, ExtraKind, Inventory, Strictness};
use crate::location::RootName;
use crate::tar::{self, BLOCK, Entries, Entry, Input};
use crate::threads::Workers;

pub(super) fn scan(
    source: &Source,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Inventory> {
    let file_len = source.file.metadata().context("read", source.path())?.len();
    let head = source.head(&DataLocation::Offset(0), file_len)?;
    refuse_other_formats(source.path(), &head, source.outer)?;

    let mut listing = Listing::new(Order::Sorted);
    let mut input = FileInput::new(source, file_len).with_workers(workers);
    let mut entries = Entries::new(&mut input);
    loop {
        entries.keep_headers(listing.is_canonical());
        let Some(entry) = entries.next()? else { break };
        let name = listing.header(source.path(), &entry)?;
        let kind = kind(&entry, DataLocation::Offset(entry.data_at));
        let place = place(&entry, &name, &kind);
        listing.place(place);
        // Right after the header, the bytes are available.
        let content = match place.kind {
            EntryKind::Blob => Some(content_of(entries.input(), &entry)?),
            _ => None,
        };
        if listing.is_canonical() {
            let mut padding = [0; BLOCK];
            let expected = tar::padding(entry.len) as usize;
            let padding = &mut padding[..expected];
            let found = entries.input().read(padding, entry.data_at + entry.len)?;
            listing.padding(&padding[..found], expected);
        }
        listing.add(name, kind, entry.len, content);
    }
    let end = entries.position();
    check_end(&mut input, end, end, source.outer)?;
    listing.finish(source, strictness, end, file_len)
}

/// What the first bytes of an entry say.
fn content_of(input: &mut impl Input, entry: &Entry) -> Result<Content> {
    let mut head = [0; SNIFF_LEN];
    let len = usize::try_from(entry.len).map_or(head.len(), |len| len.min(head.len()));
    let found = input.read(&mut head[..len], entry.data_at)?;
    Ok(sniff(&head[..found]))
}

/// In the oldest archives a directory is a file whose name ends in a slash. Most readers, but not engines, take every
/// file with such a name for one.
fn is_directory(entry: &Entry) -> bool {
    entry.entry_type.is_dir() || entry.entry_type.is_file() && entry.name.ends_with(b"/")
}

/// Whether bytes may follow the header; those of an unknown type do, by POSIX.
fn has_bytes(entry: &Entry) -> bool {
    !is_directory(entry)
        && !matches!(
            entry.entry_type,
            EntryType::Symlink
                | EntryType::Link
                | EntryType::Char
                | EntryType::Block
                | EntryType::Fifo
        )
}

/// What an entry is; the bytes of a file are at `data`.
pub(super) fn kind(entry: &Entry, data: DataLocation) -> ExtraKind {
    let link = || entry_text(&entry.link).into_owned();
    match entry.entry_type {
        _ if is_directory(entry) => ExtraKind::Directory,
        EntryType::Regular => ExtraKind::File(data),
        EntryType::Symlink => ExtraKind::Symlink(link()),
        EntryType::Link => ExtraKind::Hardlink(link()),
        _ => ExtraKind::Other,
    }
}

/// Where the entry is, by its own name: a directory around it counts.
fn place(entry: &Entry, name: &CleanName, kind: &ExtraKind) -> EntryLayout {
    let kind = match kind {
        ExtraKind::Directory => EntryKind::Directory,
        ExtraKind::File(_) if is_blob(name) => EntryKind::Blob,
        ExtraKind::File(_) => RootName::of(&name.text).map_or(EntryKind::File, EntryKind::Root),
        ExtraKind::Symlink(_) | ExtraKind::Hardlink(_) | ExtraKind::Other => EntryKind::Special,
    };
    EntryLayout {
        start: entry.start_at,
        header: entry.header_at,
        data: entry.data_at,
        len: entry.len,
        kind,
        is_simple: entry.is_simple,
        is_well_named: is_well_named(entry, name.bytes()),
    }
}

/// Whether every reader finds the entry under its cleaned name.
fn is_well_named(entry: &Entry, clean: &[u8]) -> bool {
    let written = entry.name.strip_prefix(b"./").unwrap_or(&entry.name);
    written.strip_suffix(b"/").unwrap_or(written) == clean
}

fn is_blob(name: &CleanName) -> bool {
    name.digest.is_some() || Digest::from_any_blob_name(&name.text).is_some()
}

/// After the last entry there may only be zeros: another reader could continue past the end-of-archive marker.
/// Those before `position` were seen already. `outer` is the compression around the archive.
pub(super) fn check_end(
    input: &mut impl Input,
    end: u64,
    mut position: u64,
    outer: Option<Content>,
) -> Result<()> {
    // Most archives end within the first piece.
    let mut buffer = vec![0; 4 << 10];
    loop {
        let count = input.read(&mut buffer, position)?;
        if let Some(at) = buffer[..count].iter().position(|&byte| byte != 0) {
            let found = position + at as u64;
            let mut head = buffer[at..count].to_vec();
            head.resize(SNIFF_LEN.max(head.len()), 0);
            if count - at < SNIFF_LEN {
                let rest = &mut head[count - at..];
                input.read(rest, position + count as u64)?;
            }
            return Err(trailing(
                input.path(),
                end,
                found,
                &head[..SNIFF_LEN],
                outer,
            ));
        }
        if count < buffer.len() {
            return Ok(());
        }
        position += count as u64;
        buffer.resize(128 << 10, 0);
    }
}

/// The error for an archive that ends at `end` and is followed by something that begins with `head` at `found`.
fn trailing(path: &Path, end: u64, found: u64, head: &[u8], outer: Option<Content>) -> Error {
    let keep = |command: String| decoding(path, outer, Some(&command));
    let first = keep(format!("head -c {found}"));
    let is_archive = sniff(head) == Content::Tar || sniff_compression(head).is_some();
    Error::new(
        Code::TrailingArchive,
        format!(
            "{} continues after the end of the archive: expected only zeros after byte {end}, found other bytes at {found}",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_byte(found)
    .with_hint(match is_archive {
        true => Hint::SplitArchives {
            first,
            second: keep(format!("tail -c +{}", found + 1)),
        },
        false => Hint::CutOff(first),
    })
}

#[cfg(test)]
mod tests;
