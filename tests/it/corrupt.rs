//! Damaged inputs fail, and the error names what is damaged.

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on, right_image, right_layout,
};
use crate::common::checker::check_output;
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::{expect, fails};
use crate::common::fixture;
use crate::common::runner::Sandbox;

#[test]
fn files_that_are_not_image_archives_are_refused() {
    let noise: Vec<u8> = (0..4096u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let other = tar(&[Entry::file("readme", "text"), Entry::dir("dir/")]);
    fails("empty file", b"", "not-an-image", &["in.tar is empty"]);
    fails(
        "one byte",
        b"x",
        "not-an-image",
        &["in.tar is not a tar archive"],
    );
    fails(
        "noise",
        &noise,
        "not-an-image",
        &["in.tar is not a tar archive"],
    );
    fails(
        "json",
        b"{\"manifests\":[]}",
        "not-an-image",
        &["in.tar is a JSON document, not a tar archive"],
    );
    fails(
        "other tar",
        &other,
        "not-an-image",
        &["in.tar contains neither index.json nor manifest.json"],
    );
    fails("empty tar", &[0; 1024], "not-an-image", &["in.tar"]);
    fails("bzip2", b"BZh91AY&SY", "truncated-archive", &["bzip2"]);
    fails("xz", b"\xfd7zXZ\0\0\0", "truncated-archive", &["xz"]);
    fails("gzip", b"\x1f\x8b\x08garbage", "invalid-archive", &["gzip"]);
    fails(
        "zstd",
        b"\x28\xb5\x2f\xfdgarbage",
        "invalid-archive",
        &["zstd"],
    );
}

#[test]
fn a_truncated_archive_fails_unless_it_is_still_complete() {
    let bytes = right_layout().tar();
    let sandbox = Sandbox::new();
    sandbox.put("whole.tar", &bytes);
    sandbox.fix("whole.tar", "right.tar").exits(0);
    let right = sandbox.read("right.tar");
    let last_data = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut codes = Vec::new();
    let blocks = (0..bytes.len()).step_by(512);
    let cuts = blocks.flat_map(|block| [block, block + 1, block + 129, block + 511]);
    for cut in cuts {
        let sandbox = Sandbox::new();
        sandbox.put("cut.tar", &bytes[..cut]);
        let run = sandbox.fix("cut.tar", "out.tar");
        if run.code == 0 {
            assert!(
                sandbox.read("out.tar") == right,
                "cut at {cut}: another output"
            );
            let is_told = |found: &Value| found["rule"] == json!("no-end-marker");
            let findings = run.json()["findings"].as_array().unwrap().clone();
            let is_ended = cut >= last_data.next_multiple_of(512) + 512;
            assert_eq!(findings.iter().any(is_told), !is_ended, "cut at {cut}");
            continue;
        }
        // A partial block in the end-of-archive marker is damage, but missing blocks are not.
        assert!(
            cut < last_data || cut % 512 != 0,
            "cut at {cut}: nothing was lost: {run:#?}"
        );
        let code = run.json()["error"]["code"].as_str().unwrap().to_owned();
        expect(&format!("cut at {cut}"), &run, &code, &["cut.tar"]);
        assert_eq!(sandbox.names(), ["cut.tar"], "cut at {cut}");
        let block_end = cut.next_multiple_of(512);
        if cut > 512 && bytes[cut..block_end].iter().any(|&byte| byte != 0) {
            assert_eq!(code, "truncated-archive", "cut at {cut}");
        }
        codes.push(code);
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes, ["not-an-image", "truncated-archive"]);
}

#[test]
fn truncation_names_the_entry_and_the_bytes() {
    let layout = right_layout();
    let bytes = layout.tar();
    let config = layout.find(&["\"rootfs\""]);
    let place = bytes
        .windows(config.len())
        .position(|window| window == config.as_bytes());
    let data = place.unwrap() + 512;
    let len = layout.blobs[&config].len();
    let expected = format!("ends inside {config}: {len} bytes expected from byte {data}, 3 found");
    fails(
        "inside data",
        &bytes[..data + 3],
        "truncated-archive",
        &["in.tar", &expected],
    );
    let expected = format!(
        "ends inside the header at byte {}: 512 bytes expected, 100 found",
        data - 512
    );
    fails(
        "inside a header",
        &bytes[..data - 412],
        "truncated-archive",
        &["in.tar", &expected],
    );
}

/// One fixture of each shape.
const DAMAGED: [&str; 12] = [
    "buildkit-cache-list-ocifalse",
    "buildkit-cache-manifest-ocitrue",
    "buildkit-docker-names-zstd-ocifalse.tar",
    "buildkit-docker-uncompressed-ocifalse.tar",
    "buildkit-oci-attest-zstd-ocifalse.tar",
    "buildkit-oci-multi-attest-zstd-ocitrue.tar",
    "containerd17-export-multi.tar",
    "docker26c-save-multi.tar",
    "docker26g-save-names.tar",
    "podman-ocidir",
    "podman-oci.tar",
    "skopeo19-oci.tar",
];

/// Every blob, damaged in four ways.
#[test]
fn every_damaged_blob_is_named() {
    for fixture_name in DAMAGED {
        let contents = Contents::read(&fixture(fixture_name));
        let parts = contents.parts().concat();
        let is_cache = fixture_name.contains("cache");
        let is_single = contents.parts().len() == 1 && !is_cache;
        for digest in contents.digests() {
            let blob = blob_name(&digest);
            for (how, change) in DAMAGES {
                let mut damaged = contents.clone();
                change(damaged.files.get_mut(&blob).unwrap());
                let name = format!("{fixture_name}, {blob}, {how}");
                let run = fix(&damaged);
                let report = run.json();
                let code = report["error"]["code"]
                    .as_str()
                    .unwrap_or("none")
                    .to_owned();
                let is_right = match how {
                    "another byte" => code == "digest-mismatch",
                    _ => matches!(code.as_str(), "size-mismatch" | "digest-mismatch"),
                };
                assert!(is_right, "{name}: {code}");
                expect(&name, &run, &code, &[&digest[7..]]);
            }
            let mut without = contents.clone();
            without.files.remove(&blob);
            let name = format!("{fixture_name}, {blob}, gone");
            let run = fix(&without);
            let report = run.json();
            if is_single && parts.contains(&digest) && !contents.has("manifest.json") {
                expect(&name, &run, "missing-blob", &[&blob]);
            } else if run.code == 0 && contents.text_names(&digest) {
                let said = report["findings"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|finding| {
                        let message = finding["message"].as_str().unwrap();
                        finding["severity"] != "cosmetic" && message.contains(&digest)
                    });
                assert!(said, "{name}: {:#}", report["findings"]);
            }
        }
    }
}

type Damage = (&'static str, fn(&mut Vec<u8>));

const DAMAGES: [Damage; 3] = [
    ("another byte", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
    }),
    ("shorter", |bytes| bytes.truncate(bytes.len() - 1)),
    ("longer", |bytes| bytes.push(b'\n')),
];

fn fix(contents: &Contents) -> crate::common::runner::Run {
    let entries: Vec<Entry> = contents
        .files
        .iter()
        .map(|(name, bytes)| Entry::file(name, bytes))
        .collect();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", tar(&entries));
    let run = sandbox.fix("in.tar", "out.tar");
    let left: &[&str] = if run.code == 0 {
        &["in.tar", "out.tar"]
    } else {
        &["in.tar"]
    };
    assert_eq!(sandbox.names(), left);
    run
}

#[test]
fn an_image_without_its_only_manifest_is_refused() {
    let mut layout = Layout::of(&right_image(), "docker.io/library/app:v1");
    let manifest = layout.find(&["\"layers\":[{"]);
    layout.blobs.remove(&manifest);
    fails(
        "no manifest",
        &layout.tar(),
        "missing-blob",
        &["index.json, manifests[0]", &manifest],
    );
}

#[test]
fn an_image_without_its_config_or_a_layer_is_refused() {
    let layout = Layout::of(&right_image(), "docker.io/library/app:v1");
    let config = layout.find(&["\"rootfs\""]);
    let mut without = layout.clone();
    without.blobs.remove(&config);
    fails(
        "config",
        &without.tar(),
        "missing-blob",
        &["index.json, manifests[0], config", &config],
    );
    let mut without = layout.clone();
    let layer = without
        .blobs
        .keys()
        .find(|name| layout.blobs[*name][0] == 0x1f)
        .unwrap()
        .clone();
    without.blobs.remove(&layer);
    fails(
        "layer",
        &without.tar(),
        "missing-blob",
        &["manifests[0], layers[0]", &layer],
    );
}

#[test]
fn an_incomplete_image_of_several_is_a_finding() {
    let mut layout = Layout::new();
    let whole = layout.image(&right_image());
    let part = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "part")]).architecture("arm64"));
    let gone =
        layout.manifest(&Image::oci(vec![Layer::gzip(OCI_GZIP, "part")]))["layers"][0].clone();
    let gone = digest_of(&gone);
    layout.blobs.remove(&blob_name(&gone));
    let index = layout.index_of(
        OCI_INDEX,
        vec![on(part, "linux", "arm64"), on(whole, "linux", "amd64")],
    );
    layout.root(vec![named(index, "docker.io/library/app:v1")]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let report = sandbox.fix("in.tar", "out.tar").exits(0).json();
    let finding = &report["findings"][0];
    assert_eq!(finding["rule"], "missing-blob");
    assert_eq!(
        finding["location"],
        "index.json, manifests[0], manifests[0], layers[0]"
    );
    assert!(finding["message"].as_str().unwrap().contains(&gone));
    let facts = check_output(&sandbox.path("out.tar"));
    assert!(facts.missing.contains(&gone));
    assert_eq!(
        report["images"][0]["platform"], "linux/amd64",
        "the whole image is described"
    );
}
