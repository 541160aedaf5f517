//! Makes container image archives load everywhere.
//!
//! Five stages, each a plain function from one value to the next:
//! scan → resolve → plan → apply → report.

pub mod apply;
pub mod codec;
pub mod engines;
pub mod error;
pub mod fix;
pub mod graph;
pub mod image;
pub mod input;
pub mod inventory;
pub mod journal;
mod json;
pub mod location;
pub mod operation;
pub mod plan;
pub mod progress;
pub mod publish;
pub mod report;
mod tar;
mod text;
pub mod threads;

pub use apply::{ApplyOptions, Outcome, Output, Target, Verify, apply};
pub use error::{Error, Result};
pub use fix::{Fix, Fixed, Preview};
pub use graph::resolve;
pub use input::{Source, scan};
pub use inventory::Strictness;
/// The types of the [typed views](graph::document::Document::manifest) and of the conversions in [`image`]. A new minor
/// version of oci-spec is therefore a new minor version of ocify.
pub use oci_spec;
pub use operation::{Input, Notice, Observer, SpoolReason, Stage};
pub use plan::plan;
