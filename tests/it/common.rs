//! What the tests of this program share.

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
#[path = "../common/mod.rs"]
mod shared;
pub(crate) mod terminal;

use std::fs;

pub(crate) use shared::{fixture, repository, sha256, sha512, skip, skipped, tree};

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
