//! The registries, two implementations of Debian: docker-registry, and the one in crane. Both have their storage in a temporary folder.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::get;

/// The longest that it may take until it answers.
const READY: Duration = Duration::from_secs(30);

/// An implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Distribution. It can ask for a password and speak TLS.
    Distribution,
    /// `crane registry serve` of go-containerregistry. All its repositories have the same blobs.
    Crane,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Distribution, Self::Crane];

    fn program(self) -> PathBuf {
        match self {
            Self::Distribution => "/usr/bin/docker-registry".into(),
            Self::Crane => crate::crane(),
        }
    }
}

/// Calls a test with each registry and a temporary folder, if everything that it needs is there.
#[expect(clippy::print_stdout, reason = "which one it is, if the test fails")]
pub(super) fn with_each(programs: &[&str], test: impl Fn(&Path, &Registry)) {
    for kind in Kind::ALL {
        if let Some(folder) = folder_for(kind, programs) {
            println!("{kind:?}");
            test(folder.path(), &Registry::start_kind(kind, folder.path()));
        }
    }
}

/// A temporary folder, if everything that a test with Distribution needs is there.
pub(super) fn needs(programs: &[&str]) -> Option<tempfile::TempDir> {
    folder_for(Kind::Distribution, programs)
}

fn folder_for(kind: Kind, programs: &[&str]) -> Option<tempfile::TempDir> {
    let found = |program: &Path| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        folders.any(|folder| folder.join(program).exists())
    };
    let programs = programs.iter().map(PathBuf::from);
    let mut all = [kind.program()].into_iter().chain(programs);
    if let Some(missing) = all.find(|program| !found(program)) {
        crate::skip(&missing.display().to_string());
        return None;
    }
    let folder = tempfile::Builder::new().prefix("ocify-registry-").tempdir();
    Some(folder.expect("a temporary folder"))
}

/// How a registry speaks TLS.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The authority of the certificates that clients have to have.
    pub(super) clients: Option<PathBuf>,
}

/// A registry that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) host: String,
    kind: Kind,
    child: Child,
    /// Its own folder.
    own: PathBuf,
}

impl Registry {
    /// Starts Distribution, which accepts everyone, or only one user with a password.
    pub(crate) fn start(folder: &Path, user: Option<(&str, &str)>) -> Self {
        Self::start_with(folder, user, None)
    }

