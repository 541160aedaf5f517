//! Kills and power failures while a layout is fixed in place: after each, `index.json` leads to the old layout or the new
//! one, all of whose blobs are there, and the next run ends the work.
//!
//! `OCIFY_CRASH_STATES=COUNT` and `OCIFY_KILLS=COUNT` try more, and `OCIFY_SEED=N` begins with that seed.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::builder::{
    DOCKER_GZIP, DOCKER_MANIFEST, Image, Layer, Layout, OCI_GZIP, docker_item, named,
};
use crate::common::contents::Contents;
use crate::common::evidence::attestation;
use crate::common::fixture;
use crate::common::injected::{Fault, Injection, calls, injected};
use crate::common::intact::intact;
use crate::common::placed::fix;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::trace::{Event, record};

const INDEX: &str = "index.json";
const MANIFEST: &str = "manifest.json";
const RECORD: &str = ".ocify-in-place";
const LOCK: &str = "index.json.lock";

type Files = BTreeMap<String, Vec<u8>>;

fn count(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |count| count.parse().unwrap())
}

fn write(root: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
}

/// Two images, one with evidence, and `manifest.json` for both.
fn two_images() -> Layout {
    let mut layout = Layout::new();
    let one = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "one")]);
    let two = Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]).architecture("arm64");
    let items = [(&one, "app:v1"), (&two, "app:v2")].map(|(image, tag)| {
        let manifest = layout.manifest(image);
        docker_item(&manifest, &[tag])
    });
    let [one, two] = [&one, &two].map(|image| layout.image(image));
    let about = attestation(&mut layout, &one);
    layout.root(vec![
        named(one, "docker.io/library/app:v1"),
        named(two, "docker.io/library/app:v2"),
        about,
    ]);
    layout.docker_manifest = Some(json!(items).to_string().into_bytes());
    layout.blob("x", "nothing refers to this");
    layout
}

/// A fix, and what it does to the layout.
struct Case {
    options: &'static [&'static str],
    before: Files,
    after: Files,
    events: Vec<Event>,
}

