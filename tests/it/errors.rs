//! Every error code as the library reports it: the error's fields contain the same facts as its message.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use ocify::{
    Code, Compression, Error, Fix, ImageChoice, Input, Limits, Location, MediaTypes, Observer,
    Output, Progress, Reference, Result, Stage, Verify, command::escape, command::show_path,
    recover,
};

use serde_json::json;

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, gzip, named, right_image, right_layout,
};
use crate::common::evidence::attestation;
use crate::common::faults::{faults, odd_layer};
use crate::common::runner::Sandbox;
use crate::common::{fixture, repository};

/// Stops the run before it starts.
#[derive(Debug)]
struct Stopped;

impl Observer for Stopped {
    fn stage(&self, _stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(Stopped)
    }
}

impl Progress for Stopped {
    fn start(&self, _total_len: u64) {}
    fn advance(&self, _len: u64) {}
    fn finish(&self) {}
    fn is_stopped(&self) -> bool {
        true
    }
}

/// Fixes `in.tar`.
fn run(sandbox: &Sandbox, fix: Fix, output: Output<'_>) -> Result<()> {
    let input = Input::path(sandbox.path("in.tar"));
    let fix = fix.spool_directory(sandbox.root());
    fix.run(input, output).map(drop)
}

/// The facts of an error in one line. Hexadecimal digits of digests are replaced with dots, and paths are
/// relative to the sandbox.
fn facts(error: &Error, root: &Path) -> String {
    let mut line = String::new();
    if let Some(path) = error.path() {
        write!(
            line,
            "path {} ",
            path.strip_prefix(root).unwrap_or(path).display()
        )
        .unwrap();
    }
    if let Some(place) = error.place() {
        let location = place.location().map(Location::to_string);
        for (name, value) in [("document", location.as_deref()), ("entry", place.entry())] {
            if let Some(value) = value {
                write!(line, "{name} {value} ").unwrap();
            }
        }
        if let Some(byte) = place.byte() {
            write!(line, "byte {byte} ").unwrap();
        }
    }
    for (name, value) in [("expected", error.expected()), ("found", error.found())] {
        if let Some(value) = value {
            write!(line, "{name} {value} ").unwrap();
        }
    }
    line.truncate(line.trim_end().len());
    let mut short = String::new();
    let is_hex = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
    for word in line.split_inclusive(|c: char| !is_hex(c)) {
        let digits = word.trim_end_matches(|c: char| !is_hex(c));
        match digits.len() {
            64 => write!(short, "…{}", &word[64..]).unwrap(),
            _ => short.push_str(word),
        }
    }
    short
}

/// Errors after which a user needs no advice: the system's message says it, or the user did it.
const WITHOUT_HINT: [Code; 3] = [Code::Io, Code::OutputClosed, Code::Interrupted];

/// The message contains every fact. A digest may appear as the name of a blob.
fn check_message(error: &Error) {
    let message = error.to_string();
    let place = error.place();
    // An item of manifest.json is called by its number alone where no property is meant.
    let location = place.and_then(|place| place.location()).map(|at| match at {
        Location::Item { position, .. } => format!("manifest.json[{position}]"),
        _ => at.to_string(),
    });
    let byte = place
        .and_then(|place| place.byte())
        .map(|byte| byte.to_string());
    let path = error.path().map(show_path);
    let stated = [
        path.as_deref(),
        location.as_deref(),
        place.and_then(|place| place.entry()),
        error.expected(),
        error.found(),
        byte.as_deref(),
    ];
    for fact in stated.into_iter().flatten() {
        let hex = fact.strip_prefix("sha256:").unwrap_or(fact);
        assert!(message.contains(&escape(hex)), "{fact} is not in {message}");
    }
    assert!(
        !message.ends_with('.') && !message.contains('\n'),
        "{message}"
    );
    // The message contains the cause once.
    if let Some(source) = std::error::Error::source(error) {
        assert!(!message.contains(&source.to_string()), "{message}");
        assert_eq!(error.message_with_causes(), format!("{message}: {source}"));
    }
}

#[track_caller]
fn check(name: &str, sandbox: &Sandbox, result: Result<()>, code: Code, expected: &str) {
    let error = result.expect_err(name);
    assert_eq!(error.code(), code, "{name}: {error}");
    check_message(&error);
    let needs_hint = !WITHOUT_HINT.contains(&code);
    assert_eq!(error.hint().is_some(), needs_hint, "{name}: {error}");
    assert_eq!(facts(&error, sandbox.root()), expected, "{name}: {error}");
}

