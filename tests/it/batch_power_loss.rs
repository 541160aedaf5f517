//! Power failures during a batch. A run is traced, and a crash after each of its steps can keep or lose whatever was not synced, in any order.
//! After every such state, no damaged output has its final name, and the next run ends the work.
//!
//! `OCIFY_CRASH_STATES=COUNT` tries more states, and `OCIFY_SEED=N` begins with that seed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::common::batch::{batch, outputs, put, put_fixture};
use crate::common::random::Random;
use crate::common::runner::{Sandbox, run};
use crate::common::trace::{Event, failing, record};

const STATE: &str = ".ocify-state";

/// What is at a path: the bytes of a file, or nothing for a directory, and the time of the last change.
type Files = BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>;

fn files(root: &Path) -> Files {
    let found = outputs(root).into_iter().map(|(path, bytes)| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let bytes = metadata.is_file().then_some(bytes);
        (path, (bytes, metadata.modified().unwrap()))
    });
    found.collect()
}

/// The files of one output, or of none: an output can be a directory.
fn below(files: &Files, output: &Path) -> Files {
    let of_output = files.iter().filter(|(path, _)| path.starts_with(output));
    of_output
        .map(|(path, file)| (path.clone(), file.clone()))
        .collect()
}

/// A traced run.
struct Trace {
    sandbox: Sandbox,
    args: Vec<String>,
    /// With paths below the output directory.
    events: Vec<Event>,
    /// The output directory before and after the run.
    before: Files,
    after: Files,
    state_before: Vec<u8>,
    state_after: Vec<u8>,
}

impl Trace {
    /// Runs a batch in a sandbox, whose output directory may have outputs already.
    fn record(sandbox: Sandbox, args: &[&str]) -> Option<Trace> {
        let out = sandbox.path("out");
        let state = || fs::read(out.join(STATE)).unwrap_or_default();
        let before = if out.exists() {
            files(&out)
        } else {
            Files::new()
        };
        let state_before = state();
        let line = [&["fix", "in", "-o", "out"][..], args].concat();
        let events = record(&sandbox, &line)?;
        let root = fs::canonicalize(&out).unwrap();
        let in_output = |path: &Path| path.strip_prefix(&root).ok().map(Path::to_owned);
        // The start of a sync is counted in events of the whole trace, so all of them stay.
        let events = events.into_iter().map(|event| match event {
            Event::Named(path) => Event::Named(in_output(&path).unwrap_or(path)),
            Event::Renamed(from, to) => Event::Renamed(
                in_output(&from).unwrap_or(from),
                in_output(&to).unwrap_or(to),
            ),
            Event::Removed(path) => Event::Removed(in_output(&path).unwrap_or(path)),
            Event::Written(path, len) => Event::Written(in_output(&path).unwrap_or(path), len),
            Event::Synced {
                path,
                is_filesystem,
                start,
            } => Event::Synced {
                path: in_output(&path).unwrap_or(path),
                is_filesystem,
                start,
            },
        });
        let trace = Trace {
            args: line.iter().map(|&arg| arg.to_owned()).collect(),
            events: events.collect(),
            before,
            after: files(&out),
            state_before,
            state_after: state(),
            sandbox,
        };
        // Otherwise no crash would lose or damage anything.
        for (path, (bytes, _)) in &trace.after {
            let is_renamed = trace.events.iter().any(|event| match event {
                Event::Renamed(_, to) => path.starts_with(to),
                _ => false,
            });
            let is_kept = trace.before.get(path) == trace.after.get(path);
            assert!(
                is_renamed || is_kept || bytes.is_none(),
                "no rename of {}",
                path.display()
            );
        }
        Some(trace)
    }

    /// The first event after which the effect of an event is on disk.
    fn durable(&self, number: usize, is_synced: impl Fn(&Path) -> bool) -> usize {
        let all = self.events.iter().enumerate().skip(number);
        let mut syncs = all.filter(|(_, event)| match event {
            Event::Synced {
                path,
                is_filesystem,
                start,
            } => *start > number && (*is_filesystem || is_synced(path)),
            _ => false,
        });
        syncs.next().map_or(usize::MAX, |(at, _)| at)
    }

