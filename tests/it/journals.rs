//! Journals that are damaged, hostile, copied or of another version: the file is restored exactly or left unchanged.
//! The journals are encoded here, as `src/journal/format.rs` describes them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::common::batch::batch;
use crate::common::placed::{docker_layout, fix};
use crate::common::runner::{Sandbox, run};
use crate::common::skipped;
use crate::common::trace::failing;

const JOURNAL: &str = ".in.tar.ocify-journal";
const KEPT: &str = ".in.tar.ocify-journal.kept";

/// An interrupted fix: the file before and after it, and half-way.
struct Interrupted {
    old: Vec<u8>,
    new: Vec<u8>,
    torn: Vec<u8>,
    /// Where the two differ first, and after the last difference in the old file.
    changed: (usize, usize),
}

impl Interrupted {
    fn new() -> Self {
        let old = docker_layout().tar();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &old);
        fix(&sandbox, "in.tar", &[]).exits(0);
        let new = sandbox.read("in.tar");
        let first = (0..old.len()).find(|at| old[*at] != new[*at]).unwrap();
        // The end, with the index, is written first.
        let middle = old.len() / 2;
        let mut torn = new.clone();
        torn[..middle].copy_from_slice(&old[..middle]);
        assert!(first < middle && torn != new && torn != old);
        Interrupted {
            changed: (first, old.len()),
            old,
            new,
            torn,
        }
    }

    /// Its journal, for the file at a path.
    fn journal(&self, path: &Path, version: u8) -> Vec<u8> {
        let (start, end) = self.changed;
        let witness = (start.saturating_sub(100), start.min(100));
        let range = (start, &self.old[start..end]);
        let inode = fs::metadata(path).unwrap().ino();
        let witness_hash = Sha256::digest(&self.old[witness.0..witness.0 + witness.1]);
        let numbers = |numbers: &[usize]| -> Vec<u8> {
            let bytes = numbers.iter().map(|number| (*number as u64).to_le_bytes());
            bytes.flatten().collect()
        };
        let body = [
            numbers(&[1, range.0, range.1.len()]),
            range.1.to_vec(),
            numbers(&[1, witness.0, witness.1]),
            witness_hash.to_vec(),
        ];
        let body = body.concat();
        let mut bytes = format!("ocify undo journal {version}\n").into_bytes();
        let file = numbers(&[inode as usize, self.old.len(), self.new.len()]);
        if version == 1 {
            bytes.extend(file);
        } else {
            let len = bytes.len() + 8 + file.len() + 32 + body.len() + 32;
            bytes.extend(numbers(&[len]));
            bytes.extend(file);
            let hash = Sha256::digest(&bytes);
            bytes.extend(hash);
        }
        bytes.extend(body);
        let hash = Sha256::digest(&bytes);
        bytes.extend(hash);
        bytes
    }

    /// A sandbox with the file half-way, and its journal, which `edit` changes.
    fn sandbox(&self, version: u8, edit: impl FnOnce(&mut Vec<u8>)) -> Sandbox {
        let sandbox = Sandbox::new();
        let path = sandbox.put("in.tar", &self.torn);
        let mut journal = self.journal(&path, version);
        edit(&mut journal);
        sandbox.put(JOURNAL, journal);
        sandbox
    }
}

/// The ways to come upon a journal.
const LINES: [&[&str]; 5] = [
    &["--recover", "in.tar"],
    &["in.tar", "-o", "out.tar"],
    &["in.tar", "--in-place"],
    &["in.tar", "--dry-run"],
    &["in.tar", "-o", "out.tar", "--verify", "documents"],
];

