//! What is read and written if files and directories are exchanged for links during the run. Each test makes sure that this
//! happened while the run was between its first and its last step, or that it was seen with and without the link.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::common::archive::Entry;
use crate::common::batch::{Batch, batch, has_staging, put};
use crate::common::builder::{Image, Layer, Layout, OCI_TAR, right_layout};
use crate::common::paused::{interrupted, interrupted_batch};
use crate::common::placed::docker_layout;
use crate::common::runner::{Sandbox, run, wait_for};
use crate::common::tree;

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

fn exchange(left: &Path, right: &Path) {
    renameat_with(CWD, left, CWD, right, RenameFlags::EXCHANGE).unwrap();
}

/// Makes `link` a link to `target`, and exchanges it for `path`, which is there as `link` then.
fn exchange_for_link(path: &Path, link: &Path, target: &Path) {
    symlink(target, link).unwrap();
    exchange(path, link);
}

/// Ends the other thread when this is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often a race is tried.
const ROUNDS: usize = 25;
/// How long to wait between two exchanges.
const PAUSES: [Duration; 5] = [
    Duration::from_micros(50),
    Duration::from_micros(50),
    Duration::from_micros(300),
    Duration::from_millis(2),
    Duration::from_millis(15),
];
/// How often at most.
const MOST_ROUNDS: usize = 1000;

/// Runs something again and again while another thread exchanges what two paths name. It returns whether it saw what was there
/// first, or `None` if it cannot tell. Fails unless it saw both.
fn while_exchanging(left: &Path, right: &Path, mut round: impl FnMut(usize) -> Option<bool>) {
    let is_stopped = AtomicBool::new(false);
    let (mut first, mut other) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Some runs see many exchanges, some one or none.
            for pause in PAUSES.iter().cycle() {
                if is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                exchange(left, right);
                thread::sleep(*pause);
            }
        });
        // Also if the work panics.
        let _stop = Stop(&is_stopped);
        for number in 0..MOST_ROUNDS {
            match round(number) {
                Some(true) => first += 1,
                Some(false) => other += 1,
                None => {}
            }
            if number >= ROUNDS && first > 0 && other > 0 {
                break;
            }
        }
    });
    assert!(first > 0 && other > 0, "seen {first} and {other} times");
}

#[test]
fn a_layout_whose_parts_become_links_during_the_run_is_right_or_refused() {
    let right = right_layout();
    let outside = docker_layout();
    for level in ["blobs", "blobs/sha256", "index.json", "manifest.json"] {
        let sandbox = Sandbox::new();
        right.write_to(&sandbox.path("in"));
        // What the link leads to is an image too.
        let mut other = outside.clone();
        other.more = vec![Entry::file("secret", "x")];
        other.write_to(&sandbox.path("outside"));
        put(&sandbox, "outside/manifest.json", "[]");
        symlink(
            sandbox.path(&format!("outside/{level}")),
            sandbox.path("link"),
        )
        .unwrap();
        let at = sandbox.path(&format!("in/{level}"));
        while_exchanging(&at, &sandbox.path("link"), |number| {
            let output = format!("out-{number}.tar");
            let run = sandbox.fix("in", &output);
            if run.code == 0 {
                assert!(sandbox.read(&output) == right.tar(), "{level}");
                return Some(true);
            }
            assert!(!sandbox.path(&output).exists());
            (run.json()["error"]["code"] == "link-entry").then_some(false)
        });
    }
}

/// A layout whose halves do not fit into a pipe, which has 1 MiB at most.
fn large_layout() -> Layout {
    let layers = ["one", "two", "three", "four"];
    let layers = layers.map(|text| Layer::plain(OCI_TAR, &text.repeat(512 << 10)));
    Layout::of(&Image::oci(layers.to_vec()), "docker.io/library/app:v1")
}

