//! A registry on a loopback address, in this process. It follows the specification until a test says otherwise.

// The tests of the library's client use it too, and each program uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A request, with its complete body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header, whose name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| decoded(value))
    }

    /// The same without conditions, as a registry sees it that has none.
    pub(crate) fn without_conditions(&self) -> Self {
        let mut plain = self.clone();
        plain
            .headers
            .retain(|(name, _)| !["if-match", "if-none-match"].contains(&name.as_str()));
        plain
    }

    /// Whether it is of an upload that is open.
    pub(crate) fn is_of_upload(&self) -> bool {
        self.path.contains("/blobs/uploads/") && !self.path.ends_with('/')
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A reply.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How a reply is sent.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// As it should be.
    Complete,
    /// One byte at a time, with this pause after each.
    Drip(Duration),
    /// These bytes instead, and then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing for this long, and then the connection is closed.
    Silence(Duration),
    /// As it should be, once the gate is open.
    After(Gate),
}

/// Holds replies back until a test opens it, or for ten seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().unwrap() = true;
        opened.notify_all();
    }

    fn wait(&self) {
        let (is_open, opened) = &*self.0;
        let is_open = is_open.lock().unwrap();
        let limit = Duration::from_secs(10);
        let waited = opened.wait_timeout_while(is_open, limit, |is_open| !*is_open);
        // Those that come later do not wait again.
        *waited.unwrap().0 = true;
    }
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            manner: Manner::Complete,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn sent(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// An error as the specification words it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": message}]});
        Answer::new(status).body(body.to_string())
    }
}

/// What the registry has, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// By repository and digest.
    pub(crate) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// Media type and bytes, by repository and tag or digest.
    pub(crate) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// The bytes that uploads have so far, by number.
    pub(crate) uploads: BTreeMap<String, Vec<u8>>,
    /// Every request, in order, without its body.
    pub(crate) requests: Vec<Request>,
    /// How many bytes bodies of requests had.
    pub(crate) received: u64,
    /// Whether it lists referrers.
    pub(crate) has_referrers: bool,
    /// After how many bytes of their bodies the next requests of uploads are cut off.
    pub(crate) cuts: VecDeque<usize>,
    /// How many uploads of blobs it accepts before it refuses the next.
    pub(crate) fails_after: Option<usize>,
    /// A line for each change: `BLOB app sha256:…`, `MOUNT app sha256:…` or `PUT app v1`.
    pub(crate) changes: Vec<String>,
    /// Whether subjects, and what lists of referrers name, have to be there, as some registries have it.
    is_strict: bool,
    next: u64,
}

impl Stored {
    /// The methods and paths of all requests.
    pub(crate) fn log(&self) -> Vec<String> {
        let lines = self.requests.iter();
        let lines = lines.map(|request| format!("{} {}", request.method, request.path));
        lines.collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        let requests = self.requests.iter();
        requests.filter(|request| request.method == method).count()
    }
}

type Hook = dyn Fn(&Request, &mut Stored) -> Option<Answer> + Send + Sync;

struct Shared {
    stored: Mutex<Stored>,
    hook: Box<Hook>,
    is_stopped: AtomicBool,
}

