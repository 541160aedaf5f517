//! Other programs that read archives and documents: Go's readers, which engines use, Python's tarfile, GNU tar and bsdtar.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

use super::piped::pipe;
use super::{repository, sha256, skip};

/// The variable that makes a missing program an error.
const REQUIRED: &str = "OCIFY_REQUIRE_ENGINES";

/// A program that lists archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Go,
    Python,
    Gnu,
    Bsd,
}

/// What a reader makes of an archive.
#[derive(Debug, Deserialize)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) error: Option<String>,
}

/// An entry of a listing. Texts are in hexadecimal.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) link: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// What matters of each entry, by its cleaned name, which directories do not have: its kind, and the digest of its content or its target.
pub(crate) type View = BTreeMap<Vec<u8>, (String, String)>;

/// How many random cases a campaign has: `OCIFY_CAMPAIGN_CASES`, or this number.
pub(crate) fn random_cases(few: usize) -> usize {
    let wanted = std::env::var("OCIFY_CAMPAIGN_CASES");
    wanted.map_or(few, |wanted| wanted.parse().unwrap())
}

/// Whether campaigns are to be as large as that variable says.
pub(crate) fn is_large() -> bool {
    std::env::var_os("OCIFY_CAMPAIGN_CASES").is_some()
}

fn has(program: &str) -> bool {
    let run = Command::new(program)
        .arg(if program == "go" {
            "version"
        } else {
            "--version"
        })
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

/// The program of `tests/campaigns/go`, which is built once; `None` if there is no Go.
pub(crate) fn go() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        if !has("go") {
            skip("Go's readers: go is not installed", REQUIRED);
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
        let program = folder.join("readers");
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .current_dir(repository("tests/campaigns/go"))
            .env("GOCACHE", folder.join("cache"))
            .env("GOPATH", folder.join("path"))
            .env("GOFLAGS", "")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Some(program)
    });
    program.as_deref()
}

/// What Go says of documents of these kinds: `ok`, or an error.
pub(crate) fn verdicts(go: &Path, documents: &[(&str, Vec<u8>)]) -> Vec<String> {
    let mut input = Vec::new();
    for (kind, text) in documents {
        input.extend(format!("{kind} {}\n", text.len()).bytes());
        input.extend(text);
    }
    let output = run(Command::new(go).arg("documents"), &input);
    let verdicts: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(verdicts.len(), documents.len());
    verdicts
}

fn run(command: &mut Command, input: &[u8]) -> String {
    let piped = pipe(command, input);
    assert_eq!(piped.code, 0, "{command:?}: {}", piped.err);
    String::from_utf8(piped.out).unwrap()
}

impl Reader {
    pub(crate) const ALL: [Reader; 4] = [Reader::Go, Reader::Python, Reader::Gnu, Reader::Bsd];

    /// The readers that are installed. Those that are not are reported.
    pub(crate) fn installed() -> Vec<Reader> {
        let is_there = |reader: &Reader| {
            let program = match reader {
                Reader::Go => return go().is_some(),
                Reader::Python => "python3",
                Reader::Gnu => "tar",
                Reader::Bsd => "bsdtar",
            };
            let is_there = has(program);
            if !is_there {
                skip(&format!("{program} is not installed"), REQUIRED);
            }
            is_there
        };
        Reader::ALL.into_iter().filter(is_there).collect()
    }

    /// Whether one run lists many archives.
    pub(crate) fn lists_many(self) -> bool {
        matches!(self, Reader::Go | Reader::Python)
    }

    /// What it makes of each archive.
    pub(crate) fn listings(self, archives: &[PathBuf]) -> Vec<Listing> {
        let mut lines = String::new();
        for archive in archives {
            writeln!(lines, "{}", archive.to_str().unwrap()).unwrap();
        }
        let by_program = |command: &mut Command| -> Vec<Listing> {
            let output = run(command, lines.as_bytes());
            let listings = output
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            listings.collect()
        };
        let listings = match self {
            Reader::Go => by_program(Command::new(go().unwrap()).arg("archives")),
            Reader::Python => {
                let script = repository("tests/campaigns/python/listing.py");
                by_program(Command::new("python3").arg(script))
            }
            Reader::Gnu | Reader::Bsd => archives.iter().map(|path| self.listing(path)).collect(),
        };
        assert_eq!(listings.len(), archives.len());
        listings
    }

