use std::io::{self, Read, Write};

use super::*;
use crate::image::{Compression, Content};

fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24
    };
    (0..len)
        .map(|index| {
            if index % 7 < 4 {
                (index / 64) as u8
            } else {
                next() as u8
            }
        })
        .collect()
}

fn encode(compression: Compression, threads: usize, bytes: &[u8]) -> Vec<u8> {
    let options = EncoderOptions {
        threads,
        ..EncoderOptions::default()
    };
    let mut encoder = Encoder::new(compression, options, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decode(content: Content, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(content, bytes, Limits::default())?.read_to_end(&mut out)?;
    Ok(out)
}

#[test]
fn encoded_data_decodes_and_does_not_depend_on_threads() {
    let forms = [
        (Compression::Uncompressed, Content::Tar),
        (Compression::Gzip, Content::Gzip),
        (Compression::Zstd, Content::Zstd),
    ];
    let around = |len: usize| [len - 1, len, len + 1];
    let lens = [0, 1, (5 << 20) + 3].into_iter();
    for len in lens.chain(around(256 << 10)).chain(around(1 << 20)) {
        let bytes = sample(len);
        for (compression, content) in forms {
            let one = encode(compression, 1, &bytes);
            assert_eq!(one, encode(compression, 4, &bytes), "{compression:?} {len}");
            assert!(
                decode(content, &one).unwrap() == bytes,
                "{compression:?} {len}"
            );
        }
    }
}

#[test]
fn encoded_data_does_not_depend_on_write_sizes() {
    let bytes = sample(600_000);
    for compression in [Compression::Gzip, Compression::Zstd] {
        for len in [300, 256 << 10, (256 << 10) + 1, bytes.len()] {
            let whole = encode(compression, 1, &bytes[..len]);
            let mut encoder =
                Encoder::new(compression, EncoderOptions::default(), Vec::new()).unwrap();
            for piece in bytes[..len].chunks(1000) {
                encoder.write_all(piece).unwrap();
            }
            let in_pieces = encoder.finish().unwrap();
            assert!(whole == in_pieces, "{compression:?} {len}");
        }
    }
}

#[test]
fn gzip_headers_contain_neither_time_nor_name() {
    let out = encode(Compression::Gzip, 1, b"x");
    assert_eq!(out[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
}

#[test]
fn concatenated_members_and_frames_decode_as_one_stream() {
    for (compression, content) in [
        (Compression::Gzip, Content::Gzip),
        (Compression::Zstd, Content::Zstd),
    ] {
        let both = [
            encode(compression, 1, b"one "),
            encode(compression, 1, b"two"),
        ]
        .concat();
        assert_eq!(decode(content, &both).unwrap(), b"one two");
    }
}

#[test]
fn skippable_zstd_frames_are_skipped() {
    let mut bytes = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    bytes.extend(encode(Compression::Zstd, 1, b"after"));
    assert_eq!(decode(Content::Zstd, &bytes).unwrap(), b"after");
}

#[test]
fn only_zeros_may_follow_gzip_data() {
    let member = encode(Compression::Gzip, 1, b"x");
    let zeros = [member.clone(), vec![0; 5000]].concat();
    assert_eq!(decode(Content::Gzip, &zeros).unwrap(), b"x");
    for tail in [&b"garbage"[..], &[0, 0, 1], &[0, 0x1f, 0x8b]] {
        let other = [&member, tail].concat();
        let error = decode(Content::Gzip, &other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{tail:?}");
    }
}

#[test]
fn truncated_data_is_an_error() {
    let bytes = sample(300_000);
    for (compression, content) in [
        (Compression::Gzip, Content::Gzip),
        (Compression::Zstd, Content::Zstd),
    ] {
        let whole = encode(compression, 1, &bytes);
        for len in [5, whole.len() / 2, whole.len() - 1] {
            assert!(
                decode(content, &whole[..len]).is_err(),
                "{compression:?} {len}"
            );
        }
    }
}

#[test]
fn concatenated_bzip2_and_xz_streams_are_decoded() {
    let bzip2 = |text: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let xz = |text: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let both = [bzip2(b"one "), bzip2(b"two")].concat();
    assert_eq!(decode(Content::Bzip2, &both).unwrap(), b"one two");
    let both = [xz(b"one "), xz(b"two")].concat();
    assert_eq!(decode(Content::Xz, &both).unwrap(), b"one two");
    assert!(decode(Content::Xz, &both[..both.len() - 4]).is_err());
}

#[test]
fn a_window_larger_than_the_limit_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.write_all(&sample(1 << 16)).unwrap();
    let bytes = encoder.finish().unwrap();
    assert!(decode(Content::Zstd, &bytes).is_err());
}
