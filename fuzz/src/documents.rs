//! A sound archive around any documents.

use ocify::{Algorithm, Digest};

/// The archive that a text describes, with each document under its own digest.
///
/// The text is a list of documents, separated by lines of `---`. `$0` to `$9` and `$a` to `$z` stand for the digests of the first 36
/// documents, and `#0` and so on for their lengths; a document can name those before it. The last is `index.json`; a first line `docker`
/// makes the one before it `manifest.json`, in which the digests are blob names.
pub fn archive_of(input: &[u8]) -> Vec<u8> {
    let (docker, input) = match input.strip_prefix(b"docker\n") {
        Some(rest) => (true, rest),
        None => (false, input),
    };
    let mut documents: Vec<(Vec<u8>, Digest)> = Vec::new();
    for template in split(input) {
        let bytes = expand(template, &documents);
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        documents.push((bytes, digest));
    }
    archive(documents, docker)
}

fn split(input: &[u8]) -> Vec<&[u8]> {
    const SEPARATOR: &[u8] = b"\n---\n";
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest
        .windows(SEPARATOR.len())
        .position(|window| window == SEPARATOR)
    {
        parts.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    parts.push(rest);
    parts
}

fn expand(template: &[u8], documents: &[(Vec<u8>, Digest)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(&byte) = template.get(at) {
        let name = template
            .get(at + 1)
            .and_then(|name| char::from(*name).to_digit(36));
        let document = name.and_then(|name| documents.get(name as usize));
        match (byte, document) {
            (b'$', Some((_, digest))) => bytes.extend(digest.to_string().bytes()),
            (b'#', Some((document, _))) => bytes.extend(document.len().to_string().bytes()),
            _ => {
                bytes.push(byte);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    bytes
}

pub(crate) fn archive(mut documents: Vec<(Vec<u8>, Digest)>, docker: bool) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes)
            .expect("memory takes everything");
    };
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    if let Some((index, _)) = documents.pop() {
        add("index.json", &index);
    }
    if docker && let Some((manifest, _)) = documents.pop() {
        let text = String::from_utf8_lossy(&manifest).replace("sha256:", "blobs/sha256/");
        add("manifest.json", text.as_bytes());
    }
    documents.sort_by(|left, right| left.1.cmp(&right.1));
    documents.dedup_by(|left, right| left.1 == right.1);
    for (bytes, digest) in &documents {
        add(&digest.blob_name(), bytes);
    }
    tar.into_inner().expect("memory takes everything")
}
