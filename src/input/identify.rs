//! What a file or a directory is, by its contents and not by its name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Source;
use super::archive::FileInput;
use super::other_format::is_utf16_archive;
use super::outer::Outer;
use super::stream::Incoming;
use crate::beneath::{Directory, FileStat, InputPath, Links};
use crate::codec::{self, Limits};
use crate::error::{Place, entry_text};
use crate::image::{Content, SNIFF_LEN, sniff};
use crate::tar::{Entries, Input};

/// How much of a compressed file is read to see what is inside; a block of bzip2 fits.
const PEEK_LEN: usize = 64 << 10;
/// How many decompressed bytes are searched for the entries of an image.
const SEARCH_LEN: u64 = 64 << 20;
/// Data that asks for too much is refused when it is read, not when it is identified.
const ANY: Limits = Limits {
    max_ratio: u64::MAX,
    max_size: u64::MAX,
    max_window: 1 << 31,
};

/// What a file is, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputKind {
    /// A tar archive, of an image or of something else, or one that a shell has turned into UTF-16 text.
    Archive,
    /// A tar archive that is compressed as a whole.
    CompressedArchive,
    /// Anything else.
    Other,
}

/// Identifies what a directory lists as a regular file at a path below a directory, and returns what the system says about
/// it from before it was read; `None` if it is no longer a regular file. Only the first bytes are read, and of a
/// compressed file as many as the decoder needs for the first block of an archive. The path must not lead to a device,
/// because opening one can have effects.
///
/// # Errors
/// The path does not exist, has become a link that is not to be followed, or cannot be read.
pub fn identify_file(
    directory: &Directory,
    path: &Path,
    links: Links,
) -> io::Result<Option<(InputKind, FileStat)>> {
    let file = directory.open_file(path, links)?;
    let metadata = FileStat::from(&file.metadata()?);
    if !metadata.kind.is_file() {
        return Ok(None);
    }
    // As UTF-16, which a shell may have made of an archive, the first block is twice as long.
    let mut head = [0; 2 + 2 * SNIFF_LEN];
    // The length saves a read that would only find the end.
    let wanted = usize::try_from(metadata.len).map_or(head.len(), |len| len.min(head.len()));
    let len = read_at_most(&file, &mut head[..wanted])?;
    let kind = match sniff(&head[..len]) {
        Content::Tar if is_filled(&head[..SNIFF_LEN]) => InputKind::Archive,
        Content::Other if is_utf16_archive(&head[..len]) => InputKind::Archive,
        Content::Tar | Content::Empty | Content::Other => InputKind::Other,
        compressed if holds_tar(compressed, &file) => InputKind::CompressedArchive,
        _ => InputKind::Other,
    };
    Ok(Some((kind, metadata)))
}

fn read_at_most(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A block of zeros ends an empty tar, but other files, such as disk images, also begin with zeros.
fn is_filled(block: &[u8]) -> bool {
    block.iter().any(|&byte| byte != 0)
}

/// Whether a compressed file begins with a tar header once it is decompressed.
fn holds_tar(compressed: Content, file: &File) -> bool {
    let mut block = [0; SNIFF_LEN];
    let input = BufReader::with_capacity(PEEK_LEN, file);
    let read = codec::decoder(compressed, input, ANY)
        .and_then(|mut decoder| decoder.read_exact(&mut block));
    read.is_ok() && sniff(&block) == Content::Tar && is_filled(&block)
}

/// Whether a directory could be meant as an image layout or an unpacked archive: one of the files at
/// the root is there, or the directory of blobs. A directory called `oci-layout`, and a file called `blobs`,
/// are something else.
pub fn may_be_image_layout(directory: &Path) -> bool {
    let found = |name: &str| fs::metadata(directory.join(name)).ok();
    let is_file = |name: &&str| found(name).is_some_and(|found| found.is_file());
    let mut files = ["index.json", "manifest.json", "oci-layout"].iter();
    files.any(is_file) || found("blobs/sha256").is_some_and(|found| found.is_dir())
}

/// Whether a directory is an image layout, a BuildKit cache, an unpacked `docker save`, or what
/// skopeo's `dir:` writes. It needs more than [`may_be_image_layout`] does, because many a directory has a
/// `manifest.json` that is something else.
pub fn is_image_layout(directory: &Path) -> bool {
    Directory::open(directory)
        .and_then(|directory| is_image_layout_at(&directory))
        .unwrap_or(false)
}

/// The same for a directory that is held open, in which no link is followed.
///
/// # Errors
/// The system does not say what is in it.
pub fn is_image_layout_at(directory: &Directory) -> io::Result<bool> {
    let is = |name: &str, kind: fn(FileType) -> bool| {
        let found = known(directory.look_up(Path::new(name)))?;
        Ok::<_, io::Error>(found.is_some_and(|found| kind(found.kind)))
    };
    let has_manifest = is("manifest.json", FileType::is_file)?;
    if !has_manifest && !is("index.json", FileType::is_file)? {
        return Ok(false);
    }
    Ok(is("blobs", FileType::is_dir)?
        || is("oci-layout", FileType::is_file)?
        || has_manifest && (is_docker_manifest(directory)? || is_skopeo_directory(directory)?))
}

/// Nothing, if there is nothing of that name in a directory, or nothing that may be read.
fn known<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(None),
            // It is not a regular file.
            None => Ok(None),
            Some(_) => Err(error),
        },
    }
}

