//! What a file is that is not an image archive, and what a user can do with it.

use std::fs::File;
use std::path::Path;

use super::reader::read_full;
use crate::error::{Code, Error, Hint, escape, show_path};
use crate::image::{Content, sniff, sniff_compression};
use crate::inventory::{BlobSource, DataLocation, ExtraKind, Inventory};

/// How many bytes are searched for line ends.
const LINES_LEN: usize = 1 << 20;
/// How many line feeds have to be there, each after a carriage return.
const MIN_LINES: usize = 4;
/// How many files are looked at in an archive without an image.
const MAX_FILES: usize = 32;
/// Directories at the top of a root filesystem.
const SYSTEM: [&str; 8] = ["bin", "etc", "home", "lib", "root", "sbin", "usr", "var"];

/// What another file begins with, what it is, and the next step.
type Format = (&'static [u8], &'static str, Hint);

static FORMATS: [Format; 34] = [
    (b"PK\x03\x04", "a zip file", Hint::Unpack("unzip")),
    (b"PK\x05\x06", "an empty zip file", Hint::SaveNothingAgain),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", Hint::Unpack("7z x")),
    (b"Rar!", "a RAR file", Hint::Unpack("unrar x")),
    (b"LZIP", "compressed with lzip", Hint::Decompress("lzip -d")),
    (
        b"\x04\x22\x4d\x18",
        "compressed with lz4",
        Hint::Decompress("lz4 -d"),
    ),
    (
        b"\x89LZO",
        "compressed with lzop",
        Hint::Decompress("lzop -d"),
    ),
    (
        b"\x1f\x9d",
        "compressed with compress",
        Hint::Decompress("uncompress"),
    ),
    (
        b"\x5d\0\0",
        "compressed with lzma",
        Hint::Decompress("unlzma"),
    ),
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        Hint::FetchLfs,
    ),
    (b"<?xml", "an XML document", Hint::DownloadFile),
    (
        b"age-encryption.org/",
        "encrypted with age",
        Hint::Decrypt("age -d"),
    ),
    (
        b"-----BEGIN AGE",
        "encrypted with age",
        Hint::Decrypt("age -d"),
    ),
    (b"-----BEGIN PGP", "a PGP message", Hint::Decrypt("gpg -d")),
    (b"\x85\x02", "encrypted with gpg", Hint::Decrypt("gpg -d")),
    (b"\x84\x5e", "encrypted with gpg", Hint::Decrypt("gpg -d")),
    (
        b"Salted__",
        "encrypted with openssl",
        Hint::Decrypt("openssl enc -d"),
    ),
    (
        b"!<arch>\ndebian-binary",
        "a Debian package",
        Hint::GiveImage,
    ),
    (b"!<arch>\n", "an ar archive", Hint::GiveImage),
    (b"\xed\xab\xee\xdb", "an RPM package", Hint::GiveImage),
    (b"070701", "a cpio archive", Hint::GiveImage),
    (b"070702", "a cpio archive", Hint::GiveImage),
    (b"070707", "a cpio archive", Hint::GiveImage),
    (b"hsqs", "a squashfs filesystem", Hint::GiveImage),
    (
        b"#!/usr/bin/env run-singularity",
        "a Singularity image (SIF)",
        Hint::GiveImage,
    ),
    (b"QFI\xfb", "a qcow2 disk image", Hint::GiveImage),
    (b"KDMV", "a VMDK disk image", Hint::GiveImage),
    (b"conectix", "a VHD disk image", Hint::GiveImage),
    (b"vhdxfile", "a VHDX disk image", Hint::GiveImage),
    (b"\x7fELF", "an executable", Hint::GiveImage),
    (b"MZ", "a Windows executable", Hint::GiveImage),
    (b"\xcf\xfa\xed\xfe", "a macOS executable", Hint::GiveImage),
    (b"#!", "a script", Hint::GiveImage),
    (b"%PDF", "a PDF document", Hint::GiveImage),
];

