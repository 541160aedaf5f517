//! Nothing is read outside an input directory and nothing is written outside an output directory, whatever links are there.
//! `exchanged` has the links that are put there during the run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::common::batch::{batch, put};
use crate::common::builder::{Layout, right_layout};
use crate::common::failure::expect;
use crate::common::judged::fixed_path;
use crate::common::runner::Sandbox;
use crate::common::{skipped, tree};

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// Every level of a layout: its directories, a blob of each kind and the files at the root.
fn levels(layout: &Layout) -> Vec<String> {
    let mut levels: Vec<String> = layout.blobs.keys().cloned().collect();
    levels.extend(["blobs", "blobs/sha256"].map(str::to_owned));
    levels.extend(["index.json", "manifest.json", "oci-layout"].map(str::to_owned));
    levels
}

#[test]
fn links_that_leave_a_layout_are_followed_only_if_the_user_says_so() {
    let right = right_layout();
    for level in levels(&right) {
        let sandbox = Sandbox::new();
        right.write_to(&sandbox.path("in"));
        let at = sandbox.path(&format!("in/{level}"));
        fs::rename(&at, sandbox.path("outside")).unwrap();
        symlink(sandbox.path("outside"), &at).unwrap();
        for output in ["out.tar", "out/"] {
            let run = sandbox.fix("in", output);
            expect(&level, &run, "link-entry", &[&level, "a symbolic link"]);
            let hint = "if you trust what the link leads to, follow links with --follow";
            assert_eq!(run.json()["error"]["hint"], hint, "{level}");
        }
        let found = fixed_path(&sandbox.path("in"), &["--follow"]);
        assert!(found.bytes == right.tar(), "{level}");
        sandbox.fix_with("in", "out/", &["--follow"]).exits(0);
        let expected = Sandbox::new();
        right.write_to(&expected.path("out"));
        assert!(
            tree(&sandbox.path("out")) == tree(&expected.path("out")),
            "{level}"
        );
        // In a walk too.
        let many = batch(
            &sandbox,
            &["in", "-o", "many/", "--files-from", "/dev/null"],
        );
        let (_, end) = many.ends().into_iter().next().unwrap_or(("", "nothing"));
        assert!(["link-entry", "nothing"].contains(&end), "{level}: {end}");
        let line = ["in", "-o", "many/", "--files-from", "/dev/null", "--follow"];
        let many = batch(&sandbox, &line);
        let expected = match level.starts_with("blobs") && !level.contains("256/") {
            true => "unchanged",
            false => "fixed",
        };
        let ends: Vec<&str> = many.ends().into_values().collect();
        assert_eq!(ends, [expected], "{level}");
    }
}

/// As Bazel's rules_oci makes them: all files are links to where they were built.
#[test]
fn a_layout_of_links_is_read_if_they_are_followed() {
    let right = right_layout();
    let sandbox = Sandbox::new();
    right.write_to(&sandbox.path("built"));
    fs::create_dir_all(sandbox.path("in/blobs/sha256")).unwrap();
    for name in right
        .blobs
        .keys()
        .map(String::as_str)
        .chain(["index.json", "oci-layout"])
    {
        symlink(
            sandbox.path(&format!("built/{name}")),
            sandbox.path(&format!("in/{name}")),
        )
        .unwrap();
    }
    let run = sandbox.fix("in", "out.tar");
    expect("links", &run, "link-entry", &["--follow"][..0]);
    let found = fixed_path(&sandbox.path("in"), &["--follow"]);
    assert_eq!(found.changes(&["link"]).len(), right.blobs.len() + 2);
    // A link to nothing is said to be one.
    fs::remove_file(sandbox.path("built/index.json")).unwrap();
    let run = sandbox.fix_with("in", "out2.tar", &["--follow"]);
    expect("dangling", &run, "link-entry", &["index.json"]);
    assert_eq!(
        run.json()["error"]["hint"],
        "replace the link with the file that it stands for, or save the image again"
    );
}

