//! Writes files that are complete under their final name, or not there: a temporary file beside it is
//! filled, synced where that is wanted, and renamed.

mod destination;
mod file;
mod special;
mod temporary;

pub use file::{open_log, write_file};