/// The error for a file that does not begin as a tar archive does.
pub(super) fn not_a_tar(path: &Path, head: &[u8]) -> Error {
    let (what, hint) = match head {
        [] => ("empty".to_owned(), Hint::SaveNothingAgain),
        head => match format(head) {
            Some((what, hint)) => (format!("{what}, not a tar archive"), hint),
            None => ("not a tar archive".to_owned(), Hint::GiveArchive),
        },
    };
    Error::new(Code::NotAnImage, format!("{} is {what}", show_path(path)))
        .with_path(path)
        .with_hint(hint)
}

fn format(head: &[u8]) -> Option<(&'static str, Hint)> {
    let mut formats = FORMATS.iter();
    if let Some((_, what, hint)) = formats.find(|(magic, ..)| head.starts_with(magic)) {
        return Some((*what, hint.clone()));
    }
    if is_utf16(head) {
        return Some(("UTF-16 text", Hint::SaveInBinary));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let starts_with = |tag: &[u8]| {
        text.get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag))
    };
    if starts_with(b"<!doctype html") || starts_with(b"<html") {
        return Some(("an HTML page", Hint::DownloadFile));
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        let says_error = |word: &[u8]| text.windows(word.len()).any(|found| found == word);
        return Some(
            match says_error(b"\"errors\"") || says_error(b"\"error\"") {
                true => ("an error message in JSON", Hint::DownloadFile),
                false => ("a JSON document", Hint::GiveWholeArchive),
            },
        );
    }
    is_base64(text).then_some(("base64 text", Hint::Decompress("base64 -d")))
}

/// What a shell makes of binary data that it takes for text: a byte order mark, and zeros between the bytes.
pub(super) fn is_utf16(head: &[u8]) -> bool {
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        // Without a mark: bytes of ASCII with zeros after or before them.
        _ => {
            let pairs = head.get(..64).unwrap_or_default().as_chunks::<2>().0;
            let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            !pairs.is_empty()
                && (pairs.iter().all(|[low, high]| is_text(*low) && *high == 0)
                    || pairs.iter().all(|[high, low]| is_text(*low) && *high == 0))
        }
    }
}

fn is_base64(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    let lines = text.split(|byte| *byte == b'\n');
    let first = lines
        .map(|line| line.trim_ascii_end().len())
        .next()
        .unwrap_or(0);
    text.len() >= 128 && first >= 60 && text.iter().all(is_digit)
}

/// The error for an archive or a directory in which no image was found.
pub(super) fn no_image(inventory: &Inventory, blobs: &dyn BlobSource, path: &Path) -> Error {
    let shown = show_path(path);
    let (what, hint) = if is_old_save(inventory) {
        (
            format!(
                "{shown} was written by docker save before Docker 1.10, which has no manifest.json"
            ),
            Hint::SaveWithOldDocker,
        )
    } else if let Some(name) = inner_archive(inventory, blobs) {
        let what = format!(
            "{shown} is not an image archive, but contains the archive {}",
            escape(&name)
        );
        (what, Hint::GiveInner(name))
    } else if is_root_filesystem(inventory) {
        (
            format!("{shown} is a root filesystem, as docker export writes it, and not an image"),
            Hint::ImportFilesystem,
        )
    } else {
        (
            format!("{shown} contains neither index.json nor manifest.json"),
            Hint::GiveImage,
        )
    };
    Error::new(Code::NotAnImage, what)
        .with_path(path)
        .with_hint(hint)
}

/// `repositories`, and a directory of each layer with its JSON document.
fn is_old_save(inventory: &Inventory) -> bool {
    let mut names = inventory.extra.keys();
    inventory.extra.contains_key("repositories")
        && names.any(|name| {
            let id = name.strip_suffix("/layer.tar");
            id.is_some_and(|id| inventory.extra.contains_key(&format!("{id}/json")))
        })
}