#[test]
fn a_layout_whose_parts_become_links_while_it_is_copied_is_right_or_refused() {
    let large = large_layout();
    let layer = large.blobs.iter().find(|(_, bytes)| bytes.len() > 64 << 10);
    let layer = layer.unwrap().0;
    // What was not opened yet, and what was: it is held, or was read.
    for (level, is_right) in [
        ("blobs", false),
        ("blobs/sha256", false),
        ("index.json", true),
        ("oci-layout", true),
        ("", true),
    ] {
        let sandbox = Sandbox::new();
        for name in ["in", "outside"] {
            large.write_to(&sandbox.path(name));
        }
        // The link leads to an intact layout, which must not be read either.
        fs::write(sandbox.path("outside").join(layer), "another").unwrap();
        let mut command = sandbox.command();
        let mut child = command
            .args(["fix", "in", "-o", "-"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        // It waits for the test as soon as the pipe is full, long before the last blob.
        let mut out = vec![0; 1];
        stdout.read_exact(&mut out).unwrap();
        let at = sandbox.root().join("in").join(level);
        let at = Path::new(at.to_str().unwrap().trim_end_matches('/')).to_owned();
        exchange_for_link(
            &at,
            &sandbox.path("link"),
            &sandbox.path("outside").join(level),
        );
        assert_eq!(child.try_wait().unwrap(), None, "{level}: it was too fast");
        stdout.read_to_end(&mut out).unwrap();
        let code = wait_for(&mut child, &command);
        assert_eq!(code, Some(i32::from(!is_right)), "{level}");
        let expected = Sandbox::new();
        large.write_to(&expected.path("in"));
        expected.fix("in", "out.tar").exits(0);
        assert_eq!(out == expected.read("out.tar"), is_right, "{level}");
    }
}

/// Archives that take a moment, `in/sub/00.tar` and so on.
fn put_inputs(sandbox: &Sandbox, count: usize, bytes: &[u8]) {
    for number in 0..count {
        put(sandbox, &format!("in/sub/{number:02}.tar"), bytes);
    }
}

/// Whether a worker has begun.
fn has_begun(root: &Path) -> bool {
    let entries = fs::read_dir(root.join("out"))
        .into_iter()
        .flatten()
        .flatten();
    let staging = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(".ocify-work")
    });
    staging
        .flat_map(|entry| fs::read_dir(entry.path().join("0")).into_iter().flatten())
        .next()
        .is_some()
}

/// How many outputs are complete, or almost.
fn staged(root: &Path) -> usize {
    tree(&root.join("out")).len()
}

const COUNT: usize = 60;

#[test]
fn a_tree_whose_parts_become_links_during_the_run_leads_nowhere() {
    let right = right_layout().tar();
    let broken = docker_layout().tar();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &right);
        for number in 0..COUNT {
            put(sandbox, &format!("outside/{number:02}.tar"), &broken);
        }
    };
    let args = ["in", "-o", "out", "--jobs", "1"];
    let (sandbox, found) = interrupted_batch(&args, prepare, has_begun, |root| {
        exchange_for_link(
            &root.join("in/sub"),
            &root.join("link"),
            &root.join("outside"),
        );
        staged(root) < COUNT
    });
    // What is found after that is not lost without a word.
    let ends = found.ends().into_values();
    let changed = ends.filter(|end| *end == "source-changed").count();
    let unchanged = found.count("unchanged") as usize;
    assert_eq!(unchanged + changed, COUNT, "{}", found.summary);
    let outputs = match unchanged {
        0 => Vec::new(),
        _ => tree(&sandbox.path("out/sub")),
    };
    assert_eq!(outputs.len(), unchanged);
    assert!(outputs.iter().all(|(_, bytes)| *bytes == right));

    let sandbox = Sandbox::new();
    put_inputs(&sandbox, 8, &right);
    for number in 0..8 {
        put(&sandbox, &format!("outside/{number:02}.tar"), &broken);
    }
    symlink(sandbox.path("outside"), sandbox.path("link")).unwrap();
    let before = tree(&sandbox.path("outside"));
    while_exchanging(&sandbox.path("in/sub"), &sandbox.path("link"), |number| {
        let output = format!("out-{number}");
        let mut command = sandbox.command();
        command.args(["fix", "in", "-o", &output, "--jobs", "2"]);
        run(&mut command);
        // There is none if nothing was found.
        if !sandbox.path(&output).join("sub").exists() {
            return Some(false);
        }
        let mut outputs = tree(&sandbox.path(&output));
        outputs.retain(|(path, _)| path.extension().is_some_and(|it| it == "tar"));
        assert!(outputs.iter().all(|(_, bytes)| *bytes == right));
        (outputs.len() == 8).then_some(true)
    });
    assert!(tree(&sandbox.path("outside")) == before);
}