#[test]
fn journals_of_all_versions_restore_the_file() {
    let interrupted = Interrupted::new();
    for version in [1, 2] {
        let sandbox = interrupted.sandbox(version, |_| {});
        let run = sandbox.ocify(&["fix", "--recover", "in.tar"]).exits(0);
        assert!(run.stdout.contains("restored"), "{run:?}");
        assert!(sandbox.read("in.tar") == interrupted.old);
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}

#[test]
fn a_damaged_journal_is_kept_and_the_file_is_not_called_restored() {
    let interrupted = Interrupted::new();
    for line in LINES {
        let sandbox = interrupted.sandbox(2, |journal| {
            let middle = journal.len() / 2;
            journal[middle] ^= 1;
        });
        let journal = sandbox.read(JOURNAL);
        let line = [&["fix"], line].concat();
        let run = sandbox.ocify(&line).exits(1);
        for part in [
            "may be half rewritten",
            KEPT,
            "hint: copy or download in.tar again",
        ] {
            assert!(run.stderr.contains(part), "{line:?}: {run:#?}");
        }
        assert!(sandbox.read("in.tar") == interrupted.torn, "{line:?}");
        assert_eq!(sandbox.names(), [KEPT, "in.tar"], "{line:?}");
        assert!(sandbox.read(KEPT) == journal, "{line:?}");
        // It is not in the way of a new copy of the archive.
        sandbox.put("in.tar", &interrupted.old);
        fix(&sandbox, "in.tar", &[]).exits(0);
        assert!(sandbox.read("in.tar") == interrupted.new, "{line:?}");
        assert_eq!(sandbox.names(), [KEPT, "in.tar"], "{line:?}");
    }
    let sandbox = interrupted.sandbox(2, |journal| journal.truncate(40));
    let line = ["fix", "--recover", "in.tar", "--format", "json"];
    let report = sandbox.ocify(&line).exits(1).json();
    assert_eq!(report["error"]["code"], "damaged-journal");
    assert_eq!(report["error"]["class"], "corrupt");
}

#[test]
fn a_copied_pair_gets_a_true_hint() {
    let interrupted = Interrupted::new();
    for line in LINES {
        let sandbox = interrupted.sandbox(2, |journal| {
            // As if the original had another inode.
            let original = tempfile::tempdir().unwrap();
            let path = original.path().join("in.tar");
            fs::write(&path, "").unwrap();
            *journal = interrupted.journal(&path, 2);
        });
        let journal = sandbox.read(JOURNAL);
        let run = sandbox.ocify(&[&["fix"], line].concat()).exits(1);
        for part in ["may be a copy", "recover the original and copy it again"] {
            assert!(run.stderr.contains(part), "{line:?}: {run:#?}");
        }
        assert!(sandbox.read("in.tar") == interrupted.torn, "{line:?}");
        assert!(sandbox.read(JOURNAL) == journal, "{line:?}");
    }
}

#[test]
fn a_journal_of_a_newer_version_is_refused_untouched() {
    let interrupted = Interrupted::new();
    for line in LINES {
        let sandbox = interrupted.sandbox(3, |_| {});
        let journal = sandbox.read(JOURNAL);
        let run = sandbox.ocify(&[&["fix"], line].concat()).exits(1);
        for part in ["found format 3", "recover it with that version"] {
            assert!(run.stderr.contains(part), "{line:?}: {run:#?}");
        }
        assert!(sandbox.read("in.tar") == interrupted.torn, "{line:?}");
        assert!(sandbox.read(JOURNAL) == journal, "{line:?}");
    }
}

/// One journal whose numbers overflow does not keep a batch from its other inputs.
#[test]
fn a_hostile_journal_fails_its_own_input_alone() {
    for version in [1, 2] {
        for jobs in ["1", "4"] {
            for way in [&["--in-place"][..], &["-o", "out"]] {
                let sandbox = Sandbox::new();
                fs::create_dir(sandbox.path("in")).unwrap();
                let bytes = docker_layout().tar();
                for name in ["a", "b", "c", "d"] {
                    sandbox.put(&format!("in/{name}.tar"), &bytes);
                }
                let path = sandbox.path("in/b.tar");
                let hostile = Interrupted {
                    torn: bytes.clone(),
                    new: bytes.clone(),
                    changed: (200, 300),
                    old: bytes.clone(),
                };
                let mut journal = hostile.journal(&path, version);
                // The last two numbers before the two hashes are a witness.
                let at = journal.len() - 64 - 16;
                journal[at..at + 16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80].repeat(2));
                let end = journal.len() - 32;
                let hash = Sha256::digest(&journal[..end]);
                journal[end..].copy_from_slice(&hash);
                sandbox.put("in/.b.tar.ocify-journal", &journal);
                let line = [&["in", "--jobs", jobs], way].concat();
                let ended = batch(&sandbox, &line);
                let failed = if version == 1 { 0 } else { 1 };
                assert_eq!(
                    (ended.count("fixed"), ended.count("failed")),
                    (4 - failed, failed)
                );
                ended.exits(i32::from(failed > 0));
                if failed > 0 {
                    assert_eq!(ended.ends()["in/b.tar"], "damaged-journal");
                    assert!(sandbox.read("in/b.tar") == bytes);
                    assert!(sandbox.read("in/.b.tar.ocify-journal.kept") == journal);
                }
            }
        }
    }
}

