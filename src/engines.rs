//! What each engine's reader does with an archive: pure functions from what is in the archive, and a version, to a verdict.
//!
//! A model finds what may be in the way, as [`Obstacle`]s, in the order in which the engine meets it. Whether it is in
//! the way of a certain version is a fact of one table, with its evidence. Nothing else of ocify states what an
//! engine can read.

mod apptainer;
mod archive;
mod choice;
mod compared;
mod config;
mod containerd;
mod containers;
mod crane;
mod docker;
mod engine;
mod facts;
mod habit;
mod image;
mod judge;
mod known;
mod layout;
mod machine;
mod obstacle;
mod reader;
mod regctl;
mod remedy;
mod table;
mod verdict;
mod version;

pub(crate) use archive::Archive;
pub use engine::{Engine, ParseEngineError};
pub use facts::Evidence;
pub(crate) use facts::ranges;
pub use judge::Reason;
pub(crate) use machine::Machine;
pub use obstacle::Obstacle;
pub use reader::Reader;
pub use remedy::Remedy;
pub(crate) use remedy::{Refusal, improve, refusals, worst, worst_range};
pub(crate) use table::{KnownReader, Problem, table};
pub(crate) use verdict::Verdicts;
pub use verdict::{Loads, Verdict};
pub use version::Version;
