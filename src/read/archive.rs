//! Scans a tar archive: headers only, every file's bytes are skipped.

mod duplicates;
mod entries;
mod names;
mod pax;

use std::io;
use std::os::unix::fs::FileExt;

use tar::EntryType;

use self::entries::{Entries, Entry};
use super::classify::{self, Item};
use super::form::{FormCheck, Raw};
use super::{ScanOptions, Source, content};
use crate::error::{Code, Error, IoContext, Result, escape, show_path};
use crate::inventory::{Content, ExtraKind, Inventory, Location};

pub(super) fn scan(source: &Source, options: ScanOptions) -> Result<Inventory> {
    let file_len = source.file.metadata().context("read", source.path())?.len();
    refuse_other_formats(source, file_len)?;

    let mut inventory = Inventory::default();
    let mut form = FormCheck::new();
    let mut items = Vec::new();
    let mut entries = Entries::new(source, file_len);
    while let Some(entry) = entries.next()? {
        inventory.entry_count += 1;
        let (clean, item) = item(source, &entry)?;
        form.entry(&source.file, &raw(&entry, &item));
        items.push((clean, item));
    }
    check_end(source, entries.position(), file_len)?;
    names::unwrap_directory(&mut items, &mut form);
    let items = duplicates::without_duplicates(source, items, options, &mut inventory, &mut form)?;
    names::refuse_nested(source, &items)?;
    for item in items {
        classify::add(&mut inventory, source, item)?;
    }
    inventory.form = form.finish(file_len, &inventory.blobs);
    Ok(inventory)
}

/// The entry under its cleaned name, and that name's own bytes.
fn item(source: &Source, entry: &Entry) -> Result<(Vec<u8>, Item)> {
    let shown = || escape(&String::from_utf8_lossy(&entry.name));
    let clean = names::clean(&entry.name)
        .map_err(|what| invalid(source, &format!("the entry name \"{}\" {what}", shown())))?;
    // Some readers skip these bytes and others take them for headers.
    if entry.len > 0 && !has_bytes(entry) {
        let what = format!("{} has {} bytes but is no file", shown(), entry.len);
        return Err(invalid(source, &what));
    }
    let item = Item {
        name: String::from_utf8_lossy(&clean).into_owned(),
        kind: kind(entry),
        len: entry.len,
    };
    Ok((clean, item))
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

fn kind(entry: &Entry) -> ExtraKind {
    let link = || String::from_utf8_lossy(&entry.link).into_owned();
    match entry.entry_type {
        _ if is_directory(entry) => ExtraKind::Directory,
        EntryType::Regular | EntryType::Continuous => {
            ExtraKind::File(Location::Offset(entry.data_at))
        }
        EntryType::Symlink => ExtraKind::Symlink(link()),
        EntryType::Link => ExtraKind::Hardlink(link()),
        _ => ExtraKind::Other,
    }
}

fn raw<'a>(entry: &'a Entry, item: &Item) -> Raw<'a> {
    let mut clean = item.name.clone();
    if item.kind == ExtraKind::Directory {
        clean.push('/');
    }
    Raw {
        name: &entry.name,
        clean,
        len: entry.len,
        header_position: entry.header_at,
        data_position: entry.data_at,
        header: &entry.header,
    }
}

fn refuse_other_formats(source: &Source, file_len: u64) -> Result<()> {
    let head = source.head(&Location::Offset(0), file_len)?;
    let shown = show_path(source.path());
    let (name, tool) = match content::compression(&head) {
        Some(Content::Gzip) => ("gzip", "gzip -d"),
        Some(Content::Zstd | Content::ZstdAfterSkippable) => ("zstd", "zstd -d"),
        Some(Content::Bzip2) => ("bzip2", "bzip2 -d"),
        Some(_) => ("xz", "xz -d"),
        None if content::sniff(&head) == Content::Tar => return Ok(()),
        None => {
            let what = if head.is_empty() {
                "is empty"
            } else {
                "is no tar archive"
            };
            return Err(Error::new(Code::NotAnImage, format!("{shown} {what}"))
                .with_hint("give a tar archive or an OCI image layout directory"));
        }
    };
    Err(Error::new(
        Code::CompressedArchive,
        format!("{shown} is compressed with {name}, expected a plain tar archive"),
    )
    .with_hint(format!("decompress it first, for example with {tool}")))
}

fn invalid(source: &Source, what: &str) -> Error {
    Error::new(
        Code::InvalidArchive,
        format!("{} is not valid: {what}", show_path(source.path())),
    )
}

fn truncated(source: &Source, inside: &str) -> Error {
    Error::new(
        Code::TruncatedArchive,
        format!("{} ends inside {inside}", show_path(source.path())),
    )
    .with_hint("copy or download the archive again")
}

/// After the last entry there may only be zeros: another reader could go on past the end marker.
fn check_end(source: &Source, end: u64, file_len: u64) -> Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut position = end.min(file_len);
    while position < file_len {
        let count = match source.file.read_at(&mut buffer, position) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", source.path(), error)),
        };
        if let Some(at) = buffer[..count].iter().position(|&byte| byte != 0) {
            return Err(Error::new(
                Code::TrailingArchive,
                format!(
                    "{} goes on after the end of the archive: only zeros expected after byte {end}, other bytes found at {}",
                    show_path(source.path()),
                    position + at as u64
                ),
            )
            .with_hint("two archives in one file mean different images to different readers; split them"));
        }
        position += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
