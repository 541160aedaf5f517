//! A filesystem with reflinks, in an image file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::skip;

/// A mounted btrfs, unmounted when this value is dropped.
pub(crate) struct Reflinks {
    dir: TempDir,
}

impl Reflinks {
    /// Mounts a filesystem of this many MiB. If that is not possible, reports a skipped test and returns `None`.
    pub(crate) fn mount(mib: u64) -> Option<Reflinks> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let reflinks = Reflinks { dir };
        let is_made = run("mkfs.btrfs", &["-q".as_ref(), &image]);
        let is_mounted = is_made && {
            let root = reflinks.root();
            run("mount", &["-o".as_ref(), "loop".as_ref(), &image, &root])
        };
        if !is_mounted {
            let needs = "reflinks: needs root, mkfs.btrfs and loop devices";
            skip(needs, "OCIFY_REQUIRE_REFLINKS");
            return None;
        }
        Some(reflinks)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Syncs the filesystem and returns the bytes in use.
    pub(crate) fn used(&self) -> u64 {
        assert!(run("sync", &["-f".as_ref(), &self.root()]));
        let output = Command::new("df")
            .args(["--output=used", "-B1"])
            .arg(self.root())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Reflinks {
    fn drop(&mut self) {
        // A child that another test starts at this moment may have a file of it open.
        run("umount", &["--lazy".as_ref(), &self.root()]);
    }
}

fn run(program: &str, args: &[&Path]) -> bool {
    let mut command = Command::new(program);
    let status = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
