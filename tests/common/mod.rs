//! What both test programs use.

pub(crate) mod archive;
pub(crate) mod builder;
pub(crate) mod checker;
pub(crate) mod contents;
pub(crate) mod mutations;
pub(crate) mod random;

use std::fs;
use std::io::Write;
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

/// Reports that a test does not run, and why; an error if the variable `required` is 1.
#[track_caller]
pub(crate) fn skip(why: &str, required: &str) {
    assert!(
        std::env::var_os(required).is_none_or(|value| value != "1"),
        "{why}"
    );
    skipped(why);
}

/// Reports what a test leaves out. `.ci/test` looks for these lines, so they go past the test harness, which captures output.
pub(crate) fn skipped(what: &str) {
    // The harness may have begun a line.
    let line = format!("\nSKIPPED: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