#[test]
fn following_links_requires_a_directory_and_a_new_output() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let run = sandbox
        .ocify(&["fix", "in.tar", "-o", "out.tar", "--follow"])
        .exits(2);
    assert!(
        run.stderr.contains("--follow has no effect"),
        "{}",
        run.stderr
    );
    let run = sandbox
        .ocify(&["fix", "in.tar", "in.tar/", "-o", "out/", "--follow"])
        .exits(2);
    assert!(
        run.stderr.contains("--follow has no effect"),
        "{}",
        run.stderr
    );
    fs::create_dir(sandbox.path("in")).unwrap();
    let run = sandbox
        .ocify(&["fix", "in", "--in-place", "--follow"])
        .exits(2);
    assert!(run.stderr.contains("--follow"), "{}", run.stderr);
}

/// Something that is no regular file and no link.
fn put_special(path: &Path, kind: FileType) -> bool {
    let mode = Mode::RUSR | Mode::WUSR;
    match mknodat(CWD, path, kind, mode, makedev(1, 5)) {
        Ok(()) => true,
        Err(_) => {
            skipped("devices: needs root");
            false
        }
    }
}

#[test]
fn special_files_in_a_layout_are_refused_and_never_waited_for() {
    let right = right_layout();
    for level in levels(&right) {
        for kind in [FileType::Fifo, FileType::CharacterDevice] {
            let sandbox = Sandbox::new();
            right.write_to(&sandbox.path("in"));
            let at = sandbox.path(&format!("in/{level}"));
            fs::rename(&at, sandbox.path("moved")).unwrap();
            if !put_special(&at, kind) {
                continue;
            }
            for options in [&[][..], &["--follow"]] {
                let run = sandbox.fix_with("in", "out.tar", options);
                let what = format!("{level} {kind:?} {options:?}");
                expect(&what, &run, "link-entry", &[&level, "a special file"]);
            }
            // The same where a link leads.
            fs::rename(&at, sandbox.path("special")).unwrap();
            symlink(sandbox.path("special"), &at).unwrap();
            for options in [&[][..], &["--follow"]] {
                let run = sandbox.fix_with("in", "out.tar", options);
                expect(&level, &run, "link-entry", &[&level]);
            }
        }
    }
}

#[test]
fn links_to_archives_in_a_tree_are_named_and_skipped() {
    let sandbox = Sandbox::new();
    put(&sandbox, "in/app-1.tar", right_layout().tar());
    put(&sandbox, "outside/other.tar", right_layout().tar());
    symlink("app-1.tar", sandbox.path("in/latest.tar")).unwrap();
    symlink("../outside/other.tar", sandbox.path("in/other.tar.gz")).unwrap();
    symlink("../outside", sandbox.path("in/more")).unwrap();
    symlink("nowhere", sandbox.path("in/dangling.tar")).unwrap();
    symlink("..", sandbox.path("in/loop")).unwrap();
    let found = batch(&sandbox, &["in", "-o", "out"]);
    found.exits(0);
    let ends: Vec<(&str, &str)> = found.ends().into_iter().collect();
    let expected = [
        ("in/app-1.tar", "unchanged"),
        ("in/dangling.tar", "skipped"),
        ("in/latest.tar", "skipped"),
        ("in/other.tar.gz", "skipped"),
    ];
    assert_eq!(ends, expected);
    let error = &found.items["in/latest.tar"]["error"];
    assert_eq!(error["code"], "link-entry");
    assert_eq!(
        error["message"],
        "in/latest.tar is a symbolic link to app-1.tar"
    );
    assert!(error["hint"].as_str().unwrap().contains("--follow"));
    assert_eq!(found.summary["others"]["left"], 2);
    let text = sandbox.ocify(&["fix", "in", "-o", "out"]).exits(0);
    let line = "skipped   in/latest.tar: a symbolic link; if you trust what the link leads to, follow links with --follow\n";
    assert!(text.stdout.contains(line), "{}", text.stdout);
    let summary = ": 1 finished earlier, 3 symbolic links skipped; 2 other files left unchanged\n";
    assert!(text.stdout.ends_with(summary), "{}", text.stdout);
    // That option is refused in place.
    put(&sandbox, "copy/app.tar", right_layout().tar());
    symlink("app.tar", sandbox.path("copy/latest.tar")).unwrap();
    let found = batch(&sandbox, &["copy", "--in-place"]);
    assert_eq!(
        found.items["copy/latest.tar"]["error"]["hint"],
        "give the file that it leads to as INPUT"
    );
    // They are copied as links with the other files.
    let found = batch(&sandbox, &["in", "-o", "all", "--copy-others"]);
    found.exits(0);
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.summary["others"]["copied"], 5);

    let found = batch(&sandbox, &["in", "-o", "followed", "--follow"]);
    found.exits(0);
    let ends: Vec<(&str, &str)> = found.ends().into_iter().collect();
    let expected = [
        ("in/app-1.tar", "unchanged"),
        ("in/dangling.tar", "skipped"),
        ("in/latest.tar", "unchanged"),
        // A link to a directory that the tree is in is a loop.
        ("in/more/other.tar", "unchanged"),
        ("in/other.tar.gz", "unchanged"),
    ];
    assert_eq!(ends, expected);
}

