//! Files of `--metadata-file`, `--report` and `--digest-map` that the run reads, or writes as something else: they
//! are refused before anything is read or written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::geteuid;

use crate::common::batch::{batch, put};
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::runner::{Sandbox, run};
use crate::common::{skipped, tree};

fn layout() -> Layout {
    let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "layer")]);
    Layout::of(&image, "docker.io/library/app:v1")
}

/// Inputs of every kind, old outputs, and other paths to them.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let archive = layout().tar();
    for name in ["in.tar", "in/a.tar", "in/deep/b", "old/a.tar", "old/c.tar"] {
        put(&sandbox, name, &archive);
    }
    put(&sandbox, "in/notes.txt", "notes");
    put(&sandbox, "notes.txt", "notes");
    layout().write_to(&sandbox.path("layout"));
    layout().write_to(&sandbox.path("in/deep/layout"));
    put(&sandbox, "list", "in.tar\nin/deep/layout\n");
    symlink("in.tar", sandbox.path("link")).unwrap();
    symlink("new.tar", sandbox.path("to-new")).unwrap();
    symlink("in", sandbox.path("tree")).unwrap();
    symlink("layout", sandbox.path("to-layout")).unwrap();
    fs::hard_link(sandbox.path("in.tar"), sandbox.path("hard")).unwrap();
    fs::hard_link(sandbox.path("in/deep/b"), sandbox.path("hard-b")).unwrap();
    // A layout whose blobs are links to files outside of it.
    fs::create_dir_all(sandbox.path("linked/blobs/sha256")).unwrap();
    for name in ["index.json", "oci-layout"] {
        let bytes = sandbox.read(&format!("layout/{name}"));
        put(&sandbox, &format!("linked/{name}"), bytes);
    }
    put(&sandbox, "store/blob", "a blob");
    symlink("../../../store/blob", sandbox.path("linked/blobs/sha256/x")).unwrap();
    sandbox
}

/// Each line and why it is refused.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    // The input.
    ("in.tar -o x --metadata-file in.tar", "--metadata-file and INPUT are the same file: in.tar"),
    ("in.tar -o x --report in.tar", "--report and INPUT are the same file"),
    ("in.tar -o x --digest-map ./in/../in.tar", "--digest-map and INPUT are the same file"),
    ("in.tar -o x --report link", "--report and INPUT are the same file"),
    ("link -o x --report in.tar", "--report and INPUT are the same file"),
    ("in.tar -o x --report hard", "--report and INPUT are the same file"),
    ("in.tar --in-place --metadata-file hard", "--metadata-file and INPUT are the same file"),
    ("in.tar --in-place --report ./in.tar", "--report and INPUT are the same file"),
    ("in.tar --dry-run --digest-map in.tar", "--digest-map and INPUT are the same file"),
    ("in.tar in/a.tar -o x/ --report tree/a.tar", "--report and INPUT are the same file"),
    // The output, which may not exist yet.
    ("in.tar -o x --metadata-file x", "--metadata-file and OUTPUT are the same file: x"),
    ("in.tar -o new.tar --metadata-file to-new", "--metadata-file and OUTPUT are the same file"),
    ("in.tar -o in/x --metadata-file tree/x", "--metadata-file and OUTPUT are the same file"),
    ("in.tar -o in --metadata-file tree/in.tar", "--metadata-file and OUTPUT are the same file"),
    ("in.tar -o x/ --metadata-file x/../x/in.tar", "--metadata-file and OUTPUT are the same file"),
    ("in.tar -o old/a.tar --force --report old/a.tar", "--report and OUTPUT are the same file"),
    ("in.tar -o old/a.tar --dry-run --report old/a.tar", "--report and OUTPUT are the same file"),
    // Another of these files, and the list.
    ("in -o x --digest-map y --report ./y", "--digest-map and --report are the same file"),
    ("in.tar -o x --metadata-file y --digest-map y", "--digest-map and --metadata-file are the same"),
    ("--files-from list -o x/ --digest-map list", "--digest-map and --files-from are the same file"),
    // In a layout that is read or replaced.
    ("layout -o x --metadata-file layout/index.json", "inside the image layout"),
    ("layout -o x --report to-layout/oci-layout", "inside the image layout"),
    ("layout -o x --report layout/blobs/new", "inside the image layout"),
    ("layout --in-place --digest-map layout/new", "inside the image layout"),
    ("in.tar --layout -o new --report new/index.json", "it is inside OUTPUT"),
    ("layout -o new --metadata-file new/report.json", "it is inside OUTPUT"),
    ("in.tar -o layout --layout --force --report layout/index.json", "inside the image layout"),
    ("in -o x --report in/deep/layout/index.json", "inside the image layout"),
    ("in.tar -o x --report layout/index.json", "inside the image layout"),
    ("linked -o x --report store/blob", "it is the same file as linked/blobs/sha256/x"),
    // In a directory of inputs.
    ("in -o x --report in/a.tar", "it exists in INPUT, and it was not written by --report"),
    ("in --in-place --report in/a.tar", "it exists in INPUT"),
    ("in --in-place --digest-map tree/deep/b", "it exists in INPUT"),
    ("in --dry-run --digest-map in/notes.txt", "it exists in INPUT"),
    ("in -o x --report hard-b", "it is the same file as in/deep/b"),
    ("in -o x --copy-others --report in/report", "--copy-others would copy it from in"),
    // In a directory of outputs.
    ("in -o old --digest-map old/c.tar", "it exists in OUTPUT, and it was not written by --report"),
    ("in.tar -o old --report old/c.tar", "it exists in OUTPUT"),
    ("in -o old/ --report old/deep/b", "the output of in/deep/b goes there"),
    ("in -o old --report old/deep", "the output of in/deep goes there"),
    ("in -o old --report old/deep/layout/x", "the output of in/deep/layout goes there"),
    ("in --archive -o old --report old/deep/layout.tar", "the output of in/deep/layout goes there"),
    ("in in.tar -o old --report old/in/deep/b", "the output of in/deep/b goes there"),
    ("in -o old --report old/.ocify-state", "ocify uses this name for its own files"),
    ("in.tar --in-place --report .in.tar.ocify-journal", "ocify uses this name for its own files"),
    // On the list.
    ("--files-from list -o old/ --report hard", "it is the input in.tar, listed in list"),
];