    /// Whether the directories whose names lead to an output were all synced after these names were given, and OUTPUT's own name.
    fn is_durable(&self, output: &Path) -> bool {
        let is_named = |event: &Event, name: &Path| match event {
            Event::Named(path) | Event::Renamed(_, path) => path == name,
            _ => false,
        };
        output.ancestors().all(|name| {
            let named = self.events.iter().rposition(|event| is_named(event, name));
            let inside = name.parent().map(Path::to_owned);
            let parent = inside.unwrap_or_else(|| fs::canonicalize(self.sandbox.root()).unwrap());
            self.events.iter().any(|event| match event {
                Event::Synced { path, start, .. } => {
                    *path == parent && named.is_none_or(|named| *start > named)
                }
                _ => false,
            })
        })
    }

    /// The outputs and the directories that lead to them, but not what is in the layout.
    fn outputs(&self) -> Vec<&Path> {
        let all = self.after.keys().map(PathBuf::as_path);
        all.filter(|path| *path == Path::new("layout") || !path.starts_with("layout"))
            .collect()
    }

    /// The output directory as a crash after so many events can leave it.
    fn crash(&self, end: usize, random: &mut Random) -> (Files, Option<Vec<u8>>) {
        let mut found = self.before.clone();
        let mut state = self.state_before.clone();
        let mut state_is_named = !state.is_empty();
        let mut at = state.len();
        let is_kept = |number: usize, durable: usize, random: &mut Random| {
            number < end && (durable < end || random.index(2) == 0)
        };
        for (number, event) in self.events.iter().enumerate().take(end) {
            match event {
                Event::Renamed(from, to) if self.is_output(to) => {
                    let parent = to.parent().unwrap();
                    let named = self.durable(number, |path| path == parent);
                    if !is_kept(number, named, random) {
                        continue;
                    }
                    found.retain(|path, _| !path.starts_with(to));
                    for (path, (bytes, modified)) in below(&self.after, to) {
                        let staged = match path.strip_prefix(to) {
                            Ok(rest) if rest.as_os_str().is_empty() => from.clone(),
                            Ok(rest) => from.join(rest),
                            Err(_) => unreachable!(),
                        };
                        let written = self.written(from, number);
                        let data = self.durable(written, |path| path == staged);
                        let bytes = match data < end {
                            true => bytes,
                            false => bytes.map(|bytes| torn(bytes, random)),
                        };
                        found.insert(path, (bytes, modified));
                    }
                }
                Event::Written(path, len) if path == Path::new(STATE) => {
                    state_is_named = true;
                    let part = &self.state_after[at..at + *len as usize];
                    at += *len as usize;
                    let durable = self.durable(number, |path| path == Path::new(STATE));
                    match is_kept(number, durable, random) {
                        true => state.extend(part),
                        // Nothing that comes later is on disk without it, except zeros before it.
                        false if random.index(2) == 0 => {
                            state.extend(torn(part.to_vec(), random));
                            break;
                        }
                        false => {}
                    }
                }
                _ => {}
            }
        }
        (found, state_is_named.then_some(state))
    }

    fn is_output(&self, path: &Path) -> bool {
        !below(&self.after, path).is_empty()
    }

    /// The event by which a complete output got its staged name.
    fn written(&self, staged: &Path, before: usize) -> usize {
        let mut events = self.events.iter().enumerate().take(before);
        let last = events.rfind(|(_, event)| match event {
            Event::Named(path) | Event::Renamed(_, path) => path == staged,
            _ => false,
        });
        last.map_or(0, |(number, _)| number)
    }

    /// Puts a state into the output directory.
    fn restore(&self, found: &Files, state: Option<&[u8]>) {
        let out = self.sandbox.path("out");
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        for (path, (bytes, modified)) in found {
            let name = format!("out/{}", path.display());
            match bytes {
                Some(bytes) => put(&self.sandbox, &name, bytes),
                None => fs::create_dir_all(out.join(path)).unwrap(),
            }
            set_modified(&out.join(path), *modified);
        }
        // Those of directories changed with what is in them.
        for (path, (_, modified)) in found {
            set_modified(&out.join(path), *modified);
        }
        if let Some(state) = state {
            fs::write(out.join(STATE), state).unwrap();
        }
    }