impl Case {
    /// `None` if system calls cannot be traced here.
    fn record(before: Files, options: &'static [&'static str]) -> Option<Case> {
        let sandbox = Sandbox::new();
        write(&sandbox.path("in"), &before);
        let line = [&["fix", "--in-place", "in"], options].concat();
        let events = record(&sandbox, &line)?;
        let root = fs::canonicalize(sandbox.path("in")).unwrap();
        let inside = |path: PathBuf| match path.strip_prefix(&root) {
            Ok(inside) => inside.to_owned(),
            Err(_) => path,
        };
        let events = events.into_iter().map(|event| match event {
            Event::Named(path) => Event::Named(inside(path)),
            Event::Renamed(from, to) => Event::Renamed(inside(from), inside(to)),
            Event::Removed(path) => Event::Removed(inside(path)),
            Event::Written(path, len) => Event::Written(inside(path), len),
            Event::Synced {
                path,
                is_filesystem,
                start,
            } => Event::Synced {
                path: inside(path),
                is_filesystem,
                start,
            },
        });
        let case = Case {
            options,
            before,
            after: Contents::read(&sandbox.path("in")).files,
            events: events.collect(),
        };
        assert_ne!(case.before, case.after, "{options:?}");
        case.content_is_synced_before_it_has_a_name();
        Some(case)
    }

    /// A blob with a name would otherwise be damaged after a power failure, and a build would not write it again.
    fn content_is_synced_before_it_has_a_name(&self) {
        let mut is_synced = false;
        for event in &self.events {
            match event {
                Event::Synced { path, .. } => {
                    is_synced |= path.to_string_lossy().contains('#');
                }
                Event::Named(path) => {
                    assert!(
                        is_synced,
                        "{} is not on disk: {:?}",
                        path.display(),
                        self.options
                    );
                    is_synced = false;
                }
                _ => {}
            }
        }
    }

    /// The bytes that a file has once it is complete.
    fn content(&self, path: &Path) -> Vec<u8> {
        let name = path.to_str().unwrap();
        if name == RECORD {
            let all: BTreeSet<&String> = self.before.keys().chain(self.after.keys()).collect();
            let changed = all.into_iter().filter(|name| {
                name.starts_with("blobs/") && self.before.get(*name) != self.after.get(*name)
            });
            let digests: Vec<String> = changed
                .map(|name| format!("sha256:{}", &name[13..]))
                .collect();
            return json!({"version": 1, "blobs": digests})
                .to_string()
                .into_bytes();
        }
        let is_renamed = |event: &&Event| matches!(event, Event::Renamed(from, _) if from == path);
        let renamed = self.events.iter().find(is_renamed);
        let name = match renamed {
            Some(Event::Renamed(_, to)) => to.to_str().unwrap(),
            _ => name,
        };
        self.after[name].clone()
    }

    /// Whether the effect of an event is on disk at a moment.
    fn is_durable(&self, number: usize, path: &Path, moment: usize) -> bool {
        let parent = path.parent().unwrap();
        let events = self.events[number..moment].iter();
        events.into_iter().any(|event| match event {
            Event::Synced {
                path,
                is_filesystem,
                start,
            } => *start > number && (*is_filesystem || path == parent),
            _ => false,
        })
    }

    /// What may be on disk if the power fails at a moment: of what was not synced, anything.
    fn state(&self, moment: usize, random: &mut Random) -> Files {
        let mut files = self.before.clone();
        for (number, event) in self.events[..moment].iter().enumerate() {
            let path = match event {
                Event::Named(path) | Event::Renamed(_, path) | Event::Removed(path) => path,
                _ => continue,
            };
            if !path.is_relative() || !self.is_durable(number, path, moment) && random.index(2) == 0
            {
                continue;
            }
            let name = path.to_str().unwrap().to_owned();
            match event {
                Event::Named(_) => {
                    files.insert(name, self.content(path));
                }
                Event::Renamed(from, _) => {
                    files.remove(from.to_str().unwrap());
                    files.insert(name, self.content(from));
                }
                _ => {
                    files.remove(&name);
                }
            }
        }
        if random.index(4) == 0 {
            files.insert(LOCK.to_owned(), Vec::new());
        }
        files
    }

    fn check(&self, files: &Files, what: &str) {
        let sandbox = Sandbox::new();
        let root = sandbox.path("in");
        write(&root, files);
        let what = format!("{what}: {:?} {:#?}", self.options, files.keys());
        self.is_old_or_new(files, &what);
        intact(&root).unwrap_or_else(|fault| panic!("{fault}\n{what}"));
        fix(&sandbox, "in", self.options).exits(0);
        let mut end = Contents::read(&root).files;
        // A temporary name, or a lock that nobody holds, is removed by the next run that needs one.
        end.retain(|name, _| !name.ends_with(".ocify-tmp") && name != LOCK);
        assert_eq!(
            end.keys().collect::<Vec<_>>(),
            self.after.keys().collect::<Vec<_>>(),
            "{what}"
        );
        assert_eq!(end, self.after, "{what}");
    }

    fn is_old_or_new(&self, files: &Files, what: &str) {
        let index = files.get(INDEX);
        let is_new = index == self.after.get(INDEX);
        assert!(is_new || index == self.before.get(INDEX), "{what}");
        if let Some(manifest) = files.get(MANIFEST) {
            let of = if is_new { &self.after } else { &self.before };
            assert_eq!(Some(manifest), of.get(MANIFEST), "{what}");
        }
    }
}

