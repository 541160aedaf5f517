//! The compression formats of the layers and archives that ocify writes.

use super::content::Content;

/// A compression format that OCI has a layer media type for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No compression: a plain tar.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The compression of a layer with this content; `None` if OCI has no media type for it.
    pub fn of_content(content: Content) -> Option<Self> {
        match content {
            // Engines read a layer without bytes as an empty tar.
            Content::Tar | Content::Empty => Some(Compression::Uncompressed),
            Content::Gzip => Some(Compression::Gzip),
            Content::Zstd | Content::ZstdAfterSkippable => Some(Compression::Zstd),
            Content::Bzip2 | Content::Xz | Content::Other => None,
        }
    }

    /// The content of a layer with this compression.
    pub fn content(self) -> Content {
        match self {
            Compression::Uncompressed => Content::Tar,
            Compression::Gzip => Content::Gzip,
            Compression::Zstd => Content::Zstd,
        }
    }

    /// The name in options and reports.
    pub fn short_name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "a plain tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}
