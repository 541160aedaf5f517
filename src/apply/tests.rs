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
fn an_empty_directory_is_replaced_and_keeps_its_mode() {
    let job = Job::new(&[3]);
    let output = job.path("out/");
    fs::create_dir(&output).unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o700)).unwrap();
    job.apply(&output, jobs(1)).unwrap();
    assert!(output.join("index.json").exists());
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(job.names(), ["in.tar", "out"]);
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

/// Neighbors of the input are read at once, and the bytes between them must not be copied.
#[test]
fn neighbors_bring_nothing_of_what_is_between_them() {
    let mut job = Job::new(&[700; 600]);
    let input = fs::read(job.path("in.tar")).unwrap();
    let mut archive = vec![0xff; 1024];
    for (number, entry) in job.blobs().enumerate() {
        // Headers and padding of another kind, and sometimes a gap.
        archive.extend([0xff; 512]);
        if number % 50 == 0 {
            archive.extend([0xff; 512]);
        }
        let start = archive.len() as u64;
        archive.extend(&input[number * 700..][..700]);
        archive.extend([0xff; 1024 - 700]);
        if let Body::Blob { data, .. } = &mut entry.body {
            *data = DataLocation::Offset(start);
        }
    }
    fs::write(job.path("in.tar"), archive).unwrap();
    for verify in [Verify::Digests, Verify::Documents] {
        let options = ApplyOptions { verify, ..jobs(2) };
        job.replace(&job.path("out.tar"), options).unwrap();
        let mut expected = Vec::new();
        let mut number = 0;
        for entry in &job.plan.entries {
            expected.extend(canonical(
                &entry.name,
                entry.body == Body::Directory,
                entry.len,
            ));
            match &entry.body {
                Body::Directory => {}
                Body::Bytes(bytes) => expected.extend(bytes),
                Body::Blob { .. } => {
                    expected.extend(&input[number * 700..][..700]);
                    number += 1;
                }
            }
            expected.resize(expected.len() + padding(entry.len) as usize, 0);
        }
        expected.resize(expected.len() + END_LEN as usize, 0);
        assert!(
            fs::read(job.path("out.tar")).unwrap() == expected,
            "{verify:?}"
        );
    }
}

/// Replaces the input by a file of one blob whose middle is a hole of 4 MiB.
fn with_a_hole(job: &mut Job) -> u64 {
    const MIB: usize = 1 << 20;
    let mut bytes = vec![0; 6 * MIB + 1];
    bytes[..MIB].fill(1);
    bytes[5 * MIB..].fill(2);
    // Not at the start of a page, as in every archive.
    let start = 512;
    let file = fs::File::create(job.path("in.tar")).unwrap();
    file.write_all_at(&bytes[..MIB], start).unwrap();
    file.write_all_at(&bytes[5 * MIB..], start + 5 * MIB as u64)
        .unwrap();
    let new = Digest::of(Algorithm::Sha256, &bytes);
    let entry = job.blobs().next().unwrap();
    entry.name = new.blob_name();
    entry.len = bytes.len() as u64;
    entry.body = Body::Blob {
        digest: new,
        data: DataLocation::Offset(start),
    };
    bytes.len() as u64
}

#[test]
fn holes_stay_holes() {
    let mut job = Job::new(&[1]);
    let len = with_a_hole(&mut job);
    for verify in [Verify::Digests, Verify::Documents] {
        for (name, threads) in [("one.tar", 1), ("two.tar", 2), ("one/", 1), ("two/", 2)] {
            let recorder = Recorder::default();
            let options = ApplyOptions {
                verify,
                ..jobs(threads)
            };
            let source = job.source();
            let target = Target::prepare(at(&job.path(name)).overwrite(true), &source).unwrap();
            apply(&job.plan, &source, target, &options, &recorder).unwrap();
            assert_eq!(recorder.0.into_inner().unwrap(), (vec![len], len, 1));
            let mut path = job.path(name);
            if name.ends_with('/') {
                path = path.join(&job.blobs().next().unwrap().name);
            }
            let found = fs::metadata(&path).unwrap();
            assert!(found.blocks() * 512 < 3 << 20, "{name} {}", found.blocks());
            let bytes = fs::read(&path).unwrap();
            let start = if name.ends_with('/') { 0 } else { 3 * 512 };
            let found = Digest::of(Algorithm::Sha256, &bytes[start..][..len as usize]);
            assert_eq!(
                found.blob_name(),
                job.blobs().next().unwrap().name,
                "{name}"
            );
            if name.ends_with('/') {
                fs::remove_dir_all(job.path(name)).unwrap();
            }
        }
    }
}

