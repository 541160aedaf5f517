//! Scans a tar archive: headers only, every file's bytes are skipped.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::classify::{self, Item};
use super::form::{FormCheck, Raw};
use super::{ScanOptions, Source, content};
use crate::error::{Code, Error, IoContext, Result, escape, show_path};
use crate::header::{self, BLOCK};
use crate::inventory::{Content, ExtraKind, Inventory, Location};

/// What one entry's headers, long names and PAX records may take; they are held in memory.
const HEADER_CAP: u64 = 1 << 20;

/// Lets the tar reader read headers, but no endless ones.
struct HeaderReader<'a> {
    file: &'a File,
    left: &'a Cell<u64>,
}

impl Read for HeaderReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        self.left
            .set(left.ok_or_else(|| io::Error::other("the headers of one entry are too long"))?);
        Ok(count)
    }
}

impl Seek for HeaderReader<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

pub(super) fn scan(source: &Source, options: ScanOptions) -> Result<Inventory> {
    let file = &*source.file;
    let file_len = file.metadata().context("read", source.path())?.len();
    refuse_other_formats(source, file_len)?;

    let mut form = FormCheck::new();
    let mut items = Vec::new();
    let mut entry_count = 0;
    let mut end = 0;
    let left = Cell::new(HEADER_CAP);
    file.rewind_shared().context("read", source.path())?;
    let mut archive = tar::Archive::new(HeaderReader { file, left: &left });
    let entries = archive.entries_with_seek().context("read", source.path())?;
    for found in entries {
        let mut entry = found.map_err(|error| bad_header(source, end, file_len, &error))?;
        left.set(HEADER_CAP);
        let name = entry.path_bytes().into_owned();
        let position = entry.raw_file_position();
        let len = entry.size();
        let shown = escape(&String::from_utf8_lossy(&name));
        if position.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(Error::new(
                Code::TruncatedArchive,
                format!(
                    "{} ends inside {shown}: {len} bytes expected from byte {position}, {} found",
                    show_path(source.path()),
                    file_len.saturating_sub(position)
                ),
            )
            .with_hint("copy or download the archive again"));
        }
        end = position + len + header::padding(len);
        entry_count += 1;
        let entry_type = entry.header().entry_type();
        if entry_type.is_pax_global_extensions() {
            form.differs(&shown, "is a global header");
            continue;
        }
        refuse_sparse(source, &mut entry, &shown)?;
        let clean = clean(&name)
            .map_err(|what| invalid(source, format!("the entry name \"{shown}\" {what}")))?;
        let kind = kind(&entry, &name, position);
        // Some readers skip these bytes and others take them for headers.
        if len > 0 && !matches!(kind, ExtraKind::File(_) | ExtraKind::Other) {
            return Err(invalid(
                source,
                format!("{shown} has {len} bytes but is no file"),
            ));
        }
        let mut text = String::from_utf8_lossy(&clean).into_owned();
        let item = Item {
            name: text.clone(),
            kind,
            len,
        };
        if item.kind == ExtraKind::Directory {
            text.push('/');
        }
        let raw = Raw {
            name: &name,
            clean: &text,
            len,
            header_position: entry.raw_header_position(),
            data_position: position,
            header: entry.header().as_bytes(),
        };
        form.entry(file, &raw);
        items.push((clean, item));
    }
    check_end(source, end, file_len)?;
    unwrap_directory(&mut items, &mut form);

    let mut inventory = Inventory {
        entry_count,
        ..Inventory::default()
    };
    let items = without_duplicates(source, items, options, &mut inventory, &mut form)?;
    for item in items {
        classify::add(&mut inventory, source, item)?;
    }
    inventory.form = form.finish(file_len);
    Ok(inventory)
}

/// The reader's position belongs to the open file, which may have been scanned before.
trait RewindShared {
    fn rewind_shared(&self) -> io::Result<()>;
}

impl RewindShared for File {
    fn rewind_shared(&self) -> io::Result<()> {
        let mut file = self;
        file.rewind()
    }
}