/// The facts in the errors of bad archives, by the name of the fault.
#[rustfmt::skip]
const FAULTS: [(&str, Code, &str); 27] = [
    ("cut", Code::TruncatedArchive, "path in.tar entry blobs/sha256/… byte 2560 expected 96 found 40"),
    ("cut-compressed", Code::TruncatedArchive, "path in.tar"),
    ("window", Code::WindowTooLarge, "path in.tar expected 134217728"),
    ("climbing", Code::InvalidArchive, "path in.tar entry ../outside"),
    ("damaged", Code::DigestMismatch, "document index.json, manifests[0], config entry blobs/sha256/… expected sha256:… found sha256:…"),
    ("size", Code::SizeMismatch, "document index.json, manifests[0] entry blobs/sha256/… expected 9223372036854775807 found 400"),
    ("no-layer", Code::MissingBlob, "document manifest.json[0], Layers[1] entry …/layer.tar"),
    ("no-config", Code::InvalidDocument, "document index.json, manifests[0]"),
    ("digest", Code::InvalidDigest, "document index.json, manifests[0] found sha256:../../x"),
    ("layers", Code::LayerCountMismatch, "document index.json, manifests[0] expected 1 found 2"),
    ("diff-id", Code::DiffIdMismatch, "document index.json, manifests[0], layers[0] expected sha256:… found sha256:…"),
    ("cut-layer", Code::DamagedLayer, "document index.json, manifests[0], layers[0]"),
    ("both", Code::AmbiguousDocument, "document index.json, manifests[0]"),
    ("key-twice", Code::DuplicateKey, "document index.json, manifests[0], config found os"),
    ("entry-twice", Code::DuplicateEntry, "path in.tar entry index.json"),
    ("roots", Code::RootDisagreement, "document manifest.json[0], Config expected sha256:… found blobs/sha256/…"),
    ("two-archives", Code::TrailingArchive, "path in.tar byte 8192"),
    ("no-image", Code::NotAnImage, "path in.tar"),
    ("bomb", Code::CompressionRatio, "document index.json, manifests[0], layers[0] expected 67108864"),
    ("blake3", Code::UnsupportedDigest, "document index.json, manifests[0] found blake3"),
    ("schema1", Code::Schema1, "document manifest.json"),
    ("plugin", Code::Plugin, "document manifest.json"),
    ("sparse", Code::SparseEntry, "path in.tar entry blobs/sha256/…"),
    ("link", Code::LinkEntry, "path in.tar entry blobs/sha256/… expected regular file found a symbolic link to \"../../gone\""),
    ("large", Code::DocumentTooLarge, "path in.tar entry index.json expected 4194304 found 5242888"),
    ("deep", Code::DocumentTooDeep, "document index.json<32> expected 32"),
    ("odd-layer", Code::UnsupportedCompression, "document index.json, manifests[0], layers[0] found bzip2"),
];

#[test]
fn errors_of_bad_archives_have_facts() {
    let mut all = faults();
    all.push(odd_layer());
    assert_eq!(all.len(), FAULTS.len());
    for (fault, (name, code, expected)) in all.iter().zip(FAULTS) {
        assert_eq!(fault.name, name);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &fault.bytes);
        // A layer in a format without a media type fails unless it is recompressed.
        let fix = match name {
            "odd-layer" => Fix::new(),
            _ => Fix::new().compression(Compression::Gzip),
        };
        let result = run(&sandbox, fix, Output::archive(sandbox.path("out.tar")));
        let expected = expected.replace("<32>", &", manifests[0]".repeat(33));
        check(name, &sandbox, result, code, &expected);
    }
}

/// Two images of two names.
fn two() -> Vec<u8> {
    let mut layout = Layout::new();
    let first = layout.image(&right_image());
    let second = layout.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "two")]));
    layout.root(vec![
        named(first, "docker.io/library/one:1"),
        named(second, "docker.io/library/two:1"),
    ]);
    layout.tar()
}

/// What is done in a sandbox whose `in.tar` is two images.
type Run = fn(&Sandbox) -> Result<()>;

/// With these options.
fn with(sandbox: &Sandbox, fix: Fix) -> Result<()> {
    run(sandbox, fix, Output::archive(sandbox.path("out.tar")))
}

/// To that path.
fn to(sandbox: &Sandbox, output: &str) -> Result<()> {
    run(sandbox, Fix::new(), Output::archive(sandbox.path(output)))
}

/// To a file that is open.
fn to_file(sandbox: &Sandbox, file: File) -> Result<()> {
    run(sandbox, Fix::new(), Output::from_file(file, "the pipe")?)
}

