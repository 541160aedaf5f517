//! Changes of single fields and headers of an archive, with the checksums that follow.

use crate::common::archive::{Entry, open_tar};
use crate::common::random::Random;

const BLOCK: usize = 512;

/// An entry as it is written.
#[derive(Clone, Debug)]
struct Part {
    /// Headers before its own.
    before: Vec<u8>,
    header: Vec<u8>,
    data: Vec<u8>,
    /// The checksum field, if it is not the usual one, from the sum.
    checksum: Option<fn(u64) -> Vec<u8>>,
}

/// An archive that is being changed.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    parts: Vec<Part>,
    end: Vec<u8>,
    /// How many bytes are cut off.
    cut: usize,
}

impl Archive {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let part = |entry: &Entry| {
            let bytes = open_tar(std::slice::from_ref(entry));
            Part {
                before: Vec::new(),
                header: bytes[..BLOCK].to_vec(),
                data: bytes[BLOCK..].to_vec(),
                checksum: None,
            }
        };
        Archive {
            parts: entries.iter().map(part).collect(),
            end: vec![0; 2 * BLOCK],
            cut: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            bytes.extend(&part.before);
            bytes.extend(sealed(&part.header, part.checksum));
            bytes.extend(&part.data);
        }
        bytes.extend(&self.end);
        bytes.truncate(bytes.len() - self.cut.min(bytes.len()));
        bytes
    }
}

fn sealed(header: &[u8], checksum: Option<fn(u64) -> Vec<u8>>) -> Vec<u8> {
    let mut header = header.to_vec();
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let field = match checksum {
        Some(field) => field(sum),
        None => format!("{sum:06o}\0 ").into_bytes(),
    };
    header[148..156].copy_from_slice(&field);
    header
}

/// A header of an extension with its body.
fn extension(flag: u8, body: &[u8]) -> Vec<u8> {
    open_tar(&[Entry::new("extension", flag, body)])
}

/// A PAX record.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len() + 1;
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}")
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    /// What it is, with the kind first: `number: size, leading NUL`.
    pub(super) name: String,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    /// Bytes of the header.
    Bytes(Vec<(usize, Vec<u8>)>),
    /// The form of the number in a field of the header.
    Number(usize, usize, fn(u64, usize) -> Vec<u8>),
    Checksum(fn(u64) -> Vec<u8>),
    /// The type, and whether the data stays.
    Flag(u8, bool),
    /// What is added to the name.
    Name(&'static [u8], &'static [u8]),
    /// Headers before it. The name of the entry replaces `NAME`, its length `SIZE`.
    Before(Vec<(u8, Vec<u8>)>),
    /// What follows the last entry, and how much of the whole is cut off.
    End(Vec<u8>, usize),
}

