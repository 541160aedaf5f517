//! What a file or a directory is, by what it holds and not by its name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::Fingerprint;
use crate::codec::{self, Limits};
use crate::image::{Content, SNIFF_LEN, sniff};

/// How much of a compressed file is read to see what is inside; a block of bzip2 fits.
const PEEK_LEN: usize = 64 << 10;
/// How many decompressed bytes are looked through for the entries of an image.
const SEARCH_LEN: u64 = 64 << 20;
/// What asks for too much is told when it is read, not when it is found.
const ANY: Limits = Limits {
    max_ratio: u64::MAX,
    max_window: 1 << 31,
};

/// Whether the file begins like a tar archive, compressed or not. Its first bytes are read, and of a
/// compressed file as many as the decoder needs for its first bytes.
pub(super) fn identify(path: &Path) -> io::Result<(bool, Fingerprint)> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let fingerprint = Fingerprint::of_metadata(&metadata);
    let mut head = [0; SNIFF_LEN];
    let len = read_at_most(&file, &mut head)?;
    let is_archive = match sniff(&head[..len]) {
        Content::Tar => is_filled(&head),
        Content::Empty | Content::Other => false,
        compressed => holds_tar(compressed, &file),
    };
    Ok((is_archive, fingerprint))
}

/// Never through a link, and not waiting for the writer of a fifo that took the file's place.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
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

/// A block of zeros ends an empty tar, and begins many a file that is none, such as a disk image.
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
/// the root is there, or the directory of blobs.
pub fn may_be_layout(directory: &Path) -> bool {
    let names = ["index.json", "manifest.json", "oci-layout", "blobs/sha256"];
    names.iter().any(|name| directory.join(name).exists())
}

/// Whether a directory is an image layout, a BuildKit cache, an unpacked `docker save`, or what
/// skopeo's `dir:` writes. It needs more than [`may_be_layout`] does, because many a directory has a
/// `manifest.json` that is something else.
pub fn is_layout(directory: &Path) -> bool {
    let is_file = |name: &str| {
        std::fs::symlink_metadata(directory.join(name)).is_ok_and(|found| found.is_file())
    };
    let has_manifest = is_file("manifest.json");
    if !has_manifest && !is_file("index.json") {
        return false;
    }
    let blobs = std::fs::symlink_metadata(directory.join("blobs"));
    blobs.is_ok_and(|found| found.is_dir())
        || is_file("oci-layout")
        || has_manifest && (is_docker_manifest(directory) || is_skopeo_directory(directory))
}

fn starts_with(path: &Path, is_right: impl Fn(&[u8]) -> bool) -> bool {
    let mut head = [0; 4096];
    let len = open(path).and_then(|file| read_at_most(&file, &mut head));
    len.is_ok_and(|len| is_right(&head[..len]))
}

fn is_docker_manifest(directory: &Path) -> bool {
    starts_with(&directory.join("manifest.json"), |head| {
        let key = b"\"Config\"";
        head.trim_ascii_start().first() == Some(&b'[')
            && head.windows(key.len()).any(|found| found == key)
    })
}

fn is_skopeo_directory(directory: &Path) -> bool {
    starts_with(&directory.join("version"), |head| {
        head.starts_with(b"Directory Transport Version")
    })
}

/// Whether an archive that could not be read to its end has an entry of the kind that only images
/// have: an archive of something else is no failure.
pub fn holds_image(path: &Path) -> bool {
    let Ok(file) = open(path) else {
        return false;
    };
    let mut head = [0; SNIFF_LEN];
    let kind = read_at_most(&file, &mut head).map(|len| sniff(&head[..len]));
    match kind {
        Ok(Content::Tar) => {
            let mut archive = tar::Archive::new(file);
            archive.entries_with_seek().is_ok_and(has_image_entry)
        }
        Ok(compressed) => {
            let input = BufReader::with_capacity(PEEK_LEN, file);
            codec::decoder(compressed, input, ANY).is_ok_and(|decoder| {
                let mut archive = tar::Archive::new(decoder.take(SEARCH_LEN));
                archive.entries().is_ok_and(has_image_entry)
            })
        }
        Err(_) => false,
    }
}

fn has_image_entry<R: Read>(entries: tar::Entries<'_, R>) -> bool {
    // What cannot be read ends the search, and what was seen before counts.
    entries
        .map_while(io::Result::ok)
        .any(|entry| is_image_name(&entry.path_bytes()))
}

/// A name that only image archives have. `index.json` and `manifest.json` are not among them: many a
/// web application has these.
fn is_image_name(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    match parts.as_slice() {
        [.., "oci-layout" | "repositories"] => parts.len() <= 2,
        [.., "blobs", "sha256" | "sha512", _] => true,
        [.., id, "layer.tar"] => is_id(id),
        [name] => name.split_once('.').is_some_and(|(id, _)| is_id(id)),
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
        let cases: [(&str, Vec<u8>, bool); 9] = [
            ("nothing", Vec::new(), false),
            ("text", b"text".to_vec(), false),
            ("tar", tar.clone(), true),
            ("half a header", tar[..300].to_vec(), false),
            ("zeros", vec![0; 4096], false),
            ("gzip of a tar", gzip(&tar), true),
            ("gzip of text", gzip(&[b'a'; 2000]), false),
            ("damaged gzip", gzip(&tar)[..20].to_vec(), false),
            (
                "zstd of a tar",
                zstd::encode_all(&tar[..], 1).unwrap(),
                true,
            ),
        ];
        for (name, bytes, expected) in cases {
            std::fs::write(&path, &bytes).unwrap();
            let (is_archive, fingerprint) = identify(&path).unwrap();
            assert_eq!(is_archive, expected, "{name}");
            assert_eq!(fingerprint.len, bytes.len() as u64, "{name}");
            assert_eq!(fingerprint, Fingerprint::of(&path).unwrap(), "{name}");
        }
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        assert!(identify(&dir.path().join("link")).is_err());
    }

    /// Names and contents.
    type Files<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn directories_by_content() {
        let docker = "[{\"Config\":\"a.json\"}]";
        let skopeo = "Directory Transport Version: 1.1\n";
        #[rustfmt::skip]
        let cases: [(&str, Files, bool, bool); 9] = [
            ("nothing", &[], false, false),
            ("layout", &[("index.json", "{}"), ("oci-layout", "{}"), ("blobs/sha256/x", "")], true, true),
            ("BuildKit cache without oci-layout", &[("index.json", "{}"), ("blobs/sha256/x", "")], true, true),
            ("web application", &[("manifest.json", "{}"), ("index.html", "")], true, false),
            ("index of something else", &[("index.json", "{}")], true, false),
            ("unpacked docker save", &[("manifest.json", docker), ("a.json", "")], true, true),
            ("skopeo dir", &[("manifest.json", "{}"), ("version", skopeo)], true, true),
            ("other version file", &[("manifest.json", "{}"), ("version", "1.0")], true, false),
            ("blobs alone", &[("blobs/sha256/x", "")], true, false),
        ];
        for (name, files, may_be, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            for (file, text) in files {
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(may_be_layout(dir.path()), may_be, "{name}");
            assert_eq!(is_layout(dir.path()), expected, "{name}");
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
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(holds_image(&path), expected, "{name}");
            }
        }
    }
}