/// A running registry.
pub(crate) struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::with(|_, _| None)
    }

    /// One that takes a manifest only after everything that it leads to.
    pub(crate) fn strict() -> Self {
        Self::strict_with(|_, _| None)
    }

    pub(crate) fn strict_with(
        hook: impl Fn(&Request, &mut Stored) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::with(hook).into_strict()
    }

    /// One that has no conditions, and is so slow that two clients would read a list of referrers before one of them writes
    /// it.
    pub(crate) fn slow_and_unconditional() -> Self {
        Self::with(|request, stored| {
            let answer = stored.answer(&request.without_conditions());
            let is_slow = answer.status == 404 && request.path.contains("/manifests/sha256-");
            Some(match is_slow {
                true => answer.sent(Manner::Drip(Duration::from_millis(2))),
                false => answer,
            })
        })
    }

    /// The same, which takes a manifest only after everything that it leads to.
    pub(crate) fn into_strict(self) -> Self {
        self.stored().is_strict = true;
        self
    }

    /// One that asks `hook` first, which answers what it wants to.
    pub(crate) fn with(
        hook: impl Fn(&Request, &mut Stored) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            stored: Mutex::default(),
            hook: Box::new(hook),
            is_stopped: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                let own = Arc::clone(&own);
                let stream = stream.unwrap();
                // A client that goes away is no failure of the registry.
                thread::spawn(move || own.serve(&stream).unwrap_or_default());
            }
        });
        Registry { address, shared }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn stored(&self) -> MutexGuard<'_, Stored> {
        self.shared.stored.lock().unwrap()
    }

    /// Takes the lines about changes.
    pub(crate) fn changes(&self) -> Vec<String> {
        std::mem::take(&mut self.stored().changes)
    }

    /// The document under a tag or digest.
    #[track_caller]
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Value {
        let key = (repository.to_owned(), reference.to_owned());
        let found = self.stored().manifests.get(&key).cloned();
        let (_, bytes) = found.unwrap_or_else(|| panic!("no {repository}:{reference}"));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The tags of a repository, with the digests that they lead to.
    pub(crate) fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        let stored = self.stored();
        let own = stored
            .manifests
            .iter()
            .filter(|((name, reference), _)| name == repository && !reference.contains(':'));
        own.map(|((_, tag), (_, bytes))| (tag.clone(), sha256(bytes)))
            .collect()
    }

    /// Checks that everything that a manifest or tag leads to is there, and that no upload is left open.
    #[track_caller]
    pub(crate) fn check_complete(&self) {
        let stored = self.stored();
        for ((repository, reference), (_, bytes)) in &stored.manifests {
            let document = serde_json::from_slice(bytes).unwrap();
            let missing = stored.missing(repository, &document);
            assert_eq!(missing, None, "{repository}:{reference}");
        }
        let open: Vec<&String> = stored.uploads.keys().collect();
        assert!(open.is_empty(), "uploads are left open: {open:?}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        // Ends the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Answers the requests of one connection.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer: &TcpStream = stream;
        loop {
            let mut request = match read_head(&mut reader) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                // A client that speaks TLS, for example.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return writer
                        .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
                }
                Err(error) => return Err(error),
            };
            let len = request
                .header("content-length")
                .map_or(0, |len| len.parse().unwrap());
            if request.header("expect") == Some("100-continue") {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let cut = match request.is_of_upload() && len > 0 {
                true => self.stored.lock().unwrap().cuts.pop_front(),
                false => None,
            };
            let wanted = cut.map_or(len, |cut| cut.min(len));
            let result = (&mut reader)
                .take(wanted as u64)
                .read_to_end(&mut request.body);
            let mut stored = self.stored.lock().unwrap();
            stored.received += request.body.len() as u64;
            let head = Request {
                body: Vec::new(),
                ..request.clone()
            };
            stored.requests.push(head);
            if request.body.len() < len {
                // What came before the connection broke is kept.
                let id = request.path.rsplit('/').next().unwrap();
                if let Some(bytes) = stored.uploads.get_mut(id) {
                    bytes.extend(&request.body);
                }
                stream.shutdown(Shutdown::Both)?;
                return result.map(drop);
            }
            let answer = (self.hook)(&request, &mut stored);
            let answer = answer.unwrap_or_else(|| stored.answer(&request));
            drop(stored);
            if !send(writer, &request, &answer)? {
                return stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
    }))
}

/// Sends a reply. Whether the connection stays open.
fn send(mut writer: &TcpStream, request: &Request, answer: &Answer) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", answer.status);
    let states_len = answer
        .headers
        .iter()
        .any(|(name, _)| name == "Content-Length");
    if !states_len && answer.status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if request.method != "HEAD" {
        bytes.extend(&answer.body);
    }
    match &answer.manner {
        Manner::Complete => writer.write_all(&bytes)?,
        Manner::After(gate) => {
            gate.wait();
            writer.write_all(&bytes)?;
        }
        Manner::Drip(pause) => {
            for byte in bytes {
                writer.write_all(&[byte])?;
                thread::sleep(*pause);
            }
        }
        Manner::Raw(raw) => writer.write_all(raw)?,
        Manner::Silence(pause) => thread::sleep(*pause),
    }
    Ok(matches!(
        answer.manner,
        Manner::Complete | Manner::Drip(_) | Manner::After(_)
    ))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of bytes by the algorithm of another.