    /// Lets the next run end the work.
    fn end(&self, what: &str) {
        let args: Vec<&str> = self.args[1..].iter().map(String::as_str).collect();
        let next = batch(&self.sandbox, &args);
        assert_eq!(next.run.code, 0, "{what}: {:#?}", next.run);
        let contents = |files: &Files| -> BTreeMap<PathBuf, Option<Vec<u8>>> {
            let all = files.iter();
            all.map(|(path, (bytes, _))| (path.clone(), bytes.clone()))
                .collect()
        };
        let found = files(&self.sandbox.path("out"));
        assert!(contents(&found) == contents(&self.after), "{what}");
        let again = batch(&self.sandbox, &args);
        assert_eq!(
            again.summary["items"]["total"],
            again.count("kept"),
            "{what}"
        );
    }

    fn check(&self, seed: u64, count: usize) {
        let mut random = Random(seed);
        let mut damaged = 0;
        for number in 0..count {
            // Each step, and steps between them again with other choices.
            let end = number % (self.events.len() + 1);
            let (found, state) = self.crash(end, &mut random);
            let what = format!("seed {seed}, state {number}, after {end} steps");
            for (path, (bytes, _)) in &found {
                let is_old = self.before.get(path).is_some_and(|(old, _)| old == bytes);
                let is_new = self.after.get(path).is_some_and(|(new, _)| new == bytes);
                damaged += usize::from(!is_old && !is_new);
            }
            assert_eq!(damaged, 0, "{what}: an output is damaged");
            self.restore(&found, state.as_deref());
            self.end(&what);
        }
    }
}

fn set_modified(path: &Path, modified: SystemTime) {
    File::open(path).unwrap().set_modified(modified).unwrap();
}

/// Bytes that were not synced: empty, zeros, cut, or complete.
fn torn(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    match random.index(4) {
        0 => bytes.clear(),
        1 => bytes.fill(0),
        2 => bytes.truncate(bytes.len() / 2),
        _ => {}
    }
    bytes
}

fn variable(name: &str, default: usize) -> usize {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().unwrap())
}

/// Archives in several directories, and a layout.
fn sandbox(count: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    let names = [
        "buildkit-docker-zstd-ocifalse.tar",
        "docker20-save.tar",
        "buildkit-oci-gzip-ocifalse.tar",
    ];
    for number in 0..count {
        let folder = ["", "a/", "a/deep/"][number % 3];
        put_fixture(
            &sandbox,
            &format!("in/{folder}{number}.tar"),
            names[number % names.len()],
        );
    }
    let line = [
        "fix",
        "in/0.tar",
        "--layout",
        "-o",
        "in/layout",
        "--oci-mediatypes=false",
    ];
    sandbox
        .ocify(&[&line[..], &["--compression", "gzip"]].concat())
        .exits(0);
    sandbox
}

#[test]
fn a_batch_that_loses_power_is_finished_by_the_next_run() {
    let (seed, count) = (
        variable("OCIFY_SEED", 1),
        variable("OCIFY_CRASH_STATES", 90),
    );
    // Few outputs are synced one by one, and many at once.
    for outputs in [3, 12] {
        let Some(new) = Trace::record(sandbox(outputs), &["--jobs", "2"]) else {
            return;
        };
        assert!(new.events.len() > outputs);
        new.check(seed as u64, count / 3);
    }
    // Outputs that replace those of an earlier run.
    let sandbox = sandbox(4);
    sandbox.ocify(&["fix", "in", "-o", "out"]).exits(0);
    let args = ["--compression", "uncompressed", "--jobs", "1"];
    let Some(replaced) = Trace::record(sandbox, &args) else {
        return;
    };
    assert!(!replaced.before.is_empty());
    replaced.check(seed as u64, count / 3);
}

