//! Leftovers of a run that was killed while writing, and how the next run with the same output removes them.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::random::Random;
use crate::common::runner::{Sandbox, run, wait_for};
use crate::common::skipped;

/// An archive that takes a while to write.
fn archive() -> Vec<u8> {
    let mut random = Random(1);
    let plain: Vec<u8> = (0..24 << 20).map(|_| random.byte()).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    let layer = Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain);
    Layout::of(&Image::docker(vec![layer]), "docker.io/library/app:v1").tar()
}

/// How an output is staged.
#[derive(Clone, Copy, Debug)]
enum Staging {
    /// As a directory.
    Directory,
    /// As a file with a temporary name: without /proc, a file without a name could not get one.
    File,
}

impl Staging {
    fn option(self) -> &'static str {
        match self {
            Staging::Directory => "--layout",
            Staging::File => "--archive",
        }
    }

    /// The command, which is the process itself; `None` if it cannot be run here.
    fn command(self, sandbox: &Sandbox) -> Option<Command> {
        let line = ["fix", "in.tar", self.option(), "-o", "out", "--jobs", "1"];
        let mut command = match self {
            Staging::Directory => sandbox.command(),
            Staging::File => {
                let hides = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
                let hidden = |program: &str| {
                    let mut command = Command::new("unshare");
                    command.args(["-m", "sh", "-c", hides, program]);
                    command
                };
                let may = hidden("true").stderr(Stdio::null()).status();
                if !may.is_ok_and(|status| status.success()) {
                    skipped("temporary names of files: needs root and unshare");
                    return None;
                }
                let mut command = hidden(env!("CARGO_BIN_EXE_ocify"));
                command.current_dir(sandbox.root());
                command
            }
        };
        command.args(line);
        Some(command)
    }
}

fn staged(sandbox: &Sandbox) -> Vec<String> {
    let mut names = sandbox.names();
    names.retain(|name| name.starts_with('.'));
    names
}

/// Starts a run, and stops it when it has begun to write.
fn stopped(sandbox: &Sandbox, command: &mut Command) -> Child {
    let before = staged(sandbox);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // Once it contains something, it is locked too.
    let has_content = |name: &String| {
        let path = sandbox.path(name);
        match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => fs::metadata(path).is_ok_and(|found| found.len() > 0),
        }
    };
    let is_new = |name: &String| !before.contains(name) && has_content(name);
    while !staged(sandbox).iter().any(is_new) {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_micros(100));
    }
    // The process itself, since the shell and unshare became the command.
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    assert!(!sandbox.path("out").exists(), "it was too fast");
    child
}

#[test]
fn leftovers_of_a_killed_run_are_removed_by_the_next() {
    let archive = archive();
    for staging in [Staging::Directory, Staging::File] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &archive);
        let Some(mut command) = staging.command(&sandbox) else {
            continue;
        };
        for round in 0..3 {
            let mut child = stopped(&sandbox, &mut command);
            child.kill().unwrap();
            child.wait().unwrap();
            let left = staged(&sandbox);
            // Each run removed what the one before left.
            assert_eq!(left.len(), 1, "{staging:?} {round}: {left:?}");
            assert!(left[0].starts_with(".out.") && left[0].ends_with(".ocify-tmp"));
        }
        // So does a run that writes another output beside it, but not one that needs no temporary name.
        sandbox
            .ocify(&["fix", "in.tar", "-o", "other.tar"])
            .exits(0);
        assert_eq!(staged(&sandbox).len(), 1, "{staging:?}");
        let other = ["fix", "in.tar", "--layout", "-o", "other"];
        sandbox.ocify(&other).exits(0);
        assert_eq!(staged(&sandbox).len(), 0, "{staging:?}");
        run(&mut command).exits(0);
        let expected = ["in.tar", "other", "other.tar", "out"];
        assert_eq!(sandbox.names(), expected, "{staging:?}");
    }
}

#[test]
fn files_of_a_running_process_are_kept() {
    let archive = archive();
    for staging in [Staging::Directory, Staging::File] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &archive);
        let Some(mut command) = staging.command(&sandbox) else {
            continue;
        };
        let mut live = stopped(&sandbox, &mut command);
        let held = staged(&sandbox);
        run(&mut command).exits(0);
        assert_eq!(staged(&sandbox), held, "{staging:?}");
        let written = fs::metadata(sandbox.path("out"))
            .unwrap()
            .modified()
            .unwrap();
        kill_process(Pid::from_child(&live), Signal::CONT).unwrap();
        // It comes too late, and what is there stays.
        assert_eq!(wait_for(&mut live, &command), Some(1), "{staging:?}");
        assert_eq!(sandbox.names(), ["in.tar", "out"], "{staging:?}");
        let found = fs::metadata(sandbox.path("out")).unwrap();
        assert_eq!(found.modified().unwrap(), written, "{staging:?}");
    }
}