/// Journals are never copied as files that are not archives.
#[test]
fn journals_are_not_copied_with_other_files() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    sandbox.put("in/a.tar", docker_layout().tar());
    sandbox.put("in/.b.tar.ocify-journal", "journal");
    sandbox.put("in/.b.tar.ocify-journal.kept", "journal");
    sandbox.put("in/notes", "notes");
    let ended = batch(&sandbox, &["in", "-o", "out", "--copy-others"]);
    ended.exits(0);
    let names: Vec<_> = crate::common::batch::outputs(&sandbox.path("out"))
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(names, [Path::new("a.tar"), Path::new("notes")]);
}

#[test]
fn a_link_to_an_open_file_is_not_fixed_in_place() {
    let bytes = docker_layout().tar();
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", &bytes);
    symlink("/dev/stdin", sandbox.path("link")).unwrap();
    for input in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "link"] {
        for option in [
            &["--in-place"][..],
            &["--recover"],
            &["--in-place", "--dry-run"],
        ] {
            let mut command = sandbox.command();
            command.arg("fix").args(option).arg(input);
            let file = File::options().read(true).write(true).open(&path).unwrap();
            command
                .stdin(file)
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let ended = command.spawn().unwrap().wait_with_output().unwrap();
            let text = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(2), "{input} {option:?}: {text}");
            assert!(text.contains("give the file's own name"), "{input}: {text}");
            assert!(sandbox.read("in.tar") == bytes, "{input} {option:?}");
        }
    }
    // In a list, it is the failure of one input.
    sandbox.put("list", "in.tar\nlink\n");
    sandbox.put("other.tar", &bytes);
    let mut command = sandbox.command();
    command.args(["fix", "--in-place", "--files-from", "list"]);
    let other = File::open(sandbox.path("other.tar")).unwrap();
    let ended = command.stdin(other).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("is not the name of a file"), "{text}");
    assert!(sandbox.read("other.tar") == bytes);
}

