//! Makes container image archives load everywhere.
//!
//! Five stages, each a plain function from one value to the next:
//! scan → resolve → plan → apply → report.

pub mod apply;
pub mod digest;
pub mod error;
mod header;
pub mod inventory;
pub mod media_type;
pub mod plan;
pub mod progress;
pub mod read;

pub use apply::{ApplyOptions, Outcome, Target, TargetKind, apply};
pub use read::{ScanOptions, Source, scan};
