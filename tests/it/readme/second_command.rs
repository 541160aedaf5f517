//! The README's second command says what it takes and leaves before it begins, shows that it works, and removes what it left.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::repository;
use crate::common::runner::{run, write_program};

use super::folder::{CARGO_SAYS, shell, shell_with};

/// A directory with the scripts, and commands that do nothing.
fn folder(user: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in [".ci", "bin", "engines"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    let scripts = ["engines", "mirror", "packages", "test"];
    let scripts = scripts.map(|name| repository(&format!(".ci/{name}")));
    run(Command::new("cp").args(scripts).arg(path.join(".ci"))).exits(0);
    write_program(&path.join("bin/id"), &format!("#!/bin/sh\necho {user}\n"));
    write_program(&path.join("bin/cargo"), CARGO_SAYS);
    folder
}

#[test]
fn what_it_takes_is_said_first() {
    for (user, is_root) in [("0", true), ("1000", false)] {
        let folder = folder(user);
        // Everything else is there, or cannot be had.
        write_program(&folder.path().join("bin/apt-get"), "#!/bin/sh\nexit 100\n");
        write_program(&folder.path().join(".ci/engines"), "#!/bin/sh\nexit 1\n");
        let script = "OCIFY_ENGINES_ROOT=$PWD/engines .ci/test";
        let (code, output) = shell(folder.path(), script);
        assert_eq!(code, Some(0), "{output}");
        let first = output.lines().next().unwrap();
        assert!(first.starts_with("test: this takes "), "{output}");
        let leaves = format!("engines in {}/engines", folder.path().display());
        assert_eq!(output.contains(&leaves), is_root, "{output}");
        assert_eq!(output.contains(".ci/test --clean"), is_root, "{output}");
        assert!(output.contains("cargo ran: test --locked\n"), "{output}");
        // The list of what was skipped is at the end.
        let (_, skipped) = output
            .split_once("test: passed; these were skipped:\n")
            .unwrap();
        assert!(
            skipped.contains("SKIPPED: installing engines\n"),
            "{output}"
        );
    }
}

#[test]
fn clean_removes_the_engines_and_nothing_else() {
    let folder = folder("0");
    let engines = folder.path().join("engines");
    let fill = || {
        fs::create_dir_all(engines.join("trixie/usr/bin")).unwrap();
        for name in ["lock", "trixie.complete", "trixie/usr/bin/dockerd"] {
            fs::write(engines.join(name), "").unwrap();
        }
    };
    let clean = |option: &str| {
        let script = format!("OCIFY_ENGINES_ROOT=$PWD/engines .ci/test {option}");
        shell(folder.path(), &script)
    };
    fill();
    fs::write(engines.join("mine"), "").unwrap();
    let (code, output) = clean("--clean");
    assert_eq!(code, Some(0), "{output}");
    let names: Vec<_> = fs::read_dir(&engines)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["mine"], "{output}");
    fs::remove_file(engines.join("mine")).unwrap();
    fill();
    for _ in 0..2 {
        let (code, output) = clean("--clean");
        assert_eq!(code, Some(0), "{output}");
        assert!(!engines.exists());
        assert!(!output.contains("cargo ran"), "{output}");
    }
    let (code, output) = clean("--celan");
    assert_eq!(code, Some(2), "{output}");
    assert!(!output.contains("cargo ran"), "{output}");
}

/// A step that takes long shows a line every ten seconds. Here, ten seconds pass quickly.
#[test]
fn a_long_step_says_that_it_still_runs() {
    let folder = folder("0");
    let bin = folder.path().join("bin");
    write_program(&bin.join("sleep"), "#!/bin/sh\nexec /bin/sleep 0.1\n");
    write_program(&bin.join("apt-get"), "#!/bin/sh\nexec /bin/sleep 0.5\n");
    let script = "say() { echo \"$*\"; }; . .ci/packages; need 'a thing' thing; echo \"$?\"";
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let script = format!("bash -c '{}'", script.replace('\'', "'\\''"));
    let (code, output) = shell_with(&path, folder.path(), &script);
    assert_eq!(code, Some(0), "{output}");
    for line in [
        "installing thing: 10 s so far\n",
        "installing thing: 20 s so far\n",
    ] {
        assert!(output.contains(line), "{output}");
    }
    assert!(output.ends_with("\n0\n"), "{output}");
    assert!(log(folder.path()).is_empty(), "apt printed nothing");
    // A failure is a failure.
    write_program(&bin.join("apt-get"), "#!/bin/sh\necho no >&2\nexit 100\n");
    let (_, output) = shell_with(&path, folder.path(), &script);
    assert!(
        output.contains("cannot install thing") && output.ends_with("\n1\n"),
        "{output}"
    );
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("target/packages.log")).unwrap()
}