#[test]
fn a_hole_is_verified_and_must_be_there() {
    let mut job = Job::new(&[1]);
    let len = with_a_hole(&mut job);
    let input = fs::OpenOptions::new().write(true).open(job.path("in.tar"));
    let input = input.unwrap();
    // It ends in the middle of the hole.
    let source = job.source();
    input.set_len(3 << 20).unwrap();
    for verify in [Verify::Digests, Verify::Documents] {
        let options = ApplyOptions { verify, ..jobs(2) };
        let target = Target::prepare(at(&job.path("out.tar")), &source).unwrap();
        let error = apply(&job.plan, &source, target, &options, &Hidden).unwrap_err();
        assert_eq!(error.code(), Code::TruncatedArchive, "{error}");
    }
    // It is all hole.
    input.set_len(0).unwrap();
    input.set_len(len + 512).unwrap();
    let error = job.apply(&job.path("out.tar"), jobs(2)).unwrap_err();
    assert_eq!(error.code(), Code::DigestMismatch);
}

#[test]
fn a_blob_of_a_layout_that_changed_is_noticed() {
    let mut job = Job::new(&[1000]);
    let input = job.path("layout");
    let name = job.blobs().next().unwrap().name.clone();
    fs::create_dir_all(input.join("blobs/sha256")).unwrap();
    for entry in job.blobs() {
        if let Body::Blob { data, .. } = &mut entry.body {
            *data = DataLocation::File(name.clone());
        }
    }
    let whole = fs::read(job.path("in.tar")).unwrap();
    let mut other = whole.clone();
    other[500] ^= 1;
    let cases = [
        ("the same", whole.clone(), None),
        ("shorter", whole[..999].to_vec(), Some(Code::SizeMismatch)),
        (
            "longer",
            [&whole[..], b"x"].concat(),
            Some(Code::SizeMismatch),
        ),
        ("other bytes", other, Some(Code::DigestMismatch)),
    ];
    let source = Source::open(&input).unwrap();
    for (case, bytes, expected) in cases {
        fs::write(input.join(&name), bytes).unwrap();
        let output = job.path(&format!("{case}.tar"));
        let target = Target::prepare(at(&output), &source).unwrap();
        let found = apply(&job.plan, &source, target, &jobs(1), &Hidden);
        assert_eq!(found.err().map(|error| error.code()), expected, "{case}");
        assert_eq!(output.exists(), expected.is_none(), "{case}");
    }
}

#[test]
fn force_replaces_a_file_whole_or_not_at_all() {
    let mut job = Job::new(&[1000]);
    let output = job.path("out.tar");
    fs::write(&output, b"old").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        job.apply(&output, jobs(1)).unwrap_err().code(),
        Code::OutputExists
    );

    let good = job.plan.clone();
    for entry in job.blobs() {
        entry.len -= 1;
    }
    assert_eq!(
        job.replace(&output, jobs(1)).unwrap_err().code(),
        Code::DigestMismatch
    );
    assert_eq!(fs::read(&output).unwrap(), b"old");

    job.plan = good;
    job.replace(&output, jobs(1)).unwrap();
    assert!(fs::metadata(&output).unwrap().len() > 1000);
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(job.names(), ["in.tar", "out.tar"]);
}

#[test]
fn an_output_that_appears_meanwhile_is_kept() {
    for (output, found) in [
        ("out.tar", Code::OutputExists),
        ("out/", Code::OutputNotEmpty),
    ] {
        let job = Job::new(&[1]);
        let source = job.source();
        let target = Target::prepare(at(&job.path(output)), &source).unwrap();
        if found == Code::OutputExists {
            fs::write(job.path("out.tar"), b"mine").unwrap();
        } else {
            fs::create_dir(job.path("out")).unwrap();
            fs::write(job.path("out/mine"), b"mine").unwrap();
        }
        let before = job.names();
        let error = apply(&job.plan, &source, target, &jobs(1), &Hidden).unwrap_err();
        assert_eq!(error.code(), found);
        assert_eq!(job.names(), before);
    }
}

