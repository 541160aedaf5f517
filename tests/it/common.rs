//! What the tests of this program share.

pub(crate) mod advice;
pub(crate) mod archive;
pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod checker;
pub(crate) mod contents;
pub(crate) mod countable;
pub(crate) mod evidence;
pub(crate) mod failure;
pub(crate) mod faults;
pub(crate) mod forms;
pub(crate) mod injected;
pub(crate) mod intact;
pub(crate) mod judged;
pub(crate) mod links;
pub(crate) mod measured;
pub(crate) mod mutations;
pub(crate) mod pages;
pub(crate) mod paused;
pub(crate) mod piped;
pub(crate) mod placed;
pub(crate) mod random;
pub(crate) mod readers;
pub(crate) mod reflinks;
pub(crate) mod registry;
pub(crate) mod runner;
pub(crate) mod saved;
pub(crate) mod schema;
#[path = "../common/mod.rs"]
mod shared;

pub(crate) mod terminal;
pub(crate) mod trace;

use std::fs;

pub(crate) use shared::{fixture, repository, sha256, sha512, skip, skipped, tree};

/// The names of the fixtures that the engine tests load too, sorted.
pub(crate) fn fixtures() -> Vec<String> {
    let mut names = names_in("fixtures");
    names.retain(|name| !["README.md", "2026"].contains(&name.as_str()));
    assert!(names.len() > 40, "the fixtures are not all there");
    names
}

/// The names of the fixtures of 2026's tools, sorted.
pub(crate) fn recent_fixtures() -> Vec<String> {
    let names = names_in("fixtures/2026").into_iter();
    let names: Vec<String> = names.map(|name| format!("2026/{name}")).collect();
    assert!(names.len() > 8, "the fixtures are not all there");
    names
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// The fixtures that have an `index.json`, sorted.
pub(crate) fn layouts() -> Vec<String> {
    let mut names = fixtures();
    names.retain(|name| contents::Contents::read(&fixture(name)).has("index.json"));
    names
}