#[test]
fn files_that_would_destroy_something_are_refused_before_anything_is_touched() {
    let sandbox = sandbox();
    let before = tree(sandbox.root());
    for &(line, expected) in REFUSED {
        let args: Vec<&str> = ["fix"].into_iter().chain(line.split(' ')).collect();
        let run = sandbox.ocify(&args).exits(2);
        assert!(run.stderr.contains(expected), "{line}: {run:#?}");
        assert!(tree(sandbox.root()) == before, "{line}");
    }
}

#[test]
fn each_shard_is_refused_for_the_file_that_it_would_write() {
    let sandbox = sandbox();
    put(&sandbox, "in/r-1-of-2.tar", layout().tar());
    let line = ["in", "-o", "x", "--shard", "1/2", "--report", "in/r.tar"];
    let run = sandbox.ocify(&[&["fix"], &line[..]].concat()).exits(2);
    let expected = "--report cannot write to in/r-1-of-2.tar: it exists in INPUT";
    assert!(run.stderr.contains(expected), "{run:#?}");
}

#[test]
fn new_files_and_those_of_earlier_runs_are_written() {
    let sandbox = sandbox();
    for line in [
        "in -o old2/ --report r --digest-map m",
        // Files that are there already, outside of everything that the run reads or writes.
        "in -o old2/ --report notes.txt --digest-map hard",
        "in -o old2/ --report old2/report.json --digest-map old2/map.json",
        "in.tar -o old2/ --report old2/r --digest-map old2/m --metadata-file old2/meta",
        "in.tar -o x.tar --report r --metadata-file meta",
        "in --in-place --report in/report --digest-map in/map",
        "in --dry-run --report in/report --digest-map in/map",
        "--files-from list -o old3/ --report old3/report",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output = words[words
            .iter()
            .position(|word| *word == "-o")
            .map_or(0, |at| at + 1)];
        if output.ends_with('/') {
            fs::create_dir_all(sandbox.path(output)).unwrap();
        }
        // The second run finds what the first one wrote.
        for round in 0..2 {
            let mut command = sandbox.command();
            command.arg("fix").args(&words);
            if round == 1 && !line.starts_with("in --") {
                command.arg("--force");
            }
            let run = run(&mut command);
            assert!([0, 3].contains(&run.code), "{line} {round}: {run:#?}");
        }
    }
    assert!(
        sandbox
            .read("in/report")
            .starts_with(b"{\"version\":1,\"status\":")
    );
}

#[test]
fn an_unfinished_record_is_recognized() {
    let sandbox = sandbox();
    for head in ["", "{\"version\":1,\"status\":\"fix"] {
        put(&sandbox, "old/report", head);
        let line = ["in.tar", "-o", "old", "--force", "--report", "old/report"];
        sandbox.ocify(&[&["fix"], &line[..]].concat()).exits(0);
    }
}

/// Runs a batch of the paths that it reads from a pipe.
fn piped(sandbox: &Sandbox, list: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = sandbox.command();
    command.args(["fix", "--files-from", "-"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // A refused command does not read it.
    let _ = child.stdin.take().unwrap().write_all(list.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_list_in_a_pipe_cannot_name_a_file_that_is_written() {
    let sandbox = sandbox();
    let before = tree(sandbox.root());
    let (code, text) = piped(&sandbox, "in.tar\n", &["-o", "old4/", "--report", "in.tar"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("it exists and may be listed in -"), "{text}");
    assert!(tree(sandbox.root()) == before);
    // Whose output would be at the path of a new file is known only when it is read.
    for option in ["--report", "--digest-map"] {
        let _ = fs::remove_dir_all(sandbox.path("old4"));
        fs::create_dir(sandbox.path("old4")).unwrap();
        let args = ["-o", "old4/", option, "old4/in.tar"];
        let (code, text) = piped(&sandbox, "in.tar\nin/a.tar\n", &args);
        assert_eq!(code, Some(1), "{text}");
        let expected = "the output in.tar is a file that another option writes";
        assert!(text.contains(expected), "{text}");
        assert!(sandbox.path("old4/in/a.tar").exists());
        assert!(sandbox.read("old4/in.tar").starts_with(b"{"));
    }
}

#[test]
fn devices_and_dry_runs_have_no_conflicts() {
    let sandbox = sandbox();
    // Two may go to one FIFO or device.
    if geteuid().is_root() {
        let null = sandbox.path("null");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &null, FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
        let files = ["--report", "null", "--digest-map", "null"];
        batch(&sandbox, &[&["in", "-o", "x"][..], &files].concat()).exits(0);
    } else {
        skipped("device nodes: only root can make them");
    }
    // What the run would refuse is refused.
    let line = ["fix", "in.tar", "-o", "y", "--dry-run", "--report", "y"];
    let run = sandbox.ocify(&line).exits(2);
    assert!(run.stderr.contains("--report"), "{}", run.stderr);
    sandbox
        .ocify(&["fix", "in.tar", "--dry-run", "--report", "y"])
        .exits(3);
}
