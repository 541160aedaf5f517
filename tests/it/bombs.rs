//! Small inputs that decompress to a lot of data or need a lot of memory: layers to be recompressed, and
//! compressed archives.

use std::io::Write;

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_ZSTD, gzip, layer_tar, zstd,
};
use crate::common::checker::check_output;
use crate::common::failure::{expect, fails_with};
use crate::common::runner::Sandbox;

const NAME: &str = "docker.io/library/app:v1";
const PLACE: &str = "manifests[0], layers[0]";

/// A zstd frame as `zstd --long=LOG` begins it: its decoder has to keep 2^LOG bytes.
fn long_frame(log: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    let mut chunks = content.chunks(128 << 10).peekable();
    while let Some(chunk) = chunks.next() {
        // A block that is not compressed: its length, and whether it is the last.
        let header = (chunk.len() as u32) << 3 | u32::from(chunks.peek().is_none());
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(chunk);
    }
    frame
}

/// Xz with a dictionary of 2^log bytes.
fn xz(log: u32, content: &[u8]) -> Vec<u8> {
    let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    options.dict_size(1 << log);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let check = liblzma::stream::Check::Crc32;
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn layer(media_type: &str, bytes: Vec<u8>, plain: &[u8]) -> Vec<u8> {
    Layout::of(
        &Image::oci(vec![Layer::new(media_type, bytes, plain)]),
        NAME,
    )
    .tar()
}

#[track_caller]
fn succeeds(input: &[u8], options: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", input);
    sandbox.fix_with("in.tar", "out.tar", options).exits(0);
    check_output(&sandbox.path("out.tar"));
}

#[test]
fn highly_compressed_layers_are_refused() {
    // Within 64 MiB everything is allowed.
    let small = tar(&[Entry::file("zeros", vec![0; 30 << 20])]);
    let large = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    let ratio = "compression-ratio";
    for to in ["gzip", "uncompressed"] {
        let options = ["--compression", to];
        succeeds(&layer(OCI_ZSTD, zstd(&small), &small), &options);
        let bomb = layer(OCI_ZSTD, zstd(&large), &large);
        fails_with(
            to,
            &bomb,
            &options,
            ratio,
            &[PLACE, "to more than 67108864"],
        );
        succeeds(&bomb, &["--compression", to, "--max-ratio", "100000"]);
    }
    // Gzip cannot do it under the default.
    let zeros = layer(OCI_GZIP, gzip(&large), &large);
    succeeds(&zeros, &["--compression", "zstd"]);
    let options = ["--compression", "zstd", "--max-ratio", "100"];
    fails_with("gzip", &zeros, &options, ratio, &[PLACE]);
    // A layer that is not recompressed is not decompressed.
    succeeds(&layer(OCI_ZSTD, zstd(&large), &large), &[]);
}

#[test]
fn nested_compression_is_not_expanded() {
    let inner = zstd(&vec![0; 200 << 20]);
    let outer = tar(&[Entry::file("inner", inner)]);
    // The files in a layer are not examined.
    succeeds(
        &layer(OCI_ZSTD, zstd(&outer), &outer),
        &["--compression", "gzip"],
    );
}

#[test]
fn highly_compressed_archives_are_refused() {
    let large = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", zstd(&large));
    let run = sandbox.fix("in.tar", "out.tar");
    expect("zstd", &run, "compression-ratio", &["1100 times as many"]);
    assert_eq!(sandbox.names(), ["in.tar"]);
    // With a higher limit it is decompressed, and is not an image.
    let run = sandbox.fix_with("in.tar", "out.tar", &["--max-ratio", "100000"]);
    expect("zstd", &run, "not-an-image", &[]);
}

#[test]
fn large_windows_of_layers_are_refused() {
    let plain = layer_tar("x");
    let to_gzip = ["--compression", "gzip"];
    succeeds(&layer(OCI_ZSTD, long_frame(27, &plain), &plain), &to_gzip);
    for (name, bytes, enough) in [
        ("--long=31", long_frame(31, &plain), "2048"),
        ("--long=28", long_frame(28, &plain), "256"),
        (
            "the second of two frames",
            [long_frame(20, &plain[..512]), long_frame(28, &plain[512..])].concat(),
            "256",
        ),
        ("a dictionary of 256 MiB", xz(28, &plain), "256"),
    ] {
        let media_type = if bytes[0] == 0xfd {
            DOCKER_GZIP
        } else {
            OCI_ZSTD
        };
        let input = layer(media_type, bytes, &plain);
        let parts = [PLACE, "more than 134217728 bytes"];
        fails_with(name, &input, &to_gzip, "window-too-large", &parts);
        let options = ["--compression", "gzip", "--max-window", enough];
        succeeds(&input, &options);
    }
    let small = layer(OCI_ZSTD, long_frame(21, &plain), &plain);
    let options = ["--compression", "gzip", "--max-window", "1"];
    fails_with(
        "less than the default",
        &small,
        &options,
        "window-too-large",
        &["1048576"],
    );
}

#[test]
fn large_windows_of_archives_are_refused() {
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]);
    let archive = Layout::of(&image, NAME).tar();
    for (name, bytes, enough) in [
        ("zstd", long_frame(31, &archive), "2048"),
        ("xz", xz(28, &archive), "256"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", bytes);
        let run = sandbox.fix("in.tar", "out.tar");
        expect(
            name,
            &run,
            "window-too-large",
            &["in.tar requires a window"],
        );
        assert_eq!(sandbox.names(), ["in.tar"], "{name}");
        let options = ["--max-window", enough];
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
        check_output(&sandbox.path("out.tar"));
    }
}

#[test]
fn window_limits_have_bounds() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", b"");
    for wrong in ["0", "4097", "x"] {
        sandbox
            .ocify(&["fix", "in.tar", "-o", "out.tar", "--max-window", wrong])
            .exits(2);
    }
}