/// Archives, a layout and other files, with a link alone in its directory. These are so few that they are synced one by one.
fn sandbox_with_others() -> Sandbox {
    let sandbox = sandbox(3);
    put(&sandbox, "in/other/notes", "notes");
    fs::create_dir(sandbox.path("in/links")).unwrap();
    symlink("nowhere", sandbox.path("in/links/link")).unwrap();
    sandbox
}

#[test]
fn with_sync_the_names_of_all_outputs_are_on_disk_when_a_run_ends() {
    let args = ["--copy-others", "--jobs", "1"];
    let with_sync = [&args[..], &["--sync"]].concat();
    let Some(new) = Trace::record(sandbox_with_others(), &with_sync) else {
        return;
    };
    let expected = [
        "0.tar",
        "a",
        "a/1.tar",
        "a/deep",
        "a/deep/2.tar",
        "layout",
        "links",
        "links/link",
        "other",
        "other/notes",
    ];
    assert_eq!(new.outputs(), expected.map(Path::new));
    for output in new.outputs() {
        assert!(new.is_durable(output), "{}", output.display());
    }
    // Without it, only what is in them.
    let without = Trace::record(sandbox_with_others(), &args).unwrap();
    for output in without.outputs() {
        assert!(!without.is_durable(output), "{}", output.display());
    }
    // What an earlier run wrote without it is kept; each directory is synced once, and so is the record.
    let kept = Trace::record(without.sandbox, &with_sync).unwrap();
    assert!(kept.before == kept.after);
    for output in kept.outputs() {
        assert!(kept.is_durable(output), "{}", output.display());
    }
    let synced = kept.events.iter().filter_map(|event| match event {
        Event::Synced { path, .. } => Some(path.to_str().unwrap()),
        _ => None,
    });
    let mut synced: Vec<&str> = synced.collect();
    synced.sort_unstable();
    let root = fs::canonicalize(kept.sandbox.root()).unwrap();
    let expected = [
        "",
        ".ocify-state",
        root.to_str().unwrap(),
        "a",
        "a/deep",
        "links",
        "other",
    ];
    assert_eq!(synced, expected);
}

#[test]
fn with_sync_the_name_of_the_output_directory_is_on_disk_too() {
    let sandbox = sandbox(2);
    let root = fs::canonicalize(sandbox.root()).unwrap();
    // A single output in a new directory.
    let Some(events) = record(&sandbox, &["fix", "in/0.tar", "-o", "new/", "--sync"]) else {
        return;
    };
    let named = Event::Named(root.join("new"));
    let named = events.iter().position(|event| *event == named).unwrap();
    let is_synced = |event: &Event| matches!(event, Event::Synced { path, start, .. } if *path == root && *start > named);
    assert!(events.iter().any(is_synced), "{events:#?}");

    // One that cannot be synced is an error, and is removed if it is new. One that exists need not be readable.
    fs::create_dir(sandbox.path("existing")).unwrap();
    fs::create_dir(sandbox.path("links")).unwrap();
    symlink("../existing", sandbox.path("links/link")).unwrap();
    let path = root.to_str().unwrap();
    for (output, fault, code) in [
        ("none", "inject=fsync:error=EIO", 1),
        ("none", "inject=openat:error=EACCES", 1),
        ("existing", "inject=fsync:error=EIO", 1),
        ("existing", "inject=openat:error=EACCES", 0),
        ("links/link", "inject=fsync:error=EIO", 1),
    ] {
        for input in ["in/a", "in/0.tar"] {
            let output = format!("{output}/");
            let line = ["fix", input, "-o", &output, "--force", "--sync"];
            let calls = ["-P", path, "-e", fault];
            let run = run(&mut failing(&sandbox, &calls, &line).unwrap()).exits(code);
            let expected = format!("cannot sync {path}: ");
            let is_reported = run.stderr.contains(&expected);
            assert_eq!(is_reported, code == 1, "{line:?} {fault}: {run:#?}");
            assert!(!sandbox.path("none").exists());
        }
    }
}
