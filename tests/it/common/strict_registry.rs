//! A registry in this process, on the loopback interface: strict about what a push may do, and with a log of what it did.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::Value;

use super::sha256;

/// A manifest or index with its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What the registry stores, by repository.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By digest, and by tag.
    pub(crate) manifests: BTreeMap<(String, String), Manifest>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// One line for each request that changed something, such as `PUT app/manifests/v1`.
    pub(crate) log: Vec<String>,
    /// Every request.
    pub(crate) requests: u64,
    /// Whether it lists referrers, and says so.
    pub(crate) has_referrers: bool,
    /// How many uploads of blobs it accepts before it refuses the next.
    pub(crate) fails_after: Option<usize>,
    /// Cancelled uploads.
    pub(crate) cancelled: u64,
}

/// A registry. Its threads end with the process.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// Its name in names of images.
    pub(crate) host: String,
    stored: Arc<Mutex<Stored>>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Registry {
            host: listener.local_addr().unwrap().to_string(),
            stored: Arc::default(),
        };
        let shared = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (registry, stream) = (shared.clone(), stream.unwrap());
                thread::spawn(move || registry.serve(&stream));
            }
        });
        registry
    }

    pub(crate) fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap()
    }

    /// Takes the log.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.stored().log)
    }

    /// The document under a tag or digest.
    #[track_caller]
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Value {
        let key = (repository.to_owned(), reference.to_owned());
        let found = self.stored().manifests.get(&key).cloned();
        let found = found.unwrap_or_else(|| panic!("no {repository}:{reference}"));
        serde_json::from_slice(&found.bytes).unwrap()
    }

    /// The tags of a repository, with the digests that they lead to.
    pub(crate) fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        let stored = self.stored();
        let own = stored
            .manifests
            .iter()
            .filter(|((name, reference), _)| name == repository && !reference.contains(':'));
        own.map(|((_, tag), manifest)| (tag.clone(), digest(&manifest.bytes)))
            .collect()
    }

    /// Checks that everything that a tag leads to is there.
    #[track_caller]
    pub(crate) fn check_complete(&self) {
        let stored = self.stored();
        for ((repository, reference), manifest) in &stored.manifests {
            for (kind, wanted) in parts(&manifest.bytes) {
                assert!(
                    stored.has(repository, kind, &wanted),
                    "{repository}:{reference} lacks {wanted}"
                );
            }
        }
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            let mut reply = self.stored().reply(&request);
            if request.method == "HEAD" {
                reply.len = Some(reply.body.len());
                reply.body.clear();
            }
            if reply.write(stream).is_err() {
                return;
            }
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// The next request; `None` at the end of the connection, and for one that breaks off.
    fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader
                .read_line(&mut line)
                .ok()
                .filter(|count| *count > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        if let Some(len) = headers.get("content-length") {
            body = vec![0; len.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
        } else if headers
            .get("transfer-encoding")
            .is_some_and(|coding| coding == "chunked")
        {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let len = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; len + 2];
                reader.read_exact(&mut chunk).ok()?;
                body.extend_from_slice(&chunk[..len]);
                if len == 0 {
                    break;
                }
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), decoded(value)));
        Some(Request {
            method,
            path: path.to_owned(),
            query: pairs.collect(),
            headers,
            body,
        })
    }
}

fn decoded(value: &str) -> String {
    value
        .replace("%3A", ":")
        .replace("%3a", ":")
        .replace("%2F", "/")
        .replace("%2f", "/")
}

#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    len: Option<usize>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Reply {
            status,
            ..Reply::default()
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{code}\"}}]}}");
        Reply {
            body: body.into_bytes(),
            ..Reply::new(status)
        }
    }

    fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let len = self.len.unwrap_or(self.body.len());
        let mut head = format!(
            "HTTP/1.1 {} Status\r\nContent-Length: {len}\r\n",
            self.status
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body)
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// What a part of a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Blob,
    /// What an index lists. The index of a cache lists layers.
    Listed,
}

/// The digests that a document needs.
fn parts(document: &[u8]) -> Vec<(Part, String)> {
    let document: Value = serde_json::from_slice(document).unwrap();
    let all = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let of = |part, descriptors: Vec<Value>| {
        let needed = descriptors
            .into_iter()
            .filter(|descriptor| descriptor["urls"].is_null());
        let digests =
            needed.filter_map(|descriptor| descriptor["digest"].as_str().map(str::to_owned));
        digests.map(|digest| (part, digest)).collect::<Vec<_>>()
    };
    let mut found = of(Part::Blob, all("layers"));
    found.extend(of(Part::Blob, vec![document["config"].clone()]));
    found.extend(of(Part::Listed, all("manifests")));
    found
}

impl Stored {
    fn has(&self, repository: &str, part: Part, digest: &str) -> bool {
        let key = (repository.to_owned(), digest.to_owned());
        self.blobs.contains_key(&key) || part == Part::Listed && self.manifests.contains_key(&key)
    }

