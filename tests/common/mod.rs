//! What the tests share. Not every test uses everything.
#![allow(dead_code)]

pub(crate) mod archive;
pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod checker;
pub(crate) mod contents;
pub(crate) mod evidence;
pub(crate) mod failure;
pub(crate) mod faults;
pub(crate) mod forms;
pub(crate) mod judged;
pub(crate) mod piped;
pub(crate) mod placed;
pub(crate) mod random;
pub(crate) mod reflinks;
pub(crate) mod runner;
pub(crate) mod saved;
pub(crate) mod schema;
pub(crate) mod terminal;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256, Sha512};

/// The SHA-256 of some bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-512 of some bytes, in hexadecimal.
pub(crate) fn sha512(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file or directory of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A fixture by its name.
pub(crate) fn fixture(name: &str) -> PathBuf {
    repository("fixtures").join(name)
}

/// The names of all fixtures, sorted.
pub(crate) fn fixtures() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(repository("fixtures"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    assert!(names.len() > 40, "the fixtures are not all there");
    names
}

/// The fixtures that have an `index.json`, sorted.
pub(crate) fn layouts() -> Vec<String> {
    let mut names = fixtures();
    names.retain(|name| contents::Contents::read(&fixture(name)).has("index.json"));
    names
}

/// Every file below a directory, by relative path, with its bytes; of links, the target.
pub(crate) fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(root: &Path, at: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let bytes = if kind.is_dir() {
                walk(root, &path, out);
                b"directory".to_vec()
            } else if kind.is_file() {
                fs::read(&path).unwrap()
            } else {
                format!("{:?}", fs::read_link(&path).ok()).into_bytes()
            };
            out.push((path.strip_prefix(root).unwrap().to_owned(), bytes));
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}