fn digest_like(other: &str, bytes: &[u8]) -> String {
    match other.starts_with("sha512:") {
        true => format!("sha512:{}", hex(&Sha512::digest(bytes))),
        false => sha256(bytes),
    }
}

impl Stored {
    /// The answer by the specification.
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let Some(rest) = request.path.strip_prefix("/v2/") else {
            return Answer::error(404, "NOT_FOUND", "no such address");
        };
        if rest.is_empty() {
            return Answer::new(200);
        }
        for (part, handler) in [
            (
                "/blobs/uploads/",
                Self::upload as fn(&mut Self, &Request, &str, &str) -> Answer,
            ),
            ("/blobs/", Self::blob),
            ("/manifests/", Self::manifest),
            ("/referrers/", Self::referrers),
        ] {
            if let Some((name, rest)) = rest.split_once(part) {
                return handler(self, request, name, rest);
            }
        }
        Answer::error(404, "NOT_FOUND", "no such address")
    }

    fn blob(&mut self, request: &Request, name: &str, digest: &str) -> Answer {
        let key = (name.to_owned(), digest.to_owned());
        match (request.method.as_str(), self.blobs.get(&key)) {
            ("HEAD" | "GET", Some(bytes)) => Answer::new(200)
                .with("Docker-Content-Digest", digest)
                .with("Content-Length", bytes.len().to_string())
                .body(bytes.clone()),
            ("HEAD" | "GET", None) => Answer::error(404, "BLOB_UNKNOWN", "blob unknown"),
            _ => Answer::error(405, "UNSUPPORTED", "not supported"),
        }
    }

    fn upload(&mut self, request: &Request, name: &str, id: &str) -> Answer {
        let location = |id: &str| format!("/v2/{name}/blobs/uploads/{id}?state=x");
        if request.method == "POST" {
            if let (Some(digest), Some(from)) =
                (request.parameter("mount"), request.parameter("from"))
                && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
            {
                self.changes.push(format!("MOUNT {name} {digest}"));
                self.blobs.insert((name.to_owned(), digest.clone()), bytes);
                return Answer::new(201).with("Docker-Content-Digest", digest);
            }
            self.next += 1;
            let id = self.next.to_string();
            self.uploads.insert(id.clone(), Vec::new());
            return Answer::new(202).with("Location", location(&id));
        }
        let Some(bytes) = self.uploads.get_mut(id) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown");
        };
        let state = |status, bytes: &[u8]| {
            let end = bytes.len().saturating_sub(1);
            let answer = Answer::new(status).with("Location", location(id));
            answer.with("Range", format!("0-{end}"))
        };
        match request.method.as_str() {
            "GET" => state(204, bytes),
            "DELETE" => {
                self.uploads.remove(id);
                Answer::new(204)
            }
            "PATCH" | "PUT" => {
                let start = request
                    .header("content-range")
                    .map(|range| range.split('-').next().unwrap());
                if start.is_some_and(|start| start != bytes.len().to_string()) {
                    return state(416, bytes);
                }
                bytes.extend(&request.body);
                if request.method == "PATCH" {
                    return state(202, bytes);
                }
                let digest = request.parameter("digest").unwrap();
                let bytes = self.uploads.remove(id).unwrap();
                if digest_like(&digest, &bytes) != digest {
                    return Answer::error(400, "DIGEST_INVALID", "the content has another digest");
                }
                if let Some(left) = &mut self.fails_after {
                    if *left == 0 {
                        return Answer::error(403, "DENIED", "no more");
                    }
                    *left -= 1;
                }
                self.changes.push(format!("BLOB {name} {digest}"));
                self.blobs.insert((name.to_owned(), digest.clone()), bytes);
                Answer::new(201).with("Docker-Content-Digest", digest)
            }
            _ => Answer::error(405, "UNSUPPORTED", "not supported"),
        }
    }

    fn manifest(&mut self, request: &Request, name: &str, reference: &str) -> Answer {
        let key = (name.to_owned(), decoded(reference));
        let found = self.manifests.get(&key).cloned();
        match (request.method.as_str(), found) {
            ("HEAD" | "GET", Some((media_type, bytes))) => Answer::new(200)
                .with("Content-Type", media_type)
                .with("Docker-Content-Digest", sha256(&bytes))
                .with("ETag", format!("\"{}\"", sha256(&bytes)))
                .with("Content-Length", bytes.len().to_string())
                .body(bytes),
            ("HEAD" | "GET", None) => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            ("PUT", found) => {
                let etag = found.map(|(_, bytes)| format!("\"{}\"", sha256(&bytes)));
                let condition = request.header("if-match");
                let is_other = condition.is_some() && condition != etag.as_deref();
                if is_other || request.header("if-none-match") == Some("*") && etag.is_some() {
                    return Answer::error(412, "PRECONDITION_FAILED", "it has changed");
                }
                self.put_manifest(request, key)
            }
            _ => Answer::error(405, "UNSUPPORTED", "not supported"),
        }
    }

    fn put_manifest(&mut self, request: &Request, (name, reference): (String, String)) -> Answer {
        let Ok(document) = serde_json::from_slice::<Value>(&request.body) else {
            return Answer::error(400, "MANIFEST_INVALID", "it is not JSON");
        };
        let digest = digest_like(&reference, &request.body);
        if reference.contains(':') && reference != digest {
            return Answer::error(400, "DIGEST_INVALID", "the content has another digest");
        }
        let media_type = request.header("content-type").unwrap_or_default();
        let stated = document["mediaType"].as_str();
        if stated.is_some_and(|stated| stated != media_type) {
            return Answer::error(400, "MANIFEST_INVALID", "the types differ");
        }
        let is_fallback = ["sha256-", "sha512-"]
            .iter()
            .any(|front| reference.starts_with(front))
            && !self.is_strict;
        if let Some(missing) = self.missing(&name, &document).filter(|_| !is_fallback) {
            return Answer::error(400, "MANIFEST_BLOB_UNKNOWN", &missing);
        }
        let subject = document["subject"]["digest"].as_str();
        let has = |subject: &str| {
            let key = (name.clone(), subject.to_owned());
            self.manifests.contains_key(&key)
        };
        if self.is_strict && subject.is_some_and(|subject| !has(subject)) {
            return Answer::error(400, "MANIFEST_UNKNOWN", "the subject is missing");
        }
        self.changes.push(format!("PUT {name} {reference}"));
        let media_type = media_type.to_owned();
        let value = (media_type, request.body.clone());
        self.manifests
            .insert((name.clone(), digest.clone()), value.clone());
        self.manifests.insert((name, reference), value);
        let mut answer = Answer::new(201).with("Docker-Content-Digest", digest);
        if let (true, Some(subject)) = (self.has_referrers, document["subject"]["digest"].as_str())
        {
            answer = answer.with("OCI-Subject", subject);
        }
        answer
    }

    /// What a document of a repository needs and the repository lacks, in words.
    fn missing(&self, name: &str, document: &Value) -> Option<String> {
        let listed = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let blobs = [listed("layers"), vec![document["config"].clone()]].concat();
        let needed = blobs
            .into_iter()
            .map(|blob| (blob, false))
            // The index of a cache lists layers.
            .chain(listed("manifests").into_iter().map(|child| (child, true)));
        let mut needed = needed.filter(|(one, _)| one["urls"].is_null());
        let is_missing = |one: &Value, is_listed: bool| {
            let key = (name.to_owned(), one["digest"].as_str()?.to_owned());
            let is_there =
                self.blobs.contains_key(&key) || is_listed && self.manifests.contains_key(&key);
            (!is_there).then(|| match is_listed {
                true => "a manifest is missing".to_owned(),
                false => "a blob is missing".to_owned(),
            })
        };
        needed.find_map(|(one, is_listed)| is_missing(&one, is_listed))
    }

    fn referrers(&mut self, _: &Request, name: &str, subject: &str) -> Answer {
        if !self.has_referrers {
            return Answer::error(404, "NOT_FOUND", "no such address");
        }
        let mut listed = Vec::new();
        for ((repository, reference), (media_type, bytes)) in &self.manifests {
            let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
                continue;
            };
            let is_own = repository == name && document["subject"]["digest"] == subject;
            if is_own && reference.contains(':') {
                listed.push(json!({
                    "mediaType": media_type, "digest": reference, "size": bytes.len(),
                    "artifactType": document["artifactType"],
                }));
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed});
        Answer::new(200)
            .with("Content-Type", INDEX)
            .body(index.to_string())
    }
}
