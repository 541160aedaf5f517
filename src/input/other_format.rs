//! What a file is that is not an image archive, and what a user can do with it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use Step::{Decode, Other};

use super::identify::is_image_name;
use super::outer::decoding;
use super::reader::read_full;
use super::text_copy::{COPY_LEN, TextCopy, of_compressed};
use crate::error::{Code, Error, Hint, Result, escape, show_path};
use crate::image::{Content, sniff, sniff_compression};
use crate::inventory::{BlobSource, DataLocation, ExtraKind, Inventory};

/// How many files are looked at in an archive without an image.
const MAX_FILES: usize = 32;
/// How many names in a directory are looked at. Those of blobs come early.
const MAX_NAMES: usize = 256;
/// How many names in all directories are looked at. A name is in each of the directories that lead to it.
const MAX_ALL_NAMES: usize = 1 << 16;
/// Directories at the top of a root filesystem.
const SYSTEM: [&str; 8] = ["bin", "etc", "home", "lib", "root", "sbin", "usr", "var"];

/// What a user can do with a file of another format.
#[derive(Clone, Debug)]
enum Step {
    /// This command writes what is inside to standard output.
    Decode(&'static str),
    Other(Hint),
}

/// What another file begins with, what it is, and the next step.
type Format = (&'static [u8], &'static str, Step);

#[rustfmt::skip]
static FORMATS: [Format; 34] = [
    (b"PK\x03\x04", "a zip file", Other(Hint::Unpack("unzip"))),
    (b"PK\x05\x06", "an empty zip file", Other(Hint::SaveNothingAgain)),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", Other(Hint::Unpack("7z x"))),
    (b"Rar!", "a RAR file", Other(Hint::Unpack("unrar x"))),
    (b"LZIP", "compressed with lzip", Decode("lzip -dc")),
    (b"\x04\x22\x4d\x18", "compressed with lz4", Decode("lz4 -dc")),
    (b"\x89LZO", "compressed with lzop", Decode("lzop -dc")),
    (b"\x1f\x9d", "compressed with compress", Decode("gzip -dc")),
    (b"\x5d\0\0", "compressed with lzma", Decode("lzma -dc")),
    (b"version https://git-lfs", "a Git LFS pointer", Other(Hint::FetchLfs)),
    (b"<?xml", "an XML document", Other(Hint::DownloadFile)),
    (b"age-encryption.org/", "encrypted with age", Other(Hint::Decrypt("age -d"))),
    (b"-----BEGIN AGE", "encrypted with age", Other(Hint::Decrypt("age -d"))),
    (b"-----BEGIN PGP", "a PGP message", Other(Hint::Decrypt("gpg -d"))),
    (b"\x85\x02", "encrypted with gpg", Other(Hint::Decrypt("gpg -d"))),
    (b"\x84\x5e", "encrypted with gpg", Other(Hint::Decrypt("gpg -d"))),
    (b"Salted__", "encrypted with openssl", Other(Hint::Decrypt("openssl enc -d"))),
    (b"!<arch>\ndebian-binary", "a Debian package", Other(Hint::GiveImage)),
    (b"!<arch>\n", "an ar archive", Other(Hint::GiveImage)),
    (b"\xed\xab\xee\xdb", "an RPM package", Other(Hint::GiveImage)),
    (b"070701", "a cpio archive", Other(Hint::GiveImage)),
    (b"070702", "a cpio archive", Other(Hint::GiveImage)),
    (b"070707", "a cpio archive", Other(Hint::GiveImage)),
    (b"hsqs", "a squashfs filesystem", Other(Hint::GiveImage)),
    (b"#!/usr/bin/env run-singularity", "a Singularity image (SIF)", Other(Hint::GiveImage)),
    (b"QFI\xfb", "a qcow2 disk image", Other(Hint::GiveImage)),
    (b"KDMV", "a VMDK disk image", Other(Hint::GiveImage)),
    (b"conectix", "a VHD disk image", Other(Hint::GiveImage)),
    (b"vhdxfile", "a VHDX disk image", Other(Hint::GiveImage)),
    (b"\x7fELF", "an executable", Other(Hint::GiveImage)),
    (b"MZ", "a Windows executable", Other(Hint::GiveImage)),
    (b"\xcf\xfa\xed\xfe", "a macOS executable", Other(Hint::GiveImage)),
    (b"#!", "a script", Other(Hint::GiveImage)),
    (b"%PDF", "a PDF document", Other(Hint::GiveImage)),
];

/// Refuses what does not begin as a tar archive does. `outer` is the compression around the bytes, if they were decompressed.
///
/// # Errors
/// They are of another format.
pub(super) fn refuse_other_formats(path: &Path, head: &[u8], outer: Option<Content>) -> Result<()> {
    match (sniff_compression(head), outer) {
        (Some(inner), Some(outer)) => Err(compressed_twice(path, outer, inner)),
        (Some(content), None) => Err(compressed(path, content)),
        (None, _) if sniff(head) == Content::Tar => Ok(()),
        (None, _) => Err(not_a_tar(path, head, outer)),
    }
}

fn compressed(path: &Path, content: Content) -> Error {
    let name = content.name();
    Error::new(
        Code::CompressedArchive,
        format!(
            "{} is compressed with {name}, expected a plain tar archive",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_expected("a plain tar archive")
    .with_found(name)
    .with_hint(Hint::Decompress(decoding(path, Some(content), None)))
}

fn compressed_twice(path: &Path, outer: Content, inner: Content) -> Error {
    let name = inner.name();
    Error::new(
        Code::CompressedArchive,
        format!(
            "{} is compressed twice: inside its {} data is {name} data, expected a plain tar archive",
            show_path(path),
            outer.name()
        ),
    )
    .with_path(path)
    .with_expected("a plain tar archive")
    .with_found(name)
    .with_hint(Hint::Decompress(decoding(path, Some(outer), None)))
}

/// The error for a file that does not begin as a tar archive does.
fn not_a_tar(path: &Path, head: &[u8], outer: Option<Content>) -> Error {
    let (what, step) = match head {
        [] => ("empty".to_owned(), Other(Hint::SaveNothingAgain)),
        head => match (of_compressed(head), format(head)) {
            (Some(conversion), _) => {
                let hint = conversion.hint(path, outer);
                (conversion.of_compressed().to_owned(), Other(hint))
            }
            (None, Some((what, step))) => (format!("{what}, not a tar archive"), step),
            (None, None) => ("not a tar archive".to_owned(), Other(Hint::GiveArchive)),
        },
    };
    let hint = match step {
        Decode(command) => Hint::Decompress(decoding(path, outer, Some(command))),
        Other(hint) => hint,
    };
    let shown = show_path(path);
    let what = match outer {
        Some(outer) => format!("{shown}, decompressed as {}, is {what}", outer.name()),
        None => format!("{shown} is {what}"),
    };
    Error::new(Code::NotAnImage, what)
        .with_path(path)
        .with_hint(hint)
}

fn format(head: &[u8]) -> Option<(&'static str, Step)> {
    let mut formats = FORMATS.iter();
    if let Some((_, what, step)) = formats.find(|(magic, ..)| head.starts_with(magic)) {
        return Some((*what, step.clone()));
    }
    if is_utf16(head) {
        return Some(("UTF-16 text", Other(Hint::SaveInBinary)));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let starts_with = |tag: &[u8]| {
        text.get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag))
    };
    if starts_with(b"<!doctype html") || starts_with(b"<html") {
        return Some(("an HTML page", Other(Hint::DownloadFile)));
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        let says_error = |word: &[u8]| text.windows(word.len()).any(|found| found == word);
        return Some(
            match says_error(b"\"errors\"") || says_error(b"\"error\"") {
                true => ("an error message in JSON", Other(Hint::DownloadFile)),
                false => ("a JSON document", Other(Hint::GiveWholeArchive)),
            },
        );
    }
    is_base64(text).then_some(("base64 text", Decode("base64 -d")))
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
    } else if is_root_filesystem(inventory) {
        (
            format!("{shown} is a root filesystem, as docker export writes it, and not an image"),
            Hint::ImportFilesystem,
        )
    } else if let [directory, others @ ..] = &image_directories(inventory)[..] {
        let directory = (*directory).to_owned();
        let what = format!(
            "{shown} has an image in the directory {}: expected it at the top, or in the only directory there",
            escape(&directory)
        );
        let path = path.to_owned();
        // A name with a backslash may be the text of one that is not UTF-8, which no command could have.
        let hint = match others.is_empty() && !directory.contains('\\') {
            true => Hint::GiveDirectory { path, directory },
            false => Hint::GiveDirectories { path },
        };
        (what, hint)
    } else if let Some(name) = inner_archive(inventory, blobs) {
        let what = format!(
            "{shown} is not an image archive, but contains the archive {}",
            escape(&name)
        );
        (what, Hint::GiveInner(name))
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

/// The first two directories that contain an image: `index.json` or `manifest.json`, beside files that only images have.
fn image_directories(inventory: &Inventory) -> Vec<&str> {
    let names = inventory.extra.keys();
    let roots = names.filter_map(|name| {
        let (directory, file) = name.rsplit_once('/')?;
        matches!(file, "index.json" | "manifest.json").then_some(directory)
    });
    let roots: BTreeSet<&str> = roots.collect();
    let mut left = MAX_ALL_NAMES;
    let is_image = |directory: &&str| {
        let below = format!("{directory}/");
        let names = inventory.extra.range(below.clone()..);
        names
            .take(MAX_NAMES.min(left))
            .map_while(|(name, _)| name.strip_prefix(&below))
            .inspect(|_| left -= 1)
            .any(is_image_name)
    };
    roots.into_iter().filter(is_image).take(2).collect()
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

/// Says what a file is that could not be read as an archive, by its first bytes. `outer` is the compression around it.
pub(super) fn explain(error: Error, path: &Path, file: &File, outer: Option<Content>) -> Error {
    let mut bytes = vec![0; COPY_LEN];
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
    let mut copy = TextCopy::default();
    copy.add(&bytes);
    copy.explain(error, path, outer)
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
