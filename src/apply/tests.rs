mod holes;
mod layouts;
mod outputs;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;
use crate::image::Algorithm;
use crate::inventory::DataLocation;
use crate::plan::Summary;
use crate::progress::Hidden;
use crate::tar::{END_LEN, canonical, padding};

/// An input whose bytes are anything, and a plan that copies pieces of them.
pub(super) struct Job {
    dir: tempfile::TempDir,
    pub(super) plan: Plan,
}

/// The lengths of the blobs: nothing, one byte, around a block, more than one piece, and enough for
/// a thread of its own.
const LENS: [usize; 7] = [0, 1, 511, 512, 513, 300 << 10, (3 << 20) + 1];

impl Job {
    pub(super) fn new(lens: &[usize]) -> Job {
        let dir = tempfile::tempdir().unwrap();
        let mut input = Vec::new();
        let mut entries = vec![directory("blobs/"), directory("blobs/sha256/")];
        for (number, &len) in lens.iter().enumerate() {
            let bytes: Vec<u8> = (0..len).map(|at| (at + at / 251 + number) as u8).collect();
            let digest = Digest::of(Algorithm::Sha256, &bytes);
            entries.push(OutputEntry {
                name: digest.blob_name(),
                len: len as u64,
                body: Body::Blob {
                    digest,
                    data: DataLocation::Offset(input.len() as u64),
                },
                replaces: None,
                kind: BlobKind::Layer,
            });
            input.extend(bytes);
        }
        entries.push(OutputEntry {
            name: "index.json".to_owned(),
            len: 2,
            body: Body::Bytes(b"{}".to_vec()),
            replaces: None,
            kind: BlobKind::Document,
        });
        fs::write(dir.path().join("in.tar"), input).unwrap();
        let plan = Plan {
            summary: Summary::default(),
            entries,
            form: Form::default(),
            keeps_bytes: false,
            proofs: Vec::new(),
        };
        Job { dir, plan }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn source(&self) -> Source {
        Source::open(self.path("in.tar")).unwrap()
    }

    pub(super) fn apply(&self, output: &Path, options: ApplyOptions<'_>) -> Result<Outcome> {
        let source = self.source();
        let target = Target::prepare(at(output), &source)?;
        apply(&self.plan, &source, target, &options, &Hidden)
    }

    /// The same over a file that exists.
    fn replace(&self, output: &Path, options: ApplyOptions<'_>) -> Result<Outcome> {
        let source = self.source();
        let target = Target::prepare(at(output).overwrite(true), &source)?;
        apply(&self.plan, &source, target, &options, &Hidden)
    }

    pub(super) fn blobs(&mut self) -> impl Iterator<Item = &mut OutputEntry> {
        let is_blob = |entry: &&mut OutputEntry| matches!(entry.body, Body::Blob { .. });
        self.plan.entries.iter_mut().filter(is_blob)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let found = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// An output with this path: a layout if it ends in `/`, otherwise an archive.
fn at(path: &Path) -> Output<'static> {
    match path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        true => Output::layout(path),
        false => Output::archive(path),
    }
}

fn directory(name: &str) -> OutputEntry {
    OutputEntry {
        name: name.to_owned(),
        len: 0,
        body: Body::Directory,
        replaces: None,
        kind: BlobKind::Other,
    }
}

pub(super) fn jobs(jobs: usize) -> ApplyOptions<'static> {
    ApplyOptions {
        jobs: NonZeroUsize::new(jobs).unwrap(),
        ..ApplyOptions::default()
    }
}

#[test]
fn an_archive_has_these_bytes() {
    let job = Job::new(&LENS);
    let input = fs::read(job.path("in.tar")).unwrap();
    let mut expected = Vec::new();
    for entry in &job.plan.entries {
        let is_dir = entry.body == Body::Directory;
        expected.extend(canonical(&entry.name, is_dir, entry.len));
        match &entry.body {
            Body::Blob {
                data: DataLocation::Offset(at),
                ..
            } => {
                let at = *at as usize;
                expected.extend(&input[at..at + entry.len as usize]);
            }
            Body::Bytes(bytes) => expected.extend(bytes),
            _ => {}
        }
        expected.resize(expected.len() + padding(entry.len) as usize, 0);
    }
    expected.resize(expected.len() + END_LEN as usize, 0);
    for threads in [1, 2, 8] {
        let output = job.path(&format!("{threads}.tar"));
        let outcome = job.apply(&output, jobs(threads)).unwrap();
        assert_eq!(outcome.blob_count, LENS.len() as u64);
        assert_eq!(outcome.blob_bytes, input.len() as u64);
        assert!(fs::read(output).unwrap() == expected, "{threads} threads");
    }
}

