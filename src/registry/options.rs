//! How registries are reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Text that is never shown: a password or a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// What a host replied, without this secret: some repeat the headers that they got. Of a value of `Authorization`,
    /// that is what comes after the scheme, and the password in it.
    pub(super) fn masked(&self, reply: Vec<u8>) -> Vec<u8> {
        let (scheme, value) = self.0.split_once(' ').unwrap_or(("", &self.0));
        let pair = match scheme {
            "Basic" => STANDARD.decode(value).unwrap_or_default(),
            _ => Vec::new(),
        };
        let password = pair.splitn(2, |byte| *byte == b':').nth(1);
        let masked = without(reply, value.as_bytes());
        without(masked, password.unwrap_or_default())
    }
}

/// Shorter secrets are not searched for: they are parts of words.
const SHORTEST: usize = 4;

fn without(text: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let mut rest = text.as_slice();
    if secret.len() < SHORTEST || memchr::memmem::find(rest, secret).is_none() {
        return text;
    }
    let mut masked = Vec::with_capacity(text.len());
    while let Some(at) = memchr::memmem::find(rest, secret) {
        masked.extend_from_slice(&rest[..at]);
        masked.extend_from_slice("…".as_bytes());
        rest = &rest[at + secret.len()..];
    }
    masked.extend_from_slice(rest);
    masked
}

/// Without the text.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How registries are reached: credentials, certificates, and how often a request is repeated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryOptions {
    pub(super) authfile: Option<PathBuf>,
    pub(super) login: Option<(String, Secret)>,
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) plain_http: bool,
    pub(super) insecure_skip_verify: bool,
    pub(super) user_agent: String,
    pub(super) retries: u32,
    pub(super) limits: TimeLimits,
    /// Directories with a subdirectory of certificates for each registry; `None` for those of docker and podman.
    pub(super) certificate_directories: Option<Vec<PathBuf>>,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// Until a connection is open, with TLS.
    pub(super) connect: Duration,
    /// Until the headers of a reply are there, and until its body is. Replies have few bytes.
    pub(super) reply: Duration,
    /// Without a byte in either direction.
    pub(super) stall: Duration,
    /// Before the first repetition of a request; each further wait is twice as long, to the longest.
    pub(super) first_wait: Duration,
    pub(super) longest_wait: Duration,
    /// The longest wait that a registry can ask for with `Retry-After`.
    pub(super) longest_requested_wait: Duration,
    /// Until a registry on this machine shows whether it speaks TLS.
    pub(super) probe: Duration,
    /// For canceling an upload.
    pub(super) cancel: Duration,
    /// Until a credential helper ends.
    pub(super) helper: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            connect: Duration::from_secs(30),
            reply: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            longest_requested_wait: Duration::from_secs(300),
            probe: Duration::from_secs(5),
            cancel: Duration::from_secs(5),
            helper: Duration::from_secs(60),
        }
    }
}

impl Default for RegistryOptions {
    fn default() -> Self {
        RegistryOptions {
            authfile: None,
            login: None,
            ca_files: Vec::new(),
            plain_http: false,
            insecure_skip_verify: false,
            user_agent: concat!("ocify/", env!("CARGO_PKG_VERSION")).to_owned(),
            retries: 5,
            limits: TimeLimits::default(),
            certificate_directories: None,
        }
    }
}

impl RegistryOptions {
    /// The credentials that docker and podman would use, HTTPS with the system's certificates, and five repetitions of
    /// a request that fails for a passing reason.
    pub fn new() -> Self {
        RegistryOptions::default()
    }

    /// Takes credentials from this file only: a `config.json` of docker or an `auth.json` of podman.
    #[must_use]
    pub fn authfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.authfile = Some(path.into());
        self
    }

    /// Uses this user name and password and no configuration file. A push then requires a target: otherwise the names in
    /// the input would decide which registry gets the password.
    #[must_use]
    pub fn login(mut self, username: impl Into<String>, password: Secret) -> Self {
        self.login = Some((username.into(), password));
        self
    }

    /// Whether there is a user name and a password for any registry that asks.
    pub(crate) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Also trusts the certificate authorities in this PEM file. May be called several times.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_files.push(path.into());
        self
    }

    /// Uses plain HTTP for every registry. Without it, only a registry on this machine (`localhost`, a loopback address)
    /// that does not speak TLS is reached with plain HTTP. Credentials are sent over plain HTTP only on this machine.
    #[must_use]
    pub fn plain_http(mut self, plain_http: bool) -> Self {
        self.plain_http = plain_http;
        self
    }

    /// Accepts any certificate. Anyone between this machine and the registry can then read and change what is sent,
    /// credentials too.
    #[must_use]
    pub fn insecure_skip_verify(mut self, skip: bool) -> Self {
        self.insecure_skip_verify = skip;
        self
    }

    /// What `User-Agent` states; `ocify/VERSION` by default.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// How often a request is repeated after a failure that may pass.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }
}
