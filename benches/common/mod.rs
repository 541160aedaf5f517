//! What the benchmarks share: archives made of this machine's files, and running programs in turns. Not
//! every benchmark uses everything.
#![allow(dead_code)]

pub(crate) mod archive;
pub(crate) mod files;
pub(crate) mod runner;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) type Result<T> = std::io::Result<T>;