#[test]
fn an_output_directory_that_is_exchanged_for_a_link_receives_everything() {
    let right = right_layout();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &right.tar());
        for name in ["out", "victim"] {
            fs::create_dir(sandbox.path(name)).unwrap();
        }
    };
    let expected = Sandbox::new();
    right.write_to(&expected.path("layout"));
    for (options, is_layout) in [(&[][..], false), (&["--layout"], true)] {
        let args = [&["in", "-o", "out", "--jobs", "1"], options].concat();
        let (sandbox, found) = interrupted_batch(&args, prepare, has_begun, |root| {
            let count = staged(root);
            exchange_for_link(&root.join("out"), &root.join("moved"), &root.join("victim"));
            count < COUNT
        });
        found.exits(0);
        assert!(is_empty(&sandbox.path("victim")));
        for number in 0..COUNT {
            let output = sandbox.path(&format!("moved/sub/{number:02}"));
            match is_layout {
                true => assert!(tree(&output) == tree(&expected.path("layout"))),
                false => assert!(fs::read(output.with_extension("tar")).unwrap() == right.tar()),
            }
        }
        assert!(!has_staging(&sandbox.path("moved")));
    }
}

/// Also the output of a single input.
#[test]
fn the_directory_of_an_output_that_is_exchanged_for_a_link_receives_it() {
    let large = large_layout();
    let input = large.tar();
    let expected = Sandbox::new();
    large.write_to(&expected.path("in"));
    expected.fix("in", "out.tar").exits(0);
    expected.fix("in", "layout/").exits(0);
    for (name, options) in [
        ("app.tar", &[][..]),
        ("app.tar", &["--force"]),
        ("app", &["--layout"]),
        ("app", &["--layout", "--force"]),
    ] {
        let is_layout = options.contains(&"--layout");
        let sandbox = Sandbox::new();
        for name in ["out", "victim"] {
            fs::create_dir(sandbox.path(name)).unwrap();
            if options.contains(&"--force") {
                match is_layout {
                    true => right_layout().write_to(&sandbox.path(&format!("{name}/app"))),
                    false => put(&sandbox, &format!("{name}/app.tar"), "old"),
                }
            }
        }
        let before = tree(&sandbox.path("victim"));
        let output = format!("out/{name}");
        let line = [&["fix", "-", "-o", &output], options].concat();
        let code = interrupted(sandbox.command().args(line), &input, || {
            let moved = sandbox.path("moved");
            exchange_for_link(&sandbox.path("out"), &moved, &sandbox.path("victim"));
        });
        assert_eq!(code, Some(0), "{options:?}");
        assert!(tree(&sandbox.path("victim")) == before, "{options:?}");
        let found = sandbox.path("moved").join(name);
        match is_layout {
            true => assert!(tree(&found) == tree(&expected.path("layout"))),
            false => assert!(fs::read(found).unwrap() == expected.read("out.tar")),
        }
        assert_eq!(fs::read_dir(sandbox.path("moved")).unwrap().count(), 1);
    }
}

