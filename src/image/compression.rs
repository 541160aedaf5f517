//! The compressions that layers and archives are written with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::content::Content;

/// The compression of a layer that OCI has a media type for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A plain tar.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The compression that a blob's first bytes show; `None` where they show none that OCI names.
    pub fn of_content(content: Content) -> Option<Self> {
        match content {
            Content::Tar => Some(Compression::Uncompressed),
            Content::Gzip => Some(Compression::Gzip),
            Content::Zstd | Content::ZstdAfterSkippable => Some(Compression::Zstd),
            Content::Empty | Content::Bzip2 | Content::Xz | Content::Other => None,
        }
    }

    /// How a file of that name is compressed as a whole: `.gz` and `.tgz` by gzip, `.zst` and
    /// `.tzst` by zstd.
    pub fn of_name(name: &OsStr) -> Self {
        let name = name.as_bytes();
        let ends_in = |suffixes: &[&[u8]]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        if ends_in(&[b".gz", b".tgz"]) {
            Compression::Gzip
        } else if ends_in(&[b".zst", b".tzst"]) {
            Compression::Zstd
        } else {
            Compression::Uncompressed
        }
    }

    /// What the first bytes of a blob so compressed say.
    pub fn content(self) -> Content {
        match self {
            Compression::Uncompressed => Content::Tar,
            Compression::Gzip => Content::Gzip,
            Compression::Zstd => Content::Zstd,
        }
    }

    /// The word for options and reports.
    pub fn short_name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// The word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Uncompressed => "a plain tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}