#[test]
fn links_below_the_output_directory_are_not_written_through() {
    let archive = right_layout().tar();
    type Make<'a> = &'a dyn Fn(&Path, &Path);
    let cases: [(&str, Make<'_>); 4] = [
        ("a symbolic link", &|at, victim| {
            symlink(victim, at).unwrap()
        }),
        ("a symbolic link", &|at, _| symlink("nowhere", at).unwrap()),
        ("not a directory", &|at, _| fs::write(at, "file").unwrap()),
        ("not a directory", &|at, _| {
            assert!(put_special(at, FileType::Fifo));
        }),
    ];
    for (what, make) in cases {
        for options in [&[][..], &["--force"], &["--layout"], &["--copy-others"]] {
            let sandbox = Sandbox::new();
            put(&sandbox, "in/sub/deep/app.tar", &archive);
            put(&sandbox, "in/sub/notes", "notes");
            put(&sandbox, "in/top.tar", &archive);
            fs::create_dir_all(sandbox.path("victim/deep")).unwrap();
            fs::create_dir(sandbox.path("out")).unwrap();
            make(&sandbox.path("out/sub"), &sandbox.path("victim"));
            let line = [&["in", "-o", "out"], options].concat();
            let found = batch(&sandbox, &line);
            found.exits(1);
            let ends = found.ends();
            assert_eq!(ends["in/sub/deep/app.tar"], "output-exists", "{what}");
            assert_eq!(ends["in/top.tar"], "unchanged", "{what}");
            let error = &found.items["in/sub/deep/app.tar"]["error"]["message"];
            let expected = format!("outputs go into the directory out/sub, which is {what}");
            assert_eq!(error, expected.as_str());
            assert_eq!(tree(&sandbox.path("victim")).len(), 1, "{what} {options:?}");
            assert!(is_empty(&sandbox.path("victim/deep")));
        }
    }
}

/// A link of one run is in the way of the next.
#[test]
fn a_copied_link_is_not_written_through() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("in")).unwrap();
    fs::create_dir(sandbox.path("victim")).unwrap();
    symlink(sandbox.path("victim"), sandbox.path("in/sub")).unwrap();
    batch(&sandbox, &["in", "-o", "out", "--copy-others"]).exits(0);
    fs::remove_file(sandbox.path("in/sub")).unwrap();
    put(&sandbox, "in/sub/evil.tar", right_layout().tar());
    let found = batch(&sandbox, &["in", "-o", "out", "--copy-others"]);
    assert_eq!(found.ends()["in/sub/evil.tar"], "output-exists");
    found.exits(1);
    assert!(is_empty(&sandbox.path("victim")));
}

