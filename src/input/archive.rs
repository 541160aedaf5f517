//! Scans a tar archive: headers only, every file's bytes are skipped.

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
use super::other_format::not_a_tar;
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
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
    refuse_other_formats(source.path(), &head)?;

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
    check_end(&mut input, end, end)?;
    listing.finish(source, strictness, end, file_len)
}

/// What the first bytes of an entry say.
fn content_of(input: &mut impl Input, entry: &Entry) -> Result<Content> {
    let mut head = [0; SNIFF_LEN];
    let len = usize::try_from(entry.len).map_or(head.len(), |len| len.min(head.len()));
    let found = input.read(&mut head[..len], entry.data_at)?;
    Ok(sniff(&head[..found]))
}

/// In the oldest archives a directory is a file whose name ends in a slash.
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
    let link = || String::from_utf8_lossy(&entry.link).into_owned();
    match entry.entry_type {
        _ if is_directory(entry) => ExtraKind::Directory,
        EntryType::Regular | EntryType::Continuous => ExtraKind::File(data),
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

/// Refuses what does not begin as a tar archive does.
pub(super) fn refuse_other_formats(path: &Path, head: &[u8]) -> Result<()> {
    let shown = show_path(path);
    let (name, tool) = match sniff_compression(head) {
        Some(Content::Gzip) => ("gzip", "gzip -d"),
        Some(Content::Zstd | Content::ZstdAfterSkippable) => ("zstd", "zstd -d"),
        Some(Content::Bzip2) => ("bzip2", "bzip2 -d"),
        Some(_) => ("xz", "xz -d"),
        None if sniff(head) == Content::Tar => return Ok(()),
        None => return Err(not_a_tar(path, head)),
    };
    Err(Error::new(
        Code::CompressedArchive,
        format!("{shown} is compressed with {name}, expected a plain tar archive"),
    )
    .with_path(path)
    .with_expected("a plain tar archive")
    .with_found(name)
    .with_hint(Hint::Decompress(tool)))
}

/// After the last entry there may only be zeros: another reader could continue past the end-of-archive marker.
/// Those before `position` were seen already.
pub(super) fn check_end(input: &mut impl Input, end: u64, mut position: u64) -> Result<()> {
    // Most archives end within the first piece.
    let mut buffer = vec![0; 4 << 10];
    loop {
        let count = input.read(&mut buffer, position)?;
        if let Some(at) = buffer[..count].iter().position(|&byte| byte != 0) {
            return Err(Error::new(
                Code::TrailingArchive,
                format!(
                    "{} continues after the end of the archive: expected only zeros after byte {end}, found other bytes at {}",
                    show_path(input.path()),
                    position + at as u64
                ),
            ).with_path(input.path()).with_byte(position + at as u64)
            .with_hint(Hint::SplitArchives));
        }
        if count < buffer.len() {
            return Ok(());
        }
        position += count as u64;
        buffer.resize(128 << 10, 0);
    }
}

#[cfg(test)]
mod tests;