/// What replaces the output itself is not followed, and stays.
#[test]
fn an_output_that_becomes_a_link_during_the_run_is_not_followed() {
    let large = large_layout();
    let input = large.tar();
    for (name, options) in [
        ("app.tar", &[][..]),
        ("app.tar", &["--force"]),
        ("app", &["--layout"]),
        ("app", &["--layout", "--force"]),
    ] {
        let is_layout = options.contains(&"--layout");
        for target in ["victim", "victim/file", "nowhere"] {
            let sandbox = Sandbox::new();
            fs::create_dir(sandbox.path("out")).unwrap();
            match is_layout {
                true if options.contains(&"--force") => {
                    right_layout().write_to(&sandbox.path("victim"));
                    right_layout().write_to(&sandbox.path("out/app"));
                }
                true => fs::create_dir(sandbox.path("victim")).unwrap(),
                false => put(&sandbox, "victim/file", "precious"),
            }
            let before = match sandbox.path("victim").exists() {
                true => tree(&sandbox.path("victim")),
                false => Vec::new(),
            };
            let output = format!("out/{name}");
            let line = [&["fix", "-", "-o", &output], options].concat();
            let code = interrupted(sandbox.command().args(line), &input, || {
                let at = sandbox.path(&output);
                if at.exists() {
                    fs::rename(&at, sandbox.path("old")).unwrap();
                }
                symlink(sandbox.path(target), at).unwrap();
            });
            assert_eq!(code, Some(1), "{options:?}");
            assert!(tree(&sandbox.path("victim")) == before, "{options:?}");
            let left = fs::read_link(sandbox.path(&output)).unwrap();
            assert_eq!(left, sandbox.path(target), "{options:?}");
            assert!(!sandbox.path("nowhere").exists());
            assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 1);
        }
    }
}

#[test]
fn a_directory_of_outputs_that_becomes_a_link_during_the_run_leads_nowhere() {
    let right = right_layout().tar();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &right);
        fs::create_dir_all(sandbox.path("out/sub")).unwrap();
        fs::create_dir(sandbox.path("victim")).unwrap();
    };
    for options in [&[][..], &["--force"], &["--layout"]] {
        let args = [&["in", "-o", "out", "--jobs", "1"], options].concat();
        let (sandbox, found) = interrupted_batch(&args, prepare, has_begun, |root| {
            let count = staged(root);
            exchange_for_link(
                &root.join("out/sub"),
                &root.join("moved"),
                &root.join("victim"),
            );
            count < COUNT
        });
        assert!(is_empty(&sandbox.path("victim")), "{options:?}");
        let moved = fs::read_dir(sandbox.path("moved")).unwrap().count();
        assert_eq!(moved as u64, found.count("unchanged"), "{options:?}");
        let refused = found.ends().into_values();
        let refused = refused.filter(|end| *end == "output-exists").count();
        assert_eq!(moved + refused, COUNT, "{options:?}");
    }

    let sandbox = Sandbox::new();
    put_inputs(&sandbox, 8, &right);
    fs::create_dir_all(sandbox.path("out/sub")).unwrap();
    fs::create_dir(sandbox.path("victim")).unwrap();
    symlink(sandbox.path("victim"), sandbox.path("link")).unwrap();
    let ways = [
        &["--force"][..],
        &["--force", "--sync"],
        &["--layout", "--force"],
    ];
    while_exchanging(&sandbox.path("out/sub"), &sandbox.path("link"), |number| {
        let args = [&["in", "-o", "out"], ways[number % ways.len()]].concat();
        let found: Batch = batch(&sandbox, &args);
        assert!(is_empty(&sandbox.path("victim")));
        let ends: Vec<&str> = found.ends().into_values().collect();
        if ends.contains(&"output-exists") {
            return Some(false);
        }
        (found.count("unchanged") == 8).then_some(true)
    });
}

/// Runs a batch whose archives become links again and again until one of them was found as a file and refused as a link. The
/// walk refuses the others.
fn until_refused_when_opened(mut run: impl FnMut() -> Batch) {
    for _ in 0..ROUNDS {
        let found = run();
        found.exits(1);
        let ends: Vec<&str> = found.ends().into_values().collect();
        let known = ["fixed", "unchanged", "source-changed", "link-entry"];
        assert!(ends.iter().all(|end| known.contains(end)), "{ends:?}");
        if ends.contains(&"link-entry") {
            return;
        }
    }
    panic!("no archive was found and became a link before it was opened");
}