#[test]
fn a_layout_holds_the_same() {
    let job = Job::new(&LENS);
    for (name, sync) in [("new/", false), ("synced/", true)] {
        let options = ApplyOptions { sync, ..jobs(2) };
        job.apply(&job.path(name), options).unwrap();
        for entry in &job.plan.entries {
            let path = job.path(name).join(&entry.name);
            if let Body::Blob { digest, .. } = &entry.body {
                let found = Digest::of(Algorithm::Sha256, &fs::read(path).unwrap());
                assert_eq!(found, *digest);
            } else if let Body::Bytes(bytes) = &entry.body {
                assert_eq!(fs::read(path).unwrap(), *bytes);
            }
        }
    }
    assert_eq!(job.names(), ["in.tar", "new", "synced"]);
}

#[test]
fn a_damaged_blob_is_named_and_leaves_nothing() {
    for (place, len) in LENS.iter().enumerate().filter(|(_, len)| **len > 0) {
        let mut job = Job::new(&LENS);
        let entry = job.blobs().nth(place).unwrap();
        let (
            name,
            Body::Blob {
                data: DataLocation::Offset(at),
                ..
            },
        ) = (entry.name.clone(), entry.body.clone())
        else {
            unreachable!("an archive has offsets")
        };
        let file = fs::OpenOptions::new().write(true).open(job.path("in.tar"));
        file.unwrap()
            .write_all_at(&[0xff], at + *len as u64 - 1)
            .unwrap();
        for output in ["out.tar", "out/"] {
            let error = job.apply(&job.path(output), jobs(2)).unwrap_err();
            assert_eq!(error.code(), Code::DigestMismatch, "{len}");
            assert!(error.to_string().contains(&name), "{error}");
            assert_eq!(job.names(), ["in.tar"], "{len}");
        }
    }
}

#[test]
fn of_several_errors_the_first_in_the_output_is_reported() {
    let lens: Vec<usize> = (1..=40).map(|number| number * 500).collect();
    let mut job = Job::new(&lens);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(job.path("in.tar"))
        .unwrap();
    let mut damaged = Vec::new();
    for entry in job.blobs().skip(7).step_by(3) {
        let Body::Blob {
            data: DataLocation::Offset(at),
            ..
        } = &entry.body
        else {
            continue;
        };
        file.write_all_at(&[0xff; 2], *at).unwrap();
        damaged.push(entry.name.clone());
    }
    for threads in [1, 2, 8].repeat(5) {
        let error = job.apply(&job.path("out.tar"), jobs(threads)).unwrap_err();
        assert!(
            error.to_string().contains(&damaged[0]),
            "{threads}: {error}"
        );
    }
    assert_eq!(job.names(), ["in.tar"]);
}

#[test]
fn an_input_that_shrinks_is_noticed() {
    for (len, verify) in [
        (1000, Verify::Digests),
        (100_000, Verify::Digests),
        (3 << 20, Verify::Digests),
        (1000, Verify::Documents),
        (3 << 20, Verify::Documents),
    ] {
        let job = Job::new(&[len]);
        let source = job.source();
        let file = fs::OpenOptions::new().write(true).open(job.path("in.tar"));
        file.unwrap().set_len(999).unwrap();
        let options = ApplyOptions { verify, ..jobs(2) };
        let target = Target::prepare(at(&job.path("out.tar")), &source).unwrap();
        let error = apply(&job.plan, &source, target, &options, &Hidden).unwrap_err();
        assert_eq!(error.code(), Code::TruncatedArchive, "{len}");
        let message = error.to_string();
        let found = format!("expected {len} bytes, found 999");
        assert!(message.ends_with(&found), "{message}");
        assert_eq!(job.names(), ["in.tar"]);
    }
}

