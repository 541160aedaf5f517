//! The basic types of container images: digests, media types, platforms, references and content types.

mod compression;
mod content;
mod diff_id;
mod digest;
pub(crate) mod media_type;
pub(crate) mod oci;
pub(crate) mod platform;
mod reference;
mod referrers_tag;
mod suffix;

pub use compression::Compression;
pub use content::Content;
pub(crate) use content::{SNIFF_LEN, sniff, sniff_compression, sniff_inside};
pub use diff_id::{DiffId, StatedDiffId};
pub use digest::{Algorithm, Digest, Hasher};
pub use oci::ConversionError;
pub use platform::{ParsePlatformError, Platform};
#[cfg(feature = "push")]
pub(crate) use reference::is_tag;
pub use reference::{ParseReferenceError, Reference, ReferenceFault};
pub use suffix::ArchiveSuffix;