fn starts_with(
    directory: &Directory,
    name: &str,
    is_right: impl Fn(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut head = [0; 4096];
    let len = directory
        .read(Path::new(name), Links::Refuse)
        .and_then(|file| read_at_most(&file, &mut head));
    Ok(known(len)?.is_some_and(|len| is_right(&head[..len])))
}

fn is_docker_manifest(directory: &Directory) -> io::Result<bool> {
    starts_with(directory, "manifest.json", |head| {
        let key = b"\"Config\"";
        head.trim_ascii_start().first() == Some(&b'[')
            && head.windows(key.len()).any(|found| found == key)
    })
}

/// The `version` file, or the image's manifest beside a blob, which older versions wrote without that file.
fn is_skopeo_directory(directory: &Directory) -> io::Result<bool> {
    let has_version = starts_with(directory, "version", |head| {
        head.starts_with(b"Directory Transport Version")
    })?;
    Ok(has_version || is_manifest(directory)? && has_blob(directory)?)
}

fn is_manifest(directory: &Directory) -> io::Result<bool> {
    starts_with(directory, "manifest.json", |head| {
        let has = |key: &[u8]| head.windows(key.len()).any(|found| found == key);
        head.trim_ascii_start().first() == Some(&b'{')
            && has(b"\"schemaVersion\"")
            && has(b"\"digest\"")
    })
}

/// Whether one of the files is named by its digest.
fn has_blob(directory: &Directory) -> io::Result<bool> {
    let is_blob = |(name, kind): &(OsString, FileType)| {
        let name = name
            .to_str()
            .map(|name| name.strip_suffix(".tar").unwrap_or(name));
        name.is_some_and(is_id) && kind.is_file()
    };
    Ok(directory.entries()?.iter().any(is_blob))
}

/// Whether a file is an archive with an entry of the kind that only images have. A caller that found
/// an archive, and cannot read it as an image, learns here whether it was meant as one.
///
/// The search ends at the first entry that cannot be read, and in a compressed archive after 64 MiB.
pub fn holds_image_entry(input: &InputPath) -> bool {
    find_image_entry(input).unwrap_or(false)
}

fn find_image_entry(input: &InputPath) -> io::Result<bool> {
    let path = &input.path();
    let file = input.read()?;
    let len = file.metadata()?.len();
    let mut head = [0; SNIFF_LEN];
    let count = read_at_most(&file, &mut head)?;
    Ok(match sniff(&head[..count]) {
        Content::Tar => Source::of(file, path)
            .is_ok_and(|source| has_image_entry(&mut FileInput::new(&source, len), u64::MAX)),
        compressed => Outer::new(path, compressed, file, Some(len), ANY)
            .is_ok_and(|outer| has_image_entry(&mut Incoming::new(path, outer), SEARCH_LEN)),
    })
}

/// Whether one of the entries that begin before `end` has a name that only image archives have.
fn has_image_entry(input: &mut impl Input, end: u64) -> bool {
    let mut entries = Entries::new(input);
    while entries.position() < end {
        match entries.next() {
            Ok(Some(entry)) if is_image_name(&entry_text(&entry.name)) => return true,
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => {
                // The entry that is refused counts.
                let name = error.place().and_then(Place::entry);
                return name.is_some_and(is_image_name);
            }
        }
    }
    false
}

/// A name that only image archives have. `index.json` and `manifest.json` are not among them: many a
/// web application has these.
pub(super) fn is_image_name(name: &str) -> bool {
    // Only the last parts are looked at, because a name can have thousands.
    let parts = name.rsplit('/');
    let mut parts = parts.filter(|part| !matches!(*part, "" | "."));
    match (parts.next(), parts.next(), parts.next()) {
        (Some("oci-layout" | "repositories"), _, third) => third.is_none(),
        (Some(_), Some("sha256" | "sha512"), Some("blobs")) => true,
        (Some("layer.tar"), Some(id), _) => is_id(id),
        (Some(name), None, _) => name.split_once('.').is_some_and(|(id, _)| is_id(id)),
        _ => false,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_size(1);
            builder.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let tar = tar(&["a"]);
        let directory = Directory::open(dir.path()).unwrap();
        let identify = |name: &str| identify_file(&directory, Path::new(name), Links::Refuse);
        let (archive, compressed) = (InputKind::Archive, InputKind::CompressedArchive);
        let other = InputKind::Other;
        let zstd = zstd::encode_all(&tar[..], 1).unwrap();
        let cases = [
            ("nothing", Vec::new(), other),
            ("text", b"text".to_vec(), other),
            ("tar", tar.clone(), archive),
            ("half a header", tar[..300].to_vec(), other),
            ("zeros", vec![0; 4096], other),
            ("gzip of a tar", gzip(&tar), compressed),
            ("gzip of text", gzip(&[b'a'; 2000]), other),
            ("damaged gzip", gzip(&tar)[..20].to_vec(), other),
            ("zstd of a tar", zstd, compressed),
        ];
        for (name, bytes, expected) in cases {
            fs::write(&path, &bytes).unwrap();
            let (kind, metadata) = identify("file").unwrap().unwrap();
            assert_eq!(kind, expected, "{name}");
            assert_eq!(metadata.len, fs::metadata(&path).unwrap().len());
        }
        fs::write(&path, &tar).unwrap();
        let at = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        let error = identify("link").unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::LOOP.raw_os_error())
        );
        let followed = identify_file(&directory, Path::new("link"), Links::Follow);
        assert_eq!(followed.unwrap().unwrap().0, archive);
        fs::create_dir(at("sub")).unwrap();
        assert!(identify("sub").unwrap().is_none());
        let error = identify("gone").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// Names and contents.
    type Files<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn directories_by_content() {
        let docker = "[{\"Config\":\"a.json\"}]";
        let skopeo = "Directory Transport Version: 1.1\n";
        let manifest = r#" {"schemaVersion":2,"config":{"digest":"sha256:…"}}"#;
        let hex = "0".repeat(64);
        let layer = format!("{hex}.tar");
        #[rustfmt::skip]
        let cases: [(&str, Files, bool, bool); 15] = [
            ("nothing", &[], false, false),
            ("layout", &[("index.json", "{}"), ("oci-layout", "{}"), ("blobs/sha256/x", "")], true, true),
            ("BuildKit cache without oci-layout", &[("index.json", "{}"), ("blobs/sha256/x", "")], true, true),
            ("web application", &[("manifest.json", "{}"), ("index.html", "")], true, false),
            ("index of something else", &[("index.json", "{}")], true, false),
            ("unpacked docker save", &[("manifest.json", docker), ("a.json", "")], true, true),
            ("skopeo dir", &[("manifest.json", "{}"), ("version", skopeo)], true, true),
            ("other version file", &[("manifest.json", "{}"), ("version", "1.0")], true, false),
            ("blobs alone", &[("blobs/sha256/x", "")], true, false),
            ("blobs as a file", &[("blobs", "")], false, false),
            ("directories with these names", &[("oci-layout/x", ""), ("index.json/x", ""), ("manifest.json/x", "")], false, false),
            ("a layout below oci-layout", &[("oci-layout/oci-layout", "{}"), ("oci-layout/index.json", "{}")], false, false),
            ("skopeo dir without version", &[("manifest.json", manifest), (hex.as_str(), "x")], true, true),
            ("skopeo dir of version 1.0", &[("manifest.json", manifest), (layer.as_str(), "x")], true, true),
            ("manifest without its blobs", &[("manifest.json", manifest), ("layer.tar", "x")], true, false),
        ];
        for (name, files, may_be, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            for (file, text) in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(may_be_image_layout(dir.path()), may_be, "{name}");
            assert_eq!(is_image_layout(dir.path()), expected, "{name}");
        }
    }

    #[test]
    fn archives_of_images_and_of_other_things() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let id = "a".repeat(64);
        let old = format!("{id}/layer.tar");
        let config = format!("{id}.json");
        #[rustfmt::skip]
        let cases: [(&str, &[&str], bool); 8] = [
            ("layout", &["blobs/sha256/x"], true),
            ("in a directory", &["./app/oci-layout"], true),
            ("old docker save", &["x", &old], true),
            ("config", &[&config], true),
            ("sources", &["project/src/index.json", "project/Makefile"], false),
            ("another layer.tar", &["backup/layer.tar"], false),
            ("web application", &["index.json", "manifest.json", "app/manifest.json"], false),
            ("nothing", &[], false),
        ];
        for (name, names, expected) in cases {
            let mut bytes = tar(names);
            bytes.truncate(bytes.len() - 1024);
            bytes.extend([b'?'; 300]);
            for bytes in [bytes.clone(), gzip(&bytes)] {
                fs::write(&path, bytes).unwrap();
                assert_eq!(
                    holds_image_entry(&InputPath::Named(path.clone())),
                    expected,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_entry_that_ends_the_search_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let sparse = |name: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_size(0);
            header.set_entry_type(tar::EntryType::GNUSparse);
            header.set_cksum();
            header.as_bytes().to_vec()
        };
        let blob = tar(&["x", "blobs/sha256/x"]);
        let cases = [
            ("cut inside a blob", blob[..3 * 512].to_vec(), true),
            ("cut inside another file", blob[..512].to_vec(), false),
            ("sparse blob", sparse("blobs/sha256/x"), true),
            ("sparse file", sparse("disk.img"), false),
        ];
        for (name, bytes, expected) in cases {
            fs::write(&path, bytes).unwrap();
            assert_eq!(
                holds_image_entry(&InputPath::Named(path.clone())),
                expected,
                "{name}"
            );
        }
    }
}
