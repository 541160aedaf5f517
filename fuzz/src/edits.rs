//! Documents of real images, each edited as JSON: what a byte at a time would hardly reach.

use serde_json::{Map, Value, json};

use crate::archive_of;

/// Images in the form that `archive_of` reads.
const SEEDS: [&[u8]; 5] = [
    include_bytes!("../seeds/documents/buildkit-docker-zstd-ocifalse"),
    include_bytes!("../seeds/documents/buildkit-oci-attest-zstd-ocitrue"),
    include_bytes!("../seeds/documents/buildkit-oci-multi-attest-zstd-ocifalse"),
    include_bytes!("../seeds/documents/docker26g-save-names"),
    include_bytes!("../seeds/documents/podman-oci"),
];
/// Strings that mean something somewhere.
const WORDS: [&str; 40] = [
    "",
    "application/octet-stream",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.buildkit.cacheconfig.v0",
    "application/vnd.in-toto+json",
    "application/vnd.oci.artifact.manifest.v1+json",
    "application/vnd.oci.empty.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.manifest.v1+json",
    "attestation-manifest",
    "amd64",
    "arm64",
    "linux",
    "unknown",
    "v8",
    "app",
    "app:v1",
    "app@$0",
    "docker.io/library/app:v1",
    "Latest",
    "example.com/app:v1\n",
    "\u{1b}[31m",
    "../../etc/passwd",
    "https://example.com/layer",
    "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "sha256:00",
    "e30=",
];
/// Keys that mean something somewhere.
const KEYS: [&str; 28] = [
    "annotations",
    "architecture",
    "artifactType",
    "blobs",
    "config",
    "Config",
    "containerd.io/distribution.source.docker.io",
    "data",
    "diff_ids",
    "digest",
    "fsLayers",
    "history",
    "io.containerd.image.name",
    "layers",
    "Layers",
    "LayerSources",
    "manifests",
    "mediaType",
    "org.opencontainers.image.ref.name",
    "os",
    "platform",
    "RepoTags",
    "rootfs",
    "schemaVersion",
    "size",
    "subject",
    "urls",
    "vnd.docker.reference.digest",
];

/// An archive of one of the images, with some edits: each of four bytes, which say in what document,
/// where in it, what is done, and with what.
pub fn edited(input: &[u8]) -> Vec<u8> {
    let (first, edits) = input.split_first().unwrap_or((&0, &[]));
    let seed = SEEDS[usize::from(*first) % SEEDS.len()];
    let mut documents: Vec<Document> = seed
        .split_inclusive(|byte| *byte == b'\n')
        .collect::<Vec<_>>()
        .split(|line| *line == b"---\n")
        .map(|lines| Document::of(&lines.concat()))
        .collect();
    for edit in edits.chunks_exact(4) {
        let count = documents.len();
        if let Document::Json(value) = &mut documents[usize::from(edit[0]) % count] {
            apply(value, usize::from(edit[1]), edit[2], usize::from(edit[3]));
        }
    }
    let texts: Vec<Vec<u8>> = documents.iter().map(Document::text).collect();
    let mut text = texts.join(&b"\n---\n"[..]);
    if seed.starts_with(b"docker\n") {
        text.splice(..0, *b"docker\n");
    }
    archive_of(&text)
}

enum Document {
    Json(Value),
    Bytes(Vec<u8>),
}

impl Document {
    /// Reads one; a length such as `#0` becomes a string meanwhile.
    fn of(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"docker\n").unwrap_or(text);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut quoted = Vec::new();
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.as_slice().first()) {
                (b'#', Some(name)) if name.is_ascii_alphanumeric() => {
                    quoted.extend([b'"', b'#', *name, b'"']);
                    bytes.next();
                }
                _ => quoted.push(*byte),
            }
        }
        match serde_json::from_slice(&quoted) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Document::Json(value),
            _ => Document::Bytes(text.to_owned()),
        }
    }

    fn text(&self) -> Vec<u8> {
        let value = match self {
            Document::Bytes(bytes) => return bytes.clone(),
            Document::Json(value) => value,
        };
        let mut text = value.to_string();
        for name in ('0'..='9').chain('a'..='z') {
            text = text.replace(&format!("\"#{name}\""), &format!("#{name}"));
        }
        text.into_bytes()
    }
}

/// One edit of the node of that number.
fn apply(document: &mut Value, number: usize, what: u8, with: usize) {
    let (action, detail) = (what % 8, usize::from(what / 8));
    let mut paths = Vec::new();
    collect(document, String::new(), &mut paths);
    let path = paths[number % paths.len()].clone();
    let copied = document.pointer(&paths[with % paths.len()]).cloned();
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    let key = key.replace("~1", "/").replace("~0", "~");
    if action < 2 {
        match document.pointer_mut(parent) {
            Some(Value::Object(parent)) if action == 0 => drop(parent.shift_remove(&key)),
            Some(Value::Object(parent)) => rename(parent, &key, with),
            Some(Value::Array(parent)) => {
                let at = key.parse::<usize>().unwrap_or(0).min(parent.len());
                match action {
                    0 if at < parent.len() => drop(parent.remove(at)),
                    _ => parent.insert(at, copied.unwrap_or_default()),
                }
            }
            _ => {}
        }
        return;
    }
    let Some(node) = document.pointer_mut(&path) else {
        return;
    };
    let word = || Value::from(WORDS[with % WORDS.len()]);
    match action {
        2 => *node = word(),
        3 => *node = other(with),
        4 => *node = copied.unwrap_or_default(),
        5 => *node = json!(format!("${}", char::from(b'0' + (with % 10) as u8))),
        _ => match node {
            Value::Object(node) => {
                let key = KEYS[detail % KEYS.len()];
                let value = if action == 6 { word() } else { other(with) };
                node.insert(key.to_owned(), value);
            }
            Value::Array(node) if action == 6 => {
                let count = with % node.len().max(1);
                node.rotate_left(count);
            }
            Value::Array(node) => node.push(word()),
            Value::String(text) => text.push(char::from(with as u8)),
            Value::Number(_) => *node = other(with),
            _ => *node = word(),
        },
    }
}

/// The path of every node, in order.
fn collect(node: &Value, path: String, paths: &mut Vec<String>) {
    match node {
        Value::Object(node) => {
            for (key, value) in node {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect(value, format!("{path}/{key}"), paths);
            }
        }
        Value::Array(node) => {
            for (number, value) in node.iter().enumerate() {
                collect(value, format!("{path}/{number}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

/// Gives a value another key, or the same in another case.
fn rename(parent: &mut Map<String, Value>, key: &str, with: usize) {
    let new = match with % 4 {
        0 => key.to_uppercase(),
        _ => KEYS[with / 4 % KEYS.len()].to_owned(),
    };
    if let Some(value) = parent.get(key).cloned() {
        if with % 8 < 4 {
            parent.shift_remove(key);
        }
        parent.insert(new, value);
    }
}

fn other(with: usize) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(1.5),
        json!(i64::MAX),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!([null]),
        json!(["app:v1"]),
        json!(["$0", "$1"]),
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": "$0", "size": "#0", "data": "e30="}),
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "$5", "size": "#5"}),
        json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "$6", "size": "#6"}),
        json!({"os": "linux", "architecture": "arm64"}),
        json!({"architecture": "amd64", "os": "windows", "os.version": "10.0"}),
    ];
    values[with % values.len()].clone()
}
