//! Archives with changed headers and additional ones, all with right checksums: what a byte at a time would hardly reach.

use std::fs;

use ocify::{DataLocation, ExtraKind, Fix, Input, Output, Source, Strictness, scan};

use crate::{archive_of, fix_of, folder};

const BLOCK: usize = 512;
/// Images in the form that `archive_of` reads.
const SEEDS: [&[u8]; 2] = [
    include_bytes!("../seeds/documents/podman-oci"),
    include_bytes!("../seeds/documents/docker26g-save-names"),
];
/// The fields of a header: where they are, and how long.
const FIELDS: [(usize, usize); 15] = [
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 6),
    (263, 2),
    (265, 32),
    (297, 32),
    (329, 8),
    (345, 155),
    (500, 12),
];
const VALUES: [&[u8]; 36] = [
    b"",
    b"\0",
    b" ",
    b"0",
    b"1",
    b"2",
    b"5",
    b"7",
    b"g",
    b"x",
    b"L",
    b"K",
    b"S",
    b"V",
    b"00000000000\0",
    b"00000000017 ",
    b"7777777\0",
    b"777777777777",
    b"        017\0",
    b"\x00\x00\x00\x00\x00\x00000017\x00",
    b"\x80\0\0\0\0\0\0\0\0\0\0\x10",
    b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"-1\0",
    b"ustar\0",
    b"ustar ",
    b" \0",
    b"index.json",
    b"manifest.json",
    b"./index.json",
    b"blobs/sha256/",
    b"../outside",
    b"a/../index.json",
    b"index.json\0x",
    b"\xff\xfe",
    b"tar\0",
];
const KEYS: [&str; 14] = [
    "path",
    "size",
    "linkpath",
    "mtime",
    "charset",
    "hdrcharset",
    "GNU.sparse.major",
    "GNU.sparse.minor",
    "GNU.sparse.name",
    "GNU.sparse.size",
    "GNU.sparse.map",
    "SCHILY.xattr.user.a",
    "SCHILY.realsize",
    "comment",
];
const TEXTS: [&str; 16] = [
    "",
    "0",
    "1",
    "017",
    "-1",
    "1e3",
    "99999999999999999999",
    "9223372036854775807",
    "512",
    "index.json",
    "manifest.json",
    "./oci-layout",
    "../outside",
    "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
    "a\0b",
    "1,2",
];

/// Some headers with the data that follows them.
type Entry = Vec<u8>;

/// An archive with some edits, each of four bytes, which say in which entry, what is done, and with what.
///
/// # Panics
/// What [`hold`](crate::hold) checks; or the `tar` crate reads an archive that ocify wrote in another way than ocify.
pub fn headers(input: &[u8]) {
    let archive = changed(input);
    crate::hold(&archive);
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        check_listing(&archive, &fix_of(strictness));
    }
}

