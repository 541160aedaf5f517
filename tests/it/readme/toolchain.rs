//! The toolchain that is installed builds ocify, if it is new enough. Only the checks and releases use the same one everywhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::pages::text;
use crate::common::runner::{run, write_program};
use crate::common::{repository, skipped};

use super::folder::{CARGO_SAYS, copy_scripts, shell};

/// The program of rustup in the PATH.
fn rustup() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join("rustup"))
        .find(|program| program.exists())
}

/// A rustup that has one toolchain and may install others must not try to.
#[test]
fn rustup_uses_its_only_toolchain() {
    let Some(rustup) = rustup() else {
        skipped("the toolchain of rustup: rustup is not installed");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let with_home = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(repository(""))
            .env("RUSTUP_HOME", home.path())
            .env("RUSTUP_AUTO_INSTALL", "1")
            // Nothing listens there.
            .env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9")
            .env_remove("RUSTUP_TOOLCHAIN");
        run(&mut command).exits(0).stdout
    };
    let installed = run(Command::new("rustc").args(["--print", "sysroot"])).exits(0);
    let installed = installed.stdout.trim_end();
    with_home(&rustup, &["toolchain", "link", "mine", installed]);
    with_home(&rustup, &["default", "mine"]);
    let cargo = rustup.with_file_name("cargo");
    let said = with_home(&cargo, &["pkgid", "--offline", "--locked"]);
    assert!(said.contains("ocify"), "{said}");
    let toolchains = with_home(&rustup, &["toolchain", "list", "--quiet"]);
    assert_eq!(toolchains, "mine\n");
}

/// A folder with the scripts, and a cargo that says that it is this version.
fn folder_with_cargo(version: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("bin")).unwrap();
    copy_scripts(folder.path());
    let cargo = CARGO_SAYS.replace("1.91.0", version);
    write_program(&folder.path().join("bin/cargo"), &cargo);
    folder
}

#[test]
fn a_toolchain_that_is_too_old_is_named() {
    for (version, is_new_enough) in [
        ("1.63.0", false),
        ("1.90.1", false),
        ("1.91.0", true),
        ("1.97.0-nightly", true),
        ("1.102.0", true),
    ] {
        let folder = folder_with_cargo(version);
        let (code, output) = shell(folder.path(), ".ci/demo");
        let ran = output.contains("cargo ran: run ");
        assert_eq!(ran, is_new_enough, "{version}: {output}");
        if !is_new_enough {
            assert_eq!(code, Some(1), "{version}: {output}");
            let found = format!("demo: found: cargo {version} (");
            assert!(output.starts_with(&found), "{output}");
            let hint = "demo: missing: Rust 1.91 or later; with rustup, run: rustup update stable";
            assert!(output.contains(hint), "{output}");
        }
    }
}

#[test]
fn a_rustup_without_a_toolchain_says_so() {
    let folder = folder_with_cargo("");
    let says = "#!/bin/sh\necho 'error: no default toolchain' >&2\nexit 1\n";
    write_program(&folder.path().join("bin/cargo"), says);
    let (code, output) = shell(folder.path(), ".ci/demo");
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.starts_with("error: no default toolchain\n"),
        "{output}"
    );
    assert!(output.contains("rustup default stable"), "{output}");
}

/// What the checks use: what was chosen, else the pinned toolchain if rustup has it or can have it, else what there is.
#[test]
fn the_checks_use_the_pinned_toolchain() {
    let packages = text(".ci/packages");
    let (_, rest) = packages.split_once("\nreadonly pinned=").unwrap();
    let pinned = rest.lines().next().unwrap();
    let has_it = "[ \"$1\" = run ]\n";
    let installs_it = "[ \"$1\" = toolchain ]\n";
    for (name, cargo, rustup, chosen, expected) in [
        ("already", pinned, Some("exit 9\n"), "", ""),
        ("chosen", "1.91.0", Some("exit 9\n"), "beta", "beta"),
        ("installed", "1.91.0", Some(has_it), "", pinned),
        ("installable", "1.91.0", Some(installs_it), "", pinned),
        ("not installable", "1.91.0", Some("exit 1\n"), "", ""),
        ("without rustup", "1.91.0", None, "", ""),
    ] {
        let folder = folder_with_cargo(cargo);
        if let Some(rustup) = rustup {
            let rustup = format!("#!/bin/sh\n{rustup}");
            write_program(&folder.path().join("bin/rustup"), &rustup);
        }
        let script = "bash -euc 'say() { echo \"$*\"; }; . .ci/packages; pin_toolchain; echo \"uses $RUSTUP_TOOLCHAIN\"'";
        let script = format!("export RUSTUP_TOOLCHAIN={chosen}; {script}");
        let (code, output) = shell(folder.path(), &script);
        assert_eq!(code, Some(0), "{name}: {output}");
        let uses = format!("uses {expected}\n");
        assert!(output.ends_with(&uses), "{name}: {output}");
        let failed = output.contains(&format!("cannot install Rust {pinned}; using cargo 1.91.0"));
        assert_eq!(failed, name == "not installable", "{name}: {output}");
    }
}