fn cases() -> Vec<Option<Case>> {
    let cache = Contents::read(&fixture("buildkit-cache-list-ocifalse")).files;
    let contents = |layout: &Layout| Contents::from_tar(&layout.tar()).files;
    let two = contents(&two_images());
    vec![
        Case::record(cache, &[]),
        Case::record(two.clone(), &[]),
        Case::record(two.clone(), &["--compression", "zstd"]),
        Case::record(two.clone(), &["--image", "1", "--attestations", "drop"]),
        Case::record(two, &["--orphans", "drop", "--orphans-older-than", "0"]),
    ]
}

#[test]
fn a_power_failure_leaves_the_old_or_the_new_layout() {
    let states = count("OCIFY_CRASH_STATES", 60);
    let seed = count("OCIFY_SEED", 1);
    for case in cases() {
        let Some(case) = case else { return };
        let mut seen = BTreeSet::new();
        for number in 0..states {
            let mut random = Random((seed + number) as u64);
            let moment = random.index(case.events.len() + 1);
            let state = case.state(moment, &mut random);
            if seen.insert(state.clone()) {
                case.check(&state, &format!("seed {} at event {moment}", seed + number));
            }
        }
        println!("{:?}: {} states", case.options, seen.len());
        assert!(seen.len() > 5, "{:?}", case.options);
    }
}

/// Every moment, as if the system kept everything that was done until then.
#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new_layout() {
    for case in cases() {
        let Some(case) = case else { return };
        let all = case.events.len();
        let mut seen = BTreeSet::new();
        for moment in 0..=all {
            let mut files = case.before.clone();
            for event in &case.events[..moment] {
                match event {
                    Event::Named(path) if path.is_relative() => {
                        files.insert(path.to_str().unwrap().to_owned(), case.content(path));
                    }
                    Event::Renamed(from, to) => {
                        files.remove(from.to_str().unwrap());
                        files.insert(to.to_str().unwrap().to_owned(), case.content(from));
                    }
                    Event::Removed(path) => {
                        files.remove(path.to_str().unwrap());
                    }
                    _ => {}
                }
            }
            if seen.insert(files.clone()) {
                case.check(&files, &format!("after {moment} events"));
            }
        }
        assert!(
            seen.contains(&case.after),
            "the trace is not all: {:#?}",
            case.events
        );
    }
}

/// A layout of many manifests, so that fixing it takes a while.
fn many() -> Files {
    let mut layout = Layout::new();
    let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "shared")]);
    let mut root = Vec::new();
    for number in 0..80 {
        let image = image.clone().architecture(&format!("arch{number}"));
        let mut manifest = layout.manifest(&image);
        manifest["annotations"] = json!({"number": number.to_string()});
        let descriptor = layout.document(DOCKER_MANIFEST, &manifest);
        root.push(named(descriptor, &format!("example.com/app:{number}")));
    }
    layout.root(root);
    Contents::from_tar(&layout.tar()).files
}

/// Waits until a fix in place has written its record, or has ended.
fn wait_for_record(root: &Path, child: &mut Child) {
    while !root.join(RECORD).exists() && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_micros(50));
    }
}

