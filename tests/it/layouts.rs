//! Layout directories as outputs: which files share their blocks with the input, and which never do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::builder::{Image, Layer, Layout, OCI_TAR};
use crate::common::reflinks::Reflinks;
use crate::common::runner::{Sandbox, run};
use crate::common::{fixture, fixtures, skipped, tree};

/// The names of the blobs of a layout directory.
fn blobs(root: &Path) -> Vec<String> {
    let found = fs::read_dir(root.join("blobs/sha256")).unwrap();
    let mut names: Vec<String> = found
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn linked_and_copied_files_have_the_same_contents() {
    let mut count = 0;
    for name in fixtures() {
        let input = fixture(&name);
        if !input.is_dir() || !input.join("index.json").exists() {
            continue;
        }
        count += 1;
        let sandbox = Sandbox::new();
        sandbox.fix(&input, "straight.tar").exits(0);
        for link in ["auto", "hard", "never"] {
            let output = format!("{link}/");
            sandbox
                .fix_with(&input, &output, &["--link", link])
                .exits(0);
            assert_eq!(
                tree(&sandbox.path(link)),
                tree(&sandbox.path("auto")),
                "{name} {link}"
            );
            // Converting via a directory gives the same archive.
            sandbox.fix(sandbox.path(link), "over.tar").exits(0);
            let is_same = sandbox.read("over.tar") == sandbox.read("straight.tar");
            assert!(is_same, "{name} {link}");
            fs::remove_file(sandbox.path("over.tar")).unwrap();
        }
    }
    assert!(count > 3, "{count}");
}

#[test]
fn only_hard_links_share_a_file() {
    let sandbox = Sandbox::new();
    sandbox.fix(fixture("podman-ocidir"), "in/").exits(0);
    for (link, is_shared) in [("auto", false), ("never", false), ("hard", true)] {
        let output = format!("{link}/");
        let run = sandbox.fix_with("in", &output, &["--link", link]).exits(0);
        assert_eq!(run.json()["status"], "unchanged");
        let names = blobs(&sandbox.path("in"));
        assert_eq!(names, blobs(&sandbox.path(link)));
        for name in names {
            let name = format!("blobs/sha256/{name}");
            let old = fs::metadata(sandbox.path("in").join(&name)).unwrap();
            let new = fs::metadata(sandbox.path(link).join(&name)).unwrap();
            assert_eq!(old.ino() == new.ino(), is_shared, "{link} {name}");
        }
        let index = fs::metadata(sandbox.path(link).join("index.json")).unwrap();
        assert_eq!(index.nlink(), 1, "documents at the root are new files");
    }
}

#[test]
fn a_damaged_linked_blob_is_detected() {
    let sandbox = Sandbox::new();
    sandbox.fix(fixture("podman-ocidir"), "in/").exits(0);
    let largest = blobs(&sandbox.path("in"))
        .into_iter()
        .map(|name| sandbox.path("in/blobs/sha256").join(name))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, &bytes).unwrap();
    for link in ["auto", "hard", "never"] {
        let run = sandbox.fix_with("in", "out/", &["--link", link]).exits(1);
        assert_eq!(run.json()["error"]["code"], "digest-mismatch", "{link}");
        assert_eq!(sandbox.names(), ["in"]);
        assert!(fs::read(&largest).unwrap() == bytes);
        assert_eq!(fs::metadata(&largest).unwrap().nlink(), 1);
    }
}

#[test]
fn what_cannot_be_linked_is_copied() {
    let sandbox = Sandbox::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        skipped("links between filesystems: there is no /dev/shm");
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(other.path()) == device(sandbox.root()) {
        skipped("links between filesystems: there is only one");
        return;
    }
    let output = other.path().join("out");
    let mut command = sandbox.command();
    command.arg("fix").arg(fixture("podman-ocidir"));
    run(command.args(["--link", "hard", "-o"]).arg(&output)).exits(0);
    for name in blobs(&output) {
        let found = fs::metadata(output.join("blobs/sha256").join(&name)).unwrap();
        assert_eq!(found.nlink(), 1);
    }
    // An archive has no files to link to.
    sandbox.fix(fixture("podman-oci.tar"), "in.tar").exits(0);
    let run = sandbox.fix_with("in.tar", "out/", &["--link", "hard"]);
    let run = run.exits(2);
    assert!(run.stderr.contains("--link has no effect"), "{run:#?}");
}

/// An image with one layer of random bytes.
fn large_layout(len: usize) -> Layout {
    let mut state = 1_u64;
    let random: Vec<u8> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(len as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "random", random.as_slice())
        .unwrap();
    let tar = tar.into_inner().unwrap();
    let layer = Layer::new(OCI_TAR, tar.clone(), &tar);
    Layout::of(&Image::oci(vec![layer]), "example.com/app:v1")
}

#[test]
fn blocks_are_shared_if_the_filesystem_supports_it() {
    const LEN: usize = 48 << 20;
    let Some(reflinks) = Reflinks::mount(512) else {
        return;
    };
    let root = reflinks.root();
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", large_layout(LEN).tar());
    let fix = |input: &Path, output: &str, more: &[&str]| {
        let mut command = sandbox.command();
        command.arg("fix").arg(input).args(["--layout", "-o"]);
        run(command.arg(root.join(output)).args(more)).exits(0);
        reflinks.used()
    };
    let one = fix(&path, "one", &[]);
    assert!(one > LEN as u64);
    for more in [&[][..], &["--verify", "documents"], &["--link", "auto"]] {
        let output = more.concat().replace('-', "") + "two";
        let used = fix(&root.join("one"), &output, more);
        assert!(used < one + (8 << 20), "{more:?}: {used} of {one}");
        assert_eq!(tree(&root.join(&output)), tree(&root.join("one")));
        fs::remove_dir_all(root.join(output)).unwrap();
    }
    let used = fix(&root.join("one"), "three", &["--link", "never"]);
    assert!(used > one + LEN as u64 / 2, "{used} of {one}");
    assert_eq!(tree(&root.join("three")), tree(&root.join("one")));
    // Shared blocks need no space.
    let mut count = 0;
    let refused = loop {
        let mut command = sandbox.command();
        command.arg("fix").arg(root.join("one")).arg("-o");
        command.arg(root.join(format!("copy{count}")));
        let run = run(command.args(["--link", "never", "--format", "json"]));
        if run.code != 0 {
            break run;
        }
        reflinks.used();
        count += 1;
        assert!(count < 20);
    };
    assert_eq!(refused.json()["error"]["code"], "no-space");
    fix(&root.join("one"), "last", &[]);
}