impl Mutation {
    pub(super) fn apply(&self, archive: &mut Archive, target: usize) {
        let part = &mut archive.parts[target];
        match &self.change {
            Change::Bytes(changes) => {
                for (at, bytes) in changes {
                    part.header[*at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
            Change::Number(at, len, form) => {
                let value = octal(&part.header[*at..at + len]);
                part.header[*at..at + len].copy_from_slice(&form(value, *len)[..*len]);
            }
            Change::Checksum(form) => part.checksum = Some(*form),
            Change::Flag(flag, keeps_data) => {
                part.header[156] = *flag;
                if !keeps_data {
                    part.header[124..136].copy_from_slice(b"00000000000\0");
                    part.data.clear();
                }
            }
            Change::Name(before, after) => {
                let name = [before, &name(&part.header)[..], after].concat();
                part.header[..100].fill(0);
                let len = name.len().min(100);
                part.header[..len].copy_from_slice(&name[..len]);
            }
            Change::Before(headers) => {
                let size = octal(&part.header[124..136]).to_string();
                // PAX records are text, so they repeat a name that is not UTF-8 in another form.
                let name = String::from_utf8_lossy(&name(&part.header)).into_owned();
                for (flag, body) in headers {
                    part.before
                        .extend(extension(*flag, &filled(body, &name, &size)));
                }
            }
            Change::End(end, cut) => (archive.end, archive.cut) = (end.clone(), *cut),
        }
    }
}

/// A body with `{key=value}` as PAX records.
fn filled(body: &[u8], name: &str, size: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else {
        return body.to_vec();
    };
    let text = text.replace("NAME", name).replace("SIZE", size);
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, after) = after.split_once('}').unwrap();
        let (key, value) = inner.split_once('=').unwrap();
        out.push_str(before);
        out.push_str(&record(key, value));
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

fn name(header: &[u8]) -> Vec<u8> {
    header[..100]
        .split(|&byte| byte == 0)
        .next()
        .unwrap()
        .to_vec()
}

fn octal(field: &[u8]) -> u64 {
    let text = field.split(|&byte| byte == 0).next().unwrap();
    let text = String::from_utf8_lossy(text);
    u64::from_str_radix(text.trim(), 8).unwrap_or(0)
}

const FIELDS: [(&str, usize, usize); 7] = [
    ("size", 124, 12),
    ("mode", 100, 8),
    ("uid", 108, 8),
    ("gid", 116, 8),
    ("mtime", 136, 12),
    ("devmajor", 329, 8),
    ("devminor", 337, 8),
];

/// Digits with this before and after them, as long as the field.
fn padded(before: &str, value: u64, after: &str, len: usize) -> Vec<u8> {
    let digits = len.saturating_sub(before.len() + after.len());
    format!("{before}{value:0digits$o}{after}").into_bytes()
}

fn binary(first: u8, value: u64, len: usize) -> Vec<u8> {
    let mut field = vec![0; len - 8];
    field.extend(value.to_be_bytes());
    field[0] |= first;
    field
}

type Form = (&'static str, fn(u64, usize) -> Vec<u8>);

const FORMS: [Form; 23] = [
    ("no terminator", |value, len| padded("", value, "", len)),
    ("space at the end", |value, len| padded("", value, " ", len)),
    ("space and NUL", |value, len| padded("", value, " \0", len)),
    ("NUL and space", |value, len| padded("", value, "\0 ", len)),
    ("leading spaces", |value, len| {
        padded("  ", value, "\0", len)
    }),
    ("leading NUL", |value, len| padded("\0", value, "\0", len)),
    ("two leading NULs", |value, len| {
        padded("\0\0", value, "\0", len)
    }),
    ("space and leading NUL", |value, len| {
        padded(" \0", value, "\0", len)
    }),
    ("leading tab", |value, len| padded("\t", value, "\0", len)),
    ("line break at the end", |value, len| {
        padded("", value, "\n\0", len)
    }),
    ("text after NUL", |value, len| padded("", value, "\0x", len)),
    ("text after space and NUL", |value, len| {
        padded("", value, " \0x", len)
    }),
    ("text at the end", |value, len| padded("", value, "x", len)),
    ("digit 8", |value, len| padded("", value, "8\0", len)),
    ("plus sign", |value, len| padded("+", value, "\0", len)),
    ("minus sign", |value, len| padded("-", value, "\0", len)),
    ("blank", |_, len| vec![0; len]),
    ("spaces", |_, len| vec![b' '; len]),
    ("letters", |_, len| vec![b'a'; len]),
    ("binary", |value, len| binary(0x80, value, len)),
    ("binary with more bits", |value, len| {
        binary(0xa0, value, len)
    }),
    ("binary, negative", |_, len| vec![0xff; len]),
    ("binary, large", |_, len| {
        [&[0x80][..], &vec![0xff; len - 1]].concat()
    }),
];

type Sum = (&'static str, fn(u64) -> Vec<u8>);

const CHECKSUMS: [Sum; 9] = [
    ("no terminator", |sum| format!("{sum:08o}").into_bytes()),
    ("space and NUL", |sum| format!("{sum:06o} \0").into_bytes()),
    ("spaces before", |sum| format!("{sum:6o}\0 ").into_bytes()),
    ("leading NUL", |sum| format!("\0{sum:06o}\0").into_bytes()),
    ("text at the end", |sum| {
        format!("{sum:06o}\0x").into_bytes()
    }),
    ("letter", |sum| format!("{sum:06o}x ").into_bytes()),
    ("binary", |sum| (sum | 1 << 63).to_be_bytes().to_vec()),
    ("wrong", |sum| format!("{:06o}\0 ", sum + 1).into_bytes()),
    ("blank", |_| vec![0; 8]),
];

/// Each change alone.
pub(super) fn all() -> Vec<Mutation> {
    let mut all = Vec::new();
    let mut add = |name: String, change: Change| all.push(Mutation { name, change });
    for (field, at, len) in FIELDS {
        for (form, write) in FORMS {
            add(
                format!("number: {field}, {form}"),
                Change::Number(at, len, write),
            );
        }
    }
    for (form, write) in CHECKSUMS {
        add(format!("checksum: {form}"), Change::Checksum(write));
    }
    for flag in 0..=u8::MAX {
        for keeps_data in [true, false] {
            let with = if keeps_data { "data" } else { "no data" };
            let name = format!("type: {} with {with}", flag.escape_ascii());
            add(name, Change::Flag(flag, keeps_data));
        }
    }
    for (name, change) in magics() {
        add(name, Change::Bytes(change));
    }
    for (name, before, after) in [
        ("slash at the end", &b""[..], &b"/"[..]),
        ("slashes at the end", b"", b"//"),
        ("dot", b"./", b""),
        ("slash", b"/", b""),
        ("dots", b"a/../", b""),
        ("NUL inside", b"", b"\0x"),
        ("not text", b"", b"\xff"),
        ("only NUL", b"\0", b""),
    ] {
        add(format!("name: {name}"), Change::Name(before, after));
    }
    for (name, headers) in chains() {
        add(format!("before: {name}"), Change::Before(headers));
    }
    for (name, end, cut) in [
        ("none", 0, 0),
        ("one block", BLOCK, 0),
        ("a part of a block", 100, 0),
        ("one block and a part", BLOCK + 100, 0),
        ("two blocks and a part", 2 * BLOCK + 100, 0),
        ("twenty blocks", 20 * BLOCK, 0),
        ("cut in padding", 0, 100),
        ("cut in data", 0, 500),
        ("cut in the header", 0, 700),
    ] {
        add(format!("end: {name}"), Change::End(vec![0; end], cut));
    }
    let zeros = vec![0; BLOCK];
    let entry = open_tar(&[Entry::file("index.json", "{}")]);
    for (name, end) in [
        ("an entry after one block", [&zeros, &entry[..]].concat()),
        (
            "an entry after two blocks",
            [&zeros, &zeros, &entry[..]].concat(),
        ),
        ("text after one block", [&zeros, &b"text"[..]].concat()),
        ("text", b"text".to_vec()),
    ] {
        add(format!("end: {name}"), Change::End(end, 0));
    }
    all
}

/// Bytes, each with where they go or what they are.
type Edits<T> = Vec<(T, Vec<u8>)>;

/// Dialects, with and without a prefix, star's trailer and its times.
fn magics() -> Vec<(String, Edits<usize>)> {
    let mut all = Vec::new();
    let short = b"./".repeat(65);
    let prefixes: [(&str, Vec<u8>); 8] = [
        ("no prefix", vec![]),
        ("prefix a", b"a".to_vec()),
        ("prefix .", b".".to_vec()),
        ("prefix of 131 bytes", [&short[..], b"."].concat()),
        (
            "prefix of 155 bytes",
            [&b"./".repeat(77)[..], b"."].concat(),
        ),
        ("time as prefix", b"12345670123\x0012345670123\0".to_vec()),
        ("spaces as prefix", b"            ".to_vec()),
        ("prefix that is not text", b"\xff\xfe".to_vec()),
    ];
    for (magic, bytes) in [
        ("ustar", b"ustar\x0000"),
        ("ustar, version xx", b"ustar\0xx"),
        ("ustar, version of NULs", b"ustar\0\0\0"),
        ("ustar, version of spaces", b"ustar\0  "),
        ("GNU", b"ustar  \0"),
        ("GNU, version 00", b"ustar 00"),
        ("ustarx", b"ustarx00"),
        ("upper case", b"USTAR\x0000"),
        ("V7", &[0; 8]),
    ] {
        for (name, prefix) in &prefixes {
            for (trailer, text, times) in [
                ("", &b""[..], &b""[..]),
                (", star", b"tar\0", b"00000000000 00000000000 "),
                (", star without times", b"tar\0", b""),
                (", star with other times", b"tar\0", b"yesterday"),
            ] {
                let mut changes = vec![(257, bytes.to_vec()), (345, prefix.clone())];
                if !times.is_empty() {
                    changes.push((476, times.to_vec()));
                }
                changes.push((508, text.to_vec()));
                all.push((format!("magic: {magic}, {name}{trailer}"), changes));
            }
        }
    }
    all
}

/// Headers before an entry.
fn chains() -> Vec<(String, Edits<u8>)> {
    let long: [(&str, &[u8]); 7] = [
        ("same", b"NAME\0"),
        ("same without NUL", b"NAME"),
        ("same and text after NUL", b"NAME\0x"),
        ("other", b"other\0"),
        ("empty", b""),
        ("NUL", b"\0"),
        ("slash", b"NAME/\0"),
    ];
    let records = [
        "{path=NAME}",
        "{path=other}",
        "{path=}",
        "{path=NAME/}",
        "{path=./NAME}",
        "{path=NAME\0}",
        "{path=a}{path=NAME}",
        "{path=NAME}{path=a}",
        "{PATH=other}",
        "{linkpath=other}",
        "{size=SIZE}",
        "{size=0}",
        "{size=}",
        "{size=1}",
        "{size=512}",
        "{size=+SIZE}",
        "{size= SIZE}",
        "{size=SIZE }",
        "{size=0SIZE}",
        "{size=-1}",
        "{size=0x1}",
        "{size=SIZE.0}",
        "{size=18446744073709551616}",
        "{size=0}{size=SIZE}",
        "{mtime=1.5}",
        "{mtime=-1.5}",
        "{mtime=}",
        "{mtime=today}",
        "{mtime=1.x}",
        "{atime=x}",
        "{uid=5}",
        "{uid=}",
        "{uid=root}",
        "{gid=99999999999999999999}",
        "{uname=a\0b}",
        "{hdrcharset=BINARY}",
        "{comment=x}",
        "{comment=}",
        "{GNU.sparse.major=1}{GNU.sparse.minor=0}",
        "{GNU.sparse.map=0,1}{GNU.sparse.size=1}",
        "{GNU.sparse.name=other}",
        "{GNU.sparse.realsize=5}",
        "{SCHILY.realsize=5}",
        "{SCHILY.filetype=dir}",
        "{SCHILY.xattr.user.a=b}",
        "{LIBARCHIVE.xattr.user.a=b}",
        "{SUN.holesdata= 0 1}",
        "",
        "{=x}",
        "4 =\n",
        "5 a=\n",
        "+8 path=a\n",
        "08 path=a\n",
        " 9 path=a\n",
        "9  path=a\n",
        "9\tpath=a\n",
        "8 path=a\n",
        "10 path=a\n",
        "0 path=a\n",
        "9 path=a",
        "7 path\n",
        "9 path=a\n\n",
        "9 path=a\n\0\0\0",
        "\n{path=other}",
        "99999999999999999999 path=a\n",
        "{a\0b=x}",
    ];
    let mut all = Vec::new();
    let mut add = |name: String, headers: &[(u8, &[u8])]| {
        let headers = headers.iter().map(|(flag, body)| (*flag, body.to_vec()));
        all.push((name, headers.collect::<Vec<_>>()));
    };
    for flag in [b'L', b'K'] {
        for (name, body) in long {
            add(format!("{}, {name}", flag as char), &[(flag, body)]);
        }
    }
    for flag in [b'x', b'g', b'X'] {
        for body in records {
            add(
                format!("{} with {body:?}", flag as char),
                &[(flag, body.as_bytes())],
            );
        }
    }
    for flag in [b'A', b'D', b'M', b'N', b'V', b'I', b'E', b'Q'] {
        add(format!("{}, empty", flag as char), &[(flag, b"")]);
        add(
            format!("{} with bytes", flag as char),
            &[(flag, b"other\0")],
        );
    }
    let (same, other) = (&b"{path=NAME}"[..], &b"{path=other}"[..]);
    let comment = &b"{comment=x}"[..];
    for (name, headers) in [
        ("L L", &[(b'L', &b"other\0"[..]), (b'L', b"NAME\0")][..]),
        ("x x", &[(b'x', other), (b'x', same)]),
        ("x path, x comment", &[(b'x', other), (b'x', comment)]),
        ("x size, x path", &[(b'x', b"{size=1}"), (b'x', same)]),
        ("L x, same", &[(b'L', b"NAME\0"), (b'x', same)]),
        ("x L, same", &[(b'x', same), (b'L', b"NAME\0")]),
        ("L x, other", &[(b'L', b"NAME\0"), (b'x', other)]),
        ("x L, other", &[(b'x', other), (b'L', b"NAME\0")]),
        ("L other, x comment", &[(b'L', b"other\0"), (b'x', comment)]),
        ("x comment, L other", &[(b'x', comment), (b'L', b"other\0")]),
        ("L empty, x other", &[(b'L', b"\0"), (b'x', other)]),
        (
            "x size, L same",
            &[(b'x', b"{size=SIZE}"), (b'L', b"NAME\0")],
        ),
        ("L K", &[(b'L', b"NAME\0"), (b'K', b"link\0")]),
        ("g comment, x path", &[(b'g', comment), (b'x', other)]),
        ("x path, g comment", &[(b'x', other), (b'g', comment)]),
        ("g comment, L other", &[(b'g', comment), (b'L', b"other\0")]),
        ("L other, g comment", &[(b'L', b"other\0"), (b'g', comment)]),
        ("g path, x path", &[(b'g', other), (b'x', same)]),
        ("g g", &[(b'g', comment), (b'g', comment)]),
        ("X path, x path", &[(b'X', other), (b'x', same)]),
    ] {
        add(name.to_owned(), headers);
    }
    all
}

/// Several changes at random, each with the number of the entry that it changes, of `len` entries.
pub(super) fn random(len: usize, all: &[Mutation], random: &mut Random) -> Vec<(Mutation, usize)> {
    let count = 1 + random.index(3);
    let mut changes: Vec<(Mutation, usize)> = (0..count)
        .map(|_| (all[random.index(all.len())].clone(), random.index(len)))
        .collect();
    if random.index(4) == 0 {
        let target = random.index(len);
        let at = random.index(BLOCK);
        let byte = Mutation {
            name: format!("byte: {at}"),
            change: Change::Bytes(vec![(at, vec![random.byte()])]),
        };
        changes.push((byte, target));
    }
    changes
}