/// How long a fix in place runs after it has written its record.
fn time_of_writing(before: &Files) -> Duration {
    let sandbox = Sandbox::new();
    let root = sandbox.path("in");
    write(&root, before);
    let mut command = sandbox.command();
    command.args(["fix", "--in-place", "in"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    wait_for_record(&root, &mut child);
    let start = Instant::now();
    assert!(child.wait().unwrap().success());
    start.elapsed()
}

#[test]
fn a_killed_fix_leaves_the_old_or_the_new_layout() {
    let before = many();
    let sandbox = Sandbox::new();
    write(&sandbox.path("in"), &before);
    let time = fix(&sandbox, "in", &[]).exits(0).time;
    let writing = time_of_writing(&before);
    let case = Case {
        options: &[],
        before,
        after: Contents::read(&sandbox.path("in")).files,
        events: Vec::new(),
    };
    let wanted = count("OCIFY_KILLS", 40);
    let mut random = Random(count("OCIFY_SEED", 1) as u64);
    let (mut killed, mut between, mut runs) = (0, 0, 0);
    while killed < wanted || between < wanted / 4 {
        runs += 1;
        assert!(
            runs < 40 * wanted,
            "{runs} runs, {killed} killed, {between} of them between"
        );
        let sandbox = Sandbox::new();
        let root = sandbox.path("in");
        write(&root, &case.before);
        let mut command = sandbox.command();
        command.args(["fix", "--in-place", "in"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut limit = time;
        // Half of them while it writes.
        if runs % 2 == 0 {
            wait_for_record(&root, &mut child);
            limit = writing;
        }
        thread::sleep(random.below(limit));
        child.kill().unwrap();
        if child.wait().unwrap().signal() != Some(9) {
            continue;
        }
        killed += 1;
        let files = Contents::read(&root).files;
        between += usize::from(files != case.before && files != case.after);
        case.check(&files, &format!("run {runs}"));
    }
    println!("{runs} runs, {killed} killed, {between} of them between the old and the new");
}

/// What a run that cannot go on leaves is what there was. After the exchange it is the new layout, and the hint says whether
/// it is complete.
#[test]
fn an_error_before_the_exchange_leaves_the_old_layout() {
    let before = Contents::from_tar(&two_images().tar()).files;
    let line = [
        "fix",
        "--in-place",
        "in",
        "--rename",
        "app:v1=app:v3",
        "--compression",
        "zstd",
    ];
    let begun = || {
        let sandbox = Sandbox::new();
        write(&sandbox.path("in"), &before);
        sandbox
    };
    let sandbox = begun();
    let Some((counts, ended)) = calls(&sandbox, &line, None) else {
        return;
    };
    assert_eq!(ended.code, 0, "{ended:?}");
    let after = Contents::read(&sandbox.path("in")).files;
    assert!(before[MANIFEST] != after[MANIFEST]);
    let (mut undone, mut completes, mut between) = (0, 0, 0);
    for call in ["fsync", "linkat", "renameat", "unlinkat", "write"] {
        let (start, most) = counts[call];
        for number in start + 1..=most {
            let injection = Injection {
                call: call.to_owned(),
                number,
                fault: Fault::Error("EIO"),
            };
            let sandbox = begun();
            let ended = injected(&sandbox, &line, None, &injection).unwrap();
            let root = sandbox.path("in");
            let mut files = Contents::read(&root).files;
            intact(&root).unwrap_or_else(|fault| panic!("{injection:?}: {fault}"));
            files.remove(LOCK);
            let says = |text: &str| ended.stderr.contains(text);
            let is_complete = says("hint: the output itself is complete");
            let is_begun = says("hint: complete it: ocify fix --in-place in");
            let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
            let what = format!("{injection:?}: {ended:?} {:#?}", names(&files));
            if ended.code == 0 || ended.unwritten.contains(&1) || ended.unwritten.contains(&2) {
                assert_eq!(names(&files), names(&after), "{what}");
                assert!(files == after, "{what}");
            } else if files[INDEX] == before[INDEX] {
                undone += 1;
                assert_eq!(names(&files), names(&before), "{what}");
                assert!(files == before && !is_complete && !is_begun, "{what}");
            } else if files.get(MANIFEST) == after.get(MANIFEST) {
                completes += 1;
                assert!(files[INDEX] == after[INDEX] && is_complete, "{what}");
            } else {
                between += 1;
                assert!(files[INDEX] == after[INDEX] && is_begun, "{what}");
            }
            // The images have their new names only after the exchange.
            let is_old = files[INDEX] == before[INDEX];
            let options = if is_old { &line[3..] } else { &[] };
            fix(&sandbox, "in", options).exits(0);
            let mut files = Contents::read(&root).files;
            files.remove(LOCK);
            assert!(files == after, "{what}");
        }
    }
    println!("{undone} undone, {completes} complete, {between} between");
    assert!(undone > 20 && completes > 2 && between > 1);
}
