//! The directory that the examples run in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::contents::Contents;
use crate::common::runner::{run, write_program};
use crate::common::{fixture, repository};

const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");

/// What stands in for docker: it writes an archive to standard output if a build is asked to, and keeps what it loads.
const DOCKER: &str = "#!/bin/sh
case \"$*\" in
  *dest=-*) exec cat app.tar ;;
  load) exec cat >loaded.tar ;;
  'load -i '*) exec cp \"$3\" loaded.tar ;;
esac
";

/// A C compiler that accepts everything. It reads its input to the end, so that the writer is not killed.
pub(super) const CC: &str = "#!/bin/sh\nwhile read -r _; do :; done\n";

/// A new enough cargo that only says with what it ran.
pub(super) const CARGO_SAYS: &str = "#!/bin/sh
[ \"$1\" = --version ] && echo 'cargo 1.91.0 (ea2d97820 2025-10-10)' && exit
echo \"cargo ran: $*\"
";

/// `cargo run` runs the command; the example has its own build in `cargo test`.
const CARGO: &str = "#!/bin/sh
[ \"$1\" = --version ] && echo 'cargo 1.91.0 (ea2d97820 2025-10-10)' && exit
[ \"$1\" = run ] || exit 0
while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done
[ $# -gt 0 ] || exit 0
shift
exec ocify \"$@\"
";

/// A folder with everything that the examples name.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["bin", "target", "images", "airgap"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    copy_scripts(path);
    symlink(OCIFY, path.join("bin/ocify")).unwrap();
    // Examples fix them in place.
    for (name, copy) in [
        ("podman-ocidir", "layout"),
        ("buildkit-cache-list-ocifalse", "cache"),
    ] {
        for (name, bytes) in Contents::read(&fixture(name)).files {
            let file = path.join(copy).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
    }
    symlink(repository("fixtures"), path.join("fixtures")).unwrap();
    for name in [
        "app.tar",
        "images/one.tar",
        "images/two.tar",
        "airgap/app.tar",
    ] {
        // No links, for a walk does not follow them.
        let archive = fixture("buildkit-docker-zstd-ocifalse.tar");
        fs::copy(archive, path.join(name)).unwrap();
    }
    let tools = fs::read(fixture("skopeo19-docker.tar")).unwrap();
    let tools = zstd::encode_all(&tools[..], 3).unwrap();
    fs::write(path.join("airgap/tools.tar.zst"), tools).unwrap();
    fs::write(path.join("airgap/pull.txt"), "busybox:1.36\n").unwrap();
    write_program(&path.join("bin/cargo"), CARGO);
    write_program(&path.join("bin/cc"), CC);
    write_program(&path.join(".ci/test"), "#!/bin/sh\n");
    write_program(&path.join("bin/docker"), DOCKER);
    folder
}

/// Copies the scripts of the README's first command.
pub(super) fn copy_scripts(folder: &Path) {
    fs::create_dir(folder.join(".ci")).unwrap();
    // For the reason that `write_program` has, a child copies them.
    let scripts = [".ci/demo", ".ci/packages"].map(repository);
    run(Command::new("cp").args(scripts).arg(folder.join(".ci"))).exits(0);
}

/// Runs a script in the folder, with the folder's programs and the system's, and returns its exit code and what it printed.
pub(super) fn shell(folder: &Path, script: &str) -> (Option<i32>, String) {
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    shell_with(&path, folder, script)
}

/// The same with this PATH.
pub(super) fn shell_with(path: &str, folder: &Path, script: &str) -> (Option<i32>, String) {
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}
