//! A filesystem with reflinks, in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::skip;

/// A mounted btrfs; it goes with the value.
pub(crate) struct Reflinks {
    dir: TempDir,
}

impl Reflinks {
    /// Mounts one of that many MiB, or says why that cannot be done.
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

    /// How many bytes are in use, once all are on the disk.
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
