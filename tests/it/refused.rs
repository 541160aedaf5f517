//! Unsupported content and unsafe requests are refused before anything is written.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    Image, Layer, Layout, OCI_MANIFEST, OCI_TAR, digest_of, layer_tar, named, right_image,
    right_layout, with_manifest,
};
use crate::common::failure::{expect, fails};
use crate::common::runner::Sandbox;
use crate::common::{sha512, tree};

const NAME: &str = "docker.io/library/app:v1";
const MAX_DOCUMENT_LEN: usize = 4 * 1024 * 1024;

#[test]
fn layers_that_oci_has_no_type_for_are_refused() {
    let heads = [
        ("bzip2", &b"BZh91AY&SY rest"[..]),
        ("xz", b"\xfd7zXZ\0\0\x04 rest"),
    ];
    for (name, bytes) in heads {
        let layer = Layer::new(OCI_TAR, bytes.to_vec(), &layer_tar("x"));
        let layout = Layout::of(&Image::oci(vec![layer]), NAME);
        let expected = format!("index.json, manifests[0], layers[0] is compressed with {name}");
        fails(name, &layout.tar(), "unsupported-compression", &[&expected]);
    }
}

#[test]
fn content_without_an_oci_form_is_refused() {
    let docker = "application/vnd.docker.distribution.manifest";
    let old =
        json!({"schemaVersion": 1, "name": "app", "tag": "v1", "fsLayers": [], "history": []});
    for media_type in [
        format!("{docker}.v1+json"),
        format!("{docker}.v1+prettyjws"),
        OCI_MANIFEST.to_owned(),
    ] {
        let mut layout = Layout::new();
        let descriptor = layout.document(&media_type, &old);
        layout.root(vec![named(descriptor, NAME)]);
        let parts = ["index.json, manifests[0] is a Docker schema 1 manifest"];
        fails(&media_type, &layout.tar(), "schema1", &parts);
    }
    let plugin = with_manifest(|manifest| {
        manifest["config"]["mediaType"] = json!("application/vnd.docker.plugin.v1+json");
    });
    let parts = ["index.json, manifests[0] is a Docker plugin"];
    fails("plugin", &plugin.tar(), "plugin", &parts);
}

#[test]
fn an_absent_layer_with_another_digest_algorithm_is_named() {
    let sha = format!("sha512:{}", "0".repeat(128));
    for digest in ["blake3:00", "sha384:00", "md5:00", "sha256+b64u:LCa0a2j"] {
        let layout = with_manifest(|manifest| manifest["layers"][0]["digest"] = json!(digest));
        let name = format!("blobs/{}", digest.replace(':', "/"));
        let parts = ["index.json, manifests[0], layers[0]", &name];
        fails(digest, &layout.tar(), "missing-blob", &parts);
    }
    let layout = with_manifest(|manifest| manifest["layers"][0]["digest"] = json!(sha));
    fails(
        "absent sha512",
        &layout.tar(),
        "missing-blob",
        &["layers[0]", &sha.replace(':', "/")],
    );
}

#[test]
fn sha512_is_supported_and_verified() {
    let image = right_image();
    let bytes = image.layers[0].bytes.clone();
    let hex = sha512(&bytes);
    let layout = |bytes: &[u8]| {
        let mut layout = with_manifest(|manifest| {
            manifest["layers"][0]["digest"] = json!(format!("sha512:{hex}"));
        });
        let name = format!("blobs/sha512/{hex}");
        layout.more.push(Entry::dir("blobs/sha512/"));
        layout.more.push(Entry::pax(&[("path", &name)]));
        layout.more.push(Entry::file(&name[..100], bytes));
        layout.tar()
    };
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout(&bytes));
    sandbox.fix("in.tar", "out.tar").exits(0);
    crate::common::checker::check_output(&sandbox.path("out.tar"));
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged");
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    fails("damaged", &layout(&damaged), "digest-mismatch", &[&hex]);
}