#[test]
fn a_parent_that_takes_no_file_is_named() {
    let job = Job::new(&[1]);
    for output in ["/proc/out.tar", "/proc/out/"] {
        let error = job.apply(Path::new(output), jobs(1)).unwrap_err();
        assert_eq!(error.code(), Code::Io);
        assert!(
            error.to_string().starts_with("cannot create /proc/out"),
            "{error}"
        );
    }
    let error = job.apply(Path::new("/proc/"), jobs(1)).unwrap_err();
    assert_eq!(error.code(), Code::OutputNotEmpty);
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

#[test]
fn an_output_that_does_not_fit_is_refused_first() {
    for output in ["out.tar", "out/"] {
        for len in [1 << 60, u64::MAX] {
            let mut job = Job::new(&[1]);
            job.blobs().for_each(|entry| entry.len = len);
            let error = job.apply(&job.path(output), jobs(1)).unwrap_err();
            assert_eq!(error.code(), Code::NoSpace);
            assert_eq!(job.names(), ["in.tar"]);
        }
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

/// Turns the input into a layout, and makes the plan take its blobs from there.
fn as_layout(job: &mut Job) -> PathBuf {
    let input = job.path("layout");
    fs::create_dir_all(input.join("blobs/sha256")).unwrap();
    let bytes = fs::read(job.path("in.tar")).unwrap();
    for entry in job.blobs() {
        if let Body::Blob { data, .. } = &mut entry.body
            && let DataLocation::Offset(at) = *data
        {
            let blob = &bytes[at as usize..][..entry.len as usize];
            fs::write(input.join(&entry.name), blob).unwrap();
            *data = DataLocation::File(entry.name.clone());
        }
    }
    input
}

#[test]
fn a_layout_shares_its_files_only_when_asked() {
    let mut job = Job::new(&LENS);
    let input = as_layout(&mut job);
    let source = Source::open(&input).unwrap();
    for (name, link, links) in [
        ("auto", Link::Auto, 1),
        ("never", Link::Never, 1),
        ("hard", Link::Hard, 2),
    ] {
        let recorder = Recorder::default();
        let options = ApplyOptions { link, ..jobs(2) };
        let output = job.path(&format!("{name}/"));
        let target = Target::prepare(at(&output), &source).unwrap();
        apply(&job.plan, &source, target, &options, &recorder).unwrap();
        let total: u64 = LENS.iter().map(|&len| len as u64).sum();
        assert_eq!(recorder.0.into_inner().unwrap(), (vec![total], total, 1));
        let names: Vec<String> = job.blobs().map(|entry| entry.name.clone()).collect();
        for blob in names {
            let (old, new) = (input.join(&blob), output.join(&blob));
            assert!(fs::read(&old).unwrap() == fs::read(&new).unwrap());
            let found = fs::metadata(&new).unwrap();
            assert_eq!(found.nlink(), links, "{name}");
            let is_same = found.ino() == fs::metadata(&old).unwrap().ino();
            assert_eq!(is_same, link == Link::Hard, "{name}");
        }
    }
}

#[test]
fn a_linked_file_is_verified_and_the_input_stays() {
    let mut job = Job::new(&[1000, 3 << 20]);
    let input = as_layout(&mut job);
    let names: Vec<String> = job.blobs().map(|entry| entry.name.clone()).collect();
    for name in names {
        let path = input.join(&name);
        let whole = fs::read(&path).unwrap();
        let mut other = whole.clone();
        other[500] ^= 1;
        fs::write(&path, &other).unwrap();
        let source = Source::open(&input).unwrap();
        for link in [Link::Auto, Link::Hard, Link::Never] {
            let target = Target::prepare(at(&job.path("out/")), &source).unwrap();
            let options = ApplyOptions { link, ..jobs(2) };
            let error = apply(&job.plan, &source, target, &options, &Hidden).unwrap_err();
            assert_eq!(error.code(), Code::DigestMismatch, "{link:?}");
            assert_eq!(job.names(), ["in.tar", "layout"]);
            assert!(fs::read(&path).unwrap() == other);
        }
        fs::write(&path, whole).unwrap();
    }
}