fn in_place(sandbox: &Sandbox, fix: Fix) -> Result<()> {
    run(sandbox, fix, Output::in_place())
}

fn stopped(sandbox: &Sandbox) -> Result<()> {
    let input = Input::path(sandbox.path("in.tar"));
    let output = Output::archive(sandbox.path("out.tar"));
    Fix::new().run_observed(input, output, &Stopped).map(drop)
}

fn inside(sandbox: &Sandbox) -> Result<()> {
    right_layout().write_to(&sandbox.path("layout"));
    let output = Output::archive(sandbox.path("layout/out.tar"));
    let input = Input::path(sandbox.path("layout"));
    Fix::new().run(input, output).map(drop)
}

/// The last attestation is removed.
fn nothing(sandbox: &Sandbox) -> Result<()> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let about = attestation(&mut layout, &image);
    layout.root(vec![about]);
    sandbox.put("in.tar", layout.tar());
    with(sandbox, Fix::new().drop_attestations(true))
}

fn closed(sandbox: &Sandbox) -> Result<()> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    to_file(sandbox, OwnedFd::from(writer).into())
}

fn full(sandbox: &Sandbox) -> Result<()> {
    to_file(
        sandbox,
        File::options().write(true).open("/dev/full").unwrap(),
    )
}

/// A stream that starts like an image layout, but whose last file shows that it is not one.
fn passed(sandbox: &Sandbox) -> Result<()> {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(&right_image());
    // Only the bytes could prove it, and nobody hashed them.
    manifest["layers"][0]["size"] = json!(7);
    let descriptor = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![descriptor]);
    let input = Input::stream(std::io::Cursor::new(layout.tar()));
    let file = File::create(sandbox.path("out.tar")).unwrap();
    let output = Output::from_file(file, "the pipe")?;
    Fix::new()
        .verify(Verify::Documents)
        .run(input, output)
        .map(drop)
}

/// The journal that an interrupted in-place fix leaves.
fn leave_journal(sandbox: &Sandbox) {
    sandbox.put(".in.tar.ocify-journal", "x");
}

/// All other errors.
#[rustfmt::skip]
const RUNS: [(&str, Run, Code, &str); 26] = [
    ("too large", |s| { s.put("in.tar", gzip(&two())); with(s, Fix::new().limits(Limits::default().with_max_size(1000))) }, Code::SizeLimit, "path in.tar expected 1000"),
    ("compressed twice", |s| { s.put("in.tar", gzip(&gzip(&two()))); to(s, "out.tar") }, Code::CompressedArchive, "path in.tar expected a plain tar archive found gzip"),
    ("no docker type", |s| with(s, Fix::new().media_types(MediaTypes::Docker).compression(Compression::Zstd)), Code::NoDockerType, "document index.json, manifests[1], layers[0] found zstd"),
    ("platform", |s| { fs::copy(fixture("buildkit-oci-multi-zstd-ocitrue.tar"), s.path("in.tar")).unwrap(); with(s, Fix::new().docker_platform("linux/s390x".parse().unwrap())) }, Code::PlatformNotFound, "expected linux/s390x found linux/amd64, linux/arm64"),
    ("image", |s| with(s, Fix::new().image(ImageChoice::Number(3))), Code::ImageNotFound, "expected number 3 found 1: one:1, 2: two:1"),
    ("renamed", |s| with(s, Fix::new().rename(name("three:1"), name("four:1"))), Code::ImageNotFound, "expected three:1 found one:1, two:1"),
    ("nothing", nothing, Code::NothingLeft, ""),
    ("engine", |s| with(s, Fix::new().engine("docker@99".parse().unwrap())), Code::EngineRefuses, "found docker@99"),
    ("several", |s| with(s, Fix::new().name(name("app:v1"))), Code::SeveralImages, "found one:1, two:1"),
    ("taken", |s| with(s, Fix::new().rename(name("one:1"), name("two:1"))), Code::NameTaken, "found two:1"),
    ("passed", passed, Code::NeedsFile, "path the input"),
    ("absent", |s| { fs::remove_file(s.path("in.tar")).unwrap(); to(s, "out.tar") }, Code::Io, "path in.tar"),
    ("full", full, Code::NoSpace, "path the pipe"),
    ("closed", closed, Code::OutputClosed, "path the pipe"),
    ("exists", |s| { s.put("out.tar", "x"); to(s, "out.tar") }, Code::OutputExists, "path out.tar"),
    ("input", |s| to(s, "in.tar"), Code::OutputIsInput, "path in.tar"),
    ("inside", inside, Code::OutputInInput, "path layout/out.tar"),
    ("no parent", |s| to(s, "none/out.tar"), Code::ParentMissing, "path none"),
    ("filled", |s| { fs::create_dir(s.path("out")).unwrap(); s.put("out/x", "x"); run(s, Fix::new(), Output::layout(s.path("out"))) }, Code::OutputNotEmpty, "path out"),
    ("in place", |s| in_place(s, Fix::new().compression(Compression::Zstd)), Code::InPlaceRefused, "path in.tar document index.json, manifests[1], layers[0]"),
    ("not a file", |s| { fs::remove_file(s.path("in.tar")).unwrap(); fs::create_dir(s.path("in.tar")).unwrap(); in_place(s, Fix::new()) }, Code::InPlaceRefused, "path in.tar"),
    ("busy", |s| { let held = File::open(s.path("in.tar")).unwrap(); held.lock_shared().unwrap(); in_place(s, Fix::new()) }, Code::FileBusy, "path in.tar"),
    ("unfinished", |s| { leave_journal(s); with(s, Fix::new().recover(false)) }, Code::UnfinishedFix, "path in.tar"),
    ("foreign", |s| { fs::create_dir(s.path(".in.tar.ocify-journal")).unwrap(); recover(&s.path("in.tar")).map(drop) }, Code::ForeignJournal, "path .in.tar.ocify-journal"),
    ("damaged", |s| { leave_journal(s); with(s, Fix::new()) }, Code::DamagedJournal, "path in.tar"),
    ("stopped", stopped, Code::Interrupted, ""),
];

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn errors_of_requests_have_facts() {
    for (name, run, code, expected) in RUNS {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", two());
        check(name, &sandbox, run(&sandbox), code, expected);
    }
}