#[test]
fn an_archive_that_becomes_a_link_is_not_fixed_in_place() {
    let broken = docker_layout().tar();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &broken);
        put(sandbox, "outside/other.tar", &broken);
    };
    let first = |root: &Path| fs::read(root.join("in/sub/00.tar")).unwrap() != broken;
    let args = ["in", "--in-place", "--jobs", "1"];
    until_refused_when_opened(|| {
        let (sandbox, found) = interrupted_batch(&args, prepare, first, |root| {
            let mut count = 0;
            for number in 0..COUNT {
                let at = root.join(format!("in/sub/{number:02}.tar"));
                let journal = root.join(format!("in/sub/.{number:02}.tar.ocify-journal"));
                if !journal.exists() && fs::read(&at).unwrap() == broken {
                    fs::remove_file(&at).unwrap();
                    symlink(root.join("outside/other.tar"), &at).unwrap();
                    count += 1;
                }
            }
            count > 1
        });
        assert!(sandbox.read("outside/other.tar") == broken);
        assert_eq!(fs::read_dir(sandbox.path("outside")).unwrap().count(), 1);
        found
    });

    let sandbox = Sandbox::new();
    put(&sandbox, "outside/other.tar", &broken);
    symlink(sandbox.path("outside/other.tar"), sandbox.path("link")).unwrap();
    let modified = || {
        fs::metadata(sandbox.path("outside"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = modified();
    put(&sandbox, "in/app.tar", &broken);
    while_exchanging(&sandbox.path("in/app.tar"), &sandbox.path("link"), |_| {
        let found = batch(&sandbox, &["in", "--in-place"]);
        assert!(sandbox.read("outside/other.tar") == broken);
        // It is fixed only once.
        match found.ends().get("in/app.tar").copied() {
            Some("fixed" | "unchanged") => Some(true),
            Some("link-entry" | "skipped") => Some(false),
            _ => None,
        }
    });
    assert_eq!(before, modified(), "no journal was written there");
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_during_fixes_in_place_leads_nowhere() {
    let broken = docker_layout().tar();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &broken);
        for number in 0..COUNT {
            put(sandbox, &format!("outside/{number:02}.tar"), &broken);
        }
    };
    let is_fixed = |root: &Path, number: usize| {
        let path = root.join(format!("{number:02}.tar"));
        fs::read(path).unwrap() != broken
    };
    let first = |root: &Path| is_fixed(&root.join("in/sub"), 0);
    let args = ["in", "--in-place", "--jobs", "1"];
    let (sandbox, found) = interrupted_batch(&args, prepare, first, |root| {
        let is_over = is_fixed(&root.join("in/sub"), COUNT - 1);
        exchange_for_link(
            &root.join("in/sub"),
            &root.join("moved"),
            &root.join("outside"),
        );
        !is_over
    });
    let outside = tree(&sandbox.path("outside"));
    assert_eq!(outside.len(), COUNT, "no journal was written there");
    assert!(outside.iter().all(|(_, bytes)| *bytes == broken));
    let moved = sandbox.path("moved");
    assert_eq!(fs::read_dir(&moved).unwrap().count(), COUNT);
    let fixed = (0..COUNT)
        .filter(|number| is_fixed(&moved, *number))
        .count();
    assert_eq!(fixed as u64, found.count("fixed"), "{}", found.summary);
    let ends = found.ends().into_values();
    let changed = ends.filter(|end| *end == "source-changed").count();
    assert_eq!(fixed + changed, COUNT, "{}", found.summary);
}

/// What is found as a file is not followed if it is a link when it is opened.
#[test]
fn an_archive_that_becomes_a_link_is_not_read() {
    let right = right_layout().tar();
    let broken = docker_layout().tar();
    let prepare = |sandbox: &Sandbox| {
        put_inputs(sandbox, COUNT, &right);
        put(sandbox, "outside/other.tar", &broken);
    };
    let args = ["in", "-o", "out", "--jobs", "1"];
    until_refused_when_opened(|| {
        let (sandbox, found) = interrupted_batch(&args, prepare, has_begun, |root| {
            for number in 0..COUNT {
                let at = root.join(format!("in/sub/{number:02}.tar"));
                fs::remove_file(&at).unwrap();
                symlink(root.join("outside/other.tar"), &at).unwrap();
            }
            staged(root) < COUNT
        });
        // There is none if nothing was written.
        let mut outputs = match sandbox.path("out").exists() {
            true => tree(&sandbox.path("out")),
            false => Vec::new(),
        };
        outputs.retain(|(path, _)| path.extension().is_some_and(|it| it == "tar"));
        assert!(outputs.iter().all(|(_, bytes)| *bytes == right));
        found
    });
}
