//! `--verify documents` to a new archive: a clone on filesystems that support reflinks, a copy elsewhere, and always the same bytes.
//!
//! The filesystems are sparse images of a few hundred MiB on loop devices. They are mounted in a separate mount namespace, so that nothing
//! stays mounted however a test ends. This needs root, `mkfs.btrfs` and `mkfs.xfs`. Without them the tests report that and pass, unless
//! `OCIFY_REQUIRE_ENGINES=1`.

use std::env;
use std::fs;
use std::io::Write;
use std::process::Command;

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::checker::check_kept;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::skip;

/// The space that an archive of a large layer may need on the filesystem of the original.
const MOST: u64 = 1 << 20;

/// Creates, mounts and uses a filesystem. The space that the output took is printed last.
const SCRIPT: &str = r#"
fs=$1 mkfs=$2 ocify=$3
truncate --size=400M image
"$mkfs" -q image >&2
mkdir mounted
mount -t "$fs" -o loop image mounted
cp in.tar mounted/in.tar
sync --file-system mounted
free() { stat --file-system --format='%f * %S' mounted | { read -r a _ b; echo $((a * b)); }; }
before=$(free)
"$ocify" fix mounted/in.tar -o mounted/out.tar --verify documents >&2
sync --file-system mounted
after=$(free)
cmp mounted/out.tar expected.tar >&2
# From one filesystem to another there is no clone.
"$ocify" fix mounted/in.tar -o copied.tar --verify documents >&2
cmp copied.tar expected.tar >&2
"$ocify" fix --in-place mounted/in.tar >&2
cmp mounted/in.tar expected.tar >&2
echo $((before - after))
"#;

/// An archive with a layer of 32 MiB that no filesystem can compress.
fn archive() -> Vec<u8> {
    let mut random = Random(1);
    let plain: Vec<u8> = (0..32 << 20).map(|_| random.byte()).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    let layer = Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain);
    Layout::of(&Image::docker(vec![layer]), "docker.io/library/app:v1").tar()
}

#[test]
fn archives_are_cloned_on_btrfs() {
    clones("btrfs", "mkfs.btrfs");
}

#[test]
fn archives_are_cloned_on_xfs() {
    clones("xfs", "mkfs.xfs");
}

fn clones(name: &str, mkfs: &str) {
    if let Some(missing) = missing(mkfs) {
        let why = format!("tests of clones on {name} need {missing}");
        return skip(&why, "OCIFY_REQUIRE_ENGINES");
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", archive());
    sandbox
        .fix_with("in.tar", "expected.tar", &["--verify", "documents"])
        .exits(0);
    check_kept(&sandbox.path("expected.tar"));
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            SCRIPT,
            "sh",
        ])
        .args([name, mkfs, env!("CARGO_BIN_EXE_ocify")])
        .current_dir(sandbox.root())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{name}: {}\n{stdout}{stderr}",
        output.status
    );
    // Other processes may free space at the same time.
    let used: i64 = stdout.trim().parse().unwrap();
    assert!(used < MOST as i64, "{name}: the clone took {used} bytes");
}

/// The requirement that is missing, if any.
fn missing(mkfs: &str) -> Option<String> {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        return Some("root".to_owned());
    }
    if !fs::exists("/dev/loop-control").unwrap_or_default() {
        return Some("/dev/loop-control".to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join(mkfs).is_file());
    (!is_there).then(|| mkfs.to_owned())
}
