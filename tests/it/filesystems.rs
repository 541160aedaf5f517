//! Every kind of output on filesystems of several kinds is the same: what they share, link and sync differs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::batch::put_fixture;
use crate::common::runner::{Sandbox, run};
use crate::common::{skipped, tree};

/// How each is made, with its image file as the last argument, unless it needs none.
const KINDS: [(&str, &[&str]); 4] = [
    ("tmpfs", &[]),
    ("overlay", &[]),
    ("ext4", &["mkfs.ext4", "-q"]),
    ("xfs", &["mkfs.xfs", "-q"]),
];

/// A mounted filesystem, unmounted when this value is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that another test starts at this moment may have a file of it open.
        ran(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn ran(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Mounts a new filesystem in a sandbox; `None` if that is not possible here.
fn mounted(sandbox: &Sandbox, kind: &str, make: &[&str]) -> Option<Mounted> {
    let (image, root) = (sandbox.path("image"), sandbox.path("root"));
    fs::create_dir(&root).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", kind]);
    match make.split_first() {
        None if kind == "overlay" => {
            let layers = ["lower", "upper", "work"].map(|name| sandbox.path(name));
            for layer in &layers {
                fs::create_dir(layer).unwrap();
            }
            let [lower, upper, work] = layers.map(|layer| layer.display().to_string());
            let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
            mount.args(["-o", &options, kind])
        }
        None => mount.arg(kind),
        Some((program, args)) => {
            File::create(&image).unwrap().set_len(320 << 20).unwrap();
            if !ran(Command::new(program).args(args).arg(&image)) {
                return None;
            }
            mount.args(["-o", "loop"]).arg(&image)
        }
    };
    ran(mount.arg(&root)).then_some(Mounted(root))
}

/// What is left after every kind of output in a directory.
fn outputs(sandbox: &Sandbox, root: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let at = |name: &str| format!("{root}/{name}");
    put_fixture(sandbox, &at("in.tar"), "buildkit-docker-zstd-ocifalse.tar");
    put_fixture(sandbox, &at("in/a.tar"), "docker20-save.tar");
    put_fixture(
        sandbox,
        &at("in/deep/b.tar"),
        "buildkit-oci-gzip-ocifalse.tar",
    );
    let lines: [&[&str]; 7] = [
        &["in.tar", "-o", "out.tar", "--sync"],
        &["in.tar", "-o", "out.tar", "--force"],
        &["in.tar", "--layout", "-o", "layout"],
        &["in.tar", "--layout", "-o", "layout", "--force"],
        &["layout", "-o", "shared", "--link", "hard"],
        &["in.tar", "--in-place"],
        &["in", "-o", "batch", "--digest-map", "map"],
    ];
    for line in lines {
        let mut command = sandbox.command();
        command
            .current_dir(sandbox.path(root))
            .arg("fix")
            .args(line);
        run(&mut command).exits(0);
    }
    let mut found = tree(&sandbox.path(root));
    found.retain(|(path, _)| {
        !path.starts_with("lost+found") && path != Path::new("batch/.ocify-state")
    });
    found
}

#[test]
fn outputs_are_the_same_on_every_filesystem() {
    let here = Sandbox::new();
    let expected = outputs(&here, "root");
    for (kind, make) in KINDS {
        let sandbox = Sandbox::new();
        let Some(_mounted) = mounted(&sandbox, kind, make) else {
            skipped(&format!(
                "outputs on {kind}: needs root, mkfs and loop devices"
            ));
            continue;
        };
        let found = outputs(&sandbox, "root");
        let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            files.iter().map(|(path, _)| path.clone()).collect()
        };
        assert_eq!(names(&found), names(&expected), "{kind}");
        assert!(found == expected, "{kind}");
    }
}
