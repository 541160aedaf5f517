//! Makes container image archives load everywhere.
//!
//! Five stages, each a plain function from one value to the next:
//! scan → resolve → plan → apply → report.

pub mod apply;
pub mod batch;
pub mod compression;
pub mod digest;
pub mod engines;
pub mod error;
pub mod graph;
mod header;
pub mod inventory;
pub mod journal;
mod json;
pub mod media_type;
pub mod plan;
pub mod platform;
pub mod progress;
pub mod read;
pub mod reference;
pub mod report;
pub mod standard;
mod temporary;
pub mod threads;

pub use apply::{ApplyOptions, Outcome, Target, TargetKind, Verify, apply};
pub use error::{Error, Result};
pub use graph::resolve;
pub use plan::plan;
pub use read::{ScanOptions, Source, scan};