fn refuse_other_formats(source: &Source, file_len: u64) -> Result<()> {
    let head = source.head(&Location::Offset(0), file_len)?;
    let shown = show_path(source.path());
    let (name, tool) = match content::compression(&head) {
        Some(Content::Gzip) => ("gzip", "gzip -d"),
        Some(Content::Zstd) => ("zstd", "zstd -d"),
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

fn invalid(source: &Source, what: String) -> Error {
    Error::new(
        Code::InvalidArchive,
        format!("{} is not valid: {what}", show_path(source.path())),
    )
}

fn bad_header(source: &Source, end: u64, file_len: u64, error: &io::Error) -> Error {
    if error.raw_os_error().is_some() {
        let cause = io::Error::new(error.kind(), error.to_string());
        return Error::io("read", source.path(), cause);
    }
    if file_len.saturating_sub(end) < BLOCK as u64 {
        return Error::new(
            Code::TruncatedArchive,
            format!(
                "{} ends inside the header at byte {end}: {BLOCK} bytes expected, {} found",
                show_path(source.path()),
                file_len.saturating_sub(end)
            ),
        )
        .with_hint("copy or download the archive again");
    }
    if end == 0 {
        return Error::new(
            Code::NotAnImage,
            format!("{} is no tar archive: {error}", show_path(source.path())),
        );
    }
    let what = format!("bad header at byte {end}: {}", escape(&error.to_string()));
    invalid(source, what)
}

fn refuse_sparse<R: Read>(
    source: &Source,
    entry: &mut tar::Entry<'_, R>,
    shown: &str,
) -> Result<()> {
    let mut is_sparse = entry.header().entry_type().is_gnu_sparse();
    if let Some(records) = entry.pax_extensions().context("read", source.path())? {
        for record in records {
            let record = record
                .map_err(|error| invalid(source, format!("the PAX header of {shown}: {error}")))?;
            is_sparse |= record.key_bytes().starts_with(b"GNU.sparse.");
        }
    }
    if !is_sparse {
        return Ok(());
    }
    Err(Error::new(
        Code::SparseEntry,
        format!(
            "{shown} in {} is stored as a sparse file",
            show_path(source.path())
        ),
    )
    .with_hint("write the archive again without tar --sparse"))
}

fn kind<R: Read>(entry: &tar::Entry<'_, R>, name: &[u8], position: u64) -> ExtraKind {
    let entry_type = entry.header().entry_type();
    let target = || {
        let target = entry.link_name_bytes().unwrap_or_default();
        String::from_utf8_lossy(&target).into_owned()
    };
    // In the oldest archives a directory is a file whose name ends in a slash.
    let is_old_dir = entry_type.is_file() && name.ends_with(b"/");
    if entry_type.is_dir() || is_old_dir {
        ExtraKind::Directory
    } else if entry_type.is_file() || entry_type.is_contiguous() {
        ExtraKind::File(Location::Offset(position))
    } else if entry_type.is_symlink() {
        ExtraKind::Symlink(target())
    } else if entry_type.is_hard_link() {
        ExtraKind::Hardlink(target())
    } else {
        ExtraKind::Other
    }
}

/// The name without the parts that mean nothing; `.` for the root itself.
fn clean(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.contains(&0) {
        return Err("holds a NUL byte");
    }
    let parts: Vec<&[u8]> = name
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err("leads outside the archive with \"..\"");
    }
    if parts.is_empty() {
        return Ok(b".".to_vec());
    }
    Ok(parts.join(&b'/'))
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

/// Strips the one directory that an archive was packed in.
fn unwrap_directory(items: &mut [(Vec<u8>, Item)], form: &mut FormCheck) {
    let first = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let mut named = items.iter().filter(|(_, item)| item.name != ".");
    let Some(wrapper) = named.next().map(|(_, item)| first(&item.name)) else {
        return;
    };
    let is_alone = items.iter().all(|(_, item)| match item.name.as_str() {
        "." => true,
        name if name == wrapper => item.kind == ExtraKind::Directory,
        name => first(name) == wrapper,
    });
    let has_root = items.iter().any(|(_, item)| {
        let inner = item.name.strip_prefix(&wrapper);
        matches!(inner, Some("/index.json" | "/manifest.json"))
    });
    if !is_alone || !has_root {
        return;
    }
    form.differs(&wrapper, "is a directory around the whole image");
    for (key, item) in items {
        let inner = item
            .name
            .strip_prefix(&wrapper)
            .map(|rest| rest.trim_start_matches('/'));
        let name = inner
            .filter(|name| !name.is_empty())
            .unwrap_or(".")
            .to_owned();
        // Below the wrapper, the raw name keeps its own bytes.
        let strip = (wrapper.len() + 1).min(key.len());
        *key = if name == "." {
            b".".to_vec()
        } else {
            key.split_off(strip)
        };
        item.name = name;
    }
}

/// One item per name; of different ones the last, if that is allowed.
fn without_duplicates(
    source: &Source,
    items: Vec<(Vec<u8>, Item)>,
    options: ScanOptions,
    inventory: &mut Inventory,
    form: &mut FormCheck,
) -> Result<Vec<Item>> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for (key, item) in items {
        let Some(&place) = places.get(&key) else {
            places.insert(key, kept.len());
            kept.push(item);
            continue;
        };
        form.differs(&item.name, "stands twice");
        let earlier = &mut kept[place];
        if is_equal(source, earlier, &item)? {
            continue;
        }
        if !options.lenient {
            return Err(Error::new(
                Code::DuplicateEntry,
                format!(
                    "{} stands twice in {}, with different content",
                    escape(&item.name),
                    show_path(source.path())
                ),
            )
            .with_hint("--lenient takes the last one, as docker does"));
        }
        if !inventory.passed_over.contains(&item.name) {
            inventory.passed_over.push(item.name.clone());
        }
        *earlier = item;
    }
    Ok(kept)
}

fn is_equal(source: &Source, a: &Item, b: &Item) -> Result<bool> {
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
        let left = source.read_range(&Location::Offset(a_at + done), count)?;
        if left != source.read_range(&Location::Offset(b_at + done), count)? {
            return Ok(false);
        }
        done += count;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
