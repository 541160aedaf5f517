//! Detects what a blob contains from its first bytes.

use crate::tar::{self, BLOCK};

/// What a blob contains, according to its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// No bytes.
    Empty,
    /// A tar header, or a block of zeros, which is an empty tar.
    Tar,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Zstandard that starts with a skippable frame, which some readers do not recognize.
    ZstdAfterSkippable,
    /// Bzip2.
    Bzip2,
    /// Xz.
    Xz,
    /// Anything else, documents included.
    Other,
}

impl Content {
    /// Whether this is a compression format.
    pub(crate) fn is_compressed(self) -> bool {
        match self {
            Content::Gzip
            | Content::Zstd
            | Content::ZstdAfterSkippable
            | Content::Bzip2
            | Content::Xz => true,
            Content::Empty | Content::Tar | Content::Other => false,
        }
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Content::Empty => "nothing",
            Content::Tar => "tar",
            Content::Gzip => "gzip",
            Content::Zstd | Content::ZstdAfterSkippable => "zstd",
            Content::Bzip2 => "bzip2",
            Content::Xz => "xz",
            Content::Other => "unknown",
        }
    }

    /// The command that decompresses it to standard output.
    pub(crate) fn decompressor(self) -> Option<&'static str> {
        match self {
            Content::Gzip => Some("gzip -dc"),
            Content::Zstd | Content::ZstdAfterSkippable => Some("zstd -dc"),
            Content::Bzip2 => Some("bzip2 -dc"),
            Content::Xz => Some("xz -dc"),
            Content::Empty | Content::Tar | Content::Other => None,
        }
    }
}

/// How many bytes [`sniff`] examines.
pub(crate) const SNIFF_LEN: usize = BLOCK;

/// Detects content from its first [`SNIFF_LEN`] bytes, or from all of them if there are fewer.
pub(crate) fn sniff(head: &[u8]) -> Content {
    if head.is_empty() {
        return Content::Empty;
    }
    match sniff_compression(head) {
        Some(content) => content,
        None if is_tar(head) => Content::Tar,
        None => Content::Other,
    }
}

/// Detects the compression format from the magic number; `None` if there is none.
pub(crate) fn sniff_compression(head: &[u8]) -> Option<Content> {
    match head {
        [0x1f, 0x8b, 0x08, ..] => Some(Content::Gzip),
        [b'B', b'Z', b'h', ..] => Some(Content::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Content::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Content::Zstd),
        // The magic number of a skippable frame (RFC 8878, 3.1.2). Some writers start with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Content::ZstdAfterSkippable),
        _ => None,
    }
}

/// Like [`sniff`], for the decompressed bytes of a layer, which are usually a tar: its first bytes are a
/// name, which may look like a magic number.
pub(crate) fn sniff_inside(head: &[u8]) -> Content {
    match is_tar(head) {
        true => Content::Tar,
        false => sniff(head),
    }
}

fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<BLOCK>() else {
        return false;
    };
    if &block[257..262] == b"ustar" || block.iter().all(|&byte| byte == 0) {
        return true;
    }
    // V7 tar has no magic number, only a checksum.
    tar::has_checksum(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_detected_from_the_first_bytes() {
        let mut v7 = ::tar::Header::new_old();
        v7.set_path("file").unwrap();
        v7.set_size(0);
        v7.set_cksum();
        let mut broken = *v7.as_bytes();
        broken[0] = b'F';
        let cases: [(&str, &[u8], Content); 12] = [
            ("empty", b"", Content::Empty),
            ("gzip", b"\x1f\x8b\x08\0", Content::Gzip),
            ("gzip, unknown method", b"\x1f\x8b\x07\0", Content::Other),
            ("bzip2", b"BZh9", Content::Bzip2),
            ("xz", b"\xfd7zXZ\0", Content::Xz),
            ("zstd", b"\x28\xb5\x2f\xfd", Content::Zstd),
            (
                "skippable frame",
                b"\x5a\x2a\x4d\x18",
                Content::ZstdAfterSkippable,
            ),
            ("ustar", &crate::tar::canonical("a", false, 0), Content::Tar),
            ("v7", v7.as_bytes(), Content::Tar),
            ("v7 with a bad checksum", &broken, Content::Other),
            ("zero block", &[0; BLOCK], Content::Tar),
            ("json", b"{}", Content::Other),
        ];
        for (name, head, content) in cases {
            assert_eq!(sniff(head), content, "{name}");
        }
    }
}
