//! What compressed data contains, according to its first decompressed bytes.

use std::io::Read;

use super::reader::uninterrupted;
use crate::codec::{self, Limits, needs_too_much_memory};
use crate::image::{Content, SNIFF_LEN, sniff_inside};

/// How many bytes to decompress first, and how many if these are too few. The first block of zstd, which is
/// decompressed as a whole, can have 128 KiB; that of bzip2, which OCI has no type for, 900 kB.
pub(super) const PREFIXES: [usize; 3] = [4 << 10, 160 << 10, 1 << 20];

/// What the beginning of compressed data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// It decompresses to this; [`Content::Other`] if it cannot be decompressed.
    Content(Content),
    /// It is too short to say.
    TooShort,
    /// Decompressing it needs more memory than usual.
    Unknown,
}

/// Decompresses the beginning of compressed data. `is_whole` says that nothing follows.
pub(super) fn inside(content: Content, prefix: &[u8], is_whole: bool) -> Inside {
    let mut block = [0; SNIFF_LEN];
    let mut count = 0;
    let failed = match codec::layer_decoder(content, prefix, Limits::default()) {
        Err(error) => Some(error),
        Ok(mut decoder) => loop {
            match uninterrupted(|| decoder.read(&mut block[count..])) {
                Ok(0) => break None,
                Ok(more) => count += more,
                Err(error) => break Some(error),
            }
        },
    };
    match failed {
        _ if count == SNIFF_LEN => Inside::Content(sniff_inside(&block)),
        Some(error) if needs_too_much_memory(&error) => Inside::Unknown,
        _ if !is_whole => Inside::TooShort,
        Some(_) => Inside::Content(Content::Other),
        // A tar without a byte is an empty one.
        None if count == 0 => Inside::Content(Content::Tar),
        None => Inside::Content(sniff_inside(&block[..count])),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tar::canonical;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    #[test]
    fn the_first_decompressed_block_is_looked_at() {
        let tar = [canonical("a", false, 9000).as_slice(), &[b'x'; 9216]].concat();
        let noise: Vec<u8> = (0..9000_u32).map(|at| ((at * at) >> 7) as u8).collect();
        let cases = [
            ("a tar", tar.clone(), Content::Tar),
            ("zeros", vec![0; 1024], Content::Tar),
            ("nothing", Vec::new(), Content::Tar),
            ("gzip", gzip(&tar), Content::Gzip),
            ("zstd", zstd(&tar), Content::Zstd),
            ("text", b"text".repeat(1000), Content::Other),
            ("less than a block", b"text".to_vec(), Content::Other),
            ("noise", noise, Content::Other),
        ];
        for (name, bytes, expected) in cases {
            for (content, outer) in [(Content::Gzip, gzip(&bytes)), (Content::Zstd, zstd(&bytes))] {
                let found = inside(content, &outer, true);
                assert_eq!(found, Inside::Content(expected), "{name} in {content:?}");
            }
        }
    }

    #[test]
    fn a_prefix_may_be_too_short() {
        let tar = [canonical("a", false, 600_000).as_slice(), &noise(600_000)].concat();
        for (content, outer, enough) in [
            (Content::Gzip, gzip(&tar), PREFIXES[0]),
            (Content::Zstd, zstd(&tar), PREFIXES[1]),
        ] {
            assert_eq!(inside(content, &outer[..20], false), Inside::TooShort);
            assert_eq!(
                inside(content, &outer[..20], true),
                Inside::Content(Content::Other)
            );
            let prefix = &outer[..enough];
            assert_eq!(
                inside(content, prefix, false),
                Inside::Content(Content::Tar)
            );
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn damage_and_large_windows() {
        let damaged = [&gzip(b"x")[..10], &[0xff; 100]].concat();
        let found = inside(Content::Gzip, &damaged, true);
        assert_eq!(found, Inside::Content(Content::Other));
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(30).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.write_all(&[0; 4096]).unwrap();
        let large = encoder.finish().unwrap();
        assert_eq!(inside(Content::Zstd, &large, true), Inside::Unknown);
    }
}