#[test]
fn sparse_entries_are_refused() {
    let right = right_layout();
    let blob = right.find(&["\"rootfs\""]);
    let change = |edit: fn(&mut Vec<Entry>, usize)| {
        let mut entries = right.entries();
        let at = entries
            .iter()
            .position(|entry| entry.name == blob.as_bytes())
            .unwrap();
        edit(&mut entries, at);
        tar(&entries)
    };
    let pax = change(|entries, at| {
        entries.insert(
            at,
            Entry::pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]),
        )
    });
    fails(
        "PAX sparse",
        &pax,
        "sparse-entry",
        &[&blob, "in.tar is stored as a sparse file"],
    );
    let old = change(|entries, at| entries[at].flag = b'S');
    fails("GNU sparse", &old, "sparse-entry", &[&blob]);
}

#[test]
fn documents_over_the_size_limit_are_refused() {
    let pad = |len: usize, text: &str| format!("{text}{}", " ".repeat(len - text.len()));
    let len = MAX_DOCUMENT_LEN + 1;
    for file in ["index.json", "manifest.json", "oci-layout"] {
        let mut layout = right_layout();
        let place = match file {
            "index.json" => &mut layout.index,
            "manifest.json" => &mut layout.docker_manifest,
            _ => &mut layout.oci_layout,
        };
        let text = String::from_utf8(place.take().unwrap()).unwrap();
        *place = Some(pad(len, &text).into_bytes());
        let parts = [file, "in.tar has 4194305 bytes, expected at most 4194304"];
        fails(file, &layout.tar(), "document-too-large", &parts);
    }
    let padded = |len: usize| {
        let mut layout = Layout::new();
        let text = layout.manifest(&right_image()).to_string();
        let descriptor = layout.blob(OCI_MANIFEST, pad(len, &text));
        layout.root(vec![named(descriptor, NAME)]);
        layout.tar()
    };
    let parts =
        ["index.json, manifests[0] is a document of 4194305 bytes, expected at most 4194304"];
    fails("manifest", &padded(len), "document-too-large", &parts);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", padded(MAX_DOCUMENT_LEN));
    sandbox.fix("in.tar", "out.tar").exits(0);
    // A config is a document, too.
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&right_image());
    let config = pad(len, &right_image().config().to_string());
    manifest["config"] = layout.blob(crate::common::builder::OCI_CONFIG, config);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![named(descriptor, NAME)]);
    fails(
        "config",
        &layout.tar(),
        "document-too-large",
        &["manifests[0], config"],
    );
}

#[test]
fn outputs_that_would_destroy_something_are_refused() {
    let sandbox = Sandbox::new();
    let bytes = right_layout().tar();
    sandbox.put("in.tar", &bytes);
    sandbox.put("old.tar", "old");
    right_layout().write_to(&sandbox.path("layout"));
    sandbox.put("layout/in.tar", &bytes);
    fs::hard_link(sandbox.path("in.tar"), sandbox.path("hard.tar")).unwrap();
    symlink("in.tar", sandbox.path("soft.tar")).unwrap();
    symlink("gone.tar", sandbox.path("dangling.tar")).unwrap();
    symlink("layout", sandbox.path("way-in")).unwrap();
    fs::create_dir_all(sandbox.path("full/in")).unwrap();
    sandbox.put("full/in/file", "");
    let before = tree(sandbox.root());
    #[rustfmt::skip]
    let cases: [(&str, &str, &[&str], &str, &str); 20] = [
        ("in.tar", "old.tar", &[], "output-exists", "the output old.tar already exists"),
        ("in.tar", "old.tar/", &["--force"], "output-exists", "old.tar exists and is not a directory"),
        ("in.tar", "in.tar", &[], "output-is-input", "the output in.tar is the input"),
        ("in.tar", "in.tar", &["--force"], "output-is-input", "in.tar"),
        ("in.tar", "./in.tar", &["--force"], "output-is-input", "in.tar"),
        ("in.tar", "soft.tar", &["--force"], "output-is-input", "soft.tar"),
        ("in.tar", "hard.tar", &["--force"], "output-is-input", "hard.tar"),
        ("soft.tar", "in.tar", &["--force"], "output-is-input", "in.tar"),
        ("in.tar", "dangling.tar", &["--force"], "output-exists", "dangling.tar"),
        ("in.tar", "none/out.tar", &[], "parent-missing", "the parent directory none of the output"),
        ("in.tar", "in.tar/out.tar", &[], "parent-missing", "in.tar"),
        ("in.tar", "full", &["--layout", "--force"], "output-not-empty", "the output directory full/in is not empty"),
        ("in.tar", "full", &["--layout"], "output-not-empty", "full/in"),
        ("in.tar", "layout/", &[], "output-exists", "the output layout already exists"),
        ("in.tar", "layout", &["--force"], "output-exists", "layout exists and is not a regular file"),
        ("layout/in.tar", "layout/", &["--force"], "output-is-input", "the output layout contains the input layout/in.tar"),
        ("layout", "layout", &["--force"], "output-is-input", "layout"),
        ("layout", "layout/blobs/out.tar", &[], "output-in-input", "layout/blobs/out.tar is inside the input layout"),
        ("layout", "way-in/out.tar", &[], "output-in-input", "way-in/out.tar"),
        ("layout", "layout/new/", &[], "output-in-input", "layout/new"),
    ];
    for (input, output, options, code, part) in cases {
        let run = sandbox.fix_with(input, output, options);
        expect(
            &format!("{input} to {output} {options:?}"),
            &run,
            code,
            &[part],
        );
        assert!(
            tree(sandbox.root()) == before,
            "{input} to {output}: something changed"
        );
    }
    let run = sandbox.fix_with("in.tar", "/dev/null", &["--force"]);
    expect(
        "device",
        &run,
        "output-exists",
        &["/dev/null exists and is not a regular file"],
    );
}

