//! Runs the command as a filter, with one archive on standard input and another on standard output.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::builder::{DOCKER_GZIP, DOCKER_ZSTD, Image, Layer, Layout, OCI_TAR};
use super::checker::{Facts, check_stream};
use super::contents::Contents;
use super::fixture;
use super::runner::{Sandbox, wait_for};
use super::schema::parse_report;

/// The output of a run and its exit code.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// Runs a command with these bytes on its standard input.
pub(crate) fn pipe(command: &mut Command, input: &[u8]) -> Piped {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout, mut stderr) = (
        child.stdin.take().unwrap(),
        child.stdout.take().unwrap(),
        child.stderr.take().unwrap(),
    );
    thread::scope(|scope| {
        scope.spawn(move || {
            // The command may stop reading early.
            let _ = stdin.write_all(input);
        });
        let out = scope.spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).unwrap();
            out
        });
        let err = scope.spawn(move || {
            let mut err = String::new();
            stderr.read_to_string(&mut err).unwrap();
            err
        });
        let code = wait_for(&mut child, command);
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        assert!(!err.contains("panicked at"), "{command:?}\n{err}");
        let code = code.unwrap_or_else(|| panic!("ended by a signal: {command:?}\n{err}"));
        Piped { code, out, err }
    })
}

/// Runs `ocify fix - --format json` with more options, and checks that it leaves nothing behind.
#[track_caller]
pub(crate) fn stream(input: &[u8], options: &[&str]) -> Piped {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.env("TMPDIR", sandbox.root());
    command.args(["fix", "-", "--format", "json"]).args(options);
    let piped = pipe(&mut command, input);
    assert!(sandbox.names().is_empty(), "{:?}", sandbox.names());
    piped
}

impl Piped {
    /// The report, which must be the only text on standard error.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        parse_report(&self.err)
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Piped {
        assert_eq!(self.code, code, "{}", self.err);
        self
    }

    /// The names of all complete entries.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut archive = tar::Archive::new(&self.out[..]);
        for entry in archive.entries().unwrap() {
            let Ok(entry) = entry else { break };
            names.push(String::from_utf8(entry.path_bytes().into_owned()).unwrap());
        }
        names
    }

    /// The output, which must be valid.
    #[track_caller]
    pub(crate) fn judged(&self) -> (Contents, Facts) {
        let facts = check_stream(&self.out);
        (Contents::from_tar(&self.out), facts)
    }

    /// Checks that the run failed with this code and that its output is not an image.
    #[track_caller]
    pub(crate) fn fails(&self, name: &str, codes: &[&str]) {
        let report = self.json();
        let error = &report["error"];
        let code = error["code"].as_str().unwrap_or_default();
        assert!(
            codes.contains(&code),
            "{name}: {codes:?} expected: {report:#}"
        );
        assert_eq!((self.code, &report["output"]), (1, &Value::Null), "{name}");
        for entry in self.names() {
            assert!(entry.starts_with("blobs/"), "{name}: {entry} was written");
        }
    }
}

pub(crate) const NAME: &str = "docker.io/library/app:v1";

/// An image that needs fixes, with layers in every compression.
pub(crate) fn sample() -> Layout {
    let layers = vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::zstd(DOCKER_ZSTD, "b"),
        Layer::plain(OCI_TAR, "c"),
    ];
    Layout::of(&Image::docker(layers), NAME)
}

/// The uncompressed layer.
pub(crate) fn plain_layer(layout: &Layout) -> String {
    let mut blobs = layout.blobs.iter();
    let found = blobs.find(|(_, bytes)| bytes.get(257..262) == Some(b"ustar"));
    found.unwrap().0.clone()
}

/// The same entries in another order: the files at the root first, documents before layers.
pub(crate) fn roots_first(layout: &Layout) -> Vec<Entry> {
    let mut entries = layout.entries();
    let rank = |entry: &Entry| {
        let is_root = !entry.name.starts_with(b"blobs/");
        let is_document = entry.data.starts_with(b"{");
        (!is_root, entry.flag != b'5', !is_document)
    };
    entries.sort_by_key(rank);
    entries
}

/// The file that `fix INPUT -o out.tar` writes for these bytes.
pub(crate) fn by_file(bytes: &[u8], options: &[&str]) -> Vec<u8> {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    sandbox.fix_with("in.tar", "out.tar", options).exits(0);
    sandbox.read("out.tar")
}

/// Runs `ocify fix -` with a text report.
pub(crate) fn for_people(input: &[u8], options: &[&str]) -> Piped {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    pipe(command.args(["fix", "-"]).args(options), input)
}

/// What a reader may see of an archive that was not complete or not valid.
pub(crate) fn is_no_image(name: &str, piped: &Piped, input: &Layout) {
    let report = piped.json();
    assert_eq!(
        (piped.code, &report["status"]),
        (1, &json!("failed")),
        "{name}"
    );
    let first = ["blobs/", "blobs/sha256/"].map(str::to_owned);
    for entry in piped.names() {
        let bytes = input.blobs.get(&entry);
        let is_layer = bytes.is_some_and(|bytes| !bytes.starts_with(b"{"));
        assert!(
            is_layer || first.contains(&entry),
            "{name}: {entry} was written"
        );
    }
}

/// The fixture as bytes; a directory as the tar that `tar c -C DIR .` would write, sorted.
pub(crate) fn packed(name: &str) -> Vec<u8> {
    let path = fixture(name);
    if path.is_file() {
        return fs::read(path).unwrap();
    }
    let contents = Contents::read(&path);
    let files = contents.files.iter();
    let entries: Vec<Entry> = files
        .map(|(name, bytes)| Entry::file(format!("./{name}"), bytes))
        .collect();
    tar(&[vec![Entry::dir("./")], entries].concat())
}
