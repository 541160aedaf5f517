//! Few threads, or none but the first, can be started: in a container with a limit of processes, for example. ocify
//! writes the same with fewer threads, or ends cleanly.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::common::batch::put;
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::random::Random;
use crate::common::runner::{Run, Sandbox, run};
use crate::common::skipped;

/// Somebody who runs nothing else.
const USER: &str = "54321";

/// An archive whose layers are worth threads.
fn archive() -> Vec<u8> {
    let mut random = Random(3);
    let layers = (0..3).map(|_| {
        let plain: Vec<u8> = (0..700_000).map(|_| random.byte() & 0x3f).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain)
    });
    Layout::of(&Image::docker(layers.collect()), "docker.io/library/app:v1").tar()
}

/// A copy of the command that everybody can run.
fn program(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.path("ocify");
    // By a child, because others that this process starts would keep a descriptor of it open.
    let copy = [Path::new(env!("CARGO_BIN_EXE_ocify")), &path];
    run(Command::new("cp").args(copy)).exits(0);
    path
}

/// A program that may have so many threads; `None` if they cannot be limited here.
fn limited(sandbox: &Sandbox, threads: usize, program: &Path) -> Option<Command> {
    let limit = format!("--nproc={threads}:{threads}");
    let mut line = vec!["prlimit".to_owned(), limit];
    // Limits do not apply to root.
    if geteuid().is_root() {
        let switch = [
            "setpriv",
            "--reuid",
            USER,
            "--regid",
            USER,
            "--clear-groups",
        ];
        line.splice(0..0, switch.map(str::to_owned));
    }
    let command = |program: &Path| {
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg(program);
        command.current_dir(sandbox.root());
        command
    };
    let can = command(Path::new("true")).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        skipped("a limit of threads: needs prlimit, and setpriv as root");
        return None;
    }
    let mut command = command(program);
    command.env_clear().env("TMPDIR", sandbox.root());
    Some(command)
}

fn writable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// A directory in which everybody may write, with the command, an archive and a tree of archives.
fn sandbox(archive: &[u8]) -> Sandbox {
    let sandbox = Sandbox::new();
    writable(sandbox.root());
    writable(&sandbox.put("in.tar", archive));
    for number in 0..4 {
        put(&sandbox, &format!("in/{number}.tar"), archive);
        writable(&sandbox.path(&format!("in/{number}.tar")));
    }
    writable(&sandbox.path("in"));
    sandbox
}

/// What a run leaves, without the command and reports.
fn left(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<u8>)> {
    let mut left = crate::common::tree(sandbox.root());
    left.retain(|(path, _)| {
        let name = path.to_string_lossy();
        name != "ocify" && !name.contains(".ocify-state")
    });
    left
}

const LINES: [&[&str]; 10] = [
    &["in.tar", "-o", "out.tar"],
    &["in.tar", "-o", "out.tar", "--verify", "full"],
    &["in.tar", "-o", "out.tar", "--verify", "documents"],
    &["in.tar", "--layout", "-o", "out"],
    &[
        "in.tar",
        "-o",
        "out.tar",
        "--compression",
        "gzip",
        "--compression-level",
        "1",
    ],
    &[
        "in.tar",
        "-o",
        "out.tar",
        "--compression",
        "gzip",
        "--gzip-members",
        "single",
    ],
    &["in.tar", "-o", "out.tar", "--compression", "zstd"],
    &["in.tar", "--in-place", "--verify", "full"],
    &["in", "-o", "out"],
    &["in", "--in-place", "--progress", "plain"],
];

/// A run that fails says why, and leaves nothing.
#[track_caller]
fn check_failed(run: &Run, what: &str) {
    assert_eq!(run.code, 1, "{what}: {run:#?}");
    assert!(
        run.stderr.contains("cannot start a thread"),
        "{what}: {run:#?}"
    );
}

#[test]
fn fewer_threads_write_the_same_bytes() {
    let archive = archive();
    let home = sandbox(&archive);
    let ocify = program(&home);
    for line in LINES {
        let expected = sandbox(&archive);
        let before = left(&expected);
        expected.ocify(&[&["fix"], line].concat()).exits(0);
        let expected = left(&expected);
        for threads in [1, 2, 3, 5] {
            let what = format!("{line:?} with {threads} threads");
            let sandbox = sandbox(&archive);
            let Some(mut command) = limited(&sandbox, threads, &ocify) else {
                return;
            };
            let run = run(command.arg("fix").args(line).args(["--jobs", "4"]));
            // zstd writes what it does on several threads only if there is another one.
            if line.contains(&"zstd") && run.code != 0 {
                check_failed(&run, &what);
                assert!(left(&sandbox) == before, "{what}");
            } else {
                assert_eq!(run.code, 0, "{what}: {run:#?}");
                assert!(left(&sandbox) == expected, "{what}");
            }
        }
    }
}

#[test]
fn a_stream_needs_no_thread() {
    let archive = archive();
    let home = sandbox(&archive);
    let ocify = program(&home);
    let stream = "exec \"$0\" fix - --verify full <in.tar >out.tar";
    let mut outputs = Vec::new();
    for threads in [1, 2, 100] {
        let sandbox = sandbox(&archive);
        let Some(mut command) = limited(&sandbox, threads, Path::new("/bin/sh")) else {
            return;
        };
        run(command.args(["-c", stream]).arg(&ocify)).exits(0);
        outputs.push(sandbox.read("out.tar"));
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]));
}