    /// From the listing with sizes, and the contents of all files one after the other.
    fn listing(self, archive: &Path) -> Listing {
        let program = match self {
            Reader::Gnu => "tar",
            _ => "bsdtar",
        };
        let output = |args: &[&OsStr]| {
            let mut command = Command::new(program);
            command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").args(args);
            command.output().unwrap()
        };
        let path = archive.as_os_str();
        let options = match self {
            Reader::Gnu => &["--numeric-owner", "--quoting-style=c", "-tvf"][..],
            _ => &["--numeric-owner", "-tvf"],
        };
        let mut args: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        args.push(path);
        let listed = output(&args);
        let written = output(&[OsStr::new("-xOf"), path]);
        let mut entries = Vec::new();
        let mut contents = &written.stdout[..];
        let text = String::from_utf8_lossy(&listed.stdout);
        for line in text.lines() {
            let found = match self {
                Reader::Gnu => gnu_line(line),
                _ => bsd_line(line),
            };
            let Some((kind, size, name, link)) = found else {
                panic!("{program} lists \"{line}\"");
            };
            let mut entry = Entry {
                name: hex(&name),
                link: hex(&link),
                kind: kind.to_owned(),
                size: 0,
                sha256: String::new(),
            };
            if kind == "file" {
                let len = usize::try_from(size)
                    .unwrap_or(usize::MAX)
                    .min(contents.len());
                let (own, rest) = contents.split_at(len);
                contents = rest;
                entry.size = len as u64;
                entry.sha256 = sha256(own);
            }
            entries.push(entry);
        }
        let is_right = listed.status.success() && written.status.success();
        let message = [listed.stderr, written.stderr].concat();
        let message = String::from_utf8_lossy(&message).into_owned();
        Listing {
            entries,
            error: (!is_right).then_some(message),
        }
    }
}

/// A line's kind, size, name and target.
type Line = (&'static str, u64, Vec<u8>, Vec<u8>);

/// `-rw-r--r-- 0/0  2 1970-01-01 00:00 "name" -> "target"`.
fn gnu_line(line: &str) -> Option<Line> {
    let (before, rest) = line.split_once('"')?;
    let mut words = before.split_whitespace();
    let mode = words.next()?;
    let size = words.nth(1)?.parse().unwrap_or(0);
    let (name, rest) = quoted(rest)?;
    let link = [" -> \"", " link to \""];
    let link = link.iter().find_map(|before| rest.strip_prefix(before));
    let link = match link {
        Some(link) => quoted(link)?.0,
        None => Vec::new(),
    };
    let kind = match mode.bytes().next()? {
        b'h' => "hardlink",
        first => kind_of_mode(first),
    };
    Some((kind, size, name, link))
}

/// `-rw-r--r--  0 0 0 2 Jan  1  1970 name -> target`.
fn bsd_line(line: &str) -> Option<Line> {
    let mut rest = line;
    let mut words = Vec::new();
    for _ in 0..8 {
        let (word, after) = rest.trim_start().split_once(' ')?;
        words.push(word);
        rest = after;
    }
    let first = words[0].bytes().next()?;
    let (name, link, kind) = match (rest.split_once(" -> "), rest.split_once(" link to ")) {
        (Some((name, link)), _) if first == b'l' => (name, link, "symlink"),
        (_, Some((name, link))) => (name, link, "hardlink"),
        _ => (rest, "", kind_of_mode(first)),
    };
    let size = words[4].parse().unwrap_or(0);
    Some((kind, size, unescaped(name), unescaped(link)))
}

fn kind_of_mode(first: u8) -> &'static str {
    match first {
        b'd' => "directory",
        b'l' => "symlink",
        b'c' | b'b' | b'p' => "special",
        // Contiguous files, and entries of unknown types, which become files.
        b'-' | b'C' | b'?' => "file",
        _ => "other",
    }
}

/// What is before the closing quote, and after it.
fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut at = 0;
    let bytes = text.as_bytes();
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some((unescaped(text.get(..at)?), text.get(at + 1..)?))
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let next = bytes.next().unwrap_or(b'\\');
        out.push(match next {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'0'..=b'7' => {
                let mut value = u32::from(next - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = bytes.peek().copied() else {
                        break;
                    };
                    value = value * 8 + u32::from(digit - b'0');
                    bytes.next();
                }
                value as u8
            }
            other => other,
        });
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// A name without the parts that mean nothing.
pub(crate) fn cleaned(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    parts.join(&b'/')
}

impl Listing {
    /// Whether two entries have the same name.
    pub(crate) fn has_duplicates(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut names = self
            .entries
            .iter()
            .map(|entry| cleaned(&unhex(&entry.name)));
        names.any(|name| !seen.insert(name))
    }

    /// Of two entries of one name, the last.
    pub(crate) fn view(&self) -> View {
        let mut view = View::new();
        for entry in &self.entries {
            let name = cleaned(&unhex(&entry.name));
            let what = match entry.kind.as_str() {
                "directory" => {
                    view.remove(&name);
                    continue;
                }
                "file" => (entry.kind.clone(), entry.sha256.clone()),
                "symlink" | "hardlink" => {
                    let target = String::from_utf8_lossy(&unhex(&entry.link)).into_owned();
                    (entry.kind.clone(), target)
                }
                _ => ("other".to_owned(), String::new()),
            };
            view.insert(name, what);
        }
        view
    }
}