#[test]
fn what_is_not_verified_is_copied_all_the_same() {
    let mut job = Job::new(&LENS);
    let full = job.path("full.tar");
    job.apply(&full, jobs(1)).unwrap();
    for threads in [1, 2, 8] {
        let options = ApplyOptions {
            verify: Verify::Documents,
            ..jobs(threads)
        };
        let output = job.path(&format!("{threads}.tar"));
        job.apply(&output, options).unwrap();
        assert!(fs::read(output).unwrap() == fs::read(&full).unwrap());
    }
    // Other bytes of the same length, in a small blob and in a large one.
    for number in [3, 6] {
        let entry = job.blobs().nth(number).unwrap();
        if let Body::Blob { data, .. } = &mut entry.body {
            *data = DataLocation::Offset(0);
        }
        let options = ApplyOptions {
            verify: Verify::Documents,
            ..jobs(2)
        };
        job.replace(&job.path("other.tar"), options).unwrap();
        let error = job.apply(&job.path("no.tar"), jobs(2)).unwrap_err();
        assert_eq!(error.code(), Code::DigestMismatch, "{number}");
    }
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let other = Digest::of(Algorithm::Sha256, b"other");
    let entry = |name: String, body: Body| OutputEntry {
        name,
        len: 1,
        body,
        replaces: None,
        kind: BlobKind::Other,
    };
    let blob = Body::Blob {
        digest: Digest::of(Algorithm::Sha256, b"x"),
        data: DataLocation::Offset(0),
    };
    let cases = [
        (
            entry("../x".to_owned(), Body::Bytes(b"x".to_vec())),
            Code::InvalidArchive,
        ),
        (
            entry("/x".to_owned(), Body::Bytes(b"x".to_vec())),
            Code::InvalidArchive,
        ),
        (
            entry(other.blob_name(), Body::Bytes(b"x".to_vec())),
            Code::DigestMismatch,
        ),
        (entry(other.blob_name(), blob), Code::DigestMismatch),
    ];
    for (entry, code) in cases {
        let mut job = Job::new(&[1]);
        job.plan.entries.push(entry);
        let error = job.apply(&job.path("out.tar"), jobs(1)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(job.names(), ["in.tar"]);
    }
}

/// Records the calls that it receives.
#[derive(Default)]
pub(super) struct Recorder(pub(super) Mutex<(Vec<u64>, u64, u32)>);

impl Progress for Recorder {
    fn start(&self, total_len: u64) {
        self.0.lock().unwrap().0.push(total_len);
    }
    fn advance(&self, len: u64) {
        self.0.lock().unwrap().1 += len;
    }
    fn finish(&self) {
        self.0.lock().unwrap().2 += 1;
    }
}

#[test]
fn progress_counts_every_copied_byte_once() {
    let job = Job::new(&LENS);
    let source = job.source();
    let total: u64 = LENS.iter().map(|&len| len as u64).sum();
    for (output, threads) in [("1.tar", 1), ("2.tar", 2), ("layout/", 2)] {
        let recorder = Recorder::default();
        let target = Target::prepare(at(&job.path(output)), &source).unwrap();
        apply(&job.plan, &source, target, &jobs(threads), &recorder).unwrap();
        let seen = recorder.0.into_inner().unwrap();
        assert_eq!(seen, (vec![total], total, 1), "{output}");
    }
}

/// A display that fails.
struct Panics;

impl Progress for Panics {
    fn start(&self, _total_len: u64) {}
    fn advance(&self, _len: u64) {
        panic!("nothing to show");
    }
    fn finish(&self) {}
}

#[test]
fn a_panic_leaves_nothing() {
    for output in ["out.tar", "out/"] {
        let job = Job::new(&LENS);
        let source = job.source();
        let target = Target::prepare(at(&job.path(output)), &source).unwrap();
        let run = || apply(&job.plan, &source, target, &jobs(2), &Panics);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        assert_eq!(job.names(), ["in.tar"]);
    }
}
