//! Small inputs that decompress to a lot of data or need a lot of memory: layers to be recompressed, and
//! compressed archives.

use std::io::Write;

use serde_json::Value;

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_ZSTD, gzip, layer_tar, zstd,
};
use crate::common::checker::check_output;
use crate::common::failure::{expect, fails_with};
use crate::common::piped::stream;
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
    expect(
        "zstd",
        &run,
        "compression-ratio",
        &["to more than 67108864"],
    );
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

/// Checks that a run failed with the limit on sizes, and that its hint names the option.
#[track_caller]
fn is_too_large(name: &str, report: &Value, part: &str) {
    let error = &report["error"];
    assert_eq!(error["code"], "size-limit", "{name}: {error:#}");
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    assert!(text("message").contains(part), "{name}: {error:#}");
    assert!(text("hint").contains("--max-size"), "{name}: {error:#}");
}

#[test]
fn large_layers_are_refused_whatever_the_ratio() {
    let small = tar(&[Entry::file("zeros", vec![0; 30 << 20])]);
    for (name, layer_bytes, media_type) in [
        ("zstd", zstd(&small), OCI_ZSTD),
        ("gzip", gzip(&small), OCI_GZIP),
    ] {
        let input = layer(media_type, layer_bytes, &small);
        for options in [
            &["--compression", "uncompressed"][..],
            &["--verify", "full"],
        ] {
            let with = |more: &[&'static str]| [options, more].concat();
            let parts = [PLACE, "to more than 16777216"];
            let less = with(&["--max-size", "16MiB", "--max-ratio", "1000000"]);
            fails_with(name, &input, &less, "size-limit", &parts);
            succeeds(&input, &with(&["--max-size", "32M"]));
        }
        // It is copied, and never decompressed.
        succeeds(&input, &["--max-size", "1"]);
    }
}

#[test]
fn the_lower_limit_is_the_one_that_is_named() {
    let large = tar(&[Entry::file("zeros", vec![0; 80 << 20])]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layer(OCI_ZSTD, zstd(&large), &large));
    for (size, ratio, code) in [
        ("70MiB", "2", "compression-ratio"),
        ("64MiB", "2", "compression-ratio"),
        ("63MiB", "2", "size-limit"),
        ("79MiB", "1000000", "size-limit"),
    ] {
        let limits = ["--max-size", size, "--max-ratio", ratio];
        let options = [&["--verify", "full"][..], &limits].concat();
        let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(1);
        assert_eq!(run.json()["error"]["code"], code, "{size} {ratio}");
    }
}

#[test]
fn large_archives_are_refused_whatever_the_ratio() {
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]);
    let archive = Layout::of(&image, NAME).tar();
    let (size, less) = (archive.len().to_string(), (archive.len() - 1).to_string());
    let sandbox = Sandbox::new();
    sandbox.put("plain.tar", &archive);
    for (name, bytes) in [
        ("gzip", gzip(&archive)),
        ("zstd", zstd(&archive)),
        ("xz", xz(20, &archive)),
    ] {
        sandbox.put("in.tar", &bytes);
        let options = ["--max-size", &less];
        let run = sandbox.fix_with("in.tar", "out.tar", &options).exits(1);
        is_too_large(name, &run.json(), "in.tar decompresses from");
        is_too_large(name, &stream(&bytes, &options).json(), "decompresses from");
        assert_eq!(sandbox.names(), ["in.tar", "plain.tar"], "{name}");
        let options = ["--force", "--max-size", &size];
        sandbox.fix_with("in.tar", "out.tar", &options).exits(0);
        check_output(&sandbox.path("out.tar"));
        std::fs::remove_file(sandbox.path("out.tar")).unwrap();
        stream(&bytes, &options[1..]).exits(0);
    }
    // What is not compressed becomes nothing else.
    let options = ["--max-size", "1"];
    sandbox.fix_with("plain.tar", "out.tar", &options).exits(0);
    // It is not kept if it passes, and counts if it does not.
    stream(&archive, &options).exits(0);
    let kept = ["--max-size", &less, "--attestations", "drop"];
    is_too_large(
        "kept",
        &stream(&archive, &kept).json(),
        "has to be kept in a temporary file",
    );
    stream(&archive, &["--max-size", &size, "--attestations", "drop"]).exits(0);
}

#[test]
fn large_files_beside_the_blobs_of_a_stream_are_refused() {
    let image = Image::oci(vec![Layer::gzip(OCI_GZIP, "x")]);
    let mut layout = Layout::of(&image, NAME);
    layout.more.push(Entry::file("extra", vec![b'x'; 9 << 20]));
    let piped = stream(&layout.tar(), &["--max-size", "9M"]);
    piped.exits(0);
    let piped = stream(&layout.tar(), &["--max-size", "8M"]);
    is_too_large("extra", &piped.json(), "has to be kept in a temporary file");
}

#[test]
fn size_limits_are_numbers_with_units() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", b"");
    for wrong in ["0", "-1", "1.5G", "MiB", "1PiB", "x"] {
        let option = format!("--max-size={wrong}");
        let run = sandbox.ocify(&["fix", "in.tar", "-o", "out.tar", &option]);
        run.exits(2);
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