    fn reply(&mut self, request: &Request) -> Reply {
        self.requests += 1;
        let path = request.path.strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return Reply::new(200);
        }
        if let Some((repository, rest)) = path.split_once("/blobs/") {
            return self.blob(request, repository, rest);
        }
        if let Some((repository, reference)) = path.split_once("/manifests/") {
            return self.manifest(request, repository, &decoded(reference));
        }
        match path.split_once("/referrers/") {
            Some((repository, subject)) if self.has_referrers => {
                self.referrers(repository, &decoded(subject))
            }
            _ => Reply::error(404, "NOT_FOUND"),
        }
    }

    fn blob(&mut self, request: &Request, repository: &str, rest: &str) -> Reply {
        let key = |digest: &str| (repository.to_owned(), digest.to_owned());
        if let Some(id) = rest.strip_prefix("uploads/") {
            return self.upload(request, repository, id);
        }
        match self.blobs.get(&key(&decoded(rest))) {
            Some(bytes) => Reply {
                body: bytes.clone(),
                ..Reply::new(200).with("Docker-Content-Digest", decoded(rest))
            },
            None => Reply::error(404, "BLOB_UNKNOWN"),
        }
    }

    fn upload(&mut self, request: &Request, repository: &str, id: &str) -> Reply {
        let place = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}");
        match request.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) =
                    (request.query.get("mount"), request.query.get("from"))
                    && let Some(bytes) = self.blobs.get(&(from.clone(), digest.clone())).cloned()
                {
                    self.log.push(format!("MOUNT {repository} {digest}"));
                    self.blobs
                        .insert((repository.to_owned(), digest.clone()), bytes);
                    return Reply::new(201)
                        .with("Location", "/")
                        .with("Docker-Content-Digest", digest);
                }
                let id = format!("id-{}-{}", self.requests, self.uploads.len());
                self.uploads.insert(id.clone(), Vec::new());
                Reply::new(202)
                    .with("Location", place(&id))
                    .with("Range", "0-0")
            }
            "PATCH" | "PUT" => {
                let Some(mut bytes) = self.uploads.remove(id) else {
                    return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
                };
                bytes.extend_from_slice(&request.body);
                if request.method == "PATCH" {
                    let range = format!("0-{}", bytes.len().saturating_sub(1));
                    self.uploads.insert(id.to_owned(), bytes);
                    return Reply::new(202)
                        .with("Location", place(id))
                        .with("Range", range);
                }
                let found = digest(&bytes);
                if request.query.get("digest") != Some(&found) {
                    return Reply::error(400, "DIGEST_INVALID");
                }
                if let Some(left) = &mut self.fails_after {
                    if *left == 0 {
                        return Reply::error(403, "DENIED");
                    }
                    *left -= 1;
                }
                self.log.push(format!("BLOB {repository} {found}"));
                self.blobs
                    .insert((repository.to_owned(), found.clone()), bytes);
                Reply::new(201)
                    .with("Location", "/")
                    .with("Docker-Content-Digest", found)
            }
            "DELETE" => {
                self.cancelled += 1;
                self.uploads.remove(id);
                Reply::new(204)
            }
            _ => match self.uploads.get(id) {
                Some(bytes) => Reply::new(204)
                    .with("Location", place(id))
                    .with("Range", format!("0-{}", bytes.len().saturating_sub(1))),
                None => Reply::error(404, "BLOB_UPLOAD_UNKNOWN"),
            },
        }
    }

    fn manifest(&mut self, request: &Request, repository: &str, reference: &str) -> Reply {
        let key = (repository.to_owned(), reference.to_owned());
        if request.method != "PUT" {
            return match self.manifests.get(&key) {
                Some(manifest) => Reply {
                    body: manifest.bytes.clone(),
                    ..Reply::new(200)
                        .with("Content-Type", manifest.media_type.clone())
                        .with("Docker-Content-Digest", digest(&manifest.bytes))
                },
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            };
        }
        let found = digest(&request.body);
        if reference.contains(':') && reference != found {
            return Reply::error(400, "DIGEST_INVALID");
        }
        let media_type = request
            .headers
            .get("content-type")
            .cloned()
            .unwrap_or_default();
        let document: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let stated = document["mediaType"].as_str();
        if stated.is_some_and(|stated| stated != media_type) {
            return Reply::error(400, "MANIFEST_INVALID");
        }
        for (part, wanted) in parts(&request.body) {
            if !self.has(repository, part, &wanted) {
                return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let subject = document["subject"]["digest"].as_str().map(str::to_owned);
        if let Some(subject) = &subject
            && !self
                .manifests
                .contains_key(&(repository.to_owned(), subject.clone()))
        {
            // As some registries have it.
            return Reply::error(400, "MANIFEST_UNKNOWN");
        }
        self.log.push(format!("PUT {repository} {reference}"));
        let manifest = Manifest {
            media_type,
            bytes: request.body.clone(),
        };
        self.manifests
            .insert((repository.to_owned(), found.clone()), manifest.clone());
        self.manifests.insert(key, manifest);
        let reply = Reply::new(201)
            .with("Location", "/")
            .with("Docker-Content-Digest", found);
        match subject.filter(|_| self.has_referrers) {
            Some(subject) => reply.with("OCI-Subject", subject),
            None => reply,
        }
    }

    fn referrers(&self, repository: &str, subject: &str) -> Reply {
        let own = self
            .manifests
            .iter()
            .filter(|((name, reference), manifest)| {
                let document: Value = serde_json::from_slice(&manifest.bytes).unwrap();
                name == repository
                    && reference.contains(':')
                    && document["subject"]["digest"] == subject
            });
        let listed: Vec<Value> = own
            .map(|((_, digest), manifest)| {
                serde_json::json!({"mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len()})
            })
            .collect();
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": super::builder::OCI_INDEX, "manifests": listed,
        });
        Reply {
            body: index.to_string().into_bytes(),
            ..Reply::new(200).with("Content-Type", super::builder::OCI_INDEX)
        }
    }
}
