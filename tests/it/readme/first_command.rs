//! The README's first command installs what is missing, or says what it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::common::pages::text;
use crate::common::runner::write_program;

use super::folder::{CARGO_SAYS, CC, copy_scripts, shell_with};

/// A folder whose `bin` has nothing of the system but basic commands, so no C compiler. `id` says that this user runs them.
fn folder_without_cc(user: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("bin")).unwrap();
    copy_scripts(path);
    for name in ["dirname", "mkdir", "mktemp", "rm", "tail"] {
        let mut found = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(name));
        found.sort_by_key(|program| !program.exists());
        symlink(&found[0], path.join("bin").join(name)).unwrap();
    }
    write_program(&path.join("bin/id"), &format!("#!/bin/sh\necho {user}\n"));
    write_program(&path.join("bin/cargo"), CARGO_SAYS);
    folder
}

/// Runs the README's first command with nothing but the programs of the folder.
fn run_demo(folder: &Path) -> (Option<i32>, String) {
    let path = folder.join("bin").display().to_string();
    shell_with(&path, folder, ".ci/demo")
}

#[test]
fn without_a_c_compiler_the_first_command_says_what_to_install() {
    let apt_get = "#!/bin/sh\necho apt-get ran\n";
    for (user, apt_get, hint) in [
        (
            "1000",
            Some(apt_get),
            "run as root: apt-get update && apt-get install gcc libc6-dev",
        ),
        (
            "1000",
            None,
            "install it with your system's package manager; on Debian: gcc libc6-dev",
        ),
        (
            "0",
            None,
            "install it with your system's package manager; on Debian: gcc libc6-dev",
        ),
    ] {
        let folder = folder_without_cc(user);
        if let Some(program) = apt_get {
            write_program(&folder.path().join("bin/apt-get"), program);
        }
        let (code, output) = run_demo(folder.path());
        assert_eq!(code, Some(1), "{output}");
        let missing = "demo: missing: a C compiler (cc) and the headers of the C library\n";
        assert_eq!(output, format!("{missing}demo: {hint}\n"));
    }
}

#[test]
fn as_root_the_first_command_installs_a_c_compiler() {
    let folder = folder_without_cc("0");
    let bin = folder.path().join("bin");
    write_program(&folder.path().join("cc"), CC);
    write_program(
        &bin.join("apt-get"),
        "#!/bin/sh\necho \"apt-get ran: $*\"\n[ \"$1\" != install ] || /bin/cp cc bin/cc\n",
    );
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("apt-get ran"), "{output}");
    let command = "run --release --locked -- fix --force fixtures/buildkit-docker-zstd-ocifalse.tar -o target/fixed.tar";
    assert!(
        output.ends_with(&format!("cargo ran: {command}\n")),
        "{output}"
    );
    assert!(text("README.md").contains(&format!("`cargo {command}`")));
    let log = fs::read_to_string(folder.path().join("target/packages.log")).unwrap();
    assert!(log.ends_with("install -q -y --no-install-recommends gcc libc6-dev\n"));
}

#[test]
fn a_failed_installation_shows_what_apt_said() {
    let folder = folder_without_cc("0");
    write_program(
        &folder.path().join("bin/apt-get"),
        "#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n",
    );
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("\nE: no such package\n"), "{output}");
    assert!(output.contains("cannot install gcc libc6-dev"), "{output}");
    assert!(!output.contains("cargo ran"), "{output}");
}

#[test]
fn without_cargo_the_first_command_says_so() {
    let folder = folder_without_cc("0");
    fs::remove_file(folder.path().join("bin/cargo")).unwrap();
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("missing: cargo"), "{output}");
}