#[test]
fn force_replaces_a_file_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    sandbox.put("old.tar", "old");
    sandbox.fix_with("in.tar", "old.tar", &["--force"]).exits(0);
    crate::common::checker::check_output(&sandbox.path("old.tar"));
    assert_eq!(sandbox.names(), ["in.tar", "old.tar"]);
    // A failing run leaves the old file unchanged.
    let before = sandbox.read("old.tar");
    let mut damaged = right_layout();
    let layer = digest_of(&damaged.manifest(&right_image())["layers"][0]).replacen(':', "/", 1);
    damaged.blobs.get_mut(&format!("blobs/{layer}")).unwrap()[12] ^= 1;
    sandbox.put("damaged.tar", damaged.tar());
    let run = sandbox.fix_with("damaged.tar", "old.tar", &["--force"]);
    expect("damaged", &run, "digest-mismatch", &[&layer]);
    assert!(sandbox.read("old.tar") == before);
    assert_eq!(sandbox.names(), ["damaged.tar", "in.tar", "old.tar"]);
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let sandbox = Sandbox::new();
    let run = sandbox.fix("none.tar", "out.tar");
    expect(
        "absent",
        &run,
        "io",
        &["cannot open none.tar", "No such file"],
    );
    let run = sandbox.fix("/dev/zero", "out.tar");
    expect(
        "device",
        &run,
        "not-an-image",
        &["/dev/zero is neither a file nor a directory"],
    );
    // Opening a FIFO without a writer would block forever.
    let made = std::process::Command::new("mkfifo")
        .arg(sandbox.path("pipe"))
        .status();
    assert!(made.unwrap().success());
    let run = sandbox.fix("pipe", "out.tar");
    expect(
        "pipe",
        &run,
        "not-an-image",
        &["pipe is neither a file nor a directory"],
    );
    let hint = run.json()["error"]["hint"].clone();
    assert!(hint.as_str().unwrap().contains("standard input"), "{hint}");
    fs::remove_file(sandbox.path("pipe")).unwrap();
    assert!(sandbox.names().is_empty());
}

#[test]
fn usage_errors_have_no_report() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    #[rustfmt::skip]
    let cases: [&[&str]; 9] = [
        &[],
        &["unknown"],
        &["fix"],
        &["fix", "in.tar"],
        &["fix", "in.tar", "-o"],
        &["fix", "in.tar", "-o", "out.tar", "--format", "xml"],
        &["fix", "in.tar", "-o", "out.tar", "--docker-platform", "amd64"],
        &["fix", "in.tar", "-o", "out.tar", "--jobs", "0"],
        &["fix", "in.tar", "-o", "out.tar", "--attestations", "maybe"],
    ];
    for line in cases {
        let run = sandbox.ocify(line).exits(2);
        assert_eq!(run.stdout, "", "{line:?}");
        let is_told = ["Usage: ocify", "try '--help'"]
            .iter()
            .any(|part| run.stderr.contains(part));
        assert!(is_told, "{line:?}: {run:#?}");
        assert_eq!(sandbox.names(), ["in.tar"], "{line:?}");
    }
}