/// What is there under the name of an output, and is not one.
#[test]
fn a_batch_replaces_only_what_an_output_is() {
    for options in [&[][..], &["--layout"]] {
        let sandbox = Sandbox::new();
        put(&sandbox, "in/app.tar", right_layout().tar());
        put(&sandbox, "victim/file", "precious");
        right_layout().write_to(&sandbox.path("layout"));
        fs::create_dir(sandbox.path("out")).unwrap();
        let is_layout = !options.is_empty();
        let name = if is_layout { "out/app" } else { "out/app.tar" };
        let at = sandbox.path(name);
        let line = [&["in", "-o", "out"], options].concat();
        let forced = [&line[..], &["--force"]].concat();
        for target in ["victim/file", "victim", "layout", "nowhere"] {
            symlink(sandbox.path(target), &at).unwrap();
            for line in [&line, &forced] {
                let found = batch(&sandbox, line);
                assert_eq!(found.ends()["in/app.tar"], "output-exists");
                let error = &found.items["in/app.tar"]["error"];
                let expected = format!("the output {name} is a symbolic link");
                assert_eq!(error["message"], expected.as_str(), "{target}");
                let expected = "remove the link, or give the path that it leads to";
                assert_eq!(error["hint"], expected, "{target}");
                assert_eq!(fs::read_link(&at).unwrap(), sandbox.path(target));
            }
            fs::remove_file(&at).unwrap();
        }
        assert!(!sandbox.path("nowhere").exists());
        // A directory with files of the user, and something that is not a directory.
        for is_dir in [true, false] {
            match is_dir {
                true => fs::rename(sandbox.path("victim"), &at).unwrap(),
                false if is_layout => fs::write(&at, "precious").unwrap(),
                false => assert!(put_special(&at, FileType::Fifo)),
            }
            for line in [&line, &forced] {
                let found = batch(&sandbox, line);
                let end = found.ends()["in/app.tar"];
                let expected = match is_dir && is_layout && line.contains(&"--force") {
                    true => "output-not-empty",
                    false => "output-exists",
                };
                assert!([expected, "output-exists", "output-not-empty"].contains(&end));
                let hint = found.items["in/app.tar"]["error"]["hint"].as_str().unwrap();
                assert!(!hint.contains("--force"), "{hint}");
            }
            match is_dir {
                true => {
                    assert_eq!(fs::read(at.join("file")).unwrap(), b"precious");
                    fs::rename(&at, sandbox.path("victim")).unwrap();
                }
                false => fs::remove_file(&at).unwrap(),
            }
        }
        // An output is replaced.
        match is_layout {
            true => fs::rename(sandbox.path("layout"), &at).unwrap(),
            false => fs::write(&at, "old").unwrap(),
        }
        batch(&sandbox, &forced).exits(0);
    }
}

/// A single output is not written through a link either, and does not replace one.
#[test]
fn a_link_under_the_name_of_a_single_output_stays() {
    // A link to any other directory is one to write into.
    for target in ["victim/file", "layout", "nowhere"] {
        for (output, options) in [
            ("out/app.tar", &[][..]),
            ("out/app.tar", &["--archive"]),
            ("out/app.tar", &["--layout"]),
            ("out/app.tar.gz", &[]),
        ] {
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", right_layout().tar());
            put(&sandbox, "victim/file", "precious");
            right_layout().write_to(&sandbox.path("layout"));
            fs::create_dir(sandbox.path("out")).unwrap();
            let at = sandbox.path(output);
            symlink(sandbox.path(target), &at).unwrap();
            let before = tree(&sandbox.path("layout"));
            for force in [&[][..], &["--force"]] {
                let line = [
                    &["fix", "in.tar", "-o", output, "--format", "json"],
                    options,
                    force,
                ];
                let run = sandbox.ocify(&line.concat());
                let name = format!("{target} {options:?}");
                expect(
                    &name,
                    &run,
                    "output-exists",
                    &[output, "is a symbolic link"],
                );
                assert_eq!(fs::read_link(&at).unwrap(), sandbox.path(target));
            }
            assert_eq!(sandbox.read("victim/file"), b"precious");
            assert!(tree(&sandbox.path("layout")) == before);
            assert!(!sandbox.path("nowhere").exists());
            assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 1);
        }
    }
}
