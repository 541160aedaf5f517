//! Makes container image archives load everywhere.
//!
//! Five stages, each a plain function from one value to the next:
//! scan → resolve → plan → apply → report.

pub mod digest;
pub mod error;
pub mod inventory;
pub mod media_type;
pub mod plan;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod report;