/// The archive that some edits describe.
pub fn changed(input: &[u8]) -> Vec<u8> {
    let (first, edits) = input.split_first().unwrap_or((&0, &[]));
    let archive = archive_of(SEEDS[usize::from(*first) % SEEDS.len()]);
    let mut entries = entries(&archive);
    for edit in edits.chunks_exact(4) {
        let at = usize::from(edit[0]) % entries.len().max(1);
        edit_entry(&mut entries, at, edit[1], edit[2], edit[3]);
    }
    let mut bytes = entries.concat();
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

/// The entries of an archive without additional headers.
fn entries(archive: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut tar = tar::Archive::new(archive);
    for entry in tar.entries().expect("it was made") {
        let entry = entry.expect("it was made");
        let start = entry.raw_header_position() as usize;
        let end = (entry.raw_file_position() + entry.size()) as usize;
        let mut bytes = archive[start..end].to_owned();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        entries.push(bytes);
    }
    entries
}

fn edit_entry(entries: &mut Vec<Entry>, at: usize, what: u8, first: u8, second: u8) {
    let other = usize::from(first) % entries.len().max(1);
    let value = VALUES[usize::from(second) % VALUES.len()];
    match what % 8 {
        0 | 1 => {
            // What another edit inserted may be empty.
            let is_whole = |entry: &&mut Entry| entry.len() >= BLOCK;
            if let Some(entry) = entries.get_mut(at).filter(is_whole) {
                let (start, len) = FIELDS[usize::from(first) % FIELDS.len()];
                let len = len.min(value.len().max(1));
                entry[start..start + len].fill(0);
                let len = len.min(value.len());
                entry[start..start + len].copy_from_slice(&value[..len]);
                seal(entry);
            }
        }
        2 => {
            let key = KEYS[usize::from(first) % KEYS.len()];
            let text = TEXTS[usize::from(second) % TEXTS.len()];
            let flag = if what & 0x40 == 0 { b'x' } else { b'g' };
            entries.insert(at, header(flag, &record(key, text, what & 0x20 != 0)));
        }
        3 => {
            let flag = if first & 1 == 0 { b'L' } else { b'K' };
            entries.insert(at, header(flag, value));
        }
        4 => entries.swap(at, other),
        5 => entries.insert(at, entries[other].clone()),
        6 if entries.len() > 1 => drop(entries.remove(at)),
        6 => {}
        _ => {
            let mut data = vec![0; usize::from(first) % 3 * BLOCK];
            data.extend(value);
            data.resize(data.len().next_multiple_of(BLOCK), 0);
            entries.insert(at, data);
        }
    }
}

/// A PAX record, whose length may be wrong by one.
fn record(key: &str, text: &str, is_wrong: bool) -> Vec<u8> {
    let rest = format!(" {key}={text}\n");
    let digits = |len: usize| (rest.len() + len.to_string().len()).to_string();
    let len = (0..2).fold(rest.len(), |len, _| rest.len() + digits(len).len());
    format!("{}{rest}", len + usize::from(is_wrong)).into_bytes()
}

/// An additional header with its data.
fn header(flag: u8, data: &[u8]) -> Entry {
    let mut header = tar::Header::new_ustar();
    header.set_size(data.len() as u64);
    header.set_entry_type(tar::EntryType::new(flag));
    let mut entry = header.as_bytes().to_vec();
    entry[..6].copy_from_slice(b"header");
    entry.extend(data);
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    seal(&mut entry);
    entry
}

/// Corrects the checksum of a header.
fn seal(entry: &mut [u8]) {
    entry[148..156].fill(b' ');
    let sum: u64 = entry[..BLOCK].iter().map(|byte| u64::from(*byte)).sum();
    entry[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// What ocify writes, other readers read as it does.
fn check_listing(archive: &[u8], fix: &Fix) {
    let (input, output) = (folder().join("headers.tar"), folder().join("listed.tar"));
    fs::write(&input, archive).expect("memory takes everything");
    let input = Input::open(&input).expect("the file is there");
    if fix
        .run(input, Output::archive(&output).overwrite(true))
        .is_err()
    {
        return;
    }
    let source = Source::open(&output).expect("it was written");
    let inventory = scan(&source, Strictness::Strict).expect("it was written");
    let mut by_ocify = Vec::new();
    let mut add = |name: &str, data: &DataLocation, len: u64| {
        if let DataLocation::Offset(at) = data {
            by_ocify.push((name.to_owned(), *at, len));
        }
    };
    for (digest, blob) in &inventory.blobs {
        add(&digest.blob_name(), &blob.data, blob.len);
    }
    let roots = [
        ("index.json", &inventory.root_index),
        ("manifest.json", &inventory.docker_manifest),
        ("oci-layout", &inventory.oci_layout),
    ];
    for (name, root) in roots {
        if let Some(root) = root {
            add(name, &root.data, root.bytes.len() as u64);
        }
    }
    for (name, entry) in &inventory.extra {
        match &entry.kind {
            ExtraKind::File(data) => add(name, data, entry.len),
            _ => panic!("an output has {name}, which is not a file"),
        }
    }
    let bytes = fs::read(&output).expect("it was written");
    let mut by_tar = Vec::new();
    let mut tar = tar::Archive::new(&bytes[..]);
    for entry in tar.entries().expect("it was written") {
        let entry = entry.expect("it was written");
        if !entry.header().entry_type().is_dir() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            by_tar.push((name, entry.raw_file_position(), entry.size()));
        }
    }
    by_ocify.sort();
    by_tar.sort();
    assert_eq!(by_ocify, by_tar, "readers differ about an output");
}