fn is_root_filesystem(inventory: &Inventory) -> bool {
    let is_there = |directory: &str| {
        let names = inventory.extra.range(format!("{directory}/")..);
        let below = names.take(1).any(|(name, _)| {
            name.strip_prefix(directory)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        below || inventory.extra.contains_key(directory)
    };
    let there = SYSTEM.into_iter().filter(|directory| is_there(directory));
    there.count() >= 3
}

/// The first file of a small archive that is an archive.
fn inner_archive(inventory: &Inventory, blobs: &dyn BlobSource) -> Option<String> {
    let is_archive = |data: &DataLocation, len: u64| {
        let found = blobs.identify(data, len);
        found.is_ok_and(|found| !matches!(found.content, Content::Other | Content::Empty))
    };
    let files = inventory
        .extra
        .iter()
        .filter_map(|(name, entry)| match &entry.kind {
            ExtraKind::File(data) => Some((name, data, entry.len)),
            _ => None,
        });
    let mut archives =
        files.filter(|(name, data, len)| is_archive_name(name) && is_archive(data, *len));
    match inventory.extra.len() {
        0..=MAX_FILES => archives.next().map(|(name, ..)| name.clone()),
        _ => None,
    }
}

/// A compressed file of another kind, such as a manual page, is not worth a word.
fn is_archive_name(name: &str) -> bool {
    let suffixes = [".tar", ".tgz", ".tbz2", ".txz", ".tzst"];
    suffixes.iter().any(|suffix| name.ends_with(suffix)) || name.contains(".tar.")
}

/// Whether the line feeds of an input all come after carriage returns, as a copy in text mode leaves them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineEnds {
    seen: usize,
    last: u8,
    with_return: usize,
    has_bare: bool,
}

impl LineEnds {
    /// Looks at the next bytes of the input. After the first ones no more are needed.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.has_bare || self.seen >= LINES_LEN {
            return;
        }
        for at in memchr::memchr_iter(b'\n', bytes) {
            let before = match at.checked_sub(1) {
                Some(at) => bytes[at],
                None => self.last,
            };
            match before {
                b'\r' => self.with_return += 1,
                _ => self.has_bare = true,
            }
        }
        self.seen += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// The error for an input that was copied in text mode, instead of another one about its damage.
    pub(super) fn explain(&self, error: Error, path: &Path) -> Error {
        let is_damage = matches!(
            error.code(),
            Code::InvalidArchive
                | Code::TruncatedArchive
                | Code::TrailingArchive
                | Code::DigestMismatch
        );
        if !is_damage || self.has_bare || self.with_return < MIN_LINES {
            return error;
        }
        Error::new(
            error.code(),
            format!(
                "{} was copied in text mode: every line feed in it comes after a carriage return",
                show_path(path)
            ),
        )
        .with_path(path)
        .with_hint(Hint::CopyInBinary)
        .with_source(error)
    }
}

/// Says what a file is that could not be read as an archive, by its first bytes.
pub(super) fn explain(error: Error, path: &Path, file: &File) -> Error {
    let mut bytes = vec![0; LINES_LEN];
    let Ok(len) = read_full(file, &mut bytes, 0) else {
        return error;
    };
    bytes.truncate(len);
    if let Some(what) = disk_image(&bytes) {
        return Error::new(
            Code::NotAnImage,
            format!("{} is {what}, not a tar archive", show_path(path)),
        )
        .with_path(path)
        .with_hint(Hint::GiveImage);
    }
    let mut lines = LineEnds::default();
    lines.add(&bytes);
    lines.explain(error, path)
}

/// The image of a disk or a filesystem that begins with zeros, as an empty archive does.
fn disk_image(bytes: &[u8]) -> Option<&'static str> {
    let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
    let begins_with_zeros = bytes.iter().take(446).all(|byte| *byte == 0);
    if has(0x8001, b"CD001") {
        Some("an ISO image")
    } else if begins_with_zeros && has(0x438, b"\x53\xef") {
        Some("an ext filesystem")
    } else if begins_with_zeros && has(510, b"\x55\xaa") {
        Some("a disk image")
    } else {
        None
    }
}

/// Whether the bytes are those of a tar archive after a shell has taken them for UTF-16 text.
pub(super) fn is_utf16_archive(head: &[u8]) -> bool {
    let narrow: Vec<u8> = match head {
        [0xff, 0xfe, rest @ ..] => rest.iter().step_by(2).copied().collect(),
        [0xfe, 0xff, rest @ ..] => rest.iter().skip(1).step_by(2).copied().collect(),
        _ => return false,
    };
    sniff(&narrow) == Content::Tar || sniff_compression(&narrow).is_some()
}
