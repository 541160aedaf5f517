//! What `cargo package` takes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::common::{repository, tree};

/// The files of the package, relative to its root.
fn packaged() -> BTreeSet<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "package",
        "--list",
        "--locked",
        "--offline",
        "--allow-dirty",
    ]);
    let done = cargo.current_dir(repository("")).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "cargo package: {errors}");
    let list = String::from_utf8(done.stdout).unwrap();
    list.lines().map(PathBuf::from).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leaves the root", path.display()),
            Component::CurDir => {}
            _ => plain.push(part),
        }
    }
    plain
}

/// The file that a line takes into the program.
fn taken(line: &str) -> Option<&str> {
    let starts = ["#[path = \"", "include_str!(\"", "include_bytes!(\""];
    let rest = starts.iter().find_map(|start| line.split_once(start))?.1;
    rest.split('"').next()
}

/// A package that lacks one of them does not compile, or its unit tests do not.
#[test]
fn every_file_that_a_source_takes_is_in_the_package() {
    let packaged = packaged();
    let mut outside = 0;
    for (name, bytes) in tree(&repository("src")) {
        let text = String::from_utf8_lossy(&bytes);
        let name = Path::new("src").join(name);
        for path in text.lines().filter_map(taken) {
            let file = plain(&name.parent().unwrap().join(path));
            assert!(
                packaged.contains(&file),
                "{} takes {}, which Cargo.toml does not include",
                name.display(),
                file.display()
            );
            outside += usize::from(!file.starts_with("src"));
        }
    }
    assert!(outside > 0, "nothing was compared");
}
