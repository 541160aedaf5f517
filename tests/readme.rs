//! The README shows the real help and real output, and its examples run.
//!
//! After a change that is meant to show there:
//!
//! ```sh
//! OCIFY_WRITE_README=1 cargo test --test readme
//! ```
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");

/// The programs that the examples name besides ocify. They only have to be there: what is tested is ocify's part.
const STAND_INS: [&str; 2] = ["docker", "jq"];

/// `cargo run` runs the command; the example has its own build in `cargo test`.
const CARGO: &str = "#!/bin/sh
[ \"$1\" = run ] || exit 0
while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done
[ $# -gt 0 ] || exit 0
shift
exec ocify \"$@\"
";

/// The contents of the code blocks marked `language`, in order.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        } else if line.starts_with("```") {
            let _skipped = lines.by_ref().take_while(|line| *line != "```").count();
        }
    }
    blocks
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with everything that the examples name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let fixtures = Path::new(ROOT).join("fixtures");
    for name in ["bin", "target", "images", "airgap", ".ci"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    symlink(OCIFY, path.join("bin/ocify")).unwrap();
    symlink(fixtures.join("podman-ocidir"), path.join("layout")).unwrap();
    symlink(
        fixtures.join("buildkit-cache-list-ocifalse"),
        path.join("cache"),
    )
    .unwrap();
    symlink(&fixtures, path.join("fixtures")).unwrap();
    for name in [
        "app.tar",
        "images/one.tar",
        "images/two.tar",
        "airgap/app.tar",
    ] {
        // No links, for a walk does not follow them.
        let archive = fixtures.join("buildkit-docker-zstd-ocifalse.tar");
        fs::copy(archive, path.join(name)).unwrap();
    }
    let tools = fs::read(fixtures.join("skopeo19-docker.tar")).unwrap();
    let tools = zstd::encode_all(&tools[..], 3).unwrap();
    fs::write(path.join("airgap/tools.tar.zst"), tools).unwrap();
    fs::write(path.join("airgap/pull.txt"), "busybox:1.36\n").unwrap();
    write_program(&path.join("bin/cargo"), CARGO);
    write_program(&path.join(".ci/test"), "#!/bin/sh\n");
    for name in STAND_INS {
        write_program(&path.join("bin").join(name), "#!/bin/sh\n");
    }
    folder
}

/// Runs a script in the folder and returns whether it succeeded, and what it printed.
fn shell(folder: &Path, script: &str) -> (bool, String) {
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// The block with what its commands print now.
fn played(block: &str, folder: &Path) -> String {
    let mut played = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (success, output) = shell(folder, command);
            assert!(success, "{command}: {output}");
            played.push(line.to_owned());
            played.extend(
                output
                    .trim_end()
                    .lines()
                    .map(|line| line.trim_end().to_owned()),
            );
        }
    }
    played.join("\n")
}

#[test]
fn shown_output_is_real() {
    let folder = folder();
    let blocks = blocks("console");
    let has_help = |block: &String| block.starts_with("$ ocify fix --help");
    assert!(blocks.iter().any(has_help));
    let mut real = README.to_owned();
    for block in &blocks {
        let played = played(block, folder.path());
        if std::env::var_os("OCIFY_WRITE_README").is_none_or(|value| value != "1") {
            assert_eq!(
                *block, played,
                "after a change that is meant to show: OCIFY_WRITE_README=1 cargo test --test readme"
            );
        }
        real = real.replacen(block, &played, 1);
    }
    if real != README {
        fs::write(Path::new(ROOT).join("README.md"), real).unwrap();
    }
}

#[test]
fn examples_run() {
    let blocks = blocks("sh");
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = folder();
        let (success, output) = shell(folder.path(), &format!("set -e\n{block}"));
        assert!(success, "{block}\n{output}");
        for bad in ["not fixed", "no image archive"] {
            assert!(!output.contains(bad), "{block}\n{output}");
        }
    }
}

#[test]
fn links_lead_to_files() {
    for link in README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        if !link.contains("://") {
            assert!(Path::new(ROOT).join(link).exists(), "{link}");
        }
    }
}

#[test]
fn the_test_command_is_there() {
    let mode = fs::metadata(Path::new(ROOT).join(".ci/test"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111);
}
