//! The shapes of archives of crane are what the crane that is installed writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::builder::{gzip, zstd};
use crate::common::contents::Contents;
use crate::registry::server::Registry;
use crate::shapes::{NAME, Real, appended};

/// Runs crane in a folder.
fn crane(folder: &Path, arguments: &[&str]) {
    let output = Command::new(crate::crane())
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .output()
        .expect("crane starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "crane {arguments:?}: {said}");
}

#[test]
fn shapes_of_crane_are_what_crane_writes() {
    for program in [crate::crane(), "/usr/bin/docker-registry".into()] {
        if !program.exists() {
            return crate::skip(&program.display().to_string());
        }
    }
    let folder = tempfile::Builder::new().prefix("ocify-crane-").tempdir();
    let folder = folder.expect("a temporary folder");
    let folder = folder.path();
    let registry = Registry::start(folder, None);
    let place = |name: &str| format!("{}/{name}:v1", registry.host);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).expect("the folder is writable");
    };

    let real = Real::read();
    let new = appended::new_layer();
    write("new.tar.gz", &gzip(&new));
    write("new.tar.zst", &zstd(&new));
    for (number, plain) in real.layers.iter().enumerate() {
        write(&format!("{number}.tar.gz"), &gzip(plain));
    }
    assert_eq!(real.layers.len(), 4);

    let base = place("base");
    write("gzip.tar", &appended::compressed(&real, gzip));
    crane(folder, &["push", "gzip.tar", &base]);
    let append = |layers: &str, output: &str| {
        let line = ["append", "--base", &base, "-f", layers, "-t", NAME];
        crane(folder, &[&line[..], &["-o", output]].concat());
    };
    append("new.tar.gz,0.tar.gz", "twice.tar");
    append("new.tar.zst", "zstd.tar");
    let empty = place("empty");
    let layers = "0.tar.gz,1.tar.gz,2.tar.gz,3.tar.gz";
    crane(folder, &["append", "-f", layers, "-t", &empty]);
    let line = ["mutate", &empty, "--cmd", "/bin/hello", "-t", NAME];
    crane(folder, &[&line[..], &["-o", "no-base.tar"]].concat());

    for (file, shape) in [
        ("twice.tar", appended::twice(&real)),
        ("zstd.tar", appended::with_zstd(&real)),
        ("no-base.tar", appended::without_base(&real)),
    ] {
        let written = fs::read(folder.join(file)).expect("crane wrote it");
        let [written, shape] = [written, shape].map(|bytes| files(&bytes));
        let differing = written.iter().zip(&shape).find(|(one, other)| one != other);
        assert_eq!(differing, None, "{file}: crane, shape");
        assert_eq!(written.len(), shape.len(), "{file}");
    }
}

/// The files of an archive in their order, as text.
fn files(bytes: &[u8]) -> Vec<(String, String)> {
    let contents = Contents::from_tar(bytes);
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let name = entry.expect("an entry").path_bytes().into_owned();
        let name = String::from_utf8(name).expect("names are UTF-8");
        let text = contents.file(&name).escape_ascii().to_string();
        (name, text)
    });
    entries.collect()
}