/// Where a filesystem has no locks, as some network filesystems, a fix in place says so and goes on.
#[test]
fn a_filesystem_without_locks_is_mentioned() {
    for error in ["ENOLCK", "EOPNOTSUPP"] {
        let sandbox = Sandbox::new();
        for name in ["a.tar", "b.tar", "c.tar"] {
            sandbox.put(name, docker_layout().tar());
        }
        let injected = format!("inject=flock:error={error}");
        let traced = |line: &[&str]| {
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e", &injected]);
            command.arg(env!("CARGO_BIN_EXE_ocify")).args(line);
            command.current_dir(sandbox.root());
            command
        };
        let can = traced(&["--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !can.is_ok_and(|status| status.success()) {
            skipped("a filesystem without locks: needs strace");
            return;
        }
        let warning = "warning: the filesystem of ";
        let one = run(&mut traced(&["fix", "--in-place", "a.tar"])).exits(0);
        assert_eq!(one.stderr.matches(warning).count(), 1, "{one:?}");
        let many = run(&mut traced(&["fix", "--in-place", "b.tar", "c.tar"])).exits(0);
        assert_eq!(many.stderr.matches(warning).count(), 1, "{many:?}");
        // Nothing keeps another run away from these outputs.
        let outputs = run(&mut traced(&["fix", "b.tar", "c.tar", "-o", "outputs/"])).exits(0);
        let of_outputs = format!("{warning}outputs has no locks");
        assert_eq!(
            outputs.stderr.matches(&of_outputs).count(),
            1,
            "{outputs:?}"
        );
        let reads = run(&mut traced(&["fix", "a.tar", "-o", "out.tar"])).exits(0);
        assert_eq!(reads.stderr, "");
        // Whoever restores a file writes to it.
        let lines: [&[&str]; 3] = [
            &["--recover", "in.tar"],
            &["in.tar", "--dry-run", "--verify", "documents"],
            &["--files-from", "list", "-o", "out/"],
        ];
        for line in lines {
            let pair = Interrupted::new().sandbox(2, |_| {});
            pair.put("list", "in.tar\n");
            let mut command = traced(&[&["fix"], line].concat());
            let run = run(command.current_dir(pair.root()));
            assert_eq!(run.stderr.matches(warning).count(), 1, "{run:?}");
            assert!(pair.read("in.tar") == docker_layout().tar());
        }
    }
}

/// Only a journal that is not there is none.
#[test]
fn a_journal_that_cannot_be_looked_up_is_an_error() {
    let interrupted = Interrupted::new();
    for line in LINES {
        let sandbox = interrupted.sandbox(2, |_| {});
        let journal = format!("./{JOURNAL}");
        let calls = ["-P", &journal, "-e", "inject=statx,newfstatat:error=EIO"];
        let Some(mut command) = failing(&sandbox, &calls, &[&["fix"], line].concat()) else {
            return;
        };
        let run = run(&mut command).exits(1);
        assert!(
            run.stderr.contains("Input/output error"),
            "{line:?}: {run:?}"
        );
        assert!(sandbox.read("in.tar") == interrupted.torn, "{line:?}");
        assert_eq!(sandbox.names(), [JOURNAL, "in.tar"], "{line:?}");
    }
}

/// Only the last sync of a directory fails, or the report cannot be shown.
#[test]
fn an_error_after_the_output_is_complete_says_so() {
    let complete = "hint: the output itself is complete\n";
    let bytes = docker_layout().tar();
    let expected = Sandbox::new();
    expected.put("in.tar", &bytes);
    expected.fix("in.tar", "out.tar").exits(0);
    fix(&expected, "in.tar", &[]).exits(0);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &bytes);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = sandbox.command();
    command
        .args(["fix", "in.tar", "-o", "out.tar"])
        .stdout(full());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().ends_with(complete));
    assert!(sandbox.read("out.tar") == expected.read("out.tar"));

    for (line, sync) in [
        (&["in.tar", "-o", "new.tar", "--sync"][..], 2),
        (&["in.tar", "--in-place"], 4),
    ] {
        let mut command = Command::new("strace");
        let injected = format!("inject=fsync:error=EIO:when={sync}");
        command.args(["-f", "-o", "/dev/null", "-e", &injected]);
        command
            .arg(env!("CARGO_BIN_EXE_ocify"))
            .arg("fix")
            .args(line);
        command.current_dir(sandbox.root());
        let Ok(ended) = command.output() else {
            skipped("a sync that fails: needs strace");
            return;
        };
        let text = String::from_utf8(ended.stderr).unwrap();
        if text.contains("ptrace") {
            skipped("a sync that fails: strace is not allowed");
            return;
        }
        assert_eq!(ended.status.code(), Some(1), "{line:?}: {text}");
        assert!(
            text.contains("cannot sync") && text.ends_with(complete),
            "{text}"
        );
    }
    assert!(sandbox.read("new.tar") == expected.read("out.tar"));
    assert!(sandbox.read("in.tar") == expected.read("in.tar"));
    assert_eq!(sandbox.names(), ["in.tar", "new.tar", "out.tar"]);
}

/// A run that is killed while it writes the journal leaves none under its name, and the next run removes what it
/// left. Without /proc, a file without a name could not get one.
#[test]
fn a_journal_gets_its_name_only_when_it_is_complete() {
    let interrupted = Interrupted::new();
    for is_hidden in [false, true] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &interrupted.old);
        let command = |limit: Option<u64>, program: &str, line: &[&str]| {
            let mut words = Vec::new();
            if is_hidden {
                let hides = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
                words.extend(["unshare", "-m", "sh", "-c", hides].map(str::to_owned));
            }
            if let Some(limit) = limit {
                words.extend(["prlimit".to_owned(), format!("--fsize={limit}:{limit}")]);
            }
            words.push(program.to_owned());
            words.extend(line.iter().map(|word| (*word).to_owned()));
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).current_dir(sandbox.root());
            command
        };
        let can = command(Some(1), "true", &[]).stderr(Stdio::null()).status();
        if !can.is_ok_and(|status| status.success()) {
            skipped("a journal that is not complete: needs prlimit, and root and unshare");
            continue;
        }
        let ocify = env!("CARGO_BIN_EXE_ocify");
        let line = ["fix", "--in-place", "in.tar"];
        // A longer write ends the process by a signal.
        let status = command(Some(1000), ocify, &line).status().unwrap();
        assert_eq!(status.signal(), Some(25), "{status:?}");
        assert!(sandbox.read("in.tar") == interrupted.old);
        let mut left = sandbox.names();
        left.retain(|name| name != "in.tar");
        let is_temporary = |name: &String| name.ends_with(".ocify-tmp");
        assert!(
            left.len() == usize::from(is_hidden) && left.iter().all(is_temporary),
            "{left:?}"
        );
        run(&mut command(None, ocify, &line)).exits(0);
        assert!(sandbox.read("in.tar") == interrupted.new);
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}