    /// The same with TLS.
    pub(super) fn start_with(folder: &Path, user: Option<(&str, &str)>, tls: Option<&Tls>) -> Self {
        let (own, host) = place(folder);
        let auth = user.map_or_else(String::new, |(name, password)| {
            let file = own.join("htpasswd");
            let made = Command::new("htpasswd")
                .args(["-Bbn", name, password])
                .output()
                .unwrap();
            fs::write(&file, made.stdout).unwrap();
            format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                file.display()
            )
        });
        let tls = tls.map_or_else(String::new, |tls| {
            let (certificate, key) = (tls.certificate.display(), tls.key.display());
            let authority = tls.clients.iter();
            let authority = authority
                .map(|path| format!("    clientcas:\n      - {}\n", path.display()))
                .collect::<String>();
            format!("  tls:\n    certificate: {certificate}\n    key: {key}\n{authority}")
        });
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n{tls}{auth}",
            own.join("storage").display()
        );
        let file = own.join("config.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(Kind::Distribution.program());
        command
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none");
        Self::spawn(Kind::Distribution, command, own, host)
    }

    /// Starts a registry that accepts everyone.
    fn start_kind(kind: Kind, folder: &Path) -> Self {
        if kind == Kind::Distribution {
            return Self::start(folder, None);
        }
        let (own, host) = place(folder);
        let mut command = Command::new(kind.program());
        command
            .args(["registry", "serve", "--address", &host, "--disk"])
            .arg(own.join("storage"));
        Self::spawn(kind, command, own, host)
    }

    fn spawn(kind: Kind, mut command: Command, own: PathBuf, host: String) -> Self {
        let log = fs::File::create(own.join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Registry {
            host,
            kind,
            child,
            own,
        };
        let deadline = Instant::now() + READY;
        // With TLS, it answers with an error.
        while get(&registry.host, "/v2/", &[]).is_err() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// The document under a tag or digest.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Result<Value, String> {
        let (_, body) = self.stored(repository, reference)?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }

    /// Whether it stores what it gets of a manifest, even if that is not all that the request announces.
    pub(super) fn stores_incomplete_requests(&self) -> bool {
        self.kind == Kind::Crane
    }

    /// The digest that a tag leads to.
    pub(super) fn digest(&self, repository: &str, tag: &str) -> Result<String, String> {
        let (headers, _) = self.stored(repository, tag)?;
        let digest = headers
            .iter()
            .find_map(|line| line.strip_prefix("docker-content-digest: "));
        digest
            .map(str::to_owned)
            .ok_or_else(|| "no digest".to_owned())
    }

    fn stored(&self, repository: &str, reference: &str) -> Result<(Vec<String>, Vec<u8>), String> {
        let types =
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
        let path = format!("/v2/{repository}/manifests/{reference}");
        let reply = get(&self.host, &path, &[("Accept", types)])?;
        match reply.status {
            200 => Ok((reply.headers, reply.body)),
            status => Err(format!("{repository}:{reference}: status {status}")),
        }
    }

    /// A blob that is a document.
    pub(super) fn config(&self, repository: &str, digest: &str) -> Result<Value, String> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let reply = get(&self.host, &path, &[])?;
        serde_json::from_slice(&reply.body).map_err(|error| error.to_string())
    }

    pub(super) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let path = format!("/v2/{repository}/blobs/{digest}");
        get(&self.host, &path, &[]).is_ok_and(|reply| reply.status == 200)
    }

    /// Checks that everything that a document leads to is in the repository.
    pub(super) fn check_complete(&self, repository: &str, document: &Value) -> Result<(), String> {
        for child in document["manifests"].as_array().into_iter().flatten() {
            let digest = child["digest"].as_str().unwrap_or_default();
            match self.manifest(repository, digest) {
                Ok(child) => self.check_complete(repository, &child)?,
                // The index of a cache lists layers.
                Err(_) if self.has_blob(repository, digest) => {}
                Err(error) => return Err(error),
            }
        }
        let layers = document["layers"].as_array().into_iter().flatten();
        let needed = layers
            .chain([&document["config"]])
            .filter(|blob| blob.is_object());
        for blob in needed.filter(|blob| blob["urls"].is_null()) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            if !self.has_blob(repository, digest) {
                return Err(format!("{repository} lacks {digest}"));
            }
        }
        Ok(())
    }

    /// The media types in all indexes and manifests that are stored, as they state them of themselves and of others.
    pub(super) fn document_types(&self) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        let documents = match self.kind {
            Kind::Distribution => self.documents_on_disk(),
            Kind::Crane => self.documents_in_log(),
        };
        for document in documents {
            collect(&document, &mut types);
        }
        types
    }

    fn documents_on_disk(&self) -> Vec<Value> {
        let mut documents = Vec::new();
        let mut open = vec![self.own.join("storage")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.ends_with("data")
                    && let Ok(document) = serde_json::from_slice::<Value>(&fs::read(&path).unwrap())
                    && document["schemaVersion"].is_number()
                {
                    documents.push(document);
                }
            }
        }
        documents
    }

    /// crane keeps documents in memory, and can list only those that have tags. It logs each request, and how it failed.
    fn documents_in_log(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.own.join("log")).unwrap();
        let puts = log.lines().filter_map(|line| line.split_once(" PUT /v2/"));
        let puts = puts.filter_map(|(_, path)| path.split_once("/manifests/"));
        let stored = puts.filter(|(_, reference)| !reference.contains(' '));
        stored
            .map(|(repository, reference)| self.manifest(repository, reference).unwrap())
            .collect()
    }
}

/// A folder for another registry, and an address.
fn place(folder: &Path) -> (PathBuf, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let own = folder.join(format!("registry{number}"));
    fs::create_dir_all(own.join("storage")).unwrap();
    // Another process may take the port in between; then the registry does not start.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (own, listener.local_addr().unwrap().to_string())
}

fn collect(value: &Value, types: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            types.extend(
                members
                    .get("mediaType")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            members.values().for_each(|value| collect(value, types));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, types)),
        _ => {}
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