/// Codes that this test cannot provoke, and the tests that do.
const ELSEWHERE: [(Code, &str, &str); 17] = [
    (
        Code::NameMissing,
        "tests/it/push/refused.rs",
        "\"name-missing\"",
    ),
    (
        Code::DigestsPreserved,
        "tests/it/preserve_digests.rs",
        "[\"error\"][\"code\"], \"digests-preserved\"",
    ),
    (
        Code::OutputIsTerminal,
        "tests/it/stream_ends.rs",
        "\"output-is-terminal\"",
    ),
    (
        Code::NotWritable,
        "tests/it/in_place_refused.rs",
        "\"not-writable\"",
    ),
    (
        Code::TooManyEntries,
        "src/input/layout.rs",
        "assert_eq!(error.code(), Code::TooManyEntries)",
    ),
    (
        Code::OutputBusy,
        "src/bin/ocify/batch/state/tests.rs",
        "unwrap_err().code(), Code::OutputBusy)",
    ),
    (
        Code::SourceChanged,
        "tests/it/batch_stopped.rs",
        "\"source-changed\"",
    ),
    (
        Code::Internal,
        "src/bin/ocify/panics.rs",
        "assert_eq!(error.code(), Code::Internal)",
    ),
    (
        Code::RegistryUnauthorized,
        "src/registry/tests.rs",
        "Code::RegistryUnauthorized",
    ),
    (
        Code::RegistryDenied,
        "src/registry/tests.rs",
        "Code::RegistryDenied",
    ),
    (
        Code::RegistryNotFound,
        "src/registry/tests.rs",
        "Code::RegistryNotFound",
    ),
    (
        Code::RegistryBusy,
        "src/registry/tests.rs",
        "Code::RegistryBusy",
    ),
    (
        Code::RegistryRefused,
        "src/registry/tests.rs",
        "Code::RegistryRefused",
    ),
    (
        Code::RegistryReply,
        "src/registry/tests.rs",
        "Code::RegistryReply",
    ),
    (
        Code::RegistryUnreachable,
        "src/registry/tests.rs",
        "Code::RegistryUnreachable",
    ),
    (
        Code::RegistryUntrusted,
        "src/registry/tests.rs",
        "Code::RegistryUntrusted",
    ),
    (
        Code::Credentials,
        "src/registry/credentials/tests.rs",
        "Code::Credentials",
    ),
];

#[test]
fn every_code_is_produced_by_a_test() {
    let here = FAULTS.iter().map(|(_, code, _)| *code);
    let here = here.chain(RUNS.iter().map(|(_, _, code, _)| *code));
    let mut codes: Vec<Code> = here
        .chain(ELSEWHERE.iter().map(|(code, _, _)| *code))
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, Code::ALL);
    for (_, file, part) in ELSEWHERE {
        let text = fs::read_to_string(repository(file)).unwrap();
        assert!(text.contains(part), "{part} is not in {file}");
    }
}
